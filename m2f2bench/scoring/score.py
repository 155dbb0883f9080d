"""From rows to a result: the same for a run that has just ended and for a file that anybody sends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..cards.models import DatasetCard, ExplanationCard, ProtocolCard
from ..core.errors import ScoreError
from ..core.places import without_folders
from ..core.records import Score
from ..loading import any_protocol
from ..metrics.detection.intervals import score_units
from ..results.result import Result
from ..results.signature import rows_hash, versions
from ..results.stored import TURNED
from ..stats.bootstrap import resampling
from .answers import holds_answers, load_answers
from .detection import Evidence, load_evidence
from .score_answers import score_answers

CLEARLY_BELOW = 0.45
"""An AUC above it is no sign of turned scores, however sure it is: detectors on foreign data fall a little below .5."""


def score(
    path: str | Path | Sequence[str | Path],
    *,
    protocol: str | ProtocolCard | ExplanationCard | None = None,
    dataset: str | DatasetCard | None = None,
    split: str = "test",
    detector: str | None = None,
    columns: Mapping[str, str] | None = None,
    validation: str | Path | None = None,
) -> Result:
    """Every metric of a protocol over a file of `id,label,score` rows (CSV, TSV, JSONL, Parquet) or a run's folder.

    See `evidence.load_evidence` for what the arguments do. Under a protocol about answers to questions the file holds
    those, see `explaining.evidence.load_answers`; several files are then one explainer's answers that complete each
    other. Raises ScoreError or DataError in one line.
    """
    paths = [path] if isinstance(path, (str, Path)) else list(path)
    if takes_answers(paths[0], protocol):
        answers = load_answers(
            *paths, protocol=protocol, dataset=dataset, split=split, detector=detector, columns=columns
        )
        return score_answers(answers).result
    if len(paths) > 1:
        raise ScoreError("several files make one result only under a protocol about answers to questions")
    return score_evidence(
        load_evidence(
            paths[0],
            protocol=protocol,
            dataset=dataset,
            split=split,
            detector=detector,
            columns=columns,
            validation=validation,
        )
    )


def takes_answers(place: str | Path, protocol: str | ProtocolCard | ExplanationCard | None) -> bool:
    """Whether it is answers that are scored: by the protocol, or without one by the run that `place` is."""
    return holds_answers(place) if protocol is None else isinstance(any_protocol(protocol), ExplanationCard)


def score_evidence(evidence: Evidence) -> Result:
    """The result that rows come to under their protocol, with a warning where they look turned round."""
    protocol, units, card = evidence.protocol, evidence.units, evidence.card
    scored = score_units(units, protocol.metrics, evidence.cut, resampling(protocol))
    return Result(
        detector=evidence.detector,
        dataset=str(evidence.measured["data"]),
        split=str(evidence.measured["split"]),
        protocol=protocol.name,
        metrics=scored.overall,
        methods=scored.methods,
        coverage=units.coverage,
        frame_coverage=units.frame_coverage,
        statuses=evidence.rows.statuses(),
        signature=evidence.signature,
        measured=evidence.measured,
        average=scored.average,
        threshold={**evidence.threshold, "value": scored.threshold},
        clusters=_clusters(evidence),
        reliability=list(scored.reliability),
        training_datasets=card.training_datasets if card else (),
        source=evidence.source,
        predictions=rows_hash(evidence.rows),
        protocol_card=protocol.model_dump(mode="json"),
        detector_card=without_folders(card.model_dump(mode="json")) if card else {},
        predicted=evidence.predicted,
        versions=versions(),
        warnings=(*polarity(scored.overall.get("auc")), *evidence.warnings),
    )


def polarity(auc: Score | None) -> list[str]:
    """One line where an AUC is so far below chance that the scores are likely P(real); else none."""
    if auc is None or auc.value is None or auc.ci is None or auc.ci[1] >= 0.5 or auc.value > CLEARLY_BELOW:
        return []
    low, high = auc.ci
    return [
        f"{TURNED}: AUC {auc.value:.3f} [{low:.3f}, {high:.3f}] is below chance; where they are P(real), give "
        f"1 - score (on a card of backend timm: `fake_class: 0`); where the labels are, 0 is real and 1 is fake"
    ]


def _clusters(evidence: Evidence) -> dict[str, Any]:
    """What is drawn as one, how many there are, and what to know of it."""
    units = evidence.units
    told: dict[str, Any] = {"by": units.clustered_by, "n": units.n_clusters, "independent": units.independent}
    if evidence.protocol.bootstrap.cluster == "identity" and units.clustered_by != "identity":
        known = bool((evidence.rows.identity != "").any())
        told["note"] = (
            "people are joined into too few groups to draw from: videos are drawn, which makes intervals too narrow"
            if known
            else "people are not known"
        )
    return told
