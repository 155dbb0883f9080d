"""Is a result file what it says it is? What a result has to pass before it stands on a board."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from .cards import DetectorCard, ProtocolCard
from .errors import DataError, M2F2BenchError, first_line
from .evidence import load_evidence
from .records import Result, Score
from .results import Stored, stored_at
from .scorer import score_evidence
from .scoring.intervals import RANGES
from .signature import DETECTOR, MEASURE, measure_fields, short
from .store import RESULT

CLOSE = 1e-9
"""Values made again from the rows may differ by this: another machine sums in another order."""


def validate_result(path: str | Path) -> list[str]:
    """What is wrong with a result file (or a run's folder), one line each; empty for a sound one.

    Its schema; its signature against its fields and its protocol; its numbers against their ranges and counts; and,
    where its rows are beside it, their hash and every number made from them again. Raises DataError for a file that is
    not there.
    """
    place = Path(path).expanduser()
    file = place / RESULT if place.is_dir() else place
    if not file.is_file():
        raise DataError(f"there is no result file '{file}'")
    try:
        result = Result.from_json(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return [f"schema: not a result file: {first_line(error)}"]
    problems = _schema(result)
    if problems:
        return problems
    problems = [*_signature(result), *_numbers(result)]
    if file.name != RESULT and file.stem != expected_name(result):
        problems.append(f"name: the file must be called {expected_name(result)}.json")
    stored = stored_at(file)
    if stored is not None and stored.rows is not None:
        problems += _rows(stored)
    return problems


def expected_name(result: Result) -> str:
    """What a result's file is called, without its ending."""
    split = "" if result.split == "test" else f"--{result.split}"
    limit = result.measured.get("limit")
    return f"{result.detector}--{result.dataset}--{result.protocol}{split}" + (
        f"--limit{limit}" if isinstance(limit, int) else ""
    )


def _schema(result: Result) -> list[str]:
    from pydantic import TypeAdapter, ValidationError

    try:
        TypeAdapter(Result).validate_python(result.__dict__, strict=False)
        ProtocolCard.model_validate(result.protocol_card)
        if result.detector_card:
            DetectorCard.model_validate(result.detector_card)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return [f"schema: {where or error.title}: {first['msg']}"]
    return []


def _signature(result: Result) -> list[str]:
    measured = result.measured
    missing = [key for key in (*MEASURE, *DETECTOR) if key not in measured]
    if missing:
        return [f"signature: the field '{missing[0]}' is missing"]
    problems = []
    if result.signature != short(measured):
        problems.append("signature: its short form is not that of its fields")
    card = ProtocolCard.model_validate(result.protocol_card)
    limit = measured["limit"] if isinstance(measured["limit"], int) else None
    came_from = result.threshold.get("from") or {}
    wanted = measure_fields(
        result.dataset, result.split, measured["hash"], measured["n"], card, limit, came_from.get("hash", "")
    )
    for key in MEASURE:
        if key != "v" and measured[key] != wanted[key]:
            problems.append(f"signature: {key} is {measured[key]}, but protocol, dataset and split say {wanted[key]}")
    if measured["det"] != result.detector or card.name != result.protocol:
        problems.append("signature: detector or protocol is named otherwise in the result")
    if result.threshold.get("oracle") is not card.threshold.oracle:
        problems.append("threshold: whether it is an oracle must be as its protocol says")
    if len(result.predictions) != 64 or set(result.predictions) - set("0123456789abcdef"):
        problems.append("predictions: 64 hexadecimal digits are wanted, the hash of the rows")
    if sum(result.statuses.values()) != measured["n"]:
        problems.append(f"statuses: they count {sum(result.statuses.values())} frames, the signature {measured['n']}")
    return problems


def _numbers(result: Result) -> list[str]:
    problems = []
    wanted = set(result.protocol_card.get("metrics", ()))
    if lacking := sorted(wanted - set(result.metrics)):
        problems.append(f"metrics: '{lacking[0]}' of the protocol is missing")
    if not 0.0 <= result.coverage <= 1.0:
        problems.append(f"coverage: {result.coverage} is not between 0 and 1")
    for group, scores in {"metrics": result.metrics, "average": result.average, **result.methods}.items():
        problems += [f"{group}.{name}: {why}" for name, score in scores.items() if (why := _wrong(name, score))]
    return problems


def _wrong(name: str, score: Score) -> str:
    low, high = RANGES.get(name.split("@")[0], (0.0, 1.0))
    if score.value is None:
        return "" if score.reason else "null without a reason"
    values = [score.value, *(score.ci or ())]
    if not all(math.isfinite(v) and low - CLOSE <= v <= high + CLOSE for v in values):
        return f"{values} is not in [{low:g}, {high:g}]"
    if score.ci and not score.ci[0] <= score.value <= score.ci[1]:
        return f"{score.value} is not in its interval {list(score.ci)}"
    return "" if min(score.n_real, score.n_fake) >= 0 else "a count is below 0"


def _rows(stored: Stored) -> list[str]:
    """Every number from the rows again."""
    result = stored.result
    try:
        again = score_evidence(load_evidence(stored.path))
    except M2F2BenchError as error:
        return [f"rows: {error}"]
    problems = []
    if again.measured["hash"] != result.measured["hash"]:
        problems.append(f"rows: their data hash is {again.measured['hash']}, not {result.measured['hash']}")
    mine, theirs = _flat(again), _flat(result)
    if set(mine) != set(theirs):
        return [*problems, f"rows: '{min(set(mine) ^ set(theirs))}' is not what they give"]
    for key, value in mine.items():
        other = theirs[key]
        same = value == other if value is None or other is None else abs(value - other) <= CLOSE
        if not same:
            return [*problems, f"rows: {key} is {value} by them, not {other}"]
    return problems


def _flat(result: Result) -> dict[str, float | None]:
    groups: dict[str, dict[str, Score]] = {"metrics": result.metrics, "average": result.average, **result.methods}
    flat: dict[str, Any] = {"coverage": result.coverage}
    for group, scores in groups.items():
        for name, score in scores.items():
            flat[f"{group}.{name}"] = score.value
            for i, end in enumerate(score.ci or ()):
                flat[f"{group}.{name}.ci{i}"] = end
    return flat
