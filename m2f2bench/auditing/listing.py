"""Frames that an audit lists and reads: those of each split, how many could be read, and why others could not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..cards.protocols import FrameSelection
from ..core.errors import DataError, first_line
from ..core.records import Frame, Prediction
from ..core.rows import from_predictions
from ..datasets.dataset import Dataset, check_unique, list_frames
from ..results.signature import data_hash
from .facts import Facts
from .report import SHOWN, Finding, Section, plural


def list_splits(
    dataset: Dataset, named: Sequence[str], selection: FrameSelection
) -> tuple[dict[str, Sequence[Frame]], dict[str, Exception]]:
    """Return the frames of each split, and the missing splits with the adapter's error."""
    listed: dict[str, Sequence[Frame]] = {}
    absent: dict[str, Exception] = {}
    for split in dict.fromkeys(named or dataset.splits):
        dataset.check_split(split)
        try:
            frames = list_frames(dataset.adapter, split, selection)
            if not frames:
                raise DataError(f"split '{split}' of '{dataset.name}' has no frames")
        except DataError as error:
            if named:
                raise
            absent[split] = error
            continue
        check_unique(frames)
        listed[split] = frames
    if not listed:
        raise next(iter(absent.values()), DataError(f"dataset '{dataset.name}' has no splits: name one with --split"))
    return listed, absent


def split_counts(listed: dict[str, Sequence[Frame]], facts: Sequence[Facts]) -> dict[str, dict[str, Any]]:
    """Return, by split, the number of frames looked at, listed and readable, and the hash of what was read."""
    out = {}
    for split, frames in listed.items():
        here = [one for one in facts if one.frame.split == split]
        out[split] = {
            "frames": len(here),
            "listed": len(frames),
            "readable": sum(one.pixels is not None for one in here),
            "hash": data_hash(from_predictions(_row(one) for one in here)),
        }
    return out


def _row(facts: Facts) -> Prediction:
    """Return the row that a run would write for the frame, so that both have the same data hash."""
    frame, digest = facts.frame, facts.pixels.digest if facts.pixels else ""
    people = "+".join(frame.identities)
    return Prediction(frame.id, frame.video, frame.method, people, frame.label, facts.status, None, digest)


def unreadable(facts: Sequence[Facts]) -> list[dict[str, Any]]:
    """Return every unreadable frame: id, split, method, status, reason."""
    return [
        {
            "id": one.frame.id,
            "split": one.frame.split,
            "method": one.frame.method,
            "status": one.status,
            "reason": one.reason,
        }
        for one in facts
        if one.pixels is None
    ]


def unreadable_findings(rows: Sequence[dict[str, Any]], facts: Sequence[Facts]) -> list[Finding]:
    """Return one warning with the number of unreadable frames, by method, and the first one's reason."""
    if not rows:
        return []
    methods = Counter(row["method"] for row in rows)
    by_method = ", ".join(f"{method} {n:,}" for method, n in methods.most_common())
    first = rows[0]
    text = f"{plural(len(rows), 'frame')} of {len(facts):,} cannot be read ({by_method}), first {first['id']}: "
    return [Finding("warning", "unreadable", text + first["reason"])]


def unreadable_section(rows: Sequence[dict[str, Any]]) -> Section:
    """Return a table of the first unreadable frames."""
    shown = rows[: 5 * SHOWN]
    cells = [(row["split"], row["id"], row["method"], row["status"], row["reason"]) for row in shown]
    line = "Every frame can be read." if not rows else f"{len(shown)} of {len(rows):,} are shown."
    return Section("Unreadable frames", (line,), ("split", "frame", "method", "status", "reason"), tuple(cells))


def absent_findings(absent: dict[str, Exception]) -> list[Finding]:
    """Return a note for each split that the adapter refuses."""
    return [
        Finding("note", "splits", f"split {split} was not audited: {first_line(error).partition(': ')[2]}")
        for split, error in absent.items()
    ]
