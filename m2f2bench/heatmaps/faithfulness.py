"""Faithfulness of heat maps: pixels are replaced in a map's order, and the detector's score is followed."""

from __future__ import annotations

from typing import Any

from ..cards.models import DatasetCard, DetectorCard
from ..cards.protocols import FAITHFULNESS_METRICS, FILLS, Bootstrap, HeatMapRules
from ..core.errors import DataError
from ..datasets.base import Adapter
from .faithfulness_report import Faithfulness, summarise
from .localize import map_dataset
from .pixels import settings_of


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
    """Return how a detector's score changes when pixels are replaced in the order of its heat maps; needs no masks.

    Deletion and insertion curves (Petsiuk et al., RISE, BMVC 2018) of the score of the predicted class, in `steps`
    equal steps with two fills, the blurred picture (`BLUR`) and its mean colour; and the drop of the score when the top
    `area` of the map, a share, is blurred. The same for three controls on the same frames. The map is enlarged to the
    picture as for overlays; equal values are in a random order from (seed, frame), the same for all makers. A frame
    whose map is missing or zero everywhere counts as with the random control. `limit` takes that many frames, evenly
    spread; `cam` replaces the detector's own maps by class activation maps. Raises DetectorError for a detector without
    heat maps, DataError if the split is missing or empty, if `steps < 2`, or if `area` is not in (0, 1).
    """
    if steps < 2 or not 0.0 < area < 1.0:
        raise DataError(f"{steps} steps and an area of {area:g}: give at least 2 steps and an area between 0 and 1")
    rules = HeatMapRules(
        task="heatmaps",
        measure="faithfulness",
        steps=steps,
        area=area,
        fills=FILLS,
        metrics=FAITHFULNESS_METRICS,
        bootstrap=bootstrap or Bootstrap(),
    )
    rows, origin, passes = map_dataset(
        detector, dataset, rules, split, limit, device=device, batch_size=batch_size, cam=cam, cam_layer=cam_layer
    )
    return summarise(rows, origin, settings_of(rules).fields, passes)
