"""The demo in a real browser: two visitors, photos, videos, questions, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from demo_scenes import video
from demo_visitor import PHONE, Visitor
from face_scenes import background
from PIL import Image as Pillow
from toy_demo import Speaker

pytestmark = pytest.mark.slow


def test_two_faces_have_boxes_verdicts_maps_and_words_that_stream(visitor: Visitor, photo: Path) -> None:
    visitor.come()
    visitor.give(photo)
    visitor.until("#m2-said .m2-face:nth-of-type(2)", "Face 2")
    said = visitor.text("#m2-said")
    assert said.count("P(fake) 0.") == 4 and "Face 3" not in said and "no probability" in said
    visitor.until("#m2-boxes img")
    maps = visitor.until("#m2-maps", "Speaker: heat map, relative within this picture")
    assert "Brightness" not in maps.get_attribute("textContent")

    question = visitor.page.one("#m2-question textarea")
    assert question.get_attribute("value") == "Determine the authenticity. Is the image real or fake?"
    Speaker.go.clear()
    visitor.press("#m2-question button")
    visitor.until("#m2-chat", "First words")
    assert "brightness" not in visitor.text("#m2-chat")  # the rest is not said yet
    Speaker.go.set()
    first = visitor.until("#m2-chat", "to <b>Determine the authenticity").get_attribute("textContent")
    question.clear()
    question.send_keys("And the nose?")
    visitor.press("#m2-question button")
    visitor.until("#m2-chat", "to <b>And the nose?</b>")
    again = re.findall(r"of brightness (\d+)", visitor.text("#m2-chat"))
    assert len(again) == 2 and set(again) == set(re.findall(r"of brightness (\d+)", first))  # the same picture
    visitor.press("#m2-regions button, button#m2-regions")
    visitor.until("#m2-chat", "to <b>Does the person's mouth look real/fake?</b>")
    visitor.shot("photo")

    visitor.press("#m2-face input[value='2']")
    question.clear()
    question.send_keys("And the other one?")
    visitor.press("#m2-question button")
    text = visitor.until("#m2-chat", "to <b>And the other one?</b>").get_attribute("textContent")
    brightness = float(re.findall(r"of brightness (\d+)", text)[-1])
    second = re.findall(r"Brightness.*?P\(fake\) (0\.\d+)", said)[1]
    assert brightness / 255 == pytest.approx(float(second), abs=0.003)
    assert visitor.asked_elsewhere() == []


def test_a_video_is_a_curve_with_its_surest_frames(visitor: Visitor, tmp_path: Path) -> None:
    path = video(tmp_path / "clip.mp4")
    visitor.come()
    visitor.page.js(
        "[...document.querySelectorAll('button[role=tab]')].find(b => b.textContent.trim() == 'Video').click()"
    )
    visitor.give(path, "#m2-video")
    visitor.until("#m2-filmed .m2-curve polyline")
    lines = visitor.page.driver.find_elements("css selector", "#m2-filmed .m2-curve polyline")
    assert len(lines) == 4  # two people, two detectors
    assert len(visitor.page.driver.find_elements("css selector", "#m2-filmed .m2-curve circle")) == 64
    assert "10.0 s" in visitor.text("#m2-filmed") and "mean P(fake)" in visitor.text("#m2-filmed")
    visitor.until("#m2-surest", "P(fake)")
    visitor.shot("video")


def test_what_cannot_be_judged_is_one_line(visitor: Visitor, tmp_path: Path) -> None:
    Pillow.fromarray(np.zeros((5000, 8000, 3), np.uint8)).save(tmp_path / "large.jpg")
    (tmp_path / "text.jpg").write_text("this is no picture")
    empty = background(np.random.default_rng(1), kind="gradient")
    Pillow.fromarray(empty).save(tmp_path / "empty.jpg")
    lines = {
        "large": "the picture has 40.0 megapixels, and this demo takes at most 30: make it smaller",
        "text": "the file is no picture that can be judged",
        "empty": "no face was found in this picture (640×480): nothing is judged",
    }
    visitor.come()
    for name, line in lines.items():
        visitor.give(tmp_path / f"{name}.jpg")
        told = visitor.until("#m2-said .m2-trouble", line).get_attribute("textContent")
        assert "\n" not in told.strip() and len(told) < 200
        assert not visitor.page.driver.find_elements("css selector", "#m2-said .m2-face")
    visitor.shot("refused")


def test_an_example_and_a_phone(visitor: Visitor) -> None:
    visitor.come(PHONE)
    visitor.press("#m2-examples button img")
    visitor.until("#m2-said .m2-face:nth-of-type(2)")
    visitor.until("#m2-maps img")
    visitor.shot("phone")
    assert visitor.page.js("return document.documentElement.scrollWidth") <= PHONE[0]


def test_two_visitors_at_once_have_their_own_faces(visitor: Visitor, photo: Path, tmp_path: Path) -> None:
    dark = (np.asarray(Pillow.open(photo)) * 0.6).astype(np.uint8)
    Pillow.fromarray(dark).save(tmp_path / "dark.png")
    Speaker.go.set()
    said = []
    visitor.come()
    with visitor.another() as other:
        other.come()
        other.give(tmp_path / "dark.png")
        visitor.turn()
        visitor.give(photo)
        for one in (visitor, other):
            one.turn()
            one.until("#m2-said .m2-face:nth-of-type(2)")
            one.press("#m2-question button")
        for one in (visitor, other):
            one.turn()
            text = one.until("#m2-chat", "to <b>Determine").get_attribute("textContent")
            said.append(float(re.findall(r"of brightness (\d+)", text)[0]))
    assert said[1] == pytest.approx(0.6 * said[0], abs=3)
