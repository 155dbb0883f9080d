"""Any timm image classifier as a detector: fine-tuned, or frozen with a logistic regression on its feature maps."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from ..cards.models import DetectorCard, validate
from ..cards.settings import InputSettings, Probability, Settings
from ..core.arithmetic import exact_fp32
from ..core.errors import DetectorError, first_line, near
from ..core.tensors import write_tensors
from ..training.device import process_device, send
from ..training.job import FitReport, TrainingJob, finished_report, write_report
from ..training.processes import together
from .base import file_fingerprint, trained_weights
from .network import RESAMPLING, NetworkDetector, Normalise, resize, train
from .weights.load import load_strictly, load_weights, read_weights
from .weights.pretrained import efficientnet_to_timm, offline_weights
from .weights.undrawn import Undrawn

if TYPE_CHECKING:
    from ..core.records import Floats, Frame
    from ..training.linear import LinearModel


class TimmSource(Settings):
    """A timm network and where its weights come from."""

    model: str
    """timm's name of the architecture, such as `tf_efficientnet_lite0`."""
    pretrained: str | None = None
    """Initial weights: `offline` (an installed package), `hub`, a .safetensors or .pth file, or null (random)."""
    drop_rate: Probability = 0.0
    drop_path_rate: Probability = 0.0
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Passed to `timm.create_model`."""


class TimmOptions(TimmSource):
    """Options of the `timm` backend."""

    mode: Literal["finetune", "probe"] = "finetune"
    """`finetune`: all weights are trained; `probe`: a logistic regression on frozen features."""
    fake_class: Literal[0, 1] | None = None
    """For weights with two outputs, which one is fake: P(fake) is its softmax. For weights with one output, 0 means
    that it is the logit of real, and its sign is changed. None: one output, the logit of fake."""


class Probe(nn.Module):
    """A frozen backbone and a logistic regression on mean and standard deviation of every stage's feature maps."""

    def __init__(self, backbone: nn.Module, features: int) -> None:
        """`backbone` maps [B, 3, S, S] to a list of maps [B, c, h, w]; `features` is twice the sum of the c."""
        super().__init__()
        self.backbone = backbone
        self.mean: torch.Tensor
        self.scale: torch.Tensor
        self.coef: torch.Tensor
        self.intercept: torch.Tensor
        for name, start in (("mean", 0.0), ("scale", 1.0), ("coef", 0.0)):
            self.register_buffer(name, torch.full((features,), start, dtype=torch.float64))
        self.register_buffer("intercept", torch.zeros(1, dtype=torch.float64))

    def features(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return features, float64 [B, features]: each stage's channel means, then population standard deviations."""
        parts: list[torch.Tensor] = []
        for maps in self.backbone(inputs):
            flat = maps.flatten(2).double()
            parts += [flat.mean(2), flat.std(2, correction=0)]
        return torch.cat(parts, dim=1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return logits of fake, float64 [B], for inputs float32 [B, 3, S, S]."""
        standardised = (self.features(inputs) - self.mean) / self.scale
        logits: torch.Tensor = (standardised * self.coef).sum(1) + self.intercept
        return logits

    def set_linear(self, model: LinearModel) -> None:
        """Take the weights of a fitted logistic regression."""
        for name, value in vars(model).items():
            getattr(self, name).copy_(torch.as_tensor(value, dtype=torch.float64))


class TimmDetector(NetworkDetector):
    """A timm network with one logit, trained with binary cross-entropy for fake = 1; P(fake) is its sigmoid."""

    Options: ClassVar[type[TimmOptions]] = TimmOptions
    """The model of a card's options."""

    @classmethod
    def from_card(cls, card: DetectorCard, device: str = "auto") -> TimmDetector:
        """Load the card's weights. Raises DetectorError for an untrained card or weights that do not fit."""
        options = _options(card)
        path = trained_weights(card)
        with Undrawn():
            model = _probe(options) if options.mode == "probe" else classifier(options, classes=1)
        outputs = () if options.mode == "probe" else _head(model)
        metadata = load_weights(model, path, outputs=outputs, fake=options.fake_class, spare=True)
        # Weights that were trained here record their input, so the card's meaning has not changed since.
        settings = card.input if "input" in metadata else own_input(card, options)
        identity = (_identity(options), str(settings))
        return cls(model, settings, device, file_fingerprint(path, *identity))

    @classmethod
    def takes_size(cls, card: DetectorCard, size: int) -> bool:
        """Return whether that is the card's size, or timm says that the network takes any."""
        return size == card.input.size or any_size(_options(card))

    @classmethod
    def fit(cls, job: TrainingJob) -> FitReport:
        """Fine-tune with the training loop, or fit the probe on unaugmented training frames."""
        options = _options(job.card)
        settings = own_input(job.card, options)
        job = replace(job, card=job.card.model_copy(update={"input": settings}))
        report = finished_report(job)
        if report is None and options.mode == "finetune":
            report = train(job, partial(_with_new_head, options, job.card.folder), architecture=options.model)
        elif report is None:
            report = _fit_probe(job, options)
        report.input = settings
        return report


def _identity(options: TimmOptions) -> str:
    """Return the options that decide a trained detector's scores, in the key order of the first fingerprints."""
    unset = {"fake_class"} if options.fake_class is None else set()
    content = options.model_dump(mode="json", exclude={"pretrained", *unset})
    return json.dumps({"model": content.pop("model"), "mode": content.pop("mode"), **content}, separators=(",", ":"))


def _options(card: DetectorCard) -> TimmOptions:
    options = validate(TimmOptions, card.options, f"options of detector '{card.name}'")
    if options.fake_class is None and card.fake_class is not None:
        options = options.model_copy(update={"fake_class": card.fake_class})
    return options


def own_input(card: DetectorCard, options: TimmSource) -> InputSettings:
    """Return the card's input, with unset values taken from the network's own configuration.

    Fit and crop depend on the size: they are taken only if the card sets none of the three. Raises DetectorError if the
    network's own input is not square.
    """
    configured = {**_configuration(options), **options.model_kwargs.get("pretrained_cfg_overlay", {})}
    given = options.model_kwargs.get("img_size", configured["input_size"][1:])
    sides = {int(side) for side in (given if isinstance(given, (tuple, list)) else [given])}
    kind, set_here = configured.get("interpolation"), card.input.model_fields_set
    own: dict[str, Any] = {
        "mean": configured["mean"],
        "std": configured["std"],
        "interpolation": kind if kind in RESAMPLING else "bicubic",  # as timm does
    }
    if not set_here & {"size", "fit", "crop"}:
        if len(sides) > 1:
            raise DetectorError(
                f"detector '{card.name}': '{options.model}' takes images of {given}, not square: set input.size"
            )
        own |= {"size": sides.pop(), "crop": configured.get("crop_pct") or 1.0}
        own["fit"] = "centre" if configured.get("crop_mode") == "center" else "squash"
    return validate(
        InputSettings, {**own, **card.input.model_dump(include=set_here)}, f"input of detector '{card.name}'"
    )


def _configuration(options: TimmSource) -> dict[str, Any]:
    """Return timm's configuration of the architecture; for one on the hub, that of the model created."""
    import timm

    try:
        known = None if options.model.startswith("hf-hub:") else timm.get_pretrained_cfg(options.model)
    except RuntimeError as error:  # no such tag of the architecture
        raise _unmakeable(options, error) from None
    made: Any = known.to_dict() if known is not None else classifier(options, classes=1).pretrained_cfg
    return dict(made)


def any_size(options: TimmSource) -> bool:
    """Return whether timm's configuration of the architecture leaves the size of its pictures open."""
    return not _configuration(options).get("fixed_input_size", False) and "img_size" not in options.model_kwargs


def _unmakeable(options: TimmSource, error: Exception) -> DetectorError:
    return DetectorError(f"timm cannot create '{options.model}': {first_line(error)}; correct the card's options")


def _create(options: TimmSource, **more: Any) -> nn.Module:
    """Return the network from `timm.create_model`, with errors in one line. Downloads only if `pretrained` says so."""
    import timm

    base = options.model.split(".")[0]
    if not options.model.startswith("hf-hub:") and not timm.is_model(base):
        raise DetectorError(f"timm has no model '{options.model}'{near(base, timm.list_models())}")
    settings = {"drop_rate": options.drop_rate, "drop_path_rate": options.drop_path_rate, **options.model_kwargs}
    settings = {key: value for key, value in settings.items() if value or key in options.model_kwargs}
    try:
        model: nn.Module = timm.create_model(options.model, **{**settings, **more})
    except Exception as error:
        raise _unmakeable(options, error) from None
    return model


def classifier(options: TimmSource, classes: int, pretrained: bool = False) -> nn.Module:
    """Return the architecture with a head of `classes`; weights from the hub with `pretrained`, else random."""
    return _create(options, num_classes=classes, pretrained=pretrained)


def _probe(options: TimmOptions) -> Probe:
    """Return the untrained probe; its number of features follows from the backbone's channels."""
    backbone = _create(options, features_only=True, pretrained=False)
    return Probe(backbone, 2 * sum(backbone.feature_info.channels()))  # type: ignore[operator, union-attr]


def pretrained_classifier(options: TimmSource, folder: Path) -> nn.Module:
    """Return the architecture with one logit, other weights from the source that `options.pretrained` names."""
    source = options.pretrained
    model = classifier(options, classes=1, pretrained=source == "hub")
    if source == "offline":
        path = offline_weights(options.model)
        tensors = efficientnet_to_timm(read_weights(path), _create(options, pretrained=False))
        load_strictly(model, tensors, path, _head(model))
    elif source not in (None, "hub"):
        load_weights(model, folder / Path(source).expanduser(), _head(model))
    return model


def _head(model: nn.Module) -> tuple[str, ...]:
    """Return prefixes of the classifier's tensors, which may differ in a pretrained file."""
    names = model.pretrained_cfg["classifier"]  # type: ignore[index]
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))


