"""A small UCF, with the heads, features and decoder of the real one and two little encoders, on pairs of toy frames."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn
from toy_training import frames, toy_job

from m2f2bench.core.records import Frame
from m2f2bench.detectors.cnn import ucf
from m2f2bench.detectors.cnn.ucf_decoder import adain
from m2f2bench.detectors.network import Normalise, resize
from m2f2bench.training.job import FitReport, TrainingJob
from m2f2bench.training.losses.make import method_numbers
from m2f2bench.training.network import Network, fit_network

TRAININGS: dict[str, dict[str, Any]] = {
    "ucf": {"loss": {"name": "ucf"}},
    "ucf of deepfakebench": {"loss": {"name": "ucf", "variant": "deepfakebench"}, "accumulation": 2},
    # The unreadable fake takes its real along: one process has a pair, and the other none.
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
    """Reals, and fakes of the same people by two methods in turn; the last ones have the numbers before 14."""
    pairs = zip(frames(count, 0, split), frames(0, 14, split)[-count:], strict=True)
    made = []
    for number, (real, fake) in enumerate(pairs):
        people = (f"{split}-{number}",)
        method = ("blend", "swap")[number % 2]
        made += [replace(real, identities=people), replace(fake, identities=people, method=method)]
    return made


def ucf_job(out: Path, **values: Any) -> TrainingJob:
    """Six pairs, three of each method, the last fake unreadable."""
    job = toy_job(out, **{"lr": 1e-3, "loss": {"name": "ucf"}, **values})
    return replace(job, train=paired("train", 6), val=paired("val", 6)[:-1])


class LittleDecoder(nn.Module):
    """In place of the decoder: one convolution, no dropout."""

    def __init__(self) -> None:
        """Make the layer."""
        super().__init__()
        self.last = nn.Conv2d(ucf.ADJUSTED, 3, 1)

    def forward(self, content: torch.Tensor, forgery: torch.Tensor) -> torch.Tensor:
        """Return [B, 3, 16h, 16w]."""
        small: torch.Tensor = self.last(adain(content, forgery))
        return small.tanh().repeat_interleave(16, 2).repeat_interleave(16, 3)


def small(job: TrainingJob) -> ucf.UcfTraining:
    """The network of a job, with little encoders."""
    with mock.patch.object(ucf, "Xception", Encoder), torch.random.fork_rng():
        torch.manual_seed(1)
        return ucf.UcfTraining(1, 0.0, len(method_numbers(job)))


def train(out: Path, decodes: bool = False, **values: Any) -> FitReport:
    """Train in float64, as `toy_losses.train`, with a little decoder; or in float32 with the real one."""
    torch.set_num_threads(1)
    job = ucf_job(out, **values)
    model, kind = small(job), torch.float32 if decodes else torch.float64
    if not decodes:
        with torch.random.fork_rng():
            torch.manual_seed(2)
            model.con_gan = LittleDecoder()  # type: ignore[assignment]
    model.to(kind)
    normalise = Normalise(job.card.input)
    prepare = partial(resize, settings=job.card.input)
    network = Network(model, prepare, lambda images: normalise(images).to(kind))
    network.outputs, network.gives = model.training_outputs, model.gives
    network.training_only = model.training_only
    return fit_network(job, network)
