"""Numbers of a stored result, made again from what lies beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..cards.models import protocol_model
from ..core.errors import M2F2BenchError
from ..core.records import Score
from ..metrics.names import Group
from ..results.form import CLOSE
from ..results.resamples import resampled_beside
from ..results.result import Result
from ..results.signature import differing
from ..results.stored import Stored
from .detection import load_rows
from .score_detection import score_rows


def recheck_rows(stored: Stored) -> list[str]:
    """Every number from the rows again."""
    result = stored.result
    try:
        again = score_rows(load_rows(stored.path))
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


def recheck_resamples(stored: Stored) -> list[str]:
    """Every interval over all questions from the resamples again, where they are there: the answers may not be."""
    drawn = resampled_beside(stored)
    if drawn is None:
        return []
    level = protocol_model(stored.result.protocol_card).model_validate(stored.result.protocol_card).bootstrap.level
    for name, score in stored.result.metrics.items():
        values = drawn.draws.get(Group(), {}).get(name)
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
