"""Corrections over all tests of a comparison: Holm's on the primary metric, Benjamini and Hochberg's on the others.

A protocol declares one primary metric. Over it, with all manipulations together, every pair of detectors (and every
dataset, where a comparison covers several) is one family with Holm's correction: in at most 5% of comparisons any pair
of equal detectors is told apart. Every other metric, and each manipulation, is exploratory: of those whose corrected p
is at most 5%, at most about 5% are expected to be of equal detectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from ..metrics.detection.margins import Margin
from ..metrics.detection.paired import Difference
from ..stats.margin import smallest_found
from ..stats.multiplicity import Ps, benjamini_hochberg, bounds, holm
from .comparison import Comparison
from .finding import finding


def corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return comparisons with corrected p-values: those of one protocol together, as a comparison on several datasets.

    Differences that are not told apart get the smallest difference that would have been found, and each comparison the
    sentence that says what it found.
    """
    out = list(comparisons)
    for protocol in dict.fromkeys(one.protocol for one in comparisons):
        own = [i for i, one in enumerate(comparisons) if one.protocol == protocol]
        for i, found in zip(own, _of_one_protocol([comparisons[i] for i in own]), strict=True):
            out[i] = replace(found, finding=finding(found))
    return out


def _of_one_protocol(own: Sequence[Comparison]) -> list[Comparison]:
    flat = [(one, d) for one in own for pair in one.pairs for d in pair.differences]
    primary = [d for one, d in flat if one.is_primary(d)]
    rest = [d for one, d in flat if not one.is_primary(d)]
    tests = sum(d.p is not None for d in primary)
    level = 1.0 - (own[0].level if own else 0.95)
    queues = {
        True: iter(_adjusted(primary, holm, level, tests, exploratory=False)),
        False: iter(_adjusted(rest, benjamini_hochberg, level, 1, exploratory=True)),
    }

    def pairs(one: Comparison) -> Iterator[tuple[Difference, ...]]:
        for pair in one.pairs:
            yield tuple(next(queues[one.is_primary(d)]) for d in pair.differences)

    family = {"tests": tests, "datasets": len({(one.dataset, one.split) for one in own})}
    family["exploratory"] = sum(d.p is not None for d in rest)
    return [
        replace(
            one,
            pairs=tuple(replace(p, differences=ds) for p, ds in zip(one.pairs, list(pairs(one)), strict=True)),
            family=family,
        )
        for one in own
    ]


def _adjusted(
    family: Sequence[Difference],
    correction: Callable[[Ps], list[float | None]],
    level: float,
    tests: int,
    exploratory: bool,
) -> list[Difference]:
    ps = [d.p for d in family]
    marked = zip(family, correction(ps), bounds(ps, [d.bound for d in family], correction), strict=True)
    out = []
    for d, p, bound in marked:
        adjusted = replace(d, holm=None, bh=p) if exploratory else replace(d, holm=p, bh=None)
        found = replace(adjusted, corrected_bound=bound, smallest=None)
        apart = p is None or p <= round(level, 6)
        out.append(found if apart else replace(found, smallest=_smallest(d, level, max(tests, 1))))
    margins = _margins([d.margin for d in family], exploratory)
    return [replace(d, margin=margin) for d, margin in zip(out, margins, strict=True)]


def _smallest(d: Difference, level: float, tests: int) -> float | None:
    """Return the difference that would be found in 80% of cases after the correction for so many tests."""
    return None if d.scaled is None or not d.scaled.error else smallest_found(d.scaled, level / tests)


def _margins(family: Sequence[Margin | None], exploratory: bool) -> list[Margin | None]:
    """Correct the one-sided tests of margins: of a pair's two hypotheses at most one is true."""
    known = [one for one in family if one is not None]
    ps = [p for one in known for p in (one.first, one.second)]
    adjusted = (benjamini_hochberg if exploratory else partial(holm, most=len(known)))(ps)
    found = iter(one.corrected(*adjusted[2 * i : 2 * i + 2]) for i, one in enumerate(known))
    return [None if one is None else next(found) for one in family]
