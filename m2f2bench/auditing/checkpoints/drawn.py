"""Tensors that are still as they were drawn before training, by their values alone.

Three kinds of evidence, none of which survives a step of training:

- a norm's weight is exactly 1 (or 0) and its bias exactly 0, everywhere;
- a layer's weights lie on the grid of torch's uniform draw. A draw is `u (b - a) + a` for a random `u` with 24 bits, so
  that near zero, where float32 is far finer, only few of the possible values occur; trained weights lie between them.
  The bounds are those of the usual initialisations: fan-in of He et al. (2015) with torch's slope, Glorot and Bengio
  (2010), LeCun;
- a layer's bias is exactly 0, and its weights are normal (Kolmogorov-Smirnov) with the standard deviation of a usual
  initialisation, within four standard errors. A convolution without bias counts if the norm after it was not touched.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
SURE = 1e-5
"""Largest probability that trained weights look drawn by chance."""
TESTED = 4096
"""Most values of a tensor that are looked at."""
FEWEST = 64
"""Fewest weights for a test of the normal distribution."""


@dataclass(frozen=True)
class Drawn:
    """A layer that is still as it was drawn: its name, and the evidence in a few words."""

    name: str
    evidence: str


def as_drawn(tensors: Mapping[str, Array]) -> tuple[list[Drawn], list[str]]:
    """Return the layers still as they were drawn, and the names of all layers that could be judged."""
    groups = grouped(tensors)
    names = list(groups)
    judged: dict[str, str] = {}
    for i, name in enumerate(names):
        after = groups[names[i + 1]] if i + 1 < len(names) else {}
        found = _layer(groups[name], after)
        if found is not None:
            judged[name] = found
    return [Drawn(name, evidence) for name, evidence in judged.items() if evidence], list(judged)


def grouped(tensors: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """Return the tensors of each layer by their own names: `fc` has `weight` and `bias`."""
    groups: dict[str, dict[str, Array]] = {}
    for name, value in tensors.items():
        layer, _, own = name.rpartition(".")
        groups.setdefault(layer, {})[own] = value
    return groups


def _layer(own: Mapping[str, Array], after: Mapping[str, Array]) -> str | None:
    """Return the evidence that a layer is as drawn, "" for one that is not, None for one that cannot be judged."""
    weight, bias = own.get("weight"), own.get("bias")
    if weight is None or weight.size == 0:
        return None
    if weight.ndim == 1:
        return _norm(weight, bias)
    if weight.ndim < 2 or not np.issubdtype(weight.dtype, np.floating):
        return None
    bound = _uniform(weight, bias if bias is not None and np.any(bias) else None)
    if bound:
        return f"uniform within ±{bound:.3g}, on the grid of its draw"
    untouched = (bias is not None and not np.any(bias)) or (
        bias is None and _norm(after.get("weight"), after.get("bias"))
    )
    deviation = _normal(weight) if untouched else 0.0
    beside = "its bias is exactly 0" if bias is not None else "the norm after it was not touched either"
    return f"normal with standard deviation {deviation:.3g}, and {beside}" if deviation else ""


def _norm(weight: Array | None, bias: Array | None) -> str | None:
    """Return the evidence for a norm; None for other tensors of one dimension."""
    if weight is None or weight.ndim != 1 or bias is None or bias.shape != weight.shape:
        return None
    if not np.any(bias) and (np.all(weight == 1) or not np.any(weight)):
        return f"weight exactly {weight.flat[0]:.0f}, bias exactly 0"
    return ""


def _fans(weight: Array) -> tuple[int, int]:
    inner = math.prod(weight.shape[2:])
    return weight.shape[1] * inner, weight.shape[0] * inner


def _uniform(weight: Array, bias: Array | None) -> float:
    """Return the bound of the uniform draw that made a weight, or 0; a bias is drawn by torch's own rule (1/fan-in)."""
    inward, outward = _fans(weight)
    bounds = {1 / inward, 6 / (inward + outward), 6 / inward, 3 / inward, 6 / outward}
    for one in sorted(bounds):
        values = weight.ravel()
        if bias is not None and one == 1 / inward:
            values = np.concatenate([values, bias.astype(weight.dtype).ravel()])
        if _on_grid(values, math.sqrt(one)):
            return math.sqrt(one)
    return 0.0


