"""What the test of losses over several processes runs in each of them.

torchrun --nproc_per_node 2 tests/helpers/toy_losses.py OUT
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
import toy_ucf
from torch import nn
from toy_training import toy_job

from m2f2bench.detectors.network import Normalise, resize
from m2f2bench.detectors.tuned.svd import SVDLinear
from m2f2bench.training.job import FitReport
from m2f2bench.training.network import Network, fit_network

TRAININGS: dict[str, dict[str, Any]] = {
    "core": {"loss": {"name": "core"}, "views": 2},
    "core of halves": {"loss": {"name": "core", "variant": "deepfakebench"}},
    "recce": {"loss": {"name": "recce"}, "accumulation": 2},
    "gend": {"loss": {"name": "gend"}, "sam": 0.05, "ema": 0.9},
    "am-softmax": {"loss": {"name": "am-softmax"}},
    "effort": {"loss": {"name": "effort"}},
    # Of the unreadable frame's part one process has no image, and gathers none.
    "blanks": {"loss": {"name": "gend"}, "batch_size": 2},
    **toy_ucf.TRAININGS,
}


class Small(nn.Module):
    """A network with every output that a loss reads, in float64."""

    gives = ("logit", "features", "reconstruction", "depth_1", "depth_2", "depth_3", "scores", "cosines", "split")

    def __init__(self) -> None:
        """Draw the weights."""
        super().__init__()
        self.maps = nn.Sequential(nn.Conv2d(3, 6, 5, 2, 2), nn.BatchNorm2d(6), nn.Tanh())
        self.back = nn.ConvTranspose2d(6, 3, 4, 2, 1)
        self.split = SVDLinear.of(nn.Linear(6, 6), 1)
        self.head = nn.Linear(6, 2)

    def training_outputs(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return all outputs."""
        maps = self.maps(x)
        features = self.split(maps.mean((2, 3)))
        scores = self.head(features)
        found = {"features": features, "scores": scores, "cosines": scores.tanh(), "reconstruction": self.back(maps)}
        found |= {f"depth_{i}": maps * i + i for i in (1, 2, 3)}
        return {"logit": scores[:, 1] - scores[:, 0], "split": features, **found}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logit."""
        return self.training_outputs(x)["logit"]


def train(out: Path, **values: Any) -> FitReport:
    """Train in float64: what is left of a difference is no rounding error that has grown."""
    torch.set_num_threads(1)
    job = toy_job(out, **{"lr": 1e-3, **values})
    normalise = Normalise(job.card.input)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = Small().double()
    prepare = partial(resize, settings=job.card.input)
    network = Network(model, prepare, lambda images: normalise(images).double())
    network.outputs, network.gives = model.training_outputs, model.gives
    return fit_network(job, network)


def trained(out: Path, settings: dict[str, Any]) -> FitReport:
    """Train with settings of TRAININGS, on the network and the frames that are made for their loss."""
    return (toy_ucf.train if settings["loss"]["name"] == "ucf" else train)(out, **settings)


if __name__ == "__main__":
    for name, settings in TRAININGS.items():
        trained(Path(sys.argv[1]) / name, settings)
