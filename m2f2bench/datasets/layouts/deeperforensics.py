"""DeeperForensics-1.0 as downloaded: actors' faces in videos of FaceForensics++, with and without distortions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ...core.clips import Clip
from ...core.errors import DataError, near
from ...core.records import FAKE, ORIGINAL, REAL, SPLITS
from ...core.text import quoted
from ..base import AdapterOptions
from ..files.folders import folders_in
from ..lists.tables import read_lines
from .media_trees import Media, media_under
from .trees import Listing, TreeAdapter, count_of, missing

FF = "FaceForensics++"
"""The corpus of the people whose videos the faces are put into."""
LISTS = Path("lists") / "splits"
STUDIO = (
    "the reals are the actors' own videos of one studio, the fakes are videos of YouTube: a detector may tell the "
    "places apart; its authors use the originals of FaceForensics++ as reals (options.reals: targets)"
)
"""A remark on the actors' own videos as reals."""
_NAME = re.compile(r"(?:.*[/\\])?(([0-9]{3})_([MW][0-9]+))(?:\.mp4)?")


class DeeperForensicsOptions(AdapterOptions):
    """Options: `variants` are the folders of fakes, `reals` says what counts as real, `targets` where it lies."""

    variants: tuple[str, ...] = ("end_to_end",)
    """Folders of `manipulated_videos`; each is a method."""
    reals: Literal["sources", "targets"] = "sources"
    """`sources`: the actors' own videos; `targets`: the videos of FaceForensics++ that the faces were put into."""
    targets: str = "target_videos"
    """For `reals: targets`, the folder of FaceForensics++'s originals (`000.mp4` …); a relative one is in the root."""


@dataclass(frozen=True)
class Fake:
    """A fake as a list names it: `key` is `<target>_<actor>`."""

    key: str
    target: str
    actor: str


class DeeperForensicsAdapter(TreeAdapter[DeeperForensicsOptions]):
    """Fakes in `manipulated_videos/<variant>`, listed in `lists/splits/{train,val,test}.txt`; reals are not listed.

    A fake `NNN_<actor>` shows the person of FaceForensics++'s original NNN and the actor. The actors' own videos lie in
    `source_videos/<actor>`; an actor's are in one split alone, that of the actor's fakes. A fake that is listed and
    missing stays, and fails when it is read.
    """

    layout: ClassVar[str] = "DeeperForensics-1.0"
    needs: ClassVar[str] = "lists/splits, manipulated_videos and source_videos"
    inside: ClassVar[tuple[str, ...]] = ("DeeperForensics-1.0", "DeeperForensics")

    def _is_top(self, folder: Path) -> bool:
        others = ((folder / "lists").is_dir(), (folder / "source_videos").is_dir())
        return (folder / "manipulated_videos").is_dir() and any(others)

    def found(self, top: Path, split: str) -> Listing:
        """Return the real and then the fake videos of a split. Raises `DataError` for a missing list or folder."""
        lists, remarks = self._lists(top, split)
        fakes: list[Clip] = []
        there = folders_in(top / "manipulated_videos")
        for variant in self.options.variants:
            if variant not in there:
                raise DataError(f"'{top}' has no manipulated_videos/{variant}{near(variant, there)}")
            for one in lists[split].values():
                media = Media(one.key, there[variant] / f"{one.key}.mp4")
                fakes.append(media.clip(one.key, FAKE, variant, split, [f"{FF}:{one.target}", one.actor]))
            remarks += missing(fakes[-len(lists[split]) :], f"{split}.txt of {variant}")
        if self.options.reals == "targets":
            reals = self._targets(top, split, lists[split])
            remarks += missing(reals, f"{split}.txt (targets)")
        else:
            reals = _sources(top, split, lists, remarks)
            if reals:
                remarks.append(STUDIO)
        if not reals:
            remarks.append(
                f"there is no real video of the {split} split: the originals of FaceForensics++ can be used, "
                "with options.reals: targets and options.targets"
            )
        return reals + fakes, remarks

    def _lists(self, top: Path, split: str) -> tuple[dict[str, dict[str, Fake]], list[str]]:
        """Return the fakes of each split by key, and remarks; only the list of `split` itself must be there."""
        lists, remarks = {}, []
        for name in SPLITS:
            path = top / LISTS / f"{name}.txt"
            if name != split and not path.exists():
                remarks.append(f"'{path}' is missing: people of this split may be in it too")
            else:
                lists[name] = _read_list(path)
        for name, fakes in lists.items():
            both = sum(key in lists[split] for key in fakes) if name != split else 0
            if both:
                remarks.append(f"{count_of(both, 'fake is', 'fakes are')} in the list of {split} and in that of {name}")
        return lists, remarks

    def _targets(self, top: Path, split: str, fakes: Mapping[str, Fake]) -> list[Clip]:
        """Return the originals of FaceForensics++ that a split's fakes are made from; a missing one stays."""
        folder = (self.root or top) / Path(self.options.targets).expanduser()
        if not folder.is_dir():
            raise DataError(
                f"no folder '{folder}' of FaceForensics++'s originals (c23): set options.targets to it, or "
                "options.reals to sources"
            )
        keys = sorted({fake.target for fake in fakes.values()})
        return [Media(key, folder / f"{key}.mp4").clip(key, REAL, ORIGINAL, split, [f"{FF}:{key}"]) for key in keys]


