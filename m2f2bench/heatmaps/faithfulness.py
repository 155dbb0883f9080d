"""Whether a detector's heat maps show what its scores rest on: pixels are taken away by the map, and the score watched.

Of each frame the map's order of pixels and those of three controls (noise and a blob in the middle on the same grid,
and pixels in random order) replace the same shares of the picture by the same baselines.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cards.models import DatasetCard, DetectorCard
from ..cards.protocols import Bootstrap, FrameSelection
from ..core.errors import DataError, DetectorError, M2F2BenchError, first_line, refuse_machine_fault
from ..core.progress import progress_bar
from ..core.records import Frame
from ..core.seeds import generator
from ..datasets.base import Adapter
from ..datasets.dataset import Dataset
from ..datasets.listing import close_adapter
from ..datasets.planning import plan_frames
from ..detectors.keys import identify_judge
from ..loading import load_dataset
from ..metrics.heatmaps.faithfulness import Ranks, area_under, counts, ranked, replaced
from ..metrics.heatmaps.localization import Box, centred_map, constant_map, random_map
from .faithfulness_report import CURVES, REFERENCE, Faithfulness, summarise
from .frames import CONTROLS, MAKERS, MappedFrame, refuse_nothing
from .mapper import HeatMapper, mapping_detector
from .read_maps import Decoded, read_batches
from .report import Measured

if TYPE_CHECKING:
    from ..core.records import Floats, Image
    from ..detectors.base import Detector
    from .mapper import Heat

log = logging.getLogger("m2f2bench")
BLUR = 0.05
"""Standard deviation of the Gaussian that blurs a picture away, as a share of its shorter side."""
BASELINES = ("blur", "mean")


@dataclass(frozen=True)
class Settings:
    """How pixels are replaced: in so many steps, and the top `area` (a share) at once for the drop."""

    steps: int
    area: float

    def passes(self) -> int:
        """How many pictures are judged for a frame: the ends of all curves are three, the rest is each curve's own."""
        own = len(CURVES) * (self.steps - 1) + (self.step_of_area is None)
        return 1 + len(BASELINES) + len(MAKERS) * own

    @property
    def step_of_area(self) -> int | None:
        """The step of the blurred deletion that replaces the top area, where there is one: it is not judged again."""
        step = self.area * self.steps
        return round(step) if abs(step - round(step)) < 1e-9 else None


@dataclass(frozen=True)
class Scene:
    """One frame as it is taken apart: the picture, what replaces it, and each maker's order of the pixels seen."""

    image: Image
    baselines: dict[str, Image]
    ranks: dict[str, Ranks]
    box: tuple[int, int, int, int]
    """Top, left, bottom, right in pixels: what the detector sees, and what is replaced."""

    def picture(self, maker: str, curve: str, first: int) -> Image:
        """The picture at one point of a curve: so many pixels taken away, or put into what is left."""
        kind, _, baseline = curve.partition("_")
        top, left, bottom, right = self.box
        out = self.image.copy()
        pair = self.image[top:bottom, left:right], self.baselines[baseline][top:bottom, left:right]
        start, end = pair if kind == "deletion" else pair[::-1]
        out[top:bottom, left:right] = replaced(start, end, self.ranks[maker], first)
        return np.asarray(out)


