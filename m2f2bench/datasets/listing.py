"""Checked listings of adapters, and the check of a split's name."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from ..core.errors import DataError, M2F2BenchError, near
from ..core.records import Frame, Question
from .base import Adapter, Sampler
from .calls import ask_adapter, checked_list, wrong_type

log = logging.getLogger("m2f2bench")


def check_split(owner: str, split: str, splits: Sequence[str], use: str = "") -> None:
    """Raise DataError unless `split` is one of the `splits` of `owner`; `use` says what it is for (", on which …")."""
    if split not in splits:
        raise DataError(f"{owner} has no split '{split}'{use}{near(split, splits)}")


def sampled_frames_of(adapter: Adapter, split: str, sampler: Sampler) -> list[Frame]:
    """Return the frames that `sampler` picks from each video of a split. Raises DataError as `frames_of` does."""
    call = f"sample('{split}')"
    return checked_list(adapter, call, Frame, ask_adapter(adapter, call, lambda: adapter.sample(split, sampler)))


def questions_of(adapter: Adapter, split: str, kind: str) -> list[Question]:
    """Return the questions of a split and kind. Raises DataError as `frames_of` does."""
    call = f"questions('{split}', '{kind}')"
    return checked_list(adapter, call, Question, ask_adapter(adapter, call, lambda: adapter.questions(split, kind)))


def altered_regions_of(adapter: Adapter, split: str) -> dict[str, frozenset[str]]:
    """Return the known manipulated regions by frame id. Raises DataError if that fails."""
    call = f"altered_regions('{split}')"
    found: Any = ask_adapter(adapter, call, lambda: adapter.altered_regions(split))
    if not isinstance(found, dict):
        raise wrong_type(adapter, call, found, "a dictionary of sets by frame id")
    return found


def stamp_of(adapter: Adapter, frame: Frame) -> str:
    """Return the adapter's stamp of a frame. Raises DataError if that fails."""
    call = f"stamp() of frame '{frame.id}'"
    found: Any = ask_adapter(adapter, call, lambda: adapter.stamp(frame))
    if not isinstance(found, str):
        raise wrong_type(adapter, call, found, "a text")
    return found


def close_adapter(adapter: Adapter) -> None:
    """Close an adapter's files. A failure is only a warning: everything was read before."""
    try:
        ask_adapter(adapter, "close()", adapter.close)
    except M2F2BenchError as error:
        log.warning("%s", error)
