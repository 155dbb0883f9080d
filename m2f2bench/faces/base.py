"""Base of finders of faces."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

from ..core.errors import DataError

if TYPE_CHECKING:
    from ..core.arrays import Image
    from .face import Face


class FaceFinder(abc.ABC):
    """Base of finders. A subclass implements `find` and `signature`. Used from several threads, and pickled."""

    name = ""
    """Its name, as a user gives it."""

    @abc.abstractmethod
    def find(self, image: Image) -> list[Face]:
        """Return the faces of a picture (RGB, uint8, [H, W, 3], upright), the surest first; empty if there are none."""

    @abc.abstractmethod
    def signature(self) -> str:
        """Return a short text of all that decides the faces: name, limits, a hash of the model."""

    def checked(self, image: Image) -> Image:
        """Return the picture. Raises DataError for anything but RGB, uint8, [H, W, 3] with a pixel at least."""
        shape = tuple(getattr(image, "shape", ()))
        if len(shape) != 3 or shape[2] != 3 or 0 in shape or str(getattr(image, "dtype", "")) != "uint8":
            kind = getattr(image, "dtype", type(image).__name__)
            raise DataError(
                f"faces are looked for in pictures that are RGB, uint8, [H, W, 3], not {kind} {list(shape)}"
            )
        return image
