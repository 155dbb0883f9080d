"""Student's t distribution, by `scipy.special`: the same bits as by `scipy.stats`, which takes most of a second to
import."""

from __future__ import annotations


def t_quantile(p: float, freedom: float) -> float:
    """Return the value below which a share `p`, in (0, 1), of t lies; its degrees of `freedom` may be infinite."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, p))


def t_above(value: float, freedom: float) -> float:
    """Return the share of t with so many degrees of `freedom` that lies above `value`."""
    from scipy.special import stdtr

    return float(stdtr(freedom, -value))
