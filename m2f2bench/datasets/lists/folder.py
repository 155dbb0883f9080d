"""Datasets of image and video files: a folder tree named by label, or a manifest that lists files."""

from __future__ import annotations

import bisect
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from ...core.clips import Clip, Frames
from ...core.errors import DataError
from ...core.memo import file_stamp
from ...core.pictures import Pictures
from ...core.records import FAKE, REAL, SPLITS, Frame, Locator
from ..base import AdapterOptions, Sampler, check_split
from ..files.folders import entries_of, holds
from ..files.images import IMAGE_SUFFIXES
from ..files.media import MediaAdapter
from ..files.video import VIDEO_SUFFIXES
from .entries import LABELS, Entry, PictureColumns, people
from .manifest import ColumnName, read_manifest

MEDIA_SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES


class FolderOptions(AdapterOptions):
    """Options: `manifest` is a list file in the root; `columns` are the manifest's names for `entries.COLUMNS`.

    `folders` names the levels between the label folder and the file, outermost first, if there is no manifest.
    """

    manifest: str | None = None
    """A list of files (`.csv` or `.jsonl`) in the root."""
    columns: dict[ColumnName, str] = Field(default_factory=dict)
    """The manifest's own names of our columns: `{path: file}`."""
    folders: tuple[Literal["method", "video", "identity"], ...] = ()
    """What the levels between label and file are, outermost first; without a manifest."""

    @field_validator("folders")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("a level of folders is named twice")
        return value


