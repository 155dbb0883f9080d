"""Stored rows held against the dataset as it is now: one counts only while its frame has the same pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..core.records import Answer, Frame, Prediction, Question, question_digest
from ..datasets.dataset import Dataset
from ..datasets.digests import frame_digests
from ..datasets.listing import stamp_of


def unchanged(
    dataset: Dataset, frames: Sequence[Frame], known: Mapping[str, tuple[str, str]], workers: int = 0
) -> dict[str, str]:
    """Return the frames whose pixels are those that were judged: id to the present stamp.

    `known` holds digest and stamp by frame id. A frame whose stamp is as it was is not read; any other is, and its
    digest has to be the same. One that could not be read then (no digest) is not among them once its stamp has changed.
    """
    found: dict[str, str] = {}
    doubtful: list[Frame] = []
    for frame in frames:
        if frame.id not in known:
            continue
        digest, stamp = known[frame.id]
        now = stamp_of(dataset.adapter, frame)
        if now and now == stamp:
            found[frame.id] = now
        elif digest:
            doubtful.append(frame)
    if doubtful:
        digests = frame_digests(dataset, doubtful, workers)
        for frame in doubtful:
            if digests[frame.id] == known[frame.id][0]:
                found[frame.id] = stamp_of(dataset.adapter, frame)
    return found


def current_rows(
    dataset: Dataset, frames: Sequence[Frame], known: Mapping[str, Prediction], workers: int = 0
) -> list[Prediction]:
    """Return the known rows that still hold, in the order of `frames`, with label, video and people as they are now."""
    held = {name: (row.digest, row.stamp) for name, row in known.items()}
    same = unchanged(dataset, frames, held, workers)
    return [as_now(known[frame.id], frame, same[frame.id]) for frame in frames if frame.id in same]


def as_now(row: Prediction, frame: Frame, stamp: str) -> Prediction:
    """Return a row with what its frame is now; the very row where nothing is otherwise."""
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
    """Return the known answers, by question id, that still hold: same text of the question, same pixels of its frame.

    `frames` are by id. In the order of `questions`.
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
