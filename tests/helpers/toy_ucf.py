"""A small UCF, with the heads, features and decoder of the real one and two little encoders, on pairs of toy frames."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from toy_training import frames, toy_job

from m2f2bench.core.records import Frame
from m2f2bench.detectors.cnn import ucf, ucf_training
from m2f2bench.detectors.network import Normalise, resize
from m2f2bench.training.job import FitReport, TrainingJob
from m2f2bench.training.losses.make import method_numbers
from m2f2bench.training.network import Network, fit_network

TRAININGS: dict[str, dict[str, Any]] = {
    "ucf": {"loss": {"name": "ucf"}},
    "ucf of deepfakebench": {"loss": {"name": "ucf", "variant": "deepfakebench"}, "sam": 0.05},
    # The unreadable frame takes its partner along: one process has a pair, and the other none.
    "ucf with blanks": {"loss": {"name": "ucf"}, "batch_size": 4},
}


class Encoder(nn.Module):
    """In place of an Xception: 16 times as small, 512 channels."""

    def __init__(self, **_: Any) -> None:
        """Make the layers."""
        super().__init__()
        self.near = nn.Sequential(nn.Conv2d(3, 8, 5, 4, 2), nn.BatchNorm2d(8), nn.ReLU())
        self.far = nn.Sequential(nn.Conv2d(8, ucf.ADJUSTED, 4, 4), nn.BatchNorm2d(ucf.ADJUSTED), nn.ReLU())

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return [B, 512, S / 16, S / 16]."""
        y: torch.Tensor = self.far(self.near(x))
        return y


def paired(split: str, count: int) -> list[Frame]:
    """Reals, and a fake of each person by the one or the other of two methods."""
    made = []
    for one in frames(count, count, split):
        number = int(one.id[-3:])
        method = ("blend", "swap")[number % 2] if one.label else one.method
        made.append(replace(one, identities=(f"{split}-{number}",), method=method))
    return made


def ucf_job(out: Path, **values: Any) -> TrainingJob:
    """14 pairs, the fake of one unreadable: seven of each method."""
    job = toy_job(out, **{"lr": 1e-3, "loss": {"name": "ucf"}, **values})
    return replace(job, train=paired("train", 14), val=paired("val", 6))


def small(job: TrainingJob, dropout: bool = True) -> ucf_training.UcfTraining:
    """The network of a job, with little encoders."""
    before = ucf.Xception, ucf_training.Xception
    ucf.Xception = ucf_training.Xception = Encoder  # type: ignore[misc, assignment]
    try:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            model = ucf_training.UcfTraining(1, 0.0, len(method_numbers(job)))
    finally:
        ucf.Xception, ucf_training.Xception = before  # type: ignore[misc]
    if not dropout:
        model.con_gan.dropout.p = 0.0
    return model


def train(out: Path, dropout: bool = False, **values: Any) -> FitReport:
    """Train in float64, as `toy_losses.train`; without the decoder's dropout, which processes draw for themselves."""
    torch.set_num_threads(1)
    job = ucf_job(out, **values)
    model = small(job, dropout).double()
    normalise = Normalise(job.card.input)
    prepare = partial(resize, settings=job.card.input)
    network = Network(model, prepare, lambda images: normalise(images).double())
    network.outputs, network.gives = model.training_outputs, model.gives
    network.training_only = model.training_only
    return fit_network(job, network)
