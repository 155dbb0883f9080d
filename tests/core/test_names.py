"""Names that are more than letters: bytes that are no UTF-8, commands to a terminal, formulas, links, long ones."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import m2f2bench
from m2f2bench.core import markdown
from m2f2bench.core.errors import CardError
from m2f2bench.core.records import Frame, Locator, Prediction
from m2f2bench.core.text import in_utf8, visible
from m2f2bench.inference.predict import predict_paths
from m2f2bench.leaderboards.board import build_board
from m2f2bench.leaderboards.render import render
from m2f2bench.loading import load_dataset
from m2f2bench.results.row_files import read_parquet
from m2f2bench.results.store import PredictionStore
from m2f2bench.results.stored import read_stored

FILES = [b"\xff\xfe.png", b"a\nb.png", b"\x1b[31mred.png", b"=1+1.png", "\u202egnp.png".encode(), b"-x.png"]
FILES += [b"@a.png", b"[x](javascript:alert(1)).png", b"x" * 240 + b".png", b"CON.png", b"a|b`c`*d*.png", b"q'q\"q.png"]


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder dataset whose own name, methods and files are odd ones."""
    root = os.fsencode(tmp_path) + b"/d\xff ata"
    for k, folder in enumerate((b"real", b"fake/=m\xff", b"fake/[x](y)")):
        Path(os.fsdecode(root + b"/" + folder)).mkdir(parents=True)
        for i, name in enumerate(FILES):
            pixels = np.full((16, 16, 3), 60 + 40 * k + i, np.uint8)
            Image.fromarray(pixels).save(os.fsdecode(root + b"/" + folder + b"/" + name))
    return Path(os.fsdecode(root))


def hostile(text: str) -> bool:
    return any(c in text for c in "\x1b\u202e\x07") or any("\ud800" <= c <= "\udfff" for c in text)


def test_e7_odd_file_names_go_through_every_command(cli, odd: Path, tmp_path: Path) -> None:
    out = tmp_path / os.fsdecode(b"out\xff")
    assert cli("run", "-d", "constant", "-d", "random", "-s", odd, "--out", out).status == 0
    runs = sorted(path.parent for path in out.glob("*/result.json"))
    assert len(runs) == 2
    for words in (
        ["leaderboard", out],
        ["score", runs[0]],
        ["score", runs[0], "--json"],
        ["compare", *runs],
        ["check", runs[0], "-s", odd],
        ["validate", *runs],
        ["plot", "roc", *runs, "--out", out / os.fsdecode(b"\xff.png")],
        ["predict", "--no-faces", odd, "-d", "constant"],
        ["predict", "--no-faces", odd, "-d", "constant", "--json"],
        ["predict", "--no-faces", odd, "-d", "constant", "--heatmap", tmp_path / "maps"],
        ["sheet", odd, "--out", out / "s.png"],
    ):
        outcome = cli(*words)
        if words[-2] == "--heatmap":
            assert outcome.status == 2 and "heat map" in outcome.err
            continue
        assert outcome.status == 0, (words, outcome)
        assert not hostile(outcome.out + outcome.err), words
    rows = read_parquet(runs[0] / "predictions.parquet")
    assert len(rows) == 3 * len(FILES) and any("\\udcff\\udcfe.png" in row.frame for row in rows)
    assert {row.method for row in rows} == {"original", "=m\\udcff", "[x](y)"}
    again = cli("run", "-d", "constant", "-s", odd, "--out", out)
    assert again.status == 0, "the rows on disk are found again"


def test_e7_json_output_has_the_names_exactly(cli, odd: Path) -> None:
    told = json.loads(cli("predict", "--no-faces", odd, "-d", "constant", "--json").out)
    names = {os.fsencode(Path(row["path"]).name) for row in told}
    assert names == set(FILES)
    rows = predict_paths([odd], "constant")
    assert {row["path"] for row in rows} == {row["path"] for row in told}


def test_e7_two_files_of_one_name_in_utf_8(cli, one_line, tmp_path: Path) -> None:
    for name in (b"\xff.png", b"\\udcff.png"):
        Image.fromarray(np.full((16, 16, 3), 60, np.uint8)).save(tmp_path / os.fsdecode(name))
    assert "two files have the same name" in one_line(cli("predict", "--no-faces", tmp_path, "-d", "constant"))


def test_e7_frames_have_names_that_utf_8_can_say() -> None:
    frame = Frame("\udcffa", "v\udcff", 1, "m\udcff", "test", ("p\udcff", "q"), Locator("\udcff"), "é\udcff")
    assert (frame.id, frame.video, frame.method) == ("\\udcffa", "v\\udcff", "m\\udcff")
    assert frame.identities == ("p\\udcff", "q") and frame.picture == "é\\udcff" and frame.locator.path == "\udcff"


