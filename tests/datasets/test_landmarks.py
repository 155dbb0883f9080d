"""Landmarks of datasets: where DeepfakeBench's form has them, where drawn faces have them, and those of found faces."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from field_dfb import make_dfb
from marker_faces import MarkerFinder, write_scenes

from m2f2bench.core.errors import FrameError
from m2f2bench.core.records import Locator
from m2f2bench.datasets.calls import has_landmarks
from m2f2bench.datasets.deepfakebench.adapter import DeepfakeBenchAdapter, DeepfakeBenchOptions
from m2f2bench.datasets.deepfakebench.landmarks import landmarks_place, points_in
from m2f2bench.datasets.landmarks import Landmarks, read_landmarks
from m2f2bench.datasets.synthetic.adapter import SyntheticAdapter
from m2f2bench.datasets.synthetic.canvas import make_canvas
from m2f2bench.datasets.synthetic.draw import SyntheticOptions
from m2f2bench.datasets.synthetic.faces import draw_face, draw_scene
from m2f2bench.datasets.synthetic.landmarks import landmarks
from m2f2bench.datasets.synthetic.render import region_map, render
from m2f2bench.faces.adapter import FaceAdapter
from m2f2bench.faces.face import Face

POINTS = np.arange(162).reshape(81, 2) + 17


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["<i4", "<u4", "<i8", "<f4", "<f8"])
def test_bare_bytes_and_files_are_the_same_points(kind: str) -> None:
    given = POINTS.astype(kind) + (0.5 if "f" in kind else 0)
    for data in (given.tobytes(), npy(given)):
        assert points_in(data, "x").tolist() == given.astype(float).tolist()


@pytest.mark.parametrize(
    "data", [b"", b"\x93NUMPY and no more", npy(POINTS)[:-9], npy(np.array(["a"])), b"1" * 640, npy(POINTS)[:20]]
)
def test_damaged_landmarks_are_one_line(data: bytes) -> None:
    with pytest.raises(FrameError, match="its landmarks") as error:
        points_in(data, "FF/000/1")
    assert str(error.value).startswith("FF/000/1: ") and "\n" not in str(error.value)


def test_pickled_objects_are_not_loaded() -> None:
    file = io.BytesIO()
    np.save(file, np.array([object()]), allow_pickle=True)
    with pytest.raises(FrameError, match="no array of numbers"):
        points_in(file.getvalue(), "x")


def test_landmarks_lie_beside_the_frames_of_their_level() -> None:
    place = landmarks_place(Locator("/d/FF/youtube/c40/frames/000/012.png"))
    assert place == Locator("/d/FF/youtube/c40/landmarks/000/012.npy")
    stored = landmarks_place(Locator("/d/data.mdb", "FF\\youtube\\c23\\frames\\000\\012.png"))
    assert stored == Locator("/d/data.mdb", "FF\\youtube\\c23\\landmarks\\000\\012.npy")
    assert landmarks_place(Locator("/d/000/012.png")) is None


def test_deepfakebench_has_landmarks_where_there_is_a_file(tmp_path: Path) -> None:
    adapter = DeepfakeBenchAdapter(make_dfb(tmp_path), DeepfakeBenchOptions())
    first, second, third = adapter.frames("test")[:3]
    assert has_landmarks(adapter) and adapter.landmarks(first) is None
    for frame, data in ((first, npy(POINTS)), (second, b"no array")):
        place = landmarks_place(frame.locator)
        assert place is not None
        Path(place.path).parent.mkdir(parents=True, exist_ok=True)
        Path(place.path).write_bytes(data)
    found = read_landmarks(adapter, first)
    assert found is not None and found.dtype == np.float64 and np.array_equal(found, POINTS)
    with pytest.raises(FrameError, match="8 bytes, which is not 81 pairs"):
        read_landmarks(adapter, second)
    assert read_landmarks(adapter, third) is None


def test_landmarks_in_an_lmdb_are_bare_bytes(tmp_path: Path) -> None:
    lmdb = pytest.importorskip("lmdb")
    root = make_dfb(tmp_path, lmdb=True, head=".\\datasets\\", separator="\\")
    adapter = DeepfakeBenchAdapter(root, DeepfakeBenchOptions())
    first, second = adapter.frames("test")[:2]
    place = landmarks_place(first.locator)
    adapter.close()
    assert place is not None and place.key is not None
    with lmdb.open(str(root / "FaceForensics++_lmdb"), map_size=1 << 24) as opened, opened.begin(write=True) as change:
        change.put(place.key.encode(), POINTS.astype(np.uint32).tobytes())
    adapter = DeepfakeBenchAdapter(root, DeepfakeBenchOptions())
    assert np.array_equal(adapter.landmarks(first), POINTS) and adapter.landmarks(second) is None
    adapter.close()


@pytest.mark.parametrize("clip", ["a000_0", "a001_1", "a002_0", "a003_1"])
def test_a_drawn_faces_landmarks_lie_on_what_is_drawn(clip: str) -> None:
    """Regions and outline come from the renderer's own maps of the pixels."""
    size, face, scene = 160, draw_face(0, clip[:4]), draw_scene(0, clip, 160, 3)
    bare = replace(face, style="bald", hairline=-2.0, glasses=False)
    for pose in scene.poses:
        points, drawn = landmarks(face, pose, size), render(bare, scene, pose)
        assert points.shape == (81, 2) and points.dtype == np.float64
        for region, own in (("mouth", slice(48, 68)), ("eyes", slice(36, 48)), ("nose", slice(27, 36))):
            where = region_map(bare, drawn, region)
            inside = where[tuple(points[own, ::-1].astype(int).T)]
            assert inside.mean() >= 0.75, region  # the corners lie on its edge
            assert points[own, 0].mean() == pytest.approx(np.nonzero(where)[1].mean(), abs=3), region
        canvas = make_canvas(face, pose, scene)
        jaw = points[:17]
        within = (jaw > 1).all(axis=1) & (jaw < size - 1).all(axis=1)
        assert within.sum() > 10
        assert np.allclose(canvas.radius[tuple(jaw[within, ::-1].astype(int).T)], 1, atol=0.03)
        assert points[17:27, 1].mean() < points[36:48, 1].mean() < points[27:36, 1].max() < points[48:68, 1].mean()
        assert points[68:, 1].mean() < points[17:27, 1].mean() and points[36, 0] < points[39, 0] < points[42, 0]


