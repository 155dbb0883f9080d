"""The board: what is marked best, what stands beside it, and one hard table in all five formats."""

from __future__ import annotations

import csv
import io
import json
import runpy
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from one_line import error_of
from paths import ROOT

import m2f2bench
from m2f2bench.cards.models import LeaderboardCard
from m2f2bench.core.records import Score
from m2f2bench.leaderboards.board import POINTS, Board, build_board, gather, mark_best, read_evidence
from m2f2bench.leaderboards.published import load_published
from m2f2bench.leaderboards.render import FORMATS, in_latex, render
from m2f2bench.leaderboards.table import build_table
from m2f2bench.results.result import Result
from m2f2bench.results.signature import short
from m2f2bench.results.stored import read_stored

LONG = "a-detector-whose-name-goes-on-and-on-" + "and-on-" * 12
NASTY = r"<script>alert(1)</script> & 100% _under_ $x$ #1 \cmd {b} ~^ `tick` |pipe| 検出器 [x]"


def simulated(folder: Path, name: str, gain: float, n: int = 400, holes: int = 0, seed: int = 0) -> Path:
    """A file of rows of a detector of that strength on the same frames."""
    rng = np.random.default_rng([seed, sum(map(ord, name))])
    label = np.arange(n) % 2
    score = 1 / (1 + np.exp(-(gain * (label - 0.5) + rng.normal(size=n))))
    status = np.where(np.arange(n) < holes, "no_face", "ok")
    table = pd.DataFrame({"id": [f"f{i:04d}" for i in range(n)], "label": label, "score": score, "status": status})
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.parquet"
    table.to_parquet(path)
    return path


def stored(folder: Path, *files: Path) -> Path:
    """Results of files of rows as a board's folder holds them."""
    for path in files:
        result = m2f2bench.score(path)
        (folder / "results").mkdir(parents=True, exist_ok=True)
        (folder / "predictions").mkdir(exist_ok=True)
        (folder / "results" / f"{path.stem}.json").write_text(json.dumps(result.to_json()))
        shutil.copy(path, folder / "predictions" / path.name)
    return folder / "results"


def best(board: Board, metric: str = "auc") -> list[str]:
    index = next(i for i, column in enumerate(board.table.columns) if column.metric == metric)
    cells = [(row.detector, row.cells[index]) for row in board.table.rows]
    return [name for name, cell in cells if cell is not None and cell.best]


def test_the_best_is_marked_only_where_the_paired_test_says_so(tmp_path: Path) -> None:
    rows = tmp_path / "rows"
    clear = stored(
        tmp_path / "clear", *(simulated(rows, n, g) for n, g in (("good", 3.0), ("fair", 1.0), ("poor", 0.5)))
    )
    board = build_board(read_stored([clear]))
    assert best(board) == ["good"] and best(board, "eer") == ["good"], "lower is better for the EER"
    assert "**0.9" in render(board, "md") and "**bold**: better than every other" in render(board, "md")
    close = stored(
        tmp_path / "close", *(simulated(rows, n, g) for n, g in (("one", 1.5), ("two", 1.45), ("poor", 0.1)))
    )
    assert best(build_board(read_stored([close]))) == [], "one and two are not told apart"
    (tmp_path / "clear" / "predictions" / "poor.parquet").unlink()
    assert best(build_board(read_stored([clear]))) == [], "without the rows of one nobody knows"


def test_uneven_coverage_and_a_single_row_mark_nothing(tmp_path: Path) -> None:
    rows = tmp_path / "rows"
    holes = stored(tmp_path / "a", simulated(rows, "good", 3.0, holes=12), simulated(rows, "poor", 0.2))
    board = build_board(read_stored([holes]))
    assert best(board) == [] and "(coverage 0.970)" in render(board, "md")
    alone = stored(tmp_path / "b", simulated(rows, "alone", 3.0))
    assert best(build_board(read_stored([alone]))) == []


