"""P(fake) of single images and videos without a dataset, with heat maps and answers if the detector gives them.

No face is searched for: notes say which images may not be face crops.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cards.protocols import FrameSelection
from ..core.errors import DataError, FrameError, NothingJudged
from ..core.files import user_path
from ..core.progress import progress_bar
from ..core.records import REAL, Frame, Locator, Prediction
from ..core.text import in_utf8
from ..datasets.base import Adapter
from ..datasets.dataset import pick, spread
from ..datasets.files.folders import natural
from ..datasets.files.images import IMAGE_SUFFIXES, read_image
from ..datasets.files.video import VIDEO_SUFFIXES, Video, read_video
from ..datasets.read_ahead import frames_ahead
from ..datasets.scenes import scene_note
from ..loading import load_detector
from ..runs.detection import predict
from .pictures import Picture

if TYPE_CHECKING:
    from ..core.records import Answer, Image
    from ..detectors.base import Detector
    from .questions import QuestionSet

log = logging.getLogger("m2f2bench")
THRESHOLD = 0.5
AT_ONCE = 8
"""At most this many images are mapped together: they are in memory at full size, and may be large."""
DRAWN = 4
"""Number of a video's judged frames, evenly spread, whose heat maps are drawn."""


class _Files(Adapter):
    """Images as frames, `held` in memory or files; labels are unknown. `sizes` has height and width of those read."""

    def __init__(self, held: Iterable[Picture] = ()) -> None:
        super().__init__()
        self.held = {_key(picture): picture for picture in held}
        self.sizes: dict[str, tuple[int, ...]] = {}

    def frames(self, split: str) -> list[Frame]:
        return []

    def read(self, frame: Frame) -> Image:
        held = self.held.get(frame.id)
        image = read_image(Path(frame.locator.path), frame.id) if held is None else held.pixels(frame.id)
        self.sizes[frame.locator.path] = image.shape[:2]
        return image


class _Clip(_Files):
    """The picked frames of one video, already decoded."""

    def __init__(self, images: Sequence[Image]) -> None:
        super().__init__()
        self.images = images

    def read(self, frame: Frame) -> Image:
        assert frame.locator.index is not None
        return self.images[frame.locator.index]


@dataclass
class _Judged:
    """One file's rows, its overlay or why there is none, and the answers about it (for a video, about one frame)."""

    rows: list[Prediction]
    heatmap: str | None = None
    trouble: str = ""
    answers: list[Answer] | None = None
    asked_frame: int | None = None
    video: Video | None = None


@dataclass
class _ToDraw:
    """One file whose overlay is to be drawn: its P(fake), and each image's pixels, P(fake) and number in a video."""

    file: Path | Picture
    score: float
    images: list[Image]
    scores: list[float]
    numbers: list[int] | None = None


