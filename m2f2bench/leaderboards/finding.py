"""What a comparison found, in one sentence: who is better than whom, by how much, or that it cannot be told."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import markdown
from ..metrics.detection.paired import Difference, p_text
from ..metrics.registry import at_threshold, known_metric, title
from ..scoring.comparison import Comparison

LISTED = 3
"""Pairs that the sentence names at most."""


def finding(found: Comparison, metric: str) -> str:
    """Return one sentence on a metric, over all manipulations together.

    Two detectors are told apart if p, after Holm's correction over the pairs, is at most 1 - the intervals' level.
    """
    pairs = [(p.first, p.second, d) for p in found.pairs for d in p.differences if d.metric == metric and not d.group]
    tested = [(a, b, d) for a, b, d in pairs if _p(d) is not None]
    named = title(metric) + " at an oracle threshold" * (found.oracle and at_threshold(metric))
    if not tested:
        why = next((f" ({d.reason})" for _, _, d in pairs if d.reason), "")
        return f"No test of {named} was possible{why}."
    limit = round(1 - found.level, 6)
    apart = [(a, b, d) for a, b, d in tested if (_p(d) or 0) <= limit and d.difference]
    apart.sort(key=lambda one: (-abs(one[2].difference or 0), one[:2]))
    if len(pairs) == 1:
        return _of_one(tested[0], named, bool(apart), found.level)
    after = f"(p ≤ {limit:g}".replace("0.", ".") + " after Holm's correction)"
    if not apart:
        widest = max(tested, key=lambda one: abs(one[2].difference or 0))
        return (
            f"The data tell apart no pair of {len(pairs)} in {named} {after}; the largest difference: "
            f"{_by(*widest, found.level)}.{_smallest([d for _, _, d in tested], found.level)}"
        )
    rest = len(apart) - LISTED
    more = f"; and {rest} more" if rest > 0 else ""
    named_pairs = "; ".join(_by(*one, found.level) for one in apart[:LISTED])
    some = f"all {len(pairs)}" if len(apart) == len(pairs) else f"{len(apart)} of {len(pairs)}"
    return f"The data tell apart {some} pairs in {named} {after}: {named_pairs}{more}."


def _p(d: Difference) -> float | None:
    return d.p if d.holm is None else d.holm


def _of_one(pair: tuple[str, str, Difference], named: str, apart: bool, level: float) -> str:
    """Return the sentence on the only pair."""
    first, second, d = pair
    p = p_text(d.p or 0.0, d.bound)
    if apart:
        better, worse, by = _order(first, second, d)
        return f"{better} is better than {worse} in {named} by {by}{_ends(d, level)}, p {p}."
    return (
        f"The data cannot tell {_name(first)} and {_name(second)} apart in {named}: the difference is "
        f"{d.difference or 0:+.3f}{_ends(d, level, signed=True)}, p {p}.{_smallest([d], level)}"
    )


def _smallest(tested: Sequence[Difference], level: float) -> str:
    """Return how large a difference would have been found, for the pair of which that is the largest."""
    known = [found for d in tested if (found := d.smallest(level)) is not None]
    if not known:
        return ""
    most = max(known)
    return f" A true difference of {most:.3f} would be found in 80% of such tests, a smaller one less often."


def _by(first: str, second: str, d: Difference, level: float) -> str:
    better, worse, by = _order(first, second, d)
    return f"{better} is better than {worse} by {by}{_ends(d, level)}"


def _order(first: str, second: str, d: Difference) -> tuple[str, str, str]:
    """Return the better detector, the other, and the size of the difference."""
    better, worse = (first, second) if _gain(d) >= 0 else (second, first)
    return _name(better), _name(worse), f"{abs(d.difference or 0):.3f}"


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


def _name(text: str) -> str:
    return markdown.escaped(markdown.name(text))
