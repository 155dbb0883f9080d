"""People in two corpora: told before a detector is judged, kept in the result, and marked on the board."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml
from paths import ROOT

import m2f2bench
from m2f2bench.cards.corpora import shared_line
from m2f2bench.cards.models import DatasetCard, DetectorCard, people_of
from m2f2bench.core.records import Prediction, Score
from m2f2bench.core.rows import from_predictions
from m2f2bench.leaderboards.board import build_board
from m2f2bench.leaderboards.render import render
from m2f2bench.leaderboards.table import domain_of
from m2f2bench.results.form import parse_result
from m2f2bench.results.result import Result
from m2f2bench.results.stored import read_stored

FF = "FaceForensics++"
CARDS: dict[str, dict[str, Any]] = {
    "ff": {"source": FF},
    "ff-small": {"source": FF.upper()},
    "deeper": {"source": "DeeperForensics", "people": [FF]},
    "df40": {"people": ["faceforensics++", "Celeb-DF"]},
    "celeb": {"source": "Celeb-DF"},
    "other": {},
}


def right(trained: str, tested: str) -> str:
    """The mark by hand: the sets of people are FaceForensics++, DeeperForensics, DF40, Celeb-DF and other."""
    if trained == tested:
        return "dataset"
    if {trained, tested} == {"ff", "ff-small"}:
        return "corpus"
    has = {
        "ff": {"f"}, "ff-small": {"f"}, "deeper": {"f", "d"}, "df40": {"f", "c", "4"}, "celeb": {"c"}, "other": {"o"},
    }  # fmt: skip
    return "people" if has[trained] & has[tested] else ""


def result(dataset: str, trained: str, written: bool) -> Result:
    """A result of today (`written`), which names corpora, or one that names datasets alone."""
    cards = [DatasetCard(name=name, adapter="folder", **CARDS[name]) for name in (dataset, trained)]
    sources = {"training_sources": [cards[1].corpus]}
    if cards[1].people:
        sources["training_people"] = list(cards[1].people)
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
        measured={},
        training_datasets=(trained,),
        source=cards[0].corpus if written else "",
        people=cards[0].people if written else (),
        detector_card=sources if written else {},
    )


@pytest.mark.parametrize("trained", CARDS)
@pytest.mark.parametrize("tested", CARDS)
def test_marks_go_by_the_people(trained: str, tested: str, cards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the cards for a result that names datasets alone, and without any card for one that names corpora."""
    assert domain_of(result(tested, trained, False)) == right(trained, tested)
    monkeypatch.setenv("M2F2BENCH_CARDS", str(ROOT))
    assert people_of("deeper") == ()
    assert domain_of(result(tested, trained, True)) == right(trained, tested)


