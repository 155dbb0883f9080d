"""Shards: equal parts of what is judged, one for each machine of a cluster."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import CardError
from .text import quoted

FORM = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")
MARK = "--shard"
"""What the name of a shard's folder has after the name of the run's."""


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count`, counted from 1. Written `number/count`."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard that a text such as `2/4` names. Raises CardError."""
        found = FORM.fullmatch(text.strip())
        number, count = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= number <= count:
            raise CardError(f"--shard {quoted(text)} is not K/N, part K of N parts with K from 1 to N, such as 2/4")
        return cls(number, count)

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def suffix(self) -> str:
        """What is put after the name of the run's folder."""
        return f"{MARK}{self.number}of{self.count}"

    def holds(self, videos: Sequence[str]) -> list[bool]:
        """Return for each frame, given by its video, whether it is in this shard.

        Videos are whole and stay in the order in which they first appear. Each is in the part in which its middle frame
        would be if all frames were cut into `count` equal parts; so a part differs from an equal one by at most the
        longest video's frames.
        """
        frames, before = Counter(videos), 0
        mine: dict[str, bool] = {}
        for video, own in frames.items():
            middle = 2 * before + own  # in half frames
            mine[video] = middle * self.count // (2 * len(videos)) == self.number - 1
            before += own
        return [mine[video] for video in videos]
