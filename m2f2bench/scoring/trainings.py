"""Methods that were trained several times: their differences over people and over trainings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..core.arrays import Floats
from ..core.errors import ScoreError
from ..core.places import without_folders
from ..metrics.detection.clusters import too_few
from ..metrics.detection.intervals import refused
from ..metrics.detection.margins import margin_of
from ..metrics.detection.paired import Difference, Judged, Paired
from ..metrics.detection.values import all_metrics
from ..metrics.metric import DELONG
from ..metrics.names import OVERALL
from ..metrics.registry import metric_of
from ..results.signature import DETECTOR, joined_signature, rows_hash, short
from ..stats.clustered import Between, Spread, trainings_difference, with_trainings
from ..stats.margin import Scaled
from .compare_rows import refuse_incomparable, untouched_notes
from .comparison import Comparison, Pair, chosen_metrics, pairs_of
from .correction import corrected
from .detection import ScoredRows, described_clusters

SEED = re.compile(r"[-_.+ ]?seed[-_=]?\d+$", re.IGNORECASE)
"""The end of a name that tells trainings of one method apart."""
NO_SPREAD = 1e-12
OVER = ", over trainings"
"""The end of a test's name, if it is over people and trainings."""
ASIDE = ("name", "description", "weights", "licence", "reference", "training.seed")
"""Keys of a detector's card on which trainings of one method may differ."""
UNKNOWN = ("none", "unknown", "None", "")
"""What a signature's `seed` is if nobody knows it."""


class Training(NamedTuple):
    """One training of a method: its name, seed (empty if unknown), the hash of its scores, its stored settings."""

    name: str
    seed: str
    scores: str
    settings: dict[str, Any]


def method_of(name: str) -> str:
    """Return a detector's name without its seed: trainings of one method have the same."""
    return SEED.sub("", name) or name


def is_training(name: str, card: Mapping[str, Any] | None) -> bool | None:
    """Return whether a detector is a training, by its card and its name; None if neither says so.

    A card with weights, settings of training and datasets that were trained on is a training, and so is a name with a
    seed. Controls, untrained detectors and the weights of others are none.
    """
    if method_of(name) != name:
        return True
    return bool(card.get("weights") and card.get("training") and card.get("training_datasets")) if card else None


def training_of(name: str, card: Mapping[str, Any] | None, measured: Mapping[str, Any], scores: str) -> Training:
    """Return what is known of a training: `card` is the detector's, `measured` has the signature's fields."""
    number = re.search(r"\d+$", name)
    seed = str(measured.get("seed", ""))
    seed = number[0] if seed in UNKNOWN and number and method_of(name) != name else "" if seed in UNKNOWN else seed
    settings = dict(_flat(card or {}))
    settings |= {key: measured[key] for key in ("prep", "prec") if measured.get(key, "unknown") != "unknown"}
    return Training(name, seed, scores, {key: value for key, value in settings.items() if key not in ASIDE})


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield before + key, value


def refuse_unlike(method: str, own: Sequence[Training]) -> None:
    """Raise ScoreError unless these are trainings of one method: other scores, other seeds, the same settings."""
    scores, seeds = ([one for one in listed if one] for listed in zip(*((t.scores, t.seed) for t in own), strict=True))
    if len(set(scores)) < len(scores):
        raise ScoreError(f"'{method}' has the same scores in two of its {len(own)} trainings: give each training once")
    if twice := next((seed for seed in seeds if seeds.count(seed) > 1), ""):
        named = " and ".join(f"'{one.name}'" for one in own if one.seed == twice)
        raise ScoreError(f"'{method}' has two trainings of seed {twice} ({named}): give each seed once")
    first = own[0]
    for other in own[1:] if first.settings else ():
        for key in dict.fromkeys([*first.settings, *other.settings]) if other.settings else ():
            one, two = first.settings.get(key), other.settings.get(key)
            if one != two:
                raise ScoreError(
                    f"'{first.name}' and '{other.name}' are no two trainings of one method: they differ in {key} "
                    f"({one} / {two}), and may differ in the seed alone; give them other names"
                )


def _training(name: str, one: ScoredRows) -> Training:
    return training_of(name, card_of(one), one.measured, rows_hash(one.rows))


def card_of(one: ScoredRows) -> dict[str, Any] | None:
    """Return the card of the detector of these rows, without folders; None if it is not known."""
    return without_folders(one.origin.card.model_dump(mode="json")) if one.origin.card else None


