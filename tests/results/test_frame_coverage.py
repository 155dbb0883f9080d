"""Coverage of frames, next to coverage of videos: in units, results, signatures, boards, and in `check`."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from toy_units import make_rows

import m2f2bench
from m2f2bench.cards.models import ProtocolCard
from m2f2bench.leaderboards.board import Board
from m2f2bench.leaderboards.render import render
from m2f2bench.leaderboards.report import describe_result
from m2f2bench.leaderboards.table import build_table
from m2f2bench.results.result import Result
from m2f2bench.results.signature import coverage_text, share
from m2f2bench.results.store import PREDICTIONS
from m2f2bench.results.units import FEWEST_CLUSTERS, to_units

VIDEOS = """
import numpy as np
from m2f2bench.datasets.base import Adapter
from m2f2bench.core.records import Frame, Locator


class Videos(Adapter):
    '''40 videos of 8 frames, every second one fake and brighter; a frame's number stands in its first pixel.'''

    name = "toy-videos"
    splits = ("test",)

    def frames(self, split):
        return [
            Frame(f"v{v:02d}/{i}", f"v{v:02d}", v % 2, "swap" if v % 2 else "original", split, (f"p{v}",),
                  Locator("", index=8 * v + i))
            for v in range(40) for i in range(8)
        ]

    def read(self, frame):
        v, i = divmod(frame.locator.index, 8)
        level = np.random.default_rng(v).normal(110 + 40 * (v % 2), 25)
        pixels = np.full((16, 16, 3), np.clip(level, 0, 255), np.uint8)
        pixels[0, 0] = (i, v, 0)
        return pixels


class Sees:
    def crashes(self, video, number):
        return False

    def predict(self, images):
        for image in images:
            number, video = (int(x) for x in image[0, 0][:2])
            if self.crashes(video, number):
                raise ValueError("no")
        return [float(image[1:].mean()) / 255 for image in images]


class Equal(Sees):
    pass


class SevenOfEight(Sees):
    def crashes(self, video, number):
        return number > 0


class OneInTen(Sees):
    def crashes(self, video, number):
        return video % 10 == 3


class OneFrame(Sees):
    def crashes(self, video, number):
        return (video, number) == (7, 3)
"""


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """A dataset, detectors in a file, and one detector's run as the baseline."""
    (tmp_path / "mine.py").write_text(VIDEOS)
    m2f2bench.run(
        detectors=f"{tmp_path}/mine.py:Sees",
        datasets=f"{tmp_path}/mine.py:Videos",
        protocols="video",
        out=tmp_path / "r",
    )
    (run,) = (tmp_path / "r").glob("mine.Sees--*")
    run.rename(tmp_path / "baseline")
    return tmp_path


@pytest.mark.parametrize("rows", [True, False])
def test_a4_check_tells_coverage_of_frames_and_of_videos(cli, videos: Path, rows: bool) -> None:
    """A video with one scored frame of eight is covered, although seven eighths of its frames are lost."""
    baseline = videos / "baseline"
    if not rows:
        (baseline / PREDICTIONS).unlink()

    def check(name: str, *words: object) -> object:
        return cli("check", baseline, "-d", f"{videos}/mine.py:{name}", "-s", f"{videos}/mine.py:Videos", *words)

    few = check("SevenOfEight")
    assert few.status == 1 and "coverage of frames fell from 1 to 0.125: 280 error" in few.err
    assert "coverage of videos" not in few.err
    lost = check("OneInTen")
    assert lost.status == 1
    assert "coverage of videos fell from 1 to 0.9, coverage of frames fell from 1 to 0.9: 32 error" in lost.err
    one = check("OneFrame")
    assert one.status == 1 and "coverage of frames fell from 1 to 0.9969: 1 error" in one.err
    equal = check("Equal")
    assert equal.status == 0 and equal.out.startswith("passed"), equal
    assert ("compared with its intervals" in equal.out) != rows
    found = json.loads(check("Equal", "--json").out)[0]
    assert all(not one["failed"] for one in found["checked"]) and found["problems"] == []


def test_a4_older_baselines_tell_frames_by_their_statuses(cli, videos: Path) -> None:
    path = videos / "baseline" / "result.json"
    old = json.loads(path.read_text())
    del old["frame_coverage"], old["measured"]["cov"]
    old["signature"] = old["signature"].rsplit("|cov:", 1)[0]
    path.write_text(json.dumps(old))
    assert Result.from_json(old).frame_coverage is None and cli("validate", path.parent).status == 0
    words = ["check", path.parent, "-s", f"{videos}/mine.py:Videos", "-d"]
    few = cli(*words, f"{videos}/mine.py:SevenOfEight")
    assert few.status == 1 and "coverage of frames fell from 1 to 0.125" in few.err
    equal = cli(*words, f"{videos}/mine.py:Equal")
    assert equal.status == 0 and "note: cov" not in equal.out


