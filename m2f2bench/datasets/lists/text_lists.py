"""Datasets that are lists of pictures: GenD's texts, ForensicHub's and IMDL's JSON."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ...cards.folders import DATA_VARIABLE
from ...core.clips import Clip
from ...core.errors import DataError
from ...core.records import FAKE, ORIGINAL, REAL, SPLITS, Frame, Locator
from ..base import AdapterOptions, ClipAdapter, check_split
from ..files.folders import in_order, listing, natural
from ..files.images import FileAdapter, read_image
from .entries import NO_METHOD
from .list_files import LIST_SUFFIXES, TEXT, Listed, read_list, source_of
from .listed_paths import Placed, placed
from .split_names import no_split, split_in

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

GEND = "config/datasets"
"""The folder of lists in GenD's code."""
UP = 4
"""Folders above a list that its paths may start from, nearest first."""


class ListsOptions(AdapterOptions):
    """Options: the `lists`, what their numbers mean, and where their pictures lie."""

    lists: tuple[str, ...] = ()
    """Lists (.txt, .json), or folders of them, in the root; without any, those in `config/datasets` or in the root."""
    images: str | None = None
    """A folder in the root that paths start from."""
    split: Literal["train", "val", "test"] | None = None
    """The split of all lists; without it the one that a list's name, or its folder's, speaks of, else test."""
    real_is: Literal[0, 1] = 0
    """The number that means real."""
    grouped: bool | None = None
    """Whether the pictures of one folder are the frames of a video; without it only in lists without labels. In lists
    with labels a video is then named by its whole folder."""


