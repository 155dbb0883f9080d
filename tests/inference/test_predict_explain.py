"""`predict --explain`: questions about single images and videos."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from m2f2bench.inference.predict import predict_paths
from m2f2bench.inference.questions import QUESTIONS, transcript

PLUG = '''
import numpy as np
from m2f2bench.detectors.base import Detector, Explainer, Localizer
from m2f2bench.core.records import Reply

class Plain:
    """P(fake) is how bright a picture is; says so, and notes how often it is called."""
    calls = {"predict": 0, "explain": 0}
    def predict(self, images):
        self.calls["predict"] += len(images)
        return [float(image.mean()) / 255 for image in images]
    def explain(self, images, questions):
        self.calls["explain"] += 1
        return [f"{q} It is {image.mean():.0f} bright.\\n\\x1b[31mYes" for image, q in zip(images, questions)]

class Map(Plain):
    def heatmap(self, images):
        return np.full((len(images), 4, 4), 0.5, np.float32)

class Scored(Plain):
    scores_with_answers = True
    questions_at_once = 5
    calls = {"predict": 0, "explain": 0}
    def explain(self, images, questions):
        texts = super().explain(images, questions)
        return [self.reply(image, text) for image, text in zip(images, texts)]
    def reply(self, image, text):
        return Reply(text, "cut off", round(float(image.mean()) / 255, 4), tokens_in=3)

class Voice(Scored):
    """Has no P(fake)."""
    def predict(self, images):
        raise AssertionError("no P(fake)")
    def reply(self, image, text):
        if image.mean() > 240:
            return Reply("", error="refused")
        return Reply(text)

class Fussy(Plain):
    def explain(self, images, questions):
        if images[0].mean() > 240:
            raise RuntimeError("too bright")
        return super().explain(images, questions)
'''


@pytest.fixture
def plug(tmp_path: Path) -> str:
    (tmp_path / "plug.py").write_text(PLUG)
    yield str(tmp_path / "plug.py")
    for name in [
        name for name, module in sys.modules.items() if getattr(module, "__file__", "") == f"{tmp_path}/plug.py"
    ]:
        del sys.modules[name]


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Images of brightness 50, 100, 200 and one broken image, among other files."""
    root = tmp_path / "faces"
    root.mkdir()
    for value in (50, 100, 200):
        Image.fromarray(np.full((32, 32, 3), value, np.uint8)).save(root / f"{value}.png")
    (root / "torn.png").write_bytes(b"no picture")
    (root / "notes.txt").write_text("not looked at")
    return root


