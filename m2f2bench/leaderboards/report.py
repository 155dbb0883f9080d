"""Results and comparisons as text: every metric with its interval, then how it was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..cards.folders import DETECTION, EXPLANATION, HEATMAPS
from ..core import markdown
from ..core.records import Score
from ..metrics.detection.clusters import few_clusters
from ..metrics.detection.paired import Difference, p_text
from ..metrics.names import AT_HALF, AVERAGE
from ..metrics.reader_errors import error_note, errors_line
from ..metrics.registry import at_threshold, builtin, title
from ..results.form import known_in
from ..results.result import Result
from ..results.signature import place_of, share
from ..scoring.comparison import Comparison, margin_text, smallest_text
from ..scoring.finding import finding
from ..scoring.pooled import count_of, count_text
from .table import ONE, SEVERAL
from .text import (
    by_reason,
    clusters_line,
    counts,
    coverage,
    few_line,
    format_score,
    holes_line,
    item_counts,
    metric_title,
    reasons,
    transfer_lines,
)

ORACLE = "oracle threshold"
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
WAYS = {"within": "of the same label", "across": "of the other label"}


def describe_result(result: Result, signatures: bool = True) -> str:
    """Return one result as Markdown: tables of its metrics, then notes on them, the last one its signature."""
    text = DESCRIBE[result.task](result)
    return text if signatures else text[: text.rstrip("\n").rindex("\n") + 1]


def _detection(result: Result) -> str:
    """A row per metric, and a column for all, the methods' average, and each method."""
    groups: dict[str, dict[str, Score]] = {"all": result.metrics}
    if len(result.methods) > 1:
        groups |= ({AVERAGE: result.average} if result.average else {}) | result.methods
    heads = [f"{markdown.name(name)} ({counts(next(iter(scores.values())))})" for name, scores in groups.items()]
    oracle = bool(result.threshold.get("oracle"))
    flags = [oracle and at_threshold(name, known_in(result, name)) for name in result.metrics]
    names = [metric_title(result, m) + f" ({ORACLE})" * flag for m, flag in zip(result.metrics, flags, strict=True)]
    notes = [*_how(result), *reasons(result, groups)]
    return _page(result, [_by_metric(result, names, heads, groups)], notes, few_line(result, "frames", "a score"))


def _explanation(result: Result) -> str:
    """A row per metric for all, real and fake questions; then the main metrics by region and by manipulation."""
    groups = {"all": result.metrics, **result.labels}
    heads = [f"{name} ({item_counts(scores)})" for name, scores in groups.items()]
    tables = [_by_metric(result, [read_title(name, result) for name in result.metrics], heads, groups)]
    tables += [_by_group(result, what, "questions", found, names) for what, found, names in headline_groups(result)]
    notes = [*_answers(result), *reasons(result, groups)]
    return _page(result, tables, notes, few_line(result, "questions", "an answer"))


def _heat_maps(result: Result) -> str:
    """A row per metric for the detector and the controls; then all metrics by manipulation or label."""
    controls = {name: _scores(found) for name, found in result.details.get("controls", {}).items()}
    heads = [f"{markdown.name(result.detector)} ({item_counts(result.metrics)})", *map(markdown.name, controls)]
    titles = [metric_title(result, name) for name in result.metrics]
    tables = [_by_metric(result, titles, heads, {"": result.metrics, **controls})]
    groups = result.methods if len(result.methods) > 1 else result.labels
    if groups:
        what = "manipulation" if result.methods else "frames"
        tables.append(_by_group(result, what, "n", groups, result.metrics))
    return _page(result, tables, [*_maps(result), *reasons(result, {"all": result.metrics})])


DESCRIBE: dict[str, Callable[[Result], str]] = {
    DETECTION: _detection,
    EXPLANATION: _explanation,
    HEATMAPS: _heat_maps,
}
"""The description of a result by its task."""


def _page(result: Result, tables: Iterable[list[list[str]]], notes: Sequence[str], warning: str = "") -> str:
    """Return Markdown: detector, dataset and protocol, a warning, the tables, and the notes with the signature."""
    heading = markdown.name(f"{result.detector} on {place_of(result.dataset, result.split)}, {result.protocol}")
    text = f"## {markdown.escaped(heading)}\n\n{warning}"
    text += "".join(f"{markdown.table(lines)}\n" for lines in tables)
    return text + _listed([*notes, markdown.code(result.signature)])


def _listed(notes: Iterable[str]) -> str:
    return "".join(f"- {note}\n" for note in notes)


def _by_metric(
    result: Result, titles: Sequence[str], heads: Sequence[str], groups: Mapping[str, Mapping[str, Score]]
) -> list[list[str]]:
    """Return the lines of a table with a row per metric and a column per group."""
    lines = [["metric", *heads]]
    for name, named in zip(result.metrics, titles, strict=True):
        lines.append([named, *(format_score(s[name]) if name in s else "null" for s in groups.values())])
    return lines


