"""P(fake) for pictures and videos of one's own, outside any dataset; with heat maps and answers where the detector
gives them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cards.protocols import FrameSelection
from ..core.errors import DataError, FrameError, NothingJudged
from ..core.progress import progress_bar
from ..core.records import REAL, Frame, Locator, Prediction
from ..core.text import in_utf8
from ..datasets.base import Adapter
from ..datasets.entries import natural
from ..datasets.images import IMAGE_SUFFIXES, read_image
from ..datasets.planning import pick, spread
from ..datasets.read_ahead import frames_ahead
from ..datasets.video import VIDEO_SUFFIXES, Video, read_video
from ..loading import load_detector
from ..runs import predict as local
from .crops import crop_note, scene_note

if TYPE_CHECKING:
    from ..core.records import Answer, Image
    from ..detectors.base import Detector
    from ..heatmaps.mapper import HeatMapper
    from ..reporting.figures.overlays import OverlayFolder
    from .questions import QuestionSet

log = logging.getLogger("m2f2bench")
THRESHOLD = 0.5
AT_ONCE = 8
"""Pictures that are mapped together at most: they are whole in memory, and may be large."""
DRAWN = 4
"""Frames of a video whose heat maps are drawn: this many of the judged ones, evenly spread."""


class _Files(Adapter):
    """Pictures as frames; a label is not known and is not looked at. `sizes` has height and width of those read."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[str, tuple[int, ...]] = {}

    def frames(self, split: str) -> list[Frame]:
        return []

    def read(self, frame: Frame) -> Image:
        image = read_image(Path(frame.locator.path), frame.id)
        self.sizes[frame.locator.path] = image.shape[:2]
        return image


class _Clip(_Files):
    """The picked frames of one video, decoded already."""

    def __init__(self, images: Sequence[Image]) -> None:
        super().__init__()
        self.images = images

    def read(self, frame: Frame) -> Image:
        assert frame.locator.index is not None
        return self.images[frame.locator.index]


@dataclass
class _Judged:
    """One file's rows, its heat map's picture or why there is none, and answers about it (of a video about a frame)."""

    rows: list[Prediction]
    heatmap: str | None = None
    trouble: str = ""
    answers: list[Answer] | None = None
    asked_frame: int | None = None
    video: Video | None = None


@dataclass
class _Shown:
    """One file on its way to an overlay: its P(fake), and of each picture the pixels, P(fake), number in a video."""

    file: Path
    score: float
    images: list[Image]
    scores: list[float]
    numbers: list[int] | None = None


