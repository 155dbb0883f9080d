"""Measurement of a detector's heat maps over a dataset: against true masks, or against the detector's own scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..cards.models import DatasetCard, DetectorCard
from ..cards.protocols import FAITHFULNESS_METRICS, FILLS, MASK_METRICS, Bootstrap, HeatMapRules
from ..core.arguments import checked
from ..core.cluster import Cluster, cluster_of, connected
from ..core.errors import DataError
from ..core.progress import progress_bar
from ..core.records import FAKE, Frame
from ..datasets.base import Adapter
from ..datasets.calls import close_adapter, has_masks
from ..datasets.dataset import Dataset, plan_frames
from ..detectors.base import Detector
from ..detectors.engines import Groups
from ..detectors.keys import Judge
from ..loading import load_dataset
from ..results.signature import detector_fields
from . import faithfulness_report, localization_report
from .faithfulness_report import Faithfulness
from .held import HeldMaps
from .judging import How, judging
from .localization_report import Localization
from .mapping import HeatMapper, MapTest, MaskTest, mapping_detector
from .pixels import PixelTest, settings_of
from .report import MappedFrame, Measured, refuse_nothing

MAPPING = 1
"""Increased whenever this package's own maps, measures or controls give other values for a frame."""


def make_test(judge: Detector, mapper: HeatMapper, rules: HeatMapRules, batch_size: int) -> MapTest:
    """Return the test that measures a detector's maps under a protocol."""
    seed = rules.bootstrap.seed
    if rules.measure == "masks":
        return MaskTest(mapper, seed, batch_size)
    return PixelTest(judge, mapper, settings_of(rules), seed, batch_size)


def map_frames(
    judge: Judge,
    mapper: HeatMapper,
    adapter: Adapter,
    frames: Sequence[Frame],
    rules: HeatMapRules,
    batch_size: int,
) -> Iterator[list[MappedFrame]]:
    """Yield the rows of frames as they come from the judge's engine; log first how much work they are, if it is much.

    `mapper` is of this process's own detector.
    """
    test = make_test(judge.detector, mapper, rules, batch_size)
    if frames:
        test.announce(len(frames))
    return judge.engine.each(_Mapping(adapter, rules, batch_size, test), Groups(frames, test.at_once))


class _Mapping:
    """The mapping of frames, as a work of an engine; its test is made once in each process."""

    def __init__(self, adapter: Adapter, rules: HeatMapRules, batch_size: int, test: MapTest | None = None) -> None:
        self.adapter, self.rules, self.batch_size, self.test = adapter, rules, batch_size, test

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.adapter, self.rules, self.batch_size)  # a test has a detector

    def __call__(self, detector: Detector, frames: Sequence[Frame], start: int) -> Iterator[list[MappedFrame]]:
        if self.test is None:
            self.test = make_test(detector, HeatMapper(detector), self.rules, self.batch_size)
        return self.test.rows(self.adapter, frames)


def plan_maps(dataset: Dataset, rules: HeatMapRules, split: str, limit: int | None) -> Sequence[Frame]:
    """Return the frames to be mapped. Raises DataError if the split is missing or empty and, where masks are needed,
    for a dataset without them or a split without fakes."""
    dataset.check_split(split)
    masks = rules.measure == "masks"
    if masks and not has_masks(dataset.adapter):
        raise DataError(
            f"dataset '{dataset.name}' has no true masks to compare heat maps with: use one whose adapter gives them, "
            f"such as synthetic, or test without masks (localize --faithfulness, or the protocol faithfulness)"
        )
    frames = plan_frames(dataset.adapter, split, rules.frames, limit)
    if masks and not any(frame.label == FAKE for frame in frames):
        raise DataError(
            f"split '{split}' of '{dataset.name}' has no fake frame among {len(frames)}: no manipulated pixels to find"
        )
    return frames


def _settings(bootstrap: Bootstrap | None) -> Bootstrap:
    """Return the settings of the bootstrap, by default Bootstrap(). Raises DataError for anything else."""
    if bootstrap is not None and not isinstance(bootstrap, Bootstrap):
        raise DataError(f"bootstrap is of type {type(bootstrap).__name__}: give a m2f2bench.cards.protocols.Bootstrap")
    return bootstrap or Bootstrap()


@checked
def localize(
    detector: str | DetectorCard | Any,
    dataset: str | DatasetCard | Adapter,
    *,
    name: str = "maps",
    split: str = "test",
    limit: int | None = None,
    bootstrap: Bootstrap | None = None,
    device: str = "auto",
    batch_size: int = 32,
    cam: str = "",
    cam_layer: str = "",
    engine: str = "local",
    workers: int = 0,
    gpus_per_worker: float | None = None,
    address: str | None = None,
    precision: str | None = None,
) -> Localization:
    """Compare a detector's heat maps, or maps in memory, with a dataset's true masks.

    In place of a detector, a mapping `{frame id: map}` of numbers [h, w] in [0, 1] may be given, of a detector `name`;
    a frame of the split without a map counts as one whose map is missing.

    Over the fake frames with a mask: the share of the map's sum inside the mask, the mask's area (what a constant map
    gets), their difference and ratio, the pointing game, IoU and pixel AUC, and the same for three controls; overall
    and by manipulation, with intervals from one set of resampled clusters (`bootstrap`), so that differences are
    paired. Real frames have no mask: the mean map values of real and fake frames are compared. A fake whose map is
    missing, zero everywhere, or not over the mask counts as `SILENT` says, so that all rows of a table are over the
    same frames. `limit` takes that many frames, evenly spread. `cam` replaces the detector's own maps by class
    activation maps (`gradcam`, …; see detectors.cam). `engine="ray"` maps with the workers of a cluster, and
    `precision` is the arithmetic, see `run`. Raises DataError for a dataset without masks or a mask of another size
    than its image, DetectorError for a detector without heat maps.
    """
    rules = HeatMapRules(task="heatmaps", measure="masks", metrics=MASK_METRICS, bootstrap=_settings(bootstrap))
    cluster = cluster_of(engine, workers, gpus_per_worker, address)
    if isinstance(detector, Mapping):
        if cam or cam_layer:
            raise DataError("cam makes a detector's maps, and maps are given: leave it out")
        if cluster is not None or precision is not None:
            raise DataError("engine and precision are a detector's, and maps are given: leave them out")
        rows, origin = _map_held(rules, detector, name, dataset, split, limit, batch_size)
        return localization_report.summarise(rows, origin)
    how = How(device, cam, cam_layer, precision)
    rows, origin = map_dataset(rules, detector, dataset, split, limit, batch_size, how, cluster)
    return localization_report.summarise(rows, origin)