def test_curves_are_thinned_and_keep_their_area(tmp_path: Path) -> None:
    results = stored(tmp_path / "a", simulated(tmp_path / "rows", "many", 1.5, n=5000))
    curve = build_board(read_stored([results])).curves[0]
    assert len(curve.fpr) <= POINTS and (curve.fpr[0], curve.tpr[0], curve.fpr[-1], curve.tpr[-1]) == (0, 0, 1, 1)
    assert list(curve.fpr) == sorted(curve.fpr) and list(curve.tpr) == sorted(curve.tpr)
    assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(curve.auc.value, abs=2e-3)


def made(detector: str, dataset: str, value: float | None, protocol: str = "frame", **changes: object) -> Result:
    measured = {"data": dataset, "split": "test", "hash": "0123456789ab", "n": 4, "level": "frame"}
    measured |= {"det": detector, "weights": "w"} | {k: v for k, v in changes.items() if k in ("hash", "level")}
    ci = None if value is None else (max(-1.0, value - 0.05), min(1.0, value + 0.05))
    auc = Score(value, 2, 2, ci, None if value is not None else "no fake unit has a score")
    metrics = {"auc": auc, "mcc": Score(-0.2, 2, 2, (-0.4, 0.01))}
    coverage = float(str(changes.get("coverage", 1.0)))
    names = (detector, dataset, "test", protocol)
    trained = ("d",) if detector == LONG else ()
    return Result(*names, metrics, {}, coverage, {"ok": 4}, short(measured), measured, training_datasets=trained)


HARD = [
    made(LONG, "d", 0.8),
    made(LONG, "e", 0.7),
    made("tied", "d", 0.8),
    made("tied", "e", 0.6, coverage=0.97),
    made(NASTY, "d", 0.55),
    made(NASTY, "e", None),
    made("half", "d", 0.9),
    made("other", "d", 0.6, hash="ba9876543210"),
    made("other", "e", 0.5),
]
CARD = LeaderboardCard.model_validate(
    {
        "name": "hard",
        "title": "A hard table_100% & more",
        "columns": [{"dataset": "d"}, {"dataset": "e"}, {"dataset": "d", "metric": "mcc"}, {"dataset": "nowhere"}],
    }
)


@pytest.fixture
def hard() -> Board:
    """A missing dataset, two incomparable results, a tie, coverage .97, a negative number, a null, hard names."""
    return Board(mark_best(build_table(HARD, CARD), {}), published=tuple(load_published()))


def test_ranks_of_the_hard_table(hard: Board) -> None:
    titles = [column.title for column in hard.table.columns]
    assert (
        titles[:2] == ["d · frame · AUC", "d · frame · AUC · hash:ba9876543210"] and "nowhere · frame · AUC" in titles
    )
    assert all(row.rank is None for row in hard.table.rows), "no detector has all columns"


