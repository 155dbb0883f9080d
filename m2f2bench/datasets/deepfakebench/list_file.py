"""Lists of DeepfakeBench, `dataset_json/<name>.json`: `{dataset: {label: {split: {[level:] {video: …}}}}}`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import DataError, near
from ...core.parsing import Refused, read_json
from ...core.text import quoted
from ..files.folders import natural
from .labels import LEVELS, meaning, of_many_methods
from .places import slashed

MOST_BYTES = 2 << 30
"""Of a list: DFDC has three million frames, about 0.4 GB."""
MOST_PARTS = 50_000_000


@dataclass(slots=True)
class Listed:
    """A video of a list: its name, label and method, its folder as written with /, and the names of its frames.

    `items` are in natural order, each once; `repeated` says how many there were more. `folder` is empty and there are
    no items for a video without frames.
    """

    name: str
    label: int
    method: str
    folder: str
    items: tuple[str, ...]
    repeated: int = 0


class VideoList:
    """One list, read once; `dataset` is the key at its top, or one of `others` in lower case."""

    def __init__(self, path: Path, dataset: str, others: Collection[str] = ()) -> None:
        """Read a list. Raises DataError for a file that is missing or no list, or that is another dataset's."""
        self.path, self.dataset = path, dataset
        try:
            data = read_json(path, MOST_BYTES, MOST_PARTS)
        except Refused as error:
            if not path.exists():
                raise DataError(f"no list '{path}'; fetch it from DeepfakeBench, or set options.lists") from None
            raise DataError(f"list '{path}' cannot be read: {error}") from None
        if not isinstance(data, dict) or not data:
            raise self._wrong("it should be {dataset: {label: {split: {video: {label, frames}}}}}")
        key = dataset if dataset in data else next((one for one in data if one.casefold() in others), None)
        if key is None:
            top = ", ".join(map(quoted, list(data)[:3]))
            raise self._wrong(f"it is a list of {top} and not of '{dataset}': give its own, or set options.dataset")
        self.groups = self._mapping(data[key], key)
        self._names: dict[str, str] = {}
        self._shared: dict[tuple[str, ...], tuple[str, ...]] = {}

    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits that any label has."""
        found = [split for label, group in self.groups.items() for split in self._mapping(group, label)]
        return tuple(dict.fromkeys(found))

    def videos(self, split: str, level: str) -> Iterator[Listed]:
        """Yield the videos of a split at a compression level, label by label. Raises DataError for a wrong list."""
        for label, name, video in self._entries(split, level):
            yield self._video(label, name, video)

    def marks(self, split: str, level: str) -> Iterator[str]:
        """Yield a text for each video of a split that has frames, by which it is known in another split."""
        for _, _, video in self._entries(split, level):
            frames = video.get("frames")
            if isinstance(frames, list) and frames and isinstance(frames[0], str):
                yield slashed(min(one for one in frames if isinstance(one, str)))

    def _entries(self, split: str, level: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for label, group in self.groups.items():
            part = self._mapping(self._mapping(group, label).get(split, {}), f"{label}, {split}")
            levels = [key for key, value in part.items() if key in LEVELS and "frames" not in _keys(value)]
            if levels and level not in levels:
                raise self._wrong(
                    f"{label}, {split} has {', '.join(levels)} and not the compression level '{level}': "
                    f"set options.compression{near(level, levels)}"
                )
            chosen = self._mapping(part[level], f"{label}, {split}, {level}") if levels else part
            if isinstance(chosen.get("frames"), list):  # one video's record without its name, left by DFDC's maker
                chosen = dict(chosen)
                stray = {"label": chosen.pop("label", label), "frames": chosen.pop("frames")}
                written = next((one for one in stray["frames"] if isinstance(one, str)), "")
                name = slashed(written).rpartition("/")[0].rpartition("/")[2]
                if name and name not in chosen:
                    yield label, name, stray
            for name, video in chosen.items():
                yield label, name, self._mapping(video, f"{label}, {split}, {name}")

    def _video(self, group: str, name: str, video: dict[str, Any]) -> Listed:
        label, method = self._meaning(group, group, name)
        own = video.get("label", group)
        if own != group:
            said = self._meaning(own, group, name)
            if said[0] != label or (said[1] != method and not of_many_methods(group)):
                raise self._wrong(f"video '{name}' has the label {quoted(own)} in the group '{group}': one is wrong")
            method = said[1]
        frames = video.get("frames")
        if not isinstance(frames, list) or not all(isinstance(one, str) for one in frames):
            raise self._wrong(f"video '{name}' of '{group}' has no list of frames")
        if not frames:
            return Listed(name, label, method, "", ())
        return self._with_frames(Listed(name, label, method, "", ()), frames)

    def _with_frames(self, video: Listed, frames: list[str]) -> Listed:
        """Return the video with its folder and the names of its files, in natural order."""
        first = frames[0]
        cut = max(first.rfind("/"), first.rfind("\\")) + 1
        base = first[:cut]
        names = [one[cut:] for one in frames]
        if not all(one.startswith(base) for one in frames) or any("/" in one or "\\" in one for one in names):
            base, names = _common(frames)
        kept = {self._names.setdefault(one, one) for one in names}
        alike = len({len(one) for one in kept}) == 1
        items = tuple(sorted(kept) if alike else sorted(kept, key=natural))
        video.items = self._shared.setdefault(items, items)
        video.folder, video.repeated = slashed(base).rstrip("/"), len(names) - len(kept)
        return video

    def _meaning(self, label: Any, group: str, name: str) -> tuple[int, str]:
        found = meaning(label) if isinstance(label, str) else None
        if found is None:
            raise self._wrong(
                f"the label {quoted(label)} of video '{name}' in '{group}' is unknown: labels end with _Real or _Fake"
            )
        return found

    def _mapping(self, value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong(f"{where} should be a mapping, not {quoted(value)}")
        return value

    def _wrong(self, problem: str) -> DataError:
        return DataError(f"list '{self.path}': {problem}")


def _keys(value: Any) -> Any:
    return value if isinstance(value, dict) else ()


def _common(frames: list[str]) -> tuple[str, list[str]]:
    """Return the folder that all paths are under, and the paths in it, with /."""
    paths = [slashed(one) for one in frames]
    folders = [one.split("/")[:-1] for one in paths]
    shared = folders[0]
    for one in folders[1:]:
        n = next((i for i, (a, b) in enumerate(zip(shared, one, strict=False)) if a != b), min(len(shared), len(one)))
        shared = shared[:n]
    base = "/".join([*shared, ""])
    return base, [one[len(base) :] for one in paths]
