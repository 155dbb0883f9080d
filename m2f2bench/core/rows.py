"""Rows as columns: planned frames with their scores, and the units that are scored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from .records import FAKE, STATUSES, Prediction

Strings = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Rows:
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

    def __len__(self) -> int:
        return len(self.frame)

    def statuses(self) -> dict[str, int]:
        """Return the number of rows by status, in the order of `records.STATUSES`, without zeros."""
        counts = {status: int((self.status == status).sum()) for status in STATUSES}
        return {status: n for status, n in counts.items() if n}

    def without(self, failed: npt.NDArray[np.bool_]) -> Rows:
        """Return the rows without a score (status `error`) where `failed` [N] is true."""
        return replace(
            self,
            status=np.where(failed, "error", self.status).astype(object),
            score=np.where(failed, np.nan, self.score),
        )

    def ordered(self) -> Rows:
        """Return the rows sorted by frame id (by code points), so that nothing depends on their order."""
        import pyarrow as pa
        import pyarrow.compute as pc

        order = pc.sort_indices(pa.array(self.frame, pa.large_string())).to_numpy()
        if (order == np.arange(len(order))).all():
            return self
        return replace(self, **{f.name: getattr(self, f.name)[order] for f in fields(self)})


@dataclass(frozen=True)
class Units:
    """The units that are scored: frames or videos that have a score.

    `label` int64, `score` float64, `method` and `video` strings, `cluster` int64 in 0 … `n_clusters` - 1, all [N].
    A score is in [0, 1], or ±infinity for a unit without a score that counts as wrong. `coverage` in [0, 1] is the
    share of planned units that have a score, `frame_coverage` in [0, 1] that of planned frames: a video with one scored
    frame of eight counts fully for the first and 1/8 for the second. `methods` are the planned manipulations,
    scored or not. Clusters are numbered over the planned units; `clustered_by` is `identity`, `video` or `frame`.
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

    def fakes(self, method: str = "") -> npt.NDArray[np.bool_]:
        """Return whether each unit is a fake, bool [N]; with `method`, a fake of that manipulation."""
        fake = self.label == FAKE
        return np.asarray(fake & (self.method == method)) if method else fake

    @property
    def independent(self) -> bool:
        """Whether no cluster holds two units."""
        return len(self.cluster) == 0 or int(np.bincount(self.cluster).max()) <= 1


def from_predictions(rows: Iterable[Prediction]) -> Rows:
    """Return predictions as columns."""
    listed = list(rows)

    def strings(name: str) -> Strings:
        return np.array([getattr(row, name) for row in listed], dtype=object)

    return Rows(
        frame=strings("frame"),
        video=strings("video"),
        method=strings("method"),
        identity=strings("identity"),
        status=strings("status"),
        label=np.array([row.label for row in listed], dtype=np.int64),
        score=np.array([np.nan if row.score is None else row.score for row in listed], dtype=np.float64),
        digest=strings("digest"),
        picture=np.array([row.picture or row.frame for row in listed], dtype=object),
    )
