"""Held-out prediction of the label from a cue, on unseen people, and its test against chance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..core.connected import connected
from ..core.records import FAKE, REAL, Frame
from ..metrics.detection.intervals import auc_interval
from .cues import Cue, Encoder

if TYPE_CHECKING:
    from ..core.records import Floats

FOLDS = 5
LARGEST = 0.5
"""If one group of connected people has more than this share of the frames, videos are held out instead."""
RIDGE = 10.0
"""Penalty on the squared weights of standardised columns and indicators, against a sum over frames."""
FAMILY = 0.05
"""Probability that any cell of a table of useless cues counts as more than chance."""
SHUFFLES = 50
SPREAD = 2.0
"""A bound on the deviation of the AUC of held-out scores, as a multiple of that of fixed scores with the same number of
independent groups: the folds share most of their training data, for which Nadeau and Bengio (2003) multiply the
deviation of five folds by 1.5.
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
        """The number of groups with real frames, and the number with fake frames."""
        real, fake = (len(np.unique(self.group[self.label == value])) for value in (REAL, FAKE))
        return real, fake


def people_or_videos(frames: Sequence[Frame]) -> tuple[Codes, str]:
    """Return the group of each frame to hold out, int64 [N], and `people` or `videos`.

    Groups are people, connected over shared videos and identities; videos if one group of people has more than
    `LARGEST` of the frames.
    """
    videos = [frame.video for frame in frames]  # by name alone: one name may be one person, whatever the manipulation
    group = connected(videos, [frame.identities for frame in frames])
    if np.bincount(group).max() > LARGEST * len(group):
        return connected(videos, [()] * len(videos)), "videos"
    return group, "people"


def folds(label: Codes, group: Codes, most: int, seed: int) -> Iterator[tuple[Codes, Codes]]:
    """Yield the rows to train on and to test, for at most `FOLDS` or `most` folds over groups.

    Folds in which nothing can be learned are left out.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    cutter = StratifiedGroupKFold(min(FOLDS, most), shuffle=True, random_state=seed)
    for train, test in cutter.split(np.zeros(len(label)), label, group):
        if len(np.unique(label[train])) == 2 and len(test):
            yield train, test


def held_out_scores(cue: Cue, sample: Sample, seed: int) -> Floats:
    """Return scores [N] in [0, 1], each from a model that was not trained on its group.

    A ridge classifier learns from four fifths of the groups and scores the last fifth, in turn. Raw scores of
    different folds are not comparable: a fold with more fakes than the rest is scored by a model that has seen fewer,
    so that a useless cue would have an AUC under .5. Hence each score becomes its rank within its fold and stratum, see
    `balanced_ranks`.
    """
    from sklearn.linear_model import RidgeClassifier

    label = sample.label
    scores = np.full(len(label), 0.5)
    for train, test in folds(label, sample.group, min(sample.groups), seed):
        encoder = Encoder().fit(cue, sample.rows[train])
        model = RidgeClassifier(alpha=RIDGE, class_weight="balanced")
        model.fit(encoder.transform(cue, sample.rows[train]), label[train])
        # Rounded: the same input must give the same score, whatever the library's order of summation.
        raw = np.round(model.decision_function(encoder.transform(cue, sample.rows[test])), 9)
        for part in np.unique(sample.stratum[test]):
            here = sample.stratum[test] == part
            scores[test[here]] = balanced_ranks(raw[here], label[test[here]])
    return scores


def balanced_ranks(scores: Floats, label: Codes) -> Floats:
    """Return scores [N] as ranks in [0, 1]: the mean of the shares of reals and of fakes below each, ties half.

    The order, and so the AUC within the fold, does not change. Equal weights of both classes put the scores of folds
    with different shares of fakes on one scale: for a useless cue all folds have the mean .5, and perfect scores are
    separated at .5. In a fold of one class all scores become .5.
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
    """Return whether an AUC of held-out scores is higher than useless cues reach in a table of `cells` cells.

    The interval of the AUC takes the models as fixed. With few people that is not enough: the folds' models are
    similar, and what they learned by chance counts in all of them. If a cautious bound does not decide, the labels are
    shuffled `SHUFFLES` times and everything is done again; the AUC must exceed .5 by the deviation of these AUCs times
    the normal deviate of `FAMILY` over `cells` (Bonferroni).
    """
    from scipy.stats import norm

    wanted = float(norm.isf(FAMILY / cells))
    real, fake = sample.groups
    bound = SPREAD * math.sqrt((real + fake + 1) / (12 * real * fake))  # deviation of Mann-Whitney's U by chance
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
    """Return random labels [N] that are distributed over videos and people like the true ones.

    The videos of a group with both classes exchange labels among themselves; groups of one class with each other.
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
