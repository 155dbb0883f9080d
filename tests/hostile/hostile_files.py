"""Hostile places: what lies where a file or a folder is expected, for everything that reads and all that writes."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from hostile import Case, Check, either, refused, works
from hostile_materials import CORNER, saved

Place = Callable[[Path], object]


def unix_socket(path: Path) -> None:
    """Bound from within its folder: the whole path can be too long."""
    here = Path.cwd()
    os.chdir(path.parent)
    socket.socket(socket.AF_UNIX).bind(path.name)
    os.chdir(here)


def circle(path: Path) -> None:
    path.symlink_to(path.name + "2")
    path.with_name(path.name + "2").symlink_to(path.name)


def unreadable(path: Path) -> None:
    path.write_text("secret")
    path.chmod(0)


def under_a_file(path: Path) -> None:
    """Nothing: the command's path goes on below a file."""


PLACES: dict[str, Place] = {
    "missing": lambda path: None,
    "empty": lambda path: path.write_bytes(b""),
    "folder": lambda path: path.mkdir(),
    "fifo": lambda path: os.mkfifo(path),
    "socket": unix_socket,
    "zeros": lambda path: path.symlink_to("/dev/zero"),
    "noise": lambda path: path.symlink_to("/dev/urandom"),
    "null": lambda path: path.symlink_to("/dev/null"),
    "full": lambda path: path.symlink_to("/dev/full"),
    "memory": lambda path: path.symlink_to("/proc/self/mem"),
    "stdin": lambda path: path.symlink_to("/dev/stdin"),
    "dead-link": lambda path: path.symlink_to("gone"),
    "circle": circle,
    "hole": lambda path: (path.touch(), os.truncate(path, 1 << 40)),
}

READERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "picture": ("x.png", ("predict", "--no-faces", "x.png", "-d", "corner.py:Corner")),
    "video": ("x.mp4", ("predict", "--no-faces", "x.mp4", "-d", "corner.py:Corner")),
    "rows": ("x.csv", ("score", "x.csv")),
    "lines": ("x.jsonl", ("score", "x.jsonl")),
    "parquet": ("x.parquet", ("score", "x.parquet")),
    "answers": ("x.jsonl", ("score", "x.jsonl", "-p", "explain-blind", "-s", "synthetic")),
    "card": ("x.yaml", ("run", "-d", "./x.yaml", "-s", "data", "--out", "o")),
    "listed-card": ("cards/detectors/x.yaml", ("list", "detectors", "--cards", "cards")),
    "dataset-card": ("x.yaml", ("run", "-d", "constant", "-s", "./x.yaml", "--out", "o")),
    "protocol": ("x.yaml", ("score", "good.csv", "-p", "./x.yaml")),
    "manifest": ("x.csv", ("run", "-d", "constant", "-s", "x.csv", "--out", "o")),
    "result": ("x.json", ("validate", "x.json")),
    "board": ("x.json", ("leaderboard", "x.json")),
    "baseline": ("x.json", ("check", "x.json", "-d", "constant")),
    "plugin": ("x.py", ("run", "-d", "x.py:X", "-s", "data", "--out", "o")),
    "weights": ("x.pth", ("import-weights", "x.pth", "--as", "m2f2det-released-detector", "--out", "o")),
    "published": ("cards/leaderboards/published.yaml", ("leaderboard", "good", "--cards", "cards")),
}
RIGHT = {("listed-card", "missing"), ("published", "missing")}


def prepared(folder: Path) -> None:
    (folder / "corner.py").write_text(CORNER)
    (folder / "good.csv").write_text("id,label,score\na,0,0.2\nb,1,0.7\n")
    for kind in ("detectors", "leaderboards"):
        (folder / "cards" / kind).mkdir(parents=True)
    (folder / "cards" / "detectors" / "good.yaml").write_text("name: good\nbackend: constant\n")
    for label in ("real", "fake"):
        (folder / "data" / label).mkdir(parents=True)
        for i in range(2):
            (folder / "data" / label / f"{i}.png").write_bytes(saved("PNG"))


def read(reader: str, place: str) -> Case:
    file, words = READERS[reader]

    def draw(folder: Path) -> None:
        prepared(folder)
        PLACES[place](folder / file)

    check: Check = either if (reader, place) in RIGHT or (reader in ("listed-card", "published")) else refused
    code = ("corner.py", "x.py") if reader != "plugin" else ("x.py",)
    return Case(f"read-{reader}-{place}", draw, words, check, code=code, torch=reader == "weights")


WRITERS: dict[str, tuple[str, ...]] = {
    "run": ("run", "-d", "constant", "-s", "data", "--out", "{}"),
    "heatmap": ("predict", "--no-faces", "data/real/0.png", "-d", "corner.py:Corner", "--heatmap", "{}"),
    "board": ("leaderboard", "good", "--format", "md", "--out", "{}"),
    "audit": ("audit", "data", "--out", "{}.json"),
    "plot": ("plot", "roc", "good.csv", "--out", "{}.png"),
    "sheet": ("sheet", "data", "--out", "{}.png"),
    "train": ("train", "frequency", "-s", "data", "--out", "{}"),
}
TARGETS: dict[str, tuple[str, Place]] = {
    "file": ("o", lambda path: path.write_text("kept")),
    "under-a-file": ("good.csv/o", under_a_file),
    "full-device": ("/dev/full", under_a_file),
    "null-device": ("/dev/null", under_a_file),
    "under-a-device": ("/dev/null/o", under_a_file),
    "proc": ("/proc/o", under_a_file),
    "circle": ("o", circle),
    "dead-link": ("o", lambda path: path.symlink_to("/gone/gone")),
    "too-long": ("o" * 300, under_a_file),
    "fifo": ("o", lambda path: os.mkfifo(path)),
}


def write(writer: str, target: str) -> Case:
    path, place = TARGETS[target]
    words = tuple(word.replace("{}", path) for word in WRITERS[writer])
    suffix = next((word[2:] for word in WRITERS[writer] if word.startswith("{}")), "")

    def draw(folder: Path) -> None:
        prepared(folder)
        if place is not under_a_file:
            place(folder / (path + suffix))

    check: Check = either if writer in ("board", "audit", "plot", "sheet", "heatmap", "train") else refused
    return Case(f"write-{writer}-{target}", draw, words, check, code=("corner.py",))


def linked_out(folder: Path) -> None:
    """The output's folder holds links to files elsewhere, which must not be written through."""
    prepared(folder)
    (folder / "o").mkdir()
    (folder / "victim").write_text("kept")
    for name in ("leaderboard.md", "leaderboard.json", "leaderboard.html"):
        (folder / "o" / name).symlink_to("../victim")


CASES = [
    *[read(reader, place) for reader in READERS for place in PLACES],
    *[write(writer, target) for writer in WRITERS for target in TARGETS],
    Case("write-through-links", linked_out, ("run", "-d", "constant", "-s", "data", "--out", "o"), works),
    Case("write-into-the-data", prepared, ("run", "-d", "constant", "-s", "data", "--out", "data"), either),
    Case("cards-of-a-file", prepared, ("list", "detectors", "--cards", "good.csv"), refused),
    Case("cards-of-nothing", prepared, ("list", "detectors", "--cards", "gone"), refused),
    Case("data-of-a-file", prepared, ("run", "-d", "constant", "-s", "ffpp-c23", "--data", "good.csv"), refused),
    Case("read-unreadable-rows", lambda folder: unreadable(folder / "x.csv"), ("score", "x.csv"), refused),
]
