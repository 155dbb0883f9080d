"""Readers of answers against lists of sentences: held-out ones, which give the rate that is told, and others."""

from __future__ import annotations

import json
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from paths import TESTS

from m2f2bench.leaderboards.report import read_title
from m2f2bench.leaderboards.table import build_table
from m2f2bench.metrics.reader_errors import HELD_OUT, IDIOMS, REGION, VERDICT, errors_line
from m2f2bench.metrics.regions.regions import read_regions
from m2f2bench.metrics.registry import metric_of
from m2f2bench.metrics.verdicts.verdict import VERDICTS, read_verdict
from m2f2bench.results.stored import read_stored

LISTS = TESTS
OPPOSITE = ({"real", "fake"},)
Told = dict[str, dict[str, int]]


def _lines(kind: str, what: str) -> list[dict[str, object]]:
    place = LISTS / kind / what
    files = sorted(place.glob("*.jsonl")) if place.is_dir() else [place.with_name(f"{what}.jsonl")]
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").split("\n") if line]


def _texts(kind: str, what: str) -> set[object]:
    return {line["text"] for line in _lines(kind, what)}


def _wrong(lines: list[dict[str, object]]) -> list[tuple[object, str, object]]:
    """Right verdict, read verdict and kind of each verdict that is read wrong."""
    read = [(line["verdict"], read_verdict(str(line["text"])), line["kind"]) for line in lines]
    return [one for one in read if one[0] != one[1]]


@pytest.mark.slow
@pytest.mark.parametrize(("what", "told"), [("verdicts", HELD_OUT), ("idioms-verdicts", IDIOMS)])
def test_the_rate_that_is_told_of_verdicts_is_that_of_the_held_out_answers(what: str, told: Told) -> None:
    lines = _lines("heldout", what)
    wrong = _wrong(lines)
    assert {"wrong": len(wrong), "answers": len(lines)} == told[VERDICT]
    structured = [one for one in wrong if one[2] == "structured"]
    turned = [one for one in structured if {one[0], one[1]} in OPPOSITE]
    asked = sum(line["kind"] == "structured" for line in lines)
    assert (len(turned), len(structured), asked) == ((0, 1, 154) if told is HELD_OUT else (1, 6, 84))


@pytest.mark.parametrize(("what", "told"), [("regions", HELD_OUT), ("idioms-regions", IDIOMS)])
def test_the_rate_that_is_told_of_regions_is_that_of_the_held_out_answers(what: str, told: Told) -> None:
    lines = _lines("heldout", what)
    wrong = sum(read_regions(str(line["text"])) != set(line["regions"]) for line in lines)  # type: ignore[call-overload]
    assert {"wrong": wrong, "answers": len(lines)} == told[REGION]


@pytest.mark.slow
def test_sentences_to_develop_with_are_nearly_all_read_right() -> None:
    """Of 8,100 sentences that the reader was written with: all structured ones, none turned round, a third of prose."""
    lines = _lines("development", "verdicts")
    assert set(Counter(line["verdict"] for line in lines)) == set(VERDICTS)
    structured, prose = ([one for one in lines if one["kind"] == kind] for kind in ("structured", "prose"))
    wrong = _wrong([*structured, *prose[::3]])
    assert len(wrong) <= 0.02 * (len(structured) + len(prose[::3])), wrong
    assert not [one for one in wrong if one[2] == "structured" and {one[0], one[1]} in OPPOSITE]


def test_no_sentence_is_both_held_out_and_to_develop_with() -> None:
    for what in ("verdicts", "regions"):
        plain, idioms = (_texts("heldout", name) for name in (what, f"idioms-{what}"))
        assert not (plain | idioms) & _texts("development", what) and not plain & idioms


@pytest.mark.parametrize("what", [VERDICT, REGION])
def test_the_rate_stands_beside_what_rests_on_the_reader(what: str) -> None:
    result: Any = SimpleNamespace(details={"readers": HELD_OUT}, about=metric_of)
    without: Any = SimpleNamespace(details={}, about=metric_of)
    held = HELD_OUT[what]
    assert read_title(f"{what}_f1", result).endswith(f"(reader errs in {100 * held['wrong'] / held['answers']:.1f}%)")
    assert f"{what}s: {held['wrong']} of {held['answers']}" in errors_line(HELD_OUT)
    assert "errs" not in read_title("bleu", result)
    assert "errs" not in read_title(f"{what}_f1", without) and errors_line({}) == ""


def test_boards_tell_the_rate_in_their_heads() -> None:
    """The committed results of the neutral questions, side by side."""
    folder = LISTS.parent / "leaderboards" / "explanations"
    results = [one.result for one in read_stored(sorted(folder.glob("*--explain-blind.json"))[:3])]
    heads = {column.metric: column.title for column in build_table(results).columns}
    told = {metric for metric, head in heads.items() if "(reader errs in " in head}
    assert told == {"verdict_accuracy", "verdict_f1", "region_f1"} < set(heads)
