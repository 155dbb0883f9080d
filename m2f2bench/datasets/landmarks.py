"""Landmarks of a training's frames: read once, checked, and known to every process that makes samples."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..core.errors import FrameError
from .base import Adapter
from .read_ahead import ReadAhead, about_frame

if TYPE_CHECKING:
    from ..core.records import Frame

Points = npt.NDArray[np.float64]
LEAST = 3
"""Points that have a hull."""


def read_landmarks(adapter: Adapter, frame: Frame) -> Points | None:
    """Return a frame's landmarks in pixels, float64 [K, 2]; None if it has none.

    Raises FrameError for landmarks that cannot be read, and for anything but three or more finite points.
    """
    given: Any = about_frame(lambda: adapter.landmarks(frame), frame)
    if given is None:
        return None
    try:
        found = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise FrameError(frame.id, f"its landmarks are a {type(given).__name__}, not points (x, y)") from None
    if found.ndim != 2 or found.shape[1] != 2 or len(found) < LEAST or not np.isfinite(found).all():
        raise FrameError(
            frame.id, f"its landmarks are not {LEAST} or more finite points (x, y): their shape is {list(found.shape)}"
        )
    return found


class Landmarks:
    """Landmarks of frames, by split and id; called with a frame."""

    def __init__(self, adapter: Adapter, frames: Sequence[Frame]) -> None:
        """Read the landmarks of all frames. Raises as an adapter does where a whole dataset is wrong."""
        self._points: dict[tuple[str, str], Points] = {}
        self._failed: dict[tuple[str, str], tuple[str, str]] = {}

        def read(frame: Frame) -> Points | FrameError | None:
            try:
                return read_landmarks(adapter, frame)
            except FrameError as error:
                return error

        ahead = ReadAhead(read, frames, count=64, size=lambda found: getattr(found, "nbytes", 0))
        with closing(ahead.each()) as each:
            for frame, found in zip(frames, each, strict=True):
                key = (frame.split, frame.id)
                if isinstance(found, FrameError):
                    self._failed[key] = (found.reason, found.status)
                elif found is not None:
                    self._points[key] = found

    def __call__(self, frame: Frame) -> Points | None:
        """Return a frame's landmarks, float64 [K, 2]; None if it has none. Raises FrameError as `read_landmarks`."""
        key = (frame.split, frame.id)
        failed = self._failed.get(key)
        if failed is not None:
            raise FrameError(frame.id, *failed)
        return self._points.get(key)

    @classmethod
    def of(cls, adapter: Adapter, frames: Sequence[Frame]) -> Landmarks | None:
        """Return the landmarks of all frames; None if no frame has any, good or bad."""
        found = cls(adapter, frames)
        return found if found._points or found._failed else None

    def digest(self) -> str:
        """Return 16 hex digits over all landmarks and over which are bad, for the identity of what is made of them."""
        found = hashlib.blake2b(digest_size=8)
        for split, name in sorted(self._failed):
            found.update(f"bad\0{split}\0{name}\0".encode("utf-8", "surrogatepass"))
        for (split, name), points in sorted(self._points.items()):
            found.update(f"{split}\0{name}\0{len(points)}\0".encode("utf-8", "surrogatepass") + points.tobytes())
        return found.hexdigest()
