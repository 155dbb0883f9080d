"""Judging of files: what to do with each, and how images, videos and their faces go through a detector."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..cards.protocols import FrameSelection
from ..core.errors import DataError, FrameError
from ..core.progress import progress_bar
from ..core.records import REAL, Frame, Locator, Prediction
from ..datasets.base import Adapter
from ..datasets.dataset import pick, spread
from ..datasets.files.video import read_video
from ..runs.judging import predict
from .given import is_video
from .held import Clip, Files, frame_of, key
from .overlays import DRAWN, ToDraw
from .pictures import Picture
from .verdicts import Judged

if TYPE_CHECKING:
    from ..detectors.base import Detector
    from .overlays import Overlays
    from .questions import QuestionSet

log = logging.getLogger("m2f2bench")


@dataclass
class Job:
    """What to do with every file: judge it, draw its heat map with `overlays`, ask the `questions` about it."""

    detector: Detector
    selection: FrameSelection
    batch_size: int
    overlays: Overlays | None
    questions: QuestionSet | None
    pictures: Files = field(default_factory=Files)

    def predict(self, adapter: Adapter, frames: Sequence[Frame]) -> list[Prediction]:
        """Return the rows of all frames."""
        rows: list[Prediction] = []
        with progress_bar("judging", len(frames)) as advance:
            for batch in predict(self.detector.card.name, self.detector, adapter, frames, self.batch_size):
                rows += batch
                advance(len(batch))
        return rows


def judge_files(
    files: Sequence[Path | Picture],
    job: Job,
    judge: Callable[[Sequence[Path | Picture], Job], dict[str, Judged]],
    judge_video: Callable[[Path, Job], Judged],
) -> dict[str, Judged]:
    """Judge every file, images first, by the given functions; return rows, overlays and answers by path."""
    if len({key(file) for file in files}) < len(set(files)):
        raise DataError("two files have the same name when written in UTF-8, or an image has a file's: rename one")
    by_file = judge([file for file in dict.fromkeys(files) if not is_video(file)], job)
    videos = [file for file in dict.fromkeys(files) if isinstance(file, Path) and is_video(file)]
    with progress_bar("videos", len(videos)) as advance:
        for file in videos:
            by_file[key(file)] = judge_video(file, job)
            advance()
    return by_file


def judge_crops(files: Sequence[Path | Picture], job: Job) -> dict[str, Judged]:
    """Judge images as they are, and draw their overlays."""
    by_file = judge_images([frame_of(key(file), Locator(str(file))) for file in files], job, job.pictures)
    if job.overlays:
        job.overlays.images(files, job.pictures, by_file, job.batch_size)
    return by_file


def judge_images(frames: Sequence[Frame], job: Job, pictures: Adapter) -> dict[str, Judged]:
    """Judge images and ask about them; if scores come with the answers, the detector is not called a second time."""
    if job.questions is not None and job.questions.scored:
        from .questions import judgement

        replies = job.questions.ask(pictures, frames)
        return {name: Judged([judgement(rows)], answers=rows) for name, rows in replies.items()}
    by_file = {row.frame: Judged([row]) for row in job.predict(pictures, frames)}
    if job.questions is not None:
        scores = {name: judged.rows[0].score for name, judged in by_file.items()}
        for name, rows in job.questions.ask(pictures, frames, scores).items():
            by_file[name].answers = rows
    return by_file


def judge_crop_video(file: Path, job: Job) -> Judged:
    """Judge a video's frames as they are, and draw some of them."""
    try:
        video = read_video(file, lambda n: pick(job.selection, n))
    except FrameError as error:
        return Judged([Prediction(key(file), key(file), "", "", REAL, error.status, None, message=error.reason)])
    if video.remark:
        log.warning("'%s': %s", file, video.remark)
    images, picked = video.images, video.numbers
    job.pictures.sizes[str(file)] = images[0].shape[:2]
    frames = [frame_of(f"{key(file)}#{i}", Locator(str(file), index=i)) for i in range(len(images))]
    judged = judge_clip(Clip(images), frames, job)
    judged.video = video
    if judged.answers is not None:
        judged.asked_frame = picked[len(frames) // 2]
    scored = [(i, row.score) for i, row in enumerate(judged.rows) if row.score is not None]
    if job.overlays and scored:
        few = spread(scored, DRAWN)
        mean = sum(score for _, score in scored) / len(scored)
        drawn = ToDraw(file, mean, [images[i] for i, _ in few], [s for _, s in few], [picked[i] for i, _ in few])
        job.overlays.draw([drawn], {key(file): judged})
    return judged


def judge_clip(clip: Clip, frames: Sequence[Frame], job: Job) -> Judged:
    """Judge a video's picked frames and ask about the middle one."""
    if job.questions is None:
        return Judged(job.predict(clip, frames))
    middle = frames[len(frames) // 2]
    if job.questions.scored:
        from .questions import judgement

        answers = job.questions.ask(clip, [middle])[middle.id]
        if answers[0].score is None:  # the explainer gives no scores
            return Judged([judgement(answers)], answers=answers)
        return Judged(job.predict(clip, frames), answers=answers)
    rows = job.predict(clip, frames)
    scores = {row.frame: row.score for row in rows}
    return Judged(rows, answers=job.questions.ask(clip, [middle], scores)[middle.id])
