"""DF40: forty manipulations by folder, with reals of FaceForensics++ and Celeb-DF in DeepfakeBench's form."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...core.errors import DataError, near
from ...core.records import FAKE, ORIGINAL, REAL, Locator
from ..files.folders import natural
from ..files.images import IMAGE_SUFFIXES
from .df40_methods import METHODS, TYPES, UNKNOWN, expanded, same_names
from .labels import FF
from .list_file import Listed, VideoList
from .listing import ListedVideos, Listing, ListOptions, overlaps
from .places import Places

BASES = ("DF40", "deepfakes_detection_datasets/DF40", ".")
"""Folders under a root in which the methods' folders may lie."""
TRAIN_BASES = ("DF40_train", "deepfakes_detection_datasets/DF40_train", "../DF40_train")
REALS = {
    "ff": (f"{FF}/original_sequences/youtube/{{level}}/frames",),
    "cdf": ("Celeb-DF-v2/Celeb-real/frames", "Celeb-DF-v2/YouTube-real/frames"),
}
"""Folders of the reals of a domain, for methods without a list."""
REAL_LISTS = {"ff": (FF, "FF-DF", "FF-F2F", "FF-FS", "FF-NT"), "cdf": ("Celeb-DF-v2",)}


class DF40Options(ListOptions):
    """Options: `domain` is whose people the fakes are made from; `methods` may name types (`FS`, `FR`, `EFS`, `FE`)."""

    domain: Literal["ff", "cdf", "unknown"] = "ff"
    """`ff` FaceForensics++, `cdf` Celeb-DF, `unknown` the nine methods with reals of their own."""


@dataclass
class Method:
    """A method's place: its list, or its folder, or neither."""

    name: str
    lists: Path | None
    folder: Path | None


