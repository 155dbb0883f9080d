"""Regression checks: what passes, what fails, how often; the command, the plugin in another project, the validator."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import norm

import m2f2bench
from m2f2bench.cards.models import ProtocolCard
from m2f2bench.core.files import write_json
from m2f2bench.core.rows import Rows
from m2f2bench.results.signature import detector_fields
from m2f2bench.results.store import PREDICTIONS
from m2f2bench.results.stored import stored_at
from m2f2bench.runs.check import _compare
from m2f2bench.scoring.detection import gather, score_rows
from m2f2bench.scoring.scored import Origin

BRIGHT = """
import numpy as np

class Bright:
    def __init__(self, noise: float = 0.0, seed: int = 0):
        self.noise, self.seed = noise, seed

    def predict(self, images):
        out = []
        for image in images:
            rng = np.random.default_rng([self.seed, int(image.sum())])
            out.append(float(np.clip(image.mean() / 255 + self.noise * rng.normal(), 0, 1)))
        return out

class Worse(Bright):
    def __init__(self):
        super().__init__(0.2)

class Slightly(Bright):
    def __init__(self):
        super().__init__(0.01)

class Blind:
    def predict(self, images):
        if len(images) == 1:
            raise ValueError("cannot see this one")
        return [float(image.mean()) / 255 for image in images]
