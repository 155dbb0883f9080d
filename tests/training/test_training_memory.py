"""Memory of a training: freed pieces stay in the process while it lasts, and go back to the system afterwards."""

from __future__ import annotations

import gc
import resource
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_training import read, toy_job

from m2f2bench.core.records import Frame
from m2f2bench.detectors.timm import TimmDetector
from m2f2bench.training import memory

SIZE = 40 << 20
"""Bytes of a piece: more than malloc keeps by itself."""
PAGES = SIZE // resource.getpagesize()
needs_glibc = pytest.mark.skipif(memory._library() is None, reason="needs glibc")


def faults() -> float:
    """Return the median of page faults of writing to a piece, one freed before the next is asked for."""
    found = []
    for _ in range(15):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.zeros(SIZE // 4)
        found.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return statistics.median(found)


def resident() -> int:
    """Return this process's resident memory, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@needs_glibc
def test_pages_are_asked_for_once_within_the_block_and_each_time_outside() -> None:
    with memory.KEPT_MEMORY:
        assert faults() < PAGES / 100
    assert faults() > PAGES / 16  # pages may be larger where they are transparent


@needs_glibc
def test_free_memory_goes_back_after_the_block() -> None:
    gc.collect()
    before = resident()
    with memory.KEPT_MEMORY:
        pieces = [torch.zeros(SIZE // 4) for _ in range(4)]
        del pieces
        assert resident() > before + 2 * SIZE
    assert resident() < before + SIZE


def test_a_training_keeps_its_memory(tmp_path: Path) -> None:
    inside: list[int] = []

    def watched(frame: Frame) -> np.ndarray:
        inside.append(memory.KEPT_MEMORY._inside)
        return read(frame)

    TimmDetector.fit(replace(toy_job(tmp_path, epochs=1), read=watched))
    assert set(inside) == {1} and memory.KEPT_MEMORY._inside == 0
