"""Frames of faces as `m2f2bench prepare` writes them: pictures, and a manifest with the frames that have no face."""

from __future__ import annotations

import csv
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ...core.clips import Clip, Frames
from ...core.errors import DataError, FrameError
from ...core.parsing import Refused, parse_json, read_json, read_text
from ...core.records import STATUSES, Frame, Locator, Question
from ...core.text import split_people
from ..base import AdapterOptions, Sampler, check_split
from ..files.images import FileAdapter, read_image

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ...core.records import Image

MANIFEST, QUESTIONS, REGIONS = "manifest.csv", "questions.jsonl", "regions.json"
COLUMNS = ("path", "label", "video", "method", "split", "identity", "index", "id", "picture", "status", "message")
"""Of the manifest; `status` is `ok`, or says why there is no picture at `path`, as `message` does in words."""
MASK = "mask"
"""The last column: the file of a mask. Of an `ok` frame without one, `message` says why its mask could not be read."""
MOST = 1 << 30
"""Bytes of a manifest, and of the questions."""


@dataclass(frozen=True, slots=True)
class PreparedClip(Clip):
    """Prepared frames of a video. `items` are the files, relative to the folder `place`; `ids` ends of the frames' ids.

    An id is the video's name, `/` and its end; for a single picture (the end is empty) the name alone. A frame without
    a picture has the manifest as its file.
    """

    ids: tuple[str, ...] = ()

    def frame(self, position: int) -> Frame:
        """Return the frame at a position in `items`, from 0."""
        end, place = self.ids[position], Locator(f"{self.place.path}/{self.items[position]}")
        name = f"{self.video}/{end}" if end else self.video
        return Frame(name, self.video, self.label, self.method, self.split, self.identities, place)

    def names(self) -> Any:
        """Yield the ids of the frames."""
        return (self.frame(position).id for position in range(len(self.ids)))

    def pick(self, positions: Sequence[int]) -> Clip:
        """Return the clip with the frames at some positions alone."""
        picked: Any = tuple(self.items[position] for position in positions)
        return replace(self, items=picked, ids=tuple(self.ids[position] for position in positions))


@dataclass
class Part:
    """A split as it is listed: its videos, why frames have no picture or no mask, and the files of masks, by id."""

    groups: list[Clip | list[Frame]] = field(default_factory=list)
    failed: dict[str, tuple[str, str]] = field(default_factory=dict)
    masks: dict[str, str] = field(default_factory=dict)


class PreparedOptions(AdapterOptions):
    """Options: `crop` says how the faces were found and cut out; it is a part of what decides a result's rows."""

    crop: str = ""
    """As in a signature: crop, finder and choice of faces, joined by `/`."""


