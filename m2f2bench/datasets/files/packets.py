"""Lists of the packets of a video file: how many frames it has, and where decoding can begin, without decoding."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .video import packets_of, promised_of

INDEXED = frozenset({"h264", "mjpeg", "vp9", "av1", "prores", "ffv1"})
"""Codecs whose frames after a keyframe are nearly always shown after it; of others all packets are read."""
UNKNOWN = -(1 << 63)
"""A packet's time, if it has none."""
_BOXES = 100_000
"""Boxes at the top of an mp4 file that are looked at."""


@dataclass(frozen=True, eq=False)
class Timeline:
    """The packets of a video's pictures in the order of the file (of decoding), without those that are empty.

    `positions` are their places in the file in bytes, `stamps` the times to seek with, `keys` the numbers of the
    keyframes, and `before[k]` is how many of the packets before packet k are shown. `shown` are the times at which the
    frames are shown, ascending; None if they are not known (yet). `promised` is the number of frames that the container
    states, None if it states none.
    """

    positions: array[int]
    stamps: array[int]
    keys: array[int]
    before: array[int]
    shown: array[int] | None
    times: array[int] | None
    promised: int | None
    complete: bool
    """Whether all packets were read; otherwise the list is the container's own index."""

    @property
    def frames(self) -> int:
        """The number of frames that are shown."""
        return self.before[-1]

    def key_for(self, number: int) -> int:
        """Return the packet, a keyframe, from which frame `number` is decoded; 0 if there is none before it."""
        if self.shown is None or self.times is None:
            keys = [0, *self.keys]
            return keys[bisect_right(keys, number, key=lambda k: self.before[k]) - 1]
        time = self.shown[number]
        last = self.keys[0] if self.keys else 0
        position = bisect_right(self.keys, self.times.index(time))
        for key in reversed(self.keys[:position]):
            if self.times[key] <= time:  # otherwise the frame is shown before the keyframe, and may need the one before
                return key
        return last if self.times[last] <= time else 0

    def seek_times(self, key: int) -> list[int]:
        """Return times with which a container should find a keyframe, or a packet before it, the best first."""
        at = bisect_right(self.keys, key)
        end = self.keys[at] if at < len(self.keys) else len(self.stamps)
        before = self.keys[at - 2] if at > 1 else 0
        return [self.stamps[key] if self.complete else self.stamps[end - 1], self.stamps[key], self.stamps[before]]


def timeline_of(container: Any, stream: Any, path: Path, complete: bool = False) -> Timeline:
    """Return the list of an open file's packets, from the index of an mp4 or mov file if it has a whole one.

    Otherwise, and with `complete`, all packets are read, once; the container then stands at its end.
    """
    if not complete and "mov" in container.format.name.split(",") and stream.codec_context.name in INDEXED:
        entries = stream.index_entries
        if len(entries) and not _in_fragments(path):
            return _from_index(container, stream, entries, path.stat().st_size)
    return _from_packets(container, stream)


def _from_index(container: Any, stream: Any, entries: Any, size: int) -> Timeline:
    positions, stamps, keys, before = array("q"), array("q"), array("q"), array("q", [0])
    hidden = 0
    for entry in entries:
        if entry.pos + entry.size > size:
            break  # the file is cut short here
        if not entry.size:
            continue
        if entry.is_keyframe:
            keys.append(len(positions))
        positions.append(entry.pos)
        stamps.append(entry.timestamp)
        hidden += entry.is_discard
        before.append(before[-1] + (not entry.is_discard))
    return Timeline(positions, stamps, keys, before, None, None, promised_of(container, stream, hidden), False)


def _from_packets(container: Any, stream: Any) -> Timeline:
    positions, stamps, keys, before = array("q"), array("q"), array("q"), array("q", [0])
    times, shown = array("q"), []
    mov = "mov" in container.format.name.split(",")
    vp8, known, hidden = stream.codec_context.name == "vp8", True, 0
    cut = False
    for packet in packets_of(container, stream):
        # VP8 has pictures that are never shown, others are built on them (RFC 6386, 9.1).
        dark = vp8 and not memoryview(packet)[0] >> 4 & 1
        if packet.is_keyframe:
            keys.append(len(positions))
        time = UNKNOWN if packet.pts is None else packet.pts
        positions.append(-1 if packet.pos is None else packet.pos)
        seeks = packet.dts if (mov or packet.pts is None) and packet.dts is not None else time
        stamps.append(seeks)
        times.append(time)
        if not (packet.is_discard or dark):
            known = known and packet.pts is not None
            shown.append(time)
        hidden += packet.is_discard
        before.append(before[-1] + (not (packet.is_discard or dark)))
        cut = packet.is_corrupt
    if cut and before[-1] > before[-2]:  # the file ends within its last packet
        shown.pop()
        for column in (positions, stamps, times, before):
            column.pop()
        if keys and keys[-1] == len(positions):
            keys.pop()
    promised = promised_of(container, stream, hidden)
    ordered = array("q", sorted(shown)) if known else None
    return Timeline(positions, stamps, keys, before, ordered, times if known else None, promised, True)


def _in_fragments(path: Path) -> bool:
    """Return whether an mp4 file has fragments, of which the index at its beginning knows nothing."""
    size = path.stat().st_size
    at = 0
    with path.open("rb") as file:
        for _ in range(_BOXES):
            file.seek(at)
            head = file.read(16)
            if len(head) < 8 or at >= size:
                return False
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if kind == b"moof":
                return True
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            if length < 8:  # 0: up to the end
                return False
            at += length
    return True
