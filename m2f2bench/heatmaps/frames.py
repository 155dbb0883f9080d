"""Mapped frames: the outcome of each planned frame, and the measures of its map and of the controls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..core.errors import NothingJudged
from ..core.records import Frame, Prediction

if TYPE_CHECKING:
    from ..core.records import Floats

OUTCOMES = ("ok", "unreadable", "error", "no_mask", "empty_mask", "unseen_mask", "zero_map")
"""Outcomes of a frame. Any frame: it cannot be read, or it has no map (`error`; for faithfulness also no scores).
A fake that is compared with its mask: the dataset has no mask for it, the mask is empty, or it lies outside the region
that the detector sees. `zero_map`: the map is zero everywhere. For how a frame that is not `ok` counts, see
`metrics.heatmaps.SILENT` and `faithfulness_report.REFERENCE`."""
WITHOUT_MAP = ("unreadable", "error")
CONTROLS = ("constant", "centre", "random")
"""Maps that do not depend on the picture: one value, a Gaussian around the centre, uniform noise from the seed."""
MAKERS = ("detector", *CONTROLS)


@dataclass(eq=False)
class MappedFrame:
    """One planned frame: its outcome (see OUTCOMES), a message, and the measures of its map and of the controls.

    `level` is the map's mean value in [0, 1], `shape` its height and width, `score` P(fake) where it was computed.
    `values` hold the measures by who made the map (MAKERS) and measure. `curves` by maker: the IoU with the mask at
    each threshold, float64 [GRID]; or the scores along each curve of pixels replaced, float64 [curves, steps + 1].
    `digest` identifies the pixels, `stamp` is the adapter's of the frame, `mask_digest` identifies the true mask.
    """

    frame: Frame
    outcome: str = "ok"
    message: str = ""
    digest: str = ""
    stamp: str = ""
    mask_digest: str = ""
    level: float | None = None
    shape: tuple[int, int] | None = None
    score: float | None = None
    values: dict[str, dict[str, float]] = field(default_factory=dict)
    curves: dict[str, Floats] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """Return the outcome, under the name that it has in other rows."""
        return self.outcome


def count_outcomes(rows: Iterable[MappedFrame]) -> dict[str, int]:
    """Return how many frames have each outcome that occurs, in the order of OUTCOMES."""
    counts = Counter(row.outcome for row in rows)
    return {name: counts[name] for name in OUTCOMES if counts[name]}


def listed(rows: Iterable[MappedFrame]) -> str:
    """Return how many frames have each outcome, as text."""
    return ", ".join(f"{n} {name}" for name, n in count_outcomes(rows).items())


def map_shapes(rows: Iterable[MappedFrame]) -> tuple[tuple[int, int], ...]:
    """Return the sizes of maps that occur, sorted."""
    return tuple(sorted({row.shape for row in rows if row.shape is not None}))


def as_prediction(one: MappedFrame) -> Prediction:
    """Return the frame as the row that a detection run would write for it, so that both have one data hash."""
    frame, people = one.frame, "+".join(one.frame.identities)
    status = one.outcome if one.outcome in WITHOUT_MAP else "ok"
    score = 0.0 if status == "ok" else None  # no detector's score; it is not in the hash
    return Prediction(frame.id, frame.video, frame.method, people, frame.label, status, score, one.digest)


def refuse_nothing(who: str, rows: Sequence[MappedFrame]) -> None:
    """Raise NothingJudged where no frame has a heat map."""
    if all(row.outcome in WITHOUT_MAP for row in rows):
        first = rows[0]
        raise NothingJudged.of(f"{who}, heat maps", "frames", len(rows), first.frame.id, first.outcome, first.message)
