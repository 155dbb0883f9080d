"""Finders of other packages and models, each over a stand-in that gives known numbers: places, sizes, order, colours.

With the real packages and models they were tried by hand, see docs/faces.md.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from one_line import error_of

import m2f2bench.faces.others as others
import m2f2bench.faces.retinaface as retinaface
from m2f2bench.faces.find import load_finder
from m2f2bench.faces.others import FIVE_OF_68, five_of

POINTS = np.array([[40.0, 50], [60, 50], [50, 60], [42, 70], [58, 70]])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.bin"
    path.write_bytes(b"a model")
    return path


def picture(height: int = 200, width: int = 300) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = 200  # red
    return image


class FakeYN:
    seen: list[Any] = []  # noqa: RUF012

    @classmethod
    def create(cls, model: str, config: str, size: tuple[int, int], score: float, same: float) -> FakeYN:
        cls.seen = [Path(model).name, score]
        return cls()

    def setInputSize(self, size: tuple[int, int]) -> None:
        self.size = size

    def detect(self, image: np.ndarray) -> tuple[int, np.ndarray | None]:
        assert image.shape[:2] == self.size[::-1] and image.shape[0] % 32 == 0
        if not image.any():
            return 0, None
        assert image[0, 0].tolist() == [0, 0, 200]  # blue, green, red
        rows = [[10, 20, 30, 40, *POINTS.ravel(), 0.7], [100, 20, 30, 40, *(POINTS + 90).ravel(), 0.9]]
        return 1, np.array(rows, np.float32)


def test_yunet(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "opencv", lambda what: SimpleNamespace(FaceDetectorYN=FakeYN))
    finder = load_finder(f"yunet:{model}@0.65")
    found = finder.find(picture())
    assert FakeYN.seen == ["model.bin", 0.65]
    assert [face.box for face in found] == [(100, 20, 130, 60), (10, 20, 40, 60)]
    assert found[0].score == pytest.approx(0.9) and np.allclose(found[1].points, POINTS)
    assert [face.box for face in finder.find(picture(1280, 1920))] == [(200, 40, 260, 120), (20, 40, 80, 120)]
    assert finder.find(np.zeros((50, 50, 3), np.uint8)) == []
    assert finder.signature().startswith("yunet-0.65-960px-")
    assert pickle.loads(pickle.dumps(finder)).find(picture())[0].box == found[0].box


class FakeMTCNN:
    def __init__(self, keep_all: bool, device: str) -> None:
        assert keep_all and device == "cpu"

    def detect(self, image: Any, landmarks: bool) -> tuple[Any, Any, Any]:
        assert min(image.size) >= 64
        if image.getpixel((0, 0)) != (200, 0, 0):
            return None, [None], None
        boxes = np.array([[10, 20, 40, 60], [100, 20, 130, 60], [0, 0, 9, 9]], np.float32)
        return boxes, np.array([0.95, 0.999, 0.5]), np.stack([POINTS, POINTS + 90, POINTS])


def test_mtcnn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "facenet_pytorch", SimpleNamespace(MTCNN=FakeMTCNN))  # type: ignore[arg-type]
    finder = load_finder("mtcnn")
    found = finder.find(picture())
    assert [face.box for face in found] == [(100, 20, 130, 60), (10, 20, 40, 60)]
    assert np.allclose(found[1].points, POINTS)
    assert [face.box[0] for face in finder.find(picture(20, 20))] == [100, 10]
    assert finder.find(np.zeros((9, 9, 3), np.uint8)) == []


def fake_dlib(count: int) -> Any:
    def rectangle(left: int, top: int, right: int, bottom: int) -> Any:
        return SimpleNamespace(left=lambda: left, top=lambda: top, right=lambda: right, bottom=lambda: bottom)

    class Detector:
        def run(self, image: np.ndarray, larger: int, least: float) -> tuple[Any, Any, Any]:
            assert least == pytest.approx(0)  # the logistic function of 0 is the 0.5 that is asked
            return [rectangle(10, 20, 39, 59), rectangle(100, 20, 129, 59)], [0.2, 1.5], [0, 0]

    class Shape:
        def __init__(self, path: str) -> None:
            if Path(path).read_bytes() != b"a model":
                raise RuntimeError(f"Unable to open {path}")

        def __call__(self, image: np.ndarray, box: Any) -> Any:
            return SimpleNamespace(parts=lambda: [SimpleNamespace(x=box.left() + n, y=box.top()) for n in range(count)])

    return SimpleNamespace(get_frontal_face_detector=Detector, shape_predictor=Shape, rectangle=rectangle)


@pytest.mark.parametrize("count", [68, 81, 5])
def test_dlib(model: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setitem(sys.modules, "dlib", fake_dlib(count))
    found = load_finder(f"dlib:{model}").find(picture())
    assert [face.box for face in found] == [(100, 20, 130, 60), (10, 20, 40, 60)]
    assert found[0].score == pytest.approx(1 / (1 + np.exp(-1.5))) and found[1].score == pytest.approx(0.5498, abs=1e-4)
    assert found[0].landmarks is not None and found[0].landmarks.shape == (count, 2)
    assert found[0].landmarks[3].tolist() == [103.5, 20.5]
    if count == 5:
        assert found[0].points is None
    else:
        assert found[0].points is not None and np.array_equal(found[0].points, found[0].landmarks[list(FIVE_OF_68)])
    model.write_bytes(b"something else")
    assert "is not a shape predictor of dlib" in error_of(lambda: load_finder(f"dlib:{model}"))


def test_which_of_68_points_are_the_five() -> None:
    points = np.arange(136, dtype=float).reshape(68, 2)
    found = five_of(points)
    assert found is not None and found[:, 0].tolist() == [74, 88, 60, 98, 110]


def test_retinaface(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The place (row 2, column 3) of the middle grid, whose centre is (3.5 × 16, 2.5 × 16), its larger box of 128."""

    class FakeNetwork:
        where = "RetinaFace"

        def __init__(self, *_: Any) -> None:
            pass

        def __call__(self, blob: np.ndarray) -> dict[str, np.ndarray]:
            assert blob.shape == (1, 3, 192, 256) and blob[0, :, 0, 0].tolist() == [-104, -117, 200 - 123]
            fine, middle = 2 * 24 * 32, 2 * 12 * 16
            count = fine + middle + 2 * 6 * 8
            loc, conf, points = (np.zeros((1, count, n), np.float32) for n in (4, 2, 10))
            place = fine + 2 * (2 * 16 + 3) + 1
            loc[0, place] = [1, -1, np.log(0.5) / 0.2, np.log(0.75) / 0.2]
            conf[0, place, 1], conf[0, place - 1, 1], conf[0, 5, 1] = 0.9, 0.5, 0.59
            points[0, place] = 1
            return {"loc": loc, "conf": conf, "landmarks": points}

    monkeypatch.setattr(retinaface, "Network", FakeNetwork)
    (face,) = load_finder(f"retinaface:{model}").find(picture(180, 250))
    x, y = 3.5 * 16 + 12.8, 2.5 * 16 - 12.8
    assert np.allclose(face.box, (x - 32, y - 48, x + 32, y + 48)) and face.score == pytest.approx(0.9)
    assert face.points is not None and np.allclose(face.points, [[56 + 12.8, 40 + 12.8]] * 5)
