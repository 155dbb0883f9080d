"""Torch checkpoints (.pth, .pt, .bin) read as data: nothing that a file names is imported or called.

A checkpoint is a pickle, and a pickle is a program that may call anything. Here, the only object that it can build is
the place of a tensor in the file; everything else becomes an inert stub. Both formats of torch are read: the zip
archive (since 1.6) and the older sequence of pickles. `torch.load` with a custom unpickler is not used, since it also
passes some archives to TorchScript, unpacks tar files, and reads optimiser states. Nor is pickle's unpickler in C,
which reserves as much memory as five bytes of a file ask for, and hashes every key.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import torch

from ...core.errors import DetectorError, first_line
from .weight_files import incomplete

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

LARGEST_PICKLE = 8 << 20
"""Most bytes of a checkpoint's pickle that are read: names, shapes and places; a network of 10,000 tensors has 2 MB."""
LARGEST_DIRECTORY = 16 << 20
"""Most bytes of a zip archive's directory: that of 100,000 tensors."""
FLAT = (str, bytes, int, float, bool, type(None))


class Stub:
    """Stand-in for everything else that a checkpoint names: as class, function or object it does nothing."""

    __slots__ = ()
    named: ClassVar[str] = "nothing known"
    """The name in the file."""

    def __new__(cls, *args: object, **kwargs: object) -> Stub:
        """Accept any arguments."""
        return object.__new__(cls)

    def __call__(self, *args: object, **kwargs: object) -> Stub:
        """Return itself for any arguments."""
        return self

    def _ignore(self, *_: object) -> None:
        """Ignore a state or items."""

    __setstate__ = __setitem__ = append = extend = add = _ignore


class _Fixed:
    """An object whose state a pickle cannot set."""

    def __setstate__(self, state: object = None) -> None:
        pass


class _Dict(_Fixed, dict[Any, Any]):
    """Replacement for any dict.

    The attributes of a state dict are ignored, and so are items with nested keys: hashing a key that is nested a
    million deep would end the process.
    """

    def __init__(self, items: object = ()) -> None:
        super().__init__()
        for key, value in items if isinstance(items, (list, tuple)) else ():
            self[key] = value

    def __setitem__(self, key: object, value: object) -> None:
        parts = key if type(key) is tuple else (key,)
        if all(type(part) in FLAT or isinstance(part, Stub) for part in parts):
            super().__setitem__(key, value)


@dataclass(frozen=True)
class _Storage(_Fixed):
    """A sequence of `count` values in the file."""

    file: PickledFile
    key: str
    dtype: torch.dtype
    count: int


@dataclass(frozen=True)
class StoredTensor(_Fixed):
    """A tensor in the file; `read` loads it."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def read(self) -> torch.Tensor:
        """Return the tensor, on the CPU. Raises DetectorError if the file does not hold all of it."""
        values = self.storage.file.values(self.storage, self.offset, self.span)
        try:
            return values.as_strided(self.shape, self.stride, 0)
        except (RuntimeError, OverflowError) as error:
            raise _unreadable(self.storage.file.path, error) from None

    @property
    def span(self) -> int:
        """Number of values of the storage that it spans."""
        if 0 in self.shape:
            return 0
        return 1 + sum((length - 1) * step for length, step in zip(self.shape, self.stride, strict=True))


@dataclass(frozen=True)
class _Call(_Fixed):
    """One of the few functions that a checkpoint may call. Not the function itself: a pickle can set attributes."""

    function: Callable[..., Any]

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> StoredTensor | Stub:
    """Replace torch's `_rebuild_tensor` and `_rebuild_tensor_v2`."""
    if not isinstance(storage, _Storage):
        return Stub()
    numbers = (offset, *shape, *stride)
    if len(shape) != len(stride) or not all(type(number) is int and 0 <= number < 1 << 48 for number in numbers):
        raise ValueError("a tensor with an invalid shape, stride or offset")
    found = StoredTensor(storage, offset, tuple(shape), tuple(stride))
    if offset + found.span > storage.count:
        raise ValueError(f"a tensor of shape {list(shape)} is outside its storage of {storage.count} values")
    return found


