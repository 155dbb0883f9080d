"""Parts of a preparation: a few videos each, and their records, by which what is finished is known.

A record's first line is the part's key, each other line the row of a frame; rows are read one at a time, so that a long
video needs no more memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.records import Frame
from ..datasets.calls import has_masks, mask_stamp_of, stamp_of
from ..faces.adapter import FaceAdapter

RECORDS = "records"
"""The folder of the parts' records."""
AT_LEAST = 16
"""Frames of a part, unless there are no more: single pictures and short videos share one."""


@dataclass(frozen=True)
class Part:
    """Videos with the scenes' frames that are wanted of them, in order; all of one split."""

    number: int
    split: str
    frames: Sequence[Frame]

    def record(self, root: Path) -> Path:
        """Return the file of its record."""
        return root / RECORDS / f"{self.split}-{self.number:06d}.jsonl"

    def key(self, adapter: FaceAdapter) -> str:
        """Return a hash of the frames, of their facts, and of their files' stamps."""
        digest, clip, scenes = hashlib.sha256(), "", adapter.scenes
        masked = has_masks(scenes)
        for frame in self.frames:
            facts = [frame.id, frame.video, frame.label, frame.method, *frame.identities]
            # A video's face is chosen by frames that may not be wanted: the adapter's own stamp has theirs.
            stamps = [stamp_of(scenes, frame), adapter.stamp(frame) if frame.clip != clip else ""]
            stamps += [mask_stamp_of(scenes, frame) or ""] if masked else []
            digest.update(json.dumps([facts, stamps]).encode())
            clip = frame.clip
        return digest.hexdigest()[:32]


@dataclass(frozen=True)
class Rows:
    """The rows of finished parts, in order, read from their records each time that they are asked for."""

    root: Path
    parts: Sequence[Part]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of all frames."""
        for part in self.parts:
            with part.record(self.root).open(encoding="ascii") as lines:
                next(lines)
                yield from map(json.loads, lines)

    def found(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of frames with a face."""
        return (row for row in self if row["status"] == "ok")


def parts_of(split: str, frames: Sequence[Frame]) -> Iterator[Part]:
    """Yield the parts of a split: whole videos, together at least AT_LEAST frames."""
    begin, number, clip = 0, 0, ""
    for position, frame in enumerate(frames):
        if frame.clip != clip and position - begin >= AT_LEAST:
            yield Part(number, split, frames[begin:position])
            begin, number = position, number + 1
        clip = frame.clip
    if begin < len(frames):
        yield Part(number, split, frames[begin:])


def is_finished(part: Part, root: Path, key: str) -> bool:
    """Return whether a part was finished under this key, and its pictures are all there."""
    try:
        with part.record(root).open(encoding="ascii") as lines:
            if json.loads(next(lines)) != {"key": key}:
                return False
            for row in map(json.loads, lines):
                for name, size in row.get("files", {}).items():
                    if (root / name).stat().st_size != size:  # the machine stopped before it was written
                        return False
    except (OSError, StopIteration, ValueError, AttributeError):  # not there, or damaged
        return False
    return True