def predict_paths(
    paths: Sequence[str | Path],
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
    """Judge images, videos and folders of them; each is taken as a face crop, as it is.

    Returns for each file `path`, `score` (P(fake), for a video the mean of `frames` frames taken evenly over it; None
    where it cannot be judged), `verdict` (`fake` from 0.5 on, `real`, None), `status`, `frames` (how many were
    judged), `frames_readable` and `frames_promised` (of a video: how many can be decoded, and how many its container
    says that it has; where some are missing `message` and a warning say so), `message`, and `heatmap`. Raises DataError
    for a path that is not there or holds nothing to judge, NothingJudged where none of the files can be judged.

    With `heatmaps` an overlay is drawn for each judged file into that folder (see `overlays`; of a video DRAWN of the
    judged frames) and `heatmap` is its path, None where there is none. `heatmap_scale` is `fixed` (colours from 0 to 1)
    or `image` (stretched to the file's own values). Raises DetectorError for a detector that makes no heat maps, and
    StoreError for a folder that holds another's, before anything is judged.

    With `explain`, or `questions` of one's own (else `interviewer.QUESTIONS`), the detector is asked about each
    picture, of a video about the middle one of the judged frames. `answers` are then its answers, see
    `QuestionSet.told`, none of a video that cannot be read, and `asked_frame` is that frame's number in the video, None
    for a picture. Raises DetectorError for a detector that answers no questions, before anything is judged.
    """
    files = [file for path in paths for file in _files(Path(path).expanduser())]
    asks = explain or bool(questions)
    if asks:
        from .questions import QuestionSet, require_explainer_early

        require_explainer_early(detector)
    loaded = load_detector(detector, device)
    interviewer = QuestionSet(loaded, questions) if asks else None
    overlays = _Overlays.of(loaded, Path(heatmaps).expanduser(), heatmap_scale) if heatmaps is not None else None
    job = _Job(loaded, FrameSelection(which="uniform", count=frames), batch_size, overlays, interviewer)
    try:
        found = _judge(files, job)
    finally:
        if overlays:
            overlays.folder.close()
    _refuse_nothing(loaded.card.name, found)
    sizes = {str(file): job.pictures.sizes[str(file)] for file in files if str(file) in job.pictures.sizes}
    log.info("%s", crop_note(loaded.card.training_datasets))
    if scenes := scene_note(sizes):
        log.warning("%s", scenes)
    return [_summary(str(file), found[_key(file)], interviewer) for file in files]


def _refuse_nothing(detector: str, found: Mapping[str, _Judged]) -> None:
    """Raise NothingJudged where no file has a score, nor an answer."""
    rows = [row for judged in found.values() for row in (*judged.rows, *(judged.answers or ()))]
    if not any(row.status == "ok" for row in rows):
        first = next(row for row in rows if row.status != "ok")
        raise NothingJudged.of(detector, "files", len(found), first.frame, first.status, first.message)


@dataclass
class _Job:
    """What is done with every file: judged, mapped with `overlays`, asked about with an `interviewer`."""

    detector: Detector
    selection: FrameSelection
    batch_size: int
    overlays: _Overlays | None
    interviewer: QuestionSet | None
    pictures: _Files = field(default_factory=_Files)

    def predict(self, adapter: Adapter, frames: Sequence[Frame]) -> list[Prediction]:
        """The rows of all frames."""
        batches = local.predict(self.detector.card.name, self.detector, adapter, frames, self.batch_size)
        return [row for batch in batches for row in batch]


def _judge(files: Sequence[Path], job: _Job) -> dict[str, _Judged]:
    """Every file's rows by its path, pictures first, its overlay and its answers."""
    if len({_key(file) for file in files}) < len(set(files)):
        raise DataError("two files have one name once it is written in UTF-8: rename one of them")
    images = [file for file in dict.fromkeys(files) if file.suffix.lower() not in VIDEO_SUFFIXES]
    found = _judge_images([_frame(_key(file), Locator(str(file))) for file in images], job)
    if job.overlays:
        job.overlays.images(images, found, job.batch_size)
    for file in dict.fromkeys(files):
        if file.suffix.lower() in VIDEO_SUFFIXES:
            found[_key(file)] = _judge_video(file, job)
    return found


def _judge_images(frames: Sequence[Frame], job: _Job) -> dict[str, _Judged]:
    """Pictures' rows and answers; scores that come with the answers are not asked for beside them."""
    if job.interviewer is not None and job.interviewer.scored:
        from .questions import judgement

        replies = job.interviewer.ask(job.pictures, frames)
        return {name: _Judged([judgement(rows)], answers=rows) for name, rows in replies.items()}
    found = {row.frame: _Judged([row]) for row in job.predict(job.pictures, frames)}
    if job.interviewer is not None:
        scores = {name: judged.rows[0].score for name, judged in found.items()}
        for name, rows in job.interviewer.ask(job.pictures, frames, scores).items():
            found[name].answers = rows
    return found


class _Overlays:
    """Draws the heat maps of what was judged."""

    def __init__(self, mapper: HeatMapper, folder: OverlayFolder) -> None:
        self.mapper, self.folder = mapper, folder

    @classmethod
    def of(cls, detector: Detector, folder: Path, scale: str) -> _Overlays:
        """Imported here, so that judging alone needs neither."""
        from ..heatmaps.mapper import HeatMapper
        from ..reporting.figures.overlays import OverlayFolder

        return cls(HeatMapper(detector), OverlayFolder(folder, detector, scale))

    def images(self, files: Sequence[Path], found: dict[str, _Judged], batch_size: int) -> None:
        """One overlay for each picture that has a score; read again, so that memory stays flat."""
        scored = [(file, found[_key(file)].rows[0].score) for file in files]
        wanted = {_key(file): (file, score) for file, score in scored if score is not None}
        frames = [_frame(name, Locator(str(file))) for name, (file, _) in wanted.items()]
        with progress_bar("heat maps", len(wanted)) as advance:
            for batch in frames_ahead(_Files(), frames, count=1).batches(min(batch_size, AT_ONCE)):
                shown = []
                for loaded in batch:
                    file, score = wanted[loaded.frame.id]
                    if loaded.image is None:  # it could be read a moment ago
                        found[loaded.frame.id].trouble = f"no heat map: {loaded.reason}"
                        continue
                    shown.append(_Shown(file, score, [loaded.image], [score]))
                self.draw(shown, found)
                advance(len(batch))

    def draw(self, batch: Sequence[_Shown], found: dict[str, _Judged]) -> None:
        """Map all pictures of some files at once and write an overlay for each file."""
        from ..reporting.figures.overlay import Panel

        pictures = [(one, i) for one in batch for i in range(len(one.images))]
        maps = iter(self.mapper.maps([one.images[i] for one, i in pictures], [str(one.file) for one, _ in pictures]))
        for one in batch:
            panels, numbers = [], []
            for i, (image, score) in enumerate(zip(one.images, one.scores, strict=True)):
                heat, number = next(maps), one.numbers[i] if one.numbers is not None else 0
                if isinstance(heat, str):
                    found[_key(one.file)].trouble = heat
                    continue
                label = f"frame {number}" if one.numbers is not None else ""
                panels.append(Panel(image, heat, self.mapper.seen(image), score, label))
                numbers.append(number)
            if panels:
                told = numbers if one.numbers is not None else None
                found[_key(one.file)].heatmap = str(self.folder.write(one.file, panels, one.score, told))


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
        shown = _Shown(file, mean, [images[i] for i, _ in few], [s for _, s in few], [picked[i] for i, _ in few])
        job.overlays.draw([shown], {_key(file): judged})
    return judged


def _judge_clip(clip: _Clip, frames: Sequence[Frame], job: _Job) -> _Judged:
    """The rows of a video's picked frames, and the answers about the middle one."""
    if job.interviewer is None:
        return _Judged(job.predict(clip, frames))
    middle = frames[len(frames) // 2]
    if job.interviewer.scored:
        from .questions import judgement

        answers = job.interviewer.ask(clip, [middle])[middle.id]
        if answers[0].score is None:  # it has no scores at all, for no frame
            return _Judged([judgement(answers)], answers=answers)
        return _Judged(job.predict(clip, frames), answers=answers)
    rows = job.predict(clip, frames)
    scores = {row.frame: row.score for row in rows}
    return _Judged(rows, answers=job.interviewer.ask(clip, [middle], scores)[middle.id])


def _key(file: Path) -> str:
    """The id that a file's frame has."""
    return in_utf8(str(file))


def _frame(name: str, locator: Locator) -> Frame:
    return Frame(name, name, REAL, "unknown", "none", (), locator)


def _summary(path: str, judged: _Judged, interviewer: QuestionSet | None) -> dict[str, Any]:
    rows = judged.rows
    scores = [row.score for row in rows if row.score is not None]
    failed = next((row for row in rows if row.status != "ok"), None)
    score = sum(scores) / len(scores) if scores else None
    video = judged.video
    remarks = [judged.trouble, video.remark if video is not None else ""]
    told: dict[str, Any] = {
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
    if interviewer is not None:
        told["answers"] = interviewer.told(judged.answers) if judged.answers is not None else []
        told["asked_frame"] = judged.asked_frame
    return told


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
