"""Packed faces: the H.264 streams, masks and notes of the synthetic cards, drawn once and part of the package.

Drawing and encoding are floating-point work, whose last bit differs between machines and versions. Decoding is exact.
So the streams travel, and everybody who decodes them has the same frames.

`python -m m2f2bench.datasets.synthetic.pack` draws them again and writes the file (two minutes). It is a zip:

    index.json          options, encoder, and of each split the notes, lengths and digests by video
    <split>/c23.h264    the streams of the split's videos, one after the other; also c40
    <split>/masks       the masks of its forged videos, packed bits, one video after the other
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...cards.folders import find_card
from ...cards.models import DatasetCard, read_card
from ...core.errors import DataError, first_line
from ...core.files import replacing
from ...core.memo import REDRAW_VARIABLE
from ...core.records import ORIGINAL
from .draw import CRF, FRAMES, MASKS, PREFIX, SyntheticOptions, draw_identities, plan
from .h264 import decode, encoder_version, without_remarks

PACK = Path(__file__).parent / "packed.zip"
CARDS = ("synthetic", "synthetic-c40", "synthetic-unseen")
"""The cards whose data is packed."""
SHARED = ("seed", "train", "val", "test", "videos_per_identity", "frames_per_video", "size")
"""Options that all packed videos have in common; the others choose among them."""


def digest_of(array: npt.NDArray[Any]) -> str:
    """Return 16 hex digits over an array's bytes."""
    return hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=8).hexdigest()


