"""Rows and answers without a score or a text: counted, reported, handled by the protocol; no record is ever lost."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score
from toy_questions import FACES, answer_lines

import m2f2bench
from m2f2bench.core.errors import ScoreError
from m2f2bench.core.records import STATUSES, Answer
from m2f2bench.results.read_rows import NO_SCORE, read_rows
from m2f2bench.results.row_files import write_parquet

RNG = np.random.default_rng(4)
LABELS = RNG.integers(0, 2, 60)
SCORES = np.round(RNG.random(60) * 0.6 + 0.3 * LABELS, 3)
HOLES = [3, 7, 8, 20, 41, 59]
WORDS = ["", "nan", "NA", "null", "NaN", "N/A"]


def rows() -> list[dict[str, Any]]:
    """60 rows, six of them without a score."""
    scores = [None if i in HOLES else float(score) for i, score in enumerate(SCORES)]
    return [{"id": f"f{i}", "label": int(LABELS[i]), "score": score} for i, score in enumerate(scores)]


def write(path: Path) -> Path:
    """Write the rows in the format of the file's name, with a different word for each missing score in text formats."""
    found = rows()
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(found), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in found))
    else:
        mark, words = {".csv": ",", ".tsv": "\t"}[path.suffix], iter(WORDS)
        lines = [[row["id"], str(row["label"]), next(words) if row["score"] is None else str(row["score"])]
                 for row in found]  # fmt: skip
        path.write_text("\n".join(mark.join(line) for line in [["id", "label", "score"], *lines]) + "\n")
    return path


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.jsonl", "rows.parquet"])
def test_d6_empty_scores_are_missing_and_counted(cli, tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name)
    result = m2f2bench.score(path)
    has = [i for i in range(60) if i not in HOLES]
    for metric, of in (("auc", roc_auc_score), ("ap", average_precision_score)):
        assert result.metrics[metric].value == pytest.approx(of(LABELS[has], SCORES[has]), abs=1e-12)
    assert result.coverage == 54 / 60 and result.statuses == {"ok": 54, "missing": 6}
    assert (result.metrics["auc"].n_real, result.metrics["auc"].n_fake) == (
        int((LABELS[has] == 0).sum()),
        int((LABELS[has] == 1).sum()),
    )
    text = cli("score", path).out
    assert "coverage 0.9 (6 missing)" in text
    assert "6 of 60 frames have no score (the protocol's missing: drop): they are left out" in text
    assert STATUSES.index("missing") == 1


def test_d6_every_word_for_nothing(tmp_path: Path) -> None:
    words = sorted(NO_SCORE) + [word.upper() for word in sorted(NO_SCORE)] + [" ", " nan "]
    path = tmp_path / "rows.csv"
    path.write_text("id,label,score\nx,0,0.5\n" + "".join(f'f{i},1,"{word}"\n' for i, word in enumerate(words)))
    assert read_rows(path).statuses() == {"ok": 1, "missing": len(words)}
    table = pa.table({"id": ["a", "b", "c"], "label": [0, 1, 1], "score": [0.5, None, float("nan")]})
    pq.write_table(table, tmp_path / "rows.parquet")
    assert read_rows(tmp_path / "rows.parquet").status.tolist() == ["ok", "missing", "missing"]
    lines = [{"score": 0.5}, {"score": None}, {"score": float("nan")}, {"score": ""}, {}, {"score": "0.5"}]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"id": str(i), "label": 0} | row) + "\n" for i, row in enumerate(lines)))
    assert read_rows(path).status.tolist() == ["ok", "missing", "missing", "missing", "missing", "ok"]