def grouped(names: Sequence[str], rows: Sequence[ScoredRows]) -> dict[str, list[ScoredRows]]:
    """Return each method's trainings. Raises ScoreError if one training is given twice, or no method has several."""
    found: dict[str, list[ScoredRows]] = {}
    for name, one in zip(names, rows, strict=True):
        found.setdefault(method_of(name), []).append(one)
    for name, own in found.items():
        called = [one for one in names if method_of(one) == name]
        refuse_unlike(name, [_training(each, one) for each, one in zip(called, own, strict=True)])
    if len(found) < 2:
        raise ScoreError(f"all {len(rows)} are trainings of '{next(iter(found))}': give those of another method too")
    if len(found) == len(rows):
        raise ScoreError(
            f"no two of {', '.join(map(repr, names))} are trainings of one method: name them X-seed0, X-seed1"
        )
    return found


def by_pattern(
    patterns: Sequence[tuple[str, str]], names: Sequence[str], rows: Sequence[ScoredRows]
) -> dict[str, list[ScoredRows]]:
    """Return each method's trainings: those of one pattern are of one method, and all others are methods of their own.

    `patterns` has for each of the rows the pattern that matched it and the name it was given, both empty without one.
    Raises ScoreError if a pattern matches several methods, or as `refuse_unlike`.
    """
    found: dict[str, list[ScoredRows]] = {}
    for pattern, given in dict.fromkeys(patterns):
        own = [(name, one) for name, one, by in zip(names, rows, patterns, strict=True) if by == (pattern, given)]
        if not pattern:
            for name, one in own:
                if name in found:
                    raise ScoreError(f"two detectors are named '{name}': give a mapping {{name: data}}")
                found[name] = [one]
            continue
        called = method_in(pattern, [name for name, _ in own])
        refuse_unlike(called, [_training(name, one) for name, one in own])
        called = given or (pattern if called in found else called)
        if called in found:
            raise ScoreError(f"'{called}' is given twice: give each detector once")
        found[called] = [one for _, one in own]
    if len(found) < 2:
        raise ScoreError(f"all {len(rows)} are trainings of '{next(iter(found))}': give those of another method too")
    return found


def method_in(pattern: str, names: Sequence[str]) -> str:
    """Return the one method whose trainings have these names. Raises ScoreError if there are several."""
    methods = list(dict.fromkeys(map(method_of, names)))
    if len(methods) > 1:
        listed = ", ".join(f"'{name}'" for name in methods[:3]) + ", …" * (len(methods) > 3)
        raise ScoreError(
            f"'{pattern}' matches {len(methods)} detectors ({listed}): one pattern is the trainings of one detector, "
            f"which have one name, or X-seed0, X-seed1"
        )
    return methods[0]


def compare_trainings(
    methods: Mapping[str, Sequence[ScoredRows]],
    metrics: Sequence[str] = (),
    against: str = "",
    margin: float | None = None,
) -> Comparison:
    """Compare methods by the means over their trainings; see `compare`."""
    first = next(iter(methods.values()))[0]
    shared = [
        m for m in first.protocol.metrics if all(m in e.protocol.metrics for own in methods.values() for e in own)
    ]
    primary = first.protocol.main_metric
    names = all_metrics(chosen_metrics(metrics, shared, primary), first.cut)
    for name, own in methods.items():
        for number, one in enumerate(own):
            refuse_incomparable(next(iter(methods)), first, f"{name} ({number + 1})", one, names)
    judged = {
        name: [Judged(one.units, one.cut, names, first.protocol.bootstrap) for one in own]
        for name, own in methods.items()
    }
    fixed = {name: is_fixed(own) for name, own in methods.items()}
    first_two = [own[0] for own in judged.values()][:2]
    keys = Paired(first_two[0], first_two[1]).shared
    pairs = [
        Pair(a, b, tuple(mean_difference(judged[a], judged[b], *key, (fixed[a], fixed[b]), margin) for key in keys))
        for a, b in pairs_of(list(judged), against)
    ]
    compared = Comparison(
        dataset=str(first.measured["data"]),
        split=str(first.measured["split"]),
        protocol=first.protocol.name,
        signature=joined_signature(one.measured for own in methods.values() for one in own),
        detectors={name: short(own[0].measured, DETECTOR) for name, own in methods.items()},
        metrics=tuple(names),
        level=first.protocol.bootstrap.level,
        oracle=first.cut.oracle,
        clusters=described_clusters(first.units),
        pairs=tuple(pairs),
        trainings={name: _summary(own, names[0]) | {"fixed": fixed[name]} for name, own in judged.items()},
        primary=primary,
        margin=margin,
        notes=tuple(untouched_notes({name: one for name, own in methods.items() for one in own[:1]})),
    )
    return corrected([compared])[0]


