"""Reading torch checkpoints (.pth, .pt, .bin) as data: nothing that a file names is imported or called.

A checkpoint is a pickle, and a pickle is a program that may call anything. Here the one thing that it can have built
is a place of a tensor in the file; whatever else it names becomes an inert stub. Both of torch's formats are read: the
zip archive (since 1.6) and the older row of pickles. Not by `torch.load` with an unpickler of ours, since that also
hands some archives to TorchScript, unpacks tar files, and reads optimiser states that nobody asked for.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch

from ..errors import DetectorError, first_line

LEGACY_MAGIC, LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001

DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class Stub:
    """What stands for everything else that a checkpoint names: as class, function or object it does nothing."""

    __slots__ = ()

    def __new__(cls, *args: object, **kwargs: object) -> Stub:
        """Made from anything."""
        return object.__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Takes anything."""

    def __call__(self, *args: object, **kwargs: object) -> Stub:
        """Called with anything, it is itself."""
        return self

    def __setstate__(self, state: object = None) -> None:
        """Takes no state."""

    def __setitem__(self, key: object = None, value: object = None) -> None:
        """Keeps no item."""

    def append(self, item: object = None) -> None:
        """Keeps no item."""

    def extend(self, items: object = None) -> None:
        """Keeps no items."""

    def add(self, item: object = None) -> None:
        """Keeps no item."""


class _Fixed:
    """An object whose state a pickle cannot set."""

    def __setstate__(self, state: object = None) -> None:
        pass


class _Dict(dict[Any, Any]):
    """Read in an OrderedDict's place; the attributes that a state dict carries are not."""

    def __setstate__(self, state: object = None) -> None:
        pass


@dataclass(frozen=True)
class _Kind(_Fixed):
    """A storage's class: its dtype."""

    dtype: torch.dtype


@dataclass(frozen=True)
class _Storage(_Fixed):
    """A run of `count` values in the file."""

    file: PickledFile
    key: str
    dtype: torch.dtype
    count: int


@dataclass(frozen=True)
class StoredTensor(_Fixed):
    """A tensor that lies in the file; `read` fetches it."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def read(self) -> torch.Tensor:
        """The tensor, on the CPU. Raises DetectorError where the file does not hold all of it."""
        values = self.storage.file.values(self.storage)
        try:
            return values.as_strided(self.shape, self.stride, self.offset)
        except RuntimeError as error:
            raise _unreadable(self.storage.file.path, error) from None


@dataclass(frozen=True)
class _Call(_Fixed):
    """One of the few functions that a checkpoint may call. Not the function itself: a pickle can set attributes."""

    function: Callable[..., Any]

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> StoredTensor | Stub:
    """In the place of torch's `_rebuild_tensor` and `_rebuild_tensor_v2`."""
    if not isinstance(storage, _Storage):
        return Stub()
    numbers = (offset, *shape, *stride)
    if len(shape) != len(stride) or not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError(f"a tensor of shape {shape}, strides {stride} and offset {offset}")
    return StoredTensor(storage, offset, tuple(shape), tuple(stride))


def _parameter(data: Any, *_: Any) -> Any:
    """In the place of torch's `_rebuild_parameter` and `_rebuild_parameter_with_state`."""
    return data


CALLS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Dict,
    ("torch._utils", "_rebuild_tensor"): _Call(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Call(_tensor),
    ("torch._utils", "_rebuild_parameter"): _Call(_parameter),
    ("torch._utils", "_rebuild_parameter_with_state"): _Call(_parameter),
}


