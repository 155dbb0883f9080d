"""Damaged or unusual files: read exactly or refused in one line, never a traceback or a wrong number."""

from __future__ import annotations

import csv
import decimal
import io
import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import m2f2bench
from m2f2bench.core.errors import ScoreError
from m2f2bench.core.rows import Rows
from m2f2bench.results.read_rows import read_rows

HEAD = "id,label,score\n"


def put(folder: Path, content: str | bytes | pa.Table, suffix: str = ".csv") -> Path:
    path = folder / f"rows{suffix}"
    if isinstance(content, pa.Table):
        pq.write_table(content, path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path: Path) -> str:
    """Return the one line that names the file."""
    with pytest.raises(ScoreError) as caught:
        read_rows(path)
    text = str(caught.value)
    assert str(path) in text and "\n" not in text and len(text) < 400 + len(str(path))
    return text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Empty CSV file"),
        ("\n\n", "cannot be read as csv"),
        (HEAD, "has no rows"),
        ("id,label\na,0\n", "no column 'score'"),
        ("id,lable,score\na,0,0.5\n", "no column 'label' for label; did you mean 'lable'?"),
        ("id, label, score\na, 0, 0.5\n", "no column 'label' for label; did you mean ' label'?"),
        ("id,label,score,score\na,0,0.5,0.9\n", "has two columns 'score'"),
        (HEAD + "a,0\n", "Expected 3 columns, got 2"),
        (HEAD + "a,0,0.5,0.7\n", "Expected 3 columns, got 4"),
        (HEAD + '"a,0,0.5\nb,1,0.5\n', "cannot be read as csv"),
        (HEAD + "a,2,0.5\n", "row 1 has the label '2': 0, 1, real or fake is wanted"),
        (HEAD + "a,TRUE,0.5\n", "row 1 has the label 'TRUE'"),
        (HEAD + "a,,0.5\nb,,0.5\n", "row 1 has the label '': 0, 1, real or fake is wanted (1 more like it)"),
        (HEAD + 'a,"0\n1",0.5\n', r"row 1 has the label '0\n1'"),
        (HEAD + "a,0,nan\n", "row 1 has the score 'nan', and none of 1 rows has one"),
        (HEAD + "a,0,\nb,1,NA\n", "row 1 has the score '', and none of 2 rows has one"),
        ('id,label,score,note\na,0,0.5,"x\nb,1,0.5,y\nc,1,0.5,"z\n', "is a quotation mark left open?"),
        ('id,label,score,note\na,0,0.5,"x\nb,1,0.5,y\n', "is a quotation mark left open?"),
        ("id,label,score,status\na,0,,error\nb,1,,ok\n", "row 2 has the score '', and none of 2 rows has one"),
        (HEAD + "a,0,0.5\nb,1,-nan\n", "row 2 has the score '-nan'"),
        (HEAD + "a,0,0.5\nb,1,inf\n", "row 2 has the score 'inf'"),
        (HEAD + "a,0,-1e-9\n", "row 1 has the score '-1e-9'"),
        (HEAD + "a,0,1.0000001\n", "row 1 has the score '1.0000001'"),
        (HEAD + "a,0,\n", "row 1 has the score ''"),
        (HEAD + "a,0,true\n", "row 1 has the score 'true'"),
        (HEAD + "a,0,50%\n", "row 1 has the score '50%'"),
        (HEAD + "a,0,0_1\n", "row 1 has the score '0_1'"),
        (HEAD + "a,0," + "9" * 500 + "\n", f"the score '{'9' * 57}...': P(fake)"),
        ("id;label;score\na;0;0,5\n", "row 1 has the score '0,5'"),
        (HEAD + "a,0,0.5\na,1,0.5\n", "row 2 repeats the id 'a'"),
        (HEAD + "a,0,0.5\n a ,1,0.5\n", "row 2 repeats the id 'a'"),
        (HEAD + ",0,0.5\n", "row 1 has an empty id"),
        (HEAD + "  ,0,0.5\n", "row 1 has an empty id"),
        ("id,label,score,status\na,0,0.5,okay\n", "row 1 has the status 'okay'; did you mean 'ok'?"),
        (HEAD + "x" * 3_000_000 + ",0,0.5\n", "cannot be read as csv"),
    ],
)
def test_text_that_is_refused(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(put(tmp_path, text))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le", "utf-32"])
def test_other_encodings_are_refused(tmp_path: Path, encoding: str) -> None:
    refusal(put(tmp_path, (HEAD + "é,0,0.5\n").encode(encoding)))
    refusal(put(tmp_path, ('{"id": "é", "label": 0, "score": 0.5}\n').encode(encoding), ".jsonl"))


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        (HEAD + "\na,0,0.5\n\nb,1,0.25\n", ".csv"),
        (HEAD.replace("\n", "\r\n") + "a,0,0.5\r\nb,1,0.25", ".csv"),
        ("\ufeff" + HEAD + "a,0,0.5\nb,1,0.25\n", ".csv"),
        ('"id","label","score"\n"a","0","0.5"\n"b","1","0.25"\n', ".csv"),
        ("score;id;label;note\n 0.5 ;a; real;x,y\n.25;b;FAKE;z\n", ".csv"),
        ("id\tlabel\tscore\na\t0\t5e-1\nb\t1\t+0.25\n", ".tsv"),
        ('\ufeff{"id": "a", "label": 0, "score": 0.5}\n\n{"score": "0.25", "label": "fake", "id": "b"}\n', ".jsonl"),
        ('{"id": "a", "label": 0.0, "score": 0.5, "more": [1]}\n{"id": "b", "label": 1, "score": 0.25}\n', ".jsonl"),
        (pa.table({"id": ["a", "b"], "label": [0, 1], "score": [0.5, 0.25]}), ".parquet"),
        (pa.table({"id": ["a", "b"], "label": [0.0, 1.0], "score": np.array([0.5, 0.25], np.float16)}), ".parquet"),
        (
            pa.table(
                {
                    "id": pa.array(["a", "b"]).dictionary_encode(),
                    "label": ["real", "fake"],
                    "score": [decimal.Decimal("0.50"), decimal.Decimal("0.25")],
                    "more": [[1], [2]],
                }
            ),
            ".parquet",
        ),
    ],
)
def test_odd_but_plain_files_are_read(tmp_path: Path, content: str | pa.Table, suffix: str) -> None:
    rows = read_rows(put(tmp_path, content, suffix))
    assert (rows.frame.tolist(), rows.label.tolist(), rows.score.tolist()) == (["a", "b"], [0, 1], [0.5, 0.25])
    assert rows.video.tolist() == ["a", "b"] and rows.method.tolist() == ["original", "fake"]


