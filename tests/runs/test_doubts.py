"""D4, D1: doubts about a run's numbers are printed, and stored in the result."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_plugins_hostile import GOOD, plugin

import m2f2bench
from m2f2bench.core.records import Score
from m2f2bench.inference.predict import scene_note
from m2f2bench.results.result import Result
from m2f2bench.results.stored import INVERTED
from m2f2bench.scoring.detection import polarity

FLIP = """m = np.mean([i.mean() for i in images])
        return [float(1 / (1 + np.exp(-(i.mean() - m) / 20))) for i in images]"""
DRAWN = "return list(np.random.default_rng().uniform(0.2, 0.8, len(images)))"
ALONE = """if len(images) == 1: raise ValueError('one image')
        return [float(image.mean()) / 255 for image in images]"""
NOISY = "return [float(image.mean()) / 255 + len(images) * 1e-6 for image in images]"


def result(place: Path) -> dict:
    (path,) = place.glob("*/result.json")
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (FLIP, "the scores depend on the other frames of the batch, and so on --batch-size: P(fake) of frame"),
        (DRAWN, "the scores are not repeatable: P(fake) of frame"),
        (GOOD, ""),
        (NOISY, ""),
    ],
    ids=["batch", "chance", "honest", "rounding"],
)
@pytest.mark.parametrize("size", [32, 1])
def test_d4_a_score_that_is_not_the_frames_alone_is_said(
    cli, squares: Path, tmp_path: Path, body: str, told: str, size: int
) -> None:
    words = ("run", "-d", plugin(tmp_path, body), "-s", squares, "--out", tmp_path / "o", "--batch-size", str(size))
    first = cli(*words)
    found = result(tmp_path / "o")
    if told:
        assert any(one.startswith(told) for one in found["warnings"]) and told in first.err
    else:
        assert "warnings" not in found and "batch" not in first.err and "repeatable" not in first.err
    if size == 32:
        # The rows are what they are without it, and a repeated run, which judges nothing, says the same.
        again = cli(*words)
        assert result(tmp_path / "o") == found
        scored = cli("score", next((tmp_path / "o").glob("*/")))
        for text in (again.err, scored.out):
            assert told in text if told else "batch" not in text and "repeatable" not in text


def test_d4_what_fails_alone_is_said(cli, squares: Path, tmp_path: Path) -> None:
    assert cli("run", "-d", plugin(tmp_path, ALONE), "-s", squares, "--out", tmp_path / "o").status == 0
    assert "warnings" not in result(tmp_path / "o")  # no score to hold against: it is an error of that frame alone


def test_d4_nothing_is_judged_again_that_is_on_disk(cli, squares: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    body = f"open({str(log)!r}, 'a').write('x' * len(images))\n        {GOOD}"
    words = ("run", "-d", plugin(tmp_path, body), "-s", squares, "--out", tmp_path / "o")
    cli(*words)
    assert len(log.read_text()) == 48 + 4
    cli(*words)
    assert len(log.read_text()) == 48 + 4


def test_d4_scores_that_look_turned_round_are_said(cli, squares: Path, tmp_path: Path) -> None:
    turned = "return [1 - float(image.mean()) / 255 for image in images]"
    outcome = cli("run", "-d", plugin(tmp_path, turned), "-s", squares, "--out", tmp_path / "o")
    (line,) = [line for line in outcome.err.splitlines() if INVERTED in line]
    assert "is below chance; if they are P(real), give 1 - score" in line
    assert INVERTED in result(tmp_path / "o")["warnings"][0]
    rows = tmp_path / "rows.csv"
    draw = np.random.default_rng(0)
    labels = np.arange(200) % 2
    scores = np.clip(0.5 + 0.2 * (1 - 2 * labels) + draw.normal(0, 0.2, 200), 0, 1)
    rows.write_text(
        "id,label,score\n" + "".join(f"{i},{y},{s}\n" for i, (y, s) in enumerate(zip(labels, scores, strict=True)))
    )
    assert INVERTED in cli("score", rows).out
    assert INVERTED in json.loads(cli("score", rows, "--json").out)["warnings"][0]
    rows.write_text(
        "id,label,score\n" + "".join(f"{i},{y},{1 - s}\n" for i, (y, s) in enumerate(zip(labels, scores, strict=True)))
    )
    assert INVERTED not in cli("score", rows).out


def test_d4_an_auc_that_is_a_little_or_not_surely_below_chance_is_no_sign() -> None:
    for value, ci, told in (
        (0.2, (0.1, 0.3), True), (0.2, (0.1, 0.5), False), (0.47, (0.46, 0.48), False), (0.2, None, False),
        (None, None, False), (0.9, (0.8, 1.0), False),
    ):  # fmt: skip
        assert bool(polarity(Score(value, 9, 9, ci))) == told
    assert polarity(None) == []


def test_d4_a_result_keeps_its_warnings() -> None:
    plain = m2f2bench.score
    assert callable(plain)
    made = Result("d", "s", "test", "frame", {}, {}, 1.0, {}, "sig", {}, warnings=("one", "two"))
    assert Result.from_json(json.loads(json.dumps(made.to_json()))) == made
    assert "warnings" not in Result("d", "s", "test", "frame", {}, {}, 1.0, {}, "sig", {}).to_json()


def test_d1_predict_says_that_no_face_was_looked_for(cli, tmp_path: Path) -> None:
    for name, shape in (("crop", (300, 300)), ("scene", (720, 1280)), ("large", (1200, 1100))):
        Image.fromarray(np.zeros((*shape, 3), np.uint8)).save(tmp_path / f"{name}.png")
    outcome = cli("predict", "--no-faces", tmp_path, "-d", "constant", "--json")
    assert len(json.loads(outcome.out)) == 3
    note, scenes = outcome.err.strip().splitlines()
    assert "no face was searched for: a score is meaningless unless the image is the crop of one face" in note
    assert (
        "2 of 3 files are probably not crops of one face, judging by size: first" in scenes
        and "(1100×1200 pixels)" in scenes
    )
    one = cli("predict", "--no-faces", tmp_path / "crop.png", "-d", "constant")
    assert len(one.err.strip().splitlines()) == 1
    assert scene_note({}) == ""


def test_d1_a_map_that_is_scaled_to_its_own_maximum_says_so(tmp_path: Path) -> None:
    from m2f2bench.reporting.figures.overlay import Panel, draw_overlays

    image = np.zeros((64, 64, 3), np.uint8)
    for top, said in ((1.0, True), (0.6, False)):
        heat = np.linspace(0, top, 16, dtype=np.float32).reshape(4, 4)
        panel = Panel(image, heat, (0.0, 0.0, 1.0, 1.0), 0.1)
        draw_overlays([panel], tmp_path / "x.png", title="x", foot=["y"])
        with Image.open(tmp_path / "x.png") as drawn:
            assert ("scaled to its own maximum" in drawn.info["Description"]) == said


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        ("35 0.5 97", "divide it by 100: it looks like a percentage"),
        ("-0.6 0.2 1.7", "apply a sigmoid or softmax: it looks like a logit"),
        ("0.2 3.1 4", "apply a sigmoid or softmax if it is a logit, or divide it by 100 if it is a percentage"),
        ("0.2 0.9 1.00005", "rounding moved it out of range: clip it to [0, 1]"),
        ("0.2 0.9 35%", "is wanted, or a status other than ok"),
    ],
)
def test_d4_rows_that_are_no_probabilities_name_the_likely_cause(
    cli, one_line, tmp_path: Path, scores: str, told: str
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("id,label,score\n" + "".join(f"{i},{i % 2},{s}\n" for i, s in enumerate(scores.split())))
    assert told in one_line(cli("score", rows))
