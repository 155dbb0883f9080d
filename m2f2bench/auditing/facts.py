"""Facts about a dataset's frames for an audit: every frame is decoded once, and its facts are cached."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..cards.models import DatasetCard
from ..core.errors import FrameError
from ..core.identity import code_digest
from ..core.memo import Memo, cache_folder, file_stamp
from ..core.progress import progress_bar
from ..core.records import Frame
from ..core.sources import Unidentified, installed_versions
from ..datasets.base import Adapter
from ..datasets.calls import data_of, stamp_of
from ..datasets.dataset import DECODERS, Dataset
from ..datasets.limits import DECODING
from ..datasets.read_ahead import ReadAhead, load_frame, thread_count
from ..version import __version__
from .files import FileFacts, facts_of, read_facts

if TYPE_CHECKING:
    from ..core.records import Image

THUMB = 16
"""Side of the thumbnail, pixels."""
HASH_SIDE, HASH_BLOCK = 32, 8
LUMINANCE = (0.299, 0.587, 0.114)
"""ITU-R BT.601."""
STRIP = 256
"""Rows that are converted at a time."""
FLOOR = 1e-3
"""Added to a variance (grey levels squared) before its logarithm, which a flat picture would not have."""
VERSION = 1
"""Increased whenever the same frame would give other facts."""
LOOK = 10
"""Bytes that `look` needs for each byte of a picture."""


@dataclass(frozen=True, slots=True)
class PixelFacts:
    """A decoded picture of `width` × `height` pixels.

    `digest` is the adapter's digest, which goes into a dataset's hash; `pixels` is the hash (hex) of shape and decoded
    pixels. `phash` is a 64-bit perceptual hash, `thumb` 16×16 grey levels in rows. `laplacian` and `residual` are the
    natural logarithms of the variances of two high-pass filters' outputs at native size.
    """

    digest: str
    pixels: str
    width: int
    height: int
    phash: int
    thumb: bytes
    laplacian: float
    residual: float

    def to_json(self) -> list[Any]:
        """Return the fields in order, as JSON; the hash as 16 hex digits, the thumbnail in base 64."""
        thumb = base64.b64encode(self.thumb).decode()
        size = [self.width, self.height]
        return [self.digest, self.pixels, *size, f"{self.phash:016x}", thumb, self.laplacian, self.residual]

    @classmethod
    def from_json(cls, data: Any) -> PixelFacts:
        """Return the facts that `to_json` wrote. Raises TypeError or ValueError for anything else."""
        digest, pixels, width, height, phash, thumb, laplacian, residual = data
        small = base64.b64decode(thumb, validate=True)
        if len(small) != THUMB * THUMB:
            raise ValueError(f"a thumbnail of {len(small)} bytes")
        sizes = int(width), int(height)
        return cls(str(digest), str(pixels), *sizes, int(phash, 16), small, float(laplacian), float(residual))


def look(image: Image, digest: str) -> PixelFacts:
    """Return the facts of one RGB uint8 [H, W, 3] picture with its adapter's `digest`."""
    height, width = image.shape[:2]
    pixels = hashlib.blake2b(f"{height}x{width}:".encode(), digest_size=8)
    pixels.update(np.ascontiguousarray(image).data)
    grey = _grey(image)
    thumb = np.clip(np.rint(shrink(grey, THUMB)), 0, 255).astype(np.uint8)
    return PixelFacts(
        digest, pixels.hexdigest(), width, height, phash(grey), thumb.tobytes(), laplacian(grey), residual(grey)
    )


def _grey(image: Image) -> npt.NDArray[np.float32]:
    """Return the luminance of an RGB picture, float32 [H, W], made strip by strip to save memory."""
    weights = np.asarray(LUMINANCE, dtype=np.float32)
    grey = np.empty(image.shape[:2], dtype=np.float32)
    for top in range(0, len(image), STRIP):
        grey[top : top + STRIP] = image[top : top + STRIP].astype(np.float32) @ weights
    return grey


def shrink(grey: npt.NDArray[np.float32], side: int) -> npt.NDArray[np.float32]:
    """Return a grey picture [H, W] as [side, side] means over equal areas."""
    from PIL import Image as Pillow

    small = Pillow.fromarray(grey).resize((side, side), Pillow.Resampling.BOX)
    return np.asarray(small, dtype=np.float32)


def phash(grey: npt.NDArray[np.float32]) -> int:
    """Return the 64-bit DCT hash of a grey picture [H, W].

    Source: Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010. 32×32 means, type-II DCT,
    the 8×8 coefficients next to the constant row and column, and for each a bit: whether it is over their median. The
    first coefficient is the highest bit.
    """
    from scipy.fft import dctn

    waves = dctn(shrink(grey, HASH_SIDE), norm="ortho")[1 : HASH_BLOCK + 1, 1 : HASH_BLOCK + 1].ravel()
    bits = np.packbits(waves > np.median(waves))
    return int.from_bytes(bits.tobytes(), "big")


def laplacian(grey: npt.NDArray[np.float32]) -> float:
    """Return the log variance of the 4-neighbour Laplacian over the inner pixels of a grey picture [H, W]."""
    inner = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return _log_variance(around - 4 * inner)


