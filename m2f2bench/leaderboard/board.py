"""All that a leaderboard shows: the table, the methods, the ROC curves, and others' published figures."""

from __future__ import annotations

from dataclasses import dataclass

from ..published import Figure
from ..records import Score
from .table import Table


@dataclass(frozen=True)
class RocCurve:
    """One detector's ROC curve on one dataset under one protocol, thinned to what can be seen.

    `fpr` and `tpr` ascend from (0, 0) to (1, 1). `signature` is the measure part: curves of one signature may stand in
    one chart.
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
