"""Holding of a dataset's folder against its card: what is there, what is missing or odd, which counts differ.

Folders are scanned and lists are read; no picture is decoded, and no video file is opened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..cards.models import DatasetCard
from ..core.errors import M2F2BenchError
from ..core.records import ORIGINAL
from ..core.text import quoted
from ..datasets.base import Adapter
from ..datasets.calls import close_adapter, fits_of, lacking_of, remarks_of
from ..datasets.dataset import Dataset
from ..datasets.files.images import IMAGE_SUFFIXES
from ..datasets.files.video import VIDEO_SUFFIXES
from ..datasets.files_there import Folders, Listed, listing
from ..datasets.recognition import data_folder, recognised
from ..loading import load_dataset

MEASURED = 200_000
"""Files whose size is looked at; of the others that of each video's first file."""
NAMED = 3
"""Names that a line gives at most."""
NEIGHBOURS = 500
"""Folders beside a missing one that are looked at."""


@dataclass(frozen=True)
class Finding:
    """One line of a report. `ok` is None for a note: an optional part that is absent, or what is good to know."""

    what: str
    ok: bool | None
    detail: str


@dataclass
class Held:
    """The videos of one manipulation in a split: how many are listed, how many of them are missing, and the frames of
    the others (None: not counted)."""

    videos: int = 0
    frames: int | None = 0
    missing: int = 0


@dataclass
class Holding:
    """What a dataset's folder holds: lines of a report, and counts by split and manipulation."""

    dataset: str
    root: Path | None
    findings: list[Finding] = field(default_factory=list)
    splits: dict[str, dict[str, Held]] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether nothing is missing, odd or different."""
        return all(one.ok is not False for one in self.findings)

    def add(self, what: str, ok: bool | None, detail: str) -> None:
        """Add a line."""
        self.findings.append(Finding(what, ok, detail))

    def to_json(self) -> dict[str, Any]:
        """Return the report for JSON."""
        splits = {split: {name: asdict(one) for name, one in held.items()} for split, held in self.splits.items()}
        place = None if self.root is None else str(self.root)
        findings = [asdict(one) for one in self.findings]
        return {"dataset": self.dataset, "root": place, "whole": self.whole, "splits": splits, "findings": findings}


def hold(reference: str | DatasetCard | Adapter, splits: Sequence[str] = ()) -> Holding:
    """Hold a dataset's folder against its card; `splits` are those that are looked at, by default all.

    Raises M2F2BenchError for a dataset that cannot be looked for: an unknown name, no data folder, an unknown split.
    """
    dataset = load_dataset(reference)
    for split in splits:
        dataset.check_split(split)
    report = Holding(dataset.name, dataset.adapter.root)
    if not _misplaced(report, dataset):
        look = _Look()
        for split in dict.fromkeys(splits or dataset.splits):
            _split(report, dataset, split, look)
        report.findings = _joined(report.findings)
        if report.whole and not report.splits:
            report.add("splits", False, "none of them has any videos")
        if not splits and report.whole:
            _unnamed(report, look)
        close_adapter(dataset.adapter)
    _advise(report, dataset.card)
    return report


@dataclass
class _Look:
    """What is shared by the splits: scanned folders, how many files were measured, names listed by folder."""

    folders: Folders = field(default_factory=Folders)
    measured: int = 0
    named: dict[str, set[str]] = field(default_factory=dict)


def _misplaced(report: Holding, dataset: Dataset) -> bool:
    """Add the line about the folder itself; return whether there is nothing more to look at."""
    root, adapter = dataset.adapter.root, dataset.adapter
    if root is None:
        report.add("root", True, "drawn by code: no files are needed")
        return False
    base = data_folder(dataset.card)
    if not root.exists() and base is not None and base.is_dir():
        if _another(report, base):
            return True
        hint = (
            _elsewhere(dataset, base) or f", and '{base}' is not laid out as {report.dataset}: it holds {_names(base)}"
        )
        report.add("root", False, f"there is no folder '{root}'{hint}")
        return True
    if not root.exists():
        report.add("root", False, f"there is no folder '{root}'")
        return True
    if type(adapter).fits is Adapter.fits:
        report.add("root", True, str(root))
    elif fits_of(adapter):
        report.add("root", True, f"{root}, laid out as {report.dataset}")
    elif root.is_dir() and _another(report, root):
        return True
    else:
        report.add("root", None, f"'{root}' is not laid out as {report.dataset}: it holds {_names(root)}")
    return False


def _names(folder: Path) -> str:
    """Return the first names in a folder."""
    if not folder.is_dir():
        return "nothing: it is a file"
    return first_few(sorted(path.name for path in folder.iterdir()), 6) or "nothing"


def _another(report: Holding, root: Path) -> bool:
    """Return whether a folder is that of another dataset, and say so."""
    others = [card.name for card in recognised(root) if card.name != report.dataset]
    if others:
        names = " or ".join(others[:NAMED])
        advice = f"m2f2bench doctor {others[0]} --data {root}"
        report.add("root", False, f"'{root}' looks like {names}, not like {report.dataset}: {advice}")
    return bool(others)


def _elsewhere(dataset: Dataset, base: Path) -> str:
    """Return a hint at a folder in the data folder that has the dataset's layout under another name."""
    cls = type(dataset.adapter)
    for path in sorted(base.iterdir())[:NEIGHBOURS]:
        if path.is_dir() and fits_of(cls(root=path, options=dataset.adapter.options)):
            return f", but '{path}' has its layout: give --data {path}, or rename it to {dataset.card.root}"
    return ""


