"""Base classes of detectors: scores, training, heat maps and answers."""

from __future__ import annotations

import abc
import hashlib
import inspect
import logging
import math
import pkgutil
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ..cards.folders import find_card
from ..cards.models import DetectorCard
from ..cards.registry import is_file_reference
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
    """A detector: P(fake) in [0, 1] for each image, whatever else is in the batch.

    A subclass implements `forward`, and `prepare` where one image's preprocessing can run ahead of the model in other
    threads. What the signature says about a detector comes from `preprocessing`, `precision`, `seed` and `fingerprint`.
    """

    card: DetectorCard
    """The card that the detector was loaded from; set by `load_detector`."""
    preprocessing: str = "none"
    precision: str = "fp32"
    """Float32 arithmetic is exact, whatever torch's settings, unless this names `tf32`: then torch's settings apply."""
    seed: int | None = None
    in_background: bool = False
    """Whether `begin_forward` returns while a device still computes, so that the next batch can be made meanwhile."""

    @classmethod
    def clip_frames(cls, card: DetectorCard) -> int:
        """Return how many frames of one video the detector of a card judges together; here 1.

        With more, `prepare` gets RGB uint8 [T, H, W, 3] for a clip, and [H, W, 3] for a single picture, which stands
        for a clip of T times the same.
        """
        return 1

    @classmethod
    def from_card(cls, card: DetectorCard, device: str = "auto") -> Detector:
        """Build the detector that a card describes. Here, `options` are the constructor's keyword arguments."""
        return cls(**check_options(cls, card))

    def prepare(self, image: Image) -> Any:
        """Return what `forward` takes for one image (RGB uint8 [H, W, 3]); called from several threads."""
        return image

    @abc.abstractmethod
    def forward(self, batch: Sequence[Any], ids: Sequence[str]) -> Floats:
        """P(fake), float [B], for prepared images and their frames' ids. Ids are names, never labels."""

    def begin_forward(self, batch: Sequence[Any], ids: Sequence[str]) -> Callable[[], Floats]:
        """Begin what `forward` does, and return what waits for its scores; here, it computes them.

        It is called where `in_background` is true, and then for a second batch before the first one's scores are
        waited for.
        """
        return partial(self.forward, batch, ids)

    def predict(self, images: Sequence[Image], ids: Sequence[str] | None = None) -> Floats:
        """P(fake), float [B], for RGB uint8 images [H, W, 3] of any size."""
        names = list(ids) if ids is not None else [str(i) for i in range(len(images))]
        with exact_fp32(self.precision):
            return self.forward([self.prepare(image) for image in images], names)

    def compute_in(self, precision: str) -> None:
        """Judge in one of `arithmetic.PRECISIONS` from now on, if this class can; here it cannot, which is logged."""
        if precision != "fp32":
            log.warning("detector '%s' has an arithmetic of its own: %s does not change it", self.card.name, precision)

    def compile_network(self) -> None:
        """Judge by a network compiled with `torch.compile` from now on; this class has none, which is logged."""
        log.warning("detector '%s' has no network that torch compiles: compile does not change it", self.card.name)

    def order_by_channels(self) -> None:
        """Judge with pixels ordered by channels from now on; this class has no network of images, which is logged."""
        log.warning("detector '%s' has no network of images: channels_last does not change it", self.card.name)

    def in_fp32(self, batch: Sequence[Any], ids: Sequence[str]) -> Floats | None:
        """Return what `forward` returns in fp32; None if it computes so anyway, or in an arithmetic of its own."""
        return None

    def unwrapped(self) -> Any:
        """Return the object whose code and attributes decide the scores: here the detector itself."""
        return self

    # Not `explainer` and `localizer`: these are names that a user's own detector may give to its attributes.
    def as_explainer(self) -> Explainer | None:
        """Return what answers questions for this detector; None where nothing does."""
        own = self.unwrapped()
        if isinstance(own, Explainer):
            return own
        return _ExplainerLike(own) if callable(getattr(own, "explain", None)) else None

    def as_localizer(self) -> Localizer | None:
        """Return what draws heat maps for this detector; None where nothing does."""
        own = self.unwrapped()
        if isinstance(own, Localizer):
            return own
        return _LocalizerLike(own) if callable(getattr(own, "heatmap", None)) else None

    def fingerprint(self) -> str:
        """Return a short hash (hex) of what decides the scores; `unknown` if nothing identifies the detector.

        Here, it covers the class's code, everything that the object holds, and the files that it names; see `identity`.
        """
        card: DetectorCard | None = getattr(self, "card", None)
        state = {name: value for name, value in vars(self).items() if name != "card"}
        return object_fingerprint(type(self), state, card)


