"""Backend `m2f2det`: M2F2-Det in its three variants, as a detector with heat maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ...cards.models import DetectorCard, validate
from ...core.errors import DetectorError, first_line, near
from ...training.device import own_draws
from ...training.job import FitReport, TrainingJob, finished_report
from ...training.processes import together
from ..base import Localizer, file_fingerprint, trained_weights
from ..network import NetworkDetector, Normalise, resize, visible_region
from ..timm import TimmSource, classifier, pretrained_classifier
from ..weights.load import load_strictly, load_weights, read_weights
from ..weights.pretrained import quiet
from ..weights.undrawn import Undrawn
from .clip import ACTIVATIONS, Clip, ClipSettings, TextSettings, VisionSettings, initialise
from .features import FeatureCache
from .options import ClipSource, ExplainerOptions, PaperOptions, check_input, without_explainer
from .paper import PaperNetwork
from .projectors import PREFIX, new_projectors
from .towers import DeepfakeEncoder, TimmImages

if TYPE_CHECKING:
    import numpy.typing as npt

    from ...core.records import Image
    from ...training.network import Network

VARIANTS = ("paper", "released-detector", "released-explainer")
WORDS = "forged face"


class M2F2Detector(NetworkDetector, Localizer):
    """M2F2-Det (arXiv 2503.20188): variant `paper`, trained here, or the imported variants `released-*`."""

    @classmethod
    def from_card(cls, card: DetectorCard, device: str = "auto") -> M2F2Detector:
        """Load the card's weights. Raises DetectorError for an untrained card and weights that do not fit."""
        path = trained_weights(card)
        model: nn.Module
        if variant_of(card) == "paper":
            model, identity = open_paper(card, path)
        else:
            from .released.network import load_released

            model, options = load_released(card)
            identity = options.model_dump_json()
        detector = cls(model, card.input, device, file_fingerprint(path, identity, str(card.input)))
        detector.parts = "clip-bf16" if card.options.get("clip_precision") == "bf16" else ""
        detector.precision = detector.parts or "fp32"
        return detector

    @classmethod
    def fit(cls, job: TrainingJob) -> FitReport:
        """Train stage `detector`: CLIP frozen (or its image tower trained with the rest), everything else trained."""
        from ...training.network import fit_network

        variant = variant_of(job.card)
        if variant != "paper":
            raise DetectorError(
                f"detector '{job.card.name}': variant {variant} cannot be trained, only imported: train `paper`"
            )
        done = finished_report(job)
        if done is not None:
            return done
        with together():
            network = _learning(job)
        return fit_network(job, network)

    def compute_in(self, precision: str) -> None:
        """See `Detector.compute_in`; 16 bits reach a frozen image tower, too."""
        super().compute_in(precision)
        if isinstance(self.model, PaperNetwork):
            self.model.exact_tower = precision == "fp32"

    def heatmap(self, images: Sequence[Image]) -> npt.NDArray[np.float32]:
        """Return the forgery attention map M_b, float32 [B, n, n]. Raises DetectorError if the network has no map."""
        prepared = torch.from_numpy(np.stack([self.prepare(image) for image in images]))
        draw = getattr(self.model, "heatmap", None)  # released-detector has no map
        with self.computing(), torch.inference_mode():  # as in `forward`: both write into one buffer
            found = None if draw is None else draw(self.normalise(prepared.to(self.device)))
        if found is None:
            raise DetectorError(f"detector '{self.card.name}' has no heat maps: its network has no map weighting")
        maps: npt.NDArray[np.float32] = found.float().cpu().numpy()
        return maps

    def seen(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Return the centre square of a picture, if the card's input crops to it; otherwise the whole."""
        return visible_region(height, width, self.settings)


def _learning(job: TrainingJob) -> Network:
    """Return the network to be trained, from the card and the seed."""
    from ...training.network import Network

    options, settings = _options(job.card), job.card.input
    with own_draws():
        torch.manual_seed(job.settings.seed)
        model, options = build(options, job.card)
    notes: list[str] = []
    cache = None
    if options.cache_features:
        cache, notes = FeatureCache.for_training(model, job)
        model.look = cache or model.features
    # Features that are kept are computed once, which 16 bits would hardly make faster.
    model.exact_tower = cache is not None or job.settings.precision == "fp32"
    return Network(
        model=model,
        prepare=partial(resize, settings=settings),
        normalise=Normalise(settings),
        frozen=frozen_parts(options),
        metadata={"architecture": f"m2f2det paper {options.cnn.model}", "input": str(settings)},
        options={"clip": options.clip.model_dump(mode="json")},
        notes=notes,
        settle=None if model.map is None else model.map.settle,
        outputs=model.training_outputs,
        gives=model.gives,
        input=settings,
    )


def open_paper(
    card: DetectorCard, path: Path, tensors: dict[str, torch.Tensor] | None = None
) -> tuple[PaperNetwork, str]:
    """Return the trained network of the variant `paper`, and the options that also decide its scores.

    `tensors` are its weights if `path` has more than those.
    """
    options = _options(card)
    clip = empty_clip(options.clip, f"detector '{card.name}'")
    with Undrawn():
        model = _assemble(clip, classifier(options.cnn, classes=1), options, card, partial(classifier, classes=1))
    if tensors is None:
        load_weights(model, path)
    else:
        load_strictly(model, tensors, path)
    _check_temperature(model, path)
    model.fold_prompt()
    return model, options.identity()


def open_parts(card: DetectorCard, options: ExplainerOptions, path: Path) -> tuple[nn.Module, nn.Module, str]:
    """Return network and projectors with the card's weights, and the other options that decide a score.

    Raises DetectorError.
    """
    tensors = read_weights(path)
    own = {name: value for name, value in tensors.items() if not name.startswith(PREFIX)}
    rest = {name.removeprefix(PREFIX): value for name, value in tensors.items() if name.startswith(PREFIX)}
    plain = without_explainer(card)
    network: nn.Module
    if variant_of(plain) == "paper":
        network, identity = open_paper(plain, path, own)
        width = rest["visual.0.bias"].shape[0] if "visual.0.bias" in rest else 1
        projectors: nn.Module = new_projectors(network, options, width)
    else:
        from .released.network import open_released

        if options.visual_pool != 1 or options.region_tokens or "forgery_grid" in options.model_fields_set:
            raise DetectorError(
                f"detector '{card.name}': forgery_grid, region_tokens and visual_pool are only for the variant paper; "
                "published weights have one forgery token and all patches: remove these options"
            )
        network, projectors, identity = open_released(plain, path, own, rest)
    load_strictly(projectors, rest, path)
    return network, projectors, identity


def build(options: PaperOptions, card: DetectorCard) -> tuple[PaperNetwork, PaperOptions]:
    """Return the untrained network, and the options with the CLIP's configuration filled in."""
    clip, source = open_clip(options.clip, card.folder, options.image_tower is not None)
    options = validate(PaperOptions, {**options.model_dump(), "clip": source.model_dump()}, f"detector '{card.name}'")
    fetch = partial(pretrained_classifier, folder=card.folder)
    model = _assemble(clip, fetch(options.cnn), options, card, fetch)
    clip.requires_grad_(False)
    if options.train_vision:
        clip.vision_model.requires_grad_(True)
        clip.visual_projection.requires_grad_(True)
        for name, value in clip.vision_model.named_parameters():
            if name.endswith("k_proj.bias"):  # softmax cancels it: it has no gradient
                value.requires_grad_(False)
    return model, options


def _assemble(
    clip: Clip, cnn: nn.Module, options: PaperOptions, card: DetectorCard, make: Callable[[TimmSource], nn.Module]
) -> PaperNetwork:
    """Return the network of its parts; `make` makes the timm network of an image tower. Raises DetectorError."""
    size, tower = card.input.size, None
    check_input(card, clip.settings.vision_config)
    encoder = DeepfakeEncoder(cnn, options.cnn, size)
    if options.image_tower is not None:
        tower = TimmImages(make(options.image_tower), options.image_tower, size, options.bridge)
    return PaperNetwork(clip, encoder, options, tower)


def frozen_parts(options: PaperOptions) -> tuple[str, ...]:
    """Return the submodules that stay unchanged and in eval mode."""
    if options.image_tower is not None:
        return ("clip", "tower")
    return ("clip.text_model", "clip.text_projection") if options.train_vision else ("clip",)


def variant_of(card: DetectorCard) -> str:
    """Return which of VARIANTS a card describes. Raises DetectorError for an unknown one."""
    variant = str(card.options.get("variant", "paper"))
    if variant not in VARIANTS:
        raise DetectorError(f"detector '{card.name}': unknown variant '{variant}'{near(variant, VARIANTS)}")
    return variant


def _options(card: DetectorCard) -> PaperOptions:
    return validate(PaperOptions, card.options, f"options of detector '{card.name}'")


def _check_temperature(model: PaperNetwork, path: Path) -> None:
    """Raise DetectorError if a map's temperature is below 0, which trainings up to 0.5.0 allowed.

    Such a map leaves [0, 1], and the trained network is not the one computed here.
    """
    temperature = 0.0 if model.map is None else float(model.map.map_scale.detach())
    if not 0.0 <= temperature < float("inf"):
        raise DetectorError(
            f"weights '{path}': tensor 'map.map_scale', the temperature of the forgery map, is {temperature:g}, but it "
            "must be 0 or more for a map in [0, 1] (m2f2bench up to 0.5.0 allowed other values): train it again"
        )


def open_clip(source: ClipSource, folder: Path, text_only: bool = False) -> tuple[Clip, ClipSource]:
    """Return the CLIP with its weights, and the source with `config` and `words` filled in.

    With `text_only` both are without the image side. Random weights are drawn from torch's generator. A relative folder
    is relative to `folder`, the card's. Raises DetectorError in one line.
    """
    if source.name is None:
        assert source.config is not None
        config = source.config.model_copy(update={"vision_config": None}) if text_only else source.config
        clip = Clip(config)
        initialise(clip)
        return clip, source.model_copy(update={"config": config})
    from transformers import CLIPModel, CLIPTokenizer

    name, local = source.name, folder / Path(source.name).expanduser()
    place = str(local) if local.is_dir() else name
    try:
        with quiet():
            model = CLIPModel.from_pretrained(place).float()
            words = source.words or tuple(CLIPTokenizer.from_pretrained(place)(WORDS)["input_ids"])
    except Exception as error:
        raise DetectorError(
            f"CLIP '{name}' cannot be loaded: {first_line(error)}; give a folder with a CLIPModel and its tokenizer, "
            "or a name on a hub that this machine reaches"
        ) from None
    config = clip_settings(model.config.to_dict(), f"CLIP '{name}'")
    if text_only:
        config = config.model_copy(update={"vision_config": None})
    clip = Clip(config)
    unread = ("vision_model.", "visual_projection.", "logit_scale") if text_only else ("logit_scale",)
    tensors = {key: value for key, value in model.state_dict().items() if not key.startswith(unread)}
    clip.load_state_dict({key: value for key, value in tensors.items() if not key.endswith("position_ids")})
    return clip, ClipSource(name=name, config=config, words=words)


def empty_clip(source: ClipSource, where: str) -> Clip:
    """Return the CLIP's modules without weights, to load a trained detector's own into. Raises DetectorError."""
    if source.config is None:
        raise DetectorError(f"{where}: its card has weights but no options.clip.config: train it again")
    with torch.device("meta"):
        clip = Clip(source.config)
    return clip.to_empty(device="cpu")


def clip_settings(config: dict[str, Any], where: str) -> ClipSettings:
    """Return the parts of a transformers CLIP configuration that shape the network. Raises DetectorError."""
    found: dict[str, Any] = {"projection_dim": config["projection_dim"]}
    for kind, model in (("vision_config", VisionSettings), ("text_config", TextSettings)):
        found[kind] = {key: value for key, value in config[kind].items() if key in model.model_fields}
        activation = found[kind].get("hidden_act", "quick_gelu")
        if activation not in ACTIVATIONS:
            raise DetectorError(f"{where}: {kind} has activation '{activation}', not one of {[*ACTIVATIONS]}")
    return validate(ClipSettings, found, where)
