"""Comparison of heat maps with true masks, frame by frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.records import REAL
from ..core.seeds import generator
from ..metrics.heatmaps import (
    centred_map,
    constant_map,
    measured,
    measured_curve,
    random_map,
    truth_on_grid,
)
from .mapping import MapTest
from .read_maps import Decoded

if TYPE_CHECKING:
    from .mapper import Heat


class MaskTest(MapTest):
    """Measures of a map and of the controls against the frame's mask; for a real frame only the map's mean value."""

    masks = True

    def measure(self, item: Decoded, heat: Heat | str) -> None:
        """See `MapTest.measure`."""
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
        grid = row.shape or self.mapper.grid
        truth = truth_on_grid(mask, grid, self.mapper.seen(item.image))
        if wide is not None and truth.area <= 0.0:
            row.outcome = "unseen_mask"
        elif wide is not None and not wide.any():
            row.outcome = "zero_map"
        maps = {"detector": wide, "constant": constant_map(grid), "centre": centred_map(grid)}
        maps["random"] = random_map(grid, generator("heat map control", self.seed, row.frame.id))
        row.values = {name: measured(one, truth) for name, one in maps.items()}
        row.curves = {name: measured_curve(one, truth) for name, one in maps.items()}
        if mask.all():  # no pixel is outside the mask, whatever region a detector sees
            for values in row.values.values():
                del values["pixel_auc"]
