"""Answers to questions from end to end: asked, stored, resumed, scored, compared; anybody's files; hostile ones."""

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
from PIL import Image
from toy_questions import RULES

import m2f2bench
from m2f2bench.explaining.evidence import ask, load_answers, question_clusters
from m2f2bench.records import Result
from m2f2bench.store import ANSWERS, read_answers

TOY = Path(__file__).with_name("toy_questions.py")
FACES = f"{TOY}:Faces"
PUBLISHED = ("DDVQA_det_c40.jsonl", "DDVQA_exp_c40.jsonl")


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The toy protocol's card."""
    path = tmp_path / "toy.yaml"
    path.write_text(RULES)
    return path


def run_toy(rules: Path, out: Path, *explainers: str, dataset: str = FACES) -> dict[str, Result]:
    found = m2f2bench.run(
        detectors=[f"{TOY}:{name}" for name in explainers], datasets=dataset, protocols=str(rules), out=out
    )
    return {result.detector: result for result in found}


def answer_lines(path: Path, texts: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps({"id": key, "text": text}) + "\n" for key, text in texts.items()))
    return path


def test_the_published_figures(cli, real_data: Path) -> None:
    """To the last digit that is published, from the published answers, under the protocol that is named for it."""
    files = [real_data / "ddvqa" / "outputs" / name for name in PUBLISHED]
    outcome = cli("score", *files, "--together", "-p", "m2f2-released", "-s", "ddvqa-c40", "--json")
    assert outcome.status == 0, outcome.err
    found = json.loads(outcome.out)
    value = {name: score["value"] for name, score in found["metrics"].items()}
    published = {"bleu1": 0.53736, "bleu2": 0.47823, "bleu3": 0.43613, "bleu4": 0.40003}
    published |= {"rouge_l": 0.64332, "cider": 3.38505}
    assert {name: round(value[name], 5) for name in published} == published
    assert round(value["verdict_accuracy"], 4) == 0.9444 and round(value["verdict_f1"], 4) == 0.9420
    assert found["coverage"] == 1.0 and "verdict:substring" in found["signature"] and "tok:none" in found["signature"]
    assert all(score["ci"][0] < score["value"] < score["ci"][1] for name, score in found["metrics"].items()
               if name != "verdict_none_rate")  # fmt: skip


def test_each_published_file_alone(cli, real_data: Path) -> None:
    """What a file does not answer at all is not measured, and is counted."""
    judged, explained = (real_data / "ddvqa" / "outputs" / name for name in PUBLISHED)
    found = json.loads(cli("score", judged, "-p", "m2f2-released", "-s", "ddvqa-c40", "--json").out)
    assert found["metrics"]["verdict_accuracy"]["value"] == 136 / 144
    assert found["metrics"]["cider"]["value"] is None and found["statuses"] == {"ok": 144, "missing": 1070}
    found = json.loads(cli("score", explained, "-p", "m2f2-released", "-s", "ddvqa-c40", "--json").out)
    assert round(found["metrics"]["cider"]["value"], 5) == 3.38505
    assert found["metrics"]["verdict_accuracy"]["value"] is None
    own = json.loads(cli("score", judged, "-p", "judge", "-s", "ddvqa-c40", "--json").out)
    assert own["metrics"]["verdict_accuracy"]["value"] == 133 / 144
    assert own["metrics"]["verdict_none_rate"]["value"] == 1 / 144


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
    assert looker.details["verdicts"]["fake"] == {"real": 0, "fake": 36, "none": 0}
    hidden = [one for name, one in found.items() if name.startswith("control-") and name.endswith("hidden")]
    kept = [one.details["image_dependence"]["across"]["bleu"]["kept"] for one in hidden]
    assert len(kept) == 2 and kept == pytest.approx([1.0, 1.0], abs=1e-12)


def test_a_run_is_killed_and_goes_on(rules: Path, tmp_path: Path) -> None:
    """SIGKILL between two images; what was answered is not asked again, and the end is the same."""
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
    partial = tmp_path / "a" / "slow.Slow--toy_questions.Faces--toy" / "answers.partial.jsonl"
    deadline = time.monotonic() + 60
    while not (partial.exists() and partial.read_bytes().count(b"\n") > 12):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    known = partial.read_bytes().count(b"\n") - 1
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
    assert bad.status == 1 and "the interval of bleu" in bad.out + bad.err


