"""WildDeepfake as downloaded: sequences in tars or folders, each a video; damaged tars."""

from __future__ import annotations

import hashlib
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from field_more import FRAMES, clips_of, make_wilddeepfake, png, sequences, write_tar
from one_line import error_of
from toy_videos import number_in, picture_of

from m2f2bench.core.errors import FrameError
from m2f2bench.core.memo import CACHE_VARIABLE
from m2f2bench.datasets.dataset import check_unique
from m2f2bench.datasets.layouts.wilddeepfake import WildDeepfakeAdapter

TEST = {
    "original/test/0/0": (0, "original", ("real_test/0",), FRAMES),
    "original/test/0/1": (0, "original", ("real_test/0",), FRAMES),
    "wild/test/0/0": (1, "wild", ("fake_test/0",), FRAMES),
    "wild/test/0/1": (1, "wild", ("fake_test/0",), FRAMES),
    "wild/test/1/10": (1, "wild", ("fake_test/1",), FRAMES),
    "wild/test/1/11": (1, "wild", ("fake_test/1",), FRAMES),
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("packed", ["", ".tar.gz", ".tar", ".TAR.GZ"])
def test_a_sequence_is_a_video_packed_or_not(tmp_path: Path, packed: str) -> None:
    adapter = WildDeepfakeAdapter(make_wilddeepfake(tmp_path / "data", packed))
    assert adapter.fits()
    assert clips_of(adapter, "test") == TEST
    assert len(clips_of(adapter, "train")) == 6 and adapter.remarks("test") == []
    check_unique(adapter.frames("test"))
    frames = adapter.frames("test")
    assert [frame.id.rpartition("/")[2] for frame in frames[:FRAMES]] == ["8.png", "9.png", "10.png"]  # in time order
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(pickle.loads(pickle.dumps(adapter)).read, frames))
    assert [number_in(image) for image in images] == [0, 1, 2, 10, 11, 12] * 3
    assert np.array_equal(images[-1], picture_of(12, tint=1))
    pixels = hashlib.blake2b(picture_of(12, tint=1).tobytes(), digest_size=8).hexdigest()
    assert adapter.digest(frames[-1], images[-1]) == pixels  # a result does not depend on the packing
    assert adapter.stamp(frames[0]) and len({adapter.stamp(frame) for frame in frames}) == len(frames)


@pytest.mark.parametrize("above", ["", "./", "7/", "7/fake/", "fake/"])
def test_folders_within_a_tar(tmp_path: Path, above: str) -> None:
    files = {f"{above}{name}/{i}.png": png(i) for name in ("3", "4") for i in (2, 10)}
    write_tar(tmp_path / "fake_test" / "7.tar.gz", {**files, f"{above}3/._2.png": b"", f"{above}notes.txt": b""})
    adapter = WildDeepfakeAdapter(tmp_path)
    assert {name: n for name, (_, _, _, n) in clips_of(adapter, "test").items()} == {
        "wild/test/7/3": 2, "wild/test/7/4": 2,
    }  # fmt: skip
    assert [number_in(adapter.read(frame)) for frame in adapter.frames("test")] == [2, 10, 2, 10]
    assert "fake_test/7.tar.gz: 1 file not of pictures left out" in adapter.remarks("test")


def test_the_official_names_with_spaces_in_the_official_folder(tmp_path: Path) -> None:
    made = make_wilddeepfake(tmp_path / "deepfake_in_the_wild", "")
    for name in ("real_train", "fake_train", "real_test", "fake_test"):
        (made / name).rename(made / name.replace("_", " "))
    adapter = WildDeepfakeAdapter(tmp_path)
    assert adapter.fits() and len(clips_of(adapter, "test")) == len(TEST)


def test_a_tar_beside_its_unpacked_folder_counts_once(tmp_path: Path) -> None:
    make_wilddeepfake(tmp_path, "")
    make_wilddeepfake(tmp_path, ".tar.gz")
    adapter = WildDeepfakeAdapter(tmp_path)
    assert clips_of(adapter, "test") == TEST
    assert [frame.locator.key for frame in adapter.frames("test")] == [None] * 18
    assert adapter.remarks("test")[1] == "fake_test: 2 tars left out, which are there unpacked too"


def test_damaged_tars_stay_and_are_said(tmp_path: Path) -> None:
    make_wilddeepfake(tmp_path, ".tar")
    folder = tmp_path / "fake_test"
    whole = (folder / "0.tar").read_bytes()
    at = whole.index(sequences("fake", "test")["0"]["1"]["8.png"])
    (folder / "0.tar").write_bytes(whole[: at + 20])  # cut in its fourth picture
    (folder / "1.tar").write_bytes(b"<html>not found</html>")
    adapter = WildDeepfakeAdapter(tmp_path)
    lengths = {name: n for name, (_, _, _, n) in clips_of(adapter, "test").items()}
    assert lengths == {
        "original/test/0/0": 3, "original/test/0/1": 3, "wild/test/0/0": 3, "wild/test/0/1": 1, "wild/test/1": 1,
    }  # fmt: skip
    remarks = adapter.remarks("test")
    assert len(remarks) == 2 and remarks[0].startswith("fake_test/0.tar: it is damaged or cut short after 4 files")
    assert remarks[1].startswith("fake_test/1.tar: it is not a tar, or is damaged")
    frames = adapter.frames("test")
    for frame, said in ((frames[-2], "cut short in '0.tar'"), (frames[-1], "it is not a tar")):
        with pytest.raises(FrameError, match=said):
            adapter.read(frame)
    assert number_in(adapter.read(frames[6])) == 0


def test_a_copy_that_is_not_whole(tmp_path: Path) -> None:
    make_wilddeepfake(tmp_path, "")
    shutil.rmtree(tmp_path / "real_test")
    for name in ("real_train", "fake_train"):
        shutil.rmtree(tmp_path / name)
    adapter = WildDeepfakeAdapter(tmp_path)
    assert adapter.remarks("test") == [f"there is no real sequence: '{tmp_path}' has no folder real_test"]
    assert len(clips_of(adapter, "test")) == 4
    assert "neither real_train nor fake_train; it has fake_test" in error_of(lambda: adapter.frames("train"))
    assert "no split 'val'" in error_of(lambda: adapter.frames("val"))
    shutil.rmtree(tmp_path / "fake_test" / "1")
    assert len(clips_of(adapter, "test")) == 2


def test_other_folders(tmp_path: Path) -> None:
    for name in ("real", "fake", "train"):
        (tmp_path / name).mkdir()
    assert not WildDeepfakeAdapter(tmp_path).fits()
    assert "is not WildDeepfake as downloaded" in error_of(lambda: WildDeepfakeAdapter(tmp_path).frames("test"))
    (tmp_path / "fake_test").mkdir()
    assert "has no test videos of WildDeepfake" in error_of(lambda: WildDeepfakeAdapter(tmp_path).frames("test"))
