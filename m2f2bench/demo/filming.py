"""Judgement of the people in a video: a score over time for each, and the frames that are the surest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import DataError, FrameError, M2F2BenchError, first_line
from ..datasets.files.video import open_video, pictures_of, seconds_of
from ..inference.people import Looked, look_at_video
from ..inference.people import Person as Followed
from ..inference.verdicts import THRESHOLD
from .judging import Judge, Panel, Person

if TYPE_CHECKING:
    from ..core.records import Image

LOOKS = 16
"""Frames of a video that are judged, evenly spread."""
MOST_SECONDS = 180.0
"""Longest video."""
MOST_PEOPLE = 3
"""People of a video that are judged: the largest."""
SUREST = 3
"""Frames that are shown."""


@dataclass(frozen=True, eq=False)
class Shot:
    """One look at one person: the frame's number, its second, and the person in it."""

    number: int
    second: float
    person: Person


@dataclass(frozen=True, eq=False)
class Film:
    """A judged video: its length in seconds, the frames looked at by number, and the shots of each person."""

    seconds: float
    images: dict[int, Image]
    people: list[list[Shot]]
    remark: str = ""

    def lines(self) -> dict[str, list[tuple[float, float]]]:
        """Return (second, P(fake)) of each person and detector, by name, in order of time."""
        found: dict[str, list[tuple[float, float]]] = {}
        for number, shots in enumerate(self.people, 1):
            for name in shots[0].person.verdicts:
                scores = [(shot.second, shot.person.verdicts[name].score) for shot in shots]
                found[self._name(number, name)] = [(second, one) for second, one in scores if one is not None]
        return found

    def means(self) -> dict[str, float | None]:
        """Return the mean P(fake) of each person and detector, by name; None where no frame has one."""
        lines = self.lines()
        return {
            name: sum(score for _, score in points) / len(points) if points else None for name, points in lines.items()
        }

    def surest(self, count: int = SUREST) -> list[tuple[int, Shot]]:
        """Return the shots farthest from THRESHOLD by the first detector, with their person's number, by time.

        Each person's surest comes before anybody's second, so that all who were judged are seen.
        """
        ranked = []
        for number, shots in enumerate(self.people, 1):
            scored = [(next(iter(shot.person.verdicts.values())).score, shot) for shot in shots]
            sure = sorted(((abs(one - THRESHOLD), shot) for one, shot in scored if one is not None), key=_sureness)
            ranked += [(rank, -distance, number, shot) for rank, (distance, shot) in enumerate(sure)]
        ranked.sort(key=lambda one: one[:3])
        return sorted(((number, shot) for *_, number, shot in ranked[:count]), key=lambda one: one[1].second)

    def to_json(self) -> dict[str, Any]:
        """Return the mean and the scores over time of each person and detector."""
        return {
            "seconds": round(self.seconds, 3),
            "remark": self.remark,
            "means": self.means(),
            "scores": {name: [[round(a, 3), b] for a, b in points] for name, points in self.lines().items()},
        }

    def _name(self, number: int, detector: str) -> str:
        return detector if len(self.people) == 1 else f"person {number}, {detector}"


def _sureness(one: tuple[float, Shot]) -> float:
    return -one[0]


def film(panel: Panel, path: Path, names: Sequence[str] | None = None) -> Film:
    """Judge a video file. Raises DataError in one line if it is refused, none, or shows no face."""
    judges = panel.chosen(names)
    rate, seconds = measured(path)
    by_crop: dict[str, list[Judge]] = {}
    for judge in judges:
        by_crop.setdefault(judge.crop.signature(), []).append(judge)
    shots: dict[int, dict[int, Person]] = {}
    with panel.lock:
        for same in by_crop.values():
            looked = _looked(path, panel, same[0])
            for person in looked.people[:MOST_PEOPLE]:
                _judge(person, same, shots.setdefault(person.number, {}))
    video = looked.video
    if not shots:
        raise DataError(f"no face was found in the {len(video)} frames of the video that were looked at")
    people = [
        [Shot(at, at / rate, one) for at, one in sorted(faces.items()) if len(one.verdicts) == len(judges)]
        for _, faces in sorted(shots.items())
    ]
    images = dict(zip(video.numbers, video.images, strict=True))
    return Film(seconds or video.readable / rate, images, [one for one in people if one], video.remark)


def _looked(path: Path, panel: Panel, judge: Judge) -> Looked:
    try:
        return look_at_video(path, LOOKS, panel.finder, judge.crop)
    except FrameError as error:
        raise DataError(f"the file is no video that can be judged: {error.reason}") from None


def _judge(person: Followed, judges: Sequence[Judge], faces: dict[int, Person]) -> None:
    """Add what detectors of one crop say of one person, by the frame's number."""
    for judge in judges:
        said = judge.verdicts([one.crop.image for one in person.found], maps=False)
        for number, found, verdict in zip(person.numbers, person.found, said, strict=True):
            one = faces.setdefault(number, Person(found.face, {}, {}))
            one.found[judge.name], one.verdicts[judge.name] = found, verdict


def measured(path: Path) -> tuple[float, float]:
    """Return a video's frames a second, and its length in seconds (0 if unknown), from its head alone.

    Raises DataError for a file that is no video, and for one that is longer than MOST_SECONDS.
    """
    try:
        with open_video(path) as container:
            stream = pictures_of(container, path)
            rate = float(stream.average_rate or 25)
            length = seconds_of(container, stream) or Fraction(0)
    except FrameError as error:
        raise DataError(f"the file is no video that can be judged: {error.reason}") from None
    except M2F2BenchError:
        raise
    except Exception as error:
        raise DataError(f"the file is no video that can be judged: {first_line(error)}") from None
    if length > MOST_SECONDS:
        raise DataError(
            f"the video lasts {float(length):.0f} s, and this demo takes at most {MOST_SECONDS:g} s: cut it shorter"
        )
    return rate, float(length)
