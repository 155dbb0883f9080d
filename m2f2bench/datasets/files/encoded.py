"""Base of adapters whose pictures are encoded files inside of larger files: tars, Parquet, Arrow."""

from __future__ import annotations

import abc
import threading
from typing import TYPE_CHECKING

from ...core.records import Frame
from ..base import ClipAdapter, OptionsT
from .images import digest_bytes, read_image

if TYPE_CHECKING:
    from ...core.records import Image


class EncodedAdapter(ClipAdapter[OptionsT]):
    """Pictures that are bytes of an image file; a subclass implements `clips` and `data`."""

    @abc.abstractmethod
    def data(self, frame: Frame) -> bytes:
        """Return the bytes of a frame's image file. Raises `FrameError` if they cannot be read."""

    def read(self, frame: Frame) -> Image:
        """Return the decoded picture, RGB uint8 [H, W, 3]; see `images.read_image`."""
        data = self.data(frame)
        image = read_image(data, frame.id)
        self._digests()[threading.get_ident()] = (frame.id, digest_bytes(data))
        return image

    def digest(self, frame: Frame, image: Image) -> str:
        """Return the hash of the file's bytes, those that `image` was decoded from if this thread has just read it."""
        read, digest = self._digests().pop(threading.get_ident(), ("", ""))
        return digest if digest and read == frame.id else digest_bytes(self.data(frame))

    def _digests(self) -> dict[int, tuple[str, str]]:
        """Return the frame that each thread read last, with its digest."""
        found: dict[int, tuple[str, str]] = self.__dict__.setdefault("_read_last", {})
        return found
