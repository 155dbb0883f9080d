"""Export of answers to the formats of other programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ..core.answers import Answers
from ..core.errors import CardError, near
from ..core.files import write_text
from ..core.records import JUDGE, Frame
from ..results.read_answers import OWN
from ..results.row_files import USAGE
from ..scoring.answers import ScoredAnswers

FORMS = ("m2f2",)
"""What `run --export` can write: `m2f2` are M2F2-Det's output files."""
JUDGEMENTS, EXPLANATIONS = "m2f2_det.jsonl", "m2f2_exp.jsonl"


def check_export(form: str | None, answers: bool) -> None:
    """Raise CardError for an unknown form, and if no protocol of a run asks questions (`answers`)."""
    if form is None:
        return
    if form not in FORMS:
        raise CardError(f"cannot export to '{form}'{near(form, FORMS)}")
    if not answers:
        raise CardError(
            f"--export {form} is for answers to questions, but no protocol of this run asks any: give --protocol "
            f"explain-blind, m2f2-released, …"
        )


def write_export(evidence: ScoredAnswers, folder: Path, form: str) -> list[Path]:
    """Write a run's answers in a form of FORMS into its folder, and return the files.

    `m2f2`: JSON lines `{"key", "image", "prompt", "text", "metadata"}` as M2F2-Det's scripts write them
    (arXiv 2503.20188): EXPLANATIONS with the question's id as `key` and the image's file name, JUDGEMENTS without a
    key, with the image's path. `prompt` is the question, `text` the plain answer, empty if there is none. The other
    fields of `records.Answer` are in `metadata` under `m2f2bench`. If a frame has no file of its name, its image is
    the frame's id. `score` computes the same numbers from these files as the run did (if the run had a limit, it
    counts all other questions as unanswered). Raises CardError.
    """
    check_export(form, answers=True)
    texts: dict[str, list[str]] = {JUDGEMENTS: [], EXPLANATIONS: []}
    for name, row in _lines(evidence):
        texts[name].append(json.dumps(row) + "\n")
    written = []
    for name, lines in texts.items():
        path = folder / name
        if lines:
            write_text(path, "".join(lines))
            written.append(path)
        else:
            path.unlink(missing_ok=True)  # from an earlier run
    return written


def _lines(evidence: ScoredAnswers) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of the file and the line of each answer, in the order of the questions, without missing ones."""
    answers, plan = evidence.answers, evidence.plan
    judged = Counter(answers.frame[answers.kind == JUDGE].tolist())
    for i in (answers.status != "missing").nonzero()[0]:
        frame = plan.frames[answers.frame[i]]
        judges = answers.kind[i] == JUDGE
        # A line without a key is identified by its image, so only one question about an image can lack a key.
        key = {} if judges and judged[frame.id] == 1 else {"key": str(answers.question[i])}
        known = _known(answers, i)
        row = {
            "image": image_name(frame, plan.dataset.adapter.root, whole=judges),
            "prompt": str(answers.asked[i]),
            "text": str(answers.text[i]),
            "metadata": {OWN: known} if known else {},
        }
        yield JUDGEMENTS if judges else EXPLANATIONS, {**key, **row}


def _known(answers: Answers, i: int) -> dict[str, Any]:
    """Return the further fields of an answer that are not empty."""
    fields: dict[str, Any] = {"status": str(answers.status[i]), "message": str(answers.message[i])}
    for name in ("score", *USAGE):
        value = float(getattr(answers, name)[i])
        fields[name] = int(value) if name.startswith("tokens") and value == value else value
    silent = {"status": "ok", "message": ""}
    return {name: value for name, value in fields.items() if value == value and silent.get(name) != value}


def image_name(frame: Frame, root: Path | None, whole: bool = False) -> str:
    """Return an image's file name, or with `whole` its path below the dataset's `root` (`./…`).

    It is the frame's id if no file has that name.
    """
    path = Path(frame.locator.path)
    if path.stem != frame.id or frame.locator.key is not None or frame.locator.index is not None:
        return frame.id
    if not whole:
        return path.name
    inside = root is not None and path.is_relative_to(root)
    return f"./{PurePosixPath(path.relative_to(root))}" if inside and root is not None else path.as_posix()
