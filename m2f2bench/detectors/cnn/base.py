"""Image classifiers as detectors: a network with one or two outputs, trained and loaded in one way.

A network of the field is a `Classifier`, and its backend a `ClassifierDetector` that says how to build it. One output
is the logit of fake, and P(fake) its sigmoid. Two are those of real and fake, and P(fake) is the softmax of fake, which
is the sigmoid of their difference; cross-entropy is the same loss for both.
"""

from __future__ import annotations

import abc
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

import torch
from torch import nn

from ...cards.models import DetectorCard, validate
from ...cards.settings import InputSettings, Settings
from ...core.errors import DetectorError, near
from ...training.device import own_draws
from ...training.job import FitReport, TrainingJob
from ...training.losses.base import Given
from ...training.processes import together
from ..base import file_fingerprint, trained_weights
from ..network import NetworkDetector, Normalise, resize
from ..weights.load import load_weights
from .pretrained import ImageNet, load_pretrained

Variant = Literal["paper", "deepfakebench"]
"""`paper`: as the paper has it. `deepfakebench`: as DeepfakeBench's code has it, which its published weights fit."""


class ClassifierOptions(Settings):
    """Options that all these networks have."""

    outputs: Literal[1, 2] = 1
    """Outputs of the last layer: the logit of fake, or those of real and fake."""
    pretrained: str | None = None
    """Weights of ImageNet to train from: `hub` (by timm), a .safetensors or .pth file, or null (random)."""
    freeze: tuple[str, ...] = ()
    """Submodules that training leaves as they are."""
    unhashed: ClassVar[frozenset[str]] = frozenset({"pretrained", "freeze"})
    """Options that decide no score of a trained network."""


class VariantOptions(ClassifierOptions):
    """Options of a network whose paper and DeepfakeBench's code differ."""

    variant: Variant = "paper"
    """`paper`: as the paper has it; `deepfakebench`: as DeepfakeBench's code, which its published weights fit."""


OptionsT = TypeVar("OptionsT", bound=ClassifierOptions)


