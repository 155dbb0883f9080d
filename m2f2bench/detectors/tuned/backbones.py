"""Backbones of transformers and timm: opened with their weights or made without, and what they compute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from ...cards.models import DetectorCard, validate
from ...cards.settings import InputSettings
from ...core.errors import DetectorError, first_line
from ..timm import TimmSource, classifier, own_input, pretrained_classifier
from ..weights.pretrained import check_report, quiet
from ..weights.undrawn import Undrawn
from .options import BackboneSource, Feature, TransformersSource, TunedOptions

CLIP = ("clip", "clip_vision_model")
CLASSIFIER = ("ForImageClassification", "ForVideoClassification")
"""Ends of the names of transformers' classifiers of images and of videos."""


@dataclass
class Backbone:
    """A backbone, the width of its feature, and its source and feature with everything filled in."""

    module: nn.Module
    width: int
    source: BackboneSource
    feature: Feature


def open_backbone(options: TunedOptions, folder: Path, where: str) -> Backbone:
    """Return a backbone with the weights that its source names; random ones are drawn from torch's generator.

    A relative folder of weights starts from `folder`. Raises DetectorError in one line.
    """
    source = options.backbone
    if source.timm is not None:
        return _timm(pretrained_classifier(source.timm, folder), source, where)
    assert source.transformers is not None
    one = source.transformers
    with _one_line(one, where):
        if one.name is None:
            return _of_transformers(_made(one), one, options.feature, where)
        local = folder / Path(one.name).expanduser()
        place = str(local) if local.is_dir() else one.name
        with quiet():
            config = _config(place)
            loaded, report = _class_of(one, config).from_pretrained(place, config=config, output_loading_info=True)
        check_report({**report, "unexpected_keys": _own(report["unexpected_keys"], config)}, f"{where}: '{one.name}'")
        return _of_transformers(loaded.float(), one, options.feature, where)


def empty_backbone(options: TunedOptions, where: str) -> Backbone:
    """Return a backbone without weights, to load a trained detector's own into. Raises DetectorError."""
    source = options.backbone
    if source.timm is not None:
        with Undrawn():
            return _timm(classifier(source.timm, classes=1), source, where)
    assert source.transformers is not None
    if source.transformers.config is None:
        raise DetectorError(
            f"{where}: its card has weights but no options.backbone.transformers.config: train it again"
        )
    with _one_line(source.transformers, where), Undrawn():
        return _of_transformers(_made(source.transformers), source.transformers, options.feature, where)


@contextmanager
def _one_line(source: TransformersSource, where: str) -> Iterator[None]:
    """Turn any other error of transformers into a DetectorError of one line."""
    try:
        yield
    except DetectorError:
        raise
    except Exception as error:
        name = source.name or (source.config or {}).get("model_type")
        raise DetectorError(
            f"{where}: backbone '{name}' cannot be loaded: {first_line(error)}; give a folder with a model of "
            "transformers, a name on a hub that this machine reaches, or a `config` with its model_type"
        ) from None


def _timm(model: nn.Module, source: BackboneSource, where: str) -> Backbone:
    """Return a timm classifier without its head."""
    head: Any = model.get_classifier()  # type: ignore[operator]
    weight = getattr(head, "weight", None)
    if not isinstance(weight, torch.Tensor):
        raise DetectorError(f"{where}: '{cast(TimmSource, source.timm).model}' has no single classifier to replace")
    model.reset_classifier(0)  # type: ignore[operator]
    return Backbone(model, int(weight.shape[1]), source, "classifier")


def _config(place: str) -> Any:
    """Return the configuration in a folder or on the hub; of a CLIP, that of its image tower."""
    from transformers import AutoConfig

    config: Any = AutoConfig.from_pretrained(place)
    if config.model_type == "clip":
        projection = config.projection_dim
        config = config.vision_config
        config.projection_dim = projection
    return config


def _made(source: TransformersSource) -> Any:
    """Return an untrained model of a source's configuration, with transformers' initial weights."""
    from transformers import AutoConfig

    values = dict(source.config or {})
    config = AutoConfig.for_model(values.pop("model_type"), **values)
    kind = _class_of(source, config)
    return kind.from_config(config) if hasattr(kind, "from_config") else kind(config)


