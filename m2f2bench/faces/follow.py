"""Tracks: the faces of one person over the pictures of a video.

Each track predicts where its face will be, at constant velocity, and faces are given to tracks so that the sum of the
costs is least (the assignment problem). So two people who cross keep their tracks, and a face that is hidden for a
while is found again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from .face import Box, Face, overlaps

FAR = 1.5
"""A face this far from where it was expected, in face sides, is another person's."""
OTHER_SIZE = 0.9
"""Natural logarithm of the ratio of two sides, from which on it is another person's face."""
RECENT = 6
"""The newest faces of a track, which give its velocity."""
NEVER = 1e6


@dataclass(eq=False)
class Track:
    """One person's faces: `faces` by time, in ascending order of time. `number` counts tracks from 0 as they began."""

    number: int
    faces: dict[float, Face] = field(default_factory=dict)

    @property
    def last(self) -> float:
        """Time of the last face."""
        return next(reversed(self.faces))

    def add(self, time: float, face: Face) -> None:
        """Add the face of a later time."""
        self.faces[time] = face

    def expected(self, time: float) -> Box:
        """Return the box that is expected at a later time: the straight way through the newest faces, and their size.

        Several faces, not two, give the velocity: the finder's boxes tremble.
        """
        recent = list(self.faces.items())[-RECENT:]
        times = np.array([one for one, _ in recent])
        boxes = np.array([face.box for _, face in recent])
        if len(recent) == 1:
            x0, y0, x1, y1 = boxes[0].tolist()
            return x0, y0, x1, y1
        centres, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
        passed = times - times.mean()
        velocity = passed @ centres / (passed @ passed)
        (x, y), (width, height) = centres.mean(axis=0) + velocity * (time - times.mean()), sizes.mean(axis=0)
        return float(x - width / 2), float(y - height / 2), float(x + width / 2), float(y + height / 2)

    def between(self, time: float) -> Box:
        """Return the box at any time: between the faces before and after it, or that of the first or last face."""
        before = max((one for one in self.faces if one <= time), default=None)
        after = min((one for one in self.faces if one >= time), default=None)
        if before is None or after is None or before == after:
            return self.faces[next(one for one in (before, after) if one is not None)].box
        share = (time - before) / (after - before)
        pairs = zip(self.faces[before].box, self.faces[after].box, strict=True)
        x0, y0, x1, y1 = ((1 - share) * a + share * b for a, b in pairs)
        return x0, y0, x1, y1


class Follower:
    """Follows faces from picture to picture. Pictures are given one after the other, in order of time.

    `patience` is the longest time for which a face may be gone. The result depends only on what was given.
    """

    def __init__(self, patience: float = 8.0) -> None:
        """Start without any track."""
        self.patience = patience
        self.tracks: list[Track] = []

    def step(self, time: float, faces: Sequence[Face]) -> list[Track]:
        """Give the faces of the next picture, and return the track of each. Raises ValueError for an earlier time."""
        if any(track.last >= time for track in self.tracks):
            raise ValueError(f"time {time} is not after the last picture's")
        alive = [track for track in self.tracks if time - track.last <= self.patience]
        given = assigned([track.expected(time) for track in alive], faces)
        found = []
        for number, face in enumerate(faces):
            place = given.get(number)
            if place is None:
                track = Track(len(self.tracks))
                self.tracks.append(track)
            else:
                track = alive[place]
            track.add(time, face)
            found.append(track)
        return found


def assigned(expected: Sequence[Box], faces: Sequence[Face]) -> dict[int, int]:
    """Return which of the `expected` boxes each face belongs to, by the face's number; a face may have none.

    The cost of a pair is the distance of the centres in face sides, the difference in size, and what the boxes do not
    share; a pair that is too far apart or of another size is never made.
    """
    if not expected or not faces:
        return {}
    a, b = np.asarray(expected, np.float64)[:, None], np.asarray([face.box for face in faces], np.float64)[None]
    sides = [np.sqrt(np.clip((one[..., 2] - one[..., 0]) * (one[..., 3] - one[..., 1]), 1e-9, None)) for one in (a, b)]
    apart = np.hypot(*np.moveaxis((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2, -1, 0))
    far = apart / np.sqrt(sides[0] * sides[1])
    size = np.abs(np.log(sides[0] / sides[1]))
    cost = far + size + 1 - overlaps(expected, [face.box for face in faces])
    cost[(far > FAR) | (size > OTHER_SIZE)] = NEVER
    rows, columns = linear_sum_assignment(cost)
    return {int(c): int(r) for r, c in zip(rows, columns, strict=True) if cost[r, c] < NEVER}


def follow(pictures: Iterable[tuple[float, Sequence[Face]]], patience: float = 8.0) -> list[Track]:
    """Return the tracks of a whole video: its times with the faces at each, in ascending order."""
    follower = Follower(patience)
    for time, faces in pictures:
        follower.step(time, faces)
    return follower.tracks
