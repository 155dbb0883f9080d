"""Loss of a training: terms over a network's outputs, with a weight each, that are the same over any processes.

A loss works in two steps. `reduced` runs in each process, on its share of a part of a batch, and makes of large outputs
(a reconstruction) small rows, one for each image. These rows are gathered from all processes, and `terms` computes
every term over the whole part, so that a term over pairs of images is not smaller with more processes. Like the
statistics of batch normalisation, a term is over a part: `accumulation` changes it, the number of processes does not.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ...cards.settings import LossSettings
from ...core.errors import CardError, near

Rows = dict[str, torch.Tensor]
"""Tensors by name, each with one row for each image, or for each view of one."""


@dataclass(frozen=True)
class Given:
    """What a loss gets beside the outputs, row by row: for n images in v views [n · v, ...], the views in a row."""

    labels: torch.Tensor
    """Float32 [R]: 0 real, 1 fake."""
    methods: torch.Tensor | None
    """Int64 [R]: 0 real, otherwise the number of the manipulation; None if the loss does not name them."""
    inputs: torch.Tensor
    """The network's input [R, 3, S, S], normalised."""
    masks: torch.Tensor | None
    """Float32 [R, S, S] in [0, 1]; None if the loss does not name them."""


class TrainingLoss(abc.ABC):
    """Base of losses: a weighted sum of terms, each a mean over the images of a part or over pairs of them."""

    needs: ClassVar[tuple[str, ...]] = ("logit",)
    """Names of the network's outputs that the loss reads. `logit` [R] is higher for fake."""
    variants: ClassVar[dict[str, dict[str, float]]]
    """Of each variant, the weights of its terms."""
    views: ClassVar[tuple[int, int]] = (1, 8)
    """The fewest and the most views of an image."""
    pairs: ClassVar[bool] = False
    """Whether a batch must be of reals and their fakes, in turn."""
    masks: ClassVar[bool] = False
    """Whether masks of the manipulated pixels are needed."""
    methods: ClassVar[bool] = False
    """Whether the numbers of the manipulations are needed."""

    def __init__(self, settings: LossSettings) -> None:
        """Raises CardError for a variant or a term that the loss does not have."""
        self.name, self.variant = settings.name, settings.variant
        known = self.variants.get(settings.variant)
        if known is None:
            raise CardError(f"loss '{self.name}' has no variant '{self.variant}'{near(self.variant, self.variants)}")
        for term in settings.weights:
            if term not in known:
                raise CardError(f"loss '{self.name}' ({self.variant}) has no term '{term}'{near(term, known)}")
        self.weights = {**known, **settings.weights}

    def fewest_views(self) -> int:
        """Return the fewest views of an image that this variant works with."""
        return self.views[0]

    def reduced(self, outputs: Rows, given: Given) -> Rows:
        """Return a small row for each image or view, [R, ...], from its outputs; computed in each process."""
        return {name: outputs[name] for name in self.needs}

    @abc.abstractmethod
    def terms(self, rows: Rows, labels: torch.Tensor, methods: torch.Tensor | None, views: int) -> Rows:
        """Return the terms, each a scalar, from the rows of all processes.

        `labels` [R] are float, `methods` [R] int64; with several views, the rows of an image are consecutive.
        """

    def penalties(self, model: nn.Module) -> Rows:
        """Return the terms that depend on the weights alone, each a scalar."""
        return {}

    def total(self, terms: Rows) -> torch.Tensor:
        """Return the weighted sum of terms, a scalar."""
        found = torch.zeros_like(next(iter(terms.values())))
        for name, weight in self.weights.items():
            if weight and name in terms:
                found = found + weight * terms[name]
        return found

    def note(self) -> str:
        """Return the loss in one line, for the training's report."""
        terms = " + ".join(f"{weight:g} {name}" for name, weight in self.weights.items() if weight)
        return f"loss {self.name} ({self.variant}): {terms}"


def widened(rows: Rows) -> Rows:
    """Return rows in which what has less than 32 bits is float32."""
    return {name: value if value.dtype == torch.float64 else value.float() for name, value in rows.items()}


def sum_of_sides(values: torch.Tensor, labels: torch.Tensor, counted: torch.Tensor | None = None) -> torch.Tensor:
    """Return the mean of the real rows' values [R] plus that of the fake ones', a scalar; a mean over no row is 0.

    `labels` [R] are 0 or 1; with `counted` [R], bool, only these rows.
    """
    taken = torch.ones_like(labels, dtype=torch.bool) if counted is None else counted
    total = values.sum() * 0.0
    for label in (0, 1):
        side = (taken & (labels == label)).to(values.dtype)
        total = total + (values * side).sum() / side.sum().clamp(min=1)
    return total


def cross_entropy(logit: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean binary cross-entropy, a scalar, of logits of fake [R] and labels [R] (1 fake).

    With two outputs, whose difference is the logit, it is the cross-entropy of their softmax.
    """
    return binary_cross_entropy_with_logits(logit, labels.to(logit.dtype))


class CrossEntropy(TrainingLoss):
    """Cross-entropy alone, over several views of an image."""

    variants: ClassVar[dict[str, dict[str, float]]] = {
        "paper": {"cross_entropy": 1.0},
        "deepfakebench": {"cross_entropy": 1.0},
    }

    def terms(self, rows: Rows, labels: torch.Tensor, methods: torch.Tensor | None, views: int) -> Rows:
        """Return the cross-entropy of all views."""
        return {"cross_entropy": cross_entropy(rows["logit"], labels)}
