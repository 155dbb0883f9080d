"""Error rates of the readers of verdicts and of regions, on answers that were not used to write them.

`tests/metrics/test_heldout.py` counts again on `tests/heldout` (answers in five languages, by people who had not seen
the readers); it fails if the counts differ from those here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .registry import known_metric

VERDICT, REGION = "verdict", "region"
HELD_OUT = {VERDICT: {"wrong": 16, "answers": 479}, REGION: {"wrong": 14, "answers": 240}}
"""Held-out answers that are read wrong, and all of them, for each reader: plain answers, as people and models give."""
IDIOMS = {VERDICT: {"wrong": 27, "answers": 239}, REGION: {"wrong": 23, "answers": 119}}
"""The same for a list in which every line is a different idiom, harder than answers are."""


def error_note(metric: str, readers: Mapping[str, Any]) -> str:
    """Return the note for a metric that depends on a reader: `reader errs in 7.1%`; "" for any other metric.

    `readers` is a result's `details["readers"]`, in the form of `HELD_OUT`; results of older versions have none.
    """
    known = known_metric(metric)
    held = readers.get(known.reader) if known else None
    return f"reader errs in {100 * held['wrong'] / held['answers']:.1f}%" if held and held.get("answers") else ""


def errors_line(readers: Mapping[str, Any]) -> str:
    """Return the readers' errors in one line; "" without any."""
    parts = [f"{what}s: {held['wrong']} of {held['answers']:,}" for what, held in readers.items()]
    return f"answers held out that the readers read wrong: {', '.join(parts)}" if parts else ""
