"""What a detector is: P(fake) for a batch of images. Backends know records and cards and nothing of datasets."""

from __future__ import annotations

import abc
import hashlib
import inspect
import logging
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..cards.models import DetectorCard
from ..core.arithmetic import exact_fp32
from ..core.errors import DetectorError, first_line
from ..core.guests import guest
from ..core.identity import UNKNOWN, identify
from ..core.sources import Unidentified
from ..training.job import FitReport, TrainingJob
from .scores import listed
from .weights.weight_files import recognise

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ..core.records import Floats, Image, Reply

log = logging.getLogger("m2f2bench")


class Detector(abc.ABC):
    """A detector gives P(fake) in [0, 1] for each image; a score never depends on the rest of the batch.

    A subclass implements `forward`, and `prepare` where one image's preprocessing can run ahead of the model in
    other threads. What the signature says about a detector comes from `preprocessing`, `precision`, `seed` and
    `fingerprint`.
    """

    card: DetectorCard
    """The card it was loaded from; set by `load_detector`."""
    preprocessing: str = "none"
    precision: str = "fp32"
    """Products of float32 numbers are exact, whatever torch is set to, unless this names `tf32`: then torch's settings
    are left as they are."""
    seed: int | None = None

    @classmethod
    def from_card(cls, card: DetectorCard, device: str = "auto") -> Detector:
        """Build the detector a card describes. Here: `options` are the constructor's keyword arguments."""
        return cls(**check_options(cls, card))

    def prepare(self, image: Image) -> Any:
        """One image (RGB uint8 [H, W, 3]) to what `forward` takes; called from several threads."""
        return image

    @abc.abstractmethod
    def forward(self, batch: Sequence[Any], ids: Sequence[str]) -> Floats:
        """P(fake), float [B], for prepared images and their frames' ids. Ids are names, never labels."""

    def predict(self, images: Sequence[Image], ids: Sequence[str] | None = None) -> Floats:
        """P(fake), float [B], for RGB uint8 images [H, W, 3] of any size."""
        names = list(ids) if ids is not None else [str(i) for i in range(len(images))]
        with exact_fp32(self.precision):
            return self.forward([self.prepare(image) for image in images], names)

    def fingerprint(self) -> str:
        """A short hash (hex) of what decides the scores; `unknown` where nothing identifies it.

        Here of the class's code, of everything that the object holds, and of the files that it names; see `identity`.
        """
        card: DetectorCard | None = getattr(self, "card", None)
        state = {name: value for name, value in vars(self).items() if name != "card"}
        return object_fingerprint(type(self), state, card)


class PlainDetector(Detector):
    """Wraps somebody's own object that only has `predict(images) -> scores`."""

    def __init__(self, plain: Any) -> None:
        """`plain` has `predict(list of RGB uint8 images) -> B scores`."""
        self.plain = plain

    def forward(self, batch: Sequence[Any], ids: Sequence[str]) -> Floats:
        """Pass copies of the images on, and take the scores as floats. Raises DetectorError for what is none."""
        import numpy as np

        # Copies: what it does to its pictures shall not reach those who see them after it.
        scores = self.plain.predict([image.copy() if hasattr(image, "copy") else image for image in batch])
        found = listed(scores, len(batch))
        if isinstance(found, str):
            card: DetectorCard | None = getattr(self, "card", None)
            raise DetectorError(f"detector '{card.name if card else type(self.plain).__qualname__}' gave {found}")
        return np.array([math.nan if value is None else float(value) for value in found], dtype=np.float64)

    def fingerprint(self) -> str:
        """A hash of the wrapped object's code and state; what its own `fingerprint()` returns stands for the state."""
        name = type(self.plain).__qualname__
        try:
            with guest(f"{name}.fingerprint()"):
                own = getattr(self.plain, "fingerprint", None)
                state = vars(self.plain) if hasattr(self.plain, "__dict__") else self.plain
                if callable(own):
                    state = str(own())
        except Exception as error:
            raise DetectorError(f"{name}.fingerprint() failed: {first_line(error)}") from error
        return object_fingerprint(type(self.plain), state, getattr(self, "card", None))


