"""The learning rate over a training, as a function of the step alone: a resumed training needs no state for it."""

from __future__ import annotations

import math


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
