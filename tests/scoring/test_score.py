"""Scoring of files: the same numbers from CSV, JSON lines, Parquet and our own files; errors in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import m2f2bench
from m2f2bench.results.read_rows import read_rows

ROWS = [
    {"id": "a", "label": 0, "score": 0.1, "video": "v1", "method": "original"},
    {"id": "b", "label": 0, "score": 0.6, "video": "v1", "method": "original"},
    {"id": "c", "label": 1, "score": 0.4, "video": "v2", "method": "swap"},
    {"id": "d", "label": 1, "score": 0.9, "video": "v3", "method": "warp"},
]


def write(folder: Path, suffix: str, rows: list[dict[str, object]] | None = None) -> Path:
    table = pd.DataFrame(ROWS if rows is None else rows)
    path = folder / f"mine{suffix}"
    if suffix == ".csv":
        table.to_csv(path, index=False)
    elif suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_golden_in_every_format(cli, tmp_path: Path, suffix: str) -> None:
    outcome = cli("score", write(tmp_path, suffix), "--json")
    assert outcome.status == 0, outcome.err
    found = json.loads(outcome.out)
    reason = "no interval: all real units are in one cluster"
    assert found["metrics"]["auc"] == {"value": 0.75, "ci": None, "n_real": 2, "n_fake": 2, "reason": reason}
    assert found["metrics"]["accuracy"]["value"] == 0.5
    assert found["methods"]["swap"]["auc"]["value"] == 0.5 and found["methods"]["warp"]["auc"]["value"] == 1.0
    assert found["coverage"] == 1.0 and "data:rows|" in found["signature"] and "|det:mine|" in found["signature"]


def test_the_three_formats_have_one_fingerprint(tmp_path: Path) -> None:
    results = [m2f2bench.score(write(tmp_path, suffix)) for suffix in (".csv", ".jsonl", ".parquet")]
    assert len({result.predictions for result in results}) == 1
    assert len({result.measured["hash"] for result in results}) == 1


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
@settings(deadline=None, max_examples=30)
def test_scores_are_read_to_the_last_bit(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    """Trap 9: rounding a score makes ties."""
    folder = tmp_path_factory.mktemp("bits")
    rows = [{"id": str(i), "label": i % 2, "score": value} for i, value in enumerate(values)]
    lines = [f"{row['id']},{row['label']},{row['score']!r}\n" for row in rows]
    (folder / "x.csv").write_text("id,label,score\n" + "".join(lines))
    (folder / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("x.csv", "x.jsonl"):
        assert read_rows(folder / name).score.tolist() == values


def test_video_level_and_status(tmp_path: Path) -> None:
    card = tmp_path / "mean.yaml"
    card.write_text("name: mean\nlevel: video\nmetrics: [auc]\n")
    rows = [dict(row, status="ok") for row in ROWS] + [
        {"id": "e", "label": 1, "score": None, "video": "v4", "method": "swap", "status": "no_face"}
    ]
    result = m2f2bench.score(write(tmp_path, ".csv", rows), protocol=str(card))
    assert result.coverage == 0.75 and result.statuses == {"ok": 4, "no_face": 1}
    assert result.metrics["auc"].value == pytest.approx(1.0)  # v1 .35, v2 .4, v3 .9


def test_mapped_columns(cli, tmp_path: Path) -> None:
    rows = [{"image": r["id"], "target": "fake" if r["label"] else "REAL", "p": r["score"]} for r in ROWS]
    path = write(tmp_path, ".csv", rows)
    words = ["--column", "id=image", "--column", "label=target", "--column", "score=p"]
    assert json.loads(cli("score", path, *words, "--json").out)["metrics"]["auc"]["value"] == 0.75


def test_table_of_several_files(cli, tmp_path: Path) -> None:
    first, second = write(tmp_path, ".csv"), tmp_path / "other.csv"
    second.write_bytes(first.read_bytes())
    outcome = cli("score", first, second)
    assert (
        outcome.status == 0 and "mine [" in outcome.out and "other [" in outcome.out and "| warp (2+1)" in outcome.out
    )
    assert len(json.loads(cli("score", first, second, "--json").out)) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,label\na,0\n", "no column 'score'"),
        ("id,lable,score\na,0,0.5\n", "no column 'label' for label; did you mean 'lable'?"),
        ("id,label,score\n", "has no rows"),
        ("", "cannot be read as csv"),
        ("id,label,score\na,2,0.5\n", "row 1 has the label '2'"),
        ("id,label,score\na,0,0.5\na,1,0.5\n", "row 2 repeats the id 'a'"),
        ("id,label,score\na,0,nan\n", "row 1 has the score 'nan'"),
        ("id,label,score\na,0,0.5\nb,1,inf\n", "row 2 has the score 'inf'"),
        ("id,label,score\na,0,3\nb,0,4\n", "row 1 has the score '3': P(fake) in [0, 1] is wanted, or a status"),
        ("id,label,score\na,0,high\n", "row 1 has the score 'high'"),
        ("id,label,score\n,0,0.5\n", "row 1 has an empty id"),
        ("id,label,score,status\na,0,0.5,okay\n", "row 1 has the status 'okay'; did you mean 'ok'?"),
    ],
)
def test_hostile_rows_are_one_line(cli, one_line, tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    line = one_line(cli("score", path))
    assert said in line and str(path) in line


def test_byte_order_mark_crlf_and_quotes(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes('id,label,score\r\n"a,1",0,0.25\r\nb,1,0.75\r\n'.encode("utf-8-sig"))
    rows = read_rows(path)
    assert rows.frame.tolist() == ["a,1", "b"] and rows.score.tolist() == [0.25, 0.75]


def test_other_files(cli, one_line, tmp_path: Path) -> None:
    assert "there is no file" in one_line(cli("score", tmp_path / "gone.csv"))
    assert "must end in .csv, .tsv, .jsonl or .parquet" in one_line(cli("score", tmp_path))
    (tmp_path / "x.jsonl").write_text("{not json\n")
    assert "cannot be read as jsonl" in one_line(cli("score", tmp_path / "x.jsonl"))
    assert "write OURS=THEIRS" in one_line(cli("score", tmp_path / "x.csv", "--column", "id"))
    path = write(tmp_path, ".csv")
    assert "cannot map 'idd'; did you mean 'id'?" in one_line(cli("score", path, "--column", "idd=x"))


def test_a_protocol_that_picks_frames_needs_the_dataset_or_nothing_to_pick(cli, one_line, tmp_path: Path) -> None:
    path = write(tmp_path, ".csv")
    assert json.loads(cli("score", path, "-p", "video", "--json").out)["coverage"] == 1.0, "no video has more than 32"
    many = [{"id": f"x{i:02d}", "label": 1, "score": 0.5, "video": "v9"} for i in range(33)]
    line = one_line(cli("score", write(tmp_path, ".csv", [*ROWS, *many]), "-p", "video"))
    assert "picks 32 frames of each video, but 'v9'" in line and "has 33" in line and "give --dataset" in line


def test_rows_are_held_against_a_dataset(cli, one_line, squares: Path, tmp_path: Path) -> None:
    names = [f"{label}/{i:02d}.png" for label in ("fake", "real") for i in range(24)]
    rows = [{"id": n, "label": int(n.startswith("fake")), "score": 0.9 if "fake" in n else 0.2} for n in names]
    path = write(tmp_path, ".csv", rows[:-12])
    found = json.loads(cli("score", path, "-s", squares, "--json").out)
    assert found["coverage"] == 0.75 and found["metrics"]["auc"]["value"] == 1.0
    assert found["statuses"] == {"ok": 36, "missing": 12}
    flipped = [dict(row, label=1 - int(str(row["label"]))) for row in rows]
    line = one_line(cli("score", write(tmp_path, ".csv", flipped), "-s", squares))
    assert "is labelled 0, but in 'squares' it is 1" in line and "labels inverted" in line
    foreign = [*rows, {"id": "fake/99.png", "label": 1, "score": 0.5}]
    line = one_line(cli("score", write(tmp_path, ".csv", foreign), "-s", squares))
    assert "'fake/99.png' is not a planned frame" in line


def test_our_own_run_scored_again_is_the_same(cli, squares: Path, tmp_path: Path) -> None:
    result = m2f2bench.run(detectors="random", datasets=str(squares), out=tmp_path)[0]
    again = m2f2bench.score(tmp_path / "random--squares--frame", dataset=str(squares))
    assert again.metrics == result.metrics and again.methods == result.methods
    assert again.signature == result.signature and again.predictions == result.predictions
