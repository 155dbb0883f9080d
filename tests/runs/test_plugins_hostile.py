"""E8, D4: users' detectors that print, exit, change things, or return values that are not probabilities."""

from __future__ import annotations

import json
import locale
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from toy_launch import ON_THE_CPU
from toy_maps import write_toys

import m2f2bench
from m2f2bench.cards.registry import BACKENDS, all_entry_points
from m2f2bench.core.errors import DetectorError, M2F2BenchError
from m2f2bench.core.guests import Ended, guest
from m2f2bench.loading import load_detector
from m2f2bench.results.row_files import read_parquet

PLUGIN = """
import os, sys, random, time
import numpy as np
{top}

class D:
    def __init__(self):
        {init}
        self.calls = 0

    def predict(self, images):
        self.calls += 1
        {body}
"""
GOOD = "return [float(image.mean()) / 255 for image in images]"


def plugin(folder: Path, body: str = GOOD, top: str = "", init: str = "pass", name: str = "plug") -> str:
    path = folder / f"{name}.py"
    path.write_text(PLUGIN.format(body=body, top=top, init=init))
    return f"{path}:D"


EXITS = {
    "exits": ("raise SystemExit(3)", "Ended: it called sys.exit(3)"),
    "exits with a text": ("sys.exit('x' * 5000)", "Ended: it called sys.exit('xxx"),
    "recursion": ("f = lambda: f()\n        f()", "RecursionError: maximum recursion depth"),
    "assertion": ("assert False, 'one\\ntwo'", "AssertionError: one"),
    "no exception": (
        "raise type('Odd', (BaseException,), {})()",
        "Ended: it raised Odd, which is not an Exception",
    ),
    "cancelled": ("import asyncio; raise asyncio.CancelledError", "Ended: it raised CancelledError"),
    "stops": ("raise StopIteration", "StopIteration"),
    "nameless": ("raise Exception", "Exception"),
}


@pytest.mark.parametrize(
    ("place", "kind"),
    [*(("body", kind) for kind in EXITS), *((where, kind) for where in ("top", "init") for kind in list(EXITS)[:5])],
)
def test_e8_code_that_ends_is_one_line(cli, one_line, squares: Path, tmp_path: Path, place: str, kind: str) -> None:
    code, told = EXITS[kind]
    if place == "top":
        code = code.replace("\n        ", "\n")
    line = one_line(cli("run", "-d", plugin(tmp_path, **{place: code}), "-s", squares, "--out", tmp_path / "o"))
    assert told in line and len(line) < 600
    where = {"top": "executing", "init": "cannot be built", "body": "failed on all of the first 32 frames"}
    assert where[place] in line


def test_e8_code_that_ends_on_one_frame_harms_no_other(cli, squares: Path, tmp_path: Path) -> None:
    """Each other row is as it would be without that frame."""
    bad = "return [sys.exit(1) if image[0, 0, 0] == first else float(image.mean()) / 255 for image in images]"
    pixels = np.asarray(m2f2bench.load_dataset(str(squares)).frames("test")[5].locator.path, dtype=str)
    from PIL import Image

    first = int(np.asarray(Image.open(str(pixels)))[0, 0, 0])
    rows = {}
    for name, body in (("good", GOOD), ("bad", bad)):
        given = plugin(tmp_path, body, top=f"first = {first}", name=name)
        assert cli("run", "-d", given, "-s", squares, "--out", tmp_path / name).status == 0
        (path,) = (tmp_path / name).glob("*/predictions.parquet")
        rows[name] = {row.frame: row for row in read_parquet(path)}
    ended = [row for row in rows["bad"].values() if row.status == "error"]
    assert 0 < len(ended) < 20 and {row.message for row in ended} == {"Ended: it called sys.exit(1)"}
    for frame, row in rows["bad"].items():
        assert row in ended or row.score == rows["good"][frame].score


def test_e8_what_is_printed_never_damages_results(squares: Path, tmp_path: Path) -> None:
    say = "print('HELLO', flush=True); os.write(1, b'HELLO'); os.system('echo HELLO'); sys.stdout.write('HELLO')"
    given = plugin(tmp_path, f"{say}; {GOOD}", top=say, init=say)
    command = [sys.executable, "-m", "m2f2bench", "run", "-d", given, "-s", str(squares), "--json"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "o")], capture_output=True, text=True, env={**os.environ, **ON_THE_CPU}
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["coverage"] == 1.0
    assert done.stderr.count("HELLO") >= 4 * 3


