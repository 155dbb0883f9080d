"""FaceForensics++ in HDF5 files: real files of every storage layout, read singly, from threads, forks and workers."""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2f2bench.adapters.hdf5 import METHODS, HDF5Adapter, HDF5Options
from m2f2bench.errors import DataError, FrameError
from m2f2bench.records import Frame, Locator

LISTS = Path(os.environ.get("M2F2BENCH_DATA", "/nowhere")) / "ffpp/FFPP_split"
SIDE, FRAMES = 16, 5
STORAGE: dict[str, dict[str, object]] = {
    "contiguous": {},
    "a chunk per frame": {"chunks": (1, SIDE, SIDE, 3)},
    "the whole clip a gzip chunk": {"chunks": (FRAMES, SIDE, SIDE, 3), "compression": "gzip"},
}
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system has no /proc")


def clip(method: str, key: str, frames: int = FRAMES) -> np.ndarray:
    """Noise that is different for every method, video and frame."""
    seed = [METHODS.index(method), *map(int, key.split("_"))]
    return np.random.default_rng(seed).integers(0, 256, (frames, SIDE, SIDE, 3), dtype=np.uint8)


def keys(method: str, *pairs: tuple[str, str]) -> list[str]:
    return [k for a, b in pairs for k in ((a, b) if method == "original" else (f"{a}_{b}", f"{b}_{a}"))]


TEST, TRAIN = [("000", "003"), ("044", "945")], [("071", "054")]


def build(root: Path, suffix: str = "c23", pairs: list[tuple[str, str]] = TEST, **storage: object) -> Path:
    for method in METHODS:
        with h5py.File(root / f"FF++_{method}_{suffix}.h5", "w") as file:
            for key in keys(method, *pairs):
                file.create_dataset(key, data=clip(method, key), **storage)
    return root


def lists(root: Path, **splits: list[tuple[str, str]]) -> None:
    folder = root / "FFPP_split"
    folder.mkdir(exist_ok=True)
    for split, pairs in splits.items():
        (folder / f"{split}.json").write_text(json.dumps(pairs))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    lists(tmp_path, test=TEST, train=TRAIN)
    return build(tmp_path, pairs=TEST + TRAIN)


def adapter(root: Path | None, **options: object) -> HDF5Adapter:
    return HDF5Adapter(root, HDF5Options.model_validate(options))


def fails(root: Path | None, *words: str, split: str = "test", **options: object) -> None:
    with pytest.raises(DataError) as caught:
        adapter(root, **options).frames(split)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def put(root: Path, method: str, key: str, data: np.ndarray | None) -> None:
    with h5py.File(root / f"FF++_{method}_c23.h5", "a") as file:
        del file[key]
        if data is not None:
            file[key] = data


# --- what is listed


def test_a_pair_gives_two_reals_and_two_fakes_a_method(root: Path) -> None:
    frames = adapter(root).frames("test")
    assert len(frames) == 5 * 4 * FRAMES
    videos = list(dict.fromkeys(f.video for f in frames))
    assert videos[:5] == ["original/000", "original/003", "original/044", "original/945", "Deepfakes/000_003"]
    assert len(videos) == 20 and len({f.id for f in frames}) == 100
    first = frames[4 * FRAMES + 2]
    assert first.id == "Deepfakes/000_003/0002"
    assert (first.label, first.method, first.split, first.identities) == (1, "Deepfakes", "test", ("000", "003"))
    assert first.locator == Locator(str(root / "FF++_Deepfakes_c23.h5"), "000_003", 2)
    assert (frames[0].label, frames[0].method, frames[0].identities) == (0, "original", ("000",))
    assert {f.video for f in adapter(root, methods=["original"]).frames("train")} == {"original/054", "original/071"}