def map_dataset(
    rules: HeatMapRules,
    detector: str | DetectorCard | Any,
    dataset: str | DatasetCard | Adapter,
    split: str,
    limit: int | None,
    batch_size: int,
    how: How,
    cluster: Cluster | None,
) -> tuple[list[MappedFrame], Measured]:
    """Return the rows of all planned frames, and their origin."""
    loaded = load_dataset(dataset)
    frames = plan_maps(loaded, rules, split, limit)
    own = mapping_detector(detector, *how.here(cluster))
    mapper = HeatMapper(own)
    with connected(cluster), judging(own, detector, how, cluster) as judge:
        batches = map_frames(judge, mapper, loaded.adapter, frames, rules, batch_size)
        rows = _rows(mapper.name, batches, loaded, len(frames))
    place = {frame.id: number for number, frame in enumerate(frames)}
    rows.sort(key=lambda row: place[row.frame.id])
    return rows, Measured(loaded.name, split, limit, judge.fields, rules.bootstrap, mapper.how, str(rules.frames))


def _map_held(
    rules: HeatMapRules,
    maps: Mapping[Any, Any],
    name: str,
    dataset: str | DatasetCard | Adapter,
    split: str,
    limit: int | None,
    batch_size: int,
) -> tuple[list[MappedFrame], Measured]:
    """Return the rows of all planned frames, measured from maps in memory, and their origin."""
    loaded = load_dataset(dataset)
    frames = plan_maps(loaded, rules, split, limit)
    test = MaskTest(HeldMaps(maps, name, loaded, split), rules.bootstrap.seed, batch_size)
    rows = _rows(test.mapper.name, test.rows(loaded.adapter, frames), loaded, len(frames))
    by = detector_fields(name, "unknown", "unknown", "unknown", environment="unknown")
    return rows, Measured(loaded.name, split, limit, by, rules.bootstrap, frames=str(rules.frames))


def _rows(name: str, batches: Iterator[list[MappedFrame]], dataset: Dataset, n: int) -> list[MappedFrame]:
    """Return the rows of `n` frames as they come. Raises NothingJudged if none has a map."""
    rows: list[MappedFrame] = []
    try:
        with progress_bar(f"{name} on {dataset.name}", n) as advance:
            for batch in batches:
                rows += batch
                advance(len(batch))
    finally:
        close_adapter(dataset.adapter)
    refuse_nothing(name, rows)
    return rows


@checked
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
    engine: str = "local",
    workers: int = 0,
    gpus_per_worker: float | None = None,
    address: str | None = None,
    precision: str | None = None,
) -> Faithfulness:
    """Return how a detector's score changes when pixels are replaced in the order of its heat maps; needs no masks.

    Deletion and insertion curves (Petsiuk et al., RISE, BMVC 2018) of the score of the predicted class, in `steps`
    equal steps with two fills, the blurred picture (`BLUR`) and its mean colour; and the drop of the score when the top
    `area` of the map, a share, is blurred. The same for three controls on the same frames. The map is enlarged to the
    picture as for overlays; equal values are in a random order from (seed, frame), the same for all makers. A frame
    whose map is missing or zero everywhere counts as with the random control. `limit` takes that many frames, evenly
    spread; `cam` replaces the detector's own maps by class activation maps; `engine="ray"` judges with the workers of a
    cluster, and `precision` is the arithmetic, see `run`. Raises DetectorError for a detector without heat maps,
    DataError if the split is missing or empty, if `steps < 2`, or if `area` is not in (0, 1).
    """
    if steps < 2 or not 0.0 < area < 1.0:
        raise DataError(f"{steps} steps and an area of {area:g}: give at least 2 steps and an area between 0 and 1")
    given: dict[str, Any] = {"steps": steps, "area": area, "fills": FILLS, "metrics": FAITHFULNESS_METRICS}
    rules = HeatMapRules(task="heatmaps", measure="faithfulness", bootstrap=_settings(bootstrap), **given)
    cluster = cluster_of(engine, workers, gpus_per_worker, address)
    how = How(device, cam, cam_layer, precision)
    rows, origin = map_dataset(rules, detector, dataset, split, limit, batch_size, how, cluster)
    return faithfulness_report.summarise(rows, origin, settings_of(rules).fields, sum(row.passes for row in rows))
