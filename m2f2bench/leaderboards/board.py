"""Content of a leaderboard: the table, tables by manipulation, ROC curves, and published figures of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..cards.models import LeaderboardCard
from ..core.records import Score
from ..metrics.detection.sample import plain
from ..metrics.detection.values import all_fakes
from ..results.result import Result
from ..results.signature import measure_signature
from ..results.stored import Stored
from ..scoring.detection import ScoredRows
from .best import Grounds, mark_best, read_evidence
from .published import Figure
from .table import Table, build_table, method_table

POINTS = 200
"""Largest number of points in a ROC curve of a board."""


@dataclass(frozen=True)
class RocCurve:
    """One detector's ROC curve on one dataset under one protocol, with at most POINTS points.

    `fpr` and `tpr` ascend from (0, 0) to (1, 1). `signature` is its measure part: a chart has curves of one signature.
    """

    dataset: str
    split: str
    protocol: str
    signature: str
    detector: str
    fpr: tuple[float, ...]
    tpr: tuple[float, ...]
    auc: Score


@dataclass(frozen=True)
class Board:
    """A leaderboard: `table`, one more table of AUC by manipulation for each dataset and protocol, curves, figures."""

    table: Table
    methods: tuple[Table, ...] = ()
    curves: tuple[RocCurve, ...] = ()
    published: tuple[Figure, ...] = ()


def build_board(
    stored: Sequence[Stored], card: LeaderboardCard | None = None, published: Sequence[Figure] = ()
) -> Board:
    """Return the board of results; those with stored rows have curves and are tested against each other."""
    evidence = read_evidence(stored)
    results = [one.result for one in stored]
    methods: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        if len(result.methods) > 1 and "auc" in result.metrics:
            methods.setdefault((result.dataset, result.split, result.protocol), []).append(result)
    return Board(
        mark_best(build_table(results, card), evidence),
        tuple(mark_best(method_table(group), evidence) for group in methods.values()),
        tuple(_curves(results, evidence)),
        tuple(published),
    )


def _curves(results: Sequence[Result], evidence: Grounds) -> list[RocCurve]:
    drawn = []
    for result in results:
        own = evidence.get((result.signature, result.protocol))
        score = result.metrics.get("auc")
        if not isinstance(own, ScoredRows) or score is None or score.value is None:
            continue
        c = all_fakes(*plain(own.units).counts(np.ones((1, 1))))
        points = [np.concatenate([[0.0], values[:, 0] / n]) for values, n in ((c.fp, c.n_real), (c.tp, c.n_fake))]
        fpr, tpr = (tuple(values[_thinned(*points)].tolist()) for values in points)
        names = (result.dataset, result.split, result.protocol, measure_signature(result.measured), result.detector)
        drawn.append(RocCurve(*names, fpr, tpr, score))
    return drawn


def _thinned(fpr: np.ndarray, tpr: np.ndarray) -> np.ndarray:
    """Return indices of at most POINTS points, evenly along the curve and with both ends."""
    if len(fpr) <= POINTS:
        return np.arange(len(fpr))
    along = fpr + tpr
    return np.unique(np.searchsorted(along, np.linspace(0.0, along[-1], POINTS)).clip(0, len(along) - 1))
