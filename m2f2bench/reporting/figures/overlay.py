"""Overlays for people: a picture, its heat map on top, and a colour bar with numbers, as a PNG file; folders of them.

In a folder, `NAME-HASH.png` is the overlay, `NAME-HASH.npy` the detector's map (float32 [h, w]; for a video [n, h, w],
the drawn frames; of faces in a picture [n, h, w], each of the crop of one face), and `heatmaps.json` has the source of
each and how it was made; of faces each one's box, and the transform [2, 3] from the picture's to the crop's pixels.
HASH is of the file's whole path: two files of the same name have two maps, and a file always has the same name here.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from ...core.errors import StoreError
from ...core.files import replacing, write_json
from ...core.locks import holding
from ...core.parsing import read_json
from ...core.text import in_utf8
from ...faces.align import inverse, moved, put_back
from ...heatmaps.mapping import enlarged
from ...version import __version__
from .sheet import EDGE, FAKE_COLOUR, GAP, GREY, LEADING, REAL_COLOUR, Page, Sheet, fit, printable, styled, width

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

    from ...core.records import Image
    from ...detectors.base import Detector
    from ...faces.crops import Crop

Scale = Literal["fixed", "image"]
SCALES: tuple[Scale, ...] = ("fixed", "image")
"""Range of the colours: 0 to 1 in every picture, or the lowest to the highest value of this file."""
COLOURS = "plasma"
"""A perceptually uniform colour map of matplotlib's, safe for colour-blind readers: blue, pink, yellow, lighter for
higher. Its lowest colour is not black, so that the face can be seen where the map is low."""
STRENGTH = 0.5
"""Weight of the map's colour over the grey picture; constant, so that a colour always means the same value."""
DIMMED = 0.25
"""Share of the picture's contrast that is kept outside the map."""
SIDE = 1.5
"""Inches of a panel's shorter side."""
LONGEST = 2.4
"""Largest ratio of a panel's sides; a longer picture is drawn smaller."""
LEAST, MOST = 300, 450
"""Pixels an inch: a small crop is enlarged to 450 pixels, a large picture shown at up to 675 on its shorter side."""
BAR, TICK = 0.09, 0.07
"""Inches of the colour bar and of its ticks."""
FULL = (0.0, 1.0)
SEPARATOR = " · "
RELATIVE = 0.999
"""A map with a maximum of at least this counts as scaled to its own maximum."""
RELATIVE_WORDS = "relative within this picture"
NEUTRAL = 1e-6
"""A map whose values differ by less counts as constant and is not stretched."""
INDEX = "heatmaps.json"
MAKER = "m2f2bench"


@dataclass(frozen=True)
class Panel:
    """A picture (RGB uint8 [H, W, 3]) with its map [h, w] in [0, 1], the region that the map covers (top, left, bottom,
    right as shares of the picture), its P(fake), and a label.

    With `crop`, the map is of that crop of the picture, `visible` are shares of the crop, and the map is drawn at the
    crop's place; nothing is drawn outside.
    """

    image: Image
    heat: npt.NDArray[np.float32]
    visible: tuple[float, float, float, float]
    score: float
    label: str = ""
    crop: Crop | None = None


class Size(NamedTuple):
    """A panel's size: inches, and pixels."""

    wide: float
    high: float
    columns: int
    rows: int


def draw_overlays(
    panels: Sequence[Panel],
    out: Path,
    *,
    title: str,
    foot: Sequence[str],
    scale: Scale = "fixed",
    tags: Mapping[str, str] | None = None,
) -> None:
    """Draw panels below each other into a PNG file, atomically; the same input gives the same bytes.

    Left is the picture, right the map over it: bicubic between the centres of its cells, over the visible region; a
    thin line separates the rest, which is dimmed. `title` and the parts of the `foot` are wrapped. With `scale` `image`
    the colours go from the lowest to the highest value of the panels, and the picture says so; a constant map is not
    stretched. `tags` are added to the file's metadata. Raises StoreError if the file cannot be written.
    """
    span = limits([panel.heat for panel in panels], scale)
    shorter = max(min(panel.image.shape[:2]) for panel in panels)
    density = int(min(max(shorter / SIDE, LEAST), MOST))  # the largest picture is not shrunk
    size = _size(panels, density)
    notes = [*foot, *_range(panels, span)]
    numbers = _numbers(span)[:: 1 if size.high > 5.0 * LEADING else 4]
    room = BAR + TICK + max(map(width, numbers))
    page = Page(2.0 * EDGE + 2.0 * size.wide + 2.0 * GAP + room, title, tuple(notes))
    step = LEADING * 1.25 + size.high + GAP
    with styled():
        sheet = Sheet(page, step * len(panels) - GAP)
        for number, panel in enumerate(panels):
            _draw_panel(sheet, panel, number * step, size, span)
        _draw_bar(sheet, LEADING * 1.25, 2.0 * size.wide + 2.0 * GAP + EDGE, size, numbers)
        texts = {"Description": SEPARATOR.join(notes), **(tags or {})}
        with replacing(out) as temporary:
            metadata = {key: printable(value) for key, value in texts.items()}
            sheet.figure.savefig(temporary, format="png", dpi=density, metadata=metadata)


