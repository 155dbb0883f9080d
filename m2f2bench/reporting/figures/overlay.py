"""A heat map over its picture, for a person to read: picture, overlay and a colour bar with numbers, as PNG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from ...core.files import replacing
from ...heatmaps.grid import enlarged
from .sheet import EDGE, GAP, Page, Sheet
from .style import FAKE_COLOUR, GREY, LEADING, REAL_COLOUR, styled
from .text import fit, printable, width

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

    from ...core.records import Image

Scale = Literal["fixed", "image"]
SCALES: tuple[Scale, ...] = ("fixed", "image")
"""What the colours span: 0 to 1 in every picture, or this file's own lowest to highest value."""
COLOURS = "plasma"
"""A perceptually uniform colour map of matplotlib's, which the colour-blind read as well: blue, pink, yellow, lighter
for higher. Its lowest colour is not black, so that the face stays readable where the map is low."""
STRENGTH = 0.5
"""Weight of the map's colour over the picture in grey; the same everywhere, so that colours mean one value."""
DIMMED = 0.25
"""What is left of the picture's own contrast where the map does not reach."""
SIDE = 1.5
"""Inches of a panel's shorter side."""
LONGEST = 2.4
"""A panel is at most this many times as long as wide; a longer picture is drawn smaller."""
LEAST, MOST = 300, 450
"""Pixels an inch: a small crop is enlarged to 450 pixels, a large picture shown at up to 675 on its shorter side."""
BAR, TICK = 0.09, 0.07
"""Inches of the colour bar and of the ticks beside it."""
FULL = (0.0, 1.0)
SEPARATOR = " · "
RELATIVE = 0.999
"""The highest value from which on a map is taken for one that is scaled to its own maximum."""
NEUTRAL = 1e-6
"""A map whose values differ by less is of one value: there is nothing to stretch."""


@dataclass(frozen=True)
class Panel:
    """A picture (RGB uint8 [H, W, 3]) with its map [h, w] in [0, 1], the part of it that the map lies over (top,
    left, bottom, right as shares), its P(fake), and what stands above it."""

    image: Image
    heat: npt.NDArray[np.float32]
    seen: tuple[float, float, float, float]
    score: float
    label: str = ""


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
    """Draw panels one below the other into a PNG file, atomically; the same bytes for the same input.

    Left the picture, right the map over it: bicubic between the middles of its cells, over the seen part, the rest
    dimmed behind a thin line. `title` and the `foot`'s parts are wrapped to fit. With `scale` `image` the colours
    span the panels' own lowest to highest value, and the picture says so; a map of one value is not stretched. `tags`
    go into the file's description. Raises StoreError where the file cannot be written.
    """
    span = limits([panel.heat for panel in panels], scale)
    density = _density(panels)
    size = _size(panels, density)
    said = [*foot, *_range(panels, span)]
    numbers = _numbers(span)[:: 1 if size.high > 5.0 * LEADING else 4]
    room = BAR + TICK + max(map(width, numbers))
    page = Page(2.0 * EDGE + 2.0 * size.wide + 2.0 * GAP + room, title, tuple(said))
    step = LEADING * 1.25 + size.high + GAP
    with styled():
        sheet = Sheet(page, step * len(panels) - GAP)
        for number, panel in enumerate(panels):
            _draw_panel(sheet, panel, number * step, size, span)
        _draw_bar(sheet, LEADING * 1.25, 2.0 * size.wide + 2.0 * GAP + EDGE, size, numbers)
        told = {"Description": SEPARATOR.join(said), **(tags or {})}
        with replacing(out) as temporary:
            metadata = {key: printable(value) for key, value in told.items()}
            sheet.figure.savefig(temporary, format="png", dpi=density, metadata=metadata)


def limits(maps: Sequence[npt.NDArray[np.float32]], scale: Scale) -> tuple[float, float]:
    """The values at the ends of the colour bar: 0 and 1, or the maps' own where `scale` is `image` and they differ."""
    low, high = _extremes(maps)
    return (low, high) if scale == "image" and high - low > NEUTRAL else FULL


def _extremes(maps: Sequence[npt.NDArray[np.float32]]) -> tuple[float, float]:
    return min(float(one.min()) for one in maps), max(float(one.max()) for one in maps)


def blend(panel: Panel, rows: int, columns: int, span: tuple[float, float] = FULL) -> Image:
    """The overlay alone, RGB uint8 [rows, columns, 3]: the picture in grey with the map's colours over the seen part.

    Colours go from `span`'s first value to its second.
    """
    grey = _resized(panel.image, rows, columns).astype(np.float64) @ (0.299, 0.587, 0.114) / 255.0
    canvas = np.repeat(0.5 + DIMMED * (grey - 0.5), 3).reshape(rows, columns, 3)
    top, left, bottom, right = _box(panel.seen, rows, columns)
    values = enlarged(panel.heat, bottom - top, right - left)
    colour = _colours()((values - span[0]) / (span[1] - span[0]))[..., :3]
    under = grey[top:bottom, left:right, None]
    canvas[top:bottom, left:right] = (1.0 - STRENGTH) * under + STRENGTH * colour
    return np.asarray(np.rint(np.clip(canvas, 0.0, 1.0) * 255.0), dtype=np.uint8)


