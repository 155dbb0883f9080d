"""Any timm image classifier as a detector: fine-tuned, or frozen with a logistic regression on its feature maps."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from ..cards import DetectorCard, validate
from ..errors import DetectorError, first_line, near
from ..settings import InputSettings, Probability, Settings
from ..training.device import pick_device
from ..training.job import FitReport, TrainingJob
from .base import file_fingerprint, trained_weights
from .network import NetworkDetector, Normalise, resize
from .offline import efficientnet_to_timm, offline_weights

if TYPE_CHECKING:
    from ..records import Floats, Frame
    from ..training.linear import LinearModel


class TimmOptions(Settings):
    """Options of the `timm` backend."""

    model: str
    """timm's name of the architecture, such as `tf_efficientnet_lite0`."""
    mode: Literal["finetune", "probe"] = "finetune"
    """`finetune`: all weights are trained; `probe`: a logistic regression on frozen features."""
    pretrained: str | None = None
    """Where training starts: `offline` (an installed package), `hub`, a .safetensors or .pth file, null (random)."""
    drop_rate: Probability = 0.0
    drop_path_rate: Probability = 0.0
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Passed to `timm.create_model`."""


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
        """Float64 [B, features]: per stage the channels' means, then their (population) standard deviations."""
        parts: list[torch.Tensor] = []
        for maps in self.backbone(inputs):
            flat = maps.flatten(2).double()
            parts += [flat.mean(2), flat.std(2, correction=0)]
        return torch.cat(parts, dim=1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits of fake, float64 [B], for inputs float32 [B, 3, S, S]."""
        standardised = (self.features(inputs) - self.mean) / self.scale
        logits: torch.Tensor = (standardised * self.coef).sum(1) + self.intercept
        return logits

    def set_linear(self, model: LinearModel) -> None:
        """Take over a fitted logistic regression."""
        for name in ("mean", "scale", "coef"):
            getattr(self, name).copy_(torch.from_numpy(getattr(model, name)))
        self.intercept.fill_(model.intercept)


class TimmDetector(NetworkDetector):
    """A timm network with one logit, trained with binary cross-entropy for fake = 1; P(fake) is its sigmoid."""

    @classmethod
    def from_card(cls, card: DetectorCard, device: str = "auto") -> TimmDetector:
        """Load the card's weights. Raises DetectorError for an untrained card and weights that do not fit."""
        from ..training.checkpoint import read_tensors

        options = _options(card)
        path = trained_weights(card)
        model = _probe(options) if options.mode == "probe" else _classifier(options, classes=1)
        load_strictly(model, read_tensors(path)[0], path)
        identity = (options.model_dump_json(exclude={"pretrained"}), str(card.input))
        return cls(model, card.input, device, file_fingerprint(path, *identity))

    @classmethod
    def fit(cls, job: TrainingJob) -> FitReport:
        """Fine-tune with the training loop, or fit the probe on unaugmented training frames."""
        from ..training.checkpoint import finished_report

        options = _options(job.card)
        done = finished_report(job)
        if done is not None:
            return done
        return _fit_probe(job, options) if options.mode == "probe" else _finetune(job, options)


def _options(card: DetectorCard) -> TimmOptions:
    return validate(TimmOptions, card.options, f"options of detector '{card.name}'")


def _create(options: TimmOptions, **more: Any) -> nn.Module:
    """`timm.create_model` with errors in one line. Unless `pretrained` says so, nothing is downloaded."""
    import timm

    base = options.model.split(".")[0]
    if not options.model.startswith("hf-hub:") and not timm.is_model(base):
        raise DetectorError(f"timm has no model '{options.model}'{near(base, timm.list_models())}")
    settings = {"drop_rate": options.drop_rate, "drop_path_rate": options.drop_path_rate, **options.model_kwargs}
    settings = {key: value for key, value in settings.items() if value or key in options.model_kwargs}
    try:
        model: nn.Module = timm.create_model(options.model, **{**settings, **more})
    except Exception as error:
        raise DetectorError(
            f"timm cannot make '{options.model}': {first_line(error)}; mend the card's options"
        ) from None
    return model


def _classifier(options: TimmOptions, classes: int, pretrained: bool = False) -> nn.Module:
    return _create(options, num_classes=classes, pretrained=pretrained)


def _probe(options: TimmOptions) -> Probe:
    """The untrained probe; its number of features follows from the backbone's channels."""
    backbone = _create(options, features_only=True, pretrained=False)
    return Probe(backbone, 2 * sum(backbone.feature_info.channels()))  # type: ignore[operator, union-attr]


def load_strictly(model: nn.Module, tensors: dict[str, torch.Tensor], path: Path, head: tuple[str, ...] = ()) -> None:
    """Load a state dict whose names and shapes must be the model's, but for tensors whose name starts with `head`.

    Raises DetectorError naming the first missing, unexpected or differently shaped tensor and counting the rest.
    """
    own = model.state_dict()

    def free(name: str) -> bool:
        return bool(head) and name.startswith(head)

    problems = {
        "missing": [name for name in own if name not in tensors and not free(name)],
        "unexpected": [name for name in tensors if name not in own and not free(name)],
        "of another shape": [
            name for name in own if name in tensors and tensors[name].shape != own[name].shape and not free(name)
        ],
    }
    for what, names in problems.items():
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise DetectorError(
                f"weights '{path}' do not fit {type(model).__name__}: tensor '{names[0]}'{more} {what}; "
                "is this the file of another model?"
            )
    model.load_state_dict({name: tensors[name] for name in own if name in tensors and not free(name)}, strict=False)


def _pretrained(options: TimmOptions, folder: Path) -> nn.Module:
    """The architecture with one logit, its other weights from where `options.pretrained` says."""
    source = options.pretrained
    if source == "hub":
        return _classifier(options, classes=1, pretrained=True)
    model = _classifier(options, classes=1)
    if source == "offline":
        path = offline_weights(options.model)
        full = _create(options, pretrained=False)
        tensors = efficientnet_to_timm(read_weights(path), full)
        load_strictly(model, tensors, path, _head(model))
    elif source is not None:
        path = folder / Path(source).expanduser()
        load_strictly(model, read_weights(path), path, _head(model))
    return model


def _head(model: nn.Module) -> tuple[str, ...]:
    """Prefixes of the classifier's tensors, which a pretrained file may have otherwise."""
    names = model.pretrained_cfg["classifier"]  # type: ignore[index]
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))


