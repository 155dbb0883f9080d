"""Hostile JPEG and PNG files; other formats are in `hostile_formats`. A picture that is not whole is never scored."""

# ruff: noqa: E501 - a line an input

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import partial

import numpy as np
from hostile import Case, Check, Outcome, both, either, put, refused
from hostile_materials import CORNER, HEIGHT, WIDTH, face, saved
from PIL import Image
from PIL.PngImagePlugin import PngInfo

Bytes = Callable[[], bytes]
PREDICT = ("predict", "--no-faces", "x.png", "-d", "corner.py:Corner", "--json")


def scored(outcome: Outcome, *, score: float) -> str:
    """The picture's upper left corner is as bright as it should be, within 4%."""
    if outcome.status != 0:
        return f"a good picture is refused: {outcome.err!r}"
    found = outcome.json()[0]["score"]
    return "" if found is not None and abs(found - score) < 0.04 else f"scored {found}, not {score}"


WHOLE: Check = partial(scored, score=1.0)
"""The white corner is where it belongs."""


def picture(name: str, draw: Bytes, check: Check = refused, noise: tuple[str, ...] = ()) -> Case:
    return Case(name, both(put("corner.py", CORNER), put("x.png", draw)), PREDICT, check, ("corner.py",), noise=noise)


# PNG, chunk by chunk.


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    code = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", code)


def header(width: int = WIDTH, height: int = HEIGHT, depth: int = 8, colour: int = 2, last: bytes = b"\0\0\0") -> bytes:
    return struct.pack(">IIBB", width, height, depth, colour) + last


def rows(pixels: np.ndarray | None = None, kind: int = 0) -> bytes:
    """The rows of a picture, each with its filter's number before it."""
    pixels = face() if pixels is None else pixels
    return b"".join(bytes([kind]) + row.tobytes() for row in pixels)


def png(
    head: bytes | None = None, data: bytes | None = None, before: bytes = b"", after: bytes = b"", end: bool = True
) -> bytes:
    body = chunk(b"IDAT", zlib.compress(rows()) if data is None else data)
    top = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header() if head is None else head)
    return top + before + body + after + (chunk(b"IEND", b"") if end else b"")


def bomb(megabytes: int = 1024) -> bytes:
    """Zeros, packed a thousand times smaller."""
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(megabytes)), packer.flush()])


def with_text(length: int) -> bytes:
    info = PngInfo()
    info.add_text("comment", "x" * length, zip=True)
    return saved("PNG", pnginfo=info)


def apng() -> bytes:
    buffer = io.BytesIO()
    first = Image.fromarray(face())
    first.save(buffer, "PNG", save_all=True, append_images=[Image.new("RGB", first.size)], duration=50)
    return buffer.getvalue()


def indexed(index: int = 0, palette: bytes | None = None, transparent: bytes = b"") -> bytes:
    pixels = np.full((HEIGHT, WIDTH), index, np.uint8)
    before = b"" if palette is None else chunk(b"PLTE", palette)
    before += chunk(b"tRNS", transparent) if transparent else b""
    return png(header(colour=3), zlib.compress(rows(pixels)), before)


def deep(mode: str) -> bytes:
    """16 bits: 257 times the 8-bit value."""
    wide = (face().astype(np.uint16) * 257).astype(">u2")
    if mode == "grey":
        wide = wide[:, :, 0]
    return png(
        header(depth=16, colour=2 if mode == "RGB" else 0),
        zlib.compress(rows(np.ascontiguousarray(wide).view(np.uint8))),
    )


def wide_png(width: int, height: int, head: bytes | None = None) -> bytes:
    data = zlib.compress(b"".join(b"\0" + b"\xff" * (3 * width) for _ in range(height)), 1)
    return png(head or header(width, height), data)


