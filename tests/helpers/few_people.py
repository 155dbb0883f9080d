"""Simulated scores with a known AUC: few videos or people, unequal ones, a rare manipulation, fakes of two people.

A score is normal with variance 1, a fake's higher by `gap`; units of one video or person have a part of the variance in
common. So the true AUC is Φ(gap / √2), whatever is shared. Several detectors correlate by `alike` in every part.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from m2f2bench.core.rows import People
from m2f2bench.stats.clustered import Influence, auc_difference, influence
from m2f2bench.stats.delong import placements
from m2f2bench.stats.power import Structure

NORMAL = NormalDist()
UNEQUAL = (2, 3, 4, 5, 8, 10, 20, 50, 150, 300)
"""Frames of a video, drawn at random."""
Rng = np.random.Generator


class Case(NamedTuple):
    """One simulated dataset: `label` and `cluster` [N], latent scores [detectors, N]."""

    label: np.ndarray
    cluster: np.ndarray
    scores: np.ndarray
    people: People | None = None


Design = Callable[[Rng, float, int, float], Case]
"""From a generator, a gap, a number of detectors and their correlation."""


def gap_of(auc: float) -> float:
    """Return the gap with which the true AUC is `auc`."""
    return math.sqrt(2) * NORMAL.inv_cdf(auc)


def parts(rng: Rng, n: int, detectors: int, alike: float) -> np.ndarray:
    """Return n standard normal numbers for each detector, [detectors, n]."""
    common = rng.normal(size=n)
    own = rng.normal(size=(detectors, n))
    own[0] = common
    own[1:] = alike * common + math.sqrt(1 - alike * alike) * own[1:]
    return own


def videos(count: int, frames: int = 10, unequal: bool = False, shared: float = 0.6) -> Design:
    """Return a design of videos, every second one fake; `unequal` ones have 2 to 300 frames."""

    def draw(rng: Rng, gap: float, detectors: int, alike: float) -> Case:
        cluster = np.repeat(np.arange(count), rng.choice(UNEQUAL, count) if unequal else frames)
        label = cluster % 2
        video, own = parts(rng, count, detectors, alike), parts(rng, len(cluster), detectors, alike)
        return Case(label, cluster, gap * label + math.sqrt(shared) * video[:, cluster] + math.sqrt(1 - shared) * own)

    return draw


def people(count: int, fakes: int = 4, rare: int = 0, frames: int = 5) -> Design:
    """Return a design of people with one real video and `fakes` fakes each; with `rare`, that many fakes in all."""

    def draw(rng: Rng, gap: float, detectors: int, alike: float) -> Case:
        shown = np.repeat(np.arange(count), fakes)
        shown = rng.choice(count, rare, replace=False) if rare else shown
        person = np.concatenate([np.arange(count), shown])
        fake = (np.arange(len(person)) >= count).astype(np.int64)
        of = np.repeat(np.arange(len(person)), frames)
        each = parts(rng, count, detectors, alike)
        video, own = parts(rng, len(person), detectors, alike), parts(rng, len(of), detectors, alike)
        common = math.sqrt(0.4) * each[:, person] + math.sqrt(0.3) * video
        return Case(fake[of], person[of], gap * fake[of] + common[:, of] + math.sqrt(0.3) * own)

    return draw


def crossed(count: int, reals: int = 10, partners: int = 8, frames: int = 3, shared: float = 0.4) -> Design:
    """Return a design as in Celeb-DF: reals of one person each, fakes of two; a cluster is the units of one set."""

    def draw(rng: Rng, gap: float, detectors: int, alike: float) -> Case:
        first = np.repeat(np.arange(count), partners)
        second = (first + rng.integers(1, count, len(first))) % count
        low, high = np.minimum(first, second), np.maximum(first, second)
        pairs = np.unique(low * count + high)
        sets = np.concatenate([np.arange(count), count + np.arange(len(pairs))])
        fake = (sets >= count).astype(np.int64)
        a = np.concatenate([np.arange(count), pairs // count])
        b = np.concatenate([np.arange(count), pairs % count])
        cluster = np.repeat(sets, np.where(fake == 1, frames, reals))
        label, each = fake[cluster], parts(rng, count, detectors, alike)
        both = np.where(fake == 1, (each[:, a] + each[:, b]) / math.sqrt(2), each[:, a])
        pair, own = parts(rng, len(sets), detectors, alike), parts(rng, len(cluster), detectors, alike)
        rest = (1.0 - shared) / 2.0
        scores = gap * label + (math.sqrt(shared) * both + math.sqrt(rest) * pair)[:, cluster] + math.sqrt(rest) * own
        edges = (np.concatenate([sets, sets[count:]]), np.concatenate([a, b[count:]]))
        return Case(label, cluster, scores, People(*edges, count))

    return draw


DESIGNS: dict[str, Design] = {
    "10 videos of 10 frames": videos(10),
    "20 videos of 10 frames": videos(20),
    "40 videos of 10 frames": videos(40),
    "60 videos, 2 to 300 frames": videos(60, unequal=True),
    "10 people": people(10),
    "20 people": people(20),
    "6 fakes among 100 people": people(100, rare=6),
    "20 people in pairs": crossed(20),
    "59 people in pairs": crossed(59),
}


def trained(design: Design, rng: Rng, auc: float, deviation: float, trainings: int = 3) -> Case:
    """Return two methods of that many trainings each: their true AUCs differ between trainings by `deviation`."""
    case = design(rng, 1.0, 2 * trainings, 0.6)
    aucs = np.clip(auc + deviation * rng.normal(size=2 * trainings), 0.55, 0.995)
    gaps = np.array([gap_of(one) for one in aucs])
    return case._replace(scores=case.scores + (gaps - 1.0)[:, None] * case.label)


def influences(case: Case) -> list[Influence]:
    """Return each detector's clustered influences."""
    fake = case.label == 1
    places = (placements(one[~fake], one[fake]) for one in case.scores)
    n = int(case.cluster.max()) + 1
    return [influence(one, case.cluster[fake], case.cluster[~fake], n, case.people) for one in places]


def structure_of_case(case: Case, frames: int = 0) -> Structure:
    """Return the structure of a simulated dataset; a video has so many units, or (0) is a whole cluster."""
    video = np.arange(len(case.label)) // frames if frames else case.cluster
    _, first, units = np.unique(video, return_index=True, return_counts=True)
    return Structure(case.cluster[first], case.label[first], units, int(case.cluster.max()) + 1, case.people)


def powered(design: Design, aucs: tuple[float, float], alike: float, cases: int, seed: int = 1) -> float:
    """Return the share of cases in which a test at 5% tells two detectors with these true AUCs apart."""
    rng, gaps = np.random.default_rng(seed), np.array([gap_of(auc) for auc in aucs])
    found = 0
    for _ in range(cases):
        case = design(rng, 0.0, 2, alike)
        tested = auc_difference(*influences(case._replace(scores=case.scores + gaps[:, None] * case.label)), 0.95)
        found += tested is not None and tested.p <= 0.05
    return found / cases
