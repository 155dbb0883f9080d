"""Validation of a result file: the checks that a result must pass before it goes on a board."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cards.models import AnyProtocol, ProtocolCard
from ..core.arguments import checked
from ..core.errors import DataError, M2F2BenchError
from ..core.files import user_path
from ..core.notebook import data_frame, heading, page, table
from ..core.parsing import Refused
from ..core.records import Score
from ..metrics.names import Group
from ..results.form import CLOSE, groups, known_in, unsound
from ..results.result import Result
from ..results.signature import BY, DETECTOR, EXPANDED, MAP, bootstrap_field, coverage_text, differing, short
from ..results.store import RESULT
from ..results.stored import Stored, read_result, run_name, stored_resamples, with_rows
from ..stats.bootstrap import expanded_tail
from .scored import OWN
from .tasks import TASKS

if TYPE_CHECKING:
    import pandas as pd

CLUSTERS = "identity@[0-9a-f]{6}|people@[0-9a-f]{6}|video@[0-9a-f]{6}|frame"
"""Units that the bootstrap may resample, as `signature.drawn_field` writes them."""
SIZES = r"(none|\d+x\d+(\+\d+x\d+)*)(-.+)?"
"""Sizes of heat maps, and how they are made."""


class Problems(list[str]):
    """What is wrong with a result, one line each; empty for a valid one."""

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with the columns `check` (what is wrong: the schema, a number, …) and `problem`."""
        parts = [line.partition(": ") for line in self]
        return data_frame([{"check": check, "problem": problem} for check, _, problem in parts], ())

    def _repr_html_(self) -> str:
        """Return the verdict, and a table of the problems."""
        cells = [["check", "problem"], *([check, problem] for check, _, problem in (s.partition(": ") for s in self))]
        verdict = heading(f"{len(self)} problems" if self else "valid")
        return page(verdict, table(cells, left=2, wrap=True) if self else "")


@checked
def validate_result(path: str | Path) -> Problems:
    """Return what is wrong with a result file (or a run's folder), one line each; empty for a valid one.

    Checks its schema; its signature against its fields and its protocol; its numbers against their ranges and counts;
    and, if its rows are next to it, their hash and every number recomputed from them. Raises DataError if there is no
    such file.
    """
    place = user_path(path)
    file = place / RESULT if place.is_dir() else place
    if not file.is_file():
        raise DataError(f"there is no result file '{file}'")
    try:
        result = read_result(file)
    except Refused as error:
        return Problems([f"schema: not a result file: {error}"])
    if not result.protocol_card:
        return Problems(["schema: protocol_card is missing, so its numbers cannot be checked"])
    problems = Problems([*_signature(result), *_numbers(result)])
    if file.name != RESULT and file.stem != expected_name(result):
        problems.append(f"name: the file must be called {expected_name(result)}.json")
    if any(unsound(result)):  # such numbers cannot be compared with recomputed ones
        return problems
    stored = with_rows(result, file)
    problems += _recheck_rows(stored) if TASKS[result.task].from_rows else _recheck_resamples(stored)
    return problems


def expected_name(result: Result) -> str:
    """Return the name that a result's file must have, without its ending."""
    return run_name(result.detector, result.dataset, result.protocol, result.split, result.limit)


def _signature(result: Result) -> list[str]:
    measured = result.measured
    card = result.rules
    wanted = TASKS[result.task].fields(result, card)
    if "own" in measured and "own" not in wanted:
        return ["signature: it names the user's own metrics, but the protocol describes none"]
    optional = (BY, "cov")  # older results lack `cov`
    missing = [key for key in (*wanted, *DETECTOR) if key not in measured and key not in optional]
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
        known = drawn and bootstrap_field(card.bootstrap, drawn[1])
        return known is not None and str(found) in (known, known.removesuffix(EXPANDED))
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


def _recheck_rows(stored: Stored) -> list[str]:
    """Recompute every number from the rows, if there are any; return what differs, one line each."""
    if stored.rows is None:
        return []
    result = stored.result
    try:
        again = TASKS[result.task].score([stored.path], OWN)
    except M2F2BenchError as error:
        return [f"rows: {error}"]
    problems = []
    maps = [MAP] if again.measured.get(MAP) != result.measured.get(MAP) else []
    for key in [*differing(again.measured, result.measured), *maps]:
        if key != "v":
            problems.append(f"rows: {key} is {again.measured.get(key)} in them, not {result.measured.get(key)}")
    if result.frame_coverage is None:  # older results lack it
        again = replace(again, frame_coverage=None)
    mine, theirs = _flat(again), _flat(result)
    if set(mine) != set(theirs):
        return [*problems, f"rows: '{min(set(mine) ^ set(theirs))}' is not among the numbers that they give"]
    for key, value in mine.items():
        other = theirs[key]
        same = value == other if value is None or other is None else abs(value - other) <= CLOSE
        if not same:
            return [*problems, f"rows: {key} is {value} if computed from them, not {other}"]
    return problems


def _recheck_resamples(stored: Stored) -> list[str]:
    """Recompute every interval over all questions from the resamples, if there are any; return what differs."""
    drawn = stored_resamples(stored)
    if drawn is None:
        return []
    level, groups = stored.result.rules.bootstrap.level, float(stored.result.clusters["n"])
    expanded = str(stored.result.measured.get("ci")).endswith(EXPANDED)  # else it is of an older version
    tail = expanded_tail(level, groups) if expanded else (1.0 - level) / 2.0
    for name, score in stored.result.metrics.items():
        values = drawn.draws.get(Group(), {}).get(name)
        if score.value is None or score.ci is None or score.ci[0] == score.ci[1]:
            continue
        if values is None:
            return [f"resamples: they lack '{name}'"]
        ends = np.nanquantile(values, [tail, 1.0 - tail])
        again = (min(float(ends[0]), score.value), max(float(ends[1]), score.value))
        exact = np.ptp(values[~np.isnan(values)]) < CLOSE  # all agree: the interval is not a percentile interval
        if not exact and max(abs(a - b) for a, b in zip(again, score.ci, strict=True)) > CLOSE:
            return [f"resamples: they give {name} the interval {list(again)}, not {list(score.ci)}"]
    return []


def _flat(result: Result) -> dict[str, float | None]:
    groups: dict[str, dict[str, Score]] = {"metrics": result.metrics, "average": result.average, **result.methods}
    groups |= {f"labels {name}": scores for name, scores in result.labels.items()}
    flat: dict[str, Any] = {"coverage": result.coverage, "frame_coverage": result.frame_coverage}
    for group, scores in groups.items():
        for name, score in scores.items():
            flat[f"{group}.{name}"] = score.value
            for i, end in enumerate(score.ci or ()):
                flat[f"{group}.{name}.ci{i}"] = end
    return flat | dict(_numbers_in(result.details, "details"))


def _numbers_in(value: Any, name: str) -> Iterator[tuple[str, float | None]]:
    """Yield each number (or null) in a result's `details`, with its place."""
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in items:
            yield from _numbers_in(one, f"{name}.{key}")
    elif value is None or isinstance(value, (int, float)):
        yield name, value
