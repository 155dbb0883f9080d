"""Values of the pages of findings: each `{{ … }}` in a page is filled in from this project's committed results."""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

ROOT = Path(__file__).parents[2] / "leaderboards"
COMMA = ",\u00a0"
"""Keeps the two ends of an interval on one line."""


@cache
def result(name: str) -> dict[str, Any]:
    """Return a committed result, by its path below `leaderboards/`, without `.json`."""
    found: dict[str, Any] = json.loads((ROOT / f"{name}.json").read_text(encoding="utf-8"))
    return found


def number(value: float, digits: int = 3) -> str:
    """Return a number without the zero before its point, with a real minus sign."""
    text = f"{abs(value):.{digits}f}"
    return ("−" if value < 0 and float(text) else "") + (text[1:] if text.startswith("0.") else text)


def value(name: str, metric: str, part: str = "", digits: int = 3, interval: bool = True) -> str:
    """Return a metric of a committed result, with its interval if it has one: `.777 [.716, .841]`.

    `part` is a manipulation, or `real` or `fake` for answers.
    """
    found = result(name)
    score = (found["metrics"] if not part else {**found["methods"], **found.get("labels", {})}[part])[metric]
    if score["value"] is None:
        return "–"
    text = number(score["value"], digits)
    if not interval or not score.get("ci") or score["ci"][0] == score["ci"][1]:
        return text
    return f"{text} [{COMMA.join(number(end, digits) for end in score['ci'])}]"


def kept(name: str, metric: str, which: str = "within") -> str:
    """Return the share of a metric that is kept when answers are exchanged, with its interval."""
    found = result(name)["details"]["image_dependence"][which][metric]
    return f"{found['kept']:.2f} [{', '.join(f'{end:.2f}' for end in found['ci'])}]"


@cache
def tests(metric: str) -> dict[tuple[str, str], Any]:
    """Return the paired tests of all committed results of detectors, computed from their rows."""
    import m2f2bench

    compared = m2f2bench.compare(*sorted((ROOT / "results").glob("*.json")), metrics=[metric]).to_json()
    return {(one["first"], one["second"]): one for one in compared["differences"] if one["group"] is None}


def test(a: str, b: str, metric: str = "auc") -> str:
    """Return A − B of two detectors on the board, with its interval and p, corrected as `compare` does."""
    one, sign = (tests(metric)[a, b], 1.0) if (a, b) in tests(metric) else (tests(metric)[b, a], -1.0)
    ends = sorted(sign * end for end in one["ci"])
    equal = "≤" if one["p_corrected_is_bound"] else "="
    kind, p = ("Holm", one["p_holm"]) if one["p_holm"] is not None else ("Benjamini-Hochberg", one["p_bh"])
    interval = f"[{number(ends[0])},\u00a0{number(ends[1])}]"
    return f"{number(sign * one['difference'])} {interval}, {kind} p {equal} {number(p)}"


@cache
def rows(name: str) -> list[dict[str, str]]:
    """Return the rows of the committed tables of paired tests in a file (`explanations/paired`)."""
    lines = [line for line in (ROOT / f"{name}.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    found, heads = [], []
    for line in lines:
        row = [cell.strip() for cell in line.strip("|").split("|")]
        if row[0] == "A":
            names = {place: f"value {row[place]}" for place in range(2, len(row)) if row[place] in ("A", "B")}
            heads = [names.get(place, name) for place, name in enumerate(row)]
        elif set(row[0]) != {"-"}:
            found.append(dict(zip(heads, row, strict=True)))
    return found


def difference(name: str, a: str, b: str, metric: str) -> str:
    """Return a committed paired test: the difference A − B with its interval and p, as the table has them."""
    for row in rows(name):
        if (row["A"], row["B"], row["metric"]) == (a, b, metric):
            p = row.get("p (corrected)") or row["p (Holm)"]
            kind = "Benjamini-Hochberg" if row.get("role") == "exploratory" else "Holm"
            return f"{row['A - B']} {row['95% interval']}, {kind} p = {p}".replace("= ≤", "≤ ")
    raise KeyError(f"no row {a} against {b}, {metric} in leaderboards/{name}.md")


def markdown(name: str, which: int = 0) -> str:
    """Return table number `which`, from 0, of a committed markdown file."""
    parts, part = [], []
    for line in [*(ROOT / f"{name}.md").read_text(encoding="utf-8").splitlines(), ""]:
        if line.startswith("|"):
            part.append(line)
        elif part:
            parts.append("\n".join(part))
            part = []
    return parts[which]


def table(name: str) -> list[dict[str, str]]:
    """Return the rows of the first table of a committed markdown file, by the head of each column."""
    heads, _, *lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown(name).splitlines()]
    return [dict(zip(heads, line, strict=True)) for line in lines]


def sentence(name: str) -> str:
    """Return what a committed board says of what can be told apart: the paragraph between its heading and its table."""
    return (ROOT / f"{name}.md").read_text(encoding="utf-8").split("\n\n")[1]


def means(name: str, dataset: str = "", metric: str = "auc") -> dict[str, str]:
    """Return a committed board of trainings, in its order: detector to mean ± deviation, and interval.

    `dataset` is that of the column; empty for a board with one. A row of one training has no deviation.
    """
    with (ROOT / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["metric"] == metric and not line["method"]]
    lines = [line for line in lines if dataset in ("", line["dataset"])]
    own = {
        line["detector"]: " ± ".join(number(float(line[key])) for key in ("value", "deviation") if line[key])
        + f" [{COMMA.join(number(float(line[key])) for key in ('ci_low', 'ci_high'))}]"
        for line in lines
    }
    assert len(own) == len(lines), f"{name}: a detector has several rows: name the dataset"
    return own


def fill(text: str) -> str:
    """Return a page with its values."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    names = {
        one.__name__: one for one in (value, number, result, kept, test, difference, markdown, table, sentence, means)
    }
    return environment.from_string(text).render(**names)
