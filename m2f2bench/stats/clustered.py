"""Clustered DeLong: intervals and tests of AUCs whose units belong together, for few and unequal clusters too.

Obuchowski, "Nonparametric analysis of clustered ROC curve data", Biometrics 53 (1997). An AUC differs from the truth
by the sum of its clusters' influences: of a cluster's fakes, Σ (V10 - A) / M; of its reals, Σ (V01 - A) / N, with
DeLong's placements V10 and V01, M fakes and N reals. Four things make it hold with few clusters, which thousands of
simulated cases of each design in `benchmarks/inference.py` show:

- t quantiles with Satterthwaite's degrees of freedom: those of one class are one less than its effective number of
  clusters, 1 / Σ m² with their shares m of its units (Bell & McCaffrey, Survey Methodology 28, 2002, for units that are
  as different in a cluster as from others; where they are all alike there are fewer).
- Each influence is divided by √(1 - m), since a large cluster pulls the AUC towards itself (the same; "CR2"). With
  clusters of equal size this is the factor I / (I - 1).
- A prior: a small share of the variance that one cluster would have alone. Without it the interval is too short where
  by luck no cluster has errors.
- A scale on which the estimate and its variance depend little on each other: logit for an interval of one AUC, arcsine
  for a difference of two, which is also defined at 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..core.arrays import Codes, Floats
from ..core.rows import People
from .delong import Placements
from .student import t_above, t_quantile

PRIOR = 0.2
"""Of an interval: the variance of one cluster alone that is added, divided by the squared number of clusters."""
TEST_PRIOR = 0.4
"""The same of a difference. The correlation of the two AUCs stays what it is."""
MARGIN_PRIOR = 2.0
"""The same of the test of a margin, which needs more where both AUCs are near 1: with 0.4 a detector that is worse by
the margin itself passes in 8 to 12% of cases with 20 to 40 videos at an AUC of .98, with 2 in at most 5.5%."""
KNOWN = 1.0 / 3.0
"""Share of the clusters' chance between trainings that counts as known. With 0.2, two equal methods of three trainings
each are told apart too seldom where people are few (2.5% at 5% with 30 people), with 0.5 too often (5 to 8%)."""
NO_SPREAD = 1e-12


@dataclass(frozen=True)
class Influence:
    """An AUC with each cluster's influence on it and share in it, float64 [C] each: fakes and reals apart."""

    value: float
    fake: Floats
    real: Floats
    fake_share: Floats
    real_share: Floats
    people: People | None = None


class Spread(NamedTuple):
    """Variance of an AUC or a difference, and its degrees of freedom."""

    variance: float
    freedom: float


def influence(
    places: Placements, fake_cluster: Codes, real_cluster: Codes, n_clusters: int, people: People | None = None
) -> Influence:
    """Return the influences of clusters, 0 … C - 1, from the placements of M fakes and N reals with their clusters."""
    m, n = len(places.fake), len(places.real)
    value = float(places.fake.mean())
    return Influence(
        value,
        np.bincount(fake_cluster, places.fake - value, n_clusters) / m,
        np.bincount(real_cluster, places.real - value, n_clusters) / n,
        np.bincount(fake_cluster, minlength=n_clusters) / m,
        np.bincount(real_cluster, minlength=n_clusters) / n,
        people,
    )


def mean_influence(parts: Sequence[Influence]) -> Influence:
    """Return the influences on the mean of several AUCs over the same clusters, such as those of each manipulation."""
    names = ("fake", "real", "fake_share", "real_share")
    means = {name: np.mean([getattr(part, name) for part in parts], axis=0) for name in names}
    return Influence(float(np.mean([part.value for part in parts])), people=parts[0].people, **means)


def effective(shares: Floats) -> float:
    """Return the effective number of clusters, 1 / Σ m² of shares [C] with sum 1: their number if they are equal."""
    total = float(shares.sum())
    return total * total / float((shares**2).sum()) if total > 0.0 else 0.0


def _freedom(shares: Floats) -> float:
    """Return the degrees of freedom of a variance over clusters with these shares; at least one half."""
    return max(effective(shares) - 1.0, 0.5)