class PreparedAdapter(FileAdapter[PreparedOptions]):
    """`root` holds `manifest.csv` and the pictures that it lists, as `m2f2bench prepare` writes them.

    Ids, videos and people are those of the dataset that was prepared. A frame in which no face was found, or which
    could not be read, is listed too, and fails with the same status when it is read. Masks, questions and manipulated
    regions are there if the dataset has them.
    """

    def __init__(self, root: Path | None = None, options: PreparedOptions | None = None) -> None:
        """Make an adapter of the folder `root`; nothing is read yet."""
        super().__init__(root, options)
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._splits: dict[str, Part] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to make the adapter in another process."""
        return type(self), (self.root, self.options)

    def holds(self, split: str) -> bool:
        """Return whether the manifest has frames of a split."""
        return split in self._listed()

    def groups(self, split: str) -> Sequence[Clip | list[Frame]]:
        """Return the videos of a split in the order of the manifest. Raises `DataError` for a split that it lacks."""
        return self._part(split).groups

    def frames(self, split: str) -> Sequence[Frame]:
        """Return the frames of a split in the order of the manifest. Raises `DataError` for a split that it lacks."""
        groups = self._part(split).groups
        clips = [one for one in groups if isinstance(one, Clip)]
        if len(clips) == len(groups):
            return Frames(clips)
        return [frame for one in groups for frame in (Frames([one]) if isinstance(one, Clip) else one)]

    def sample(self, split: str, sampler: Sampler) -> Sequence[Frame]:
        """Return the frames that `sampler` picks from each video; faces of one picture stay together."""
        clips = [one for one in self._part(split).groups if isinstance(one, Clip)]
        if len(clips) < len(self._part(split).groups):
            return super().sample(split, sampler)
        return Frames([clip.pick(sampler(len(clip))) for clip in clips])

    def read(self, frame: Frame) -> Image:
        """Return the crop. Raises `FrameError` with the status of the manifest for a frame without one."""
        status, reason = self._part(frame.split).failed.get(frame.id, ("ok", ""))
        if status != "ok":
            raise FrameError(frame.id, reason, status)
        return super().read(frame)

    def mask(self, frame: Frame) -> npt.NDArray[np.bool_] | None:
        """Return the manipulated pixels of a crop, bool [H, W]; None without. Raises `FrameError`."""
        part = self._part(frame.split)
        if frame.id in part.failed:
            status, reason = part.failed[frame.id]
            raise FrameError(frame.id, reason, "unreadable" if status == "ok" else status)
        path = part.masks.get(frame.id)
        if path is None:
            return None
        found: npt.NDArray[np.bool_] = read_image(self._root / path, frame.id)[:, :, 0] > 127
        return found

    def has_masks(self) -> bool:
        """Return whether the manifest has masks."""
        return any(part.masks for part in self._listed().values())

    def questions(self, split: str, kind: str = "blind") -> list[Question]:
        """Return the questions of the dataset that was prepared about these frames. Raises `DataError`."""
        text = self._text(QUESTIONS) if (self._root / QUESTIONS).exists() else ""
        found = []
        for number, line in enumerate(text.splitlines(), 1):
            try:
                row = parse_json(line)
                if row.pop("split") == split and row["kind"] == kind:
                    found.append(Question(**row | {"references": tuple(row["references"])}))
            except (Refused, TypeError, KeyError, AttributeError):
                raise self._damaged(QUESTIONS, f", line {number}") from None
        return found

    def altered_regions(self, split: str) -> dict[str, frozenset[str]]:
        """Return the manipulated regions of the dataset that was prepared. Raises `DataError`."""
        path = self._root / REGIONS
        try:
            held = read_json(path, MOST, MOST) if path.exists() else {}
            return {name: frozenset(regions) for name, regions in held.get(split, {}).items()}
        except (Refused, TypeError, AttributeError):
            raise self._damaged(REGIONS) from None

    def fits(self) -> bool:
        """Return False: a prepared folder has its own card."""
        return False

    def _reads_files(self) -> bool:
        return True

    @property
    def _root(self) -> Path:
        return self.root or Path()

    def _text(self, name: str) -> str:
        path = self._root / name
        try:
            return read_text(path, MOST)
        except Refused as error:
            raise DataError(f"'{path}' cannot be read: {error}; prepare the dataset again") from None

    def _damaged(self, name: str, where: str = "") -> DataError:
        return DataError(f"'{self._root / name}'{where}: it is damaged; prepare the dataset again")

    def _part(self, split: str) -> Part:
        check_split("a prepared dataset", split, self.splits)
        found = self._listed()
        if split not in found:
            raise DataError(
                f"'{self._root / MANIFEST}' has no {split} split: it has {', '.join(found) or 'no frames at all'}"
            )
        return found[split]

    def _listed(self) -> dict[str, Part]:
        with self._lock:
            if self._splits is None:
                self._splits = self._parsed()
            return self._splits

    def _parsed(self) -> dict[str, Part]:
        reader = csv.reader(_lines(self._text(MANIFEST)))
        names = next(reader, [])
        lacking = [name for name in (*COLUMNS, MASK) if name not in names]
        if lacking:
            raise DataError(
                f"manifest '{self._root / MANIFEST}' has no column '{lacking[0]}': is it of m2f2bench prepare?"
            )
        parts: dict[str, Part] = defaultdict(Part)
        videos: dict[tuple[str, str, str], list[Row]] = {}
        for values in filter(None, reader):
            row = dict(zip(names, values, strict=False))
            if len(values) != len(names) or row["label"] not in ("0", "1") or row["status"] not in STATUSES:
                raise self._damaged(MANIFEST, f", line {reader.line_num}")
            part = parts[row["split"]]
            if row["status"] != "ok" or row["message"]:
                part.failed[row["id"]] = (row["status"], row["message"])
            if row[MASK]:
                part.masks[row["id"]] = row[MASK]
            video = videos.setdefault((row["split"], row["method"], row["video"]), [])
            file = row["path"] if row["status"] == "ok" else MANIFEST
            video.append(Row(row["id"], file, int(row["label"]), sys.intern(row["identity"]), row["picture"]))
        for (split, method, name), rows in videos.items():
            parts[split].groups.append(_group(self._root, name, method, split, rows))
        return dict(parts)


class Row(NamedTuple):
    """What is kept of a line of the manifest until the frames of its video are known."""

    id: str
    file: str
    label: int
    identity: str
    picture: str


def _lines(text: str) -> Iterator[str]:
    """Yield the lines of a text, each with its end; only `\\n` ends one."""
    begin = 0
    while end := text.find("\n", begin) + 1:
        yield text[begin:end]
        begin = end
    if begin < len(text):
        yield text[begin:]


def _group(root: Path, video: str, method: str, split: str, rows: Sequence[Row]) -> Clip | list[Frame]:
    """Return the frames of a video: a clip, or a list where ids do not begin with its name or faces share pictures."""
    first = rows[0]
    ends = tuple(row.id.removeprefix(video).removeprefix("/") for row in rows)
    plain = all(row.id == (f"{video}/{end}" if end else video) for row, end in zip(rows, ends, strict=True))
    same = all(row.identity == first.identity and row.label == first.label for row in rows)
    if plain and same and not any(row.picture for row in rows):
        files = tuple(row.file for row in rows)
        return PreparedClip(video, first.label, method, split, _people(first), Locator(str(root)), files, ends)
    return [
        Frame(row.id, video, row.label, method, split, _people(row), Locator(str(root / row.file)), row.picture)
        for row in rows
    ]


def _people(row: Row) -> tuple[str, ...]:
    return tuple(part for part in split_people(row.identity) if part)
