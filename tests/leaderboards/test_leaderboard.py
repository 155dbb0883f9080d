"""Tables: order, ties, holes, columns that may not be mixed, and the formats."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from m2f2bench.cards.models import LeaderboardCard
from m2f2bench.core.records import Score
from m2f2bench.leaderboards.board import Board
from m2f2bench.leaderboards.render import render, table_markdown
from m2f2bench.leaderboards.table import build_table, method_table
from m2f2bench.results.result import Result
from m2f2bench.results.signature import short
from m2f2bench.results.stored import read_results


def result(detector: str, value: float | None, dataset: str = "d", **changes: object) -> Result:
    measured = {"data": dataset, "split": "test", "hash": "h", "n": 4, "level": "frame"}
    measured |= {"det": detector, "weights": "w"}
    measured |= {k: v for k, v in changes.items() if k in measured}
    score = Score(value, 2, 2, reason=None if value is not None else "no fake unit has a score")
    made = Result(
        detector=detector,
        dataset=dataset,
        split="test",
        protocol="frame",
        metrics={"auc": score, "eer": Score(0.5 - (value or 0) / 2, 2, 2)},
        methods={"swap": {"auc": score}, "warp": {"auc": Score(0.5, 2, 1)}},
        coverage=float(str(changes.get("coverage", 1.0))),
        statuses={"ok": 4},
        signature=short(measured),
        measured=measured,
        training_datasets=("d",) if detector == "trained" else (),
    )
    assert Result.from_json(json.loads(json.dumps(made.to_json()))) == made
    return made


CARD = LeaderboardCard.model_validate({"name": "c", "columns": [{"dataset": "d"}, {"dataset": "e"}]})


def test_order_ties_and_incomplete_rows() -> None:
    results = [result(n, v, d) for d in "de" for n, v in (("low", 0.6), ("tie1", 0.8), ("tie2", 0.8), ("top", 0.9))]
    results += [result("half", 0.99, "d")]
    table = build_table(results, CARD)
    assert [(row.detector, row.rank) for row in table.rows] == [
        ("top", 1),
        ("tie1", 2),
        ("tie2", 2),
        ("low", 4),
        ("half", None),
    ]


def test_lower_is_better_for_eer() -> None:
    card = LeaderboardCard.model_validate({"name": "c", "columns": [{"dataset": "d", "metric": "eer"}]})
    table = build_table([result("a", 0.6), result("b", 0.9)], card)
    assert [row.detector for row in table.rows] == ["b", "a"]


def test_incomparable_results_never_share_a_column() -> None:
    table = build_table([result("a", 0.6), result("b", 0.9, hash="other")])
    titles = {column.title for column in table.columns}
    auc, eer = "d · frame · AUC", "d · frame · EER"
    assert titles == {auc, eer, f"{auc} · hash:other", f"{eer} · hash:other"}
    assert all(row.rank is None for row in table.rows), "neither has all columns"
    assert "hash:other" in table_markdown(table)


def test_null_is_shown_with_its_reason_and_not_ranked() -> None:
    table = build_table([result("a", None), result("b", 0.7)])
    assert [(row.detector, row.rank) for row in table.rows] == [("b", 1), ("a", None)]
    assert "null (no fake unit has a score)" in table_markdown(table)


def test_markdown_shows_coverage_domain_and_signatures() -> None:
    text = render(Board(build_table([result("trained", 0.75, coverage=0.9999), result("a|b<c>", 0.5)])), "md")
    assert "0.750† (coverage 0.999)" in text
    assert "a\\|b&lt;c>" in text
    assert "- [1] `data:d|split:test|hash:h|n:4|level:frame`" in text and "- [a] `det:trained|weights:w`" in text


def test_csv_has_a_line_per_cell_and_loses_nothing() -> None:
    results = [result("a,b", 1 / 3), result('q"q', 0.5, "e")]
    rows = list(csv.DictReader(io.StringIO(render(Board(build_table(results, CARD)), "csv"))))
    assert len(rows) == 4
    first = next(row for row in rows if row["detector"] == "a,b" and row["dataset"] == "d")
    assert float(first["value"]) == 1 / 3 and first["signature"].endswith("det:a,b|weights:w")
    assert next(row for row in rows if row["detector"] == "a,b" and row["dataset"] == "e")["reason"] == "no result"


def test_json() -> None:
    data = json.loads(render(Board(build_table([result("a", 0.7)])), "json"))
    assert data["rows"][0]["cells"][0]["value"] == 0.7 and data["columns"][0]["metric"] == "auc"


def test_methods() -> None:
    table = method_table([result("a", 0.7), result("b", 0.6)])
    assert [column.title for column in table.columns] == ["d · swap", "d · warp"]
    assert table.rows[0].cells[0] is not None and table.rows[0].cells[0].score.value == 0.7


def test_more_rows_than_letters() -> None:
    text = render(Board(build_table([result(f"det{i:03d}", 0.5) for i in range(60)])), "md")
    assert "[bh]" in text and text.count("`det:") == 60


def test_command(cli, one_line, squares: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    assert cli("run", "-d", "constant", "-d", "random", "-s", squares, "--out", out).status == 0
    assert "| 1 |" in cli("leaderboard", out).out
    data = json.loads(cli("leaderboard", out, "--format", "json").out)
    assert {row["detector"] for row in data["rows"]} == {"constant", "random"}
    target = tmp_path / "t.csv"
    assert cli("leaderboard", out, "--format", "csv", "--out", target).status == 0
    assert target.read_text().startswith("rank,detector")
    assert "unknown format 'cvs'; did you mean 'csv'?" in one_line(cli("leaderboard", out, "--format", "cvs"))
    (tmp_path / "empty").mkdir()
    assert "no result.json" in one_line(cli("leaderboard", tmp_path / "empty"))
    (tmp_path / "bad.json").write_text("{}")
    assert "is not a result file" in one_line(cli("leaderboard", tmp_path / "bad.json"))


def test_read_results_skips_the_tables_beside_them(squares: Path, tmp_path: Path, cli) -> None:
    cli("run", "-d", "constant", "-s", squares, "--out", tmp_path / "o")
    assert [r.detector for r in read_results([tmp_path / "o"])] == ["constant"]


def test_scores_compare_by_value() -> None:
    assert replace(Score(0.5, 1, 1), value=0.6) != Score(0.5, 1, 1)
    with pytest.raises(TypeError):
        Result.from_json({**result("a", 0.5).to_json(), "extra": 1})