def _class_of(source: TransformersSource, config: Any) -> Any:
    """Return the class of a source's model. Raises DetectorError for a name that transformers does not have."""
    import transformers

    named = next(iter(config.architectures or ()), "")
    name = source.architecture
    if name is None and config.model_type in CLIP and not named.endswith(CLASSIFIER):
        name = "CLIPVisionModelWithProjection" if named == "CLIPVisionModelWithProjection" else "CLIPVisionModel"
    if name is None:
        name = named if named.endswith(CLASSIFIER) else "AutoModel"
    found = getattr(transformers, name, None)
    if not isinstance(found, type) or not hasattr(found, "from_pretrained"):
        raise DetectorError(f"transformers has no model class '{name}'")
    return found


def _own(unexpected: Any, config: Any) -> list[str]:
    """Return a folder's unexpected tensors without those of parts left out: CLIP's text tower, a classifier."""
    if config.model_type != "clip_vision_model":
        return [name for name in unexpected if not str(name).startswith(("classifier.", "head.", "pooler."))]
    left_out = ("text_model.", "text_projection.", "visual_projection.", "logit_scale")
    return [name for name in unexpected if not str(name).startswith(left_out)]


def _of_transformers(model: Any, source: TransformersSource, wanted: Feature | None, where: str) -> Backbone:
    """Return a model of transformers as a backbone: a classifier without its head, or a model with a feature."""
    name = type(model).__name__
    feature: Feature = wanted or ("classifier" if name.endswith(CLASSIFIER) else "pooled")
    config = model.config
    if feature == "classifier":
        width = _without_head(model, where)
    elif feature == "projected":
        width = int(getattr(config, "projection_dim", 0))
        if not hasattr(model, "visual_projection"):
            raise DetectorError(
                f"{where}: {name} has no projected feature: set options.backbone.transformers.architecture to "
                "CLIPVisionModelWithProjection"
            )
    else:
        width = int(config.hidden_sizes[-1] if hasattr(config, "hidden_sizes") else config.hidden_size)
    plain = {**config.to_diff_dict(), "model_type": config.model_type}
    for key in ("transformers_version", "architectures", "dtype", "torch_dtype", "_name_or_path"):
        plain.pop(key, None)
    filled = source.model_copy(update={"config": plain, "architecture": name})
    return Backbone(model, width, BackboneSource(transformers=filled), feature)


def _without_head(model: Any, where: str) -> int:
    """Put an identity in the place of a classifier's last layer, and return that layer's number of inputs.

    It is the layer whose shape follows the number of labels. Raises DetectorError unless there is exactly one, a linear
    layer.
    """
    shapes = []
    for labels in (3, 5):
        config = type(model.config).from_dict(
            {**model.config.to_dict(), "id2label": {i: str(i) for i in range(labels)}}
        )
        with torch.device("meta"):
            other = type(model)(config)
        shapes.append({name: tuple(value.shape) for name, value in other.named_parameters()})
    layers = {name.rpartition(".")[0] for name, shape in shapes[0].items() if shapes[1][name] != shape}
    found = {name: model.get_submodule(name) for name in layers}
    if len(found) != 1 or not all(isinstance(layer, nn.Linear) for layer in found.values()):
        raise DetectorError(f"{where}: {type(model).__name__} has {len(found)} last layers, not one linear layer")
    ((name, layer),) = found.items()
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, nn.Identity())
    return int(layer.in_features)


def own_settings(card: DetectorCard, options: TunedOptions) -> InputSettings:
    """Return the card's input, with unset values from the backbone's own: of timm's configuration, or size, mean and
    standard deviation of a folder's or a hub's image processor. Raises DetectorError."""
    source = options.backbone
    if source.timm is not None:
        return own_input(card, source.timm)
    assert source.transformers is not None
    given = card.input.model_dump(include=card.input.model_fields_set)
    if {"size", "mean", "std"} <= set(given) or source.transformers.name is None:
        return card.input
    from transformers import AutoImageProcessor

    local = card.folder / Path(source.transformers.name).expanduser()
    try:
        with quiet():
            processor = AutoImageProcessor.from_pretrained(str(local) if local.is_dir() else source.transformers.name)
    except Exception as error:
        raise DetectorError(
            f"detector '{card.name}': the input of '{source.transformers.name}' is unknown ({first_line(error)}): set "
            "size, mean and std under `input`"
        ) from None
    own: dict[str, Any] = {"mean": processor.image_mean, "std": processor.image_std}
    size = getattr(processor, "crop_size", None) or processor.size
    found = {int(size[key]) for key in ("height", "width", "shortest_edge") if size.get(key)}
    if len(found) == 1:
        own["size"] = found.pop()
    return validate(InputSettings, {**own, **given}, f"input of detector '{card.name}'")
