"""Hostile manifests and folders of pictures, as datasets of a run."""

# ruff: noqa: E501 - a line an input

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

from hostile import Case, Check, Draw, Outcome, either, refused
from hostile_materials import CORNER, saved

HEAD = "path,label\n"


def run() -> None:
    """What `run --json` prints, without the leaderboard's files; the dataset is `data`, or the manifest there."""
    import m2f2bench

    place = next((name for name in ("list.csv", "list.jsonl", "data") if Path(name).exists()), "data")
    results = m2f2bench.run(detectors="corner.py:Corner", datasets=place, out="o")
    print(json.dumps([result.to_json() for result in results]))


def judged(outcome: Outcome, *, ok: int, unreadable: int = 0) -> str:
    if outcome.status != 0:
        return f"refused altogether: {outcome.err!r}"
    found = outcome.json()[0]["statuses"]
    return "" if (found.get("ok", 0), found.get("unreadable", 0)) == (ok, unreadable) else f"{found}"


def pictures(folder: Path, *names: str | bytes) -> None:
    for name in names:
        path = os.path.join(os.fsencode(folder), name if isinstance(name, bytes) else os.fsencode(name))  # noqa: PTH118
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(saved("PNG"))


def listed(text: str | bytes, *names: str, file: str = "list.csv") -> Draw:
    """A manifest beside pictures a.png and b.png and further ones."""

    def draw(folder: Path) -> None:
        (folder / "corner.py").write_text(CORNER)
        pictures(folder, "a.png", "b.png", *names)
        (folder / file).write_bytes(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)

    return draw


def objects(*rows: Any) -> Draw:
    told = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    return listed(told, file="list.jsonl")


def tree(*names: str | bytes) -> Draw:
    def draw(folder: Path) -> None:
        (folder / "corner.py").write_text(CORNER)
        (folder / "data").mkdir()
        pictures(folder / "data", *names)

    return draw


def linked(*links: tuple[str, str]) -> Draw:
    """A tree with links, from a name to a target."""

    def draw(folder: Path) -> None:
        tree("real/a.png", "fake/b.png")(folder)
        for name, target in links:
            (folder / "data" / name).symlink_to(target)

    return draw


def special(make: str) -> Draw:
    """A tree with a picture that is no file."""

    def draw(folder: Path) -> None:
        tree("real/a.png", "fake/b.png")(folder)
        place = folder / "data" / "fake" / "c.png"
        if make == "fifo":
            os.mkfifo(place)
        elif make == "socket":
            import socket

            socket.socket(socket.AF_UNIX).bind(str(place))
        elif make == "folder":
            place.mkdir()
        else:
            place.symlink_to(make)

    return draw


A, B = {"path": "a.png", "label": 0}, {"path": "b.png", "label": 1}
BOTH: Check = partial(judged, ok=2)
ONE_LOST: Check = partial(judged, ok=2, unreadable=1)
GOOD = HEAD + "a.png,0\nb.png,1\n"