def _leverage(shares: Floats) -> Floats:
    return np.asarray(1.0 / np.sqrt(np.maximum(1.0 - shares, 1e-9)))


def spread(fake: Floats, real: Floats, of: Influence) -> Spread:
    """Return the variance of a sum of influences `fake` and `real` [C] over the clusters of `of`."""
    if of.people is not None:
        return _crossed(fake, real, of, of.people)
    a, b = fake * _leverage(of.fake_share), real * _leverage(of.real_share)
    v1, v0 = float((a**2).sum()), float((b**2).sum())
    parts = v1**2 / _freedom(of.fake_share) + v0**2 / _freedom(of.real_share)
    freedom = (v1 + v0) ** 2 / parts if parts > 0.0 else min(map(_freedom, (of.fake_share, of.real_share)))
    if ((of.fake_share > 0.0) & (of.real_share > 0.0)).any():
        freedom = min(freedom, _freedom(of.fake_share + of.real_share))
    return Spread(float(((a + b) ** 2).sum()), freedom)


def _crossed(fake: Floats, real: Floats, of: Influence, people: People) -> Spread:
    """Return the variance where clusters share people.

    Two clusters are correlated if they have a person in common. So the squares and products of all such pairs are
    summed: over people the square of all that each is in, less what was counted twice, the clusters of two people
    (Aronow, Samii & Assenova, Political Analysis 23, 2015). It is never less than a quarter of the former, since it
    could become negative. The leverage is that of people; the degrees of freedom are half of theirs, since what a fake
    tells is told of two people at once.
    """
    sums, held = np.zeros(people.n), np.zeros(people.n)
    for part, share in ((fake, of.fake_share), (real, of.real_share)):
        own = people.per_person(share)
        sums += people.per_person(part) * _leverage(own)
        held += own
    return Spread(crossed_square(fake + real, people, sums), _freedom(held / float(held.sum())) / 2.0)


def crossed_square(values: Floats, people: People, sums: Floats | None = None) -> float:
    """Return the sum of products of `values` [C] over all pairs of clusters with a person in common.

    `sums` replaces the sums over each person's clusters.
    """
    times = np.bincount(people.cluster, minlength=len(values))
    twice = float(((times - 1) * values**2)[times > 1].sum())
    one = float(((people.per_person(values) if sums is None else sums) ** 2).sum())
    return max(one - twice, one / 4.0)


def counts_of(of: Influence) -> tuple[float, float]:
    """Return the effective numbers of clusters of reals and of fakes; of people, if clusters share people."""
    shares = (of.real_share, of.fake_share)
    real, fake = (effective(one if of.people is None else of.people.per_person(one)) for one in shares)
    return real, fake


def _prior(of: Influence) -> float:
    """Return the mean over the classes of 1 / n² with the effective numbers n of clusters (of people, if crossed)."""
    return sum(1.0 / max(count, 1.0) ** 2 for count in counts_of(of)) / 2.0


def auc_interval(of: Influence, level: float, trainings: Between | None = None) -> tuple[float, float]:
    """Return the interval of an AUC strictly between 0 and 1 at `level`, e.g. 0.95: t of log(A / (1 - A)).

    Scores that are all equal have the AUC 0.5 for certain. With `trainings`, `of` is the mean over them.
    """
    from scipy.special import expit

    value = of.value
    if abs(value - 0.5) < NO_SPREAD and not of.fake.any() and not of.real.any():
        return value, value
    found, bend = spread(of.fake, of.real, of), value * (1.0 - value)
    found = Spread(found.variance + PRIOR * bend * _prior(of), found.freedom)
    if trainings is not None:
        found = with_trainings(found, [trainings])
    reach = t_quantile(0.5 + level / 2.0, found.freedom) * math.sqrt(found.variance) / bend
    centre = math.log(value / (1.0 - value))
    return float(expit(centre - reach)), float(expit(centre + reach))


class OnScale(NamedTuple):
    """Two AUCs on the scale of asin √AUC, their variances there (with MARGIN_PRIOR) and their covariance."""

    first: float
    second: float
    first_variance: float
    second_variance: float
    shared: float


