"""Cards: lookup, and every way a card can be wrong, in one line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from m2f2bench.cards.folders import KINDS, card_folders, find_card, iter_cards
from m2f2bench.cards.models import read_card
from m2f2bench.core.errors import CardError

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
        (["describe", "frequensy"], "unknown name 'frequensy'; did you mean 'frequency' (detector, backend)?"),
        (["list", "detector"], "cannot list 'detector'; did you mean 'detectors'"),
        (["train", "constant", "-s", "synthetic"], "has nothing to train"),
        (["run", "-d", "constant"], "also give --dataset"),
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
        ("constent", "its base 'constent' is not a detector card; did you mean 'constant'"),
        ("fitted", "is a trained detector: name an untrained one"),
        ("over", "its bases form a circle, over → over: remove `base` from one of them"),
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


def bomb(levels: int) -> str:
    """YAML that stands for 9**levels values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines)


GOOD = "name: {name}\nbackend: constant\n"
BAD_CARDS = {
    "bomb": (bomb(9), "more than 20,000 values"),
    "bomb in options": (GOOD + "options:\n  " + bomb(12).replace("\n", "\n  "), "more than 20,000 values"),
    "quadratic bomb": (f"a: &a {'x' * 1000}\nb: [{', '.join(['*a'] * 25_000)}]", "more than 20,000 values"),
    "self-anchor": ("a: &a [*a]", "the alias 'a' has no complete anchor before it"),
    "self-anchor of a mapping": ("&a {name: *a}", "has no complete anchor before it"),
    "circle": ("a: &a {b: &b {c: *a}}", "has no complete anchor before it"),
    "unknown alias": ("a: *b", "the alias 'b' has no complete anchor"),
    "deep list": ("a: " + "[" * 50_000, "nested deeper than 32"),
    "deep mapping": ("{a: " * 50_000, "nested deeper than 32"),
    "deep blocks": ("".join(f"{' ' * i}a:\n" for i in range(400)), "nested deeper than 32"),
    "long": (GOOD + "description: " + "x" * 300_000, "over the limit of 262,144"),
    "many keys": ("\n".join(f"k{i}: 1" for i in range(15_000)), "more than 20,000 values"),
    "key twice": ("name: x\nname: y\nbackend: constant", "line 2: the key 'name' appears twice"),
    "key twice inside": (GOOD + "options: {a: 1, a: 2}", "the key 'a' appears twice"),
    "not UTF-8": (b"name: \xff\xfe\xfa", "is not UTF-8"),
    "UTF-16": ("name: x".encode("utf-16"), "UTF-16"),
    "tab": ("name: x\nbackend:\n\toptions: 1", "is not YAML"),
    "NUL": (b"name: x\x00y", "is not YAML"),
    "bell": (b"name: \x07", "is not YAML"),
    "python tag": ("!!python/object/apply:os.system ['touch marker']", "could not determine a constructor"),
    "python name": ("name: !!python/name:os.system", "could not determine a constructor"),
    "own tag": ("name: !secret x", "could not determine a constructor"),
    "huge number": (GOOD + "options: {value: " + "9" * 6000 + "}", "a number in it cannot be read"),
    "long number": (GOOD + "options: {value: " + "9" * 40 + "}", "whole number"),
    "infinite": (GOOD + "options: {value: .inf}", "not finite"),
    "not a number": (GOOD + "options: {value: .nan}", "not finite"),
    "binary": (GOOD + "options: {value: !!binary aGVsbG8=}", "type bytes"),
    "set": (GOOD + "options: !!set {a, b}", "type set"),
    "half a surrogate": (GOOD + 'description: "\\ud800"', "cannot be read"),
    "list": ("- a\n- b", "must be a mapping"),
    "empty": ("", "must be a mapping"),
    "number as name": ("name: 3\nbackend: constant", "'name'"),
    "long name": ("name: " + "x" * 151 + "\nbackend: constant", "at most 150"),
    "list as a key": ("[a, b]: c", "is not YAML"),
    "two documents": ("name: x\n---\nname: y", "is not YAML"),
    "repr": (GOOD + f"weights: [{', '.join(['x' * 90] * 900)}]", "not a list"),
    "long key": (GOOD + "x" * 900 + ": 1", "unknown key 'xxx"),
    "merge of a list": ("<<: [1, 2]\nname: x", "is not YAML"),
}


