"""Sentences and numbers that several descriptions of results have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..core.notebook import shown_score
from ..core.records import Score
from ..metrics.detection.clusters import few_clusters
from ..metrics.metric import DELONG
from ..metrics.registry import title
from ..results.form import known_in
from ..results.result import Result
from ..results.signature import share

FEW = 0.5
"""Below this share of frames or questions, there is a warning above the numbers."""


def metric_title(result: Result, metric: str) -> str:
    """Return the title of one of a result's metrics; the name of an unknown one."""
    return title(metric, known_in(result, metric))


def counts(score: Score) -> str:
    """Return the numbers of real and fake units as `real+fake`."""
    return f"{score.n_real}+{score.n_fake}"


def format_score(score: Score) -> str:
    """Return `value ± deviation [low, high]` with three decimals, or `null` without a value."""
    return "null" if score.value is None else shown_score(score)


def item_counts(scores: Mapping[str, Score], suffix: str = "") -> str:
    """Return `real+fake`, the frames or questions of the metric with the most, and `suffix`; empty without metrics."""
    most = max(scores.values(), key=lambda score: score.n_real + score.n_fake, default=None)
    return f"{counts(most)}{suffix}" if most else ""


def coverage(result: Result) -> str:
    """Return the share of units with a score, the share of frames if it differs, and the status of the others."""
    holes = ", ".join(f"{n} {status}" for status, n in result.statuses.items() if status != "ok")
    frames = result.frame_coverage
    apart = "" if frames is None or frames in (1.0, result.coverage) else f", of the frames {share(frames)}"
    return f"{share(result.coverage)}{apart}" + (f" ({holes})" if holes else "")


def few_line(result: Result, units: str, what: str) -> str:
    """Return a warning for above the numbers if fewer than half have a score or an answer; else empty."""
    n, ok = sum(result.statuses.values()), result.statuses.get("ok", 0)
    if ok >= FEW * n:
        return ""
    rule = str(result.measured.get("missing"))
    rest = "only these" if "drop" in rule else f"mostly the others (the protocol's missing: {rule})"
    summary = f"only {ok:,} of {n:,} {units} have {what} (coverage {share(ok / n)})"
    return f"**Warning: {summary}. The numbers describe {rest}.**\n\n"


def holes_line(result: Result, units: str, what: str) -> list[str]:
    """Return a line on units without a score or answer, with a warning if they are left out; empty without any."""
    n = sum(count for status, count in result.statuses.items() if status != "ok")
    if not n:
        return []
    rule = str(result.measured.get("missing"))
    line = f"{n:,} of {sum(result.statuses.values()):,} {units} have no {what} (the protocol's missing: {rule})"
    if "drop" in rule:
        line += ": they are left out, so a detector gains if it gives no output where it would be wrong"
    return [line]


def clusters_line(result: Result, unit: str) -> list[str]:
    """Return how intervals were computed, and a warning if there are few clusters; empty without intervals."""
    boot = result.protocol_card.get("bootstrap", {})
    if not boot.get("resamples") or not result.clusters:
        return []
    by, n = result.clusters["by"], result.clusters["n"]
    what = {"identity": "groups of people", "people": "people", "video": "videos", "frame": unit}[by]
    exact = [title(name) for name in result.metrics if (about := known_in(result, name)) and about.test == DELONG]
    how = "DeLong" if result.clusters.get("independent") else "DeLong, clustered"
    delong = f"; {', '.join(exact)}: {how}" if exact and "effective" in result.clusters else ""
    n = result.clusters.get("people", n)
    line = f"{100 * boot['level']:g}% intervals: {boot['resamples']:,} resamples of {n:,} {what}, seed {boot['seed']}"
    note = result.clusters.get("note")
    lines = [line + delong + (f" ({note})" if note and by != "frame" else "")]
    return lines + few_clusters(result.clusters)


def reasons(result: Result, groups: Mapping[str, Mapping[str, Score]]) -> list[str]:
    """Return why values or intervals are missing: each reason once, with the metrics and groups that it holds for."""
    return by_reason(
        (score.reason, metric_title(result, name) + (f" {group}" if group != "all" else ""))
        for group, scores in groups.items()
        for name, score in scores.items()
    )


def by_reason(found: Iterable[tuple[str | None, str]]) -> list[str]:
    """Return `name, name: reason` for each reason of (reason, name) pairs, with at most four names."""
    places: dict[str, dict[str, None]] = {}
    for reason, name in found:
        if reason:
            places.setdefault(reason, {})[name] = None
    return [f"{', '.join([*names][:4])}{', …' if len(names) > 4 else ''}: {why}" for why, names in places.items()]


def transfer_lines(result: Result) -> list[str]:
    """Return what a threshold from validation rows does on the judged ones, in two lines; empty if it has none."""
    found = result.threshold.get("transfer")
    if not found:
        return []
    rates = ("fpr", "tpr")
    there = ", ".join(f"{name.upper()} {found['validation'][name]:.3f}" for name in rates)
    here = ", ".join(f"{name.upper()} {_with_ends(found['test'][name])}" for name in rates)
    wanted = (found.get("wanted") or {}).get("fpr")
    asked = "" if wanted is None else f"wanted FPR {wanted:g}; "
    lines = [f"{asked}on the validation rows {there}; here {here}"]
    regret, best = found["regret"], found["best"]
    of = "TPR" if regret["of"] == "tpr" else title(regret["of"])
    most = "" if wanted is None else f" at an FPR of at most {wanted:g}"
    lines.append(
        f"regret in {of} {_with_ends(regret, '+')}: the best threshold here has {best['value']:.3f}{most}"
        + ("; intervals resample the validation rows too" if regret["ci"] else "")
    )
    whys = dict.fromkeys(one["reason"] for one in (*found["test"].values(), regret) if one.get("reason"))
    return lines + list(whys) + ([found["note"]] if found.get("note") else [])


def _with_ends(one: Mapping[str, Any], sign: str = "") -> str:
    ends = f" [{one['ci'][0]:{sign}.3f}, {one['ci'][1]:{sign}.3f}]" if one["ci"] else ""
    return f"{one['value']:{sign}.3f}{ends}"
