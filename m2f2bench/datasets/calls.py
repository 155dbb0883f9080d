"""Checked calls of an adapter: an error in a user's adapter, or a result of a wrong type, becomes one line."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from ..core.clips import Clip
from ..core.errors import DataError, M2F2BenchError, first_line, refuse_machine_fault
from ..core.frame_lists import FrameList
from ..core.guests import bounded
from ..core.records import Frame, Question
from .base import Adapter, Sampler, picked

log = logging.getLogger("m2f2bench")
R = TypeVar("R")
OWN = "m2f2bench."
"""Start of the names of this package's modules, whose frames need no check."""


def _ask(adapter: Adapter, call: str, ask: Callable[[], Any], kind: Any = object, wanted: str = "") -> Any:
    """Return what `ask` returns, of a `kind` that is `wanted`; `call` describes it in messages, such as `close()`.

    Raises DataError, which names adapter, call and error, for another kind and for any exception; M2F2BenchErrors pass,
    and a fault of the machine becomes MachineError.
    """
    try:
        with bounded():
            found = ask()
    except M2F2BenchError:
        raise
    except Exception as error:
        name = type(adapter).__qualname__
        refuse_machine_fault(error, f"adapter {name}, {call}")
        raise DataError(f"adapter {name}: {call} failed: {first_line(error)}") from error
    _check_type(adapter, call, found, kind, wanted)
    return found


def _check_type(adapter: Adapter, call: str, found: Any, kind: Any, wanted: str) -> None:
    if not isinstance(found, kind):
        name, given = type(adapter).__qualname__, type(found).__name__
        raise DataError(f"adapter {name}: {call} gave {given}; it should be {wanted}")


def _records(adapter: Adapter, call: str, ask: Callable[[], Any], kind: type[R]) -> Sequence[R]:
    """Return the records of a kind that `ask` returns. Raises DataError as `frames_of` does."""
    wanted = f"a list of m2f2bench.{kind.__name__}"
    given = _ask(adapter, call, ask, (list, tuple, FrameList), wanted)
    own = type(adapter).__module__.startswith(OWN)
    if isinstance(given, FrameList) and kind is Frame:
        for frame in () if own else given.examples():
            _check_frame(adapter, call, frame)
        return cast("Sequence[R]", given)
    found: list[R] = list(given)
    for one in found:
        _check_type(adapter, call, one, kind, f"{wanted} alone")
    if kind is Frame and not own:
        for one in found:
            _check_frame(adapter, call, one)
    return found


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


def frames_of(adapter: Adapter, split: str) -> Sequence[Frame]:
    """Return all frames of a split. Raises DataError if the adapter fails or does not return a list of frames."""
    return _records(adapter, f"frames('{split}')", lambda: adapter.frames(split), Frame)


def sampled_frames_of(adapter: Adapter, split: str, sampler: Sampler) -> Sequence[Frame]:
    """Return the frames that `sampler` picks from each video of a split. Raises DataError as `frames_of` does."""
    if type(adapter).sample is Adapter.sample:  # which would not check the frames before it reads their names
        return picked(frames_of(adapter, split), sampler)
    return _records(adapter, f"sample('{split}')", lambda: adapter.sample(split, sampler), Frame)


def questions_of(adapter: Adapter, split: str, kind: str) -> list[Question]:
    """Return the questions of a split and kind. Raises DataError as `frames_of` does."""
    return list(_records(adapter, f"questions('{split}', '{kind}')", lambda: adapter.questions(split, kind), Question))


def answer_rows_of(adapter: Adapter, split: str, kind: str) -> dict[str, tuple[str, ...]]:
    """Return the answers as often as the training file has them, by question id. Raises DataError if that fails."""
    call, wanted = f"answer_rows('{split}', '{kind}')", "a dictionary of tuples of texts by question id"
    found: dict[str, tuple[str, ...]] = _ask(adapter, call, lambda: adapter.answer_rows(split, kind), dict, wanted)
    return found


