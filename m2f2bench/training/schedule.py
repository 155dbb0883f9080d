"""The learning rate over a training, a function of step and curve alone: a resumed training needs no state for it."""

from __future__ import annotations

import math
from collections.abc import Iterable

THRESHOLD = 1e-4
"""A loss must be lower than the best one by this share of it to be an improvement (torch's default)."""


def lr_factor(step: int, total: int, warmup: int) -> float:
    """What the base learning rate is multiplied by at `step` (0-based) of `total`, in (0, 1].

    Linear from 1/`warmup` up to 1 over the first `warmup` steps, then half a cosine that would be 0 at step `total`
    (Loshchilov & Hutter, "SGDR", ICLR 2017, equation 5, without restarts). A warm-up as long as the training or
    longer leaves only the rise.
    """
    if not 0 <= step < total:
        raise ValueError(f"step {step} is outside a training of {total} steps")
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def plateau_factor(losses: Iterable[float | None], factor: float, patience: int) -> float:
    """What the learning rate is multiplied by after epochs with these validation losses: `factor`^reductions.

    An epoch is bad when its loss is not below the best one so far by `THRESHOLD` of that; more than `patience` bad
    ones in a row reduce the rate once and the count begins anew. That is torch's `ReduceLROnPlateau` (mode min)
    without its `eps`, the smallest reduction it carries out: every parameter group keeps its ratio to the others.
    An epoch without a validation loss (None) is neither bad nor an improvement: it is passed over.
    """
    best, bad, product = math.inf, 0, 1.0
    for loss in losses:
        if loss is None:
            continue
        if loss < best * (1.0 - THRESHOLD):
            best, bad = loss, 0
        else:
            bad += 1
        if bad > patience:
            product, bad = product * factor, 0
    return product


def plateau_lr_factor(step: int, warmup: int, losses: Iterable[float | None], factor: float, patience: int) -> float:
    """What the base learning rate is multiplied by at `step` (0-based), in (0, 1], under the plateau schedule.

    The linear warm-up of `lr_factor` times `plateau_factor` of the validation losses of the epochs that are over;
    those of the warm-up count as all others do.
    """
    rise = (step + 1) / warmup if step < warmup else 1.0
    return rise * plateau_factor(losses, factor, patience)
