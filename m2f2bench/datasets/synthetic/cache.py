"""Cache of splits on disk: unpacked or drawn once, checked when opened, never incomplete.

A split is made in a folder with a dot in front of its name and renamed when it is complete. The process that makes it
holds an advisory lock, so that a second process waits and then finds the split; without locks both make it, and the
second one's folder is discarded.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import uuid
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core import memo
from ...core.cores import usable_cores
from ...core.errors import DataError, first_line
from ...core.memo import CACHE_VARIABLE
from ...core.progress import progress_bar
from .draw import FRAMES, MASKS, SyntheticOptions, plan, work
from .h264 import encoder_version
from .pack import digest_of, hash_of, holds, is_packed, is_redrawn, pack_hash, packed_digests, unpack

log = logging.getLogger("m2f2bench")
INDEX = "index.json"
_MAKING = threading.Lock()
_reported: set[Path] = set()
"""Splits of which it was said that they are not those of the card."""


@dataclass(frozen=True)
class Opened:
    """A split on disk: frames [N, H, W, 3] uint8, packed masks [N, H·W/8] uint8, notes by video name.

    `digests` holds those of a video's frames and masks, by its name.
    """

    frames: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.uint8]
    notes: dict[str, dict[str, Any]]
    digests: dict[str, list[str]]


def cache_folder(options: SyntheticOptions) -> Path:
    """Return the folder of a dataset's splits, named by a hash of everything that decides its pixels."""
    base = Path(options.cache).expanduser() if options.cache else memo.cache_folder()
    decided = options.content()
    source = pack_hash() if is_packed(options) else "drawn"
    text = json.dumps([generator_version(), encoder_version(), np.__version__, decided, source], sort_keys=True)
    return base / "synthetic" / hashlib.sha256(text.encode()).hexdigest()[:16]


