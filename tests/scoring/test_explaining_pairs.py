"""Differences of two explainers: only over the same questions and clusters; a p that no resample reaches is a bound."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from toy_questions import FACES, RULES, answer_lines, run_toy
from toy_units import widened

from m2f2bench.core.errors import ScoreError
from m2f2bench.leaderboards.board import build_board
from m2f2bench.metrics.detection.paired import AGREE, Difference
from m2f2bench.results.result import Result
from m2f2bench.results.stored import read_stored
from m2f2bench.scoring.answers import load_answers, plan_questions
from m2f2bench.scoring.compare_answers import DrawnPair, ResampledResult, compare_resampled, load_resampled
from m2f2bench.scoring.score_answers import PARTS, score_answers
from m2f2bench.scoring.scored import COUNTED, Source


def scored(
    folder: Path, rules: Path, name: str, left_out: set[str], text: str = "The image looks fake."
) -> ResampledResult:
    """Score an explainer that gives one text to all questions except some, with its resamples."""
    plan = plan_questions(FACES, str(rules))
    given = {q.id: text for q in plan.questions if q.id not in left_out}
    path = answer_lines(folder / f"{name}.jsonl", given)
    return score_answers(load_answers(path, source=Source(str(rules), FACES, detector=name)), False)


@pytest.fixture
def dropping(tmp_path: Path) -> Path:
    card = tmp_path / "dropping.yaml"
    card.write_text(RULES.replace("name: toy", "name: dropping\nmissing: drop"))
    return card


def older(drawn: ResampledResult) -> ResampledResult:
    """The same as an older version wrote it, without the questions that count."""
    details = {key: value for key, value in drawn.result.details.items() if key != COUNTED}
    return replace(drawn, result=replace(drawn.result, details=details))


def questions(rules: Path) -> list[str]:
    return [q.id for q in plan_questions(FACES, str(rules)).questions]


def test_a16_as_many_answers_to_other_questions_are_not_compared(dropping: Path, tmp_path: Path) -> None:
    """Both leave six questions out, with equal counts of statuses; only the sets of questions differ."""
    ids = questions(dropping)
    first = scored(tmp_path, dropping, "first", set(ids[:6]))
    other = scored(tmp_path, dropping, "other", set(ids[6:12]))
    same = scored(tmp_path, dropping, "same", set(ids[:6]), "It is real.")
    assert first.result.statuses == other.result.statuses == {"ok": 66, "missing": 6}
    with pytest.raises(ScoreError, match="'first' and 'other' cannot be compared: they are measured on diff"):
        compare_resampled({"first": first, "other": other})
    found = compare_resampled({"first": first, "same": same})
    assert any(d.p is not None for d in found.pairs[0].differences)
    with pytest.raises(ScoreError, match=r"measured on questions that the results do not name .coverage 0.9167"):
        compare_resampled({"first": older(first), "same": older(same)})
    whole = scored(tmp_path, dropping, "whole", set())
    again = scored(tmp_path, dropping, "again", set(), "It is real.")
    for one, two in ((whole, again), (older(whole), again), (older(whole), older(again))):
        assert compare_resampled({"whole": one, "again": two}).pairs[0].differences[0].difference is not None


def test_a16_where_holes_are_wrong_answers_all_count(rules: Path, tmp_path: Path) -> None:
    ids = questions(rules)
    first, other = scored(tmp_path, rules, "first", set(ids[:6])), scored(tmp_path, rules, "other", set(ids[6:20]))
    assert first.result.details[COUNTED] == other.result.details[COUNTED] and set(first.result.details[COUNTED]) == set(
        PARTS
    )
    for one, two in ((first, other), (older(first), other), (older(first), older(other))):
        by = {d.metric: d for d in compare_resampled({"first": one, "other": two}).pairs[0].differences if not d.group}
        assert by["rouge_l"].p is not None and by["verdict_accuracy"].p is not None


def test_a16_a_kind_that_one_never_answered_is_not_left_out(tmp_path: Path) -> None:
    """One answers no judge question: they count as wrong. Older results left them out, so verdicts are not compared."""
    card = tmp_path / "both.yaml"
    card.write_text(RULES.replace("name: toy", "name: both").replace("questions: [blind]", "questions: [blind, judge]"))
    ids = questions(card)
    judge = {one for one in ids if one not in set(questions_of(tmp_path, "blind"))}
    assert len(judge) == 24 and len(ids) == 96
    whole, part = scored(tmp_path, card, "whole", set()), scored(tmp_path, card, "part", judge)

    def compared(one: ResampledResult, two: ResampledResult) -> dict[str, Difference]:
        pair = compare_resampled({"whole": one, "part": two}).pairs[0]
        return {d.metric: d for d in pair.differences if not d.group}

    now = compared(whole, part)
    assert now["rouge_l"].difference == 0.0
    # "fake" is right of 36 of 72 and of 12 of 24; without the 24 it is right of 36 of 96
    assert now["verdict_accuracy"].difference == pytest.approx(48 / 96 - 36 / 96)
    before = compared(older(whole), older(part))
    assert before["rouge_l"].difference == 0.0 and before["region_f1"].difference == 0.0
    assert before["verdict_accuracy"].difference is None and before["verdict_accuracy"].p is None
    assert "measured on questions that the results do not name" in before["verdict_accuracy"].reason


def questions_of(folder: Path, kind: str) -> list[str]:
    card = folder / f"{kind}.yaml"
    card.write_text(RULES.replace("name: toy", f"name: {kind}").replace("questions: [blind]", f"questions: [{kind}]"))
    return questions(card)


def test_a2_resamples_of_other_clusters_are_not_subtracted(rules: Path, tmp_path: Path) -> None:
    first, other = (scored(tmp_path, rules, name, set()) for name in ("first", "other"))
    moved = replace(other, result=replace(other.result, clusters={**other.result.clusters, "by": "video", "n": 23}))
    with pytest.raises(ScoreError, match=r"their clusters differ .24 resampled by .* / 23 resampled by video."):
        DrawnPair(first, moved)
    with pytest.raises(ScoreError, match="they differ in split"):
        elsewhere = {**other.result.measured, "split": "x"}
        DrawnPair(first, replace(other, result=replace(other.result, measured=elsewhere)))
    short = replace(other, draws={g: {n: v[:100] for n, v in own.items()} for g, own in other.draws.items()})
    d = DrawnPair(first, short).difference("rouge_l")
    assert d.p is None and d.ci is None and d.reason == "no interval: the numbers of resamples differ"
    none = DrawnPair(first, replace(other, draws={})).difference("rouge_l")
    assert (none.difference, none.p, none.reason) == (
        0.0,
        None,
        "",
    ) and none.first == none.second != 0.0 == d.difference


def test_a2_one_and_the_same_answers_do_not_differ(rules: Path, tmp_path: Path) -> None:
    first, other = (scored(tmp_path, rules, name, set()) for name in ("first", "other"))
    for d in compare_resampled({"first": first, "other": other}).pairs[0].differences:
        assert d.difference in (0.0, None) and (d.p, d.ci) in ((1.0, (0.0, 0.0)), (None, None)), d


def test_a3_stored_resamples_give_bounds(cli, rules: Path, tmp_path: Path) -> None:
    """With 200 stored resamples, none of which reaches zero, p is at most that of 2/201 with so few clusters."""
    found = run_toy(rules, tmp_path / "out", "Looker", "Parrot")
    assert found["toy_questions.Looker"].metrics["verdict_accuracy"].value == 1.0
    folders = [tmp_path / "out" / f"toy_questions.{n}--toy_questions.Faces--toy" for n in ("Looker", "Parrot")]
    data = json.loads(cli("compare", *folders, "--json").out)["differences"]
    (d,) = [one for one in data if one["metric"] == "verdict_accuracy" and one["group"] is None]
    p = widened(2 / 201, found["toy_questions.Looker"].clusters["n"])
    assert d["p_is_bound"] and d["p"] == pytest.approx(p) and 0.015 < p < 0.02 and d["resamples"] == 200
    told = f"≤{math.ceil(p * 1e4) / 1e4:.4f}".replace("0.", ".")
    text = cli("compare", *folders).out
    assert told in text and "in all of 200 resamples the difference has the same sign" in text
    text = cli("compare", tmp_path / "out", "--against", "toy_questions.Looker", "-m", "verdict_accuracy").out
    rows = [line for line in text.splitlines() if line.startswith("|") and "| toy_questions.Parrot " in line]
    assert told in rows[0] and rows[0].count("≤") == 2, "also after Holm"


def test_older_results_stay_readable(rules: Path, tmp_path: Path) -> None:
    drawn = older(scored(tmp_path, rules, "first", set()))
    data = json.loads(json.dumps(drawn.result.to_json()))
    assert COUNTED not in data["details"] and "frame_coverage" not in data
    assert Result.from_json(data) == drawn.result


def test_f4_the_best_explainer_of_a_board(rules: Path, tmp_path: Path) -> None:
    """Looker is better than Parrot in verdicts over all; they have no rows, only resamples."""
    run_toy(rules, tmp_path / "out", "Looker", "Parrot")
    folders = [tmp_path / "out" / f"toy_questions.{n}--toy_questions.Faces--toy" for n in ("Looker", "Parrot")]
    table = build_board(read_stored(folders)).table
    column = [c.metric for c in table.columns].index("verdict_accuracy")
    assert [(row.detector, row.cells[column].best) for row in table.rows] == [
        ("toy_questions.Looker", True),
        ("toy_questions.Parrot", False),
    ]
    (folders[1] / "resamples.parquet").unlink()
    table = build_board(read_stored(folders)).table
    assert not any(cell.best for row in table.rows for cell in row.cells), "without the resamples of one nobody knows"


def test_f4_two_who_are_right_throughout_are_not_known_to_be_equal(rules: Path, tmp_path: Path) -> None:
    """Both call the fakes fake, in different words: no difference, and no interval of width zero."""
    first = scored(tmp_path, rules, "first", set())
    other = scored(tmp_path, rules, "other", set(), "This face is a fake one.")
    found = compare_resampled({"first": first, "other": other})
    (d,) = [one for one in found.pairs[0].differences if (one.metric, one.group) == ("verdict_accuracy", "fake")]
    assert (d.difference, d.p, d.ci, d.reason) == (0.0, 1.0, None, AGREE) and not found.oracle


def test_f4_a_run_is_scored_again_where_a_protocol_or_a_dataset_is_named(rules: Path, tmp_path: Path) -> None:
    run_toy(rules, tmp_path / "out", "Looker")
    folder = tmp_path / "out" / "toy_questions.Looker--toy_questions.Faces--toy"
    stored = load_resampled(folder)
    (folder / "resamples.parquet").unlink()
    with pytest.raises(ScoreError, match="there are no resamples"):
        load_resampled(folder)
    assert load_resampled(folder, Source(dataset=FACES)).result.metrics == stored.result.metrics


def test_f4_who_has_no_value_is_told_beside_who_has_one(tmp_path: Path) -> None:
    """One answers only judge questions, which have no reference texts."""
    card = tmp_path / "both.yaml"
    rules = RULES.replace("name: toy", "name: both\nmissing: drop")
    card.write_text(rules.replace("questions: [blind]", "questions: [blind, judge]"))
    whole = scored(tmp_path, card, "whole", set())
    part = scored(tmp_path, card, "part", set(questions_of(tmp_path, "blind")))
    (pair,) = compare_resampled({"whole": whole, "part": part}, ["rouge_l"]).pairs
    for d in pair.differences:
        assert d.first is not None and d.second is None and d.difference is None
