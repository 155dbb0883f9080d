"""Fault A1: a repeated run gives the numbers of a fresh folder, whatever was changed in between."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paths import HELPERS
from PIL import Image
from stale_flows import after, before, cut_off

import m2f2bench
from m2f2bench.core.errors import CardError, StoreError

MINE = """
from pathlib import Path
import numpy as np
import helper

class Mine:
    def __init__(self, power=1.0):
        self.power = power
        self.scale = float(np.load(Path(__file__).with_name("mine.npy"))[0])

    def predict(self, images):
        return [min(1.0, (float(i.mean()) / 255) ** self.power * self.scale * helper.FACTOR) for i in images]
"""


class Bright:
    """A detector whose state decides its scores."""

    def __init__(self, power: float = 1.0) -> None:
        self.power = power

    def predict(self, images: list[Any]) -> list[float]:
        return [(float(image.mean()) / 255) ** self.power for image in images]


def draw(folder: Path, seed: int, videos: int = 6, frames: int = 3) -> None:
    rng = np.random.default_rng(seed)
    for video in range(videos):
        (folder / f"v{video}").mkdir(parents=True, exist_ok=True)
        for frame in range(frames):
            level = rng.integers(20, 235)
            pixels = np.full((16, 16, 3), level, np.uint8)
            Image.fromarray(pixels).save(folder / f"v{video}" / f"{frame}.png", compress_level=0)


def write_manifest(path: Path, flip: int = -1, backwards: bool = False, videos: int = 6, frames: int = 3) -> None:
    lines = []
    for video in range(videos):
        label = (video % 2) ^ (video == flip)
        lines += [f"v{video}/{frame}.png,{label},v{video},p{video}" for frame in range(frames)]
    if backwards:
        lines.reverse()
    path.write_text("path,label,video,identity\n" + "\n".join(lines) + "\n")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A manifest with its images, whose files have equal sizes."""
    folder = tmp_path / "data" / "faces"
    draw(folder, 0)
    write_manifest(folder / "faces.csv")
    return folder / "faces.csv"


def no_stale_number(outcome: dict[str, Any]) -> None:
    """Every flow is refused, or gives the numbers of a fresh folder."""
    for flow in ("run", "killed"):
        assert outcome[flow] == outcome["fresh"] or str(outcome[flow]).startswith("refused: "), (flow, outcome)
    assert outcome["video"] == outcome["fresh video"] or str(outcome["video"]).startswith("refused: "), outcome
    check = outcome["check"]
    assert str(check).startswith("refused: ") or check == pytest.approx(outcome["fresh"][0], abs=1e-12), outcome


def change_weights(folder: Path) -> None:
    np.save(folder / "mine.npy", np.array([0.5]))


def change_helper(folder: Path) -> None:
    (folder / "helper.py").write_text("FACTOR = 0.25\n")


@pytest.mark.slow
@pytest.mark.parametrize("change", [change_weights, change_helper], ids=["weights", "helper"])
def test_a1_a_file_of_the_detector_changes(data: Path, tmp_path: Path, change: Any) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "mine.py").write_text(MINE)
    (code / "helper.py").write_text("FACTOR = 1.0\n")
    np.save(code / "mine.npy", np.array([1.0]))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(code), *filter(None, sys.path)])}

    def process(when: str) -> dict[str, Any]:
        command = [sys.executable, HELPERS / "stale_flows.py", when, tmp_path / "out", f"{code / 'mine.py'}:Mine", data]
        done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True)
        assert done.returncode == (-9 if when == "before" else 0), done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    first = process("before")
    assert process("after")["run"] == first["run"]  # nothing changed: the rows are taken up
    shutil.rmtree(tmp_path / "out")
    first = process("before")
    change(code)
    outcome = process("after")
    assert outcome["fresh"] != first["run"]
    no_stale_number(outcome)
    assert outcome["video"] == outcome["fresh video"]  # rows of the old weights beside it are not taken
    for flow in ("run", "killed", "check"):
        assert "weights, state or code" in outcome[flow] and "give another --out" in outcome[flow]
    # Scored again, the old rows stay what they say: those of the old weights.
    assert outcome["score"][:4] == first["score"] and outcome["score"][4] != outcome["weights"]


