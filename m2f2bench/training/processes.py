"""Processes that train together: what one of them meets all of them are told, so that none waits for another."""

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
    """How many processes a launcher (torchrun, accelerate launch) has started, this one included; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this process writes and speaks for all: under a launcher the first one, else the only one."""
    return os.environ.get("RANK", "0") == "0"


def join(device: str) -> None:
    """Begin to talk with the other processes of a launcher; alone nothing happens. Raises DetectorError where the
    device cannot be used by so many."""
    if launched() == 1:
        return
    from accelerate import PartialState

    from .device import process_device

    PartialState(cpu=process_device(device).type == "cpu")


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Run a block in all processes and fail in all of them, with one and the same line, where one does.

    The others are waited for at its end. The block itself must not exchange anything.
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
    """Tell all processes whether this one has failed, and raise the first one's error in all of them if one has."""
    if _alone():
        if error is not None:
            raise error
        return
    told = None if error is None else (type(error).__name__, _line(error))
    for number, one in enumerate(gathered(told)):
        if one is not None:
            _raise(error, number, *one)


def summed(values: Sequence[float], device: torch.device, error: Exception | None = None) -> list[float]:
    """Sums of every process's values, in float64; where one has met an error it is raised in all, as by `share`."""
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
    """Raise DetectorError in all processes unless `value` (small, of plain types) is the same in all; `what` says of
    what they have different ones, and how that is mended."""
    if any(other != value for other in gathered(value)):
        raise DetectorError(f"the {launched()} processes have different {what}")


def gathered(value: Any) -> list[Any]:
    """Every process's value (small, of plain types), in the order of their ranks."""
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


def _line(error: Exception) -> str:
    return str(error) if isinstance(error, M2F2BenchError) else first_line(error)


def _raise(own: Exception | None, number: int, kind: str, line: str) -> NoReturn:
    """Raise the error of process `number`: itself there, one of its kind with its line elsewhere."""
    import torch

    if own is not None and number == torch.distributed.get_rank():
        raise own
    found = getattr(errors, kind, None)
    if isinstance(found, type) and issubclass(found, M2F2BenchError) and found is not errors.FrameError:
        raise found(line) from own
    raise DetectorError(f"process {number} of {launched()} failed: {line}") from own
