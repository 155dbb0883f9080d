"""One detector with several trainings: `run -d 'runs/seed*'`, really trained, and its row on boards of all formats."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import m2f2bench
from m2f2bench.core.errors import CardError
from m2f2bench.core.patterns import is_pattern, matching
from m2f2bench.leaderboards.board import Board, mean_curve
from m2f2bench.runs.trainings import trainings_at
from m2f2bench.stats.delong import auc_or_none

FACES = """
name: faces
adapter: synthetic
options:
  {{cache: {cache}, seed: 3, size: 64, train: 4, val: 2, test: 10, frames_per_video: 2, methods: [swap, lowres]}}
"""
TINY = """
name: tiny
backend: timm
input: {size: 32}
options: {model: resnet10t, model_kwargs: {channels: [8, 8, 16, 16]}}
training: {epochs: 1, batch_size: 8, lr: 0.002}
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small dataset, and three trainings of one small network on it."""
    folder = tmp_path_factory.mktemp("trainings")
    (folder / "faces.yaml").write_text(FACES.format(cache=folder / "cache"))
    (folder / "tiny.yaml").write_text(TINY)
    for seed in range(3):
        m2f2bench.train(str(folder / "tiny.yaml"), str(folder / "faces.yaml"), seed=seed, out=folder / f"seed{seed}")
    return folder


@pytest.fixture(scope="module")
def judged(work: Path) -> tuple[Any, Board]:
    detectors = [f"{work}/seed*", "random"]
    results = m2f2bench.run(detectors=detectors, datasets=str(work / "faces.yaml"), out=work / "judged")
    return results, results.board()


@pytest.mark.slow
def test_a_pattern_is_one_detector_and_each_training_has_its_result(judged: tuple[Any, Board], work: Path) -> None:
    results, board = judged
    assert [one.detector for one in results] == ["tiny-seed0", "tiny-seed1", "tiny-seed2", "random"]
    assert [one.measured["seed"] for one in results[:3]] == [0, 1, 2]
    rows = {row.detector: row for row in board.table.rows}
    assert set(rows) == {"tiny", "random"} and rows["tiny"].trained == "3 trainings" and rows["random"].trained == ""
    values = [one.metrics["auc"].value for one in results[:3]]
    assert len(set(values)) == 3
    score = rows["tiny"].cells[0].score
    assert score.value == pytest.approx(np.mean(values)) and score.deviation == pytest.approx(np.std(values, ddof=1))
    assert score.ci is not None and score.ci[0] < score.value < score.ci[1]
    curve = next(one for one in board.curves if one.detector == "tiny")
    assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(score.value)
    assert "over people and trainings" in board.lead[0] and "2 detectors" in board.lead[0]


@pytest.mark.slow
def test_rows_on_disk_are_not_judged_again(
    judged: tuple[Any, Board], work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("m2f2bench.runs.judging.begin", None)
    again = m2f2bench.run(detectors=f"{work}/seed*", datasets=str(work / "faces.yaml"), out=work / "judged")
    assert [one.metrics for one in again] == [one.metrics for one in judged[0][:3]]


@pytest.mark.slow
def test_boards_of_all_formats_say_count_deviation_and_interval(judged: tuple[Any, Board]) -> None:
    results, board = judged
    score = next(row for row in board.table.rows if row.detector == "tiny").cells[0].score
    number, spread = f"{score.value:.3f}", f"{score.deviation:.3f}"
    ends = f"[{score.ci[0]:.3f}, {score.ci[1]:.3f}]"
    texts = {format: results.table(format) for format in ("md", "tex", "html", "csv", "json")}
    for format in ("md", "tex", "html"):
        assert "3 trainings" in texts[format] and number in texts[format] and spread in texts[format], format
        assert ends in texts[format] and "over people and trainings" in texts[format], format
    assert f"{number} ± {spread} {ends}" in texts["md"].replace("*", "").replace("†", "")
    line = next(csv.DictReader(io.StringIO(texts["csv"])))
    frame = board.to_pandas()
    cell = json.loads(texts["json"])["rows"]
    cell = next(row for row in cell if row["detector"] == "tiny")
    assert cell["trainings"] == cell["cells"][0]["trainings"] == 3
    own = frame[(frame.detector == "tiny") & (frame.metric == "auc") & (frame.method == "")].iloc[0]
    assert own.trainings == 3 and own.deviation == cell["cells"][0]["deviation"] == score.deviation
    lines = [one for one in csv.DictReader(io.StringIO(texts["csv"])) if one["detector"] == "tiny"]
    assert lines[0]["trainings"] == "3" and float(lines[0]["deviation"]) == score.deviation and "trainings" in line
    assert f"{number} ± {spread} {ends}" in board._repr_html_() and ">trainings<" in board._repr_html_()


@pytest.mark.slow
def test_without_seeds_each_row_says_that_it_is_one_training(judged: tuple[Any, Board], work: Path, cli) -> None:
    text = cli("leaderboard", work / "judged").out
    assert text.count("one training") == 6 - 3 and "tiny-seed1" in text and "One training: another seed" in text
    random = next(line for line in text.splitlines() if "| random" in line)
    assert "training" not in random
    pooled = cli("leaderboard", work / "judged", "--seeds").out
    assert "tiny-seed1" not in pooled and "faces · 3 trainings" in pooled


def copied(work: Path, place: Path, seeds: tuple[int, ...], **changes: Any) -> str:
    """Copies of trainings as c0, c1, …; the last one's card with changed training settings."""
    for number, seed in enumerate(seeds):
        shutil.copytree(work / f"seed{seed}", place / f"c{number}")
    path = place / f"c{len(seeds) - 1}" / "card.yaml"
    card = yaml.safe_load(path.read_text())
    card["training"] |= changes
    path.write_text(yaml.safe_dump(card))
    return f"{place}/c*"