def faithfulness(
    detector: str | DetectorCard | Any,
    dataset: str | DatasetCard | Adapter,
    *,
    split: str = "test",
    limit: int | None = None,
    steps: int = 20,
    area: float = 0.1,
    bootstrap: Bootstrap | None = None,
    device: str = "auto",
    batch_size: int = 32,
    cam: str = "",
    cam_layer: str = "",
) -> Faithfulness:
    """Replace pixels in the order of a detector's heat maps and watch its score; no masks are needed.

    Deletion and insertion curves (Petsiuk et al., RISE, BMVC 2018) in `steps` equal steps against two baselines, the
    picture blurred (see BLUR) and its own mean colour, of the score of the class called; and the score's drop when the
    top `area` of the map is blurred. The same for three controls on the same frames. The map is enlarged to the picture
    as overlays are; equal values are in a random order from (seed, frame), the same for all makers. A frame without a
    map, or with one of zeros, counts as with the random control. `limit` takes that many frames, evenly spread; `cam`
    stands class activation maps in the place of the detector's own. Raises DetectorError for a detector without heat
    maps, DataError for a split that is not there or empty, and for steps or an area that are none.
    """
    if steps < 2 or not 0.0 < area < 1.0:
        raise DataError(f"{steps} steps and an area of {area:g}: it takes at least 2 steps and an area between 0 and 1")
    rules, settings = bootstrap or Bootstrap(), Settings(steps, area)
    loaded = load_dataset(dataset)
    frames = _plan(loaded, split, limit)
    judge = mapping_detector(detector, device, cam, cam_layer)
    by = identify_judge(judge).fields
    mapper = HeatMapper(judge)
    rows = [MappedFrame(frame) for frame in frames]
    log.info(
        f"{len(rows):,} frames × {settings.passes()} pictures ({len(MAKERS)} maps, {len(CURVES)} curves of {steps} "
        f"steps): {len(rows) * settings.passes():,} forward passes"
    )
    try:
        tester = _Tester(judge, mapper, settings, rules.seed, batch_size)
        with progress_bar(f"{mapper.name} on {loaded.name}", len(rows)) as advance:
            for batch in read_batches(loaded.adapter, rows, min(batch_size, 8), masks=False):
                tester.test(batch, advance)
    finally:
        close_adapter(loaded.adapter)
    refuse_nothing(mapper.name, rows)
    told = {"steps": steps, "area": area, "blur": BLUR}
    return summarise(rows, Measured(loaded.name, split, limit, by, rules, mapper.how), told, tester.passes)


def _plan(dataset: Dataset, split: str, limit: int | None) -> list[Frame]:
    """The frames to be taken apart."""
    dataset.check_split(split)
    return plan_frames(dataset.adapter, split, FrameSelection(), limit)


