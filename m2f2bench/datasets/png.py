"""PNG files that are whole: what the decoder lets pass of chunks, rows and palette."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from .jpeg import NotWhole

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

START = b"\x89PNG\r\n\x1a\n"
CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
"""Chunks that a decoder has to know; it may pass over those whose name begins with a small letter."""
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of an interlaced picture: the first column and row of each pass, and the steps between them."""


def check_chunks(data: bytes) -> None:
    """Raise NotWhole unless all chunks that pixels are made of are there, known, and have their checksum.

    The decoder does not look at the checksums of compressed pixels, and some damage is not seen without them.
    """
    palette = None
    for kind, start, end in _chunks(data):
        if kind[0] & 0x20:
            continue
        if zlib.crc32(memoryview(data)[start - 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise NotWhole(f"cannot be decoded: the PNG file is damaged (wrong checksum of chunk {kind!r})")
        if kind not in CRITICAL:
            raise NotWhole(f"cannot be decoded: the PNG file has a chunk {kind!r}, which is not known here")
        if kind == b"IHDR" and data[start + 10 : start + 12] != b"\0\0":
            raise NotWhole("cannot be decoded: the PNG file is packed in a way that is not known here")
        if kind == b"PLTE":
            palette = end - start
    if data[25:26] == b"\3" and (not palette or palette % 3 or palette > 768):
        raise NotWhole("cannot be decoded: the PNG file is damaged (its palette is missing or cut)")


def check_pixels(data: bytes, image: ImageFile) -> None:
    """Raise NotWhole where a decoded picture has rows that are not in the file, or colours that are not in its palette.

    The decoder leaves rows that lack zero, so that those of pictures that end otherwise need not be counted.
    """
    chunks = _chunks(data)
    if image.mode == "P":
        colours = next((end - start) // 3 for kind, start, end in chunks if kind == b"PLTE")
        if int(np.asarray(image).max()) >= colours:
            raise NotWhole("cannot be decoded: the PNG file is damaged (a pixel's colour is not in its palette)")
    height = image.size[1]
    last = np.asarray(image.crop((0, max(0, height - 2), image.size[0], height)))
    if all(row.any() for row in last):
        return
    packed = b"".join(data[start:end] for kind, start, end in chunks if kind == b"IDAT")
    wanted = _size(data)
    if len(zlib.decompressobj().decompress(packed, wanted)) < wanted:
        raise NotWhole("cannot be decoded: the PNG file has fewer rows than its header promises")


def _chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """Each chunk's name, and where its content starts and ends. Raises NotWhole for a file without an end."""
    found, at = [], len(START)
    while True:
        length = int.from_bytes(data[at : at + 4], "big")
        end = at + 12 + length
        if at + 12 > len(data) or end > len(data):
            raise NotWhole("cannot be decoded: the PNG file is cut short (it has no end chunk)")
        kind = data[at + 4 : at + 8]
        found.append((kind, at + 8, end - 4))
        if kind == b"IEND":
            return found
        at = end


def _size(data: bytes) -> int:
    """Bytes of the unpacked rows, each with its filter's number before it, as the header has them."""
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    depth, colour, interlaced = data[24], data[25], data[28]
    bits = depth * _CHANNELS.get(colour, 1)
    passes = [((width - x + dx - 1) // dx, (height - y + dy - 1) // dy) for x, y, dx, dy in _PASSES]
    parts = passes if interlaced else [(width, height)]
    return sum(rows * ((columns * bits + 7) // 8 + 1) for columns, rows in parts if columns > 0)
