"""Results of answers to questions as text: every metric, for real and fake, by region and by manipulation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..core import markdown
from ..core.records import Score
from ..metrics.reader_errors import error_note, errors_line
from ..metrics.registry import builtin, title
from ..results.form import known_in
from ..results.result import Result
from .text import clusters_line, coverage, few_line, format_score, heading, holes_line, item_counts, reasons


def describe_explanation(result: Result) -> str:
    """Return Markdown: a row per metric for all, real and fake; the main metrics by region and manipulation; notes."""
    groups = {"all": result.metrics, **result.labels}
    heads = ["metric", *(f"{name} ({item_counts(scores)})" for name, scores in groups.items())]
    rows = [
        [read_title(name, result), *(format_score(scores[name]) for scores in groups.values())]
        for name in result.metrics
    ]
    text = f"## {heading(result)}\n\n"
    text += f"{few_line(result, 'questions', 'an answer')}{markdown.table([heads, *rows])}\n"
    for what, found, names in headline_groups(result):
        lines = [[what, "questions", *(title(name, known_in(result, name)) for name in names)]]
        lines += [
            [markdown.name(key), item_counts(s), *(format_score(s[name]) for name in names)] for key, s in found.items()
        ]
        text += f"{markdown.table(lines)}\n"
    notes = [*_notes(result), *reasons(result, groups), f"{markdown.code(result.signature)}"]
    return text + "".join(f"- {line}\n" for line in notes)


def headline_groups(result: Result) -> list[tuple[str, Mapping[str, dict[str, Score]], list[str]]]:
    """Return (`region` or `manipulation`, scores by group, main metrics with a value) if there are several groups.

    The main metrics are this package's in their own order, then the user's.
    """
    known = {name for name in result.metrics if (metric := known_in(result, name)) and metric.headline}
    main = [name for name in dict.fromkeys([*builtin(), *result.metrics]) if name in known]
    groups: list[tuple[str, Mapping[str, dict[str, Score]], list[str]]] = []
    for what, found in (("region", result.regions), ("manipulation", result.methods)):
        names = [name for name in main if any(name in s and s[name].value is not None for s in found.values())]
        if len(found) > 1 and names:
            groups.append((what, found, names))
    return groups


def read_title(metric: str, result: Result) -> str:
    """Return a metric's title, with the error rate of its reader if it has one: `verdict F1 (reader errs in 7.1%)`."""
    note, named = error_note(metric, result.details.get("readers", {})), title(metric, known_in(result, metric))
    return f"{named} ({note})" if note else named


def _notes(result: Result) -> list[str]:
    asked = result.details.get("questions", {})
    sets = ", ".join(f"{n['answered']:,} of {n['asked']:,} {kind}" for kind, n in asked.items())
    lines = [f"in brackets: questions, real + fake; coverage {coverage(result)}; answered: {sets}"]
    lines += [*holes_line(result, "questions", "answer"), *clusters_line(result, "questions")]
    verdicts = result.details.get("verdicts")
    if verdicts:
        parts = [f"of {word}: {_listed(counts)}" for word, counts in verdicts.items()]
        lines.append(f"verdicts read ({result.protocol_card['verdict']}): {'; '.join(parts)}")
    found_lines = (errors_line(result.details.get("readers", {})), remarks(result.details), usage(result.details))
    lines += [text for text in found_lines if text]
    if "questions_without_reference" in result.details:
        lines.append(f"{result.details['questions_without_reference']} questions have no reference and no text metric")
    if "images_without_score" in result.details:
        lines.append(f"{result.details['images_without_score']} images have no score and count as not consistent")
    if (ceiling := result.details.get("region_f1_of_references")) is not None:
        lines.append(f"region F1 of the references themselves: {ceiling:.3f}")
    if found := result.details.get("diversity"):
        lines.append(f"diversity: {_diversity(found)}")
    for way, kept in result.details.get("image_dependence", {}).items():
        lines.append(f"image dependence, another image {_way(way)}: {_dependence(kept)}")
    return lines


def remarks(details: Mapping[str, Any]) -> str:
    """Return the remarks on answers in a result's details as one line; empty without remarks."""
    named = {text: one["answers"] for text, one in details.get("remarks", {}).items()}
    if not named:
        return ""
    total, rest = details["answers_remarked"], details["answers_remarked"] - sum(named.values())
    parts = [f"{' '.join(text.split())} ({n:,})" for text, n in named.items()] + [f"others ({rest:,})"] * (rest > 0)
    return f"{total:,} answer{' has a remark' if total == 1 else 's have remarks'}: {', '.join(parts)}"


def usage(details: Mapping[str, Any]) -> str:
    """Return tokens, time and cost in a result's details as one line; empty if unknown."""
    forms: dict[str, Callable[[float], str]] = {
        "seconds": lambda n: f"{n:,.1f} s",
        "tokens_in": lambda n: f"{n:,} tokens read",
        "tokens_out": lambda n: f"{n:,} tokens written",
        "cost": lambda n: f"{n:,.4g} US dollars",
    }
    found = {name: details["usage"][name] for name in forms if name in details.get("usage", {})}
    parts = [f"{forms[name](one['total'])} ({one['questions']:,})" for name, one in found.items()]
    return f"used (number of questions): {', '.join(parts)}" if parts else ""


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {verdict}" for verdict, n in counts.items())


def _diversity(found: dict[str, Any]) -> str:
    text = f"{found['distinct']:,} distinct of {found['n']:,}, {found['entropy_bits']:.2f} bits, "
    text += f"the most common {100 * found['commonest_share']:.1f}%"
    copies = found.get("training_copies")
    return text + ("" if copies is None else f", exact copies of training answers {100 * copies:.1f}%")


def _way(way: str) -> str:
    return {"within": "of the same label", "across": "of the other label"}.get(way, way)


def _dependence(kept: dict[str, Any]) -> str:
    if not kept["n"]:
        return str(kept["reason"])
    parts = []
    for name, one in kept.items():
        if isinstance(one, dict) and one["kept"] is not None:
            ends = f" [{one['ci'][0]:.2f}, {one['ci'][1]:.2f}]" if one["ci"] else ""
            parts.append(f"{title(name)} {one['kept']:.2f}{ends} ({one['n']})")
    return f"share kept (number of questions): {', '.join(parts)}" if parts else "no metric is defined"