class Classifier(nn.Module, abc.ABC):
    """A network from pixels, float32 [B, 3, S, S], to one or two outputs, and from these to the logit of fake."""

    head: ClassVar[str]
    """Name of the layer that gives the outputs."""
    spare: ClassVar[tuple[str, ...]] = ()
    """Beginnings of names in published files, beside whole parts, that no score depends on."""
    training_only: ClassVar[tuple[str, ...]] = ()
    """Submodules that the training alone has: `outputs` does not read them, and the trained weights are without."""
    fake_class: int = 1
    """Of two outputs, which one is fake."""

    @abc.abstractmethod
    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        """Return the outputs of the last layer, [B, 1] or [B, 2]."""

    @property
    def gives(self) -> tuple[str, ...]:
        """Names of the outputs in training; `logit` is always among them."""
        return ("logit",)

    def training_outputs(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the outputs that `gives` names, each with a row for each image."""
        return {"logit": self(images)}

    def informed_outputs(self, images: torch.Tensor, given: Given) -> dict[str, torch.Tensor]:
        """Return the same, for a network that learns from labels, manipulations or masks: what is `given`."""
        return self.training_outputs(images)

    @property
    def training_notes(self) -> tuple[str, ...]:
        """Notes for the report of a training."""
        return ()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logit of fake, [B]: an output, or the difference of two."""
        return self.logit(self.outputs(images))

    def logit(self, found: torch.Tensor) -> torch.Tensor:
        """Return the logit of fake, [B], of outputs [B, 1] or [B, 2]."""
        return found[:, 0] if found.shape[1] == 1 else found[:, self.fake_class] - found[:, 1 - self.fake_class]


class ClassifierDetector(NetworkDetector, Generic[OptionsT]):
    """A detector made of a `Classifier`; a subclass says which options there are, and builds the network."""

    Options: ClassVar[type[ClassifierOptions]] = ClassifierOptions

    @classmethod
    @abc.abstractmethod
    def network(cls, options: OptionsT, size: int) -> Classifier:
        """Return the network before training, for inputs of `size` pixels a side."""

    @classmethod
    def imagenet(cls, options: OptionsT) -> ImageNet | None:
        """Return which weights of ImageNet fit the network, and where; None if there are none.

        Parts that a network in training has, and that of inference does not, are among them.
        """
        return None

    @classmethod
    def options(cls, card: DetectorCard) -> OptionsT:
        """Return the card's options. Raises CardError."""
        found: Any = validate(cls.Options, card.options, f"options of detector '{card.name}'")
        return found  # type: ignore[no-any-return]

    @classmethod
    def build(cls, size: int = 224, **options: Any) -> Classifier:
        """Return the network before training, for inputs of `size` pixels; `options` are those of a card."""
        found: Any = validate(cls.Options, options, f"options of {cls.__qualname__}")
        return cls.made(found, size)

    @classmethod
    def made(cls, options: OptionsT, size: int) -> Classifier:
        """Return the network before training. Raises DetectorError for an input that it cannot take."""
        try:
            return cls.network(options, size)
        except ValueError as error:
            raise DetectorError(f"{cls.__qualname__}: {error}") from None

    @classmethod
    def empty(cls, options: OptionsT, size: int) -> Classifier:
        """Return the network without values, ready to be loaded: nothing is drawn, which takes longer than loading."""
        with torch.device("meta"):
            model = cls.made(options, size)
        return model.to_empty(device="cpu")

    @classmethod
    def takes_size(cls, card: DetectorCard, size: int) -> bool:
        """Return whether the network can be made for pictures of `size` pixels."""
        try:
            with torch.device("meta"):
                cls.made(cls.options(card), size)
        except DetectorError:
            return False
        return True

    @classmethod
    def from_card(cls, card: DetectorCard, device: str = "auto") -> NetworkDetector:
        """Load the card's trained weights. Raises DetectorError for an untrained card and weights that do not fit."""
        options, path = cls.options(card), trained_weights(card)
        fake: int | None = getattr(card, "fake_class", None)
        model = cls.empty(options, card.input.size)
        outputs = (f"{model.head}.",) if options.outputs == 1 else ()
        load_weights(model, path, outputs=outputs, fake=fake, spare=True)
        if options.outputs == 2 and fake is not None:
            model.fake_class = fake
        return cls(model, card.input, device, cls.hash(path, options, card.input, fake))

    @classmethod
    def hash(cls, path: Path, options: OptionsT, settings: InputSettings, fake: int | None = None) -> str:
        """Return 16 hex digits over what decides a score, with the variant in front of them if there are several."""
        content = options.model_dump(mode="json", exclude=set(options.unhashed))
        order = () if fake is None else (f"fake {fake}",)
        digits = file_fingerprint(path, cls.__qualname__, json.dumps(content, sort_keys=True), str(settings), *order)
        return f"{content['variant']}-{digits}" if "variant" in content else digits

    @classmethod
    def fit(cls, job: TrainingJob) -> FitReport:
        """Train the network with the training loop, on all weights but those of `freeze`."""
        from ...training.network import Network, fit_network

        options, settings = cls.options(job.card), job.card.input
        with together(), own_draws():
            torch.manual_seed(job.settings.seed)
            model = cls.starting(options, job.card, cls.in_training(options, job))
        report = fit_network(
            job,
            Network(
                model,
                partial(resize, settings=settings),
                Normalise(settings),
                frozen=options.freeze,
                training_only=model.training_only,
                metadata={"architecture": job.card.backend, "input": str(settings)},
                notes=list(model.training_notes),
                outputs=model.informed_outputs,
                gives=model.gives,
                informed=True,
                input=settings,
            ),
        )
        report.input = settings
        return report

    @classmethod
    def in_training(cls, options: OptionsT, job: TrainingJob) -> Classifier:
        """Return the network that a job trains, with random weights: that of inference, or one with more parts."""
        return cls.made(options, job.card.input.size)

    @classmethod
    def starting(cls, options: OptionsT, card: DetectorCard, model: Classifier | None = None) -> Classifier:
        """Return the network that training starts from: `model`, or that of inference, with ImageNet's weights.

        Raises DetectorError in one line.
        """
        model = model or cls.made(options, card.input.size)
        parts = dict(model.named_modules())
        for name in options.freeze:
            if name not in parts:
                raise DetectorError(f"detector '{card.name}': freeze: there is no part '{name}'{near(name, parts)}")
        if options.pretrained is not None:
            known = cls.imagenet(options)
            if known is None:
                raise DetectorError(f"detector '{card.name}': no weights of ImageNet fit it: set pretrained to null")
            own = replace(known, parts=tuple(part for part in known.parts if part in parts))
            load_pretrained(model, own, options.pretrained, card.folder)
        return model
