"""Files of answers: the published files, user mistakes, hostile texts, missing answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_questions import FACES, RULES, TOY, answer_lines, run_toy

import m2f2bench
from m2f2bench.results.result import Result

PUBLISHED = ("DDVQA_det_c40.jsonl", "DDVQA_exp_c40.jsonl")


@pytest.mark.slow
def test_the_published_figures(cli, real_data: Path) -> None:
    """The published answers give the published numbers, to the last digit, under the protocol named for it."""
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


@pytest.mark.slow
def test_each_published_file_alone(cli, real_data: Path) -> None:
    """A kind of questions without any answer is not measured, and is counted."""
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


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            '{"id": "test00_eye", "text": "x"}\n',
            ["answer 1", "'test00_eye' is no question", "mean 'test00_eyes'"],
        ),
        ('{"id": "test00_eyes", "text": "x"}\n' * 2, ["answer 2", "already has an answer", "answer 1"]),
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
    assert "name the protocol of their questions" in one_line(cli("score", path))
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


@pytest.mark.slow
def test_hostile_texts(rules: Path, tmp_path: Path) -> None:
    """Every text is an answer, nothing is dropped, and missing answers count as wrong."""
    path = answer_lines(tmp_path / "answers.jsonl", HOSTILE)
    found = m2f2bench.score(path, protocol=str(rules), dataset=FACES)
    assert found.statuses == {"ok": 8, "missing": 64} and found.coverage == 8 / 72
    assert found.metrics["bleu"].n_real + found.metrics["bleu"].n_fake == 72
    none = found.metrics["verdict_none_rate"].value
    assert none is not None and none >= 64 / 72
    assert all(score.value is not None for score in (found.metrics["rouge_l"], found.metrics["cider"]))


@pytest.mark.slow
@pytest.mark.usefixtures("java")
def test_hostile_texts_through_java(tmp_path: Path) -> None:
    """The same with the Treebank tokenizer and METEOR, which read line by line."""
    card = tmp_path / "toy.yaml"
    card.write_text(RULES.replace("tokenizer: none", "tokenizer: ptb").replace("[bleu,", "[bleu, meteor,"))
    short = {key: text[:2_000] for key, text in HOSTILE.items()}
    path = answer_lines(tmp_path / "answers.jsonl", short | {"test08_eyes": "The eyes looks real. All is well."})
    found = m2f2bench.score(path, protocol=str(card), dataset=FACES)
    alone = answer_lines(tmp_path / "alone.jsonl", {"test08_eyes": "The eyes looks real. All is well."})
    without = m2f2bench.score(alone, protocol=str(card), dataset=FACES)
    eyes = [one.regions["eyes"]["meteor"].value for one in (found, without)]
    assert None not in eyes and found.coverage == 9 / 72


def test_consistency_is_of_the_whole_image(tmp_path: Path, rules: Path) -> None:
    """P(fake) says nothing about one region, and the score of an image remains if one of its answers is left out."""
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
    with pytest.raises(m2f2bench.M2F2BenchError, match="but another question about the same image has"):
        m2f2bench.score(path, protocol=str(rules), dataset=FACES)


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
    """A missing answer does not contain "real": it must not count as a correct "fake"."""
    card = tmp_path / "toy.yaml"
    card.write_text(RULES.replace("tokenizer: none", "tokenizer: none\nverdict: substring"))
    path = answer_lines(tmp_path / "answers.jsonl", {f"test{i:02d}_image": "It is real." for i in range(0, 24, 2)})
    found = m2f2bench.score(path, protocol=str(card), dataset=FACES)
    assert found.metrics["verdict_accuracy"].value == 12 / 72 and found.metrics["verdict_none_rate"].value == 60 / 72
    assert found.metrics["verdict_f1"].value == 0.0


def test_a_detector_named_for_its_maps_has_to_make_some(cli, one_line, rules: Path, tmp_path: Path) -> None:
    path = answer_lines(tmp_path / "answers.jsonl", {"test00_eyes": "real"})
    line = one_line(cli("report", path, "-p", rules, "-s", FACES, "-d", "constant", "--out", tmp_path / "page.html"))
    assert "makes no heat maps" in line and not (tmp_path / "page.html").exists()
    outcome = cli("report", path, "-p", rules, "-s", FACES, "--out", tmp_path / "page.html")
    assert outcome.status == 0 and "test00_eyes" in (tmp_path / "page.html").read_text()


def test_a_result_whose_card_is_none_is_told_in_one_line(cli, one_line, rules: Path, tmp_path: Path) -> None:
    run_toy(rules, tmp_path / "out", "Looker")
    place = tmp_path / "out" / "toy_questions.Looker--toy_questions.Faces--toy" / "result.json"
    place.write_text(place.read_text().replace('"references": "all"', '"references": "some"'))
    assert "protocol_card: key 'references'" in one_line(cli("score", place.parent, "-s", FACES))


@pytest.mark.parametrize("word", ["--together", "--controls"])
def test_what_is_for_answers_is_not_passed_over_for_rows(cli, one_line, tmp_path: Path, word: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,label,score\na,0,.1\nb,1,.9\n")
    assert "are only for answers to questions" in one_line(cli("score", path, word))
