"""Cards: lookup, and every way a card can be wrong, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from m2f2bench.cards import KINDS, card_folders, find_card, iter_cards, read_card
from m2f2bench.errors import CardError

NAMES = {
    "datasets": {"synthetic", "ddvqa-c40", "ddvqa-c23", "ffpp-c23", "ffpp-c40"},
    "detectors": {
        "constant",
        "random",
        "frequency",
        "efficientnet-lite0",
        "m2f2det",
        "m2f2det-vit-b16",
        "m2f2det-small",
    },
    "metrics": {"frame", "video"},
    "leaderboards": {"quickstart"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_shipped_cards_are_valid_and_the_promised_names_are_there(kind: str) -> None:
    cards = [read_card(kind, path) for path in iter_cards(kind)]
    assert {card.name for card in cards} >= NAMES[kind]
    assert all(card.description for card in cards)


@pytest.mark.parametrize("kind", KINDS)
def test_card_folders_are_not_importable(kind: str) -> None:
    """A top-level package called `datasets` would shadow Hugging Face's."""
    assert not any((folder / "__init__.py").exists() for folder in card_folders(kind))


def card(tmp_path: Path, text: str, name: str = "mine") -> Path:
    path = tmp_path / "detectors" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: mine\nbackend: constant\nweigths: x\n", "unknown key 'weigths'; did you mean 'weights'?"),
        ("name: mine\nbackend: 3\n", "key 'backend': Input should be a valid string, not 3"),
        ("name: mine\n", "missing key 'backend'"),
        ("name: mine\nbackend: c\ninput: {sise: 3}\n", "unknown key 'input.sise'; did you mean 'size'?"),
        ("name: mine\nbackend: c\ntraining: {epochs: 0}\n", "key 'training.epochs': Input should be greater than"),
        ("name: mine\nbackend: [\n", "is not YAML"),
        ("- a\n- b\n", "must be a mapping"),
        ("", "must be a mapping"),
        ("name: other\nbackend: constant\n", "name and file must agree"),
        ("name: ../x\nbackend: constant\n", "key 'name'"),
    ],
)
def test_a_wrong_card_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = card(tmp_path, text)
    with pytest.raises(CardError) as caught:
        read_card("detectors", path)
    message = str(caught.value)
    assert said in message and str(path) in message and "\n" not in message


def test_several_problems_are_counted(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"\(and 2 more\)"):
        read_card("detectors", card(tmp_path, "name: mine\nfoo: 1\nbar: 2\n"))


def test_own_cards_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = card(tmp_path, "name: constant\nbackend: constant\noptions: {value: 0.25}\n", "constant")
    monkeypatch.setenv("M2F2BENCH_CARDS", str(tmp_path))
    assert find_card("detectors", "constant") == path
    assert find_card("detectors", "random") is not None


def test_a_card_folder_that_is_not_there(cli, one_line, tmp_path: Path) -> None:
    line = one_line(cli("list", "detectors", "--cards", tmp_path / "nowhere"))
    assert "does not exist" in line and "nowhere" in line


def test_list_shows_the_good_cards_beside_a_broken_one(cli, tmp_path: Path) -> None:
    card(tmp_path, "name: broken\n", "broken")
    outcome = cli("list", "detectors", "--cards", tmp_path)
    assert outcome.status == 2
    assert "constant" in outcome.out and "missing key 'backend'" in outcome.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "-d", "constnat", "-s", "synthetic"], "unknown detector 'constnat'; did you mean 'constant'?"),
        (["run", "-d", "constant", "-s", "sinthetic"], "unknown dataset 'sinthetic'; did you mean 'synthetic"),
        (["run", "-d", "constant", "-s", "synthetic", "-p", "vido"], "unknown protocol 'vido'; did you mean 'video'?"),
        (["run", "quikstart"], "unknown leaderboard 'quikstart'; did you mean 'quickstart'?"),
        (["describe", "frequensy"], "nothing is named 'frequensy'; did you mean 'frequency'?"),
        (["list", "detector"], "cannot list 'detector'; did you mean 'detectors'"),
        (["train", "constant", "-s", "synthetic"], "has nothing to train"),
        (["run", "-d", "constant"], "give --dataset as well"),
        (["run", "-d", "no/such.yaml", "-s", "synthetic"], "there is no detector card at 'no/such.yaml'"),
    ],
)
def test_unknown_names_suggest_near_ones(cli, one_line, words: list[str], said: str) -> None:
    assert said in one_line(cli(*words))


