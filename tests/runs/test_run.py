"""Runs: detectors that misbehave, outputs that cannot be written, and runs killed at any moment."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rows_held import rows_held

import m2f2bench
from m2f2bench.core.records import Frame
from m2f2bench.results.parts import AHEAD
from m2f2bench.results.row_files import read_parquet
from m2f2bench.results.store import PREDICTIONS, RESULT
from m2f2bench.runs.detection import AGAIN

LOST = max(3 * (1 + AHEAD), AGAIN)
"""Frames that a kill can cost, in batches of three: those in flight, and those that wait to be written."""


def detector(folder: Path, body: str) -> str:
    """Write a plugin file with one class that has the given `score(image, i)`."""
    path = folder / f"plug{abs(hash(body)) % 10**8}.py"
    path.write_text(f"import numpy as np\nclass D:\n    def predict(self, images):\n        {body}\n")
    return f"{path}:D"


def test_json_is_a_list_and_the_folder_holds_both_files(cli, squares: Path, tmp_path: Path) -> None:
    outcome = cli("run", "-d", "constant", "-d", "random", "-s", squares, "--out", tmp_path / "o", "--json")
    assert outcome.status == 0
    results = json.loads(outcome.out)
    assert [r["detector"] for r in results] == ["constant", "random"]
    assert results[0]["metrics"]["auc"] == {"value": 0.5, "ci": [0.5, 0.5], "n_real": 24, "n_fake": 24}
    assert results[0]["coverage"] == 1.0 and "data:squares|" in results[0]["signature"]
    folder = tmp_path / "o" / "constant--squares--frame"
    assert sorted(p.name for p in folder.iterdir()) == [PREDICTIONS, RESULT]
    assert json.loads((folder / RESULT).read_text()) == results[0]
    assert (tmp_path / "o" / "leaderboard.md").read_text().startswith("## Results")


def test_a_frame_is_made_once_in_a_run(cli, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are listed, planned and scored as columns: objects are made where pixels are read, and for a few."""
    made: list[int] = []
    checked = Frame.__post_init__
    monkeypatch.setattr(Frame, "__post_init__", lambda self: (made.append(1), checked(self))[1])
    words = ("run", "-d", "constant", "-s", squares, "--out", tmp_path / "o", "--json")
    first = cli(*words)
    assert first.status == 0 and 48 <= len(made) < 48 + 8, "those looked at for scenes and judged again"
    made.clear()
    again = cli(*words)
    assert json.loads(again.out) == json.loads(first.out) and len(made) < 2 * 48 + 8, "their files, and their rows"


def test_a_detector_that_raises_on_one_frame(cli, squares: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((32, 32, 3), 255, np.uint8)).save(squares / "fake" / "07.png")
    body = "return [1 / 0 if image.min() == 255 else 0.5 for image in images]"
    outcome = cli("run", "-d", detector(tmp_path, body), "-s", squares, "--out", tmp_path / "o", "--json")
    assert outcome.status == 0
    result = json.loads(outcome.out)[0]
    assert result["statuses"] == {"ok": 47, "error": 1} and result["coverage"] == pytest.approx(47 / 48)
    assert result["metrics"]["auc"]["n_fake"] == 23
    assert "1 of 48 frames have no score" in outcome.err and "ZeroDivisionError: division by zero" in outcome.err
    printed = cli("run", "-d", detector(tmp_path, body), "-s", squares, "--out", tmp_path / "o").out
    assert "coverage 0.979" in printed


def test_nan_scores_are_rows_without_a_score(cli, squares: Path, tmp_path: Path) -> None:
    body = "return [float('nan') if image.mean() > 116 else 0.5 for image in images]"
    outcome = cli("run", "-d", detector(tmp_path, body), "-s", squares, "--out", tmp_path / "o", "--json")
    result = json.loads(outcome.out)[0]
    assert 0 < result["statuses"]["error"] < 48
    assert "the detector gave nan instead of a probability" in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return [3.5] * len(images)", "gave 3.5 for frame"),
        ("return [-0.1] * len(images)", "a score is P(fake) in [0, 1]; apply a sigmoid or softmax"),
        ("return [0.5]", "gave 1 scores for 32 frames, not one each"),
        ("return np.full((len(images), 2), 0.5)", "instead of one number per frame"),
        ("return 'fake'", "gave str 'fake' instead of one number per frame"),
        ("return None", "instead of one number per frame"),
        ("raise RuntimeError('no weights here')", "failed on all of the first 32 frames, first on 'fake/00.png'"),
        ("return [float('nan')] * len(images)", "failed on all of the first 32 frames"),
    ],
)
def test_a_detector_that_is_wrong_throughout(cli, one_line, squares, tmp_path: Path, body: str, said: str) -> None:
    line = one_line(cli("run", "-d", detector(tmp_path, body), "-s", squares, "--out", tmp_path / "o"))
    assert said in line