def _by_group(
    result: Result, what: str, unit: str, groups: Mapping[str, Mapping[str, Score]], names: Iterable[str]
) -> list[list[str]]:
    """Return the lines of a table with a row per group, its number of units, and a column per metric."""
    lines = [[what, unit, *(metric_title(result, name) for name in names)]]
    for key, scores in groups.items():
        lines.append([markdown.name(key), item_counts(scores), *(format_score(scores[name]) for name in names)])
    return lines


def _how(result: Result) -> list[str]:
    unit = result.measured.get("level", "unit")
    lines = [*_pooled(result), *result.warnings, f"in brackets: {unit}s, real + fake; coverage {coverage(result)}"]
    lines += holes_line(result, "frames", "score")
    value, policy = result.threshold.get("value"), result.threshold.get("policy")
    if policy is not None and value is not None:
        at = f"threshold {value:.6g} ({policy})" if f"{value:g}" != policy else f"threshold {policy}"
        if result.threshold.get("oracle"):
            at += (
                f": an oracle, chosen on the scores that it is applied to; honest decisions are those at {AT_HALF[1:]}"
            )
        lines += [at, *transfer_lines(result)]
    return lines + clusters_line(result, f"{unit}s")


def _pooled(result: Result) -> list[str]:
    """Return of how many trainings a result is, and what ± is; empty for a detector that is none."""
    count = count_of(result)
    if count is None:
        return []
    if count == 1:
        return [ONE]
    found = result.details["trainings"]
    seeds = [seed for seed in found["seeds"] if seed]
    named = f" (seeds {', '.join(seeds)})" if len(seeds) == count else ""
    return [f"{count_text([count])}{named}; {SEVERAL}"]


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
    note, named = error_note(metric, result.details.get("readers", {})), metric_title(result, metric)
    return f"{named} ({note})" if note else named


def _answers(result: Result) -> list[str]:
    asked = result.details.get("questions", {})
    sets = ", ".join(f"{n['answered']:,} of {n['asked']:,} {kind}" for kind, n in asked.items())
    lines = [f"in brackets: questions, real + fake; coverage {coverage(result)}; answered: {sets}"]
    lines += [*holes_line(result, "questions", "answer"), *clusters_line(result, "questions")]
    verdicts = result.details.get("verdicts")
    if verdicts:
        parts = [
            f"of {word}: {', '.join(f'{n} {verdict}' for verdict, n in found.items())}"
            for word, found in verdicts.items()
        ]
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
        lines.append(f"image dependence, another image {WAYS.get(way, way)}: {_dependence(kept)}")
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


def _diversity(found: dict[str, Any]) -> str:
    text = f"{found['distinct']:,} distinct of {found['n']:,}, {found['entropy_bits']:.2f} bits, "
    text += f"the most common {100 * found['commonest_share']:.1f}%"
    copies = found.get("training_copies")
    return text + ("" if copies is None else f", exact copies of training answers {100 * copies:.1f}%")


def _dependence(kept: dict[str, Any]) -> str:
    if not kept["n"]:
        return str(kept["reason"])
    parts = []
    for name, one in kept.items():
        if isinstance(one, dict) and one["kept"] is not None:
            ends = f" [{one['ci'][0]:.2f}, {one['ci'][1]:.2f}]" if one["ci"] else ""
            parts.append(f"{title(name)} {one['kept']:.2f}{ends} ({one['n']})")
    return f"share kept (number of questions): {', '.join(parts)}" if parts else "no metric is defined"


def _maps(result: Result) -> list[str]:
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