def _reset_head(model: nn.Module) -> None:
    """Start the one logit near zero: some of timm's initialisations scale with the number of classes and make a
    single output very large."""
    for name, value in model.named_parameters():
        if name.startswith(_head(model)):
            nn.init.normal_(value, std=0.01) if value.ndim > 1 else nn.init.zeros_(value)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors file or of a .pth file (a state dict, bare or under `state_dict` or `model`).

    A .pth is read without running anything in it. Raises DetectorError.
    """
    if path.suffix == ".safetensors":
        from ..training.checkpoint import read_tensors

        return read_tensors(path)[0]
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DetectorError(
            f"weights '{path}' cannot be read: {first_line(error)}; give a .safetensors or a plain .pth state dict"
        ) from None
    for key in ("state_dict", "model"):
        if isinstance(data, dict) and isinstance(data.get(key), dict):
            data = data[key]
    if not isinstance(data, dict) or not all(isinstance(value, torch.Tensor) for value in data.values()):
        raise DetectorError(f"weights '{path}' hold no state dict: give a .safetensors or a plain .pth state dict")
    return {str(name).removeprefix("module."): value for name, value in data.items()}


def _finetune(job: TrainingJob, options: TimmOptions) -> FitReport:
    from ..training.loop import Network, fit_network

    settings = job.card.input
    with torch.random.fork_rng():
        torch.manual_seed(job.settings.seed)
        model = _pretrained(options, job.card.folder)
        _reset_head(model)
    return fit_network(
        job,
        Network(
            model=model,
            prepare=partial(resize, settings=settings),
            normalise=Normalise(settings),
            metadata={"architecture": options.model, "input": str(settings)},
        ),
    )


def _fit_probe(job: TrainingJob, options: TimmOptions) -> FitReport:
    """Features of every frame once, then the logistic regression; backbone and regression go into one file."""
    from ..training.checkpoint import write_report, write_tensors
    from ..training.linear import fit_on_features

    device = pick_device(job.device)
    if options.pretrained is None:
        raise DetectorError(f"detector '{job.card.name}': a probe of random weights: set `pretrained` in its options")
    probe = _probe(options)
    tensors = _pretrained(options, job.card.folder).state_dict()
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
    """The readable frames and their features, float64 [N, F]."""
    from ..training.reading import FrameReader

    reader, normalise, size = FrameReader(job.read), Normalise(settings), job.settings.batch_size
    device = next(probe.parameters()).device
    kept: list[Frame] = []
    rows: list[Floats] = [np.zeros((0, probe.mean.numel()))]
    for start in range(0, len(frames), size):
        pairs = [(frame, reader.get(frame)) for frame in frames[start : start + size]]
        ready = [(frame, resize(image, settings)) for frame, image in pairs if image is not None]
        reader.check(len(frames))
        if not ready:
            continue
        kept += [frame for frame, _ in ready]
        batch = torch.from_numpy(np.stack([image for _, image in ready])).to(device)
        with torch.inference_mode():
            rows.append(probe.features(normalise(batch)).cpu().numpy())
    return kept, np.concatenate(rows)