def altered_regions_of(adapter: Adapter, split: str) -> dict[str, frozenset[str]]:
    """Return the known manipulated regions by frame id. Raises DataError if that fails."""
    call, wanted = f"altered_regions('{split}')", "a dictionary of sets by frame id"
    found: dict[str, frozenset[str]] = _ask(adapter, call, lambda: adapter.altered_regions(split), dict, wanted)
    return found


def groups_of(adapter: Adapter, split: str) -> Sequence[Clip | Sequence[Frame]] | None:
    """Return the videos of a split, or None if only `frames` knows them. Raises DataError as `frames_of` does."""
    call, wanted = f"groups('{split}')", "a list of clips and lists of frames, or None"
    found = _ask(adapter, call, lambda: adapter.groups(split), (list, tuple, type(None)), wanted)
    for one in found or ():
        _check_type(adapter, call, one, (Clip, list, FrameList), wanted)
    return cast("Sequence[Clip | Sequence[Frame]] | None", found)


def fits_of(adapter: Adapter) -> bool:
    """Return whether the adapter's root looks like its layout. Raises DataError if the adapter fails."""
    return bool(_ask(adapter, "fits()", adapter.fits, bool, "True or False"))


def remarks_of(adapter: Adapter, split: str) -> list[str]:
    """Return the remarks on how a split was listed. Raises DataError if that fails."""
    return _texts(adapter, f"remarks('{split}')", lambda: adapter.remarks(split))


def lacking_of(adapter: Adapter, split: str) -> list[str]:
    """Return the videos of a split that their container file does not have. Raises DataError if that fails."""
    return _texts(adapter, f"lacking('{split}')", lambda: adapter.lacking(split))


def _texts(adapter: Adapter, call: str, ask: Callable[[], Any]) -> list[str]:
    found = list(_ask(adapter, call, ask, (list, tuple), "a list of texts"))
    for one in found:
        _check_type(adapter, call, one, str, "a list of texts alone")
    return found


def data_of(adapter: Adapter, frame: Frame) -> bytes | None:
    """Return the bytes of a frame's image file, or None. Raises DataError if that fails, and FrameError."""
    ask: Any = adapter.data
    if not callable(ask):  # an adapter's own attribute of this name, such as a table
        return None
    found = _ask(adapter, f"data() of frame '{frame.id}'", lambda: ask(frame), (bytes, type(None)), "bytes, or None")
    return cast("bytes | None", found)


def stamp_of(adapter: Adapter, frame: Frame) -> str:
    """Return the adapter's stamp of a frame. Raises DataError if that fails."""
    return str(_ask(adapter, f"stamp() of frame '{frame.id}'", lambda: adapter.stamp(frame), str, "a text"))


def mask_stamp_of(adapter: Adapter, frame: Frame) -> str | None:
    """Return the adapter's stamp of a frame's mask. Raises DataError if that fails."""
    ask, kinds = (lambda: adapter.mask_stamp(frame)), (str, type(None))
    return cast("str | None", _ask(adapter, f"mask_stamp() of frame '{frame.id}'", ask, kinds, "a text, or None"))


def has_masks(adapter: Adapter) -> bool:
    """Return whether an adapter has masks. Raises DataError if that fails."""
    return bool(_ask(adapter, "has_masks()", adapter.has_masks, bool, "True or False"))


def has_landmarks(adapter: Adapter) -> bool:
    """Return whether an adapter has landmarks. Raises DataError if that fails."""
    return bool(_ask(adapter, "has_landmarks()", adapter.has_landmarks, bool, "True or False"))


def close_adapter(adapter: Adapter) -> None:
    """Close an adapter's files. A failure is only a warning: everything was read before."""
    try:
        _ask(adapter, "close()", adapter.close)
    except M2F2BenchError as error:
        log.warning("%s", error)