def test_markdown_of_the_hard_table(hard: Board) -> None:
    text = render(hard, "md")
    assert LONG in text and "0.800† [0.750, 0.850]" in text and "(coverage 0.970)" in text
    assert "-0.200 [-0.400, 0.010]" in text and "null (no fake unit has a score)" in text
    assert "&lt;script>" in text and "\\|pipe\\|" in text
    assert all("<script>" not in line for line in text.splitlines() if not line.startswith("- ["))
    assert all(line.count("`") == 2 for line in text.splitlines() if line.startswith("- [")), (
        "in a code span nothing runs"
    )
    lines = [line for line in text.split("## Published")[0].splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1, "every row has all cells"
    assert "Not measured here" in text and "Meso4" in text


def test_csv_and_json_of_the_hard_table(hard: Board) -> None:
    rows = list(csv.DictReader(io.StringIO(render(hard, "csv"))))
    assert len(rows) == len(hard.table.rows) * len(hard.table.columns)
    nasty = [row for row in rows if row["detector"] == NASTY]
    assert {row["reason"] for row in nasty if not row["value"]} == {"no result", "no fake unit has a score"}
    assert float(next(row["value"] for row in rows if row["metric"] == "mcc" and row["value"])) == -0.2
    data = json.loads(render(hard, "json"))
    assert len(data["published"]) == 150 and {row["detector"] for row in data["rows"]} >= {LONG, NASTY}


def test_latex_of_the_hard_table_compiles(hard: Board, tmp_path: Path) -> None:
    text = render(hard, "tex")
    assert r"\textless{}script\textgreater{}" in text and r"\texttt{[U+691C]}" in text
    assert r"$-$0.200" in text and "coverage 0.970" in text and r"\dag{}" in text
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex here (Debian: texlive-latex-base)")
    document = r"\documentclass{article}\usepackage{booktabs,graphicx,textcomp}\usepackage[T1]{fontenc}\begin{document}"
    if subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True).returncode != 0:
        # Debian has it in texlive-latex-recommended; without it the rules stand in for its own.
        rules = "".join(rf"\newcommand\{name}{{\hline}}" for name in ("toprule", "midrule", "bottomrule"))
        document = document.replace("booktabs,", "").replace(
            r"\begin{document}",
            rf"{rules}\newcommand\cmidrule{{}}\def\cmidrule(#1)#2{{\cline{{#2}}}}\begin{{document}}",
        )
    (tmp_path / "t.tex").write_text(f"{document}\n{text}\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "t.pdf").stat().st_size > 10_000


def test_html_of_the_hard_table(hard: Board) -> None:
    text = render(hard, "html")
    assert "<script>alert(1)" not in text and "alert(1)" in text and LONG in text and "0.97" in text


@pytest.mark.parametrize("text", ["", "a_b", "50%", r"\input{x}", "é ü", "日本", "a\nb", "–≤±"])
def test_latex_escapes(text: str) -> None:
    found = in_latex(text)
    assert "\n" not in found and all(ord(c) < 128 for c in found)
    assert r"\input" not in found


def test_published_figures() -> None:
    figures = {(f.detector, f.dataset, f.metric, f.source): f.value for f in load_published()}
    assert figures["Xception", "Celeb-DF v2", "auc", "DeepfakeBench README"] == 0.7365
    assert figures["M2F2-Det", "FF++ c40", "auc", "M2F2-Det paper, in-domain"] == 0.9658
    assert figures["M2F2-Det", "DD-VQA", "cider", "M2F2-Det's released answers"] == 3.3851
    assert all(f.level and f.trained_on and f.selection and f.where for f in load_published())


def test_figures_of_other_code_than_their_papers_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {(f.source, f.detector): f.deviates for f in load_published()}
    assert "FAD" in known["DeepfakeBench README", "F3Net"] and known["DeepfakeBench README", "Xception"] == ""
    board = Board(mark_best(build_table(HARD, CARD), {}), published=tuple(load_published()))
    text = render(board, "md").split("### DeepfakeBench README")[1].split("###")[0]
    assert "| F3Net † " in text and "| Xception  " in text
    assert "\n† the code that gave these figures is not the paper:\n" in text
    assert any(line.startswith("- F3Net: ") and "FAD" in line for line in text.splitlines())
    (tmp_path / "leaderboards").mkdir()
    (tmp_path / "leaderboards" / "published.yaml").write_text(
        "sources: [{name: a, where: b, level: frame, trained_on: c, selection: d, figures: {X: {DFD: 0.5}}, "
        "deviates: {Y: what}}]\n"
    )
    monkeypatch.setenv("M2F2BENCH_CARDS", str(tmp_path))
    assert "deviates names 'Y'" in error_of(load_published)


def test_published_only_when_asked_for(cli, tmp_path: Path) -> None:
    results = stored(tmp_path / "a", simulated(tmp_path / "rows", "one", 1.0))
    assert "Published" not in cli("leaderboard", results).out
    text = cli("leaderboard", results, "--with-published").out
    assert "## Published figures" in text and "never" not in text.split("## Published")[0]
    assert cli("leaderboard", results, "--out", tmp_path / "t.tex").status == 0
    assert (tmp_path / "t.tex").read_text().startswith("% needs")


def test_the_committed_board_is_made_of_its_rows() -> None:
    """Results, from their rows again; tables, from the results again."""
    folder = ROOT / "leaderboards"
    files = sorted((folder / "results").glob("*.json"))
    assert len(files) == 6
    for file in files:
        assert m2f2bench.validate_result(file) == [], file
    assert len(read_evidence(read_stored([folder / "results"]))) == 6, "all have their rows"
    board = gather(["ddvqa-c40"], published=True)
    for format in set(FORMATS) - {"json"}:
        assert render(board, format) == (folder / f"ddvqa-c40.{format}").read_text(encoding="utf-8"), format


@pytest.mark.parametrize("name", ["ddvqa-c40-released", "ddvqa-c40-blind"])
def test_the_committed_explanation_boards_are_made_of_their_results(name: str) -> None:
    """Results against their signatures and resamples; tables, from the results again."""
    folder = ROOT / "leaderboards"
    board = gather([name])
    for format in set(FORMATS) - {"json"}:
        assert render(board, format) == (folder / f"{name}.{format}").read_text(encoding="utf-8"), format


def test_the_committed_explanation_results_are_sound() -> None:
    folder = ROOT / "leaderboards" / "explanations"
    files = sorted(folder.glob("*.json"))
    assert len(files) == 57
    for file in files:
        assert m2f2bench.validate_result(file) == [], file
        assert file.with_suffix(".parquet").is_file(), file
    published = next(file for file in files if file.name.startswith("m2f2-det-published--ddvqa-c40--m2f2-released"))
    found = {name: one.value for name, one in read_stored([published])[0].result.metrics.items()}
    assert [round(found[f"bleu{n}"] or 0.0, 5) for n in range(1, 5)] == [0.53736, 0.47823, 0.43613, 0.40003]


def test_the_findings_tell_the_explanations_as_they_are() -> None:
    """Every number of the page's tables of explainers and controls is a committed result's, value and interval."""
    root = ROOT
    place = root / "docs" / "_made" / "findings.py"
    page = (root / "docs" / "findings" / "explanations.md").read_text(encoding="utf-8")
    text = runpy.run_path(str(place))["fill"](page).replace("\u00a0", " ")
    stored = read_stored([root / "leaderboards" / "explanations"])
    found = {one.result.detector + one.result.protocol: one.result for one in stored}

    def told(score: Score, digits: int = 3) -> str:
        assert score.value is not None and score.ci is not None
        numbers = [f"{v:.{digits}f}".removeprefix("0") for v in (score.value, *score.ci)]
        return f"{numbers[0]} [{numbers[1]}, {numbers[2]}]"

    controls = ("control-medoid-label", "control-frequent-label", "control-frequent-hidden")
    published = [f"control-{kind}-verdict@m2f2-det-published" for kind in ("medoid", "frequent")]
    own = [f"control-{kind}-verdict@m2f2det-small-explainer" for kind in ("medoid", "frequent")]
    released = ("m2f2-det-published", "m2f2det-small-explainer", "control-example", "control-shuffled")
    blind = ("m2f2det-small-explainer", "control-medoid-hidden")
    asked = [("explain-released", name) for name in (*controls, *published, *released)]
    for protocol, name in [*asked, *(("explain-blind", name) for name in (*controls, *own, *blind))]:
        words, meaning = found[name + protocol].metrics, found[f"{name}{protocol}-meaning"].metrics
        cells = [told(words[key], 2 if key == "cider" else 3) for key in ("bleu", "rouge_l", "cider", "meteor")]
        cells += [told(meaning["bertscore_f1"])]
        cells += [told(words["verdict_accuracy"])] if protocol == "explain-blind" else []
        assert f"| {' | '.join(cells)} |" in text, name