def is_fixed(own: Sequence[ScoredRows]) -> bool:
    """Return whether rows are of a detector that is known to be no training: it varies between no trainings."""
    return len(own) == 1 and is_training(own[0].detector, card_of(own[0])) is False


def _summary(own: Sequence[Judged], metric: str) -> dict[str, Any]:
    values = [one.values[OVERALL][metric] for one in own]
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"n": len(own), "metric": metric, "values": values, "mean": float(np.mean(values)), "deviation": deviation}


def mean_difference(
    first: Sequence[Judged],
    second: Sequence[Judged],
    group: str,
    name: str,
    fixed: tuple[bool, bool] = (False, False),
    margin: float | None = None,
) -> Difference:
    """Return the difference of the means over trainings in one metric of one group, tested.

    A detector with one training is taken to vary between trainings as the other does, unless it is `fixed`.
    """
    a, b = ([one.values[group][name] for one in own] for own in (first, second))
    if np.isnan([*a, *b]).any():
        return Difference(group, name, None, None, reason="not defined for every training")
    found = Difference(group, name, float(np.mean(a)), float(np.mean(b)), float(np.mean(a) - np.mean(b)))
    units, level = first[0].units, first[0].resampling.level
    members = first[0].members(group)
    if metric_of(name).test == DELONG:
        if why := too_few(units, members):
            return replace(found, reason=why)
        tested = trainings_difference(
            [one.influence(group) for one in first], [one.influence(group) for one in second], level, fixed
        )
        if tested is None:
            return replace(found, reason="no interval: no training differs from another, nor one cluster")
        scaled = Scaled(tested.apart, tested.deviation, tested.freedom, tested.on_scale)
        found = replace(found, ci=tested.ci, p=tested.p, test=DELONG + OVER, scaled=scaled)
    else:
        found = _resampled(found, first, second, fixed)
    if margin is None or found.scaled is None:
        return found
    return replace(found, margin=margin_of(found.scaled, margin, name))


def _resampled(
    found: Difference, first: Sequence[Judged], second: Sequence[Judged], fixed: tuple[bool, bool]
) -> Difference:
    """Return the t test from resamples of clusters, and the deviation between trainings."""
    from scipy.stats import t

    group, name = found.group, found.metric
    drawn = [[one.drawn.get(group, {}).get(name) for one in own] for own in (first, second)]
    if any(one is None for own in drawn for one in own):
        return found
    one, other = (np.array(own, dtype=np.float64) for own in drawn)
    gap = one.mean(axis=0) - other.mean(axis=0)
    if why := refused(name, first[0].members(group), gap):
        return replace(found, reason=why)
    groups = first[0].groups(group, name)
    between = [
        resampled_between([judged.values[group][name] for judged in own], values, groups)
        for own, values, still in ((first, one, fixed[0]), (second, other, fixed[1]))
        if not still
    ]
    variance, freedom = with_trainings(resampled_spread(gap, groups), between)
    if variance < NO_SPREAD:
        return replace(found, reason="no interval: all resamples agree")
    difference, error = found.difference or 0.0, float(np.sqrt(variance))
    reach = float(t.ppf(0.5 + first[0].resampling.level / 2.0, freedom)) * error
    p = 2.0 * float(t.sf(abs(difference) / error, freedom))
    ci, scaled = (difference - reach, difference + reach), Scaled(difference, error, freedom)
    return replace(found, ci=ci, p=p, test="resampling" + OVER, scaled=scaled)


def resampled_spread(drawn: Floats, groups: float) -> Spread:
    """Return the variance of a value from those in each resample [B] of so many clusters, and its degrees of freedom.

    Resamples divide by the number n of clusters and not by n - 1 (see `bootstrap.expanded_tail`): this is made good.
    """
    n = max(groups, 2.0)
    return Spread(float(np.nanvar(drawn, ddof=1)) * n / (n - 1.0), n - 1.0)


def resampled_between(values: Sequence[float], drawn: Floats, groups: float) -> Between:
    """Return how a metric's values vary between trainings, given those in each resample [n, B] of so many clusters."""
    n = len(values)
    if n < 2:
        return Between(n, 0.0, 0.0)
    chance = sum(resampled_spread(one, groups).variance for one in drawn - drawn.mean(axis=0)) / (n - 1)
    return Between(n, float(np.var(values, ddof=1)), chance)
