"""Rows as columns: our own predictions, and anybody's CSV, JSONL or Parquet of `id,label,score`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import ScoreError, near
from ..records import FAKE, ORIGINAL, REAL, STATUSES, Prediction

if TYPE_CHECKING:
    import pandas as pd

Strings = npt.NDArray[np.object_]
REQUIRED = ("id", "label", "score")
OPTIONAL = ("video", "method", "identity", "status", "digest")
LABEL_WORDS = {"0": REAL, "1": FAKE, "real": REAL, "fake": FAKE, "0.0": REAL, "1.0": FAKE}


@dataclass(frozen=True)
class Rows:
    """Planned frames with their scores, one array element a frame.

    `label` int64 (0 real, 1 fake); `score` float64, NaN unless `status` is `ok`; the others are strings. `digest`
    identifies the judged pixels and is empty where they are not known.
    """

    frame: Strings
    video: Strings
    method: Strings
    identity: Strings
    status: Strings
    label: npt.NDArray[np.int64]
    score: npt.NDArray[np.float64]
    digest: Strings

    def __len__(self) -> int:
        return len(self.frame)

    def statuses(self) -> dict[str, int]:
        """Number of rows by status, in the order of `records.STATUSES`, those that occur."""
        counts = {status: int((self.status == status).sum()) for status in STATUSES}
        return {status: n for status, n in counts.items() if n}


@dataclass(frozen=True)
class Units:
    """What is scored: frames or videos that have a score.

    `label` int64, `score` float64, `method` and `video` strings, all [N]; `coverage` in [0, 1] is N over the
    number of planned units. `methods` are the manipulations that were planned, scored or not.
    """

    label: npt.NDArray[np.int64]
    score: npt.NDArray[np.float64]
    method: Strings
    video: Strings
    coverage: float
    methods: tuple[str, ...]


def from_predictions(rows: Iterable[Prediction]) -> Rows:
    """Our own rows as columns."""
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
    )


def read_rows(path: Path, columns: Mapping[str, str] | None = None) -> Rows:
    """Anybody's rows: CSV, JSON lines or Parquet with `id`, `label` (0/1/real/fake), `score` (P(fake)).

    Optional: `video` (else each row is its own), `method`, `identity`, `status`. `columns` maps our names to the
    file's; our own `frame` counts as `id`. Raises ScoreError in one line that names the file and the row.
    """
    table = _read_table(path)
    mapping = dict(columns or {})
    unknown = [name for name in mapping if name not in (*REQUIRED, *OPTIONAL)]
    if unknown:
        raise ScoreError(f"cannot map '{unknown[0]}'{near(unknown[0], (*REQUIRED, *OPTIONAL))}")
    if "id" not in mapping and "id" not in table.columns and "frame" in table.columns:
        mapping["id"] = "frame"
    for name in (*REQUIRED, *mapping):
        column = mapping.get(name, name)
        if column not in table.columns:
            raise ScoreError(
                f"'{path}' has no column '{column}' for {name}{near(column, map(str, table.columns))} "
                f"(map it with --column {name}=NAME)"
            )
    if table.empty:
        raise ScoreError(f"'{path}' has no rows")
    found = {
        name: table[mapping.get(name, name)]
        for name in (*REQUIRED, *OPTIONAL)
        if mapping.get(name, name) in table.columns
    }
    return _checked(path, found)


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd

    readers: dict[str, Any] = {
        ".csv": lambda: pd.read_csv(path, encoding="utf-8-sig", dtype=str, keep_default_na=False),
        ".jsonl": lambda: pd.DataFrame.from_records(_json_lines(path)),
        ".parquet": lambda: pd.read_parquet(path),
    }
    if path.suffix not in readers:
        raise ScoreError(f"'{path}' must end in .csv, .jsonl or .parquet")
    if not path.is_file():
        raise ScoreError(f"there is no file '{path}'")
    try:
        table = readers[path.suffix]()
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ScoreError(f"'{path}' cannot be read as {path.suffix[1:]}: {reason}") from None
    assert isinstance(table, pd.DataFrame)
    return table


def _json_lines(path: Path) -> list[dict[str, Any]]:
    # Pandas' own JSON reader rounds floats and refuses tiny ones.
    with path.open(encoding="utf-8-sig") as lines:
        rows = [json.loads(line) for line in lines if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("every line must be an object")
    return rows


def _checked(path: Path, found: Mapping[str, pd.Series]) -> Rows:
    import pandas as pd

    n = len(found["id"])

    def text(name: str, default: Strings) -> Strings:
        if name not in found:
            return default
        column = found[name]
        values = column.astype(str).str.strip().to_numpy(dtype=object)
        return np.where(column.isna() | (values == ""), default, values)

    ids = text("id", np.array([""] * n, dtype=object))
    _first_bad(path, ids == "", lambda i: "has an empty id")
    _first_bad(path, pd.Series(ids).duplicated().to_numpy(), lambda i: f"repeats the id '{ids[i]}'")
    words = found["label"].astype(str).str.strip().str.lower().map(LABEL_WORDS)
    _first_bad(
        path,
        words.isna().to_numpy(),
        lambda i: f"has the label {found['label'].iloc[i]!r}: 0, 1, real or fake is wanted",
    )
    label = words.to_numpy(dtype=np.int64)
    status = text("status", np.array(["ok"] * n, dtype=object))
    _first_bad(
        path, ~np.isin(status, STATUSES), lambda i: f"has the status '{status[i]}'{near(str(status[i]), STATUSES)}"
    )
    score = _floats(found["score"])
    ok = status == "ok"
    bad = ok & ~((score >= 0.0) & (score <= 1.0))
    _first_bad(
        path,
        bad,
        lambda i: f"has the score {found['score'].iloc[i]!r}: P(fake) in [0, 1] is wanted, or a status other than ok",
    )
    score[~ok] = np.nan
    method = text("method", np.array([ORIGINAL if value == REAL else "fake" for value in label], dtype=object))
    empty = np.array([""] * n, dtype=object)
    return Rows(ids, text("video", ids), method, text("identity", empty), status, label, score, text("digest", empty))


def _floats(column: pd.Series) -> npt.NDArray[np.float64]:
    """Exact floats, NaN for what is none. (Pandas' own text parser may be off in the last bit, which makes ties.)"""

    def one(value: object) -> float:
        try:
            return float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return float("nan")

    return np.array([one(value) for value in column.tolist()], dtype=np.float64)


def _first_bad(path: Path, bad: npt.NDArray[np.bool_], message: Any) -> None:
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        more = f" ({int(bad.sum()) - 1} more like it)" if bad.sum() > 1 else ""
        raise ScoreError(f"'{path}' row {i + 1} {message(i)}{more}")
