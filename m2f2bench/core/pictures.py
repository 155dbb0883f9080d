"""Pictures in files of their own, of any videos, as columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from .frame_lists import FrameList
from .records import Frame, Locator
from .text import in_utf8


@dataclass(frozen=True, eq=False)
class Pictures(FrameList):
    """Frames that are one file each, of one split; all lists are [N], and their values those of `Frame`.

    A frame's file is `folder` and its id, unless `paths` are given. `picture` is None if all are empty.
    """

    split: str
    folder: str
    id: list[str]
    video: list[str]
    label: list[int]
    method: list[str]
    identities: list[tuple[str, ...]]
    picture: list[str] | None = None
    paths: list[str] | None = None

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.id)

    def frame(self, position: int) -> Frame:
        """See `FrameList.frame`."""
        name = self.id[position]
        path = self.folder + name if self.paths is None else self.paths[position]
        picture = "" if self.picture is None else self.picture[position]
        shared = (self.label[position], self.method[position], self.split, self.identities[position])
        return Frame(name, self.video[position], *shared, Locator(path), picture)

    def take(self, positions: Sequence[int]) -> Pictures:
        """See `FrameList.take`."""
        columns: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        run = isinstance(positions, range) and positions.step == 1 and len(positions) > 0
        part = slice(positions[0], positions[-1] + 1) if run else None
        for name, values in columns.items():
            if isinstance(values, list):
                columns[name] = values[part] if part else [values[position] for position in positions]
        return Pictures(**columns)

    def column(self, name: str) -> list[Any]:
        """See `FrameList.column`."""
        found = getattr(self, name)
        if isinstance(found, str) or found is None:
            return [found or ""] * len(self)
        values = list(found)
        if name in ("label", "identities"):
            return values if name == "label" else [tuple(map(in_utf8, people)) for people in values]
        return values if all(map(str.isascii, values)) else [in_utf8(value) for value in values]

    def labels(self) -> Iterator[tuple[str, int]]:
        """See `FrameList.labels`."""
        return zip(self.column("video"), self.label, strict=True)

    def examples(self) -> Iterator[Frame]:
        """See `FrameList.examples`."""
        return iter(self)
