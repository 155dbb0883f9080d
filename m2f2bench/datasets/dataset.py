"""A dataset ready to be read: its card and its adapter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..cards.models import DatasetCard
from ..core.records import Frame, Question
from .base import Adapter
from .calls import frames_of
from .listing import check_split, questions_of

if TYPE_CHECKING:
    from ..core.records import Image


@dataclass
class Dataset:
    """A dataset ready to be read: its card and its adapter."""

    card: DatasetCard
    adapter: Adapter

    @property
    def name(self) -> str:
        """The card's name."""
        return self.card.name

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits of the dataset: those that the card names, else all of the adapter's."""
        return tuple(self.card.splits or self.adapter.splits)

    def check_split(self, split: str, use: str = "") -> None:
        """Raise DataError unless the dataset has this split; `use` says what it is for (", on which …")."""
        check_split(f"dataset '{self.name}'", split, self.splits, use)

    def frames(self, split: str = "test") -> list[Frame]:
        """Return all frames of a split. Raises DataError for an unknown split."""
        self.check_split(split)
        return frames_of(self.adapter, split)

    def read(self, frame: Frame) -> Image:
        """Return a frame's pixels: RGB uint8 [H, W, 3]. Raises FrameError if it cannot be read."""
        return self.adapter.read(frame)

    def questions(self, split: str = "test", kind: str = "blind") -> list[Question]:
        """Return the questions of a split; `kind` is `blind`, `released` or `judge`.

        Raises DataError for an unknown split.
        """
        self.check_split(split)
        return questions_of(self.adapter, split, kind)