def test_d6_what_missing_counts_as_is_the_protocols_to_say(cli, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,label,score\na,1,0.9\nb,0,0.2\nc,1,\nd,0,\n")
    for rule, accuracy, n in (("drop", 1.0, 2), ("half", 0.75, 4), ("wrong", 0.5, 4)):
        card = tmp_path / f"{rule}.yaml"
        card.write_text(f"name: {rule}\nlevel: frame\nmissing: {rule}\nmetrics: [accuracy]\n")
        found = m2f2bench.score(path, protocol=str(card))
        score = found.metrics["accuracy"]
        assert (score.value, score.n_real + score.n_fake, found.coverage) == (accuracy, n, 0.5)
        text = cli("score", path, "-p", card).out
        assert f"2 of 4 frames have no score (the protocol's missing: {rule})" in text
        assert ("a detector gains" in text) == (rule == "drop")


def test_d6_a_row_with_a_status_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,label,score,status\na,1,0.9,ok\nb,0,,no_face\nc,1,,\nd,0,0.3,missing\ne,0,,ok\n")
    found = read_rows(path)
    assert found.status.tolist() == ["ok", "no_face", "missing", "missing", "missing"]
    assert np.isnan(found.score[1:]).all() and found.score[0] == 0.9


def test_d6_the_cases(one_line, cli, tmp_path: Path) -> None:
    """Case 04: a value that cannot be a score stays an error in one line."""
    for bad in ("67.3", "3.2", "-1.7", "True", "False", "50%", "0.5 0.6", "[0.5]", "tensor(0.5)", "-", "?", "inf"):
        path = tmp_path / "rows.csv"
        path.write_text(f"id,label,score\na,0,0.5\nb,1,{bad}\n")
        assert f"row 2 has the score '{bad}'" in one_line(cli("score", path))
    path.write_text("id;label;score\na;0;0,5\nb;1;\n")
    assert "row 1 has the score '0,5'" in one_line(cli("score", path))
    path.write_text("id,label,score\na,0,\nb,1,NA\n")
    assert "row 1 has the score '', and none of 2 rows has one" in one_line(cli("score", path))


def test_d6_a_planned_frame_without_a_row_is_missing(tmp_path: Path, squares: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,label,score\n" + "".join(f"fake/{i:02d}.png,1,0.{9 - i % 5}\n" for i in range(24)))
    found = m2f2bench.score(path, dataset=str(squares))
    assert found.statuses == {"ok": 24, "missing": 24} and found.coverage == 0.5


CELL = st.sampled_from(["0.5", "1", "0", ".25", "1e-3", *sorted(NO_SCORE), "NaN"])
PLAIN = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=6)
NOTE = st.one_of(PLAIN, st.sampled_from(['"', '5" screen', "a,b", "x\ny", "x\r\ny", "\r", "", " "]))


def distinct(drawn: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"id": f"f{i}", "label": str(i % 2), "score": score, "note": note} for i, (score, note) in enumerate(drawn)]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(CELL, NOTE), min_size=1, max_size=12),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.permutations(["id", "label", "score", "note"]),
)
def test_n_records_in_n_rows_out(
    tmp_path: Path, drawn: list, mark: str, end: str, encoding: str, quoting: int, order: list[str]
) -> None:
    """Every style of CSV, JSON lines and Parquet: all records in order, or an error if none has a score."""
    records = distinct(drawn)
    if any(set(note) & set("\r\n") for _, note in drawn):
        quoting = csv.QUOTE_ALL  # Python's writer leaves a line break of another kind bare: not a record any more
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, order, delimiter=mark, lineterminator=end, quoting=quoting)
    writer.writeheader()
    writer.writerows(records)
    text, lines, table = tmp_path / "rows.csv", tmp_path / "rows.jsonl", tmp_path / "rows.parquet"
    text.write_bytes(buffer.getvalue().encode(encoding))
    lines.write_bytes(("".join(json.dumps(record) + "\n\n" for record in records)).encode(encoding))
    pq.write_table(pa.Table.from_pylist(records), table, row_group_size=5)
    lacks = [record["score"].lower() in NO_SCORE for record in records]
    for path in (text, lines, table):
        if all(lacks):
            with pytest.raises(ScoreError, match="has one"):
                read_rows(path)
            continue
        found = read_rows(path)
        assert found.frame.tolist() == [record["id"] for record in records]
        assert found.label.tolist() == [int(record["label"]) for record in records]
        assert found.status.tolist() == ["missing" if lack else "ok" for lack in lacks]
        known = [float(record["score"]) for record, lack in zip(records, lacks, strict=True) if not lack]
        assert found.score[~np.array(lacks)].tolist() == known and np.isnan(found.score[np.array(lacks)]).all()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(CELL, NOTE), min_size=2, max_size=8), st.data())
def test_a_quotation_mark_too_many_loses_no_record(tmp_path: Path, drawn: list, data: st.DataObject) -> None:
    """Records without quoting, except for one quotation mark somewhere: one row per line, or an error."""
    lines = [f"f{i},{i % 2},{score},{note}" for i, (score, note) in enumerate(drawn)]
    lines = [line for line in lines if not set(line) & set('"\r\n') and line.count(",") == 3]
    if not lines:
        return
    i = data.draw(st.integers(0, len(lines) - 1))
    at = data.draw(st.integers(0, len(lines[i])))
    lines[i] = lines[i][:at] + '"' + lines[i][at:]
    path = tmp_path / "rows.csv"
    path.write_text("id,label,score,note\n" + "\n".join(lines) + "\n", newline="")
    try:
        assert len(read_rows(path)) == len(lines)
    except ScoreError as error:
        assert "\n" not in str(error)


def test_d6_an_answer_whose_text_is_null_is_missing(cli, one_line, rules: Path, tmp_path: Path) -> None:
    path = answer_lines(tmp_path / "answers.jsonl", {"test00_image": "The image looks real.", "test02_image": ""})
    given = m2f2bench.score(path, protocol=str(rules), dataset=FACES)
    with path.open("a") as file:
        file.write('{"id": "test04_image", "text": null}\n')
    found = m2f2bench.score(path, protocol=str(rules), dataset=FACES)
    assert found.statuses == given.statuses == {"ok": 2, "missing": 70} and found.metrics == given.metrics
    path.write_text('{"id": "test04_image", "text": null}\n{"id": "test05_image", "text": null}\n')
    assert "has no text in any of its 2 answers" in one_line(cli("score", path, "-p", rules, "-s", FACES))
    table = tmp_path / "answers.parquet"
    write_parquet(table, [Answer("test00_image", "x", "real"), Answer("test02_image", "x", None)], row=Answer)  # type: ignore[arg-type]
    read = m2f2bench.score(table, protocol=str(rules), dataset=FACES)
    assert read.statuses == {"ok": 1, "missing": 71}


def test_a_table_says_where_silence_can_pay(cli, tmp_path: Path) -> None:
    whole, holes = tmp_path / "whole.csv", tmp_path / "holes.csv"
    whole.write_text("id,label,score\na,1,0.9\nb,0,0.2\nc,1,0.3\nd,0,0.4\n")
    holes.write_text("id,label,score\na,1,0.9\nb,0,0.2\nc,1,\nd,0,\n")
    said = "a detector gains if it gives no output where it would be wrong"
    text = cli("score", whole, holes).out
    table = text[: text.index("## holes on")] if "## holes on" in text else text
    assert "1.000" in table and "(coverage 0.500)" in table and f"(`missing: drop`): {said}" in table
    assert said not in cli("score", whole).out
    card = tmp_path / "wrong.yaml"
    card.write_text("name: wrong\nlevel: frame\nmissing: wrong\nmetrics: [auc]\n")
    assert said not in cli("score", whole, holes, "-p", card).out
