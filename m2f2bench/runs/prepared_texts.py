"""Questions and manipulated regions of prepared frames: those of the scenes, written beside the pictures."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TypeVar, get_args

from ..cards.protocols import QuestionKind
from ..core.errors import M2F2BenchError, MachineError
from ..core.files import write_json, write_text
from ..core.records import Question
from ..datasets.calls import altered_regions_of, questions_of
from ..datasets.layouts.prepared import QUESTIONS, REGIONS
from ..faces.adapter import FaceAdapter
from .prepared_records import Rows

log = logging.getLogger("m2f2bench")
T = TypeVar("T")


def write_texts(adapter: FaceAdapter, rows: Rows, splits: Sequence[str], root: Path) -> dict[str, int]:
    """Write the questions about prepared frames, and their manipulated regions, if there are any.

    Returns the number of `questions`, and of those `questions_left_out` because their frames were not taken. What
    cannot be read is a warning. Raises StoreError.
    """
    lines: list[str] = []
    regions: dict[str, dict[str, list[str]]] = {}
    left_out = 0
    for split in splits:
        questions = list(_questions(adapter, split))
        known = _tried("regions", partial(altered_regions_of, adapter, split)) or {}
        faces = _faces(rows, split) if questions or known else {}
        for question in questions:
            asked = [
                replace(question, id=question.id + name.removeprefix(question.frame), frame=name)
                for name in faces.get(question.frame, ())
            ]
            left_out += not asked
            lines += [json.dumps({"split": split, **asdict(one)}, ensure_ascii=False) for one in asked]
        found = {name: sorted(known[name]) for names in faces.values() for name in names if name in known}
        regions |= {split: found} if found else {}
    _write(root / QUESTIONS, "".join(f"{line}\n" for line in lines))
    if regions:
        write_json(root / REGIONS, regions)
    else:
        (root / REGIONS).unlink(missing_ok=True)
    return {"questions": len(lines), "questions_left_out": left_out}


def _faces(rows: Rows, split: str) -> dict[str, list[str]]:
    """Return the ids of the faces of each frame of a split."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row["split"] == split:
            found.setdefault(row["picture"] or row["id"], []).append(row["id"])
    return found


def _questions(adapter: FaceAdapter, split: str) -> Iterator[Question]:
    for kind in get_args(QuestionKind):
        yield from _tried(f"questions of the kind {kind}", partial(questions_of, adapter.scenes, split, kind)) or ()


def _tried(what: str, ask: Callable[[], T]) -> T | None:
    """Return what `ask` returns; None, with a warning, if it fails."""
    try:
        return ask()
    except MachineError:
        raise
    except M2F2BenchError as error:
        log.warning("%s are not prepared: %s", what, error)
        return None


def _write(path: Path, text: str) -> None:
    if text:
        write_text(path, text)
    else:
        path.unlink(missing_ok=True)
