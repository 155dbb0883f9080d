"""Devices that a network is trained and run on."""

from __future__ import annotations

import atexit
import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ..cards.folders import DEVICES
from ..core.allocation import keep_freed_memory
from ..core.errors import DetectorError, first_line
from ..core.text import quoted
from .job import TrainingJob

if TYPE_CHECKING:
    import numpy.typing as npt

Normalisation = Callable[[torch.Tensor], torch.Tensor]
"""From a stacked batch of prepared images, on the device, to a network's input."""
AT_REST = 5.0
"""Seconds at most that a process waits at its end for gloo's threads to come to rest."""


def channels_last(module: nn.Module) -> nn.Module:
    """Return a module with its kernels in channels-last memory, in which convolutions of images are faster.

    One with kernels over time too is left as it is: torch has no such memory for them.
    """
    if any(value.ndim == 5 for value in module.parameters()):
        return module
    return module.to(memory_format=torch.channels_last)


def by_channels(module: nn.Module, normalise: Normalisation) -> Normalisation:
    """Put a module's kernels into memory that is ordered by channels, and return `normalise` with results ordered so.

    A convolution of which either is in channels-last memory computes in that.
    """
    module.to(memory_format=torch.contiguous_format)
    return lambda images: normalise(images).contiguous()


def check_compiling(device: torch.device) -> None:
    """Raise DetectorError if `torch.compile` does not work on a device, which needs a compiler of C++ or Triton."""
    try:
        torch.compile(torch.square)(torch.ones(8, device=device))
    except Exception as error:  # of torch's many parts that compile
        raise DetectorError(
            f"compile: torch.compile does not work on {device.type} here ({first_line(error)}): install a C++ compiler "
            "(on a GPU, Triton), or set compile to false"
        ) from None


def pick_device(device: str) -> torch.device:
    """Return a device; `auto` is CUDA if available, else the CPU, for which freed memory is kept from now on.

    Raises DetectorError for an unusable device.
    """
    picked = _picked(device)
    if picked.type == "cpu":
        keep_freed_memory()
    return picked


def _picked(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        picked = torch.device(device)
    except RuntimeError:
        picked = None
    if picked is None or picked.type not in ("cpu", "cuda", "mps"):  # torch has more, which were never tried here
        raise DetectorError(f"device {quoted(device)} is unknown: use one of {DEVICES}")
    if picked.type == "mps" and not torch.backends.mps.is_available():
        raise DetectorError("device 'mps' is not available (it needs an Apple machine): use auto or cpu")
    if picked.type == "cuda" and (picked.index or 0) >= torch.cuda.device_count():
        raise DetectorError(
            f"device '{device}' is not available ({torch.cuda.device_count()} CUDA devices): use auto or cpu"
        )
    return picked


def send(arrays: Sequence[npt.NDArray[Any]], device: torch.device) -> torch.Tensor:
    """Return arrays of one shape and dtype stacked, [B, ...], on a device.

    To a CUDA device they go from pinned memory, while this thread goes on. torch takes pinned memory for something new
    only when it was read, so that batches which are sent in turn share two such places.
    """
    if device.type != "cuda":
        return torch.from_numpy(np.stack(arrays)).to(device)
    kind = torch.from_numpy(np.empty(0, arrays[0].dtype)).dtype
    pinned = torch.empty((len(arrays), *arrays[0].shape), dtype=kind, pin_memory=True)
    np.stack(arrays, out=pinned.numpy())
    return pinned.to(device, non_blocking=True)


def fetch(found: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Begin to copy a tensor to the CPU, and return what waits for the copy and returns it.

    What a CUDA device is given to compute after this call is not waited for.
    """
    if found.device.type != "cuda":
        return found.cpu
    here = torch.empty(found.shape, dtype=found.dtype, pin_memory=True)
    here.copy_(found, non_blocking=True)
    # Who waits for a blocking event sleeps, and leaves its core to the threads that read pictures.
    copied = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
    copied.record(torch.cuda.current_stream(found.device))

    def wait() -> torch.Tensor:
        copied.synchronize()
        return here

    return wait


def process_device(device: str) -> torch.device:
    """Return the device of this process; if a launcher has started several, `cuda` is a GPU for each.

    Raises DetectorError for more processes than GPUs on a machine, and if `device` is a single GPU for all of them.
    """
    picked = pick_device(device)
    here = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("WORLD_SIZE", "1")))
    if picked.type != "cuda" or here == 1:
        return picked
    if ":" in device:
        raise DetectorError(f"device '{device}' is one GPU, and there are {here} processes here: use auto or cpu")
    if here > torch.cuda.device_count():
        raise DetectorError(
            f"there are {here} processes here and {torch.cuda.device_count()} CUDA devices, and each needs one: start "
            "fewer processes (torchrun --nproc_per_node), or use --device cpu"
        )
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


@contextlib.contextmanager
def own_draws() -> Iterator[None]:
    """Restore the states of all of torch's random generators after the block."""
    # torch warns about several GPUs if they are not listed. If CUDA is not in use, it has nothing to restore.
    in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if in_use else []):
        yield


def leave_at_exit() -> None:
    """See to it that this process ends its connection with others before the interpreter ends.

    Otherwise a thread of gloo may free a tensor that Python knows after that, which aborts a process that has done
    all its work (pytorch/pytorch#179291).
    """
    atexit.unregister(_leave)
    atexit.register(_leave)


def _leave() -> None:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
        # What still knows the group, such as torch's caches of sharded tensors, keeps its threads.
        give_up = time.monotonic() + AT_REST
        while any(_at_work() for _ in range(2)) and time.monotonic() < give_up:
            pass


def _at_work() -> bool:
    """Let go of the interpreter for a moment; return whether a thread of gloo then has something to do (Linux)."""
    time.sleep(0.005)
    busy = False
    for path in Path("/proc/self/task").glob("*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            name, state = path.read_text().split("(", 1)[1].rsplit(")", 1)
            busy |= "gloo" in name and state.split()[0] != "S"
    return busy


def make_accelerator(job: TrainingJob, precision: str) -> Any:
    """Return an Accelerator for the job's device and a `precision`: fp32, bf16 or fp16 (mixed, by autocast).

    Raises DetectorError if the device does not support the precision.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, PartialState

    # Singletons: without a reset a second training in this process would have the settings of the first.
    alone = not PartialState._shared_state or PartialState().num_processes == 1
    AcceleratorState._reset_state(reset_partial_state=alone)
    device = process_device(job.device)
    if precision == "fp16" and device.type == "cpu":
        raise DetectorError(
            f"detector '{job.card.name}': precision fp16 cannot be used on cpu: set `precision` to fp32 or bf16"
        )
    if device.index is not None:
        torch.cuda.set_device(device)
    leave_at_exit()
    try:
        return Accelerator(cpu=device.type == "cpu", mixed_precision="no" if precision == "fp32" else precision)
    except ValueError as error:
        raise DetectorError(
            f"detector '{job.card.name}': precision {precision} cannot be used on {device.type} "
            f"({first_line(error)}): set `precision: fp32`"
        ) from None
