"""Backend `tuned`: any backbone of transformers or timm with a linear head, tuned in one of five ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ...cards.models import DetectorCard, validate
from ...cards.settings import InputSettings
from ...core.errors import DetectorError, first_line
from ...training.device import own_draws
from ...training.job import FitReport, TrainingJob, finished_report
from ...training.processes import together
from ..base import file_fingerprint, trained_weights
from ..network import NetworkDetector, Normalise, resize
from ..timm import any_size
from ..weights.load import load_weights
from .backbones import empty_backbone, open_backbone, own_settings
from .network import TunedNetwork
from .options import TunedOptions
from .tuning import frozen_parts, merge_lora, merge_split, split_attention, tune

if TYPE_CHECKING:
    import numpy.typing as npt

    from ...core.records import Image


class TunedDetector(NetworkDetector):
    """A backbone of transformers or timm with a linear head: probed, tuned in part, or in full."""

    clip: int = 1
    """Frames of one video that are judged together."""

    @classmethod
    def clip_frames(cls, card: DetectorCard) -> int:
        """Return the option `frames`."""
        return tuned_options(card).frames

    @classmethod
    def from_card(cls, card: DetectorCard, device: str = "auto") -> TunedDetector:
        """Load the card's weights. Raises DetectorError for an untrained card and weights that do not fit."""
        options = tuned_options(card)
        path = trained_weights(card)
        where = f"detector '{card.name}'"
        made = empty_backbone(options, where)
        if options.tune == "svd":
            split_attention(made.module, options.svd_rank, where, empty=True)
        model = TunedNetwork(made, options.unit_norm)
        load_weights(model, path)
        merge_split(model.backbone)
        identity = options.model_dump_json(exclude={"backbone": {"timm": {"pretrained"}}, "lora": True})
        made_of = cls(model, card.input, device, file_fingerprint(path, identity, str(card.input)))
        if options.frames > 1:
            made_of.clip = options.frames
            made_of.normalise = ClipNormalise(card.input, reuse=True)
            made_of.preprocessing = f"{options.frames}frames-{card.input}"
        return made_of

    def prepare(self, image: Image) -> npt.NDArray[np.uint8]:
        """Return an image resized to the network's input, uint8 [S, S, 3]; of a detector of clips [T, S, S, 3]."""
        return prepared(image, self.settings, self.clip)

    @classmethod
    def takes_size(cls, card: DetectorCard, size: int) -> bool:
        """Return whether the backbone takes any size, as some of timm's do."""
        source = tuned_options(card).backbone.timm
        return size == card.input.size or (source is not None and any_size(source))

    @classmethod
    def fit(cls, job: TrainingJob) -> FitReport:
        """Train the head and what `options.tune` names, with binary cross-entropy. Raises as `fit_network`."""
        options = tuned_options(job.card)
        settings = own_settings(job.card, options)
        job = replace(job, card=job.card.model_copy(update={"input": settings}))
        report = finished_report(job)
        if report is None:
            report = _train(job, options)
        report.input = settings
        return report


def prepared(image: Image, settings: InputSettings, frames: int = 1) -> npt.NDArray[np.uint8]:
    """Return an image [H, W, 3] resized; with `frames` above 1, each frame of a clip [T, H, W, 3].

    A single image then stands for a clip of itself.
    """
    if frames == 1:
        return resize(image, settings)
    if image.ndim == 3:
        return np.stack([resize(image, settings)] * frames)
    return np.stack([resize(np.ascontiguousarray(one), settings) for one in image])


class ClipNormalise(Normalise):
    """Normalisation of clips, from uint8 [B, T, S, S, 3] to float32 [B, T, 3, S, S]."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return the model's input on the device of `images`."""
        made = super().__call__(images.flatten(0, 1))
        return made.view(*images.shape[:2], *made.shape[1:])


def _train(job: TrainingJob, options: TunedOptions) -> FitReport:
    from ...training.network import Network, fit_network

    settings, where = job.card.input, f"detector '{job.card.name}'"
    with together(), own_draws():
        torch.manual_seed(job.settings.seed)
        model, options = build(options, job.card)
        unread = freeze_unread(model, settings.size, where, options.frames)
    notes = [f"{len(unread)} tensors have no part in a score and stay frozen: {', '.join(unread)}"] if unread else []
    network = Network(
        model=model,
        prepare=partial(prepared, settings=settings, frames=options.frames),
        normalise=ClipNormalise(settings) if options.frames > 1 else Normalise(settings),
        frozen=tuple(frozen_parts(model)),
        metadata={"architecture": f"tuned {type(model.backbone).__name__}", "input": str(settings)},
        options=options.model_dump(mode="json", include={"backbone", "feature"}, exclude_none=True),
        input=settings if options.frames == 1 else None,
        notes=notes,
        settle=_settle(model, options),
        outputs=model.training_outputs,
        gives=model.gives,
    )
    return fit_network(job, network)


def build(options: TunedOptions, card: DetectorCard) -> tuple[TunedNetwork, TunedOptions]:
    """Return the network before training, ready to be tuned, and the options with its backbone filled in."""
    where = f"detector '{card.name}'"
    made = open_backbone(options, card.folder, where)
    tune(made.module, options, where)
    filled = options.model_copy(update={"backbone": made.source, "feature": made.feature})
    return TunedNetwork(made, options.unit_norm), filled


def _settle(model: TunedNetwork, options: TunedOptions) -> Callable[[], None] | None:
    return partial(merge_lora, model.backbone) if options.tune == "lora" else None


def freeze_unread(model: nn.Module, size: int, where: str, frames: int = 1) -> list[str]:
    """Freeze the trained tensors that no score depends on (a mask token), and return their names.

    They are found by one grey image's gradient. Raises DetectorError if the network cannot judge an image of `size`
    pixels.
    """
    modes: dict[nn.Module, bool] = {module: module.training for module in model.modules()}
    model.eval()
    try:
        model(torch.zeros(1, *([frames] if frames > 1 else []), 3, size, size)).sum().backward()
    except (RuntimeError, ValueError, AssertionError) as error:
        raise DetectorError(
            f"{where}: its network cannot judge an image of {size} pixels ({first_line(error)}): set input.size, and "
            "options.frames for a video model, to the backbone's"
        ) from None
    unread = [name for name, value in model.named_parameters() if value.requires_grad and value.grad is None]
    for name, value in model.named_parameters():
        value.grad = None
        if name in unread:
            value.requires_grad_(False)
    for module, mode in modes.items():
        module.training = mode
    return unread


def tuned_options(card: DetectorCard) -> TunedOptions:
    """Return the card's options, checked. Raises CardError."""
    found: Any = validate(TunedOptions, card.options, f"options of detector '{card.name}'")
    assert isinstance(found, TunedOptions)
    return found