@pytest.mark.parametrize("how", BAD_CARDS)
def test_e5_a_bad_card_is_one_short_line(how: str, cli, one_line, tmp_path: Path, monkeypatch) -> None:
    text, told = BAD_CARDS[how]
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.yaml"
    data = text if isinstance(text, bytes) else text.replace("{name}", "bad").encode()
    path.write_bytes(data)
    line = one_line(cli("run", "-d", path, "-s", "synthetic", "--out", tmp_path / "o"))
    assert told in line and len(line) < 450, line
    assert not (tmp_path / "marker").exists()


def test_e5_bad_cards_hide_no_other(cli, tmp_path: Path) -> None:
    folder = tmp_path / "detectors"
    folder.mkdir()
    for i, (text, _) in enumerate(BAD_CARDS.values()):
        data = text if isinstance(text, bytes) else text.replace("{name}", f"bad{i:02d}").encode()
        (folder / f"bad{i:02d}.yaml").write_bytes(data)
    (folder / "good.yaml").write_text("name: good\nbackend: constant\n")
    outcome = cli("list", "detectors", "--cards", tmp_path)
    assert outcome.status == 2 and "good" in outcome.out and "frequency" in outcome.out
    lines = outcome.err.strip().splitlines()
    assert len(lines) == len(BAD_CARDS) and all(line.startswith("m2f2bench: ") and len(line) < 450 for line in lines)
    assert all(f"bad{i:02d}.yaml" in line for i, line in enumerate(lines))
    names = [row["name"] for row in json.loads(cli("list", "detectors", "--cards", tmp_path, "--json").out)]
    assert "good" in names
    assert cli("describe", "good", "--cards", tmp_path).status == 0


def test_e5_what_cards_may_say(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = "\ufeffname: mine\ndescription: 2020-01-01\nbackend: constant\nx: &x {value: 0.25}\noptions: *x\n"
    path.write_text(text.replace("x: &x", "options: &x").replace("options: *x\n", ""), encoding="utf-8")
    card = read_card("detectors", path)
    assert card.description == "2020-01-01" and card.options == {"value": 0.25}
    path.write_text("name: mine\nbackend: constant\noptions:\n  a: &a [1, 2]\n  b: [*a, *a]\n  c: {<<: {d: 1}, d: 2}\n")
    assert read_card("detectors", path).options == {"a": [1, 2], "b": [[1, 2], [1, 2]], "c": {"d": 2}}
    path.write_text(f"name: mine\nbackend: constant\noptions: {'{a: ' * 30}1{'}' * 30}\n")
    assert read_card("detectors", path)


def test_e5_a_pipe_is_no_card(cli, one_line, tmp_path: Path) -> None:
    (tmp_path / "detectors").mkdir()
    os.mkfifo(tmp_path / "detectors" / "pipe.yaml")
    assert "not a regular file" in one_line(cli("run", "-d", "pipe", "-s", "synthetic", "--cards", tmp_path))


def test_e5_published_figures_pass_the_same_gate(cli, one_line, tmp_path: Path) -> None:
    (tmp_path / "leaderboards").mkdir()
    source = "{name: n, where: w, level: frame, trained_on: t, selection: s, figures: {d: {e: 96.5}}}"
    for text, told in (
        (bomb(9), "more than 20,000 values"),
        ("sources: 3", "'sources'"),
        ("a: [" * 99, "nested deeper"),
        (f"sources: [{source}]", "'d on e': auc 96.5 is not in [0, 1]"),
    ):
        (tmp_path / "leaderboards" / "published.yaml").write_text(text)
        line = one_line(cli("leaderboard", "ddvqa-c40", "--with-published", "--cards", tmp_path))
        assert told in line and "published.yaml" in line
