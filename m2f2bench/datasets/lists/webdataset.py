"""Datasets of WebDataset's tars: pictures and their labels as files of one key, `000123.jpg` and `000123.cls`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from ...core.clips import ALONE, Clip
from ...core.errors import DataError, refuse_machine_fault
from ...core.memo import frame_stamp
from ...core.parsing import Refused, parse_json
from ...core.records import FAKE, ORIGINAL, REAL, SPLITS, Frame, Locator
from ...core.text import quoted
from ..base import Adapter, AdapterOptions, Sampler, check_split
from ..files.encoded import EncodedAdapter
from ..files.folders import LOOKED_AT, folders_in, listing, natural
from ..files.images import IMAGE_SUFFIXES
from ..files.tars import Members, read_member, tar_members, tar_stem
from .entries import LABELS, NO_METHOD, people
from .split_names import SPLIT_NAMES, no_split, split_in

DEEPEST = 2
"""Folders between the root and a tar."""
LONGEST = 1 << 20
"""Bytes of a key's label or JSON."""
_SHARD = re.compile(r"(.*[^0-9])?\d+(-of-\d+)?")


class WebDatasetOptions(AdapterOptions):
    """Options: the `shards`, the key of the label in a JSON, and what numbers mean."""

    shards: tuple[str, ...] = ()
    """Tars, or folders of them, in the root; without any all tars in it and in its folders."""
    label: str = "label"
    """The label in a key's JSON."""
    real_is: Literal[0, 1] = 0
    """The number that means real."""


@dataclass(frozen=True)
class _Sample:
    """One key of a tar: its picture, and what is said about it."""

    shard: Path
    member: str
    label: int
    method: str
    split: str
    video: str
    identities: tuple[str, ...]


