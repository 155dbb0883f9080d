"""Reuse of stored rows: a row is reused only if its frame still has the same pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..core.records import Answer, Frame, Prediction, Question, question_digest
from ..datasets.base import stamp_of
from ..datasets.dataset import Dataset, frame_digests


def unchanged(
    dataset: Dataset, frames: Sequence[Frame], known: Mapping[str, tuple[str, str]], workers: int = 0
) -> dict[str, str]:
    """Return the frames whose pixels are still those that were judged: id to the present stamp.

    `known` holds digest and stamp by frame id. A frame with the same stamp is not read; any other is read, and its
    digest must be the same. A frame that could not be read before (no digest) is left out if its stamp has changed.
    """
    stamps: dict[str, str] = {}
    doubtful: list[Frame] = []
    for frame in frames:
        if frame.id not in known:
            continue
        digest, stamp = known[frame.id]
        now = stamp_of(dataset.adapter, frame)
        if now and now == stamp:
            stamps[frame.id] = now
        elif digest:
            doubtful.append(frame)
    if doubtful:
        digests = frame_digests(dataset, doubtful, workers)
        for frame in doubtful:
            if digests[frame.id] == known[frame.id][0]:
                stamps[frame.id] = stamp_of(dataset.adapter, frame)
    return stamps


def current_rows(
    dataset: Dataset, frames: Sequence[Frame], known: Mapping[str, Prediction], workers: int = 0
) -> list[Prediction]:
    """Return the known rows that are still valid, in the order of `frames`, with present label, video and people."""
    held = {name: (row.digest, row.stamp) for name, row in known.items()}
    same = unchanged(dataset, frames, held, workers)
    return [as_now(known[frame.id], frame, same[frame.id]) for frame in frames if frame.id in same]


def as_now(row: Prediction, frame: Frame, stamp: str) -> Prediction:
    """Return a row with its frame's present facts; the same object if nothing has changed."""
    people = "+".join(frame.identities)
    facts = (frame.video, frame.method, people, frame.label, frame.picture, stamp)
    if facts == (row.video, row.method, row.identity, row.label, row.picture, row.stamp):
        return row
    video, method, identity, label, picture, stamp = facts
    return replace(row, video=video, method=method, identity=identity, label=label, picture=picture, stamp=stamp)


def current_answers(
    dataset: Dataset,
    frames: Mapping[str, Frame],
    questions: Sequence[Question],
    known: Mapping[str, Answer],
    workers: int = 0,
) -> list[Answer]:
    """Return the known answers that are still valid, in the order of `questions`: same question text, same pixels.

    `frames` are by id, `known` by question id.
    """
    rows = [
        known[q.id]
        for q in questions
        if q.id in known and known[q.id].wording == question_digest(q) and known[q.id].frame == q.frame
    ]
    pixels = {row.frame: (row.digest, row.stamp) for row in rows}
    same = unchanged(dataset, [frames[name] for name in pixels], pixels, workers)
    return [
        replace(row, stamp=same[row.frame]) for row in rows if row.frame in same and row.digest == pixels[row.frame][0]
    ]
