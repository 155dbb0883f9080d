"""Memory of a training: freed pieces stay in the process while it lasts, and go back to the system afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from paths import HELPERS
from toy_memory import SIZE
from toy_training import read, toy_job

from m2f2bench.core.records import Frame
from m2f2bench.detectors.timm import TimmDetector
from m2f2bench.training import memory

needs_glibc = pytest.mark.skipif(memory._library() is None, reason="needs glibc")


@needs_glibc
def test_pages_are_asked_for_once_within_the_block_and_go_back_after_it() -> None:
    done = subprocess.run([sys.executable, HELPERS / "toy_memory.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    pages = SIZE >> 21  # at least: they may be of 2 MiB
    assert found["outside"] >= pages and found["within"] < pages / 4
    assert found["kept"] > 2 * SIZE and found["left"] < SIZE


def test_a_training_keeps_its_memory(tmp_path: Path) -> None:
    inside: list[int] = []

    def watched(frame: Frame) -> np.ndarray:
        inside.append(memory.KEPT_MEMORY._inside)
        return read(frame)

    TimmDetector.fit(replace(toy_job(tmp_path, epochs=1), read=watched))
    assert set(inside) == {1} and memory.KEPT_MEMORY._inside == 0
