"""Network of an ONNX file, run by OpenCV on the CPU, and the preparation of pictures for it."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from ..core.errors import DataError, first_line, refuse_machine_fault
from ..core.files import NoInput, read_input

if TYPE_CHECKING:
    from ..core.arrays import Image

Blob = npt.NDArray[np.float32]
MAX_MODEL = 1 << 29
"""Bytes of a model's file."""
SHAPES = 3
"""Networks that a thread keeps, each for pictures of one shape."""
EXTRA = "pip install 'm2f2bench[faces]'"
HEADLESS = "pip install --force-reinstall --no-deps opencv-python-headless"


def needed(module: str, what: str, how: str = EXTRA) -> Any:
    """Import and return a package that finding faces needs. Raises DataError that says `what` for and `how`."""
    try:
        return importlib.import_module(module)
    except Exception as error:  # an ImportError, or whatever a broken installation raises
        refuse_machine_fault(error, what)
        broken = module == "cv2" and importlib.util.find_spec("cv2") is not None
        raise DataError(
            f"{what} needs the package {module} ({first_line(error)}): run `{HEADLESS if broken else how}`"
        ) from None


def opencv(what: str, threads: int = 1) -> Any:
    """Return the module cv2, which computes with at most `threads` threads in this process. Raises DataError."""
    cv2 = needed("cv2", what)
    if cv2.getNumThreads() != threads:
        cv2.setNumThreads(threads)
    return cv2


def read_model(path: Path, what: str) -> bytes:
    """Return the bytes of a model's file. Raises DataError in one line for a file that is missing, empty, too large."""
    try:
        data = read_input(path, MAX_MODEL)
    except NoInput as error:
        raise DataError(f"{what}: the model file '{path}' {error}") from None
    if not data:
        raise DataError(f"{what}: the model file '{path}' is empty")
    return data


def short_hash(data: bytes) -> str:
    """Return 8 hex digits over a model's bytes, for a signature."""
    return hashlib.blake2b(data, digest_size=4).hexdigest()


class Network:
    """A network from one picture [1, 3, H, W], float32, to named outputs. Used from several threads."""

    def __init__(self, data: bytes, outputs: Sequence[str], where: str, threads: int = 1) -> None:
        """Load an ONNX model's bytes; `where` names it in messages. Each picture is worked on by `threads` threads.

        Raises DataError if OpenCV is not installed, and for bytes that are no such model or lack an output.
        """
        self.outputs, self.where, self._data, self._threads = tuple(outputs), where, data, threads
        self._here = threading.local()
        self._load()

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to load the network in another process."""
        return type(self), (self._data, self.outputs, self.where, self._threads)

    def __call__(self, blob: Blob) -> dict[str, Blob]:
        """Return the outputs by name for one picture, float32 [1, 3, H, W]. Raises DataError if the network fails."""
        net = self._loaded(blob.shape)
        try:
            net.setInput(blob)
            found = [np.array(one) for one in net.forward(list(self.outputs))]
        except Exception as error:  # cv2.error
            refuse_machine_fault(error, self.where)
            raise DataError(f"{self.where} fails on a picture of {list(blob.shape)}: {first_line(error)}") from None
        return dict(zip(self.outputs, found, strict=True))

    def _loaded(self, shape: tuple[int, ...]) -> Any:
        """Return this thread's own network for pictures of a shape.

        A network keeps the results of the last picture, and OpenCV 4.10 computes nonsense after another shape.
        """
        nets: OrderedDict[tuple[int, ...], Any] | None = getattr(self._here, "nets", None)
        if nets is None:
            nets = self._here.nets = OrderedDict()
        if shape not in nets:
            nets[shape] = self._load()
        nets.move_to_end(shape)
        while len(nets) > SHAPES:
            nets.popitem(last=False)
        return nets[shape]

    def _load(self) -> Any:
        cv2 = opencv(self.where, self._threads)
        try:
            with _quiet(cv2):
                net = cv2.dnn.readNetFromONNX(np.frombuffer(self._data, np.uint8))
            there = list(net.getUnconnectedOutLayersNames())
        except Exception as error:  # cv2.error
            refuse_machine_fault(error, self.where)
            raise DataError(f"{self.where} is not a model that OpenCV reads (ONNX): {first_line(error)}") from None
        lacking = [name for name in self.outputs if name not in there]
        if lacking:
            raise DataError(
                f"{self.where} is another model: it has no output '{lacking[0]}', but {', '.join(there[:9])}"
            )
        return net


class _quiet:
    """Silence OpenCV's log while a model is read: its one line becomes this package's error."""

    def __init__(self, cv2: Any) -> None:
        self._log = getattr(getattr(cv2, "utils", None), "logging", None)

    def __enter__(self) -> None:
        if self._log is not None:
            self._level = self._log.getLogLevel()
            self._log.setLogLevel(self._log.LOG_LEVEL_SILENT)

    def __exit__(self, *_: object) -> None:
        if self._log is not None:
            self._log.setLogLevel(self._level)


def fitted(image: Image, longest: int, shortest: int = 0, multiple: int = 32) -> tuple[Image, float]:
    """Return a picture as a network takes it, and by how much it was scaled (network's pixels per picture's pixel).

    Its long side is brought down to `longest`, or up to `shortest`, and black is added on the right and below until
    both sides are multiples of `multiple`. The shape of faces is kept.
    """
    height, width = image.shape[:2]
    side = max(height, width)
    scale = min(1.0, longest / side) if side >= shortest else shortest / side
    if scale != 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pictured = Pillow.fromarray(image)
        image = np.asarray(pictured.resize(size, Pillow.Resampling.BILINEAR, reducing_gap=3.0))
    rows, columns = (-(-n // multiple) * multiple for n in image.shape[:2])
    padded = np.zeros((rows, columns, 3), np.uint8)
    padded[: image.shape[0], : image.shape[1]] = image
    return padded, scale


def blob_of(image: Image, mean: Sequence[float] = (0.0, 0.0, 0.0), flip: bool = False) -> Blob:
    """Return a picture as float32 [1, 3, H, W], minus the channels' `mean`; with `flip` as blue, green, red."""
    channels = image[:, :, ::-1] if flip else image
    return np.ascontiguousarray((channels.astype(np.float32) - np.asarray(mean, np.float32)).transpose(2, 0, 1)[None])


def named(outputs: Mapping[str, Blob], *names: str) -> list[Blob]:
    """Return some outputs of a network."""
    return [outputs[name] for name in names]