@lru_cache(maxsize=1)
def generator_version() -> str:
    """Return 12 hex digits over the code that draws and decodes, and its numbers; after a change all is made again."""
    digest = hashlib.sha256()
    for path in sorted([*Path(__file__).parent.glob("*.py"), *Path(__file__).parent.glob("*.yaml")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def open_split(options: SyntheticOptions, split: str) -> Opened:
    """Return the split from the cache; it is unpacked or drawn first if it is missing or damaged.

    A warning says if it is not the card's data. Raises DataError.
    """
    folder = cache_folder(options)
    opened = _read(folder / split, options, split)
    if opened is None:
        try:
            with _MAKING, _lock(folder, split):
                opened = _read(folder / split, options, split)
                if opened is None:
                    _make(folder, options, split)
                    opened = _read(folder / split, options, split)
        except OSError as error:
            raise DataError(
                f"synthetic faces cannot be kept in '{folder}': {first_line(error)}; set {CACHE_VARIABLE} to a folder "
                "that can be written"
            ) from None
    if opened is None:
        raise DataError(f"synthetic faces in '{folder / split}' are damaged right after writing: check the disk")
    problem = mismatch(options, split, opened)
    if problem and folder / split not in _reported:
        _reported.add(folder / split)
        log.warning("%s", problem)
    return opened


def mismatch(options: SyntheticOptions, split: str, opened: Opened) -> str:
    """Return one line that says how a split differs from the card's `hashes`; empty if it does not, or has no hash."""
    wanted = options.hashes.get(split)  # type: ignore[call-overload]
    if wanted is None:
        return ""
    found = hash_of((video.name for video in plan(options, split)), opened.digests, opened.notes)
    if found == wanted:
        return ""
    says = f"synthetic faces, split '{split}': their hash is {found}, and the card's is {wanted}: "
    ends = "; results on them do not compare with results on the card's faces"
    digests, notes = packed_digests(options, split)
    counts = {
        "frames": [name for name, (one, _) in opened.digests.items() if digests.get(name, [one])[0] != one],
        "masks": [name for name, (_, one) in opened.digests.items() if digests.get(name, ["", one])[1] != one],
        "notes": [name for name, note in opened.notes.items() if notes.get(name, note) != note],
    }
    parts = [f"{what} of {len(names)} (first '{names[0]}')" for what, names in counts.items() if names]
    if not parts:
        return f"{says}the card is of another version of the faces, or changed their options{ends}"
    how = "redrawn" if is_redrawn() else "drawn" if not is_packed(options) else "decoded"
    return (
        f"{says}of {len(opened.notes)} videos, {how} here by {encoder_version()}, differ the {', '.join(parts)}{ends}"
    )


def _checksum(path: Path) -> int:
    """Return the CRC-32 of a file."""
    return zlib.crc32(np.memmap(path, mode="r").data)


def _shapes(options: SyntheticOptions, split: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shapes of the split's frames and packed masks."""
    count = len(plan(options, split)) * options.frames_per_video
    return (count, options.size, options.size, 3), (count, (options.size**2 + 7) // 8)


def _read(folder: Path, options: SyntheticOptions, split: str) -> Opened | None:
    """Return the split in this folder, or None if it is missing or differs from what was written."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        for name in (FRAMES, MASKS):
            if _checksum(folder / name) != index["crc32"][name]:
                return None
        frames = np.load(folder / FRAMES, mmap_mode="r")
        masks = np.load(folder / MASKS, mmap_mode="r")
        notes, digests = index["videos"], index["digests"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if (frames.shape, masks.shape) != _shapes(options, split) or not isinstance(notes, dict):
        return None
    return Opened(frames, masks, notes, digests)


@contextlib.contextmanager
def _lock(folder: Path, split: str) -> Iterator[None]:
    """Hold the split's lock; it ends with its process, however that ends."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:
        yield
        return
    with (folder / f"{split}.lock").open("w") as file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(folder: Path, options: SyntheticOptions, split: str) -> None:
    """Unpack or draw a split into a temporary folder and rename it."""
    for left in folder.glob(f".{split}.*"):
        shutil.rmtree(left, ignore_errors=True)
    temporary = folder / f".{split}.{uuid.uuid4().hex[:8]}"
    temporary.mkdir()
    try:
        for name, shape in zip((FRAMES, MASKS), _shapes(options, split), strict=True):
            np.lib.format.open_memmap(temporary / name, mode="w+", dtype=np.uint8, shape=shape).flush()
        notes = _fill(temporary, options, split)
        index = {
            "generator": generator_version(),
            "encoder": encoder_version(),
            "split": split,
            "options": options.content(),
            "digests": _digests(temporary, options, split),
            "crc32": {name: _checksum(temporary / name) for name in (FRAMES, MASKS)},
            "videos": notes,
        }
        (temporary / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")
        place = folder / split
        if place.exists():
            place.rename(folder / f"{temporary.name}.old")
        with contextlib.suppress(FileExistsError):
            temporary.rename(place)
    finally:
        for left in folder.glob(f"{temporary.name}*"):
            shutil.rmtree(left, ignore_errors=True)


def _digests(folder: Path, options: SyntheticOptions, split: str) -> dict[str, list[str]]:
    """Return the digests of the frames and of the masks of each video in the arrays in `folder`."""
    frames, masks = (np.load(folder / name, mmap_mode="r") for name in (FRAMES, MASKS))
    rows = {v.name: slice(v.row, v.row + options.frames_per_video) for v in plan(options, split)}
    return {name: [digest_of(frames[at]), digest_of(masks[at])] for name, at in rows.items()}


def _fill(folder: Path, options: SyntheticOptions, split: str) -> dict[str, dict[str, Any]]:
    """Fill the arrays in `folder`, from the packed streams if they hold the split; return the notes in plan order."""
    videos = [video.name for video in plan(options, split)]
    packed = holds(options, split)
    workers = min(options.workers or min(2, usable_cores()), getattr(options, split))
    notes: dict[str, dict[str, Any]] = {}
    label = f"{'unpacking' if packed else 'drawing'} synthetic faces ({split})"
    with progress_bar(label, len(videos)) as advance:

        def note(line: dict[str, Any]) -> None:
            notes[line["video"]] = line["notes"]
            advance(1)

        if packed or workers == 1 or not sys.executable:
            for line in unpack(folder, options, split) if packed else work(folder, options, split, 0, 1):
                note(line)
        else:
            given = [sys.executable, "-m", f"{__package__}.draw", str(folder), options.model_dump_json(), split]
            with ThreadPoolExecutor(workers) as pool:
                jobs = [pool.submit(_watch, [*given, str(share), str(workers)], note) for share in range(workers)]
            for job in jobs:
                job.result()
    missing = [video for video in videos if video not in notes]
    if missing:
        raise DataError(f"synthetic video '{missing[0]}' was not drawn (and {len(missing) - 1} more): run it again")
    return {video: notes[video] for video in videos}


def _watch(command: list[str], note: Callable[[dict[str, Any]], None]) -> None:
    """Run one worker and pass its lines to `note`. Raises DataError with its last line of output if it fails."""
    paths = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": paths}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            for line in process.stdout:
                note(json.loads(line))
            words = process.stderr.read().strip().splitlines()
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        said = words[-1] if words else f"exit status {process.returncode}"
        raise DataError(f"a process that draws synthetic faces failed: {said}; set workers: 1 to draw in this one")
