"""Verdicts on files, and on each face in them, as JSON objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..core.errors import NothingJudged
from ..core.records import Answer, Prediction
from ..datasets.files.video import Video
from .people import FoundFace, Person

if TYPE_CHECKING:
    from .questions import QuestionSet

THRESHOLD = 0.5
AS_IT_IS = "as it is"
"""The crop of a picture that is a crop already."""


@dataclass
class Judged:
    """One file's rows, its overlay or why there is none, and the answers about it (for a video, about one frame).

    Where faces were searched for, `faces` are those found, and rows and answers are those of the face that decides.
    """

    rows: list[Prediction]
    heatmap: str | None = None
    trouble: str = ""
    answers: list[Answer] | None = None
    asked_frame: int | None = None
    video: Video | None = None
    faces: list[JudgedFace] | None = None
    without_face: int | None = None
    """Of a video, how many frames have no face."""
    warnings: list[str] = field(default_factory=list)
    trained_on: tuple[str, ...] = ()


@dataclass
class JudgedFace:
    """One face of a picture, or one person of a video, with rows and answers; `found` has the person's faces."""

    number: int
    found: list[FoundFace]
    rows: list[Prediction]
    answers: list[Answer] | None = None
    person: Person | None = None
    asked_frame: int | None = None

    @property
    def score(self) -> float | None:
        """P(fake), of a person the mean over the frames; None if it could not be judged."""
        return mean_of(self.rows)

    @property
    def middle(self) -> FoundFace:
        """The face, of a person the middle one."""
        return self.found[len(self.found) // 2]

    @property
    def warnings(self) -> list[str]:
        """Plain sentences on why its verdict may mean little."""
        return list(self.person.warnings if self.person is not None else self.middle.warnings)

    @property
    def counts(self) -> bool:
        """Whether it decides the file's verdict together with others."""
        return self.person is None or not self.person.seldom

    def as_json(self, questions: QuestionSet | None = None) -> dict[str, Any]:
        """Return a JSON object: box (pixels: left, top, right, bottom), side, the finder's score, P(fake), verdict, …

        Of a person box, side and score are those of the middle face, `times` (seconds) and `boxes` are of all.
        """
        face, failed, score = self.middle, _failed(self.rows), self.score
        found: dict[str, Any] = {
            "face": self.number,
            "box": [round(edge, 2) for edge in face.box],
            "side": round(face.face.side, 2),
            "score": round(face.face.score, 4),
            "p_fake": score,
            "verdict": verdict_of(score),
            "status": "ok" if score is not None or failed is None else failed.status,
            "message": failed.message if failed else "",
            "crop": AS_IT_IS if face.whole else face.card,
            "crop_size": [face.crop.image.shape[0], face.crop.image.shape[1]],
            "warnings": self.warnings,
        }
        if self.person is not None:
            found["frames"] = sum(row.score is not None for row in self.rows)
            found["scores"] = [row.score for row in self.rows]
            found["times"] = self.person.times
            found["boxes"] = [[round(edge, 2) for edge in box] for box in self.person.boxes]
        if questions is not None:
            found["answers"] = questions.as_json(self.answers) if self.answers is not None else []
            found["asked_frame"] = self.asked_frame
        return found


def verdict_of(score: float | None) -> str | None:
    """Return `fake` from THRESHOLD on, `real` below, None without a score."""
    return None if score is None else "fake" if score >= THRESHOLD else "real"


def mean_of(rows: Sequence[Prediction]) -> float | None:
    """Return the mean P(fake) of rows; None if none has one."""
    scores = [row.score for row in rows if row.score is not None]
    return sum(scores) / len(scores) if scores else None


def deciding(faces: Sequence[JudgedFace]) -> JudgedFace:
    """Return the face whose verdict is the file's: the highest P(fake); of a video among people who are seen enough."""
    counted = [one for one in faces if one.counts and one.score is not None]
    counted = counted or [one for one in faces if one.score is not None] or list(faces)
    return max(counted, key=lambda one: -1.0 if one.score is None else one.score)


def summary(path: str, judged: Judged, questions: QuestionSet | None) -> dict[str, Any]:
    """Return one file's verdict as a JSON object; see `predict.predict_paths`."""
    failed, score, video = _failed(judged.rows), mean_of(judged.rows), judged.video
    remarks = [judged.trouble, video.remark if video is not None else "", _which(judged)]
    found: dict[str, Any] = {
        "path": path,
        "score": score,
        "verdict": verdict_of(score),
        "status": "ok" if score is not None or failed is None else failed.status,
        "frames": sum(row.score is not None for row in judged.rows),
        "frames_readable": video.readable if video is not None else None,
        "frames_promised": video.promised if video is not None else None,
        "message": failed.message if failed else "; ".join(filter(None, remarks)),
        "heatmap": judged.heatmap,
    }
    if judged.faces is not None:
        found["faces"] = [one.as_json(questions) for one in judged.faces]
        found["frames_without_face"] = judged.without_face
        found["trained_on"] = list(judged.trained_on)
        found["warnings"] = judged.warnings
    if questions is not None:
        found["answers"] = questions.as_json(judged.answers) if judged.answers is not None else []
        found["asked_frame"] = judged.asked_frame
    return found


def faces_text(item: Mapping[str, Any]) -> str:
    """Return a line for each face of a file, and for each warning, as text; `item` is one of `predict_paths`."""
    lines = []
    for one in item.get("faces", ()):
        x0, y0, x1, y1 = (round(edge) for edge in one["box"])
        score = "     –" if one["p_fake"] is None else f"{one['p_fake']:.4f}"
        frames = f", {one['frames']} frames" if "frames" in one else ""
        crop = "the picture as it is" if one["crop"] == AS_IT_IS else f"crop {one['crop']}"
        where = f"face {one['face']} at {x0},{y0} to {x1},{y1} ({x1 - x0} × {y1 - y0} px{frames}), {crop}"
        lines.append(f"{score}  {one['verdict'] or one['status']:<10}  {where}")
        lines += [f"  ! {text}" for text in one["warnings"]]
    lines += [f"  ! {text}" for text in item.get("warnings", ()) if item["faces"]]
    if item.get("frames_without_face"):
        lines.append(f"{item['frames_without_face']} frames without a face are not judged")
    return "".join(f"        {line}\n" for line in lines)


def refuse_nothing(detector: str, by_file: Mapping[str, Judged]) -> None:
    """Raise NothingJudged if no file has a score or an answer."""
    rows = [row for judged in by_file.values() for row in (*judged.rows, *(judged.answers or ()))]
    if not any(row.status == "ok" for row in rows):
        first = next(row for row in rows if row.status != "ok")
        raise NothingJudged.of(detector, "files", len(by_file), first.frame, first.status, first.message)


def _failed(rows: Sequence[Prediction]) -> Prediction | None:
    return next((row for row in rows if row.status != "ok"), None)


def _which(judged: Judged) -> str:
    """Say whose verdict a file's is, if it has several faces."""
    if judged.faces is None or len(judged.faces) < 2:
        return ""
    return f"the verdict of face {deciding(judged.faces).number} of {len(judged.faces)}, the highest P(fake)"
