"""Is a result file what it says it is? What a result has to pass before it stands on a board."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..cards.models import ExplanationCard, ProtocolCard
from ..core.errors import DataError, M2F2BenchError
from ..core.parsing import Refused
from ..core.records import Score
from ..metrics.names import AT_HALF
from ..metrics.scale import SCALES
from ..results.form import CLOSE, groups, unsound
from ..results.result import Result
from ..results.signature import (
    DETECTOR,
    answer_fields,
    bootstrap_field,
    coverage_text,
    differing,
    measure_fields,
    short,
)
from ..results.store import RESULT
from ..results.stored import Stored, read_result, run_name, with_rows
from .compare_answers import drawn_beside
from .detection import load_evidence
from .score import score_evidence

CLUSTERS = "identity@[0-9a-f]{6}|video@[0-9a-f]{6}|frame"
"""What the bootstrap may draw as one, as `signature.drawn_field` tells it."""


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
        result = read_result(file)
    except Refused as error:
        return [f"schema: not a result file: {error}"]
    if not result.protocol_card:
        return ["schema: there is no protocol_card, by which its numbers could be held against anything"]
    problems = [*_signature(result), *_numbers(result)]
    if file.name != RESULT and file.stem != expected_name(result):
        problems.append(f"name: the file must be called {expected_name(result)}.json")
    if any(unsound(result)):  # nothing that is made again could be held against such numbers
        return problems
    stored = with_rows(result, file)
    if stored.rows is not None:
        problems += _rows(stored)
    elif "task" in result.protocol_card:
        problems += _draws(stored)
    return problems


def expected_name(result: Result) -> str:
    """What a result's file is called, without its ending."""
    limit = result.measured.get("limit")
    limit = limit if isinstance(limit, int) else None
    return run_name(result.detector, result.dataset, result.protocol, result.split, limit)


def _signature(result: Result) -> list[str]:
    measured = result.measured
    card = _protocol(result)
    given = [measured.get(key) for key in ("hash", "n")]
    limit = measured["limit"] if isinstance(measured.get("limit"), int) else None
    if isinstance(card, ExplanationCard):
        bert = str(measured.get("bert", ""))
        wanted = answer_fields(result.dataset, result.split, str(given[0]), given[1] or 0, card, limit, bert)
    else:
        came_from = (result.threshold.get("from") or {}).get("hash", "")
        wanted = measure_fields(result.dataset, result.split, str(given[0]), given[1] or 0, card, limit, came_from)
    missing = [key for key in (*wanted, *DETECTOR) if key not in measured and key != "cov"]  # older ones lack it
    if missing:
        return [f"signature: the field '{missing[0]}' is missing"]
    problems = []
    if result.signature != short(measured):
        problems.append("signature: its short form is not that of its fields")
    for key in wanted:
        if key != "v" and not _agrees(key, measured[key], wanted[key], card):
            problems.append(f"signature: {key} is {measured[key]}, but protocol, dataset and split say {wanted[key]}")
    if measured["det"] != result.detector or card.name != result.protocol:
        problems.append("signature: detector or protocol is named otherwise in the result")
    if isinstance(card, ProtocolCard) and result.threshold.get("oracle") is not card.threshold.oracle:
        problems.append("threshold: whether it is an oracle must be as its protocol says")
    if "cov" in measured and measured["cov"] != coverage_text(result.frame_coverage or 0.0, result.coverage):
        problems.append(f"signature: cov is {measured['cov']}, but the result's coverages are others")
    if len(result.predictions) != 64 or set(result.predictions) - set("0123456789abcdef"):
        problems.append("predictions: 64 hexadecimal digits are wanted, the hash of the rows")
    if sum(result.statuses.values()) != measured["n"]:
        what = "questions" if isinstance(card, ExplanationCard) else "frames"
        problems.append(f"statuses: they count {sum(result.statuses.values())} {what}, the signature {measured['n']}")
    return problems


