"""What a comparison found, in one sentence: who is better than whom, by how much, or that it cannot be told."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ..metrics.detection.margins import EQUIVALENT, FIRST, SECOND, UNDECIDED, Margin
from ..metrics.detection.paired import Difference, p_text
from ..metrics.registry import at_threshold, known_metric, title
from .comparison import Comparison

LISTED = 3
"""Pairs that the sentence names at most."""
Name = Callable[[str], str]
Tested = tuple[str, str, Difference]


def finding(found: Comparison, name: Name = str) -> str:
    """Return one sentence on the primary metric, over all manipulations together (else on the first that is compared).

    Two detectors are told apart if p, after the correction, is at most 1 - the intervals' level. `name` turns a
    detector's name into what may stand in the text.
    """
    metric = found.main
    pairs = [
        (name(p.first), name(p.second), d)
        for p in found.pairs
        for d in p.differences
        if d.metric == metric and not d.group
    ]
    tested = [(a, b, d) for a, b, d in pairs if d.corrected is not None]
    named = title(metric) + " at an oracle threshold" * (found.oracle and at_threshold(metric))
    if not tested:
        why = next((f" ({d.reason})" for _, _, d in pairs if d.reason), "")
        return f"No test of {named} was possible{why}."
    parts = [_told(found, pairs, tested, named), _margins(tested), _exploratory(found)]
    return "; ".join(filter(None, parts)) + "."


def _told(found: Comparison, pairs: Sequence[Tested], tested: Sequence[Tested], named: str) -> str:
    """Return who is told apart from whom, or how large a difference would have been found."""
    limit = round(1 - found.level, 6)
    apart = [(a, b, d) for a, b, d in tested if (d.corrected or 0) <= limit and d.difference]
    apart.sort(key=lambda one: (-abs(one[2].difference or 0), one[:2]))
    if len(pairs) == 1:
        return _of_one(tested[0], named, bool(apart), found)
    after = f"(p ≤ {limit:g}".replace("0.", ".") + f"{correction(found)})"
    if not apart:
        widest = max(tested, key=lambda one: abs(one[2].difference or 0))
        return (
            f"The data tell apart no pair of {len(pairs)} in {named} {after}; the largest difference: "
            f"{_by(*widest, found.level)}{_smallest([d for _, _, d in tested])}"
        )
    rest = len(apart) - LISTED
    more = f"; and {rest} more" if rest > 0 else ""
    named_pairs = "; ".join(_by(*one, found.level) for one in apart[:LISTED])
    some = f"all {len(pairs)}" if len(apart) == len(pairs) else f"{len(apart)} of {len(pairs)}"
    return f"The data tell apart {some} pairs in {named} {after}: {named_pairs}{more}"


def correction(found: Comparison) -> str:
    """Return ` after Holm's correction …`, or the other one; empty for a single test."""
    if found.exploratory:
        return " after Benjamini and Hochberg's correction"
    tests, datasets = found.family.get("tests", len(found.pairs)), found.family.get("datasets", 1)
    if tests < 2:
        return ""
    return " after Holm's correction" + (f" for {tests} tests on {datasets} datasets" if datasets > 1 else "")


def _of_one(pair: Tested, named: str, apart: bool, found: Comparison) -> str:
    """Return the sentence on the only pair."""
    first, second, d = pair
    p = p_text(d.corrected or 0.0, d.corrected_bound) + correction(found)
    if apart:
        better, worse, by = _order(first, second, d)
        return f"{better} is better than {worse} in {named} by {by}{_ends(d, found.level)}, p {p}"
    return (
        f"The data cannot tell {first} and {second} apart in {named}: the difference is "
        f"{d.difference or 0:+.3f}{_ends(d, found.level, signed=True)}, p {p}{_smallest([d])}"
    )


def _smallest(tested: Sequence[Difference]) -> str:
    """Return how large a difference would have been found, for the pair of which that is the largest."""
    known = [d.smallest for d in tested if d.smallest is not None]
    if not known:
        return ""
    if math.isinf(most := max(known)):
        return "; not even a detector at chance would be told apart in 80% of such tests"
    return f"; a true difference of {most:.3f} would be found in 80% of such tests, a smaller one less often"


def _margins(tested: Sequence[Tested]) -> str:
    """Return what is shown within the margin; empty without one."""
    known = [(a, b, d.margin) for a, b, d in tested if d.margin is not None]
    if not known:
        return ""
    if len(tested) == 1:
        return _margin_of_one(*known[0])
    counts = {outcome: sum(m.outcome == outcome for _, _, m in known) for outcome in (EQUIVALENT, UNDECIDED)}
    no_worse = len(known) - sum(counts.values())
    said = [f"{counts[EQUIVALENT]} of {len(known)} pairs are equivalent"]
    said += [f"in {no_worse} more one is no worse than the other"] * (no_worse > 0)
    said += [f"{counts[UNDECIDED]} {'is' if counts[UNDECIDED] == 1 else 'are'} undecided"] * (counts[UNDECIDED] > 0)
    return f"within ±{known[0][2].margin:g} {', '.join(said)}"


def _margin_of_one(first: str, second: str, margin: Margin) -> str:
    ends = f"90% interval {margin.ci[0]:+.3f} to {margin.ci[1]:+.3f}"
    if margin.outcome == EQUIVALENT:
        return f"within ±{margin.margin:g} they are equivalent ({ends}, p {p_text(margin.p_corrected)})"
    if margin.outcome in (FIRST, SECOND):
        one, other, p = (first, second, 0) if margin.outcome == FIRST else (second, first, 1)
        shown = f"{one} is no worse than {other} by {margin.margin:g} or more (p {p_text(margin.decided[p])})"
        return f"{shown}, but they are not shown to be equivalent ({ends})"
    return f"whether they are within ±{margin.margin:g} of each other is undecided ({ends})"


def _exploratory(found: Comparison) -> str:
    """Return that the primary metric is not among the compared ones; empty if it is."""
    if not found.exploratory:
        return ""
    return f"all of this is exploratory: the protocol's primary metric is {title(found.primary)}, which is left out"


def _by(first: str, second: str, d: Difference, level: float) -> str:
    better, worse, by = _order(first, second, d)
    p = p_text(d.corrected or 0.0, d.corrected_bound)
    ends = _ends(d, level)
    return f"{better} is better than {worse} by {by}" + (f"{ends[:-1]}, p {p})" if ends else f" (p {p})")


def _order(first: str, second: str, d: Difference) -> tuple[str, str, str]:
    """Return the better detector, the other, and the size of the difference."""
    better, worse = (first, second) if _gain(d) >= 0 else (second, first)
    return better, worse, f"{abs(d.difference or 0):.3f}"


def _gain(d: Difference) -> float:
    """Return the difference, positive if the first is better; of an unknown metric, as if higher were better."""
    known = known_metric(d.metric)
    return (d.difference or 0.0) * (-known.worse if known else 1.0)


def _ends(d: Difference, level: float, signed: bool = False) -> str:
    """Return the interval in words, in the direction of the sentence, or nothing without one."""
    if d.ci is None:
        return ""
    ends: Sequence[float] = d.ci
    if signed:
        return f" ({100 * level:g}% interval {ends[0]:+.3f} to {ends[1]:+.3f})"
    if (d.difference or 0) < 0:
        ends = (-ends[1], -ends[0])
    return f" ({100 * level:g}% interval {ends[0]:.3f} to {ends[1]:.3f})"