@pytest.mark.parametrize("mode", [[], ["--faithfulness", "--steps", "2"]])
def test_e8_what_is_printed_for_a_heat_map_never_damages_results(tmp_path: Path, mode: list[str]) -> None:
    """Nor does what is raised on the grey picture that is tried first, even if it is not an Exception."""
    code, data = write_toys(tmp_path)
    loud = """
class Loud(Bright):
    def forward(self, batch, ids):
        print("HELLO"); os.write(1, b"HELLO")
        return super().forward(batch, ids)
    def heatmap(self, images):
        print("HELLO"); os.write(1, b"HELLO")
        if any((image == 128).all() for image in images):
            raise type("Odd", (BaseException,), {})()
        return super().heatmap(images)
    def seen(self, height, width):
        print("HELLO")
        return super().seen(height, width)
"""
    code.write_text(code.read_text() + loud)
    command = [sys.executable, "-m", "m2f2bench", "localize", "-d", f"{code}:Loud", "-s", data, "--limit", "4"]
    done = subprocess.run([*command, "--json", *mode], capture_output=True, text=True, env={**os.environ, **ON_THE_CPU})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outcomes"]["fake"] and "HELLO" in done.stderr


SCORES = {
    "['0.5'] * len(images)": "gave str '0.5' instead of one number per frame",
    "'0.5' * len(images)": "gave str '0.5",
    "{i: 0.5 for i in range(len(images))}": "gave dict",
    "None": "gave NoneType None instead of one number per frame",
    "0.7": "gave float 0.7 instead of one number per frame",
    "np.array(0.7)": "gave a single number for 32 frames",
    "[True] * len(images)": "gave bool True instead of one number per frame: that is a verdict",
    "np.ones(len(images), bool)": "gave bool True instead",
    "[0.5 + 1j] * len(images)": "gave complex",
    "np.full(len(images), 0.5 + 1j)": "gave complex",
    "np.array(['0.5'] * len(images))": "gave str",
    "[[0.3, 0.7]] * len(images)": "are they P(real) and P(fake)? Return the second alone",
    "np.full((len(images), 2), 0.5)": "are they P(real) and P(fake)? Return scores[:, 1] alone",
    "[0.5] * (len(images) + 1)": "gave 33 scores for 32 frames, not one each",
    "[]": "gave 0 scores for 32 frames",
    "(0.5 for _ in images)": "gave generator",
    "[object()] * len(images)": "gave object",
    "[None] * len(images)": "failed on all of the first 32 frames",
    "[1e400] * len(images)": "failed on all of the first 32 frames",
    "[-0.1] * len(images)": "gave -0.1 for frame 'fake/00.png': a score is P(fake) in [0, 1]; apply a sigmoid or",
    "[1.0000001] * len(images)": "gave 1.0000001 for frame 'fake/00.png': a score is P(fake) in [0, 1]; rounding moved",
    "[50] * len(images)": "gave 50.0 for frame 'fake/00.png': a score is P(fake) in [0, 1]; divide it by 100",
    "[0.5] * (len(images) - 1) + [97.2]": "divide it by 100: it looks like a percentage",
    "[0.1 * i for i in range(len(images))]": "if it is a logit, or divide it by 100 if it is a percentage",
    "[i - 9.0 for i in range(len(images))]": "apply a sigmoid or softmax: it looks like a logit",
    "[10 ** 400] * len(images)": "failed on all of the first 32 frames",
}


@pytest.mark.parametrize("given", SCORES)
def test_d4_what_is_no_probability_is_named(cli, one_line, squares: Path, tmp_path: Path, given: str) -> None:
    line = one_line(cli("run", "-d", plugin(tmp_path, f"return {given}"), "-s", squares, "--out", tmp_path / "o"))
    assert SCORES[given] in line and len(line) < 400


@pytest.mark.parametrize(
    "given",
    [
        "[np.float32(0.7)] * len(images)",
        "np.full((len(images), 1), 0.7)",
        "tuple([0.7] * len(images))",
        "np.full(len(images), 0.7, np.float16)",
        "torch.full((len(images),), 0.7, requires_grad=True)",
        "torch.full((len(images), 1), 0.7, dtype=torch.bfloat16)",
        "[torch.tensor(0.7, requires_grad=True)] * len(images)",
        "[torch.tensor([0.7])] * len(images)",
        "[[0.7]] * len(images)",
        "__import__('pandas').Series([0.7] * len(images))",
    ],
)
def test_d4_numbers_of_any_kind_are_taken(tmp_path: Path, given: str) -> None:
    detector = load_detector(plugin(tmp_path, f"return {given}", top="import torch"))
    assert detector.predict([np.zeros((8, 8, 3), np.uint8)] * 3) == pytest.approx([0.7] * 3, abs=3e-3)