def test_compare(cli, one_line, rules: Path, tmp_path: Path) -> None:
    run_toy(rules, tmp_path / "out", "Looker", "Parrot")
    looker, parrot = (
        tmp_path / "out" / f"toy_questions.{name}--toy_questions.Faces--toy" for name in ("Looker", "Parrot")
    )
    found = json.loads(cli("compare", looker, parrot, "--json").out)
    by = {(d["metric"], d["group"]): d for d in found["differences"]}
    accuracy = by["verdict_accuracy", None]
    assert accuracy["difference"] == 0.5 and accuracy["p"] < 0.01 and accuracy["ci"][0] > 0.2
    assert by["verdict_accuracy", "fake"]["difference"] == 0.0 and by["verdict_accuracy", "fake"]["p"] == 1.0
    text = cli("compare", tmp_path / "out", "--against", "toy_questions.Looker").out
    assert "toy_questions.Parrot" in text and "control-frequent-hidden" in text
    other = tmp_path / "other.yaml"
    other.write_text(RULES.replace("name: toy", "name: other\nreferences: first"))
    run_toy(other, tmp_path / "out", "Looker")
    line = one_line(cli("compare", looker, looker.with_name(looker.name.removesuffix("toy") + "other")))
    assert "references (refs: all / first)" in line
    line = one_line(cli("compare", looker, parrot, "--against", "Lookre"))
    assert "'Lookre' is none of those" in line


def test_a_board_of_explanations(cli, rules: Path, tmp_path: Path) -> None:
    run_toy(rules, tmp_path / "out", "Looker", "Parrot")
    text = cli("leaderboard", tmp_path / "out").out
    assert "ROUGE-L" in text and "control-medoid-label" in text and "verdict accuracy" in text
    page = cli("leaderboard", tmp_path / "out", "--format", "html").out
    assert "control-shuffled" in page


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            '{"id": "test00_eye", "text": "x"}\n',
            ["answer 1", "'test00_eye' is no question", "mean 'test00_eyes'"],
        ),
        ('{"id": "test00_eyes", "text": "x"}\n' * 2, ["answer 2", "answered already", "answer 1"]),
        ('{"id": "test00_eyes", "text": 3}\n', ["'text' is int"]),
        ('{"id": "test00_eyes"}\n', ["has no 'text'"]),
        ('{"text": "x"}\n', ["has no 'id'", "--column id=NAME"]),
        ('{"id": ["a"], "text": "x"}\n', ["'id' is list"]),
        ('{"id": "test00_eyes", "text": "x", "score": 7}\n', ["score is 7", "[0, 1]"]),
        ("not json\n", ["line 1"]),
        ("[1]\n", ["line 1 is not an object"]),
        ("", ["has no answers"]),
        ('{"image": "x/test00.jpg", "prompt": "", "text": "fake"}\n', ["no 'key'", "judge"]),
    ],
)
def test_files_that_are_wrong(cli, one_line, rules: Path, tmp_path: Path, lines: str, words: list[str]) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(lines)
    line = one_line(cli("score", path, "-p", rules, "-s", FACES))
    assert all(word in line for word in ["answers.jsonl", *words]), line


def test_what_has_to_be_said(cli, one_line, rules: Path, tmp_path: Path) -> None:
    path = answer_lines(tmp_path / "answers.jsonl", {"test00_eyes": "real"})
    assert "give --dataset" in one_line(cli("score", path, "-p", rules))
    assert "say which questions they are to" in one_line(cli("score", path))
    with_none = tmp_path / "faces"
    for label in ("real", "fake"):
        (with_none / label).mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(with_none / label / "a.png")
    assert "has no blind questions" in one_line(cli("score", path, "-p", rules, "-s", with_none))
    run_toy(rules, tmp_path / "out", "Looker")
    folder = tmp_path / "out" / "toy_questions.Looker--toy_questions.Faces--toy"
    assert "holds answers to questions" in one_line(cli("score", folder, "-p", "frame"))
    assert "holds answers to questions" in one_line(cli("check", folder, "-d", f"{TOY}:Looker"))


HOSTILE = {
    "test00_eyes": "",
    "test01_eyes": "fake " * 100_000,
    "test02_eyes": "😀 👩‍👩‍👧 fake? 🤷",
    "test03_eyes": "‮هذه الصورة مزيفة‬ and the eyes look fake",
    "test04_eyes": "<script>alert(1)</script><b>real</b>",
    "test05_eyes": "line\nbreaks\r\n ||| and\x00 NUL",
    "test06_eyes": "\ud800 half a pair",
    "test07_eyes": "   ",
}


