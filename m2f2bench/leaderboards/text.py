"""Phrases for results as text, shared by all tasks."""

from __future__ import annotations

from ..core import markdown
from ..core.records import Score
from ..metrics.detection.intervals import FEW_CLUSTERS
from ..metrics.registry import title
from ..results.result import Result
from ..results.signature import place_of, share
from .table import Cell


def heading(result: Result) -> str:
    """Return a heading: the detector, the dataset and the protocol."""
    place = place_of(result.dataset, result.split)
    return markdown.escaped(markdown.name(f"{result.detector} on {place}, {result.protocol}"))


def shown(score: Score) -> str:
    """Return `value [low, high]` to three decimals; `null` without a value."""
    if score.value is None:
        return "null"
    return f"{score.value:.3f}" + (f" [{score.ci[0]:.3f}, {score.ci[1]:.3f}]" if score.ci else "")


def coverage(result: Result) -> str:
    """Return the coverage of units, that of frames if it differs, and the statuses of the rest."""
    holes = ", ".join(f"{n} {status}" for status, n in result.statuses.items() if status != "ok")
    frames = result.frame_coverage
    apart = "" if frames is None or frames in (1.0, result.coverage) else f", of the frames {share(frames)}"
    return f"{share(result.coverage)}{apart}" + (f" ({holes})" if holes else "")


def cell_coverage(cell: Cell) -> str:
    """Return a cell's coverage of units and of frames; empty if both are complete or unknown."""

    def short(value: float) -> str:
        return f"{min(value, 0.999):.3f}"  # never rounded up to one

    frames = cell.frame_coverage
    if frames is None or frames in (1.0, cell.coverage):
        return f"coverage {short(cell.coverage)}" if cell.coverage < 1.0 else ""
    return f"coverage {short(cell.coverage) if cell.coverage < 1.0 else '1'}, of frames {short(frames)}"


FEW = 0.5
"""Below this share of frames or questions there is a warning above the numbers."""


def few_line(result: Result, units: str, what: str) -> str:
    """Return a warning, to go above the numbers, if less than half has a score or an answer; else empty."""
    n, ok = sum(result.statuses.values()), result.statuses.get("ok", 0)
    if ok >= FEW * n:
        return ""
    rule = str(result.measured.get("missing"))
    rest = "only these" if "drop" in rule else f"mostly the others (the protocol's missing: {rule})"
    few = f"only {ok:,} of {n:,} {units} have {what} (coverage {share(ok / n)})"
    return f"**Warning: {few}: the numbers describe {rest}.**\n\n"


def holes_line(result: Result, units: str, what: str) -> list[str]:
    """Return how missing scores or answers count, and whom that favours; empty if none are missing."""
    n = sum(count for status, count in result.statuses.items() if status != "ok")
    if not n:
        return []
    rule = str(result.measured.get("missing"))
    line = f"{n:,} of {sum(result.statuses.values()):,} {units} have no {what} (the protocol's missing: {rule})"
    if "drop" in rule:
        line += ": they are left out, which favours a detector that gives none where it would be wrong"
    return [line]


def clusters_line(result: Result, unit: str) -> list[str]:
    """Return how intervals were computed, and a warning if the clusters are few; empty without intervals."""
    boot = result.protocol_card.get("bootstrap", {})
    if not boot.get("resamples") or not result.clusters:
        return []
    by, n = result.clusters["by"], result.clusters["n"]
    what = {"identity": "groups of people", "video": "videos", "frame": unit}[by]
    delong = "; AUC: DeLong" if result.clusters.get("independent") and "auc" in result.metrics else ""
    line = f"{100 * boot['level']:g}% intervals: {boot['resamples']:,} resamples of {n:,} {what}, seed {boot['seed']}"
    note = result.clusters.get("note")
    lines = [line + delong + (f" ({note})" if note and by != "frame" else "")]
    if 1 < n < FEW_CLUSTERS:
        lines.append(f"only {n} clusters: the intervals are probably too narrow")
    return lines


def reasons(groups: dict[str, dict[str, Score]]) -> list[str]:
    """Return why values or intervals are missing: each reason once, with its metrics and groups."""
    places: dict[str, list[str]] = {}
    for group, scores in groups.items():
        for name, score in scores.items():
            if score.reason:
                places.setdefault(score.reason, []).append(title(name) if group == "all" else f"{title(name)} {group}")
    return [f"{', '.join(names[:4])}{', …' if len(names) > 4 else ''}: {reason}" for reason, names in places.items()]
