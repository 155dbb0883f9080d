"""Localization: a detector's heat maps compared with true masks, over a dataset."""

from __future__ import annotations

from typing import Any

from ..cards.models import DatasetCard, DetectorCard
from ..cards.protocols import MASK_METRICS, Bootstrap, HeatMapRules
from ..core.progress import progress_bar
from ..datasets.base import Adapter, close_adapter
from ..detectors.keys import identify_judge
from ..loading import load_dataset
from .frames import MappedFrame, refuse_nothing
from .localization_report import Localization, summarise
from .mapper import HeatMapper, mapping_detector
from .planning import make_test, plan_maps
from .report import Measured


def localize(
    detector: str | DetectorCard | Any,
    dataset: str | DatasetCard | Adapter,
    *,
    split: str = "test",
    limit: int | None = None,
    bootstrap: Bootstrap | None = None,
    device: str = "auto",
    batch_size: int = 32,
    cam: str = "",
    cam_layer: str = "",
) -> Localization:
    """Compare a detector's heat maps with a dataset's true masks.

    Over the fake frames with a mask: the share of the map's sum inside the mask, the mask's area (what a constant map
    gets), their difference and ratio, the pointing game, IoU and pixel AUC, and the same for three controls; overall
    and by manipulation, with intervals from one set of resampled clusters (`bootstrap`), so that differences are
    paired. Real frames have no mask: the mean map values of real and fake frames are compared. A fake whose map is
    missing, zero everywhere, or not over the mask counts as `SILENT` says, so that all rows of a table are over the
    same frames. `limit` takes that many frames, evenly spread. `cam` replaces the detector's own maps by class
    activation maps (`gradcam`, …; see detectors.cam). Raises DataError for a dataset without masks or a mask of another
    size than its image, DetectorError for a detector without heat maps.
    """
    rules = HeatMapRules(task="heatmaps", measure="masks", metrics=MASK_METRICS, bootstrap=bootstrap or Bootstrap())
    rows, origin, _ = map_dataset(
        detector, dataset, rules, split, limit, device=device, batch_size=batch_size, cam=cam, cam_layer=cam_layer
    )
    return summarise(rows, origin)


def map_dataset(
    detector: str | DetectorCard | Any,
    dataset: str | DatasetCard | Adapter,
    rules: HeatMapRules,
    split: str,
    limit: int | None,
    *,
    device: str,
    batch_size: int,
    cam: str,
    cam_layer: str,
) -> tuple[list[MappedFrame], Measured, int]:
    """Return the rows of all planned frames, their origin, and the number of pictures that were judged."""
    loaded = load_dataset(dataset)
    frames = plan_maps(loaded, rules, split, limit)
    judge = mapping_detector(detector, device, cam, cam_layer)
    by = identify_judge(judge).fields
    mapper = HeatMapper(judge)
    rows: list[MappedFrame] = []
    try:
        test = make_test(judge, mapper, rules, batch_size)
        test.announce(len(frames))
        with progress_bar(f"{mapper.name} on {loaded.name}", len(frames)) as advance:
            for batch in test.rows(loaded.adapter, frames):
                rows += batch
                advance(len(batch))
    finally:
        close_adapter(loaded.adapter)
    refuse_nothing(mapper.name, rows)
    origin = Measured(loaded.name, split, limit, by, rules.bootstrap, mapper.how, str(rules.frames))
    return rows, origin, test.passes