def test_e7_messages_about_odd_files_are_kept(tmp_path: Path) -> None:
    row = Prediction("a", "a", "m", "", 1, "unreadable", None, message="cannot read '\udcff'")
    with PredictionStore(tmp_path, {"k": "v"}) as store:
        store.append([row])
        assert store.rows["a"].message == "cannot read '\\udcff'"
        store.finish(["a"])
    assert read_parquet(tmp_path / "predictions.parquet")[0].message == "cannot read '\\udcff'"


def test_e7_messages_are_one_line_without_commands(cli, one_line, tmp_path: Path) -> None:
    for name in ("\udcff", "\x1b[31m", "a\nb", "\u202ex", "x" * 10_000, "../..", "=1"):
        for words in (
            ["run", "-d", name, "-s", "synthetic"],
            ["score", f"{name}.csv"],
            ["list", name],
            ["describe", name],
        ):
            line = one_line(cli(*words))
            assert not hostile(line) and len(line) < 3000, words


CELLS = ["=1+1", "+1", "-1", "@a", "\t=1", "\r=1", "a=1", "[x](javascript:alert(1))", "a\nb", "\x1b[1m", "\u202ex"]


def odd_board(tmp_path: Path):
    lines = [f"f{i},{i % 2},{(i * 7 % 10) / 10},{CELLS[i % len(CELLS)]!r}" for i in range(40)]
    folder = tmp_path / "results"
    folder.mkdir()
    for name in CELLS:
        (tmp_path / "a.csv").write_text("\n".join(["id,label,score,method", *lines]) + "\n")
        found = m2f2bench.score(tmp_path / "a.csv", detector=name)
        (folder / f"{CELLS.index(name)}.json").write_text(json.dumps(found.to_json()))
    return build_board(read_stored([folder]))


def test_e7_boards_hold_no_formula_no_link_no_command(tmp_path: Path) -> None:
    board = odd_board(tmp_path)
    rows = list(csv.DictReader(io.StringIO(render(board, "csv"))))
    shown = {row["detector"] for row in rows}
    assert shown == {f"'{visible(n)}" if n[0] in "=+-@" else visible(n) for n in CELLS}
    assert not any(
        value and value[0] in "=+-@\t\r"
        for row in rows
        for key, value in row.items()
        if key in ("detector", "reason", "signature", "method")
    )
    names = {row["detector"] for row in json.loads(render(board, "json"))["rows"]}
    assert names == set(CELLS), "JSON has every name as it is"
    text = render(board, "md")
    assert "](javascript" not in text.replace("`", "") or "]\\(javascript" in text
    assert not hostile(text) and "[x](" not in "".join(part for part in text.split("`")[::2])
    assert len(text.splitlines()) == len(render(board, "md").split("\n")) - 1


def test_e7_markdown_in_one_place() -> None:
    assert markdown.escaped("a\\|b") == "a\\\\\\|b" and markdown.escaped("a|b") == "a\\|b"
    assert markdown.escaped("[x](javascript:alert(1))") == "[x]\\(javascript:alert(1))"
    assert markdown.escaped("![x](http://a/b.png)") == "![x]\\(http://a/b.png)"
    assert markdown.escaped("<script>") == "&lt;script>" and markdown.escaped("a\nb") == "a b"
    assert len(markdown.escaped("x" * 10_000)) == markdown.LONGEST
    assert markdown.name("**x** `y`") == "&#42;&#42;x&#42;&#42; &#96;y&#96;"
    assert markdown.code("a`b\x1b") == "`a'b\\x1b`"


def test_e7_visible_and_in_utf_8() -> None:
    assert visible("a\x1b[31m\u202e\ud800\x00\n") == "a\\x1b[31m\\u202e\\ud800\\x00\\x0a"
    assert visible("a\n\tb", keep="\n\t") == "a\n\tb" and visible("検出器 é") == "検出器 é"
    assert in_utf8("é\udcff") == "é\\udcff" and in_utf8("検出器") == "検出器"


def test_e7_names_of_ones_own_objects(squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Named:
        def predict(self, images):
            return [0.5] * len(images)

    for name in ("../x", "a\nb", "", "..", "\x00", "\ud800", "x" * 10_000, 3, "a/b"):
        monkeypatch.setattr(Named, "name", name, raising=False)
        with pytest.raises(CardError, match=r"detector .*Named: key 'name'"):
            m2f2bench.run(detectors=Named(), datasets=str(squares), out=tmp_path / "o")
        adapter = load_dataset(str(squares)).adapter
        adapter.name = name
        with pytest.raises(CardError, match="key 'name'"):
            load_dataset(adapter)
    assert not (tmp_path / "x").exists()


def test_e7_rows_file_with_an_odd_name(cli, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"r\xff.csv")
    path.write_text("id,label,score\na,0,0.2\nb,1,0.7\n")
    assert cli("score", path).status == 0
    assert json.loads(cli("score", path, "--json").out)["detector"] == "r\\udcff"
    shutil.copy(path, tmp_path / "=1.csv")
    assert m2f2bench.score(tmp_path / "=1.csv").detector == "=1"