def residual(grey: npt.NDArray[np.float32]) -> float:
    """Return the log variance of the third-order differences along rows and columns of a grey picture [H, W].

    It is the first of the noise residuals of the spatial rich model (Fridrich and Kodovsky, 2012).
    """
    return _log_variance(np.concatenate([np.diff(grey, n=3, axis=axis).ravel() for axis in (0, 1)]))


def _log_variance(values: npt.NDArray[np.float32]) -> float:
    return float(np.log(np.var(values, dtype=np.float64) + FLOOR)) if values.size else float(np.log(FLOOR))


T = TypeVar("T", PixelFacts, FileFacts)


@dataclass(frozen=True, slots=True)
class Facts:
    """A frame with its facts: `pixels`, and `file` if it has its own image file or is of a video file; or the failure.

    `status` is one of `records.STATUSES`; the `reason` is one line.
    """

    frame: Frame
    pixels: PixelFacts | None
    file: FileFacts | None
    status: str = "ok"
    reason: str = ""


def own_files(frames: Sequence[Frame]) -> set[str]:
    """Return the paths of files that hold one image or one video each, so that their type and size matter.

    Frames in a container (HDF5, LMDB, an array of many clips) have a key, or belong to several videos: of these
    `data_of` knows whether they are image files.
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
    scipy (which makes `phash`), of this package and of the facts. None for an adapter whose code cannot be identified.
    """
    try:
        code = code_digest(type(adapter)).hex()
    except Unidentified:
        return None
    packages = installed_versions((*DECODERS, "scipy"))
    root = None if adapter.root is None else str(adapter.root.absolute())
    options = adapter.options.model_dump(mode="json")
    decided = json.dumps([VERSION, __version__, card.name, card.adapter, options, root, code, packages], sort_keys=True)
    return cache_folder() / "audit" / f"{card.name}-{hashlib.sha256(decided.encode()).hexdigest()[:16]}.jsonl"


def gather(dataset: Dataset, frames: Sequence[Frame], workers: int = 0) -> list[Facts]:
    """Return the facts of all frames, in their order; those in the dataset's cache file are not read again.

    `workers` threads read ahead (0: one per core, at most eight), a few frames each, so that memory stays constant. A
    frame that cannot be read has a status; the next audit tries it again. Raises DataError if the adapter gives
    something that is not an image, and any other M2F2BenchError that the adapter raises.
    """
    place, threads = memo_path(dataset.adapter, dataset.card), thread_count(workers)
    found: list[Facts] = []
    with Memo(place) if place else nullcontext() as memo, progress_bar("reading frames", len(frames)) as advance:
        reader = _Reader(dataset.adapter, memo, own_files(frames))
        ahead = ReadAhead(reader.facts, frames, count=8 * threads, size=lambda facts: 0, threads=threads)
        for facts in ahead.each():
            found.append(facts)
            advance(1)
    return found


class _Reader:
    """Reads one frame at a time, in any thread."""

    def __init__(self, adapter: Adapter, memo: Memo | None, own: set[str]) -> None:
        self.adapter, self.memo, self.own = adapter, memo, own
        self._files: dict[str, FileFacts | None] = {}
        self._locks: dict[str, threading.Lock] = {}

    def facts(self, frame: Frame) -> Facts:
        """Return the facts of a frame."""
        key = f"pixels {frame.split} {frame.id}"
        stamp = stamp_of(self.adapter, frame)
        known = self._known(PixelFacts, key, stamp)
        if known is not None:
            return Facts(frame, known, self._file(frame, stamp))
        loaded = load_frame(self.adapter, frame)
        if loaded.image is None:
            return Facts(frame, None, None, loaded.status, loaded.reason)
        with DECODING.taking(LOOK * loaded.image.nbytes):
            pixels = look(loaded.image, loaded.digest)
        self._keep(key, loaded.stamp, pixels)
        return Facts(frame, pixels, self._file(frame, loaded.stamp))

    def _file(self, frame: Frame, stamp: str) -> FileFacts | None:
        """Return the facts of a frame's own file, read once even for many frames; None without such a file."""
        path = frame.locator.path
        if path not in self.own:
            return self._stored(frame, stamp)
        with self._locks.setdefault(path, threading.Lock()):  # setdefault is atomic: all threads get the same lock
            if path not in self._files:
                self._files[path] = self._read_file(path)
            return self._files[path]

    def _stored(self, frame: Frame, stamp: str) -> FileFacts | None:
        """Return the facts of an image file that lies in another file, such as a tar; None if the frame is none."""
        key = f"file {frame.split} {frame.id}"
        known = self._known(FileFacts, key, stamp)
        if known is not None:
            return known
        try:
            data = data_of(self.adapter, frame)
        except FrameError:
            return None
        facts = None if data is None else facts_of(data)
        if facts is not None:
            self._keep(key, stamp, facts)
        return facts

    def _read_file(self, path: str) -> FileFacts | None:
        stamp = file_stamp(path)
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

    def _known(self, form: type[T], key: str, stamp: str) -> T | None:
        if self.memo is not None and stamp:  # without a stamp it is unknown whether the frame has changed
            with suppress(TypeError, ValueError):  # nothing is known, or the cache file was edited
                return form.from_json(self.memo.get(key, stamp))
        return None

    def _keep(self, key: str, stamp: str, facts: PixelFacts | FileFacts) -> None:
        if self.memo is not None and stamp:
            self.memo.put(key, stamp, facts.to_json())
