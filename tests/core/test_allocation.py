"""Memory that is kept: a process that frees and takes large arrays gets no new pages, unless its user decided."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from paths import HELPERS

from m2f2bench.core import allocation

PROGRAM = """
import resource
from m2f2bench.core.allocation import keep_freed_memory
BEFORE
print(keep_freed_memory())
for turn in range(7):
    if turn == 2:  # the arrays before are given back after the next are there
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [bytearray(48 << 20) for _ in range(2)]  # numpy asks for huge pages
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
WITHOUT = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}


GLIBC = pytest.mark.skipif(
    sys.platform != "linux" or not os.confstr("CS_GNU_LIBC_VERSION"), reason="glibc alone has it"
)


def faults(before: str = "", **environment: str) -> tuple[bool, int]:
    """Whether memory is kept, and the pages that five turns of two arrays of 48 MiB took from the system.

    `before` is a program that runs first.
    """
    command = [sys.executable, "-c", PROGRAM.replace("BEFORE", before)]
    told = subprocess.run(command, check=True, capture_output=True, text=True, env=WITHOUT | environment).stdout
    kept, pages = told.split()
    return kept == "True", int(pages)


@GLIBC
def test_large_arrays_get_the_memory_of_those_before() -> None:
    kept, pages = faults()
    assert kept and pages < 1000
    by_user, all_pages = faults(GLIBC_TUNABLES="glibc.malloc.mmap_max=65536")
    assert not by_user and all_pages > 10 * 48 * 256 * 0.9, "ten arrays of 48 MiB in pages of 4 KiB"
    assert not faults(MALLOC_TRIM_THRESHOLD_="200000")[0]


@GLIBC
def test_an_older_glibc_is_told_the_most_that_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 2.35 it refuses arrays of more than 32 MiB; it was not run here."""
    took: dict[int, int] = {}

    def mallopt(number: int, value: int) -> int:
        if number == allocation.M_MMAP_THRESHOLD and value > 32 << 20:
            return 0
        took[number] = value
        return 1

    for name in (*allocation.OWN, "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(allocation.ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    assert allocation.keep_freed_memory.__wrapped__()
    assert took == {allocation.M_TRIM_THRESHOLD: 2**31 - 1, allocation.M_MMAP_THRESHOLD: 32 << 20}


@GLIBC
@pytest.mark.slow
def test_memory_is_kept_in_a_training_and_after_it(tmp_path: Path) -> None:
    """What is judged after a training in the same process takes no longer than before it."""
    training = f"""
import sys
sys.path.insert(0, {str(HELPERS)!r})
from dataclasses import replace
from pathlib import Path
from toy_training import read, toy_job
from m2f2bench.detectors.timm import TimmDetector
asked = set()
def watched(frame):
    asked.add(keep_freed_memory.cache_info().currsize)
    return read(frame)
assert keep_freed_memory.cache_info().currsize == 0
TimmDetector.fit(replace(toy_job(Path({str(tmp_path)!r}), epochs=1), read=watched))
assert asked == {{1}}, asked
"""
    kept, pages = faults(training, PYTHONPATH=os.pathsep.join(sys.path))
    assert kept and pages < 1000