def test_a4_both_stand_in_result_and_signature(videos: Path) -> None:
    found = m2f2bench.run(
        detectors=[f"{videos}/mine.py:{name}" for name in ("SevenOfEight", "OneInTen", "Equal")],
        datasets=f"{videos}/mine.py:Videos",
        protocols="video",
        out=videos / "o",
    )
    told = {r.detector.split(".")[1]: (r.frame_coverage, r.coverage, r.signature.split("|")[-1]) for r in found}
    assert told == {
        "SevenOfEight": (0.125, 1.0, "cov:0.125/1"),
        "OneInTen": (0.9, 0.9, "cov:0.9/0.9"),
        "Equal": (1.0, 1.0, "cov:1/1"),
    }
    for folder in found.folders:
        assert m2f2bench.validate_result(folder) == []
    text = describe_result(found[0])
    assert "coverage 1, of the frames 0.125 (280 error)" in text
    data = json.loads((found.folders[0] / "result.json").read_text())
    data["frame_coverage"] = 0.5
    (found.folders[0] / "result.json").write_text(json.dumps(data))
    assert any("cov is 0.125/1" in problem for problem in m2f2bench.validate_result(found.folders[0]))
    data["frame_coverage"] = 1.5
    (found.folders[0] / "result.json").write_text(json.dumps(data))
    assert any(
        "'frame_coverage'" in p and "less than or equal to 1" in p for p in m2f2bench.validate_result(found.folders[0])
    )


def test_a4_boards_say_frame_coverage_in_every_form(cli, videos: Path, tmp_path: Path) -> None:
    words = ["run", "-s", f"{videos}/mine.py:Videos", "-p", "video", "--out", tmp_path / "o"]
    names = ("SevenOfEight", "OneInTen", "Equal")
    printed = cli(*words, *(w for name in names for w in ("-d", f"{videos}/mine.py:{name}"))).out
    assert "(coverage 1, of frames 0.125)" in printed and "(coverage 0.900)" in printed
    assert "mine.SevenOfEight on toy-videos (video): coverage 1, of the frames 0.125 (280 error)" in printed.replace(
        "mine.Videos", "toy-videos"
    )
    board = tmp_path / "o"
    assert "coverage 1, of frames 0.125" in (board / "leaderboard.tex").read_text()
    assert "coverage 1, of frames 0.125" in (board / "leaderboard.html").read_text()
    cells = list(csv.DictReader(io.StringIO((board / "leaderboard.csv").read_text())))
    assert {(c["detector"], c["coverage"], c["frame_coverage"]) for c in cells} == {
        ("mine.SevenOfEight", "1.0", "0.125"),
        ("mine.OneInTen", "0.9", "0.9"),
        ("mine.Equal", "1.0", "1.0"),
    }
    data = json.loads((board / "leaderboard.json").read_text())
    assert {cell["frame_coverage"] for row in data["rows"] for cell in row["cells"]} == {0.125, 0.9, 1.0}


def test_one_detector_stays_one_row_whatever_it_covered(tmp_path: Path) -> None:
    """The coverage differs between datasets: it is still the same detector."""
    results = []
    for name, holes in (("a", 0), ("b", 5)):
        table = pd.DataFrame({"id": range(40), "label": [0, 1] * 20, "score": np.linspace(0, 1, 40)})
        table["status"] = ["no_face"] * holes + ["ok"] * (40 - holes)
        table.to_csv(tmp_path / f"{name}.csv", index=False)
        found = m2f2bench.score(tmp_path / f"{name}.csv", detector="one")
        measured = {**found.measured, "data": name}
        results.append(replace(found, dataset=name, measured=measured))
    table = build_table(results)
    assert len(table.rows) == 1 and None not in table.rows[0].cells and "cov:" not in table.rows[0].signature
    assert "(coverage 0.875)" in render(Board(table), "md")
    (alone,) = build_table(results[1:]).rows
    assert alone.signature.endswith("|cov:0.875/0.875"), "where all its numbers have the same, its row tells it"


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (0.0, "0"), (0.125, "0.125"), (0.99999, "0.9999"), (2 / 3, "0.6667")]
)
def test_a_share_is_never_rounded_up_to_one(value: float, text: str) -> None:
    assert share(value) == text and coverage_text(value, 1.0) == f"{text}/1"


def test_f4_coverage_of_nothing_is_zero() -> None:
    for level in ("frame", "video"):
        units = to_units(make_rows(), ProtocolCard.model_validate({"name": "p", "level": level}))
        assert (units.coverage, units.frame_coverage, units.n_clusters, units.methods) == (0.0, 0.0, 0, ())


