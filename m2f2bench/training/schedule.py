"""Learning rate schedules, as functions of step and curve: a resumed training needs no state for them."""

from __future__ import annotations

import math
from collections.abc import Iterable

THRESHOLD = 1e-4
"""Relative decrease of the best loss that counts as an improvement (torch's default)."""


def lr_factor(step: int, total: int, warmup: int) -> float:
    """Return the factor of the learning rate at `step` (0-based) of `total`, in (0, 1].

    Linear from 1/`warmup` up to 1 over the first `warmup` steps, then half a cosine that would be 0 at step `total`
    (Loshchilov & Hutter, "SGDR", ICLR 2017, equation 5, without restarts). With a warm-up as long as the training or
    longer there is only the rise. Raises ValueError for a step outside the training.
    """
    if not 0 <= step < total:
        raise ValueError(f"step {step} is outside a training of {total} steps")
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def plateau_factor(losses: Iterable[float | None], factor: float, patience: int) -> float:
    """Return the factor of the learning rate after epochs with these validation losses: `factor`^reductions.

    An epoch is bad if its loss is not below the best one so far by `THRESHOLD` of that. More than `patience` bad epochs
    in a row reduce the rate once, and the count starts again. This is torch's `ReduceLROnPlateau` (mode min) without
    its `eps`, the smallest reduction: every parameter group keeps its ratio to the others. An epoch without a
    validation loss (None) is ignored.
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
    """Return the factor of the learning rate at `step` (0-based) under the plateau schedule, in (0, 1].

    It is the linear warm-up of `lr_factor` times `plateau_factor` of the validation losses so far, including those of
    the warm-up.
    """
    rise = (step + 1) / warmup if step < warmup else 1.0
    return rise * plateau_factor(losses, factor, patience)