def test_a1_the_state_of_an_object_changes(data: Path, tmp_path: Path) -> None:
    first = before(tmp_path / "out", Bright(1.0), str(data))
    cut_off(tmp_path / "out", Bright(1.0), str(data))
    outcome = after(tmp_path / "out", Bright(3.0), str(data))
    assert outcome["fresh"] != first["run"]
    no_stale_number(outcome)
    assert all("weights, state or code" in outcome[flow] for flow in ("run", "killed", "check"))
    assert outcome["video"] == outcome["fresh video"]
    assert outcome["score"][4] != outcome["weights"]


def test_a1_nothing_changes_and_nothing_is_judged_again(data: Path, tmp_path: Path) -> None:
    class Counting(Bright):
        judged: list[int] = []  # noqa: RUF012

        def predict(self, images: list[Any]) -> list[float]:
            self.judged.append(len(images))
            return super().predict(images)

    before(tmp_path, Counting(), str(data))
    cut_off(tmp_path, Counting(), str(data))
    done = sum(Counting.judged)
    m2f2bench.run(detectors=[Counting()], datasets=str(data), out=tmp_path / "run")
    m2f2bench.run(detectors=[Counting()], datasets=str(data), protocols="video", out=tmp_path / "video")
    assert sum(Counting.judged) == done
    m2f2bench.run(detectors=[Counting()], datasets=str(data), out=tmp_path / "killed")
    assert sum(Counting.judged) == done + 18 - 6


def other_root(data: Path) -> Path:
    folder = data.parents[1] / "elsewhere" / "faces"
    draw(folder, 1)
    write_manifest(folder / "faces.csv")
    return folder / "faces.csv"


def other_pixels(data: Path) -> Path:
    """One image is replaced by a file of the same size and modification time."""
    place = data.parent / "v0" / "0.png"
    held = place.stat()
    with Image.open(place) as image:
        level = np.asarray(image)[0, 0, 0]
    Image.fromarray(np.full((16, 16, 3), 255 - level, np.uint8)).save(place, compress_level=0)
    os.utime(place, ns=(held.st_atime_ns, held.st_mtime_ns))
    assert place.stat().st_size == held.st_size
    return data


def other_labels(data: Path) -> Path:
    write_manifest(data, flip=2)
    return data


def other_order(data: Path) -> Path:
    write_manifest(data, backwards=True)
    return data


@pytest.mark.parametrize("change", [other_root, other_pixels, other_labels], ids=["root", "pixels", "labels"])
def test_a1_the_dataset_changes(data: Path, tmp_path: Path, change: Any) -> None:
    first = before(tmp_path / "out", Bright(), str(data))
    cut_off(tmp_path / "out", Bright(), str(data))
    now = change(data)
    outcome = after(tmp_path / "out", Bright(), str(now))
    assert outcome["fresh"] != first["run"]
    no_stale_number(outcome)
    assert str(outcome["score"]).startswith("refused: ")
    assert ("labelled" if change is other_labels else "other pixels") in outcome["score"]


def test_a1_the_order_of_a_manifest_changes(data: Path, tmp_path: Path) -> None:
    first = before(tmp_path / "out", Bright(), str(data))
    cut_off(tmp_path / "out", Bright(), str(data))
    outcome = after(tmp_path / "out", Bright(), str(other_order(data)))
    assert outcome["fresh"] == first["run"] == outcome["run"] == outcome["killed"] == outcome["score"][:4]
    assert outcome["video"] == outcome["fresh video"]


def test_a1_one_pixel_costs_one_judgement(data: Path, tmp_path: Path) -> None:
    """Only the frame that changed is judged again, and a touched file is read but not judged."""
    seen: list[int] = []

    class Counting(Bright):
        def predict(self, images: list[Any]) -> list[float]:
            seen.append(len(images))
            return super().predict(images)

    m2f2bench.run(detectors=[Counting()], datasets=str(data), out=tmp_path / "o")
    assert sum(seen) == 18
    (data.parent / "v1" / "1.png").touch()
    m2f2bench.run(detectors=[Counting()], datasets=str(data), out=tmp_path / "o")
    assert sum(seen) == 18
    other_pixels(data)
    again = m2f2bench.run(detectors=[Counting()], datasets=str(data), out=tmp_path / "o")[0]
    fresh = m2f2bench.run(detectors=[Counting()], datasets=str(data), out=tmp_path / "fresh")[0]
    assert sum(seen) == 18 + 1 + 18
    assert (again.metrics, again.measured) == (fresh.metrics, fresh.measured)


