"""Networks that are made for weights of a file: nothing is drawn, and all that no file replaces is as otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_backbones import BACKBONES, tuned_card
from torch import nn

from m2f2bench.detectors.timm import TimmOptions, classifier
from m2f2bench.detectors.tuned.backbones import empty_backbone, open_backbone
from m2f2bench.detectors.tuned.detector import tuned_options
from m2f2bench.detectors.weights.undrawn import Undrawn


@pytest.mark.parametrize("name", BACKBONES)
def test_an_empty_backbone_is_not_drawn(name: str) -> None:
    options = tuned_options(tuned_card(name))
    made, drawn = empty_backbone(options, "here").module, open_backbone(options, Path(), "here").module
    mine, theirs = dict(made.named_buffers()), dict(drawn.named_buffers())
    assert set(mine) == set(theirs) and all(torch.equal(value, theirs[key]) for key, value in mine.items())
    shapes = [{key: (value.shape, value.dtype) for key, value in one.state_dict().items()} for one in (made, drawn)]
    assert shapes[0] == shapes[1]
    learned = dict(drawn.named_parameters())
    for key, value in made.named_parameters():  # the ones of a norm, and others that are not drawn, are there
        assert not value.any() or torch.equal(value, learned[key]), key
    assert sum(bool(value.any()) for value in learned.values()) > sum(bool(v.any()) for v in made.parameters())


FILLS: list[Callable[[torch.Tensor], object]] = [
    nn.init.uniform_,
    nn.init.normal_,
    nn.init.trunc_normal_,
    nn.init.xavier_uniform_,
    nn.init.xavier_normal_,
    nn.init.kaiming_uniform_,
    nn.init.kaiming_normal_,
    lambda value: nn.init.normal_(tensor=value),
    torch.Tensor.uniform_,
    lambda value: value.normal_(std=2.0),
]


@pytest.mark.parametrize("fill", FILLS)
def test_a_parameter_is_zero_and_another_tensor_is_drawn(fill: Callable[[torch.Tensor], object]) -> None:
    value, plain = nn.Parameter(torch.full((4, 6), float("nan"))), torch.zeros(4, 6)
    with torch.no_grad(), Undrawn():
        before = torch.get_rng_state()
        fill(value)
        assert torch.equal(torch.get_rng_state(), before)
        fill(plain)
        assert not torch.equal(torch.get_rng_state(), before)
    assert not value.any() and plain.any()
    with torch.no_grad():
        fill(value)
    assert value.any(), "outside of the block it is drawn"


def test_a_network_of_timm_is_not_drawn() -> None:
    before = torch.get_rng_state()
    with Undrawn():
        made = classifier(TimmOptions(model="test_vit"), classes=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(value.is_leaf and value.requires_grad for value in made.parameters())
