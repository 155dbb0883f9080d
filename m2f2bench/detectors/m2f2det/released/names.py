"""Names and shapes of the tensors in the files that the authors of M2F2-Det published."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from ....core.errors import DetectorError
from ...weights.load import shapes_of
from ..clip import TextSettings, TextTower, VisionSettings, VisionTower, projection
from .network import CNN_CHANNELS, Variant, cnn

Shapes = dict[str, tuple[int, ...]]

TEXT, VISION = "clip_text_encoder.model.text_model.", "clip_vision_encoder.model.vision_model."
CNN = "deepfake_encoder."
LLM_TOWER = "model.vision_tower.vision_tower."
LANGUAGE = ("model.layers.", "model.embed_tokens.", "model.norm.", "lm_head.")
"""Prefixes of the 7B model's LLM, in the names of transformers' LlamaForCausalLM."""
PROJECTORS = ("model.mm_projector.", "deepfake_projector.")
"""Prefixes of the projectors from the image's tokens to the LLM's width."""
BUFFERS = (".position_ids", ".rotary_emb.inv_freq")
BRIDGE = "bridge_adapter_proj.bridge_adapter_"
BRIDGE_MAPS = (112, 160, 272)
"""Channels of the maps of EfficientNet-B4 that the bridge reads."""
FIRST_OF_CNN: dict[Variant, str] = {"released-detector": f"{CNN}0.0.weight", "released-explainer": f"{CNN}conv0.weight"}
HEAD_WIDTH = 64
"""Width of an attention head in every CLIP that OpenAI published."""


@dataclass
class Names:
    """A file's tensors by the names that this package uses.

    `own` maps such a name of the detector's to the file's, `language` those of the LLM, `projectors` those of the two
    projectors (`mm_projector.0.weight`); `buffers` are the old position counters and the rotary embedding's
    frequencies, which follow from the configuration.
    """

    own: dict[str, str] = field(default_factory=dict)
    language: dict[str, str] = field(default_factory=dict)
    projectors: dict[str, str] = field(default_factory=dict)
    buffers: list[str] = field(default_factory=list)

    @property
    def explaining(self) -> list[str]:
        """The file's names that only an explainer needs."""
        return [*self.language.values(), *self.projectors.values()]


def sort_names(names: Iterable[str], path: Path) -> Names:
    """Return a file's names, sorted, in the naming of transformers 4.37 for the first stage.

    A prefix `module.` is removed; names of newer transformers and of the 7B model are converted. Raises DetectorError
    if two names become one.
    """
    listed = list(names)
    llm = any(name.startswith((LLM_TOWER, f"{CNN}{CNN}", f"{CNN}clip_")) for name in listed)
    found = Names()
    for name in listed:
        plain, part = name.removeprefix("module."), found.own
        if name.endswith(BUFFERS):
            found.buffers.append(name)
            continue
        if llm and plain.startswith(LANGUAGE):
            part = found.language
        elif llm and plain.startswith(PROJECTORS):
            plain, part = plain.removeprefix("model."), found.projectors
        elif llm and plain.startswith(LLM_TOWER):
            plain = f"clip_vision_encoder.model.{plain.removeprefix(LLM_TOWER)}"
        elif llm:
            plain = plain.removeprefix(CNN)
        if part is found.own:
            plain = _with_level(_with_level(plain, TEXT), VISION)
        _add(part, plain, name, path)
    return found


def _add(part: dict[str, str], plain: str, name: str, path: Path) -> None:
    """Add a file's name under this package's. Raises DetectorError if another one is there."""
    if plain in part:
        raise DetectorError(f"weights '{path}' have tensor '{plain}' twice: '{part[plain]}' and '{name}'")
    part[plain] = name


def _with_level(name: str, prefix: str) -> str:
    """Return a CLIP name with the level `text_model.` or `vision_model.` that later transformers removed."""
    short = prefix[: prefix.index(".model.") + len(".model.")]
    return prefix + name.removeprefix(short) if name.startswith(short) and not name.startswith(prefix) else name


def tower_names(names: Iterable[str], path: Path) -> dict[str, str]:
    """Return the tensors of a file with only CLIP's image tower, by this package's names.

    Their prefix may be anything that ends in `vision_model.`, or empty. Raises DetectorError.
    """
    found: dict[str, str] = {}
    for name in names:
        if not name.endswith("position_ids"):
            _add(found, VISION + name.removeprefix("module.").rpartition("vision_model.")[2], name, path)
    return found


