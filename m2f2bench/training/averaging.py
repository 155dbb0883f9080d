"""Moving average of a network's weights, and steps to the worst weights near by (SAM)."""

from __future__ import annotations

import torch

from .job import Tensors


class Average:
    """Exponential moving average of a training's tensors (statistics of batch normalisation too).

    The decay after `step` steps is min(decay, (1 + step) / (10 + step)), so that a short training is not mostly its
    first weights. Tensors of integers are taken as they are.
    """

    def __init__(self, decay: float, tensors: Tensors) -> None:
        self.decay = decay
        self.values = {name: value.detach().clone() for name, value in tensors.items()}

    @torch.no_grad()
    def update(self, tensors: Tensors, step: int) -> None:
        """Take in the weights after `step` steps (from 1)."""
        decay = min(self.decay, (1.0 + step) / (10.0 + step))
        for name, value in tensors.items():
            if value.is_floating_point():
                self.values[name].lerp_(value, 1.0 - decay)
            else:
                self.values[name].copy_(value)

    @torch.no_grad()
    def exchange(self, tensors: Tensors) -> None:
        """Put the averages into the network and keep its weights here; a second call puts all back."""
        for name, value in tensors.items():
            kept = value.clone()
            value.copy_(self.values[name])
            self.values[name].copy_(kept)


@torch.no_grad()
def climb(parameters: list[torch.nn.Parameter], radius: float) -> list[torch.Tensor]:
    """Move parameters by `radius` along their gradient; return copies of what they were, in the same order.

    Foret et al., "Sharpness-Aware Minimization", ICLR 2021, equation 2: w + rho g / ‖g‖, one norm over all weights.
    """
    before = [value.detach().clone() for value in parameters]
    grads = [value.grad for value in parameters if value.grad is not None]
    norm = torch.stack([grad.double().pow(2).sum() for grad in grads]).sum().sqrt() if grads else torch.zeros(())
    for value in parameters:
        if value.grad is not None:
            value.add_(value.grad, alpha=radius / (float(norm) + 1e-12))
    return before