MANIFESTS: list[tuple[str, Draw, Check]] = [
    ("plain", listed(GOOD), BOTH),
    ("words", listed(HEAD + "a.png,Real\nb.png,FAKE\n"), BOTH),
    ("mark", listed("\ufeff" + GOOD), BOTH),
    ("jsonl", objects(A, B), BOTH),
    ("file-missing", listed(GOOD + "gone.png,1\n"), ONE_LOST),
    ("windows-paths", listed(HEAD + "x\\a.png,0\nb.png,1\n", "x/a.png"), BOTH),
    ("windows-paths-of-nothing", listed(GOOD + "C:\\data\\c.png,1\n"), ONE_LOST),
    ("path-of-passwd", listed(GOOD + "/etc/passwd,1\n"), ONE_LOST),
    ("path-upwards", listed(GOOD + "../../../../etc/passwd,1\n"), ONE_LOST),
    ("path-of-zeros", listed(GOOD + "/dev/zero,1\n"), ONE_LOST),
    ("path-of-memory", listed(GOOD + "/proc/self/mem,1\n"), either),
    ("path-of-a-folder", listed(GOOD + ".,1\n"), ONE_LOST),
    ("path-of-an-address", listed(GOOD + "http://example.com/c.png,1\n"), ONE_LOST),
    ("path-of-the-home", listed(GOOD + "~/c.png,1\n"), ONE_LOST),
    ("path-of-256-letters", listed(GOOD + "c" * 256 + ".png,1\n"), ONE_LOST),
    ("path-of-a-megabyte", lambda f: listed(GOOD + "c" * 1_000_000 + ",1\n")(f), either),
    ("path-with-a-null-byte", listed(GOOD + "c\0.png,1\n"), either),
    ("path-of-a-surrogate", objects(A, B, '{"path": "\\ud800.png", "label": 1}'), either),
    ("path-with-a-newline", listed(GOOD + '"c\n.png",1\n', "c\n.png"), partial(judged, ok=3)),
    ("path-empty", listed(GOOD + ",1\n"), refused),
    ("path-twice", listed(GOOD + "./a.png,1\n"), refused),
    ("empty", listed(""), refused),
    ("header-alone", listed(HEAD), refused),
    ("no-label-column", listed("path\na.png\n"), refused),
    ("label-2", listed(GOOD + "c.png,2\n"), refused),
    ("label-empty", listed(GOOD + "c.png,\n"), refused),
    ("split-of-no-name", listed("path,label,split\na.png,0,tset\n"), refused),
    ("time-not-a-number", listed("path,label,time\na.png,0,soon\n"), refused),
    ("time-of-10000-digits", listed("path,label,time\na.png,0," + "9" * 10_000 + "\nb.png,1,0\n"), either),
    ("time-of-1e9999", listed("path,label,video,time\na.png,0,v,1e9999\nb.png,1,w,1e-9999\n"), either),
    ("time-for-some", listed("path,label,video,time\na.png,1,v,1\nb.png,1,v,\n"), refused),
    ("video-under-two-labels", listed("path,label,video,method\na.png,0,v,m\nb.png,1,v,m\n"), either),
    ("fake-called-original", listed("path,label,method\na.png,0,\nb.png,1,original\n"), refused),
    ("open-quote", listed(HEAD + '"a.png,0\nb.png,1\n'), refused),
    ("too-many-cells", listed(GOOD + "c.png,1,2\n"), refused),
    ("utf-16", listed(GOOD.encode("utf-16")), refused),
    ("column-twice", listed("path,label,label\na.png,0,1\n"), refused),
    ("3000-rows-of-nothing", listed(HEAD + "".join(f"{i}.png,{i % 2}\n" for i in range(3000))), refused),
    ("jsonl-nested-deep", objects(A, "[" * 100_000), refused),
    ("jsonl-huge-number", objects(A, '{"path": "b.png", "label": ' + "1" * 10_000 + "}"), refused),
    ("jsonl-path-null", objects(A, {"path": None, "label": 1}), refused),
    ("jsonl-path-list", objects(A, {"path": ["b.png"], "label": 1}), refused),
    ("jsonl-label-truth", objects(A, {"path": "b.png", "label": True}), refused),
    ("jsonl-list", objects([A, B]), refused),
    ("jsonl-keys-that-differ-in-case", objects(A, {"path": "b.png", "PATH": "c.png", "label": 1}), either),
]  # fmt: skip

TREES: list[tuple[str, Draw, Check]] = [
    ("tree-plain", tree("real/a.png", "fake/b.png"), BOTH),
    ("tree-in-capitals", tree("Real/a.png", "FAKE/b.PNG"), BOTH),
    ("tree-hidden-files", tree("real/a.png", "fake/b.png", "fake/.DS_Store", "fake/Thumbs.db"), BOTH),
    ("tree-names-that-differ-in-form", tree("real/a.png", "fake/\u00e9.png", "fake/e\u0301.png"), partial(judged, ok=3)),
    ("tree-names-that-differ-in-case", tree("real/a.png", "fake/b.png", "fake/B.png"), partial(judged, ok=3)),
    ("tree-name-of-255-bytes", tree("real/a.png", "fake/" + "b" * 251 + ".png"), BOTH),
    ("tree-name-not-utf-8", tree("real/a.png", b"fake/\xff\xfe.png"), either),
    ("tree-name-with-a-newline", tree("real/a.png", "fake/b\nc.png"), BOTH),
    ("tree-deep", tree("real/a.png", "fake/" + "d/" * 300 + "b.png"), BOTH),
    ("tree-both-kinds", tree("real/a.png", "fake/b.png", "train/real/c.png"), refused),
    ("tree-twice-real", tree("real/a.png", "Real/c.png", "fake/b.png"), refused),
    ("tree-neither", tree("a.png", "b.png"), refused),
    ("tree-empty", tree(), refused),
    ("tree-text-among-pictures", tree("real/a.png", "fake/b.png", "fake/notes.txt"), refused),
    ("tree-video-among-pictures", tree("real/a.png", "fake/b.mp4"), partial(judged, ok=1, unreadable=1)),
    ("tree-linked-file", linked(("fake/c.png", "b.png")), partial(judged, ok=3)),
    ("tree-dead-link", linked(("fake/c.png", "gone.png")), ONE_LOST),
    ("tree-link-to-itself", linked(("fake/c.png", "c.png")), ONE_LOST),
    ("tree-links-in-a-circle", linked(("fake/c.png", "d.png"), ("fake/d.png", "c.png")), partial(judged, ok=2, unreadable=2)),
    ("tree-folder-in-itself", linked(("fake/deep", "../fake")), refused),
    ("tree-folder-in-the-root", linked(("fake/all", "/proc/self/root/proc/self/fd")), either),
    ("tree-fifo", special("fifo"), ONE_LOST),
    ("tree-socket", special("socket"), ONE_LOST),
    ("tree-folder-called-a-picture", special("folder"), either),
    ("tree-link-to-zeros", special("/dev/zero"), ONE_LOST),
    ("tree-link-to-memory", special("/proc/self/mem"), either),
]  # fmt: skip

CASES = [Case(name, draw, run, check, code=("corner.py",)) for name, draw, check in [*MANIFESTS, *TREES]]