class Trainable(Detector):
    """A detector whose backend can fit it."""

    stages: ClassVar[tuple[str, ...]] = ("detector",)

    @classmethod
    def identity(cls, card: DetectorCard, stage: str) -> str:
        """What beside card, data and settings decides a stage's weights (another model's files): a hash, or empty."""
        return ""

    @classmethod
    @abc.abstractmethod
    def fit(cls, job: TrainingJob) -> FitReport:
        """Fit on `job.train`, choose by `job.val`, write safetensors, and return where they are."""


class Localizer(abc.ABC):
    """A detector that also says where: a heat map per image."""

    @abc.abstractmethod
    def heatmap(self, images: Sequence[Image]) -> npt.NDArray[np.float32]:
        """Float [B, h, w] in [0, 1], the higher the more manipulated; h and w as the model has them."""

    def seen(self, height: int, width: int) -> tuple[float, float, float, float]:
        """The part of a picture of this many pixels that its map lies over: top, left, bottom, right, as shares of
        height and width. Here all of it."""
        return 0.0, 0.0, 1.0, 1.0


class Explainer(abc.ABC):
    """A detector that also says why: an answer per question."""

    questions_at_once: int = 0
    """How many pairs `explain` is best given together; 0: those of one image. Pairs of one image always are."""
    errors_pass: bool = False
    """Whether what failed may succeed when it is asked again (a server's errors): a repeated run then asks again."""
    scores_with_answers: bool = False
    """Whether its replies hold P(fake) (or it has none at all), so that it need not be asked for it separately."""

    @abc.abstractmethod
    def explain(self, images: Sequence[Image], questions: Sequence[str]) -> list[str] | list[Reply]:
        """One answer for each (image, question) pair. Pairs of one image stand together and hold the same object."""


def check_options(cls: Callable[..., Any], card: DetectorCard) -> dict[str, Any]:
    """The card's options, checked against a constructor's parameters. Raises DetectorError."""
    try:
        inspect.signature(cls).bind(**card.options)
    except TypeError as error:
        raise DetectorError(f"detector '{card.name}': options do not fit {cls.__qualname__}: {error}") from None
    return dict(card.options)


def trained_weights(card: DetectorCard) -> Path:
    """The file of a trainable detector's weights. Raises DetectorError for a card without or a file not there."""
    path = card.weights_path()
    if path is None:
        raise DetectorError(
            f"detector '{card.name}' is not trained: run `m2f2bench train {card.name} --dataset S --out DIR` "
            "and give DIR as the detector"
        )
    if not path.exists():
        raise DetectorError(f"detector '{card.name}': weights '{path}' are not there; mend `weights` on its card")
    recognise(path)
    return path


def object_fingerprint(cls: type, state: Any, card: DetectorCard | None = None) -> str:
    """16 hex digits over a class's code, an object's state and its card's options; UNKNOWN where they cannot be told.

    The reason is logged once.
    """
    options = card.options if card is not None else {}
    weights = card.weights_path() if card is not None else None
    folders = (card.folder,) if card is not None else ()
    try:
        return identify(cls, state, options, weights, folders=folders)
    except Unidentified as error:
        _tell_once(cls.__qualname__, str(error))
        return UNKNOWN


@lru_cache(maxsize=256)
def _tell_once(name: str, reason: str) -> None:
    log.warning(
        "%s: nothing identifies it (%s): no other run takes up its rows; give the class a method fingerprint() that "
        "returns a text which changes with its scores",
        name,
        reason,
    )


def text_fingerprint(*texts: str) -> str:
    """16 hex digits over texts: for a detector that its options alone describe."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def file_fingerprint(path: Path, *more: str) -> str:
    """16 hex digits over a file's bytes and `more`."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while part := stream.read(1 << 22):
            digest.update(part)
    for text in more:
        digest.update(text.encode())
    return digest.hexdigest()[:16]
