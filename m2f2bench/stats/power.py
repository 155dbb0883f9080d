"""Power of paired tests of AUCs: the variance of a difference on a dataset, from its structure and from components.

An AUC is a mean over fakes of their placements among the reals, and over reals of theirs among the fakes. So the
variance of a difference of two AUCs is a sum over pairs of units of one class: those of one video, those of one group
of people in different videos, and each unit with itself; and over pairs of a fake and a real of one group (Hoeffding's
projection; Obuchowski, Biometrics 53 (1997), sums the same products over clusters). Only the numbers of such pairs
depend on the dataset, and only the mean product of each kind, its covariance, on the detectors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np

from ..core.arrays import Bools, Codes, Floats
from ..core.records import FAKE, REAL
from ..core.rows import People
from .clustered import Influence, crossed_square, effective, spread
from .student import t_quantile

LEVEL, POWER = 0.05, 0.8
"""Two-sided level of the test, and the share of cases in which it is to find the difference."""


class OfClass(NamedTuple):
    """Covariances of the placements of two units of one class: a unit with itself, two of one video, and two of one
    group of people in different videos."""

    unit: float
    video: float
    group: float


class Components(NamedTuple):
    """What detectors bring: covariances of reals, of fakes, and of a real with a fake of one group of people."""

    real: OfClass
    fake: OfClass
    mixed: float

    @classmethod
    def mean(cls, found: Sequence[Components]) -> Components:
        """Return the mean of each covariance."""
        real, fake = (OfClass(*np.mean([getattr(one, name) for one in found], axis=0)) for name in ("real", "fake"))
        return cls(real, fake, float(np.mean([one.mixed for one in found])))

    def times(self, factor: float) -> Components:
        """Return all covariances multiplied by a factor."""
        real, fake = (OfClass(*(factor * one for one in own)) for own in (self.real, self.fake))
        return Components(real, fake, factor * self.mixed)


class Variances(Protocol):
    """What gives the components of a difference of two detectors with these AUCs, on the scale of asin √AUC."""

    def components(self, aucs: tuple[float, float]) -> Components:
        """Return the components."""


@dataclass(frozen=True)
class Measured:
    """Components that were measured on rows. On this scale they hardly depend on the AUCs."""

    found: Components

    def components(self, aucs: tuple[float, float]) -> Components:
        """Return the components."""
        return self.found


@dataclass(frozen=True)
class Structure:
    """What a dataset brings: `cluster` (0 … n_clusters - 1), `label` and number of `units` of each video, [V] each.

    `people` are those of clusters that share people. Both classes have a unit.
    """

    cluster: Codes
    label: Codes
    units: Codes
    n_clusters: int
    people: People | None = None

    def with_frames(self, most: int) -> Structure:
        """Return the structure with at most so many units of each video."""
        return replace(self, units=np.minimum(self.units, most))

    def only(self, kept: Bools) -> Structure:
        """Return the structure of some videos, bool [V]."""
        return replace(self, cluster=self.cluster[kept], label=self.label[kept], units=self.units[kept])

    def per_cluster(self, label: int, power: int = 1) -> Floats:
        """Return the sums over each cluster's videos of one class of their units, or of the squares; float64 [C]."""
        kept = self.label == label
        return np.bincount(self.cluster[kept], self.units[kept].astype(np.float64) ** power, self.n_clusters).astype(
            np.float64
        )

    @property
    def groups(self) -> int:
        """The number of clusters with a unit; of people, if clusters share people."""
        held = np.bincount(self.cluster, self.units, self.n_clusters) > 0
        if self.people is None:
            return int(held.sum())
        return len(np.unique(self.people.person[held[self.people.cluster]]))

    def counts(self, label: int) -> int:
        """Return the number of units of a class."""
        return int(self.units[self.label == label].sum())


