"""FaceForensics++ in HDF5 files that are missing, damaged or of another form: one clear line for each."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hdf5_files import FRAMES, SIDE, TEST, TRAIN, adapter, build, check, fails, lists

from m2f2bench.errors import DataError, FrameError
from m2f2bench.records import Frame, Locator


@pytest.fixture
def root(tmp_path: Path) -> Path:
    lists(tmp_path, test=TEST, train=TRAIN)
    return build(tmp_path, pairs=TEST + TRAIN)


def put(root: Path, method: str, key: str, data: np.ndarray | None) -> None:
    with h5py.File(root / f"FF++_{method}_c23.h5", "a") as file:
        del file[key]
        if data is not None:
            file[key] = data


def test_a_listed_video_that_is_missing_is_one_row_that_fails(root: Path) -> None:
    put(root, "Deepfakes", "003_000", None)
    put(root, "FaceSwap", "000_003", np.zeros((0, SIDE, SIDE, 3), np.uint8))
    data = adapter(root)
    frames = data.frames("test")
    assert len(frames) == 100 - 2 * FRAMES + 2
    for video, reason in (("Deepfakes/003_000", "is not in"), ("FaceSwap/000_003", "has no frames")):
        (frame,) = (f for f in frames if f.video == video)
        assert frame.id == f"{video}/0000" and frame in data.sample("test", lambda n: range(n))
        with pytest.raises(FrameError, match=reason) as caught:
            data.read(frame)
        assert caught.value.frame == frame.id and caught.value.status == "unreadable"
        assert "\n" not in str(caught.value)


def test_a_file_without_any_listed_video(root: Path) -> None:
    lists(root, test=[("111", "222")])
    fails(root, "FF++_original_c23.h5", "none of the 2 test videos", "111", "the file has 000, 003, 044")


def test_a_missing_file(root: Path) -> None:
    (root / "FF++_FaceSwap_c23.h5").unlink()
    fails(root, "no FF++_FaceSwap_c23.h5 nor FF++_FaceSwap_c23_test_only.h5", "FF++_Deepfakes_c23.h5", "methods")
    fails(root, "no FF++_FaceSwap_c23.h5 for", split="train")
    assert len(adapter(root, methods=["original", "Deepfakes"]).frames("test")) == 40
    fails(root, "FF++_original_c40", compression="c40")


def test_full_and_test_only_files(root: Path) -> None:
    build(root, "c23_test_only", TEST)
    assert {Path(f.locator.path).name for f in adapter(root, methods=["original"]).frames("test")} == {
        "FF++_original_c23.h5"
    }
    part = adapter(root, methods=["original"], files="test_only")
    assert {Path(f.locator.path).name for f in part.frames("test")} == {"FF++_original_c23_test_only.h5"}
    fails(root, "test_only", "no train videos", split="train", files="test_only")
    (root / "FF++_original_c23.h5").unlink()
    only = adapter(root, methods=["original"])
    assert Path(only.frames("test")[0].locator.path).name == "FF++_original_c23_test_only.h5"
    fails(root, "no FF++_original_c23.h5 for the train split", split="train")
    fails(root, "no FF++_original_c23.h5 for the test split", files="full")


def test_files_that_are_cut_short_or_no_hdf5(root: Path) -> None:
    path = root / "FF++_original_c23.h5"
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"a page that says 404\n" * 99):
        path.write_bytes(damaged)
        fails(root, "FF++_original_c23.h5", "cut short or no HDF5 file", methods=["original"])


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (np.zeros((4, 8, 8, 3), np.float32), "float32, 4 x 8 x 8 x 3"),
        (np.zeros((4, 3, 8, 8), np.uint8), "uint8, 4 x 3 x 8 x 8"),
        (np.zeros((8, 8, 3), np.uint8), "uint8, 8 x 8 x 3"),
        (np.zeros((4, 0, 8, 3), np.uint8), "uint8, 4 x 0 x 8 x 3"),
        (np.uint8(3), "uint8, a single value"),
    ],
)
def test_datasets_of_another_form(root: Path, data: np.ndarray, found: str) -> None:
    put(root, "Deepfakes", "000_003", data)
    fails(root, "FF++_Deepfakes_c23.h5", "'000_003'", f"found {found};", "expected uint8, frames x height x width x 3")


def test_a_group_where_a_video_should_be(root: Path) -> None:
    put(root, "Deepfakes", "000_003", None)
    with h5py.File(root / "FF++_Deepfakes_c23.h5", "a") as file:
        file.create_group("000_003")["frames"] = np.zeros((4, 8, 8, 3), np.uint8)
    fails(root, "'000_003'", "found a group")


def test_damage_that_shows_only_when_a_frame_is_read(tmp_path: Path) -> None:
    lists(tmp_path, test=TEST)
    build(tmp_path, chunks=(1, SIDE, SIDE, 3), compression="gzip", fletcher32=True)
    path = tmp_path / "FF++_original_c23.h5"
    with h5py.File(path) as file:
        place = file["003"].id.get_chunk_info(2)
    with path.open("r+b") as raw:
        raw.seek(place.byte_offset + place.size // 2)
        raw.write(b"\xaa" * 8)
    data = adapter(tmp_path, methods=["original"])
    states = {}
    for frame in data.frames("test"):
        try:
            states[frame.id] = check(data, frame)
        except FrameError as error:
            assert error.status == "unreadable" and "\n" not in str(error)
            states[frame.id] = None
    assert [name for name, good in states.items() if good is None] == ["original/003/0002"]
    assert sum(good is True for good in states.values()) == 19


def test_an_index_beyond_the_video(root: Path) -> None:
    frame = Frame("x", "v", 0, "original", "test", (), Locator(str(root / "FF++_original_c23.h5"), "000", 99))
    with pytest.raises(FrameError, match="cannot be read"):
        adapter(root).read(frame)


def test_a_file_that_went_away_after_listing(root: Path) -> None:
    data = adapter(root, methods=["original"])
    frame = data.frames("test")[0]
    data.close()
    (root / "FF++_original_c23.h5").unlink()
    with pytest.raises(DataError, match="not there"):
        data.read(frame)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ["cannot be read"]),
        ("[]", ["list of pairs"]),
        ('{"000": "003"}', ["list of pairs"]),
        ('[["000", "003"], ["000"]]', ["entry 1", '["000"]', "not a pair"]),
        ("[[953, 974]]", ["entry 0", "not a pair of texts"]),
        ('[["000", "003"], ["004", "000"]]', ["entry 1", "video 000 is listed twice"]),
    ],
)
def test_bad_split_lists(root: Path, text: str, words: list[str]) -> None:
    (root / "FFPP_split/test.json").write_text(text)
    fails(root, "test.json", *words)


def test_missing_lists_splits_and_roots(root: Path) -> None:
    fails(root, "no split list", "val.json", "options.splits", split="val")
    fails(root, "no split 'vall'", "did you mean 'val'", split="vall")
    (root / "FFPP_split").rename(root / "lists")
    assert len(adapter(root, splits="lists").frames("test")) == 100
    fails(None, "needs a root")
    fails(root / "gone", "no folder at", "gone")
    (root / "empty").mkdir()
    fails(root / "empty", "no split list")
    lists(root / "empty", test=TEST)
    fails(root / "empty", "there is no .h5 file")