def describe_comparison(
    found: Comparison, metrics: Sequence[str] = (), methods: bool = False, signatures: bool = True
) -> str:
    """Return Markdown: what was found in the primary metric, and a table with a row for each pair and metric.

    For more than one pair there is one metric by default. The primary metric is the first.
    """
    asked = list(metrics) or list(found.metrics if len(found.pairs) == 1 else [found.main])
    wanted = [name for name in found.metrics if name in asked]
    chosen = [
        (p, d)
        for p in found.pairs
        for name in wanted
        for d in p.differences
        if d.metric == name and (methods or not d.group)
    ]
    rows = [[pair.first, pair.second, _metric(d, found.oracle), *_numbers(found, d)] for pair, d in chosen]
    heads = ["A", "B", "metric", "role", "A", "B", "A - B", f"{100 * found.level:g}% interval", "p", "p (corrected)"]
    heads += ["finds", *([] if found.margin is None else [f"within ±{found.margin:g}"]), "test"]
    names, left = f"{len(found.detectors)} detectors", 4
    if len(found.pairs) == 1:
        pair = found.pairs[0]
        rows = [row[2:] for row in rows]
        heads = ["metric", "role", pair.first, pair.second, "difference", *heads[7:]]
        names, left = " against ".join(found.detectors), 2
    head = markdown.name(f"{names}, on {place_of(found.dataset, found.split)}, {found.protocol}")
    said = finding(found, lambda name: markdown.escaped(markdown.name(name)))
    text = f"## {markdown.escaped(head)}\n\n{said}\n\n"
    text += f"{markdown.table([heads, *rows], left)}\n"
    unit = "units are independent" if found.clusters["independent"] else f"resampled by {found.clusters['by']}"
    notes = [f"{found.clusters['n']} clusters; {unit}; the same resamples for all detectors"]
    notes += [*found.notes, *few_clusters(found.clusters), *_trainings(found)]
    if found.oracle:
        notes.insert(0, f"decisions at an {ORACLE}, chosen on the same scores: see those at {AT_HALF[1:]}")
    differences = [d for _, d in chosen]
    named = ((d.reason, " ".join(part for part in (title(d.metric), d.group) if part)) for d in differences)
    notes = [*by_reason(named), *_bounds(differences), *_corrections(found, differences), *notes]
    measures = [found.signature, *found.detectors.values()] if signatures else []
    return text + _listed([*notes, *map(markdown.code, measures)])


def _corrections(found: Comparison, differences: Sequence[Difference]) -> list[str]:
    """Return what the corrected p-values, and the column `finds`, mean."""
    lines = []
    tests, datasets = found.family.get("tests", 0), found.family.get("datasets", 1)
    if tests > 1:
        over = f"{tests} tests" + (f" on {datasets} datasets" if datasets > 1 else "")
        lines.append(f"primary metric: {title(found.main)}, with Holm's correction over {over}")
    if any(d.bh is not None for d in differences):
        n = found.family.get("exploratory", 0)
        lines.append(
            f"exploratory: Benjamini and Hochberg's correction over all {n} such tests, manipulations included"
        )
    if any(d.smallest is not None for d in differences):
        lines.append("finds: the true difference that 80% of such tests would find, where two are not told apart")
    if found.margin is not None:
        how = "two one-sided tests at 5%, p after the correction; equivalent if the 90% interval lies within"
        lines.append(f"within ±{found.margin:g}: {how}")
    return lines


def _trainings(found: Comparison) -> list[str]:
    """Return how many trainings each method has, and how much they differ; empty without several."""
    lines = []
    for name, one in found.trainings.items():
        text = "one training: how much another would differ is taken from the others"
        text = "no training: it is compared as it is" if one.get("fixed") else text
        if one["deviation"] is not None:
            each = ", ".join(f"{value:.3f}" for value in one["values"])
            text = f"{one['n']} trainings, {title(one['metric'])} {one['mean']:.3f} ± {one['deviation']:.3f} ({each})"
        lines.append(f"{markdown.escaped(markdown.name(name))}: {text}")
    return lines


def _metric(d: Difference, oracle: bool) -> str:
    return " · ".join(
        part for part in (title(d.metric), d.group, ORACLE if oracle and at_threshold(d.metric) else "") if part
    )


def _numbers(found: Comparison, d: Difference) -> list[str]:
    def number(value: float | None, form: str = ".3f") -> str:
        return "null" if value is None else f"{value:{form}}"

    interval = f"[{d.ci[0]:+.3f}, {d.ci[1]:+.3f}]" if d.ci else "–"
    test = d.test + (f" ({' : '.join(str(n) for n in d.counts.values())})" if d.counts else "")
    ps = [_p(d.p, d.bound), _p(d.corrected, d.corrected_bound)]
    role = "primary" if found.is_primary(d) else "exploratory"
    values = [number(d.first), number(d.second), number(d.difference, "+.3f")]
    margin = [] if found.margin is None else [margin_text(d)]
    return [role, *values, interval, *ps, smallest_text(d), *margin, test or "–"]


def _p(p: float | None, bound: bool) -> str:
    """Return a p-value for a cell: `.0123`, `<.0001`, `≤.0020`."""
    if p is None:
        return "–"
    text = p_text(p, bound).removeprefix("= ").replace(" ", "")
    return text.replace("0.", ".", 1).replace("1.0000", "1")


def _bounds(differences: Sequence[Difference]) -> list[str]:
    """Return what `≤` means, if a p-value has it."""
    draws = sorted({d.draws for d in differences if (d.bound or d.corrected_bound) and d.draws})
    if not any(d.bound or d.corrected_bound for d in differences):
        return []
    times = f"{draws[0]:,}" if len(draws) == 1 else f"{draws[0]:,} to {draws[-1]:,}" if draws else "the"
    return [f"≤: p is at most this; in all of {times} resamples the difference has the same sign"]
