"""Progress on standard error: a bar in a terminal, elsewhere a line now and then."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress

log = logging.getLogger("m2f2bench")
EVERY = 10.0
"""Seconds between two lines where there is no bar."""
_hidden = False
_shown: Progress | None = None
"""The display of the outermost bar; a bar within it is a line of the same display, else they overwrite each other."""


def hide(hidden: bool = True) -> None:
    """Hide the bars of this process, or show them again."""
    global _hidden
    _hidden = hidden


class Advance(Protocol):
    """Advance a bar by `n` steps, and change its label."""

    def __call__(self, n: int = 1, label: str | None = None) -> None:
        """Advance the bar."""


class _Lines:
    """Progress as lines of the log, at most one every `EVERY` seconds; short work says nothing."""

    def __init__(self, label: str, total: int, done: int) -> None:
        self.label, self.total, self.done, self.first = label, total, done, done
        self.begin = self.last = time.monotonic()

    def __call__(self, n: int = 1, label: str | None = None) -> None:
        self.done += n
        self.label = label or self.label
        now = time.monotonic()
        if now - self.last < EVERY or self.done >= self.total or self.done <= self.first:
            return
        self.last = now
        left = (now - self.begin) / (self.done - self.first) * (self.total - self.done)
        log.info("%s: %d of %d, about %s left", self.label, self.done, self.total, duration(left))


def duration(seconds: float) -> str:
    """Return a rough duration: seconds, minutes or hours."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextlib.contextmanager
def progress_bar(label: str, total: int, done: int = 0) -> Iterator[Advance]:
    """Show a bar of `total` steps, of which `done` are finished; the block gets a function that advances it.

    A bar within the block of another one is shown below it.
    """
    if _hidden or total <= 0:
        yield lambda n=1, label=None: None
        return
    if not sys.stderr.isatty():
        yield _Lines(label, total, done)
        return
    with _display() as bars:
        task = bars.add_task(label, total=total, completed=done)
        try:
            yield lambda n=1, label=None: bars.update(task, advance=n, description=label)
        finally:
            bars.remove_task(task)


@contextlib.contextmanager
def _display() -> Iterator[Progress]:
    """Give the display that is shown, or show one for the block."""
    global _shown
    if _shown is not None:
        yield _shown
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as _shown:
        try:
            yield _shown
        finally:
            _shown = None
