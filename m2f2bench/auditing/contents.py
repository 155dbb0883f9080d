"""Contents of the splits: class balance, people and videos in two splits, unreadable frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..core.errors import first_line
from ..core.records import FAKE, ORIGINAL, Frame
from .facts import Facts
from .report import SHOWN, Finding, Section, first_few, plural

SCARCE = 0.1
"""A class with less than this share of a split's frames gets a note."""


def balance(frames: Sequence[Frame]) -> list[dict[str, Any]]:
    """Count frames, videos and identities of each split and method, reals first; splits in order of appearance."""
    groups: dict[tuple[str, str], list[Frame]] = {}
    for frame in frames:
        groups.setdefault((frame.split, frame.method), []).append(frame)
    order = {split: i for i, split in enumerate(dict.fromkeys(frame.split for frame in frames))}
    keys = sorted(groups, key=lambda key: (order[key[0]], key[1] != ORIGINAL, key[1]))
    return [
        {
            "split": split,
            "method": method,
            "label": groups[split, method][0].label,
            "frames": len(groups[split, method]),
            "videos": len({frame.video for frame in groups[split, method]}),
            "identities": len({person for frame in groups[split, method] for person in frame.identities}),
        }
        for split, method in keys
    ]


def balance_findings(rows: Sequence[dict[str, Any]], frames: Sequence[Frame]) -> list[Finding]:
    """Return findings on splits with one class or few frames of one, methods in one split only, missing identities."""
    out = []
    splits = list(dict.fromkeys(row["split"] for row in rows))
    for split in splits:
        count = {
            label: sum(r["frames"] for r in rows if (r["split"], r["label"]) == (split, label)) for label in (0, 1)
        }
        total = sum(count.values())
        for label, name in ((0, "real"), (1, "fake")):
            if not count[label]:
                out.append(Finding("warning", "balance", f"split {split} has no {name} frames"))
            elif count[label] < SCARCE * total:
                share = f"{count[label]:,} of {total:,} frames ({count[label] / total:.1%})"
                out.append(Finding("note", "balance", f"split {split} has few {name} frames: {share}"))
    for method in sorted({row["method"] for row in rows if row["label"] == FAKE}):
        there = [row["split"] for row in rows if row["method"] == method]
        if len(there) < len(splits):
            text = f"method {method} is in {', '.join(there)} only, of {', '.join(splits)}"
            out.append(Finding("note", "balance", text))
    unknown = sum(not frame.identities for frame in frames)
    if unknown:
        text = f"{plural(unknown, 'frame')} of {len(frames):,} without identities: it is unknown whether their people "
        text += "are in two splits, and they are grouped by video only"
        out.append(Finding("note", "identities", text))
    return out


def balance_section(rows: Sequence[dict[str, Any]]) -> Section:
    """Return the class balance as a table."""
    names = ("split", "method", "frames", "videos", "identities")
    counts = ("frames", "videos", "identities")
    cells = [(row["split"], row["method"], *(f"{row[name]:,}" for name in counts)) for row in rows]
    return Section("Frames by split and method", (), names, tuple(cells))


def across(frames: Sequence[Frame]) -> dict[str, Any]:
    """Count the frames of identities and videos in more than one split: name -> split -> number of frames."""
    found: dict[str, dict[str, Counter[str]]] = {"identities": {}, "videos": {}}
    for frame in frames:
        own = frame.video if frame.video.startswith(f"{frame.method}/") else f"{frame.method}/{frame.video}"
        found["videos"].setdefault(own, Counter())[frame.split] += 1
        for person in set(frame.identities):
            found["identities"].setdefault(person, Counter())[frame.split] += 1
    return {
        kind: {name: dict(splits) for name, splits in sorted(names.items()) if len(splits) > 1}
        for kind, names in found.items()
    }


def across_findings(found: dict[str, Any]) -> list[Finding]:
    """Return a leak for people, and one for videos, in more than one split."""
    out = []
    for kind, word in (("identities", "identity"), ("videos", "video")):
        names = found[kind]
        if names:
            shown = first_few([f"{name} ({', '.join(splits)})" for name, splits in names.items()])
            out.append(Finding("leak", kind, f"{plural(len(names), word)} in more than one split: {shown}"))
    return out


def across_section(found: dict[str, Any]) -> Section:
    """Return a table of the first people and videos in two splits."""
    rows = [
        (word, name, ", ".join(f"{split} {n:,}" for split, n in splits.items()))
        for kind, word in (("identities", "identity"), ("videos", "video"))
        for name, splits in list(found[kind].items())[:20]
    ]
    total = len(found["identities"]) + len(found["videos"])
    line = "No identity and no video is in two splits." if not total else f"{len(rows)} of {total:,} are shown."
    return Section("Identities and videos across splits", (line,), ("what", "name", "frames by split"), tuple(rows))


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
