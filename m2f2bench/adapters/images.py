"""Image files to RGB arrays: the one place where pixels are decoded, and the base of adapters over image
files.

Strict on purpose. A file that is cut short, too large or no image raises `FrameError`, so that it becomes a
row with a status; it is never a half-grey picture, and never a crash of the run.
"""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FrameError, first_line
from ..memo import frame_stamp
from ..records import Frame
from .base import Adapter

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

    from ..records import Image

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
)
"""File name endings (lower case) that are taken for images. What a file is, is told from its bytes."""
IGNORED_NAMES = frozenset({"thumbs.db", "desktop.ini"})
"""Files (lower case) that a file manager leaves in a folder; like hidden files they are no part of a dataset.
"""
MAX_PIXELS = 50_000_000
"""Width times height over which an image is refused from its header, before any memory is taken for it."""
MAX_BYTES = 1 << 29
"""A file of more bytes is refused unread: 50 million pixels of 16-bit RGB are 300 MB."""
MIN_SIDE = 8
"""Pixels that the shorter side must have at least to hold a face."""

_COLOURS = frozenset({"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"})
_DEEP_GREY = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
_JPEG_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])", re.DOTALL)
"""A marker: neither a stuffed 0xFF00 nor a restart (D0-D7), which stand inside the compressed data."""
_END_OF_IMAGE, _WITHOUT_LENGTH = 0xD9, (0x01, 0xD8)


def read_image(source: Path | bytes, frame_id: str) -> Image:
    """Decode one image file (or its bytes) to RGB uint8 [H, W, 3].

    The EXIF orientation is applied. Grey, palette, CMYK and 1-bit images become RGB; 16-bit samples are
    scaled (their high byte is kept); an alpha channel is dropped and the stored colours stay. Of an animation
    the first picture is taken. Raises `FrameError` (status `unreadable`) for a file that is missing, empty,
    cut short, not an image, over `MAX_PIXELS`, under `MIN_SIDE`, or of a kind that does not hold 8- or 16-bit
    colours.
    """
    data = read_bytes(source, frame_id) if isinstance(source, Path) else source
    if not data:
        raise FrameError(frame_id, "the file is empty (0 bytes)")
    try:
        with _open(data, frame_id) as image:
            _check_size(image.size, frame_id)
            image.load()
            return _to_rgb(image, frame_id)
    except (FrameError, MemoryError):
        raise
    except Exception as error:  # the decoders raise whatever they meet: OSError, SyntaxError, struct.error, ...
        raise FrameError(frame_id, f"cannot be decoded: {first_line(error)}") from None


def read_bytes(path: Path, frame_id: str) -> bytes:
    """All bytes of a regular file. Raises `FrameError` if there is none, or if it cannot be read."""
    try:
        if not path.is_file():  # asked first: opening a pipe would wait for ever
            what = "is a folder" if path.is_dir() else "is no regular file" if path.exists() else "does not exist"
            raise FrameError(frame_id, f"'{path.name}' {what}")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise FrameError(frame_id, f"'{path.name}' has {size:,} bytes, over the limit of {MAX_BYTES:,}")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        why = getattr(error, "strerror", None) or first_line(error)  # its own text has the folders of this machine
        raise FrameError(frame_id, f"'{path.name}' cannot be read: {why}") from None


def digest_bytes(data: bytes) -> str:
    """16 hex digits (BLAKE2b, 8 bytes) over a file's bytes; they stay when a decoder's rounding changes."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def digest_file(path: Path, frame_id: str) -> str:
    """`digest_bytes` of a file. Raises `FrameError` if it cannot be read."""
    return digest_bytes(read_bytes(path, frame_id))


class FileAdapter(Adapter):
    """Base of adapters whose frames are image files: `locator.path` is the file."""

    def read(self, frame: Frame) -> Image:
        """The decoded file, RGB uint8 [H, W, 3]; see `read_image`."""
        return read_image(Path(frame.locator.path), frame.id)

    def digest(self, frame: Frame, image: Image) -> str:
        """The hash of the file's bytes, so that it is the same under every version of the JPEG library.

        In a subclass that reads pixels in a way of its own it is of the pixels.
        """
        if type(self).read is not FileAdapter.read:
            return super().digest(frame, image)
        return digest_file(Path(frame.locator.path), frame.id)

    def stamp(self, frame: Frame) -> str:
        """The file's path, size and times; empty in a subclass that reads pixels in a way of its own."""
        if type(self).read is not FileAdapter.read:
            return ""
        return frame_stamp(frame.locator)


def _open(data: bytes, frame_id: str) -> ImageFile:
    """Read the header with the decoder that the first bytes call for.

    The decoders are called by name and not through `PIL.Image.open`: its pixel limit and its warning are
    settings of the whole process, and it would also try formats that start other programs (EPS).
    """
    from PIL import (
        BmpImagePlugin,
        GifImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        PpmImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    file = io.BytesIO(data)
    if data.startswith(b"\xff\xd8\xff"):
        if not _jpeg_is_whole(data):
            raise FrameError(frame_id, "the JPEG file is cut short (it has no end-of-image marker)")
        return JpegImagePlugin.JpegImageFile(file)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImagePlugin.PngImageFile(file)
    if data.startswith(b"BM"):
        return BmpImagePlugin.BmpImageFile(file)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return WebPImagePlugin.WebPImageFile(file)
    if data.startswith((b"II*\0", b"MM\0*")):
        return TiffImagePlugin.TiffImageFile(file)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return GifImagePlugin.GifImageFile(file)
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace():
        return PpmImagePlugin.PpmImageFile(file)
    raise FrameError(
        frame_id,
        f"not an image of a known format (JPEG, PNG, BMP, WebP, TIFF, GIF, PPM); it starts with {data[:8]!r}",
    )


def _jpeg_is_whole(data: bytes) -> bool:
    """Whether the chain of markers reaches the end of the image.

    The decoder alone does not notice a file whose tail is zeros (a download that stopped), and it may have
    been told by another library of the process to fill what is missing with grey.
    """
    at = 2
    while match := _JPEG_MARKER.search(data, at):
        code, at = match[1][0], match.end()
        if code == _END_OF_IMAGE:
            return True
        if code not in _WITHOUT_LENGTH:
            at += int.from_bytes(data[at : at + 2], "big")
    return False


def _check_size(size: tuple[int, int], frame_id: str) -> None:
    """Refuse by the header's width and height, in pixels."""
    width, height = size
    if width * height > MAX_PIXELS:
        raise FrameError(frame_id, f"{width}x{height} pixels are over the limit of {MAX_PIXELS // 1_000_000} million")
    if min(size) < MIN_SIDE:
        raise FrameError(frame_id, f"{width}x{height} pixels are too small to hold a face (at least {MIN_SIDE} a side)")


def _to_rgb(image: ImageFile, frame_id: str) -> Image:
    """A loaded image of any mode, turned upright, as RGB uint8 [H, W, 3]."""
    from PIL import ImageOps

    mode, kind = image.mode, image.format
    try:
        upright = ImageOps.exif_transpose(image)
    except Exception:  # damaged metadata say nothing against the pixels; without them there is no orientation
        upright = image
    if mode in _DEEP_GREY or (mode == "I" and kind in ("PNG", "PPM")):
        grey = (np.asarray(upright).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if mode not in _COLOURS:
        raise FrameError(frame_id, f"{kind} pixels of mode {mode} are not 8- or 16-bit grey or colours")
    if mode in ("P", "PA", "La", "RGBa"):
        upright = upright.convert("RGBA")  # straight to RGB would warn of, or keep, a transparent palette entry
    return np.array(upright.convert("RGB"), dtype=np.uint8)
