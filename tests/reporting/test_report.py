"""What `score` and `compare` print."""

from __future__ import annotations

from pathlib import Path

import pytest

METHODS = ("original", "m1", "original", "m3")
ROWS = "id,label,score,video,method,status\n" + "".join(
    f"f{i},{i % 2},{0.25 + 0.5 * (i % 2) if i % 7 else 0.5},v{i // 4 * 2 + i % 2},{METHODS[i % 4]},ok\n"
    for i in range(80)
)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text(ROWS + "g1,1,,v99,m3,no_face\ng2,0,,v98,original,unreadable\n")
    return path


def test_every_metric_with_its_interval_and_how_it_was_found(cli, rows: Path) -> None:
    text = cli("score", rows).out
    for name in ("AUC", "partial AUC (FPR ≤ 0.1)", "TPR at 1% FPR", "AP", "EER", "F1", "MCC", "log-loss", "ECE"):
        assert f"| {name} " in text
    heading = next(line for line in text.splitlines() if line.startswith("| metric"))
    assert [cell.strip() for cell in heading.strip("|").split("|")] == [
        "metric",
        "all (40+40)",
        "average (40+40)",
        "m1 (40+20)",
        "m3 (40+20)",
    ]
    assert "coverage 0.9756 (1 unreadable, 1 no_face)" in text
    assert "95% intervals: 1,000 resamples of 62 videos, seed 0; AUC: DeLong, clustered" in text
    assert "few videos, counted by their units (effective number: 20 of reals, 20 of fakes of m1" in text
    assert "`data:rows|split:none|" in text and "|det:mine|" in text


def test_independent_frames_have_delong(cli, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("id,label,score\n" + "".join(f"f{i},{i % 2},{(i * 37 % 50) / 50}\n" for i in range(50)))
    text = cli("score", path).out
    assert "1,000 resamples of 50 frames, seed 0; AUC: DeLong" in text
    assert "TPR at 1% FPR, TPR at 0.1% FPR: no interval: 25 real units are too few for this rate" in text


def test_no_intervals_where_none_are_wanted(cli, rows: Path, tmp_path: Path) -> None:
    card = tmp_path / "plain.yaml"
    card.write_text("name: plain\nlevel: frame\nbootstrap: {resamples: 0}\nmetrics: [auc]\n")
    text = cli("score", rows, "-p", card).out
    assert "[0." not in text and "resamples" not in text and "ci:none" in text


def test_null_says_why(cli, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("id,label,score\na,1,0.5\nb,1,0.75\n")
    text = cli("score", path).out
    assert next(line for line in text.splitlines() if line.startswith("| AUC ")).split("|")[2].strip() == "null"
    assert "AUC, partial AUC (FPR ≤ 0.1), TPR at 1% FPR, TPR at 0.1% FPR, …: no real unit has a score" in text
