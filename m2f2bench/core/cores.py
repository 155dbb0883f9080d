"""The processor: its name, and the cores that this process may use, which on a shared machine are fewer than it has."""

from __future__ import annotations

import contextlib
import math
import os
import platform
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""A container's share of processor time, on Linux: microseconds (or `max`) in every so many."""

INFO = Path("/proc/cpuinfo")
"""What Linux says about each core of the processor, a `name: value` a line."""
_VECTORS = {"amx_bf16": "AMX", "avx512f": "AVX-512", "avx2": "AVX2"}
"""Flags of x86 processors whose libraries sum in different orders, the newest first."""


def processor_name() -> str:
    """Return the processor's name, on x86 with its widest vectors, as `AMD EPYC (AVX-512)`.

    A network that is trained on another one gets other weights, and its numbers differ in the second digit.
    """
    known: dict[str, str] = {}
    with contextlib.suppress(OSError):  # not Linux
        for line in INFO.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            known.setdefault(name.strip(), value.strip())
    name = known.get("model name") or platform.processor() or platform.machine() or "unknown"
    flags = known.get("flags", "").split()
    widest = next((title for flag, title in _VECTORS.items() if flag in flags), "")
    return f"{name} ({widest})" if widest else name


def usable_cores() -> int:
    """Return the number of cores, at least 1: of those that a scheduler's job is given, what a container is allowed."""
    allowed: Callable[[int], Iterable[int]] | None = getattr(os, "sched_getaffinity", None)  # on Linux only
    found = (os.cpu_count() or 1) if allowed is None else len(set(allowed(0)))
    with contextlib.suppress(OSError, ValueError):  # no container, or no limit
        share, period = QUOTA.read_text().split()
        found = min(found, math.ceil(int(share) / int(period)))
    return max(1, found)


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let linear algebra compute on one thread within this context.

    Small products take longer on several, which wait for each other at full speed, and each number of threads rounds
    differently.
    """
    import scipy.linalg  # noqa: F401 - it has a BLAS of its own, and only what is loaded is limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield
