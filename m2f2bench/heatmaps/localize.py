"""How well a detector's heat maps find what was altered, over a dataset with true masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cards.models import DatasetCard, DetectorCard
from ..cards.protocols import Bootstrap, FrameSelection
from ..core.errors import DataError
from ..core.progress import progress_bar
from ..core.records import FAKE, REAL, Frame
from ..core.seeds import generator
from ..datasets.base import Adapter
from ..datasets.dataset import Dataset
from ..datasets.listing import close_adapter
from ..datasets.planning import plan_frames
from ..detectors.keys import identify_judge
from ..loading import load_dataset
from ..metrics.heatmaps.localization import (
    centred_map,
    constant_map,
    measured,
    measured_curve,
    random_map,
    truth_on_grid,
)
from .frames import MappedFrame, refuse_nothing
from .localization_report import Localization, summarise
from .mapper import HeatMapper, mapping_detector
from .read_maps import Decoded, read_batches
from .report import Measured

if TYPE_CHECKING:
    from .mapper import Heat


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
    """Hold a detector's heat maps against a dataset's true masks.

    Over the fake frames with a mask: the share of the map inside the mask, beside the mask's area (what a map that says
    nothing gets), their difference and ratio, the pointing game, and the same for three controls; overall and by
    manipulation, with intervals from one set of resampled clusters (`bootstrap`), so that differences are paired. Reals
    have no mask: of them and of fakes the mean map value is compared. A fake whose map is zero everywhere, is not
    there, or does not lie over the mask, counts as `scoring.localization.SILENT` says, so that all rows of a table are
    over the same frames. `limit` takes that many frames, evenly spread.
    `cam` holds the detector's class activation maps (`gradcam`, …; see backends.cam) in the place of its own.
    Raises DataError for a dataset without masks or a mask of another size than its image, DetectorError for a detector
    without heat maps.
    """
    rules = bootstrap or Bootstrap()
    loaded = load_dataset(dataset)
    frames = _plan(loaded, split, limit)
    judge = mapping_detector(detector, device, cam, cam_layer)
    by = identify_judge(judge).fields
    mapper = HeatMapper(judge)
    try:
        rows = _map_all(loaded, mapper, frames, rules.seed, batch_size)
    finally:
        close_adapter(loaded.adapter)
    refuse_nothing(mapper.name, rows)
    return summarise(rows, Measured(loaded.name, split, limit, by, rules, mapper.how))


def _plan(dataset: Dataset, split: str, limit: int | None) -> list[Frame]:
    """The frames, once it is clear that there is something to hold maps against."""
    dataset.check_split(split)
    if type(dataset.adapter).mask is Adapter.mask:
        raise DataError(
            f"dataset '{dataset.name}' has no true masks to hold heat maps against: take one whose adapter gives them, "
            f"such as synthetic, or test without masks (--faithfulness)"
        )
    frames = plan_frames(dataset.adapter, split, FrameSelection(), limit)
    if not any(frame.label == FAKE for frame in frames):
        raise DataError(f"split '{split}' of '{dataset.name}' has no fake frame among {len(frames)}: nothing to find")
    return frames


def _map_all(
    dataset: Dataset, mapper: HeatMapper, frames: Sequence[Frame], seed: int, batch_size: int
) -> list[MappedFrame]:
    rows: list[MappedFrame] = []
    with progress_bar(f"{mapper.name} on {dataset.name}", len(frames)) as advance:
        for batch in read_batches(dataset.adapter, [MappedFrame(frame) for frame in frames], batch_size, masks=True):
            ready = [item for item in batch if item.image is not None]
            names = [item.row.frame.id for item in ready]
            found = mapper.maps([item.image for item in ready if item.image is not None], names)
            for item, heat in zip(ready, found, strict=True):
                _judge(item, heat, mapper, seed)
            rows += [item.row for item in batch]
            advance(len(batch))
    return rows


def _judge(item: Decoded[MappedFrame], heat: Heat | str, mapper: HeatMapper, seed: int) -> None:
    """Fill in a frame's row from its map, or from the reason why there is none."""
    row, mask = item.row, item.mask
    assert item.image is not None
    wide = None
    if isinstance(heat, str):
        row.outcome, row.message = "error", heat
    else:
        wide = heat.astype(np.float64)
        row.level, row.shape = float(wide.mean()), (wide.shape[0], wide.shape[1])
    if row.frame.label == REAL:
        return
    if mask is None or not mask.any():
        if wide is not None:
            row.outcome = "no_mask" if mask is None else "empty_mask"
        return
    grid = row.shape or mapper.grid
    truth = truth_on_grid(mask, grid, mapper.seen(item.image))
    if wide is not None and truth.area <= 0.0:
        row.outcome = "unseen_mask"
    elif wide is not None and not wide.any():
        row.outcome = "zero_map"
    maps = {"detector": wide, "constant": constant_map(grid), "centre": centred_map(grid)}
    maps["random"] = random_map(grid, generator("heat map control", seed, row.frame.id))
    row.values = {name: measured(one, truth) for name, one in maps.items()}
    row.curves = {name: measured_curve(one, truth) for name, one in maps.items()}
    if mask.all():  # there is nothing beside it to tell it from, whatever a detector sees
        for values in row.values.values():
            del values["pixel_auc"]
