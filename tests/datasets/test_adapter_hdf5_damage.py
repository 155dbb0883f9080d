"""FaceForensics++ in HDF5 files that are missing, damaged or of another form: one clear line for each."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hdf5_files import FRAMES, SIDE, TEST, TRAIN, adapter, build, check, clip, fails, lists

from m2f2bench.core.errors import DataError, FrameError
from m2f2bench.core.records import Frame, Locator


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
        fails(root, "FF++_original_c23.h5", "cut short or not an HDF5 file", methods=["original"])


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
    with pytest.raises(DataError, match="does not exist"):
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


# E2, E3, E8: limits, frames that were never written, and links.


def stored(root: Path, key: str = "000_003", method: str = "Deepfakes", **storage: object) -> h5py.Dataset:
    """The open dataset of one video, anew, with nothing written to it; closed by its file."""
    file = h5py.File(root / f"FF++_{method}_c23.h5", "a")
    del file[key]
    return file.create_dataset(key, **{"shape": (FRAMES, SIDE, SIDE, 3), "dtype": "u1", **storage})


def states(root: Path, video: str = "Deepfakes/000_003") -> list[str]:
    """Of each frame of a video why it cannot be read; empty for one that can."""
    data = adapter(root, methods=["Deepfakes"])
    found = []
    for frame in data.frames("test"):
        if frame.video == video:
            try:
                data.read(frame)
                found.append("")
            except FrameError as error:
                assert error.status == "unreadable" and "\n" not in str(error)
                found.append(error.reason)
    data.close()
    return found


STORAGE: dict[str, dict[str, object]] = {
    "contiguous": {},
    "a chunk a frame": {"chunks": (1, SIDE, SIDE, 3)},
    "chunks of two frames": {"chunks": (2, SIDE, SIDE, 3), "compression": "gzip"},
    "chunks of a part": {"chunks": (1, 8, 8, 3)},
    "with a fill value": {"fillvalue": 7},
}


@pytest.mark.parametrize("storage", STORAGE)
def test_e3_frames_that_were_never_written_are_not_black_pictures(root: Path, storage: str) -> None:
    stored(root, **STORAGE[storage]).file.close()
    assert [reason[:20] for reason in states(root)] == ["it was never written"] * FRAMES
    dataset = stored(root, **STORAGE[storage])
    dataset[1] = 99
    dataset.file.close()
    written = [not reason for reason in states(root)]
    assert written == [False, True, False, False, False]


def test_e3_a_frame_of_which_a_part_was_never_written(root: Path) -> None:
    dataset = stored(root, chunks=(1, 8, 8, 3))
    dataset[...] = 50
    dataset[2] = 0  # written, and black
    dataset.file.close()
    assert states(root) == [""] * FRAMES
    dataset = stored(root, chunks=(1, 8, 8, 3))
    dataset[0] = 50
    dataset[1, :8] = 50
    dataset.file.close()
    assert [not reason for reason in states(root)] == [True, False, False, False, False]


def test_e3_a_black_frame_of_a_chunk_of_its_own_is_one(root: Path) -> None:
    """A chunk takes room when it is written to, so that it can be told; one block for a whole video cannot."""
    dataset = stored(root, chunks=(1, SIDE, SIDE, 3))
    dataset[:3] = 0
    dataset.file.close()
    assert [not reason for reason in states(root)] == [True, True, True, False, False]
    dataset = stored(root)
    dataset[:3] = 0
    dataset.file.close()
    assert not any(not reason for reason in states(root))


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((2, 1, 1, 3), "1x1 pixels are too small to hold a face"),
        ((2, 7, 300, 3), "300x7 pixels are too small"),
        ((2, 60_000, 60_000, 3), "60000x60000 pixels are over the limit of 50 million"),
        ((2, 7072, 7071, 3), "7071x7072 pixels are over the limit"),
    ],
)
def test_e2_e3_frames_have_the_limits_of_images(root: Path, shape: tuple[int, ...], reason: str) -> None:
    """Told from the shape: 60,000 × 60,000 would take 10 GB."""
    stored(root, shape=shape, chunks=(1, min(shape[1], 100), min(shape[2], 100), 3)).file.close()
    found = states(root)
    assert len(found) == 2 and all(one.startswith(reason) for one in found)


def test_e2_a_claimed_length_is_no_reason_to_hang(root: Path) -> None:
    stored(root, shape=(10**9, SIDE, SIDE, 3), chunks=(1, SIDE, SIDE, 3)).file.close()
    fails(root, "'000_003'", "1000000000 x 16 x 16 x 3", "a video of over 1,000,000 frames is not read")


def test_e2_a_chunk_that_unpacks_to_very_much(root: Path) -> None:
    dataset = stored(root, shape=(60_000, 64, 64, 3), chunks=(60_000, 64, 64, 3), compression="gzip")
    dataset.file.close()
    data = adapter(root, methods=["Deepfakes"])
    frame = next(f for f in data.frames("test") if f.video == "Deepfakes/000_003")
    with pytest.raises(FrameError, match="chunks of 737,280,000 bytes, over the limit"):
        data.read(frame)


def link(root: Path, target: object, key: str = "000_003") -> Path:
    path = root / "FF++_Deepfakes_c23.h5"
    with h5py.File(path, "a") as file:
        del file[key]
        file[key] = target
    return path


def test_e8_soft_links_are_followed_inside_the_file(root: Path) -> None:
    with h5py.File(link(root, h5py.SoftLink("../away/./here")), "a") as file:
        file["away/there"] = clip("Deepfakes", "000_003")
        file["away/here"] = h5py.SoftLink("there")
    (found,) = states(root)
    assert "leads nowhere" in found  # as for the library, .. is a name like any other
    link(root, h5py.SoftLink("/away/here"))
    assert states(root) == [""] * FRAMES
    data = adapter(root)
    assert all(check(data, frame) for frame in data.frames("test") if frame.video == "Deepfakes/000_003")


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/nowhere", "leads nowhere"),
        ("nowhere/at/all", "leads nowhere"),
        ("/003_000/inside", "leads nowhere"),
        ("/000_003", "leads back to itself"),
        ("000_003", "leads back to itself"),
        ("/", "leads nowhere"),
    ],
)
def test_e8_links_that_lead_nowhere_are_frames_that_fail(root: Path, target: str, reason: str) -> None:
    link(root, h5py.SoftLink(target))
    (found,) = states(root)
    assert found == f"video '000_003' is a link in 'FF++_Deepfakes_c23.h5' that {reason}"


def outside(root: Path) -> None:
    data = adapter(root)
    with pytest.raises(DataError, match=r"'000_003' lies in another file, .*: copy them into it"):
        data.frames("test")
    data.close()


def test_e8_no_other_file_is_read(root: Path) -> None:
    """Whether it is there or not, and by whatever way: links, links behind links, storage, views."""
    other = root / "other.h5"
    with h5py.File(other, "w") as file:
        file["x"] = clip("Deepfakes", "000_003")
    raw = root / "raw.bin"
    raw.write_bytes(bytes(range(256)) * 15)
    for target in (h5py.ExternalLink(str(other), "/x"), h5py.ExternalLink("gone.h5", "/x")):
        link(root, target)
        outside(root)
    with h5py.File(link(root, h5py.SoftLink("/far/x")), "a") as file:
        file["far"] = h5py.ExternalLink(str(other), "/")
    outside(root)
    stored(root, external=[(str(raw), 0, 5 * SIDE * SIDE * 3)]).file.close()
    outside(root)
    layout = h5py.VirtualLayout(shape=(FRAMES, SIDE, SIDE, 3), dtype="u1")
    layout[...] = h5py.VirtualSource(str(other), "x", shape=(FRAMES, SIDE, SIDE, 3))
    with h5py.File(root / "FF++_Deepfakes_c23.h5", "a") as file:
        del file["000_003"]
        file.create_virtual_dataset("000_003", layout)
    outside(root)


def test_e8_a_damaged_table_of_videos(root: Path) -> None:
    """Whatever piece of the file's structure is overwritten: one line, or frames that fail, or all is as it was."""
    path = root / "FF++_Deepfakes_c23.h5"
    whole = path.read_bytes()
    assert sum(whole.count(mark) for mark in (b"TREE", b"HEAP", b"SNOD")) >= 3
    for mark in (b"TREE", b"HEAP", b"SNOD"):
        at = whole.find(mark)
        while at >= 0:
            for offset, junk in ((0, b"\0\0\0\0"), (4, b"\xff" * 4), (8, b"\xff" * 16), (24, b"\x01" * 40)):
                path.write_bytes(whole[: at + offset] + junk + whole[at + offset + len(junk) :])
                try:
                    states(root)
                except DataError as error:
                    assert "\n" not in str(error) and "Deepfakes" in str(error)
            at = whole.find(mark, at + 1)
    path.write_bytes(whole)
    assert states(root) == [""] * FRAMES
