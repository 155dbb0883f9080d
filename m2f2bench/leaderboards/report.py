"""Results and comparisons as text: every metric with its interval, then how it was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..cards.models import DETECTION, EXPLANATION, HEATMAPS
from ..core import markdown
from ..core.records import Score
from ..metrics.detection.paired import Difference, p_text
from ..metrics.names import AT_HALF, AVERAGE
from ..metrics.registry import at_threshold, title
from ..results.form import known_in
from ..results.result import Result
from ..results.signature import place_of
from ..scoring.comparison import Comparison
from .explained import describe_explanation
from .mapped import describe_heat_maps
from .text import by_reason, clusters_line, coverage, few_line, format_score, heading, holes_line, reasons

ORACLE = "oracle threshold"


def describe_result(result: Result) -> str:
    """Return one result as Markdown, in the form of its task."""
    return DESCRIBE[result.task](result)


def describe_detection(result: Result) -> str:
    """Return a Markdown table with a row per metric and a column for all, the methods' average, and each method."""
    groups: dict[str, dict[str, Score]] = {"all": result.metrics}
    if len(result.methods) > 1:
        groups |= ({AVERAGE: result.average} if result.average else {}) | result.methods
    heads = ["metric", *(f"{markdown.name(name)} ({_unit_counts(scores)})" for name, scores in groups.items())]
    oracle = bool(result.threshold.get("oracle"))
    lines = [heads]
    for name in result.metrics:
        about = known_in(result, name)
        flag = f" ({ORACLE})" if oracle and at_threshold(name, about) else ""
        lines.append([title(name, about) + flag, *(format_score(scores[name]) for scores in groups.values())])
    text = f"## {heading(result)}\n\n"
    text += f"{few_line(result, 'frames', 'a score')}{markdown.table(lines)}\n"
    return text + "".join(
        f"- {line}\n" for line in [*_how(result), *reasons(result, groups), f"{markdown.code(result.signature)}"]
    )


def _unit_counts(scores: dict[str, Score]) -> str:
    first = next(iter(scores.values()))
    return f"{first.n_real}+{first.n_fake}"


def _how(result: Result) -> list[str]:
    unit = result.measured.get("level", "unit")
    lines = [*result.warnings, f"in brackets: {unit}s, real + fake; coverage {coverage(result)}"]
    lines += holes_line(result, "frames", "score")
    value, policy = result.threshold.get("value"), result.threshold.get("policy")
    if policy is not None and value is not None:
        at = f"threshold {value:.6g} ({policy})" if f"{value:g}" != policy else f"threshold {policy}"
        if result.threshold.get("oracle"):
            at += (
                f": an oracle, chosen on the scores that it is applied to; honest decisions are those at {AT_HALF[1:]}"
            )
        lines.append(at)
    return lines + clusters_line(result, f"{unit}s")


def describe_comparison(found: Comparison, metrics: Sequence[str] = (), methods: bool = False) -> str:
    """Return a Markdown table with a row for each pair and metric; for more than one pair, one metric by default."""
    wanted = list(metrics) or list(found.metrics if len(found.pairs) == 1 else found.metrics[:1])
    chosen = [(p, d) for p in found.pairs for d in p.differences if d.metric in wanted and (methods or not d.group)]
    rows = [[pair.first, pair.second, _metric(d, found.oracle), *_numbers(d)] for pair, d in chosen]
    heads = ["A", "B", "metric", "A", "B", "A - B", f"{100 * found.level:g}% interval", "p", "p (Holm)", "test"]
    if len(found.pairs) == 1:
        pair = found.pairs[0]
        rows = [row[2:8] + row[9:] for row in rows]
        heads = ["metric", pair.first, pair.second, "difference", *heads[6:8], "test"]
        left = 1
    else:
        left = 3
    names = " against ".join(found.detectors) if len(found.pairs) == 1 else f"{len(found.detectors)} detectors"
    head = markdown.name(f"{names}, on {place_of(found.dataset, found.split)}, {found.protocol}")
    text = f"## {markdown.escaped(head)}\n\n"
    text += f"{markdown.table([heads, *rows], left)}\n"
    unit = "units are independent" if found.clusters["independent"] else f"resampled by {found.clusters['by']}"
    notes = [
        f"{found.clusters['n']} clusters; {unit}; the same resamples for all detectors",
        markdown.code(found.signature),
    ]
    if found.oracle:
        notes.insert(0, f"decisions at an {ORACLE}, chosen on the same scores: see those at {AT_HALF[1:]}")
    differences = [d for _, d in chosen]
    named = ((d.reason, " ".join(part for part in (title(d.metric), d.group) if part)) for d in differences)
    notes = [*by_reason(named), *_bounds(differences), *notes]
    return text + "".join(f"- {note}\n" for note in [*notes, *(markdown.code(s) for s in found.detectors.values())])


def _metric(d: Difference, oracle: bool) -> str:
    return " · ".join(
        part for part in (title(d.metric), d.group, ORACLE if oracle and at_threshold(d.metric) else "") if part
    )


def _numbers(d: Difference) -> list[str]:
    def number(value: float | None, form: str = ".3f") -> str:
        return "null" if value is None else f"{value:{form}}"

    interval = f"[{d.ci[0]:+.3f}, {d.ci[1]:+.3f}]" if d.ci else "–"
    test = d.test + (f" ({' : '.join(str(n) for n in d.counts.values())})" if d.counts else "")
    ps = [_p(d.p, d.bound), _p(d.holm, d.holm_bound)]
    return [number(d.first), number(d.second), number(d.difference, "+.3f"), interval, *ps, test or "–"]


def _p(p: float | None, bound: bool) -> str:
    """Return a p-value for a cell: `.0123`, `<.0001`, `≤.0020`."""
    if p is None:
        return "–"
    text = p_text(p, bound).removeprefix("= ").replace(" ", "")
    return text.replace("0.", ".", 1).replace("1.0000", "1")


def _bounds(differences: Sequence[Difference]) -> list[str]:
    """Return what `≤` means, if a p-value has it."""
    draws = sorted({d.draws for d in differences if (d.bound or d.holm_bound) and d.draws})
    if not any(d.bound or d.holm_bound for d in differences):
        return []
    times = f"{draws[0]:,}" if len(draws) == 1 else f"{draws[0]:,} to {draws[-1]:,}" if draws else "the"
    return [f"≤: p is at most this; in all of {times} resamples the difference has the same sign"]


DESCRIBE: dict[str, Callable[[Result], str]] = {
    DETECTION: describe_detection,
    EXPLANATION: describe_explanation,
    HEATMAPS: describe_heat_maps,
}
"""The description of a result by its task."""
