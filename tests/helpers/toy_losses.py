"""What the test of losses over several processes runs in each of them.

torchrun --nproc_per_node 2 tests/helpers/toy_losses.py OUT
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import toy_ucf
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d
from toy_training import read, toy_job

from m2f2bench.core.records import Frame
from m2f2bench.detectors.network import Normalise, resize
from m2f2bench.detectors.tuned.svd import SVDLinear
from m2f2bench.training.job import FitReport
from m2f2bench.training.losses.base import Given
from m2f2bench.training.losses.forada import boundary_cells
from m2f2bench.training.network import Network, fit_network

TRAININGS: dict[str, dict[str, Any]] = {
    "core": {"loss": {"name": "core"}, "views": 2},
    "core of halves": {"loss": {"name": "core", "variant": "deepfakebench"}},
    "recce": {"loss": {"name": "recce"}, "accumulation": 2},
    "gend": {"loss": {"name": "gend"}, "sam": 0.05, "ema": 0.9},
    "am-softmax": {"loss": {"name": "am-softmax"}},
    "effort": {"loss": {"name": "effort"}},
    "forada": {"loss": {"name": "forada"}},
    "forada's release": {"loss": {"name": "forada", "variant": "deepfakebench"}, "accumulation": 2},
    "forada's blanks": {"loss": {"name": "forada"}, "batch_size": 2},
    # Of the unreadable frame's part one process has no image, and gathers none.
    "blanks": {"loss": {"name": "gend"}, "batch_size": 2},
    **toy_ucf.TRAININGS,
    "self-blended": {
        "loss": {"name": "gend"},
        "train_on": "real",
        "source": {"name": "self-blended"},
        "schedule": "linear",
        "augmentation": {"flip_p": 0.5, "rotate_p": 0.5, "hue_p": 0.5, "shift_p": 0.5, "erase_p": 0.3, "jpeg_p": 0.3},
    },
}


class Small(nn.Module):
    """A network with every output that a loss reads, in float64."""

    gives = ("logit", "features", "reconstruction", "depth_1", "depth_2", "depth_3", "scores", "cosines", "split")
    gives += ("boundary", "patches", "clip_patches")

    def __init__(self) -> None:
        """Draw the weights."""
        super().__init__()
        self.maps = nn.Sequential(nn.Conv2d(3, 6, 5, 2, 2), nn.BatchNorm2d(6), nn.Tanh())
        self.back = nn.ConvTranspose2d(6, 3, 4, 2, 1)
        self.split = SVDLinear.of(nn.Linear(6, 6), 1)
        self.head = nn.Linear(6, 2)
        self.boundary = nn.Sequential(
            nn.Conv2d(6, 2, 3, padding=1, bias=False), nn.BatchNorm2d(2), nn.ConvTranspose2d(2, 1, 2, 2)
        )

    def training_outputs(self, x: torch.Tensor, given: Given | None = None) -> dict[str, torch.Tensor]:
        """Return all outputs."""
        maps = self.maps(x)
        features = self.split(maps.mean((2, 3)))
        scores = self.head(features)
        found = {"features": features, "scores": scores, "cosines": scores.tanh(), "reconstruction": self.back(maps)}
        found |= {f"depth_{i}": maps * i + i for i in (1, 2, 3)}
        if given is not None and given.masks is not None:
            cells = boundary_cells(given.masks, maps.shape[-1]).to(maps.dtype)
            patches = adaptive_avg_pool2d(maps, 4).flatten(2).transpose(1, 2)
            found["boundary"] = self.boundary(maps * cells[:, None])[:, 0]
            found |= {"patches": torch.stack([patches, patches**2], 1), "clip_patches": patches}
        return {"logit": scores[:, 1] - scores[:, 0], "split": features, **found}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logit."""
        return self.training_outputs(x)["logit"]


def mask(frame: Any, image: Any = None) -> np.ndarray:
    """The manipulated pixels of a toy frame, which differ from frame to frame."""
    start, found = 3 * (int(frame.id[-3:]) % 5), np.zeros((48, 48), dtype=bool)
    found[start : start + 30, 6:33] = frame.label == 1
    return found


def large(frame: Frame) -> Any:
    """Pixels of 66x64."""
    return np.kron(read(frame), np.ones((2, 2, 1), np.uint8))[:66, :64]


def landmarks(frame: Frame) -> Any:
    """Five points of a face; one real's lie outside its picture, and one has none."""
    far = 500.0 if frame.id == "train-real-003" else 0.0
    return None if frame.id == "train-real-004" else np.array([[20, 25], [44, 25], [32, 36], [23, 46], [41, 46]]) + far


def train(out: Path, **values: Any) -> FitReport:
    """Train in float64: what is left of a difference is no rounding error that has grown."""
    torch.set_num_threads(1)
    job = replace(toy_job(out, **{"lr": 1e-3, **values}), mask=mask)
    if "source" in values:
        reals = [[frame for frame in one if frame.label == 0] for one in (job.train, job.val)]
        job = replace(job, train=reals[0], val=reals[1], read=large, landmarks=landmarks)
    normalise = Normalise(job.card.input)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = Small().double()
    prepare = partial(resize, settings=job.card.input)
    network = Network(model, prepare, lambda images: normalise(images).double(), informed=True)
    network.outputs, network.gives = model.training_outputs, model.gives
    return fit_network(job, network)


def trained(out: Path, settings: dict[str, Any]) -> FitReport:
    """Train with settings of TRAININGS, on the network and the frames that are made for their loss."""
    return (toy_ucf.train if settings["loss"]["name"] == "ucf" else train)(out, **settings)


if __name__ == "__main__":
    for name, settings in TRAININGS.items():
        trained(Path(sys.argv[1]) / name, settings)
