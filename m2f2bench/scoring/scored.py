"""Common part of rows that are ready for scoring, whatever their task."""

from __future__ import annotations

from typing import Any

from ..cards.models import AnyProtocol, DetectorCard
from ..core.places import without_folders
from ..results.result import Result
from ..results.signature import short, versions


class Scored:
    """Base of the rows of each task. `measured` has the fields of the signature.

    `card` is the detector's, `predicted` has the device and versions that made the rows, empty if unknown.
    """

    measured: dict[str, Any]
    card: DetectorCard | None
    predicted: dict[str, Any]

    @property
    def detector(self) -> str:
        """The detector's name."""
        return str(self.measured["det"])

    @property
    def signature(self) -> str:
        """The short form."""
        return short(self.measured)

    def result(self, protocol: AnyProtocol, source: str, **numbers: Any) -> Result:
        """Return a result with these numbers; `source` is the dataset's corpus."""
        card = self.card
        known: dict[str, Any] = {
            "detector": self.detector,
            "dataset": str(self.measured["data"]),
            "split": str(self.measured["split"]),
            "protocol": protocol.name,
            "signature": self.signature,
            "measured": self.measured,
            "training_datasets": card.training_datasets if card else (),
            "source": source,
            "protocol_card": protocol.model_dump(mode="json"),
            "detector_card": without_folders(card.model_dump(mode="json")) if card else {},
            "predicted": self.predicted,
            "versions": versions(),
        }
        return Result(**{**known, **numbers})