class _Unpickler(pickle.Unpickler):
    """Builds plain containers and places of tensors, and stubs for all other names."""

    def __init__(self, stream: BinaryIO | io.BytesIO, file: PickledFile) -> None:
        super().__init__(stream)
        self.file = file

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the file stands for. Nothing is imported."""
        if module in ("torch", "torch.cuda", "torch.storage") and name in DTYPES:
            return _Kind(DTYPES[name])
        if (module, name) in CALLS:
            return CALLS[module, name]
        self.file.stubbed.add(f"{module}.{name}")
        return Stub

    def persistent_load(self, identifier: Any) -> Any:
        """A storage: ("storage", kind, key, device, count), and a view of it in files older than torch 0.4."""
        match identifier:
            case (("storage" | b"storage"), _Kind(dtype), str(key), _, int(count), *view) if view in ([], [None]):
                storage = _Storage(self.file, key, dtype, count)
                return self.file.storages.setdefault(key, storage)
        return Stub()


@dataclass
class PickledFile:
    """An open checkpoint: `data` is what was pickled, with a `StoredTensor` for every tensor."""

    path: Path
    data: Any = None
    stubbed: set[str] = field(default_factory=set)
    """Names in the file that became stubs."""
    storages: dict[str, _Storage] = field(default_factory=dict)
    _places: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Where a storage's bytes start, and how many there are."""
    _last: tuple[str, torch.Tensor] | None = None

    def values(self, storage: _Storage) -> torch.Tensor:
        """All values of a storage, [count]. Raises DetectorError. The last one is kept: tensors may share it."""
        if self._last is not None and self._last[0] == storage.key:
            return self._last[1]
        start, size = self._places.get(storage.key, (0, -1))
        if size != storage.count * storage.dtype.itemsize:
            raise DetectorError(f"checkpoint '{self.path}' does not hold the values of storage '{storage.key}'")
        try:
            with self.path.open("rb") as stream:
                stream.seek(start)
                data = bytearray(stream.read(size))
        except OSError as error:
            raise _unreadable(self.path, error) from None
        if len(data) != size:
            raise DetectorError(f"checkpoint '{self.path}' cannot be read: it is cut off; fetch it anew")
        values = torch.frombuffer(data, dtype=storage.dtype) if size else torch.empty(0, dtype=storage.dtype)
        self._last = (storage.key, values)
        return values

    def read_zip(self, stream: BinaryIO) -> None:
        """Read the archive's directory and its pickle; tensors stay where they are."""
        with zipfile.ZipFile(stream) as archive:
            members = {member.filename: member for member in archive.infolist()}
            pickles = [name for name in members if name.split("/")[1:] == ["data.pkl"]]
            if len(pickles) != 1:
                raise ValueError("a zip file, but not one that torch.save wrote")
            top = pickles[0].split("/")[0]
            order = members.get(f"{top}/byteorder")
            if order is not None and archive.read(order) != b"little":
                raise ValueError("written on a big-endian machine")
            for name, member in members.items():
                if member.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"member '{name}' is compressed, which torch.save never does")
                if name.startswith(f"{top}/data/"):
                    self._places[name.removeprefix(f"{top}/data/")] = _member_place(stream, member)
            self.data = _Unpickler(io.BytesIO(archive.read(pickles[0])), self).load()

    def read_legacy(self, stream: BinaryIO) -> None:
        """Read the row of pickles; the storages lie behind them, each with its count before it."""
        if _Unpickler(stream, self).load() != LEGACY_MAGIC or _Unpickler(stream, self).load() != LEGACY_PROTOCOL:
            raise ValueError("not a file that torch.save wrote")
        _Unpickler(stream, self).load()  # the writer's byte order and sizes
        self.data = _Unpickler(stream, self).load()
        for key in _Unpickler(stream, self).load():
            storage = self.storages.get(key)
            if storage is None:
                raise ValueError(f"storage '{key}' is of a kind that is not known here")
            (count,) = struct.unpack("<q", stream.read(8))
            size = storage.count * storage.dtype.itemsize
            if count != storage.count:
                raise ValueError(f"storage '{key}' has {count} values instead of {storage.count}")
            self._places[key] = (stream.tell(), size)
            stream.seek(size, io.SEEK_CUR)


def _member_place(stream: BinaryIO, member: zipfile.ZipInfo) -> tuple[int, int]:
    """Where a stored member's bytes start (behind its own header, whose length differs from the directory's)."""
    stream.seek(member.header_offset)
    header = stream.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise ValueError(f"member '{member.filename}' has no header")
    name, extra = struct.unpack("<HH", header[26:30])
    return member.header_offset + 30 + name + extra, member.file_size


def open_pickled(path: Path) -> PickledFile:
    """Open a checkpoint that `torch.save` wrote, without running anything in it. Raises DetectorError in one line."""
    file = PickledFile(path)
    try:
        with path.open("rb") as stream:
            if zipfile.is_zipfile(stream):
                file.read_zip(stream)
            else:
                stream.seek(0)
                file.read_legacy(stream)
    except Exception as error:  # what a broken or hostile pickle raises is anything
        raise _unreadable(path, error) from None
    return file


def _unreadable(path: Path, error: Exception) -> DetectorError:
    return DetectorError(
        f"checkpoint '{path}' cannot be read: {first_line(error)}; give a file that torch.save wrote, or a .safetensors"
    )
