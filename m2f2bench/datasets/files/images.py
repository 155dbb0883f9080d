"""Strict decoding of image files to RGB arrays, and the base of adapters of image files.

A file that is cut short, too large or not an image raises `FrameError`, so that it becomes a row with a status, never a
half-grey picture and never a crash of the run.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import re
import threading
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow
from PIL import ImageFile, ImageOps

from ...core.errors import FrameError, M2F2BenchError, MachineError, first_line, refuse_machine_fault
from ...core.files import ABSENT, NoInput, read_input
from ...core.memo import frame_stamp
from ...core.records import Frame
from ..base import Adapter, OptionsT
from ..limits import DECODING, MAX_BYTES, check_size
from .damage import (
    JPEG_START,
    PNG_START,
    DamagedImage,
    Layout,
    check_png_chunks,
    check_png_pixels,
    jpeg_layout,
    load_jpeg,
)
from .jpeg import is_plain, plain_pixels

if TYPE_CHECKING:
    from ...core.records import Image

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
)
"""File name endings (lower case) of images. A file's format is read from its bytes, not its name."""
SPREADSHEET_ERRORS = ("#NAME?", "#REF!", "#VALUE!", "#NUM!", "#NULL!", "#N/A", "#DIV/0!")
"""What spreadsheet programs write in place of a text that they took for a formula."""
_COLOURS = frozenset({"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"})
_DEEP_GREY = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
_ORIENTATION = 0x0112
_TURNED = range(2, 9)
"""Values of the EXIF orientation that turn or mirror the picture."""
_SIDEWAYS = range(5, 9)
"""Those that exchange width and height."""
_BYTES_PER_PIXEL = 14
"""Most memory that decoding takes: the decoder's picture (twice for some JPEG files), and the array."""
_PPM_HEADER = 1 << 16
_STRIP = 1 << 22
"""Pixels that are copied to an array at a time, so that a large picture needs no second copy."""
_TRUNCATED = threading.Lock()


def read_image(source: Path | bytes, frame_id: str) -> Image:
    """Decode one image file (or its bytes) to RGB uint8 [H, W, 3].

    The EXIF orientation is applied. Grey, palette, CMYK and 1-bit images become RGB; 16-bit samples are scaled (their
    high byte is kept); an alpha channel is dropped and the stored colours stay. Of an animation the first picture is
    taken. Raises `FrameError` (status `unreadable`) for a file that is missing, empty, cut short, not an image, over
    the limits of `limits`, or without 8- or 16-bit colours, and MachineError if memory or the disk fails.
    """
    data = read_bytes(source, frame_id) if isinstance(source, Path) else source
    if not data:
        raise FrameError(frame_id, "the file is empty (0 bytes)")
    try:
        layout = _layout(data)
        if layout is not None and is_plain(layout):
            check_size(layout.height, layout.width, frame_id)
            with DECODING.taking(_BYTES_PER_PIXEL * layout.width * layout.height):
                found = plain_pixels(data, layout)
            if found is not None:
                return found
        with _open(data, frame_id, layout) as image:
            width, height = image.size
            check_size(height, width, frame_id)
            with DECODING.taking(_BYTES_PER_PIXEL * width * height):
                _load(image)
                if image.format == "PNG":
                    check_png_pixels(data, image)
                return _to_rgb(image, frame_id)
    except DamagedImage as error:
        raise FrameError(frame_id, str(error)) from None
    except M2F2BenchError:
        raise
    except Exception as error:  # the decoders raise many types: OSError, SyntaxError, struct.error, ...
        refuse_machine_fault(error, f"frame '{frame_id}'")
        raise FrameError(frame_id, f"cannot be decoded: {first_line(error)}") from None


def rgb_of(image: Pillow.Image, frame_id: str) -> Image:
    """Return an image of Pillow's as `read_image` returns its file; it is loaded, and otherwise not changed.

    Raises `FrameError` and MachineError as `read_image` does.
    """
    width, height = image.size
    check_size(height, width, frame_id)
    try:
        with DECODING.taking(_BYTES_PER_PIXEL * width * height):
            if isinstance(image, ImageFile.ImageFile):
                _load(image)
            return _to_rgb(image, frame_id)
    except M2F2BenchError:
        raise
    except Exception as error:
        refuse_machine_fault(error, f"frame '{frame_id}'")
        raise FrameError(frame_id, f"cannot be decoded: {first_line(error)}") from None


