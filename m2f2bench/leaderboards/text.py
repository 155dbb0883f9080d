"""Phrases that all results share when they are told as text."""

from __future__ import annotations

from ..core import markdown
from ..core.records import Score
from ..metrics.detection.intervals import FEW_CLUSTERS
from ..metrics.registry import title
from ..results.result import Result
from ..results.signature import place_of, share
from .table import Cell


def heading(result: Result) -> str:
    """Who was measured on what and how, as a heading's line."""
    place = place_of(result.dataset, result.split)
    return markdown.escaped(markdown.name(f"{result.detector} on {place}, {result.protocol}"))


def shown(score: Score) -> str:
    """`value [low, high]` to three decimals; `null` without a value."""
    if score.value is None:
        return "null"
    return f"{score.value:.3f}" + (f" [{score.ci[0]:.3f}, {score.ci[1]:.3f}]" if score.ci else "")


def coverage(result: Result) -> str:
    """The share of units that counts, that of frames where it is another, and what became of the rest."""
    holes = ", ".join(f"{n} {status}" for status, n in result.statuses.items() if status != "ok")
    frames = result.frame_coverage
    apart = "" if frames is None or frames in (1.0, result.coverage) else f", of the frames {share(frames)}"
    return f"{share(result.coverage)}{apart}" + (f" ({holes})" if holes else "")


def cell_coverage(cell: Cell) -> str:
    """What a cell says of its coverage, of units and of frames; empty where both are whole or the latter not told."""

    def short(value: float) -> str:
        return f"{min(value, 0.999):.3f}"  # never rounded up to one

    frames = cell.frame_coverage
    if frames is None or frames in (1.0, cell.coverage):
        return f"coverage {short(cell.coverage)}" if cell.coverage < 1.0 else ""
    return f"coverage {short(cell.coverage) if cell.coverage < 1.0 else '1'}, of frames {short(frames)}"


FEW = 0.5
"""Below this share of frames or questions a warning stands above the numbers."""


def few_line(result: Result, units: str, what: str) -> str:
    """A warning, to stand above the numbers, where less than half has a score or an answer; empty elsewhere."""
    n, ok = sum(result.statuses.values()), result.statuses.get("ok", 0)
    if ok >= FEW * n:
        return ""
    rule = str(result.measured.get("missing"))
    rest = "of these few alone" if "drop" in rule else f"mostly of the rest (the protocol's missing: {rule})"
    told = f"only {ok:,} of {n:,} {units} have {what} (coverage {share(ok / n)})"
    return f"**Warning: {told}: the numbers tell {rest}.**\n\n"


def holes_line(result: Result, units: str, what: str) -> list[str]:
    """What has no score or answer counts as, and a warning where that lets silence pay; empty where all have one."""
    n = sum(count for status, count in result.statuses.items() if status != "ok")
    if not n:
        return []
    rule = str(result.measured.get("missing"))
    line = f"{n:,} of {sum(result.statuses.values()):,} {units} have no {what} (the protocol's missing: {rule})"
    if "drop" in rule:
        line += ": they are left out, so that who is silent where it would be wrong gains by it"
    return [line]


def clusters_line(result: Result, unit: str) -> list[str]:
    """How intervals were found, and a warning where the clusters are few; empty without intervals."""
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
        lines.append(f"{n} are few: resampling them makes intervals too narrow")
    return lines


def reasons(groups: dict[str, dict[str, Score]]) -> list[str]:
    """Why values or intervals are missing, each reason once with where it holds."""
    places: dict[str, list[str]] = {}
    for group, scores in groups.items():
        for name, score in scores.items():
            if score.reason:
                places.setdefault(score.reason, []).append(title(name) if group == "all" else f"{title(name)} {group}")
    return [f"{', '.join(names[:4])}{', …' if len(names) > 4 else ''}: {reason}" for reason, names in places.items()]
