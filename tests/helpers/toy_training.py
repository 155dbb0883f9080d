"""A small training on pictures drawn in memory, for the tests and, as a script, for processes they start and kill.

python tests/helpers/toy_training.py OUT '{"epochs": 2, "model": "test_resnet", ...}'
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from m2f2bench.cards.models import DetectorCard
from m2f2bench.cards.settings import AugmentationSettings, InputSettings, TrainingSettings
from m2f2bench.core.errors import FrameError
from m2f2bench.core.records import Frame, Locator
from m2f2bench.core.seeds import generator
from m2f2bench.detectors.timm import TimmDetector
from m2f2bench.training.job import FitReport, TrainingJob

AUGMENTATION = AugmentationSettings(crop=(0.8, 1.0), rescale_p=0.3, rescale_px=(24, 40), blur_p=0.2, jpeg_p=0.3)


def frame(number: int, label: int, split: str = "train") -> Frame:
    """A frame of an identity of its own."""
    name = f"{split}-{'fake' if label else 'real'}-{number:03d}"
    return Frame(name, name, label, "toy" if label else "original", split, (name,), Locator(name))


def frames(real: int, fake: int, split: str = "train") -> list[Frame]:
    return [frame(i, 0, split) for i in range(real)] + [frame(i, 1, split) for i in range(fake)]


def read(one: Frame) -> np.ndarray:
    """48x48 noise; a fake has bright stripes as well. A frame whose id ends in 13 cannot be read."""
    if one.id.endswith("13"):
        raise FrameError(one.id, "drawn broken")
    rng = generator("toy", one.id)
    image = rng.integers(60, 196, size=(48, 48, 3)).astype(np.float64)
    if one.label:
        image[:, ::8] += 90
    return np.clip(image, 0, 255).astype(np.uint8)


def auc(labels: Any, scores: Any) -> float | None:
    return float(roc_auc_score(labels, scores)) if len(set(labels)) == 2 else None


def toy_job(
    out: Path, *, resume: bool = False, identity: str = "toy", options: Any = None, size: int = 32, **settings: Any
) -> TrainingJob:
    """A job of 12 real and 20 fake training frames (one of them unreadable) and 8 + 8 for validation; the network's
    input has `size` pixels a side."""
    values = {"epochs": 2, "batch_size": 8, "lr": 3e-3, "augmentation": AUGMENTATION, **settings}
    training = TrainingSettings.model_validate(values)
    card = DetectorCard(
        name="toy",
        backend="timm",
        input=InputSettings(size=size, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
        options={"model": "test_resnet", **(options or {})},
        training=training,
    )
    train, val = frames(12, 20), frames(8, 8, "val")
    return TrainingJob(card, training, train, val, read, auc, out, identity, resume=resume, device="cpu")


def fit(out: Path, **values: Any) -> FitReport:
    """Train with one thread, so that sums have one order."""
    torch.set_num_threads(1)
    return TimmDetector.fit(toy_job(out, **values))


if __name__ == "__main__":
    report = fit(Path(sys.argv[1]), **json.loads(sys.argv[2]))
    print(json.dumps(report.curves))