class WebDatasetAdapter(EncodedAdapter[WebDatasetOptions]):
    """Tars of `KEY.jpg` (or another image) with `KEY.cls` (0, 1, real, fake) or `KEY.json`; nothing is unpacked.

    A JSON has the label, and may have `method`, `video`, `split` and `identity` (several are joined by `+`, or a list).
    The split is the JSON's, else the one that the tar's name or its folder's speaks of (`train-0000.tar`), else test.
    Without a video each picture is one, with the id `<tar without ending>/<member>`; else the video is
    `<method>/<video>` and its frames have the natural order of the members' names. A tar that is cut short, a key
    without a label and one with two pictures raise `DataError`; other files of a key are counted (`remarks`).
    """

    def clips(self, split: str) -> Sequence[Clip]:
        """Return the videos of a split: single pictures in the order of the tars, then videos by name."""
        check_split("a WebDataset", split, self.splits)
        shards = self._shards()
        samples = [one for shard, named in shards for one in self._samples(shard, named) if one.split == split]
        if not samples:
            counts = Counter(named for _, named in shards)
            raise no_split(self.root, split, {f"{one} tars": counts[one] for one in SPLITS}, set(counts) == {"test"})
        alone: list[Clip] = []
        videos: dict[tuple[str, Path], list[_Sample]] = {}
        for one in samples:
            if one.video:
                videos.setdefault((one.video, one.shard), []).append(one)
            else:
                alone.append(self._clip(one, self._name(one), Locator(str(one.shard), one.member)))
        for (video, shard), group in sorted(videos.items(), key=lambda item: (natural(item[0][0]), str(item[0][1]))):
            first = group[0]
            if any((one.label, one.method) != (first.label, first.method) for one in group):
                raise DataError(f"tar '{shard}': video '{video}' has real and fake frames")
            items = tuple(sorted((one.member for one in group), key=natural))
            alone.append(self._clip(first, video, Locator(str(shard), ""), items))
        return alone

    def sample(self, split: str, sampler: Sampler) -> Sequence[Frame]:
        """Return the frames that `sampler` picks from each video; one may lie in several tars."""
        clips = self.clips(split)
        if len({clip.video for clip in clips}) < len(clips):
            return Adapter.sample(self, split, sampler)
        return super().sample(split, sampler)

    def holds(self, split: str) -> bool:
        """Return whether there is a tar, or a key, of a split."""
        shards = self._shards()
        return any(named == split for _, named in shards) or any(
            one.split == split for shard, named in shards for one in self._samples(shard, named)
        )

    def fits(self) -> bool:
        """Return whether the root has tars named like shards: with a number, and a split in the name or the folder."""
        try:
            if self.root is None or not self.root.is_dir():
                return False
            return any(
                _SHARD.fullmatch(path.stem) and _split_of(path, self.root) is not None
                for folder in [
                    self.root,
                    *(self.root / name for name in folders_in(self.root, LOOKED_AT) if split_in(name)),
                ]
                for path in folder.glob("*.tar")
            )
        except (DataError, OSError, ValueError):
            return False

    def remarks(self, split: str) -> list[str]:
        """Return how many files of the tars are neither pictures nor labels."""
        others = Counter(
            extension
            for shard, _ in self._shards()
            for key in _keys(_whole(shard)).values()
            for extension in key
            if not _is_known(extension)
        )
        if not others:
            return []
        return [f"{sum(others.values())} files in the tars are not read ({', '.join(sorted(others)[:6])})"]

    def data(self, frame: Frame) -> bytes:
        """Return the bytes of a frame's picture, read at its place in the tar."""
        return read_member(frame.locator, frame.id)

    def stamp(self, frame: Frame) -> str:
        """Return a hash of the tar's path, size and times, and of the member's name."""
        return frame_stamp(frame.locator)

    def _clip(self, one: _Sample, video: str, place: Locator, items: tuple[str, ...] = ALONE) -> Clip:
        return Clip(video, one.label, one.method, one.split, one.identities, place, items)

    def _name(self, one: _Sample) -> str:
        stem = tar_stem(one.shard.relative_to(self._folder()).as_posix())
        return f"{stem}/{one.member}"

    def _folder(self) -> Path:
        root = self.root
        if root is None or not root.exists():
            raise DataError(f"a WebDataset needs a root: a tar, or a folder of tars, not '{root}'")
        return root.parent if root.is_file() else root

    def _shards(self) -> list[tuple[Path, str]]:
        """Return the tars with their splits, in natural order."""
        folder, root = self._folder(), cast(Path, self.root)
        found: list[Path] = []
        for one in [folder / name for name in self.options.shards] or [root]:
            if not one.exists():
                raise DataError(f"tar '{one}' does not exist; see options.shards")
            found += [one] if one.is_file() else _tars(one, 0)
        if not found:
            raise DataError(f"'{root}' has no tars in it")
        return [(path, _split_of(path, folder) or "test") for path in found]

    def _samples(self, shard: Path, named: str) -> Iterator[_Sample]:
        members = _whole(shard)
        try:
            with Path(members.data).open("rb") as file:
                for key, files in _keys(members).items():
                    where = f"tar '{shard}', key {quoted(key, 80)}"
                    pictures = [extension for extension in files if f".{extension}" in IMAGE_SUFFIXES]
                    if len(pictures) > 1:
                        raise DataError(f"{where}: it has two pictures, {' and '.join(sorted(pictures)[:2])}; keep one")
                    told = [kind for kind in files if kind in ("cls", "json")]
                    said = {kind: _content(file, members, files[kind], where) for kind in told}
                    if pictures:
                        yield self._sample(shard, files[pictures[0]], said, named, where)
                    elif said:
                        raise DataError(f"{where}: it has a label and no picture")
        except OSError as error:
            refuse_machine_fault(error, f"tar '{shard}'")
            raise DataError(f"tar '{shard}' cannot be read: {error.strerror or error}") from None

    def _sample(self, shard: Path, member: str, said: dict[str, str], named: str, where: str) -> _Sample:
        options = self.options
        record: Any = {}
        if "json" in said:
            try:
                record = parse_json(said["json"])
            except Refused as error:
                raise DataError(f"{where}: its JSON cannot be read: {error}") from None
            if not isinstance(record, dict):
                raise DataError(f"{where}: its JSON is {quoted(record)}, not an object with '{options.label}'")
        given = ([said["cls"]] if "cls" in said else []) + ([record[options.label]] if options.label in record else [])
        if not given:
            raise DataError(f"{where}: it has no label: neither a .cls nor a .json with '{options.label}'")
        labels = {_label(value, options.real_is, where) for value in given}
        if len(labels) > 1:
            raise DataError(f"{where}: its .cls and its .json have different labels")
        label = labels.pop()
        texts = {name: _text(record.get(name), name, where) for name in ("method", "video", "split", "identity")}
        split = SPLIT_NAMES.get(texts["split"].lower()) if texts["split"] else named
        if split is None:
            raise DataError(f"{where}: split {quoted(texts['split'])} is not one of {', '.join(SPLITS)}")
        method = ORIGINAL if label == REAL else texts["method"] or NO_METHOD
        if label == FAKE and method == ORIGINAL:
            raise DataError(f"{where}: a fake has the method '{ORIGINAL}', which is reserved for real images")
        video = texts["video"]
        if video and not video.startswith(f"{method}/"):
            video = f"{method}/{video}"
        return _Sample(shard, member, label, method, split, video, people(texts["identity"]))