def test_unreadable_files_are_rows_and_never_another_image(cli, squares: Path, tmp_path: Path) -> None:
    """Traps 5 and 6."""
    (squares / "real" / "03.png").write_bytes(b"")
    (squares / "real" / "04.png").write_text("text")
    out = tmp_path / "o"
    outcome = cli("run", "-d", "random", "-s", squares, "--out", out, "--json")
    assert json.loads(outcome.out)[0]["statuses"] == {"ok": 46, "unreadable": 2}
    rows = read_parquet(out / "random--squares--frame" / PREDICTIONS)
    assert len(rows) == 48
    bad = {row.frame: row for row in rows if row.status != "ok"}
    assert set(bad) == {"real/03.png", "real/04.png"}
    assert all(row.score is None and row.message for row in bad.values())


def test_the_last_partial_batch_is_judged(squares: Path, tmp_path: Path) -> None:
    """Trap 11: 48 frames in batches of 7."""
    result = m2f2bench.run(detectors="random", datasets=str(squares), out=tmp_path, batch_size=7)[0]
    assert result.metrics["auc"].n_real + result.metrics["auc"].n_fake == 48


def test_batch_size_and_threads_change_nothing(squares: Path, tmp_path: Path) -> None:
    first = m2f2bench.run(detectors="random", datasets=str(squares), out=tmp_path / "a", batch_size=1, workers=1)
    second = m2f2bench.run(detectors="random", datasets=str(squares), out=tmp_path / "b", batch_size=48, workers=3)
    assert first[0] == second[0]


def test_limit_and_splits(cli, one_line, squares: Path, tmp_path: Path) -> None:
    words = ["run", "-d", "random", "-s", squares, "--out", tmp_path / "o"]
    result = json.loads(cli(*words, "--limit", 10, "--json").out)[0]
    assert result["metrics"]["auc"]["n_real"] == 5 and "|limit:10|" in result["signature"]
    assert "nothing to judge" in one_line(cli(*words, "--limit", 0))
    assert "no split 'tset'; did you mean 'test'?" in one_line(cli(*words, "--split", "tset"))


