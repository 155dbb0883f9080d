"""Plans of heat maps: the frames that a protocol maps, and the test that measures the maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..cards.protocols import HeatMapRules
from ..core.errors import DataError
from ..core.records import FAKE, Frame
from ..datasets.base import Adapter
from ..datasets.dataset import Dataset, plan_frames
from .mapper import HeatMapper
from .mapping import MapTest
from .masks import MaskTest
from .pixels import PixelTest, settings_of

if TYPE_CHECKING:
    from ..detectors.base import Detector

MAPPING = 1
"""Increased whenever this package's own maps, measures or controls give other values for a frame."""


def make_test(judge: Detector, mapper: HeatMapper, rules: HeatMapRules, batch_size: int) -> MapTest:
    """Return the test that measures a detector's maps under a protocol."""
    seed = rules.bootstrap.seed
    if rules.measure == "masks":
        return MaskTest(mapper, seed, batch_size)
    return PixelTest(judge, mapper, settings_of(rules), seed, batch_size)


def plan_maps(dataset: Dataset, rules: HeatMapRules, split: str, limit: int | None) -> list[Frame]:
    """Return the frames to be mapped. Raises DataError if the split is missing or empty and, where masks are needed,
    for a dataset without them or a split without fakes."""
    dataset.check_split(split)
    masks = rules.measure == "masks"
    if masks and type(dataset.adapter).mask is Adapter.mask:
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
