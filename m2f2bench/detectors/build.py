"""Building of detectors: from a card and its class, or around an object with `predict`."""

from __future__ import annotations

from typing import Any

from ..cards.models import DetectorCard, validate
from ..core.arithmetic import PRECISIONS
from ..core.errors import CardError, DetectorError, M2F2BenchError, first_line, near
from ..core.guests import guest
from .base import Detector, PlainDetector, check_options


def build_detector(card: DetectorCard, cls: type, device: str) -> Detector:
    """Return the detector of a card and its class. Raises M2F2BenchError in one line."""
    try:
        if issubclass(cls, Detector):
            with guest(f"detector '{card.name}'"):
                return cls.from_card(card, device)
        if not callable(getattr(cls, "predict", None)):
            raise DetectorError(
                f"detector '{card.name}': {cls.__qualname__} has no method predict(images); it must take a list of "
                f"RGB uint8 images and return P(fake) for each"
            )
        options = check_options(cls, card)
        with guest(f"detector '{card.name}'"):
            return PlainDetector(cls(**options))
    except M2F2BenchError:
        raise
    except Exception as error:
        raise DetectorError(f"detector '{card.name}' cannot be built: {first_line(error)}") from error


def set_up(detector: Detector, card: DetectorCard, precision: str | None) -> None:
    """Let a detector judge as its card says, and in `precision` where that is not None.

    Raises CardError for an unknown precision, and DetectorError for what its device cannot do.
    """
    detector.card = card
    if wanted := precision or card.precision:
        if wanted not in PRECISIONS:
            raise CardError(f"precision {wanted}{near(wanted, PRECISIONS)}")
        detector.compute_in(wanted)
    if not card.channels_last:
        detector.order_by_channels()
    if card.compile:
        detector.compile_network()


def wrap_object(detector: Any) -> tuple[DetectorCard, Detector]:
    """Return a card and a detector for an object with `predict`. Raises DetectorError for one without."""
    if not callable(getattr(detector, "predict", None)):
        raise DetectorError(
            f"an object of type {type(detector).__name__} is not a detector: it has no method predict(images)"
        )
    if isinstance(detector, Detector) and hasattr(detector, "card"):
        return detector.card, detector  # loaded before
    name = getattr(detector, "name", type(detector).__name__)
    values = {"name": name, "backend": f"{type(detector).__module__}:{type(detector).__qualname__}"}
    card = validate(DetectorCard, values, f"detector {type(detector).__qualname__}")
    return card, detector if isinstance(detector, Detector) else PlainDetector(detector)
