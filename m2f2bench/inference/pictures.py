"""Images in memory to judge: arrays and Pillow images, each under a name, beside files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image as Pillow

from ..core.errors import DataError, first_line
from ..core.files import user_path
from ..core.text import in_utf8, quoted
from ..datasets.files.images import rgb_of

if TYPE_CHECKING:
    from ..core.records import Image

Pictures: TypeAlias = "str | Path | Image | Pillow.Image | Sequence[Any] | Mapping[str, Any]"
"""One path or image in memory, several, or images by name."""
WANTED = "a path, an RGB uint8 array [H, W, 3] or a Pillow image"
FIXES = {
    (3, 4): "leave its alpha out with image[..., :3]",
    (3, 1): "repeat its grey with np.repeat(image, 3, axis=2)",
    (2, 0): "repeat its grey with np.repeat(image[..., None], 3, axis=2)",
}
"""How to make an array [H, W, 3], by its number of axes and, if it has three, its channels."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One image in memory: RGB uint8 [H, W, 3], or an image of Pillow's; it is never changed."""

    name: str
    image: Image | Pillow.Image

    def __str__(self) -> str:
        return self.name

    def pixels(self, frame_id: str) -> Image:
        """Return a copy of the pixels, RGB uint8 [H, W, 3]; of a Pillow image as of its file, turned upright.

        Raises FrameError if Pillow cannot decode it, or has no 8- or 16-bit colours.
        """
        return rgb_of(self.image, frame_id) if isinstance(self.image, Pillow.Image) else np.array(self.image)


def listed(given: Any, names: Sequence[str] = ()) -> list[Path | Picture]:
    """Return paths and images as a list: one of them, several, a mapping `{name: image}`, or an array [N, H, W, 3].

    `names` name the images in order; without them they are `image0`, `image1`, … by their place in the list. Raises
    DataError in one line for anything else.
    """
    if isinstance(given, Mapping):
        if names:
            raise DataError("names and a mapping {name: image} both name the images: give one of them")
        given, names = list(given.values()), list(given)
        if paths := [one for one in given if isinstance(one, (str, Path))]:
            raise DataError(f"a mapping names images in memory, and {quoted(str(paths[0]))} is a path: give a list")
    items = _items(given)
    if not items:
        raise DataError("paths is empty: give images, videos or folders of them")
    found = [_item(one, number, len(items) > 1) for number, one in enumerate(items)]
    return _named(found, names) if names else found


def _items(given: Any) -> list[Any]:
    """Return what was given as a list."""
    if isinstance(given, (str, Path, Pillow.Image)) or _is_array(given):
        array = None if isinstance(given, (str, Path, Pillow.Image)) else _array(given, "paths")
        return [given] if array is None or array.ndim != 4 else list(array)
    if isinstance(given, (bytes, bytearray)) or hasattr(given, "columns") or not isinstance(given, Iterable):
        raise DataError(f"paths is of type {type(given).__name__}: give {WANTED}, or several of them in a list")
    return list(given)


def _is_array(value: Any) -> bool:
    """Return whether a value is an array of pixels, such as numpy's or torch's; a Series of paths is none."""
    if isinstance(value, type) or hasattr(value, "columns"):
        return False
    return hasattr(value, "__array__") and getattr(value, "ndim", 1) > 1


def _array(value: Any, where: str) -> Any:
    try:
        return np.asarray(value)
    except Exception as error:  # a tensor on a GPU, or one that needs a gradient
        raise DataError(f"{where} is of type {type(value).__name__}, and is no array: {first_line(error)}") from None


def _item(one: Any, number: int, several: bool) -> Path | Picture:
    """Return one item of a list. Raises DataError for anything but a path or an image."""
    if isinstance(one, (str, Path)):
        return user_path(one)
    where = f"paths, item {number + 1}," if several else "paths"
    if isinstance(one, Pillow.Image):
        return Picture(f"image{number}", one)
    if not hasattr(one, "__array__") or hasattr(one, "columns"):
        raise DataError(f"{where} is of type {type(one).__name__}: give {WANTED}")
    array = _array(one, where)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise DataError(
            f"{where} is {array.dtype} {list(array.shape)}, and an image is RGB, uint8, [H, W, 3]{_fix(array)}"
        )
    return Picture(f"image{number}", array)


def _fix(array: Any) -> str:
    """Return how to make an array an image, if that is known."""
    if array.dtype != np.uint8:
        unit = array.dtype.kind == "f" and array.size and array.min() >= 0.0 and array.max() <= 1.0
        return f": {'make it so with (255 * image).round().astype(np.uint8)' if unit else 'convert it first'}"
    if array.ndim == 3 and array.shape[0] == 3 and array.shape[2] not in (1, 4):
        return ": turn its axes with image.transpose(1, 2, 0)"
    fix = FIXES.get((array.ndim, array.shape[2] if array.ndim == 3 else 0), "")
    return f": {fix}" if fix else ""


def _named(found: Sequence[Path | Picture], names: Any) -> list[Path | Picture]:
    """Return images under names of the user's. Raises DataError unless each has a name of its own."""
    if isinstance(names, str):
        raise DataError(f"names is one text, {quoted(names)}: give a list of names, one for each image")
    if len(names) != len(found):
        raise DataError(f"names has {len(names)} names, but there are {len(found)} images: give a name for each")
    named: list[Path | Picture] = []
    for number, (name, one) in enumerate(zip(names, found, strict=True), 1):
        if isinstance(one, Path):
            raise DataError(f"names are for images in memory, but item {number} is the path '{one}': leave them out")
        text = in_utf8(str(name))
        if not text.strip() or "\0" in text:
            raise DataError(f"the name of image {number} is {quoted(text)}: give a text that is not empty")
        named.append(Picture(text, one.image))
    texts = [str(one) for one in named]
    if len(set(texts)) < len(texts):
        twice = next(text for text in texts if texts.count(text) > 1)
        raise DataError(f"two images are named {quoted(twice)}: give each a name of its own")
    return named
