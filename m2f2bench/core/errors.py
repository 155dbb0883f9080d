"""Errors that a user can cause, each one line: what is wrong, where, and how to fix it."""

from __future__ import annotations

import bisect
import difflib
import errno
import re
from collections.abc import Iterable

from .text import visible


class M2F2BenchError(Exception):
    """Base of all errors shown to the user without a traceback. `exit_status` is what the CLI returns.

    As text it is one line: line breaks and control characters, which names from a user's data may have, are escaped.
    """

    exit_status = 2

    def __str__(self) -> str:
        return visible(super().__str__())


class CardError(M2F2BenchError):
    """A card that cannot be read, has an unknown key, a wrong type or a missing field."""


class RegistryError(M2F2BenchError):
    """A name that is not registered, is registered twice, or whose code cannot be loaded."""


class DataError(M2F2BenchError):
    """A dataset whose root, files, lists or labels are not what its adapter needs."""


class DetectorError(M2F2BenchError):
    """A detector that cannot be built, trained or run, or whose scores are not probabilities."""


class Unanswered(DetectorError):
    """A service that stopped answering in the middle of a run; what was judged before stays valid."""


class ScoreError(M2F2BenchError):
    """Rows that cannot be scored: a missing column, an unknown label, a duplicate frame."""


class StoreError(M2F2BenchError):
    """An output folder that cannot be written, is in use, or holds another run's predictions."""


class NothingJudged(M2F2BenchError):
    """A run in which nothing could be judged: no frame, no picture, no question. It has no result."""

    @classmethod
    def of(cls, who: str, what: str, n: int, first: str, status: str, reason: str = "") -> NothingJudged:
        """Make the error for `who`, which could judge none of `n` `what`; `first` is the first of them."""
        why = f"{status}: {reason}" if reason else status
        return cls(f"{who}: none of {n:,} {what} could be judged, first '{first}' ({why})")


class CheckFailed(M2F2BenchError):
    """A check that ran and did not pass (as opposed to a check that was used wrongly)."""

    exit_status = 1


class FrameError(M2F2BenchError):
    """One frame that could not be read. It becomes a row with this status, never another frame's image.

    Attributes: `frame` the frame's id; `status` one of `records.STATUSES` but `ok`; `reason` one line.
    """

    def __init__(self, frame: str, reason: str, status: str = "unreadable") -> None:
        super().__init__(f"{frame}: {reason}")
        self.frame, self.reason, self.status = frame, reason, status

    def __reduce__(self) -> tuple[type[FrameError], tuple[str, str, str]]:
        return type(self), (self.frame, self.reason, self.status)


class MachineError(M2F2BenchError):
    """A failure of the machine: memory, a disk, a connection, open files. Never stored as a frame's fault."""


LONGEST_MESSAGE = 500
"""Characters that are kept of a message from other code."""
LISTED = 40
"""Names that a message lists at most."""
MATCHED, LONGEST_MATCHED = 2000, 300
"""Names that a name is compared with, its neighbours in the alphabet; and the longest name that is compared."""


def near(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest known name, else the list of what is known."""
    names = sorted(set(known))
    first = max(0, bisect.bisect(names, name) - MATCHED // 2)
    around = names[first : first + MATCHED] if len(names) > MATCHED else names
    close = difflib.get_close_matches(name, around, n=2, cutoff=0.55) if len(name) <= LONGEST_MATCHED else []
    if close:
        return "; did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
    shown = ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
    return f"; known: {shown}" if names else "; no name is known"


def first_line(error: BaseException) -> str:
    """Return one line for an exception of other code: its type and the first line of its message."""
    try:
        text = str(error).strip()
    except Exception:  # a user's exception, whose own `__str__` fails
        text = ""
    return f"{type(error).__name__}: {text.splitlines()[0][:LONGEST_MESSAGE]}" if text else type(error).__name__


_MACHINE_ERRNOS = {
    getattr(errno, name)
    for name in (
        *("ENOMEM", "EIO", "ENOSPC", "EDQUOT", "EMFILE", "ENFILE", "ENOBUFS", "EAGAIN", "EREMOTEIO", "ENODEV", "ENXIO"),
        *("ESTALE", "ETIMEDOUT", "ECONNRESET", "ECONNABORTED", "ECONNREFUSED", "ENOTCONN", "ESHUTDOWN", "ENOLINK"),
        *("ENETDOWN", "ENETUNREACH", "ENETRESET", "EHOSTDOWN", "EHOSTUNREACH", "EKEYEXPIRED", "EKEYREVOKED"),
    )
    if hasattr(errno, name)
}
_ERRNO_IN_TEXT = re.compile(r"errno = (\d+)")
"""How the HDF5 library reports an error number."""
_TORCH_MACHINE_FAULT = re.compile(r"can't allocate memory|CUDA error|CUDA out of memory")
"""How torch reports that memory, or the whole GPU, is gone: in a RuntimeError."""


def is_machine_fault(error: BaseException) -> bool:
    """Return whether an exception of other code, or the exception that caused it, is the machine's fault."""
    if isinstance(error, (MachineError, MemoryError)) or type(error).__name__ == "OutOfMemoryError":  # a GPU's
        return True
    if isinstance(error, M2F2BenchError):
        return False
    if isinstance(error, OSError) and error.errno in _MACHINE_ERRNOS:
        return True
    if isinstance(error, (OSError, RuntimeError)) and error.args and isinstance(error.args[0], str):
        number = _ERRNO_IN_TEXT.search(error.args[0])
        if number and int(number[1]) in _MACHINE_ERRNOS:
            return True
        if isinstance(error, RuntimeError) and _TORCH_MACHINE_FAULT.search(error.args[0]):
            return True
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return cause is not None and is_machine_fault(cause)


def is_interruption(error: BaseException) -> bool:
    """Return whether an exception is a Ctrl-C, or was made of one.

    Python itself and compiled code make other exceptions of one, such as the RuntimeError of a class whose body is cut
    off; `from None` hides that, but keeps it in `__context__`.
    """
    if isinstance(error, KeyboardInterrupt):
        return True
    cause = error.__cause__ or error.__context__
    return cause is not None and is_interruption(cause)


def refuse_machine_fault(error: BaseException, where: str) -> None:
    """Raise MachineError for an exception that is the machine's fault; `where` says what was being done.

    Raises KeyboardInterrupt for one that was made of a Ctrl-C.
    """
    if isinstance(error, MachineError):
        raise error
    if is_interruption(error):
        raise KeyboardInterrupt from error
    if is_machine_fault(error):
        raise MachineError(
            f"{where}: {first_line(error)}: the machine failed here (memory, disk, connection, open files), not the "
            f"data, and nothing is stored; fix that and run the command again"
        ) from error
