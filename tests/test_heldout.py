"""Readers of answers against lists of sentences: held-out ones, which give the rate that is told, and others."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from m2f2bench.leaderboard.explained import read_title
from m2f2bench.scoring.reader_errors import HELD_OUT, REGION, VERDICT, errors_line
from m2f2bench.scoring.regions import read_regions
from m2f2bench.scoring.verdict import VERDICTS, read_verdict

LISTS = Path(__file__).parent
OPPOSITE = ({"real", "fake"},)


def _lines(kind: str, what: str) -> list[dict[str, object]]:
    text = (LISTS / kind / f"{what}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def _wrong(lines: list[dict[str, object]]) -> list[tuple[object, str, object]]:
    """Right verdict, read verdict and kind of each verdict that is read wrong."""
    read = [(line["verdict"], read_verdict(str(line["text"])), line["kind"]) for line in lines]
    return [one for one in read if one[0] != one[1]]


def test_the_rate_that_is_told_of_verdicts_is_that_of_the_held_out_answers() -> None:
    lines = _lines("heldout", "verdicts")
    wrong = _wrong(lines)
    assert {"wrong": len(wrong), "answers": len(lines)} == HELD_OUT[VERDICT]
    assert not [one for one in wrong if one[2] == "structured"]


def test_the_rate_that_is_told_of_regions_is_that_of_the_held_out_answers() -> None:
    lines = _lines("heldout", "regions")
    wrong = sum(read_regions(str(line["text"])) != set(line["regions"]) for line in lines)  # type: ignore[call-overload]
    assert {"wrong": wrong, "answers": len(lines)} == HELD_OUT[REGION]


def test_sentences_to_develop_with_are_nearly_all_read_right() -> None:
    """7,900 sentences that the reader was written with, in five languages; none that is structured is turned round."""
    lines = _lines("development", "verdicts")
    assert set(Counter(line["verdict"] for line in lines)) == set(VERDICTS)
    wrong = _wrong(lines)
    assert len(wrong) <= 0.035 * len(lines), wrong
    assert not [one for one in wrong if one[2] == "structured" and {one[0], one[1]} in OPPOSITE]


def test_no_sentence_is_both_held_out_and_to_develop_with() -> None:
    for what in ("verdicts", "regions"):
        held, others = ({line["text"] for line in _lines(kind, what)} for kind in ("heldout", "development"))
        assert not held & others


@pytest.mark.parametrize("what", [VERDICT, REGION])
def test_the_rate_stands_beside_what_rests_on_the_reader(what: str) -> None:
    details = {"readers": HELD_OUT}
    held = HELD_OUT[what]
    assert read_title(f"{what}_f1", details).endswith(f"(reader errs in {100 * held['wrong'] / held['answers']:.1f}%)")
    assert f"{what}s: {held['wrong']} of {held['answers']}" in errors_line(HELD_OUT)
    assert "errs" not in read_title("bleu", details)
    assert "errs" not in read_title(f"{what}_f1", {}) and errors_line({}) == ""
