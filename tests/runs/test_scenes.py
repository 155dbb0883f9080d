"""Whole scenes and remarks: what is said before frames are judged or learned from, and what a result keeps."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_layout import write_cards, write_root
from toy_questions import RULES, Looker

import m2f2bench
from m2f2bench.cards.folders import CARDS_VARIABLE, DATA_VARIABLE

SCENES = "toy-c23: the frames are whole scenes, not crops of faces, and these numbers cannot be compared with"
REMARK = "toy-c23, train: 1 line with the label Unknown is left out"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CARDS_VARIABLE, str(write_cards(tmp_path / "cards")))
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    return write_root(tmp_path / "toy")


def said(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno >= level]


def test_scenes_are_said_once_before_judging_and_kept(
    place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "m2f2bench"):
        done = m2f2bench.run(
            detectors=["constant", "random"], datasets="toy-c23", protocols=["frame", "video"], out=tmp_path / "out"
        )
    warned = said(caplog, logging.WARNING)
    assert [line for line in warned if "scenes" in line] == [warned[0]] and warned[0].startswith(SCENES)
    assert all(result.warnings[-1].startswith("the frames are whole scenes") for result in done)
    assert REMARK not in said(caplog)
    again = m2f2bench.run(detectors="random", datasets="toy-c23", protocols=["frame"], out=tmp_path / "out")
    assert sum("scenes" in line for line in again[0].warnings) == 1


def test_remarks_are_logged_for_the_split_that_is_read(
    place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "m2f2bench"):
        m2f2bench.run(
            detectors="constant", datasets="toy-c23", protocols=["frame", "video"], split="train", out=tmp_path / "out"
        )
    assert said(caplog).count(REMARK) == 1
    caplog.clear()
    with caplog.at_level(logging.INFO, "m2f2bench"):
        m2f2bench.audit("toy-c23", probe=False, frames_per_video=1)
    assert said(caplog).count(REMARK) == 1 and not any("scenes" in line for line in said(caplog, logging.WARNING))


def test_training_says_both(place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "m2f2bench"):
        m2f2bench.train("frequency", "toy-c23", out=tmp_path / "trained")
    assert said(caplog).count(REMARK) == 1
    assert sum(line.startswith(SCENES) for line in said(caplog, logging.WARNING)) == 1


@pytest.mark.parametrize(("width", "warned"), [(200, True), (96, False)])
def test_wide_pictures_without_a_card(
    width: int, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, level in (("real", 60), ("fake", 90)):
        (tmp_path / "plain" / name).mkdir(parents=True)
        for i in range(4):
            pixels = np.full((96, width, 3), level + i, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "plain" / name / f"{i}.png")
    with caplog.at_level(logging.INFO, "m2f2bench"):
        m2f2bench.run(detectors="constant", datasets=tmp_path / "plain", out=tmp_path / "out")
    lines = [line for line in said(caplog, logging.WARNING) if "crops of one face" in line]
    assert len(lines) == warned
    if warned:
        assert lines[0].startswith("plain: 4 of 4 frames looked at are probably not crops of one face")


@pytest.mark.slow
def test_answers_about_scenes_keep_the_warning(tmp_path: Path) -> None:
    (tmp_path / "faces.py").write_text("from toy_questions import Faces\n\n\nclass Mine(Faces):\n    pass\n")
    (tmp_path / "toy.yaml").write_text(RULES)
    for shows in ("scenes", "crops"):
        card = tmp_path / f"toy-{shows}.yaml"
        card.write_text(f"name: toy-{shows}\nadapter: faces.py:Mine\nshows: {shows}\n")
        done = m2f2bench.run(
            detectors=[Looker()], datasets=str(card), protocols=str(tmp_path / "toy.yaml"), out=tmp_path / "out"
        )
        assert len(done) > 1  # the explainer's, and those of controls
        for result in done:
            said = [line for line in result.warnings if line.startswith("the frames are whole scenes")]
            assert len(said) == (shows == "scenes"), result.detector
