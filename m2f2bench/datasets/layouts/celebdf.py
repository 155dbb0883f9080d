"""Celeb-DF v1, v2 and ++ as they are downloaded: three folders of videos and a list of test videos.

In the list 1 means real. Videos that are not in it are the training split.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

from ...core.clips import Clip
from ...core.errors import DataError
from ...core.records import FAKE, ORIGINAL, REAL, Locator
from ...core.text import quoted
from ..base import AdapterOptions
from ..files.folders import first_names, folders_in, is_file, is_folder, natural
from ..files.video import VIDEO_SUFFIXES
from ..lists.tables import read_lines
from .media_trees import INNER, has_videos, subfolder, videos_in
from .trees import Listing, TreeAdapter, missing

LIST = "List_of_testing_videos.txt"
CELEBRITIES, YOUTUBE, SYNTHESIS = "Celeb-real", "YouTube-real", "Celeb-synthesis"
GROUPS = ("FaceSwap", "FaceReenact", "TalkingFace")
"""Folders of methods in `Celeb-synthesis` of Celeb-DF++."""
OLD_FAKES = "Celeb-DF"
"""The method of Celeb-DF v2's fakes in Celeb-DF++."""
V1_TESTED = 100
"""Lines of the list of v1; that of v2 has 518."""
_LABELS = {"1": REAL, "0": FAKE}
_LINE = re.compile(r"(\S+)\s+(\S.*)")
_PERSON = re.compile(r"id\d+", re.ASCII)


class CelebDFOptions(AdapterOptions):
    """Options: `version` of Celeb-DF: `v1`, `v2` or `pp` (++)."""

    version: Literal["v1", "v2", "pp"] = "v2"
    """Of Celeb-DF; `pp` is Celeb-DF++, whose fakes lie in folders of methods."""


@dataclass(frozen=True)
class Named:
    """A video by its folder (`Celeb-real`, `YouTube-real` or `Celeb-synthesis`), method and name without ending."""

    folder: str
    method: str
    name: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies it, whatever the case of folders."""
        return self.folder.lower(), self.method.lower(), self.name

    @property
    def label(self) -> int:
        """Return 1 for a fake, by its folder."""
        return FAKE if self.folder == SYNTHESIS else REAL

    def people(self) -> tuple[str, ...]:
        """Return the people: the `idN` of its name; an unknown person of YouTube has the video's name."""
        if self.folder == YOUTUBE:
            return (f"youtube-{self.name}",)
        return tuple(dict.fromkeys(_PERSON.findall(self.name)))

    def clip(self, place: Path, split: str) -> Clip:
        """Return its clip, a video file."""
        name, where = f"{self.method}/{self.name}", Locator(str(place))
        return Clip(name, self.label, self.method, split, self.people(), where, ())


class CelebDFAdapter(TreeAdapter[CelebDFOptions]):
    """`root` has `Celeb-real`, `YouTube-real`, `Celeb-synthesis` and the list of test videos.

    The videos lie in these folders or in `videos` in them; names of folders may be in any case. In Celeb-DF++ the fakes
    lie in `Celeb-synthesis/<group>/<method>`. The test split is the list; train is all other videos, in natural order.
    A listed video that is missing stays as one frame that fails when it is read.
    """

    layout: ClassVar[str] = "Celeb-DF"
    needs: ClassVar[str] = f"{CELEBRITIES}, {YOUTUBE}, {SYNTHESIS} and {LIST}"
    splits: ClassVar[tuple[str, ...]] = ("train", "test")

    def _is_top(self, folder: Path) -> bool:
        names = {name.lower() for name in (CELEBRITIES, YOUTUBE, SYNTHESIS)}
        return is_file(folder / LIST) or any(name.lower() in names for name in first_names(folder))

    def _has_media(self, top: Path) -> bool:
        """Return whether there are videos, and `version_of` gives this version."""
        folders = [subfolder(top, name) for name in (CELEBRITIES, SYNTHESIS)]
        there = any(folder is not None and has_videos(folder, 2) for folder in folders)
        return there and version_of(top) == self.options.version

    def found(self, top: Path, split: str) -> Listing:
        """Return the videos, the real ones first, then by method and name, and remarks.

        Raises `DataError` for a list that is missing, damaged or of another dataset, for a label that is not its
        folder's, and for a root of another version.
        """
        there, listed = self._there(top), read_tested(top / LIST, self.options.version)
        tested = {one.key: one for one in listed}
        remarks = []
        if split == "train":
            chosen = [(named, place) for key, (named, place) in there.items() if key not in tested]
            if not chosen:
                raise DataError(f"'{top}' has no train split: all of its {len(there):,} videos are in '{LIST}'")
        else:
            chosen = [there.get(key) or (named, self._missing(top, named)) for key, named in tested.items()]
        clips = [named.clip(place, split) for named, place in chosen]
        clips.sort(key=lambda clip: (clip.label, natural(clip.video)))
        if split == "test":
            remarks += missing(clips, LIST)
        folders = (CELEBRITIES, YOUTUBE, SYNTHESIS)
        remarks += [f"no folder {name} in '{top}'" for name in folders if subfolder(top, name) is None]
        if twice := len(listed) - len(tested):
            remarks.append(f"lines of '{LIST}' that repeat another, and count once: {twice:,}")
        return clips, remarks

    def _there(self, root: Path) -> dict[tuple[str, str, str], tuple[Named, Path]]:
        """Return the videos on disk by their keys. Raises DataError for a root of another version."""
        pp = self.options.version == "pp"
        top = subfolder(root, SYNTHESIS)
        if top is not None and pp != _has_groups(top):
            has, card = ("none of the folders", "v2") if pp else ("the folders", "pp")
            raise DataError(f"'{top}' has {has} {', '.join(GROUPS)} of Celeb-DF++: use the card celebdf-{card}")
        found: dict[tuple[str, str, str], tuple[Named, Path]] = {}
        for name, method, folder in self._folders(root):
            for stem, place in videos_in(folder).items():
                named = Named(name, method, stem)
                other = found.setdefault(named.key, (named, place))[1]
                if other != place:
                    raise DataError(f"'{other}' and '{place}' are both video '{stem}' of {method}; remove one")
        if not found:
            raise DataError(f"'{root}' has no videos in {CELEBRITIES}, {YOUTUBE} or {SYNTHESIS}")
        return found

    def _folders(self, root: Path) -> Iterator[tuple[str, str, Path]]:
        """Yield each folder of videos with its name and method."""
        for name in (CELEBRITIES, YOUTUBE):
            real = subfolder(root, name)
            if real is not None:
                yield name, ORIGINAL, real
        top = subfolder(root, SYNTHESIS)
        if top is None:
            return
        pp = self.options.version == "pp"
        yield SYNTHESIS, OLD_FAKES if pp else SYNTHESIS, top
        methods: dict[str, Path] = {}
        for group, folder in folders_in(top).items() if pp else ():
            for name, place in folders_in(folder).items() if group != INNER else ():
                if methods.setdefault(name.lower(), place) != place:
                    raise DataError(f"'{methods[name.lower()]}' and '{place}' are both method {name}; rename one")
                yield SYNTHESIS, name, place

    def _missing(self, top: Path, named: Named) -> Path:
        """Return the path of a listed video that is not there."""
        folder = top / named.folder
        return (folder / named.method if named.method != named.folder and named.label else folder) / f"{named.name}.mp4"


