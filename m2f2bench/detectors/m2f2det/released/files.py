"""Tensors of a published file or folder by name: a checkpoint, a .safetensors, or shards with an index."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from ....core.errors import DetectorError, first_line
from ....core.parsing import Refused, read_json
from ...weights.checkpoints import PickledShard, Shard, open_weights

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
WHOLES = ("model.safetensors", "pytorch_model.bin")


class Tensors:
    """The tensors of a file, or of a folder's shards; a shard is opened only when needed."""

    def __init__(self, path: Path) -> None:
        """`path` is a .pth, .pt, .bin or .safetensors file, or a folder with one or an index. Raises DetectorError."""
        self.path = path
        self._shards: dict[Path, Shard] = {}
        if not path.exists():
            raise DetectorError(f"'{path}' does not exist")
        self._places = self._index() if path.is_dir() else dict.fromkeys(self._shard(path).names(), path)

    def names(self) -> list[str]:
        """Return the names of all tensors, in the file's order."""
        return list(self._places)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape. Raises DetectorError if the index names a file that does not have it."""
        return self._of(name).shape(name)

    def read(self, name: str) -> torch.Tensor:
        """Return a tensor, on the CPU."""
        return self._of(name).read(name)

    @property
    def files(self) -> list[Path]:
        """The files that were opened."""
        return sorted(self._shards)

    @property
    def stubbed(self) -> list[str]:
        """Names in the opened checkpoints that were not built."""
        found = (shard.file.stubbed for shard in self._shards.values() if isinstance(shard, PickledShard))
        return sorted(set().union(*found))

    def _of(self, name: str) -> Shard:
        path = self._places[name]
        shard = self._shard(path)
        if name not in shard.names():
            raise DetectorError(f"weights '{path}' lack tensor '{name}', which is in the index; download them again")
        return shard

    def _shard(self, path: Path) -> Shard:
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
            return dict.fromkeys(self._shard(whole).names(), whole)
        try:
            places = read_json(index)["weight_map"]
        except Refused as error:
            raise DetectorError(f"index '{index}' cannot be read: {error}; download it again") from None
        except (KeyError, TypeError) as error:
            raise DetectorError(f"index '{index}' cannot be read: {first_line(error)}; download it again") from None
        if not isinstance(places, Mapping) or not all(_is_name(place) for place in places.values()):
            raise DetectorError(f"index '{index}': its weight_map must name a file in the same folder for each tensor")
        return {name: self.path / place for name, place in places.items()}


def _is_name(place: object) -> bool:
    return isinstance(place, str) and place not in ("", ".", "..") and not set(place) & set("/\\\0")
