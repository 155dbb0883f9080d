"""Crops of faces, each described by a card in `datasets/crops/`: which part of the picture around a face it shows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from ..cards.folders import find_card, iter_cards
from ..cards.models import Card, read_card_as, validate
from ..core.errors import CardError, DataError, near
from ..core.files import user_path
from .align import put_back, similarity, warp, warp_mask
from .face import Face

if TYPE_CHECKING:
    import numpy.typing as npt
    from typing_extensions import Self

    from ..core.arrays import Bools, Floats, Image

KIND = "datasets/crops"
"""The folder of their cards, below a folder of cards."""
DEFAULT = "m2f2det"
Pair = tuple[float, float]


class CropCard(Card):
    """One way of cutting out a face: by its box, or by its five points, which come to lie on a template."""

    version: int = Field(default=1, ge=1)
    """Counted up when a card's values change, so that the signature tells."""
    size: int = Field(ge=16, le=4096)
    """Side of the crop in pixels; a crop is square."""
    by: Literal["box", "points"] = "box"
    """What of a face decides the crop."""
    margin: float = Field(default=0.0, ge=0.0, le=4.0)
    """What is added to the box on each of its four sides, as a share of its width and height."""
    side: Literal["longer", "mean", "stretch"] = "longer"
    """The square around the box: as long as its longer side, as the geometric mean of both, or the box itself,
    stretched to a square."""
    face: Pair = (1.0, 1.0)
    """Width and height of the box, with its margin, as shares of the crop's side."""
    centre: Pair = (0.5, 0.5)
    """Where the box's centre lies, as shares of the crop's side."""
    template: tuple[Pair, ...] = ()
    """Where the five points lie, as shares of the crop's side (eyes, nose, corners of the mouth)."""
    border: Literal["zeros", "reflect", "cut"] = "zeros"
    """Beyond the picture's edge there is black, the picture mirrored, or nothing: the box is cut off there."""
    smooth: bool = True
    """A part with more pixels than the crop is averaged (no aliasing); false: plain bilinear, as in OpenCV."""
    reference: str = ""
    """Whose crop it is."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.by == "points") != (len(self.template) == 5):
            raise ValueError("a template of five points goes with by: points, and with nothing else")
        if self.border == "cut" and (self.by != "box" or self.side != "stretch"):
            raise ValueError("border: cut goes with by: box and side: stretch")
        if min(self.face) <= 0:
            raise ValueError("face: both shares are over 0")
        return self

    def signature(self) -> str:
        """Return a short text with all that decides the crop's pixels, such as `m2f2det-1-224px-…`."""
        parts = [self.name, str(self.version), f"{self.size}px"]
        if self.by == "points":
            text = repr([tuple(map(float, pair)) for pair in self.template])
            parts.append(f"points{hashlib.blake2b(text.encode(), digest_size=3).hexdigest()}")
        else:
            parts += [f"margin{self.margin:g}"] if self.margin else []
            parts.append(self.side)
            parts += [f"face{self.face[0]:g}x{self.face[1]:g}"] if self.face != (1.0, 1.0) else []
            parts += [f"at{self.centre[0]:g},{self.centre[1]:g}"] if self.centre != (0.5, 0.5) else []
        return "-".join([*parts, self.border, *([] if self.smooth else ["bilinear"])])

    def transform(self, face: Face, shape: tuple[int, ...]) -> Floats:
        """Return the transform [2, 3] from a picture of this `shape` to the crop of a face in it.

        Raises DataError for a face without the five points where they are needed, or without a size.
        """
        if self.by == "points":
            if face.points is None:
                raise DataError(f"crop '{self.name}' needs the five points of a face, and its finder gives a box only")
            return similarity(face.points, np.asarray(self.template) * self.size)
        x0, y0, x1, y1 = self._region(face, shape)
        if not (x1 > x0 and y1 > y0):
            raise DataError("a face without width or height in the picture cannot be cut out")
        across, down = self.size / (x1 - x0), self.size / (y1 - y0)
        return np.array([[across, 0.0, -x0 * across], [0.0, down, -y0 * down]])

    def _region(self, face: Face, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
        (x, y), more = face.centre, 1 + 2 * self.margin
        across, down = face.width * more / self.face[0], face.height * more / self.face[1]
        if self.side == "longer":
            across = down = max(across, down)
        elif self.side == "mean":
            across = down = float(np.sqrt(max(across, 0.0) * max(down, 0.0)))
        x0, y0 = x - across * self.centre[0], y - down * self.centre[1]
        x1, y1 = x0 + across, y0 + down
        if self.border == "cut":
            x0, y0, x1, y1 = max(x0, 0.0), max(y0, 0.0), min(x1, float(shape[1])), min(y1, float(shape[0]))
        return x0, y0, x1, y1

    def pixels(self, image: Image, transform: npt.ArrayLike) -> Image:
        """Return the crop, uint8 [size, size, 3], of a picture by its transform."""
        return warp(image, transform, self.size, "reflect" if self.border != "zeros" else "zeros", self.smooth)


@dataclass(frozen=True, eq=False)
class Crop:
    """A face that was cut out: `image` is RGB uint8 [S, S, 3]; `transform` [2, 3] is from the picture to the crop.

    `shape` is the picture's height and width in pixels.
    """

    image: Image
    transform: Floats
    face: Face
    shape: tuple[int, int]

    def put_back(self, heatmap: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return a heat map of the crop in the place of the whole picture, float32 [H, W]; 0 outside the crop."""
        return put_back(heatmap, self.transform, self.shape, self.image.shape[0])

    def mask(self, mask: Bools) -> Bools:
        """Return a mask [H, W] of the picture as the crop's mask [S, S]."""
        return warp_mask(mask, self.transform, self.image.shape[0])


def cut(image: Image, face: Face, card: CropCard) -> Crop:
    """Return the crop of a face of a picture, RGB uint8 [H, W, 3]. Raises DataError as `CropCard.transform` does."""
    transform = card.transform(face, image.shape)
    return Crop(card.pixels(image, transform), transform, face, (image.shape[0], image.shape[1]))


def crop_names() -> list[str]:
    """Return the names of all crops that have a card."""
    return sorted(path.stem for path in iter_cards(KIND))


def read_crop(path: Path) -> CropCard:
    """Read and check one crop's card file. Raises CardError in one line."""
    return read_card_as(CropCard, path, "crop")


def load_crop(reference: str | Path | CropCard = DEFAULT, **changes: Any) -> CropCard:
    """Return the crop of a card's name or path, or a card itself, with `changes` of its values.

    A text may have changes too: `square:margin=0.3,size=256`. Raises CardError for an unknown name or a bad value.
    """
    if isinstance(reference, CropCard):
        return _changed(reference, changes, f"crop '{reference.name}'") if changes else reference
    if not isinstance(reference, (str, Path)):
        raise CardError(f"a crop is of type {type(reference).__name__}: give its name, a path, or its card")
    name, _, text = str(reference).partition(":")
    path = user_path(name)
    found = find_card(KIND, name) or (path if path.suffix in (".yaml", ".yml") and path.is_file() else None)
    if found is None:
        raise CardError(f"unknown crop '{name}'{near(name, crop_names())}")
    given = dict(_pair(one, str(reference)) for one in text.split(",")) if text else {}
    card = read_crop(found)
    return _changed(card, given | changes, f"crop '{reference}'") if given or changes else card


def _pair(text: str, reference: str) -> tuple[str, str]:
    key, equal, value = text.partition("=")
    if not (key and equal and value):
        raise CardError(f"crop '{reference}': '{text}' is not of the form key=value, as in square:margin=0.3,size=256")
    return key.strip(), value.strip()


def _changed(card: CropCard, changes: dict[str, Any], where: str) -> CropCard:
    return validate(CropCard, {**card.model_dump(exclude_unset=True), **changes}, where).placed(card.folder)
