"""Hostile pictures of other formats than JPEG and PNG, and files of formats that are not read."""

# ruff: noqa: E501 - a line an input

from __future__ import annotations

import io
import struct
import zlib
from functools import partial

import numpy as np
from hostile import Check, either, refused
from hostile_images import WHOLE, Bytes, bomb, picture
from hostile_materials import HEIGHT, WIDTH, face, saved
from PIL import Image


def frames(kind: str, **how: object) -> bytes:
    """An animation whose first picture is the face and whose others are black."""
    buffer = io.BytesIO()
    black = [Image.new("RGB", (WIDTH, HEIGHT), (i, 0, 0)) for i in range(3)]
    Image.fromarray(face()).save(buffer, kind, save_all=True, append_images=black, **how)
    return buffer.getvalue()


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


# WebP


def webp(lossless: bool = True) -> bytes:
    return saved("WEBP", lossless=lossless)


def riff(data: bytes) -> bytes:
    """With the sizes that its header tells made right."""
    return patched(data, 4, struct.pack("<I", len(data) - 8))


def extended(width: int, height: int, flags: int = 0, body: bytes = b"") -> bytes:
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return riff(b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0" + bytes([flags, 0, 0, 0]) + canvas + body)


# GIF


def gif_screen(width: int, height: int) -> bytes:
    return patched(saved("GIF"), 6, struct.pack("<HH", width, height))


def gif_without_pictures() -> bytes:
    return saved("GIF")[: 13 + 3 * 256] + b";"


def gif_picture_at(left: int) -> bytes:
    data = saved("GIF")
    return patched(data, data.index(b",\0\0\0\0") + 1, struct.pack("<H", left))


def gif_blocks_cut() -> bytes:
    """The compressed data end before the last row does; the file does not."""
    data = saved("GIF")
    start = data.index(b",\0\0\0\0") + 11
    return data[: start + 1 + 60].replace(data[start : start + 1], b"\x3b", 0) + b"\0;"


# BMP


def bmp(mode: str = "RGB") -> bytes:
    return saved("BMP", mode)


def bmp_sized(width: int, height: int) -> bytes:
    return patched(bmp(), 18, struct.pack("<ii", width, height))


# TIFF, entry by entry

INLINE = {3: 2, 4: 4}


def tiff(*entries: tuple[int, int, int, int], data: bytes = b"", next_at: int = 0, more: int = 0) -> bytes:
    """A directory of (tag, type, count, value), the pixels behind it; the tags of a plain picture where not given."""
    plain = {256: (4, 1, WIDTH), 257: (4, 1, HEIGHT), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 0),
             277: (3, 1, 1), 278: (4, 1, HEIGHT), 279: (4, 1, 0)}  # fmt: skip
    body = data or face()[:, :, 0].tobytes()
    start = 8 + 2 + 12 * (len(plain | {tag: () for tag, *_ in entries})) + 4
    plain[273], plain[279] = (4, 1, start), (4, 1, len(body))
    told = plain | {tag: tuple(rest) for tag, *rest in entries}
    directory = struct.pack("<H", len(told) + more)
    for tag in sorted(told):
        kind, count, value = told[tag]
        room = struct.pack("<HxxI"[:2] if kind == 3 and count == 1 else "<I", value).ljust(4, b"\0")
        directory += struct.pack("<HHI", tag, kind, count) + room
    return b"II*\0\x08\0\0\0" + directory + struct.pack("<I", next_at) + body


def deflated(data: bytes) -> bytes:
    return tiff((259, 3, 1, 8), data=data)


# PPM


def ppm(head: bytes = b"P6 48 32 255\n", data: bytes | None = None) -> bytes:
    return head + (face().tobytes() if data is None else data)


def p3() -> bytes:
    return b"P3 48 32 255\n" + " ".join(map(str, face().ravel())).encode()


def p5_deep() -> bytes:
    return b"P5 48 32 65535\n" + (face()[:, :, 0].astype(">u2") * np.uint16(257)).astype(">u2").tobytes()