def test_quoted_newlines_and_commas_belong_to_the_value(tmp_path: Path) -> None:
    path = put(tmp_path, HEAD.strip() + ',video\n"a\n1",0,0.5,"x,""y"""\n')
    rows = read_rows(path)
    assert rows.frame.tolist() == ["a\n1"] and rows.video.tolist() == ['x,"y"']


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "has no rows"),
        ("{not json", "line 1"),
        ("[1, 2]", "line 1 is not an object"),
        ("[" * 100_000, "line 1"),
        ('{"id": "a", "label": true, "score": 0.5}', "has the label 'True'"),
        ('{"id": "a", "label": 0, "score": true}', "has the score 'True'"),
        ('{"id": "a", "label": 0, "score": null}', "has the score 'None'"),
        ('{"id": "a", "label": 0, "score": NaN}', "has the score 'nan'"),
        ('{"id": "a", "label": 0, "score": Infinity}', "has the score 'inf'"),
        ('{"id": "a", "label": 0, "score": 1' + "0" * 400 + "}", "000...'"),
        ('{"id": "a", "label": 0, "score": 1' + "0" * 5000 + "}", "line 1"),
        ('{"id": "a", "label": 0, "score": 0.1, "score": 0.9}', "line 1: the key 'score' appears twice"),
        ('{"id": null, "label": 0, "score": 0.1}', "has an empty id"),
        ('{"id": ["a"], "label": 0, "score": 0.1}', "column id is of type list"),
        ('{"id": "a", "label": 0, "score": [0.1]}', "has the score"),
        ('{"id": "a", "label": 0, "score": 0.1, "identity": ["p", "q"]}', "column identity is of type list"),
        ('{"id": "a", "label": 0, "score": 0.1, "video": {"name": "v"}}', "column video is of type list"),
        ('{"id": "\\ud800", "label": 0, "score": 0.1}', "cannot be read as jsonl"),
    ],
)
def test_json_lines_that_are_refused(tmp_path: Path, line: str, said: str) -> None:
    assert said in refusal(put(tmp_path, line + "\n", ".jsonl"))


