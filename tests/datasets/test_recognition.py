"""Folders that are given in place of a card: which card's layout they have; the data folder or the dataset's own."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from one_line import error_of
from toy_layout import write_cards, write_root

import m2f2bench
from m2f2bench.cards.folders import CARDS_VARIABLE, DATA_VARIABLE
from m2f2bench.cards.models import DatasetCard
from m2f2bench.core.errors import CardError
from m2f2bench.loading import measured_dataset


@pytest.fixture(autouse=True)
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = write_cards(tmp_path / "cards")
    monkeypatch.setenv(CARDS_VARIABLE, str(place))
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    return place


def test_a_known_layout_gets_its_card(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_root(tmp_path / "x" / "y", ("films",))
    with caplog.at_level(logging.INFO, "m2f2bench"):
        dataset = m2f2bench.load_dataset(str(root))
    assert dataset.name == "other" and dataset.adapter.root == root
    assert [one.getMessage() for one in caplog.records] == [f"'{root}' is laid out as other: its card is used"]
    assert len({frame.video for frame in dataset.frames("test")}) == 7 and dataset.card.corpus == "other"
    assert measured_dataset("other", tmp_path / "run") == "other"


def test_two_layouts_in_one_folder_are_one_line(tmp_path: Path) -> None:
    root = write_root(tmp_path / "y", ("c23", "c40"))
    assert error_of(lambda: m2f2bench.load_dataset(root)) == (
        f"'{root}' is laid out as toy-c23 and as toy-c40: give one of them as -s toy-c23 --data {root}"
    )


def test_of_two_layouts_the_one_with_files_is_taken(tmp_path: Path) -> None:
    root = write_root(tmp_path / "y", ("c40",))
    (root / "c23").mkdir()
    assert m2f2bench.load_dataset(root).name == "toy-c40"


def test_other_folders_are_as_before(squares: Path, tmp_path: Path) -> None:
    assert m2f2bench.load_dataset(squares).card.adapter == "folder"
    (tmp_path / "empty").mkdir()
    assert m2f2bench.load_dataset(tmp_path / "empty").card.adapter == "folder"


def test_a_card_whose_code_fails_is_passed_over(tmp_path: Path, cards: Path) -> None:
    root = write_root(tmp_path / "y")
    (cards / "datasets" / "bad.yaml").write_text("name: bad\nadapter: absent.py:Bad\nroot: bad\n")
    (cards / "datasets" / "worse.yaml").write_text("name: worse\nnonsense: 1\n")
    (cards / "datasets" / "options.yaml").write_text(
        "name: options\nadapter: toy.py:Toy\nroot: bad\noptions: {no: 1}\n"
    )
    assert m2f2bench.load_dataset(root).name == "toy-c23"


def test_the_data_folder_may_be_the_datasets_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_root(tmp_path / "anything")
    assert "no data folder is set" in error_of(lambda: m2f2bench.load_dataset("toy-c23"))
    monkeypatch.setenv(DATA_VARIABLE, str(root))
    assert m2f2bench.load_dataset("toy-c23").adapter.root == root
    write_root(root / "toy")
    assert m2f2bench.load_dataset("toy-c23").adapter.root == root / "toy", "the folder on the card comes first"
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    assert m2f2bench.load_dataset("toy-c23").adapter.root == tmp_path / "toy"


def test_a_folder_of_the_released_images(real_data: Path) -> None:
    assert m2f2bench.load_dataset(real_data / "ddvqa").name == "ddvqa-c40"


def test_two_roots_of_one_name_are_one_line(tmp_path: Path, cli, one_line) -> None:
    one, two = write_root(tmp_path / "a" / "y", ("films",)), write_root(tmp_path / "b" / "y", ("films",))
    said = one_line(cli("run", "-q", "-d", "constant", "-s", one, "-s", two, "--out", tmp_path / "out"))
    assert (
        said.startswith(f"m2f2bench: two datasets are named 'other': '{one}' and '{two}'") and "run them apart" in said
    )


def test_two_plain_folders_of_one_name_are_one_line(tmp_path: Path, squares: Path, cli, one_line) -> None:
    other = tmp_path / "b" / "squares"
    for name in ("real", "fake"):
        (other / name).mkdir(parents=True)
        (other / name / "1.png").write_bytes((squares / name / "01.png").read_bytes())
    said = one_line(cli("run", "-q", "-d", "constant", "-s", squares, "-s", other, "--out", tmp_path / "out"))
    assert said.startswith(f"m2f2bench: two datasets are named 'squares': '{squares}' and '{other}'")


def test_a_name_and_its_own_folder_are_one_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_root(tmp_path / "others", ("films",))
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    done = m2f2bench.run(detectors="constant", datasets=["other", str(root)], out=tmp_path / "out")
    assert [one.dataset for one in done] == ["other"]


def test_a_card_is_not_replaced(tmp_path: Path) -> None:
    root = write_root(tmp_path / "y")
    card = DatasetCard(name="mine", adapter="folder", root=str(root))
    assert m2f2bench.load_dataset(card).name == "mine"
    with pytest.raises(CardError):
        m2f2bench.load_dataset(str(tmp_path / "nothing"))