OTHERS: list[tuple[str, Bytes, Check]] = [
    ("webp-lossless", webp, WHOLE),
    ("webp-lossy", partial(webp, False), WHOLE),
    ("webp-alpha", partial(saved, "WEBP", "RGBA", lossless=True), WHOLE),
    ("webp-animated", partial(frames, "WEBP", lossless=True), WHOLE),
    ("webp-cut", lambda: webp()[:-100], refused),
    ("webp-cut-and-resized", lambda: riff(webp()[:-100]), refused),
    ("webp-lossy-cut-and-resized", lambda: riff(webp(False)[:-40]), refused),
    ("webp-header-alone", lambda: webp()[:12], refused),
    ("webp-size-of-4-gb", lambda: patched(webp(), 4, b"\xff\xff\xff\xff"), refused),
    ("webp-size-of-zero", lambda: patched(webp(), 4, b"\0\0\0\0"), refused),
    ("webp-chunk-of-4-gb", lambda: patched(webp(), 16, b"\xff\xff\xff\xff"), refused),
    ("webp-canvas-of-16-million-squared", lambda: extended(1 << 24, 1 << 24), refused),
    ("webp-canvas-without-picture", lambda: extended(WIDTH, HEIGHT), refused),
    ("webp-animation-without-pictures", lambda: extended(WIDTH, HEIGHT, 2, b"ANIM\x06\0\0\0" + bytes(6)), refused),
    ("webp-canvas-larger-than-its-picture", lambda: extended(5000, 5000, 0, webp()[12:]), refused),
    ("webp-16384-wide", lambda: patched(webp(), 21, b"\xff\xff\xff\xff"), refused),
    ("gif-plain", partial(saved, "GIF"), WHOLE),
    ("gif-animated", partial(frames, "GIF"), WHOLE),
    ("gif-header-alone", lambda: saved("GIF")[:10], refused),
    ("gif-cut-in-palette", lambda: saved("GIF")[:100], refused),
    ("gif-cut-in-data", lambda: saved("GIF")[:-200], refused),
    ("gif-cut-in-data-and-ended", lambda: saved("GIF")[:-200] + b"\0;", refused),
    ("gif-blocks-cut", gif_blocks_cut, refused),
    ("gif-no-pictures", gif_without_pictures, refused),
    ("gif-screen-of-65535-squared", lambda: gif_screen(65535, 65535), refused),
    ("gif-screen-of-zero", lambda: gif_screen(0, 0), either),
    ("gif-screen-larger-than-its-picture", lambda: gif_screen(300, 300), either),
    ("gif-picture-outside-of-the-screen", lambda: gif_picture_at(60_000), either),
    ("gif-codes-of-13-bits", lambda: patched(saved("GIF"), saved("GIF").index(b",\0\0\0\0") + 10, b"\x0d"), refused),
    ("bmp-24-bits", bmp, WHOLE),
    ("bmp-palette", partial(bmp, "P"), WHOLE),
    ("bmp-one-bit", partial(bmp, "1"), WHOLE),
    ("bmp-32-bits", partial(bmp, "RGBA"), WHOLE),
    ("bmp-cut", lambda: bmp()[:-500], refused),
    ("bmp-two-bytes", lambda: b"BM", refused),
    ("bmp-header-alone", lambda: bmp()[:54], refused),
    ("bmp-twice-as-high", lambda: bmp_sized(WIDTH, 2 * HEIGHT), refused),
    ("bmp-40000-squared", lambda: bmp_sized(40_000, 40_000), refused),
    ("bmp-negative-width", lambda: bmp_sized(-WIDTH, HEIGHT), refused),
    ("bmp-of-zero", lambda: bmp_sized(0, 0), refused),
    ("bmp-pixels-behind-the-end", lambda: patched(bmp(), 10, struct.pack("<I", 10**9)), refused),
    ("bmp-header-of-9-bytes", lambda: patched(bmp(), 14, struct.pack("<I", 9)), refused),
    ("bmp-3-bits", lambda: patched(bmp(), 28, struct.pack("<H", 3)), refused),
    ("bmp-packed-as-png", lambda: patched(bmp(), 30, struct.pack("<I", 5)), refused),
    ("bmp-runs-cut", lambda: patched(bmp("P"), 30, struct.pack("<I", 1))[:1200], refused),
    ("tiff-by-hand", tiff, WHOLE),
    ("tiff-plain", partial(saved, "TIFF"), WHOLE),
    ("tiff-lzw", partial(saved, "TIFF", compression="tiff_lzw"), WHOLE),
    ("tiff-deflate", partial(saved, "TIFF", compression="tiff_adobe_deflate"), WHOLE),
    ("tiff-pages", partial(frames, "TIFF"), WHOLE),
    ("tiff-16-bits", lambda: tiff((258, 3, 1, 16), data=(face()[:, :, 0].astype("<u2") * np.uint16(257)).tobytes()), WHOLE),
    ("tiff-float", lambda: tiff((258, 3, 1, 32), (339, 3, 1, 3), data=face()[:, :, 0].astype("<f4").tobytes()), refused),
    ("tiff-header-alone", lambda: tiff()[:8], refused),
    ("tiff-directory-behind-the-end", lambda: b"II*\0\xff\xff\xff\x7f" + bytes(200), refused),
    ("tiff-directory-cut", lambda: tiff()[:60], refused),
    ("tiff-directory-in-a-circle", lambda: tiff(next_at=8), WHOLE),
    ("tiff-65535-entries", lambda: tiff(more=60_000), either),
    ("tiff-65535-squared", lambda: tiff((256, 4, 1, 65535), (257, 4, 1, 65535)), refused),
    ("tiff-twice-as-high", lambda: tiff((257, 4, 1, 2 * HEIGHT), (278, 4, 1, 2 * HEIGHT)), refused),
    ("tiff-of-zero-height", lambda: tiff((257, 4, 1, 0)), refused),
    ("tiff-strip-behind-the-end", lambda: tiff((273, 4, 1, 10**9)), refused),
    ("tiff-strip-of-no-bytes", lambda: tiff((279, 4, 1, 0)), either),
    ("tiff-cut", lambda: tiff()[:-300], refused),
    ("tiff-lzw-cut", lambda: saved("TIFF", compression="tiff_lzw")[:-900], refused),
    ("tiff-unknown-compression", lambda: tiff((259, 3, 1, 54321)), refused),
    ("tiff-deflate-bomb", lambda: deflated(bomb()), either),
    ("tiff-deflate-cut", lambda: deflated(zlib.compress(face()[:, :, 0].tobytes())[:-60]), refused),
    ("tiff-a-billion-samples", lambda: tiff((277, 4, 1, 10**9)), refused),
    ("tiff-text-of-4-gb", lambda: tiff((270, 2, 2**32 - 1, 8)), either),
    ("ppm-plain", ppm, WHOLE),
    ("ppm-in-words", p3, WHOLE),
    ("ppm-16-bit-grey", p5_deep, WHOLE),
    ("ppm-comments", lambda: ppm(b"P6\n# a comment\n48 32\n#\n255\n"), WHOLE),
    ("ppm-cut", lambda: ppm()[:-50], refused),
    ("ppm-words-cut", lambda: p3()[:-300], refused),
    ("ppm-not-numbers", lambda: p3().replace(b"255 255", b"255 x", 1), refused),
    ("ppm-word-of-a-megabyte", lambda: b"P3 48 32 255\n" + b"1" * 1_000_000, refused),
    ("ppm-largest-of-zero", lambda: ppm(b"P6 48 32 0\n"), refused),
    ("ppm-largest-of-65536", lambda: ppm(b"P6 48 32 65536\n"), refused),
    ("ppm-a-million-squared", lambda: ppm(b"P6 1000000 1000000 255\n"), refused),
    ("ppm-negative", lambda: ppm(b"P6 -48 32 255\n"), refused),
    ("ppm-endless-comment", lambda: b"P6\n#" + b"x" * 5_000_000, refused),
    ("svg", lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>', refused),
    ("svg-entities", lambda: b'<!DOCTYPE s [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><svg>&b;</svg>', refused),
    ("eps-that-runs", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 48 32\n(%pipe%touch EXECUTED) (w) file\n", refused),
    ("pdf", lambda: b"%PDF-1.7\n1 0 obj\n<</Type/Catalog>>\nendobj\n", refused),
    ("psd", lambda: b"8BPS\0\1" + bytes(100), refused),
    ("icon", lambda: saved("ICO"), refused),
    ("avif-header", lambda: b"\0\0\0\x20ftypavif" + bytes(300), refused),
    ("jpeg-2000", lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(300), refused),
    ("sgi", lambda: b"\x01\xda\1\1" + bytes(512), refused),
    ("xbm", lambda: b"#define x_width 48\n#define x_height 32\nstatic char x_bits[] = {0};", refused),
    ("zip", lambda: b"PK\x03\x04" + bytes(200), refused),
    ("gzip-of-a-picture", lambda: b"\x1f\x8b\x08" + bytes(200), refused),
    ("pickle-as-picture", lambda: b"\x80\x04cos\nsystem\n(S'touch EXECUTED'\ntR.", refused),
    ("git-lfs-pointer", lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n", refused),
]  # fmt: skip

NOISE = ("ZIPDecode: ",)
"""libtiff writes this on stderr by itself."""
CASES = [picture(name, draw, check, NOISE) for name, draw, check in OTHERS]