def _tars(folder: Path, depth: int) -> list[Path]:
    folders, files = listing(folder)
    found = [folder / name for name in files if tar_stem(name) is not None]
    if depth < DEEPEST:
        found += [path for name in folders for path in _tars(folder / name, depth + 1)]
    return found


def _split_of(path: Path, folder: Path) -> str | None:
    """Return the split that a tar's name speaks of, or the nearest of its folders below `folder`."""
    inside = path.relative_to(folder).parts
    names = [tar_stem(path.name) or path.name, *reversed(inside[:-1])]
    return next((split for name in names if (split := split_in(name))), None)


def _whole(shard: Path) -> Members:
    """Return the members of a tar. Raises DataError for one that is cut short: no one knows what it should hold."""
    members = tar_members(shard)
    if members.problem:
        raise DataError(f"tar '{shard}': {members.problem}; fetch it again, or move it away")
    return members


def _keys(members: Members) -> dict[str, dict[str, str]]:
    """Return the members' names by key and extension (lower case): the key ends at the first dot of the file's name."""
    found: dict[str, dict[str, str]] = {}
    for name in members.names:
        folder, slash, file = name.rpartition("/")
        if file.startswith("."):
            continue
        stem, _, extension = file.partition(".")
        found.setdefault(f"{folder}{slash}{stem}", {})[extension.lower()] = name
    return found


def _is_known(extension: str) -> bool:
    return extension in ("cls", "json") or f".{extension}" in IMAGE_SUFFIXES


def _content(file: Any, members: Members, name: str, where: str) -> str:
    """Return the text of a small member."""
    place = members.place(name)
    assert place is not None  # its name comes from the members
    offset, size = place
    if size > LONGEST:
        raise DataError(f"{where}: '{name}' has {size:,} bytes, too many for a label")
    file.seek(offset)
    try:
        return cast(bytes, file.read(size)).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{where}: '{name}' is not UTF-8") from None


def _label(value: Any, real_is: int, where: str) -> int:
    text = "" if isinstance(value, bool) or value is None else str(value).strip().lower()
    if text in LABELS:
        return LABELS[text]
    if text not in ("0", "1"):
        raise DataError(f"{where}: label {quoted(value)} is neither 0 or real nor 1 or fake")
    return REAL if int(text) == real_is else FAKE


def _text(value: Any, name: str, where: str) -> str:
    if value is None:
        return ""
    if name == "identity" and isinstance(value, list) and all(isinstance(one, str) for one in value):
        return "+".join(value)
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return str(value).strip()
    raise DataError(f"{where}: {name} is {quoted(value)}, not a text")