def test_an_output_folder_that_cannot_be_written(cli, one_line, squares: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = one_line(cli("run", "-d", "constant", "-s", squares, "--out", tmp_path / "file" / "out"))
    assert "cannot write" in line and "Not a directory" in line
    assert "cannot write" in one_line(cli("run", "-d", "constant", "-s", squares, "--out", "/proc/nothing"))


def test_protocols_share_predictions(squares: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    plug = detector(tmp_path, f"open({str(log)!r}, 'a').write('x' * len(images)); return [0.5] * len(images)")
    m2f2bench.run(detectors=plug, datasets=str(squares), protocols=["frame", "video"], out=tmp_path / "o")
    m2f2bench.run(detectors=plug, datasets=str(squares), protocols=["frame", "video"], out=tmp_path / "o")
    assert len(log.read_text()) == 48


def test_a_limited_run_stands_beside_the_whole_one(squares: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    plug = detector(tmp_path, f"open({str(log)!r}, 'a').write('x' * len(images)); return [0.5] * len(images)")
    for limit in (10, None, 4):
        m2f2bench.run(detectors=plug, datasets=str(squares), limit=limit, out=tmp_path / "o")
    counts = {p.parent.name.split("--")[-1]: len(read_parquet(p)) for p in (tmp_path / "o").rglob(PREDICTIONS)}
    assert counts == {"frame": 48, "limit10": 10, "limit4": 4}
    assert len(log.read_text()) == 48, "no frame is judged twice"


def test_other_weights_in_the_same_folder_are_refused(cli, one_line, squares: Path, tmp_path: Path) -> None:
    card = tmp_path / "mine.yaml"
    card.write_text("name: mine\nbackend: constant\noptions: {value: 0.3}\n")
    words = ["run", "-d", card, "-s", squares, "--out", tmp_path / "o"]
    assert cli(*words).status == 0
    card.write_text("name: mine\nbackend: constant\noptions: {value: 0.4}\n")
    assert "give another --out" in one_line(cli(*words))


def test_two_detectors_of_one_name_are_refused(cli, one_line, squares: Path, tmp_path: Path) -> None:
    line = one_line(cli("run", "-d", "constant", "-d", "constant", "-s", squares, "--out", tmp_path / "o"))
    assert "two detectors are named 'constant'" in line


def test_faceforensics_from_hdf5_files(cli, tmp_path: Path) -> None:
    """Trap 1, from file to number: `000_003` of four manipulations is four videos."""
    from hdf5_files import TEST, build, lists

    root = tmp_path / "data" / "ffpp"
    root.mkdir(parents=True)
    build(root, "c40_test_only")
    lists(root, test=TEST)
    words = ["run", "-d", "random", "-s", "ffpp-c40", "-p", "frame", "-p", "video", "--data", tmp_path / "data"]
    outcome = cli(*words, "--out", tmp_path / "o", "--json")
    assert outcome.status == 0, outcome.err
    frame, video = (result["metrics"]["auc"] for result in json.loads(outcome.out))
    assert (frame["n_real"], frame["n_fake"]) == (20, 80) and (video["n_real"], video["n_fake"]) == (4, 16)
    rows = read_parquet(tmp_path / "o" / "random--ffpp-c40--frame" / PREDICTIONS)
    # A protocol that picks frames can score the rows of one that takes them all.
    card = tmp_path / "two.yaml"
    card.write_text("name: two\nlevel: video\nframes: {which: uniform, count: 2}\nmetrics: [auc]\n")
    words = ["score", tmp_path / "o" / "random--ffpp-c40--frame", "-s", "ffpp-c40", "--data", tmp_path / "data"]
    picked = json.loads(cli(*words, "-p", card, "--json").out)
    assert picked["coverage"] == 1.0 and picked["statuses"] == {"ok": 40} and picked["metrics"]["auc"]["n_fake"] == 16
    assert {row.video for row in rows if row.video.endswith("/000_003")} == {
        f"{method}/000_003" for method in ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
    }


SLOW = """
import time
class Slow:
    def predict(self, images):
        with open({log!r}, "a") as log:
            for image in images:
                log.write(f"{{image.astype(int).sum()}}\\n")
        time.sleep(0.05)
        return [float(image.mean()) / 255 for image in images]
"""


@pytest.mark.slow
def test_killed_at_random_moments_ends_the_same(squares: Path, tmp_path: Path) -> None:
    """SIGKILL again and again; rows and result equal an uninterrupted run's, and no recorded frame is judged again."""
    log = tmp_path / "log"
    (tmp_path / "slow.py").write_text(SLOW.format(log=str(log)))
    base = [sys.executable, "-m", "m2f2bench", "run", "-d", f"{tmp_path}/slow.py:Slow", "-s", str(squares)]
    base += ["--batch-size", "3", "--out"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*base, str(tmp_path / "whole")], check=True, capture_output=True, env=environment)
    assert len(log.read_text().splitlines()) == 48 + AGAIN
    log.unlink()
    out = tmp_path / "killed"
    folder = out / "slow.Slow--squares--frame"
    draw = random.Random(5)
    kills = 0
    for _ in range(12):
        before = len(log.read_text().splitlines()) if log.exists() else 0
        process = subprocess.Popen([*base, str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            if log.exists() and len(log.read_text().splitlines()) > before:
                break  # it has begun to predict
            time.sleep(0.005)
        time.sleep(draw.uniform(0.0, 0.25))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        if (folder / RESULT).exists():
            break
        partial, finished = folder / "predictions.partial.arrows", folder / PREDICTIONS
        recorded = len(read_parquet(finished)) if finished.exists() else len(rows_held(partial))
        judged = len(log.read_text().splitlines())
        assert judged - recorded <= LOST * (kills + 1), "at most the batch in flight is lost by a kill, and what waits"
    assert kills >= 3
    subprocess.run([*base, str(out)], check=True, capture_output=True, env=environment)
    whole = tmp_path / "whole" / "slow.Slow--squares--frame"
    assert (folder / RESULT).read_bytes() == (whole / RESULT).read_bytes()
    assert read_parquet(folder / PREDICTIONS) == read_parquet(whole / PREDICTIONS)
    repeats = len(log.read_text().splitlines()) - 48 - AGAIN
    assert repeats <= LOST * kills, "only what was in flight at a kill was judged twice"
    before = log.read_text()
    subprocess.run([*base, str(out)], check=True, capture_output=True, env=environment)
    assert log.read_text() == before, "a finished run predicts nothing"


def test_e9_a_score_just_beyond_one_is_told_with_its_digits(cli, one_line, squares: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("class Mine:\n    def predict(self, images):\n        return [1.0000001] * len(images)\n")
    line = one_line(cli("run", "-d", f"{mine}:Mine", "-s", squares, "--out", tmp_path / "o"))
    assert "gave 1.0000001 for frame" in line


def test_e9_the_same_command_goes_on_only_where_it_does(
    cli, one_line, squares: Path, tmp_path: Path, small_disk
) -> None:
    assert cli("run", "-d", "constant", "-s", squares, "--out", tmp_path / "o").status == 0
    for words in (
        ["leaderboard", tmp_path / "o", "--out", "/proc/nothing/a.md"],
        ["sheet", squares, "--out", "/proc/a.png"],
    ):
        line = one_line(cli(*words))
        assert "cannot write" in line and "goes on" not in line
    disk = small_disk("64k")
    (disk / "filler").write_bytes(b"x" * 50_000)
    words = ["run", "-d", "random", "-s", squares, "--out", disk / "o"]
    outcome = cli(*words)
    if "partial.arrows" in outcome.err:
        assert "finished rows are kept, and the same command continues from there" in outcome.err
    (disk / "filler").unlink()


def test_e9_a_service_that_stops_is_said_to_go_on_where_rows_are_kept(tmp_path: Path) -> None:
    from m2f2bench.core.errors import Unanswered
    from m2f2bench.core.records import Prediction
    from m2f2bench.results.store import PredictionStore

    with PredictionStore(tmp_path, {"k": "v"}) as store:
        with pytest.raises(Unanswered) as told, store.kept():
            raise Unanswered("gone")
        assert str(told.value) == "gone"
        store.append([Prediction("a", "a", "m", "", 1, "ok", 0.5)])
        with pytest.raises(Unanswered, match="gone; finished rows are kept"), store.kept():
            raise Unanswered("gone")


def test_every_dataset_is_closed_also_that_of_the_threshold(tmp_path: Path) -> None:
    (tmp_path / "data.py").write_text(
        f"""
import numpy as np
from m2f2bench import Adapter
from m2f2bench.core.records import Frame, Locator

METHODS = ("original", "F")

class Test(Adapter):
    splits = ("test", "val")
    def frames(self, split):
        return [Frame(f"{{i}}", f"{{i}}", i % 2, METHODS[i % 2], split, (), Locator("")) for i in range(8)]
    def read(self, frame):
        return np.full((8, 8, 3), 20 * int(frame.id), np.uint8)
    def close(self):
        with open({str(tmp_path / "closed")!r}, "a") as file:
            print(type(self).__name__, file=file)

class Tuning(Test):
    pass
"""
    )
    card = tmp_path / "picked.yaml"
    card.write_text(
        "name: picked\nlevel: frame\nframes: {which: all}\nmissing: drop\nmetrics: [accuracy]\n"
        f"threshold: {{how: eer, split: val, dataset: '{tmp_path}/data.py:Tuning'}}\n"
    )
    m2f2bench.run(detectors="constant", datasets=f"{tmp_path}/data.py:Test", protocols=str(card), out=tmp_path / "o")
    assert sorted((tmp_path / "closed").read_text().split()) == ["Test", "Tuning"]