def version_of(root: Path) -> str:
    """Return the version of a root: `pp` by its folders, else `v1` or `v2` by its name or the length of its list.

    Raises `DataError` for a folder that cannot be listed.
    """
    top = subfolder(root, SYNTHESIS)
    if top is not None and _has_groups(top):
        return "pp"
    for version in ("v1", "v2"):
        if version in root.name.lower():
            return version
    try:
        lines = read_lines(root / LIST)
    except DataError:
        return "v2"
    return "v1" if len(lines) == V1_TESTED else "v2"


def _has_groups(top: Path) -> bool:
    return any(is_folder(top / group) for group in GROUPS)


def read_tested(path: Path, version: str = "v2") -> list[Named]:
    """Return the videos of a list of test videos, one a line: `1 YouTube-real/00170.mp4`, and 1 means real.

    Raises `DataError`, which names the line, for another form, for a folder that is none of Celeb-DF's, and for a label
    that is not the folder's.
    """
    found: list[Named] = []
    for number, line in read_lines(path, "list of test videos"):
        where = f"'{path}' line {number}"
        match = _LINE.fullmatch(line)
        if match is None or match[1] not in _LABELS:
            raise DataError(f"{where} is {quoted(line)}, not a label (1: real) and a video, as 1 {YOUTUBE}/00170.mp4")
        named = parse_name(match[2], version, where)
        if named.label != _LABELS[match[1]]:
            kinds = ("real", "fake")
            raise DataError(
                f"{where}: {match[1]} means {kinds[_LABELS[match[1]]]} in this list, and {quoted(match[2], 80)} lies "
                f"in a folder of {kinds[named.label]} videos; is the list turned round?"
            )
        found.append(named)
    if not found:
        raise DataError(f"list of test videos '{path}' is empty; fetch it, it comes with the dataset")
    return found


def parse_name(text: str, version: str, where: str) -> Named:
    """Return the video of a path in the list, whatever its slashes, the case of its folders, and `videos` in it.

    Raises `DataError` for a folder that is none of Celeb-DF's, and for folders of methods in another version than ++.
    """
    parts = [part for part in text.replace("\\", "/").split("/") if part not in ("", ".", INNER)]
    known = {one.lower(): one for one in (CELEBRITIES, YOUTUBE, SYNTHESIS)} | {one.lower(): SYNTHESIS for one in GROUPS}
    at = next((i for i, part in enumerate(parts[:-1]) if part.lower() in known), None)
    if at is None:
        raise DataError(
            f"{where}: {quoted(text, 80)} is in none of {CELEBRITIES}, {YOUTUBE}, {SYNTHESIS}: is it the list of "
            f"another dataset?"
        )
    folder, inner = known[parts[at].lower()], parts[at + 1 : -1]
    file = PurePosixPath(parts[-1])
    name = file.stem if file.suffix.lower() in VIDEO_SUFFIXES else file.name
    if folder != SYNTHESIS:
        return Named(folder, ORIGINAL, name)
    if version == "pp":
        return Named(folder, inner[-1] if inner else OLD_FAKES, name)
    if inner or parts[at].lower() != SYNTHESIS.lower():
        raise DataError(f"{where}: {quoted(text, 80)} is of Celeb-DF++: use celebdf-pp, or the list of {version}")
    return Named(folder, SYNTHESIS, name)
