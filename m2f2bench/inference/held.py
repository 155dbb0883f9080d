"""Adapters of pictures without a dataset: files, pictures in memory, and crops."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.records import REAL, Frame, Locator
from ..core.text import in_utf8
from ..datasets.base import Adapter
from ..datasets.files.images import read_image
from .pictures import Picture

if TYPE_CHECKING:
    from ..core.records import Image


class Files(Adapter):
    """Images as frames, `held` in memory or files; labels are unknown. `sizes` has height and width of those read."""

    def __init__(self, held: Iterable[Picture] = ()) -> None:
        """Take pictures in memory; a frame that is none of them is a file."""
        super().__init__()
        self.held = {key(picture): picture for picture in held}
        self.sizes: dict[str, tuple[int, ...]] = {}

    def frames(self, split: str) -> list[Frame]:
        """Return nothing: there are no splits."""
        return []

    def read(self, frame: Frame) -> Image:
        """Return the pixels, RGB uint8 [H, W, 3]. Raises FrameError if they cannot be read."""
        held = self.held.get(frame.id)
        image = read_image(Path(frame.locator.path), frame.id) if held is None else held.pixels(frame.id)
        self.sizes[frame.locator.path] = image.shape[:2]
        return image


class Clip(Files):
    """The picked frames of one video, already decoded."""

    def __init__(self, images: Sequence[Image]) -> None:
        """Take the frames; a frame's index is its place among them."""
        super().__init__()
        self.images = images

    def read(self, frame: Frame) -> Image:
        """Return the pixels of a frame."""
        assert frame.locator.index is not None
        return self.images[frame.locator.index]


class Held(Files):
    """Pictures in memory by their frames' ids: the crops of faces."""

    def __init__(self, images: Mapping[str, Image]) -> None:
        """Take the pictures, RGB uint8 [H, W, 3]."""
        super().__init__()
        self.images = images

    def read(self, frame: Frame) -> Image:
        """Return a copy of the pixels of a frame: detectors may write into what they are given."""
        copied: Image = self.images[frame.id].copy()
        return copied


def key(file: Path | Picture) -> str:
    """Return the id of a file's frame."""
    return in_utf8(str(file))


def frame_of(name: str, locator: Locator | None = None) -> Frame:
    """Return the frame of a picture without a dataset; its place is by default its name."""
    return Frame(name, name, REAL, "unknown", "none", (), locator or Locator(name))
