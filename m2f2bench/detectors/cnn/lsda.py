"""The student of LSDA (Yan et al., CVPR 2024): the part of the method that judges images.

"Transcending Forgery Specificity with Latent Space Augmentation", arXiv 2311.11278. The teachers, the encoder of real
faces and the fusion serve its training only: `lsda_training`.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from ...core.errors import DetectorError
from ...training.job import TrainingJob
from ...training.losses.base import Given, Rows
from .base import Classifier, ClassifierDetector, ClassifierOptions
from .efficientnet import MODEL, b4
from .efficientnet import published_name as efficientnet_name
from .pretrained import ImageNet, load_pretrained

CHANNELS, WIDTH = 1792, 512
"""Channels of EfficientNet-B4's last maps, and the width of student and classifier."""


class LsdaStudent(Classifier):
    """EfficientNet-B4, a 1×1 convolution to 512 channels, their mean, and two linear layers.

    As in the authors' code, strided convolutions are padded as suits 380 pixels, whatever the input.
    """

    head: ClassVar[str] = "classifier"

    def __init__(self, outputs: int, drop_path_rate: float) -> None:
        """Make timm's network; `drop_path_rate` is that of its training."""
        super().__init__()
        self.backbone = b4(drop_path_rate)
        self.conv = nn.Conv2d(CHANNELS, WIDTH, 1)
        self.hidden = nn.Linear(WIDTH, WIDTH)
        self.classifier = nn.Linear(WIDTH, outputs)

    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        """Return outputs, [B, 1 or 2]."""
        return self.judged(self.maps(images))

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """Return maps [B, 512, h, w]."""
        found: torch.Tensor = self.conv(self.backbone.forward_features(images))  # type: ignore[operator]
        return found

    def judged(self, maps: torch.Tensor) -> torch.Tensor:
        """Return outputs, [B, 1 or 2], of maps."""
        hidden = nn.functional.leaky_relu(self.hidden(maps.mean((2, 3))))
        found: torch.Tensor = self.classifier(hidden)
        return found


class LsdaTraining(LsdaStudent):
    """`LsdaStudent` with what teaches it."""

    training_only: ClassVar[tuple[str, ...]] = ("teaching",)

    def __init__(self, outputs: int, drop_path_rate: float, teaching: nn.Module, notes: tuple[str, ...]) -> None:
        """`notes` are for the report of the training."""
        super().__init__(outputs, drop_path_rate)
        self.teaching, self._notes = teaching, notes

    @property
    def gives(self) -> tuple[str, ...]:
        """The logit, and what the loss of the paper reads."""
        return ("logit", "student", "target", "domains", "real", "identity")

    @property
    def training_notes(self) -> tuple[str, ...]:
        """What the real encoder started from."""
        return self._notes

    def informed_outputs(self, images: torch.Tensor, given: Given) -> Rows:
        """Return the outputs that `gives` names."""
        assert given.methods is not None
        maps = self.maps(images)
        return {"logit": self.logit(self.judged(maps)), "student": maps, **self.teaching(images, maps, given.methods)}


def published_name(name: str) -> str:
    """Return the name of one of our tensors in the authors' files."""
    part, _, rest = name.partition(".")
    if part == "backbone":
        return f"model.student_encoder.model.{efficientnet_name(rest)}"
    places = {"conv": "student_encoder.conv", "hidden": "binary_classifier.2", "classifier": "binary_classifier.4"}
    return f"model.{places[part]}.{rest}"


class LsdaOptions(ClassifierOptions):
    """Options of the backend `lsda`."""

    drop_path_rate: float = 0.2
    """Share of residual branches that are left out in training, at the last block."""
    teacher: str = MODEL
    """With the loss `lsda`: timm's network for the encoder of each manipulation, from the weights of `pretrained`."""
    real_encoder: str = MODEL
    """timm's network for the encoder of reals; the paper has an iResNet-100 trained for face recognition (ArcFace)."""
    real_weights: str | None = None
    """What the real encoder starts from: `hub` (timm's weights), a .safetensors or .pth file, or null (random)."""
    keeps_identity: tuple[str, ...] = ("Face2Face", "NeuralTextures")
    """Manipulations whose fake shows the person of its real; for `variant: deepfakebench` of the loss."""
    swaps_identity: tuple[str, ...] = ("Deepfakes", "FaceSwap", "FaceShifter")
    """Manipulations whose fake shows another person."""
    unhashed: ClassVar[frozenset[str]] = ClassifierOptions.unhashed | {
        "teacher",
        "real_encoder",
        "real_weights",
        "keeps_identity",
        "swaps_identity",
    }


class LsdaDetector(ClassifierDetector[LsdaOptions]):
    """The student of LSDA (Yan et al., CVPR 2024)."""

    Options = LsdaOptions

    @classmethod
    def network(cls, options: LsdaOptions, size: int) -> LsdaStudent:
        """Return the student for any size."""
        return LsdaStudent(options.outputs, options.drop_path_rate)

    @classmethod
    def in_training(cls, options: LsdaOptions, job: TrainingJob) -> LsdaStudent:
        """Return, for the loss `lsda`, the student with its teachers; for another, the student.

        Raises DetectorError for an encoder that is none, and if the loss asks for identities that no option tells.
        """
        loss = job.settings.loss
        if loss.name != "lsda":
            return cls.network(options, job.card.input.size)
        from ...training.losses.make import make_loss, method_numbers
        from .lsda_training import Teaching, map_encoder

        where, methods = f"detector '{job.card.name}'", list(method_numbers(job)) or ["made by the source"]
        kinds = dict.fromkeys(options.keeps_identity, 1) | dict.fromkeys(options.swaps_identity, -1)
        sides = [0, *(kinds.get(name, 0) for name in methods)] if make_loss(loss).pairs else []
        if sides and not any(sides):
            raise DetectorError(
                f"{where}: loss 'lsda' (deepfakebench) compares identities, and no option says which manipulations "
                f"keep them: name {', '.join(methods)} in keeps_identity or swaps_identity, or use the variant paper"
            )

        def encoder(name: str, weights: str | None, rate: float) -> nn.Module:
            made = map_encoder(name, WIDTH, rate)
            if weights is not None:
                load_pretrained(made, ImageNet(name, ("backbone",), first="conv_stem.weight"), weights, job.card.folder)
            return made

        try:
            real = encoder(options.real_encoder, options.real_weights, 0.0)
            rate, source = options.drop_path_rate, options.pretrained
            teaching = Teaching(real, lambda: encoder(options.teacher, source, rate), len(methods), WIDTH, sides)
        except ValueError as error:
            raise DetectorError(f"{where}: {error}") from None
        start = f"from {options.real_weights}" if options.real_weights else "from random weights"
        note = f"the real encoder is {options.real_encoder}, {start}: the paper has an iResNet-100 of ArcFace"
        return LsdaTraining(options.outputs, rate, teaching, (note,))

    @classmethod
    def imagenet(cls, options: LsdaOptions) -> ImageNet:
        """Return timm's EfficientNet-B4."""
        return ImageNet(MODEL, ("backbone",), first="conv_stem.weight")
