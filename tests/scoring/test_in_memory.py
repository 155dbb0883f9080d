"""Rows in memory: the same numbers as the same rows in a file, names, and one clear line for whatever is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from one_line import error_of

import m2f2bench
from m2f2bench.core.errors import ScoreError
from m2f2bench.results.in_memory import InMemory
from m2f2bench.results.read_rows import read_rows, rows_in_memory

N = 60
FORMS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "frame": lambda frame: frame,
    "another index": lambda frame: frame.set_axis(range(7, 7 + len(frame)), axis=0),
    "id in the index": lambda frame: frame.set_index("id"),
    "categories": lambda frame: frame.astype({"method": "category", "video": "category"}),
    "objects": lambda frame: frame.astype(object),
    "nullable": lambda frame: frame.convert_dtypes(),
    "dict of lists": lambda frame: frame.to_dict("list"),
    "dict of arrays": lambda frame: {name: frame[name].to_numpy() for name in frame},
    "dict of Series": lambda frame: {name: frame[name] for name in frame},
    "records": lambda frame: frame.to_dict("records"),
    "recarray": lambda frame: frame.to_records(index=False),
    "columns that are not used": lambda frame: frame.assign(path=[[1, 2]] * len(frame), when=pd.Timestamp(0)),
}


def rows(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    label = np.arange(N) % 2
    return pd.DataFrame(
        {
            "id": [f"f{i}" for i in range(N)],
            "label": label,
            "score": rng.beta(2 + label, 2),
            "video": [f"v{i // 4}_{i % 2}" for i in range(N)],
            "method": np.where(label == 0, "original", np.where(np.arange(N) % 4 == 1, "a", "b")),
        }
    )


@pytest.mark.parametrize("form", FORMS)
def test_any_form_has_the_numbers_of_the_file_to_the_last_bit(form: str, tmp_path: Path) -> None:
    frame = rows()
    frame.loc[[3, 8], "score"] = np.nan
    frame.to_csv(tmp_path / "mine.csv", index=False)
    expected = m2f2bench.score(tmp_path / "mine.csv", protocol="video")
    assert m2f2bench.score(FORMS[form](frame), protocol="video", detector="mine").to_json() == expected.to_json()


def test_two_arrays_are_rows_with_numbers_as_ids(tmp_path: Path) -> None:
    frame = rows()[["label", "score"]].assign(id=range(N))
    frame.to_csv(tmp_path / "mine.csv", index=False)
    expected = m2f2bench.score(tmp_path / "mine.csv").to_json()
    label, score = frame["label"].to_numpy(), frame["score"].to_numpy()
    for pair in ((label, score), (label.tolist(), score.tolist()), (label.astype(float), score)):
        assert m2f2bench.score(pair, detector="mine").to_json() == expected


def test_float32_is_exact_as_from_parquet(tmp_path: Path) -> None:
    frame = rows().astype({"score": "float32"})
    frame.to_parquet(tmp_path / "mine.parquet")
    expected = m2f2bench.score(tmp_path / "mine.parquet").to_json()
    assert m2f2bench.score(frame, detector="mine").to_json() == expected
    assert (
        m2f2bench.score((frame["label"], frame["score"]), detector="mine").metrics["brier"].value
        == (expected["metrics"]["brier"]["value"])
    )


CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff"), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.lists(
        st.tuples(CELLS, st.sampled_from([0, 1, "real", "fake"]), st.none() | st.floats(0, 1)), min_size=1, max_size=12
    )
)
def test_whatever_is_read_from_a_csv_is_read_from_a_frame(data: list[Any], tmp_path: Path) -> None:
    frame = pd.DataFrame(data, columns=["id", "label", "score"])
    frame.to_csv(tmp_path / "rows.csv", index=False)

    def read(place: Path | InMemory) -> list[Any] | str:
        try:
            found = read_rows(place)
        except ScoreError as error:
            # Only the name of the place, the index and how an empty cell is shown differ.
            return re.sub(r" \(index .*?\)|'data'|'[^']*rows\.csv'|'None'|'nan'|''", "", str(error))
        return [found.frame.tolist(), found.label.tolist(), found.score.tobytes(), found.status.tolist()]

    assert read(rows_in_memory(frame, "data")) == read(tmp_path / "rows.csv")


def test_columns_have_other_names(tmp_path: Path) -> None:
    frame = rows()
    other = frame.rename(columns={"id": "image", "score": "p_fake"})
    names = {"id": "image", "score": "p_fake"}
    expected = m2f2bench.score(frame).to_json()
    assert m2f2bench.score(other, columns=names).to_json() == expected
    assert m2f2bench.score(other.set_index("image"), columns=names).to_json() == expected


def test_predictions_are_records() -> None:
    records = [
        m2f2bench.Prediction(f"f{i}", f"v{i}", "m" if i % 2 else "original", "", i % 2, "ok", i / 9) for i in range(9)
    ]
    assert m2f2bench.score(records).metrics["auc"].n_fake == 4


def test_rows_that_a_threshold_is_picked_on_may_be_in_memory(tmp_path: Path) -> None:
    card = tmp_path / "picked.yaml"
    card.write_text(
        "name: picked\nlevel: frame\nthreshold: {how: best, split: val, maximise: accuracy}\nmetrics: [auc, accuracy]\n"
    )
    frame, val = rows(), rows(5)
    val.to_csv(tmp_path / "val.csv", index=False)
    expected = m2f2bench.score(frame, protocol=str(card), validation=tmp_path / "val.csv")
    assert m2f2bench.score(frame, protocol=str(card), validation=val).to_json() == expected.to_json()
    line = error_of(lambda: m2f2bench.score(frame, protocol=str(card), validation=val.assign(score=2)))
    assert line.startswith("'validation' row 1 (index 0) has the score '2'")


def test_what_is_compared_has_the_numbers_of_the_files(tmp_path: Path) -> None:
    frames = {"a": rows(0), "b": rows(1), "c": rows(2)}
    for name, frame in frames.items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    expected = m2f2bench.compare(*(tmp_path / f"{name}.csv" for name in frames)).to_json()
    results = [m2f2bench.score(frame, detector=name) for name, frame in frames.items()]
    assert m2f2bench.compare(frames).to_json() == expected
    assert m2f2bench.compare(*frames.values(), names=list(frames)).to_json() == expected
    assert m2f2bench.compare(*results).to_json() == expected
    assert m2f2bench.compare(results)[0].to_json() == expected
    mixed = m2f2bench.compare({"a": results[0], "b": tmp_path / "b.csv", "c": frames["c"].to_dict("list")})
    assert mixed.to_json() == expected


def test_a_result_keeps_its_rows_when_the_frame_changes() -> None:
    frame = rows()
    result = m2f2bench.score(frame, detector="before")
    frame["score"] = 0.5
    (pair,) = m2f2bench.compare(result, frame, names=["before", "after"]).pairs
    values = {d.metric: d for d in pair.differences}["auc"]
    assert values.first == result.metrics["auc"].value and values.second == 0.5


def test_a_folder_and_a_list_of_results_are_compared_as_on_the_command_line(
    cli: Any, squares: Path, tmp_path: Path
) -> None:
    import json

    out = tmp_path / "o"
    found = m2f2bench.run(
        detectors=["constant", "random"], datasets=str(squares), protocols=["frame", "frame-oracle"], out=out
    )
    expected = json.loads(cli("compare", out, "--json").out)
    for place in (out, str(out), found):
        compared = m2f2bench.compare(place)
        assert isinstance(compared, m2f2bench.Comparisons)
        assert json.loads(json.dumps(compared.to_json())) == expected
    one, other = (result for result in found if result.protocol == "frame")
    assert m2f2bench.compare(one, other).to_json() == m2f2bench.compare(found)[0].to_json()
    assert "name each of them" in error_of(lambda: m2f2bench.compare(out, protocol="frame"))


def test_a_figure_of_frames_is_that_of_the_files(tmp_path: Path) -> None:
    frames = {"a": rows(0), "b": rows(1)}
    for name, frame in frames.items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    results = [m2f2bench.score(frame, detector=name) for name, frame in frames.items()]
    m2f2bench.plot("roc", tmp_path / "a.csv", tmp_path / "b.csv", out=tmp_path / "files.svg")
    expected = (tmp_path / "files.svg").read_bytes()
    for places, names in (([frames], ()), (frames.values(), ("a", "b")), (results, ()), ([results], ())):
        m2f2bench.plot("roc", *places, names=names, out=tmp_path / "memory.svg")
        assert (tmp_path / "memory.svg").read_bytes() == expected


def test_the_results_of_a_run_are_drawn_as_their_folder(squares: Path, tmp_path: Path) -> None:
    found = m2f2bench.run(detectors=["constant", "random"], datasets=str(squares), out=tmp_path / "o")
    for kind in ("roc", "ranks"):
        places = [(tmp_path / "o",), (found,), (found[0], found[1])]
        drawn = []
        for number, place in enumerate(places):
            try:
                drawn.append(m2f2bench.plot(kind, *place, out=tmp_path / f"{number}.svg").read_bytes())
            except ScoreError as error:  # ranks need more datasets: the same refusal for all
                drawn.append(str(error).encode())
        assert drawn[0] == drawn[1] == drawn[2]
    line = error_of(lambda: m2f2bench.plot("curves", rows(), out=tmp_path / "a.svg"))
    assert "training.json" in line


def changed(**columns: Any) -> pd.DataFrame:
    return rows().assign(**columns)


def with_cell(column: str, value: Any, at: int = 2) -> pd.DataFrame:
    frame = rows().astype({column: object})
    frame.at[at, column] = value
    return frame


WRONG: dict[str, tuple[Any, str]] = {
    "ragged": ({"id": [1, 2], "label": [0], "score": [0.1, 0.2]}, "different lengths (id 2, label 1, score 2)"),
    "ragged arrays": ((np.zeros(3), np.zeros(4)), "different lengths"),
    "one value": ({"id": ["a"], "label": 1, "score": [0.5]}, "column 'label' is of type int, not an array or a list"),
    "text": ({"id": "ab", "label": [0, 1], "score": [0.1, 0.2]}, "column 'id' is of type str"),
    "two axes": ({"id": [1], "label": [0], "score": np.zeros((1, 2))}, "column 'score' has the shape (1, 2)"),
    "a matrix": (np.zeros((3, 2)), "of type ndarray of shape (3, 2): give"),
    "a Series": (rows()["score"], "of type Series"),
    "a number": (3, "of type int: give"),
    "None": (None, "of type NoneType: give"),
    "a list of numbers": ([0.1, 0.2], "row 1 (index 0) is of type float, not a record"),
    "labels": (with_cell("label", "maybe"), "row 3 (index 2) has the label 'maybe': 0, 1, real or fake is wanted"),
    "no label": (with_cell("label", None), "row 3 (index 2) has the label ''"),
    "truth values": (changed(label=rows()["label"] == 1), "has the label 'False'"),
    "other classes": (changed(label=rows()["label"] + 1), "row 2 (index 1) has the label '2'"),
    "logits": (changed(score=rows()["score"] * 8 - 4), "sigmoid"),
    "percent": (changed(score=rows()["score"] * 100), "divide it by 100"),
    "infinite": (with_cell("score", np.inf), "row 3 (index 2) has the score"),
    "words": (with_cell("score", "high"), "row 3 (index 2) has the score 'high'"),
    "a list in a cell": (with_cell("score", [0.5]), "row 3 (index 2) has the score '[0.5]' of type list"),
    "dates": (changed(id=pd.Timestamp(0)), "row 1 (index 0) has the id '1970-01-01T00:00:00"),
    "complex": (changed(score=rows()["score"] + 0j), "of type complex"),
    "no score at all": (changed(score=np.nan), "none of 60 rows has one"),
    "twice": (pd.concat([rows(), rows().iloc[3:4]]), "row 61 (index 3) repeats the id 'f3'"),
    "NaN ids": (with_cell("id", np.nan), "row 3 (index 2) has an empty id"),
    "NaN number": (changed(id=np.where(np.arange(N) == 4, np.nan, np.arange(N))), "row 5 (index 4) has an empty id"),
    "empty": (rows().iloc[:0], "has no rows"),
    "empty list": ([], "has no rows"),
    "empty dict": ({}, "has no rows"),
    "a column": (rows().rename(columns={"score": "scores"}), "no column 'score' for score; did you mean 'scores'?"),
    "no id": (rows().drop(columns="id"), "no column 'id' for id"),
    "an index": (rows().set_index(["id", "video"]), "index has 2 levels (a MultiIndex): call reset_index()"),
    "a header": (pd.concat({"x": rows()}, axis=1), "header has 2 levels (a MultiIndex)"),
    "two columns": (pd.concat([rows(), rows()[["score"]]], axis=1), "two columns 'score'"),
    "half a pair": (with_cell("id", "\ud800"), "surrogate"),
    "a mark": (with_cell("id", "a\x1fb"), "control character"),
}


@pytest.mark.parametrize("what", WRONG)
def test_each_mistake_is_one_line_that_names_the_data(what: str) -> None:
    data, said = WRONG[what]
    line = error_of(lambda: m2f2bench.score(data))
    assert line.startswith("'data'") and said in line
    if isinstance(data, tuple) or what in ("empty dict",):
        return
    line = error_of(lambda: m2f2bench.compare(rows(), data))
    assert line.startswith("'data 2'") and said in line
    named = error_of(lambda: m2f2bench.leaderboard({"good": rows(), "bad": data}))
    assert named.startswith("'bad'") and said in named


def test_an_index_of_the_users_own_is_shown() -> None:
    frame = with_cell("label", "maybe").set_index(pd.Index([f"row-{i}" for i in range(N)]))
    assert "row 3 (index 'row-2') has the label 'maybe'" in error_of(lambda: m2f2bench.score(frame))


def test_mistakes_in_what_goes_together_are_one_line(tmp_path: Path) -> None:
    frame = rows()
    two = "at least two runs or files"
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: m2f2bench.compare(frame), two),  # type: ignore[call-overload]
        (lambda: m2f2bench.compare({"a": frame}), two),
        (lambda: m2f2bench.compare(), two),  # type: ignore[call-overload]
        (lambda: m2f2bench.compare(frame, frame, names=["a"]), "1 names, but there are 2"),
        (lambda: m2f2bench.compare(frame, frame, names="ab"), "names is one text, 'ab'"),
        (lambda: m2f2bench.compare(frame, frame, names=["a", "a"]), "two detectors are named 'a'"),
        (lambda: m2f2bench.compare({"a": frame, "b": frame.iloc[1:]}), "n: 60 / 59"),
        (lambda: m2f2bench.compare([frame, frame]), "give each by itself"),
        (lambda: m2f2bench.compare({"a": frame, "b": 5}), "'b' is of type int"),
        (lambda: m2f2bench.score(frame, protocol="explain-blind"), "give dataset= with 'data'"),
        (
            lambda: m2f2bench.score(frame, protocol="explain-blind", dataset="synthetic"),
            "'data' row 1 (index 0) has no 'text'",
        ),
        (lambda: m2f2bench.score(frame, columns={"scor": "x"}), "cannot map 'scor'; did you mean 'score'"),
        (lambda: m2f2bench.score({"a": frame, "b": frame}), "the rows of one detector, and this has 2"),
        (lambda: m2f2bench.leaderboard(frame, frame, names=["a", "a"]), "two detectors are named 'a'"),
        (lambda: m2f2bench.leaderboard(frame, out=tmp_path / "a.doc"), "unknown format 'doc'"),
        (lambda: m2f2bench.plot("ranks", frame, out=tmp_path / "a.svg"), "from results, not from a DataFrame"),
        (lambda: m2f2bench.predict([], "constant"), "paths is empty"),
    ]
    for call, said in calls:
        assert said in error_of(call)
