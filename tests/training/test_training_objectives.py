"""What the one loop does for detectors and language stages alike: memory, other versions, sharing, finite weights."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed
import toy_language
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from toy_training import toy_job

from m2f2bench.core.errors import DetectorError
from m2f2bench.detectors.network import Normalise, resize
from m2f2bench.training.job import FitReport, latest_checkpoint
from m2f2bench.training.language import _Answers
from m2f2bench.training.loop import share_network
from m2f2bench.training.network import Network, _Detection, fit_network
from m2f2bench.training.objective import in_order
from m2f2bench.training.sharing import Whole

Fit = Any


class Small(nn.Module):
    """A network that may run out of memory in a pass with gradients, and one weight of which is never used."""

    def __init__(self, short: bool = False) -> None:
        super().__init__()
        self.line, self.unused, self.short = nn.Linear(3, 1), nn.Linear(2, 2), short

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.short and torch.is_grad_enabled():
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        out: torch.Tensor = self.line(images.mean((2, 3)))
        return out


def network(**values: Any) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Small(**values)
    settings = toy_job(Path("none")).card.input
    return Network(model, partial(resize, settings=settings), Normalise(settings))


def detector(out: Path, made: dict[str, Any] | None = None, **settings: Any) -> FitReport:
    torch.set_num_threads(1)
    return fit_network(toy_job(out, **settings), network(**(made or {})))


def test_a_detector_that_does_not_fit_into_memory_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="memory does not hold a part of a batch: raise `accumulation`") as error:
        detector(tmp_path, {"short": True})
    assert "\n" not in str(error.value)


def test_an_unused_weight_is_not_decayed(tmp_path: Path) -> None:
    made = network()
    before = {name: value.clone() for name, value in made.model.state_dict().items()}
    fit_network(toy_job(tmp_path, epochs=1, optimizer="adamw", weight_decay=0.5), made)
    changed = {name for name, value in made.model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"line.weight", "line.bias"}


def test_trained_weights_of_less_than_32_bits_are_refused(tmp_path: Path) -> None:
    made = network()
    made.model.line.bfloat16()
    with pytest.raises(DetectorError, match=r"'line.weight' is to be trained and is bfloat16"):
        fit_network(toy_job(tmp_path), made)


@pytest.mark.parametrize("fit", [detector, toy_language.fit])
def test_a_checkpoint_of_another_version_is_one_line(fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from m2f2bench.training import loop

    def stopped(*given: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "write_report", stopped)
        fit(tmp_path, epochs=1)
    path = latest_checkpoint(tmp_path)
    assert path is not None
    state = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps({**state, "images": 3}))
    with pytest.raises(DetectorError, match="was written by another version of m2f2bench") as error:
        fit(tmp_path, epochs=1, resume=True)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("fit", [detector, toy_language.fit])
def test_weights_that_are_not_finite_are_not_written(fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner in (_Detection, _Answers):
        own = owner.finish

        def broken(self: Any, *given: Any, own: Any = own) -> Any:
            return {name: value * torch.nan for name, value in own(self, *given).items()}

        monkeypatch.setattr(owner, "finish", broken)
    with pytest.raises(DetectorError, match="is not finite after the last step: lower `lr`"):
        fit(tmp_path, epochs=1)
    assert not (tmp_path / "model.safetensors").exists() and not (tmp_path / "fit.json").exists()


@pytest.mark.parametrize(
    ("kind", "shardable", "ways"),
    [("FSDP", False, "one or more GPUs or CPUs$"), ("DEEPSPEED", True, "one or more GPUs or CPUs, or FSDP$")],
)
def test_other_ways_to_share_are_refused(kind: str, shardable: bool, ways: str) -> None:
    accelerator = SimpleNamespace(distributed_type=SimpleNamespace(value=kind))
    with pytest.raises(DetectorError, match=f"^accelerate is configured for {kind}: this training supports {ways}"):
        share_network(accelerator, SimpleNamespace(shardable=shardable))  # type: ignore[arg-type]


def test_gradients_of_all_processes_are_exchanged_in_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one more process that has the same gradients, and with buckets of five values."""
    monkeypatch.setattr("m2f2bench.training.sharing.BUCKET", 5)
    sizes: list[int] = []

    def doubled(values: torch.Tensor) -> None:
        sizes.append(values.numel())
        values *= 2

    monkeypatch.setattr(torch.distributed, "all_reduce", doubled)
    module = nn.ParameterDict({name: nn.Parameter(torch.ones(n)) for name, n in zip("abcd", (2, 3, 7, 1), strict=True)})
    shared = Whole.__new__(Whole)
    shared.accelerator, shared.trained = SimpleNamespace(device=torch.device("cpu")), dict(module.items())
    grads = {name: torch.arange(len(module[name]), dtype=torch.float32) + 1 for name in "abc"}
    for name, grad in grads.items():
        module[name].grad = grad.clone()
    shared._exchange()
    assert sizes == [4, 5, 7]  # who has a gradient; a and b; c
    assert all(torch.equal(module[name].grad, 2 * grad) for name, grad in grads.items())
    assert module["d"].grad is None


@given(st.lists(st.floats(-1e12, 1e12)))
def test_sums_are_those_of_a_loop(values: list[float]) -> None:
    total = 0.0
    for value in values:
        total += value
    assert in_order(values) == total