class DF40Adapter(ListedVideos[DF40Options]):
    """`root` holds `DF40/<method>/{ff,cdf}` (the nine unknown: `{fake,real}`), or is that `DF40`.

    A method with a list `dataset_json/<method>_{ff,cdf}.json` (`<method>.json`) is read by it, others by their folder:
    `frames/<video>/NNN.png`, or images at once, each of which is then a video. Folders have no splits: all are `test`,
    and `DF40_train/<method>/ff` is `train`. The known methods have fakes alone; where there is no list, their reals are
    those of FaceForensics++ or Celeb-DF v2 in DeepfakeBench's form under the same root.
    """

    def choices(self) -> tuple[str, ...]:
        """Return the methods of the domain, and the types that have any of them."""
        names = self._methods()
        return (*names, *(one for one, of in TYPES.items() if set(of) & set(names)))

    def fits(self) -> bool:
        """Return whether the root has a folder of one of the domain's methods."""
        if self.root is None:
            return False
        places = Places(self.root)
        with contextlib.suppress(OSError):  # a folder that may not be read
            return any(self._folder(name, "test", places) is not None for name in self._all())
        return False

    def _owner(self) -> str:
        return f"DF40 ({self.options.domain})"

    def _all(self) -> tuple[str, ...]:
        """Return all methods that the domain may have: a few of the nine have lists for the others too (`e4e_ff`)."""
        return UNKNOWN if self.options.domain == "unknown" else METHODS

    def _methods(self) -> tuple[str, ...]:
        """Return the chosen methods of the domain; of a type, those that it has. Raises DataError for others."""
        chosen = expanded(self.options.methods or self._all())
        for name in chosen:
            if name not in TYPES and name not in self._all() and self.options.methods is not None:
                if name in expanded(TYPES) and any(set(TYPES[t]) <= set(chosen) for t in TYPES if name in TYPES[t]):
                    continue  # of a type, some methods are in another domain
                raise DataError(f"{self._owner()} has no method '{name}'{near(name, (*self._all(), *TYPES))}")
        return tuple(name for name in chosen if name in self._all())

    def _chosen(self) -> tuple[str, ...] | None:
        return None if self.options.methods is None else self._methods()

    def _check_methods(self, listing: Listing) -> None:
        """Do nothing: a chosen method without data was refused before."""

    def _list_of(self, name: str) -> Path | None:
        """Return a method's list, also under another name of the method."""
        end = "" if self.options.domain == "unknown" else f"_{self.options.domain}"
        wanted = {f"{one}{end}.json" for one in same_names(name)}
        with contextlib.suppress(OSError):
            return next((one for one in sorted(self._lists_folder().iterdir()) if one.name.casefold() in wanted), None)
        return None

    def _list_files(self) -> list[Path]:
        folder = self._lists_folder()
        listed = [self._list_of(name) for name in self._methods()]
        return [*(one for one in listed if one is not None), folder]

    def _folder(self, name: str, split: str, places: Places) -> Path | None:
        inside = {"unknown": "fake"}.get(self.options.domain, self.options.domain)
        bases = BASES if split == "test" else TRAIN_BASES if split == "train" else ()
        for base in bases:
            found, differing = places.descend((self.root or Path()) / base, (name, inside))
            if found is not None:
                places.renamed |= differing
                return found
        return None

    def _compile(self, split: str) -> Listing:
        root = self._root()
        # If the root is DF40's own folder, the datasets of its reals may lie beside it.
        places = Places(root, [root.parent] if root.name.casefold().startswith("df40") else [])
        found = Listing(places, self.options.domain == "ff")
        methods = [Method(name, self._list_of(name), None) for name in self._methods()]
        lists = [self._read(one) for one in methods if one.lists is not None]
        for listed in lists:
            for video in listed.videos(split, self.options.compression):
                place = Locator(places.folder(video.folder)) if video.items else Locator("")
                found.add(video, split, place)
        absent: list[Method] = []
        by_folder: list[Method] = []
        for one in methods:
            if one.lists is None:
                one.folder = self._folder(one.name, split, places)
                (absent if one.folder is None else by_folder).append(one)
        for one in by_folder:
            self._add_folder(one, split, found)
        if by_folder and self.options.domain != "unknown":
            repeated = found.counts["reals"]
            self._add_reals(split, found)
            found.counts["reals"] = repeated  # those that the methods' lists have already are no fault of a list
        self._say(found, [one.name for one in absent], split)
        found.remarks += overlaps(lists, split, self.options.compression)
        return found

    def _read(self, method: Method) -> VideoList:
        end = "" if self.options.domain == "unknown" else f"_{self.options.domain}"
        names = {f"{one}{end}" for one in same_names(method.name)}
        return VideoList(method.lists or Path(), f"{method.name}{end}", names)

    def _say(self, found: Listing, absent: list[str], split: str) -> None:
        """Add remarks on what is absent. Raises DataError if nothing is there, or a chosen method is not."""
        if self.options.methods is None and self.options.domain != "unknown":
            absent = [name for name in absent if name not in UNKNOWN]
        if absent and (self.options.methods is not None or not found.clips):
            shown = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
            if not found.clips or not any(clip.method not in (ORIGINAL, *absent) for clip in found.clips):
                raise DataError(
                    f"{self._owner()}, '{split}': neither a list nor a folder of {shown} under '{self.root}': "
                    f"it should be DF40/<method>/{'fake' if self.options.domain == 'unknown' else self.options.domain}"
                )
        if absent:
            found.remarks.append(f"{len(absent)} methods have no data in '{split}': {', '.join(absent)}")
        if not any(clip.label == REAL for clip in found.clips):
            where = "beside them" if self.options.domain == "unknown" else "in DeepfakeBench's form under the root"
            found.remarks.append(f"'{split}' has fakes alone: put their reals {where} for an AUC")
        elif self.options.domain == "unknown":
            own = {clip.video.split("/")[1] for clip in found.clips if clip.label == REAL}
            bare = sorted({clip.method for clip in found.clips if clip.label == FAKE} - own)
            if bare and own & set(self._all()):
                found.remarks.append(f"no reals of its own: {', '.join(bare)}")

    def _add_folder(self, method: Method, split: str, found: Listing) -> None:
        """Add the videos of a method's folder, for an unknown method also its reals."""
        folder = method.folder or Path()
        for video, place in _videos_in(folder, FAKE, method.name, ""):
            found.add(video, split, place)
        if self.options.domain == "unknown":
            for video, place in _videos_in(folder.parent / "real", REAL, ORIGINAL, f"{method.name}/"):
                found.add(video, split, place)

    def _add_reals(self, split: str, found: Listing) -> None:
        """Add the reals of the domain, by DeepfakeBench's list or by folder."""
        domain, level = self.options.domain, self.options.compression
        for name in REAL_LISTS[domain]:
            path = self._lists_folder() / f"{name}.json"
            if path.is_file():
                for video in VideoList(path, name).videos(split, level):
                    if video.label == REAL:
                        found.add(video, split, Locator(found.places.folder(video.folder)))
                return
        used = {person for clip in found.clips for person in clip.identities} if domain == "ff" else set()
        for place in REALS[domain]:
            folder = Path(found.places.folder(place.format(level=level)))
            for video, where in _videos_in(folder, REAL, ORIGINAL, ""):
                if not used or video.name in used:
                    found.add(video, split, where)
        if not used:
            found.remarks.append(f"without a list all reals of {domain} are in '{split}': add DeepfakeBench's lists")


def _videos_in(folder: Path, label: int, method: str, prefix: str) -> Iterator[tuple[Listed, Locator]]:
    """Yield the videos in a folder in natural order: `frames/<video>/*`, `<video>/*`, or images, each a video."""
    top = folder / "frames" if (folder / "frames").is_dir() else folder
    try:
        names = sorted((path.name for path in top.iterdir() if not path.name.startswith(".")), key=natural)
    except OSError:
        return
    for name in names:
        path = top / name
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
            video = Listed(f"{prefix}{path.stem}", label, method, str(top), (name,))
            yield video, Locator(str(top))
        elif path.is_dir() and name not in ("landmarks", "masks"):
            inside = [one.name for one in path.iterdir() if one.suffix.lower() in IMAGE_SUFFIXES]
            video = Listed(f"{prefix}{name}", label, method, str(path), tuple(sorted(inside, key=natural)))
            yield video, Locator(str(path) if inside else "")