def _split(report: Holding, dataset: Dataset, split: str, look: _Look) -> None:
    """Add the lines about one split."""
    adapter = dataset.adapter
    try:
        videos = list(listing(adapter, split))
        lacking = set(lacking_of(adapter, split))
        remarks = remarks_of(adapter, split)
    except M2F2BenchError as error:
        needed = split in (*dataset.card.counts, *(dataset.card.splits or ())) or _holds(adapter, split)
        report.add(split, False if needed else None, str(error))
        return
    absent = _Absent()
    held: dict[str, Held] = {}
    twice = [name for name, count in Counter((one.method, one.video) for one in videos).items() if count > 1]
    for video in videos:
        one = held.setdefault(video.method, Held())
        one.videos += 1
        if absent.look(video, look, adapter.root is not None, video.video in lacking):
            one.missing += 1
        else:
            one.frames = None if one.frames is None or video.frames is None else one.frames + video.frames
    report.splits[split] = held
    some = any(one.missing < one.videos for one in held.values())
    report.add(split, (some or None) if videos else False, _there(held) if videos else "no videos are listed")
    for line in absent.lines(held):
        report.add(split, False, line)
    if twice:
        names = first_few([video for _, video in twice])
        report.add(split, False, f"{_number(len(twice), 'video')} listed twice: {names}")
    counts = dataset.card.counts.get(split, {})
    chosen = {ORIGINAL, *(getattr(adapter.options, "methods", None) or counts)}
    wanted = {method: count for method, count in counts.items() if method in chosen}
    if differing := [line for method, count in wanted.items() if (line := _differing(held, method, count))]:
        report.add(split, False, "; ".join(differing))
    if others := [method for method in held if counts and method not in counts]:
        report.add(split, None, f"the card does not count {first_few(others)}")
    for remark in remarks:
        report.add(split, None, remark)


