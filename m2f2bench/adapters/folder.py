"""Anybody's images: a folder tree named by label, or a manifest (CSV, TSV, JSON lines) that lists files."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

from pydantic import Field, field_validator

from ..errors import DataError, near
from ..records import FAKE, ORIGINAL, REAL, SPLITS, Frame, Locator
from .base import AdapterOptions
from .images import IGNORED_NAMES, IMAGE_SUFFIXES, FileAdapter

LABELS = {"real": REAL, "fake": FAKE}
MANIFEST_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
ColumnName = Literal["path", "label", "video", "method", "split", "identity", "picture"]
COLUMNS: tuple[ColumnName, ...] = ("path", "label", "video", "method", "split", "identity", "picture")
NO_METHOD = "fake"
"""The method of a fake of which nobody says how it was made."""

_BINARY = re.compile(r"([01])(?:\.0*)?")


class FolderOptions(AdapterOptions):
    """`manifest`: a list file in the root. `columns`: the manifest's own names for `COLUMNS`.

    `folders` names the levels between the label folder and the file, outermost first, without a manifest.
    """

    manifest: str | None = None
    columns: dict[ColumnName, str] = Field(default_factory=dict)
    folders: tuple[Literal["method", "video", "identity"], ...] = ()

    @field_validator("folders")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("each level of folders can be named once only")
        return value


@dataclass(frozen=True)
class Entry:
    """One image with what is known of it; `where` is what an error about it names."""

    id: str
    path: Path
    label: int
    split: str
    where: str
    method: str = ""
    video: str = ""
    identities: tuple[str, ...] = ()
    picture: str = ""

    def frame(self) -> Frame:
        """The frame; see `FolderAdapter` for how method and video come about. Raises `DataError`."""
        if self.label == FAKE and self.method == ORIGINAL:
            raise DataError(
                f"{self.where}: a fake has the method '{ORIGINAL}', which is kept for real images; rename it"
            )
        method = ORIGINAL if self.label == REAL else self.method or NO_METHOD
        origin = f"{ORIGINAL}/{self.method}" if self.label == REAL and self.method not in ("", ORIGINAL) else method
        video = self.id
        if self.video:
            video = self.video if self.video.startswith(f"{origin}/") else f"{origin}/{self.video}"
        # Like a video, a picture is unique only together with what it belongs to.
        picture = f"{video}/{self.picture}" if self.picture else ""
        return Frame(self.id, video, self.label, method, self.split, self.identities, Locator(str(self.path)), picture)


class FolderAdapter(FileAdapter):
    """Images named by folders or by a manifest; `root` is a folder or the manifest itself.

    Folders: `ROOT/{real,fake}/**` (all of it is the test split) or `ROOT/{train,val,test}/{real,fake}/**`,
    names in any case. Unless `folders` says otherwise each image is a video of its own, and a fake's method
    is the first folder under `fake`. Names of parent folders never group frames unasked: FaceForensics++ has
    a `000_003` under every manipulation. With `folders`, a video is its method and all other levels, and real
    images may lack the method's level. Hidden files, Thumbs.db and desktop.ini are passed over; other files
    that are no images raise `DataError`.

    Manifest: `path` and `label` are needed; a path is absolute, or relative to the root (to the manifest's
    folder where the root is the manifest). Labels are 0, 1, real, fake. A real image's method is `original`;
    one that the manifest gives becomes part of the video's name. No split: test. No video: each image its
    own. Several identities are joined by `+`. Several faces of one picture of a video have the same `picture`.
    A listed file that is not there stays, and fails when it is read.
    """

    Options: ClassVar[type[AdapterOptions]] = FolderOptions

    @property
    def _settings(self) -> FolderOptions:
        return cast(FolderOptions, self.options)

    def frames(self, split: str) -> list[Frame]:
        """The split's frames, videos in order of first appearance; folders are walked in natural order.

        Raises `DataError` for a split that is not there, and for anything in the tree or manifest that is not
        clear.
        """
        if split not in SPLITS:
            raise DataError(f"no split '{split}'{near(split, SPLITS)}")
        entries, source = self._entries()
        videos: dict[str, list[Frame]] = {}
        for entry in entries:
            if entry.split == split:
                frame = entry.frame()
                videos.setdefault(frame.video, []).append(frame)
        if not videos:
            counts = Counter(entry.split for entry in entries)
            there = ", ".join(f"{name} ({counts[name]})" for name in SPLITS if counts[name]) or "no images at all"
            hint = " (without splits all is test)" if set(counts) == {"test"} else ""
            raise DataError(f"'{source}' has no {split} split: it has {there}{hint}")
        return [frame for group in videos.values() for frame in group]

    def _entries(self) -> tuple[list[Entry], Path]:
        """Everything that is listed, and where."""
        root, manifest = self.root, self._settings.manifest
        if root is None:
            raise DataError("a folder dataset needs a root: a folder with real and fake in it, or a manifest file")
        if not root.exists():
            raise DataError(f"'{root}' does not exist: give a folder with real and fake in it, or a manifest file")
        if manifest is None and root.is_dir():
            if self._settings.columns:
                raise DataError(f"'{root}': options.columns goes with a manifest; set options.manifest or take it out")
            return list(_walk_root(root, self._settings.folders)), root
        if self._settings.folders:
            raise DataError(f"'{root}': options.folders goes without a manifest; the manifest has columns for that")
        if manifest is not None and not root.is_dir():
            raise DataError(f"'{root}' is a file, so options.manifest has no folder to lie in; give one of the two")
        path, base = (root, root.parent) if manifest is None else (root / manifest, root)
        return _read_manifest(path, base, self._settings.columns), path


def _natural(text: str) -> tuple[list[tuple[int, int | str]], str]:
    """A sort key under which frame_2 comes before frame_10."""
    parts = re.split(r"([0-9]+)", text)
    return [(0, int(part)) if number % 2 else (1, part) for number, part in enumerate(parts)], text


def _listing(folder: Path) -> list[Path]:
    """What is in a folder but hidden and ignored names, in natural order. Raises `DataError`."""
    try:
        paths = list(folder.iterdir())
    except OSError as error:
        raise DataError(f"folder '{folder}' cannot be listed: {error.strerror}") from None
    kept = (p for p in paths if not p.name.startswith(".") and p.name.lower() not in IGNORED_NAMES)
    return sorted(kept, key=lambda path: _natural(path.name))


def _named(folder: Path, names: tuple[str, ...]) -> dict[str, Path]:
    """The subfolders that have one of the names, in any case; twice the same name raises `DataError`."""
    found: dict[str, Path] = {}
    for path in _listing(folder):
        name = path.name.lower()
        if name in names and path.is_dir():
            if name in found:
                raise DataError(f"'{found[name]}' and '{path}' both mean {name}; join them")
            found[name] = path
    return found


def _walk_root(root: Path, levels: tuple[str, ...]) -> Iterator[Entry]:
    """All images of a tree with or without split folders."""
    splits, labels = _named(root, SPLITS), _named(root, tuple(LABELS))
    if splits and labels:
        raise DataError(f"'{root}' has both split folders ({', '.join(splits)}) and {', '.join(labels)}; keep one kind")
    if not splits and not labels:
        holds = ", ".join(path.name for path in _listing(root)[:6]) or "nothing"
        raise DataError(
            f"'{root}' has neither real and fake nor train, val, test in it, but {holds}; "
            "arrange it so, or list its images in a manifest (path,label)"
        )
    _refuse_others(root, (splits or labels).values())
    for split, folder in (splits or {"test": root}).items():
        if splits:
            labels = _named(folder, tuple(LABELS))
            if not labels:
                raise DataError(f"'{folder}' has neither a folder real nor a folder fake in it; arrange it so")
            _refuse_others(folder, labels.values())
        for name, top in labels.items():
            for path in _walk(top, set()):
                yield _placed(root, top, path, LABELS[name], split, levels)


def _refuse_others(folder: Path, known: Any) -> None:
    """Images and folders beside the known ones would be left out unseen."""
    expected = set(known)
    for path in _listing(folder):
        if path not in expected and (path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES):
            beside = ", ".join(sorted(p.name for p in expected))
            raise DataError(f"'{path}' lies beside {beside} and would be left out; move it, or use a manifest")


def _walk(folder: Path, above: set[str]) -> Iterator[Path]:
    """The image files below a folder, links followed, in natural order."""
    here = os.path.realpath(folder)
    if here in above:
        raise DataError(f"'{folder}' is a link to a folder that it lies in; remove it")
    for path in _listing(folder):
        if path.is_dir():
            yield from _walk(path, above | {here})
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            yield path
        else:
            raise DataError(
                f"'{path}' is no image (by its ending): move it away, take frames out of a video first, "
                "or list the images in a manifest"
            )


def _placed(root: Path, top: Path, path: Path, label: int, split: str, levels: tuple[str, ...]) -> Entry:
    """An image with what its folders say of it."""
    above = path.relative_to(top).parts[:-1]
    name, where = path.relative_to(root).as_posix(), f"'{path}'"
    if not levels:
        method = above[0] if above and label == FAKE else ""
        return Entry(name, path, label, split, where, method)
    if label == REAL and len(above) == len(levels) - 1:
        levels = tuple(level for level in levels if level != "method")
    if len(above) != len(levels):
        raise DataError(
            f"{where} lies {len(above)} folders below '{top.name}', but options.folders names {len(levels)} "
            f"({', '.join(levels)})"
        )
    named = dict(zip(levels, above, strict=True))
    others = [part for level, part in zip(levels, above, strict=True) if level != "method"]
    video = "/".join(others) if "video" in named else ""
    return Entry(name, path, label, split, where, named.get("method", ""), video, _people(named.get("identity", "")))


def _people(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split("+") if part.strip()))


def _read_manifest(path: Path, base: Path, columns: dict[ColumnName, str]) -> list[Entry]:
    """The rows of a manifest file. Raises `DataError` that names file and line."""
    if path.suffix.lower() not in MANIFEST_SUFFIXES:
        raise DataError(f"'{path}' is neither a folder nor a manifest ({', '.join(MANIFEST_SUFFIXES)})")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"manifest '{path}' does not exist") from None
    except UnicodeDecodeError:
        raise DataError(f"manifest '{path}' is not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise DataError(f"manifest '{path}' cannot be read: {error.strerror}") from None
    lines = _json_rows(text, path) if path.suffix.lower() in (".jsonl", ".ndjson") else _csv_rows(text, path)
    names = {name: columns.get(name, name) for name in COLUMNS}
    entries: list[Entry] = []
    seen: dict[str, str] = {}
    has_split = False
    for number, row in lines:
        where = f"manifest '{path}' line {number}"
        _check_columns(row, names, columns, where)
        with_split = names["split"].strip().lower() in row
        if entries and with_split != has_split:
            raise DataError(f"{where}: either every row says its split or none; here they differ")
        has_split = with_split
        entry = _entry({name: row.get(column.strip().lower()) for name, column in names.items()}, base, where)
        place = os.path.normpath(entry.path)
        if place in seen:
            raise DataError(f"{where}: '{entry.id}' is already listed in {seen[place]}; remove one")
        seen[place] = f"line {number}"
        entries.append(entry)
    if not entries:
        raise DataError(f"manifest '{path}' is empty: it needs a row for each image, with path and label")
    return entries


def _check_columns(
    row: dict[str, Any], names: dict[ColumnName, str], mapped: dict[ColumnName, str], where: str
) -> None:
    """`path`, `label` and everything that options.columns names must be there."""
    for name, column in names.items():
        if column.strip().lower() not in row and (name in ("path", "label") or name in mapped):
            there = ", ".join(row) or "none"
            raise DataError(
                f"{where}: no column '{column}' for {name}; columns: {there} (map them with options.columns)"
            )


def _entry(values: dict[ColumnName, Any], base: Path, where: str) -> Entry:
    """One row's values (None or "" where it has none) as an entry."""
    texts = {name: _cell(value, name, where) for name, value in values.items()}
    if not texts["path"]:
        raise DataError(f"{where}: the path is empty")
    split = texts["split"].lower()
    if values["split"] is None:
        split = "test"
    elif split not in SPLITS:
        raise DataError(f"{where}: split '{texts['split']}' is not one of {', '.join(SPLITS)}")
    label = texts["label"].lower()
    binary = _BINARY.fullmatch(label)
    if label not in LABELS and not binary:
        raise DataError(f"{where}: label '{texts['label']}' is neither 0 or real nor 1 or fake")
    return Entry(
        id=texts["path"],
        path=base / texts["path"],
        label=int(binary[1]) if binary else LABELS[label],
        split=split,
        where=where,
        method=texts["method"],
        video=texts["video"],
        identities=_people(texts["identity"]),
        picture=texts["picture"],
    )


