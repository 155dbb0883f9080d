"""Two trainings that differ by rounding alone."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from m2f2bench.training.job import FitReport


def check_alike(one: FitReport, other: FitReport) -> None:
    """Assert that losses and weights are the same up to rounding."""
    assert [curve["train_loss"] for curve in other.curves] == pytest.approx(
        [curve["train_loss"] for curve in one.curves], abs=1e-3
    )
    tensors, others = load_file(one.weights), load_file(other.weights)
    assert tensors.keys() == others.keys()
    for name, value in tensors.items():
        torch.testing.assert_close(others[name], value, atol=5e-3, rtol=1e-2)
