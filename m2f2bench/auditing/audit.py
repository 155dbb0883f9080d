"""Audit of a dataset: properties that could leak the label, and data that count twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..cards.models import DatasetCard
from ..cards.protocols import FrameSelection
from ..core.arguments import checked
from ..core.errors import DataError, NothingJudged
from ..core.errors import near as near_name
from ..core.records import FAKE, ORIGINAL, Frame
from ..datasets.base import Adapter
from ..datasets.calls import close_adapter
from ..datasets.dataset import spread
from ..datasets.scenes import announce
from ..loading import load_dataset
from ..results.signature import versions
from . import duplicates, questions, shortcuts
from .facts import Facts, gather
from .listing import (
    absent_findings,
    list_splits,
    split_counts,
    unreadable,
    unreadable_findings,
    unreadable_section,
)
from .report import Audit, Finding, Section, by_severity, first_few, plural

FRAMES_PER_VIDEO = 8
SEED = 0
SCARCE = 0.1
"""A class with less than this share of a split's frames gets a note."""


@checked
def audit(
    dataset: str | DatasetCard | Adapter,
    *others: str | DatasetCard | Adapter,
    splits: Sequence[str] | str = (),
    limit: int | None = None,
    frames_per_video: int = FRAMES_PER_VIDEO,
    near: int = duplicates.NEAR,
    probe: bool = True,
    kinds: Sequence[str] | str = questions.KINDS,
    seed: int = SEED,
    resamples: int = 1000,
    workers: int = 0,
) -> Audit:
    """Look for properties of a dataset that leak the label, and for data that count twice; of several, what they share.

    `dataset` is any reference that `load_dataset` takes. `splits`: the names of splits, by default all. Of each video
    `frames_per_video` frames are read, evenly spread (0: all); with `limit`, that many of each split, but people and
    videos in two splits are searched among all frames. `near`: bits of 64 in which the perceptual hashes of near
    duplicates may differ. `probe`: also measure how well file type, dimensions, size, quantisation and high-pass energy
    predict the label. `kinds` of questions whose words are tested in the same way (empty: no questions). `seed` and
    `resamples` are for folds and intervals. Facts about frames are kept in the cache folder: an interrupted audit
    continues, and a second audit is fast.

    With `others`, each dataset is compared with each other instead: people and videos of one that are in another by
    name (within one corpus, see `source` and `people` of cards), and equal or nearly equal pictures. A split is then
    named for all datasets, or as `DATASET:SPLIT` for one; `probe`, `kinds`, `seed` and `resamples` are for one dataset
    alone. Raises M2F2BenchError.
    """
    if not 0 <= near <= 64:
        raise DataError(f"--near {near}: the distance of two 64-bit hashes is 0 to 64")
    kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    if unknown := [kind for kind in kinds if kind not in questions.KINDS]:
        raise DataError(f"there are no questions of kind '{unknown[0]}'{near_name(unknown[0], questions.KINDS)}")
    if frames_per_video < 0:
        raise DataError(f"--frames-per-video {frames_per_video}: give 1 or more, or 0 for all frames")
    selection = FrameSelection(which="uniform", count=frames_per_video) if frames_per_video else FrameSelection()
    named = (splits,) if isinstance(splits, str) else tuple(splits)
    looked = {
        "frames of a video": f"uniform{frames_per_video}" if frames_per_video else "all",
        "limit": limit,
        "near": near,
    }
    if others:
        from .across import audit_across

        return audit_across((dataset, *others), named, selection, limit=limit, workers=workers, settings=looked)
    loaded = load_dataset(dataset)
    listed, absent = list_splits(loaded, named, selection)
    for split in listed:
        announce(loaded, split, scenes=False)
    wanted = [frame for frames in listed.values() for frame in spread(frames, limit)]
    try:
        facts = gather(loaded, wanted, workers)
        if all(one.pixels is None for one in facts):
            first = facts[0]
            why = (first.frame.id, first.status, first.reason)
            raise NothingJudged.of(f"audit of {loaded.name}", "frames", len(facts), *why)
        asked = questions.of_dataset(loaded.adapter, list(listed), kinds, seed, resamples)
    finally:
        close_adapter(loaded.adapter)
    settings = {
        **looked,
        "probe": probe,
        "questions": "+".join(kinds) or "none",
        "seed": seed,
        "resamples": resamples,
    }
    return _report(loaded.name, listed, absent, facts, asked, settings)


def _report(
    name: str,
    listed: dict[str, Sequence[Frame]],
    absent: dict[str, Exception],
    facts: Sequence[Facts],
    asked: questions.QuestionLeaks,
    settings: dict[str, Any],
) -> Audit:
    """Return the report on frames and their facts."""
    frames = [frame for split in listed.values() for frame in split]
    counts, shared = balance(frames), across(frames)
    missing = unreadable(facts)
    doubles, rows = duplicates.find(facts, settings["near"])
    probed = shortcuts.probe(facts, settings["seed"], settings["resamples"]) if settings["probe"] else None
    found: list[Finding] = [
        *across_findings(shared),
        *duplicates.findings(doubles, rows),
        *(shortcuts.findings(probed) if probed else ()),
        *questions.findings(asked),
        *unreadable_findings(missing, facts),
        *balance_findings(counts, frames),
        *absent_findings(absent),
    ]
    sections: list[Section] = [
        balance_section(counts),
        across_section(shared),
        duplicates.section(doubles, rows, settings["near"]),
        *([shortcuts.section(probed)] if probed else ()),
        *([questions.section(asked)] if asked.found or asked.refused else ()),
        unreadable_section(missing),
    ]
    details = {
        "balance": counts,
        "across_splits": shared,
        "duplicates": duplicates.to_json(doubles, rows),
        "shortcuts": shortcuts.to_json(probed) if probed else None,
        "questions": questions.to_json(asked) if asked.found or asked.refused else None,
        "unreadable": missing,
        "absent_splits": {split: str(error) for split, error in absent.items()},
    }
    return Audit(name, by_severity(found), settings, split_counts(listed, facts), details, tuple(sections), versions())


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
