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
from typing import IO, Any

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
        with _stdout_of_process(), bounded():
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
    """Python's stdout sent to stderr while any thread is inside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: Any = None
        self._instead: IO[str] | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before, self._instead = sys.stdout, sys.stderr
                sys.stdout = self._instead
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                sys.stdout, self._before = self._before, None


_REDIRECTION = _Redirection()


@contextlib.contextmanager
def _stdout_of_process() -> Iterator[None]:
    """The process's stdout sent to its stderr, for what is printed by C code or a command that is run."""
    try:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        kept = os.dup(1)
    except (OSError, AttributeError):  # there is none
        yield
        return
    try:
        with contextlib.suppress(OSError):
            os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _folder() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # it was removed
        return None
