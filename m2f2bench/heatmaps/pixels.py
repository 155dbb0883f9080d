"""Replacement of pixels in the order of a heat map, and the detector's scores of the resulting pictures.

For each frame, the order of the map and those of three controls (noise and a Gaussian in the centre on the same grid,
and pixels in random order) replace the same shares of the picture by the same fills.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cards.protocols import FILLS, HeatMapRules
from ..core.errors import DetectorError, M2F2BenchError, first_line, refuse_machine_fault
from ..core.guests import guest
from ..core.seeds import generator
from ..detectors.base import Detector
from ..metrics.heatmaps import (
    BLUR,
    Box,
    Ranks,
    area_under,
    centred_map,
    constant_map,
    counts,
    random_map,
    ranked,
    replaced,
)
from .faithfulness_report import CURVES, REFERENCE
from .mapping import Decoded, Heat, HeatMapper, MapTest, enlarged
from .report import CONTROLS, MAKERS, MappedFrame

if TYPE_CHECKING:
    from ..core.records import Floats, Image

log = logging.getLogger("m2f2bench")
AT_ONCE = 8
"""Largest number of pictures that are mapped together: each is then judged hundreds of times."""


@dataclass(frozen=True)
class Settings:
    """How pixels are replaced: in `steps` equal steps by each of `fills`, and for the drop the top `area` (a share in
    (0, 1)) at once, by the blurred picture."""

    steps: int
    area: float
    fills: tuple[str, ...] = FILLS

    @property
    def fields(self) -> dict[str, Any]:
        """Return the signature's fields; `fills` only if they are not all."""
        own = {} if set(self.fills) == set(FILLS) else {"fills": "+".join(self.fills)}
        return {"steps": self.steps, "area": self.area, "blur": BLUR} | own

    @property
    def curves(self) -> tuple[str, ...]:
        """Return the names in CURVES that these fills have."""
        return tuple(name for name in CURVES if name.endswith(self.fills))

    def passes(self) -> int:
        """Return how many pictures are judged for a frame; the curves share their ends."""
        own = len(self.curves) * (self.steps - 1) + (self.step_of_area is None)
        return 1 + len(self.fills) + len(MAKERS) * own

    @property
    def step_of_area(self) -> int | None:
        """Return the step of blurred deletion that replaces just the top area, if any: it is not judged again."""
        step = self.area * self.steps
        return round(step) if "blur" in self.fills and abs(step - round(step)) < 1e-9 else None


def settings_of(rules: HeatMapRules) -> Settings:
    """Return the settings of a protocol that measures faithfulness."""
    assert rules.steps is not None and rules.area is not None and rules.fills is not None
    return Settings(rules.steps, rules.area, rules.fills)


@dataclass(frozen=True)
class Scene:
    """One frame: the picture, the fills that replace it, and each maker's order of the pixels in `box`."""

    image: Image
    baselines: dict[str, Image]
    ranks: dict[str, Ranks]
    box: tuple[int, int, int, int]
    """Top, left, bottom, right in pixels: the region that the detector sees, where pixels are replaced."""

    def picture(self, maker: str, curve: str, first: int) -> Image:
        """Return the picture [H, W, 3] at one point of a curve, with the `first` pixels removed or put back."""
        kind, _, baseline = curve.partition("_")
        top, left, bottom, right = self.box
        out = self.image.copy()
        pair = self.image[top:bottom, left:right], self.baselines[baseline][top:bottom, left:right]
        start, end = pair if kind == "deletion" else pair[::-1]
        out[top:bottom, left:right] = replaced(start, end, self.ranks[maker], first)
        return np.asarray(out)


class PixelTest(MapTest):
    """Scores along the curves, by the map's order of the pixels and the controls'."""

    masks = False

    def __init__(self, judge: Detector, mapper: HeatMapper, settings: Settings, seed: int, batch_size: int) -> None:
        """`batch_size` pictures are judged together; random orders come from `seed` and the frame's id."""
        super().__init__(mapper, seed, min(batch_size, AT_ONCE))
        self.judge, self.settings, self.batch_size = judge, settings, batch_size

    def announce(self, n: int) -> None:
        """Log how many forward passes `n` frames take."""
        each, steps = self.settings.passes(), self.settings.steps
        log.info(
            f"{n:,} frames × {each} pictures ({len(MAKERS)} maps, {len(self.settings.curves)} curves of {steps} "
            f"steps): {n * each:,} forward passes"
        )

    def measure(self, item: Decoded, heat: Heat | str) -> None:
        """See `MapTest.measure`. A detector that fails on a picture leaves the frame without values."""
        row = item.row
        assert item.image is not None
        try:
            self._test(row, item.image, heat)
        except M2F2BenchError:
            raise
        except Exception as error:
            refuse_machine_fault(error, f"detector '{self.mapper.name}' on frame '{row.frame.id}'")
            row.outcome, row.message = "error", f"the detector failed: {first_line(error)}"

    def _test(self, row: MappedFrame, image: Image, heat: Heat | str) -> None:
        if isinstance(heat, str):
            row.outcome, row.message = "error", heat
            heat = np.zeros(self.mapper.grid, np.float32)
        else:
            row.level, row.shape = float(heat.mean()), (heat.shape[0], heat.shape[1])
            row.outcome = "ok" if heat.any() else "zero_map"
        makers, curves = MAKERS if row.outcome == "ok" else CONTROLS, self.settings.curves
        scene = make_scene(image, heat, self.mapper.seen(image), self.seed, row.frame.id)
        at = counts(scene.ranks["detector"].size, self.settings.steps)
        jobs = self._jobs(at, makers)
        pictures = (self._picture(scene, job) for job in jobs)
        found = dict(zip(jobs, self._scores(pictures, row.frame.id), strict=True))
        row.passes = len(found)
        plain = found["image", "", 0]
        row.score = plain
        called = {job: value if plain >= 0.5 else 1.0 - value for job, value in found.items()}
        for maker in makers:
            row.curves[maker] = np.stack([_curve(called, maker, curve, at) for curve in curves])
            areas = [area_under(one, at) for one in row.curves[maker]]
            row.values[maker] = dict(zip(curves, areas, strict=True))
            top = called[maker, "deletion_blur", self._top(at)]
            row.values[maker]["drop"] = called["image", "", 0] - top
        if row.outcome != "ok":
            # A map of zeros would give pixels in random order, a fine noise that does better than coarse maps.
            row.curves["detector"], row.values["detector"] = row.curves[REFERENCE], dict(row.values[REFERENCE])
        row.values["detector"]["called"] = called["image", "", 0]

    def _top(self, at: Any) -> int:
        """Return the number of pixels in the top area."""
        step = self.settings.step_of_area
        return int(at[step]) if step is not None else max(1, round(self.settings.area * int(at[-1])))

    def _jobs(self, at: Any, makers: Sequence[str]) -> list[tuple[str, str, int]]:
        """Return the pictures of a frame as (maker, curve, number of pixels replaced), each once."""
        jobs = [("image", "", 0), *(("baseline", name, 0) for name in self.settings.fills)]
        inner = [int(n) for n in at[1:-1]]
        jobs += [(maker, curve, n) for maker in makers for curve in self.settings.curves for n in inner]
        jobs += [(maker, "deletion_blur", self._top(at)) for maker in makers]
        return list(dict.fromkeys(jobs))

    def _picture(self, scene: Scene, job: tuple[str, str, int]) -> Image:
        maker, curve, first = job
        if maker == "image":
            return scene.image
        if maker == "baseline":
            whole = scene.ranks["detector"].size
            return scene.picture("detector", f"deletion_{curve}", whole)
        return scene.picture(maker, curve, first)

    def _scores(self, pictures: Iterator[Image], frame: str) -> Iterator[float]:
        """Yield P(fake) of each picture, with one batch in memory at a time. Raises DetectorError as `_judged` does."""
        while batch := list(islice(pictures, self.batch_size)):
            yield from self._judged(batch, frame)

    def _judged(self, batch: list[Image], frame: str) -> list[float]:
        """Return P(fake) of each picture. Raises DetectorError for a wrong number of scores or one outside [0, 1]."""
        with guest(f"detector '{self.mapper.name}'"):
            values = np.asarray(self.judge.predict(batch, [frame] * len(batch)), dtype=np.float64)
        if values.shape != (len(batch),):
            raise DetectorError(
                f"detector '{self.mapper.name}' gave scores {list(values.shape)} for {len(batch)} pictures"
            )
        if not np.isfinite(values).all():
            raise ValueError("a score is not finite")
        if values.min() < 0.0 or values.max() > 1.0:
            raise DetectorError(
                f"detector '{self.mapper.name}' gave scores from {values.min()} to {values.max()} for '{frame}' "
                f"with pixels replaced: a score is P(fake) in [0, 1]"
            )
        return [float(value) for value in values]


def _curve(called: dict[tuple[str, str, int], float], maker: str, curve: str, at: Any) -> Floats:
    """Return the scores along one curve, float64 [steps + 1]."""
    kind, _, baseline = curve.partition("_")
    ends = [called["image", "", 0], called["baseline", baseline, 0]]
    start, end = ends if kind == "deletion" else ends[::-1]
    return np.array([start, *(called[maker, curve, int(n)] for n in at[1:-1]), end])


def make_scene(image: Image, heat: Heat, seen: Box, seed: int, frame: str) -> Scene:
    """Return a frame's baselines, and each maker's order of the pixels in the region that the map covers.

    `image` RGB uint8 [H, W, 3], `heat` [h, w] over `seen`. Random orders come from (seed, frame).
    """
    height, width = image.shape[:2]
    box = _pixels(seen, height, width)
    rows, columns = box[2] - box[0], box[3] - box[1]
    shape = (heat.shape[0], heat.shape[1])
    draw = generator("faithfulness ties", seed, frame)
    ties = draw.permutation(rows * columns)
    noise = random_map(shape, generator("heat map control", seed, frame))
    maps = {"detector": heat, "constant": constant_map(shape), "centre": centred_map(shape), "random": noise}
    ranks = {name: ranked(enlarged(np.asarray(maps[name], np.float32), rows, columns), ties) for name in MAKERS}
    return Scene(image, {"blur": blurred(image), "mean": mean_colour(image)}, ranks, box)


def _pixels(seen: Box, height: int, width: int) -> tuple[int, int, int, int]:
    """Return the seen region as top, left, bottom, right in pixels, at least one pixel high and wide."""
    top, left = min(round(seen[0] * height), height - 1), min(round(seen[1] * width), width - 1)
    return top, left, max(round(seen[2] * height), top + 1), max(round(seen[3] * width), left + 1)


def blurred(image: Image) -> Image:
    """Return the picture, uint8 [H, W, 3], after a Gaussian of BLUR times its shorter side, edges mirrored."""
    from scipy.ndimage import gaussian_filter

    sigma = BLUR * min(image.shape[:2])
    found = gaussian_filter(image.astype(np.float32), (sigma, sigma, 0.0), mode="reflect")
    return np.asarray(np.rint(np.clip(found, 0.0, 255.0)), dtype=np.uint8)


def mean_colour(image: Image) -> Image:
    """Return a picture of the same size, uint8 [H, W, 3], in this one's mean colour."""
    colour = np.rint(image.mean(axis=(0, 1), dtype=np.float64)).astype(np.uint8)
    return np.asarray(np.broadcast_to(colour, image.shape).copy())
