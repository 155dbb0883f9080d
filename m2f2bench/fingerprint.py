"""What a dataset's frames are, in hashes: read once, then known from a cache."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from .errors import FrameError, M2F2BenchError
from .loading import Dataset
from .memo import Memo, cache_folder
from .progress import progress_bar
from .records import Frame
from .signature import installed_versions
from .version import __version__

DECODERS = ("numpy", "pillow", "av", "h5py", "opencv-python", "opencv-python-headless")
"""Packages whose version can move a digest of decoded pixels."""


def frame_digests(dataset: Dataset, frames: Sequence[Frame], workers: int = 0) -> dict[str, str]:
    """The digest (hex) of each frame's pixels or file, as a run finds it, by frame id; empty for an unreadable one.

    A frame is read once; as long as the adapter's stamp of it stays, its digest comes from the cache. One without a
    stamp is read every time.
    """
    place = dataset.card.model_dump(mode="json", include={"name", "adapter", "root", "options"})
    adapter = dataset.adapter
    options = adapter.options.model_dump(mode="json")
    decided = [place, str(adapter.root), options, installed_versions(DECODERS), __version__]
    text = json.dumps(decided, sort_keys=True, default=str)
    path = cache_folder() / "digests" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.jsonl"

    def find(frame: Frame) -> str:
        key, stamp = f"{frame.split} {frame.id}", adapter.stamp(frame)
        known = memo.get(key, stamp) if stamp else None
        if isinstance(known, str):
            return known
        try:
            digest = adapter.digest(frame, dataset.read(frame))
        except FrameError:
            return ""
        except M2F2BenchError:
            raise
        except Exception:  # an adapter of somebody's own: the frame is unreadable in a run as well
            return ""
        # A dataset that is drawn by code has its file only once it was read.
        stamp = stamp or adapter.stamp(frame)
        if stamp:
            memo.put(key, stamp, digest)
        return digest

    threads = workers or min(4, os.cpu_count() or 1)
    found = {}
    with (
        Memo(path) as memo,
        ThreadPoolExecutor(threads, thread_name_prefix="digest") as pool,
        progress_bar("digests", len(frames)) as advance,
    ):
        for frame, digest in zip(frames, pool.map(find, frames), strict=True):
            found[frame.id] = digest
            advance(1)
    return found