def test_sampling_tells_from_shapes_what_listing_and_picking_would(root: Path) -> None:
    def every_second(count: int) -> list[int]:
        return list(range(0, count, 2))

    data = adapter(root)
    want = [f for f in data.frames("test") if f.locator.index in (0, 2, 4)]
    assert data.sample("test", every_second) == want


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 7), st.lists(st.integers(1, 400), min_size=1, max_size=4))
def test_sampling_builds_no_more_than_it_gives(
    tmp_path_factory: pytest.TempPathFactory, count: int, lengths: list[int]
) -> None:
    root = tmp_path_factory.mktemp("h5")
    names = [f"{n:03d}" for n in range(2 * len(lengths))]
    lists(root, train=list(zip(names[::2], names[1::2], strict=True)))
    with h5py.File(root / "FF++_original_c23.h5", "w") as file:
        for name, length in zip(names, [n for n in lengths for _ in "ab"], strict=True):
            file.create_dataset(name, (length, 8, 8, 3), np.uint8)  # no data are written: shapes are enough
    asked: list[int] = []

    def sampler(length: int) -> list[int]:
        asked.append(length)
        return sorted({length * i // count for i in range(count)})

    data = adapter(root, methods=["original"])
    got = [f.id for f in data.sample("train", sampler)]
    data.close()
    doubled = [n for n in lengths for _ in "ab"]
    assert asked == doubled
    assert got == [f"original/{name}/{i:04d}" for name, n in zip(names, doubled, strict=True) for i in sampler(n)]


# --- reading


@pytest.mark.parametrize("storage", STORAGE)
def test_pixels_are_those_written(tmp_path: Path, storage: str) -> None:
    lists(tmp_path, test=TEST)
    build(tmp_path, **STORAGE[storage])
    data = adapter(tmp_path)
    for frame in data.frames("test"):
        pixels = data.read(frame)
        assert pixels.dtype == np.uint8 and pixels.shape == (SIDE, SIDE, 3)
        key, index = str(frame.locator.key), frame.locator.index
        np.testing.assert_array_equal(pixels, clip(frame.method, key)[index])
    assert set(data.opened().values()) == {1} and len(data.opened()) == 5


def test_one_frame_is_read_and_not_the_clip(root: Path) -> None:
    # Holes in a sparse file cost nothing to declare: reading this clip whole would need 147 GB of memory.
    with h5py.File(root / "FF++_original_c23.h5", "a") as file:
        del file["000"]
        huge = file.create_dataset("000", (1_000_000, 224, 224, 3), np.uint8, chunks=(1, 224, 224, 3), fillvalue=9)
        huge[987_654] = 200
    data = adapter(root, methods=["original"])
    (frame,) = (f for f in data.sample("test", lambda n: [n - 12_346] if n > FRAMES else []))
    assert frame.id == "original/000/987654"
    assert (data.read(frame) == 200).all()


def test_read_only_files_and_closing(root: Path) -> None:
    for path in root.glob("*.h5"):
        path.chmod(0o444)
    data = adapter(root, methods=["original"])
    frame = data.frames("test")[0]
    data.close()
    np.testing.assert_array_equal(data.read(frame), clip("original", "000")[0])
    assert list(data.opened().values()) == [2]  # once before and once after the close
    data.close()
    data.close()


def test_files_opened_for_reading_elsewhere_are_no_hindrance(root: Path) -> None:
    with h5py.File(root / "FF++_original_c23.h5", "r"):
        assert len(adapter(root, methods=["original"]).frames("train")) == 2 * FRAMES


def test_handles_are_not_pickled(root: Path) -> None:
    data = adapter(root)
    frame = data.frames("test")[7]
    copy = pickle.loads(pickle.dumps(data))
    assert copy.opened() == {}
    np.testing.assert_array_equal(copy.read(frame), data.read(frame))


def check(data: HDF5Adapter, frame: Frame) -> bool:
    key = str(frame.locator.key)
    return bool((data.read(frame) == clip(frame.method, key)[frame.locator.index]).all())


def descriptors(root: Path) -> list[str]:
    """The files below root that this process has open, as the system counts them."""
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(entry.readlink()))
        except OSError:
            continue
    return sorted(link for link in links if link.startswith(str(root)) and link.endswith(".h5"))


@needs_proc
def test_threads_share_one_open_file(root: Path) -> None:
    frames = adapter(root).frames("test") * 3
    data = adapter(root)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda frame: check(data, frame), frames))
    assert set(data.opened().values()) == {1}
    assert len(descriptors(root)) >= 5
    data.close()


