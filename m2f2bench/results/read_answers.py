"""Answers from files and from memory: a run's folder, M2F2-Det's output files, or lines of question id and text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from ..core.errors import ScoreError, near
from ..core.records import ANSWER_STATUSES, JUDGE, Answer, Question
from ..core.text import cut, quoted, without_surrogates
from .answers_in_memory import IDS, TEXTS, AnswersInMemory
from .columns import ColumnNames, columns_of
from .in_memory import InMemory
from .read_rows import LONGEST_LINE, json_lines, option
from .row_files import USAGE, read_answers
from .store import ANSWERS

COLUMNS = ("id", "text", "score")
MISSING = "missing"
"""The status of an answer whose text is null."""
OWN = "m2f2bench"
"""Key in an output file's `metadata` under which our own export adds the fields of `Answer`."""
_MARKS = re.compile(r"^\s*<s>|</s>\s*$")


def read_answer_files(
    paths: Sequence[Path | InMemory], questions: Sequence[Question], columns: ColumnNames | None = None
) -> dict[str, Answer]:
    """Read the answers of one explainer, by question id, from one file or several that complete each other.

    A file is a run's folder or its `answers.parquet`, or JSON lines with `id` (or `question`, `question_id`, `key`) and
    `text` (or `answer`), and optionally `score` (P(fake) of the frame); `columns` maps our names to the file's. In
    M2F2-Det's files (`key`, `image`, `prompt`, `text`, `metadata`) the `<s>` marks are removed, a line without a key
    answers the `judge` question about its image (a frame's id, or the file of that name), and `metadata` may hold
    the further fields that `run --export` writes. Answers in memory are read as the file of them. A null text is a
    `missing` answer; an empty text is an answer. Raises ScoreError in one line that names file and line for an id that
    is not asked, an id that is answered twice, and a text that is not a string; also for a file in which every text is
    null.
    """
    known = {question.id: question for question in questions}
    judge = {question.frame: question.id for question in questions if question.kind == JUDGE}
    answers: dict[str, Answer] = {}
    where: dict[str, str] = {}
    scores: dict[str, float | None] = {}
    for path in paths:
        for place, answer in _answers(path, judge, columns_of(columns, Path(str(path)))):
            if answer.question not in known:
                raise ScoreError(
                    f"{place}: '{cut(answer.question, 60)}' is no question that is asked{near(answer.question, known)}"
                )
            if answer.question in answers:
                first = where[answer.question]
                raise ScoreError(f"{place}: question '{answer.question}' already has an answer in {first}; remove one")
            answers[answer.question] = replace(answer, frame=known[answer.question].frame)
            where[answer.question] = place
            frame = known[answer.question].frame
            _refuse_two_scores(scores.get(frame), answer, place)
            scores[frame] = answer.score if scores.get(frame) is None else scores[frame]
    return answers


def _refuse_two_scores(first: float | None, answer: Answer, place: str) -> None:
    """Raise ScoreError if two answers about one image have different scores."""
    if first is not None and answer.score is not None and first != answer.score:
        raise ScoreError(
            f"{place}: question '{answer.question}' has the score {answer.score!r}, but another question about the "
            f"same image has {first!r}: a score is P(fake) of the image"
        )


