"""`plot` as it is called: files, bytes, what stands in them, names of any kind, refusals in one line."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
import typer
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from plot_rows import write_result, write_results, write_rows, write_training
from typer.testing import CliRunner

from m2f2bench.cli.score import plot as plot_command
from m2f2bench.core.errors import M2F2BenchError, ScoreError
from m2f2bench.reporting.figures import plot as plotter
from m2f2bench.reporting.figures.chosen import KINDS, Options
from m2f2bench.reporting.figures.sheet import ELLIPSIS, SIZE, clean, fit, fit_all, look, paragraph, styled, width

MAGIC = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
HOSTILE = ["$x_1$", r"\frac{1}{2}$", "<script>alert(1)</script>", "_hidden", "Ωmega é 中文\n", "100%{name}"]


@pytest.fixture
def place(tmp_path: Path):
    """Rows for all kinds but `ranks`, which gets results, and `curves`, which gets a training."""

    def of(kind: str) -> Path:
        if kind == "ranks":
            rng = np.random.default_rng(1)
            return write_results(tmp_path / "r", {name: rng.random(5).tolist() for name in "abcd"})
        if kind == "curves":
            return write_training(tmp_path / "t", "toy", [(1, 0.7, 0.6), (2, 0.5, 0.55)])
        return write_rows(tmp_path / "rows.csv")

    return of


def boxes(figure: Figure) -> list[tuple[str, np.ndarray]]:
    """Every visible text of a figure with its box in pixels, [[left, bottom], [right, top]]."""
    with styled():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        texts = list(figure.texts)
        for axes in figure.axes:
            texts += [*axes.texts, axes.xaxis.label, axes.yaxis.label]
            for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, sorted(axes.get_ylim()))):
                places = zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)
                texts += [label for place, label in places if low <= place <= high]
        shown = [text for text in texts if text.get_text().strip()]
        return [(text.get_text(), text.get_window_extent(canvas.get_renderer()).get_points()) for text in shown]


def refuse_overlaps(figure: Figure) -> None:
    """No two texts overlap, and none leaves the page."""
    found = boxes(figure)
    page = figure.bbox.get_points()
    for text, box in found:
        assert (box[0] >= page[0] - 1).all() and (box[1] <= page[1] + 1).all(), f"{text!r} leaves the page"
    for (one, a), (other, b) in itertools.combinations(found, 2):
        shared = np.minimum(a[1], b[1]) - np.maximum(a[0], b[0])
        assert not (shared > 2).all(), f"{one!r} and {other!r} overlap"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_files_hold_their_signature_and_are_the_same_each_time(place, tmp_path: Path, kind: str, suffix: str) -> None:
    rows = place(kind)
    files = [tmp_path / f"{i}.{suffix}" for i in range(2)]
    for file in files:
        assert plotter.plot(kind, rows, out=file, width="double", title="A title") == file
    one, other = (file.read_bytes() for file in files)
    assert one == other and one.startswith(MAGIC[suffix]) and len(one) > 5000
    expected = {"ranks": b"data:d00", "curves": b"data:faces|hash:ab"}.get(kind, b"data:rows|split:none|hash:")
    assert expected in one and b"det:" in one and b"m2f2bench" in one
    assert not re.search(rb"CreationDate|<dc:date>|tIME", one)
    if suffix == "pdf":
        assert b"/FontFile2" in one and b"/Type3" not in one, "TrueType is embedded"
    if suffix == "svg":
        assert (b"stage detector" if kind == "curves" else b"protocol frame") in one, "text stays text"


@pytest.mark.slow
@pytest.mark.parametrize("wide", ["single", "double"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_text_overlaps_or_is_small(tmp_path: Path, kind: str, wide: str) -> None:
    names = [*HOSTILE, "a-very-long-detector-name-pretrained-on-imagenet-then-ffpp-c23-seed-0", "b" * 300]
    places = []
    for i, name in enumerate(names):
        if kind == "ranks":
            scores = (np.random.default_rng(i).random(9) + 0.1 * i) / (1 + 0.1 * i)
            write_results(tmp_path / f"r{i}", {name: scores.tolist()})
            places.append(tmp_path / f"r{i}")
        elif kind == "curves":
            places.append(write_training(tmp_path / f"t{i}", name, [(e + 1, 1 / (e + i + 1), 0.5) for e in range(9)]))
        elif i < 6 or kind != "histogram":
            folder = tmp_path / str(i)
            folder.mkdir()
            places.append(write_rows(folder / f"{name.replace('/', '-').strip()[:200]}.csv", seed=i))
    figure = plotter.draw(kind, *places, options=Options(width=wide, title="T" * 90)).figure
    assert figure.get_size_inches()[0] == {"single": 3.4, "double": 7.0}[wide]
    refuse_overlaps(figure)
    assert {t.get_fontsize() for t in figure.findobj(matplotlib.text.Text)} == {SIZE} and SIZE >= 7


def test_names_are_shown_as_they_are(tmp_path: Path) -> None:
    for i, name in enumerate(HOSTILE):
        write_results(tmp_path / str(i), {name: np.random.default_rng(i).random(4).tolist()})
    drawing = plotter.draw("ranks", *(tmp_path / str(i) for i in range(len(HOSTILE))), options=Options(width="double"))
    words = [text for text, _ in boxes(drawing.figure)]
    assert {"$x_1$", r"\frac{1}{2}$", "<script>alert(1)</script>", "_hidden", "100%{name}"} <= set(words)
    assert r"Ωmega é \u4e2d\u6587\n" in words
    out = tmp_path / "x.svg"
    plotter.plot("ranks", *(tmp_path / str(i) for i in range(len(HOSTILE))), out=out, width="double")
    assert b"<script>" not in out.read_bytes() and b"&lt;script" in out.read_bytes()


def test_files_with_any_name_can_be_read(tmp_path: Path) -> None:
    table = {f"{name}\x1b\x00": [0.1 * i, 0.2, 0.3] for i, name in enumerate(HOSTILE)}
    places = write_results(tmp_path / "r", table)  # type: ignore[arg-type]
    for suffix in MAGIC:
        plotter.plot("ranks", places, out=tmp_path / f"x.{suffix}", title="$t$ <b> \x1b中")
    title, told = r"$t$ <b> \x1b中", r"det:<script>alert(1)</script>\x1b\x00|weights:none"
    with Image.open(tmp_path / "x.png") as image:
        assert image.info["Title"] == title and told in image.info["Description"]
    words = [element.text for element in ElementTree.parse(tmp_path / "x.svg").iter()]
    assert title in words and any(told in (word or "") for word in words)


def test_foot_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    lines = [f"f{i},{i % 2},{'' if i < 10 else i / 100},{'no_face' if i < 10 else 'ok'}" for i in range(100)]
    path.write_text("\n".join(["id,label,score,status", *lines]))
    card = tmp_path / "bare.yaml"
    card.write_text("name: bare\nlevel: frame\nmetrics: [auc]\nbootstrap: {resamples: 0}\n")
    for protocol, banded in (("frame", True), (str(card), False)):
        figure = plotter.draw("roc", path, options=Options(protocol)).figure
        words = " ".join(text for text, _ in boxes(figure))
        assert "45 real + 45 fake frames · coverage 0.9" in words and ("bands: 95%" in words) == banded
        assert ("[95% interval]" in words) == banded and len(figure.axes[0].collections) == banded
    card.write_text("name: bare\nlevel: frame\nmissing: wrong\nmetrics: [auc]\n")
    words = " ".join(text for text, _ in boxes(plotter.draw("histogram", path, options=Options(str(card))).figure))
    assert "fake (45); 10 without a score" in words


def test_text_is_fitted() -> None:
    with styled():
        assert fit("short", 2.0) == ["short"]
        rows = fit("a-long-name-of-many-parts", 0.9)
        assert "".join(rows) == "a-long-name-of-many-parts" and rows[0].endswith("-")
        rows = fit("x" * 10_000, 1.0)
        assert len(rows) == 2 and ELLIPSIS in "".join(rows) and all(width(row) <= 1.0 for row in rows)
        alike = ["m" * 40 + c + "m" * 40 for c in "ab"]
        one, other = fit_all(alike, 1.0)
        assert one != other and one[0].startswith("(1)")
        assert fit("", 1.0) == [""] and clean("a\tb\x1b") == r"a\tb\x1b"
        assert paragraph(["one", "two"], 9.0) == ["one · two"] and len(paragraph(["one", "two"], 0.3)) == 2


def test_looks_differ_without_colour() -> None:
    looks = [look(i) for i in range(8)]
    assert len({str(own.dash) for own in looks}) == len({own.marker for own in looks}) == 8
    assert len({(own.colour, str(own.dash)) for own in map(look, range(64))}) == 64


def test_settings_of_the_user_neither_matter_nor_change(place, tmp_path: Path) -> None:
    rows = place("roc")
    first = plotter.plot("roc", rows, out=tmp_path / "a.png").read_bytes()
    with matplotlib.rc_context({"text.usetex": True, "font.size": 30.0, "lines.linewidth": 9.0}):
        second = plotter.plot("roc", rows, out=tmp_path / "b.png").read_bytes()
        assert matplotlib.rcParams["font.size"] == 30.0 and matplotlib.rcParams["text.usetex"] is True
    assert first == second


def test_runs_of_a_folder(cli, one_line, squares: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    words = ["run", "-s", squares, "-d", "constant", "-d", "random", "--out", runs]
    assert cli(*words, "-p", "frame", "-p", "frame-oracle").status == 0
    with pytest.raises(ScoreError, match=r"several protocols, frame, frame-oracle: give --protocol"):
        plotter.draw("roc", runs)
    drawing = plotter.draw("roc", runs, options=Options("frame"))
    assert [line.get_gid() for line in drawing.figure.axes[0].lines][1:] == ["curve-0", "curve-1"]
    foot = " ".join(text for text, _ in boxes(drawing.figure))
    assert "squares · protocol frame · 24 real + 24 fake frames" in foot and "data " in foot
    with pytest.raises(ScoreError, match="no result of the protocol 'video'"):
        plotter.draw("roc", runs, options=Options("video"))
    pair = runs / "constant--squares--frame", runs / "random--squares--frame-oracle"
    with pytest.raises(ScoreError, match=r"differ in threshold \(thr: 0.5 / best-accuracy@test-ORACLE\)"):
        plotter.draw("roc", *pair)
    oracle = plotter.draw("methods", runs, options=Options("frame-oracle", metric="accuracy"))
    assert "ORACLE" in oracle.figure.axes[0].get_xlabel()


def test_refusals(place, tmp_path: Path) -> None:
    rows = place("roc")
    out = tmp_path / "x.png"

    def line(*words: object, **options: object) -> str:
        with pytest.raises(M2F2BenchError) as caught:
            plotter.plot(*words, **({"out": out} | options))  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "did you mean 'roc'" in line("rocs", rows)
    assert ".png, .pdf or .svg" in line("roc", rows, out=tmp_path / "x.jpg")
    assert "needs at least one place" in line("roc")
    assert "there is no file or folder" in line("roc", tmp_path / "none.csv")
    (tmp_path / "empty").mkdir()
    assert "has no result.json in it" in line("roc", tmp_path / "empty")
    assert "not a result file" in line("ranks", rows)
    assert "--log-x has no effect on pr" in line("pr", rows, log_x=True)
    assert "--metric has no effect on roc" in line("roc", rows, metric="ap")
    assert "--group has no effect on methods" in line("methods", rows, group="average")
    assert "--no-bands has no effect on ranks" in line("ranks", rows, bands=False)
    assert "did you mean 'FaceSwap'" in line("roc", rows, group="FaceSwop")
    assert "no mean over methods" in line("reliability", rows, group="average")
    assert "did you mean 'accuracy'" in line("methods", rows, metric="acuracy")
    assert "single (3.4 inches) or double (7)" in line("roc", rows, width="triple")
    assert "given twice" in line("roc", rows, rows)
    reals = tmp_path / "reals.csv"
    reals.write_text("id,label,score\na,0,0.1\nb,0,0.2\n")
    assert "'reals' has no AUC and therefore no curve: no fake unit has a score" in line("roc", reals)
    assert "no detector has a value of AUC" in line("methods", reals)
    assert not out.exists()


def test_command_line(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(plot_command)
    rows = write_rows(tmp_path / "rows.csv")
    renamed = tmp_path / "renamed.csv"
    renamed.write_text(rows.read_text().replace("id,label", "image,label", 1))
    out = tmp_path / "deep" / "x.png"
    words = ["roc", renamed, "--out", out, "--column", "id=image", "--group", "average", "--log-x", "--no-bands"]
    outcome = CliRunner().invoke(app, list(map(str, words)))
    assert outcome.exit_code == 0 and outcome.output == f"wrote {out}\n", outcome.output
    with Image.open(out) as image:
        assert image.width == round(3.4 * 300) and "det:renamed" in image.info["Description"]
        assert "average" in image.info["Title"]


def test_nothing_heavy_is_imported_before_it_is_drawn() -> None:
    code = "import sys, m2f2bench.reporting.figures.plot, m2f2bench.cli.score\n"
    code += "print({'matplotlib', 'torch', 'scipy'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_one_class_has_a_histogram_and_a_reliability_diagram(tmp_path: Path) -> None:
    for label, word in ((0, "reals"), (1, "fakes")):
        path = tmp_path / f"{word}.csv"
        path.write_text("id,label,score\n" + "".join(f"f{i},{label},0.{i}\n" for i in range(9)))
        refuse_overlaps(plotter.draw("histogram", path).figure)
        refuse_overlaps(plotter.draw("reliability", path).figure)


def test_ranks_refuse_and_leave_out_aloud(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    few = write_results(tmp_path / "few", {"a": [0.5, 0.6, 0.7], "b": [0.6, 0.7, 0.8]})
    with pytest.raises(ScoreError, match="3 detectors and 3 datasets; here 2 detectors have a value on all 3 datasets"):
        plotter.draw("ranks", few)
    short = write_results(tmp_path / "short", {name: [0.5, 0.6] for name in "abc"})
    with pytest.raises(ScoreError, match="here 3 detectors have a value on all 2 datasets"):
        plotter.draw("ranks", short)
    table: dict[str, list[float | None]] = {name: [0.1 * i, 0.2, 0.3 + 0.01 * i] for i, name in enumerate("abc")}
    holes = write_results(tmp_path / "holes", table | {"gap": [0.5, None, 0.6]})
    caplog.set_level("INFO", "m2f2bench")
    words = " ".join(text for text, _ in boxes(plotter.draw("ranks", holes).figure))
    told = "left out: 'gap', which has no value on d01"
    assert told in words and told in caplog.text
    write_result(holes / "other.json", "d", "d01", 0.5, hash="another")
    with pytest.raises(ScoreError, match=r"'d01' cannot be ranked together because they differ in data .* \(hash: "):
        plotter.draw("ranks", holes)
    (holes / "other.json").unlink()
    write_result(holes / "video.json", "a", "d01", 0.5, protocol="video")
    with pytest.raises(ScoreError, match="several protocols, frame, video: give --protocol"):
        plotter.draw("ranks", holes)
    assert plotter.draw("ranks", holes, options=Options("frame")).signature.count("data:") == 3
