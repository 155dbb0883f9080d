"""A dataset whose frames are clips: several frames of one video that a detector judges together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..core.clips import ClipFrame, join_clips
from .base import Adapter
from .calls import stamp_of
from .dataset import Dataset

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ..core.records import Frame, Image


class JoinedAdapter(Adapter[Any]):
    """Clips of another adapter's frames. The pixels of a clip are uint8 [T, H, W, 3]."""

    def __init__(self, adapter: Adapter[Any], length: int) -> None:
        """`length` is the number T of frames in a clip, see `join_clips`."""
        super().__init__(adapter.root, adapter.options)
        self.adapter, self.length = adapter, length

    def frames(self, split: str) -> Sequence[Frame]:
        """Return the clips of a split."""
        return join_clips(self.adapter.frames(split), self.length)

    def read(self, frame: Frame) -> Image:
        """Return the pixels of a clip; a single frame's are [H, W, 3]. Raises FrameError if one cannot be read.

        Frames of another size than the first one's (crops that follow a face) are resized to that, bicubically.
        """
        import numpy as np

        if not isinstance(frame, ClipFrame):
            return self.adapter.read(frame)
        pixels = {part.id: part for part in frame.parts}
        images = {name: self.adapter.read(part) for name, part in pixels.items()}
        shape = images[frame.parts[0].id].shape
        return np.stack([_sized(images[part.id], shape) for part in frame.parts])

    def digest(self, frame: Frame, image: Image) -> str:
        """Return a hash of the frames' own digests; of sizes other than the first one's, of the resized pixels."""
        if not isinstance(frame, ClipFrame):
            return self.adapter.digest(frame, image)
        digests = [self.adapter.digest(part, one) for part, one in zip(frame.parts, image, strict=True)]
        return hashlib.blake2b("\0".join(digests).encode(), digest_size=8).hexdigest()

    def stamp(self, frame: Frame) -> str:
        """Return a hash of the frames' own stamps; empty if one is unknown."""
        if not isinstance(frame, ClipFrame):
            return stamp_of(self.adapter, frame)
        stamps = [stamp_of(self.adapter, part) for part in dict.fromkeys(frame.parts)]
        return hashlib.blake2b("\0".join(stamps).encode(), digest_size=8).hexdigest() if all(stamps) else ""

    def close(self) -> None:
        """Close the other adapter's files."""
        self.adapter.close()


def _sized(image: Image, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    import numpy as np
    from PIL import Image as PillowImage

    if image.shape == shape:
        return image
    picture = PillowImage.fromarray(image).resize((shape[1], shape[0]), PillowImage.Resampling.BICUBIC)
    return np.array(picture, dtype=np.uint8)


def joined(dataset: Dataset, length: int) -> Dataset:
    """Return a dataset of clips of `length` frames."""
    return replace(dataset, adapter=JoinedAdapter(dataset.adapter, length))