PNGS: list[tuple[str, Bytes, Check]] = [
    ("png-plain", png, WHOLE),
    ("png-rgba-transparent", partial(saved, "PNG", "RGBA"), WHOLE),
    ("png-grey", partial(saved, "PNG", "L"), WHOLE),
    ("png-grey-alpha", partial(saved, "PNG", "LA"), WHOLE),
    ("png-one-bit", partial(saved, "PNG", "1"), WHOLE),
    ("png-palette", partial(saved, "PNG", "P"), WHOLE),
    ("png-palette-transparent-entry", lambda: indexed(0, b"\xff\xff\xff", b"\0"), WHOLE),
    ("png-16-bit-grey", lambda: deep("grey"), WHOLE),
    ("png-16-bit-colours", lambda: deep("RGB"), WHOLE),
    ("png-animated", apng, WHOLE),
    ("png-trailing-bytes", lambda: png() + b"more" * 99, WHOLE),
    ("png-damaged-profile", lambda: png(before=chunk(b"iCCP", b"x\0\0" + bomb(4))), either),
    ("png-unknown-ancillary-chunk", lambda: png(before=chunk(b"teSt", b"abc")), WHOLE),
    ("png-split-data", lambda: png(data=zlib.compress(rows())[:9], after=chunk(b"IDAT", zlib.compress(rows())[9:])), WHOLE),
    ("png-smallest", lambda: wide_png(8, 8), WHOLE),
    ("png-long-and-narrow", lambda: wide_png(20_000, 8), WHOLE),
    ("png-49-million-pixels", lambda: wide_png(7000, 7000), WHOLE),
    ("png-51-million-pixels", lambda: wide_png(10, 10, header(7200, 7100)), refused),
    ("png-of-text", lambda: b"this is no picture", refused),
    ("png-of-html", lambda: b"<html><body>404 not found</body></html>", refused),
    ("png-empty", lambda: b"", refused),
    ("png-one-byte", lambda: b"\x89", refused),
    ("png-zeros", lambda: bytes(5000), refused),
    ("png-signature-alone", lambda: png()[:8], refused),
    ("png-damaged-by-ftp", lambda: png().replace(b"\r\n", b"\n", 1), refused),
    ("png-cut-in-header", lambda: png()[:20], refused),
    ("png-cut-behind-header", lambda: png()[:33], refused),
    ("png-cut-in-length", lambda: png()[:35], refused),
    ("png-cut-in-data", lambda: png()[: len(png()) // 2], refused),
    ("png-cut-before-end", lambda: png(data=zlib.compress(rows())[:-40], end=False), refused),
    ("png-no-data", lambda: png(data=b""), refused),
    ("png-rows-missing", lambda: png(data=zlib.compress(rows(face()[:20]))), refused),
    ("png-half-a-row", lambda: png(data=zlib.compress(rows()[:-70])), refused),
    ("png-header-crc", lambda: png().replace(struct.pack(">I", zlib.crc32(b"IHDR" + header())), b"\0\0\0\0", 1), refused),
    ("png-data-crc", lambda: png()[:-20] + b"\0\0\0\0" + png()[-16:], refused),
    ("png-zero-width", lambda: png(header(0, HEIGHT)), refused),
    ("png-zero-height", lambda: png(header(WIDTH, 0)), refused),
    ("png-one-pixel", lambda: wide_png(1, 1), refused),
    ("png-one-row", lambda: wide_png(100_000, 1), refused),
    ("png-one-column", lambda: wide_png(1, 100_000), refused),
    ("png-65535-squared", lambda: png(header(65535, 65535)), refused),
    ("png-two-billion", lambda: png(header(2**31 - 1, 2**31 - 1)), refused),
    ("png-over-31-bits", lambda: png(header(2**32 - 1, 8)), refused),
    ("png-twice-as-high", lambda: png(header(WIDTH, 2 * HEIGHT)), refused),
    ("png-depth-3", lambda: png(header(depth=3)), refused),
    ("png-colour-type-1", lambda: png(header(colour=1)), refused),
    ("png-filter-of-rows-9", lambda: png(data=zlib.compress(rows(kind=9))), refused),
    ("png-compression-1", lambda: png(header(last=b"\1\0\0")), refused),
    ("png-filter-method-1", lambda: png(header(last=b"\0\1\0")), refused),
    ("png-interlace-7", lambda: png(header(last=b"\0\0\7")), refused),
    ("png-no-palette", lambda: indexed(0), refused),
    ("png-beyond-the-palette", lambda: indexed(200, b"\0\0\0\xff\xff\xff"), refused),
    ("png-odd-palette", lambda: indexed(0, b"\0\0\0\0"), refused),
    ("png-not-deflate", lambda: png(data=b"x" * 200), refused),
    ("png-wrong-adler", lambda: png(data=zlib.compress(rows())[:-4] + b"\0\0\0\0"), refused),
    ("png-data-bomb", lambda: png(data=zlib.compress(rows())[:-4] + bomb()), refused),
    ("png-length-of-4-gb", lambda: png()[:33] + struct.pack(">I", 2**32 - 1) + b"IDAT" + bytes(99), refused),
    ("png-end-before-data", lambda: png(before=chunk(b"IEND", b"")), refused),
    ("png-header-of-5-bytes", lambda: png(header()[:5]), refused),
    ("png-second-header", lambda: png(before=chunk(b"IHDR", header(8, 8))), refused),
    ("png-unknown-critical-chunk", lambda: png(before=chunk(b"TEST", b"abc")), refused),
    ("png-bomb-in-text", lambda: with_text(70_000_000), refused),
]  # fmt: skip


# JPEG, segment by segment.


def jpeg(**how: object) -> bytes:
    return saved("JPEG", quality=90, **how)


def scan_start(data: bytes) -> int:
    """Where the first scan's compressed data start."""
    at = data.index(b"\xff\xda")
    return at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def frame_at(data: bytes) -> int:
    """Where the frame header is."""
    return max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))