@pytest.mark.parametrize("missing", ["drop", "half", "wrong"])
def test_frame_coverage_by_hand(missing: str) -> None:
    """Two of five frames and two of three videos have a score, under every missing rule."""
    rows = make_rows(
        ("a", "m", 1, 0.9),
        ("a", "m", 1, None),
        ("b", "m", 1, None),
        ("r", "original", 0, 0.2),
        ("r", "original", 0, None),
    )
    card = ProtocolCard.model_validate({"name": "p", "level": "video", "missing": missing})
    units = to_units(rows, card)
    assert units.frame_coverage == pytest.approx(2 / 5) and units.coverage == pytest.approx(2 / 3)
    faces = replace(rows, picture=np.array(["a/0", "a/0", "b/0", "r/0", "r/0"], dtype=object))
    card = ProtocolCard.model_validate({"name": "p", "level": "frame", "faces": "max", "missing": missing})
    units = to_units(faces, card)
    assert units.frame_coverage == pytest.approx(2 / 5) and units.coverage == pytest.approx(2 / 3)


def test_check_compares_all_frames_where_holes_count_as_wrong(cli, videos: Path, tmp_path: Path) -> None:
    """The baseline failed on as many, but other frames: under `wrong` each keeps its own, and the loss shows."""
    card = tmp_path / "wrong.yaml"
    card.write_text("name: wrong\nlevel: frame\nmissing: wrong\nmetrics: [auc, accuracy]\n")
    n = 200
    label = np.arange(n) % 2
    score = np.where(label == 1, 0.9, 0.1)
    for name, holes in (("then", range(0, 40, 2)), ("now", range(1, 41, 2))):
        status = np.array(["ok"] * n, dtype=object)
        status[list(holes)] = "error"
        table = pd.DataFrame(
            {"frame": [f"f{i:03d}" for i in range(n)], "label": label, "score": score, "status": status}
        )
        folder = tmp_path / name
        folder.mkdir()
        table.to_parquet(folder / PREDICTIONS)
        result = m2f2bench.score(folder / PREDICTIONS, protocol=str(card), detector=name)
        (folder / "result.json").write_text(json.dumps(result.to_json()))
    outcome = cli("check", tmp_path / "then", "--run", tmp_path / "now")
    assert "compared on the" not in outcome.out and outcome.status == 0, outcome
    assert "0.9000 -> 0.9000" in outcome.out


def test_f4_what_is_drawn_is_named_by_what_it_is() -> None:
    """One video with two frames is enough to resample videos; an empty list is resampled by frame."""
    frame = ProtocolCard(name="f", level="frame")
    lines = [("a", "m", 1, 0.9), ("a", "m", 1, 0.8), ("b", "original", 0, 0.1), ("c", "original", 0, 0.2)]
    assert (to_units(make_rows(*lines), frame).clustered_by, to_units(make_rows(*lines), frame).n_clusters) == (
        "video",
        3,
    )
    assert to_units(make_rows(*lines[1:]), frame).clustered_by == "frame"
    assert to_units(make_rows(), frame).clustered_by == "frame"
    assert FEWEST_CLUSTERS == 10, "another number moves every interval of people who are joined to few groups"


def run_folder(folder: Path, score: np.ndarray, status: np.ndarray | None = None) -> Path:
    """A run's folder of 200 frames, every second one fake."""
    n = len(score)
    frame, ok = [f"f{i:03d}" for i in range(n)], np.array(["ok"] * n, dtype=object)
    table = pd.DataFrame({"frame": frame, "label": np.arange(n) % 2, "score": score})
    table["status"] = ok if status is None else status
    folder.mkdir()
    table.to_parquet(folder / PREDICTIONS)
    result = m2f2bench.score(folder / PREDICTIONS, detector=folder.name)
    (folder / "result.json").write_text(json.dumps(result.to_json()))
    return folder


def test_f4_check_compares_what_has_a_score_then_and_now(cli, tmp_path: Path) -> None:
    """As many frames failed as before, but others: on the common 160 both are equal; the note counts them."""
    score = np.random.default_rng(0).uniform(size=200)
    status = {name: np.array(["ok"] * 200, dtype=object) for name in ("then", "now")}
    status["then"][:20], status["now"][20:40] = "error", "no_face"
    folders = [run_folder(tmp_path / name, score, status[name]) for name in ("then", "now")]
    outcome = cli("check", folders[0], "--run", folders[1])
    assert outcome.status == 0, outcome
    note = "compared on the 160 frames with a score then and now: 20 have one only then, 20 only now"
    assert note in outcome.out
    auc = roc_auc_score(np.arange(40, 200) % 2, score[40:])
    assert f"auc                {auc:.4f} -> {auc:.4f}, +0.0000" in outcome.out


def test_f4_check_tells_a_metric_that_is_gone(cli, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folders = [run_folder(tmp_path / n, rng.uniform(0, top, 200)) for n, top in (("then", 1.0), ("now", 0.4))]
    outcome = cli("check", folders[0], "--run", folders[1], "-m", "precision")
    assert outcome.status == 1 and "precision fell from 0." in outcome.err and "to null" in outcome.err
    back = cli("check", folders[1], "--run", folders[0], "-m", "precision", "-m", "auc")
    assert back.status == 0 and "?    precision          null -> 0." in back.out, back
    assert "compared on" not in back.out, "all frames have a score then and now"
