"""CLIP's image tower from another source than the published file: a file, the folder of a CLIP, or a hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ....cards.models import validate
from ....core.errors import DetectorError, first_line
from ....core.parsing import Refused, read_json
from ..clip import ACTIVATIONS, VisionSettings
from .files import Tensors
from .names import tower_names

CONFIG = "config.json"
HUB_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
SUFFIXES = (".pth", ".pt", ".bin", ".safetensors")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


class Tower:
    """An image tower: `names` maps this package's names to the source's, `source` has the tensors."""

    def __init__(self, place: str | Path) -> None:
        """`place` is a file, the folder of a CLIP as transformers writes it, or its name on a hub.

        Raises DetectorError.
        """
        path = Path(place).expanduser()
        if not path.exists() and _HUB_NAME.fullmatch(str(place)) and path.suffix not in SUFFIXES:
            path = _fetched(str(place))
        self.path, self.source = path, Tensors(path)
        self.config = _config(path) if path.is_dir() else {}
        names = self.source.names()
        if path.is_dir():  # a whole CLIP has a text tower and projections too
            names = [name for name in names if name.startswith("vision_model.") or ".vision_model." in name] or names
        self.names = tower_names(names, path)

    def settings(self, read: VisionSettings) -> VisionSettings:
        """Return the settings read from the shapes, with those that only a configuration has.

        These are heads, activation and epsilon. Raises DetectorError for a configuration that contradicts the shapes.
        """
        known = {key: self.config[key] for key in VisionSettings.model_fields if key in self.config}
        found = validate(VisionSettings, {**read.model_dump(), **known}, f"'{self.path / CONFIG}'")
        shaped = ("hidden_size", "intermediate_size", "num_hidden_layers", "image_size", "patch_size")
        for key in shaped:
            if getattr(found, key) != getattr(read, key):
                raise DetectorError(
                    f"'{self.path / CONFIG}' says {key} {getattr(found, key)}, but its weights have "
                    f"{getattr(read, key)}: they do not belong to one model"
                )
        if found.hidden_act not in ACTIVATIONS or found.hidden_size % found.num_attention_heads:
            raise DetectorError(
                f"'{self.path / CONFIG}': activation '{found.hidden_act}' with {found.num_attention_heads} heads is "
                f"not a supported CLIP (activations: {', '.join(ACTIVATIONS)})"
            )
        return found


def _config(folder: Path) -> dict[str, Any]:
    """Return the image tower's part of a CLIP's configuration; empty without one. Raises DetectorError."""
    path = folder / CONFIG
    if not path.is_file():
        return {}
    try:
        found = read_json(path)
    except Refused as error:
        raise DetectorError(f"'{path}' cannot be read: {error}; download it again") from None
    kind = found.get("model_type") if isinstance(found, dict) else None
    if kind not in ("clip", "clip_vision_model"):
        raise DetectorError(f"'{path}' is for a '{kind}': give the folder of a CLIP as --vision-tower")
    vision = found.get("vision_config", {}) if kind == "clip" else found
    # OpenAI's files leave out transformers' defaults.
    return {**({"num_attention_heads": 12} if "num_attention_heads" not in vision else {}), **vision}


def _fetched(name: str) -> Path:
    """Return the folder with a CLIP's files downloaded from the hub. Raises DetectorError."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    from ...weights.pretrained import quiet

    try:
        with quiet():
            config = Path(hf_hub_download(name, CONFIG))
            try:
                hf_hub_download(name, HUB_WEIGHTS[0])
            except EntryNotFoundError:
                hf_hub_download(name, HUB_WEIGHTS[1])
    except Exception as error:
        raise DetectorError(
            f"CLIP '{name}' cannot be downloaded: {first_line(error)}; give --vision-tower a file or the folder of a "
            "CLIP, or a name on a hub that this machine reaches"
        ) from None
    return config.parent
