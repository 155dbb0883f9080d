"""Progress bars on standard error, shown only in a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Protocol

_hidden = False


def hide(hidden: bool = True) -> None:
    """Hide the bars of this process, or show them again."""
    global _hidden
    _hidden = hidden


class Advance(Protocol):
    """Advance a bar by `n` steps, and change its label."""

    def __call__(self, n: int = 1, label: str | None = None) -> None:
        """Advance the bar; without a bar, do nothing."""


@contextlib.contextmanager
def progress_bar(label: str, total: int, done: int = 0) -> Iterator[Advance]:
    """Show a bar of `total` steps, of which `done` are finished; the block gets a function that advances it."""
    if _hidden or not sys.stderr.isatty() or total <= 0:
        yield lambda n=1, label=None: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(label, total=total, completed=done)
        yield lambda n=1, label=None: bars.update(task, advance=n, description=label)