class FolderAdapter(MediaAdapter[FolderOptions]):
    """Images and videos named by folders or by a manifest; `root` is a folder or the manifest itself.

    Folders: `ROOT/{real,fake}/**` (all files are the test split) or `ROOT/{train,val,test}/{real,fake}/**`, names in
    any case. Without `folders` each image is a video, and a fake's method is the first folder under `fake`. Names of
    parent folders never group frames by themselves: FaceForensics++ has a `000_003` under every manipulation. With
    `folders`, a video is its method and all other levels, and real images need no level for the method. Hidden files,
    Thumbs.db and desktop.ini are skipped; other files that are neither images nor videos raise `DataError`.

    Manifest: `path` and `label` are required; a path is absolute, or relative to the root (to the manifest's folder if
    the root is the manifest). Labels are 0, 1, real, fake. A real image's method is `original`; a method in the
    manifest becomes part of the video's name. Without a split: test. Without a video: each image is a video. Several
    identities are joined by `+`. Several faces of one picture of a video have the same `picture`. The order of lines
    does not matter: a video's frames are ordered by `time` or `index` (numbers) if given, else in natural order of
    picture and path. `mask` is the image, or the video, of the altered pixels. A listed file that does not exist stays,
    and fails when it is read.

    A video file, by the ending of its name, is a video of its own, with all of its frames (see `MediaAdapter`): its
    name is its path, or that which the manifest or the folders give.
    """

    def __init__(self, root: Path | None = None, options: FolderOptions | None = None) -> None:
        """Make an adapter of a folder or a manifest; nothing is read yet."""
        super().__init__(root, options)
        self._masks: dict[str, dict[str, str]] = {}
        self._strange: dict[str, list[str]] = {}

    def frames(self, split: str) -> Sequence[Frame]:
        """Return the split's frames: folders walked in natural order, a manifest's videos naturally by name.

        Raises `DataError` for a split without images and videos, and for anything in the tree or manifest that is not
        clear.
        """
        parts = self._parts(split)
        clips = self._counted(split, parts)
        if len(clips) == len(parts):
            return Frames(clips)
        counted = iter(clips)
        found = [part if isinstance(part, Pictures) else Frames([next(counted)]) for part in parts]
        return found[0] if len(found) == 1 else [frame for part in found for frame in part]

    def sample(self, split: str, sampler: Sampler) -> Sequence[Frame]:
        """Return the frames that `sampler` picks from each video; faces of one picture stay together."""
        parts = self._parts(split)
        clips = [clip.pick(sampler(len(clip))) for clip in self._counted(split, parts)]
        if len(clips) == len(parts):
            return Frames(clips)
        picked = iter(clips)
        found = [_sampled(part, sampler) if isinstance(part, Pictures) else Frames([next(picked)]) for part in parts]
        return found[0] if len(found) == 1 else [frame for part in found for frame in part]

    def listed(self, split: str) -> Sequence[Clip]:
        """Return the video files of a split; see `MediaAdapter`."""
        return [part for part in self._parts(split) if isinstance(part, Clip)]

    def groups(self, split: str) -> Sequence[Clip | Sequence[Frame]]:
        """Return each video file as a clip whose frames are not counted, and the other videos' frames between them."""
        return self._parts(split)

    def remarks(self, split: str) -> list[str]:
        """Return a line each on a list none of whose files exist, and on videos that are cut short."""
        if split not in self._strange:
            self._parts(split)
        return [*self._strange[split], *super().remarks(split)]

    def mask_place(self, frame: Frame) -> Locator | None:
        """Return the place that the manifest's column `mask` gives for a frame or its video file."""
        if frame.split not in self._masks:
            self._parts(frame.split)
        path = self._masks[frame.split].get(frame.locator.path)
        return None if path is None else Locator(path)

    def has_masks(self) -> bool:
        """Return whether a manifest gives a mask to any of its files. Raises `DataError` as `frames` does."""
        return any(entry.mask for entry in self._entries()[0])

    def holds(self, split: str) -> bool:
        """Return whether the folder or the manifest has files of a split. Raises `DataError` as `frames` does."""
        return any(entry.split == split for entry in self._entries()[0])

    def _parts(self, split: str) -> list[Clip | Pictures]:
        """Return the videos of a split in order: video files, and between them the frames of all other videos."""
        check_split("a folder dataset", split, self.splits)
        entries, source = self._entries()
        counts = Counter(entry.split for entry in entries)
        if not counts[split]:
            there = ", ".join(f"{name} ({counts[name]})" for name in SPLITS if counts[name]) or "no images at all"
            hint = " (without splits all is test)" if set(counts) == {"test"} else ""
            raise DataError(f"'{source}' has no {split} split: it has {there}{hint}")
        own = [entry for entry in entries if entry.split == split]
        self._strange[split] = _strange(own, source)
        self._masks[split] = {entry.path: entry.mask for entry in own if entry.mask}
        entries.clear()
        videos: dict[str, tuple[str, int]] = {}  # the name, once for all frames, and the number
        clips: dict[int, Clip] = {}
        images = PictureColumns(split)
        for position, entry in enumerate(own):
            name, method = entry.names()
            before = len(videos)
            video, number = videos.setdefault(name, (name, before))
            if number in clips or (entry.is_video and number < before):
                raise DataError(
                    f"{entry.where}: '{entry.id}' belongs to video '{video}', which has another file: a video "
                    f"file is a video of its own; give each another name"
                )
            if entry.is_video:
                clips[number] = entry.clip()
            else:
                images.add(entry, video, method, number)
            own[position] = None  # type: ignore[call-overload]
        return _between(clips, images)

    def _counted(self, split: str, parts: list[Clip | Pictures]) -> Sequence[Clip]:
        clips = [part for part in parts if isinstance(part, Clip)]
        return self.counted(split, clips) if clips else []

    def _entries(self) -> tuple[list[Entry], Path]:
        """Return all listed images, and the folder or manifest that lists them."""
        root, manifest = self.root, self.options.manifest
        if root is None:
            raise DataError("a folder dataset needs a root: a folder with real and fake in it, or a manifest file")
        if not root.exists():
            raise DataError(f"'{root}' does not exist: give a folder with real and fake in it, or a manifest file")
        if manifest is None and root.is_dir():
            if self.options.columns:
                raise DataError(f"'{root}': options.columns needs a manifest; set options.manifest or remove it")
            return list(_walk_root(root, self.options.folders)), root
        if self.options.folders:
            raise DataError(f"'{root}': options.folders is not for a manifest, which has columns for that; remove it")
        if manifest is not None and not root.is_dir():
            raise DataError(f"'{root}' is a file, not the folder of options.manifest; give one of the two")
        path, base = (root, root.parent) if manifest is None else (root / manifest, root)
        return read_manifest(path, base, self.options.columns), path


def _between(clips: dict[int, Clip], images: PictureColumns) -> list[Clip | Pictures]:
    """Return video files by the numbers of their videos, and between them the images of the other videos."""
    pictures = images.pictures()
    if not clips:
        return [pictures]
    parts: list[Clip | Pictures] = []
    done = 0
    for number, clip in clips.items():
        end = bisect.bisect_left(images.numbers, number)
        parts += [pictures[done:end], clip] if end > done else [clip]
        done = end
    return [*parts, pictures[done:]] if done < len(pictures) else parts


def _sampled(pictures: Pictures, sampler: Sampler) -> Pictures:
    """Return the frames that `sampler` picks from each video, whose frames stand together; see `picked`."""
    videos, names = pictures.video, pictures.picture
    starts = [i for i in range(len(videos)) if i == 0 or videos[i] != videos[i - 1]]
    chosen: list[int] = []
    for start, end in zip(starts, [*starts[1:], len(videos)], strict=True):
        faces: dict[str, list[int]] = {}
        for position in range(start, end):
            faces.setdefault((names[position] if names else "") or pictures.id[position], []).append(position)
        listed = list(faces.values())
        chosen += [position for i in sampler(len(listed)) for position in listed[i]]
    return pictures if chosen == list(range(len(pictures))) else pictures.take(chosen)


