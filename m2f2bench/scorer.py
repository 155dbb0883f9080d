"""Score rows that are on disk already: our own or anybody's, without a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .cards import DatasetCard, ProtocolCard
from .errors import ScoreError, near
from .leaderboard.table import read_results
from .loading import Dataset, load_dataset, load_protocol
from .protocol import plan_frames
from .records import Frame, Result
from .runner import score_rows
from .scoring.rows import Rows, read_rows
from .signature import DETECTOR, data_hash, detector_fields, measure_fields
from .store import PREDICTIONS, RESULT


def score(
    path: str | Path,
    *,
    protocol: str | ProtocolCard = "frame",
    dataset: str | DatasetCard | None = None,
    split: str = "test",
    detector: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> Result:
    """Every metric of a protocol over a file of `id,label,score` rows (CSV, JSONL, Parquet) or a run's folder.

    With `dataset` the rows are held against the frames that the protocol plans there: an id the dataset does not
    have or a label that differs is an error, a row of a frame that is not planned is passed over, and a planned frame
    without a row lowers the coverage. Without it the
    file is taken as the plan, `video` and `method` columns included. Raises ScoreError or DataError in one line.
    """
    place = Path(path).expanduser()
    by = detector_fields(detector or place.stem, "unknown", "unknown", "unknown")
    if (place / PREDICTIONS).is_file():
        if (place / RESULT).is_file():
            by = _known_detector(place / RESULT)
        place = place / PREDICTIONS
    card = load_protocol(protocol)
    rows = read_rows(place, columns)
    name = place.stem
    if dataset is not None:
        loaded = load_dataset(dataset)
        planned = plan_frames(loaded.adapter, split, card.frames)
        _refuse_foreign(rows, planned, loaded, split, place)
        rows = match(rows, planned, place, loaded.name)
        name = loaded.name
    elif card.frames.count is not None:
        raise ScoreError(
            f"protocol '{card.name}' picks {card.frames.count} frames of each video, and which of the rows in "
            f"'{place}' these are only the dataset can tell: give --dataset"
        )
    fields = measure_fields(name, split if dataset is not None else "none", data_hash(rows), len(rows), card, None)
    return score_rows(rows, card, fields | by)


def _known_detector(path: Path) -> dict[str, Any]:
    """The detector's part of the signature, from the result that a run left beside its predictions."""
    result = read_results([path])[0]
    return {key: result.measured[key] for key in DETECTOR if key in result.measured}


def _refuse_foreign(rows: Rows, planned: list[Frame], dataset: Dataset, split: str, path: Path) -> None:
    """Raise ScoreError for a row whose frame the dataset has not; one that the protocol does not pick is let pass."""
    beyond = set(rows.frame.tolist()) - {frame.id for frame in planned}
    if beyond:
        beyond -= {frame.id for frame in dataset.frames(split)}
    if beyond:
        first = min(beyond)
        known = near(first, [frame.id for frame in planned])
        raise ScoreError(f"'{path}': id '{first}' is not a planned frame of '{dataset.name}'{known}")


def match(rows: Rows, frames: list[Frame], path: Path, dataset: str) -> Rows:
    """The rows of the planned frames, in the plan's order, with the dataset's own videos, methods and identities."""
    where = {name: i for i, name in enumerate(rows.frame.tolist())}
    taken = np.array([where.get(frame.id, -1) for frame in frames])
    has = taken >= 0
    label = np.array([frame.label for frame in frames], dtype=np.int64)
    wrong = has & (rows.label[taken] != label)
    if wrong.any():
        frame = frames[int(np.flatnonzero(wrong)[0])]
        raise ScoreError(
            f"'{path}': id '{frame.id}' is labelled {1 - frame.label}, but in '{dataset}' it is {frame.label} "
            f"(0 real, 1 fake); is the file's polarity the other way round?"
        )

    def strings(values: list[str]) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
        return np.array(values, dtype=object)

    return replace(
        rows,
        frame=strings([frame.id for frame in frames]),
        video=strings([frame.video for frame in frames]),
        method=strings([frame.method for frame in frames]),
        identity=strings(["+".join(frame.identities) for frame in frames]),
        status=np.where(has, rows.status[taken], "error").astype(object),
        label=label,
        score=np.where(has, rows.score[taken], np.nan),
        digest=np.where(has, rows.digest[taken], "").astype(object),
    )