def test_no_data_root(cli, one_line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("M2F2BENCH_DATA", raising=False)
    line = one_line(cli("run", "-d", "constant", "-s", "ddvqa-c40"))
    assert "no data folder is set" in line and "M2F2BENCH_DATA" in line


@pytest.mark.parametrize("dataset", ["ddvqa-c40", "ffpp-c40"])
def test_a_data_root_without_the_files(cli, one_line, tmp_path: Path, dataset: str) -> None:
    line = one_line(cli("run", "-d", "constant", "-s", dataset, "--data", tmp_path))
    assert str(tmp_path) in line


def test_a_detector_stands_on_its_base(tmp_path: Path) -> None:
    (tmp_path / "under.yaml").write_text(
        "name: under\nbackend: timm\ninput: {size: 64}\n"
        "options: {model: a, model_kwargs: {x: 1, y: 2}, drop_rate: 0.5}\ntraining: {epochs: 3}\nlicence: MIT\n"
    )
    (tmp_path / "over.yaml").write_text(
        "name: over\nbase: under\ndescription: mine\n"
        "options: {model_kwargs: {y: 3}, drop_rate: null}\ntraining: {lr: 0.5}\n"
    )
    card = read_card("detectors", tmp_path / "over.yaml")
    assert card.name == "over" and card.description == "mine"
    assert card.options == {"model": "a", "model_kwargs": {"x": 1, "y": 3}}  # type: ignore[attr-defined]
    assert card.input.size == 64 and card.licence == "MIT"  # type: ignore[attr-defined]
    assert (card.training.epochs, card.training.lr) == (3, 0.5)  # type: ignore[attr-defined]
    shipped = find_card("detectors", "m2f2det-small-no-bridge")
    assert shipped is not None
    options = read_card("detectors", shipped).options  # type: ignore[attr-defined]
    assert options["bridge"] is False and options["cnn"]["model"] == "tf_efficientnet_lite0"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("constent", "its base 'constent' is no detector's card; did you mean 'constant'"),
        ("fitted", "is a trained detector: name an untrained one"),
        ("over", "its bases go in a circle, over → over: take `base` out of one of them"),
        ("torn", "line 2 is not YAML"),
    ],
)
def test_a_wrong_base_is_one_line(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "fitted.yaml").write_text("name: fitted\nbackend: timm\nweights: model.safetensors\n")
    (tmp_path / "torn.yaml").write_text("name: [torn\nbackend: }")
    (tmp_path / "over.yaml").write_text(f"name: over\nbase: {name}\n")
    with pytest.raises(CardError) as error:
        read_card("detectors", tmp_path / "over.yaml")
    assert said in str(error.value) and "\n" not in str(error.value)


def test_weights_lie_beside_the_card(tmp_path: Path) -> None:
    for given, expected in (("w.pth", tmp_path / "w.pth"), ("/data/w.pth", Path("/data/w.pth"))):
        (tmp_path / "one.yaml").write_text(f"name: one\nbackend: timm\nweights: {given}\n")
        assert read_card("detectors", tmp_path / "one.yaml").weights_path() == expected  # type: ignore[attr-defined]
    (tmp_path / "one.yaml").write_text("name: one\nbackend: timm\n")
    assert read_card("detectors", tmp_path / "one.yaml").weights_path() is None  # type: ignore[attr-defined]


def test_a_board_has_a_column_or_more_and_a_card_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "board.yaml"
    path.write_text("name: board\ncolumns: [{dataset: synthetic}]\n")
    card = read_card("leaderboards", path)
    assert [column.dataset for column in card.columns] == ["synthetic"]  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="frozen"):
        card.name = "other"
    path.write_text("name: board\ncolumns: []\n")
    with pytest.raises(CardError, match="leaderboard card '"):
        read_card("leaderboards", path)
    path.write_text("name: board\nlevel: 3\n")
    with pytest.raises(CardError, match="protocol card '"):
        read_card("metrics", path)


def test_where_a_datasets_root_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An absolute root as it is, one that begins with a dot beside the card, any other in the data folder."""
    monkeypatch.setenv("M2F2BENCH_DATA", str(tmp_path / "data"))
    for given, expected in (("/abs/d", "/abs/d"), ("./d", f"{tmp_path}/d"), ("..", f"{tmp_path}/.."), ("d", "data/d")):
        (tmp_path / "one.yaml").write_text(f"name: one\nadapter: folder\nroot: {given}\n")
        card = read_card("datasets", tmp_path / "one.yaml")
        assert card.root_path() == tmp_path / expected  # type: ignore[attr-defined]
