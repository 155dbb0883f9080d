"""LSDA's teaching on small encoders, and what its test over several processes runs in each of them.

torchrun --nproc_per_node 2 tests/helpers/toy_lsda.py OUT
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from toy_training import toy_job

from m2f2bench.detectors.cnn.lsda_training import MapEncoder, Teaching
from m2f2bench.detectors.network import Normalise, resize
from m2f2bench.training.job import FitReport, TrainingJob
from m2f2bench.training.losses.base import Given
from m2f2bench.training.losses.make import make_loss, method_numbers
from m2f2bench.training.network import Network, fit_network

WIDTH = 4
METHODS = ("Deepfakes", "Face2Face", "Face2Face", "Face2Face", "NeuralTextures")
"""Of five fakes in a row: a process has often none of the rare ones."""
TRAININGS: dict[str, dict[str, Any]] = {
    "paper": {"loss": {"name": "lsda"}},
    "release": {"loss": {"name": "lsda", "variant": "deepfakebench"}, "accumulation": 2},
    # Of the unreadable frame's part one process has no image.
    "blanks": {"loss": {"name": "lsda"}, "batch_size": 2, "epochs": 1},
}


class Backbone(nn.Module):
    """Maps of a quarter of the side, normalised over a batch."""

    def __init__(self) -> None:
        """Draw the weights."""
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 3, 5, 4, 2, bias=False), nn.BatchNorm2d(3), nn.Tanh())

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Return maps [B, 3, h, w]."""
        return self.layers(x)


def encoder() -> MapEncoder:
    """A small encoder."""
    return MapEncoder(Backbone(), 3, WIDTH)


class Student(nn.Module):
    """A small student with its teachers."""

    gives = ("logit", "student", "target", "domains", "real", "identity")

    def __init__(self, methods: int, identity: tuple[int, ...]) -> None:
        """Draw the weights."""
        super().__init__()
        self.encoder, self.head = encoder(), nn.Linear(WIDTH, 1)
        self.teaching = Teaching(encoder(), encoder, methods, WIDTH, identity)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logit."""
        return self.head(self.encoder(x).mean((2, 3)))[:, 0]

    def outputs(self, x: torch.Tensor, given: Given) -> dict[str, torch.Tensor]:
        """Return all outputs."""
        maps = self.encoder(x)
        assert given.methods is not None
        logit = self.head(maps.mean((2, 3)))[:, 0]
        return {"logit": logit, "student": maps, **self.teaching(x, maps, given.methods)}


def lsda_job(out: Path, **values: Any) -> TrainingJob:
    """A toy job whose fakes have three manipulations and each a real."""
    job = toy_job(out, **{"lr": 1e-3, **values})
    fakes = [frame for frame in job.train if frame.label]
    reals = [frame for frame in job.train if not frame.label]
    made = [
        replace(frame, method=METHODS[i % len(METHODS)], video=reals[i % len(reals)].video)
        for i, frame in enumerate(fakes)
    ]
    return replace(job, train=[*reals, *made])


def train(out: Path, **values: Any) -> FitReport:
    """Train in float64: what is left of a difference is no rounding error that has grown."""
    torch.set_num_threads(1)
    job = lsda_job(out, **values)
    normalise = Normalise(job.card.input)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        identity = (0, -1, 1, 1) if make_loss(job.settings.loss).pairs else ()
        model = Student(len(method_numbers(job)), identity).double()
    prepare = partial(resize, settings=job.card.input)
    network = Network(model, prepare, lambda images: normalise(images).double(), informed=True)
    network.outputs, network.gives, network.training_only = model.outputs, model.gives, ("teaching",)
    return fit_network(job, network)


if __name__ == "__main__":
    for name, settings in TRAININGS.items():
        train(Path(sys.argv[1]) / name, **settings)
