"""FaceForensics++ in HDF5 files: files of every storage layout, read singly, from threads, forks and workers."""

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
from hdf5_files import FRAMES, SIDE, TEST, TRAIN, adapter, build, check, clip, keys, lists
from hypothesis import given, settings
from hypothesis import strategies as st

from m2f2bench.core.records import Frame, Locator
from m2f2bench.datasets.layouts import ffpp as hdf5
from m2f2bench.datasets.layouts.ffpp import METHODS, FFPPAdapter

LISTS = Path(os.environ.get("M2F2BENCH_DATA", "/nowhere")) / "ffpp/FFPP_split"
STORAGE: dict[str, dict[str, object]] = {
    "contiguous": {},
    "a chunk per frame": {"chunks": (1, SIDE, SIDE, 3)},
    "the whole clip a gzip chunk": {"chunks": (FRAMES, SIDE, SIDE, 3), "compression": "gzip"},
}
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system has no /proc")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    lists(tmp_path, test=TEST, train=TRAIN)
    return build(tmp_path, pairs=TEST + TRAIN)


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


def test_few_videos_are_kept_open(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "MAX_DATASETS", 3)
    data = adapter(root)
    before = h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_DATASET)
    assert all(check(data, frame) for frame in data.frames("test")[:: FRAMES - 1])
    open_now = h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_DATASET)  # as the library counts them
    assert open_now - before == 3
    data.close()


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


def open_files(root: Path) -> dict[str, list[int]]:
    """The HDF5 files below root that this process has open, with their descriptors, as the system counts them."""
    found: dict[str, list[int]] = {}
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:  # the descriptor of this very listing
            continue
        if target.startswith(str(root)) and target.endswith(".h5"):
            found.setdefault(target, []).append(int(entry.name))
    return found


@needs_proc
def test_threads_share_one_open_file(root: Path) -> None:
    frames = adapter(root).frames("test") * 3
    data = adapter(root)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda frame: check(data, frame), frames))
    assert set(data.opened().values()) == {1}
    assert all(len(numbers) == 1 for numbers in open_files(root).values()) and len(open_files(root)) == 5
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

    def work() -> tuple[bool, dict[str, int], dict[str, list[int]]]:
        good, links = all(check(data, frame) for frame in frames), open_files(root)
        for numbers in links.values():
            os.lseek(numbers[0], 77_777, os.SEEK_SET)
        return good, data.opened(), links

    good, opened, links = in_child(work)  # type: ignore[misc]
    paths = sorted(str(path) for path in root.glob("*.h5"))
    assert good and sorted(opened) == paths and set(opened.values()) == {1}
    assert sorted(links) == paths and {len(numbers) for numbers in links.values()} == {1}
    # an inherited descriptor would have moved the parent's reading position too
    here = [number for numbers in open_files(root).values() for number in numbers]
    assert len(here) == 5 and all(os.lseek(number, 0, os.SEEK_CUR) != 77_777 for number in here)
    assert all(check(data, frame) for frame in frames[::9]) and set(data.opened().values()) == {1}
    data.close()


class Frames:
    """A map-style dataset: per item whether the pixels are right, and how this process opened the files."""

    def __init__(self, data: FFPPAdapter, frames: list[Frame], root: Path) -> None:
        self.data, self.frames, self.root = data, frames, root

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> tuple[bool, int, int, int]:
        good = check(self.data, self.frames[index])
        return good, os.getpid(), max(self.data.opened().values()), max(map(len, open_files(self.root).values()))


@pytest.mark.slow
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
    assert {row[3] for row in rows} == {1}
    data.close()


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