def limits(maps: Sequence[npt.NDArray[np.float32]], scale: Scale) -> tuple[float, float]:
    """Return the values at the ends of the colour bar: 0 and 1, or those of the maps if `scale` is `image`."""
    low, high = _extremes(maps)
    return (low, high) if scale == "image" and high - low > NEUTRAL else FULL


def _extremes(maps: Sequence[npt.NDArray[np.float32]]) -> tuple[float, float]:
    return min(float(one.min()) for one in maps), max(float(one.max()) for one in maps)


def is_relative(heat: npt.NDArray[np.floating[Any]]) -> bool:
    """Return whether a map is scaled to its own maximum, so that two pictures' colours cannot be compared."""
    return float(heat.max()) >= RELATIVE


def blend(panel: Panel, rows: int, columns: int, span: tuple[float, float] = FULL) -> Image:
    """Return only the overlay, RGB uint8 [rows, columns, 3]: the map's colours over the visible region in grey.

    Colours go from the first to the second value of `span`.
    """
    grey = _resized(panel.image, rows, columns).astype(np.float64) @ (0.299, 0.587, 0.114) / 255.0
    canvas = np.repeat(0.5 + DIMMED * (grey - 0.5), 3).reshape(rows, columns, 3)
    if panel.crop is not None:
        heat, there = placed(panel, panel.crop, rows, columns)
        colour = _colours()((heat[there] - span[0]) / (span[1] - span[0]))[..., :3]
        canvas[there] = (1.0 - STRENGTH) * grey[there][:, None] + STRENGTH * colour
        return np.asarray(np.rint(np.clip(canvas, 0.0, 1.0) * 255.0), dtype=np.uint8)
    top, left, bottom, right = _box(panel.visible, rows, columns)
    values = enlarged(panel.heat, bottom - top, right - left)
    colour = _colours()((values - span[0]) / (span[1] - span[0]))[..., :3]
    under = grey[top:bottom, left:right, None]
    canvas[top:bottom, left:right] = (1.0 - STRENGTH) * under + STRENGTH * colour
    return np.asarray(np.rint(np.clip(canvas, 0.0, 1.0) * 255.0), dtype=np.uint8)


