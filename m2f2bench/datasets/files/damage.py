"""Detection of damaged JPEG and PNG files that the decoder accepts.

It fills missing parts of a JPEG file with grey, and ignores some damage of a PNG file's chunks, rows and palette.
"""

from __future__ import annotations

import io
import math
import re
import zlib
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from PIL import JpegImagePlugin
from PIL.ImageFile import ImageFile

from ..limits import MAX_SCANS

JPEG_START = b"\xff\xd8\xff"
_MARKER = re.compile(rb"\xff\xff*([\x01-\xcf\xd8-\xfe])")
"""Filler and code: neither a stuffed 0xFF00 nor a restart (D0-D7), which occur inside the compressed data."""
_RESTART = re.compile(rb"\xff+([\xd0-\xd7])", re.DOTALL)
_END, _SCAN, _RESTART_INTERVAL, _TAGS, _WITHOUT_LENGTH = 0xD9, 0xDA, 0xDD, 0xE1, (0x01, 0xD8)
_FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
_ARITHMETIC = range(0xC9, 0xD0)
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_READ = frozenset({_SCAN, _RESTART_INTERVAL, _TAGS, *_FRAMES})
"""Markers whose content is read."""
_ONES = b"\xff\x00" * 7
"""Filler after a scan until the decoder has drawn it: it reads up to 7 bytes ahead, and no code has only 1 bits."""
_NOISE = bytes([0x9B, 0xD1, 0x6E, 0x35, 0xCA, 0x72, 0xE9, 0x1D] * 4)
_SENTINELS = ((1, 254, 3, 252), (253, 2, 251, 4))
PNG_START = b"\x89PNG\r\n\x1a\n"
CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
"""Chunks that a decoder must know; chunks whose name begins with a small letter may be skipped."""
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Passes of an interlaced picture: first column, first row, and the steps between columns and between rows."""


class DamagedImage(Exception):
    """The damage of an image file, in one line."""


class _Scan(NamedTuple):
    """One pass over some components (numbers): the place of its compressed data, and its part of the coefficients."""

    start: int
    end: int
    components: tuple[int, ...]
    first: int
    last: int
    bit: int
    interval: int


@dataclass
class Layout:
    """A JPEG file's frame header and scans.

    `kind` is the frame's marker, `bits` those of a sample, `count` that of components, `factors` each component's
    sampling, horizontal and vertical. `tagged`: a segment could hold EXIF or XMP data. `end`: after the end marker.
    """

    kind: int = -1
    bits: int = 0
    count: int = 0
    width: int = 0
    height: int = 0
    tagged: bool = False
    factors: dict[int, tuple[int, int]] = field(default_factory=dict)
    scans: list[_Scan] = field(default_factory=list)
    end: int = 0

    def units(self, scan: _Scan) -> int:
        """Return the number of minimum coded units of a scan (ITU-T T.81, A.2)."""
        most: list[int] = [max(sizes) for sizes in zip(*self.factors.values(), strict=True)]
        if len(scan.components) > 1:
            return math.ceil(self.width / (8 * most[0])) * math.ceil(self.height / (8 * most[1]))
        own = self.factors[scan.components[0]]
        across, down = math.ceil(self.width * own[0] / most[0]), math.ceil(self.height * own[1] / most[1])
        return math.ceil(across / 8) * math.ceil(down / 8)


def load_jpeg(data: bytes, layout: Layout) -> ImageFile:
    """Return the picture of a JPEG file, with its header read; its `load` decodes it and raises DamagedImage."""
    scan = layout.scans[0]
    restarts = scan.interval and layout.units(scan) > scan.interval
    if len(layout.scans) > 1 or restarts or layout.kind in _PROGRESSIVE:
        return _Compared(data, layout)
    return _Watched(data, layout)


class _Compared(JpegImagePlugin.JpegImageFile):
    """A picture that is decoded twice, the second time with noise after each part of compressed data.

    A complete picture stays the same; in an incomplete one the noise is decoded in place of the missing data.
    """

    def __init__(self, data: bytes, layout: Layout) -> None:
        """Open the picture; `data` are all bytes of the file."""
        self._data, self._layout = data, layout
        super().__init__(io.BytesIO(data[: layout.end]))

    def load(self) -> Any:
        """Decode, and compare."""
        pending = bool(self.tile)
        loaded = super().load()
        if pending and not self._same():
            raise DamagedImage("the JPEG file is cut short or damaged (data of the picture are missing)")
        return loaded

    def _same(self) -> bool:
        with JpegImagePlugin.JpegImageFile(io.BytesIO(_noisy(self._data, self._layout))) as other:
            other.load()
            return bool(other.tobytes() == self.tobytes())


class _Watched(_Compared):
    """A picture of one scan, decoded once and watched.

    Its last row must be drawn after the last byte of the scan was given and not before; the end marker, at which the
    decoder would fill up the picture, is withheld until then. The decoder reads up to 7 bytes ahead, and so may not
    notice that these are missing (a block or two in the last corner). Encoders fill up the last byte with 1 bits; if it
    does not end so, the picture is decoded twice.
    """

    def __init__(self, data: bytes, layout: Layout) -> None:
        """Open the picture; `data` are all bytes of the file, which has one scan."""
        (scan,) = layout.scans
        kept = len(data[scan.start : scan.end].rstrip(b"\x00\xff"))  # some encoders pad to a multiple of bytes
        cut = scan.start + max(0, kept - 1)
        self._rest = [data[cut : scan.end] + _ONES, data[scan.end : layout.end]]
        self._early = False
        self._marks: list[tuple[tuple[int, int], Any]] = []
        self._doubtful = not data[scan.end - 1] & 1 and data[scan.end - 2 : scan.end] != b"\xff\x00"
        super().__init__(data[: layout.end], layout)
        self.fp = io.BytesIO(data[:cut])

    def load_prepare(self) -> None:
        """Colour the last row, so that it is visible whether it was drawn."""
        super().load_prepare()
        self._marks = self._sentinels()
        for at, colour in self._marks:
            self.im.putpixel(at, colour)

    def load_read(self, read_bytes: int) -> bytes:
        """Return the next bytes; called again whenever the decoder needs more."""
        assert self.fp is not None
        piece: bytes = self.fp.read(read_bytes)
        if piece or not self._rest:
            return piece
        drawn = any(self.im.getpixel(at) != colour for at, colour in self._marks)
        self._early = self._early or (drawn and len(self._rest) == 2)
        if not drawn and len(self._rest) == 1:
            raise DamagedImage("the JPEG file is cut short or damaged (data of the picture are missing)")
        return self._rest.pop(0)

    def _same(self) -> bool:
        if len(self._rest) == 2 or self._early:
            raise DamagedImage("the JPEG file is damaged (data are left over when the picture is drawn)")
        return not self._doubtful or super()._same()

    def _sentinels(self) -> list[tuple[tuple[int, int], Any]]:
        """Return places in the last row with colours that no picture has next to each other."""
        bands, last = len(self.getbands()), self.size[1] - 1
        colours = [colour[0] if bands == 1 else colour[:bands] for colour in _SENTINELS]
        return [((x, last), colours[x % len(colours)]) for x in range(4)]


def _noisy(data: bytes, layout: Layout) -> bytes:
    """Return the file with noise at the end of each part of compressed data."""
    parts, at = [], 0
    for scan in layout.scans:
        cuts = [scan.start + found.start() for found in _RESTART.finditer(data[scan.start : scan.end])]
        for cut in (*cuts, scan.end):
            parts += [data[at:cut], _NOISE]
            at = cut
    return b"".join([*parts, data[at : layout.end]])


def jpeg_layout(data: bytes) -> Layout:
    """Return the layout of a JPEG file.

    Raises DamagedImage if its headers show damage: no end, missing scans or restart markers.
    """
    layout = _read_markers(data)
    _check_headers(data, layout)
    return layout


def _read_markers(data: bytes) -> Layout:
    """Read the chain of markers up to the end of the image. Raises DamagedImage if it has no end."""
    layout, interval = Layout(), 0
    found = _marker(data, 2)
    while found is not None:
        _, code, at = found
        if code == _END:
            layout.end = at
            return layout
        begin = at if code in _WITHOUT_LENGTH else at + int.from_bytes(data[at : at + 2], "big")
        found = _marker(data, begin)
        if code not in _READ:
            continue
        body = data[at + 2 : begin]
        if code == _RESTART_INTERVAL:
            interval = int.from_bytes(body[:2], "big")
        elif code == _TAGS:
            layout.tagged = True
        elif code in _FRAMES and len(body) >= 6:
            layout.kind, layout.bits, layout.count = code, body[0], body[5]
            layout.height, layout.width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
            triples = [body[i : i + 3] for i in range(6, 6 + 3 * body[5], 3)]
            layout.factors = {one[0]: (one[1] >> 4 or 1, one[1] & 15 or 1) for one in triples if len(one) == 3}
        elif code == _SCAN and body and len(body) >= 4 + 2 * body[0]:
            names = tuple(body[1 : 1 + 2 * body[0] : 2])
            first, last, bits = body[1 + 2 * body[0] : 4 + 2 * body[0]]
            end = found[0] if found is not None else len(data)
            layout.scans.append(_Scan(begin, end, names, first, last, bits & 15, interval))
    raise DamagedImage("the JPEG file is cut short (it has no end-of-image marker)")


def _marker(data: bytes, begin: int) -> tuple[int, int, int] | None:
    """Return the first marker from a place on: where it starts, its code, and where it ends; None without any."""
    if (
        begin + 1 < len(data)
        and data[begin] == 0xFF
        and 0 < (code := data[begin + 1]) < 0xFF
        and not 0xD0 <= code <= 0xD7
    ):
        return begin, code, begin + 2  # as after most segments; a search takes twice as long
    found = _MARKER.search(data, begin)
    return None if found is None else (found.start(), found[1][0], found.end())


def _check_headers(data: bytes, layout: Layout) -> None:
    """Raise DamagedImage for missing scans or restart markers, and for files that cannot be checked."""
    if layout.kind in _ARITHMETIC:
        raise DamagedImage(
            "a JPEG file with arithmetic coding, which cannot be checked for missing data; save it again"
        )
    if len(layout.scans) > MAX_SCANS:
        raise DamagedImage(f"{len(layout.scans)} scans of a JPEG file are over the limit of {MAX_SCANS}")
    named = {name for scan in layout.scans for name in scan.components}
    if not layout.scans or not named.issubset(layout.factors):
        raise DamagedImage("the JPEG file is damaged (its scans are not those of its picture)")
    if named != set(layout.factors) or (layout.kind in _PROGRESSIVE and not _refined(layout)):
        raise DamagedImage("the JPEG file is cut short (scans of the picture are missing)")
    for scan in layout.scans:
        if not scan.interval:
            continue
        found = [one[0] - 0xD0 for one in _RESTART.findall(data[scan.start : scan.end])]
        wanted = math.ceil(layout.units(scan) / scan.interval) - 1
        if len(found) != wanted or any((a + 1) % 8 != b for a, b in pairwise([7, *found])):
            count = f"{len(found)} restart markers where there should be {wanted}"
            raise DamagedImage(f"the JPEG file is damaged ({count}, or in another order)")


def _refined(layout: Layout) -> bool:
    """Return whether the scans give all coefficients of each component, from 0, to the last bit."""
    left = {(name, k): 16 for name in layout.factors for k in range(64)}
    for scan in layout.scans:
        for name in scan.components:
            for k in range(scan.first, min(scan.last, 63) + 1):
                left[name, k] = min(left[name, k], scan.bit)
    return not any(left.values())


def check_png_chunks(data: bytes) -> None:
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


def check_png_pixels(data: bytes, image: ImageFile) -> None:
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
    wanted = _png_size(data)
    if len(zlib.decompressobj().decompress(packed, wanted)) < wanted:
        raise DamagedImage("cannot be decoded: the PNG file has fewer rows than its header promises")


def _chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """Return each chunk's name, start and end of content. Raises DamagedImage for a file without an end."""
    found, at = [], len(PNG_START)
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


def _png_size(data: bytes) -> int:
    """Return the bytes of all unpacked rows by the header, each row with one byte for its filter."""
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    depth, colour, interlaced = data[24], data[25], data[28]
    bits = depth * _CHANNELS.get(colour, 1)
    passes = [((width - x + dx - 1) // dx, (height - y + dy - 1) // dy) for x, y, dx, dy in _PASSES]
    parts = passes if interlaced else [(width, height)]
    return sum(rows * ((columns * bits + 7) // 8 + 1) for columns, rows in parts if columns > 0)
