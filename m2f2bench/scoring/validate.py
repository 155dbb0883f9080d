"""Is a result file what it says it is? What a result has to pass before it stands on a board."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..cards.models import ExplanationCard, ProtocolCard, protocol_model
from ..core.errors import DataError
from ..core.parsing import Refused
from ..results.form import groups, known_in, unsound
from ..results.result import Result
from ..results.signature import (
    DETECTOR,
    bootstrap_field,
    coverage_text,
    short,
)
from ..results.store import RESULT
from ..results.stored import read_result, run_name, with_rows
from .tasks import TASKS

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
    return problems + TASKS[result.task].recheck(stored)


def expected_name(result: Result) -> str:
    """What a result's file is called, without its ending."""
    limit = result.measured.get("limit")
    limit = limit if isinstance(limit, int) else None
    return run_name(result.detector, result.dataset, result.protocol, result.split, limit)


def _signature(result: Result) -> list[str]:
    measured = result.measured
    card = _protocol(result)
    wanted = TASKS[result.task].fields(result, card)
    if "own" in measured and "own" not in wanted:
        return ["signature: it names metrics of the user's, and the protocol describes none"]
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
        found, what = sum(result.statuses.values()), TASKS[result.task].items
        problems.append(f"statuses: they count {found} {what}, the signature {measured['n']}")
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
    return protocol_model(result.protocol_card).model_validate(result.protocol_card)


def _numbers(result: Result) -> list[str]:
    problems = list(unsound(result))
    wanted = set(result.protocol_card.get("metrics", ()))
    if lacking := sorted(wanted - set(result.metrics)):
        problems.append(f"metrics: '{lacking[0]}' of the protocol is missing")
    for group, scores in groups(result):
        for name, score in scores.items():
            if known_in(result, name) is None:
                problems.append(f"{group}: there is no metric '{name}'")
            elif score.value is None and not score.reason:
                problems.append(f"{group}: {name} is null without a reason")
    return problems
