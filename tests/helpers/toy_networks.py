"""A short training of every card's network with the card's own loss and source, for tests and for two processes.

torchrun --nproc_per_node 2 tests/helpers/toy_networks.py OUT
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from small_backbones import BACKBONES
from toy_training import auc

from m2f2bench.cards.folders import iter_cards
from m2f2bench.cards.models import DetectorCard
from m2f2bench.cards.settings import InputSettings, TrainingSettings
from m2f2bench.core.records import FAKE, REAL, Frame, Locator
from m2f2bench.core.seeds import generator
from m2f2bench.detectors.base import Trainable
from m2f2bench.detectors.cnn.base import ClassifierDetector
from m2f2bench.detectors.forada.detector import ForadaDetector
from m2f2bench.detectors.timm import TimmDetector
from m2f2bench.detectors.tuned.detector import TunedDetector, tuned_options
from m2f2bench.loading import detector_card
from m2f2bench.training.job import FitReport, TrainingJob

SIZE, SIDE = 64, 72
"""Pixels of a network's input, and of the pictures."""
RATES = {"efficientnet-b4": 1e-5}
"""A step of 1e-4 makes 1e-7 in this deep network's weights 1e-2 in its next loss: its last maps are 2x2."""
FORADA_CLIP = {
    "model_type": "clip_vision_model",
    "hidden_size": 128,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
    "projection_dim": 128,
}
FORADA = {
    "clip": {"config": FORADA_CLIP},
    "queries": 32,
    "side_width": 64,
    "side_heads": 1,
    "side_blocks": 2,
    "mlp_width": 12,
    "decoder_width": 10,
    "intra_after": 2,
    "intra_width": 6,
    "contrast_after": [1, 2],
}
LSDA = {"teacher": "test_efficientnet", "real_encoder": "test_resnet"}
"""Small encoders, of which there is one for each manipulation."""


@cache
def trainable() -> dict[str, DetectorCard]:
    """The cards of torch networks that the training loop trains on single images, small where there are small ones."""
    found: dict[str, DetectorCard] = {}
    known: set[str] = set()
    for path in sorted(iter_cards("detectors")):
        card, cls = detector_card(path.stem)
        small = _small(card, cls) if issubclass(cls, Trainable) and card.training is not None else None
        if small is not None:
            size = 32 if issubclass(cls, TunedDetector) else SIZE
            own = InputSettings(size=size, mean=card.input.mean, std=card.input.std)
            assert card.training is not None
            learns = card.training.model_dump(include={"loss", "source", "views", "ema", "freeze"})
            kind = json.dumps([card.backend, small, learns], sort_keys=True)
            if kind not in known:  # others differ in weights, sizes and rates
                found[card.name] = card.model_copy(update={"options": small, "input": own})
            known.add(kind)
    return found


def _small(card: DetectorCard, cls: type[Trainable]) -> dict[str, Any] | None:
    """Return the options of a small network of the card's kind, without weights to fetch; None for no such card."""
    options = {name: value for name, value in card.options.items() if name != "pretrained"}
    if issubclass(cls, TunedDetector):
        if options.get("frames", 1) > 1 or options.get("tune") == "probe":
            return None
        of_timm = tuned_options(card).backbone.timm is not None
        return {**options, "backbone": BACKBONES["timm-resnet" if of_timm and options["tune"] == "full" else "clip"]}
    if issubclass(cls, TimmDetector):
        return None if options.get("mode") == "probe" else {"model": "test_resnet"}
    if issubclass(cls, ForadaDetector):
        return FORADA
    if card.backend == "lsda":
        options |= LSDA
    if issubclass(cls, ClassifierDetector):
        return options | ({"drop_path_rate": 0.0} if "drop_path_rate" in cls.Options.model_fields else {})
    return None


def people(count: int, split: str) -> list[Frame]:
    """A real and a fake of each person; two manipulations."""
    reals = [
        Frame(f"{split}-r{i}", f"{split}-{i}", 0, "original", split, (f"{split}{i}",), Locator(""))
        for i in range(count)
    ]
    return reals + [
        Frame(f"{split}-f{i}", f"{split}-{i}-f", 1, "ab"[i % 2], split, (f"{split}{i}",), Locator(""))
        for i in range(count)
    ]


def read(one: Frame) -> np.ndarray:
    """Noise; a fake has bright stripes as well."""
    rng = generator("networks", one.id)
    image = rng.integers(60, 196, size=(SIDE, SIDE, 3)).astype(np.float64)
    if one.label:
        image[:, ::8] += 90
    return np.clip(image, 0, 255).astype(np.uint8)


def mask(one: Frame, image: Any = None) -> np.ndarray:
    """The middle of a fake."""
    found = np.zeros((SIDE, SIDE), dtype=bool)
    found[16:48, 16:48] = bool(one.label)
    return found


def train(name: str, out: Path, resume: bool = False) -> FitReport:
    """Two epochs of one step, without dropout, which each process draws for itself."""
    torch.set_num_threads(1)
    card, cls = trainable()[name], detector_card(name)[1]
    assert issubclass(cls, Trainable) and card.training is not None
    short = {"epochs": 2, "batch_size": 8, "epoch_images": 8, "accumulation": 1, "warmup_epochs": 0.0, "seed": 1}
    # Adam takes a step of the size of its rate even where a gradient is rounding alone, and SAM climbs by its radius.
    short |= {"optimizer": "sgd", "lr": RATES.get(card.backend, 1e-4), "sam": None}
    settings = TrainingSettings.model_validate(
        {**card.training.model_dump(), **short, "precision": "fp32", "lr_of": {}}
    )
    card = card.model_copy(update={"training": settings})
    most = REAL if settings.train_on == "real" else FAKE
    job = TrainingJob(
        card,
        settings,
        [frame for frame in people(6, "train") if frame.label <= most],
        [frame for frame in people(3, "val") if frame.label <= most],
        read,
        auc,
        out,
        name,
        resume=resume,
        device="cpu",
        mask=mask,
    )
    with (
        mock.patch("torch.nn.functional.dropout", lambda x, *given, **named: x),
        mock.patch("m2f2bench.detectors.cnn.xception.MIDDLE", (4,)),  # of eight alike
        mock.patch("m2f2bench.detectors.cnn.capsule.DROPOUT", 0.0),
        mock.patch("m2f2bench.detectors.cnn.capsule.NOISE", 0.0),
    ):
        return cls.fit(job)


if __name__ == "__main__":
    with mock.patch("m2f2bench.training.loop.save_checkpoint"):  # of these, only the curves are looked at
        for each in trainable():
            train(each, Path(sys.argv[1]) / each)
