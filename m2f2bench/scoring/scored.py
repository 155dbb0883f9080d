"""Rows that are ready for scoring, whatever their task: how they are read, where they come from, their result."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..cards.models import AnyProtocol, DatasetCard, DetectorCard
from ..core.places import without_folders
from ..datasets.dataset import Dataset
from ..results.columns import ColumnNames
from ..results.in_memory import InMemory
from ..results.result import Result
from ..results.signature import BY, DETECTOR, short, versions
from ..results.stored import Stored, of_detector, stored_card


@dataclass(frozen=True)
class Source:
    """How to read stored rows: the arguments of `score` and `compare`. None and empty: as the run itself has it.

    `columns` maps our names to the files' (see `ColumnNames`). `validation` holds the rows that a threshold is picked
    on.
    """

    protocol: AnyProtocol | str | None = None
    dataset: str | DatasetCard | Dataset | None = None
    split: str = "test"
    detector: str | None = None
    columns: ColumnNames | None = None
    validation: str | Path | InMemory | None = None


OWN = Source()
"""Everything as the run itself has it."""
COUNTED = "counted"
"""Key of a result's `details` that says which items count (questions by part, frames); older results lack it."""


@dataclass(frozen=True)
class Origin:
    """Where rows come from, as the signature names it: dataset, split, limit; `by` has the detector's fields.

    `predicted` has the device and versions that made the rows, empty if unknown; `source` is the dataset's corpus,
    empty if unknown; `warnings` say what is doubtful about the detector or the frames, one line each; `people` are
    other corpora whose people are in the dataset; `crop` is `Dataset.crop`.
    """

    data: str
    split: str
    limit: int | None
    by: dict[str, Any]
    card: DetectorCard | None = None
    predicted: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    warnings: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    crop: str = ""


def stored_origin(stored: Stored) -> Origin:
    """Return where the rows of a stored result come from."""
    result = stored.result
    # Results before 0.5.1 lack `env`.
    by = {key: result.measured.get(key, "unknown") for key in DETECTOR if key != BY or key in result.measured}
    card = stored_card(DetectorCard, result.detector_card, stored.path) if result.detector_card else None
    warnings = of_detector(result.warnings)
    place, made = (result.dataset, result.split, result.limit), (result.predicted, result.source, warnings)
    return Origin(*place, by, card, *made, result.people, str(result.measured.get("crop", "")))


@dataclass(frozen=True, eq=False)
class Scored:
    """Base of the rows of each task. `measured` has the fields of the signature."""

    protocol: AnyProtocol
    measured: dict[str, Any]
    origin: Origin

    @property
    def detector(self) -> str:
        """The detector's name."""
        return str(self.measured["det"])

    def result(self, **numbers: Any) -> Result:
        """Return a result with these numbers."""
        card = self.origin.card
        known: dict[str, Any] = {
            "detector": self.detector,
            "dataset": str(self.measured["data"]),
            "split": str(self.measured["split"]),
            "protocol": self.protocol.name,
            "signature": short(self.measured),
            "measured": self.measured,
            "training_datasets": card.training_datasets if card else (),
            "source": self.origin.source,
            "people": self.origin.people,
            "protocol_card": self.protocol.model_dump(mode="json"),
            "detector_card": without_folders(card.model_dump(mode="json")) if card else {},
            "predicted": self.origin.predicted,
            "warnings": self.origin.warnings,
            "versions": versions(),
        }
        return Result(**{**known, **numbers})


def ids_hash(ids: Iterable[str]) -> str:
    """Return 12 hex digits over the ids of the items that count, in order."""
    return hashlib.sha256("\x1f".join(sorted(ids)).encode("utf-8", "surrogatepass")).hexdigest()[:12]