def predict_paths(
    paths: Sequence[str | Path | Picture],
    detector: Any,
    *,
    frames: int = 32,
    device: str = "auto",
    batch_size: int = 32,
    heatmaps: str | Path | None = None,
    heatmap_scale: str = "fixed",
    explain: bool = False,
    questions: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Judge images (files or `Picture`), videos and folders of them; each image is used as it is, as a face crop.

    Returns for each file `path`, `score` (P(fake), for a video the mean of `frames` frames evenly spread over it; None
    if it cannot be judged), `verdict` (`fake` from 0.5 on, `real`, None), `status`, `frames` (how many were judged),
    `frames_readable` and `frames_promised` (of a video: how many can be decoded, and how many its container declares;
    if some are missing, `message` and a warning say so), `message`, and `heatmap`. Raises DataError if a path does not
    exist or has nothing to judge, NothingJudged if none of the files can be judged.

    With `heatmaps` an overlay is drawn for each judged file into that folder (see `OverlayFolder`; for a video of DRAWN
    judged frames), and `heatmap` is its path, or None. `heatmap_scale` is `fixed` (colours from 0 to 1) or `image`
    (stretched to the file's own values). Raises DetectorError if the detector makes no heat maps, and StoreError if the
    folder holds another detector's, before anything is judged.

    With `explain`, or with `questions` (default: `questions.QUESTIONS`), the detector is asked about each image, for a
    video about the middle one of the judged frames. `answers` are then its answers, see `QuestionSet.as_json`, empty
    for a video that cannot be read, and `asked_frame` is that frame's number in the video, None for an image. Raises
    DetectorError if the detector answers no questions, before anything is judged.
    """
    files = [file for path in paths for file in ([path] if isinstance(path, Picture) else _files(user_path(path)))]
    asks = explain or bool(questions)
    if asks:
        from .questions import QuestionSet, require_explainer_early

        require_explainer_early(detector)
    loaded = load_detector(detector, device)
    question_set = QuestionSet(loaded, questions) if asks else None
    overlays = _Overlays(loaded, Path(heatmaps).expanduser(), heatmap_scale) if heatmaps is not None else None
    job = _Job(loaded, FrameSelection(which="uniform", count=frames), batch_size, overlays, question_set)
    job.pictures = _Files(file for file in files if isinstance(file, Picture))
    try:
        by_file = _judge(files, job)
    finally:
        if overlays:
            overlays.folder.close()
    _refuse_nothing(loaded.card.name, by_file)
    sizes = {str(file): job.pictures.sizes[str(file)] for file in files if str(file) in job.pictures.sizes}
    trained = ", ".join(loaded.card.training_datasets)
    where = f" as in {trained}" if trained else ""
    log.info("m2f2bench does not find faces: a score is meaningless unless the image is the crop of one face%s", where)
    if scenes := scene_note(sizes):
        log.warning("%s", scenes)
    return [_summary(str(file), by_file[_key(file)], question_set) for file in files]


def _refuse_nothing(detector: str, by_file: Mapping[str, _Judged]) -> None:
    """Raise NothingJudged if no file has a score or an answer."""
    rows = [row for judged in by_file.values() for row in (*judged.rows, *(judged.answers or ()))]
    if not any(row.status == "ok" for row in rows):
        first = next(row for row in rows if row.status != "ok")
        raise NothingJudged.of(detector, "files", len(by_file), first.frame, first.status, first.message)


@dataclass
class _Job:
    """What to do with every file: judge it, draw its heat map with `overlays`, ask the `questions` about it."""

    detector: Detector
    selection: FrameSelection
    batch_size: int
    overlays: _Overlays | None
    questions: QuestionSet | None
    pictures: _Files = field(default_factory=_Files)

    def predict(self, adapter: Adapter, frames: Sequence[Frame]) -> list[Prediction]:
        """Return the rows of all frames."""
        rows: list[Prediction] = []
        with progress_bar("judging", len(frames)) as advance:
            for batch in predict(self.detector.card.name, self.detector, adapter, frames, self.batch_size):
                rows += batch
                advance(len(batch))
        return rows


def _judge(files: Sequence[Path | Picture], job: _Job) -> dict[str, _Judged]:
    """Judge every file, images first; return rows, overlays and answers by path."""
    if len({_key(file) for file in files}) < len(set(files)):
        raise DataError("two files have the same name when written in UTF-8, or an image has a file's: rename one")
    images = [file for file in dict.fromkeys(files) if not _is_video(file)]
    by_file = _judge_images([_frame(_key(file), Locator(str(file))) for file in images], job)
    if job.overlays:
        job.overlays.images(images, job.pictures, by_file, job.batch_size)
    videos = [file for file in dict.fromkeys(files) if isinstance(file, Path) and _is_video(file)]
    with progress_bar("videos", len(videos)) as advance:
        for file in videos:
            by_file[_key(file)] = _judge_video(file, job)
            advance()
    return by_file


def _judge_images(frames: Sequence[Frame], job: _Job) -> dict[str, _Judged]:
    """Judge images and ask about them; if scores come with the answers, the detector is not called a second time."""
    if job.questions is not None and job.questions.scored:
        from .questions import judgement

        replies = job.questions.ask(job.pictures, frames)
        return {name: _Judged([judgement(rows)], answers=rows) for name, rows in replies.items()}
    by_file = {row.frame: _Judged([row]) for row in job.predict(job.pictures, frames)}
    if job.questions is not None:
        scores = {name: judged.rows[0].score for name, judged in by_file.items()}
        for name, rows in job.questions.ask(job.pictures, frames, scores).items():
            by_file[name].answers = rows
    return by_file


class _Overlays:
    """Draws the heat maps of what was judged."""

    def __init__(self, detector: Detector, folder: Path, scale: str) -> None:
        from ..heatmaps.mapping import HeatMapper
        from ..reporting.figures.overlay import OverlayFolder

        self.mapper, self.folder = HeatMapper(detector), OverlayFolder(folder, detector, scale)

    def images(
        self, files: Sequence[Path | Picture], pictures: _Files, by_file: dict[str, _Judged], batch_size: int
    ) -> None:
        """Draw an overlay for each image that has a score; images are read again to save memory."""
        scored = [(file, by_file[_key(file)].rows[0].score) for file in files]
        wanted = {_key(file): (file, score) for file, score in scored if score is not None}
        frames = [_frame(name, Locator(str(file))) for name, (file, _) in wanted.items()]
        with progress_bar("heat maps", len(wanted)) as advance:
            for batch in frames_ahead(pictures, frames, count=1).batches(min(batch_size, AT_ONCE)):
                to_draw = []
                for loaded in batch:
                    file, score = wanted[loaded.frame.id]
                    if loaded.image is None:  # it has changed since it was judged
                        by_file[loaded.frame.id].trouble = f"no heat map: {loaded.reason}"
                        continue
                    to_draw.append(_ToDraw(file, score, [loaded.image], [score]))
                self.draw(to_draw, by_file)
                advance(len(batch))

    def draw(self, batch: Sequence[_ToDraw], by_file: dict[str, _Judged]) -> None:
        """Map all pictures of some files at once and write an overlay for each file."""
        from ..reporting.figures.overlay import Panel

        pictures = [(one, i) for one in batch for i in range(len(one.images))]
        maps = iter(self.mapper.maps([one.images[i] for one, i in pictures], [str(one.file) for one, _ in pictures]))
        for one in batch:
            panels, numbers = [], []
            for i, (image, score) in enumerate(zip(one.images, one.scores, strict=True)):
                heat, number = next(maps), one.numbers[i] if one.numbers is not None else 0
                if isinstance(heat, str):
                    by_file[_key(one.file)].trouble = heat
                    continue
                label = f"frame {number}" if one.numbers is not None else ""
                panels.append(Panel(image, heat, self.mapper.seen(image), score, label))
                numbers.append(number)
            if panels:
                of_video = numbers if one.numbers is not None else None
                by_file[_key(one.file)].heatmap = str(
                    self.folder.write(Path(str(one.file)), panels, one.score, of_video)
                )


def _judge_video(file: Path, job: _Job) -> _Judged:
    try:
        video = read_video(file, lambda n: pick(job.selection, n))
    except FrameError as error:
        return _Judged([Prediction(_key(file), _key(file), "", "", REAL, error.status, None, message=error.reason)])
    if video.remark:
        log.warning("'%s': %s", file, video.remark)
    images, picked = video.images, video.numbers
    job.pictures.sizes[str(file)] = images[0].shape[:2]
    frames = [_frame(f"{_key(file)}#{i}", Locator(str(file), index=i)) for i in range(len(images))]
    judged = _judge_clip(_Clip(images), frames, job)
    judged.video = video
    if judged.answers is not None:
        judged.asked_frame = picked[len(frames) // 2]
    scored = [(i, row.score) for i, row in enumerate(judged.rows) if row.score is not None]
    if job.overlays and scored:
        few = spread(scored, DRAWN)
        mean = sum(score for _, score in scored) / len(scored)
        drawn = _ToDraw(file, mean, [images[i] for i, _ in few], [s for _, s in few], [picked[i] for i, _ in few])
        job.overlays.draw([drawn], {_key(file): judged})
    return judged


def _judge_clip(clip: _Clip, frames: Sequence[Frame], job: _Job) -> _Judged:
    """Judge a video's picked frames and ask about the middle one."""
    if job.questions is None:
        return _Judged(job.predict(clip, frames))
    middle = frames[len(frames) // 2]
    if job.questions.scored:
        from .questions import judgement

        answers = job.questions.ask(clip, [middle])[middle.id]
        if answers[0].score is None:  # the explainer gives no scores
            return _Judged([judgement(answers)], answers=answers)
        return _Judged(job.predict(clip, frames), answers=answers)
    rows = job.predict(clip, frames)
    scores = {row.frame: row.score for row in rows}
    return _Judged(rows, answers=job.questions.ask(clip, [middle], scores)[middle.id])


def _is_video(file: Path | Picture) -> bool:
    return isinstance(file, Path) and file.suffix.lower() in VIDEO_SUFFIXES


def _key(file: Path | Picture) -> str:
    """Return the id of a file's frame."""
    return in_utf8(str(file))


def _frame(name: str, locator: Locator) -> Frame:
    return Frame(name, name, REAL, "unknown", "none", (), locator)


def _summary(path: str, judged: _Judged, questions: QuestionSet | None) -> dict[str, Any]:
    scores = [row.score for row in judged.rows if row.score is not None]
    failed = next((row for row in judged.rows if row.status != "ok"), None)
    score = sum(scores) / len(scores) if scores else None
    video = judged.video
    remarks = [judged.trouble, video.remark if video is not None else ""]
    summary: dict[str, Any] = {
        "path": path,
        "score": score,
        "verdict": None if score is None else "fake" if score >= THRESHOLD else "real",
        "status": "ok" if scores or failed is None else failed.status,
        "frames": len(scores),
        "frames_readable": video.readable if video is not None else None,
        "frames_promised": video.promised if video is not None else None,
        "message": failed.message if failed else "; ".join(filter(None, remarks)),
        "heatmap": judged.heatmap,
    }
    if questions is not None:
        summary["answers"] = questions.as_json(judged.answers) if judged.answers is not None else []
        summary["asked_frame"] = judged.asked_frame
    return summary


def _files(path: Path) -> Iterator[Path]:
    known = {*IMAGE_SUFFIXES, *VIDEO_SUFFIXES}
    if path.is_dir():
        found = [p for p in path.rglob("*") if p.suffix.lower() in known and not p.is_dir()]
        if not found:
            raise DataError(f"folder '{path}' holds no image or video")
        yield from sorted(found, key=lambda file: natural(file.as_posix()))
    elif path.is_file():
        yield path
    elif path.exists():
        raise DataError(f"'{path}' is neither a regular file nor a folder: give an image, a video or a folder of them")
    else:
        raise DataError(f"there is no file or folder '{path}'")
