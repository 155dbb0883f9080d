"""Finders that other packages run: YuNet (OpenCV), MTCNN (facenet-pytorch), dlib."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as Pillow

from ..core.errors import DataError, first_line, refuse_machine_fault
from ..core.sources import installed_versions
from .base import FaceFinder
from .face import Face
from .network import fitted, needed, opencv, read_model, short_hash

if TYPE_CHECKING:
    from ..core.arrays import Floats, Image

FIVE_OF_68 = (37, 44, 30, 49, 55)
"""The points of 68 (from 0) that stand for eyes, nose and corners of the mouth in DeepfakeBench's preparation."""


class _Kept(FaceFinder):
    """Finder whose network is loaded once in each thread, and again in another process."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_here"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._here = threading.local()

    def _net(self) -> Any:
        found = getattr(self._here, "net", None)
        if found is None:
            found = self._here.net = self._load()
        return found

    def _load(self) -> Any:
        raise NotImplementedError


class YuNet(_Kept):
    """YuNet (Wu et al. 2023) by OpenCV's own reader of it; `model` is its ONNX file."""

    name = "yunet"

    def __init__(self, model: Path, score: float = 0.6, longest: int = 960, same: float = 0.3) -> None:
        """Load the network. Raises DataError if the extra is not installed or the file is no such model."""
        self._hash = short_hash(read_model(model, "YuNet"))
        self.model, self.score, self.longest, self.same = model, score, longest, same
        self._here = threading.local()
        try:
            self._net()
            self.find(np.zeros((32, 32, 3), np.uint8))
        except DataError:
            raise
        except Exception as error:  # cv2.error
            refuse_machine_fault(error, "YuNet")
            raise DataError(f"YuNet ('{model.name}') is not a model that OpenCV reads: {first_line(error)}") from None

    def _load(self) -> Any:
        cv2 = opencv("YuNet")
        return cv2.FaceDetectorYN.create(str(self.model), "", (32, 32), self.score, self.same)

    def signature(self) -> str:
        """Return what decides the faces: model, limits, size."""
        return f"yunet-{self.score:g}-{self.longest}px-{self._hash}"

    def find(self, image: Image) -> list[Face]:
        """Return the faces of a picture, the surest first."""
        padded, scale = fitted(self.checked(image), self.longest)
        net = self._net()
        net.setInputSize((padded.shape[1], padded.shape[0]))
        rows = net.detect(np.ascontiguousarray(padded[:, :, ::-1]))[1]
        found = []
        for row in () if rows is None else rows.astype(np.float64):
            x, y, width, height = (row[:4] / scale).tolist()
            found.append(Face((x, y, x + width, y + height), float(row[14]), row[4:14].reshape(5, 2) / scale))
        return sorted(found, key=lambda face: -face.score)


class MTCNN(_Kept):
    """MTCNN (Zhang et al. 2016) of the package facenet-pytorch, on the CPU."""

    name = "mtcnn"

    def __init__(self, score: float = 0.9, longest: int = 960) -> None:
        """Load the networks. Raises DataError if the package is not installed."""
        self.score, self.longest = score, longest
        self._here = threading.local()
        self._net()

    def _load(self) -> Any:
        package = needed("facenet_pytorch", "MTCNN", "pip install --no-deps facenet-pytorch==2.6.0")
        return package.MTCNN(keep_all=True, device="cpu")

    def signature(self) -> str:
        """Return what decides the faces: version, limits, size."""
        version = installed_versions(["facenet-pytorch"])["facenet-pytorch"]
        return f"mtcnn-{self.score:g}-{self.longest}px-{version}"

    def find(self, image: Image) -> list[Face]:
        """Return the faces of a picture, the surest first."""
        padded, scale = fitted(self.checked(image), self.longest)
        if min(padded.shape[:2]) < 2 * 32:  # its first network takes no smaller picture
            padded = np.pad(padded, ((0, 64), (0, 64), (0, 0)))
        boxes, scores, points = self._net().detect(Pillow.fromarray(padded), landmarks=True)
        if boxes is None:
            return []
        kept = [i for i in np.argsort(-scores.astype(np.float64), kind="stable") if scores[i] >= self.score]
        return [
            Face(
                tuple((boxes[i].astype(np.float64) / scale).tolist()),
                min(1.0, float(scores[i])),
                points[i].astype(np.float64) / scale,
            )
            for i in kept
        ]


class Dlib(_Kept):
    """Frontal faces of dlib with the 68 or 81 points of a shape predictor, whose file is `model`.

    dlib's confidence has no bounds; `score` is its logistic function, so that 0.5 is dlib's own limit.
    """

    name = "dlib"

    def __init__(self, model: Path, score: float = 0.5, longest: int = 960) -> None:
        """Load the predictor. Raises DataError if dlib is not installed or the file is no shape predictor."""
        self._hash = short_hash(read_model(model, "dlib"))
        self.model, self.score, self.longest = model, score, longest
        self._here = threading.local()
        self._net()

    def _load(self) -> Any:
        dlib = needed("dlib", "dlib's finder", "pip install dlib")
        try:
            return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(self.model)), dlib.rectangle
        except RuntimeError as error:
            refuse_machine_fault(error, "dlib")
            raise DataError(f"'{self.model}' is not a shape predictor of dlib: {first_line(error)}") from None

    def signature(self) -> str:
        """Return what decides the faces: model, limits, size."""
        return f"dlib-{self.score:g}-{self.longest}px-{self._hash}"

    def find(self, image: Image) -> list[Face]:
        """Return the faces of a picture, the surest first."""
        padded, scale = fitted(self.checked(image), self.longest, multiple=1)
        detector, predictor, rectangle = self._net()
        rectangles, confidences, _ = detector.run(padded, 1, float(np.log(self.score / max(1 - self.score, 1e-9))))
        found = []
        for one, confidence in zip(rectangles, confidences, strict=True):
            shape = predictor(padded, rectangle(one.left(), one.top(), one.right(), one.bottom()))
            # dlib counts pixels' centres in whole numbers.
            points = np.array([[p.x + 0.5, p.y + 0.5] for p in shape.parts()], np.float64) / scale
            edges = (one.left(), one.top(), one.right() + 1, one.bottom() + 1)
            x0, y0, x1, y1 = (edge / scale for edge in edges)
            score = float(1 / (1 + np.exp(-confidence)))
            found.append(Face((x0, y0, x1, y1), score, five_of(points), points))
        return sorted(found, key=lambda face: -face.score)


def five_of(points: Floats) -> Floats | None:
    """Return the five points of 68 or 81 that DeepfakeBench takes, [5, 2]; None for another number of points.

    The first 68 of 81 points are the 68.
    """
    return points[list(FIVE_OF_68)] if len(points) in (68, 81) else None