def test_hostile_texts(rules: Path, tmp_path: Path) -> None:
    """Every one is an answer, nothing is dropped, and what is missing counts as wrong."""
    path = answer_lines(tmp_path / "answers.jsonl", HOSTILE)
    found = m2f2bench.score(path, protocol=str(rules), dataset=FACES)
    assert found.statuses == {"ok": 8, "missing": 64} and found.coverage == 8 / 72
    assert found.metrics["bleu"].n_real + found.metrics["bleu"].n_fake == 72
    none = found.metrics["verdict_none_rate"].value
    assert none is not None and none >= 64 / 72
    assert all(score.value is not None for score in (found.metrics["rouge_l"], found.metrics["cider"]))


def test_hostile_texts_through_java(tmp_path: Path) -> None:
    """The same through the Treebank tokenizer and METEOR, which speak in lines."""
    card = tmp_path / "toy.yaml"
    card.write_text(RULES.replace("tokenizer: none", "tokenizer: ptb").replace("[bleu,", "[bleu, meteor,"))
    short = {key: text[:2_000] for key, text in HOSTILE.items()}
    path = answer_lines(tmp_path / "answers.jsonl", short | {"test08_eyes": "The eyes looks real. All is well."})
    found = m2f2bench.score(path, protocol=str(card), dataset=FACES)
    alone = answer_lines(tmp_path / "alone.jsonl", {"test08_eyes": "The eyes looks real. All is well."})
    without = m2f2bench.score(alone, protocol=str(card), dataset=FACES)
    eyes = [one.regions["eyes"]["meteor"].value for one in (found, without)]
    assert None not in eyes and found.coverage == 9 / 72


def test_questions_without_reference(rules: Path, tmp_path: Path) -> None:
    """They count among the verdicts and in no text metric, and the result says how many there are."""
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
    asked = ask(FACES, str(rules))
    evidence = load_answers(_whole(asked, rules), protocol=str(rules), dataset=FACES)
    for wanted in ("identity", "video", "frame"):
        codes, n, by = question_clusters(evidence.answers, wanted)
        assert n == 24 and by in (wanted, "frame")
        assert all(len(set(codes[evidence.answers.frame == frame])) == 1 for frame in set(evidence.answers.frame))


def _whole(asked: Any, rules: Path) -> Path:
    return answer_lines(
        rules.with_name("whole.jsonl"), {question.id: "The image looks fake." for question in asked.questions}
    )


def test_image_level_questions_alone_have_the_same_interval(rules: Path) -> None:
    """Questions of one image copied ten times over tell no more: the interval stays as wide."""
    from m2f2bench.scoring.intervals import Resampling
    from m2f2bench.scoring.statistic import estimate, mean_of

    rng = np.random.default_rng(3)
    values, cluster = rng.random(40), np.arange(40)
    everything = {"": np.ones(40, dtype=bool)}
    label = np.zeros(40, dtype=np.int64)
    once = estimate({"m": mean_of(values)}, everything, label, cluster, 40, Resampling(500))
    many = estimate(
        {"m": mean_of(np.repeat(values, 10))}, {"": np.ones(400, dtype=bool)}, np.repeat(label, 10),
        np.repeat(cluster, 10), 40, Resampling(500),
    )  # fmt: skip
    assert once.scores[""]["m"].ci == pytest.approx(many.scores[""]["m"].ci, abs=1e-12)
    assert once.scores[""]["m"].value == pytest.approx(float(values.mean()), abs=1e-12)


def test_odd_characters_of_an_explainer_are_stored(rules: Path, tmp_path: Path) -> None:
    found = run_toy(rules, tmp_path / "o", "Odd")["toy_questions.Odd"]
    assert found.statuses == {"ok": 72} and found.metrics["verdict_accuracy"].value == 1.0


def test_without_java_only_what_needs_it_is_missing(tmp_path: Path) -> None:
    """Treebank tokens and METEOR are not to be had; verdicts, consistency, regions and image dependence are."""
    card = tmp_path / "toy.yaml"
    card.write_text(RULES.replace("tokenizer: none", "tokenizer: ptb").replace("[bleu,", "[bleu, meteor,"))
    command = [sys.executable, "-m", "m2f2bench", "run", "-d", f"{TOY}:Looker", "-s", FACES, "-p", str(card)]
    nowhere = tmp_path / "bin"
    nowhere.mkdir()
    there = os.environ | {"PATH": str(nowhere), "M2F2BENCH_CACHE": str(tmp_path / "cache")}
    there.pop("JAVA_HOME", None)
    subprocess.run([*command, "--out", str(tmp_path / "o")], check=True, capture_output=True, env=there)
    folder = tmp_path / "o" / "toy_questions.Looker--toy_questions.Faces--toy"
    found = json.loads((folder / "result.json").read_text())
    for name in ("bleu", "rouge_l", "cider", "meteor"):
        assert found["metrics"][name]["value"] is None and "Java" in found["metrics"][name]["reason"]
    for name in ("verdict_accuracy", "consistency", "region_f1"):
        assert found["metrics"][name]["value"] == 1.0
    assert found["details"]["image_dependence"]["across"]["verdict_accuracy"]["kept"] == 0.0
    assert (folder / "report.html").stat().st_size > 10_000


