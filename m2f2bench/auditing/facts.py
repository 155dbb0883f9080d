"""Facts about a dataset's frames for an audit: every frame is decoded once, and its facts are cached."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..cards.models import DatasetCard
from ..core.identity import code_digest
from ..core.memo import Memo, cache_folder, file_stamp
from ..core.progress import progress_bar
from ..core.records import Frame
from ..core.sources import Unidentified, installed_versions
from ..datasets.base import Adapter, stamp_of
from ..datasets.dataset import DECODERS
from ..datasets.limits import DECODING
from ..datasets.read_ahead import ReadAhead, load_frame, thread_count
from ..version import __version__
from .files import FileFacts, read_facts
from .pixels import PixelFacts, look

VERSION = 1
"""Increased whenever the same frame would give other facts."""
LOOK = 10
"""Bytes that `look` needs for each byte of a picture."""
T = TypeVar("T", PixelFacts, FileFacts)


@dataclass(frozen=True, slots=True)
class Facts:
    """A frame with its facts: `pixels`, and `file` if it has its own file; or the failure.

    `status` is one of `records.STATUSES`; the `reason` is one line.
    """

    frame: Frame
    pixels: PixelFacts | None
    file: FileFacts | None
    status: str = "ok"
    reason: str = ""


def own_files(frames: Sequence[Frame]) -> set[str]:
    """Return the paths of files that hold one image or one video each, so that their type and size matter.

    Frames in a container (HDF5, LMDB, an array of many clips) have a key, or belong to several videos.
    """
    videos: dict[str, str | None] = {}
    for frame in frames:
        path, name = frame.locator.path, f"{frame.split}/{frame.video}"
        shared = frame.locator.key is not None or videos.get(path, name) != name
        videos[path] = None if shared else name
    return {path for path, name in videos.items() if name is not None}


def memo_path(adapter: Adapter, card: DatasetCard) -> Path | None:
    """Return the cache file of a dataset's facts, named by a hash of everything that decides them.

    These are the card's name, adapter and options, the root, the adapter's code, and the versions of the decoders, of
    this package and of the facts. None for an adapter whose code cannot be identified.
    """
    try:
        code = code_digest(type(adapter)).hex()
    except Unidentified:
        return None
    decoders = installed_versions(DECODERS)
    root = None if adapter.root is None else str(adapter.root.absolute())
    options = adapter.options.model_dump(mode="json")
    decided = json.dumps([VERSION, __version__, card.name, card.adapter, options, root, code, decoders], sort_keys=True)
    return cache_folder() / "audit" / f"{card.name}-{hashlib.sha256(decided.encode()).hexdigest()[:16]}.jsonl"


def gather(adapter: Adapter, frames: Sequence[Frame], memo: Memo | None, workers: int = 0) -> list[Facts]:
    """Return the facts of all frames, in their order; frames in the memo are not read again.

    `workers` threads read ahead (0: one per core, at most four), a few frames each, so that memory stays constant. A
    frame that cannot be read has a status; the next audit tries it again. Raises DataError if the adapter gives
    something that is not an image, and any other M2F2BenchError that the adapter raises.
    """
    reader = _Reader(adapter, memo, own_files(frames))
    threads = thread_count(workers)
    ahead = ReadAhead(reader.facts, frames, count=8 * threads, size=lambda facts: 0, threads=threads)
    found: list[Facts] = []
    with progress_bar("reading frames", len(frames)) as advance:
        for facts in ahead.each():
            found.append(facts)
            advance(1)
    return found


class _Reader:
    """Reads one frame at a time, in any thread."""

    def __init__(self, adapter: Adapter, memo: Memo | None, own: set[str]) -> None:
        self.adapter, self.memo, self.own = adapter, memo, own
        self._stamps: dict[str, str] = {}
        self._files: dict[str, FileFacts | None] = {}
        self._locks: dict[str, threading.Lock] = {}

    def facts(self, frame: Frame) -> Facts:
        """Return the facts of a frame."""
        key = f"pixels {frame.split} {frame.id}"
        stamp = stamp_of(self.adapter, frame)
        known = self._known(PixelFacts, key, stamp)
        if known is not None:
            return Facts(frame, known, self._file(frame.locator.path))
        loaded = load_frame(self.adapter, frame)
        if loaded.image is None:
            return Facts(frame, None, self._file(frame.locator.path), loaded.status, loaded.reason)
        with DECODING.taking(LOOK * loaded.image.nbytes):
            pixels = look(loaded.image, loaded.digest)
        self._keep(key, loaded.stamp, pixels)
        return Facts(frame, pixels, self._file(frame.locator.path))

    def _file(self, path: str) -> FileFacts | None:
        """Return the facts of a frame's own file, read once even for many frames; None without such a file."""
        if path not in self.own:
            return None
        with self._locks.setdefault(path, threading.Lock()):  # setdefault is atomic: all threads get the same lock
            if path not in self._files:
                self._files[path] = self._read_file(path)
            return self._files[path]

    def _read_file(self, path: str) -> FileFacts | None:
        stamp = self._stamp(path)
        known = self._known(FileFacts, f"file {path}", stamp)
        if known is not None:
            return known
        try:
            facts = read_facts(Path(path)) if stamp and Path(path).is_file() else None
        except OSError:
            facts = None  # the frame's status says that it cannot be read
        if facts is not None:
            self._keep(f"file {path}", stamp, facts)
        return facts

    def _stamp(self, path: str) -> str:
        """Return the file's stamp; it is kept from the first time that the file exists."""
        stamp = self._stamps.get(path, "")
        if not stamp:
            stamp = self._stamps[path] = file_stamp(path)
        return stamp

    def _known(self, form: type[T], key: str, stamp: str) -> T | None:
        if self.memo is None or not stamp:  # without a stamp it is unknown whether the frame has changed
            return None
        value = self.memo.get(key, stamp)
        if value is None:
            return None
        try:
            return form.from_json(value)
        except (TypeError, ValueError):
            return None  # the cache file was edited

    def _keep(self, key: str, stamp: str, facts: PixelFacts | FileFacts) -> None:
        if self.memo is not None and stamp:
            self.memo.put(key, stamp, facts.to_json())
