"""Page faults and resident memory within and outside of `KEPT_MEMORY`, as JSON, in a process that did nothing before.

In a process with a history, a free piece between others may serve every request, which then costs no page fault.
"""

from __future__ import annotations

import json
import resource
import statistics
from pathlib import Path

import numpy as np

from m2f2bench.training.memory import KEPT_MEMORY

SIZE = 40 << 20
"""Bytes of a piece: more than malloc keeps by itself."""


def faults() -> float:
    """Return the median of page faults of writing to a piece, one freed before the next is asked for."""
    found = []
    for _ in range(15):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        np.full(SIZE, 1, np.uint8)
        found.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return statistics.median(found)


def resident() -> int:
    """Return this process's resident memory, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    with KEPT_MEMORY:
        pass
    outside = faults()  # first: afterwards a free piece of the heap may serve the requests
    with KEPT_MEMORY:
        within = faults()
    before = resident()
    with KEPT_MEMORY:
        pieces = [np.full(SIZE, 1, np.uint8) for _ in range(4)]
        del pieces
        kept = resident()
    print(json.dumps({"within": within, "outside": outside, "kept": kept - before, "left": resident() - before}))
