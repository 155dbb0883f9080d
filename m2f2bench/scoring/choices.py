"""Choices of an evaluation that stored rows support: which frames, which level and aggregation, which missing rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..cards.models import ProtocolCard
from ..cards.protocols import Aggregation, FrameSelection, Missing, MissingRule
from ..core.arrays import Bools, Codes
from ..core.rows import Rows
from ..datasets.dataset import pick
from ..datasets.files.folders import natural

COUNTS = (8, 16, 32)
WAYS = ("first", "uniform")
WORDS = {"first": "first", "uniform": "even"}
AGGREGATIONS = (
    Aggregation(),
    Aggregation(how="median"),
    Aggregation(how="max"),
    Aggregation(how="trimmed", trim=10, floor=1),
)
"""Of a video's frames; the last is that of `m2f2-paper`."""
RULES: tuple[MissingRule, ...] = ("drop", "half", "wrong")
FRAMES, LEVEL, AGGREGATION, MISSING = "frames", "level", "aggregation", "missing"
AXES = (FRAMES, LEVEL, AGGREGATION, MISSING)
"""What is chosen."""


class Choice(NamedTuple):
    """One way to evaluate the same rows. `aggregation` is empty at frame level."""

    frames: str
    level: str
    aggregation: str
    missing: str

    def __str__(self) -> str:
        how = f"{self.level} by {self.aggregation}" if self.aggregation else self.level
        return f"{self.frames}, {how}, {self.missing}"


class LeftOut(NamedTuple):
    """A choice that the rows do not support, or that changes nothing, and why."""

    axis: str
    choice: str
    why: str


class Held(NamedTuple):
    """What rows hold of each video: `picked` frames (None: all), and the limit of the run that made them."""

    picked: FrameSelection
    limit: int | None = None


class Supported(NamedTuple):
    """The choices along each axis, the first of each being the protocol's own, and those that are left out.

    The selection of frames is None for all rows; the aggregation is None at frame level.
    """

    frames: dict[str, FrameSelection | None]
    units: list[Aggregation | None]
    missing: list[Missing]
    left_out: list[LeftOut]

    def choices(self) -> Iterator[tuple[Choice, FrameSelection | None, Aggregation | None, Missing]]:
        """Return every combination, the protocol's own first."""
        known = set()
        for name, selection in self.frames.items():
            for unit in self.units:
                for rule in self.missing:
                    text = rule.frames if unit is None else str(rule)
                    level, how = ("frame", "") if unit is None else ("video", str(unit))
                    choice = Choice(name, level, how, text)
                    if choice not in known:  # rules that differ for videos alone are one at frame level
                        known.add(choice)
                        yield choice, selection, unit, rule


class Places(NamedTuple):
    """Of each row the place of its picture in its video, from 0, and the number of pictures there, int64 [N] each; and
    the number of videos."""

    place: Codes
    size: Codes
    videos: int


def places_in(rows: Rows) -> Places:
    """Return each row's place; pictures of a video (by name and manipulation) are in the natural order of their names.

    Several faces of one picture have the same place.
    """
    names = list(zip(rows.video.tolist(), rows.method.tolist(), strict=True))
    found: dict[tuple[str, str], set[str]] = {}
    for name, one in zip(names, rows.picture.tolist(), strict=True):
        found.setdefault(name, set()).add(one)
    order = {name: {one: i for i, one in enumerate(sorted(own, key=natural))} for name, own in found.items()}
    place = [order[name][one] for name, one in zip(names, rows.picture.tolist(), strict=True)]
    count = [len(found[name]) for name in names]
    return Places(np.array(place, dtype=np.int64), np.array(count, dtype=np.int64), len(found))


def kept_by(selection: FrameSelection | None, places: Places) -> Bools:
    """Return which rows a selection keeps, bool [N]: those of the picked pictures of each video."""
    if selection is None:
        return np.ones(len(places.place), dtype=np.bool_)
    kept = np.zeros(len(places.place), dtype=np.bool_)
    for n in np.unique(places.size).tolist():
        kept |= (places.size == n) & np.isin(places.place, pick(selection, n))
    return kept


def supported(places: Places, protocol: ProtocolCard, held: Held, all_scored: bool) -> Supported:
    """Return the choices that rows in these places support. `all_scored`: no detector lacks the score of any row."""
    most = int(places.size.max())
    alone = most == 1 and places.place.size == places.videos
    left: list[LeftOut] = []
    frames = _frames(most, held, left)
    units: list[Aggregation | None] = []
    if alone:
        left.append(LeftOut(LEVEL, "video", "no video has two frames: the same as frame level"))
        units.append(None if protocol.level == "frame" else protocol.aggregation)
    else:
        own = protocol.aggregation if protocol.level == "video" else None
        others = [one for one in (None, *AGGREGATIONS) if one != own]
        units = [own, *others]
    missing = [protocol.missing]
    others_of = [Missing(frames=rule, videos=rule) for rule in RULES]
    if all_scored:
        left += [
            LeftOut(MISSING, str(one), "every row has a score: it changes nothing")
            for one in others_of
            if one != protocol.missing
        ]
    else:
        missing += [one for one in others_of if one != protocol.missing]
    return Supported(frames, units, missing, left)


def _frames(most: int, held: Held, left: list[LeftOut]) -> dict[str, FrameSelection | None]:
    """Return the selections of frames by name; what the rows hold comes first, as None."""
    picked = held.picked
    count = picked.count
    if count is not None and most < count and held.limit is None:  # every video is shorter than what was picked
        picked, count = FrameSelection(), None
    whole = "all" if count is None else f"{WORDS[picked.which]} {count}"
    found: dict[str, FrameSelection | None] = {whole: None}
    if count is not None:
        left.append(LeftOut(FRAMES, "all", f"the rows hold the {whole} frames of each video alone"))
    for way in WAYS:
        for wanted in COUNTS:
            name = f"{WORDS[way]} {wanted}"
            if name == whole:
                continue
            why = _unsupported(way, wanted, most, picked, whole, held.limit)
            if why:
                left.append(LeftOut(FRAMES, name, why))
            elif count is not None and way == "uniform":
                found[f"{name} of the {whole}"] = FrameSelection(which="uniform", count=wanted)
            else:
                found[name] = FrameSelection(which="first" if way == "first" else "uniform", count=wanted)
    return found


def _unsupported(way: str, wanted: int, most: int, picked: FrameSelection, whole: str, limit: int | None) -> str:
    """Return why rows do not support `wanted` frames taken in a `way`; empty if they do."""
    if limit is not None:
        return f"the run was limited to {limit} frames of the dataset: which of a video are lacking is not known"
    count = picked.count
    if count is None:
        if wanted < most:
            return ""
        frames = f"{most} frame{'s' if most > 1 else ''}"
        return f"no video has more than {frames}: the same as {whole}"
    if way != picked.which:
        return f"the rows hold the {whole} frames of each video alone"
    return "" if wanted < count else f"the rows hold the {whole} frames of each video alone"