def resized(data: bytes, width: int, height: int) -> bytes:
    at = frame_at(data) + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def without(data: bytes, marker: int) -> bytes:
    """A JPEG without its segments of a kind."""
    kept, at = data[:2], 2
    while data[at + 1] != 0xDA:
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        kept += data[at : at + 2 + size] if data[at + 1] != marker else b""
        at += 2 + size
    return kept + data[at:]


def cut_scan(data: bytes, share: float, tail: bytes = b"\xff\xd9") -> bytes:
    start = scan_start(data)
    return data[: start + int((len(data) - 2 - start) * share)].rstrip(b"\xff") + tail


def first_scans(data: bytes, n: int) -> bytes:
    """The first `n` scans of a progressive JPEG, and an end marker."""
    at = 0
    for _ in range(n + 1):
        at = data.index(b"\xff\xda", at + 1)
    at = data.rfind(b"\xff\xc4", 0, at) if b"\xff\xc4" in data[at - 200 : at] else at
    return data[:at] + b"\xff\xd9"


def restarts(drop: int | None = None) -> bytes:
    """A JPEG in restart intervals, one of which can be lost."""
    data = jpeg(restart_marker_blocks=1)
    if drop is None:
        return data
    start = scan_start(data)
    first, second = (data.index(bytes([0xFF, 0xD0 + i]), start) for i in (drop, drop + 1))
    return data[:first] + data[second:]