def _with_new_head(options: TimmOptions, folder: Path) -> nn.Module:
    """Return the network before training, with its head's weights drawn near zero.

    Some of timm's initialisations scale with the number of classes and make a single output very large.
    """
    model = pretrained_classifier(options, folder)
    for name, value in model.named_parameters():
        if name.startswith(_head(model)):
            nn.init.normal_(value, std=0.01) if value.ndim > 1 else nn.init.zeros_(value)
    return model


@together()
def _fit_probe(job: TrainingJob, options: TimmOptions) -> FitReport:
    """Compute the features of every frame once, then fit the logistic regression; both go into one file."""
    from ..training.linear import fit_on_features

    device = process_device(job.device)
    if options.pretrained is None:
        raise DetectorError(
            f"detector '{job.card.name}': a probe needs pretrained weights: set `pretrained` in its options"
        )
    probe = _probe(options)
    tensors = pretrained_classifier(options, job.card.folder).state_dict()
    own = probe.backbone.state_dict()
    load_strictly(probe.backbone, {name: tensors[name] for name in own if name in tensors}, Path(options.model))
    probe = probe.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    model, report = fit_on_features(job, lambda frames: _probe_features(job, probe, job.card.input, frames))
    probe.set_linear(model)
    job.out.mkdir(parents=True, exist_ok=True)
    write_tensors(report.weights, probe.state_dict(), {"architecture": options.model, "input": str(job.card.input)})
    write_report(job, report)
    return report


def _probe_features(
    job: TrainingJob, probe: Probe, settings: InputSettings, frames: list[Frame]
) -> tuple[list[Frame], Floats]:
    """Return the readable frames and their features, float64 [N, F]."""
    from ..training.frames import FrameReader

    reader, normalise, size = FrameReader(job.read), Normalise(settings), job.settings.batch_size
    device = next(probe.parameters()).device
    kept: list[Frame] = []
    rows: list[Floats] = [np.zeros((0, probe.mean.numel()))]
    for start in range(0, len(frames), size):
        pairs = ((frame, reader.get(frame)) for frame in frames[start : start + size])
        ready = [(frame, resize(image, settings)) for frame, image in pairs if image is not None]
        reader.check(len(frames))
        if not ready:
            continue
        kept += [frame for frame, _ in ready]
        batch = send([image for _, image in ready], device)
        with exact_fp32(), torch.inference_mode():
            rows.append(probe.features(normalise(batch)).cpu().numpy())
    return kept, np.concatenate(rows)
