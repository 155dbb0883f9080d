"""The faces in a dataset's scenes, as a dataset."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from marker_faces import COLOURS, MarkerFinder, Rectangles, marked, write_scenes
from PIL import Image as Pillow

import m2f2bench
from m2f2bench.cards.protocols import FrameSelection
from m2f2bench.core.clips import Clip
from m2f2bench.core.errors import DataError, FrameError, MachineError
from m2f2bench.core.memo import cache_folder
from m2f2bench.core.records import Frame, Locator, Question
from m2f2bench.datasets.base import AdapterOptions
from m2f2bench.datasets.dataset import pick
from m2f2bench.datasets.files.media import MediaAdapter
from m2f2bench.datasets.read_ahead import ReadAhead, load_frame, read_mask
from m2f2bench.faces.adapter import FaceAdapter, with_faces
from m2f2bench.faces.choose import Choice
from m2f2bench.loading import load_dataset

CROP = "square:margin=0.0,size=32"
A, B = "red", "green"


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "cache"))
    MarkerFinder.seen = 0
    yield


def crossing(count: int = 12) -> list[Rectangles]:
    """Red goes right and green left, and they pass each other; green is smaller, and gone in picture 9."""
    frames = []
    for t in range(count):
        x, y = 10 + 11 * t, 170 - 11 * t
        shown = {B: (y - 14, 60, y + 14, 88), A: (x - 18, 10, x + 18, 46)}
        frames.append({k: v for k, v in shown.items() if not (t == 9 and k == B)})
    return frames


def faces_of(tmp_path: Path, rule: str = "largest", looks: int | None = 32, **videos: list[Rectangles]) -> FaceAdapter:
    root = tmp_path / "scenes"
    videos = videos or {"crossing": crossing()}
    scenes = write_scenes(root, {f"original/{name}": frames for name, frames in videos.items()})
    return FaceAdapter(scenes, CROP, MarkerFinder(), Choice(rule=rule), looks)  # type: ignore[arg-type]


def colour(image: np.ndarray) -> str:
    """The colour of a crop's middle."""
    middle = image[12:20, 12:20].reshape(-1, 3).astype(int)
    return min(COLOURS, key=lambda name: int(np.abs(middle - COLOURS[name]).mean()))


def outcome(faces: FaceAdapter, frame: Frame) -> str:
    try:
        return colour(faces.read(frame))
    except FrameError as error:
        return error.status


def test_a_video_keeps_the_largest_person(tmp_path: Path) -> None:
    faces = faces_of(tmp_path)
    frames = faces.frames("test")
    assert frames == faces.scenes.frames("test") and len(frames) == 12
    assert [outcome(faces, frame) for frame in frames] == [A] * 12
    assert faces.read(frames[0]).shape == (32, 32, 3)


def test_a_frame_without_the_person_is_no_face(tmp_path: Path) -> None:
    """Not the other person's, who is there."""
    shown = crossing()
    for t in (3, 10):
        shown[t] = {B: shown[t][B]}
    faces = faces_of(tmp_path, looks=None, crossing=shown)
    found = [outcome(faces, frame) for frame in faces.frames("test")]
    assert found == ["no_face" if t in (3, 10) else A for t in range(12)]
    with pytest.raises(FrameError, match=r"the face of the video's person is not in this frame \(1 others are\)"):
        faces.read(faces.frames("test")[3])
    nothing = faces_of(tmp_path / "b", empty=[{}, {}], one=[{}])
    said = []
    for frame in nothing.frames("test"):
        with pytest.raises(FrameError) as raised:
            nothing.read(frame)
        said.append((raised.value.status, raised.value.reason))
    assert said == [("no_face", "no face was found in the video")] * 2 + [("no_face", "no face was found")]


@pytest.mark.parametrize("looks", [3, 5, 7])
def test_frames_between_the_looks_follow_the_same_person(tmp_path: Path, looks: int) -> None:
    faces = faces_of(tmp_path, looks=looks)
    assert [outcome(faces, frame) for frame in faces.frames("test")] == [A] * 12


def test_a_crop_depends_on_neither_protocol_order_threads_nor_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = {f"v{n}": crossing(9 + n) for n in range(4)}
    first = faces_of(tmp_path, looks=4, **videos)
    frames = list(first.frames("test"))
    wanted = {frame.id: first.read(frame) for frame in frames}
    again = FaceAdapter(first.scenes, CROP, MarkerFinder(), Choice(), 4)
    assert all(np.array_equal(again.read(frame), wanted[frame.id]) for frame in reversed(frames))  # from the cache
    for order in (list(reversed(frames)), sorted(frames, key=lambda frame: frame.id[::-1])):
        monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / f"other{order[0].id[:3]}{len(order[0].id)}{id(order)}"))
        fresh = FaceAdapter(first.scenes, CROP, MarkerFinder(), Choice(), 4)
        with ThreadPoolExecutor(5) as pool:
            found = list(pool.map(fresh.read, order))
        assert all(np.array_equal(image, wanted[frame.id]) for frame, image in zip(order, found, strict=True))
        fresh.close()
    some = FaceAdapter(first.scenes, CROP, MarkerFinder(), Choice(), 4)
    few = some.sample("test", lambda n: pick(FrameSelection(which="uniform", count=2), n))
    assert len(few) == 8 and all(np.array_equal(some.read(frame), wanted[frame.id]) for frame in few)