def test_a1_two_datasets_of_one_name(data: Path, tmp_path: Path) -> None:
    other = other_root(data)
    with pytest.raises(CardError) as error:
        m2f2bench.run(detectors=[Bright()], datasets=[str(data), str(other)], out=tmp_path / "o")
    assert str(data) in str(error.value) and str(other) in str(error.value) and "\n" not in str(error.value)
    m2f2bench.run(detectors=[Bright()], datasets=str(data), out=tmp_path / "o")
    with pytest.raises(StoreError, match=r"the dataset's folder.*give another --out"):
        m2f2bench.run(detectors=[Bright()], datasets=str(other), out=tmp_path / "o")
    both = m2f2bench.run(detectors=[Bright()], datasets=[str(data), str(data)], out=tmp_path / "o")
    assert len(both) == 1  # named twice, it is one


def test_a1_rows_of_another_version_are_refused(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    m2f2bench.run(detectors=[Bright()], datasets=str(data), out=tmp_path / "o")
    monkeypatch.setattr("m2f2bench.detectors.keys.PREDICTING", 0)
    with pytest.raises(StoreError, match=r"version of m2f2bench's predictions \(\d+ / 0\)"):
        m2f2bench.run(detectors=[Bright()], datasets=str(data), out=tmp_path / "o")


@pytest.mark.parametrize("package", ["numpy", "pillow", "simplejpeg", "torch"])
def test_a1_rows_made_with_another_package_are_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    from m2f2bench.detectors import keys

    first = m2f2bench.run(detectors=[Bright()], datasets=str(data), out=tmp_path / "o")[0]
    assert first.predicted[package] == keys.made_with()[package]
    real = keys.installed_versions
    monkeypatch.setattr(keys, "installed_versions", lambda names: real(names) | {package: "0.1"})
    with pytest.raises(StoreError, match=rf"{package} \(.* / 0.1\)"):
        m2f2bench.run(detectors=[Bright()], datasets=str(data), out=tmp_path / "o")
    second = m2f2bench.run(detectors=[Bright()], datasets=str(data), out=tmp_path / "p")[0]
    assert second.measured["env"] != first.measured["env"] and second.predicted[package] == "0.1"
    # Scored again here, the rows still say what made them.
    monkeypatch.undo()
    (place,) = (tmp_path / "p").iterdir()
    again = m2f2bench.score(place)
    assert again.predicted == second.predicted and again.measured["env"] == second.measured["env"]


def test_a1_what_nothing_identifies_is_never_taken_up(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Opaque(Bright):
        def __init__(self) -> None:
            super().__init__()
            self.session = (one for one in "abc")  # like a connection: it holds a state that nobody can read

    result = m2f2bench.run(detectors=[Opaque()], datasets=str(data), protocols=["frame", "video"], out=tmp_path / "o")
    assert result[0].measured["weights"] == "unknown" and "weights:unknown" in result[0].signature
    assert "cannot be identified (Opaque.session is a builtins.generator" in caplog.text
    with pytest.raises(StoreError, match="nothing identifies this detector"):
        m2f2bench.run(detectors=[Opaque()], datasets=str(data), out=tmp_path / "o")

    class Named(Opaque):
        def fingerprint(self) -> str:
            return "release 7"

    first = m2f2bench.run(detectors=[Named()], datasets=str(data), out=tmp_path / "n")
    assert m2f2bench.run(detectors=[Named()], datasets=str(data), out=tmp_path / "n") == first


def test_resuming_stays_cheap(tmp_path: Path) -> None:
    """Known frames are checked by size and times only: benchmarks/resume.py measures it, here none is read."""
    from m2f2bench.loading import load_dataset
    from m2f2bench.runs.job import unchanged

    draw(tmp_path, 0, videos=2, frames=2)
    write_manifest(tmp_path / "few.csv", videos=2, frames=2)
    dataset = load_dataset(str(tmp_path / "few.csv"))
    frames = dataset.frames("test")
    known = {frame.id: ("digest that nothing has", dataset.adapter.stamp(frame)) for frame in frames}
    assert set(unchanged(dataset, frames, known)) == set(known)
    assert unchanged(dataset, frames, {name: (digest, "old") for name, (digest, _) in known.items()}) == {}