class PlainDetector(Detector):
    """A user's own object that only has `predict(images) -> scores`, as a detector."""

    def __init__(self, plain: Any) -> None:
        """`plain` has `predict(list of RGB uint8 images) -> B scores`."""
        self.plain = plain

    def forward(self, batch: Sequence[Any], ids: Sequence[str]) -> Floats:
        """Pass copies of the images on and return the scores as floats. Raises DetectorError for other values."""
        import numpy as np

        # Copies: changes that it makes to its images must not reach whatever reads them next.
        scores = self.plain.predict([image.copy() if hasattr(image, "copy") else image for image in batch])
        found = listed(scores, len(batch))
        if isinstance(found, str):
            card: DetectorCard | None = getattr(self, "card", None)
            raise DetectorError(f"detector '{card.name if card else type(self.plain).__qualname__}' gave {found}")
        return np.array([math.nan if value is None else float(value) for value in found], dtype=np.float64)

    def fingerprint(self) -> str:
        """Return a hash of the wrapped object's code and state; its own `fingerprint()`, if any, replaces the state."""
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

    def unwrapped(self) -> Any:
        """Return the wrapped object."""
        return self.plain


class Trainable(Detector):
    """A detector that its backend can train."""

    stages: ClassVar[tuple[str, ...]] = ("detector",)

    @classmethod
    def takes_size(cls, card: DetectorCard, size: int) -> bool:
        """Return whether the network of a card can be trained on pictures of `size` pixels; here, only on its own."""
        return size == card.input.size

    @classmethod
    def stage_card(cls, card: DetectorCard, stage: str) -> DetectorCard:
        """Return the card without what the weights of this stage do not depend on."""
        return card

    @classmethod
    def identity(cls, card: DetectorCard, stage: str) -> str:
        """Return a hash of what decides a stage's weights (another model's files) besides card, data and settings."""
        return ""

    @classmethod
    def folds(cls, card: DetectorCard, stage: str) -> int:
        """Return how many trainings of a part of the frames a stage has besides that of all."""
        return 0

    @classmethod
    def start_identity(cls, start: DetectorCard) -> str:
        """Return a hash of what a later stage takes from the trained detector that it starts from, besides weights."""
        return ""

    @classmethod
    @abc.abstractmethod
    def fit(cls, job: TrainingJob) -> FitReport:
        """Train on `job.train`, choose by `job.val`, write safetensors, and return where they are."""


