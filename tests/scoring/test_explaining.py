"""Answers to questions from end to end: asking, storing, resuming, scoring, comparing, boards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rows_held import rows_held
from toy_questions import FACES, RULES, TOY, answer_lines, run_toy

from m2f2bench.metrics.reader_errors import HELD_OUT
from m2f2bench.results.row_files import read_answers
from m2f2bench.results.store import ANSWERS
from m2f2bench.scoring.answers import load_answers, plan_questions, question_clusters
from m2f2bench.scoring.scored import Source


def test_what_looks_and_what_does_not(rules: Path, tmp_path: Path) -> None:
    """A perfect explainer against a constant one, on every measure beyond overlap."""
    found = run_toy(rules, tmp_path / "out", "Looker", "Parrot")
    looker, parrot = found["toy_questions.Looker"], found["toy_questions.Parrot"]
    assert looker.coverage == 1.0 and looker.statuses == {"ok": 72}
    assert looker.metrics["verdict_accuracy"].value == 1.0 and parrot.metrics["verdict_accuracy"].value == 0.5
    assert looker.metrics["consistency"].value == 1.0 and parrot.metrics["consistency"].value == 0.5
    assert looker.metrics["region_f1"].value == 1.0  # the mouth in the fakes, nothing in the reals
    assert parrot.metrics["region_f1"].value == pytest.approx(2 * 12 / (2 * 12 + 12))
    assert set(looker.regions) == {"eyes", "image", "mouth"} and set(looker.methods) == {"swap", "original"}
    assert (looker.metrics["bleu"].n_real, looker.labels["fake"]["bleu"].n_fake) == (36, 36)
    across = {name: one.details["image_dependence"]["across"] for name, one in found.items() if "control" not in name}
    assert across["toy_questions.Looker"]["verdict_accuracy"]["kept"] == 0.0
    assert all(across["toy_questions.Parrot"][name]["kept"] == 1.0 for name in ("bleu", "rouge_l", "verdict_accuracy"))
    assert looker.details["diversity"]["distinct"] == 6 and parrot.details["diversity"]["entropy_bits"] == 0.0
    none = dict.fromkeys(("undetermined", "refused", "unreadable", "none"), 0)
    assert looker.details["verdicts"]["fake"] == {"real": 0, "fake": 36, **none}
    assert looker.details["readers"] == HELD_OUT
    hidden = [one for name, one in found.items() if name.startswith("control-") and name.endswith("hidden")]
    kept = [one.details["image_dependence"]["across"]["bleu"]["kept"] for one in hidden]
    assert len(kept) == 2 and kept == pytest.approx([1.0, 1.0], abs=1e-12)


@pytest.mark.slow
def test_a_run_is_killed_and_goes_on(rules: Path, tmp_path: Path) -> None:
    """SIGKILL between two images: finished answers are not asked again, and the result is the same."""
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import sys, time\n"
        f"sys.path.insert(0, {str(TOY.parent)!r})\n"
        "from toy_questions import Looker\n"
        "class Slow(Looker):\n"
        "    def explain(self, images, questions):\n"
        "        with open(__file__ + '.log', 'a') as log:\n"
        "            log.write('x')\n"
        "        time.sleep(0.1)\n"
        "        return super().explain(images, questions)\n"
    )
    command = [sys.executable, "-m", "m2f2bench", "run", "-d", f"{slow}:Slow", "-s", FACES, "-p", str(rules)]
    process = subprocess.Popen([*command, "--out", str(tmp_path / "a")])
    partial = tmp_path / "a" / "slow.Slow--toy_questions.Faces--toy" / "answers.partial.arrows"
    deadline = time.monotonic() + 60
    while len(rows_held(partial)) < 12:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    known = len(rows_held(partial))
    before = len(Path(f"{slow}.log").read_text())
    assert not (partial.parent / "result.json").exists() and known < 72
    for out in ("a", "b"):
        subprocess.run([*command, "--out", str(tmp_path / out)], check=True, capture_output=True)
    calls = len(Path(f"{slow}.log").read_text()) - before
    assert calls == (24 - known // 3) + 24  # the rest of the first, and all of the second
    other = tmp_path / "other.yaml"
    other.write_text(RULES.replace("name: toy", "name: other\nreferences: first"))
    asked = len(Path(f"{slow}.log").read_text())
    subprocess.run([*command[:-1], str(other), "--out", str(tmp_path / "a")], check=True, capture_output=True)
    assert len(Path(f"{slow}.log").read_text()) == asked, "the same questions are not asked again"
    first, second = (tmp_path / out / partial.parent.name for out in ("a", "b"))
    assert read_answers(first / ANSWERS) == read_answers(second / ANSWERS)
    assert (first / "result.json").read_bytes() == (second / "result.json").read_bytes()


@pytest.mark.slow
def test_failures_are_rows_and_count_as_wrong(rules: Path, tmp_path: Path) -> None:
    found = run_toy(rules, tmp_path / "a", "Fails")["toy_questions.Fails"]
    failed = found.statuses["error"]
    assert failed > 0 and found.statuses["ok"] + failed == 72 and found.coverage == 1 - failed / 72
    assert found.metrics["verdict_none_rate"].value == failed / 72
    assert found.metrics["verdict_accuracy"].value == 1 - failed / 72
    torn = run_toy(rules, tmp_path / "b", "Looker", dataset=f"{TOY}:Torn")["toy_questions.Looker"]
    assert torn.statuses == {"ok": 69, "unreadable": 3} and torn.metrics["verdict_accuracy"].value == 69 / 72
    dropping = tmp_path / "dropping.yaml"
    dropping.write_text(RULES.replace("name: toy", "name: dropping\nmissing: drop"))
    kept = run_toy(dropping, tmp_path / "b", "Looker", dataset=f"{TOY}:Torn")["toy_questions.Looker"]
    assert kept.metrics["verdict_accuracy"].value == 1.0 and kept.coverage == 69 / 72


def test_who_answers_nothing_is_told_so(cli, one_line, rules: Path, tmp_path: Path) -> None:
    line = one_line(cli("run", "-d", f"{TOY}:Mute", "-s", FACES, "-p", rules, "--out", tmp_path / "o"))
    assert "answers no questions" in line and "Explainer" in line
    line = one_line(cli("run", "-d", "constant", "-s", "synthetic", "-p", "nonsense", "--out", tmp_path / "o"))
    assert "unknown protocol 'nonsense'" in line


def test_a_run_scored_again_is_the_same(cli, rules: Path, tmp_path: Path) -> None:
    run_toy(rules, tmp_path / "out", "Looker")
    folder = tmp_path / "out" / "toy_questions.Looker--toy_questions.Faces--toy"
    wanted = json.loads((folder / "result.json").read_text())
    outcome = cli("score", folder, "-s", FACES, "--json")
    assert outcome.status == 0, outcome.err
    assert json.loads(outcome.out) == wanted
    assert cli("validate", folder).status == 0
    wanted["metrics"]["bleu"]["ci"][1] += 0.01
    (folder / "result.json").write_text(json.dumps(wanted))
    bad = cli("validate", folder)
    assert bad.status == 1 and "they give bleu the interval" in bad.out + bad.err


@pytest.mark.slow
def test_compare(cli, one_line, rules: Path, tmp_path: Path) -> None:
    run_toy(rules, tmp_path / "out", "Looker", "Parrot")
    looker, parrot = (
        tmp_path / "out" / f"toy_questions.{name}--toy_questions.Faces--toy" for name in ("Looker", "Parrot")
    )
    found = json.loads(cli("compare", looker, parrot, "--json").out)
    by = {(d["metric"], d["group"]): d for d in found["differences"]}
    accuracy = by["verdict_accuracy", None]
    assert accuracy["difference"] == 0.5 and accuracy["p"] < 0.05 and accuracy["ci"][0] > 0.2
    assert by["verdict_accuracy", "fake"]["difference"] == 0.0 and by["verdict_accuracy", "fake"]["p"] == 1.0
    text = cli("compare", tmp_path / "out", "--against", "toy_questions.Looker").out
    assert "toy_questions.Parrot" in text and "control-frequent-hidden" in text
    other = tmp_path / "other.yaml"
    other.write_text(RULES.replace("name: toy", "name: other\nreferences: first"))
    run_toy(other, tmp_path / "out", "Looker")
    line = one_line(cli("compare", looker, looker.with_name(looker.name.removesuffix("toy") + "other")))
    assert "references (refs: all / first)" in line
    line = one_line(cli("compare", looker, parrot, "--against", "Lookre"))
    assert "no detector named 'Lookre' in this comparison" in line


@pytest.mark.slow
def test_a_board_of_explanations(cli, rules: Path, tmp_path: Path) -> None:
    run_toy(rules, tmp_path / "out", "Looker", "Parrot")
    text = cli("leaderboard", tmp_path / "out").out
    assert "ROUGE-L" in text and "control-medoid-label" in text and "verdict accuracy" in text
    page = cli("leaderboard", tmp_path / "out", "--format", "html").out
    assert "control-shuffled" in page


def test_questions_without_reference(rules: Path, tmp_path: Path) -> None:
    """They count for verdicts but for no text metric, and the result says how many there are."""
    source = tmp_path / "bare.py"
    source.write_text(
        f"import sys; sys.path.insert(0, {str(TOY.parent)!r})\n"
        "from dataclasses import replace\nfrom toy_questions import Faces\n"
        "class Bare(Faces):\n"
        "    def questions(self, split, kind='blind'):\n"
        "        found = super().questions(split, kind)\n"
        "        return [replace(q, references=()) if q.region == 'eyes' and split == 'test' else q for q in found]\n"
    )
    found = run_toy(rules, tmp_path / "out", "Looker", dataset=f"{source}:Bare")["toy_questions.Looker"]
    assert found.details["questions_without_reference"] == 24
    assert found.metrics["rouge_l"].n_real + found.metrics["rouge_l"].n_fake == 48
    assert found.metrics["verdict_accuracy"].n_real + found.metrics["verdict_accuracy"].n_fake == 72
    assert found.regions["eyes"]["rouge_l"].value is None and found.regions["eyes"]["rouge_l"].reason


def test_questions_of_one_image_are_drawn_together(rules: Path) -> None:
    plan = plan_questions(FACES, str(rules))
    evidence = load_answers(_whole(plan, rules), source=Source(str(rules), FACES))
    for wanted in ("identity", "video", "frame"):
        codes, n, by = question_clusters(evidence.answers, wanted)
        assert n == 24 and by in (wanted, "frame")
        assert all(len(set(codes[evidence.answers.frame == frame])) == 1 for frame in set(evidence.answers.frame))


def _whole(plan: Any, rules: Path) -> Path:
    return answer_lines(
        rules.with_name("whole.jsonl"), {question.id: "The image looks fake." for question in plan.questions}
    )


def test_image_level_questions_alone_have_the_same_interval(rules: Path) -> None:
    """Ten copies of an image's questions add no information: the interval stays as wide."""
    from m2f2bench.cards.protocols import Bootstrap
    from m2f2bench.stats.statistic import estimate, mean_of

    rng = np.random.default_rng(3)
    values, cluster = rng.random(40), np.arange(40)
    everything = {"": np.ones(40, dtype=bool)}
    label = np.zeros(40, dtype=np.int64)
    once = estimate({"m": mean_of(values)}, everything, label, cluster, 40, Bootstrap(resamples=500))
    many = estimate(
        {"m": mean_of(np.repeat(values, 10))}, {"": np.ones(400, dtype=bool)}, np.repeat(label, 10),
        np.repeat(cluster, 10), 40, Bootstrap(resamples=500),
    )  # fmt: skip
    assert once.scores[""]["m"].ci == pytest.approx(many.scores[""]["m"].ci, abs=1e-12)
    assert once.scores[""]["m"].value == pytest.approx(float(values.mean()), abs=1e-12)