def turned(orientation: int) -> bytes:
    """The face as stored under an EXIF orientation, which a reader turns upright."""
    ways = Image.Transpose
    stored = {2: ways.FLIP_LEFT_RIGHT, 3: ways.ROTATE_180, 4: ways.FLIP_TOP_BOTTOM, 5: ways.TRANSPOSE,
              6: ways.ROTATE_90, 7: ways.TRANSVERSE, 8: ways.ROTATE_270}[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(face()).transpose(stored).save(buffer, "JPEG", quality=90, exif=exif)
    return buffer.getvalue()


def with_exif(data: bytes) -> bytes:
    body = b"Exif\0\0" + data
    return jpeg()[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg()[2:]


def mpo() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(face()).save(buffer, "MPO", save_all=True, append_images=[Image.new("RGB", (WIDTH, HEIGHT))])
    return buffer.getvalue()


LOOP = b"MM\0*\0\0\0\x08\0\1\x87\x69\0\4\0\0\0\1\0\0\0\x08\0\0\0\x08"
"""An EXIF directory that is its own child and its own successor."""

JPEGS: list[tuple[str, Bytes, Check]] = [
    ("jpeg-plain", jpeg, WHOLE),
    ("jpeg-grey", partial(saved, "JPEG", "L"), WHOLE),
    ("jpeg-cmyk", partial(saved, "JPEG", "CMYK"), WHOLE),
    ("jpeg-progressive", partial(jpeg, progressive=True), WHOLE),
    ("jpeg-restarts", restarts, WHOLE),
    ("jpeg-two-pictures", mpo, WHOLE),
    ("jpeg-trailing-bytes", lambda: jpeg() + bytes(5000), WHOLE),
    ("jpeg-thumbnail-in-comment", lambda: jpeg(comment=jpeg()[:60_000]), WHOLE),
    ("jpeg-cut-thumbnail", lambda: jpeg(comment=jpeg()[:300]), WHOLE),
    *[(f"jpeg-orientation-{i}", partial(turned, i), WHOLE) for i in range(2, 9)],
    ("jpeg-orientation-99", lambda: with_exif(b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\x63\0\0\0\0\0\0"), WHOLE),
    ("jpeg-damaged-exif", lambda: with_exif(b"\xff" * 500), WHOLE),
    ("jpeg-exif-in-a-circle", lambda: with_exif(LOOP), WHOLE),
    ("jpeg-exif-claims-4-gb", lambda: with_exif(b"MM\0*\0\0\0\x08\0\1\x01\x12\0\2\xff\xff\xff\xff\0\0\0\0\0\0\0\0"), WHOLE),
    ("jpeg-start-alone", lambda: jpeg()[:3], refused),
    ("jpeg-start-and-end", lambda: b"\xff\xd8\xff\xd9", refused),
    ("jpeg-cut-in-tables", lambda: jpeg()[:100], refused),
    ("jpeg-cut-in-half", lambda: jpeg()[: len(jpeg()) // 2], refused),
    ("jpeg-cut-and-ended", lambda: cut_scan(jpeg(), 0.5), refused),
    ("jpeg-cut-late-and-ended", lambda: cut_scan(jpeg(), 0.9), refused),
    ("jpeg-tail-of-zeros", lambda: cut_scan(jpeg(), 0.6, bytes(400)), refused),
    ("jpeg-tail-of-zeros-and-end", lambda: cut_scan(jpeg(), 0.6, bytes(400) + b"\xff\xd9"), either),
    ("jpeg-no-scan-data", lambda: cut_scan(jpeg(), 0.0), refused),
    ("jpeg-twice-as-high", lambda: resized(jpeg(), WIDTH, 2 * HEIGHT), refused),
    ("jpeg-65500-squared", lambda: resized(jpeg(), 65500, 65500), refused),
    ("jpeg-zero-height", lambda: resized(jpeg(), WIDTH, 0), refused),
    ("jpeg-zero-width", lambda: resized(jpeg(), 0, HEIGHT), refused),
    ("jpeg-one-pixel-high", lambda: jpeg(size=(64, 1)), refused),
    ("jpeg-no-quantisation", lambda: without(jpeg(), 0xDB), refused),
    ("jpeg-no-huffman-tables", lambda: cut_scan(without(jpeg(), 0xC4), 0.3), refused),
    ("jpeg-no-frame-header", lambda: without(jpeg(), 0xC0), refused),
    ("jpeg-two-frame-headers", lambda: jpeg()[: frame_at(jpeg())] + jpeg()[frame_at(jpeg()) :].replace(b"\xff\xc4", jpeg()[frame_at(jpeg()) : frame_at(jpeg()) + 19] + b"\xff\xc4", 1), refused),
    ("jpeg-lossless-frame", lambda: jpeg().replace(b"\xff\xc0", b"\xff\xc3", 1), refused),
    ("jpeg-arithmetic-frame", lambda: jpeg().replace(b"\xff\xc0", b"\xff\xc9", 1), refused),
    ("jpeg-12-bits", lambda: jpeg()[: frame_at(jpeg()) + 4] + b"\x0c" + jpeg()[frame_at(jpeg()) + 5 :], refused),
    ("jpeg-sampling-of-zero", lambda: jpeg()[: frame_at(jpeg()) + 11] + b"\0" + jpeg()[frame_at(jpeg()) + 12 :], refused),
    ("jpeg-segment-over-the-end", lambda: b"\xff\xd8\xff\xe0\xff\xff" + bytes(40) + b"\xff\xd9", refused),
    ("jpeg-segment-of-length-0", lambda: jpeg()[:2] + b"\xff\xe2\0\0" + jpeg()[2:], either),
    ("jpeg-lost-restart-interval", lambda: restarts(2), refused),
    ("jpeg-progressive-cut-and-ended", lambda: cut_scan(jpeg(progressive=True), 0.5), refused),
    ("jpeg-progressive-first-scan-alone", lambda: first_scans(jpeg(progressive=True), 1), refused),
    ("jpeg-progressive-last-scan-lacks", lambda: first_scans(jpeg(progressive=True), 9), refused),
    ("jpeg-noise-in-scan", lambda: jpeg()[: scan_start(jpeg())] + np.random.default_rng(5).integers(0, 255, 900, np.uint8).tobytes().replace(b"\xff", b"\xfe") + b"\xff\xd9", either),
]  # fmt: skip

CASES = [picture(name, draw, check) for name, draw, check in [*PNGS, *JPEGS]]
