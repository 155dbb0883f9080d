"""Cores of the processor that this process may use, which on a shared machine are fewer than it has."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""A container's share of processor time, on Linux: microseconds (or `max`) in every so many."""


def usable_cores() -> int:
    """Return the number of cores, at least 1: of those that a scheduler's job is given, what a container is allowed."""
    allowed: Callable[[int], Iterable[int]] | None = getattr(os, "sched_getaffinity", None)  # on Linux only
    found = (os.cpu_count() or 1) if allowed is None else len(set(allowed(0)))
    with contextlib.suppress(OSError, ValueError):  # no container, or no limit
        share, period = QUOTA.read_text().split()
        found = min(found, math.ceil(int(share) / int(period)))
    return max(1, found)