def read_size(path: Path, frame_id: str) -> tuple[int, int]:
    """Return the height and width of an image file, upright, from its header. Raises `FrameError` as `read_image`."""
    try:
        data = read_bytes(path, frame_id)
        layout = _layout(data)
        if layout is not None and is_plain(layout):
            return layout.height, layout.width
        with _open(data, frame_id, layout) as image:
            width, height = image.size
            with contextlib.suppress(Exception):  # damaged metadata: there is no orientation
                if image.getexif().get(_ORIENTATION) in _SIDEWAYS:
                    width, height = height, width
    except DamagedImage as error:
        raise FrameError(frame_id, str(error)) from None
    except M2F2BenchError:
        raise
    except Exception as error:
        refuse_machine_fault(error, f"frame '{frame_id}'")
        raise FrameError(frame_id, f"cannot be decoded: {first_line(error)}") from None
    return height, width


def _load(image: ImageFile.ImageFile) -> None:
    """Decode, and refuse a file that is cut short even if another library has set the decoder to accept it."""
    if not ImageFile.LOAD_TRUNCATED_IMAGES:
        image.load()
        return
    with _TRUNCATED:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        try:
            image.load()
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = True


def read_bytes(path: str | Path, frame_id: str) -> bytes:
    """Return all bytes of a regular file. Raises `FrameError` if it does not exist or cannot be read."""
    try:
        return read_input(path, MAX_BYTES)
    except NoInput as error:
        path = Path(path)
        windows = "; its path is written with \\, as on Windows, and with / there is no such file here either"
        hint = windows if str(error) == ABSENT and "\\" in path.name else ""
        if str(error) == ABSENT and str(path).endswith(SPREADSHEET_ERRORS):
            hint = "; a spreadsheet program wrote this error in place of the file's name: restore the name"
        raise FrameError(frame_id, f"'{path.name}' {error}{hint}") from None


def digest_bytes(data: bytes) -> str:
    """Return 16 hex digits (BLAKE2b, 8 bytes) over a file's bytes, which do not depend on a decoder's rounding."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def digest_file(path: str | Path, frame_id: str) -> str:
    """Return `digest_bytes` of a file. Raises `FrameError` if it cannot be read."""
    return digest_bytes(read_bytes(path, frame_id))


class FileAdapter(Adapter[OptionsT]):
    """Base of adapters whose frames are image files; `locator.path` is the file."""

    def read(self, frame: Frame) -> Image:
        """Return the decoded file, RGB uint8 [H, W, 3]; see `read_image`. Raises MachineError if the root is gone."""
        path = frame.locator.path  # a text: to make a Path takes a tenth of the time that a small picture takes
        try:
            data = read_bytes(path, frame.id)
            image = read_image(data, frame.id)
        except FrameError as error:
            self._check_root(frame, error.reason)
            raise
        self._digests()[threading.get_ident()] = (path, digest_bytes(data))
        return image

    def data(self, frame: Frame) -> bytes | None:
        """Return the bytes of a frame's file; None for a frame with a key or a number in a file of several."""
        place = frame.locator
        return read_bytes(place.path, frame.id) if place.key is None and place.index is None else None

    def _check_root(self, frame: Frame, reason: str) -> None:
        """Raise MachineError, for a frame that cannot be read, if the whole root is gone."""
        if self.root is not None and not self.root.exists():
            raise MachineError(
                f"frame '{frame.id}': {reason}, and '{self.root}' does not exist either: is its disk still "
                f"mounted? Nothing is stored; fix that and run the command again"
            ) from None

    def digest(self, frame: Frame, image: Image) -> str:
        """Return the hash of the file's bytes, which is the same under every version of the JPEG library.

        The bytes are those that `image` was decoded from, if this thread has just read it. In a subclass with its own
        `read` it is the hash of the pixels.
        """
        if not self._reads_files():
            return super().digest(frame, image)
        path = frame.locator.path
        read, digest = self._digests().pop(threading.get_ident(), (None, ""))
        return digest if read == path else digest_file(path, frame.id)

    def _digests(self) -> dict[int, tuple[str | None, str]]:
        """Return the file that each thread read last, with its digest; subclasses need not call `__init__` for it."""
        found: dict[int, tuple[str | None, str]] = self.__dict__.setdefault("_read_last", {})
        return found

    def stamp(self, frame: Frame) -> str:
        """Return a hash of the file's path, size and times; empty in a subclass with its own `read`."""
        return frame_stamp(frame.locator) if self._reads_files() else ""

    def _reads_files(self) -> bool:
        """Return whether frames are read by this class, and not by a subclass's own `read`."""
        return type(self).read is FileAdapter.read


