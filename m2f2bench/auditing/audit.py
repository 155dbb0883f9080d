"""Audit of a dataset: properties that could leak the label, and data that count twice."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from ..cards.models import DatasetCard
from ..cards.protocols import FrameSelection
from ..core.errors import DataError, NothingJudged
from ..core.errors import near as near_name
from ..core.memo import Memo
from ..core.records import Frame, Prediction
from ..core.rows import from_predictions
from ..datasets.base import Adapter, close_adapter
from ..datasets.dataset import Dataset, check_unique, list_frames, spread
from ..loading import load_dataset
from ..results.signature import data_hash, versions
from . import contents, duplicates, questions, shortcuts
from .facts import Facts, gather, memo_path
from .report import Audit, Finding, Section, by_severity

log = logging.getLogger("m2f2bench")
FRAMES_PER_VIDEO = 8
SEED = 0


def audit(
    dataset: str | DatasetCard | Adapter,
    *,
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
    """Look for properties of a dataset that leak the label, and for data that count twice.

    `dataset` is any reference that `load_dataset` takes. `splits`: the names of splits, by default all. Of each video
    `frames_per_video` frames are read, evenly spread (0: all); with `limit`, that many of each split, but people and
    videos in two splits are searched among all frames. `near`: bits of 64 in which the perceptual hashes of near
    duplicates may differ. `probe`: also measure how well file type, dimensions, size, quantisation and high-pass energy
    predict the label. `kinds` of questions whose words are tested in the same way (empty: no questions). `seed` and
    `resamples` are for folds and intervals. Facts about frames are kept in the cache folder: an interrupted audit
    continues, and a second audit is fast. Raises M2F2BenchError.
    """
    if not 0 <= near <= 64:
        raise DataError(f"--near {near}: the distance of two 64-bit hashes is 0 to 64")
    kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    if unknown := [kind for kind in kinds if kind not in questions.KINDS]:
        raise DataError(f"there are no questions of kind '{unknown[0]}'{near_name(unknown[0], questions.KINDS)}")
    if frames_per_video < 0:
        raise DataError(f"--frames-per-video {frames_per_video}: give 1 or more, or 0 for all frames")
    loaded = load_dataset(dataset)
    selection = FrameSelection(which="uniform", count=frames_per_video) if frames_per_video else FrameSelection()
    listed, absent = _list(loaded, (splits,) if isinstance(splits, str) else tuple(splits), selection)
    wanted = [frame for frames in listed.values() for frame in spread(frames, limit)]
    try:
        facts = _facts(loaded, wanted, workers)
        if all(one.pixels is None for one in facts):
            first = facts[0]
            why = (first.frame.id, first.status, first.reason)
            raise NothingJudged.of(f"audit of {loaded.name}", "frames", len(facts), *why)
        asked = questions.of_dataset(loaded.adapter, list(listed), kinds, seed, resamples)
    finally:
        close_adapter(loaded.adapter)
    settings = {
        "frames of a video": f"uniform{frames_per_video}" if frames_per_video else "all",
        "limit": limit,
        "near": near,
        "probe": probe,
        "questions": "+".join(kinds) or "none",
        "seed": seed,
        "resamples": resamples,
    }
    return _report(loaded.name, listed, absent, facts, asked, settings)


def _facts(dataset: Dataset, frames: Sequence[Frame], workers: int) -> list[Facts]:
    """Return the facts of each frame, cached if the adapter's code can be identified."""
    place = memo_path(dataset.adapter, dataset.card)
    if place is None:
        return gather(dataset.adapter, frames, None, workers)
    with Memo(place) as memo:
        return gather(dataset.adapter, frames, memo, workers)


def _list(
    dataset: Dataset, named: Sequence[str], selection: FrameSelection
) -> tuple[dict[str, list[Frame]], dict[str, Exception]]:
    """Return the frames of each split, and the missing splits with the adapter's error."""
    listed: dict[str, list[Frame]] = {}
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


def _report(
    name: str,
    listed: dict[str, list[Frame]],
    absent: dict[str, Exception],
    facts: Sequence[Facts],
    asked: questions.QuestionLeaks,
    settings: dict[str, Any],
) -> Audit:
    """Return the report on frames and their facts."""
    frames = [frame for split in listed.values() for frame in split]
    counts, across = contents.balance(frames), contents.across(frames)
    missing = contents.unreadable(facts)
    doubles, rows = duplicates.find(facts, settings["near"])
    probed = shortcuts.probe(facts, settings["seed"], settings["resamples"]) if settings["probe"] else None
    found: list[Finding] = [
        *contents.across_findings(across),
        *duplicates.findings(doubles, rows),
        *(shortcuts.findings(probed) if probed else ()),
        *questions.findings(asked),
        *contents.unreadable_findings(missing, facts),
        *contents.balance_findings(counts, frames),
        *contents.absent_findings(absent),
    ]
    sections: list[Section] = [
        contents.balance_section(counts),
        contents.across_section(across),
        duplicates.section(doubles, rows, settings["near"]),
        *([shortcuts.section(probed)] if probed else ()),
        *([questions.section(asked)] if asked.found or asked.refused else ()),
        contents.unreadable_section(missing),
    ]
    details = {
        "balance": counts,
        "across_splits": across,
        "duplicates": duplicates.to_json(doubles, rows),
        "shortcuts": shortcuts.to_json(probed) if probed else None,
        "questions": questions.to_json(asked) if asked.found or asked.refused else None,
        "unreadable": missing,
        "absent_splits": {split: str(error) for split, error in absent.items()},
    }
    return Audit(name, by_severity(found), settings, _counts(listed, facts), details, tuple(sections), versions())


def _counts(listed: dict[str, list[Frame]], facts: Sequence[Facts]) -> dict[str, dict[str, Any]]:
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