def test_odd_characters_of_an_explainer_are_stored(rules: Path, tmp_path: Path) -> None:
    found = run_toy(rules, tmp_path / "o", "Odd")["toy_questions.Odd"]
    assert found.statuses == {"ok": 72} and found.metrics["verdict_accuracy"].value == 1.0


@pytest.mark.slow
@pytest.mark.usefixtures("no_java")
def test_without_java_only_what_needs_it_is_missing(tmp_path: Path) -> None:
    """Treebank tokens and METEOR are missing; verdicts, consistency, regions and image dependence are not."""
    card = tmp_path / "toy.yaml"
    card.write_text(RULES.replace("tokenizer: none", "tokenizer: ptb").replace("[bleu,", "[bleu, meteor,"))
    command = [sys.executable, "-m", "m2f2bench", "run", "-d", f"{TOY}:Looker", "-s", FACES, "-p", str(card)]
    there = os.environ | {"M2F2BENCH_CACHE": str(tmp_path / "cache")}
    subprocess.run([*command, "--out", str(tmp_path / "o")], check=True, capture_output=True, env=there)
    folder = tmp_path / "o" / "toy_questions.Looker--toy_questions.Faces--toy"
    found = json.loads((folder / "result.json").read_text())
    for name in ("bleu", "rouge_l", "cider", "meteor"):
        assert found["metrics"][name]["value"] is None and "Java" in found["metrics"][name]["reason"]
    for name in ("verdict_accuracy", "consistency", "region_f1"):
        assert found["metrics"][name]["value"] == 1.0
    assert found["details"]["image_dependence"]["across"]["verdict_accuracy"]["kept"] == 0.0
    assert (folder / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("limit", [6, 8, 12, 24, 48])
def test_a_limit_keeps_both_classes(limit: int) -> None:
    plan = plan_questions("synthetic", "judge", limit=limit)
    share = sum(question.label for question in plan.questions) / len(plan.questions)
    assert len(plan.questions) == limit and 0.75 <= share <= 0.9  # five of six are fake
