"""Answers in memory: the same numbers as the same answers in a file, and one clear line for each mistake."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from one_line import error_of
from toy_questions import FACES, RULES, Faces, Looker, run_toy

import m2f2bench
from m2f2bench.results.row_files import read_answers

FORMS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "frame": lambda frame: frame,
    "id in the index": lambda frame: frame.set_index("id"),
    "other names": lambda frame: frame.rename(columns={"id": "question_id", "text": "answer"}),
    "objects": lambda frame: frame.astype(object).where(frame.notna(), None),
    "nullable": lambda frame: frame.convert_dtypes(),
    "categories": lambda frame: frame.astype({"text": "category"}),
    "dict of lists": lambda frame: frame.to_dict("list"),
    "dict of arrays": lambda frame: {name: frame[name].to_numpy() for name in frame},
    "records": lambda frame: frame.to_dict("records"),
    "a tuple of records": lambda frame: tuple(frame.to_dict("records")),
    "recarray": lambda frame: frame.to_records(index=False),
    "columns that are not used": lambda frame: frame.assign(path=[[1, 2]] * len(frame), status="error"),
}


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "toy.yaml"
    path.write_text(RULES)
    return path


def answers(explainer: Any = None) -> pd.DataFrame:
    """The answers of a toy explainer, two without a text, with P(fake) of most images."""
    data, judge = Faces(), explainer or Looker()
    images = {frame.id: data.read(frame) for frame in data.frames("test")}
    asked = data.questions("test")
    texts: list[str | None] = judge.explain([images[q.frame] for q in asked], [q.text for q in asked])
    texts[4] = texts[9] = None
    score = [np.nan if q.frame == "test07" else float(images[q.frame].mean()) / 255 for q in asked]
    return pd.DataFrame({"id": [q.id for q in asked], "text": texts, "score": score})


def as_file(frame: pd.DataFrame, path: Path) -> Path:
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("form", FORMS)
def test_any_form_has_the_numbers_of_the_file_to_the_last_bit(form: str, rules: Path, tmp_path: Path) -> None:
    frame = answers()
    expected = m2f2bench.score(as_file(frame, tmp_path / "mine.jsonl"), protocol=str(rules), dataset=FACES).to_json()
    data = FORMS[form](frame)
    before = copy.deepcopy(data)
    assert m2f2bench.score(data, protocol=str(rules), dataset=FACES, detector="mine").to_json() == expected
    pd.testing.assert_frame_equal(pd.DataFrame(data), pd.DataFrame(before))


def test_rows_of_a_run_in_memory_are_those_of_its_folder(rules: Path, tmp_path: Path) -> None:
    result = run_toy(rules, tmp_path / "o", "Fails", dataset=f"{Path(FACES.rpartition(':')[0])}:Torn")[
        "toy_questions.Fails"
    ]
    (file,) = (tmp_path / "o").glob("toy_questions.Fails*/answers.parquet")
    dataset = FACES.replace(":Faces", ":Torn")
    expected = m2f2bench.score(file, protocol=str(rules), dataset=dataset, detector="mine").to_json()
    assert expected["metrics"] == result.to_json()["metrics"] and set(expected["statuses"]) == {
        "ok",
        "unreadable",
        "error",
    }
    table = pd.read_parquet(file)
    for data in (read_answers(file), table, table.to_dict("records"), table.convert_dtypes()):
        assert m2f2bench.score(data, protocol=str(rules), dataset=dataset, detector="mine").to_json() == expected


def test_published_records_are_read_as_their_file(rules: Path, tmp_path: Path) -> None:
    frame = answers().dropna()
    records = [
        {"key": key, "image": "x.png", "prompt": "Is it?", "text": f"<s> {text}</s>", "metadata": {}}
        for key, text in zip(frame["id"], frame["text"], strict=True)
    ]
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in records))
    expected = m2f2bench.score(path, protocol=str(rules), dataset=FACES).to_json()
    assert m2f2bench.score(records, protocol=str(rules), dataset=FACES, detector="mine").to_json() == expected


def test_comparisons_and_boards_take_answers_in_memory(rules: Path, tmp_path: Path) -> None:
    from toy_questions import Parrot

    frames = {"a": answers(), "b": answers(Parrot())}
    files = [as_file(frame, tmp_path / f"{name}.jsonl") for name, frame in frames.items()]
    how: dict[str, Any] = {"protocol": str(rules), "dataset": FACES}
    expected = m2f2bench.compare(*files, **how).to_json()
    assert m2f2bench.compare(frames, **how).to_json() == expected
    results = [m2f2bench.score(frame, detector=name, **how) for name, frame in frames.items()]
    assert m2f2bench.compare(*results).to_json() == expected
    assert m2f2bench.compare({"a": frames["a"].to_dict("records"), "b": files[1]}, **how).to_json() == expected
    board = m2f2bench.leaderboard(frames, **how)
    assert board.to_pandas().equals(m2f2bench.leaderboard(*results).to_pandas()) and len(board.table.rows) == 2
    assert board.to_pandas().equals(m2f2bench.leaderboard(*files, **how).to_pandas())


def with_cell(column: str, value: Any) -> pd.DataFrame:
    frame = answers().astype({column: object})
    frame.at[2, column] = value
    return frame


WRONG: dict[str, tuple[Any, str]] = {
    "ragged": ({"id": ["a", "b"], "text": ["x"]}, "different lengths (id 2, text 1)"),
    "not asked": (with_cell("id", "test00_mouh"), "row 3 (index 2): 'test00_mouh' is no question that is asked; did"),
    "twice": (
        pd.concat([answers(), answers()[:1]]),
        "row 73 (index 0): question 'test00_image' already has an answer in",
    ),
    "a number": (with_cell("text", 3), "row 3 (index 2): its 'text' is int, not a string"),
    "a list": (with_cell("text", ["x"]), "of type list: text or a number"),
    "no id": (
        answers().drop(columns="id"),
        "row 1 (index 0) has no 'id'; known: score, text (map it with columns={'id': NAME})",
    ),
    "no text": (answers().drop(columns="text"), "has no 'text'; known: id, score (map it with columns={'text': NAME})"),
    "two texts": (pd.concat([answers(), answers()[["text"]]], axis=1), "two columns 'text'"),
    "percent": (with_cell("score", 70.0), "row 3 (index 2): its score is 70.0, and P(fake) in [0, 1]"),
    "truth": (with_cell("score", True), "row 3 (index 2): its score is True"),
    "infinite": (with_cell("score", np.inf), "row 3 (index 2): its score is inf"),
    "two scores": (with_cell("score", 0.5), "but another question about the same image has"),
    "no texts": (answers().assign(text=None), "has no text in any of its 72 answers"),
    "empty": (answers()[:0], "has no answers"),
    "empty list": ([], "has no answers"),
    "empty dict": ({}, "has no answers"),
    "None": (None, "is of type NoneType: give"),
    "numbers alone": ([1, 2], "row 1 (index 0) is of type int, not a record"),
    "a pair": ((["a"], ["b"]), "row 1 (index 0) has no 'text'"),
    "a header": (pd.concat({"x": answers()}, axis=1), "header has 2 levels (a MultiIndex)"),
    "rows of P(fake)": ({"id": ["a"], "label": [0], "score": [0.5]}, "row 1 (index 0) has no 'text'"),
    "a generator": ((row for row in [{"id": "a", "text": "b"}]), "is of type generator: give"),
    "a record without a text": (
        [{"id": "test00_image", "text": "x"}, {"id": "test00_eyes"}],
        "row 2 (index 1) has no 't",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_each_mistake_is_one_line_that_names_the_data(what: str, rules: Path) -> None:
    data, said = WRONG[what]
    line = error_of(lambda: m2f2bench.score(data, protocol=str(rules), dataset=FACES))
    assert line.startswith("'data'") and said in line


def test_what_is_missing_is_said_in_python(rules: Path) -> None:
    frame = answers()
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: m2f2bench.score(frame), "holds answers: name the protocol of their questions (protocol=explain-blind"),
        (lambda: m2f2bench.score(frame, protocol=str(rules)), "give dataset= with 'data'"),
        (lambda: m2f2bench.score(frame, protocol="frame"), "'data' has no column 'label'"),
        (lambda: m2f2bench.score(frame, protocol="localization"), "heat maps are scored from a run's rows alone"),
        (lambda: m2f2bench.plot("roc", frame, out="a.svg"), "holds answers to questions, and rows of P(fake) are"),
        (
            lambda: m2f2bench.score(frame, protocol=str(rules), dataset=FACES, columns={"txt": "x"}),
            "cannot map 'txt'; did you mean 'text'",
        ),
        (
            lambda: m2f2bench.compare(frame, frame, protocol=str(rules), dataset=FACES, names=["a", "a"]),
            "two detectors are named 'a'",
        ),
    ]  # fmt: skip
    for call, said in calls:
        assert said in error_of(call)