def _colours() -> Colormap:
    from matplotlib import colormaps

    return colormaps[COLOURS]


def _resized(image: Image, rows: int, columns: int) -> Image:
    from PIL import Image as Pillow

    return np.asarray(Pillow.fromarray(image).resize((columns, rows), Pillow.Resampling.BICUBIC))


def _box(seen: tuple[float, float, float, float], rows: int, columns: int) -> tuple[int, int, int, int]:
    """The seen part in pixels, at least one in either direction."""
    top, left = min(round(seen[0] * rows), rows - 1), min(round(seen[1] * columns), columns - 1)
    return top, left, max(round(seen[2] * rows), top + 1), max(round(seen[3] * columns), left + 1)


def _density(panels: Sequence[Panel]) -> int:
    """Pixels an inch at which the largest picture's shorter side is not shrunk, within LEAST and MOST."""
    shorter = max(min(panel.image.shape[:2]) for panel in panels)
    return int(min(max(shorter / SIDE, LEAST), MOST))


def _size(panels: Sequence[Panel], density: int) -> Size:
    """One size for all panels: the first picture's proportions, as far as LONGEST allows."""
    rows, columns = panels[0].image.shape[:2]
    wide, high = SIDE * max(1.0, columns / rows), SIDE * max(1.0, rows / columns)
    shrink = min(1.0, LONGEST * SIDE / max(wide, high))
    wide, high = wide * shrink, high * shrink
    return Size(wide, high, max(round(wide * density), 1), max(round(high * density), 1))


def _range(panels: Sequence[Panel], span: tuple[float, float]) -> list[str]:
    """What the maps' values and the colours span, in words."""
    low, high = _extremes([panel.heat for panel in panels])
    cells = "×".join(map(str, panels[0].heat.shape))
    colours = f"colours {'0 to 1' if span == FULL else 'STRETCHED to these values'}"
    own = all(float(panel.heat.max()) >= RELATIVE for panel in panels)
    relative = ["each map is scaled to its own maximum: it says where, not how much"] if own else []
    return [f"map {cells}", f"values {low:.3f} to {high:.3f}", *relative, colours]


def _numbers(span: tuple[float, float]) -> list[str]:
    """The five numbers for beside the colour bar, from its foot up, with as many decimals as tell them apart."""
    decimals = max(2, 2 - math.floor(math.log10(span[1] - span[0]))) if span != FULL else 2
    return [f"{value:.{decimals}f}" for value in np.linspace(*span, 5)]


def _draw_panel(sheet: Sheet, panel: Panel, top: float, size: Size, span: tuple[float, float]) -> None:
    """One row: what is said of the picture, the picture, and the overlay."""
    verdict, colour = ("fake", FAKE_COLOUR) if panel.score >= 0.5 else ("real", REAL_COLOUR)
    sheet.text(EDGE, top, f"P(fake) {panel.score:.4f}: {verdict} at 0.5", color=colour, weight="bold")
    said = [panel.label] * bool(panel.label) + ["colours stretched"] * (span != FULL)
    told = fit(SEPARATOR.join(said), size.wide, 1)[0]
    sheet.text(EDGE + 2.0 * size.wide + GAP, top, told, ha="right", color=GREY if span == FULL else "black")
    shown = (_resized(panel.image, size.rows, size.columns), blend(panel, size.rows, size.columns, span))
    for place, pixels in enumerate(shown):
        left = EDGE + place * (size.wide + GAP)
        axes = sheet.axes(left, top + LEADING * 1.25, size.wide, size.high)
        axes.set_axis_off()
        axes.imshow(pixels, aspect="auto", interpolation="antialiased")
        if place:
            _outline(axes, panel, size)


def _outline(axes: Axes, panel: Panel, size: Size) -> None:
    """A thin line around the seen part, where that is not all of the picture."""
    from matplotlib.patches import Rectangle

    top, left, bottom, right = _box(panel.seen, size.rows, size.columns)
    if (top, left, bottom, right) != (0, 0, size.rows, size.columns):
        box = Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, edgecolor="white", lw=0.6)
        axes.add_patch(box)


def _draw_bar(sheet: Sheet, top: float, left: float, size: Size, numbers: Sequence[str]) -> None:
    """The colour bar, with numbers that say what the colours stand for."""
    axes = sheet.axes(left, top, BAR, size.high)
    # As over mid-grey, so that a colour of the overlay is found in the bar.
    ramp = (1.0 - STRENGTH) * 0.5 + STRENGTH * _colours()(np.linspace(1.0, 0.0, 256))[:, None, :3]
    axes.imshow(ramp, aspect="auto", extent=(0.0, 1.0, 0.0, 1.0))
    axes.set_xticks([])
    axes.set_yticks(np.linspace(0.0, 1.0, len(numbers)), list(numbers))
    axes.yaxis.tick_right()