def test_a_drawn_fake_has_the_landmarks_of_its_real() -> None:
    adapter = SyntheticAdapter(options=SyntheticOptions(train=2, val=2, test=3, methods=("swap", "lowres")))
    frames = {frame.id: frame for frame in adapter.frames("test")}
    real = adapter.landmarks(frames["original/t001_1/02"])
    assert np.array_equal(adapter.landmarks(frames["swap/t001_1/02"]), real)
    assert not np.array_equal(adapter.landmarks(frames["original/t001_1/01"]), real)
    with pytest.raises(FrameError, match="is not in the synthetic dataset's split 'test'"):
        adapter.landmarks(replace(frames["original/t001_1/02"], video="original/t009_1"))


class Pointed(MarkerFinder):
    """A finder with five points of each face, at a fifth and four fifths of its box."""

    def find(self, image: Any) -> list[Face]:
        found = []
        for face in super().find(image):
            x0, y0, _, _ = face.box
            shares = np.array([[0.2, 0.2], [0.8, 0.2], [0.5, 0.5], [0.2, 0.8], [0.8, 0.8]])
            found.append(replace(face, points=np.array([x0, y0]) + shares * [face.width, face.height]))
        return found


def test_landmarks_of_found_faces_are_moved_into_the_crop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "cache"))
    scenes = write_scenes(tmp_path / "scenes", {"original/one": [{"red": (40, 30, 80, 70)}, {}]})
    faces = FaceAdapter(scenes, "square:margin=0.0,size=32", Pointed())
    first, second = faces.frames("test")
    found = read_landmarks(faces, first)
    assert found is not None
    assert np.allclose(found, np.array([[0.2, 0.2], [0.8, 0.2], [0.5, 0.5], [0.2, 0.8], [0.8, 0.8]]) * 32)
    with pytest.raises(FrameError) as error:
        read_landmarks(faces, second)
    assert error.value.status == "no_face"
    plain = FaceAdapter(scenes, "square:margin=0.0,size=32", MarkerFinder("no points"))
    assert read_landmarks(plain, plain.frames("test")[0]) is None


def test_bad_landmarks_are_in_the_digest_too() -> None:
    """A training that left a frame out is another one than that of a dataset whose frame has none."""
    frames = SyntheticAdapter(None, SyntheticOptions()).frames("val")[:3]

    class Given(SyntheticAdapter):
        answer: Any = None

        def landmarks(self, frame: Any) -> Any:
            return self.answer if frame == frames[1] else np.ones((5, 2)) * [1, 2]

    adapter, seen = Given(None, SyntheticOptions()), set()
    for adapter.answer in (None, np.zeros((1, 2)), np.zeros((5, 2))):
        seen.add(Landmarks(adapter, frames).digest())
    assert len(seen) == 3
