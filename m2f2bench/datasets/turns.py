"""Turns of threads that work on frames of the same video: its decoder gets them in the order of the list.

A decoder that is asked for frame 9 before frame 3 has to decode the way to both.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, Literal

Stage = Literal["read", "mask"]
_HERE = threading.local()


class Turn:
    """One item's turn. It waits for the item before it of the same file, which was started before it.

    That item is finished or in work in another thread, which waits for none that was started later: nobody waits for
    ever.
    """

    def __init__(self, before: Turn | None) -> None:
        """Make the turn that follows `before`."""
        self._before = before
        self._done: dict[Stage, threading.Event] = {"read": threading.Event(), "mask": threading.Event()}

    @contextlib.contextmanager
    def taking(self, stage: Stage) -> Iterator[None]:
        """Wait for the turn of one stage of the work, and pass it on after the block."""
        if self._before is not None:
            self._before._done[stage].wait()
        try:
            yield
        finally:
            self._done[stage].set()

    def end(self) -> None:
        """Pass on all that this item did not use, when it is finished or has failed."""
        self._before = None
        for done in self._done.values():
            done.set()


class Turns:
    """Turns of items that are started one after the other; it is not locked."""

    def __init__(self) -> None:
        """Make turns without any item."""
        self._last: dict[str, Turn] = {}

    def start(self, item: Any) -> tuple[str, Turn] | None:
        """Return an item's file and turn; None unless it is (or has) a frame with a number in a video file."""
        place = getattr(getattr(item, "frame", item), "locator", None)
        if getattr(place, "index", None) is None or getattr(place, "key", None) is not None:
            return None
        path = str(place.path)  # type: ignore[union-attr]
        turn = self._last[path] = Turn(self._last.get(path))
        return path, turn

    def end(self, started: tuple[str, Turn] | None) -> None:
        """End an item's turn."""
        if started is None:
            return
        path, turn = started
        turn.end()
        if self._last.get(path) is turn:
            del self._last[path]


@contextlib.contextmanager
def having(turn: Turn | None) -> Iterator[None]:
    """Give this thread a turn for the block."""
    before = getattr(_HERE, "turn", None)
    _HERE.turn = turn
    try:
        yield
    finally:
        _HERE.turn = before


@contextlib.contextmanager
def in_turn(stage: Stage) -> Iterator[None]:
    """Run the block in this thread's turn; at once if it has none."""
    turn: Turn | None = getattr(_HERE, "turn", None)
    if turn is None:
        yield
        return
    with turn.taking(stage):
        yield