def test_consistency_is_of_the_whole_image(tmp_path: Path, rules: Path) -> None:
    """P(fake) says nothing of one region, and an answer left out does not take its image's score along."""
    words = ("real", "fake")
    names = [(f"test{i:02d}_{region}", region, i % 2) for i in range(24) for region in ("image", "eyes")]
    texts = {name: f"The {region} looks {words[label]}." for name, region, label in names}
    texts["test01_eyes"] = "The eyes look real."  # in a fake: not against the score of the image
    path = tmp_path / "answers.jsonl"

    def scored(lines: dict[str, str]) -> Result:
        rows = [{"id": name, "text": text, "score": float(int(name[4:6]) % 2)} for name, text in lines.items()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return m2f2bench.score(path, protocol=str(rules), dataset=FACES)

    whole = scored(texts).metrics["consistency"]
    assert whole.value == 1.0 and whole.n_real + whole.n_fake == 24
    less = scored({name: text for name, text in texts.items() if name != "test03_image"})
    assert less.metrics["consistency"].value == 23 / 24, "the score is known from the other answer"
    path.write_text(path.read_text().replace('"score": 0.0', '"score": 0.25', 1))
    with pytest.raises(m2f2bench.M2F2BenchError, match="another one about its image"):
        m2f2bench.score(path, protocol=str(rules), dataset=FACES)


@pytest.mark.parametrize("limit", [6, 8, 12, 24, 48])
def test_a_limit_keeps_both_classes(limit: int) -> None:
    asked = ask("synthetic", "judge", limit=limit)
    share = sum(question.label for question in asked.questions) / len(asked.questions)
    assert len(asked.questions) == limit and 0.75 <= share <= 0.9  # five of six are fake


def test_names_and_mistakes_of_use(cli, one_line, rules: Path, tmp_path: Path) -> None:
    path = answer_lines(tmp_path / "answers.jsonl", {"test00_eyes": "real"})
    assert "slashes" in one_line(cli("score", path, "-p", rules, "-s", FACES, "--name", "a/b", "--out", tmp_path / "o"))
    assert "has no 'nope' for score" in one_line(cli("score", path, "-p", rules, "-s", FACES, "--column", "score=nope"))
    line = one_line(cli("run", "-d", f"{TOY}:Mute", "-s", FACES, "-p", "frame", "-p", rules, "--out", tmp_path / "m"))
    assert "answers no questions" in line and not (tmp_path / "m").exists()


def test_the_controls_of_each_file_are_its_own(cli, rules: Path, tmp_path: Path) -> None:
    one = answer_lines(tmp_path / "one.jsonl", {f"test{i:02d}_image": "The image looks fake." for i in range(24)})
    other = answer_lines(tmp_path / "other.jsonl", {"test00_eyes": "Well."})
    outcome = cli("score", one, other, "-p", rules, "-s", FACES, "--out", tmp_path / "o")
    assert outcome.status == 0, outcome.err
    pages = {name: next((tmp_path / "o").glob(f"{name}--*/report.html")).read_text() for name in ("one", "other")}
    assert "medoid-verdict" in pages["one"] and "medoid-verdict" not in pages["other"]
    assert "medoid-label" in pages["other"]


def test_no_answer_is_no_verdict_by_any_rule(tmp_path: Path) -> None:
    """The letters "real" are missing from a missing answer too: that makes it no right "fake"."""
    card = tmp_path / "toy.yaml"
    card.write_text(RULES.replace("tokenizer: none", "tokenizer: none\nverdict: substring"))
    path = answer_lines(tmp_path / "answers.jsonl", {f"test{i:02d}_image": "It is real." for i in range(0, 24, 2)})
    found = m2f2bench.score(path, protocol=str(card), dataset=FACES)
    assert found.metrics["verdict_accuracy"].value == 12 / 72 and found.metrics["verdict_none_rate"].value == 60 / 72
    assert found.metrics["verdict_f1"].value == 0.0
