"""Answers in words with the verdict that a reader takes from them, and work counted instead of timed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

_LINES = Path(__file__).with_suffix(".tsv").read_text(encoding="utf-8").splitlines()
CASES = [(verdict, text) for verdict, _, text in (line.partition("\t") for line in _LINES)]


def lines_run(read: Callable[[str], object], text: str) -> int:
    """How many lines of Python are run to read a text."""
    count = 0

    def tracer(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal count
        count += event == "line"
        return tracer

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        read(text)
    finally:
        sys.settrace(before)
    return count