def test_each_picture_is_looked_at_once(tmp_path: Path) -> None:
    faces = faces_of(tmp_path)
    frames = list(faces.frames("test"))
    for frame in frames:
        faces.read(frame)
    assert MarkerFinder.seen == 12
    other = FaceAdapter(faces.scenes, CROP, MarkerFinder())  # another process, or another crop of the same faces
    for frame in frames:
        other.read(frame)
    assert MarkerFinder.seen == 12
    assert len(list((cache_folder() / "faces").rglob("*.png"))) == 12
    FaceAdapter(faces.scenes, CROP, MarkerFinder("2")).read(frames[0])
    assert MarkerFinder.seen == 24


def test_other_pixels_in_one_picture_are_seen_in_all_of_the_video(tmp_path: Path) -> None:
    faces = faces_of(tmp_path, looks=None)
    frames = faces.frames("test")
    before = [faces.stamp(frame) for frame in frames]
    assert all(before) and [outcome(faces, frame) for frame in frames] == [A] * 12
    for t in range(12):
        Pillow.fromarray(marked({B: (60, 10, 150, 100)})).save(tmp_path / f"scenes/original/crossing/{t:03d}.png")
        if t == 0:
            assert all(a != b for a, b in zip(before, map(faces.stamp, frames), strict=True))
    fresh = FaceAdapter(faces.scenes, CROP, MarkerFinder(), looks=None)
    assert [outcome(fresh, frame) for frame in frames] == [B] * 12


def test_a_crop_that_was_cut_short_in_the_cache_is_made_again(tmp_path: Path) -> None:
    faces = faces_of(tmp_path)
    frame = faces.frames("test")[0]
    whole = faces.read(frame)
    (path,) = (cache_folder() / "faces").rglob("*.png")
    path.write_bytes(path.read_bytes()[:60])
    assert np.array_equal(faces.read(frame), whole)


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "file"))
    faces = faces_of(tmp_path)
    assert [outcome(faces, frame) for frame in faces.frames("test")] == [A] * 12


def test_all_faces(tmp_path: Path) -> None:
    faces = faces_of(tmp_path, rule="all", crossing=crossing(), empty=[{}, {}])
    frames = faces.frames("test")
    scenes = [f"original/crossing/{t:03d}.png" for t in range(12)]
    empty = [f"original/empty/{t:03d}.png" for t in range(2)]
    assert [frame.id for frame in frames] == [f"{scene}#{k}" for scene in scenes for k in (1, 2)] + empty
    assert [frame.picture for frame in frames] == [scene for scene in scenes for _ in (1, 2)] + ["", ""]
    found = [outcome(faces, frame) for frame in frames]
    wanted = [one for t in range(12) for one in (A, "no_face" if t == 9 else B)]
    assert found == [*wanted, "no_face", "no_face"]
    few = faces.sample("test", lambda n: pick(FrameSelection(which="uniform", count=2), n))
    assert [frame.id for frame in few] == [f"{scenes[t]}#{k}" for t in (3, 9) for k in (1, 2)] + empty


def test_of_a_person_and_the_mirror_image_one_is_kept(tmp_path: Path) -> None:
    """Both are as large at every time, and walk towards each other; whoever is asked for first, it is the same one."""
    shown = [{A: (10 + 5 * t, 20, 46 + 5 * t, 60), B: (154 - 5 * t, 20, 190 - 5 * t, 60)} for t in range(10)]
    faces = faces_of(tmp_path, looks=4, mirror=shown)
    found = [outcome(faces, frame) for frame in faces.frames("test")]
    assert set(found) in ({A}, {B})
    again = FaceAdapter(faces.scenes, CROP, MarkerFinder(), looks=4)
    assert [outcome(again, frame) for frame in list(faces.frames("test"))[::-1]] == found


def test_a_person_who_comes_late_has_no_frames_before(tmp_path: Path) -> None:
    shown = [{A: (10, 40, 46, 76)} | ({B: (150, 40, 180, 70)} if t >= 6 else {}) for t in range(12)]
    faces = faces_of(tmp_path, rule="all", looks=None, late=shown)
    assert [frame.id[-1] for frame in faces.frames("test")] == ["1"] * 6 + ["1", "2"] * 6
    assert {outcome(faces, frame) for frame in faces.frames("test")} == {A, B}


