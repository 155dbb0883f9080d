"""The demo without a browser: its interface for programs, its limits, and what it tells."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from demo_scenes import two_faces
from PIL import Image as Pillow
from toy_demo import Brightness, Broken, Speaker

from m2f2bench.core.errors import DataError, DetectorError
from m2f2bench.demo.drawing import SHOWN, boxed, curve, mapped
from m2f2bench.demo.filming import measured
from m2f2bench.demo.judging import Panel
from m2f2bench.demo.serve import imported
from m2f2bench.demo.words import meaning


@pytest.fixture(scope="module")
def panel() -> Panel:
    return Panel.of([Speaker(), Brightness(), Broken()])


@pytest.fixture(scope="module")
def client(address: str) -> Any:
    from gradio_client import Client

    return Client(address, verbose=False)


def test_faces_are_judged_by_all_and_one_failure_is_one_line(panel: Panel) -> None:
    people = panel.judge(two_faces())
    assert [one.face.centre[0] for one in people] == pytest.approx([165, 470], abs=30)
    for one in people:
        brightness = one.found["Brightness"].crop.image.mean() / 255
        assert one.verdicts["Brightness"].score == pytest.approx(brightness)
        assert one.verdicts["Speaker"].score == pytest.approx(1 - brightness)
        assert one.verdicts["Broken"].message == "RuntimeError: out of order"
        assert one.verdicts["Broken"].word == "no verdict"


def test_a_map_lies_on_the_faces_alone(panel: Panel) -> None:
    picture = two_faces()
    people = panel.judge(picture, ["Speaker"])
    drawn = mapped(picture, people, "Speaker")
    assert drawn is not None and drawn.shape == picture.shape
    coloured = drawn.max(axis=2).astype(int) - drawn.min(axis=2) > 20
    for one in people:
        x0, y0, x1, y1 = (round(edge) for edge in one.face.within(640, 480))
        assert coloured[y0:y1, x0:x1].mean() > 0.95
        left, right = drawn[y0:y1, x0 : (x0 + x1) // 2 - 20], drawn[y0:y1, (x0 + x1) // 2 + 20 : x1]
        assert left[..., 2].mean() > left[..., 1].mean() and right[..., 1].mean() > right[..., 2].mean()
    assert not coloured[:60].any() and not coloured[:, 300:340].any()


def test_a_large_picture_is_shown_smaller_with_boxes_in_place(panel: Panel) -> None:
    large = np.asarray(Pillow.fromarray(two_faces()).resize((2560, 1920)))
    people = panel.judge(large, ["Speaker"])
    assert boxed(large, people).shape == (SHOWN * 3 // 4, SHOWN, 3)
    assert np.any(boxed(large, people) != boxed(large, []))


def test_refusals_are_one_line(panel: Panel, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(DataError, match=r"^the file is no picture that can be judged"):
        panel.read(tmp_path / "text.jpg")
    with pytest.raises(DataError, match=r"^the file is no video that can be judged"):
        measured(tmp_path / "text.mp4")
    with pytest.raises(DataError, match=r"^no face was found in this picture \(320×240\)"):
        panel.judge(np.full((240, 320, 3), 90, np.uint8))
    with pytest.raises(DetectorError, match=r"^the demo has no detector 'x'"):
        panel.chosen(["x"])
    with pytest.raises(DataError, match=r"^two detectors are named 'Speaker'"):
        Panel.of([Speaker(), Speaker()])


def test_without_gradio_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(DetectorError, match=r"pip install 'm2f2bench\[demo\]'") as failure:
        imported()
    assert "\n" not in str(failure.value)


def test_every_score_has_a_meaning_and_names_are_escaped() -> None:
    assert "no answer" in meaning(0.5) and "forged" in meaning(1.0) and "real" in meaning(0.0)
    drawn = curve({"<b>": [(0.0, 0.0), (2.0, 1.0)]}, 2.0)
    assert "<b>" not in drawn and drawn.count("<circle") == 2 and "2.0 s" in drawn


@pytest.mark.slow
def test_a_program_judges_and_asks(client: Any, photo: Path) -> None:
    from gradio_client import handle_file

    assert set(client.view_api(return_format="dict", print_info=False)["named_endpoints"]) == {
        "/judge",
        "/film",
        "/ask",
    }
    found = client.predict(handle_file(photo), ["Speaker"], api_name="/judge")
    assert (found["width"], found["height"], len(found["faces"])) == (640, 480, 2)
    assert list(found["faces"][0]["detectors"]) == ["Speaker"]
    Speaker.go.clear()
    job = client.submit(handle_file(photo), "Is it real?", 2, api_name="/ask")
    assert next(iter(job)) in ("First", "First words")  # the rest is not said yet
    Speaker.go.set()
    assert job.result(60).endswith("to <b>Is it real?</b>")


def test_a_program_gets_an_error_in_one_line(client: Any, photo: Path, tmp_path: Path) -> None:
    from gradio_client import handle_file
    from gradio_client.exceptions import AppError

    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(AppError, match="the file is no picture that can be judged"):
        client.predict(handle_file(tmp_path / "text.jpg"), [], api_name="/judge")
    with pytest.raises(AppError, match="there is no face 3: the picture has 2"):
        client.predict(handle_file(photo), "Why?", 3, api_name="/ask")
