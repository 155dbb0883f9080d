"""Held-out prediction of the label from a cue, on unseen people, and its test against chance."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..core.connected import connected, factorize
from ..core.records import FAKE, REAL, Frame
from ..metrics.detection.intervals import auc_interval
from .facts import Facts
from .files import FileFacts

if TYPE_CHECKING:
    from ..core.records import Floats

FILE_CUES = ("type", "dimensions", "size", "quantisation")
"""Cues from the way of saving; they must not predict the label."""
CUES = (*FILE_CUES, "file", "high-pass", "all")
"""`file`: the four cues before it together. `all`: these and the high-pass energy."""
TABLE = 64
COMMON = 32
"""Number of the most frequent settings that get their own column."""
BINS = 8
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
class Cue:
    """One cue over N frames. `numbers` float64 [N, F]; `categories` int64 [N, G], each column the codes of a setting.

    Both are empty if the cue does not exist (no frame has its own image or video file).
    """

    numbers: npt.NDArray[np.float64]
    categories: npt.NDArray[np.int64]

    @property
    def absent(self) -> bool:
        """Whether there are no columns."""
        return not self.numbers.shape[1] and not self.categories.shape[1]

    def constant(self, rows: npt.NDArray[np.int64]) -> bool:
        """Return whether all of these rows are equal."""
        parts = (self.numbers[rows], self.categories[rows])
        return all(bool((part == part[:1]).all()) for part in parts)


def read_cues(facts: Sequence[Facts]) -> dict[str, Cue]:
    """Return every cue of `CUES` for readable frames: logarithms of sizes and steps, and codes of settings.

    A file that is not JPEG has its own setting and steps of 1; stored pixels have no file.
    """
    looks = [one.pixels for one in facts if one.pixels is not None]
    files = [one.file for one in facts if one.pixels is not None]
    n = len(looks)
    width = np.array([look.width for look in looks], dtype=np.float64)
    height = np.array([look.height for look in looks], dtype=np.float64)
    none = Cue(np.empty((n, 0)), np.empty((n, 0), dtype=np.int64))
    cues = dict.fromkeys(CUES, none)
    sides = [f"{w:.0f}x{h:.0f}" for w, h in zip(width, height, strict=True)]
    cues["dimensions"] = Cue(np.log(np.column_stack([width, height, width / height])), _codes(sides))
    if any(file is not None for file in files):
        size = np.array([1 if file is None else max(1, file.size) for file in files], dtype=np.float64)
        cues["type"] = Cue(none.numbers, _codes(["none" if file is None else file.kind for file in files]))
        cues["size"] = Cue(np.log(np.column_stack([size, size / (width * height)])), none.categories)
        settings = [_setting(file) for file in files]
        cues["quantisation"] = Cue(np.array([_steps(file) for file in files]).reshape(n, 3), _codes(settings))
    high = np.array([[look.laplacian, look.residual] for look in looks], dtype=np.float64).reshape(n, 2)
    cues["high-pass"] = Cue(high, none.categories)
    cues["file"] = join([cues[name] for name in FILE_CUES])
    cues["all"] = join([cues["file"], cues["high-pass"]])
    return cues


def join(cues: Sequence[Cue]) -> Cue:
    """Return the columns of several cues next to each other."""
    return Cue(np.hstack([cue.numbers for cue in cues]), np.hstack([cue.categories for cue in cues]))


class Encoder:
    """Numbers and settings as columns of a linear model, learned from the training part only.

    A number gives its standardised value and, for relations that are not monotonic, up to 8 indicators of equally
    filled bins. A setting gives an indicator for each of its most frequent values.
    """

    def fit(self, cue: Cue, rows: npt.NDArray[np.int64]) -> Encoder:
        """Learn means, bins and frequent settings from these rows."""
        numbers = cue.numbers[rows]
        self.mean, self.scale = numbers.mean(axis=0), numbers.std(axis=0)
        self.scale[self.scale < 1e-12] = 1.0
        steps = np.linspace(0, 1, BINS + 1)[1:-1]
        self.edges = [np.unique(np.quantile(column, steps)) for column in numbers.T]
        self.common = [pd.Series(column).value_counts().index[:COMMON].to_numpy() for column in cue.categories[rows].T]
        return self

    def transform(self, cue: Cue, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return the columns of these rows, float64 [N, F]."""
        numbers = cue.numbers[rows]
        parts = [(numbers - self.mean) / self.scale]
        for column, edges in zip(numbers.T, self.edges, strict=True):
            bins = np.searchsorted(edges, column, side="right")
            parts.append((bins[:, None] == np.arange(len(edges) + 1)).astype(np.float64))
        for column, common in zip(cue.categories[rows].T, self.common, strict=True):
            parts.append((column[:, None] == common).astype(np.float64))
        return np.hstack(parts)


def _codes(values: Sequence[Hashable]) -> npt.NDArray[np.int64]:
    return factorize(values)[0][:, None]


def _setting(file: FileFacts | None) -> str:
    """Return all JPEG settings as one text; empty for a file that is not JPEG."""
    return "" if file is None or file.tables is None else f"{file.tables} {file.sampling} {file.progressive}"


def _steps(file: FileFacts | None) -> tuple[float, float, float]:
    """Return the mean log step of the first and of the last table, and the log of the first step."""
    if file is None or file.tables is None:
        return 0.0, 0.0, 0.0
    steps = np.log(np.maximum(1, np.array(file.tables, dtype=np.float64)))
    return float(steps[:TABLE].mean()), float(steps[-TABLE:].mean()), float(steps[0])


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


def fold_scores(
    learned: Callable[[Codes, Codes], Floats], label: Codes, group: Codes, stratum: Codes, most: int, seed: int
) -> Floats:
    """Return scores [N] in [0, 1], each from a model that was not trained on its group.

    `learned(train, test)` learns from the rows of four fifths of the groups and scores the last fifth, in turn, for at
    most `FOLDS` or `most` folds; those in which nothing can be learned are left out. Raw scores of different folds are
    not comparable: a fold with more fakes than the rest is scored by a model that has seen fewer, so that a useless cue
    would have an AUC under .5. Hence each score becomes its rank within its fold and stratum, see `balanced_ranks`.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    cutter = StratifiedGroupKFold(min(FOLDS, most), shuffle=True, random_state=seed)
    scores = np.full(len(label), 0.5)
    for train, test in cutter.split(np.zeros(len(label)), label, group):
        if len(np.unique(label[train])) < 2 or not len(test):
            continue
        # Rounded: the same input must give the same score, whatever the library's order of summation.
        raw = np.round(learned(train, test), 9)
        for part in np.unique(stratum[test]):
            here = stratum[test] == part
            scores[test[here]] = balanced_ranks(raw[here], label[test[here]])
    return scores


def held_out_scores(cue: Cue, sample: Sample, seed: int) -> Floats:
    """Return the `fold_scores` [N] of a ridge classifier of the cue."""
    from sklearn.linear_model import RidgeClassifier

    def learned(train: Codes, test: Codes) -> Floats:
        encoder = Encoder().fit(cue, sample.rows[train])
        model = RidgeClassifier(alpha=RIDGE, class_weight="balanced")
        model.fit(encoder.transform(cue, sample.rows[train]), sample.label[train])
        return np.asarray(model.decision_function(encoder.transform(cue, sample.rows[test])))

    return fold_scores(learned, sample.label, sample.group, sample.stratum, min(sample.groups), seed)


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