def _on_grid(values: Array, bound: float) -> bool:
    """Return whether float32 values are draws of torch's `uniform_(-bound, bound)`."""
    if values.dtype != np.float32:
        return False
    flat = values.ravel()
    largest = float(np.abs(flat).max())
    if largest > bound * (1 + 1e-6) or (flat.size >= FEWEST and largest < 0.8 * bound):
        return False
    near = flat[np.argsort(np.abs(flat))[:TESTED]]
    low, high = np.float32(-bound), np.float32(bound)
    width = np.float32(high - low)
    step = float(width) * 2.0**-24
    guess = np.rint((near.astype(np.float64) - float(low)) / step)
    fits, ways = np.zeros(near.shape, dtype=bool), np.ones(near.shape)
    for shift in (-1, 0, 1):
        share = ((guess + shift) * 2.0**-24).astype(np.float32)
        once = (share.astype(np.float64) * float(width) + float(low)).astype(np.float32)  # rounded once
        twice = share * width + low
        fitting = (once == near) | (twice == near)
        ways[fitting & (once != twice)] = 2
        fits |= fitting
    if not fits.all():
        return False
    # Of the values of float32 between two places of the grid, one or two would have fitted.
    chance = np.minimum(1.0, ways * np.spacing(np.abs(near)).astype(np.float64) / step)
    return float(np.log(np.maximum(chance, 1e-12)).sum()) < math.log(SURE)


def _normal(weight: Array) -> float:
    """Return the standard deviation of the usual normal draw that a weight agrees with, or 0."""
    from scipy.stats import kstest

    flat = weight.astype(np.float64).ravel()
    if flat.size < FEWEST:
        return 0.0
    inward, outward = _fans(weight)
    inner = max(1, math.prod(weight.shape[2:]))
    squares = (2 / outward, 2 / inward, 1 / inward, 2 / (inward + outward), 2 / inner, 1 / inner)
    usual = [0.02, 0.01, 0.001, 1.0, *(math.sqrt(one) for one in squares)]
    found, error = float(np.sqrt(np.mean(flat**2))), 4 / math.sqrt(2 * flat.size)
    close = [one for one in usual if abs(found / one - 1) < error]
    if not close or abs(flat.mean()) > 4 * found / math.sqrt(flat.size):
        return 0.0
    sample = flat if flat.size <= TESTED else flat[:: flat.size // TESTED]
    return close[0] if kstest(sample / found, "norm").pvalue > 0.001 else 0.0


def never_moved(tensors: Mapping[str, Array]) -> tuple[list[str], int]:
    """Return the BatchNorms whose running mean is exactly 0 and variance exactly 1, and how many there are."""
    norms = {name: own for name, own in grouped(tensors).items() if {"running_mean", "running_var"} <= set(own)}
    still = [
        name for name, own in norms.items() if not np.any(own["running_mean"]) and bool(np.all(own["running_var"] == 1))
    ]
    return still, len(norms)


def of_one_element(tensors: Mapping[str, Array]) -> list[str]:
    """Return the norms over one element: weight and bias have one value each, and no statistics are kept."""
    return [
        name
        for name, own in grouped(tensors).items()
        if own.get("weight") is not None
        and own["weight"].shape == (1,)
        and own.get("bias") is not None
        and own["bias"].shape == (1,)
        and "running_mean" not in own
    ]


def by_part(names: Iterable[str], every: Iterable[str]) -> list[tuple[str, int]]:
    """Return the largest parts of which each layer of `every` is in `names`, and their numbers of layers.

    `a.b` and `a.c` become `a` if these are all of a's layers; "" stands for the whole network.
    """
    wanted, left = set(names), []
    everything = list(every)
    done: set[str] = set()
    for name in everything:
        if name not in wanted or name in done:
            continue
        parts = name.split(".")
        part, inside = name, [name]
        for end in range(len(parts)):
            prefix = ".".join(parts[:end])
            below = [one for one in everything if not prefix or one == prefix or one.startswith(f"{prefix}.")]
            if set(below) <= wanted:
                part, inside = prefix, below
                break
        done.update(inside)
        left.append((part, len(inside)))
    return left
