"""Sources of stored rows: how a file or a run's folder is to be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..cards.models import AnyProtocol, DatasetCard
from ..datasets.dataset import Dataset


@dataclass(frozen=True)
class Source:
    """How to read stored rows: the arguments of `score` and `compare`. None and empty: as the run itself has it.

    `columns` maps our names to the file's. `validation` holds the rows that a threshold is picked on.
    """

    protocol: AnyProtocol | str | None = None
    dataset: str | DatasetCard | Dataset | None = None
    split: str = "test"
    detector: str | None = None
    columns: Mapping[str, str] | None = None
    validation: str | Path | None = None


OWN = Source()
"""Everything as the run itself has it."""
