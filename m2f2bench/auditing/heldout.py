"""How well a cue predicts the label of people that the predictor has not seen, and whether chance could do as well."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..core.records import FAKE, REAL
from ..metrics.detection.intervals import auc_interval
from .cues import Cue, Encoder

if TYPE_CHECKING:
    from ..core.records import Floats

FOLDS = 5
RIDGE = 10.0
"""Penalty on the squared weights of standardised columns and indicators, against a sum over frames."""
FAMILY = 0.05
"""Chance that any of the cells of a table of worthless cues is told to be more than chance."""
SHUFFLES = 50
SPREAD = 2.0
"""A bound on how much wider the AUC of held-out scores varies than that of given scores of as many independent groups:
the folds share most of their training data, for which Nadeau and Bengio (2003) widen five folds' deviation 1.5 times.
"""
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """The frames of a cell, all [N] int64: `rows` of the cues, `label`, `video`, `group` of connected people (codes 0,
    1, …), and the `stratum` within which scores are compared.
    """

    rows: Codes
    label: Codes
    video: Codes
    group: Codes
    stratum: Codes

    @property
    def groups(self) -> tuple[int, int]:
        """The numbers of groups that have real, and that have fake frames."""
        real, fake = (len(np.unique(self.group[self.label == value])) for value in (REAL, FAKE))
        return real, fake


def held_out_scores(cue: Cue, sample: Sample, seed: int) -> Floats:
    """Scores [N] in [0, 1], each from a model that has seen no frame of its group.

    A ridge classifier learns from four fifths of the groups and scores the last fifth, in turn. Scores
    of different folds are not comparable as they are: a fold with more fakes than the rest is scored by a model that
    has seen fewer, so that a cue without worth would come out under .5. Hence each score becomes its rank within its
    fold and stratum, see `balanced_ranks`.
    """
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import StratifiedGroupKFold

    label = sample.label
    scores = np.full(len(label), 0.5)
    cutter = StratifiedGroupKFold(min(FOLDS, *sample.groups), shuffle=True, random_state=seed)
    for train, test in cutter.split(np.zeros(len(label)), label, sample.group):
        if len(np.unique(label[train])) < 2 or not len(test):
            continue  # nothing can be learned: all of the fold's frames stay at .5
        encoder = Encoder().fit(cue, sample.rows[train])
        model = RidgeClassifier(alpha=RIDGE, class_weight="balanced")
        model.fit(encoder.transform(cue, sample.rows[train]), label[train])
        # Rounded: the same input must give the same score, whatever the order in which the library sums.
        raw = np.round(model.decision_function(encoder.transform(cue, sample.rows[test])), 9)
        for part in np.unique(sample.stratum[test]):
            here = sample.stratum[test] == part
            scores[test[here]] = balanced_ranks(raw[here], label[test[here]])
    return scores


def balanced_ranks(scores: Floats, label: Codes) -> Floats:
    """Scores [N] as ranks in [0, 1]: the mean of the shares of reals and of fakes below each, ties counted half.

    The order stays, so that the AUC within the fold does; and weighing both classes alike puts the scores of folds
    with other shares of fakes on one scale: without worth all folds have the mean .5, and perfect scores part at .5.
    A fold of one class has nothing to be compared with in itself; all its scores become .5.
    """
    parts = []
    for value in (REAL, FAKE):
        known = np.sort(scores[label == value])
        if not len(known):
            return np.full(len(scores), 0.5)
        below, upto = np.searchsorted(known, scores, side="left"), np.searchsorted(known, scores, side="right")
        parts.append((below + upto) / (2 * len(known)))
    return np.asarray((parts[0] + parts[1]) / 2)


def beyond_chance(cue: Cue, sample: Sample, auc: float, cells: int, seed: int) -> bool:
    """Whether an AUC of held-out scores is more than worthless cues reach, with `cells` of them looked at.

    The interval of the AUC takes the models as given. With few people that is not enough: the folds' models are much
    the same, and what they picked up by chance counts in all of them. So where a cautious bound does not settle it, the
    labels are shuffled `SHUFFLES` times and the whole is done again, and the AUC must lie over these by the normal
    deviate of `FAMILY` over `cells` (Bonferroni).
    """
    from scipy.stats import norm

    wanted = float(norm.isf(FAMILY / cells))
    real, fake = sample.groups
    bound = SPREAD * math.sqrt((real + fake + 1) / (12 * real * fake))  # of the Mann-Whitney statistic without worth
    if auc - 0.5 >= wanted * bound:
        return True
    random = np.random.default_rng(seed)
    drawn = []
    for turn in range(SHUFFLES):
        other = replace(sample, label=shuffled(sample, random))
        if min(other.groups) >= 2:
            scores = held_out_scores(cue, other, seed + turn)
            drawn.append(auc_interval(other.label, scores, other.group, resamples=0)[0])
    spread = float(np.std(drawn, ddof=1)) if len(drawn) > 1 else 0.0
    return spread > 0 and auc - 0.5 >= wanted * spread


def shuffled(sample: Sample, random: np.random.Generator) -> Codes:
    """Labels [N] that have nothing to do with the frames, but are spread over videos and people as the true ones.

    The videos of a group that has both classes swap labels among themselves; groups of one class among each other.
    """
    _, first, place = np.unique(sample.video, return_index=True, return_inverse=True)
    label, group = sample.label[first].copy(), sample.group[first]
    single: list[Codes] = []
    for rows in np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1]):
        if len(set(label[rows].tolist())) == 2:
            label[rows] = random.permutation(label[rows])
        else:
            single.append(rows)
    values = random.permutation(np.array([label[rows[0]] for rows in single], dtype=np.int64))
    for rows, value in zip(single, values, strict=True):
        label[rows] = value
    return np.asarray(label[place])
