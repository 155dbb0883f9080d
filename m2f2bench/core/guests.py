"""Calls of users' code: its output, its changes of settings and its exits do not affect this package."""

from __future__ import annotations

import contextlib
import locale
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from .errors import is_interruption

log = logging.getLogger("m2f2bench")


class Ended(Exception):
    """User code tried to end the process, or raised something that is not an Exception."""


@contextlib.contextmanager
def guest(what: str) -> Iterator[None]:
    """Run user code in the block, in the main thread; `what` names it.

    All its output goes to stderr: stdout may be a file of results. The working directory, the locale and the warning
    filters are restored, the first with a warning. Raises Ended for SystemExit and for anything that is not an
    Exception, except Ctrl-C, and KeyboardInterrupt for what was made of one. A process that the code forks ends with
    the block.
    """
    folder, language, filters = _folder(), locale.setlocale(locale.LC_ALL), list(warnings.filters)
    try:
        with _OF_PROCESS, bounded():
            yield
    finally:
        if folder is not None and _folder() != folder:
            os.chdir(folder)
            log.warning("%s changed the working directory; it was set back to '%s'", what, folder)
        if locale.setlocale(locale.LC_ALL) != language:
            locale.setlocale(locale.LC_ALL, language)
        errors = [one for one in warnings.filters if one[0] == "error" and one not in filters]
        if errors:
            kept = [one for one in warnings.filters if one not in errors]
            warnings.resetwarnings()
            warnings.filters[:] = kept  # type: ignore[index]


class bounded:
    """Do the part of `guest` that works in any thread: Python's stdout, exceptions, numpy's error state, forks.

    It is entered many times a frame; as a generator, which would be shorter, it took three times as long.
    """

    __slots__ = ("_numbers", "_process")

    def __enter__(self) -> None:
        self._process = os.getpid()
        if not _OF_THREAD.depth:  # in an inner block all of it holds already
            import numpy as np

            self._numbers = np.errstate()
            self._numbers.__enter__()
            _REDIRECTION.__enter__()
        _OF_THREAD.depth += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if os.getpid() != self._process:  # two processes would write the same rows
            os._exit(70)
        _OF_THREAD.depth -= 1
        if not _OF_THREAD.depth:
            _REDIRECTION.__exit__()
            self._numbers.__exit__(kind, error, trace)
        if error is None or isinstance(error, KeyboardInterrupt):
            return
        if is_interruption(error):  # it would be taken for a fault of the code, or of an image, and tried again
            raise KeyboardInterrupt from error
        if isinstance(error, Exception):
            return
        if isinstance(error, SystemExit):
            raise Ended(f"it called sys.exit({error.code!r:.60})") from None
        raise Ended(f"it raised {type(error).__name__}, which is not an Exception") from None


class _OfThread(threading.local):
    depth = 0
    """How many blocks the thread is in: the outermost redirects."""


_OF_THREAD = _OfThread()


class Overlapping:
    """A change of the process that lasts while any thread is inside the block."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self.begin()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self.end()

    def begin(self) -> None:
        """Make the change; called when the first thread enters."""
        raise NotImplementedError

    def end(self) -> None:
        """Undo it; called when the last thread has left."""
        raise NotImplementedError


class _Redirection(Overlapping):
    """Python's stdout sent to stderr."""

    def begin(self) -> None:
        self._before, sys.stdout = sys.stdout, sys.stderr

    def end(self) -> None:
        sys.stdout = self._before


class _ProcessRedirection(Overlapping):
    """The same for the process's stdout: output of C code and of commands that are run."""

    def begin(self) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stdout.flush()
        self._kept: int | None = None
        with contextlib.suppress(OSError):  # descriptor 1 is not open
            self._kept = os.dup(1)
            os.dup2(2, 1)

    def end(self) -> None:
        if self._kept is not None:
            os.dup2(self._kept, 1)
            os.close(self._kept)


_REDIRECTION, _OF_PROCESS = _Redirection(), _ProcessRedirection()


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - of each batch, and a Path of it takes three times as long
    except OSError:  # it was removed
        return None
