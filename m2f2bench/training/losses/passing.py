"""Pass of a part of a batch through a network with a loss of its own, over one or several processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from .base import Given, Rows, TrainingLoss, widened
from .gathering import gather_rows

if TYPE_CHECKING:
    from ..loader import Part

LABELS, METHODS = " labels", " methods"
"""Names of rows that are no outputs: they begin with a blank, which no output's does."""


class LossPass:
    """A network's outputs, and the sum of a part's losses."""

    def __init__(
        self,
        loss: TrainingLoss,
        outputs: Callable[[torch.Tensor, Given], Rows],
        model: nn.Module,
        accelerator: Any,
        views: int,
    ) -> None:
        """`outputs` maps inputs [R, ...], and what is given beside them, to what `loss` needs, by name."""
        self.loss, self.outputs, self.model = loss, outputs, model
        self.accelerator, self.views = accelerator, views
        self.device: torch.device = accelerator.device

    def __call__(self, inputs: torch.Tensor, part: Part | None) -> torch.Tensor:
        """Return the sum of losses whose gradient this process adds, and its number of images, [2].

        The value is this process's share of the sum; the gradient is that of the whole part with respect to its own
        images. With several processes all of them must call it; one without images gives blank `inputs` and no part.
        """
        given = self._given(inputs, part)
        with self.accelerator.autocast():
            made = {name: value for name, value in self.outputs(inputs, given).items() if name in self.loss.needs}
        rows = widened(self.loss.reduced(made, given))
        nothing = sum(value.sum() for value in rows.values()) * 0.0
        rows[LABELS] = given.labels
        if given.methods is not None:
            rows[METHODS] = given.methods.float()
        own = 0 if part is None else len(part.labels)
        if part is None:
            rows = {name: value[:0] for name, value in rows.items()}
        rows, _ = gather_rows(rows)
        labels, numbers = rows.pop(LABELS), rows.pop(METHODS, None)
        count = len(labels) // self.views
        mean = self.loss.total(self.loss.terms(rows, labels, None if numbers is None else numbers.long(), self.views))
        total = mean * count
        if own != count:  # the value is shared out; the gradient is that of all
            total = total - total.detach() + total.detach() * (own / count)
        fixed = self.loss.penalties(self.model)
        if fixed and own:
            total = total + self.loss.total(fixed) * own
        total = total + nothing
        return torch.stack([total, total.new_tensor(float(own))])

    def _given(self, inputs: torch.Tensor, part: Part | None) -> Given:
        if part is None:  # a blank's rows, which are cut off
            labels = torch.zeros(len(inputs), device=self.device)
            masks = torch.zeros(len(inputs), *inputs.shape[-2:], device=self.device) if self.loss.masks else None
            return Given(labels, labels.long() if self.loss.methods else None, inputs, masks)
        labels = part.labels.to(self.device).repeat_interleave(self.views)
        methods = None if part.methods is None else part.methods.to(self.device).repeat_interleave(self.views)
        masks = None if part.masks is None else part.masks.to(self.device)
        return Given(labels, methods, inputs, masks)
