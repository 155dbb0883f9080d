"""Source of training images: what makes samples, real and fake, from a frame of the dataset."""

from __future__ import annotations

import abc
import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from ...core.errors import CardError, near

if TYPE_CHECKING:
    from ...cards.settings import SourceSettings
    from ...core.records import Frame, Image

Landmarks = Callable[["Frame"], "npt.NDArray[np.float64] | None"]
"""Return a frame's landmarks in pixels (x, y), [K, 2]; None where the dataset has none."""

SOURCES: dict[str, str] = {"self-blended": "m2f2bench.training.sources.self_blended:SelfBlended"}
"""The name on a card, to `module:class`; the module is imported when a training needs it."""


class Made(NamedTuple):
    """A sample that a source made."""

    image: Image
    """RGB uint8 [H, W, 3], before augmentation, of the size of the frame that it was made from."""
    label: int
    """0 real, 1 fake."""
    mask: npt.NDArray[np.float32] | None = None
    """What is manipulated, in [0, 1], [H, W]; None stands for zeros."""


class Source(abc.ABC):
    """Base of sources. A subclass takes its options from the card as keyword arguments of its constructor.

    A source is copied to worker processes, so it must be picklable and must not keep what it draws.
    """

    labels: ClassVar[tuple[int, ...]] = (0, 1)
    """Labels of the samples that `make` returns, in this order; their number is the same for all frames."""
    alike: ClassVar[bool] = False
    """Whether the samples of a frame are augmented by the same draws."""
    landmarks: Landmarks | None = None
    """Set before the first call of `make`; None if the dataset has no landmarks."""

    @abc.abstractmethod
    def make(self, image: Image, frame: Frame, rng: np.random.Generator) -> list[Made]:
        """Return the samples made from a frame's pixels, RGB uint8 [H, W, 3]. All random draws come from `rng`.

        Raises FrameError for a frame of which none can be made: it is left out, as an unreadable one is.
        """

    def notes(self) -> list[str]:
        """Return notes for the training's report, asked once at its start."""
        return []


def make_source(settings: SourceSettings | None, detector: str, landmarks: Landmarks | None = None) -> Source | None:
    """Return the source that a card's `training.source` names; None for none. Raises CardError in one line."""
    if settings is None:
        return None
    if settings.name not in SOURCES:
        where = f"detector '{detector}': training.source"
        raise CardError(f"{where}: there is no source '{settings.name}'{near(settings.name, SOURCES)}")
    cls: Any = pkgutil.resolve_name(SOURCES[settings.name])
    try:
        made: Source = cls(**settings.options)
    except (TypeError, ValueError) as error:
        text = str(error).splitlines()[0]
        raise CardError(
            f"detector '{detector}': training.source: options do not fit '{settings.name}': {text}"
        ) from None
    made.landmarks = landmarks
    return made
