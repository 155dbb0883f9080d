"""Data in memory, of any form: the numbers of the same data in a file to the last bit, and nothing is changed."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import m2f2bench
from m2f2bench.core.errors import M2F2BenchError

SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
RULES = "{name: quick, level: frame, metrics: [auc, ap, accuracy, brier, ece], bootstrap: {resamples: 20}}"
SCORES = st.none() | st.floats(0, 1) | st.floats(0, 1, width=32) | st.sampled_from([0.0, 1.0, 0.5, 5e-324])
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters='\ufeff"'), max_size=4)


@st.composite
def frames(draw: Any) -> pd.DataFrame:
    """Rows with some of the optional columns, in any order and of any size, with both labels and a score."""
    n = draw(st.integers(2, 25))
    columns: dict[str, Any] = {
        "id": draw(st.lists(NAMES.map(lambda text: f"f{text}"), min_size=n, max_size=n, unique=True)),
        "label": [0, 1, *draw(st.lists(st.sampled_from([0, 1]), min_size=n - 2, max_size=n - 2))],
        "score": [0.25, *draw(st.lists(SCORES, min_size=n - 1, max_size=n - 1))],
    }
    for name, cells in (("video", NAMES), ("identity", st.sampled_from(["", "a", "b", "a+b"]))):
        if draw(st.booleans()):
            columns[name] = draw(st.lists(cells, min_size=n, max_size=n))
    if "video" in columns:  # a video has one label
        columns["video"] = [f"{label}{name}" for label, name in zip(columns["label"], columns["video"], strict=True)]
    names = draw(st.permutations(list(columns)))
    rows = draw(st.permutations(range(n)))
    return pd.DataFrame({name: columns[name] for name in names}).iloc[rows]


def frozen(frame: pd.DataFrame) -> dict[str, Any]:
    """Arrays that cannot be written to."""
    found = {}
    for name in frame:
        found[name] = frame[name].to_numpy().copy()
        found[name].flags.writeable = False
    return found


FORMS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "frame": lambda frame: frame,
    "index": lambda frame: frame.set_index("id"),
    "objects": lambda frame: frame.astype(object),
    "nullable": lambda frame: frame.convert_dtypes(),
    "arrow types": lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
    "arrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "categories": lambda frame: frame.astype({"id": "category", "label": "category"}),
    "words": lambda frame: frame.assign(label=np.where(frame["label"] == 1, "fake", "real")),
    "small labels": lambda frame: frame.astype({"label": "int8"}),
    "float labels": lambda frame: frame.astype({"label": "float32"}),
    "texts": lambda frame: frame.assign(score=[None if x != x else repr(float(x)) for x in frame["score"]]),
    "lists": lambda frame: frame.to_dict("list"),
    "frozen": frozen,
    "records": lambda frame: frame.to_dict("records"),
    "recarray": lambda frame: frame.to_records(index=False),
    "tensors": lambda frame: {
        **frame.to_dict("list"),
        **{name: torch.tensor(frame[name].to_numpy()) for name in ("label", "score")},
    },
}


def written(frame: pd.DataFrame, kind: str, path: Path) -> Path:
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        frame.to_parquet(path, index=False)
    else:
        rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def outcome(call: Callable[[], Any]) -> Any:
    """The value as JSON, or that it is refused."""
    try:
        return call().to_json()
    except M2F2BenchError as error:
        assert "\n" not in str(error)
        return type(error)


@SETTINGS
@given(frame=frames(), form=st.sampled_from(sorted(FORMS)), kind=st.sampled_from(["csv", "jsonl", "parquet"]))
def test_numbers_are_those_of_the_file_and_nothing_is_changed(
    frame: pd.DataFrame, form: str, kind: str, tmp_path: Path
) -> None:
    rules = tmp_path / "quick.yaml"
    rules.write_text(RULES)
    expected = outcome(
        lambda: m2f2bench.score(written(frame, kind, tmp_path / f"mine.{kind}"), protocol=str(rules), detector="mine")
    )
    assert isinstance(expected, dict)
    data = FORMS[form](frame)
    before = pickle.dumps(data)
    same = copy.deepcopy(data)
    assert outcome(lambda: m2f2bench.score(data, protocol=str(rules), detector="mine")) == expected
    assert pickle.dumps(data) == before or as_frame(data).equals(as_frame(same))


def as_frame(data: Any) -> pd.DataFrame:
    return data.to_pandas() if isinstance(data, pa.Table) else pd.DataFrame(data)


@pytest.mark.parametrize("form", sorted(FORMS))
def test_comparisons_boards_and_figures_change_nothing(form: str, tmp_path: Path) -> None:
    rules = tmp_path / "quick.yaml"
    rules.write_text(RULES)
    rng = np.random.default_rng(0)
    score = np.where(np.arange(12) > 1, rng.random(12), np.nan)
    first = pd.DataFrame({"id": [f"f{i}" for i in range(12)], "label": [0, 1] * 6, "score": score})
    second = first.assign(score=first["score"] ** 2)
    data = {"a": FORMS[form](first), "b": FORMS[form](second)}
    same = copy.deepcopy(data)
    files = [written(frame, "csv", tmp_path / f"{name}.csv") for name, frame in (("a", first), ("b", second))]
    how: dict[str, Any] = {"protocol": str(rules)}
    assert m2f2bench.compare(data, **how).to_json() == m2f2bench.compare(*files, **how).to_json()
    boards = [m2f2bench.leaderboard(*places, **how).to_pandas() for places in ([data], files)]
    assert boards[0].equals(boards[1])
    drawn = [m2f2bench.plot("pr", *places, out=tmp_path / "a.svg", **how).read_bytes() for places in ([data], files)]
    assert drawn[0] == drawn[1]
    assert all(as_frame(data[name]).equals(as_frame(same[name])) for name in data)


class Trap:
    """A table of another library that cannot be converted."""

    def to_pandas(self) -> Any:
        raise ModuleNotFoundError("pandas\nis missing")


TEXT = st.text(max_size=8).filter(lambda text: not text.startswith(("/", "..")))
"""Not the name of a folder outside the test's own: `predict` would judge the pictures of the whole machine."""
CELLS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers() | TEXT
    | st.binary(max_size=3) | st.dates() | st.decimals() | st.lists(st.integers(), max_size=2) | st.just(pd.NA)
    | st.just(Trap()) | st.just(np.float16(0.5)) | st.just(np.array([1, 2]))
)  # fmt: skip
KEYS = st.sampled_from(["id", "label", "score", "video", "text", "status", "frame", "question", "answer"]) | st.text()
COLUMN = st.lists(CELLS, max_size=4) | st.lists(st.floats(0, 1), max_size=4).map(np.array) | CELLS
ANYTHING = (
    st.dictionaries(KEYS | st.integers() | st.none(), COLUMN, max_size=5)
    | st.lists(st.dictionaries(KEYS, CELLS, max_size=5) | CELLS, max_size=4)
    | st.tuples(COLUMN, COLUMN)
    | st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=3).map(
        lambda rows: pd.DataFrame(rows, columns=pd.Index(["id", "label", "score"]), dtype=object)
    )
    | COLUMN
    | st.sets(st.integers(), max_size=2)
    | TEXT
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=ANYTHING, second=ANYTHING)
def test_whatever_is_given_there_is_a_result_or_one_line(
    data: Any, second: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rules = tmp_path / "quick.yaml"
    rules.write_text(RULES)
    good = {"id": [0, 1], "label": [0, 1], "score": [0.1, 0.2]}
    calls: list[Callable[[], Any]] = [
        lambda: m2f2bench.score(data, protocol=str(rules)),
        lambda: m2f2bench.score(data),
        lambda: m2f2bench.score(good, protocol=str(rules), columns={"score": "score"}, validation=data),
        lambda: m2f2bench.compare(good, data, names=["good", "other"], protocol=str(rules)),
        lambda: m2f2bench.compare({"a": data, "b": second}, protocol=str(rules)),
        lambda: m2f2bench.leaderboard({"a": data}, protocol=str(rules)),
        lambda: m2f2bench.plot("histogram", data, out=tmp_path / "a.svg", protocol=str(rules)),
        lambda: m2f2bench.predict(data, "constant"),
    ]
    for call in calls:
        try:
            call()
        except M2F2BenchError as error:
            line = str(error)
            assert line and "\n" not in line and len(line) < 1000
