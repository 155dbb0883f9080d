"""Digests of a dataset's frames, read once and then cached."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from ..core.memo import Memo, cache_folder
from ..core.progress import progress_bar
from ..core.records import Frame
from ..core.sources import installed_versions
from ..version import __version__
from .dataset import Dataset
from .listing import stamp_of
from .read_ahead import ReadAhead, load_frame

DECODERS = ("numpy", "pillow", "av", "h5py", "opencv-python", "opencv-python-headless")
"""Packages whose version can change a digest of decoded pixels."""
AHEAD = 64
"""Digests that are computed ahead."""


def frame_digests(dataset: Dataset, frames: Sequence[Frame], workers: int = 0) -> dict[str, str]:
    """Return the digest (hex) of each frame's pixels or file by frame id, as in a run; empty if unreadable.

    A frame is read once; while the adapter's stamp of it does not change, its digest comes from the cache. A frame
    without a stamp is read every time.
    """
    place = dataset.card.model_dump(mode="json", include={"name", "adapter", "root", "options"})
    adapter = dataset.adapter
    options = adapter.options.model_dump(mode="json")
    decided = [place, str(adapter.root), options, installed_versions(DECODERS), __version__]
    text = json.dumps(decided, sort_keys=True, default=str)
    path = cache_folder() / "digests" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.jsonl"

    def find(frame: Frame) -> str:
        key, stamp = f"{frame.split} {frame.id}", stamp_of(adapter, frame)
        known = memo.get(key, stamp) if stamp else None
        if isinstance(known, str):
            return known
        loaded = load_frame(adapter, frame)
        if loaded.stamp and loaded.digest:
            memo.put(key, loaded.stamp, loaded.digest)
        return loaded.digest

    found = {}
    with Memo(path) as memo, progress_bar("digests", len(frames)) as advance:
        ahead = ReadAhead(find, frames, count=AHEAD, size=lambda digest: 0, threads=workers)
        for frame, digest in zip(frames, ahead.each(), strict=True):
            found[frame.id] = digest
            advance(1)
    return found