def variance(of: Structure, components: Components) -> float:
    """Return the variance of an AUC, or of a difference of two, on a dataset of this structure."""
    sums = {label: of.per_cluster(label) for label in (REAL, FAKE)}
    total = 0.0
    for label, own in ((REAL, components.real), (FAKE, components.fake)):
        n, in_video = float(sums[label].sum()), float(of.per_cluster(label, 2).sum())
        in_group = _square(sums[label], of.people)
        found = n * (own.unit - own.video) + in_video * (own.video - own.group) + in_group * own.group
        total += found / n**2
    mixed = _mixed(sums[REAL], sums[FAKE], of.people)
    total += 2.0 * mixed * components.mixed / float(sums[REAL].sum() * sums[FAKE].sum())
    return max(total, 0.0)


def freedom(of: Structure, components: Components) -> float:
    """Return the degrees of freedom that the test (`clustered.auc_difference`) has on such a dataset, on average."""
    influences, shares = {}, {}
    for label, own in ((REAL, components.real), (FAKE, components.fake)):
        sums = of.per_cluster(label)
        found = sums * (own.unit - own.video) + of.per_cluster(label, 2) * (own.video - own.group)
        influences[label] = np.sqrt(np.maximum(found + sums**2 * own.group, 0.0)) / sums.sum()
        shares[label] = sums / sums.sum()
    expected = Influence(0.5, influences[FAKE], influences[REAL], shares[FAKE], shares[REAL], of.people)
    return spread(influences[FAKE], influences[REAL], expected).freedom


def effective_groups(of: Structure, label: int) -> float:
    """Return the effective number of clusters (of people, if clusters share them) of a class."""
    sums = of.per_cluster(label)
    return effective(sums if of.people is None else of.people.per_person(sums))


def quantiles(degrees: float, level: float = LEVEL) -> float:
    """Return how many standard errors a difference must have: 2.80 with many clusters, more with few.

    It is the sum of the quantiles of t at 1 - level / 2 and at POWER.
    """
    return t_quantile(1.0 - level / 2.0, degrees) + t_quantile(POWER, degrees)


def smallest_difference(of: Structure, components: Components) -> float:
    """Return the difference that a test at 5% finds in 80% of cases, on the scale of the components."""
    return quantiles(freedom(of, components)) * math.sqrt(variance(of, components))


def smallest_from(of: Structure, auc: float, model: Variances) -> tuple[float, Components]:
    """Return how much worse than `auc` another detector must be to be told apart in 80% of cases.

    The components are those on the scale of asin √AUC, on which the test is made, at the two AUCs. A detector is never
    worse than chance: what exceeds this cannot be found at all, and is infinite.
    """
    top, low, high = math.asin(math.sqrt(auc)), 0.0, auc - 0.5

    def enough(gap: float) -> bool:
        apart = top - math.asin(math.sqrt(auc - gap))
        return apart >= smallest_difference(of, model.components((auc, auc - gap)))

    if not enough(high):
        return math.inf, model.components((auc, 0.5))
    for _ in range(40):
        middle = (low + high) / 2.0
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high, model.components((auc, auc - high))


def times_needed(of: Structure, components: Components, wanted: float) -> float:
    """Return how many times as many people, with videos as those here, find a difference of `wanted` in 80% of cases.

    `wanted` is on the scale of the components. Below 1 fewer are enough. Variance falls with their number, and the
    degrees of freedom grow with it.
    """
    found, degrees = variance(of, components), freedom(of, components)

    def reached(times: float) -> float:
        return quantiles(max(times * (degrees + 1.0) - 1.0, 0.5)) * math.sqrt(found / times)

    low, high = 1e-3, 1.0
    while reached(high) > wanted:
        high *= 2.0
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if reached(middle) <= wanted else (middle, high)
    return high


