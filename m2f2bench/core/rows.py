"""Rows as columns: planned frames with their scores, units that are scored, causes of scores out of range."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from .arrow import arrow_array
from .records import FAKE, REAL, STATUSES, Prediction

if TYPE_CHECKING:
    from typing_extensions import Self

Strings = npt.NDArray[np.object_]
ROUNDING = 1e-4
"""How far outside [0, 1] rounding in half precision can move a probability."""


class Columns:
    """Base of rows as columns: a dataclass of arrays of equal length, one of them `status`."""

    STATUSES: ClassVar[tuple[str, ...]] = STATUSES
    status: Strings

    def __len__(self) -> int:
        return len(self.status)

    def statuses(self) -> dict[str, int]:
        """Return the number of rows by status, in the order of `STATUSES`, without zeros."""
        counts = {status: int((self.status == status).sum()) for status in self.STATUSES}
        return {status: n for status, n in counts.items() if n}

    def only(self, kept: npt.NDArray[np.bool_ | np.int64]) -> Self:
        """Return the rows where `kept` [N] is true, or the rows of these numbers, in their order."""
        return replace(self, **{f.name: getattr(self, f.name)[kept] for f in fields(self)})  # type: ignore[type-var, arg-type]


@dataclass(frozen=True)
class Rows(Columns):
    """Planned frames with their scores, one array element per frame.

    `label` int64 (0 real, 1 fake); `score` float64, NaN unless `status` is `ok`; the others are strings. `digest`
    identifies the judged pixels and is empty if they are unknown. `picture` is the frame's own id if no other face is
    cut from the same picture.
    """

    frame: Strings
    video: Strings
    method: Strings
    identity: Strings
    status: Strings
    label: npt.NDArray[np.int64]
    score: npt.NDArray[np.float64]
    digest: Strings
    picture: Strings

    def without(self, failed: npt.NDArray[np.bool_]) -> Rows:
        """Return the rows without a score (status `error`) where `failed` [N] is true."""
        return replace(
            self,
            status=np.where(failed, "error", self.status).astype(object),
            score=np.where(failed, np.nan, self.score),
        )

    def ordered(self) -> Rows:
        """Return the rows sorted by frame id (by code points), so that nothing depends on their order."""
        if (self.frame[:-1] <= self.frame[1:]).all():  # Python compares by code points, too
            return self
        import pyarrow as pa
        import pyarrow.compute as pc

        order = np.from_dlpack(pc.sort_indices(arrow_array(self.frame.tolist(), pa.string()))).astype(np.int64)
        return self.only(order)


class People(NamedTuple):
    """The people of each cluster, where clusters share people: pairs (cluster, person), int64 [E] each.

    A cluster is then all units with the same set of people; `n` is the number of people.
    """

    cluster: npt.NDArray[np.int64]
    person: npt.NDArray[np.int64]
    n: int

    def per_person(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the sums over each person's clusters of values [C], float64 [n]."""
        return np.bincount(self.person, values[self.cluster], self.n).astype(np.float64)


@dataclass(frozen=True)
class Units:
    """The units that are scored: frames or videos that have a score.

    `label` int64, `score` float64, `method` and `video` strings, `cluster` int64 in 0 … `n_clusters` - 1, all [N].
    A score is in [0, 1], or ±infinity for a unit without a score that counts as wrong. `coverage` in [0, 1] is the
    share of planned units that have a score, `frame_coverage` in [0, 1] that of planned frames: a video with one scored
    frame of eight counts fully for the first and 1/8 for the second. `methods` are the planned manipulations,
    scored or not. Clusters are numbered over the planned units; `clustered_by` is `identity`, `people` (clusters are
    sets of people, some of whom are in several: `people`), `video` or `frame`.
    """

    label: npt.NDArray[np.int64]
    score: npt.NDArray[np.float64]
    method: Strings
    video: Strings
    cluster: npt.NDArray[np.int64]
    n_clusters: int
    coverage: float
    methods: tuple[str, ...]
    clustered_by: str = "frame"
    frame_coverage: float = 1.0
    people: People | None = None

    def fakes(self, method: str = "") -> npt.NDArray[np.bool_]:
        """Return whether each unit is a fake, bool [N]; with `method`, a fake of that manipulation."""
        found = np.zeros(len(self.label), dtype=np.bool_)
        found[self.of(method)] = True
        return found

    def of(self, method: str = "") -> npt.NDArray[np.int64]:
        """Return the numbers of the fakes, ascending; with `method`, of that manipulation's."""
        return self._places.get(method, np.zeros(0, dtype=np.int64)) if method else np.flatnonzero(self.label == FAKE)

    @cached_property
    def _places(self) -> dict[str, npt.NDArray[np.int64]]:
        """The numbers of each manipulation's fakes: there may be thousands of manipulations."""
        fakes, found = self.of(), dict[str, list[int]]()
        if len(self.methods) == 1:
            return {self.methods[0]: fakes}
        for number, name in zip(fakes.tolist(), self.method[fakes].tolist(), strict=True):
            found.setdefault(name, []).append(number)
        return {name: np.array(numbers, dtype=np.int64) for name, numbers in found.items()}

    @cached_property
    def independent(self) -> bool:
        """Whether no cluster holds two units."""
        return len(self.cluster) == 0 or int(np.bincount(self.cluster).max()) <= 1

    @cached_property
    def known(self) -> dict[tuple[str, str], Any]:
        """What was computed of these units, by what and of which group; see `metrics.detection.clusters.remembered`."""
        return {}

    @cached_property
    def reals_held(self) -> npt.NDArray[np.int64]:
        """Number of reals in each cluster, int64 [`n_clusters`]."""
        return np.bincount(self.cluster[self.label == REAL], minlength=self.n_clusters)


def from_predictions(rows: Iterable[Prediction]) -> Rows:
    """Return predictions as columns."""
    listed = list(rows)
    columns = {f.name: np.array([getattr(row, f.name) for row in listed], dtype=object) for f in fields(Rows)}
    columns["picture"] = np.where(columns["picture"] == "", columns["frame"], columns["picture"])
    columns["score"] = columns["score"].astype(np.float64)  # None becomes NaN
    return Rows(**{**columns, "label": columns["label"].astype(np.int64)})


def likely_cause(values: Sequence[float]) -> str:
    """Return how to turn numbers into probabilities, by what they probably are."""
    known = [float(value) for value in values if math.isfinite(value)]
    low, high = min(known), max(known)
    if low >= -ROUNDING and high <= 1.0 + ROUNDING:
        return "rounding moved it out of range: clip it to [0, 1]"
    if low < 0.0:
        return "apply a sigmoid or softmax: it looks like a logit"
    if 20.0 < high <= 100.0:
        return "divide it by 100: it looks like a percentage"
    return "apply a sigmoid or softmax if it is a logit, or divide it by 100 if it is a percentage"
