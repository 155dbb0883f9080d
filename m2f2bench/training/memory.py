"""Memory of the C library, kept from one training step to the next."""

from __future__ import annotations

import ctypes
from typing import Any

from ..core.guests import Overlapping

# Numbers of mallopt(3).
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
KEPT = 1 << 30
"""Bytes of free memory that stay in the process, and the largest piece that can stay."""
LARGEST = 32 << 20
"""Largest threshold that malloc moves to by itself, and the largest that glibc before 2.35 accepts."""


def _library() -> Any:
    """Return this process's C library if it is one with mallopt (glibc), else None."""
    try:
        library = ctypes.CDLL(None)
        library.mallopt, library.malloc_trim  # noqa: B018 - AttributeError without them
    except (OSError, TypeError, AttributeError):
        return None
    return library


class KeptMemory(Overlapping):
    """Block in which glibc keeps freed memory in the process; afterwards it goes back to the system.

    A step on a CPU frees its activations, and the next asks for as much again. By default the pages go back to the
    system each time and come back as new ones that it fills with zeros: for a small network a large part of the
    processor's time. Numbers do not change. Without glibc nothing happens.
    """

    def begin(self) -> None:
        """Keep freed memory."""
        library = _library()
        if library is not None:
            library.mallopt(TRIM_THRESHOLD, KEPT)
            if not library.mallopt(MMAP_THRESHOLD, KEPT):
                library.mallopt(MMAP_THRESHOLD, LARGEST)

    def end(self) -> None:
        """Give free memory back, and set what malloc arrives at by itself when large pieces are freed."""
        library = _library()
        if library is not None:
            library.mallopt(MMAP_THRESHOLD, LARGEST)
            library.mallopt(TRIM_THRESHOLD, 2 * LARGEST)
            library.malloc_trim(0)


KEPT_MEMORY = KeptMemory()