class Tested(NamedTuple):
    """A difference of two AUCs with its interval, two-sided p, and standard error on the scale of the AUC.

    `apart` and `deviation`: the difference and its standard error on the scale of asin √AUC; `on_scale`: both AUCs
    there, for the test of a margin.
    """

    ci: tuple[float, float]
    p: float
    error: float
    freedom: float
    apart: float
    deviation: float
    on_scale: OnScale


def auc_difference(first: Influence, second: Influence, level: float) -> Tested | None:
    """Return the t test of the difference of two AUCs over the same clusters; None if neither has any spread.

    It is one of arcsines of square roots: the interval is mapped back by the mean slope between both AUCs, and holds
    zero just if p is above 1 - level.
    """
    a, b = _slope(first), _slope(second)
    both = spread(first.fake * a - second.fake * b, first.real * a - second.real * b, first)
    one, other = spread(first.fake * a, first.real * a, first), spread(second.fake * b, second.real * b, second)
    if max(one.variance, other.variance) < NO_SPREAD:
        return None
    prior = TEST_PRIOR * _prior(first) / 4.0
    variance = _with_prior(one.variance, other.variance, both.variance, prior)
    if variance < NO_SPREAD:
        return None
    x, y = (math.asin(math.sqrt(min(max(one.value, 0.0), 1.0))) for one in (first, second))
    difference = first.value - second.value
    middle = math.sin(x + y)  # the mean slope of sin² between x and y is this times sin(x - y) / (x - y)
    scale = middle * (math.sin(x - y) / (x - y) if abs(x - y) > NO_SPREAD else 1.0)
    error = math.sqrt(variance)
    reach = t_quantile(0.5 + level / 2.0, both.freedom) * error * scale
    p = 2.0 * t_above(abs(x - y) / error, both.freedom)
    ci = (max(-1.0, difference - reach), min(1.0, difference + reach))
    return Tested(ci, p, error * scale, both.freedom, x - y, error, _on_scale(x, y, one, other, both, first))


def _on_scale(
    x: float, y: float, one: Spread, other: Spread, both: Spread, of: Influence, more: float = 0.0
) -> OnScale:
    """Return two AUCs on the scale with their variances; `more` is added to the variance of the difference."""
    prior = MARGIN_PRIOR * _prior(of) / 4.0
    v, w = one.variance + prior, other.variance + prior
    shared = (v + w - _with_prior(one.variance, other.variance, both.variance, prior)) / 2.0
    v, w = v + max(more, 0.0) / 2.0, w + max(more, 0.0) / 2.0
    most = (1.0 - 1e-9) * math.sqrt(v * w)
    return OnScale(x, y, v, w, min(max(shared - min(more, 0.0) / 2.0, -most), most))


def _slope(of: Influence) -> float:
    """Return the slope of asin(√A); 0 at the ends, where no cluster has any influence."""
    bend = of.value * (1.0 - of.value)
    return 0.5 / math.sqrt(bend) if bend > NO_SPREAD else 0.0


def _with_prior(one: float, other: float, both: float, prior: float) -> float:
    """Return the variance of a difference after `prior` was added to each variance, with the same correlation."""
    shared = (one + other - both) / 2.0
    r = min(max(shared / math.sqrt(one * other), -1.0), 1.0) if min(one, other) > 0.0 else 0.0
    one, other = one + prior, other + prior
    return one + other - 2.0 * r * math.sqrt(one * other)


