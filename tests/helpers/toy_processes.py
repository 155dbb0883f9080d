"""What the test of several processes runs in each of them: trainings, then batch normalisation by itself.

torchrun --nproc_per_node 2 tests/helpers/toy_processes.py OUT '{"name": {"epochs": 2, ...}, ...}'
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
import torch.distributed
from timm.layers import BatchNormAct2d
from torch import nn
from toy_training import toy_job

from m2f2bench.detectors.network import Normalise, resize
from m2f2bench.training.job import FitReport
from m2f2bench.training.network import Network, fit_network
from m2f2bench.training.sharing import SharedStatistics

SHARES = (3, 5)
"""Images of each process."""
MODULES: dict[str, Any] = {
    "plain": lambda: nn.BatchNorm2d(4),
    "cumulative": lambda: nn.BatchNorm2d(4, momentum=None),
    "no weight": lambda: nn.BatchNorm2d(4, affine=False),
    "no tracking": lambda: nn.BatchNorm2d(4, track_running_stats=False),
    "activation": lambda: BatchNormAct2d(4, act_layer=nn.SiLU),
    "vectors": lambda: nn.BatchNorm1d(4),
}


def train(out: Path, **values: Any) -> FitReport:
    """Train a timm network in float64: what is left of a difference is no rounding error that has grown."""
    torch.set_num_threads(1)
    job = toy_job(out, **values)
    normalise = Normalise(job.card.input)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = timm.create_model(job.card.options["model"], num_classes=1).double()
    prepare = partial(resize, settings=job.card.input)
    return fit_network(job, Network(model, prepare, lambda images: normalise(images).double()))


def module(name: str) -> nn.Module:
    """One of MODULES in float64, with weights that are not all the same."""
    made = MODULES[name]().double().train()
    for number, parameter in enumerate(made.parameters()):
        nn.init.normal_(parameter, 1.0, 0.3, generator=torch.Generator().manual_seed(number))
    return made


def values(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """All processes' inputs, far from zero mean, and what their outputs are weighed by in the loss; float64."""
    shape = (sum(SHARES), 4) if name == "vectors" else (sum(SHARES), 4, 3, 2)
    rng = torch.Generator().manual_seed(5)
    return 3 + 2 * torch.randn(shape, generator=rng, dtype=torch.float64), torch.randn(
        shape, generator=rng, dtype=torch.float64
    )


def passes(made: nn.Module, x: torch.Tensor, weighing: torch.Tensor) -> dict[str, torch.Tensor]:
    """Two passes forward and one back; outcome, gradients and running statistics by name."""
    x = x.clone().requires_grad_()
    made(x.detach() / 2)
    out = made(x)
    (out * weighing).sum().backward()
    grads = {f"grad {name}": parameter.grad for name, parameter in made.named_parameters()}
    buffers = {f"buffer {name}": buffer.clone() for name, buffer in made.named_buffers()}
    return {"out": out.detach(), "grad x": x.grad, **grads, **buffers}


def main(out: Path, trainings: dict[str, Any]) -> None:
    for name, settings in trainings.items():
        train(out / name, **settings)
    rank = torch.distributed.get_rank()
    part = slice(sum(SHARES[:rank]), sum(SHARES[: rank + 1]))
    found: dict[str, Any] = {}
    for name in MODULES:
        x, weighing = values(name)
        with SharedStatistics():
            found[name] = passes(module(name), x[part], weighing[part])
        with SharedStatistics(counted=rank == 0):
            found[f"{name}, blank"] = passes(module(name), x[part], weighing[part] * (rank == 0))
    torch.save(found, out / f"batchnorm-{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
