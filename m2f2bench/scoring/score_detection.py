"""Detection results: the metrics of rows under their protocol."""

from __future__ import annotations

from typing import Any

from ..core.records import Score
from ..metrics.detection.intervals import score_units
from ..results.result import Result
from ..results.signature import rows_hash
from ..results.stored import INVERTED
from ..stats.bootstrap import resampling
from .detection import ScoredRows

CLEARLY_BELOW = 0.45
"""Only an AUC up to this is a sign of inverted scores: on foreign data good detectors fall a little below .5."""


def score_rows(evidence: ScoredRows) -> Result:
    """Compute the result of rows under their protocol, with a warning if their scores look inverted."""
    protocol, units = evidence.protocol, evidence.units
    scored = score_units(units, protocol.metrics, evidence.cut, resampling(protocol))
    return evidence.result(
        protocol,
        evidence.source,
        metrics=scored.overall,
        methods=scored.methods,
        coverage=units.coverage,
        frame_coverage=units.frame_coverage,
        statuses=evidence.rows.statuses(),
        average=scored.average,
        threshold={**evidence.threshold, "value": scored.threshold},
        clusters=_clusters(evidence),
        reliability=list(scored.reliability),
        predictions=rows_hash(evidence.rows),
        warnings=(*polarity(scored.overall.get("auc")), *evidence.warnings),
    )


def polarity(auc: Score | None) -> list[str]:
    """Return one line if an AUC is so far below chance that the scores are probably P(real); else an empty list."""
    if auc is None or auc.value is None or auc.ci is None or auc.ci[1] >= 0.5 or auc.value > CLEARLY_BELOW:
        return []
    low, high = auc.ci
    return [
        f"{INVERTED}: AUC {auc.value:.3f} [{low:.3f}, {high:.3f}] is below chance; if they are P(real), give "
        f"1 - score (on a card of backend timm: `fake_class: 0`); if the labels are, 0 is real and 1 is fake"
    ]


def _clusters(evidence: ScoredRows) -> dict[str, Any]:
    """Return the resampled unit, the number of clusters, and a note if they are not groups of people as wanted."""
    units = evidence.units
    found: dict[str, Any] = {"by": units.clustered_by, "n": units.n_clusters, "independent": units.independent}
    if evidence.protocol.bootstrap.cluster == "identity" and units.clustered_by != "identity":
        known = bool((evidence.rows.identity != "").any())
        found["note"] = (
            "too few groups of people: videos are resampled instead, which makes intervals too narrow"
            if known
            else "people are not known"
        )
    return found