def in_child(work: Callable[[], object]) -> object:
    """`work` in a forked process, its outcome sent back through a pipe."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            outcome: object = work()
        except BaseException as error:
            outcome = repr(error)
        os.write(send, pickle.dumps(outcome))
        os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as pipe:
        sent = pipe.read()
    os.waitpid(child, 0)
    return pickle.loads(sent)


@needs_fork
@needs_proc
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_opens_its_own_files_once(root: Path) -> None:
    data = adapter(root)
    frames = data.frames("test")  # the parent has all five open, and has read from them
    assert all(check(data, frame) for frame in frames[::9])

    def work() -> tuple[bool, dict[str, int], list[str]]:
        return all(check(data, f) for f in frames), data.opened(), descriptors(root)

    good, opened, links = in_child(work)  # type: ignore[misc]
    paths = sorted(str(path) for path in root.glob("*.h5"))
    assert good and sorted(opened) == paths and set(opened.values()) == {1}
    assert links == paths  # one descriptor a file: those of the parent were let go
    assert all(check(data, frame) for frame in frames[::9]) and set(data.opened().values()) == {1}
    data.close()


class Frames:
    """A map-style dataset: per item whether the pixels are right, and how this process opened the files."""

    def __init__(self, data: HDF5Adapter, frames: list[Frame], root: Path) -> None:
        self.data, self.frames, self.root = data, frames, root

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> tuple[bool, int, int, int]:
        good = check(self.data, self.frames[index])
        return good, os.getpid(), max(self.data.opened().values()), len(descriptors(self.root))


@needs_proc
@pytest.mark.parametrize("context", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_two_loader_workers_open_each_file_once(root: Path, context: str) -> None:
    if context == "fork" and sys.platform == "darwin":
        pytest.skip("fork is unsafe with this system's frameworks")
    loading = pytest.importorskip("torch.utils.data")
    data = adapter(root, methods=["original", "Deepfakes"])
    frames = data.frames("test")
    loader = loading.DataLoader(
        Frames(data, frames, root),
        batch_size=None,
        shuffle=True,
        num_workers=2,
        multiprocessing_context=context,
    )
    rows = [tuple(map(int, row)) for row in loader]
    assert len(rows) == len(frames) == 40
    assert all(row[0] for row in rows)
    workers = {row[1] for row in rows}
    assert len(workers) == 2 and os.getpid() not in workers
    assert {row[2] for row in rows} == {1}
    assert max(row[3] for row in rows) <= 2
    data.close()


# --- what is missing or damaged


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


@pytest.mark.skipif(not LISTS.is_dir(), reason="M2F2BENCH_DATA is not set, or has no ffpp/FFPP_split")
def test_the_official_lists(tmp_path: Path) -> None:
    for name, method in (("original", METHODS[0]), ("Deepfakes", METHODS[1])):
        with h5py.File(tmp_path / f"FF++_{name}_c23.h5", "w") as file:
            for split in ("train", "val", "test"):
                for key in keys(method, *json.loads((LISTS / f"{split}.json").read_text())):
                    file.create_dataset(key, (300, 224, 224, 3), np.uint8)  # declared only: takes no room
    data = adapter(tmp_path, methods=["original", "Deepfakes"], splits=str(LISTS))
    counts = {split: len(data.videos(split)) for split in data.splits}
    assert counts == {"train": 1440, "val": 280, "test": 280}
    assert len(data.sample("train", lambda n: range(0, n, n // 2))) == 2880
    people = {split: {p for f in data.sample(split, lambda n: [0]) for p in f.identities} for split in data.splits}
    assert [len(p) for p in people.values()] == [720, 140, 140]
    assert not people["train"] & people["test"] and not people["train"] & people["val"]