"""


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """120 grey squares, the fakes a little brighter, a detector's file, and its run as the baseline."""
    rng = np.random.default_rng(0)
    for name, lift in (("real", 0), ("fake", 14)):
        (tmp_path / "faces" / name).mkdir(parents=True)
        for i in range(60):
            pixels = rng.normal(rng.normal(118 + lift, 10), 3, (16, 16, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "faces" / name / f"{i:02d}.png")
    (tmp_path / "mine.py").write_text(BRIGHT)
    m2f2bench.run(detectors=f"{tmp_path}/mine.py:Bright", datasets=str(tmp_path / "faces"), out=tmp_path / "runs")
    (tmp_path / "runs" / "mine.Bright--faces--frame").rename(tmp_path / "baseline")
    return tmp_path


def judge(folder: Path, name: str, *words: object) -> list[object]:
    return ["check", folder / "baseline", "-d", f"{folder}/mine.py:{name}", "-s", folder / "faces", *words]


def test_the_same_detector_passes_and_a_worse_one_fails(cli, faces: Path) -> None:
    same = cli(*judge(faces, "Bright"))
    assert same.status == 0 and same.out.startswith("passed: mine.Bright on faces, frame, against")
    assert "ok   auc" in same.out and "+0.0000, p = 1.0000" in same.out.replace(" [+0.0000, +0.0000]", "")
    worse = cli(*judge(faces, "Worse"))
    assert worse.status == 1 and worse.out.startswith("FAILED: mine.Worse")
    assert "FAIL auc" in worse.out and "auc fell from" in worse.err and "by more than noise" in worse.err
    assert len(worse.err.strip().splitlines()) == 1
    assert "note: det was mine.Bright, is mine.Worse" in worse.out and "note: weights was" in worse.out
    assert cli(*judge(faces, "Slightly")).status == 0, "within its own noise"
    assert cli(*judge(faces, "Worse", "--tolerance", "0.9")).status == 0
    found = json.loads(cli(*judge(faces, "Worse", "--json", "-m", "auc")).out)[0]
    assert not found["passed"] and [one["metric"] for one in found["checked"]] == ["auc"]


def test_a_finished_run_is_taken(cli, faces: Path) -> None:
    folder = faces / "new"
    m2f2bench.run(detectors=f"{faces}/mine.py:Worse", datasets=str(faces / "faces"), out=folder)
    assert cli("check", faces / "baseline", "--run", folder / "mine.Worse--faces--frame").status == 1
    assert cli("check", faces / "baseline", "--run", faces / "baseline").status == 0


def test_a_baseline_of_two_files(cli, faces: Path) -> None:
    (faces / "baselines").mkdir()
    for name, suffix in (("result.json", "json"), (PREDICTIONS, "parquet")):
        shutil.copy(faces / "baseline" / name, faces / "baselines" / f"mine.{suffix}")
    words = ["check", faces / "baselines" / "mine.json", "-d", f"{faces}/mine.py:Worse", "-s", faces / "faces"]
    outcome = cli(*words)
    assert outcome.status == 1 and "(DeLong)" in outcome.out, "the rows were found"
    (faces / "baselines" / "mine.parquet").unlink()
    assert "compared with its intervals" in cli(*words).out


def test_without_rows_the_interval_decides(cli, faces: Path) -> None:
    (faces / "baseline" / PREDICTIONS).unlink()
    same = cli(*judge(faces, "Bright"))
    assert same.status == 0 and "compared with its intervals, which is less sensitive" in same.out
    assert cli(*judge(faces, "Slightly")).status == 0
    worse = cli(*judge(faces, "Worse"))
    assert worse.status == 1 and "beyond the old interval" in worse.out


def test_other_data_and_other_rules_are_said_to_be_that(cli, faces: Path) -> None:
    path = faces / "faces" / "fake" / "07.png"
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    outcome = cli(*judge(faces, "Bright"))
    assert outcome.status == 1
    assert (
        "the signature has changed, so the numbers cannot be compared: data (frames, labels or pixels)" in outcome.err
    )


def test_lost_coverage_fails(cli, faces: Path) -> None:
    path = faces / "faces" / "fake" / "07.png"
    baseline = json.loads((faces / "baseline" / "result.json").read_text())
    (faces / "few.py").write_text(
        BRIGHT + "\nclass Picky(Bright):\n    def predict(self, images):\n"
        "        if any(abs(i.mean() - 140) < 1 for i in images):\n            raise ValueError('no')\n"
        "        return super().predict(images)\n"
    )
    words = judge(faces, "Bright")
    words[3] = f"{faces}/few.py:Picky"
    outcome = cli(*words)
    assert baseline["coverage"] == 1.0 and path.exists()
    assert outcome.status == 1 and "coverage of frames fell from 1 to 0.9" in outcome.err and "error" in outcome.err


def test_mistakes_are_one_line(cli, one_line, faces: Path) -> None:
    assert "has no metric 'acuracy'; did you mean 'accuracy'" in one_line(cli(*judge(faces, "Bright", "-m", "acuracy")))
    assert "chance" in one_line(cli(*judge(faces, "Bright", "--chance", "2")))
    assert "has no result.json" in one_line(cli("check", faces / "faces"))


def test_f4_a_detector_is_held_against_one_baseline(cli, one_line, faces: Path) -> None:
    """A folder of two results needs no choice: each is checked with the detector that it names."""
    m2f2bench.run(detectors=["constant", "random"], datasets=str(faces / "faces"), out=faces / "two")
    for given in (["-d", "constant"], ["--run", faces / "baseline"]):
        told = one_line(cli("check", faces / "two", *given))
        assert "holds 2 results: give only one to check a detector or a run against" in told
    outcome = cli("check", faces / "two", "-s", faces / "faces", "--json", "-m", "accuracy")
    assert [one["detector"] for one in json.loads(outcome.out)] == ["constant", "random"]


def evidence(label: np.ndarray, score: np.ndarray, video: np.ndarray, card: ProtocolCard, name: str):
    n = len(label)
    text = np.array([f"f{i:04d}" for i in range(n)], dtype=object)
    empty = np.full(n, "", dtype=object)
    method = np.where(label == 1, "m", "original").astype(object)
    ok = np.full(n, "ok", dtype=object)
    rows = Rows(text, video, method, empty, ok, label, score, empty, text)
    return gather(rows, card, Origin("d", "test", None, detector_fields(name, name)))


@pytest.mark.slow
@pytest.mark.parametrize("clustered", [False, True])
def test_it_fails_at_the_stated_rates(tmp_path: Path, clustered: bool) -> None:
    """1,000 simulated releases (500 each way): equally good ones fail in at most 5%, much worse ones nearly always.

    The bound for 500 at 5% is 41 (99.9% of chance).
    """
    rng = np.random.default_rng(20)
    rules = {"name": "p", "level": "frame", "metrics": ["auc", "accuracy"], "bootstrap": {"resamples": 100}}
    card = ProtocolCard.model_validate(rules)
    people, frames = (60, 3) if clustered else (160, 1)
    label = np.repeat(np.arange(people) % 2, frames)
    video = np.repeat(np.array([f"v{i}" for i in range(people)], dtype=object), frames)
    failed = {"equal": 0, "worse": 0}
    for _ in range(500):
        shared = np.repeat(rng.normal(size=people), frames)

        def scores(gain: float, shared: np.ndarray = shared) -> np.ndarray:
            own = np.repeat(rng.normal(size=people), frames) * 0.5 + rng.normal(size=len(label)) * 0.5
            return 1 / (1 + np.exp(-(gain * (label - 0.5) + shared + own)))

        then = evidence(label, scores(2.0), video, card, "then")
        _store(tmp_path, then)
        stored = stored_at(tmp_path)
        assert stored is not None
        for name, gain in (("equal", 2.0), ("worse", 0.4)):
            now = evidence(label, scores(gain), video, card, "now")
            failed[name] += not _compare(stored, now, ["auc", "accuracy"], 0.05, 0.0).passed
    assert failed["equal"] <= 41, failed
    assert failed["worse"] >= 450, failed


def _store(folder: Path, found) -> None:
    rows = found.rows
    pd.DataFrame(
        {
            "frame": rows.frame,
            "video": rows.video,
            "method": rows.method,
            "label": rows.label,
            "status": rows.status,
            "score": rows.score,
        }
    ).to_parquet(folder / PREDICTIONS)
    plain = ProtocolCard.model_validate({**found.protocol.model_dump(), "bootstrap": {"resamples": 0}})
    result = score_rows(gather(rows, plain, Origin("d", "test", None, detector_fields("then", "then"))))
    data = result.to_json()
    data["protocol_card"], data["measured"] = found.protocol.model_dump(mode="json"), found.measured
    write_json(folder / "result.json", data)


PROJECT = """
import pytest


def test_release(m2f2bench_check):
    m2f2bench_check("mine.py:Bright", baseline="baseline", dataset="faces")


def test_worse(m2f2bench_check):
    m2f2bench_check("mine.py:Worse", baseline="baseline", dataset="faces")


@pytest.mark.m2f2bench(metrics=["auc"], tolerance=0.9, dataset="faces")
def test_settings_on_the_marker(m2f2bench_check):
    reports = m2f2bench_check("mine.py:Worse", baseline="baseline")
    assert [one.metric for one in reports[0].checked] == ["auc"]


def test_gone(m2f2bench_check):
    m2f2bench_check("mine.py:Bright", baseline="nowhere.json")


def test_nothing_to_do_with_it():
    pass
"""


@pytest.mark.slow
def test_the_plugin_in_a_project_of_its_own(faces: Path) -> None:
    """The installed entry point, in a separate process outside this repository."""
    (faces / "tests").mkdir()
    (faces / "tests" / "test_release.py").write_text(PROJECT)
    (faces / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")} | {"NO_COLOR": "1"}

    def pytest_(*words: str) -> str:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
        done = subprocess.run(command, cwd=faces, env=environment, capture_output=True, text=True, timeout=200)
        return done.stdout + done.stderr

    text = pytest_()
    assert "2 failed, 3 passed" in text, text
    assert "FAILED: mine.Worse on faces, frame, against" in text and "auc fell from" in text
    assert "nowhere.json" in text and "Traceback" not in text
    assert "1 passed, 4 deselected" in pytest_("-m", "not m2f2bench")
    assert "@pytest.mark.m2f2bench(metrics=()" in pytest_("--markers")


def test_validate(cli, faces: Path) -> None:
    folder = faces / "board"
    for name, source in (("results", "result.json"), ("predictions", PREDICTIONS)):
        (folder / name).mkdir(parents=True)
        suffix = Path(source).suffix
        shutil.copy(faces / "baseline" / source, folder / name / f"mine.Bright--faces--frame{suffix}")
    file = folder / "results" / "mine.Bright--faces--frame.json"
    assert cli("validate", file, faces / "baseline").out.count("valid  ") == 2
    good = json.loads(file.read_text())

    def changed(**changes: object) -> str:
        file.write_text(json.dumps({**good, **changes}))
        outcome = cli("validate", file)
        assert outcome.status == 1 and "INVALID" in outcome.out, outcome
        return outcome.out

    better = {**good["metrics"], "auc": {**good["metrics"]["auc"], "value": 0.99, "ci": [0.98, 1.0]}}
    assert "rows: metrics.auc is" in changed(metrics=better)
    assert "is not in its interval" in changed(metrics={**better, "auc": {**better["auc"], "ci": [0.1, 0.2]}})
    assert "is not in [0, 1]" in changed(metrics={**better, "auc": {**better["auc"], "value": 1.2}})
    assert "null without a reason" in changed(metrics={**better, "auc": {**better["auc"], "value": None, "ci": None}})
    assert "the short form does not match the fields" in changed(signature=good["signature"] + "|x:1")
    assert "thr is 0.4, but protocol" in changed(measured={**good["measured"], "thr": "0.4"})
    assert "schema: not a result file: unknown key 'extra'" in changed(extra=1)
    assert "key 'coverage': Input should be a valid number, not 'whole'" in changed(coverage="whole")
    assert "metrics: 'accuracy' of the protocol is missing" in changed(
        **{name: {"auc": good[name]["auc"]} for name in ("metrics", "average")}
    )
    assert "key 'metrics'" in changed(metrics={})
    assert "does not hold the rows" in changed(predictions="0" * 64)
    assert "64 hexadecimal digits" in changed(predictions="abc")
    assert "`oracle` is not what the protocol says" in changed(threshold={**good["threshold"], "oracle": True})
    file.write_text(json.dumps(good))
    (file.parent / "other.json").write_text(json.dumps(good))
    assert "must be called mine.Bright--faces--frame.json" in cli("validate", file.parent / "other.json").out
    assert cli("validate", faces / "nothing.json").status == 2


@pytest.mark.slow
def test_a_margin_turns_the_burden_of_proof_round(cli, one_line, faces: Path) -> None:
    same = cli(*judge(faces, "Bright", "--margin", "0.01"))
    assert same.status == 0 and "ok   auc" in same.out and "accuracy" not in same.out, "the primary metric alone"
    assert "note: passes only where a fall of 0.01 or more is ruled out at 0.05; intervals at 90%" in same.out
    # within its own noise, so the plain check passes it; but these few frames cannot rule out a fall of .001
    assert cli(*judge(faces, "Slightly")).status == 0
    narrow = cli(*judge(faces, "Slightly", "--margin", "0.001"))
    assert narrow.status == 1 and "that it is not worse by 0.001 or more is not shown (DeLong" in narrow.out
    assert "of an equal detector" in narrow.out and "would be ruled out in 80% of checks" in narrow.out
    assert cli(*judge(faces, "Slightly", "--margin", "0.2", "-m", "auc", "-m", "ece")).status == 0
    assert cli(*judge(faces, "Worse", "--margin", "0.02")).status == 1
    found = json.loads(cli(*judge(faces, "Worse", "--margin", "0.02", "--json")).out)[0]
    assert found["margin"] == 0.02 and found["checked"][0]["metric"] == "auc" and found["checked"][0]["p"] > 0.05
    for margin in ("0", "-0.1", "1", "nan"):
        assert "margin is" in one_line(cli(*judge(faces, "Bright", "--margin", margin)))
    assert "give one of them" in one_line(cli(*judge(faces, "Bright", "--margin", "0.01", "--tolerance", "0.01")))
    (faces / "baseline" / PREDICTIONS).unlink()
    assert "a margin needs the baseline's rows" in cli(*judge(faces, "Bright", "--margin", "0.01")).out


@pytest.mark.slow
def test_a_margin_passes_the_worse_in_five_of_a_hundred(tmp_path: Path) -> None:
    """300 releases that are worse by exactly the margin: at most 8.5% pass (5% and three standard errors)."""
    rng, margin = np.random.default_rng(21), 0.08
    rules = {"name": "p", "level": "frame", "metrics": ["auc"], "bootstrap": {"resamples": 20}}
    card = ProtocolCard.model_validate(rules)
    label = np.repeat(np.arange(60) % 2, 3)
    video = np.repeat(np.array([f"v{i}" for i in range(60)], dtype=object), 3)
    gap = {name: np.sqrt(2) * norm.ppf(auc) for name, auc in (("equal", 0.9), ("worse", 0.9 - margin))}
    passed = {"equal": 0, "worse": 0}
    for _ in range(300):
        common = np.repeat(rng.normal(size=60), 3) * 0.6 + rng.normal(size=len(label)) * 0.7

        def scores(gain: float, common: np.ndarray = common) -> np.ndarray:
            own = np.repeat(rng.normal(size=60), 3) * 0.3 + rng.normal(size=len(label)) * np.sqrt(0.06)
            return 1 / (1 + np.exp(-(gain * (label - 0.5) + common + own)))

        _store(tmp_path, evidence(label, scores(gap["equal"]), video, card, "then"))
        stored = stored_at(tmp_path)
        assert stored is not None
        for name, gain in gap.items():
            now = evidence(label, scores(gain), video, card, "now")
            passed[name] += _compare(stored, now, ["auc"], 0.05, 0.0, margin).passed
    assert passed["worse"] <= 25 and passed["equal"] >= 200, passed
