"""Runs in which nothing, or next to nothing, could be judged: no table of nulls, and a warning above one of few."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT
from PIL import Image

import m2f2bench
from m2f2bench.core.errors import M2F2BenchError, NothingJudged
from m2f2bench.datasets.sheet import contact_sheet
from m2f2bench.inference.predict import predict_paths
from m2f2bench.loading import load_dataset

BOARDS = ROOT / "leaderboards"
PLUG = """
import numpy as np
class Fails:
    def predict(self, images):
        raise RuntimeError("no luck")
class Asked:
    def predict(self, images):
        return [0.5] * len(images)
    def explain(self, image, questions):
        raise RuntimeError("speechless")
"""


@pytest.fixture
def broken(squares: Path) -> Path:
    """The folder `squares` with every picture cut short."""
    for path in squares.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:60])
    return squares


def rows(path: Path, statuses: list[str]) -> Path:
    lines = [f"f{i},{i % 2},{0.5 if status == 'ok' else ''},{status}" for i, status in enumerate(statuses)]
    path.write_text("\n".join(["id,label,score,status", *lines]) + "\n")
    return path


def test_d2_run_with_nothing_readable_has_no_table(cli, one_line, broken: Path, tmp_path: Path) -> None:
    outcome = cli("run", "-d", "constant", "-s", broken, "--out", tmp_path / "o")
    assert outcome.status == 2 and outcome.out == ""
    line = outcome.err.strip().splitlines()[-1]
    assert "none of 48 frames could be judged, first" in line and "unreadable: " in line
    assert not list((tmp_path / "o").rglob("result.json")) and not list((tmp_path / "o").rglob("leaderboard.*"))
    with pytest.raises(NothingJudged, match="none of 48 frames"):
        m2f2bench.run(detectors="constant", datasets=str(broken), out=tmp_path / "p")
    assert "no result.json" in one_line(cli("leaderboard", tmp_path / "o"))
    place = tmp_path / "o" / "constant--squares--frame" / "predictions.parquet"
    for words in (["score", place], ["plot", "roc", place, "--out", tmp_path / "a.png"]):
        assert "none of 48 frames could be judged" in one_line(cli(*words))


def test_d2_the_other_runs_go_on(cli, broken: Path, tmp_path: Path) -> None:
    for name, value in (("real", 60), ("fake", 90)):
        (tmp_path / "whole" / name).mkdir(parents=True)
        Image.fromarray(np.full((32, 32, 3), value, np.uint8)).save(tmp_path / "whole" / name / "a.png")
    words = ["-s", broken, "-s", tmp_path / "whole", "--out", tmp_path / "o"]
    outcome = cli("run", "-d", "constant", *words)
    line = outcome.err.strip().splitlines()[-1]
    assert outcome.status == 2 and "constant--squares--frame: none of 48 frames" in line
    assert f"the other results are in '{tmp_path / 'o'}'" in line
    assert "whole" in cli("leaderboard", tmp_path / "o").out
    line = cli("run", "-d", "constant", "-d", "random", *words).err.strip().splitlines()[-1]
    assert "(and 1 more runs)" in line


def test_d2_rows_without_a_score(cli, one_line, tmp_path: Path) -> None:
    file = rows(tmp_path / "a.csv", ["unreadable", "no_face", "error", "missing"])
    good = rows(tmp_path / "b.csv", ["ok"] * 4)
    for words in (["score", file], ["compare", good, file], ["plot", "roc", file, "--out", tmp_path / "a.png"]):
        assert "none of 4 frames could be judged, first 'f0' (unreadable)" in one_line(cli(*words))
    with pytest.raises(NothingJudged):
        m2f2bench.score(file)


def test_d2_predict(cli, one_line, broken: Path, tmp_path: Path) -> None:
    files = sorted((broken / "real").glob("*.png"))[:3]
    line = one_line(cli("predict", "--no-faces", *files, "-d", "constant"))
    assert "none of 3 files could be judged, first" in line and "unreadable: " in line
    assert "could be judged" in one_line(cli("predict", "--no-faces", *files, "-d", "constant", "--json"))
    with pytest.raises(NothingJudged):
        predict_paths(files, "constant")
    Image.fromarray(np.full((32, 32, 3), 90, np.uint8)).save(tmp_path / "good.png")
    outcome = cli("predict", "--no-faces", files[0], tmp_path / "good.png", "-d", "constant")
    assert outcome.status == 0 and "unreadable" in outcome.out and "0.5000" in outcome.out


def test_d2_check_of_a_detector_that_fails_on_everything(cli, squares: Path, tmp_path: Path) -> None:
    assert cli("run", "-d", "constant", "-s", squares, "--out", tmp_path / "o").status == 0
    plug = tmp_path / "plug.py"
    plug.write_text(PLUG)
    outcome = cli("check", tmp_path / "o", "-d", f"{plug}:Fails", "-s", squares)
    assert outcome.status == 2 and "failed on all of the first 32 frames" in outcome.err


def test_d2_audit_sheet_and_maps(cli, one_line, broken: Path, tmp_path: Path) -> None:
    assert "audit of squares: none of 48 frames" in one_line(cli("audit", broken))
    assert "contact sheet: none of" in one_line(cli("sheet", broken, "--out", tmp_path / "a.png"))
    assert not (tmp_path / "a.png").exists()
    with pytest.raises(NothingJudged):
        contact_sheet(load_dataset(str(broken)).adapter, "test", tmp_path / "a.png")


def test_d2_training_stops(cli, broken: Path, tmp_path: Path) -> None:
    for split in ("train", "val"):
        shutil.copytree(broken, tmp_path / "d" / split)
    outcome = cli("train", "frequency", "-s", tmp_path / "d", "--out", tmp_path / "t")
    assert outcome.status == 2 and "cannot be read" in outcome.err and not (tmp_path / "t" / "card.yaml").exists()


def test_d2_a_result_of_nothing_is_on_no_board(cli, one_line, tmp_path: Path) -> None:
    file = tmp_path / "random--ddvqa-c40--frame.json"
    data = json.loads((BOARDS / "results" / file.name).read_text())
    for change in ({"coverage": 0.0}, {"statuses": {"unreadable": 144}}, {"statuses": {}}):
        file.write_text(json.dumps(data | change))
        for words in (["leaderboard"], ["plot", "ranks", "--out", tmp_path / "a.png"], ["check"]):
            assert "no frame or question in it was judged" in one_line(cli(*words, file))
        assert "no frame or question in it was judged" in cli("validate", file).out


def test_d7_a_leaderboard_without_a_row_is_an_error(cli, one_line, squares: Path, tmp_path: Path) -> None:
    assert cli("run", "-d", "constant", "-s", squares, "--out", tmp_path / "o").status == 0
    line = one_line(cli("leaderboard", "ddvqa-c40", tmp_path / "o"))
    assert "leaderboard 'ddvqa-c40' has no row" in line and str(tmp_path / "o") in line
    (tmp_path / "leaderboards").mkdir()
    (tmp_path / "leaderboards" / "mine.yaml").write_text("name: mine\ncolumns: [{dataset: squares}]\n")
    assert "has no row" in one_line(cli("leaderboard", "mine", "--cards", tmp_path))
    assert "constant" in cli("leaderboard", "mine", tmp_path / "o", "--cards", tmp_path).out


def answers(path: Path, n: int, given: int) -> Path:
    asked = load_dataset("synthetic").questions("test", "judge")[:n]
    lines = [{"id": q.id, "text": "The image is fake." if i < given else None} for i, q in enumerate(asked)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_c4_a_warning_stands_above_numbers_of_few(cli, tmp_path: Path) -> None:
    out = cli("score", answers(tmp_path / "a.jsonl", 10, 3), "-p", "judge", "-s", "synthetic", "--no-controls").out
    head, table = out.index("**Warning: only 3 of "), out.index("| metric")
    assert head < table and "have an answer (coverage 0.0" in out and "(the protocol's missing: wrong)" in out
    out = cli("score", rows(tmp_path / "b.csv", ["ok", "ok", *["error"] * 6])).out
    assert out.index("**Warning: only 2 of 8 frames have a score (coverage 0.25)") < out.index("| metric")
    assert "Warning" not in cli("score", rows(tmp_path / "c.csv", ["ok"] * 6 + ["error"] * 2)).out


def test_d2_answers_of_nothing(cli, one_line, tmp_path: Path) -> None:
    file = answers(tmp_path / "a.jsonl", 5, 0)
    for words in (["score"], ["report", "--out", tmp_path / "p.html"]):
        line = one_line(cli(*words, file, "-p", "judge", "-s", "synthetic"))
        assert "no text in any of its 5 answers" in line
    with pytest.raises(M2F2BenchError):
        m2f2bench.score(file, protocol="judge", dataset="synthetic")


def test_d2_an_explainer_that_fails_on_every_question(cli, tmp_path: Path) -> None:
    plug = tmp_path / "plug.py"
    plug.write_text(PLUG)
    words = ["-d", f"{plug}:Asked", "-s", "synthetic", "-p", "judge", "--limit", "4", "--out", tmp_path / "o"]
    outcome = cli("run", *words)
    assert outcome.status == 2, outcome
    assert "failed on the first image asked about" in outcome.err and "speechless" in outcome.err
