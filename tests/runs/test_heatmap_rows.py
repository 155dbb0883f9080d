"""Rows of heat maps on disk: resumed after a kill, mapped again where something changed, refused where not sound."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_maps import PEOPLE, place, run, write_toys

import m2f2bench
from m2f2bench.cards.protocols import Bootstrap
from m2f2bench.core.errors import ScoreError, StoreError
from m2f2bench.heatmaps.mapping import HeatMapper
from m2f2bench.heatmaps.store import MapForm, read_maps
from m2f2bench.loading import any_protocol
from m2f2bench.results.parts import AHEAD
from m2f2bench.results.store import MAPS, RESULT
from m2f2bench.scoring.compare import compare
from m2f2bench.scoring.validate import validate_result

LOCALIZATION = any_protocol("localization")
FORM = MapForm.of(LOCALIZATION)
N = 3 * PEOPLE


@pytest.fixture
def toys(tmp_path: Path) -> tuple[Path, str]:
    return write_toys(tmp_path)


@pytest.mark.slow
def test_killed_at_random_moments_ends_the_same(toys: tuple[Path, str], tmp_path: Path) -> None:
    """SIGKILL again and again; rows and result equal an uninterrupted run's, and no recorded frame is mapped again."""
    log = tmp_path / "log"
    base = [sys.executable, "-m", "m2f2bench", "run", "-d", f"{toys[0]}:Bright", "-s", toys[1], "-p", "localization"]
    base += ["--batch-size", "2", "--out"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOY_MAPS_LOG": str(log)}
    subprocess.run([*base, str(tmp_path / "whole")], check=True, capture_output=True, env=environment)
    assert len(log.read_text().splitlines()) == N + 1, "each frame once, and the grey picture that is tried first"
    log.unlink()
    out, draw, kills = tmp_path / "killed", random.Random(5), 0
    for _ in range(8):
        begun = len(log.read_text().splitlines()) if log.exists() else 0
        process = subprocess.Popen([*base, str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            if log.exists() and len(log.read_text().splitlines()) > begun + 1:
                break  # it has begun to map
            time.sleep(0.005)
        time.sleep(draw.uniform(0.0, 0.25))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        if (place(out) / RESULT).exists():
            break
    assert kills >= 2
    subprocess.run([*base, str(out)], check=True, capture_output=True, env=environment)
    whole = place(tmp_path / "whole")
    assert (place(out) / RESULT).read_bytes() == (whole / RESULT).read_bytes()
    rows = [[FORM.flat(row) for row in read_maps(folder / MAPS, FORM)] for folder in (place(out), whole)]
    assert rows[0] == rows[1] and len(rows[0]) == N
    mapped = len(log.read_text().splitlines())
    lost = 2 * (AHEAD + 1)  # a kill's: the batch in flight and those that wait to be written
    assert mapped <= N + (kills + 2) + lost * kills, "a trial for each start, and what kills cost"
    subprocess.run([*base, str(out)], check=True, capture_output=True, env=environment)
    assert len(log.read_text().splitlines()) == mapped + 1, "a finished run maps nothing but the trial"


@pytest.fixture
def mapped(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The frames that are mapped from now on."""
    found: list[str] = []
    own = HeatMapper.maps

    def maps(self, images, names):
        found.extend(name for name in names if name != "a grey picture")
        return own(self, images, names)

    monkeypatch.setattr(HeatMapper, "maps", maps)
    return found


def test_what_has_changed_is_mapped_again_and_nothing_else(
    toys: tuple[Path, str], tmp_path: Path, mapped: list[str]
) -> None:
    out, data = tmp_path / "out", tmp_path / "data"
    (first,) = run(toys, out)
    assert len(mapped) == N
    mapped.clear()
    (again,) = run(toys, out)
    assert not mapped and again.to_json() == first.to_json()

    mask = np.zeros((16, 16), np.uint8)
    mask[:3, :3] = 255
    Image.fromarray(mask).save(data / "masks" / "small-p03.png")
    (moved,) = run(toys, out)
    assert mapped == ["small-p03"], "another mask: its frame alone"
    assert moved.measured["masks"] != first.measured["masks"] and moved.measured["hash"] == first.measured["hash"]
    assert moved.to_json() == run(toys, tmp_path / "fresh")[0].to_json(), "as if it had been so from the start"

    mapped.clear()
    (data / "masks" / "small-p04.png").unlink()
    run(toys, out)
    assert mapped == ["small-p04"] and _outcome(out, "small-p04") == "no_mask"
    mapped.clear()
    (data / "masks" / "large-p05.png").write_bytes(b"no picture")
    run(toys, out)
    assert not mapped and _outcome(out, "large-p05") == "unreadable"

    face = np.asarray(Image.open(data / "faces" / "real-p00.png")).copy()
    face[0, 0] ^= 1
    Image.fromarray(face).save(data / "faces" / "real-p00.png")
    run(toys, out)
    assert mapped == ["real-p00"], "another pixel: its frame alone"


def _outcome(out: Path, frame: str) -> str:
    return next(row.outcome for row in read_maps(place(out) / MAPS, FORM) if row.frame.id == frame)


def test_rows_of_other_maps_or_measures_are_refused(toys: tuple[Path, str], tmp_path: Path) -> None:
    run(toys, tmp_path / "out")
    other = LOCALIZATION.model_copy(update={"bootstrap": Bootstrap(seed=1)})
    with pytest.raises(StoreError, match="what heat maps are compared with"):
        run(toys, tmp_path / "out", protocol=other)
    code = toys[0].read_text()
    toys[0].write_text(code.replace("power = 1.0", "power = 1.5"))
    command = [sys.executable, "-m", "m2f2bench", "run", "-d", f"{toys[0]}:Bright", "-s", toys[1], "-p", "localization"]
    done = subprocess.run([*command, "--out", str(tmp_path / "out")], capture_output=True, text=True)
    assert done.returncode == 2 and "weights, state or code" in done.stderr


def test_other_runs_take_up_the_rows(toys: tuple[Path, str], tmp_path: Path, mapped: list[str]) -> None:
    run(toys, tmp_path / "out")
    mapped.clear()
    (few,) = run(toys, tmp_path / "out", limit=9)
    short = LOCALIZATION.model_copy(update={"name": "short", "metrics": ("iou",)})
    (one,) = run(toys, tmp_path / "out", protocol=short)
    assert not mapped and few.measured["n"] == 9 and list(one.metrics) == ["iou"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("finished")
    run(write_toys(folder), folder / "out")
    return place(folder / "out")


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoiled."""
    return Path(shutil.copytree(finished, tmp_path / finished.name))


def spoiled(folder: Path, **changes: object) -> Path:
    """The rows' file with columns changed; the result's hash is not."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(folder / MAPS)
    for name, change in changes.items():
        name = name.replace("__", ".")
        values = table.column(name).to_pylist()
        values[30] = change
        kind = table.schema.field(name).type
        table = table.set_column(table.column_names.index(name), name, pa.array(values, kind))
    pq.write_table(table, folder / MAPS)
    return folder


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"detector__iou": 0.9}, "does not hold the rows that"),
        ({"detector__iou": float("nan")}, "has 'nan' in column detector.iou"),
        ({"detector__iou": 1.5}, "has the detector.iou 1.5, which is not in"),
        ({"random__iou": None}, "has some values of random and lacks others"),
        ({"detector__curves": [0.5]}, "has curves of detector that are not 101 numbers"),
        ({"detector__curves": [float("inf")] * 101}, "in column detector.curves"),
        ({"outcome": "fine"}, "and the outcome 'fine'"),
        ({"label": 3}, "has the label 3"),
        ({"height": -1}, "has a map of -1x8"),
        ({"level": None}, "has the outcome ok and no map"),
        ({"frame": "large-p01"}, "'large-p01' has two rows"),
    ],
)
def test_a_rows_file_that_is_not_sound(copied: Path, changes: dict, says: str) -> None:
    folder = spoiled(copied, **changes)
    for work in (lambda: m2f2bench.score(folder), lambda: compare(folder, folder)):
        with pytest.raises(ScoreError) as error:
            work()
        assert says in str(error.value) and "\n" not in str(error.value)
    assert any(says in line for line in validate_result(folder))


def test_a_result_that_is_not_its_rows(copied: Path) -> None:
    file = copied / RESULT
    sound = json.loads(file.read_text())

    def problems(change) -> str:
        data = json.loads(json.dumps(sound))
        change(data)
        file.write_text(json.dumps(data))
        return "\n".join(validate_result(file))

    assert problems(lambda d: None) == ""
    assert "rows: metrics.iou is" in problems(lambda d: d["metrics"]["iou"].update(value=0.31, ci=[0.3, 0.4]))
    assert "rows: details.controls.random.iou.value is" in problems(
        lambda d: d["details"]["controls"]["random"]["iou"].update(value=0.01)
    )
    assert "signature: masks is" in problems(lambda d: d["measured"].update(masks="none"))
    assert "short form" in problems(lambda d: d["measured"].update(map="9x9"))
    assert "key 'details.controls" in problems(lambda d: d["details"].update(controls={"random": 1}))
    assert "protocol_card: " in problems(lambda d: d["protocol_card"].update(steps=3))
    (copied / MAPS).write_bytes((copied / MAPS).read_bytes()[:-20])
    assert "not a readable Parquet file" in problems(lambda d: None)


def test_only_a_runs_folder_can_be_scored(copied: Path, cli, one_line) -> None:
    assert "give the folder that run wrote" in one_line(cli("score", copied / MAPS))
    assert "holds heat maps" in one_line(cli("score", copied, "-p", "frame"))
    assert "holds heat maps" in one_line(cli("report", copied))
    assert "leave out dataset" in one_line(cli("score", copied, "-s", "synthetic"))
