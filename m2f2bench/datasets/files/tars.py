"""Members of tar files, found once per file and then read by their place in it.

A compressed tar is unpacked once, to the cache folder, since it can be read only from its beginning. Nothing is
executed or written under a member's name. A file's form is read from its bytes, not from its name.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import logging
import lzma
import os
import tarfile
import threading
import zlib
from array import array
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.errors import DataError, FrameError, StoreError, first_line, refuse_machine_fault
from ...core.files import replacing
from ...core.memo import CACHE_VARIABLE, cache_folder, file_stamp
from ...core.records import Locator
from ...core.text import in_utf8
from ..limits import MAX_BYTES

log = logging.getLogger("m2f2bench")
SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
"""Endings (lower case) of the names of tar files."""
BLOCK = 512
"""Bytes of a tar's header; a block of zeros ends the tar."""
PIECE = 1 << 18
"""Bytes that are unpacked at a time, at most."""
KEPT = 256
"""Tars of which a process keeps the members in memory."""
STORED = 200
"""Members from which on the list of an uncompressed tar is kept in the cache folder too."""
_FORM = 1
"""Version of the stored list."""
_OPENERS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_ZSTD = b"\x28\xb5\x2f\xfd"
_DAMAGE = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


def tar_stem(name: str) -> str | None:
    """Return a tar's name without its ending, in whatever case that is; None for the name of another file."""
    ending = max((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), key=len, default=None)
    return None if ending is None else name[: -len(ending)]


@dataclass(frozen=True)
class Members:
    """The regular files in a tar, in its order, each name once (the last one counts, as when a tar is unpacked).

    `offsets` and `sizes` are in bytes in the file `data`: the tar, or its unpacked copy. `problem` says why the list
    may not be whole; it is empty for a tar that is complete.
    """

    data: str
    names: list[str]
    offsets: array[int]
    sizes: array[int]
    problem: str = ""
    _positions: dict[str, int] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.names)

    def place(self, name: str) -> tuple[int, int] | None:
        """Return a file's offset and size in bytes; None if there is no such file."""
        if not self._positions and self.names:
            self._positions.update({name: i for i, name in enumerate(self.names)})
        position = self._positions.get(name)
        return None if position is None else (self.offsets[position], self.sizes[position])


_KNOWN: OrderedDict[str, tuple[str, Members]] = OrderedDict()
_LOCKS: dict[int, threading.Lock] = {}
"""A lock for each process: one that a thread of the parent holds while it forks is never released in the child."""


def tar_members(path: Path) -> Members:
    """Return the files in a tar; the same tar is not gone through twice, by no thread and no later process.

    A tar that is cut short or damaged gives what can be read, and its `problem`. Raises DataError for a path that is
    not a regular file, StoreError if a compressed tar cannot be unpacked to the cache folder, and MachineError.
    """
    name = str(path)
    with _LOCKS.setdefault(os.getpid(), threading.Lock()):
        stamp = file_stamp(path)
        known = _KNOWN.get(name)
        if known is not None and known[0] == stamp and stamp:
            _KNOWN.move_to_end(name)
            return known[1]
        if not path.is_file():
            raise DataError(f"tar '{path}' {'is not a regular file' if path.exists() else 'does not exist'}")
        try:
            found = _find(path, stamp)
        except OSError as error:
            refuse_machine_fault(error, f"tar '{path}'")
            raise DataError(f"tar '{path}' cannot be read: {error.strerror or error}") from None
        _KNOWN[name] = (stamp, found)
        while len(_KNOWN) > KEPT:
            _KNOWN.popitem(last=False)
        return found


def read_member(place: Locator, frame_id: str) -> bytes:
    """Return the bytes of the file `place.key` in the tar `place.path`.

    The file is opened for each call, and so threads and forked processes share nothing. Raises FrameError for a tar or
    a member that is not there, is cut short, or is longer than `limits.MAX_BYTES`, and MachineError and StoreError as
    `tar_members` does.
    """
    path, key = Path(place.path), place.key or ""
    try:
        members = tar_members(path)
        if members.data != str(path) and not Path(members.data).is_file():  # the cache was emptied
            _KNOWN.pop(str(path), None)
            members = tar_members(path)
    except DataError:
        raise FrameError(frame_id, f"the tar '{path.name}' cannot be read or does not exist") from None
    found = members.place(key)
    if found is None:
        why = f" ({members.problem})" if members.problem else ""
        raise FrameError(frame_id, f"there is no '{key}' in '{path.name}'{why}")
    offset, size = found
    if size > MAX_BYTES:
        raise FrameError(frame_id, f"'{key}' in '{path.name}' has {size:,} bytes, over the limit of {MAX_BYTES:,}")
    try:
        with Path(members.data).open("rb") as file:
            file.seek(offset)
            data = file.read(size)
    except OSError as error:
        refuse_machine_fault(error, f"frame '{frame_id}'")
        raise FrameError(frame_id, f"'{path.name}' cannot be read: {error.strerror or error}") from None
    if len(data) < size:
        raise FrameError(frame_id, f"'{key}' is cut short in '{path.name}': {len(data):,} of {size:,} bytes are there")
    return data


