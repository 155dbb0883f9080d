"""Detection of incomplete PNG files: damage of chunks, rows and palette that the decoder accepts."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from .jpeg import DamagedImage

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

START = b"\x89PNG\r\n\x1a\n"
CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
"""Chunks that a decoder must know; chunks whose name begins with a small letter may be skipped."""
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Passes of an interlaced picture: first column, first row, and the steps between columns and between rows."""


def check_chunks(data: bytes) -> None:
    """Raise DamagedImage unless all chunks of pixels exist, are known, and have the right checksum.

    The decoder does not check the checksums of compressed pixels, and some damage is visible only in them.
    """
    palette = None
    for kind, start, end in _chunks(data):
        if kind[0] & 0x20:
            continue
        if zlib.crc32(memoryview(data)[start - 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise DamagedImage(f"cannot be decoded: the PNG file is damaged (wrong checksum of chunk {kind!r})")
        if kind not in CRITICAL:
            raise DamagedImage(f"cannot be decoded: the PNG file has an unknown critical chunk {kind!r}")
        if kind == b"IHDR" and data[start + 10 : start + 12] != b"\0\0":
            raise DamagedImage("cannot be decoded: the PNG file is compressed by an unknown method")
        if kind == b"PLTE":
            palette = end - start
    if data[25:26] == b"\3" and (not palette or palette % 3 or palette > 768):
        raise DamagedImage("cannot be decoded: the PNG file is damaged (its palette is missing or cut)")


def check_pixels(data: bytes, image: ImageFile) -> None:
    """Raise DamagedImage if a decoded picture has rows that are not in the file or colours not in its palette.

    The decoder leaves missing rows at zero, so that rows are counted only in pictures that end with a zero row.
    """
    chunks = _chunks(data)
    if image.mode == "P":
        colours = next((end - start) // 3 for kind, start, end in chunks if kind == b"PLTE")
        if int(np.asarray(image).max()) >= colours:
            raise DamagedImage("cannot be decoded: the PNG file is damaged (a pixel's colour is not in its palette)")
    height = image.size[1]
    last = np.asarray(image.crop((0, max(0, height - 2), image.size[0], height)))
    if all(row.any() for row in last):
        return
    packed = b"".join(data[start:end] for kind, start, end in chunks if kind == b"IDAT")
    wanted = _size(data)
    if len(zlib.decompressobj().decompress(packed, wanted)) < wanted:
        raise DamagedImage("cannot be decoded: the PNG file has fewer rows than its header promises")


def _chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """Return each chunk's name, start and end of content. Raises DamagedImage for a file without an end."""
    found, at = [], len(START)
    while True:
        length = int.from_bytes(data[at : at + 4], "big")
        end = at + 12 + length
        if at + 12 > len(data) or end > len(data):
            raise DamagedImage("cannot be decoded: the PNG file is cut short (it has no end chunk)")
        kind = data[at + 4 : at + 8]
        found.append((kind, at + 8, end - 4))
        if kind == b"IEND":
            return found
        at = end


def _size(data: bytes) -> int:
    """Return the bytes of all unpacked rows by the header, each row with one byte for its filter."""
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    depth, colour, interlaced = data[24], data[25], data[28]
    bits = depth * _CHANNELS.get(colour, 1)
    passes = [((width - x + dx - 1) // dx, (height - y + dy - 1) // dy) for x, y, dx, dy in _PASSES]
    parts = passes if interlaced else [(width, height)]
    return sum(rows * ((columns * bits + 7) // 8 + 1) for columns, rows in parts if columns > 0)
