"""Sources of a CLIP: a hub name or a local folder, or only a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pydantic import Field, model_validator

from ...cards.models import DetectorCard, validate
from ...cards.settings import Settings
from ...core.errors import DetectorError, first_line
from ..weights.pretrained import quiet
from .clip import ACTIVATIONS, Clip, ClipSettings, VisionSettings, initialise

WORDS = "forged face"


class ClipSource(Settings):
    """Which CLIP, and where its weights come from."""

    name: str | None = None
    """A name on the Hugging Face hub, or a local folder: weights and tokenizer of a CLIPModel."""
    config: ClipSettings | None = None
    """Widths and depths. Together with `name`, it is filled in by training, so that a trained detector needs no hub;
    alone, it means random weights."""
    words: tuple[int, ...] = Field(default=(), max_length=32)
    """Token ids of the prompt: BOS, the words "forged face", EOS. Empty: from the tokenizer of `name`."""

    @model_validator(mode="after")
    def _whole(self) -> ClipSource:
        if self.name is None and self.config is None:
            raise ValueError("give `name` (hub or folder) or `config` (random weights)")
        if self.config is not None:
            vocabulary = self.config.text_config.vocab_size
            if len(self.words) < 3:
                raise ValueError("`config` needs `words`: the token ids of BOS, the prompt's words and EOS")
            if not all(0 <= word < vocabulary for word in self.words):
                raise ValueError(f"`words` {self.words} must be token ids below vocab_size {vocabulary}")
        return self


def open_clip(source: ClipSource, folder: Path) -> tuple[Clip, ClipSource]:
    """Return the CLIP with its weights, and the source with `config` and `words` filled in.

    Random weights are drawn from torch's generator. A relative folder is relative to `folder`, the card's. Raises
    DetectorError in one line.
    """
    if source.name is None:
        assert source.config is not None
        clip = Clip(source.config)
        initialise(clip)
        return clip, source
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
    clip = Clip(config)
    tensors = {key: value for key, value in model.state_dict().items() if key != "logit_scale"}
    clip.load_state_dict({key: value for key, value in tensors.items() if not key.endswith("position_ids")})
    return clip, ClipSource(name=name, config=config, words=words)


def empty_clip(source: ClipSource, where: str) -> Clip:
    """Return the CLIP's modules without weights, to load a trained detector's own into. Raises DetectorError."""
    if source.config is None:
        raise DetectorError(f"{where}: its card has weights but no options.clip.config: train it again")
    with torch.device("meta"):
        clip = Clip(source.config)
    return clip.to_empty(device="cpu")


def check_input(card: DetectorCard, settings: VisionSettings) -> None:
    """Raise DetectorError unless the card's images have the size of CLIP's position embeddings."""
    if card.input.size != settings.image_size:
        raise DetectorError(
            f"detector '{card.name}': its input has {card.input.size} pixels but its CLIP needs "
            f"{settings.image_size}: set input.size"
        )


def clip_settings(config: dict[str, Any], where: str) -> ClipSettings:
    """Return the parts of a transformers CLIP configuration that shape the network. Raises DetectorError."""

    def tower(kind: str) -> dict[str, Any]:
        known = ClipSettings.model_fields[kind].annotation.model_fields  # type: ignore[union-attr]
        return {key: value for key, value in config[kind].items() if key in known}

    found = {kind: tower(kind) for kind in ("vision_config", "text_config")}
    for kind, settings in found.items():
        if settings.get("hidden_act", "quick_gelu") not in ACTIVATIONS:
            raise DetectorError(
                f"{where}: {kind} has activation '{settings['hidden_act']}', not one of {[*ACTIVATIONS]}"
            )
    return validate(ClipSettings, {**found, "projection_dim": config["projection_dim"]}, where)