class Localizer(abc.ABC):
    """A detector that also draws a heat map for each image."""

    @abc.abstractmethod
    def heatmap(self, images: Sequence[Image]) -> npt.NDArray[np.float32]:
        """Return maps, float [B, h, w] in [0, 1], higher where more manipulated; h and w are the model's own."""

    def seen(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Return the part of a picture that its map covers: top, left, bottom, right, as fractions of height and width.

        `height` and `width` are in pixels. Here, the whole picture.
        """
        return 0.0, 0.0, 1.0, 1.0


class Explainer(abc.ABC):
    """A detector that also answers questions about images."""

    questions_at_once: int = 0
    """Best number of (image, question) pairs for one call of `explain`; 0: those of one image, which are never
    split."""
    errors_pass: bool = False
    """Whether a failed question may succeed later (a server's errors): a repeated run then asks it again."""
    scores_with_answers: bool = False
    """Whether its replies hold P(fake), or it has no P(fake) at all: no separate call is needed for scores."""
    verdict_by: Literal["llm", "detector"] = "llm"
    """Who decides the verdict of its answers: what writes them, or the detector beside it."""

    @abc.abstractmethod
    def explain(self, images: Sequence[Image], questions: Sequence[str]) -> list[str] | list[Reply]:
        """Return one answer per (image, question) pair. Pairs of one image are consecutive and share one object."""


class _ExplainerLike(Explainer):
    """An object with a method `explain` that is not an Explainer; it may have some of an Explainer's settings."""

    def __init__(self, own: Any) -> None:
        self.own = own
        self.questions_at_once = int(getattr(own, "questions_at_once", 0) or 0)
        self.errors_pass = bool(getattr(own, "errors_pass", False))
        self.scores_with_answers = bool(getattr(own, "scores_with_answers", False))

    def explain(self, images: Sequence[Image], questions: Sequence[str]) -> list[str] | list[Reply]:
        answers: list[str] | list[Reply] = self.own.explain(images, questions)
        return answers


class _LocalizerLike(Localizer):
    """An object with a method `heatmap` that is not a Localizer; it may have a method `seen`."""

    def __init__(self, own: Any) -> None:
        self.own = own

    def heatmap(self, images: Sequence[Image]) -> npt.NDArray[np.float32]:
        import numpy as np

        maps = self.own.heatmap(list(images))
        return np.asarray(maps.detach().cpu() if hasattr(maps, "detach") else maps)

    def seen(self, height: int, width: int) -> tuple[float, float, float, float]:
        own: Any = getattr(self.own, "seen", None)
        return own(height, width) if callable(own) else super().seen(height, width)


def check_options(cls: Callable[..., Any], card: DetectorCard) -> dict[str, Any]:
    """Return the card's options, checked against a constructor's parameters. Raises DetectorError."""
    try:
        inspect.signature(cls).bind(**card.options)
    except TypeError as error:
        raise DetectorError(f"detector '{card.name}': options do not fit {cls.__qualname__}: {error}") from None
    return dict(card.options)


def starting_options(cls: type) -> tuple[str, ...]:
    """Return the names of the options that a backend's network is built from: those of `Options`, or of `build`."""
    model = getattr(cls, "Options", None)
    if model is not None and hasattr(model, "model_fields"):
        return tuple(model.model_fields)
    build = getattr(cls, "build", None)
    return tuple(inspect.signature(build).parameters) if callable(build) else ()


def _called(card: DetectorCard) -> str:
    """Return what the command line takes for a card: its name if it is in a folder of cards, else its file."""
    if card.path is None:
        return card.backend if is_file_reference(card.backend) else card.name
    known, path = find_card("detectors", card.name), card.path.resolve()
    if known is not None and known.resolve() == path:
        return card.name
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def trained_weights(card: DetectorCard) -> Path:
    """Return the weights file of a trained detector. Raises DetectorError if the card names none or it is missing."""
    path = card.weights_path()
    if path is None:
        raise DetectorError(
            f"detector '{card.name}' is not trained: run `m2f2bench train {_called(card)} --dataset S --out DIR` "
            "and give DIR as the detector, or name your weights on its card (`weights: FILE`)"
        )
    if not path.exists():
        raise DetectorError(f"detector '{card.name}': weights '{path}' do not exist; correct `weights` on its card")
    recognise(path)
    return path


def optional(name: str, package: str, extra: str, user: str) -> Any:
    """Return a module, or an object in one (`module:Object`), of an optional package, which `user` needs.

    Raises DetectorError, with the extra, if the package is missing, does not load, or lacks the object.
    """
    try:
        return pkgutil.resolve_name(name)
    except (ImportError, AttributeError, OSError) as error:
        raise DetectorError(
            f"{user} needs the package {package} ({first_line(error)}): run `pip install 'm2f2bench[{extra}]'`"
        ) from None


def object_fingerprint(cls: type, state: Any, card: DetectorCard | None = None) -> str:
    """Return 16 hex digits over a class's code, an object's state and its card's options; UNKNOWN if they cannot be
    hashed.

    The reason is logged once.
    """
    try:
        if card is None:
            return identify(cls, state, {}, None)
        return identify(cls, state, card.options, card.weights_path(), folders=(card.folder,))
    except Unidentified as error:
        _log_unidentified(cls.__qualname__, str(error))
        return UNKNOWN


@lru_cache(maxsize=256)
def _log_unidentified(name: str, reason: str) -> None:
    log.warning(
        "%s cannot be identified (%s): no other run reuses its rows; give the class a method fingerprint() that "
        "returns a text which changes whenever its scores do",
        name,
        reason,
    )


def text_fingerprint(*texts: str) -> str:
    """Return 16 hex digits over texts, for a detector that its options fully describe."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def file_fingerprint(path: Path, *more: str) -> str:
    """Return 16 hex digits over a file's bytes and `more`."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while part := stream.read(1 << 22):
            digest.update(part)
    for text in more:
        digest.update(text.encode())
    return digest.hexdigest()[:16]
