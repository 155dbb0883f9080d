"""P(fake) for pictures and videos of one's own, outside any dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .adapters.base import Adapter
from .adapters.images import IMAGE_SUFFIXES, read_image
from .adapters.video import VIDEO_SUFFIXES, read_video
from .engines import local
from .errors import DataError, FrameError
from .loading import load_detector
from .protocol import pick
from .records import REAL, Frame, Locator, Prediction
from .rules import FrameSelection

if TYPE_CHECKING:
    from .records import Image

THRESHOLD = 0.5


class _Files(Adapter):
    """Pictures as frames; a label is not known and is not looked at."""

    def frames(self, split: str) -> list[Frame]:
        return []

    def read(self, frame: Frame) -> Image:
        return read_image(Path(frame.locator.path), frame.id)


class _Clip(_Files):
    """The picked frames of one video, decoded already."""

    def __init__(self, images: Sequence[Image]) -> None:
        super().__init__()
        self.images = images

    def read(self, frame: Frame) -> Image:
        assert frame.locator.index is not None
        return self.images[frame.locator.index]


def predict_paths(
    paths: Sequence[str | Path], detector: Any, *, frames: int = 32, device: str = "auto", batch_size: int = 32
) -> list[dict[str, Any]]:
    """Judge images, videos and folders of them; each is taken as a face crop, as it is.

    Returns for each file `path`, `score` (P(fake), for a video the mean of `frames` frames taken evenly over it; None
    where it cannot be judged), `verdict` (`fake` from 0.5 on, `real`, None), `status`, `frames` (how many were
    judged) and `message`. Raises DataError for a path that is not there or holds nothing to judge.
    """
    files = [file for path in paths for file in _files(Path(path).expanduser())]
    loaded = load_detector(detector, device)
    name = loaded.card.name
    images = [file for file in files if file.suffix.lower() not in VIDEO_SUFFIXES]
    listed = [_frame(str(file), Locator(str(file))) for file in dict.fromkeys(images)]
    rows = {row.frame: [row] for batch in local.predict(name, loaded, _Files(), listed, batch_size) for row in batch}
    selection = FrameSelection(which="uniform", count=frames)
    for file in files:
        if file.suffix.lower() in VIDEO_SUFFIXES:
            rows[str(file)] = _judge_video(name, loaded, file, selection, batch_size)
    return [_summary(str(file), rows[str(file)]) for file in files]


def _judge_video(name: str, detector: Any, file: Path, selection: FrameSelection, batch: int) -> list[Prediction]:
    try:
        images = read_video(file, lambda n: pick(selection, n))
    except FrameError as error:
        return [Prediction(str(file), str(file), "", "", REAL, error.status, None, message=error.reason)]
    frames = [_frame(f"{file}#{i}", Locator(str(file), index=i)) for i in range(len(images))]
    return [row for rows in local.predict(name, detector, _Clip(images), frames, batch) for row in rows]


def _frame(name: str, locator: Locator) -> Frame:
    return Frame(name, name, REAL, "unknown", "none", (), locator)


def _summary(path: str, rows: list[Prediction]) -> dict[str, Any]:
    scores = [row.score for row in rows if row.score is not None]
    failed = next((row for row in rows if row.status != "ok"), None)
    score = sum(scores) / len(scores) if scores else None
    return {
        "path": path,
        "score": score,
        "verdict": None if score is None else "fake" if score >= THRESHOLD else "real",
        "status": "ok" if scores or failed is None else failed.status,
        "frames": len(scores),
        "message": failed.message if failed else "",
    }


def _files(path: Path) -> Iterator[Path]:
    known = {*IMAGE_SUFFIXES, *VIDEO_SUFFIXES}
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in known)
        if not found:
            raise DataError(f"folder '{path}' holds no image or video")
        yield from found
    elif path.is_file():
        yield path
    else:
        raise DataError(f"there is no file or folder '{path}'")