class Reader:
    """Reads sizes from the shapes of the tensors that decide them. Raises DetectorError if one is missing."""

    def __init__(self, shapes: Shapes, path: Path) -> None:
        """`shapes` are by name; `path` is the file, for messages."""
        self.shapes, self.path = shapes, path

    def size(self, name: str, axis: int, dims: int) -> int:
        """Return the size along an axis of a tensor that must have `dims` axes."""
        shape = self.shapes.get(name)
        if shape is None or len(shape) != dims or not all(shape):
            state = "missing" if shape is None else f"of another shape ({list(shape)}, not {dims} axes)"
            raise DetectorError(
                f"weights '{self.path}' do not fit M2F2-Det: tensor '{name}' {state}; "
                "is this the file of another model?"
            )
        return shape[axis]

    def tower(self, prefix: str, width: int) -> dict[str, int]:
        """Return depth and widths of a CLIP tower. The number of heads is not in a file: one for every 64 values."""
        pattern = re.compile(rf"{re.escape(prefix)}encoder\.layers\.(\d{{1,4}})\.")
        layers = {int(match[1]) for match in map(pattern.match, self.shapes) if match}
        inner = self.size(f"{prefix}encoder.layers.0.mlp.fc1.weight", 0, 2)
        if width > HEAD_WIDTH and width % HEAD_WIDTH:
            raise DetectorError(
                f"weights '{self.path}': a CLIP of width {width} cannot be split into heads of {HEAD_WIDTH}"
            )
        return {
            "hidden_size": width,
            "intermediate_size": inner,
            "num_hidden_layers": max(layers) + 1,
            "num_attention_heads": max(1, width // HEAD_WIDTH),
        }

    def vision(self) -> VisionSettings:
        """Return the image tower's settings."""
        width = self.size(f"{VISION}embeddings.class_embedding", 0, 1)
        patch = self.size(f"{VISION}embeddings.patch_embedding.weight", 3, 4)
        patches = self.size(f"{VISION}embeddings.position_embedding.weight", 0, 2) - 1
        side = round(patches**0.5)
        if side < 1 or side * side != patches:
            raise DetectorError(f"weights '{self.path}': a CLIP of {patches} patches is not for square images")
        return VisionSettings(**self.tower(VISION, width), image_size=side * patch, patch_size=patch)

    def text(self) -> TextSettings:
        """Return the text tower's settings."""
        vocabulary, width = (self.size(f"{TEXT}embeddings.token_embedding.weight", axis, 2) for axis in (0, 1))
        positions = self.size(f"{TEXT}embeddings.position_embedding.weight", 0, 2)
        prompt = self.size("clip_text_encoder.prompt_tokens", 1, 3)
        if positions < prompt:
            raise DetectorError(f"weights '{self.path}': a prompt of {prompt} tokens for {positions} positions")
        tower = self.tower(TEXT, width)
        return TextSettings(**tower, vocab_size=vocabulary, max_position_embeddings=max(4, positions))


def expected_shapes(variant: Variant, reader: Reader, vision: VisionSettings, text: TextSettings) -> Shapes:
    """Return every tensor in the authors' file of this variant, also those without effect, and its shape."""
    width, deepfake = reader.size("vision_proj.0.weight", 0, 2), reader.size("deepfake_proj.0.weight", 0, 2)
    prompt = reader.size("clip_text_encoder.prompt_tokens", 1, 3)
    with torch.device("meta"):
        parts: dict[str, nn.Module] = {
            VISION: VisionTower(vision),
            TEXT: TextTower(text),
            CNN: cnn(variant),
            "clip_": nn.ParameterDict({"vision_alpha": torch.ones(()), "text_alpha": torch.ones(())}),
            "clip_text_encoder.": nn.ParameterDict({"prompt_tokens": torch.zeros(1, prompt, text.hidden_size)}),
            "vision_proj.": projection(vision.hidden_size, width),
            "text_proj.": projection(text.hidden_size, width),
            "deepfake_proj.": projection(CNN_CHANNELS[variant], deepfake),
        }
        third = vision.grid**2
        if variant == "released-detector":
            narrow = reader.size("linear_1.weight", 0, 2)
            third, tokens = (reader.size(f"{BRIDGE}reduction.0.weight", axis, 2) for axis in (0, 1))
            parts["clip_reduction."] = nn.Linear(vision.hidden_size, narrow)
            for number, channels in enumerate(BRIDGE_MAPS, start=1):
                parts[f"linear_{number}."] = nn.Linear(channels, narrow)
            parts[f"{BRIDGE}proj."] = nn.Sequential(nn.Identity(), nn.Linear(narrow, 1), nn.LayerNorm(1))
            parts[f"{BRIDGE}reduction."] = projection(tokens, third)
        parts["output."] = nn.Linear(width + third + deepfake, 2)
    return {
        prefix + name: shape for prefix, part in parts.items() for name, shape in shapes_of(part.state_dict()).items()
    }
