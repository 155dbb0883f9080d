"""Units and rows made by hand, for the tests of the statistics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import norm, t

from m2f2bench.cards.protocols import DETECTION_METRICS, Bootstrap
from m2f2bench.core.rows import Rows, Units
from m2f2bench.metrics.detection.intervals import Scored, score_units
from m2f2bench.metrics.detection.values import Cut

PLAIN = Bootstrap(resamples=0)


def outside(level: float, n: float) -> float:
    """The share of resamples beyond each end of an expanded interval over n clusters, by scipy's distributions."""
    return float(norm.cdf(-np.sqrt(n / (n - 1)) * t.ppf((1 + level) / 2, n - 1)))


def widened(p: float, n: float) -> float:
    """The p of an expanded interval that just reaches zero, from that of a plain one."""
    return float(2 * t.cdf(np.sqrt((n - 1) / n) * norm.ppf(p / 2), n - 1))


def make_units(
    labels: Sequence[int] | np.ndarray,
    scores: Sequence[float] | np.ndarray,
    methods: Sequence[str] | None = None,
    clusters: Sequence[int] | np.ndarray | None = None,
) -> Units:
    """Units of labels and scores; without `clusters` each is its own, without `methods` there is one, `m`."""
    label = np.asarray(labels, dtype=np.int64)
    n = len(label)
    named = ["original" if y == 0 else "m" for y in label.tolist()] if methods is None else list(methods)
    method = np.array(named, dtype=object)
    cluster = np.arange(n) if clusters is None else np.asarray(clusters, dtype=np.int64)
    planned = tuple(sorted(set(method[label == 1].tolist())))
    names = np.array([f"v{c}" for c in cluster.tolist()], dtype=object)
    score = np.asarray(scores, dtype=np.float64)
    return Units(label, score, method, names, cluster, int(cluster.max(initial=-1)) + 1, 1.0, planned)


def plain_values(
    labels: Sequence[int], scores: Sequence[float], cut: Cut | None = None, names: Sequence[str] = DETECTION_METRICS
) -> dict[str, float | None]:
    """Each metric's plain value."""
    found = score_units(make_units(labels, scores), names, cut or Cut(), PLAIN)
    return {name: score.value for name, score in found.overall.items()}


def score_all(units: Units, cut: Cut | None = None, resampling: Bootstrap = PLAIN) -> Scored:
    """Every metric over units, by default at 0.5 and without intervals."""
    return score_units(units, DETECTION_METRICS, cut or Cut(), resampling)


def make_rows(*lines: tuple[str, str, int, float | None], identity: Sequence[str] | None = None) -> Rows:
    """Rows of (video, method, label, score); a score of None is an unreadable frame."""
    n = len(lines)
    frame = np.array([f"{line[0]}/{i}" for i, line in enumerate(lines)], dtype=object)
    return Rows(
        frame=frame,
        video=np.array([line[0] for line in lines], dtype=object),
        method=np.array([line[1] for line in lines], dtype=object),
        identity=np.array(identity if identity is not None else [""] * n, dtype=object),
        status=np.array(["unreadable" if line[3] is None else "ok" for line in lines], dtype=object),
        label=np.array([line[2] for line in lines], dtype=np.int64),
        score=np.array([np.nan if line[3] is None else line[3] for line in lines], dtype=np.float64),
        digest=np.array([""] * n, dtype=object),
        picture=frame,
    )