def placed(panel: Panel, crop: Crop, rows: int, columns: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return a crop's map at its place in the picture of `rows` × `columns`, and where it lies; 0 elsewhere."""
    side = crop.image.shape[0]
    height, width = crop.shape
    top, left, bottom, right = _box(panel.visible, side, side)
    values, seen = np.zeros((side, side), np.float32), np.zeros((side, side), np.float32)
    # The rest of the crop repeats the map's edge, so that the values at the edge are not blended with zeros.
    values[:] = np.pad(
        enlarged(panel.heat, bottom - top, right - left), ((top, side - bottom), (left, side - right)), mode="edge"
    )
    seen[top:bottom, left:right] = 1.0
    forth = crop.transform.copy()
    forth[:, 0] *= width / columns
    forth[:, 1] *= height / rows
    there = put_back(seen, forth, (rows, columns), side) > 0.5
    return put_back(values, forth, (rows, columns), side), there


def _colours() -> Colormap:
    from matplotlib import colormaps

    return colormaps[COLOURS]


def _resized(image: Image, rows: int, columns: int) -> Image:
    from PIL import Image as Pillow

    return np.asarray(Pillow.fromarray(image).resize((columns, rows), Pillow.Resampling.BICUBIC))


def _box(visible: tuple[float, float, float, float], rows: int, columns: int) -> tuple[int, int, int, int]:
    """Return the visible region in pixels, at least one pixel high and wide."""
    top, left = min(round(visible[0] * rows), rows - 1), min(round(visible[1] * columns), columns - 1)
    return top, left, max(round(visible[2] * rows), top + 1), max(round(visible[3] * columns), left + 1)


def _size(panels: Sequence[Panel], density: int) -> Size:
    """Return one size for all panels: the proportions of the first picture, at most LONGEST."""
    rows, columns = panels[0].image.shape[:2]
    wide, high = SIDE * max(1.0, columns / rows), SIDE * max(1.0, rows / columns)
    shrink = min(1.0, LONGEST * SIDE / max(wide, high))
    wide, high = wide * shrink, high * shrink
    return Size(wide, high, max(round(wide * density), 1), max(round(high * density), 1))


def _range(panels: Sequence[Panel], span: tuple[float, float]) -> list[str]:
    """Describe the range of the maps' values and of the colours."""
    low, high = _extremes([panel.heat for panel in panels])
    cells = "×".join(map(str, panels[0].heat.shape))
    colours = "colours 0 to 1" if span == FULL else f"colours STRETCHED to these values, {RELATIVE_WORDS}"
    crops = ["map of each face's crop, at its place"] if any(panel.crop is not None for panel in panels) else []
    own = all(is_relative(panel.heat) for panel in panels)
    scaled = "each map is scaled to its own maximum: it says where, not how much"
    relative = [f"{RELATIVE_WORDS}: {scaled}"] if own else []
    return [f"map {cells}", *crops, f"values {low:.3f} to {high:.3f}", *relative, colours]


def _numbers(span: tuple[float, float]) -> list[str]:
    """Return the five numbers of the colour bar from bottom to top, with enough decimals that they differ."""
    decimals = max(2, 2 - math.floor(math.log10(span[1] - span[0]))) if span != FULL else 2
    return [f"{value:.{decimals}f}" for value in np.linspace(*span, 5)]


def _draw_panel(sheet: Sheet, panel: Panel, top: float, size: Size, span: tuple[float, float]) -> None:
    """Draw one row: a line of text, the picture, and the overlay."""
    verdict, colour = ("fake", FAKE_COLOUR) if panel.score >= 0.5 else ("real", REAL_COLOUR)
    sheet.text(EDGE, top, f"P(fake) {panel.score:.4f}: {verdict} at 0.5", color=colour, weight="bold")
    parts = [panel.label] * bool(panel.label) + ["colours stretched"] * (span != FULL)
    label = fit(SEPARATOR.join(parts), size.wide, 1)[0]
    sheet.text(EDGE + 2.0 * size.wide + GAP, top, label, ha="right", color=GREY if span == FULL else "black")
    pictures = (_resized(panel.image, size.rows, size.columns), blend(panel, size.rows, size.columns, span))
    for place, pixels in enumerate(pictures):
        left = EDGE + place * (size.wide + GAP)
        axes = sheet.axes(left, top + LEADING * 1.25, size.wide, size.high)
        axes.set_axis_off()
        axes.imshow(pixels, aspect="auto", interpolation="antialiased")
        if place:
            _outline(axes, panel, size)


def _outline(axes: Axes, panel: Panel, size: Size) -> None:
    """Draw a thin line around the visible region, unless it is the whole picture."""
    from matplotlib.patches import Rectangle

    if panel.crop is not None:
        _outline_crop(axes, panel.crop, size)
        return
    top, left, bottom, right = _box(panel.visible, size.rows, size.columns)
    if (top, left, bottom, right) != (0, 0, size.rows, size.columns):
        box = Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, edgecolor="white", lw=0.6)
        axes.add_patch(box)


def _outline_crop(axes: Axes, crop: Crop, size: Size) -> None:
    """Draw a thin line around a face's crop."""
    from matplotlib.patches import Polygon

    side = crop.image.shape[0]
    corners = moved(inverse(crop.transform), [[0, 0], [side, 0], [side, side], [0, side]])
    corners = corners * (size.columns / crop.shape[1], size.rows / crop.shape[0]) - 0.5
    axes.add_patch(Polygon(corners, closed=True, fill=False, edgecolor="white", lw=0.6))


def _draw_bar(sheet: Sheet, top: float, left: float, size: Size, numbers: Sequence[str]) -> None:
    """Draw the colour bar with its numbers."""
    axes = sheet.axes(left, top, BAR, size.high)
    # Over mid-grey, so that the bar has the colours of the overlay.
    ramp = (1.0 - STRENGTH) * 0.5 + STRENGTH * _colours()(np.linspace(1.0, 0.0, 256))[:, None, :3]
    axes.imshow(ramp, aspect="auto", extent=(0.0, 1.0, 0.0, 1.0))
    axes.set_xticks([])
    axes.set_yticks(np.linspace(0.0, 1.0, len(numbers)), list(numbers))
    axes.yaxis.tick_right()


