"""Memory that large arrays gave back, which a process keeps for the next ones."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from functools import cache

LARGEST, LARGEST_BEFORE = 1 << 30, 32 << 20
"""Bytes: larger arrays are given back to the system at once, as all from 32 MiB on are otherwise; and the most that
glibc before 2.35 takes."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's settings (`malloc.h`)."""
OWN = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_")
"""Variables of the environment by which a user sets them; `GLIBC_TUNABLES` is another."""


@cache
def keep_freed_memory() -> bool:
    """Let the C library keep what arrays gave back, and return whether it does: glibc alone has settings for it.

    Otherwise every large activation of a network is new memory, which the system clears page by page: with batches of
    32 images of 224 px that took more than half of the time of a forward pass on a CPU in a virtual machine. The
    process holds on to the most memory that it needed. Nothing is changed where the user has set glibc's allocation.
    """
    if sys.platform != "linux" or set(OWN) & set(os.environ) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    with contextlib.suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        if not mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1):
            return False
        return bool(mallopt(M_MMAP_THRESHOLD, LARGEST) or mallopt(M_MMAP_THRESHOLD, LARGEST_BEFORE))
    return False