class _Tester:
    """Fills in frames' rows."""

    def __init__(self, judge: Detector, mapper: HeatMapper, settings: Settings, seed: int, batch_size: int) -> None:
        self.judge, self.mapper, self.settings = judge, mapper, settings
        self.seed, self.batch_size, self.passes = seed, batch_size, 0

    def test(self, batch: Sequence[Decoded[MappedFrame]], advance: Any) -> None:
        """Map a batch of frames, then take each apart."""
        ready = [item for item in batch if item.image is not None]
        images = [item.image for item in ready if item.image is not None]
        maps = self.mapper.maps(images, [item.row.frame.id for item in ready])
        for item, image, heat in zip(ready, images, maps, strict=True):
            try:
                self._test(item.row, image, heat)
            except M2F2BenchError:
                raise
            except (Exception, SystemExit) as error:
                refuse_machine_fault(error, f"detector '{self.mapper.name}' on frame '{item.row.frame.id}'")
                item.row.outcome, item.row.message = "error", f"the detector failed: {first_line(error)}"
        advance(len(batch))

    def _test(self, row: MappedFrame, image: Image, heat: Heat | str) -> None:
        if isinstance(heat, str):
            row.outcome, row.message = "error", heat
            heat = np.zeros(self.mapper.grid, np.float32)
        else:
            row.level, row.shape = float(heat.mean()), (heat.shape[0], heat.shape[1])
            row.outcome = "ok" if heat.any() else "zero_map"
        makers = MAKERS if row.outcome == "ok" else CONTROLS
        scene = make_scene(image, heat, self.mapper.seen(image), self.seed, row.frame.id)
        at = counts(scene.ranks["detector"].size, self.settings.steps)
        jobs = self._jobs(at, makers)
        pictures = (self._picture(scene, job) for job in jobs)
        found = dict(zip(jobs, self._scores(pictures, row.frame.id), strict=True))
        plain = found["image", "", 0]
        row.score = plain
        called = {job: value if plain >= 0.5 else 1.0 - value for job, value in found.items()}
        for maker in makers:
            row.curves[maker] = np.stack([_curve(called, maker, curve, at) for curve in CURVES])
            areas = [area_under(one, at) for one in row.curves[maker]]
            row.values[maker] = dict(zip(CURVES, areas, strict=True))
            top = called[maker, "deletion_blur", self._top(at)]
            row.values[maker]["drop"] = called["image", "", 0] - top
        if row.outcome != "ok":
            # Pixels in random order, which a map of zeros comes to, bring in a fine noise that beats coarse maps.
            row.curves["detector"], row.values["detector"] = row.curves[REFERENCE], dict(row.values[REFERENCE])
        row.values["detector"]["called"] = called["image", "", 0]

    def _top(self, at: Any) -> int:
        """How many pixels the top area has."""
        step = self.settings.step_of_area
        return int(at[step]) if step is not None else max(1, round(self.settings.area * int(at[-1])))

    def _jobs(self, at: Any, makers: Sequence[str]) -> list[tuple[str, str, int]]:
        """The pictures of a frame, as (maker, curve, pixels replaced): what curves share comes once."""
        jobs = [("image", "", 0), *(("baseline", name, 0) for name in BASELINES)]
        inner = [int(n) for n in at[1:-1]]
        jobs += [(maker, curve, n) for maker in makers for curve in CURVES for n in inner]
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
        """P(fake) of each picture, a batch of them in memory at a time. Raises DetectorError for what is no score."""
        batch: list[Image] = []
        for picture in pictures:
            batch.append(picture)
            if len(batch) == self.batch_size:
                yield from self._judged(batch, frame)
                batch = []
        if batch:
            yield from self._judged(batch, frame)

    def _judged(self, batch: list[Image], frame: str) -> list[float]:
        values = np.asarray(self.judge.predict(batch, [frame] * len(batch)), dtype=np.float64)
        self.passes += len(batch)
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
    """The scores along one curve, float64 [steps + 1]."""
    kind, _, baseline = curve.partition("_")
    ends = [called["image", "", 0], called["baseline", baseline, 0]]
    start, end = ends if kind == "deletion" else ends[::-1]
    return np.array([start, *(called[maker, curve, int(n)] for n in at[1:-1]), end])


def make_scene(image: Image, heat: Heat, seen: Box, seed: int, frame: str) -> Scene:
    """A frame's baselines, and each maker's order of the pixels in the part that the map lies over.

    `image` RGB uint8 [H, W, 3], `heat` [h, w] over `seen`. Random orders come from (seed, frame).
    """
    from .grid import enlarged

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
    """The seen part in pixels, at least one in either direction."""
    top, left = min(round(seen[0] * height), height - 1), min(round(seen[1] * width), width - 1)
    return top, left, max(round(seen[2] * height), top + 1), max(round(seen[3] * width), left + 1)


def blurred(image: Image) -> Image:
    """The picture [H, W, 3] after a Gaussian of BLUR times its shorter side, edges mirrored."""
    from scipy.ndimage import gaussian_filter

    sigma = BLUR * min(image.shape[:2])
    found = gaussian_filter(image.astype(np.float32), (sigma, sigma, 0.0), mode="reflect")
    return np.asarray(np.rint(np.clip(found, 0.0, 255.0)), dtype=np.uint8)


def mean_colour(image: Image) -> Image:
    """A picture of the same size in this one's mean colour."""
    colour = np.rint(image.mean(axis=(0, 1), dtype=np.float64)).astype(np.uint8)
    return np.asarray(np.broadcast_to(colour, image.shape).copy())
