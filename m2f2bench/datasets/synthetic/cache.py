"""Cache of drawn splits on disk: made once, checked when opened, never incomplete.

A split is drawn into a folder with a dot in front of its name and renamed when it is complete. The drawing process
holds an advisory lock, so that a second process waits and then finds the split; without locks both draw, and the second
one's folder is discarded.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
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
from ...core.errors import DataError, first_line
from ...core.memo import CACHE_VARIABLE
from ...core.progress import progress_bar
from .draw import FRAMES, MASKS, SyntheticOptions, encoder_version, plan, work

INDEX = "index.json"
_MAKING = threading.Lock()


@dataclass(frozen=True)
class Opened:
    """A split on disk: frames [N, H, W, 3] uint8, packed masks [N, H·W/8] uint8, notes by video name."""

    frames: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.uint8]
    notes: dict[str, dict[str, Any]]


def cache_folder(options: SyntheticOptions) -> Path:
    """Return the folder of a dataset's splits, named by a hash of everything that decides its pixels."""
    base = Path(options.cache).expanduser() if options.cache else memo.cache_folder()
    decided = options.model_dump(mode="json", exclude=set(options.incidental))
    text = json.dumps([generator_version(), encoder_version(), np.__version__, decided], sort_keys=True)
    return base / "synthetic" / hashlib.sha256(text.encode()).hexdigest()[:16]


@lru_cache(maxsize=1)
def generator_version() -> str:
    """Return 12 hex digits over the code that draws and its numbers: after any change, the faces are drawn again."""
    digest = hashlib.sha256()
    for path in sorted([*Path(__file__).parent.glob("*.py"), *Path(__file__).parent.glob("*.yaml")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def open_split(options: SyntheticOptions, split: str) -> Opened:
    """Return the split from the cache; it is drawn first if it is missing or damaged. Raises DataError."""
    folder = cache_folder(options)
    opened = _read(folder / split, options, split)
    if opened is not None:
        return opened
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
    return opened


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
        notes = index["videos"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if (frames.shape, masks.shape) != _shapes(options, split) or not isinstance(notes, dict):
        return None
    return Opened(frames, masks, notes)


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
    """Draw a split into a temporary folder and rename it."""
    for left in folder.glob(f".{split}.*"):
        shutil.rmtree(left, ignore_errors=True)
    temporary = folder / f".{split}.{uuid.uuid4().hex[:8]}"
    temporary.mkdir()
    try:
        for name, shape in zip((FRAMES, MASKS), _shapes(options, split), strict=True):
            np.lib.format.open_memmap(temporary / name, mode="w+", dtype=np.uint8, shape=shape).flush()
        notes = _draw(temporary, options, split)
        index = {
            "generator": generator_version(),
            "encoder": encoder_version(),
            "split": split,
            "options": options.model_dump(mode="json", exclude=set(options.incidental)),
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


def _draw(folder: Path, options: SyntheticOptions, split: str) -> dict[str, dict[str, Any]]:
    """Let one or more processes fill the arrays in `folder`; return the notes in the plan's order."""
    videos = [video.name for video in plan(options, split)]
    workers = min(options.workers or min(2, os.cpu_count() or 1), getattr(options, split))
    notes: dict[str, dict[str, Any]] = {}
    with progress_bar(f"drawing synthetic faces ({split})", len(videos)) as advance:

        def note(line: dict[str, Any]) -> None:
            notes[line["video"]] = line["notes"]
            advance(1)

        if workers == 1 or not sys.executable:
            for line in work(folder, options, split, 0, 1):
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