@pytest.mark.slow
def test_what_is_no_set_of_trainings_is_refused(work: Path, cli, one_line, tmp_path: Path) -> None:
    def refused(pattern: str) -> str:
        return one_line(cli("run", "-d", pattern, "-s", work / "faces.yaml", "--out", tmp_path / "out"))

    assert "matches nothing" in refused(f"{tmp_path}/none*")
    assert "'c0' and" not in refused(f"{work}/judge*") and "is no trained detector" in refused(f"{work}/judge*")
    assert "its card has no weights" in refused(f"{work}/tin*.yaml")
    assert "have the same weights: give each training once" in refused(copied(work, tmp_path / "a", (0, 0, 0), seed=7))
    assert "two trainings of seed 0" in refused(copied(work, tmp_path / "b", (0, 1), seed=0))
    assert "differ in training.lr (0.002 / 0.1)" in refused(copied(work, tmp_path / "c", (0, 1), lr=0.1))
    other = copied(work, tmp_path / "d", (0, 1))
    card = tmp_path / "d" / "c1" / "card.yaml"
    card.write_text(card.read_text().replace("name: tiny", "name: other"))
    assert "matches trainings of 2 detectors ('other', 'tiny')" in refused(other)
    assert "is a pattern, which only run -d takes" in one_line(
        cli("localize", "-d", f"{work}/seed*", "-s", "synthetic")
    )
    assert "a detector and not its rows: judge it first" in one_line(cli("score", f"{work}/seed*"))


@pytest.mark.slow
def test_a_training_learned_from_other_data_is_refused(work: Path, tmp_path: Path) -> None:
    pattern = copied(work, tmp_path, (0, 1))
    record = tmp_path / "c1" / "training.json"
    found = json.loads(record.read_text())
    found["n_train"]["frames"] += 1
    record.write_text(json.dumps(found))
    with pytest.raises(CardError, match="differ in frames to learn from"):
        trainings_at(pattern)


@pytest.mark.slow
def test_cards_whose_names_have_a_seed_keep_them(work: Path, tmp_path: Path) -> None:
    pattern = copied(work, tmp_path, (1, 2))
    for number in range(2):
        card = tmp_path / f"c{number}" / "card.yaml"
        card.write_text(card.read_text().replace("name: tiny", f"name: mine-seed{number + 5}"))
    assert [card.name for card in trainings_at(pattern)] == ["mine-seed5", "mine-seed6"]


def test_patterns_sort_numbers_by_size_and_leave_hidden_names_out(tmp_path: Path) -> None:
    for name in ("seed10", "seed2", ".seed1", "s[1]"):
        (tmp_path / name).mkdir()
    assert [one.name for one in matching(f"{tmp_path}/*seed*")] == ["seed2", "seed10"]
    assert is_pattern(f"{tmp_path}/seed?") and not is_pattern(tmp_path / "s[1]") and not is_pattern("runs/seed0")


def test_the_area_of_a_mean_curve_is_the_mean_area() -> None:
    rng = np.random.default_rng(0)
    label, curves, areas = np.arange(40) % 2, [], []
    for _ in range(3):
        score = np.round(rng.normal(size=40) + label, 1)  # with ties
        cuts = np.unique(score)[::-1]
        rates = [[(score[label == k] >= cut).mean() for cut in cuts] for k in (0, 1)]
        curves.append((np.array([0.0, *rates[0]]), np.array([0.0, *rates[1]])))
        areas.append(auc_or_none(label, score))
    fpr, tpr = mean_curve(curves)
    assert np.trapezoid(tpr, fpr) == pytest.approx(np.mean(areas))
    assert (np.diff(fpr) >= 0).all() and (np.diff(tpr) >= -1e-12).all()
