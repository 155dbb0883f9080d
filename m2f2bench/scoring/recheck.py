"""Recomputation of a stored result's numbers from the files next to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ..core.errors import M2F2BenchError
from ..core.records import Score
from ..metrics.names import Group
from ..results.form import CLOSE
from ..results.result import Result
from ..results.signature import MAP, differing
from ..results.stored import Stored, stored_resamples


def recheck_result(stored: Stored, score: Callable[[], Result]) -> list[str]:
    """Recompute every number from the rows by `score`; return what differs, one line each."""
    result = stored.result
    try:
        again = score()
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


def recheck_resamples(stored: Stored) -> list[str]:
    """Recompute every interval over all questions from the resamples, if there are any; return what differs."""
    drawn = stored_resamples(stored)
    if drawn is None:
        return []
    level = stored.result.rules.bootstrap.level
    for name, score in stored.result.metrics.items():
        values = drawn.draws.get(Group(), {}).get(name)
        if score.value is None or score.ci is None or score.ci[0] == score.ci[1]:
            continue
        if values is None:
            return [f"resamples: they lack '{name}'"]
        ends = np.nanquantile(values, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
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
    return flat | dict(_numbers(result.details, "details"))


def _numbers(value: Any, name: str) -> Iterator[tuple[str, float | None]]:
    """Every number in what a result tells beside its metrics, by its place."""
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in items:
            yield from _numbers(one, f"{name}.{key}")
    elif value is None or isinstance(value, (int, float)):
        yield name, value