def hash_of(videos: Iterable[str], digests: dict[str, list[str]], notes: dict[str, dict[str, Any]]) -> str:
    """Return 16 hex digits over a split: names, digests of frames and masks, and notes of its videos in order."""
    text = json.dumps([[video, *digests[video], notes[video]] for video in videos], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _damaged(error: Exception | str) -> DataError:
    reason = error if isinstance(error, str) else first_line(error)
    return DataError(
        f"the packed faces '{PACK}' are damaged ({reason}): install m2f2bench again, or draw them with --redraw"
    )


@lru_cache(maxsize=1)
def pack_hash() -> str:
    """Return 16 hex digits over the packed file. Raises DataError if it cannot be read."""
    try:
        return hashlib.sha256(PACK.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise _damaged(error) from None


@lru_cache(maxsize=1)
def packed_index() -> dict[str, Any]:
    """Return the packed file's index. Raises DataError if it cannot be read."""
    found = json.loads(_member("index.json"))
    if not isinstance(found, dict) or not {"options", "encoder", "splits"} <= set(found):
        raise _damaged("index.json is not an index")
    return found


def _member(name: str) -> bytes:
    """Return a member of the packed file, whose CRC is checked. Raises DataError."""
    try:
        with zipfile.ZipFile(PACK) as pack:
            return pack.read(name)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error) as error:
        raise _damaged(error) from None


def is_redrawn() -> bool:
    """Return whether faces are to be drawn although they are packed (`--redraw`)."""
    return os.environ.get(REDRAW_VARIABLE, "0") not in ("", "0")


def is_packed(options: SyntheticOptions) -> bool:
    """Return whether these options choose among the packed videos, and the packed ones are wanted."""
    if is_redrawn() or options.compression not in CRF:
        return False
    shared = packed_index()["options"]
    return all(getattr(options, name) == shared[name] for name in SHARED)


def holds(options: SyntheticOptions, split: str) -> bool:
    """Return whether all videos of a split are packed, and the packed ones are wanted."""
    if not is_packed(options):
        return False
    known = packed_index()["splits"].get(split, {}).get(options.compression, {})
    return all(video.name in known for video in plan(options, split))


def packed_digests(options: SyntheticOptions, split: str) -> tuple[dict[str, list[str]], dict[str, dict[str, Any]]]:
    """Return digests of frames and masks, and notes, of those of a split's videos that are packed, by video name."""
    part = packed_index()["splits"].get(split, {})
    known = part.get(options.compression, {})
    names = [video.name for video in plan(options, split) if video.name in known]
    return {name: [known[name][1], part["masks"][name]] for name in names}, {n: part["notes"][n] for n in names}


def unpack(folder: Path, options: SyntheticOptions, split: str) -> Iterator[dict[str, Any]]:
    """Decode a split's videos into the arrays in `folder`; yield `{"video": name, "notes": {...}}` for each.

    Raises DataError for a damaged file.
    """
    part = packed_index()["splits"][split]
    streams = _slices(_member(f"{split}/{options.compression}.h264"), part[options.compression])
    bits = np.frombuffer(_member(f"{split}/masks"), np.uint8)
    frames = np.load(folder / FRAMES, mmap_mode="r+")
    masks = np.load(folder / MASKS, mmap_mode="r+")
    count, width = options.frames_per_video, masks.shape[1]
    forged = [name for name in part["masks"] if not name.startswith(f"{ORIGINAL}/")]
    if len(bits) != len(forged) * count * width:
        raise _damaged(f"{split}/masks has another length")
    altered = dict(zip(forged, bits.reshape(len(forged), count, width), strict=True))
    for video in plan(options, split):
        decoded = decode(streams[video.name])
        if len(decoded) != count or decoded[0].shape != frames.shape[1:]:
            raise _damaged(f"the stream of '{video.name}' has other frames")
        rows = slice(video.row, video.row + count)
        frames[rows] = decoded
        if video.name in altered:
            masks[rows] = altered[video.name]
        yield {"video": video.name, "notes": part["notes"][video.name]}
    frames.flush()
    masks.flush()


def _slices(data: bytes, listed: dict[str, list[Any]]) -> dict[str, bytes]:
    """Return the streams of a member by video name, from their lengths."""
    found, at = {}, 0
    for name, (length, _) in listed.items():
        found[name] = data[at : at + length]
        at += length
    if at != len(data):
        raise _damaged("its streams have another length")
    return found


def packed_options() -> list[tuple[str, SyntheticOptions, tuple[str, ...]]]:
    """Return name, options and splits of the cards whose data is packed."""
    found = []
    for name in CARDS:
        place = find_card("datasets", name)
        card = read_card("datasets", place) if place else None
        if not isinstance(card, DatasetCard):
            raise DataError(f"there is no card '{name}'")
        found.append((name, SyntheticOptions.model_validate(card.options), card.splits or tuple(PREFIX)))
    return found


def make_pack(place: Path, say: Callable[[str], None] = print) -> dict[str, dict[str, str]]:
    """Draw the data of all three cards and write the packed file; return the hash of each split by card.

    The cards' `hashes` are not looked at: they are to be the returned ones.
    """
    cards = packed_options()
    first = cards[0][1]
    index: dict[str, Any] = {
        "options": {name: getattr(first, name) for name in SHARED},
        "encoder": encoder_version(),
        "splits": {split: {"notes": {}, "masks": {}} for split in PREFIX},
    }
    streams: dict[tuple[str, str], list[bytes]] = {}
    bits: dict[str, list[bytes]] = {split: [] for split in PREFIX}
    hashes: dict[str, dict[str, str]] = {name: {} for name, _, _ in cards}
    for name, options, splits in cards:
        for split in splits:
            part = index["splits"][split]
            listed = part.setdefault(options.compression, {})
            digests: dict[str, list[str]] = {}
            for drawn in draw_identities(options, split):
                video, packed = drawn.video.name, np.packbits(drawn.masks.reshape(len(drawn.masks), -1), axis=1)
                digests[video] = [digest_of(drawn.frames), digest_of(packed)]
                if video not in part["notes"]:
                    part["notes"][video], part["masks"][video] = drawn.notes, digests[video][1]
                    if drawn.video.method != ORIGINAL:
                        bits[split].append(packed.tobytes())
                if video not in listed:
                    stream = without_remarks(drawn.stream)
                    listed[video] = [len(stream), digests[video][0]]
                    streams.setdefault((split, options.compression), []).append(stream)
            videos = [video.name for video in plan(options, split)]
            hashes[name][split] = hash_of(videos, digests, part["notes"])
            say(f"{name}: {split}: {hashes[name][split]}")
    _write(place, index, streams, bits)
    return hashes


def _write(
    place: Path, index: dict[str, Any], streams: dict[tuple[str, str], list[bytes]], bits: dict[str, list[bytes]]
) -> None:
    """Write the packed file; the same content gives the same bytes."""
    members = {"index.json": json.dumps(index, separators=(",", ":")).encode()}
    members |= {f"{split}/{level}.h264": b"".join(parts) for (split, level), parts in streams.items()}
    members |= {f"{split}/masks": b"".join(parts) for split, parts in bits.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as pack:
        for name, data in members.items():
            kind = zipfile.ZIP_STORED if name.endswith(".h264") else zipfile.ZIP_DEFLATED
            pack.writestr(zipfile.ZipInfo(name), data, kind, 9)
    with replacing(place) as temporary:
        temporary.write_bytes(buffer.getvalue())


if __name__ == "__main__":
    make_pack(Path(sys.argv[1]) if len(sys.argv) > 1 else PACK)