def video(path: Path, values: list[int]) -> Path:
    """A losslessly coded clip whose frames have these brightnesses."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "bgr0"
        for value in values:
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), value, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_the_default_questions_are_those_of_ddvqa(real_data: Path) -> None:
    asked = {
        entry["question"]
        for path in (real_data / "ddvqa" / "DQ_FF++" / "test_set").glob("*/*.json")
        for entries in json.loads(path.read_text()).values()
        for entry in entries.values()
    }
    assert set(QUESTIONS[1:]) == asked and len(QUESTIONS) == 7


@pytest.mark.parametrize("name", ["Plain", "Scored"])
def test_a_folder_of_pictures(cli, plug: str, faces: Path, name: str) -> None:
    done = cli("predict", "--no-faces", faces, "-d", f"{plug}:{name}", "--explain", "--json")
    assert done.status == 0, done.err
    rows = json.loads(done.out)
    assert [Path(row["path"]).name for row in rows] == ["50.png", "100.png", "200.png", "torn.png"]
    assert [row["verdict"] for row in rows] == ["real", "real", "fake", None]
    assert [row["score"] for row in rows[:3]] == pytest.approx([50 / 255, 100 / 255, 200 / 255], abs=1e-4)
    bright = rows[2]["answers"]
    assert [one["question"] for one in bright] == list(QUESTIONS) and rows[2]["asked_frame"] is None
    assert bright[0]["text"] == f"{QUESTIONS[0]} It is 200 bright.\n\x1b[31mYes" and bright[0]["status"] == "ok"
    assert {(one["message"], one["tokens_in"]) for one in bright} == {
        ("cut off", 3) if name == "Scored" else ("", None)
    }
    torn = rows[3]
    assert (torn["status"], torn["score"], torn["frames"]) == ("unreadable", None, 0) and torn["message"]
    assert {(one["status"], one["text"]) for one in torn["answers"]} == {("unreadable", "")}
    assert [row["status"] for row in rows[:3]] == ["ok"] * 3 and [row["frames"] for row in rows[:3]] == [1] * 3


def test_scores_that_come_with_answers_are_not_asked_for_apart(plug: str, faces: Path) -> None:
    rows = predict_paths([faces], f"{plug}:Scored", questions=["Why?", "How?"])
    (module,) = [m for m in sys.modules.values() if getattr(m, "__file__", None) == plug]
    assert module.Scored.calls == {"predict": 0, "explain": 1}  # three pictures of two questions: six, from five on
    assert [len(row["answers"]) for row in rows] == [2] * 4
    assert predict_paths([faces / "50.png"], f"{plug}:Scored")[0].keys() == {
        "path", "score", "verdict", "status", "frames", "frames_readable", "frames_promised", "message", "heatmap",
    }  # fmt: skip
    assert module.Scored.calls == {"predict": 1, "explain": 1}


def test_own_questions_as_text(cli, one_line, plug: str, faces: Path) -> None:
    done = cli(
        "predict",
        "--no-faces",
        faces / "200.png",
        faces / "torn.png",
        "-d",
        f"{plug}:Scored",
        "-q",
        "Why?",
        "-q",
        "So?",
    )
    lines = done.out.splitlines()
    assert lines[0] == f"0.7843  fake        {faces / '200.png'}"
    assert lines[1:5] == [
        "        Why?",
        "          Why? It is 200 bright. \ufffd[31mYes (cut off)",
        "        So?",
        "          So? It is 200 bright. \ufffd[31mYes (cut off)",
    ]
    assert lines[5].startswith(f"     –  unreadable  {faces / 'torn.png'}")
    assert lines[6] == "        Why?" and lines[7].startswith("          no answer, unreadable (")
    assert "a question is empty" in one_line(cli("predict", "--no-faces", faces, "-d", f"{plug}:Plain", "-q", " "))


def test_with_heat_maps(cli, plug: str, faces: Path, tmp_path: Path) -> None:
    words = (
        "predict",
        "--no-faces",
        faces / "50.png",
        "-d",
        f"{plug}:Map",
        "-q",
        "Why?",
        "--heatmap",
        tmp_path / "maps",
    )
    (row,) = json.loads(cli(*words, "--json").out)
    assert Path(row["heatmap"]).is_file() and row["answers"][0]["text"].startswith("Why? It is 50 bright")
    assert f"        heat map: {row['heatmap']}\n        Why?\n" in cli(*words).out


def test_of_a_video_the_middle_frame_is_asked_about(cli, plug: str, tmp_path: Path) -> None:
    """Four of ten frames are judged, 1 3 6 8; the middle one is 6, and the score is the mean of all four."""
    clip = video(tmp_path / "a.mkv", [10 * i for i in range(10)])
    for name in ("Plain", "Scored"):
        (row,) = predict_paths([clip], f"{plug}:{name}", frames=4, questions=["Why?"])
        assert (row["asked_frame"], row["frames"]) == (6, 4) and row["score"] == pytest.approx(45 / 255, abs=0.01)
        assert row["answers"][0]["text"].startswith("Why? It is 60 bright.")
    told = cli("predict", "--no-faces", clip, "-d", f"{plug}:Plain", "--frames", "4", "-q", "Why?").out
    assert "        asked about frame 6\n        Why?\n" in told
    (tmp_path / "b.mp4").write_bytes(b"no video")
    _, row = predict_paths([clip, tmp_path / "b.mp4"], f"{plug}:Scored", explain=True)
    assert (row["status"], row["answers"], row["asked_frame"]) == ("unreadable", [], None)
    assert transcript(row) == ""


def test_who_has_no_score_answers_all_the_same(cli, plug: str, faces: Path, tmp_path: Path) -> None:
    clip = video(tmp_path / "a.mkv", [30, 60, 90])
    Image.fromarray(np.full((32, 32, 3), 250, np.uint8)).save(faces / "x.png")
    rows = predict_paths([faces / "50.png", faces / "x.png", clip], f"{plug}:Voice", explain=True)
    assert [(row["score"], row["verdict"], row["frames"]) for row in rows] == [(None, None, 0)] * 3
    assert [row["status"] for row in rows] == ["ok", "error", "ok"] and rows[1]["message"] == "refused"
    assert rows[2]["asked_frame"] == 1 and "60 bright" in rows[2]["answers"][0]["text"]
    assert cli("predict", "--no-faces", faces / "50.png", "-d", f"{plug}:Voice", "--explain").out.startswith(
        "     –  ok  "
    )


def test_a_picture_that_it_fails_on(plug: str, faces: Path, tmp_path: Path) -> None:
    """It has a score and says why there is no answer; also a video after images that succeeded."""
    Image.fromarray(np.full((32, 32, 3), 250, np.uint8)).save(faces / "x.png")
    clip = video(tmp_path / "a.mkv", [250, 250, 250])
    rows = predict_paths([faces, clip], f"{plug}:Fussy", questions=["Why?"])
    for row in (rows[-1], next(row for row in rows if row["path"].endswith("x.png"))):
        assert row["verdict"] == "fake" and row["status"] == "ok"
        assert (row["answers"][0]["status"], row["answers"][0]["message"]) == ("error", "RuntimeError: too bright")


def test_who_answers_nothing_is_refused_before_it_is_loaded(cli, one_line, faces: Path, tmp_path: Path) -> None:
    assert "detector 'constant' answers no questions" in one_line(
        cli("predict", "--no-faces", faces, "-d", "constant", "--explain")
    )
    (tmp_path / "heavy.py").write_text(
        "class Heavy:\n    def __init__(self):\n        raise RuntimeError('it was loaded')\n"
        "    def predict(self, images):\n        return [0.5] * len(images)\n"
    )
    line = one_line(cli("predict", "--no-faces", faces, "-d", f"{tmp_path}/heavy.py:Heavy", "-q", "Why?"))
    assert "answers no questions" in line
