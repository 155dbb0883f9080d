"""Shards: parts of a run that are judged on several machines, and the run that takes their rows and scores them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows_held import rows_held
from toy_maps import write_toys

import m2f2bench
from m2f2bench.core.errors import CardError, StoreError
from m2f2bench.core.shards import Shard
from m2f2bench.results.row_files import read_parquet
from m2f2bench.results.store import PREDICTIONS

CODE = """
import os, time
import numpy as np

class Bright:
    name = "bright"
    def predict(self, images):
        for image in images:
            with open(os.environ["SHARDS_LOG"], "a") as file:
                file.write(f"{image.astype(int).sum()}\\n")
            time.sleep(float(os.environ.get("SHARDS_WAIT", "0")))
        return [float(image.mean() / 255) for image in images]
    def explain(self, images, questions):
        return [f"The image looks {'fake' if image.mean() > 100 else 'real'}." for image in images]
"""


@pytest.fixture
def bright(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SHARDS_LOG", str(tmp_path / "log"))
    (tmp_path / "bright.py").write_text(CODE)
    return f"{tmp_path / 'bright.py'}:Bright"


def judged(tmp_path: Path) -> int:
    """How many frames were judged since the last call."""
    log = tmp_path / "log"
    count = len(log.read_text().split()) if log.exists() else 0
    log.unlink(missing_ok=True)
    return count


def files(folder: Path) -> dict[str, bytes]:
    """What a run wrote, without its shards: a path's bytes."""
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {path: content for path, content in found.items() if "--shard" not in path}


@given(st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=60), st.integers(1, 12))
def test_every_video_is_whole_in_one_shard(videos: list[str], count: int) -> None:
    parts = [Shard(number, count).holds(videos) for number in range(1, count + 1)]
    assert [sum(own) for own in zip(*parts, strict=True)] == [1] * len(videos)
    longest = max(Counter(videos).values())
    for part in parts:
        assert abs(sum(part) - len(videos) / count) <= longest
        mine, others = ({one for one, own in zip(videos, part, strict=True) if own is held} for held in (True, False))
        assert mine.isdisjoint(others)


@pytest.mark.parametrize("text", ["", "2", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1.0/2", "١/٢"])
def test_what_is_no_shard_is_one_line(text: str, cli, one_line, squares: Path, tmp_path: Path) -> None:
    outcome = cli("run", "-d", "constant", "-s", squares, "--out", tmp_path / "o", "--shard", text)
    assert "is not K/N, part K of N parts" in one_line(outcome)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    "protocol", ["frame-val", *(pytest.param(name, marks=pytest.mark.slow) for name in ("frame", "video", "judge"))]
)
def test_shards_and_a_merge_are_one_run_to_the_byte(protocol: str, bright: str, tmp_path: Path, cli) -> None:
    """Of detection, with rows that a threshold is picked on, and of answers, with their controls."""
    words = ["run", "-d", bright, "-s", "synthetic", "-p", protocol, "--limit", 40]
    assert cli(*words, "--out", tmp_path / "one").status == 0
    alone = judged(tmp_path)
    shown = [cli(*words, "--out", tmp_path / "parts", "--shard", f"{number}/3") for number in (3, 1, 2)]
    assert [one.status for one in shown] == [0] * 3
    assert all("the same command without --shard scores them" in one.out + one.err for one in shown)
    assert not files(tmp_path / "parts")
    apart = judged(tmp_path)
    merged = cli(*words, "--out", tmp_path / "parts")
    assert merged.status == 0 and "judged now" not in merged.err
    assert apart + judged(tmp_path) == alone, "none is judged twice, and the same are judged again as a check"
    one, parts = files(tmp_path / "one"), files(tmp_path / "parts")
    assert one.keys() == parts.keys() and len(one) > 2
    assert [name for name in one if one[name] != parts[name] and name.endswith((".json", ".parquet"))] == []


def test_heat_maps_too(tmp_path: Path) -> None:
    toys = write_toys(tmp_path)
    how = {"detectors": f"{toys[0]}:Bright", "datasets": toys[1], "protocols": "localization"}
    m2f2bench.run(**how, out=tmp_path / "one")
    for number in (1, 2):
        assert m2f2bench.run(**how, out=tmp_path / "parts", shard=f"{number}/2") == []
    m2f2bench.run(**how, out=tmp_path / "parts")
    assert files(tmp_path / "one") == files(tmp_path / "parts")


def test_what_no_shard_has_is_judged_and_told(bright: str, squares: Path, tmp_path: Path, cli) -> None:
    words = ["run", "-d", bright, "-s", squares, "--out", tmp_path / "o"]
    assert cli(*words, "--shard", "2/4").status == 0
    assert judged(tmp_path) == 12
    outcome = cli(*words)
    assert (
        "bright.Bright--squares--frame: 36 of 48 frames are in none of its shards: they are judged now" in outcome.err
    )
    assert 36 <= judged(tmp_path) <= 40  # some are judged again as a check


@pytest.mark.slow
def test_a_shard_that_was_killed_goes_on_and_is_taken_as_it_is(bright: str, squares: Path, tmp_path: Path, cli) -> None:
    out = tmp_path / "o"
    words = ["run", "-d", bright, "-s", str(squares), "--out", str(out), "--batch-size", "4"]
    own = subprocess.Popen(
        [sys.executable, "-m", "m2f2bench", *words, "--shard", "1/2"], env={**os.environ, "SHARDS_WAIT": "0.5"}
    )
    partial = out / "bright.Bright--squares--frame--shard1of2" / "predictions.partial.arrows"
    until = time.monotonic() + 60
    while time.monotonic() < until and len(rows_held(partial)) < 4:
        time.sleep(0.02)
    with pytest.raises(StoreError, match="is being written by another process"):
        m2f2bench.run(detectors=bright, datasets=str(squares), out=out)
    own.send_signal(signal.SIGKILL)
    own.wait()
    kept = len(rows_held(partial))
    assert 4 <= kept < 24
    judged(tmp_path)
    assert cli(*words, "--shard", "2/2").status == 0
    assert judged(tmp_path) == 24
    outcome = cli(*words)
    assert f"{24 - kept} of 48 frames are in none of its shards" in outcome.err
    assert len(read_parquet(out / "bright.Bright--squares--frame" / PREDICTIONS)) == 48


def test_shards_of_another_detector_are_refused(bright: str, squares: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    m2f2bench.run(detectors=bright, datasets=str(squares), out=out, shard="1/2")
    code = tmp_path / "bright.py"
    code.write_text(code.read_text().replace("image.mean() / 255", "image.mean() / 256"))
    with pytest.raises(StoreError, match=r"shard1of2/predictions.parquet' holds rows of another run, differing in"):
        m2f2bench.run(detectors=bright, datasets=str(squares), out=out)


def test_more_shards_than_videos(squares: Path, tmp_path: Path, cli) -> None:
    words = ["run", "-d", "constant", "-s", squares, "--limit", 2, "--out", tmp_path / "o"]
    outcome = cli(*words, "--shard", "1/5")
    assert outcome.status == 0 and "there are fewer videos than shards, and this one has none" in outcome.err
    assert [path for path in (tmp_path / "o").iterdir() if path.is_dir()] == []


@pytest.mark.slow
def test_shards_of_a_suite_do_not_train(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="is not trained yet, and shards do not train: first run 'quickstart' once"):
        m2f2bench.run("quickstart", out=tmp_path / "o", shard="1/2")