def test_e8_nothing_that_it_changes_lasts(cli, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    change = (
        "os.chdir('/'); import warnings; warnings.simplefilter('error'); np.seterr(all='raise'); "
        "random.seed(0); np.random.seed(0); import locale; locale.setlocale(locale.LC_ALL, 'C.UTF-8' if "
        "locale.setlocale(locale.LC_ALL) != 'C.UTF-8' else 'C')"
    )
    before = (Path.cwd(), locale.setlocale(locale.LC_ALL), np.geterr(), sum(f[0] == "error" for f in warnings.filters))
    given = plugin(tmp_path, f"{change}; {GOOD}", top=change, init=change)
    outcome = cli("run", "-d", given, "-d", "constant", "-s", squares, "--out", "o", "--json")
    assert outcome.status == 0 and [one["coverage"] for one in json.loads(outcome.out)] == [1.0, 1.0]
    assert "changed the working directory; it was set back to" in outcome.err
    assert (tmp_path / "o" / "leaderboard.md").exists()
    after = (Path.cwd(), locale.setlocale(locale.LC_ALL), np.geterr(), sum(f[0] == "error" for f in warnings.filters))
    assert before == after


def test_e8_a_picture_that_is_changed_is_its_own_copy(cli, squares: Path, tmp_path: Path) -> None:
    """It paints all pictures black and then fails; then each is judged alone, unchanged."""
    paint = "\n        for image in images: image[:] = 0\n        "
    first = "scores = [float(image.mean()) / 255 for image in images]"
    bad = f"{first}{paint}if len(images) > 1: raise ValueError\n        return scores"
    scores = []
    for name, body in (("good", GOOD), ("bad", bad)):
        assert cli("run", "-d", plugin(tmp_path, body, name=name), "-s", squares, "--out", tmp_path / name).status == 0
        (path,) = (tmp_path / name).glob("*/predictions.parquet")
        scores.append([row.score for row in read_parquet(path)])
    assert scores[0] == scores[1] and len(set(scores[0])) > 40


def test_e8_a_process_that_it_forks_off_writes_no_rows(squares: Path, tmp_path: Path) -> None:
    given = plugin(tmp_path, f"os.fork(); {GOOD}")
    command = [sys.executable, "-m", "m2f2bench", "run", "-d", given, "-s", str(squares), "--json", "--batch-size", "8"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "o")], capture_output=True, text=True, env={**os.environ, **ON_THE_CPU}
    )
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "o").glob("*/predictions.parquet")
    assert len(read_parquet(path)) == 48 and len(json.loads(done.stdout)) == 1


@pytest.mark.parametrize("error", ["MemoryError", "type('OutOfMemoryError', (RuntimeError,), {})"])
def test_e2_memory_that_runs_out_is_no_frames_fault(cli, one_line, squares: Path, tmp_path: Path, error: str) -> None:
    """Rows that were judged before are kept; the frame is judged when there is memory."""
    body = f"if os.path.exists({str(tmp_path / 'full')!r}) and self.calls > 2: raise {error}('no room')\n        {GOOD}"
    given, out = plugin(tmp_path, body), tmp_path / "o"
    words = ("run", "-d", given, "-s", squares, "--out", out, "--batch-size", "4")
    (tmp_path / "full").touch()
    assert "detector 'plug.D' on frame 'fake/08.png'" in one_line(cli(*words))
    (tmp_path / "full").unlink()
    assert cli(*words).status == 0
    (path,) = out.glob("*/predictions.parquet")
    assert {row.status for row in read_parquet(path)} == {"ok"}


def test_e8_entry_points_of_packages(
    cli, one_line, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    (site / "odd-1.0.dist-info").mkdir(parents=True)
    (site / "odd-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    points = {"exits": "oddexits:D", "prints": "oddprints:D", "absent": "oddquiet:Nothing", "number": "oddquiet:x"}
    text = "[m2f2bench.backends]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
    (site / "odd-1.0.dist-info" / "entry_points.txt").write_text(text)
    plugin(site, top="sys.exit()", name="oddexits")
    plugin(site, top="print('HELLO')", name="oddprints")
    plugin(site, top="x = 3", name="oddquiet")
    monkeypatch.syspath_prepend(str(site))
    all_entry_points.cache_clear()
    try:
        assert {*points} <= {*BACKENDS.names()}
        words = ("-s", squares, "--out", tmp_path / "o", "--json")
        assert "Ended: it called sys.exit(None)" in one_line(cli("run", "-d", "exits", *words))
        assert "cannot be loaded: AttributeError" in one_line(cli("run", "-d", "absent", *words))
        assert "is not a class but int" in one_line(cli("run", "-d", "number", *words))
        assert json.loads(cli("run", "-d", "prints", *words).out)[0]["coverage"] == 1.0
    finally:
        all_entry_points.cache_clear()


def test_e8_ctrl_c_stays_what_it_is() -> None:
    with pytest.raises(KeyboardInterrupt), guest("it"):
        raise KeyboardInterrupt
    with pytest.raises(Ended), guest("it"):
        raise SystemExit
    with pytest.raises(DetectorError), guest("it"):
        raise DetectorError("as it is")
    assert not issubclass(Ended, M2F2BenchError)


def test_e8_stdout_is_back_whoever_leaves_last(capfd: pytest.CaptureFixture[str]) -> None:
    """Two threads inside at once, the first of which leaves first."""
    inside, leave = threading.Barrier(2), [threading.Event(), threading.Event()]

    def work(number: int) -> None:
        with guest("it"):
            inside.wait(10)
            leave[number].wait(10)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    before = sys.stdout
    for thread in threads:
        thread.start()
    for thread, event in zip(threads, leave, strict=True):
        event.set()
        thread.join()
    assert sys.stdout is before
    os.write(1, b"STILL HERE")
    assert capfd.readouterr().out == "STILL HERE"