@pytest.fixture
def cards(tmp_path: Path, squares: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Cards of the same little data under all names."""
    folder = tmp_path / "cards" / "datasets"
    folder.mkdir(parents=True)
    lines = ["path,label,split,identity"]
    for i in range(48):
        split = ("train", "train", "val", "test")[i % 24 // 6]
        lines.append(f"{'real' if i < 24 else 'fake'}/{i % 24:02d}.png,{int(i >= 24)},{split},p{i % 24}")
    (squares / "m.csv").write_text("\n".join(lines))
    for name, more in CARDS.items():
        card = {"name": name, "adapter": "folder", "root": str(squares), "options": {"manifest": "m.csv"}, **more}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(card))
    monkeypatch.setenv("M2F2BENCH_CARDS", str(tmp_path / "cards"))
    return tmp_path


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in caplog.messages if "was trained on" in line]


def test_from_training_to_the_board_without_the_cards(
    cards: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "m2f2bench")
    card = m2f2bench.train("frequency", "ff", out=cards / "t")
    assert (
        "training_people" not in card.read_text() and "training_people" not in (cards / "t/training.json").read_text()
    )
    caplog.clear()
    names = ["ff", "ff-small", "deeper", "other"]
    results = m2f2bench.run(detectors=str(card), datasets=names, protocols=["frame", "video"], out=cards / "r")
    assert told(caplog) == [
        f"detector frequency was trained on ff, whose people are also in ff-small ({FF.upper()})",
        f"detector frequency was trained on ff, whose people are also in deeper ({FF})",
    ]
    by_name = {(one.dataset, one.protocol): json.loads((place / "result.json").read_text())
               for one, place in zip(results, results.folders, strict=True)}  # fmt: skip
    assert by_name["deeper", "frame"]["people"] == [FF]
    assert all("people" not in one for (name, _), one in by_name.items() if name != "deeper")
    assert all("training_people" not in one["detector_card"] for one in by_name.values())
    folders = [place for one, place in zip(results, results.folders, strict=True) if one.protocol == "frame"]
    again = m2f2bench.score(folders[2], protocol="frame")
    assert again.people == (FF,) and parse_result(by_name["deeper", "frame"]).people == (FF,)
    monkeypatch.setenv("M2F2BENCH_CARDS", str(ROOT))
    board = build_board(read_stored(folders))
    kinds = {c.dataset: x.domain for c, x in zip(board.table.columns, board.table.rows[0].cells, strict=True) if x}
    assert kinds == {"ff": "dataset", "ff-small": "corpus", "deeper": "people", "other": ""}
    md, tex, html = (render(board, form) for form in ("md", "tex", "html"))
    (row,) = [line for line in md.splitlines() if "frequency" in line and line.startswith("|")]
    assert [row.count(mark) for mark in "†‡§"] == [1, 1, 1]
    legend = "§ in-domain by people: the detector was trained on another corpus, and some people are in both"
    assert f"\n{legend}.\n" in md and f"<li>{legend}</li>" in html
    assert '<sup aria-hidden="true">§</sup>' in html and "numbers without a mark are" in html
    assert tex.count(r"\S{}") == 2 and "§" not in tex
    cells = [cell for line in json.loads(render(board, "json"))["rows"] for cell in line["cells"]]
    assert [(cell["in_domain"], cell["domain"]) for cell in cells][2:] == [(True, "people"), (False, "")]
    csv = [line.split(",") for line in render(board, "csv").splitlines()]
    assert [line[csv[0].index("in_domain")] for line in csv[1:]] == ["1", "1", "1", "0"]
    assert legend in board._repr_html_()


def test_a_detector_keeps_the_people_it_was_trained_on(cards: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = m2f2bench.train("frequency", "deeper", out=cards / "t")
    kept = yaml.safe_load(first.read_text())
    assert kept["training_sources"] == ["DeeperForensics"] and kept["training_people"] == [FF]
    assert json.loads((cards / "t" / "training.json").read_text())["training_people"] == [FF]
    (cards / "more.yaml").write_text(yaml.safe_dump({**kept, "name": "more", "weights": None}))
    second = yaml.safe_load(m2f2bench.train(str(cards / "more.yaml"), "celeb", out=cards / "u").read_text())
    assert second["training_people"] == [FF] and second["training_sources"] == ["DeeperForensics", "Celeb-DF"]
    caplog.set_level(logging.INFO, "m2f2bench")
    results = m2f2bench.run(detectors=str(cards / "u"), datasets=["ff", "df40", "other"], out=cards / "r")
    assert told(caplog) == [
        f"detector more was trained on deeper, whose people are also in ff ({FF})",
        "detector more was trained on deeper, celeb, whose people are also in df40 (faceforensics++, Celeb-DF)",
    ]
    assert results[0].detector_card["training_people"] == [FF]
    caplog.clear()
    (report,) = m2f2bench.check(results.folders[0], detector=str(cards / "u"), dataset="ff")
    assert report.passed and len(told(caplog)) == 1


def test_a_detector_without_training_or_of_the_same_data_is_not_told_about() -> None:
    deeper = DatasetCard(name="deeper", adapter="folder", source="D", people=(FF,))
    trained = DetectorCard(name="d", backend="constant", training_datasets=("deeper",), training_sources=("D",))
    assert shared_line(trained, deeper) == ""
    assert shared_line(DetectorCard(name="d", backend="constant"), deeper) == ""
    sources = DetectorCard(name="d", backend="constant", training_sources=("d",))
    assert shared_line(sources, deeper) == "detector d was trained on d, whose people are also in deeper (D)"


def test_people_with_the_corpus_in_their_name_are_people_of_their_own() -> None:
    """Joined by `+`, `FaceForensics++:033` was cut in three, and all people of the corpus were one cluster."""
    from m2f2bench.loading import load_protocol
    from m2f2bench.results.units import to_units

    rows = [
        Prediction(f"f{i}", f"v{i}", "original" if i % 2 else "Swap", f"{FF}:{i:03d}+w{i}", 1 - i % 2, "ok", 0.5)
        for i in range(24)
    ]
    units = to_units(from_predictions(rows), load_protocol("frame"))
    assert len(set(units.cluster.tolist())) == 24
