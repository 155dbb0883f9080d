"""Processes that train together: an error in one is raised in all, so that none waits for another."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from ..core import errors
from ..core.errors import DetectorError, M2F2BenchError, first_line

if TYPE_CHECKING:
    import torch


def launched() -> int:
    """Return the number of processes that a launcher (torchrun, accelerate launch) has started; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Return whether this process writes and prints for all: the first one, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def join(device: str) -> None:
    """Connect with the other processes of a launcher, if there are any.

    Raises DetectorError if the device cannot be used by that many.
    """
    if launched() == 1:
        return
    from accelerate import PartialState

    from .device import leave_at_exit, process_device

    PartialState(cpu=process_device(device).type == "cpu")
    leave_at_exit()


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Run a block in all processes; if it fails in one, raise an error with the same line in all of them.

    Each process waits for the others at the end of the block, which must not exchange anything itself.
    """
    error: Exception | None = None
    try:
        yield
    except Exception as found:
        if _alone():
            raise
        error = found
    share(error)


def share(error: Exception | None) -> None:
    """Tell all processes whether this one has failed; if any has, raise the error of the first in all of them."""
    if _alone():
        if error is not None:
            raise error
        return
    own = None
    if error is not None:
        own = (type(error).__name__, str(error) if isinstance(error, M2F2BenchError) else first_line(error))
    for number, one in enumerate(gathered(own)):
        if one is not None:
            _raise(error, number, *one)


def summed(values: Sequence[float], device: torch.device, error: Exception | None = None) -> list[float]:
    """Return the sums of all processes' values, in float64. If one has an error, raise it in all, as `share` does."""
    if _alone():
        share(error)
        return list(values)
    import torch

    total = torch.tensor([*values, float(error is not None)], dtype=torch.float64, device=device)
    torch.distributed.all_reduce(total)
    *sums, failed = total.tolist()
    if failed:
        share(error)
    return sums


def agreed(value: Any, what: str) -> None:
    """Raise DetectorError in all processes unless `value` (small, of plain types) is the same in all.

    `what` says what is different, and how to repair it.
    """
    if any(other != value for other in gathered(value)):
        raise DetectorError(f"the {launched()} processes have different {what}")


def gathered(value: Any) -> list[Any]:
    """Return the values (small, of plain types) of all processes, in the order of their ranks."""
    if _alone():
        return [value]
    import torch

    found: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(found, value)
    return found


def _alone() -> bool:
    if launched() == 1:
        return True
    import torch

    return not torch.distributed.is_initialized()


def _raise(own: Exception | None, number: int, kind: str, line: str) -> NoReturn:
    """Raise the error of process `number`: in that process itself, elsewhere one of the same kind with its line."""
    import torch

    if own is not None and number == torch.distributed.get_rank():
        raise own
    found = getattr(errors, kind, None)
    if isinstance(found, type) and issubclass(found, M2F2BenchError) and found is not errors.FrameError:
        raise found(line) from own
    raise DetectorError(f"process {number} of {launched()} failed: {line}") from own
