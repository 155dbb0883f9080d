"""The cache of crops: it stays under its limit, and drops what was used longest ago."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from marker_faces import MarkerFinder, write_scenes

from m2f2bench.core.errors import DataError
from m2f2bench.core.memo import cache_folder
from m2f2bench.faces.adapter import FaceAdapter
from m2f2bench.faces.crop_cache import DEFAULT_GB, GIGABYTE, VARIABLE, CropCache, limit_bytes


def noise(number: int) -> np.ndarray:
    """A picture of 32 × 32 pixels, about 3.2 kB as a PNG file."""
    return np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def held(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def place(folder: Path, number: int) -> Path:
    return folder / "key" / f"{number % 7:02x}" / f"{number:04d}.png"


def test_it_never_holds_more_than_its_limit(tmp_path: Path) -> None:
    cache = CropCache(tmp_path, 40_000)
    for number in range(60):
        cache.put(place(tmp_path, number), noise(number))
        os.utime(place(tmp_path, number), ns=(number, number))  # clocks of file systems are coarse
        assert held(tmp_path) <= 40_000
    kept = [number for number in range(60) if cache.get(place(tmp_path, number), "x") is not None]
    assert kept == list(range(60 - len(kept), 60)) and len(kept) > 5


def test_what_was_used_stays(tmp_path: Path) -> None:
    cache = CropCache(tmp_path, 40_000)
    for number in range(100):
        cache.put(place(tmp_path, number), noise(number))
        os.utime(place(tmp_path, number), ns=(number, number))
        found = cache.get(place(tmp_path, 0), "x")  # sets its time to now
        assert found is not None and np.array_equal(found, noise(0))
    assert cache.get(place(tmp_path, 1), "x") is None


def test_several_processes_share_the_limit(tmp_path: Path) -> None:
    """Each goes beyond it by a sixteenth, and one file, at most."""
    caches = [CropCache(tmp_path, 64_000) for _ in range(3)]
    for number in range(150):
        caches[number % 3].put(place(tmp_path, number), noise(number))
        assert held(tmp_path) <= 64_000 + 3 * (4000 + 3500)


def test_threads_and_files_that_vanish(tmp_path: Path) -> None:
    cache = CropCache(tmp_path, 30_000)

    def work(number: int) -> bool:
        path = place(tmp_path, number % 20)
        cache.put(path, noise(number % 20))
        if number % 5 == 0:
            path.unlink(missing_ok=True)
        found = cache.get(path, "x")
        return found is None or np.array_equal(found, noise(number % 20))

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(200)))
    assert not list(tmp_path.rglob("*.tmp"))


def test_files_that_a_kill_left_are_dropped_with_the_oldest(tmp_path: Path) -> None:
    left = tmp_path / "old" / ".x.tmp"
    left.parent.mkdir()
    left.write_bytes(bytes(30_000))
    os.utime(left, ns=(1, 1))
    cache = CropCache(tmp_path, 32_000)
    for number in range(3):
        cache.put(place(tmp_path, number), noise(number))
    assert not left.exists() and all(place(tmp_path, number).is_file() for number in range(3))


def test_the_limit_is_an_environment_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert limit_bytes() == DEFAULT_GB * GIGABYTE
    for text, wanted in (("0", 0), ("0.5", GIGABYTE // 2), (" 7 ", 7 * GIGABYTE)):
        monkeypatch.setenv(VARIABLE, text)
        assert limit_bytes() == wanted
    scenes = write_scenes(tmp_path / "scenes", {"original/a": [{"red": (10, 10, 50, 60)}]})
    for text in ("much", "-1", "nan", "inf", "1e999"):
        monkeypatch.setenv(VARIABLE, text)
        with pytest.raises(DataError, match=rf"{VARIABLE} is '{text}': give a number of gigabytes"):
            FaceAdapter(scenes, "square", MarkerFinder())


@pytest.mark.parametrize(("limit", "kept"), [("0", 0), ("0.0000003", 1), ("1", 6)])
def test_a_run_reads_the_same_whatever_is_kept(
    limit: str, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "cache"))
    shown = [{"red": (10 + 9 * t, 20, 60 + 9 * t, 80)} for t in range(6)]
    scenes = write_scenes(tmp_path / "scenes", {"original/a": shown})
    monkeypatch.setenv(VARIABLE, "1")
    whole = FaceAdapter(scenes, "square:size=32", MarkerFinder())
    wanted = [whole.read(frame) for frame in whole.frames("test")]
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "other"))
    monkeypatch.setenv(VARIABLE, limit)
    faces = FaceAdapter(scenes, "square:size=32", MarkerFinder())
    for _ in range(2):
        for frame, image in zip(faces.frames("test"), wanted, strict=True):
            assert np.array_equal(faces.read(frame), image)
    assert len(list((cache_folder() / "faces").rglob("*.png"))) == (kept if kept != 1 else pytest.approx(1, abs=1))
