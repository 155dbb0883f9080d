"""Curves of a training as a table and a chart in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.notebook import Bar, chart
from ..core.parsing import Refused, read_json
from ..core.written import Written

RECORD = "training.json"
CHARTED = ("val_auc", "val_loss", "train_loss")
"""The first of these that a training has recorded is its chart."""


class TrainedCard(Written):
    """Path of a trained detector's card: a table of its training's curves in a notebook."""

    def rows(self) -> list[dict[str, Any]]:
        """Return the numbers of each epoch or step, from the training's record; without any, the folder's files."""
        try:
            record = read_json(Path(self).with_name(RECORD))
        except Refused:
            return super().rows()
        return list(record.get("curves") or super().rows())

    def picture(self) -> str:
        """Return a chart of the validation AUC, else of a loss."""
        return curve_chart(self.rows())


def curve_chart(rows: Sequence[dict[str, Any]]) -> str:
    """Return the chart of a training's curves, by epoch or step; empty without numbers."""
    name = next((name for name in CHARTED if any(row.get(name) is not None for row in rows)), "")
    unit = "epoch" if rows and "epoch" in rows[0] else "step"
    return chart(name, [Bar(f"{unit} {row.get(unit, i)}", row.get(name)) for i, row in enumerate(rows)]) if name else ""
