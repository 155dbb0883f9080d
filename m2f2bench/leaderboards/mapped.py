"""Heat-map results as text: every metric with the controls', and by manipulation or label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core import markdown
from ..core.records import Score
from ..metrics.registry import title
from ..results.result import Result
from ..results.signature import share
from .text import clusters_line, format_score, heading, item_counts, reasons

SILENT = {
    "masks": "a fake whose map is missing, zero everywhere or not over the mask counts as a map that says nothing",
    "faithfulness": "a frame whose map is missing or zero everywhere counts as with the random map",
}
"""How a frame without a map counts, by the protocol's `measure`."""
MORE = {
    "mask_area": "share of the picture that is masked, which an even map has as energy in mask",
    "iou_best_threshold": "threshold of the best IoU, a share of each map's highest value",
    "called": "mean score of the class called",
}
"""Values that a result has in addition to its metrics, in words."""


def describe_heat_maps(result: Result) -> str:
    """Return Markdown: a row per metric for the detector and the controls, then by manipulation or label; notes."""
    controls = {name: _scores(found) for name, found in result.details.get("controls", {}).items()}
    lines = [
        ["metric", f"{markdown.name(result.detector)} ({item_counts(result.metrics)})", *map(markdown.name, controls)]
    ]
    for name, score in result.metrics.items():
        known = [format_score(found[name]) if name in found else "null" for found in controls.values()]
        lines.append([title(name), format_score(score), *known])
    text = f"## {heading(result)}\n\n{markdown.table(lines)}\n"
    groups = result.methods if len(result.methods) > 1 else result.labels
    if groups:
        what = "manipulation" if result.methods else "frames"
        lines = [[what, "n", *map(title, result.metrics)]]
        lines += [
            [markdown.name(key), item_counts(s), *(format_score(s[name]) for name in result.metrics)]
            for key, s in groups.items()
        ]
        text += f"{markdown.table(lines)}\n"
    notes = [*_notes(result), *reasons(result, {"all": result.metrics}), f"{markdown.code(result.signature)}"]
    return text + "".join(f"- {line}\n" for line in notes)


def _notes(result: Result) -> list[str]:
    frames = "frames" if result.frame_coverage is None else f"frames with a map: {share(result.frame_coverage)}"
    kind = str(result.protocol_card.get("measure"))
    what = "fakes whose map says something of their mask" if kind == "masks" else "frames with a map and scores"
    lines = [f"in brackets: frames, real + fake; coverage {share(result.coverage)} ({what}; {frames})"]
    if any(n for outcome, n in result.statuses.items() if outcome != "ok"):
        silent = ", ".join(f"{n:,} {outcome}" for outcome, n in result.statuses.items() if outcome != "ok")
        lines.append(f"{silent}: {SILENT.get(kind, '')}")
    more = _scores(result.details.get("more", {}))
    lines += [f"{MORE.get(name, markdown.name(name))}: {format_score(score)}" for name, score in more.items()]
    return [*lines, *clusters_line(result, "frames")]


def _scores(found: Mapping[str, Any]) -> dict[str, Score]:
    return {name: Score.from_json(one) for name, one in found.items()}
