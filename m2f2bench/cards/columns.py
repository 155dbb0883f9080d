"""Columns of a leaderboard's card, and the trainings that come first when it is run."""

from __future__ import annotations

from pydantic import Field, model_validator

from .settings import Precision, Settings


class Column(Settings):
    """One column of a leaderboard: dataset × protocol × metric."""

    dataset: str
    """The name of a dataset's card."""
    protocol: str = "frame"
    """The name of a protocol's card."""
    metric: str = "auc"
    """One of the protocol's metrics."""
    split: str = "test"
    """The split that is judged."""


class TrainStep(Settings):
    """A detector that a suite trains before it is judged."""

    detector: str
    """The name of a detector's card."""
    dataset: str
    """The name of the dataset's card; its split `train` is learned from."""
    quick: bool = False
    """Whether the card's training is scaled to minutes, as by `train --quick`; the row is then `NAME-quick`."""
    size: int | None = Field(default=None, ge=8, le=4096)
    """The pictures' side in pixels, as by `train --size`; the row is then `NAME-96px`. None: that of the training."""
    seeds: tuple[int, ...] = ()
    """Seeds of several trainings, which are one row of the board; empty: one training, with the card's seed."""
    precision: Precision | None = None
    """Of the training, as by `train --precision`; None: that of the detector's card."""

    @model_validator(mode="after")
    def _seeds_differ(self) -> TrainStep:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds are {list(self.seeds)}: give each seed once")
        return self
