"""Validation of a result file: the checks that a result must pass before it goes on a board."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..cards.models import AnyProtocol, ProtocolCard
from ..core.errors import DataError
from ..core.parsing import Refused
from ..results.form import groups, known_in, unsound
from ..results.result import Result
from ..results.signature import (
    DETECTOR,
    MAP,
    bootstrap_field,
    coverage_text,
    short,
)
from ..results.store import RESULT
from ..results.stored import read_result, run_name, with_rows
from .tasks import TASKS

CLUSTERS = "identity@[0-9a-f]{6}|video@[0-9a-f]{6}|frame"
"""Units that the bootstrap may resample, as `signature.drawn_field` writes them."""
SIZES = r"(none|\d+x\d+(\+\d+x\d+)*)(-.+)?"
"""Sizes of heat maps, and how they are made."""


def validate_result(path: str | Path) -> list[str]:
    """Return what is wrong with a result file (or a run's folder), one line each; empty for a valid one.

    Checks its schema; its signature against its fields and its protocol; its numbers against their ranges and counts;
    and, if its rows are next to it, their hash and every number recomputed from them. Raises DataError if there is no
    such file.
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
        return ["schema: protocol_card is missing, so its numbers cannot be checked"]
    problems = [*_signature(result), *_numbers(result)]
    if file.name != RESULT and file.stem != expected_name(result):
        problems.append(f"name: the file must be called {expected_name(result)}.json")
    if any(unsound(result)):  # such numbers cannot be compared with recomputed ones
        return problems
    stored = with_rows(result, file)
    return problems + TASKS[result.task].recheck(stored)


def expected_name(result: Result) -> str:
    """Return the name that a result's file must have, without its ending."""
    return run_name(result.detector, result.dataset, result.protocol, result.split, result.limit)


def _signature(result: Result) -> list[str]:
    measured = result.measured
    card = result.rules
    wanted = TASKS[result.task].fields(result, card)
    if "own" in measured and "own" not in wanted:
        return ["signature: it names the user's own metrics, but the protocol describes none"]
    missing = [key for key in (*wanted, *DETECTOR) if key not in measured and key != "cov"]  # older results lack it
    if missing:
        return [f"signature: the field '{missing[0]}' is missing"]
    problems = []
    if result.signature != short(measured):
        problems.append("signature: the short form does not match the fields")
    for key in wanted:
        if key != "v" and not _agrees(key, measured[key], wanted[key], card):
            problems.append(f"signature: {key} is {measured[key]}, but protocol, dataset and split say {wanted[key]}")
    if measured["det"] != result.detector or card.name != result.protocol:
        problems.append("signature: the result names another detector or protocol")
    if isinstance(card, ProtocolCard) and result.threshold.get("oracle") is not card.threshold.oracle:
        problems.append("threshold: `oracle` is not what the protocol says")
    if "cov" in measured and measured["cov"] != coverage_text(result.frame_coverage or 0.0, result.coverage):
        problems.append(f"signature: cov is {measured['cov']}, which does not match the result's coverages")
    if len(result.predictions) != 64 or set(result.predictions) - set("0123456789abcdef"):
        problems.append("predictions: must be 64 hexadecimal digits, the hash of the rows")
    if sum(result.statuses.values()) != measured["n"]:
        found, what = sum(result.statuses.values()), TASKS[result.task].items
        problems.append(f"statuses: they count {found} {what}, but the signature {measured['n']}")
    return problems


def _agrees(key: str, found: Any, wanted: Any, card: AnyProtocol) -> bool:
    """Return whether a field is as its protocol says. Hashes of rows or data are only checked for their form."""
    if key == "ci" and card.bootstrap.resamples:
        drawn = re.search(rf"-({CLUSTERS})-", str(found))
        return drawn is not None and found == bootstrap_field(card.bootstrap, drawn[1])
    if key == "faces" and wanted != "apart":
        return re.fullmatch(rf"{wanted}@[0-9a-f]{{6}}", str(found)) is not None
    if key == "masks" or (key == "altered" and "region_f1" in card.metrics):
        return re.fullmatch("[0-9a-f]{12}", str(found)) is not None
    if key == MAP:
        return re.fullmatch(SIZES, str(found)) is not None
    return bool(found == wanted)


def _numbers(result: Result) -> list[str]:
    problems = list(unsound(result))
    wanted = set(result.protocol_card.get("metrics", ()))
    if lacking := sorted(wanted - set(result.metrics)):
        problems.append(f"metrics: '{lacking[0]}' of the protocol is missing")
    for group, scores in groups(result):
        for name, score in scores.items():
            if known_in(result, name) is None:
                problems.append(f"{group}: unknown metric '{name}'")
            elif score.value is None and not score.reason:
                problems.append(f"{group}: {name} is null without a reason")
    return problems