def _parameter(data: Any, *_: Any) -> Any:
    """Replace torch's `_rebuild_parameter` and `_rebuild_parameter_with_state`."""
    return data


CALLS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Dict,
    ("torch._utils", "_rebuild_tensor"): _Call(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Call(_tensor),
    ("torch._utils", "_rebuild_parameter"): _Call(_parameter),
    ("torch._utils", "_rebuild_parameter_with_state"): _Call(_parameter),
}


IN_PYTHON: Any = vars(pickle)["_Unpickler"]
"""The standard library's unpickler written in Python."""
END_RECORD: Any = vars(zipfile)["_EndRecData"]
"""The standard library's reader of a zip archive's end, which `ZipFile` uses before it reads the directory."""


class _Unpickler(IN_PYTHON):  # type: ignore[misc]
    """Unpickler that builds lists, dicts and places of tensors, and stubs for sets and all other names."""

    def __init__(self, stream: io.BytesIO, file: PickledFile) -> None:
        super().__init__(stream)
        self.file = file

    def push_dict(self) -> None:
        self.append(_Dict())

    def push_full_dict(self) -> None:
        items = self.pop_mark()
        self.append(_Dict(list(zip(items[::2], items[1::2], strict=True))))

    def push_set(self) -> None:
        """Push a stub for an empty set."""
        self.append(Stub())

    def push_full_set(self) -> None:
        """Push a stub for a set of the items since the last mark."""
        self.pop_mark()
        self.append(Stub())

    def push_bytes(self) -> None:
        """Push a bytearray, no longer than the file."""
        self.append(bytearray(self.read(struct.unpack("<Q", self.read(8))[0])))

    def refuse(self) -> None:
        """Raise ValueError for opcodes that torch.save never writes: registered classes, out-of-band buffers."""
        raise ValueError("a pickle that torch.save does not write")

    dispatch: ClassVar[dict[int, Any]] = {
        **IN_PYTHON.dispatch,
        pickle.EMPTY_DICT[0]: push_dict,
        pickle.DICT[0]: push_full_dict,
        pickle.EMPTY_SET[0]: push_set,
        pickle.FROZENSET[0]: push_full_set,
        pickle.BYTEARRAY8[0]: push_bytes,
        **dict.fromkeys((*pickle.EXT1, *pickle.EXT2, *pickle.EXT4), refuse),
        **dict.fromkeys((*pickle.NEXT_BUFFER, *pickle.READONLY_BUFFER), refuse),
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a name in the file. Nothing is imported."""
        if module in ("torch", "torch.cuda", "torch.storage") and name in DTYPES:
            return DTYPES[name]
        if (module, name) in CALLS:
            return CALLS[module, name]
        self.file.stubbed.add(f"{module}.{name}")
        return type("Named", (Stub,), {"__slots__": (), "named": f"{module}.{name}"})

    def persistent_load(self, identifier: Any) -> Any:
        """Return a storage: ("storage", kind, key, device, count), with a view in files older than torch 0.4."""
        match identifier:
            case ("storage" | b"storage", torch.dtype() as kind, str(key), _, int(count), *view) if view in (
                [],
                [None],
            ):
                return self.file.storages.setdefault(key, _Storage(self.file, key, kind, count))
        return Stub()


@dataclass
class PickledFile:
    """An open checkpoint: `data` is the unpickled object, with a `StoredTensor` for every tensor."""

    path: Path
    data: Any = None
    stubbed: set[str] = field(default_factory=set)
    """Names in the file that became stubs."""
    storages: dict[str, _Storage] = field(default_factory=dict)
    _places: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Where a storage's bytes start, and how many there are."""

    def values(self, storage: _Storage, first: int, count: int) -> torch.Tensor:
        """Return `count` values of a storage from `first` on, [count]. Raises DetectorError."""
        start, size = self._places.get(storage.key, (0, -1))
        if size != storage.count * storage.dtype.itemsize:
            raise DetectorError(f"checkpoint '{self.path}' does not hold the values of storage '{storage.key}'")
        wanted = count * storage.dtype.itemsize
        try:
            with self.path.open("rb") as stream:
                end = stream.seek(0, io.SEEK_END)
                place = stream.seek(start + first * storage.dtype.itemsize)
                data = bytearray(wanted if place + wanted <= end else 0)
                if stream.readinto(data) != wanted:
                    raise incomplete(self.path, end, None)
        except OSError as error:
            raise _unreadable(self.path, error) from None
        return torch.frombuffer(data, dtype=storage.dtype) if wanted else torch.empty(0, dtype=storage.dtype)

    def read_zip(self, stream: BinaryIO) -> None:
        """Read the archive's directory and its pickle; tensors are not read."""
        directory = END_RECORD(stream)[vars(zipfile)["_ECD_SIZE"]]
        if directory > LARGEST_DIRECTORY:  # it is read whole
            raise ValueError(f"its directory has {directory:,} bytes, more than {LARGEST_DIRECTORY:,}")
        with zipfile.ZipFile(stream) as archive:
            members = {member.filename: member for member in archive.infolist()}
            packed = next((name for name, one in members.items() if one.compress_type != zipfile.ZIP_STORED), None)
            if packed is not None:
                raise ValueError(f"member '{packed}' is compressed, which torch.save never does")
            pickles = [name for name in members if name.split("/")[1:] == ["data.pkl"]]
            if len(pickles) != 1:
                raise ValueError("a zip file, but not one that torch.save wrote")
            top = pickles[0].split("/")[0]
            if any(name.startswith(f"{top}/code/") for name in members):
                raise ValueError("a TorchScript program (torch.jit.save), which is code and not only weights")
            length = members[pickles[0]].file_size
            if length > LARGEST_PICKLE:
                raise ValueError(f"its pickle has {length:,} bytes, more than {LARGEST_PICKLE:,}")
            order = members.get(f"{top}/byteorder")
            if order is not None and (order.file_size != 6 or archive.read(order) != b"little"):
                raise ValueError("written on a big-endian machine")
            for name, member in members.items():
                if name.startswith(f"{top}/data/"):
                    self._places[name.removeprefix(f"{top}/data/")] = _member_place(stream, member)
            self.data = _Unpickler(io.BytesIO(archive.read(pickles[0])), self).load()

    def read_legacy(self, stream: BinaryIO) -> None:
        """Read the sequence of pickles; the storages follow them, each after its count."""
        row = io.BytesIO(stream.read(LARGEST_PICKLE))

        def following() -> Any:
            return _Unpickler(row, self).load()

        if following() != LEGACY_MAGIC or following() != LEGACY_PROTOCOL:
            raise ValueError("not a file that torch.save wrote")
        following()  # the writer's byte order and sizes
        self.data = following()
        keys = following()
        stream.seek(row.tell())
        for key in keys:
            storage = self.storages.get(key) if isinstance(key, str) else None
            if storage is None:
                raise ValueError("it has a storage of an unknown kind")
            (count,) = struct.unpack("<q", stream.read(8))
            size = storage.count * storage.dtype.itemsize
            if count != storage.count:
                raise ValueError(f"storage '{key}' has {count} values instead of {storage.count}")
            self._places[key] = (stream.tell(), size)
            stream.seek(size, io.SEEK_CUR)
        wanted, there = stream.tell(), stream.seek(0, io.SEEK_END)
        if there < wanted:
            raise incomplete(self.path, there, wanted)


def _member_place(stream: BinaryIO, member: zipfile.ZipInfo) -> tuple[int, int]:
    """Return where a stored member's bytes start (after its own header, whose length differs from the directory's)."""
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
            elif _begins_as_zip(stream):
                raise incomplete(path, stream.seek(0, io.SEEK_END), None)
            else:
                stream.seek(0)
                file.read_legacy(stream)
    except DetectorError:
        raise
    except Exception as error:  # a broken or hostile pickle can raise anything
        raise _unreadable(path, error) from None
    return file


def _begins_as_zip(stream: BinaryIO) -> bool:
    """Return whether a file that is no zip archive begins as one: then its end is missing."""
    stream.seek(0)
    return stream.read(4) == b"PK\x03\x04"


def _unreadable(path: Path, error: Exception) -> DetectorError:
    return DetectorError(
        f"checkpoint '{path}' cannot be read: {first_line(error)}; give a file that torch.save wrote, or a .safetensors"
    )
