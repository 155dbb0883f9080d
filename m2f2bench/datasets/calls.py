"""Calls of an adapter: an error in a user's adapter, or a result of a wrong type, becomes one line, not a traceback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from ..core.errors import DataError, M2F2BenchError, first_line, refuse_machine_fault
from ..core.guests import bounded
from ..core.records import Frame

R = TypeVar("R")
OWN = "m2f2bench."
"""Start of the names of this package's modules, whose frames need no check."""


class ListsFrames(Protocol):
    """What `frames_of` needs of an adapter."""

    def frames(self, split: str) -> list[Frame]:
        """Return all frames of a split."""


def ask_adapter(adapter: object, call: str, ask: Callable[[], R]) -> R:
    """Return what `ask` returns; `call` describes it in messages, such as `frames('test')`.

    Raises DataError, which names adapter, call and error, for any exception; M2F2BenchErrors pass, and a fault of the
    machine becomes MachineError.
    """
    try:
        with bounded():
            return ask()
    except M2F2BenchError:
        raise
    except Exception as error:
        name = type(adapter).__qualname__
        refuse_machine_fault(error, f"adapter {name}, {call}")
        raise DataError(f"adapter {name}: {call} failed: {first_line(error)}") from error


def frames_of(adapter: ListsFrames, split: str) -> list[Frame]:
    """Return all frames of a split. Raises DataError if the adapter fails or does not return a list of frames."""
    call = f"frames('{split}')"
    return checked_list(adapter, call, Frame, ask_adapter(adapter, call, lambda: adapter.frames(split)))


def checked_list(adapter: object, call: str, kind: type[R], found: Any) -> list[R]:
    """Return a list of records of a kind. Raises DataError for anything else."""
    if not isinstance(found, (list, tuple)):
        raise wrong_type(adapter, call, found, f"a list of m2f2bench.{kind.__name__}")
    odd = next((one for one in found if not isinstance(one, kind)), None)
    if odd is not None:
        raise wrong_type(adapter, call, odd, f"a list of m2f2bench.{kind.__name__} alone")
    if kind is Frame and not type(adapter).__module__.startswith(OWN):
        for frame in found:
            _check_frame(adapter, call, frame)
    return list(found)


def _check_frame(adapter: object, call: str, frame: Any) -> None:
    """Raise DataError for a frame whose names are not texts."""
    named = [(name, getattr(frame, name)) for name in ("id", "video", "method", "split", "picture")]
    people = frame.identities if isinstance(frame.identities, (tuple, list)) else [frame.identities]
    for name, value in [*named, *(("identities", one) for one in people)]:
        if not isinstance(value, str):
            raise DataError(
                f"adapter {type(adapter).__qualname__}: {call} gave a frame whose {name} is a {type(value).__name__}; "
                f"it should be a text"
            )


def wrong_type(adapter: object, call: str, found: Any, wanted: str) -> DataError:
    """Return the error for a result of another type than `wanted`."""
    return DataError(f"adapter {type(adapter).__qualname__}: {call} gave {type(found).__name__}; it should be {wanted}")