def _agrees(key: str, found: Any, wanted: Any, card: ProtocolCard | ExplanationCard) -> bool:
    """Whether a field is as its protocol says; hashes that only rows or the dataset can give have the right form."""
    if key == "ci" and card.bootstrap.resamples:
        drawn = re.search(rf"-({CLUSTERS})-", str(found))
        return drawn is not None and found == bootstrap_field(card.bootstrap, drawn[1])
    if key == "faces" and wanted != "apart":
        return re.fullmatch(rf"{wanted}@[0-9a-f]{{6}}", str(found)) is not None
    if key == "altered" and "region_f1" in card.metrics:
        return re.fullmatch("[0-9a-f]{12}", str(found)) is not None
    return bool(found == wanted)


def _protocol(result: Result) -> ProtocolCard | ExplanationCard:
    """The protocol in a result. Raises ValidationError."""
    if "task" in result.protocol_card:
        return ExplanationCard.model_validate(result.protocol_card)
    return ProtocolCard.model_validate(result.protocol_card)


def _numbers(result: Result) -> list[str]:
    problems = list(unsound(result))
    wanted = set(result.protocol_card.get("metrics", ()))
    if lacking := sorted(wanted - set(result.metrics)):
        problems.append(f"metrics: '{lacking[0]}' of the protocol is missing")
    for group, scores in groups(result):
        for name, score in scores.items():
            if name.removesuffix(AT_HALF) not in SCALES:
                problems.append(f"{group}: there is no metric '{name}'")
            elif score.value is None and not score.reason:
                problems.append(f"{group}: {name} is null without a reason")
    return problems


def _rows(stored: Stored) -> list[str]:
    """Every number from the rows again."""
    result = stored.result
    try:
        again = score_evidence(load_evidence(stored.path))
    except M2F2BenchError as error:
        return [f"rows: {error}"]
    problems = []
    for key in differing(again.measured, result.measured):
        if key != "v":
            problems.append(f"rows: by them {key} is {again.measured.get(key)}, not {result.measured.get(key)}")
    if result.frame_coverage is None:  # older results do not tell it
        again = replace(again, frame_coverage=None)
    mine, theirs = _flat(again), _flat(result)
    if set(mine) != set(theirs):
        return [*problems, f"rows: '{min(set(mine) ^ set(theirs))}' is not what they give"]
    for key, value in mine.items():
        other = theirs[key]
        same = value == other if value is None or other is None else abs(value - other) <= CLOSE
        if not same:
            return [*problems, f"rows: {key} is {value} by them, not {other}"]
    return problems


def _draws(stored: Stored) -> list[str]:
    """Every interval over all questions from the resamples again, where they are there: the answers may not be."""
    drawn = drawn_beside(stored)
    if drawn is None:
        return []
    level = _protocol(stored.result).bootstrap.level
    for name, score in stored.result.metrics.items():
        values = drawn.draws.get("metrics ", {}).get(name)
        if score.value is None or score.ci is None or score.ci[0] == score.ci[1]:
            continue
        if values is None:
            return [f"resamples: they lack '{name}'"]
        ends = np.nanquantile(values, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
        again = (min(float(ends[0]), score.value), max(float(ends[1]), score.value))
        exact = np.ptp(values[~np.isnan(values)]) < CLOSE  # all agree: the interval is another one
        if not exact and max(abs(a - b) for a, b in zip(again, score.ci, strict=True)) > CLOSE:
            return [f"resamples: the interval of {name} is {list(again)} by them, not {list(score.ci)}"]
    return []


def _flat(result: Result) -> dict[str, float | None]:
    groups: dict[str, dict[str, Score]] = {"metrics": result.metrics, "average": result.average, **result.methods}
    flat: dict[str, Any] = {"coverage": result.coverage, "frame_coverage": result.frame_coverage}
    for group, scores in groups.items():
        for name, score in scores.items():
            flat[f"{group}.{name}"] = score.value
            for i, end in enumerate(score.ci or ()):
                flat[f"{group}.{name}.ci{i}"] = end
    return flat
