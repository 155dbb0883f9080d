"""In-domain marks: a detector that was trained on a corpus is in-domain on all of its forms, and on nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from paths import ROOT

import m2f2bench
from m2f2bench.cards.folders import iter_cards
from m2f2bench.cards.models import DatasetCard, corpus_of, read_card
from m2f2bench.core.records import Score
from m2f2bench.leaderboards.board import build_board
from m2f2bench.leaderboards.render import render
from m2f2bench.leaderboards.table import build_table, domain_of
from m2f2bench.results.result import Result
from m2f2bench.results.stored import read_stored


def result(dataset: str, trained_on: tuple[str, ...] = (), source: str = "", sources: tuple[str, ...] = ()) -> Result:
    measured = {"data": dataset, "split": "test", "hash": "h", "n": 4, "det": "d"}
    return Result(
        detector="d",
        dataset=dataset,
        split="test",
        protocol="frame",
        metrics={"auc": Score(0.9, 2, 2)},
        methods={},
        coverage=1.0,
        statuses={"ok": 4},
        signature="s",
        measured=measured,
        training_datasets=trained_on,
        source=source,
        detector_card={"training_sources": list(sources)} if sources else {},
    )


OWN = {
    "ffpp-c23": "FaceForensics++",
    "ffpp-c40": "FaceForensics++",
    "ddvqa-c23": "FaceForensics++",
    "ddvqa-c40": "FaceForensics++",
    "synthetic": "synthetic",
    "synthetic-c40": "synthetic",
    "synthetic-unseen": "synthetic",
    "somebodys": "somebodys",
}


@pytest.mark.parametrize("trained", OWN)
@pytest.mark.parametrize("tested", OWN)
def test_a15_marks_go_by_the_corpus(trained: str, tested: str) -> None:
    """Of results that name datasets alone (as older ones do), by the packages' cards and, without one, by the name."""
    right = "dataset" if trained == tested else "corpus" if OWN[trained] == OWN[tested] else ""
    assert domain_of(result(tested, (trained,))) == right
    assert domain_of(result(tested)) == ""


def test_a15_trained_on_c23_and_tested_on_c40_is_in_domain() -> None:
    board = build_table([result("ffpp-c40", ("ffpp-c23",))])
    (cell,) = board.rows[0].cells
    assert cell is not None and cell.in_domain and cell.mark == "‡"


def test_a15_every_dataset_card_of_the_package_says_its_corpus() -> None:
    found = {path.stem: read_card("datasets", path) for path in iter_cards("datasets")}
    corpora = {name: card.corpus for name, card in found.items() if isinstance(card, DatasetCard)}
    assert corpora.items() >= {name: corpus for name, corpus in OWN.items() if name != "somebodys"}.items()
    assert all(corpora.values())


NAMES = st.sampled_from(["a", "b", "c", "ffpp-c23"])
CORPORA = st.sampled_from(["", "X", "x", "Y", "FaceForensics++"])


@given(NAMES, CORPORA, st.lists(st.tuples(NAMES, CORPORA), max_size=3))
def test_a15_in_domain_exactly_where_a_corpus_is_shared(dataset: str, source: str, trained: list[Any]) -> None:
    """What the results themselves name is enough: no card is asked for it."""
    names = tuple(name for name, _ in trained)
    sources = tuple(corpus or name for name, corpus in trained)
    shared = (source or dataset).casefold() in {one.casefold() for one in (*names, *sources)}
    found = domain_of(result(dataset, names, source or dataset, sources), lambda name: name)
    assert found == ("dataset" if dataset in names else "corpus" if shared else "")


def test_a15_a_broken_card_is_no_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "bad.yaml").write_text("name: bad\nadaptor: folder\n")
    (tmp_path / "datasets" / "good.yaml").write_text("name: good\nadapter: folder\nsource: Celeb-DF\n")
    monkeypatch.setenv("M2F2BENCH_CARDS", str(tmp_path))
    assert (corpus_of("bad"), corpus_of("good"), corpus_of("none")) == ("bad", "Celeb-DF", "none")


@pytest.fixture
def three(tmp_path: Path, squares: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Cards of one corpus in two compressions, and of another: `one`, `two`, `other`."""
    folder = tmp_path / "cards" / "datasets"
    folder.mkdir(parents=True)
    lines = ["path,label,split,identity"]
    for i in range(48):
        split = ("train", "train", "val", "test")[i % 24 // 6]
        lines.append(f"{'real' if i < 24 else 'fake'}/{i % 24:02d}.png,{int(i >= 24)},{split},p{i % 24}")
    (squares / "m.csv").write_text("\n".join(lines))
    for name, source in (("one", "Celeb-DF"), ("two", "celeb-df"), ("other", "")):
        card = {"name": name, "adapter": "folder", "root": str(squares), "options": {"manifest": "m.csv"}}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({**card, **({"source": source} if source else {})}))
    monkeypatch.setenv("M2F2BENCH_CARDS", str(tmp_path / "cards"))
    return tmp_path


def test_a15_from_training_to_the_board_without_the_cards(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = m2f2bench.train("frequency", "one", out=three / "t")
    assert yaml.safe_load(card.read_text())["training_sources"] == ["Celeb-DF"]
    assert json.loads((three / "t" / "training.json").read_text())["training_sources"] == ["Celeb-DF"]
    results = m2f2bench.run(detectors=str(card), datasets=["one", "two", "other"], out=three / "r")
    again = m2f2bench.score(results.folders[1], protocol="frame")
    assert again.source == "celeb-df"
    monkeypatch.setenv("M2F2BENCH_CARDS", str(ROOT))
    board = build_board(read_stored(results.folders))
    marks = {
        c.dataset: cell.domain for c, cell in zip(board.table.columns, board.table.rows[0].cells, strict=True) if cell
    }
    assert marks == {"one": "dataset", "two": "corpus", "other": ""}
    md, tex, html = (render(board, form) for form in ("md", "tex", "html"))
    (row,) = [line for line in md.splitlines() if "frequency" in line and line.startswith("|")]
    assert row.count("†") == 1 and row.count("‡") == 1
    assert (
        "† in-domain: the detector was trained on this dataset's" in md
        and "‡ in-domain: the detector was trained" in md
    )
    assert tex.count(r"\dag{}") == 2 and tex.count(r"\ddag{}") == 2
    assert '<sup aria-hidden="true">†</sup>' in html and '<sup aria-hidden="true">‡</sup>' in html
    assert "<li>‡ in-domain: the detector was trained on the same corpus" in html
    cells = [cell for row in json.loads(render(board, "json"))["rows"] for cell in row["cells"]]
    assert [(cell["in_domain"], cell["domain"]) for cell in cells] == [(True, "dataset"), (True, "corpus"), (False, "")]
    csv = [line.split(",") for line in render(board, "csv").splitlines()]
    assert [line[csv[0].index("in_domain")] for line in csv[1:]] == ["1", "1", "0"]


def test_a15_a_trained_detector_that_is_trained_on_keeps_its_corpora(three: Path) -> None:
    first = m2f2bench.train("frequency", "one", out=three / "t")
    again = yaml.safe_load(first.read_text())
    (three / "more.yaml").write_text(yaml.safe_dump({**again, "name": "more", "weights": None}))
    second = m2f2bench.train(str(three / "more.yaml"), "other", out=three / "u")
    told = yaml.safe_load(second.read_text())
    assert told["training_datasets"] == ["one", "other"] and told["training_sources"] == ["Celeb-DF", "other"]
