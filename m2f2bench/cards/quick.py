"""Trainings that differ from their card's: scaled to minutes on two cores, or of other pictures; without torch."""

from __future__ import annotations

from collections.abc import Callable

from ..core.errors import CardError
from .models import DetectorCard, validate
from .settings import InputSettings, TrainingSettings

SIZE = 128
"""The side of a quick training's pictures in pixels, for a network that takes any size."""
IMAGES = 6000
"""Passes of one image through the network in a quick training, forward and backward."""
EPOCHS, BATCH, FRAMES = 6, 16, 4
"""The most epochs, images in a batch, and frames of a video."""
ENDING = "-quick"
"""Of a quick detector's name: a board must not show it under the name of the whole recipe."""


def trained_name(name: str, quick: bool = False, size: int | None = None) -> str:
    """Return what a detector is called after such a training: `xception-96px-quick`."""
    return name + (f"-{size}px" if size is not None else "") + (ENDING if quick else "")


def altered_card(
    card: DetectorCard, takes_size: Callable[[int], bool], quick: bool = False, size: int | None = None
) -> DetectorCard:
    """Return the card as it is trained: on pictures of `size` pixels, with a quick training, both, or as it is.

    `takes_size` says whether its network can be made for a size. Raises CardError where it cannot.
    """
    if size is None:
        return quick_card(card, takes_size(SIZE)) if quick else card
    validate(InputSettings, {**card.input.model_dump(), "size": size}, f"pictures of detector '{card.name}'")
    if not takes_size(size):
        raise CardError(
            f"detector '{card.name}' cannot be trained on pictures of {size} pixels: give another --size, or none "
            f"for the card's {card.input.size}"
        )
    pictures = card.input.model_copy(update={"size": size})
    card = card.model_copy(update={"name": trained_name(card.name, size=size), "input": pictures})
    return quick_card(card, any_size=False) if quick else card


def quick_settings(settings: TrainingSettings) -> TrainingSettings:
    """Return settings of a training of about `IMAGES` images; loss, source, augmentation and rates are the card's.

    Epochs are as many as the card has, and at most `EPOCHS`; a warm-up keeps its share of the training, and so do
    `freeze_epochs`. An image counts as often as the network sees it: once for each view, and twice with SAM.
    """
    epochs = min(settings.epochs, EPOCHS)
    batch = min(settings.batch_size, BATCH)
    passes = settings.views * (1 if settings.sam is None else 2)
    frames, images = settings.frames_per_video, max(batch, IMAGES // (epochs * passes))
    own = {
        "epochs": epochs,
        "batch_size": batch,
        "accumulation": settings.accumulation if batch == settings.batch_size else 1,
        "warmup_epochs": settings.warmup_epochs * epochs / settings.epochs,
        "freeze_epochs": {name: held * epochs / settings.epochs for name, held in settings.freeze_epochs.items()},
        "validate_steps": None,
        "frames_per_video": FRAMES if frames is None else min(frames, FRAMES),
        "epoch_images": images if settings.epoch_images is None else min(images, settings.epoch_images),
    }
    return settings.model_copy(update=own)


def quick_card(card: DetectorCard, any_size: bool) -> DetectorCard:
    """Return the card with a quick training, as `NAME-quick`; with `any_size` its pictures have at most 128 pixels."""
    settings = quick_settings(card.training or TrainingSettings())
    update: dict[str, object] = {
        "name": trained_name(card.name, quick=True),
        "description": f"{card.description} (quick: {settings.epochs} epochs of {settings.epoch_images} images)",
        "training": settings,
    }
    if any_size and card.input.size > SIZE:
        update["input"] = card.input.model_copy(update={"size": SIZE})
    return card.model_copy(update=update)