def _read_list(path: Path) -> dict[str, Fake]:
    """Return the fakes that a list of a split names, one a line. Raises `DataError`, which names the line."""
    found: dict[str, Fake] = {}
    for number, line in read_lines(path):
        match = _NAME.fullmatch(line)
        if match is None:
            raise DataError(
                f"list '{path}' line {number}: {quoted(line)} is not named as a fake is, such as 000_M101.mp4"
            )
        found[match[1]] = Fake(match[1], match[2], match[3])
    if not found:
        raise DataError(f"list '{path}' names no video")
    return found


def share_actors(lists: Mapping[str, Mapping[str, Fake]]) -> dict[str, str]:
    """Return the split that each actor's own videos belong to.

    That is the split of the actor's fakes. Where these are in several, as in no list of the dataset's authors, it is of
    these the split that has the fewest actors so far for its number of fakes; actors are gone through in the order of
    their names, those with one split first.
    """
    splits = _splits_of_actors(lists)
    taken: Counter[str] = Counter()
    shared: dict[str, str] = {}
    for actor in sorted(splits, key=lambda one: (len(splits[one]) > 1, one)):
        chosen = min(splits[actor], key=lambda name: taken[name] / len(lists[name]))
        shared[actor] = chosen
        taken[chosen] += 1
    return shared


def _splits_of_actors(lists: Mapping[str, Mapping[str, Fake]]) -> dict[str, list[str]]:
    """Return the splits that have fakes of each actor."""
    splits: dict[str, list[str]] = {}
    for name, fakes in lists.items():
        for actor in {fake.actor for fake in fakes.values()}:
            splits.setdefault(actor, []).append(name)
    return splits


def _sources(top: Path, split: str, lists: Mapping[str, Mapping[str, Fake]], remarks: list[str]) -> list[Clip]:
    """Return the actors' own videos of a split; add remarks."""
    folder = top / "source_videos"
    there = folders_in(folder) if folder.is_dir() else {}
    shared = share_actors(lists)
    mine = sorted(actor for actor, name in shared.items() if name == split)
    splits = _splits_of_actors(lists)
    several = [actor for actor in splits if len(splits[actor]) > 1]
    away = [actor for actor in several if split in splits[actor] and shared[actor] != split]
    if several:
        remarks.append(
            f"{count_of(len(several), 'actor has', 'actors have')} fakes in more than one split; the own videos of "
            f"each are in one of these alone, shared out by the splits' numbers of fakes; of the actors in {split} "
            f"{len(away)} have theirs in another split"
        )
    absent = [actor for actor in mine if actor not in there]
    if absent:
        remarks.append(f"no source videos of {count_of(len(absent), 'actor', 'actors')}, first {absent[0]}")
    if unused := [actor for actor in there if actor not in shared]:
        names = count_of(len(unused), "actor", "actors")
        remarks.append(f"the source videos of {names} without a listed fake are left out, first {unused[0]}")
    return [
        one.clip(f"{actor}/{one.name}", REAL, ORIGINAL, split, [actor])
        for actor in mine
        if actor in there
        for one in media_under(there[actor])
    ]