def one(**columns: object) -> pa.Table:
    return pa.table({"id": ["a"], "label": [0], "score": [0.5]} | columns)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (one(label=[True]), "has the label 'true'"),
        (one(label=[0.5]), "has the label '0.5'"),
        (one(label=pa.nulls(1)), "has the label ''"),
        (one(score=[True]), "has the score 'True'"),
        (one(score=[[0.5]]), "has the score '[0.5]': P(fake) in [0, 1] is wanted"),
        (one(score=pa.nulls(1)), "has the score 'None'"),
        (one(score=pa.array([None], pa.int64())), "has the score 'None'"),
        (one(score=pa.array([5], pa.duration("s"))), "has the score '0:00:05'"),
        (one(id=[b"\xff"]), "column id is of type binary"),
        (one(id=[{"a": 1}]), "column id is of type struct"),
        (one(identity=[["p", "q"]]), "column identity is of type list"),
        (one().slice(1), "has no rows"),
    ],
)
def test_parquet_that_is_refused(tmp_path: Path, table: pa.Table, said: str) -> None:
    assert said in refusal(put(tmp_path, table, ".parquet"))


def test_damaged_parquet_is_refused(tmp_path: Path) -> None:
    n = 5000
    whole = pa.table({"id": [f"f{i}" for i in range(n)], "label": [i % 2 for i in range(n)], "score": [0.5] * n})
    data = put(tmp_path, whole, ".parquet").read_bytes()
    for cut in (0, 3, 4, 8, len(data) // 2, len(data) - 9, len(data) - 1):
        refusal(put(tmp_path, data[:cut], ".parquet"))
    refusal(put(tmp_path, data[:100] + b"\xff" * 50 + data[150:], ".parquet"))
    refusal(put(tmp_path, HEAD + "a,0,0.5\n", ".parquet"))


def test_places_that_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    assert "there is no file" in refusal(tmp_path / "folder.csv")
    assert "there is no file" in refusal(tmp_path / "gone.parquet")
    assert "must end in .csv, .tsv, .jsonl or .parquet" in refusal(tmp_path / "rows.txt")


def test_one_class_and_one_video_are_scored_with_reasons(cli, tmp_path: Path) -> None:
    reals = put(tmp_path, "id,label,score,video\n" + "".join(f"{i},0,0.{i},v\n" for i in range(10)))
    found = json.loads(cli("score", reals, "--json").out)
    assert found["metrics"]["auc"]["value"] is None and "no fake unit" in found["metrics"]["auc"]["reason"]
    assert found["metrics"]["accuracy"]["value"] == 0.5, "one video: a value, but nothing says how sure it is"
    assert found["metrics"]["accuracy"]["ci"] is None and "one cluster" in found["metrics"]["accuracy"]["reason"]
    nothing = put(tmp_path, "id,label,score,status\na,0,,no_face\nb,1,,error\n")
    assert "none of 2 frames could be judged, first 'a' (no_face)" in cli("score", nothing, "--json").err


def test_a_score_without_the_status_ok_is_not_taken(tmp_path: Path) -> None:
    rows = read_rows(put(tmp_path, "id,label,score,status\na,0,0.9,unreadable\nb,1,0.7,ok\n"))
    assert math.isnan(rows.score[0]) and rows.score[1] == 0.7 and rows.statuses() == {"ok": 1, "unreadable": 1}


@pytest.mark.slow
def test_a_million_ties(tmp_path: Path) -> None:
    """A file of a million rows that have the same score, except two."""
    lines = [f"f{i},{i % 2},0.5\n" for i in range(999_998)]
    path = put(tmp_path, HEAD + "".join(lines) + "first,0,0.25\nlast,1,0.75\n")
    result = m2f2bench.score(path)
    n = 500_000
    right = (n - 1) * 2 + 1  # the last beats every real, every fake beats the first, of which one pair is both
    ties = (n - 1) ** 2
    assert result.metrics["auc"].value == pytest.approx((right + ties / 2) / n**2, abs=1e-15)
    assert result.metrics["accuracy"].value == pytest.approx((n + 1) / (2 * n))
    assert result.metrics["auc"].n_real == n and result.metrics["auc"].ci is not None


UNWRITTEN = "\x00" if sys.version_info < (3, 11) else ""
"""What Python's own csv refuses to write."""
CELL = st.one_of(
    st.sampled_from(["0", "1", "real", "fake", "0.5", "0.25", "1.0", "", " ", "nan", "-1", "a", "b", "ok", "é\n,\"'"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters=UNWRITTEN), max_size=6),
    st.floats().map(repr),
)
NAMES = st.sampled_from(["id", "label", "score", "video", "method", "status", "identity", "x", "frame", ""])


@given(st.lists(NAMES, min_size=1, max_size=6), st.lists(st.lists(CELL, min_size=0, max_size=6), max_size=5))
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_table_is_read_exactly_or_refused(tmp_path: Path, names: list[str], body: list[list[str]]) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([names, *body])
    path = put(tmp_path, buffer.getvalue())
    try:
        rows = read_rows(path)
    except ScoreError as error:
        assert "\n" not in str(error)
        return
    check_exact(rows, names, [row for row in body if row])


ROW = st.tuples(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\x1e\x1f"), min_size=1, max_size=8),
    st.sampled_from(["0", "1", "real", "Fake", "1.0"]),
    st.floats(0, 1),
)


@given(st.lists(ROW, min_size=1, max_size=20, unique_by=lambda row: row[0].strip()), st.sampled_from([",", ";", "\t"]))
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_good_tables_are_read_to_the_last_bit(tmp_path: Path, rows: list, delimiter: str) -> None:
    rows = [row for row in rows if row[0].strip() and row[0] == row[0].strip()]
    if not rows:
        return
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(
        [("id", "label", "score"), *[(name, label, repr(score)) for name, label, score in rows]]
    )
    found = read_rows(put(tmp_path, buffer.getvalue()))
    check_exact(found, ["id", "label", "score"], [[name, label, repr(score)] for name, label, score in rows])
    lines = [json.dumps({"id": name, "label": label, "score": score}) for name, label, score in rows]
    again = read_rows(put(tmp_path, "\n".join(lines) + "\n", ".jsonl"))
    assert again.frame.tolist() == found.frame.tolist() and again.score.tolist() == found.score.tolist()


def check_exact(rows: Rows, names: list[str], body: list[list[str]]) -> None:
    """Every row is there, in order, with its own label, and its own score where it is `ok`."""
    column = {name: names.index(name) for name in reversed(names)}
    key = column["id"] if "id" in column else column["frame"]
    assert rows.frame.tolist() == [row[key].strip() for row in body]
    words = {"0": 0, "1": 1, "real": 0, "fake": 1, "0.0": 0, "1.0": 1}
    assert rows.label.tolist() == [words[row[column["label"]].strip().lower()] for row in body]
    for status, found, row in zip(rows.status.tolist(), rows.score.tolist(), body, strict=True):
        if status == "ok":
            assert found == float(row[column["score"]]) and 0.0 <= found <= 1.0
        else:
            assert math.isnan(found)


LONG = {
    "one line of 100 MB": (
        lambda f: f.write(HEAD.encode() + b"a" * 100_000_000 + b",0,0.5\n"),
        ".csv",
        "cannot be read",
    ),
    "a header of 100 MB": (lambda f: f.write(b"a" * 100_000_000), ".csv", "first line is longer than 1 MiB"),
    "100,000 columns": (lambda f: f.write(b"," * 100_000), ".csv", "more than 10,000 columns"),
    "JSON of 100 MB": (
        lambda f: f.write(b'{"id": "' + b"a" * 100_000_000 + b'"}'),
        ".jsonl",
        "line 1 is longer than 16 MiB",
    ),
    "JSON of 20,000 keys": (
        lambda f: f.write(b"".join(b'{"id": 1, "k%d": 1}\n' % i for i in range(20_000))),
        ".jsonl",
        "more than 10,000 different keys",
    ),
    "JSON 10^5 deep": (lambda f: f.write(b'{"id": ' + b"[" * 100_000), ".jsonl", "line 1 is nested too deeply"),
    "half a surrogate": (lambda f: f.write(b'{"id": "\\ud800", "label": 1, "score": 1}'), ".jsonl", "surrogate"),
    "UTF-16": (lambda f: f.write((HEAD + "a,0,0.5\n").encode("utf-16")), ".csv", "UTF-16"),
    "UTF-16 lines": (lambda f: f.write('{"id": "a"}'.encode("utf-16")), ".jsonl", "UTF-16"),
    "NUL": (lambda f: f.write((HEAD + "a\0b,0,0.5\n").encode()), ".csv", "row 1 has a control character"),
    "a separator of ours": (
        lambda f: f.write((HEAD + "a,0,0.5\nb\x1fc,0,0.5\n").encode()),
        ".csv",
        "row 2 has a control",
    ),
    "1e400": (lambda f: f.write((HEAD + "a,0,1e400\n").encode()), ".csv", "has the score '1e400'"),
    "1e400 in JSON": (lambda f: f.write(b'{"id": 1, "label": 0, "score": 1e400}'), ".jsonl", "has the score 'inf'"),
    "Infinity": (lambda f: f.write(b'{"id": 1, "label": 0, "score": -Infinity}'), ".jsonl", "has the score '-inf'"),
    "truth value": (lambda f: f.write(b'{"id": 1, "label": 0, "score": true}'), ".jsonl", "has the score 'True'"),
    "a number of 5,000 digits": (lambda f: f.write(b'{"id": ' + b"1" * 5000 + b"}"), ".jsonl", "line 1"),
}


@pytest.mark.parametrize("how", LONG)
def test_e6_rows_beyond_the_limits(how: str, tmp_path: Path) -> None:
    write, suffix, said = LONG[how]
    path = tmp_path / f"rows{suffix}"
    with path.open("wb") as file:
        write(file)
    assert said in refusal(path)


def test_e6_parquet_that_is_small_and_comes_to_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from m2f2bench.core import parsing

    n = 200_000
    same = pa.DictionaryArray.from_arrays(pa.array([0] * n, pa.int32()), pa.array(["x" * 100_000]))
    table = pa.table({"id": same, "label": [0] * n, "score": [0.5] * n})
    path = tmp_path / "rows.parquet"
    pq.write_table(table, path)
    assert path.stat().st_size < 1 << 20
    assert "the texts of its column 'id' take more than 1 GiB" in refusal(path)
    pq.write_table(pa.table({"id": ["a"] * 9, "label": [0] * 9, "score": [0.5] * 9}), path)
    monkeypatch.setattr(parsing, "MOST_ROWS", 8)
    assert "more than 8 rows" in refusal(path)


def test_e6_columns_that_nobody_asks_for_cost_nothing(tmp_path: Path) -> None:
    rows = [{"id": i, "label": i % 2, "score": 0.5, f"more{i}": "x"} for i in range(5000)]
    path = put(tmp_path, "".join(json.dumps(row) + "\n" for row in rows), ".jsonl")
    assert len(read_rows(path)) == 5000


def test_e6_a_pipe_is_no_file_of_rows(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rows.csv")
    assert "not a regular file" in refusal(tmp_path / "rows.csv")


@pytest.mark.parametrize("ending", ["", "\n", "\n\n", "\r\n"])
def test_repeated_texts_are_cleaned_as_all_others(tmp_path: Path, ending: str) -> None:
    """Columns whose first texts repeat are read by their distinct texts: stripped, empty and NUL as in any column."""
    path, videos = tmp_path / "rows.csv", ["v1", " v1 ", "", "v2", "v1\u3000"]
    line = "\r\n" if ending == "\r\n" else "\n"
    lines = [f"f{i},{i % 2},0.{i},{videos[i % 5]},{'x' if i % 2 else ' original'}" for i in range(10)]
    path.write_text(line.join(["id,label,score,video,method", *lines]) + ending, newline="")
    rows = read_rows(path)
    assert rows.video.tolist() == ["v1", "v1", "f2", "v2", "v1", "v1", "v1", "f7", "v2", "v1"]
    assert rows.method.tolist() == ["original", "x"] * 5
    assert rows.score.tolist() == [float(f"0.{i}") for i in range(10)]
    bad = [text.replace("v2", "v\x1f2") for text in lines]
    path.write_text(line.join(["id,label,score,video,method", *bad]) + ending, newline="")
    assert "row 4 has a control character (0, 30 or 31) in its video" in refusal(path)
