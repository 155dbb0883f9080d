"""The drawn dataset's cache: damage is noticed, a killed process leaves nothing half, two at once do not collide."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paths import ROOT

from m2f2bench.core.errors import DataError
from m2f2bench.datasets.calls import altered_regions_of
from m2f2bench.datasets.synthetic import cache
from m2f2bench.datasets.synthetic.adapter import SyntheticAdapter
from m2f2bench.datasets.synthetic.cache import CACHE_VARIABLE, cache_folder
from m2f2bench.datasets.synthetic.draw import SyntheticOptions

SMALL = {"test": 2, "videos_per_identity": 1, "frames_per_video": 2, "size": 64, "methods": ("lowres",), "workers": 1}


def options(cache: Path, **more: object) -> SyntheticOptions:
    return SyntheticOptions.model_validate({**SMALL, "cache": str(cache), **more})


def pixels(chosen: SyntheticOptions) -> bytes:
    data = SyntheticAdapter(None, chosen)
    return b"".join(data.read(frame).tobytes() + data.mask(frame).tobytes() for frame in data.frames("test"))


def start(chosen: SyntheticOptions) -> subprocess.Popen[str]:
    """A process that draws the test split and prints its first frame's sum."""
    code = (
        "import sys; from m2f2bench.datasets.synthetic.adapter import SyntheticAdapter as A\n"
        "from m2f2bench.datasets.synthetic.draw import SyntheticOptions as O\n"
        "data = A(None, O.model_validate_json(sys.argv[1]))\n"
        "print(sum(int(data.read(f).sum()) for f in data.frames('test')))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, chosen.model_dump_json()]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "truncated frames": lambda folder: truncate(folder / "frames.npy"),
    "one flipped byte": lambda folder: flip(folder / "frames.npy"),
    "flipped mask": lambda folder: flip(folder / "masks.npy"),
    "masks gone": lambda folder: (folder / "masks.npy").unlink(),
    "index gone": lambda folder: (folder / "index.json").unlink(),
    "index not JSON": lambda folder: (folder / "index.json").write_text("{"),
    "index of another kind": lambda folder: (folder / "index.json").write_text("[]"),
    "index without a video": lambda folder: (folder / "index.json").write_text(
        json.dumps({**json.loads((folder / "index.json").read_text()), "videos": {}})
    ),
}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return pixels(options(tmp_path_factory.mktemp("pristine")))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_drawn_again(tmp_path: Path, pristine: bytes, damage: str) -> None:
    chosen = options(tmp_path)
    pixels(chosen)
    DAMAGES[damage](cache_folder(chosen) / "test")
    assert pixels(chosen) == pristine
    assert sorted(path.name for path in cache_folder(chosen).iterdir()) == ["test", "test.lock"]


def test_a_whole_cache_is_not_drawn_again(tmp_path: Path) -> None:
    chosen = options(tmp_path)
    pixels(chosen)
    file = cache_folder(chosen) / "test" / "frames.npy"
    before = file.stat()
    pixels(chosen)
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_split_that_another_process_drew_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = options(tmp_path)
    expected, read, opened = pixels(chosen), cache._read, []

    def first_missing(*place: Any) -> cache.Opened | None:
        opened.append(read(*place) if opened else None)  # it is drawn while this process waits for the lock
        return opened[-1]

    monkeypatch.setattr(cache, "_read", first_missing)
    assert pixels(chosen) == expected
    assert len(opened) == 2


def test_a_forgery_without_notes_is_not_an_untouched_face(tmp_path: Path) -> None:
    chosen = options(tmp_path)
    pixels(chosen)
    index = cache_folder(chosen) / "test" / "index.json"
    content = json.loads(index.read_text())
    del content["videos"]["lowres/t000_0"]
    index.write_text(json.dumps(content))
    with pytest.raises(DataError, match="lowres/t000_0"):
        altered_regions_of(SyntheticAdapter(None, chosen), "test")


@pytest.mark.parametrize("name", ["draw.py", "faces.yaml", "questions.yaml"])
def test_code_and_its_numbers_decide_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    version = cache.generator_version.__wrapped__
    before = version()
    shutil.copytree(Path(cache.__file__).parent, tmp_path / "copy")
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "copy" / "cache.py"))
    assert version() == before
    file = tmp_path / "copy" / name
    file.write_bytes(file.read_bytes() + b"\n")
    assert version() != before


def test_only_the_split_that_is_read_is_drawn(tmp_path: Path) -> None:
    chosen = options(tmp_path)
    pixels(chosen)
    assert {path.name for path in cache_folder(chosen).iterdir() if path.is_dir()} == {"test"}


def test_what_decides_the_pixels_decides_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [options(tmp_path), options(tmp_path, compression="c40"), options(tmp_path, seed=1)]
    assert len({cache_folder(o) for o in folders}) == 3
    assert cache_folder(options(tmp_path, workers=2)) == cache_folder(folders[0])
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "elsewhere"))
    without = SyntheticOptions.model_validate(SMALL)
    assert cache_folder(without).is_relative_to(tmp_path / "elsewhere")
    assert cache_folder(without).name == cache_folder(folders[0]).name


@pytest.mark.slow
def test_a_killed_process_leaves_nothing_half_there(tmp_path: Path) -> None:
    chosen = options(tmp_path, test=6, size=128, workers=2)
    folder = cache_folder(chosen)
    process = start(chosen)

    def half_way() -> bool:
        found = list(folder.glob(".test.*/frames.npy"))
        try:
            return bool(found) and np.load(found[0], mmap_mode="r")[0].any()
        except (ValueError, EOFError):  # begun, and not yet of its full length
            return False

    wait_for(half_way)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (folder / "test").exists()
    assert list(folder.glob(".test.*")), "the kill came too late to show anything"
    data = SyntheticAdapter(None, chosen)
    assert data.read(data.frames("test")[-1]).any()
    assert sorted(path.name for path in folder.iterdir()) == ["test", "test.lock"]
    fresh = SyntheticAdapter(None, options(tmp_path / "fresh", test=6, size=128))
    for frame in data.frames("test")[:: len(data.frames("test")) - 1]:
        assert np.array_equal(data.read(frame), fresh.read(frame))


def test_two_processes_at_once_agree(tmp_path: Path) -> None:
    chosen = options(tmp_path, test=3)
    both = [start(chosen), start(chosen)]
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert said[0][0] == said[1][0] != ""
    assert sorted(path.name for path in cache_folder(chosen).iterdir()) == ["test", "test.lock"]


def test_a_worker_that_fails_says_why_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    chosen = options(tmp_path, workers=2)
    with pytest.raises(DataError, match="workers: 1"):
        pixels(chosen)
    assert [path.name for path in cache_folder(chosen).iterdir()] == ["test.lock"]
