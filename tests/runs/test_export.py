"""`run --export m2f2`: exactly the published format, and the same numbers when it is scored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from toy_questions import FACES, RULES, TOY

import m2f2bench
from m2f2bench.core.errors import CardError
from m2f2bench.core.records import Frame, Locator
from m2f2bench.runs.answers import EXPLANATIONS, JUDGEMENTS, image_name

ASKING = TOY.with_name("toy_asking.py")
JUDGED = RULES.replace("[blind]", "[judge, blind]")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    path = tmp_path / "toy.yaml"
    path.write_text(JUDGED)
    return path


@pytest.mark.parametrize("data", [FACES, f"{ASKING}:Judged"])
def test_scored_again_the_numbers_are_the_same(cli, judged: Path, tmp_path: Path, data: str) -> None:
    """Also for frames whose ids are not file names, and for questions without an answer."""
    found = m2f2bench.run(
        detectors=f"{ASKING}:Together", datasets=data, protocols=str(judged), out=tmp_path / "out", export="m2f2"
    )
    result, place = found[0], found.folders[0]
    assert result.statuses == {"ok": 92, "error": 4}
    det, exp = lines(place / JUDGEMENTS), lines(place / EXPLANATIONS)
    assert [len(det), len(exp)] == [24, 72]
    assert {tuple(row) for row in det} == {("image", "prompt", "text", "metadata")}
    assert {tuple(row) for row in exp} == {("key", "image", "prompt", "text", "metadata")}
    assert exp[0]["text"] == "" and exp[0]["metadata"] == {
        "m2f2bench": {"status": "error", "message": "refused: too dark", "score": 0.1}
    }
    assert exp[5]["metadata"]["m2f2bench"] == {
        "message": "cut off after 7 new tokens", "score": 0.9, "seconds": 0.5, "tokens_in": 100, "tokens_out": 7,
        "cost": 0.25,
    }  # fmt: skip
    assert det[0]["prompt"] == "Determine the authenticity. Is the image real or fake?"
    words = ["--together", "-p", judged, "-s", data, "--name", result.detector]
    outcome = cli("score", place / JUDGEMENTS, place / EXPLANATIONS, *words, "--json")
    assert outcome.status == 0, outcome.err
    again = json.loads(outcome.out)
    wanted = json.loads((place / "result.json").read_text())
    known_to_runs = ("signature", "measured", "detector_card", "training_datasets", "predicted")
    for part in wanted.keys() - set(known_to_runs):
        assert again[part] == wanted[part], part
    controls = [folder for result, folder in zip(found, found.folders, strict=True) if "control-" in result.detector]
    assert controls and all((folder / EXPLANATIONS).is_file() for folder in controls)


@pytest.mark.slow
def test_what_is_of_an_earlier_export_goes(judged: Path, rules: Path, tmp_path: Path) -> None:
    rules.write_text(RULES)
    words: dict[str, Any] = {"detectors": f"{TOY}:Looker", "datasets": FACES, "out": tmp_path / "out"}
    place = m2f2bench.run(protocols=str(rules), export="m2f2", **words).folders[0]
    assert (place / EXPLANATIONS).is_file() and not (place / JUDGEMENTS).exists()
    first = (place / EXPLANATIONS).read_bytes()
    (place / JUDGEMENTS).write_text("old")
    m2f2bench.run(protocols=str(rules), export="m2f2", **words)
    assert (place / EXPLANATIONS).read_bytes() == first and not (place / JUDGEMENTS).exists()
    assert lines(place / EXPLANATIONS)[0]["metadata"] == {"m2f2bench": {"score": 0.1}}
    plain = m2f2bench.run(protocols=str(rules), detectors=f"{TOY}:Looker", datasets=FACES, out=tmp_path / "plain")
    assert not (plain.folders[0] / EXPLANATIONS).exists(), "only where it is asked for"


def test_refusals_come_before_any_work(cli, one_line, squares: Path, rules: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    words = ("run", "-d", "constant", "-s", squares, "--out", out, "--export")
    assert "is for answers to questions" in one_line(cli(*words, "m2f2"))
    assert "did you mean 'm2f2'" in one_line(cli(*words, "m2f3"))
    with pytest.raises(CardError, match="cannot export to 'csv'; known: m2f2"):
        m2f2bench.run(detectors=f"{TOY}:Looker", datasets=FACES, protocols=str(rules), out=out, export="csv")
    assert not out.exists()


def test_odd_texts_stand_on_one_line(rules: Path, tmp_path: Path) -> None:
    place = m2f2bench.run(
        detectors=f"{TOY}:Odd", datasets=FACES, protocols=str(rules), out=tmp_path / "o", export="m2f2"
    ).folders[0]
    raw = (place / EXPLANATIONS).read_bytes()
    assert raw.count(b"\n") == 72 and raw.isascii() and lines(place / EXPLANATIONS)[0]["text"].endswith("?\r\u2028\x00")


def test_how_an_image_is_named() -> None:
    def frame(id_: str, path: str, key: str | None = None, index: int | None = None) -> Frame:
        return Frame(id_, id_, 0, "original", "test", (), Locator(path, key, index))

    own = frame("5_056", "/data/DDVQA_images/c40/test/5_056.jpg")
    assert image_name(own, Path("/data")) == "5_056.jpg"
    assert image_name(own, Path("/data"), whole=True) == "./DDVQA_images/c40/test/5_056.jpg"
    assert image_name(own, None, whole=True) == "/data/DDVQA_images/c40/test/5_056.jpg"
    assert image_name(frame("real/00", "/data/real/00.png"), Path("/data"), whole=True) == "real/00"
    assert image_name(frame("000", "/data/000.h5", "000", 7), Path("/data"), whole=True) == "000"


def test_two_judgements_of_one_picture_have_keys(judged: Path, tmp_path: Path, cli) -> None:
    source = tmp_path / "twice.py"
    source.write_text(
        f"import sys\nfrom dataclasses import replace\nsys.path.insert(0, {str(TOY.parent)!r})\n"
        "from toy_questions import Faces\n"
        "class Twice(Faces):\n"
        "    def questions(self, split, kind='blind'):\n"
        "        found = super().questions(split, kind)\n"
        "        return found + ([replace(found[0], id='more')] if kind == 'judge' else [])\n"
    )
    found = m2f2bench.run(
        detectors=f"{TOY}:Looker", datasets=f"{source}:Twice", protocols=str(judged), out=tmp_path / "o", export="m2f2"
    )
    place = found.folders[0]
    keys = [row.get("key") for row in lines(place / JUDGEMENTS)]
    assert [key for key in keys if key] == ["test00_judge", "more"] and len(keys) == 25
    words = ["--together", "-p", judged, "-s", f"{source}:Twice", "--json"]
    again = json.loads(cli("score", place / JUDGEMENTS, place / EXPLANATIONS, *words).out)
    assert again["coverage"] == 1.0
    assert again["metrics"]["bleu"] == json.loads((place / "result.json").read_text())["metrics"]["bleu"]


@pytest.mark.slow
def test_on_the_real_files_it_is_the_published_form(real_data: Path, tmp_path: Path) -> None:
    """Lines of questions that the published files answer have their keys, in their order, and their images."""
    base = real_data / "ddvqa"
    published = [lines(base / "outputs" / f"DDVQA_{name}_c40.jsonl") for name in ("det", "exp")]
    source = tmp_path / "knows.py"
    source.write_text(
        "class Knows:\n"
        "    def predict(self, images):\n        return [0.5] * len(images)\n"
        "    def explain(self, images, questions):\n        return ['The image is fake.'] * len(images)\n"
    )
    found = m2f2bench.run(
        detectors=f"{source}:Knows", datasets="ddvqa-c40", protocols="m2f2-released", limit=6, out=tmp_path / "o",
        export="m2f2",
    )  # fmt: skip
    place = found.folders[0]
    theirs = {row["key"]: row for row in published[1]}
    for row in lines(place / EXPLANATIONS):
        wanted = theirs[row["key"]]
        assert list(row) == list(wanted) and row["image"] == wanted["image"]
        assert row["prompt"] in wanted["prompt"]
    images = {row["image"].removeprefix("./utils") for row in published[0]}
    own = lines(place / JUDGEMENTS)
    assert len(own) == 6 and {row["image"].removeprefix(".") for row in own} <= images
    assert [list(row) for row in own] == [list(published[0][0])] * 6


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ({"status": "fine"}, "hold status 'fine'"),
        ({"message": 3}, "hold message 3"),
        ({"seconds": -1}, "hold seconds -1"),
        ({"text": "y"}, "hold text 'y'"),
        ({"score": 2}, "its score is 2"),
    ],
)
def test_metadata_that_are_not_ours(cli, one_line, rules: Path, tmp_path: Path, known: Any, told: str) -> None:
    line = {"key": "test00_eyes", "image": "x", "prompt": "?", "text": " <s> y</s>", "metadata": {"m2f2bench": known}}
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(line))
    words = ("score", path, "-p", rules, "-s", FACES, "--json")
    assert told in one_line(cli(*words))
    path.write_text(json.dumps({**line, "metadata": {"score": "somebody's own"}}))
    assert json.loads(cli(*words).out)["statuses"] == {"ok": 1, "missing": 71}