class ListsAdapter(ClipAdapter[ListsOptions], FileAdapter[ListsOptions]):
    """Pictures that lists name; see `list_files` for the forms, and `listed_paths` for how they are found.

    Lists without labels have the form of GenD's: `datasets/<Set>/<source>/<video>/<frame>.png`, real if the source's
    name contains "real". A fake's method is its source; a video is `<source>/<video>`, with the set before it if the
    lists name several. In lists with labels each picture is a video, named by its path, unless `grouped` is set. A
    listed file that does not exist stays, and fails when it is read. A picture that is listed twice is one frame.
    """

    def clips(self, split: str) -> Sequence[Clip]:
        """Return the videos of a split's lists by name. Raises `DataError` for a list that is not clear."""
        return [clip for clip, _ in self._clips(split)]

    def holds(self, split: str) -> bool:
        """Return whether there is a list of a split. Raises `DataError` if there is none at all."""
        return any(one == split for _, one in self._files())

    def fits(self) -> bool:
        """Return whether the root has the lists that the options name, or GenD's folder of lists."""
        try:
            named = self.options.lists or (GEND,)
            return self.root is not None and all((self.root / one).exists() for one in named) and bool(self._files())
        except (DataError, OSError, ValueError):
            return False

    def remarks(self, split: str) -> list[str]:
        """Return how many lines repeat a picture, and whether a split has pictures of one kind alone."""
        listed = self._listed(split)
        found = []
        if listed.repeated:
            found.append(f"{listed.repeated} lines of the {split} lists repeat a picture; each is read once")
        if len(set(listed.labels)) == 1:
            kind = "real" if listed.labels[0] == REAL else "fake"
            found.append(f"the {split} lists have {kind} pictures alone; the other kind may be in another list")
        return found

    def mask(self, frame: Frame) -> npt.NDArray[np.bool_] | None:
        """Return the pixels that are light in the mask that a list gives for a picture; None without a mask."""
        cached: dict[str, dict[str, str]] = self.__dict__.setdefault("_masks", {})
        if frame.split not in cached:
            listed = self._listed(frame.split)
            places = self._placed(listed, frame.split)
            masks = placed(list(listed.masks.values()), self._bases(frame.split), "the lists' masks")
            cached[frame.split] = {places.path(one): masks.path(mask) for one, mask in listed.masks.items()}
        path = cached[frame.split].get(frame.locator.path)
        if path is None:
            return None
        mask: npt.NDArray[np.bool_] = read_image(Path(path), frame.id).max(axis=2) > 127
        return mask

    def _clips(self, split: str) -> Iterator[tuple[Clip, str]]:
        listed = self._listed(split)
        places = self._placed(listed, split)
        grouped = not listed.given if self.options.grouped is None else self.options.grouped
        sets = {source_of(f"{folder}/")[0] for folder in places.folders} if grouped and not listed.given else set()
        videos: dict[tuple[str, int], list[str]] = {}
        names: dict[str, tuple[str, str, bool]] = {}
        for path, label in zip(listed.paths, listed.labels, strict=True):
            folder, _, name = path.rpartition("/")
            if folder not in names:
                whole = (folder, "", bool(folder)) if grouped else ("", "", False)
                names[folder] = whole if listed.given else _named(path, grouped, len(sets) > 1)
            videos.setdefault((folder if names[folder][2] else path, label), []).append(name)
        held: dict[str, str] = {}
        for (key, label), items in sorted(videos.items(), key=lambda one: natural(one[0][0])):
            first = key if key in names else key.rpartition("/")[0]
            video, source, together = names[first]
            method = ORIGINAL if label == REAL else (source or NO_METHOD)
            if label == FAKE and method == ORIGINAL:
                raise DataError(f"'{key}': a fake lies in a folder named '{ORIGINAL}', the name of reals; check labels")
            if not together:
                yield Clip(key, label, method, split, (), Locator(places.path(key))), key
                continue
            if held.setdefault(video, key) != key:
                raise DataError(f"'{held[video]}' and '{key}' both are the video '{video}' by their last folders")
            place = Locator(places.folders[key])
            yield Clip(video, label, method, split, (), place, tuple(in_order(items))), key

    def _placed(self, listed: Listed, split: str) -> Placed:
        files = [path for path, one in self._files() if one == split]
        source = f"list '{files[0]}'" + (f" and {len(files) - 1} more" if len(files) > 1 else "")
        places = placed(listed.paths, self._bases(split), source)
        if not places.there:
            raise DataError(
                f"{source}: none of its {len(listed.paths)} pictures exists; looked for "
                f"'{places.path(listed.paths[0])}'; put the list beside the pictures, or give --data DIR"
            )
        return places

    def _listed(self, split: str) -> Listed:
        """Return the pictures of all lists of a split together."""
        check_split("a dataset of lists", split, self.splits)
        files = self._files()
        mine = [path for path, one in files if one == split]
        if not mine:
            counts = Counter(one for _, one in files)
            raise no_split(self.root, split, {f"{one} lists": counts[one] for one in SPLITS}, set(counts) == {"test"})
        parts = [read_list(path, self.options.real_is) for path in mine]
        if len({part.given for part in parts}) > 1:
            raise DataError(
                f"'{self.root}': some {split} lists have labels and some do not; name those in options.lists"
            )
        if len(parts) == 1:
            return parts[0]
        whole = Listed(repeated=sum(part.repeated for part in parts), given=parts[0].given)
        labels: dict[str, int] = {}
        for file, part in zip(mine, parts, strict=True):
            for path, label in zip(part.paths, part.labels, strict=True):
                if labels.setdefault(path, label) != label:
                    raise DataError(f"list '{file}': '{path}' has another label than in another {split} list")
            whole.repeated += len(part.paths)
            whole.masks.update(part.masks)
        whole.repeated -= len(labels)
        whole.paths, whole.labels = list(labels), list(labels.values())
        return whole

    def _files(self) -> list[tuple[Path, str]]:
        """Return the lists with their splits, by path."""
        root = self.root
        if root is None or not root.exists():
            raise DataError(f"lists need a root: a folder with {' or '.join(LIST_SUFFIXES)} files, not '{root}'")
        if root.is_file():
            return [(root, self._split(root, root.parent))]
        named = [root / one for one in self.options.lists]
        if not named:
            named = [root / GEND if (root / GEND).is_dir() else root]
        found: list[Path] = []
        for one in named:
            if one.is_dir():
                found += _lists_in(one, deep=one != root)
            elif one.is_file():
                found.append(one)
            else:
                raise DataError(f"list '{one}' does not exist; see options.lists")
        if not found:
            raise DataError(f"'{named[0]}' has no lists ({', '.join(LIST_SUFFIXES)}) in it")
        return [(path, self._split(path, root)) for path in found]

    def _split(self, path: Path, root: Path) -> str:
        if self.options.split is not None:
            return self.options.split
        inside = path.relative_to(root).parts if path.is_relative_to(root) else path.parts[-1:]
        names = [path.stem, *reversed(inside[:-1])] if len(inside) > 1 else [path.stem, path.absolute().parent.name]
        return next((split for name in names if (split := split_in(name))), "test")

    def _bases(self, split: str) -> list[Path]:
        """Return the folders that paths may start from, the most likely first."""
        root = (self.root or Path()).absolute()
        top = root if root.is_dir() else root.parent
        chosen = [top / self.options.images] if self.options.images is not None else []
        files = [path.absolute() for path, one in self._files() if one == split]
        beside = list(dict.fromkeys(path.parent for path in files))
        data = os.environ.get(DATA_VARIABLE)
        above = [parent for folder in beside[:1] for parent in list(folder.parents)[:UP]]
        return list(
            dict.fromkeys([*chosen, *beside, top, *([Path(data).expanduser().absolute()] if data else []), *above])
        )


def _lists_in(folder: Path, deep: bool) -> list[Path]:
    """Return the lists in a folder and, if `deep`, below it; texts alone there, since JSON may be anything."""
    folders, files = listing(folder)
    suffixes = (TEXT,) if deep else LIST_SUFFIXES
    found = [folder / name for name in files if Path(name).suffix.lower() in suffixes]
    return found + [path for name in folders if deep for path in _lists_in(folder / name, deep)]


def _named(path: str, grouped: bool, several: bool) -> tuple[str, str, bool]:
    """Return video, source and whether the pictures of the folder of `path` are one video."""
    name, source, video = source_of(path)
    if not grouped or not video:
        return "", source if grouped else "", False
    return f"{name}/{source}/{video}" if several and name else f"{source}/{video}", source, True