def _layout(data: bytes) -> Layout | None:
    """Return the layout of a JPEG file; None for another."""
    return jpeg_layout(data) if data.startswith(JPEG_START) else None


def _open(data: bytes, frame_id: str, layout: Layout | None) -> ImageFile.ImageFile:
    """Read the header with the decoder for the file's first bytes; `layout` is that of a JPEG file.

    The decoders are called by name and not through `PIL.Image.open`: its pixel limit and its warning are
    settings of the whole process, and it would also try formats that start other programs (EPS).
    """
    _quieten()
    if layout is not None:
        return load_jpeg(data, layout)
    from PIL import BmpImagePlugin, GifImagePlugin, PngImagePlugin, PpmImagePlugin, TiffImagePlugin, WebPImagePlugin

    file = io.BytesIO(data)
    if data.startswith(PNG_START):
        check_png_chunks(data)
        return PngImagePlugin.PngImageFile(file)
    if data.startswith(b"BM"):
        return BmpImagePlugin.BmpImageFile(file)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        if int.from_bytes(data[4:8], "little") + 8 > len(data):
            raise DamagedImage("cannot be decoded: the WebP file is cut short (its header promises more bytes)")
        return WebPImagePlugin.WebPImageFile(file)
    if data.startswith((b"II*\0", b"MM\0*")):
        return TiffImagePlugin.TiffImageFile(file)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return GifImagePlugin.GifImageFile(file)
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace():
        _check_ppm(data)
        return PpmImagePlugin.PpmImageFile(file)
    raise FrameError(
        frame_id, f"not an image of a known format (JPEG, PNG, BMP, WebP, TIFF, GIF, PPM); it starts with {data[:8]!r}"
    )


def _check_ppm(data: bytes) -> None:
    """Raise DamagedImage for a header that is too long: the decoder reads comments byte by byte."""
    numbers = re.sub(rb"#[^\r\n]*", b" ", data[2:_PPM_HEADER]).split()
    if len(numbers) < (2 if data[1:2] in b"14" else 3):
        raise DamagedImage(f"cannot be decoded: the PPM file has no size in its first {_PPM_HEADER:,} bytes")


@cache
def _quieten() -> None:
    """Prevent warnings about damaged metadata: pixels are complete or refused, and a row says which."""
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())


def _to_rgb(image: Pillow.Image, frame_id: str) -> Image:
    """Return a loaded image of any mode, turned upright, as RGB uint8 [H, W, 3]."""
    mode, kind = image.mode, image.format or "Pillow's"
    upright = image
    with contextlib.suppress(Exception):  # damaged metadata does not mean damaged pixels; there is no orientation
        if image.getexif().get(_ORIENTATION) in _TURNED:
            upright = ImageOps.exif_transpose(image)
    if mode in _DEEP_GREY or (mode == "I" and kind in ("PNG", "PPM")):
        grey = (np.asarray(upright).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if mode not in _COLOURS:
        raise FrameError(frame_id, f"{kind} pixels of mode {mode} are not 8- or 16-bit grey or colours")
    if mode in ("P", "PA", "La", "RGBa"):
        upright = upright.convert("RGBA")  # straight to RGB would warn of, or keep, a transparent palette entry
    if upright.mode != "RGB":
        upright = upright.convert("RGB")
    return _array(upright)


def _array(image: Pillow.Image) -> Image:
    """Return an RGB image as a new array, uint8 [H, W, 3], made strip by strip."""
    width, height = image.size
    if width * height <= _STRIP:
        return np.array(image, dtype=np.uint8)
    found = np.empty((height, width, 3), dtype=np.uint8)
    rows = max(1, _STRIP // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        found[top:bottom] = np.asarray(image.crop((0, top, width, bottom)))
    return found