def test_another_mask_is_another_crop(tmp_path: Path) -> None:
    write_scenes(tmp_path / "scenes", {"original/crossing": crossing(3)})
    picture, mask = "original/crossing/001.png", tmp_path / "mask.png"
    (tmp_path / "m.csv").write_text(f"path,label,mask\nscenes/{picture},1,mask.png\n")

    def marked_colour(name: str) -> str:
        x0, y0, x1, y1 = (round(edge) for edge in crossing(3)[1][name])
        drawn = np.zeros((120, 200), np.uint8)
        drawn[y0:y1, x0:x1] = 255
        Pillow.fromarray(drawn).save(mask)
        faces = FaceAdapter(load_dataset(str(tmp_path / "m.csv")).adapter, CROP, MarkerFinder(), Choice(rule="mask"))
        (frame,) = faces.frames("test")
        assert faces.stamp(frame)  # so crops are kept
        return outcome(faces, frame)

    assert [marked_colour(name) for name in (B, A, B)] == [B, A, B]


def test_the_face_that_the_mask_marks(tmp_path: Path) -> None:
    faces = faces_of(tmp_path, rule="mask", looks=None)
    for t, shown in enumerate(crossing()):
        mask = np.zeros((120, 200), np.uint8)
        if B in shown:
            x0, y0, x1, y1 = shown[B]
            mask[y0 + 2 : y1 - 2, max(0, x0 + 2) : max(0, x1 - 2)] = 255
        Pillow.fromarray(mask).save(tmp_path / f"scenes/original/crossing/{t:03d}m.png")
    frames = faces.frames("test")
    assert len(frames) == 12
    assert [outcome(faces, frame) for frame in frames] == ["no_face" if t == 9 else B for t in range(12)]
    # The mask is cut as the picture is: it marks the face but for a rim of two pixels of 28.
    mask = read_mask(faces, frames[2], faces.read(frames[2]))
    assert mask is not None and mask.shape == (32, 32) and mask[4:28, 4:28].all() and not mask[0].any()
    plain = FaceAdapter(faces.scenes, CROP, MarkerFinder(), looks=None)
    assert outcome(plain, frames[2]) == A
    without = faces_of(tmp_path / "b", rule="mask")
    assert outcome(without, without.frames("test")[0]) == A and without.mask(without.frames("test")[0]) is None


def test_a_heat_map_is_put_back_where_the_face_is(tmp_path: Path) -> None:
    faces = faces_of(tmp_path)
    crop = faces.cut(faces.frames("test")[5])
    back = crop.put_back(np.ones((8, 8)))
    x0, y0, x1, y1 = crossing()[5][A]
    assert back.shape == (120, 200) and back[y0:y1, x0:x1].min() == 1 and back.sum() == (y1 - y0) * (x1 - x0)
    assert crop.face.box == (x0, y0, x1, y1)


class Filmed(MediaAdapter[AdapterOptions]):
    """The video files of a folder."""

    splits = ("test",)

    def listed(self, split: str) -> list[Clip]:
        assert self.root is not None
        return [
            Clip(path.stem, 0, "original", "test", (), Locator(str(path)), range(12 if path.stem == "a" else 1))
            for path in sorted(self.root.glob("*.mp4"))
        ]