def looks_like_answers(path: Path) -> bool:
    """Return whether the first object of a file of JSON lines has a text and no label: answers, not rows of P(fake)."""
    if path.suffix != ".jsonl" or not path.is_file():
        return False
    try:
        with path.open(encoding="utf-8-sig") as lines:
            whole = (line for line in iter(lambda: lines.readline(LONGEST_LINE), "") if line.strip())
            first = json.loads(next(whole, "null"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(first, dict) and "label" not in first and any(name in first for name in TEXTS)


def _answers(path: Path | InMemory, judge: Mapping[str, str], columns: dict[str, str]) -> Iterator[tuple[str, Answer]]:
    if isinstance(path, InMemory):
        if not isinstance(path, AnswersInMemory):
            raise ScoreError(f"'{path}' holds rows of P(fake), and answers to questions are wanted here (with a text)")
        yield from _listed(path, path.entries, judge, columns)
        return
    place = path / ANSWERS if path.is_dir() else path
    if not place.is_file():
        raise ScoreError(f"there is no file of answers '{place}'")
    if place.suffix == ".parquet":
        yield from _listed(place, read_answers(place), judge, columns)
        return
    if place.suffix != ".jsonl":
        raise ScoreError(f"'{place}' must end in .jsonl (question id and text) or be a run's folder")
    try:
        rows = json_lines(place)
    except (OSError, ValueError) as error:
        raise ScoreError(f"'{place}' cannot be read as JSON lines: {error}") from None
    if not rows:
        raise ScoreError(f"'{place}' has no answers")
    yield from _listed(place, rows, judge, columns)


def _listed(
    place: Path | InMemory,
    entries: Sequence[Answer | dict[str, Any]],
    judge: Mapping[str, str],
    columns: Mapping[str, str],
) -> Iterator[tuple[str, Answer]]:
    """Yield entries as answers, each with its place: our own rows, or objects as lines of a JSON file have them."""
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown and isinstance(entries[0], dict):
        raise ScoreError(f"cannot map '{unknown[0]}'{near(unknown[0], COLUMNS)}")
    given = False
    for i, entry in enumerate(entries):
        if isinstance(entry, Answer):
            where = place.row(i) if isinstance(place, InMemory) else f"'{place}' row {i + 1}"
            empty = entry.text is None  # the column may have nulls
            given, answer = True, replace(entry, text="", status=MISSING) if empty else entry
        else:
            where = place.row(i) if isinstance(place, InMemory) else f"'{place}' answer {i + 1}"
            answer = _answer(entry, where, judge, columns, lambda name: option(place, name))
            given = given or answer.status != MISSING
        yield where, answer
    if not given:
        raise ScoreError(f"'{place}' has no text in any of its {len(entries)} answers")


def _answer(
    row: dict[str, Any],
    where: str,
    judge: Mapping[str, str],
    columns: Mapping[str, str],
    mapped: Callable[[str], str],
) -> Answer:
    """Return one line's answer; its `frame` is filled in later, from the question. `mapped` says how to map a name."""
    text_key = columns.get("text") or next((name for name in TEXTS if name in row), None)
    if text_key is None or text_key not in row:
        raise ScoreError(f"{where} has no '{text_key or 'text'}'{near('text', row)} (map it with {mapped('text')})")
    text = row[text_key]
    if text is not None and not isinstance(text, str):
        raise ScoreError(f"{where}: its '{text_key}' is {type(text).__name__}, not a string")
    published = "prompt" in row and "image" in row
    identifier = _identifier(row, where, judge, columns, published, mapped)
    known = _known(row, where) if published else {}
    marked = published and not known
    score = row.get(columns.get("score", "score"), known.pop("score", None))
    if "score" in columns and columns["score"] not in row:
        raise ScoreError(f"{where} has no '{columns['score']}' for score{near(columns['score'], row)}")
    if score is not None and (isinstance(score, bool) or not isinstance(score, (int, float)) or not 0 <= score <= 1):
        raise ScoreError(f"{where}: its score is {quoted(score)}, and P(fake) in [0, 1] is wanted")
    if text is None:
        known = {name: value for name, value in known.items() if name != "status" or value != "ok"}
        return replace(Answer(identifier, "", "", MISSING, score), **known)
    if marked:
        text = _MARKS.sub("", text).strip()
    return replace(Answer(identifier, "", without_surrogates(text), score=score), **known)


def _known(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the fields of `Answer` that our own export writes in `metadata`, in addition to the text."""
    metadata = row.get("metadata")
    found = metadata.get(OWN) if isinstance(metadata, dict) else None
    if not isinstance(found, dict):
        return {}
    for name, value in found.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf
        good = {"score": True, "status": value in ANSWER_STATUSES, "message": isinstance(value, str)}
        if not good.get(name, number and name in USAGE):
            raise ScoreError(f"{where}: its metadata hold {name} {quoted(value)}, which no export of ours writes")
    return {name: without_surrogates(value) if isinstance(value, str) else value for name, value in found.items()}


def _identifier(
    row: dict[str, Any],
    where: str,
    judge: Mapping[str, str],
    columns: Mapping[str, str],
    published: bool,
    mapped: Callable[[str], str],
) -> str:
    key = columns.get("id") or next((name for name in IDS if name in row), None)
    if key is not None and key in row:
        if not isinstance(row[key], (str, int)):
            raise ScoreError(f"{where}: its '{key}' is {type(row[key]).__name__}, not a question's id")
        return str(row[key])
    if published and key is None:
        image = str(row["image"])
        frame = image if image in judge else PurePosixPath(image.replace("\\", "/")).stem
        if not judge:
            raise ScoreError(
                f"{where} has no 'key', so it judges an image, but the protocol has no question of kind judge; "
                f"use one that has, such as m2f2-released or judge"
            )
        return judge.get(frame, f"{frame}_judge")
    raise ScoreError(f"{where} has no '{key or 'id'}'{near('id', row)} (map it with {mapped('id')})")