def _strange(entries: list[Entry], source: Path) -> list[str]:
    """Return a line on a manifest none of whose files exist."""
    if not entries[0].line or any(file_stamp(entry.path) for entry in entries):
        return []
    return [
        f"none of the {len(entries):,} files that '{source}' lists exists, first '{entries[0].path}': is it the list "
        f"of another dataset, or are its files in another folder?"
    ]


def _named(folder: Path, names: tuple[str, ...]) -> dict[str, Path]:
    """Return the subfolders with one of the names, in any case. Raises `DataError` for a repeated name."""
    found: dict[str, Path] = {}
    for own, is_dir in entries_of(folder).items():
        name, path = own.lower(), folder / own
        if name in names and is_dir:
            if name in found:
                raise DataError(f"'{found[name]}' and '{path}' both mean {name}; join them")
            found[name] = path
    return found


def _walk_root(root: Path, levels: tuple[str, ...]) -> Iterator[Entry]:
    """Yield all images of a tree with or without split folders."""
    splits, labels = _named(root, SPLITS), _named(root, tuple(LABELS))
    if splits and labels:
        raise DataError(f"'{root}' has both split folders ({', '.join(splits)}) and {', '.join(labels)}; keep one kind")
    if not splits and not labels:
        raise DataError(
            f"'{root}' has neither real and fake nor train, val, test in it, but {holds(root)}; "
            "use these folders, or list its images in a manifest (path,label)"
        )
    _refuse_others(root, (splits or labels).values())
    for split, folder in (splits or {"test": root}).items():
        if splits:
            labels = _named(folder, tuple(LABELS))
            if not labels:
                raise DataError(f"'{folder}' has neither a folder real nor a folder fake; put its images into these")
            _refuse_others(folder, labels.values())
        for name, top in labels.items():
            begin, base = top.relative_to(root).parts, os.path.join(root, "")  # noqa: PTH118 - as in `core.files`
            for parts in _walk(top, (), set()):
                yield _placed(base, (*begin, *parts), len(begin), LABELS[name], split, levels)


def _refuse_others(folder: Path, known: Any) -> None:
    """Raise DataError for images and folders next to the known ones, which would be left out silently."""
    expected = set(known)
    for name, is_dir in entries_of(folder).items():
        path = folder / name
        if path not in expected and (is_dir or path.suffix.lower() in MEDIA_SUFFIXES):
            siblings = ", ".join(sorted(p.name for p in expected))
            raise DataError(f"'{path}' lies next to {siblings} and would be left out; move it, or use a manifest")


def _walk(folder: Path, below: tuple[str, ...], above: set[str]) -> Iterator[tuple[str, ...]]:
    """Yield the image and video files in a folder and below it, with links followed, in natural order.

    They are given by the names of the folders on their way, which begin with `below`, and their own.
    """
    here = os.path.realpath(folder)
    if here in above:
        raise DataError(f"'{folder}' is a link to a folder above it; remove the link")
    for name, is_dir in entries_of(folder).items():
        if is_dir:
            yield from _walk(folder / name, (*below, name), above | {here})
        elif os.path.splitext(name)[1].lower() in MEDIA_SUFFIXES:  # noqa: PTH122 - as in `core.files`
            yield (*below, name)
        else:
            raise DataError(
                f"'{folder / name}' is neither an image nor a video (by its ending): move it away, or list the images "
                "in a manifest"
            )


def _placed(base: str, parts: tuple[str, ...], begin: int, label: int, split: str, levels: tuple[str, ...]) -> Entry:
    """Return an image's entry, with the names given by its folders: those in `parts`, from the `begin`-th on."""
    above, name = parts[begin:-1], "/".join(parts)
    path = base + (name if os.sep == "/" else name.replace("/", os.sep))
    if not levels:
        method = above[0] if above and label == FAKE else ""
        return Entry(name, path, label, split, method)
    if label == REAL and len(above) == len(levels) - 1:
        levels = tuple(level for level in levels if level != "method")
    if len(above) != len(levels):
        raise DataError(
            f"'{path}' lies {len(above)} folders below '{parts[begin - 1]}', but options.folders names {len(levels)} "
            f"({', '.join(levels)})"
        )
    named = dict(zip(levels, above, strict=True))
    others = [part for level, part in zip(levels, above, strict=True) if level != "method"]
    video = "/".join(others) if "video" in named else ""
    return Entry(name, path, label, split, named.get("method", ""), video, people(named.get("identity", "")))