def film(path: Path, pictures: list[np.ndarray]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.options = "yuv444p", {"preset": "ultrafast", "crf": "10"}
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def test_frames_of_a_video_file(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", [marked(shown) for shown in crossing()])
    (tmp_path / "b.mp4").write_bytes((tmp_path / "a.mp4").read_bytes()[:300])
    faces = FaceAdapter(Filmed(tmp_path), CROP, MarkerFinder(), looks=5)
    frames = list(faces.frames("test"))
    assert [frame.id for frame in frames] == [f"a/{t:04d}" for t in range(12)] + [frames[-1].id]
    found = [
        loaded.status for loaded in ReadAhead(partial(load_frame, faces), frames, count=8, size=lambda _: 1).each()
    ]
    assert found == ["ok"] * 12 + ["unreadable"]
    assert [outcome(faces, frame) for frame in frames[:12]] == [A] * 12


def test_unreadable_frames_stay_unreadable(tmp_path: Path) -> None:
    faces = faces_of(tmp_path, looks=4)
    frames = faces.frames("test")
    for t in (1, 2):  # the first was looked at, the second not
        Path(frames[t].locator.path).write_bytes(b"no picture")
    found = [outcome(faces, frame) for frame in frames]
    assert found == ["unreadable" if t in (1, 2) else A for t in range(12)]


def test_a_fault_of_the_machine_ends_the_work(tmp_path: Path) -> None:
    faces = faces_of(tmp_path)
    frames = list(faces.frames("test"))
    (tmp_path / "scenes").rename(tmp_path / "gone")
    with pytest.raises(MachineError, match="is its disk still mounted"):
        faces.read(frames[0])
    (tmp_path / "gone").rename(tmp_path / "scenes")
    assert outcome(faces, frames[0]) == A  # it was not stored


def test_another_process_sees_the_same(tmp_path: Path) -> None:
    faces = faces_of(tmp_path)
    frame = faces.frames("test")[4]
    image = faces.read(frame)
    copy = pickle.loads(pickle.dumps(faces))
    assert copy.signature() == faces.signature() and np.array_equal(copy.read(frame), image)
    faces.close()
    assert np.array_equal(faces.read(frame), image)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_process_has_threads_of_its_own(tmp_path: Path) -> None:
    faces = faces_of(tmp_path, a=crossing(), b=crossing())
    frames = faces.frames("test")
    assert outcome(faces, frames[0]) == A
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads
        child = multiprocessing.get_context("fork").Process(target=_leave, args=(faces, frames[12]), daemon=True)
        gc.collect()
        gc.freeze()  # objects of PyAV that other tests left wait for their threads where they are freed
        child.start()
        gc.unfreeze()
    child.join(60)
    assert child.exitcode == 0


def _leave(faces: FaceAdapter, frame: Frame) -> None:
    os._exit(0 if outcome(faces, frame) == A else 1)


def test_what_decides_the_faces_is_in_the_key(tmp_path: Path) -> None:
    scenes = faces_of(tmp_path).scenes
    made = [
        FaceAdapter(scenes, crop, finder, choice, looks)
        for crop, finder, choice, looks in (
            (CROP, MarkerFinder(), None, 32),
            ("square:size=32", MarkerFinder(), None, 32),
            (CROP, MarkerFinder("2"), None, 32),
            (CROP, MarkerFinder(), Choice(rule="mask"), 32),
            (CROP, MarkerFinder(), Choice(least_side=9), 32),
            (CROP, MarkerFinder(), None, 8),
        )
    ]
    assert len({one.signature() for one in made}) == len({one.key() for one in made}) == len(made)
    assert len({one.options.model_dump_json() for one in made}) == len(made)
    frame = scenes.frames("test")[0]
    loaded = load_frame(made[0], frame)
    assert loaded.status == "ok" and loaded.digest != made[2].digest(frame, made[2].read(frame))
    wanted = "crop:square-1-32px-longer-zeros|finder:marker-1|faces:largest-looks32"
    assert made[0].signature() == wanted


def test_questions_pass_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = faces_of(tmp_path)
    question = Question("q7", "original/crossing/003.png", "Is it real?", ("Yes",), "image", 0)
    monkeypatch.setattr(type(one.scenes), "questions", lambda self, split, kind="blind": [question])
    assert one.questions("test") == [question]
    every = FaceAdapter(one.scenes, CROP, MarkerFinder(), Choice(rule="all"))
    assert [(found.id, found.frame) for found in every.questions("test")] == [
        ("q7#1", "original/crossing/003.png#1"),
        ("q7#2", "original/crossing/003.png#2"),
    ]


def test_a_frame_of_another_dataset_is_refused(tmp_path: Path) -> None:
    faces = faces_of(tmp_path)
    stranger = Frame("x", "original/crossing", 0, "original", "test", (), faces.frames("test")[0].locator)
    with pytest.raises(DataError, match="not in the list"):
        faces.cut(stranger)


def test_a_run_over_scenes(tmp_path: Path) -> None:
    """Rows of a run: the detector sees crops, and `no_face` counts against its coverage."""
    shown = crossing()
    shown[3] = {B: shown[3][B]}
    root = tmp_path / "scenes"
    scenes = write_scenes(root, {"original/a": shown, "swap/b": crossing()})
    faces = with_faces(load_dataset(scenes), CROP, MarkerFinder(), looks=None)
    assert faces.card.shows == "crops"
    results = m2f2bench.run(detectors="constant", datasets=faces.adapter, out=tmp_path / "out")
    assert len(results) == 1
    (stored,) = results.folders
    table = pq.read_table(stored / "predictions.parquet").to_pandas()
    assert sorted(table["status"]) == ["no_face"] + ["ok"] * 23
    assert table[table["status"] == "no_face"]["frame"].tolist() == ["original/a/003.png"]
    seen = MarkerFinder.seen
    m2f2bench.run(detectors="constant", datasets=faces.adapter, out=tmp_path / "out")
    assert MarkerFinder.seen == seen == 24