class OverlayFolder:
    """A folder with overlays of one detector, locked until `close`.

    A map is only replaced by one of the same file and detector; any other file in its place is an error. So a repeated
    command renews its pictures, and each detector needs its own folder.
    """

    def __init__(self, folder: Path, detector: Detector, scale: str = "fixed") -> None:
        """Open the folder. Raises StoreError for an unknown scale, or if the folder has another detector's maps."""
        if scale not in SCALES:
            raise StoreError(f"heat map scale '{scale}' is not known: give {' or '.join(SCALES)}")
        self.folder, self.scale, self.name = folder, scale, detector.card.name
        self.by = {"detector": self.name, "weights": detector.fingerprint(), "preprocessing": detector.preprocessing}
        with contextlib.ExitStack() as held:
            held.enter_context(holding(folder))
            self.entries = self._known()
            self._write_index()
            self._held = held.pop_all()

    def write(self, source: Path, panels: Sequence[Panel], score: float, frames: Sequence[int] | None = None) -> Path:
        """Write one file's overlay and maps; return the overlay's path. `frames`: the frame numbers in a video."""
        mark = path_mark(source)
        out = self.folder / f"{_short(source.name)}-{mark}.png"
        self._refuse_foreign(out, mark)
        foot = [f"detector {self.name}"]
        foot += [f"whole video: P(fake) {score:.4f}"] if frames is not None else []
        tags = {"Title": source.name, "Software": f"{MAKER} {__version__}", "Source": mark, "Detector": self.name}
        draw_overlays(panels, out, title=source.name, foot=foot, scale=self.scale, tags=tags)
        crops = [panel.crop for panel in panels if panel.crop is not None]
        several = frames is not None or len(panels) > 1 or bool(crops)
        maps = np.stack([panel.heat for panel in panels]) if several else panels[0].heat
        with replacing(out.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
            np.save(file, maps, allow_pickle=False)
        entry: dict[str, Any] = {"path": in_utf8(str(source)), "score": score, "map": out.with_suffix(".npy").name}
        entry |= {"shape": list(panels[0].heat.shape), "colours": self.scale, "seen": list(panels[0].visible)}
        if crops:
            entry["faces"] = [{"box": list(one.face.box), "transform": one.transform.tolist()} for one in crops]
        self.entries[out.name] = entry | ({} if frames is None else {"frames": list(frames)})
        return out

    def close(self) -> None:
        """Write the index and unlock the folder."""
        try:
            self._write_index()
        finally:
            self._held.close()

    def _write_index(self) -> None:
        maps = dict(sorted(self.entries.items()))
        write_json(self.folder / INDEX, {"made_by": MAKER, "version": __version__, **self.by, "maps": maps})

    def _known(self) -> dict[str, Any]:
        """Return the entries of an existing index."""
        path = self.folder / INDEX
        if not path.exists():
            return {}
        try:
            found = read_json(path)
            known = dict(found["maps"])
            by = {key: found[key] for key in self.by}
        except (ValueError, KeyError, TypeError):
            raise StoreError(f"'{path}' is not an index of heat maps: give another folder, or move that file") from None
        if by != self.by:
            other = "with other weights" if by["detector"] == self.name else f"of detector '{by['detector']}'"
            raise StoreError(f"'{self.folder}' holds heat maps {other}: give another folder for '{self.name}'")
        return known

    def _refuse_foreign(self, out: Path, mark: str) -> None:
        """Raise StoreError if another file is in the place of this file's overlay."""
        from PIL import Image as Pillow

        if not out.exists():
            return
        try:
            with Pillow.open(out) as there:
                info = there.info
        except OSError:
            info = {}
        if info.get("Source") != mark or not str(info.get("Software", "")).startswith(MAKER):
            raise StoreError(f"'{out}' exists and is not a heat map of this file: give another folder, or move it")


def _short(name: str, most: int = 180) -> str:
    """Return at most `most` bytes of a name: file systems allow 255, and HASH and the ending follow."""
    return in_utf8(name).encode()[:most].decode("utf-8", "ignore")


def path_mark(path: Path) -> str:
    """Return 10 hex digits that identify a file's whole path, with links resolved."""
    return hashlib.sha256(str(path.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:10]
