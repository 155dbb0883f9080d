"""What a dataset's frames are, in hashes: read once, then known from a cache."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from .errors import FrameError, M2F2BenchError
from .loading import Dataset
from .memo import Memo, cache_folder, file_stamp
from .progress import progress_bar
from .records import Frame


def frame_digests(dataset: Dataset, frames: Sequence[Frame], workers: int = 0) -> dict[str, str]:
    """The digest (hex) of each frame's pixels or file, as a run finds it, by frame id; empty for an unreadable one.

    A frame is read once; as long as its file keeps time and size, its digest comes from the cache.
    """
    place = dataset.card.model_dump(mode="json", include={"name", "adapter", "root", "options"})
    text = json.dumps([place, str(dataset.adapter.root)], sort_keys=True)
    path = cache_folder() / "digests" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.jsonl"

    def stamp(frame: Frame) -> str:
        place = frame.locator
        return f"{place.path} {place.key} {place.index} {file_stamp(place.path)}"

    def find(frame: Frame) -> str:
        key = f"{frame.split} {frame.id}"
        known = memo.get(key, stamp(frame))
        if isinstance(known, str):
            return known
        try:
            digest = dataset.adapter.digest(frame, dataset.read(frame))
        except FrameError:
            return ""
        except M2F2BenchError:
            raise
        except Exception:  # an adapter of somebody's own: the frame is unreadable in a run as well
            return ""
        memo.put(key, stamp(frame), digest)  # a dataset that is drawn by code has its file only once it was read
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
