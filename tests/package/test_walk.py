"""The walk of an image and of an answer in `docs/walk.md`, checked against the calls of a real run."""

from __future__ import annotations

import importlib
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import numpy as np
import pytest
from face_scenes import drawn_face, pasted
from paths import HELPERS, ROOT
from PIL import Image
from test_rooms import ROOMS

import m2f2bench

PACKAGE = Path(m2f2bench.__file__).parent
TEXT = (ROOT / "docs" / "walk.md").read_text(encoding="utf-8")
ROOM = re.compile(r"^\d+\. `(\w+)`: ", re.MULTILINE)
FUNCTION = re.compile(r"^   - `([\w.]+)` ", re.MULTILINE)
EVERYWHERE = {"core", "cards", "loading"}
"""Rooms that an image passes nothing in: records, cards, names."""
MINE = """
class Mine:
    def predict(self, images):
        return [float(image.mean()) / 255 for image in images]
"""


@dataclass
class Walk:
    """A walk as the page has it: the rooms in order, each with its functions."""

    rooms: list[str]
    functions: dict[str, list[str]]

    @property
    def all(self) -> list[str]:
        return [name for names in self.functions.values() for name in names]


def walk(title: str) -> Walk:
    section = TEXT.partition(f"## {title}\n")[2].partition("\n## ")[0]
    parts = ROOM.split(section)[1:]
    found = dict(zip(parts[::2], (FUNCTION.findall(part) for part in parts[1::2]), strict=True))
    return Walk(parts[::2], found)


WALKS = {title: walk(title) for title in ("An image", "An answer")}


def code_of(name: str) -> CodeType:
    """The code of a function that the page names: `room.module.function` or `room.module.Class.function`."""
    parts = name.split(".")
    at = next(i for i in range(len(parts), 0, -1) if PACKAGE.joinpath(*parts[:i]).with_suffix(".py").is_file())
    found: Any = importlib.import_module(".".join(["m2f2bench", *parts[:at]]))
    for part in parts[at:]:
        found = getattr(found, part)
    found = getattr(found, "__func__", found)
    while not isinstance(found, FunctionType) or hasattr(found, "__wrapped__"):
        found = found.__wrapped__
    code: CodeType = found.__code__
    return code


@dataclass
class Trace:
    """The calls of the functions that are watched, in order, and the rooms above each one's first call."""

    watched: dict[CodeType, str]
    calls: list[str] = field(default_factory=list)
    above: dict[str, list[str]] = field(default_factory=dict)

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        name = self.watched.get(frame.f_code) if event == "call" else None
        if name is not None:
            self.calls.append(name)
            self.above.setdefault(name, rooms_above(frame))


def rooms_above(frame: FrameType | None) -> list[str]:
    """The rooms of the calls that lead to a frame, from the top, each stay once."""
    rooms: list[str] = []
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(PACKAGE):
            room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
            if room not in EVERYWHERE and (not rooms or rooms[-1] != room):
                rooms.append(room)
        frame = frame.f_back
    return rooms[::-1]


def in_order(wanted: list[str], calls: list[str]) -> bool:
    """Whether the wanted calls come one after the other among all calls."""
    rest = iter(calls)
    return all(name in rest for name in wanted)


@pytest.fixture
def traced(cli: Callable[..., Any]) -> Callable[..., Trace]:
    def follow(title: str, *words: object) -> Trace:
        trace = Trace({code_of(name): name for name in WALKS[title].all})
        sys.setprofile(trace)
        threading.setprofile(trace)
        try:
            done = cli(*words)
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]
        assert done.status == 0, done.err
        return trace

    return follow


@pytest.mark.parametrize("title", WALKS)
def test_no_room_is_entered_twice(title: str) -> None:
    found = WALKS[title]
    assert len(found.rooms) > 6 and len(set(found.rooms)) == len(found.rooms) and set(found.rooms) <= set(ROOMS)
    assert len(set(found.all)) == len(found.all)
    for room, names in found.functions.items():
        assert names and all(name.startswith(f"{room}.") for name in names)


@pytest.mark.parametrize("name", dict.fromkeys(name for found in WALKS.values() for name in found.all))
def test_every_function_of_a_walk_exists(name: str) -> None:
    assert code_of(name).co_name == name.rpartition(".")[2]


def check(found: Walk, trace: Trace) -> None:
    assert [name for name in found.all if name not in trace.above] == []
    for room, names in found.functions.items():
        assert in_order(names, trace.calls), f"in {room} the order is {list(dict.fromkeys(trace.calls))}"
    assert in_order([names[0] for names in found.functions.values()], trace.calls)
    twice = {name: rooms for name, rooms in trace.above.items() if len(set(rooms)) < len(rooms)}
    assert not twice, f"a room is entered twice on the way down: {twice}"


@pytest.mark.slow
def test_a_run_goes_the_way_of_an_image(traced: Callable[..., Trace], tmp_path: Path) -> None:
    for label, level in (("real", 60), ("fake", 200)):
        (tmp_path / "faces" / label).mkdir(parents=True)
        for i in range(3):
            picture = np.full((32, 32, 3), level + i, dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / "faces" / label / f"{i}.png")
    (tmp_path / "mine.py").write_text(MINE)
    words = ("-d", tmp_path / "mine.py:Mine", "-s", tmp_path / "faces", "--out", tmp_path / "out")
    check(WALKS["An image"], traced("An image", "run", *words))


@pytest.mark.slow
def test_a_run_goes_the_way_of_an_answer(traced: Callable[..., Trace], rules: Path, tmp_path: Path) -> None:
    toys = HELPERS / "toy_questions.py"
    words = ("-d", f"{toys}:Looker", "-s", f"{toys}:Faces", "-p", rules, "--limit", 8, "--out", tmp_path / "out")
    check(WALKS["An answer"], traced("An answer", "run", *words))


FACE = re.findall(r"^- `([\w.]+)`", TEXT.partition("## A face\n")[2].partition("\n## ")[0], re.MULTILINE)
"""The functions that a face passes."""


@pytest.mark.slow
def test_a_face_goes_its_way(cli: Callable[..., Any], tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="the extra [faces] is not installed")
    for number, label in enumerate(("real", "fake")):
        picture, _ = pasted(np.full((240, 320, 3), 90, np.uint8), drawn_face(number)[0], (160, 120), 150)
        (tmp_path / "scenes" / label).mkdir(parents=True)
        Image.fromarray(picture).save(tmp_path / "scenes" / label / "a.png")
    trace = Trace({code_of(name): name for name in FACE})
    sys.setprofile(trace)
    threading.setprofile(trace)
    try:
        done = cli("run", "-d", "random", "-s", tmp_path / "scenes", "--crop", "sbi", "--out", tmp_path / "out")
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    assert done.status == 0, done.err
    assert len(FACE) == 7 and [name for name in FACE if name not in trace.above] == []
    assert in_order(FACE, trace.calls)


def test_a_wrong_walk_is_found() -> None:
    trace = Trace({}, ["cli.a", "runs.b"], {"cli.a": ["cli"], "runs.b": ["cli", "runs", "cli"]})
    with pytest.raises(AssertionError, match="entered twice"):
        check(Walk(["cli", "runs"], {"cli": ["cli.a"], "runs": ["runs.b"]}), trace)
    with pytest.raises(AssertionError):
        check(Walk(["runs", "cli"], {"runs": ["runs.b"], "cli": ["cli.a"]}), Trace({}, trace.calls, {"cli.a": []}))
