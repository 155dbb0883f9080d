"""Corrections of the p-values of several tests: Holm's, with Shaffer's for pairs, and Benjamini and Hochberg's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Ps = Sequence[float | None]
Correction = Callable[[Ps], list[float | None]]


def holm(ps: Ps, most: int = 0) -> list[float | None]:
    """Return Holm's step-down adjusted p-values (Holm 1979), in the given order; None stays None and is not counted.

    `most`: the largest number of null hypotheses that can be true at once (Shaffer, JASA 81, 1986; 0: all of them).
    """
    known = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    out: list[float | None] = [None] * len(ps)
    highest = 0.0
    for rank, (p, i) in enumerate(known):
        times = min(len(known) - rank, most or len(known))
        highest = max(highest, min(1.0, times * p))
        out[i] = highest
    return out


def benjamini_hochberg(ps: Ps) -> list[float | None]:
    """Return Benjamini and Hochberg's adjusted p-values (JRSS B 57, 1995), in the given order; None is not counted.

    Of those at most q, a share of at most q is expected to be of equal detectors.
    """
    known = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    out: list[float | None] = [None] * len(ps)
    least = 1.0
    for rank in range(len(known), 0, -1):
        p, i = known[rank - 1]
        least = min(least, p * len(known) / rank)
        out[i] = least
    return out


def bounds(ps: Ps, bound: Sequence[bool], correction: Correction = holm) -> list[bool]:
    """Return which of the adjusted p-values are upper bounds, given which p are.

    An adjusted p never decreases if a p increases, so an upper bound of p gives an upper bound of the adjusted p. An
    adjusted p is an exact value if it stays the same when each bound is replaced by zero.
    """
    least = [0.0 if one and p is not None else p for p, one in zip(ps, bound, strict=True)]
    return [one or a != b for one, a, b in zip(bound, correction(ps), correction(least), strict=True)]
