"""Report of a power analysis: what a dataset can show, and what wanted differences need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core import markdown
from ..core.notebook import data_frame, heading, lines, page, table
from ..results.signature import place_of

if TYPE_CHECKING:
    import pandas as pd

UNITS = {"identity": "groups of people", "people": "people", "video": "videos", "frame": "frames"}
"""What is resampled, in words."""
FEW = 10
"""Effective number of groups below which a variance from a formula, or from rows, says little."""


class Needed(NamedTuple):
    """A wanted difference in AUC, how many times the groups of people of the dataset it needs, and how many."""

    difference: float
    times: float
    groups: int


@dataclass(frozen=True)
class AtFrames:
    """With at most `most` frames of each video (None: all), `n` in all: the smallest difference that is found (None:
    not even chance is told apart), and what wanted ones need."""

    most: int | None
    n: int
    smallest: float | None
    needed: tuple[Needed, ...]


@dataclass(frozen=True)
class Power:
    """Which differences in AUC paired tests at 5% find in 80% of cases on a dataset.

    `auc` is the better detector's. `groups` are those that are resampled, `by` says what they are, `effective` are
    their effective numbers for reals and fakes, `freedom` the degrees of freedom of the test. `frames` has the numbers
    by frames of a video, the last with all; `methods` the smallest difference for each manipulation's fakes alone.
    `measured` names the detectors whose rows gave the variances, and `assumed` has what was assumed.
    """

    dataset: str
    split: str
    auc: float
    by: str
    groups: int
    effective: tuple[float, float]
    videos: int
    n_real: int
    n_fake: int
    freedom: float
    frames: tuple[AtFrames, ...]
    methods: Mapping[str, float | None]
    measured: tuple[str, ...]
    assumed: Mapping[str, float]
    notes: tuple[str, ...]

    @property
    def smallest(self) -> float | None:
        """The smallest difference that is found with everything that there is."""
        return self.frames[-1].smallest

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        needed = [
            {"frames": at.most, "n": at.n, "smallest": at.smallest, "needed": [one._asdict() for one in at.needed]}
            for at in self.frames
        ]
        return {**asdict(self), "smallest": self.smallest, "frames": needed, "methods": dict(self.methods)}

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of `to_pandas`."""
        return [
            {"frames": at.most, "n": at.n, "smallest": at.smallest, **one._asdict()}
            for at in self.frames
            for one in at.needed
        ]

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with a row for each number of frames and each wanted difference.

        Columns: frames (of a video; NaN: all), n (frames in all), smallest (difference that is found), difference
        (wanted), times (as many groups as there are), groups (that are needed).
        """
        return data_frame(self.rows(), ("frames", "smallest", "difference", "times"))

    def finding(self) -> str:
        """Return one sentence: the smallest difference that is found with what there is."""
        counts = {UNITS[self.by]: self.groups, "videos": self.videos, "frames": self.n_real + self.n_fake}
        *first, last = [f"{n:,} {what}" for what, n in counts.items()]  # what is resampled may be videos or frames
        what = f"{', '.join(first)} and {last}"
        if self.smallest is None:
            return f"With {what} a test at 5% does not even tell a detector with AUC {self.auc:.3f} from chance."
        return (
            f"With {what} a test at 5% tells a detector with AUC {self.auc:.3f} in 80% of cases from one that is worse "
            f"by {self.smallest:.3f}; a smaller difference is found less often."
        )

    def markdown(self, signatures: bool = True) -> str:
        """Return the report as Markdown."""
        text = f"## {markdown.escaped(self._title())}\n\n{self.finding()}\n\n{markdown.table(self._by_frames())}\n"
        if self.methods:
            cells = [["fakes of", "finds"], *([markdown.name(k), _number(v)] for k, v in self.methods.items())]
            text += f"{markdown.table(cells)}\n"
        return text + "".join(f"- {note}\n" for note in self._said())

    def _title(self) -> str:
        return markdown.name(f"What {place_of(self.dataset, self.split)} can show")

    def _by_frames(self) -> list[list[str]]:
        wanted = [one.difference for one in self.frames[0].needed]
        cells = [["frames of a video", "frames", "finds", *(f"{UNITS[self.by]} for {one:g}" for one in wanted)]]
        for at in self.frames:
            row = ["all" if at.most is None else str(at.most), f"{at.n:,}", _number(at.smallest)]
            cells.append(row + [f"{one.groups:,} ({_times(one.times)} times)" for one in at.needed])
        return cells

    def _said(self) -> list[str]:
        real, fake = self.effective
        said = [
            f"{self.n_real:,} real and {self.n_fake:,} fake frames; effective number of {UNITS[self.by]}: {real:.3g} "
            f"of reals, {fake:.3g} of fakes; {self.freedom:.3g} degrees of freedom"
        ]
        if min(self.effective) < FEW:
            said.append(f"with effectively fewer than {FEW} {UNITS[self.by]} of a class all of this is rough")
        if self.measured:
            said.append(f"variances measured on the rows of {', '.join(map(markdown.name, self.measured))}")
        if self.assumed:
            words = ", ".join(f"{ASSUMED[name]} {value:g}" for name, value in self.assumed.items())
            said.append(
                f"assumed: {words}" + ("" if self.measured else "; rows of real detectors (--rows) say it better")
            )
        said.append(
            "more people: with videos as those here. Frame level; paired tests of two detectors on the same frames, "
            "each trained once"
        )
        return [*said, *self.notes]

    def _repr_html_(self) -> str:
        return page(
            heading(self._title()), lines([self.finding()]), table(self._by_frames(), left=1), lines(self._said())
        )


ASSUMED = {
    "alike": "correlation of the two detectors' scores",
    "person": "share of a score's variance that is the person's",
    "video": "further share that is the video's",
}
"""What can be assumed, in words."""


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _times(value: float) -> str:
    return f"{value:,.0f}" if value >= 10.0 else f"{value:.1f}"
