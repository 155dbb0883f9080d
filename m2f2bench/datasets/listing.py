"""Checked calls of adapters: an error in a user's adapter becomes one line, not a traceback."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ..core.errors import DataError, M2F2BenchError, first_line, near, refuse_machine_fault
from ..core.guests import bounded
from ..core.records import Frame, Question

if TYPE_CHECKING:
    from .base import Adapter, Sampler

R = TypeVar("R")
OWN = "m2f2bench."
"""Start of the names of this package's modules, whose frames need no check."""
log = logging.getLogger("m2f2bench")


def check_split(owner: str, split: str, splits: Sequence[str], use: str = "") -> None:
    """Raise DataError unless `split` is one of the `splits` of `owner`; `use` says what it is for (", on which …")."""
    if split not in splits:
        raise DataError(f"{owner} has no split '{split}'{use}{near(split, splits)}")


def ask_adapter(adapter: Adapter, call: str, ask: Callable[[], R]) -> R:
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


def frames_of(adapter: Adapter, split: str) -> list[Frame]:
    """Return all frames of a split. Raises DataError if the adapter fails or does not return a list of frames."""
    call = f"frames('{split}')"
    return _checked(adapter, call, Frame, ask_adapter(adapter, call, lambda: adapter.frames(split)))


def sampled_frames_of(adapter: Adapter, split: str, sampler: Sampler) -> list[Frame]:
    """Return the frames that `sampler` picks from each video of a split. Raises DataError as `frames_of` does."""
    call = f"sample('{split}')"
    return _checked(adapter, call, Frame, ask_adapter(adapter, call, lambda: adapter.sample(split, sampler)))


def questions_of(adapter: Adapter, split: str, kind: str) -> list[Question]:
    """Return the questions of a split and kind. Raises DataError as `frames_of` does."""
    call = f"questions('{split}', '{kind}')"
    return _checked(adapter, call, Question, ask_adapter(adapter, call, lambda: adapter.questions(split, kind)))


def altered_regions_of(adapter: Adapter, split: str) -> dict[str, frozenset[str]]:
    """Return the known manipulated regions by frame id. Raises DataError if that fails."""
    call = f"altered_regions('{split}')"
    found: Any = ask_adapter(adapter, call, lambda: adapter.altered_regions(split))
    if not isinstance(found, dict):
        raise _no_list(adapter, call, found, "a dictionary of sets by frame id")
    return found


def stamp_of(adapter: Adapter, frame: Frame) -> str:
    """Return the adapter's stamp of a frame. Raises DataError if that fails."""
    call = f"stamp() of frame '{frame.id}'"
    found: Any = ask_adapter(adapter, call, lambda: adapter.stamp(frame))
    if not isinstance(found, str):
        raise _no_list(adapter, call, found, "a text")
    return found


def close_adapter(adapter: Adapter) -> None:
    """Close an adapter's files. A failure is only a warning: everything was read before."""
    try:
        ask_adapter(adapter, "close()", adapter.close)
    except M2F2BenchError as error:
        log.warning("%s", error)


def _checked(adapter: Adapter, call: str, kind: type[R], found: Any) -> list[R]:
    """Return a list of records of a kind. Raises DataError for anything else."""
    if not isinstance(found, (list, tuple)):
        raise _no_list(adapter, call, found, f"a list of m2f2bench.{kind.__name__}")
    odd = next((one for one in found if not isinstance(one, kind)), None)
    if odd is not None:
        raise _no_list(adapter, call, odd, f"a list of m2f2bench.{kind.__name__} alone")
    if kind is Frame and not type(adapter).__module__.startswith(OWN):
        for frame in found:
            _check_frame(adapter, call, frame)
    return list(found)


def _check_frame(adapter: Adapter, call: str, frame: Any) -> None:
    """Raise DataError for a frame whose names are not texts."""
    named = [(name, getattr(frame, name)) for name in ("id", "video", "method", "split", "picture")]
    people = frame.identities if isinstance(frame.identities, (tuple, list)) else [frame.identities]
    for name, value in [*named, *(("identities", one) for one in people)]:
        if not isinstance(value, str):
            raise DataError(
                f"adapter {type(adapter).__qualname__}: {call} gave a frame whose {name} is a {type(value).__name__}; "
                f"it should be a text"
            )


def _no_list(adapter: Adapter, call: str, found: Any, wanted: str) -> DataError:
    return DataError(f"adapter {type(adapter).__qualname__}: {call} gave {type(found).__name__}; it should be {wanted}")