def from_placements(
    fake: Floats,
    real: Floats,
    fakes: tuple[Codes, Codes],
    reals: tuple[Codes, Codes],
    n_clusters: int,
    people: People | None = None,
) -> Components:
    """Return the components that scored units have.

    `fake` [M] and `real` [N] are placements, or differences of two detectors' placements; `fakes` and `reals` are
    (video, cluster) of each, as codes. Two units are of one group if their clusters are the same, or have one of
    `people` in common. Where no video has two units they are taken to be alike; where no group has two videos of a
    class, these have nothing in common.
    """
    own = (real - real.mean(), fake - fake.mean())
    codes = (reals, fakes)
    sums = [np.asarray(np.bincount(c[1], v, n_clusters), dtype=np.float64) for v, c in zip(own, codes, strict=True)]
    counts = [np.bincount(c[1], minlength=n_clusters).astype(np.float64) for c in codes]
    of_class = [_of_class(own[i], codes[i][0], _square(sums[i], people), _square(counts[i], people)) for i in range(2)]
    pairs = _mixed(counts[0], counts[1], people)
    mixed = _mixed(sums[0], sums[1], people) / pairs if pairs else 0.0
    return Components(of_class[0], of_class[1], mixed)


def _square(sums: Floats, people: People | None) -> float:
    return float((sums**2).sum()) if people is None else crossed_square(sums, people)


def _mixed(a: Floats, b: Floats, people: People | None) -> float:
    """Return the sum of a real's times a fake's over pairs in one cluster, or with a person in common."""
    if people is None:
        return float((a * b).sum())
    return float((people.per_person(a) * people.per_person(b)).sum())


def _of_class(values: Floats, video: Codes, in_groups: float, group_pairs: float) -> OfClass:
    n, alone = float(len(values)), float((values**2).sum())
    in_videos = float((np.bincount(video, values) ** 2).sum())
    video_pairs = float((np.bincount(video).astype(np.float64) ** 2).sum())
    unit = alone / n
    return OfClass(
        unit,
        (in_videos - alone) / (video_pairs - n) if video_pairs > n else unit,
        (in_groups - in_videos) / (group_pairs - video_pairs) if group_pairs > video_pairs else 0.0,
    )


@dataclass(frozen=True)
class Model:
    """Two detectors whose scores are normal: what their units have in common, without any rows.

    `group` is the share of a score's variance that is a person's, `video` the further share that units of one video
    have in common; `alike` is the correlation of the two detectors in every part. `crossed`: fakes show two people, so
    that two of them with one person in common share half of `group`.
    """

    alike: float
    group: float
    video: float
    crossed: bool = False

    def components(self, aucs: tuple[float, float]) -> Components:
        """Return the components of the difference of two detectors with these AUCs, on the scale of asin √AUC."""
        h = _normal_quantiles(aucs)
        slopes = [0.5 / math.sqrt(auc * (1.0 - auc)) for auc in aucs]

        def difference(shared: float) -> float:
            parts = zip(h, aucs, slopes, strict=True)
            own = sum(s * s * (_together(x, x, shared / 2.0) - a * a) for x, a, s in parts)
            both = _together(h[0], h[1], self.alike * shared / 2.0) - aucs[0] * aucs[1]
            return own - 2.0 * slopes[0] * slopes[1] * both

        unit, video = difference(1.0), difference(self.group + self.video)
        real = OfClass(unit, video, difference(self.group))
        if not self.crossed:
            return Components(real, real, difference(-self.group))
        fake = OfClass(unit, video, difference(self.group / 2.0))
        return Components(real, fake, difference(-self.group / math.sqrt(2.0)))


def _normal_quantiles(shares: Sequence[float]) -> tuple[float, float]:
    from scipy.special import ndtri

    return float(ndtri(shares[0])), float(ndtri(shares[1]))


def _together(x: float, y: float, correlation: float) -> float:
    """Return P(X < x, Y < y) of standard normal X and Y with a correlation, by Owen's T function."""
    from scipy.special import ndtr, owens_t

    if abs(correlation) < 1e-12:
        return float(ndtr(x) * ndtr(y))
    if abs(x - y) < 1e-12:  # Owen (1956): P = Φ(x) - 2 T(x, √((1 - ρ) / (1 + ρ)))
        return float(ndtr(x) - 2.0 * owens_t(x, math.sqrt((1.0 - correlation) / (1.0 + correlation))))
    from scipy.stats import multivariate_normal

    return float(multivariate_normal.cdf([x, y], cov=[[1.0, correlation], [correlation, 1.0]]))