def trainings_difference(
    first: Sequence[Influence], second: Sequence[Influence], level: float, fixed: tuple[bool, bool] = (False, False)
) -> Tested | None:
    """Return the t test of the mean AUCs of two methods, each trained several times and judged on the same clusters.

    See `with_trainings`. A method that was trained once is taken to vary between trainings as the other does, unless it
    is `fixed`: a control, or weights that are compared as they are. None if nothing varies.
    """
    if len(first) == len(second) == 1:
        return auc_difference(first[0], second[0], level)
    (x, one, here), (y, other, there) = (_on_arcsine(own) for own in (first, second))
    both = spread(one.fake - other.fake, one.real - other.real, one)
    alone = [spread(mean.fake, mean.real, mean) for mean in (one, other)]
    variance = _with_prior(alone[0].variance, alone[1].variance, both.variance, TEST_PRIOR * _prior(one) / 4.0)
    varied = [between for between, still in zip((here, there), fixed, strict=True) if not still]
    total, freedom = with_trainings(Spread(variance, both.freedom), varied)
    if total < NO_SPREAD:
        return None
    gap = float(np.mean([own.value for own in first]) - np.mean([own.value for own in second]))
    scale = abs(gap / (x - y)) if abs(x - y) > 1e-9 else math.sin(x + y)
    error = math.sqrt(total)
    reach = t_quantile(0.5 + level / 2.0, freedom) * error * scale
    p = 2.0 * t_above(abs(x - y) / error, freedom)
    ci = (max(-1.0, gap - reach), min(1.0, gap + reach))
    on_scale = _on_scale(x, y, alone[0], alone[1], both, one, total - variance)
    return Tested(ci, p, error * scale, freedom, x - y, error, on_scale)


class Between(NamedTuple):
    """Trainings of one method: their number, their variance, and the part of it that is chance of the clusters."""

    n: int
    variance: float
    chance: float


def with_trainings(clusters: Spread, between: Sequence[Between]) -> Spread:
    """Return the variance of a difference of means over trainings: that over clusters, and that between trainings.

    The variance between trainings is pooled over the methods. It holds the chance of which clusters were judged, which
    is in the former already: this part is subtracted. The sum is at least half of the former. Its degrees of freedom
    are Satterthwaite's, of the variance between trainings less a part of that chance (KNOWN).
    """
    degrees = float(sum(one.n - 1 for one in between))
    if degrees == 0.0:
        return clusters
    pooled = sum((one.n - 1) * one.variance for one in between) / degrees
    chance = sum((one.n - 1) * one.chance for one in between) / degrees
    times = sum(1.0 / one.n for one in between)
    total = max(clusters.variance + times * (pooled - chance), clusters.variance / 2.0)
    uncertain = times * max(pooled - KNOWN * chance, 0.0)
    below = clusters.variance**2 / clusters.freedom + uncertain**2 / degrees
    return Spread(total, min(max(total**2 / below, 1.0), clusters.freedom + degrees) if below > 0.0 else degrees)


def trainings_interval(trainings: Sequence[Influence], level: float) -> tuple[float, float]:
    """Return the interval of the mean AUC of several trainings of one method: over clusters and over trainings."""
    mean = mean_influence(trainings)
    return auc_interval(
        mean, level, _between(trainings, mean, [1.0] * len(trainings), [one.value for one in trainings])
    )


def _on_arcsine(trainings: Sequence[Influence]) -> tuple[float, Influence, Between]:
    """Return the mean of asin(√A) over trainings, the influences on it, and what varies between trainings."""
    mean, slopes = mean_influence(trainings), [_slope(own) for own in trainings]
    fake = np.mean([own.fake * slope for own, slope in zip(trainings, slopes, strict=True)], axis=0)
    real = np.mean([own.real * slope for own, slope in zip(trainings, slopes, strict=True)], axis=0)
    x = [math.asin(math.sqrt(min(max(own.value, 0.0), 1.0))) for own in trainings]
    found = Influence(mean.value, fake, real, mean.fake_share, mean.real_share, mean.people)
    return float(np.mean(x)), found, _between(trainings, found, slopes, x)


def _between(
    trainings: Sequence[Influence], mean: Influence, slopes: Sequence[float], values: Sequence[float]
) -> Between:
    """Return the variance of `values` between trainings, on the scale that has these slopes."""
    n = len(trainings)
    if n < 2:
        return Between(1, 0.0, 0.0)
    chance = 0.0
    for own, slope in zip(trainings, slopes, strict=True):
        chance += spread(own.fake * slope - mean.fake, own.real * slope - mean.real, mean).variance / (n - 1)
    return Between(n, float(np.var(values, ddof=1)), chance)
