"""Lists of pictures as other benchmarks write them: a text with a path a line (GenD), or JSON (ForensicHub, IMDL)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.errors import DataError
from ...core.parsing import Refused, parse_json
from ...core.records import FAKE, REAL
from ...core.text import quoted
from ..files.images import IMAGE_SUFFIXES
from ..files.video import VIDEO_SUFFIXES
from .entries import LABELS
from .listed_paths import written
from .tables import list_text

TEXT, JSON = ".txt", ".json"
LIST_SUFFIXES = (TEXT, JSON)
"""Endings of the names of lists."""
NEGATIVE = "negative"
"""What IMDL writes (in any case) in place of a mask for a picture that is not manipulated."""

_ENDINGS = frozenset(suffix[1:] for suffix in IMAGE_SUFFIXES)
_LABELLED = re.compile(r"(.*[^\s,;])(?:\s+|\s*[,;]\s*)([01]|real|fake)", re.IGNORECASE)
_LABEL_FIRST = re.compile(r"[01]\s+\S.*")


@dataclass
class Listed:
    """What a list names: paths with `/`, labels (0 real, 1 fake), masks by path, and the number of repeated lines.

    `given` is false if the labels are read from the names of folders.
    """

    paths: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    masks: dict[str, str] = field(default_factory=dict)
    repeated: int = 0
    given: bool = True


def source_of(path: str) -> tuple[str, str, str]:
    """Return the set, the source folder and the video's folder of GenD's `datasets/<Set>/<source>/<video>/<frame>`.

    The set is empty if the path does not begin with `datasets`, the video if no folder is left for it.
    """
    folders = [part for part in path.split("/")[:-1] if part]
    name = ""
    if folders[:1] == ["datasets"] and len(folders) > 2:
        name, folders = folders[1], folders[2:]
    elif len(folders) > 2:
        folders = folders[-2:]
    return name, folders[0] if folders else "", "/".join(folders[1:])


def read_list(path: Path, real_is: int = REAL) -> Listed:
    """Return the pictures of a list file, each once; `real_is` is the number that means real in its labels.

    Raises `DataError`, which names file and line or entry, for any other content, and for a picture with two labels.
    """
    text = list_text(path, fix="check its name")
    rows = _entries(text, path, real_is) if path.suffix.lower() == JSON else _lines(text, path, real_is)
    if not rows.paths:
        raise DataError(f"list '{path}' is empty: it needs a picture a line")
    return rows


def _add(found: Listed, seen: dict[str, int], path: str, label: int, place: str, number: int) -> None:
    """Add a picture of the line or entry (`place`) of a number. Raises DataError if it was there with another label."""
    held = seen.setdefault(path, label)
    if held != label:
        raise DataError(f"{place} {number}: {quoted(path, 80)} is listed as real and as fake; remove one")
    if len(seen) > len(found.paths):
        found.paths.append(path)
        found.labels.append(label)
    else:
        found.repeated += 1


def _lines(text: str, path: Path, real_is: int) -> Listed:
    found, seen, place = Listed(), dict[str, int](), f"list '{path}' line"
    folders: dict[str, int] = {}
    plain = labelled = False
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip()
        if not line:
            continue
        if _is_picture(line):
            name, word, plain = line, "", True
        else:
            match = _LABELLED.fullmatch(line)
            name, word, labelled = (match[1], match[2].lower(), True) if match else ("", "", labelled)
            if not _is_picture(name):
                raise DataError(f"{place} {number}: {_not_a_picture(line)}")
        if plain and labelled:
            raise DataError(f"{place} {number}: some lines have a label and some do not; give all or none")
        name = written(name)
        if word:
            label = LABELS[word] if word in LABELS else (REAL if int(word) == real_is else FAKE)
        else:
            folder = name.rpartition("/")[0]
            if folder not in folders:
                folders[folder] = _by_folder(name, path, number)
            label = folders[folder]
        _add(found, seen, name, label, place, number)
    found.given = labelled
    return found


def _is_picture(name: str) -> bool:
    before, _, ending = name.rpartition(".")
    return bool(before) and (ending in _ENDINGS or ending.lower() in _ENDINGS)


def _by_folder(name: str, path: Path, number: int) -> int:
    source = source_of(name)[1]
    if not source:
        raise DataError(
            f"list '{path}' line {number}: {quoted(name)} has neither a label nor a folder that tells it; write "
            f"`PATH LABEL` (0 real, 1 fake), or SOURCE/VIDEO/FRAME, where a real source has 'real' in its name"
        )
    return REAL if "real" in source.lower() else FAKE


def _not_a_picture(line: str) -> str:
    """Return why a line is not the path of a picture."""
    if _LABEL_FIRST.fullmatch(line):
        return (
            f"{quoted(line)} has its label first, as Celeb-DF's list of testing videos, where 1 is real; "
            "give the dataset's own card (`m2f2bench list datasets`)"
        )
    if Path(line.split()[-1]).suffix.lower() in VIDEO_SUFFIXES:
        return f"{quoted(line)} is a video; list videos in a manifest (.csv with path,label)"
    return f"{quoted(line)} is not the path of a picture ({', '.join(sorted(IMAGE_SUFFIXES)[:4])} …)"


def _entries(text: str, path: Path, real_is: int) -> Listed:
    try:
        data = parse_json(text)
    except Refused as error:
        raise DataError(f"list '{path}' cannot be read: {error}") from None
    if not isinstance(data, list):
        raise DataError(
            f"list '{path}' is {'a mapping' if isinstance(data, dict) else quoted(data)}, not a list of pictures; a "
            "JSON of DeepfakeBench needs a card with the adapter for its form (`m2f2bench list datasets`)"
        )
    found, seen = Listed(), dict[str, int]()
    for number, entry in enumerate(data):
        where = f"list '{path}' entry {number}"
        name, label, mask = _entry(entry, where, real_is)
        name = written(name)
        _add(found, seen, name, label, f"list '{path}' entry", number)
        if mask:
            found.masks[name] = written(mask)
    return found


def _entry(entry: Any, where: str, real_is: int) -> tuple[str, int, str]:
    """Return path, label and mask ("" for none) of one entry of a JSON list. Raises DataError."""
    if isinstance(entry, dict) and "conversations" in entry:
        raise DataError(f"{where} is a conversation: write a card with `adapter: conversations` for this list")
    if isinstance(entry, dict) and "path" in entry and "label" in entry:
        name, label, mask = entry["path"], _label(entry["label"], where, real_is), entry.get("mask")
    elif isinstance(entry, Sequence) and not isinstance(entry, str) and len(entry) == 2:
        name, mask = entry
        if mask in (0, 1) or (isinstance(mask, str) and mask.lower() in LABELS):  # [image, label]
            label, mask = _label(mask, where, real_is), None
        else:
            label = REAL if _no_mask(mask) else FAKE
    else:
        kind = f"an object with {', '.join(map(quoted, list(entry)[:4]))}" if isinstance(entry, dict) else quoted(entry)
        raise DataError(f"{where} is {kind}: it should be {{path, label}}, {{path, label, mask}} or [image, mask]")
    if not isinstance(name, str) or not name.strip():
        raise DataError(f"{where}: its path is {quoted(name)}, not a text")
    if mask is not None and not isinstance(mask, str):
        raise DataError(f"{where}: its mask is {quoted(mask)}, not a path")
    return name.strip(), label, "" if _no_mask(mask) else str(mask).strip()


def _no_mask(mask: Any) -> bool:
    return mask is None or (isinstance(mask, str) and mask.strip().lower() in ("", NEGATIVE))


def _label(value: Any, where: str, real_is: int) -> int:
    if isinstance(value, str) and value.strip().lower() in LABELS:
        return LABELS[value.strip().lower()]
    if isinstance(value, (int, float, str)) and not isinstance(value, bool) and str(value).strip() in (
        "0", "1", "0.0", "1.0",
    ):  # fmt: skip
        return REAL if int(float(value)) == real_is else FAKE
    raise DataError(f"{where}: label {quoted(value)} is neither 0 or real nor 1 or fake")
