"""Pictures of the demo: boxes on a photo, maps put back into it, and a score over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from ..faces.align import put_back
from ..heatmaps.mapping import enlarged

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.records import Image
    from .judging import Person, Verdict

SHOWN = 1280
"""Pixels of a shown picture's longer side at most."""
COLOURS = {"fake": (190, 30, 45), "real": (20, 110, 90), "no verdict": (90, 90, 90)}
"""Of boxes and words; each is told apart by its word too."""
LINES = ("#1f5fa8", "#b3501e", "#1b7a4b", "#7a3fa0", "#8a6d00", "#a3275f")
"""Of a chart; lines also differ in their dashes."""
DASHES = ("none", "6 3", "2 3", "9 3 2 3")
STRENGTH, DIMMED = 0.55, 0.35


def shown(image: Image) -> tuple[Image, float]:
    """Return a picture at most SHOWN pixels long, and how many of its pixels one of the shown ones is."""
    times = max(1.0, max(image.shape[:2]) / SHOWN)
    if times == 1.0:
        return image, 1.0
    size = (max(1, round(image.shape[1] / times)), max(1, round(image.shape[0] / times)))
    return np.asarray(Pillow.fromarray(image).resize(size, Pillow.Resampling.LANCZOS)), times


def boxed(image: Image, people: Sequence[Person], first: int = 1) -> Image:
    """Return the shown picture with each face's box, its number from `first` on, and the first detector's verdict."""
    small, times = shown(image)
    canvas = Pillow.fromarray(small)
    draw = ImageDraw.Draw(canvas)
    width = max(2, round(max(small.shape[:2]) / 300))
    font = ImageFont.load_default(size=max(14, round(max(small.shape[:2]) / 30)))  # read on a phone too
    for number, person in enumerate(people, first):
        word = next(iter(person.verdicts.values())).word
        colour = COLOURS[word]
        x0, y0, x1, y1 = (edge / times for edge in person.face.within(image.shape[1], image.shape[0]))
        draw.rectangle((x0, y0, x1, y1), outline=colour, width=width)
        text = f" {number}: {word} "
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
        high, at = bottom - top + 6, y0 - (bottom - top) - 6
        at = at if at >= 0 else y0
        x0 = max(0.0, min(x0, small.shape[1] - (right - left)))
        draw.rectangle((x0, at, x0 + right - left, at + high), fill=colour)
        draw.text((x0, at + 3 - top), text, fill="white", font=font)
    return np.asarray(canvas)


def mapped(image: Image, people: Sequence[Person], name: str) -> Image | None:
    """Return the shown picture in grey with a detector's maps in the places of the faces; None if it made none."""
    small, times = shown(image)
    heat, inside = np.zeros(small.shape[:2], np.float32), np.zeros(small.shape[:2], bool)
    for person in people:
        verdict = person.verdicts[name]
        if verdict.heat is None:
            continue
        crop = person.found[name].crop
        side = crop.image.shape[0]
        transform = np.array(crop.transform) * np.array([[times, times, 1.0]])
        value, covered = _of_crop(verdict, side)
        part = put_back(covered, transform, small.shape) > 0.5
        heat = np.where(part, np.maximum(heat, put_back(value, transform, small.shape)), heat)
        inside |= part
    if not inside.any():
        return None
    from matplotlib import colormaps

    grey = small.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255.0
    canvas = np.repeat((0.5 + DIMMED * (grey - 0.5))[..., None], 3, axis=2)
    colour = colormaps["plasma"](heat[inside])[:, :3]
    canvas[inside] = (1.0 - STRENGTH) * grey[inside][:, None] + STRENGTH * colour
    return np.asarray(np.rint(np.clip(canvas, 0.0, 1.0) * 255.0), np.uint8)


def _of_crop(verdict: Verdict, side: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return a map at the crop's size, [S, S], and 1 where it covers the crop."""
    assert verdict.heat is not None
    top, left, bottom, right = (round(edge * side) for edge in verdict.seen)
    bottom, right = max(bottom, top + 1), max(right, left + 1)
    value, covered = np.zeros((side, side), np.float32), np.zeros((side, side), np.float32)
    value[top:bottom, left:right] = enlarged(verdict.heat, bottom - top, right - left)
    covered[top:bottom, left:right] = 1.0
    return value, covered


def curve(lines: Mapping[str, Sequence[tuple[float, float]]], seconds: float) -> str:
    """Return P(fake) over time as SVG in HTML: `lines` has (seconds, score) by name, in order of time."""
    wide, high, left, top, under = 640, 260, 44, 12, 34
    span = max(seconds, 1e-3)

    def at(time: float, score: float) -> tuple[float, float]:
        return left + (wide - left - 12) * time / span, top + (high - top - under) * (1.0 - score)

    parts = [f'<svg class="m2-curve" viewBox="0 0 {wide} {high}" role="img" aria-label="P(fake) over time">']
    for score in (0.0, 0.5, 1.0):
        (x0, y), (x1, _) = at(0.0, score), at(span, score)
        dash = ' stroke-dasharray="4 3"' if score == 0.5 else ""
        parts.append(f'<line x1="{x0:.1f}" x2="{x1:.1f}" y1="{y:.1f}" y2="{y:.1f}" class="m2-grid"{dash}/>')
        parts.append(f'<text x="{x0 - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{score:g}</text>')
    for share in (0.0, 0.5, 1.0):
        x, _ = at(share * span, 0.0)
        anchor = "start" if share == 0.0 else "end" if share == 1.0 else "middle"
        parts.append(f'<text x="{x:.1f}" y="{high - 14}" text-anchor="{anchor}">{share * span:.1f} s</text>')
    names = []
    for number, (name, points) in enumerate(lines.items()):
        colour, dash = LINES[number % len(LINES)], DASHES[number % len(DASHES)]
        places = [at(*point) for point in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        style = f'fill="none" stroke="{colour}" stroke-width="2.5" stroke-dasharray="{dash}"'
        parts.append(f'<polyline points="{path}" {style}><title>{escape(name)}</title></polyline>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        key = f'<svg width="30" height="10"><line x1="0" x2="30" y1="5" y2="5" {style}/></svg>'
        names.append(f"<li>{key} {escape(name)}</li>")
    return "".join([*parts, "</svg>", '<ul class="m2-key">', *names, "</ul>"])