def _find(path: Path, stamp: str) -> Members:
    """Return the files in a tar, from the stored list if the tar has not changed."""
    with path.open("rb") as file:
        start = file.read(6)
    opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)
    stored = _stored_at(path)
    data = path if opener is None else stored.with_suffix(f".{_short(stamp)}.tar")
    found = _load(stored, stamp, data)
    if found is not None:
        return found
    if start.startswith(_ZSTD):
        return _nothing(path, "it is compressed with zstd, which is not read: unpack it")
    problem = "" if opener is None else _unpack(path, opener, data)
    found = _scan(data, problem)
    if opener is not None or len(found) >= STORED:
        _store(stored, stamp, found, needed=opener is not None)
    return found


def _scan(data: Path, problem: str) -> Members:
    """Return the files in an uncompressed tar by its headers; no content is read."""
    places: dict[str, tuple[int, int]] = {}
    end = 0
    try:
        with tarfile.open(data, "r:") as tar:
            while (member := tar.next()) is not None:
                vars(tar)["members"] = []  # or all headers would stay in memory
                if tar.offset <= end or member.size < 0:
                    raise tarfile.ReadError("a header has a wrong size")
                end = tar.offset
                name = member.name.removeprefix("./")
                if member.islnk():
                    linked = places.get(member.linkname.removeprefix("./"))
                    if linked is not None:
                        places[name] = linked
                elif member.isreg() and member.sparse is None:
                    places[name] = (member.offset_data, member.size)
        if not problem:
            with data.open("rb") as file:
                file.seek(end)
                if file.read(BLOCK) != bytes(BLOCK):
                    problem = f"it is damaged or cut short after {len(places)} files: it does not end as a tar does"
    except (tarfile.TarError, ValueError, OverflowError) as error:
        there = f"it is damaged or cut short after {len(places)} files" if places else "it is not a tar, or is damaged"
        problem = problem or f"{there}: {first_line(error).partition(': ')[2] or first_line(error)}"
    offsets, sizes = (array("q", (place[i] for place in places.values())) for i in (0, 1))
    return Members(str(data), list(places), offsets, sizes, problem)


def _nothing(path: Path, problem: str) -> Members:
    return Members(str(path), [], array("q"), array("q"), problem)


def _unpack(path: Path, opener: Callable[..., Any], to: Path) -> str:
    """Write the uncompressed tar to a file of the cache; return what is wrong with it, "" if nothing is."""
    log.info("unpacking '%s' once, to '%s'", path, to)
    problem, done = "", 0
    try:
        with replacing(to) as temporary, temporary.open("wb") as out, opener(path, "rb") as source:
            try:
                while piece := source.read1(PIECE):  # `read` would lose what comes before damage
                    done += out.write(piece)
            except _DAMAGE as error:
                problem = f"its compressed data end or are damaged after {done:,} bytes: {first_line(error)}"
            except OSError as error:
                if error.errno is not None:
                    raise
                problem = f"its compressed data are damaged after {done:,} bytes: {first_line(error)}"  # of bz2
    except StoreError as error:
        raise StoreError(
            f"tar '{path}' cannot be unpacked: {error}; set {CACHE_VARIABLE} to a folder with more room, or unpack it"
        ) from None
    for old in to.parent.glob(f"{to.name.split('.')[0]}.*.tar"):  # of an earlier state of the file
        if old != to:
            old.unlink(missing_ok=True)
    return problem


def _short(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _stored_at(path: Path) -> Path:
    return cache_folder() / "tars" / f"{_short(os.path.realpath(path))}.json"


def _load(stored: Path, stamp: str, data: Path) -> Members | None:
    """Return the stored list of a tar with this stamp; None if there is none, or the unpacked copy is gone."""
    try:
        row = json.loads(stored.read_bytes())
        if row["form"] != _FORM or row["stamp"] != stamp or not data.is_file():
            return None
        found = Members(str(data), row["names"], array("q", row["offsets"]), array("q", row["sizes"]), row["problem"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
    return found if len(found.names) == len(found.offsets) == len(found.sizes) else None


def _store(stored: Path, stamp: str, found: Members, needed: bool) -> None:
    """Keep a tar's list; without it only time is lost, unless it is `needed`."""
    row = {"form": _FORM, "stamp": stamp, "problem": found.problem, "names": found.names}
    row |= {"offsets": found.offsets.tolist(), "sizes": found.sizes.tolist()}
    try:
        with replacing(stored) as temporary:
            temporary.write_text(json.dumps(row), encoding="utf-8")
    except StoreError as error:
        if needed:
            raise
        log.debug("the list of a tar is not kept: %s", in_utf8(str(error)))