class _Absent:
    """Files of one split that do not exist or are empty."""

    def __init__(self) -> None:
        self.videos: list[str] = []
        self.frames: list[str] = []
        self.empty: list[str] = []

    def look(self, video: Listed, look: _Look, on_disk: bool, lacking: bool) -> bool:
        """Look for a video's files, and return whether the video is missing as a whole."""
        files = list(video.files()) if on_disk else []
        missing = {folder: set(look.folders.absent(folder, names)) for folder, names in files}
        count = sum(len(names) for _, names in files)
        if lacking or (count and sum(map(len, missing.values())) == count):
            self.videos.append(video.video)
            return True
        single = video.alone and video.clip is not None and video.clip.place.key is None
        first = True
        for folder, names in files:
            self.frames += [f"{folder}/{name}" for name in names if name in missing[folder]]
            if single:
                look.named.setdefault(folder, set()).update(names)
            for name in names if look.measured < MEASURED else names[:1] if first else ():
                first = False
                if name not in missing[folder]:
                    look.measured += 1
                    path = Path(folder, name)
                    if _is_empty(path):
                        self.empty.append(str(path))
        return False

    def lines(self, held: dict[str, Held]) -> Iterator[str]:
        """Yield a line on the missing videos, the missing frames and the empty files."""
        if self.videos:
            listed = sum(one.videos for one in held.values())
            by_method = [f"{name} {one.missing} of {one.videos}" for name, one in held.items() if one.missing]
            yield (
                f"{len(self.videos):,} of {_number(listed, 'video')} missing ({first_few(by_method, 6)}): "
                f"{first_few(self.videos)}"
            )
        if self.frames:
            yield f"{_number(len(self.frames), 'frame')} without a file, of videos that are there: " + first_few(
                self.frames
            )
        if self.empty:
            yield f"{_number(len(self.empty), 'file')} with 0 bytes: {first_few(self.empty)}"


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except OSError:  # it cannot be looked at, and is said to be unreadable in a run
        return False


def _there(held: dict[str, Held]) -> str:
    """Return what a split has, by manipulation."""
    parts = []
    for method, one in held.items():
        frames = "" if one.frames in (None, one.videos - one.missing) else f" ({one.frames:,} frames)"
        parts.append(f"{method} {one.videos - one.missing:,}{frames}")
    total = sum(one.videos - one.missing for one in held.values())
    return f"{_number(total, 'video')}: {', '.join(parts)}"


def _differing(held: dict[str, Held], method: str, wanted: int) -> str:
    """Return how many videos of a manipulation are listed, if the card says another number; else an empty text."""
    found = held[method].videos if method in held else 0
    return f"{_number(found, f'{method} video')}, the card says {wanted:,}" if found != wanted else ""


def _holds(adapter: Adapter, split: str) -> bool:
    """Return whether an adapter that cannot list a split should have it."""
    try:
        return adapter.holds(split)
    except M2F2BenchError:
        return True


def _joined(findings: Sequence[Finding]) -> list[Finding]:
    """Return the lines with those that say the same of several splits as one."""
    same: dict[tuple[bool | None, str, str], list[str]] = {}
    for one in findings:  # what is there is one line for each split
        same.setdefault((one.ok, one.detail, one.what if one.ok else ""), []).append(one.what)
    return [Finding(", ".join(dict.fromkeys(whats)), ok, detail) for (ok, detail, _), whats in same.items()]


def _unnamed(report: Holding, look: _Look) -> None:
    """Add a note on pictures and videos that lie beside those that are listed, and that no split names."""
    found = []
    for folder, names in look.named.items():
        others = look.folders.names(folder) - names
        found += [f"{folder}/{name}" for name in sorted(others) if Path(name).suffix.lower() in _MEDIA]
    if found:
        report.add("not listed", None, f"{_number(len(found), 'file')} that no split names: {first_few(found)}")


_MEDIA = IMAGE_SUFFIXES | VIDEO_SUFFIXES


def _advise(report: Holding, card: DatasetCard) -> None:
    """Add notes from the card that help where something is wrong."""
    if report.whole:
        return
    if card.obtain:
        report.add("obtain", None, " ".join(card.obtain.split()))
    if card.unchecked:
        report.add("not checked", None, f"on a copy, so the card may be wrong: {' '.join(card.unchecked.split())}")


def first_few(names: Sequence[str], count: int = NAMED) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - count:,} more" if len(names) > count else ""
    return ", ".join(name if len(name) <= 200 else quoted(name, 200) for name in names[:count]) + more


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
