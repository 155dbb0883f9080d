"""Sources of tensors: a published file or folder (with an index or not), and CLIP's image tower from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ....cards.models import validate
from ....core.errors import DetectorError, first_line
from ....core.parsing import Refused, read_json
from ...weights.load import SafeTensor, WeightFile, open_weights
from ...weights.pickled import StoredTensor
from ...weights.pretrained import quiet
from ..clip import ACTIVATIONS, VisionSettings
from .names import tower_names

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
WHOLES = ("model.safetensors", "pytorch_model.bin")
CONFIG = "config.json"
SUFFIXES = (".pth", ".pt", ".bin", ".safetensors")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


class Tensors:
    """The tensors of a file, or of a folder's shards; a shard is opened only when needed."""

    def __init__(self, path: Path) -> None:
        """`path` is a .pth, .pt, .bin or .safetensors file, or a folder with one or an index. Raises DetectorError."""
        self.path = path
        self._shards: dict[Path, WeightFile] = {}
        if not path.exists():
            raise DetectorError(f"'{path}' does not exist")
        self._places = self._index() if path.is_dir() else dict.fromkeys(self._shard(path).tensors, path)

    def names(self) -> list[str]:
        """Return the names of all tensors, in the file's order."""
        return list(self._places)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape. Raises DetectorError if the index names a file that does not have it."""
        return self._of(name).shape

    def read(self, name: str) -> torch.Tensor:
        """Return a tensor, on the CPU."""
        return self._of(name).read()

    def finite(self, name: str, path: Path) -> torch.Tensor:
        """Return a tensor of finite numbers, on the CPU. Raises DetectorError for others in the weights `path`."""
        tensor = self.read(name)
        if not tensor.is_floating_point() or not bool(tensor.isfinite().all()):
            raise DetectorError(f"weights '{path}': tensor '{name}' ({tensor.dtype}) has values that are not finite")
        return tensor

    @property
    def files(self) -> list[Path]:
        """The files that were opened."""
        return sorted(self._shards)

    @property
    def stubbed(self) -> list[str]:
        """Names in the opened checkpoints that were not built."""
        return sorted(set().union(*(shard.stubbed for shard in self._shards.values())))

    def _of(self, name: str) -> SafeTensor | StoredTensor:
        path = self._places[name]
        tensor = self._shard(path).tensors.get(name)
        if tensor is None:
            raise DetectorError(f"weights '{path}' lack tensor '{name}', which is in the index; download them again")
        return tensor

    def _shard(self, path: Path) -> WeightFile:
        if path not in self._shards:
            if not path.is_file():
                raise DetectorError(f"weights '{path}' do not exist: download that part of the folder too")
            self._shards[path] = open_weights(path)
        return self._shards[path]

    def _index(self) -> dict[str, Path]:
        """Return which file of the folder has which tensor."""
        index = next((self.path / name for name in INDEXES if (self.path / name).is_file()), None)
        if index is None:
            whole = next((self.path / name for name in WHOLES if (self.path / name).is_file()), None)
            if whole is None:
                raise DetectorError(f"folder '{self.path}' has none of {', '.join((*INDEXES, *WHOLES))}")
            return dict.fromkeys(self._shard(whole).tensors, whole)
        try:
            places = read_config(index, "index ")["weight_map"]
        except (KeyError, TypeError) as error:
            raise DetectorError(f"index '{index}' cannot be read: {first_line(error)}; download it again") from None
        if not isinstance(places, Mapping) or not all(_is_name(place) for place in places.values()):
            raise DetectorError(f"index '{index}': its weight_map must name a file in the same folder for each tensor")
        return {name: self.path / place for name, place in places.items()}


def _is_name(place: object) -> bool:
    return isinstance(place, str) and place not in ("", ".", "..") and not set(place) & set("/\\\0")


def read_config(path: Path, what: str = "") -> Any:
    """Return the content of a JSON file; `what` is its kind, for messages. Raises DetectorError."""
    try:
        return read_json(path)
    except Refused as error:
        raise DetectorError(f"{what}'{path}' cannot be read: {error}; download it again") from None


class Tower:
    """An image tower: `names` maps this package's names to the source's, `source` has the tensors."""

    def __init__(self, place: str | Path) -> None:
        """`place` is a file, the folder of a CLIP as transformers writes it, or its name on a hub.

        Raises DetectorError.
        """
        path = Path(place).expanduser()
        if not path.exists() and is_hub_name(str(place)):
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
        for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "image_size", "patch_size"):
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


def is_hub_name(text: str) -> bool:
    """Return whether a text can be a name on the Hugging Face hub, and is not a file of weights."""
    return _HUB_NAME.fullmatch(text) is not None and Path(text).suffix not in SUFFIXES


def _config(folder: Path) -> dict[str, Any]:
    """Return the image tower's part of a CLIP's configuration; empty without one. Raises DetectorError."""
    path = folder / CONFIG
    if not path.is_file():
        return {}
    found = read_config(path)
    kind = found.get("model_type") if isinstance(found, dict) else None
    if kind not in ("clip", "clip_vision_model"):
        raise DetectorError(f"'{path}' is for a '{kind}': give the folder of a CLIP as --vision-tower")
    vision = found.get("vision_config", {}) if kind == "clip" else found
    # OpenAI's files leave out transformers' defaults.
    return {"num_attention_heads": 12, **vision}


def _fetched(name: str) -> Path:
    """Return the folder with a CLIP's files downloaded from the hub. Raises DetectorError."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        with quiet():
            config = Path(hf_hub_download(name, CONFIG))
            try:
                hf_hub_download(name, WHOLES[0])
            except EntryNotFoundError:
                hf_hub_download(name, WHOLES[1])
    except Exception as error:
        raise DetectorError(
            f"CLIP '{name}' cannot be downloaded: {first_line(error)}; give --vision-tower a file or the folder of a "
            "CLIP, or a name on a hub that this machine reaches"
        ) from None
    return config.parent
