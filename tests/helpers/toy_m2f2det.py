"""A tiny M2F2-Det for the tests: 32-pixel images, CLIP of a few dozen channels, timm's smallest EfficientNet.

python tests/helpers/toy_m2f2det.py OUT '{"options": {"bridge": false}, "epochs": 2, ...}'
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from toy_training import toy_job

from m2f2bench.cards.models import DetectorCard, merged
from m2f2bench.cards.settings import InputSettings
from m2f2bench.detectors.m2f2det.detector import M2F2Detector, build
from m2f2bench.detectors.m2f2det.options import PaperOptions
from m2f2bench.detectors.m2f2det.paper import PaperNetwork
from m2f2bench.training import loop
from m2f2bench.training.job import FitReport, TrainingJob

CLIP = {
    "vision_config": {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "image_size": 32,
        "patch_size": 8,
    },
    "text_config": {
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "vocab_size": 12,
        "max_position_embeddings": 20,
    },
    "projection_dim": 16,
}
OPTIONS = {
    "clip": {"config": CLIP, "words": [0, 3, 4, 11]},
    "cnn": {"model": "test_efficientnet", "depths": ["blocks.1", "blocks.2", "blocks.3"]},
    "general_tokens": 3,
    "specific_tokens": 2,
    "layer_tokens": 2,
    "bridge_width": 16,
    "head_width": 12,
}
INPUT = InputSettings(size=32, fit="centre", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
ABLATIONS = ("general_tokens", "specific_tokens", "layer_tokens", "bridge", "map_weighting")


def toy_card(path: Path | None = None, **options: Any) -> DetectorCard:
    """A card; `options` are merged into the tiny ones."""
    card = DetectorCard(name="toy", backend="m2f2det", input=INPUT, options=merged(OPTIONS, options))
    card._path = path
    return card


def toy_network(seed: int = 0, **options: Any) -> PaperNetwork:
    """An untrained network with weights from a seed."""
    card = toy_card(**options)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(PaperOptions.model_validate(card.options), card)[0]


def pixels(count: int, seed: int = 0, size: int = 32) -> torch.Tensor:
    """Normalised images."""
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def m2f2_job(out: Path, options: dict[str, Any] | None = None, **values: Any) -> TrainingJob:
    """A training of the tiny M2F2-Det on the drawn pictures of `toy_training`."""
    job = toy_job(out, **values)
    job.card = toy_card(**(options or {})).model_copy(update={"training": job.settings})
    return job


def fit(out: Path, options: dict[str, Any] | None = None, **values: Any) -> tuple[FitReport, TrainingJob]:
    """Train with one thread, so that sums have one order."""
    torch.set_num_threads(1)
    job = m2f2_job(out, options, **values)
    return M2F2Detector.fit(job), job


def kill_after(step: int) -> None:
    """Have this process SIGKILL itself once a step's checkpoint is written, which another might see too late."""
    save = loop.save_checkpoint

    def saved(out: Path, at: int, *rest: Any, **more: Any) -> None:
        save(out, at, *rest, **more)
        if at >= step:
            os.kill(os.getpid(), signal.SIGKILL)

    loop.save_checkpoint = saved


if __name__ == "__main__":
    told = json.loads(sys.argv[2])
    if "killed_after" in told:
        kill_after(told.pop("killed_after"))
    report, _ = fit(Path(sys.argv[1]), **told)
    print(json.dumps(report.curves))
