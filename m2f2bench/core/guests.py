"""Calls of code that is not this package's: what it prints, changes or ends stays with it."""

from __future__ import annotations

import contextlib
import locale
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger("m2f2bench")


class Ended(Exception):
    """Somebody's code that wanted to end the process, or raised what is no Exception."""


@contextlib.contextmanager
def guest(what: str) -> Iterator[None]:
    """Run somebody's code in the block, in the main thread; `what` names it.

    What it prints goes to stderr, by whichever way: stdout may be a file of results. A working directory, a locale and
    warnings turned into errors are put back, the first with a warning. Raises Ended for SystemExit and whatever else is
    no Exception, but for Ctrl-C. A process that it forked off ends with the block.
    """
    folder, language, filters = _folder(), locale.setlocale(locale.LC_ALL), list(warnings.filters)
    try:
        with _OF_PROCESS, bounded():
            yield
    finally:
        if folder is not None and _folder() != folder:
            os.chdir(folder)
            log.warning("%s changed the working directory: it is '%s' again", what, folder)
        if locale.setlocale(locale.LC_ALL) != language:
            locale.setlocale(locale.LC_ALL, language)
        errors = [one for one in warnings.filters if one[0] == "error" and one not in filters]
        if errors:
            kept = [one for one in warnings.filters if one not in errors]
            warnings.resetwarnings()
            warnings.filters[:] = kept  # type: ignore[index]


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """The same as far as it holds in any thread: Python's stdout, what is raised, numpy's errors, forks."""
    import numpy as np

    process = os.getpid()
    try:
        with np.errstate(), _REDIRECTION:
            yield
    except (Exception, KeyboardInterrupt):
        raise
    except SystemExit as error:
        raise Ended(f"it called sys.exit({error.code!r:.60})") from None
    except BaseException as error:
        raise Ended(f"it raised {type(error).__name__}, which is no Exception") from None
    finally:
        if os.getpid() != process:  # two of us would write the same rows
            os._exit(70)


class _Redirection:
    """Stdout sent to stderr while any thread is inside: Python's own."""

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
        """The first thread comes in."""
        self._before, sys.stdout = sys.stdout, sys.stderr

    def end(self) -> None:
        """The last one is out."""
        sys.stdout = self._before


class _ProcessRedirection(_Redirection):
    """The same of the process's stdout, for what is printed by C code or a command that is run."""

    def begin(self) -> None:
        """Keep what descriptor 1 is, as far as there is one."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stdout.flush()
        self._kept: int | None = None
        with contextlib.suppress(OSError):
            self._kept = os.dup(1)
            os.dup2(2, 1)

    def end(self) -> None:
        """Put it back."""
        if self._kept is not None:
            os.dup2(self._kept, 1)
            os.close(self._kept)


_REDIRECTION, _OF_PROCESS = _Redirection(), _ProcessRedirection()


def _folder() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # it was removed
        return None
