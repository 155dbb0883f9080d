"""Contact sheet of a dataset: rows are manipulations, columns are people or videos."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from scipy import ndimage

from ..core.errors import DataError, FrameError, NothingJudged
from ..core.files import replacing
from ..core.records import ORIGINAL, Frame
from .base import Adapter
from .calls import frames_of
from .read_ahead import about_frame, read_pixels

if TYPE_CHECKING:
    from ..core.records import Image

log = logging.getLogger("m2f2bench")
LABEL = 92
"""Width of the column of names, pixels."""
OUTLINE = (255, 230, 0)


def pick(frames: Sequence[Frame], per_method: int) -> dict[str, list[Frame]]:
    """Return the frames of a sheet by method, the reals first: the middle frame of `per_method` videos each.

    Columns are people: the videos have different first identities as long as possible, in the same order for every
    method.
    """
    videos: dict[str, dict[str, list[int]]] = {}  # positions: a frame is made where it is needed
    for position, frame in enumerate(frames):
        videos.setdefault(frame.method, {}).setdefault(frame.video, []).append(position)
    rows: dict[str, list[Frame]] = {}
    for method in sorted(videos, key=lambda name: name != ORIGINAL):
        people: dict[str, list[Frame]] = {}
        for group in videos[method].values():
            middle = frames[group[len(group) // 2]]
            people.setdefault(middle.identities[0] if middle.identities else middle.video, []).append(middle)
        turns = max(map(len, people.values()))
        ordered = [group[turn] for turn in range(turns) for group in people.values() if turn < len(group)]
        rows[method] = ordered[:per_method]
    return rows


def outlined(image: Image, mask: npt.NDArray[np.bool_]) -> Image:
    """Return the image with the mask's inner rim, one pixel wide, drawn in yellow; the mask may have another size."""
    if mask.shape != image.shape[:2]:
        mask = np.asarray(Pillow.fromarray(mask).resize((image.shape[1], image.shape[0]), Pillow.Resampling.NEAREST))
    marked: Image = image.copy()
    marked[mask & ~ndimage.binary_erosion(mask)] = OUTLINE
    return marked


def _tile(
    adapter: Adapter, frame: Frame, side: int, masks: bool, failed: list[FrameError], outlines: list[Frame]
) -> list[Pillow.Image]:
    """Return a frame's picture and, with `masks`, the picture with its mask's outline; grey if unreadable.

    An unreadable frame is added to `failed`, one with a mask to `outlines`.
    """
    try:
        image = read_pixels(adapter.read, frame)
        mask = about_frame(lambda: adapter.mask(frame), frame) if masks else None
    except FrameError as error:
        failed.append(error)
        return [Pillow.new("RGB", (side, side), (128, 128, 128))] * (2 if masks else 1)
    pictures = [image]
    if masks:
        outlines += [] if mask is None else [frame]
        pictures.append(image if mask is None else outlined(image, mask))
    return [Pillow.fromarray(p).resize((side, side), Pillow.Resampling.BICUBIC) for p in pictures]


def contact_sheet(
    adapter: Adapter, split: str, path: Path | str, per_method: int = 8, side: int = 160, masks: bool = False
) -> Path:
    """Draw a sheet of a split into an image file and return its path.

    One row per method, the reals first; `per_method` columns of `side` pixels; with `masks` a second band under each
    row of forgeries with the masks' outlines. Frames that cannot be read are grey. Raises DataError for a split
    without frames or a file name without a picture's ending, NothingJudged if no frame can be read.
    """
    path = Path(path)
    if path.suffix.lower() not in Pillow.registered_extensions():
        raise DataError(f"contact sheet '{path}': its name must end in .png, .jpg or another picture format")
    rows = pick(frames_of(adapter, split), per_method)
    if not rows:
        raise DataError(f"contact sheet: the split '{split}' has no frames")
    bands: list[tuple[str, list[Pillow.Image]]] = []
    failed: list[FrameError] = []
    outlines: list[Frame] = []
    for method, frames in rows.items():
        pairs = [_tile(adapter, frame, side, masks and method != ORIGINAL, failed, outlines) for frame in frames]
        for band in range(len(pairs[0])):
            bands.append((method if band == 0 else "mask", [pair[band] for pair in pairs]))
    if len(failed) == sum(map(len, rows.values())):
        first = failed[0]
        raise NothingJudged.of("contact sheet", "frames", len(failed), first.frame, first.status, first.reason)
    if masks and not outlines:
        log.warning("no frame of the sheet has a mask: there are no outlines")
    columns = max(len(tiles) for _, tiles in bands)
    sheet = Pillow.new("RGB", (LABEL + columns * side, len(bands) * side), (24, 24, 24))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for number, (name, tiles) in enumerate(bands):
        pen.text((6, number * side + side // 2 - 8), name[:13], fill=(235, 235, 235), font=font)
        for column, tile in enumerate(tiles):
            sheet.paste(tile, (LABEL + column * side, number * side))
    with replacing(path) as temporary:
        sheet.save(temporary, format=Pillow.registered_extensions()[path.suffix.lower()])
    return path
