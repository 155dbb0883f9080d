"""One result about answers to questions, as text: every metric, real and fake apart, by region and manipulation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..core import markdown
from ..core.records import Score
from ..metrics.reader_errors import error_note, errors_line
from ..metrics.registry import builtin, title
from ..results.form import known_in
from ..results.result import Result
from .text import clusters_line, coverage, few_line, heading, holes_line, reasons, shown


def describe_explanation(result: Result) -> str:
    """Markdown: a row per metric for all, real and fake; the main ones by region and by manipulation; notes."""
    groups = {"all": result.metrics, **result.labels}
    heads = ["metric", *(f"{name} ({_count(scores)})" for name, scores in groups.items())]
    rows = [[read_title(name, result), *(shown(scores[name]) for scores in groups.values())] for name in result.metrics]
    text = f"## {heading(result)}\n\n"
    text += f"{few_line(result, 'questions', 'an answer')}{markdown.table([heads, *rows])}\n"
    for what, found in (("region", result.regions), ("manipulation", result.methods)):
        names = [name for name in headlines(result) if any(_has(scores, name) for scores in found.values())]
        if len(found) < 2 or not names:
            continue
        lines = [[what, "questions", *(title(name, known_in(result, name)) for name in names)]]
        lines += [[markdown.name(key), _count(s), *(shown(s[name]) for name in names)] for key, s in found.items()]
        text += f"{markdown.table(lines)}\n"
    notes = [*_notes(result), *reasons(groups), f"{markdown.code(result.signature)}"]
    return text + "".join(f"- {line}\n" for line in notes)


def headlines(result: Result) -> list[str]:
    """A result's main metrics, this package's in their own order and then the user's."""
    known = {name: metric for name in result.metrics if (metric := known_in(result, name)) and metric.headline}
    return [*(name for name in builtin() if name in known), *(name for name in known if name not in builtin())]


def read_title(metric: str, result: Result) -> str:
    """A metric's title, and how often its reader errs where it has one: `verdict F1 (reader errs in 7.1%)`."""
    note, named = error_note(metric, result.details.get("readers", {})), title(metric, known_in(result, metric))
    return f"{named} ({note})" if note else named


def _has(scores: dict[str, Score], name: str) -> bool:
    return name in scores and scores[name].value is not None


def _count(scores: dict[str, Score]) -> str:
    """Real and fake questions of the metric that stands on the most."""
    most = max(scores.values(), key=lambda score: score.n_real + score.n_fake)
    return f"{most.n_real}+{most.n_fake}"


def _notes(result: Result) -> list[str]:
    asked = result.details.get("questions", {})
    sets = ", ".join(f"{n['answered']:,} of {n['asked']:,} {kind}" for kind, n in asked.items())
    lines = [f"in brackets: questions, real + fake; coverage {coverage(result)}; answered: {sets}"]
    lines += [*holes_line(result, "questions", "answer"), *clusters_line(result, "questions")]
    verdicts = result.details.get("verdicts")
    if verdicts:
        parts = [f"of {word}: {_listed(counts)}" for word, counts in verdicts.items()]
        lines.append(f"verdicts read ({result.protocol_card['verdict']}): {'; '.join(parts)}")
    told = (errors_line(result.details.get("readers", {})), remarks(result.details), usage(result.details))
    lines += [text for text in told if text]
    if "questions_without_reference" in result.details:
        lines.append(f"{result.details['questions_without_reference']} questions have no reference: no text metric")
    if "images_without_score" in result.details:
        lines.append(f"{result.details['images_without_score']} images have no score: not consistent")
    if (ceiling := result.details.get("region_f1_of_references")) is not None:
        lines.append(f"region F1 of the references themselves: {ceiling:.3f}")
    if found := result.details.get("diversity"):
        lines.append(f"diversity: {_diversity(found)}")
    for way, kept in result.details.get("image_dependence", {}).items():
        lines.append(f"image dependence, another image {_way(way)}: {_dependence(kept)}")
    return lines


def remarks(details: Mapping[str, Any]) -> str:
    """What a result's details say of remarks on answers, in one line; empty where there are none."""
    named = {text: one["answers"] for text, one in details.get("remarks", {}).items()}
    if not named:
        return ""
    total, rest = details["answers_remarked"], details["answers_remarked"] - sum(named.values())
    parts = [f"{' '.join(text.split())} ({n:,})" for text, n in named.items()] + [f"others ({rest:,})"] * (rest > 0)
    return f"{total:,} answer{' has a remark' if total == 1 else 's have remarks'}: {', '.join(parts)}"


def usage(details: Mapping[str, Any]) -> str:
    """What a result's details say of tokens, time and cost, in one line; empty where nothing is known."""
    forms: dict[str, Callable[[float], str]] = {
        "seconds": lambda n: f"{n:,.1f} s",
        "tokens_in": lambda n: f"{n:,} tokens read",
        "tokens_out": lambda n: f"{n:,} tokens written",
        "cost": lambda n: f"{n:,.4g} US dollars",
    }
    found = {name: details["usage"][name] for name in forms if name in details.get("usage", {})}
    parts = [f"{forms[name](one['total'])} ({one['questions']:,})" for name, one in found.items()]
    return f"used (over so many questions): {', '.join(parts)}" if parts else ""


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {verdict}" for verdict, n in counts.items())


def _diversity(found: dict[str, Any]) -> str:
    text = f"{found['distinct']:,} distinct of {found['n']:,}, {found['entropy_bits']:.2f} bits, "
    text += f"the commonest {100 * found['commonest_share']:.1f}%"
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
    return f"kept (of so many questions) {', '.join(parts)}" if parts else "no metric is defined"
