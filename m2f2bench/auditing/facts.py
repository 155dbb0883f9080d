"""One pass over a dataset: every frame is decoded once, and what an audit needs of it is kept."""

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
from ..core.installed import installed_versions
from ..core.memo import Memo, cache_folder, file_stamp
from ..core.progress import progress_bar
from ..core.records import Frame
from ..core.sources import Unidentified
from ..datasets.base import Adapter
from ..datasets.digests import DECODERS
from ..datasets.limits import DECODING
from ..datasets.listing import stamp_of
from ..datasets.read_ahead import ReadAhead, load_frame, thread_count
from ..version import __version__
from .files import FileFacts, read_facts
from .pixels import PixelFacts, look

VERSION = 1
"""Raised whenever the same frame would give other facts."""
LOOK = 10
"""Bytes that `look` takes for each byte of a picture."""
T = TypeVar("T", PixelFacts, FileFacts)


@dataclass(frozen=True, slots=True)
class Facts:
    """A frame with what was found out: `pixels`, and `file` where it has a file of its own; or the failure.

    `status` is `ok` or one of `records.STATUSES`, with the `reason` in one line.
    """

    frame: Frame
    pixels: PixelFacts | None
    file: FileFacts | None
    status: str = "ok"
    reason: str = ""


def own_files(frames: Sequence[Frame]) -> set[str]:
    """The paths of files that hold one image or one video each, of which type and size say something.

    A container (HDF5, LMDB, an array of many clips) has frames with a key, or frames of several videos.
    """
    videos: dict[str, str | None] = {}
    for frame in frames:
        path, name = frame.locator.path, f"{frame.split}/{frame.video}"
        shared = frame.locator.key is not None or videos.get(path, name) != name
        videos[path] = None if shared else name
    return {path for path, name in videos.items() if name is not None}


def memo_path(adapter: Adapter, card: DatasetCard) -> Path | None:
    """Where a dataset's facts are kept: a file named by all that decides them.

    These are the card's name, adapter and options, the root, the adapter's code, and the versions of the decoders, of
    this package and of the facts. None for an adapter whose code cannot be told.
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
    """The facts of all frames, in their order; what the memo has is not read again.

    `workers` threads read ahead (0: one per core, at most four), a few frames each, so that memory stays flat. A frame
    that cannot be read has a status; it is tried again by the next audit. Raises DataError where the adapter gives
    something that is no image, and any other M2F2BenchError that the adapter raises.
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
        """All that is wanted of a frame."""
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
        """The facts of a file of its own, read once however many frames it holds; None where there are none."""
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
            facts = None  # that the frame cannot be read is told by its status
        if facts is not None:
            self._keep(f"file {path}", stamp, facts)
        return facts

    def _stamp(self, path: str) -> str:
        """The file's stamp, asked for once unless it was not there; never of a file that is being written."""
        stamp = self._stamps.get(path, "")
        if not stamp:
            stamp = self._stamps[path] = file_stamp(path)
        return stamp

    def _known(self, form: type[T], key: str, stamp: str) -> T | None:
        if self.memo is None or not stamp:  # without a stamp nobody knows whether it is still the same
            return None
        value = self.memo.get(key, stamp)
        if value is None:
            return None
        try:
            return form.from_json(value)
        except (TypeError, ValueError):
            return None  # somebody has edited the file

    def _keep(self, key: str, stamp: str, facts: PixelFacts | FileFacts) -> None:
        if self.memo is not None and stamp:
            self.memo.put(key, stamp, facts.to_json())
