"""Datasets of single pictures in folders named by label, below folders of splits and generators: GenImage, CNNSpot."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from ...core.clips import Clip
from ...core.errors import DataError
from ...core.records import FAKE, ORIGINAL, REAL, SPLITS, Frame, Locator
from ..base import AdapterOptions, ClipAdapter, check_split
from ..files.folders import LOOKED_AT, folders_in, holds, listing
from ..files.images import IMAGE_SUFFIXES, FileAdapter, read_image
from ..lists.entries import NO_METHOD
from ..lists.split_names import SPLIT_NAMES, no_split

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

DEEPEST = 6
"""Folders between the root and the folders named by label."""
PLAIN = frozenset({"real", "fake"})
"""Names of label folders that say nothing about which dataset it is."""
NO_METHODS = frozenset({*PLAIN, "0_real", "1_fake", "ai", "nature"})
"""Names of label folders that name no method."""
Split = Literal["train", "val", "test"]


class ImageTreeOptions(AdapterOptions):
    """Options: what the names of folders mean, in any case; other folders on the way are generators or are passed."""

    labels: dict[str, Literal[0, 1]] = Field(default_factory=lambda: dict[str, Literal[0, 1]](real=0, fake=1))
    """Folders of pictures: 0 for real, 1 for fake."""
    splits: dict[str, Split] = Field(default_factory=lambda: dict[str, Split](SPLIT_NAMES))  # type: ignore[arg-type]
    """Folders of splits; without any in the tree all is test."""
    generators: bool = True
    """Whether the first folder that is neither label nor split names the method of the fakes below it."""
    methods: dict[str, str] = Field(default_factory=dict)
    """Our names of folders that stand for a method: generators, or label folders."""
    method: str = ""
    """The method of fakes that no folder names."""
    masks: str = ""
    """The folder of masks, beside the label folders; a mask has the name of its picture, with any ending."""
    splits_inside: bool = False
    """Whether the folders of splits lie in the label folders, not above them."""
    inside: str = ""
    """Folders in the root that hold the tree, left out where they do not exist."""
    expects: tuple[str, ...] = ()
    """Folders by which a root is recognised, one of which must be in it."""

    @field_validator("labels", "splits", "methods")
    @classmethod
    def _lower(cls, value: dict[str, str]) -> dict[str, str]:
        return {key.lower(): one for key, one in value.items()}


@dataclass(frozen=True)
class _Place:
    """A folder of the tree, with what the folders above it say."""

    folder: Path
    name: str = ""
    split: str | None = None
    method: str = ""
    depth: int = 0

    def below(self, name: str) -> _Place:
        return replace(self, folder=self.folder / name, name=f"{self.name}{name}/", depth=self.depth + 1)


@dataclass
class _Others:
    """Files that are left out: those that are no pictures, by ending, and pictures outside of the label folders."""

    counts: Counter[str] = field(default_factory=Counter)
    outside: int = 0


class ImageTreeAdapter(ClipAdapter[ImageTreeOptions], FileAdapter[ImageTreeOptions]):
    """Pictures in folders named by label, each a video of its own, whose name is its path in the root.

    On the way from the root to the label folders, folders with names of splits choose the split, and the first other
    one is the generator, the method of its fakes; more of them (classes, folders of an archive) are passed through. A
    real picture's method is `original`. Without a generator a fake's method is its label folder's name, if that says
    more than "fake". Below a label folder all pictures count, however deep. A folder beside label folders that is no
    such folder itself, and a picture there, raise `DataError`; other files that are left out are counted (`remarks`).
    """

    def clips(self, split: str) -> Sequence[Clip]:
        """Return the pictures of a split in natural order of folders and names. Raises `DataError` without any."""
        check_split("a tree of images", split, self.splits)
        found = list(self._pictures(split, _Others()))
        if not found:
            there = Counter(one.split or "test" for one, _, _ in self._label_folders())
            counts = {f"{name} folders": there[name] for name in SPLITS if name != split}
            raise no_split(self.root, split, counts, set(there) == {"test"})
        return found

    def holds(self, split: str) -> bool:
        """Return whether there is a label folder of a split. Raises `DataError` if there is none at all."""
        return any((one.split or "test") == split for one, _, _ in self._label_folders())

    def fits(self) -> bool:
        """Return whether the root has the expected folders and, in one place, folders for real and for fake."""
        try:
            top = self._top()
            folders = {name.lower() for name in folders_in(top, LOOKED_AT)}
            if self.options.expects and not folders & {name.lower() for name in self.options.expects}:
                return False
            kinds = self._first_labels(top, 0)
            plain = kinds <= PLAIN and not self.options.expects and top == self.root
            return not plain and {self.options.labels[kind] for kind in kinds} == {REAL, FAKE}
        except (DataError, OSError, ValueError):
            return False

    def remarks(self, split: str) -> list[str]:
        """Return how many files are left out: no pictures by their endings, or outside of the label folders."""
        others = _Others()
        for _ in self._pictures(split, others):
            pass
        found = []
        if count := sum(others.counts.values()):
            endings = ", ".join(sorted(others.counts))
            found.append(f"{count} files are no images by their endings ({endings}) and are left out")
        if others.outside:
            found.append(f"{others.outside} images lie outside of the folders named by label and are left out")
        return found

    def mask(self, frame: Frame) -> npt.NDArray[np.bool_] | None:
        """Return the light pixels of a picture's mask; None if the dataset has none, or none of this picture."""
        if not self.options.masks or frame.label == REAL:
            return None
        path = Path(frame.locator.path)
        above = next((one.parent for one in path.parents if one.name.lower() in self.options.labels), path.parent)
        masks = above / self.options.masks
        for suffix in (".png", path.suffix, ".jpg", ".bmp", ".tif"):
            found = masks / f"{path.stem}{suffix}"
            with contextlib.suppress(OSError):
                if found.is_file():
                    mask: npt.NDArray[np.bool_] = read_image(found, frame.id).max(axis=2) > 127
                    return mask
        return None

    def _top(self) -> Path:
        """Return the folder that holds the tree."""
        root = self.root
        if root is None or not root.is_dir():
            raise DataError(f"a tree of images needs a root, a folder that exists, not '{root}'")
        for part in Path(self.options.inside).parts:
            root = root / part if (root / part).is_dir() else root
        return root

    def _first_labels(self, folder: Path, depth: int) -> set[str]:
        """Return the label names in the first folder that has some for real and for fake, going down three levels."""
        folders = list(folders_in(folder, LOOKED_AT))
        kinds = {name.lower() for name in folders} & set(self.options.labels)
        if kinds or depth == 3:
            return kinds
        for name in folders[:8]:
            kinds = self._first_labels(folder / name, depth + 1)
            if {self.options.labels[kind] for kind in kinds} == {REAL, FAKE}:
                return kinds
        return set()

    def _label_folders(self, others: _Others | None = None) -> list[tuple[_Place, str, int]]:
        """Return the places of all label folders with their names and labels. Raises DataError if there is none."""
        top = self._top()
        start = _Place(top, "" if top == self.root else f"{top.relative_to(self.root or top).as_posix()}/")
        found = list(self._down(start, others or _Others()))
        if not found:
            wanted = ", ".join(self.options.labels)
            raise DataError(
                f"'{top}' has no folders named {wanted} in it, however deep, but {holds(top)}; check the root"
            )
        return found

    def _down(self, place: _Place, others: _Others) -> Iterator[tuple[_Place, str, int]]:
        options = self.options
        folders, files = listing(place.folder)
        named = {name: options.labels[name.lower()] for name in folders if name.lower() in options.labels}
        if named:
            beside = [name for name in folders if name not in named and name.lower() != options.masks.lower()]
            beside += [name for name in files if Path(name).suffix.lower() in IMAGE_SUFFIXES]
            if beside:
                raise DataError(
                    f"'{place.folder / beside[0]}' lies next to {', '.join(named)} and would be left out; move it away"
                )
            for name, label in named.items():
                yield from ((one, name, label) for one in self._split_inside(place.below(name)))
            return
        others.outside += sum(Path(name).suffix.lower() in IMAGE_SUFFIXES for name in files)
        for name in folders if place.depth < DEEPEST else ():
            inside = place.below(name)
            if place.split is None and name.lower() in options.splits:
                inside = replace(inside, split=options.splits[name.lower()])
            elif options.generators and not place.method:
                inside = replace(inside, method=options.methods.get(name.lower(), name))
            yield from self._down(inside, others)

    def _split_inside(self, place: _Place) -> list[_Place]:
        """Return the folders of splits in a label folder, or the folder itself."""
        splits = self.options.splits
        if not self.options.splits_inside or place.split is not None:
            return [place]
        folders, files = listing(place.folder)
        beside = [name for name in [*folders, *files] if name.lower() not in splits]
        if beside:
            raise DataError(f"'{place.folder / beside[0]}' lies in no folder of a split ({', '.join(splits)}); move it")
        return [replace(place.below(name), split=splits[name.lower()]) for name in folders]

    def _pictures(self, split: str, others: _Others) -> Iterator[Clip]:
        for place, name, label in self._label_folders(others):
            if (place.split or "test") != split:
                continue
            method = ORIGINAL
            if label == FAKE:
                own = "" if name.lower() in NO_METHODS else self.options.methods.get(name.lower(), name)
                method = place.method or self.options.method or own or NO_METHOD
                if method == ORIGINAL:
                    raise DataError(f"'{place.folder}': fakes of the method '{ORIGINAL}', the name of reals; rename it")
            for path, picture in _files(place, others):
                yield Clip(picture, label, method, split, (), Locator(path))


def _files(place: _Place, others: _Others) -> Iterator[tuple[str, str]]:
    """Yield path and name of the pictures below a folder; other files are counted."""
    folders, files = listing(place.folder)
    above = str(place.folder)
    for name in files:
        suffix = Path(name).suffix.lower() if name.count(".") != 1 else name[name.index(".") :].lower()
        if suffix in IMAGE_SUFFIXES:
            yield f"{above}/{name}", f"{place.name}{name}"
        else:
            others.counts[suffix or "none"] += 1
    if place.depth < 2 * DEEPEST:
        for name in folders:
            yield from _files(place.below(name), others)