def _cell(value: Any, name: str, where: str) -> str:
    """A cell as text without surrounding spaces; a JSON row may have numbers, and a list of identities."""
    if value is None:
        return ""
    if name == "identity" and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return "+".join(value)
    if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
        return str(value).strip()
    raise DataError(f"{where}: {name} must be a text or a number, not {json.dumps(value)[:40]}")


def _csv_rows(text: str, path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, lower-case column -> text) for each row that is not blank; comma, semicolon or tab."""
    header = text.lstrip().split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            where = f"manifest '{path}' line {reader.line_num}"
            if not names:
                names = [cell.strip().lower() for cell in cells]
                if twice := [name for name, count in Counter(names).items() if count > 1 and name]:
                    raise DataError(f"{where}: column '{twice[0]}' is there twice; rename one")
                continue
            if len(cells) != len(names):
                raise DataError(
                    f"{where}: {len(cells)} cells under {len(names)} columns; quote a cell with a comma in it"
                )
            yield reader.line_num, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise DataError(f"manifest '{path}' line {reader.line_num} is not CSV: {error}") from None


def _json_rows(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, lower-case key -> value) for each line that is not blank."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"manifest '{path}' line {number} is not JSON: {error.msg}") from None
        if not isinstance(row, dict):
            raise DataError(f"manifest '{path}' line {number} is not a JSON object")
        yield number, {str(key).strip().lower(): value for key, value in row.items()}
