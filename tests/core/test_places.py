"""Paths on cards: a trained folder runs wherever it is put, and no written file names a folder of the machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from paths import ROOT
from PIL import Image

import m2f2bench
from m2f2bench.cards.models import CardError, DetectorCard, read_card
from m2f2bench.core.errors import DetectorError
from m2f2bench.core.places import NO_FILE, moved, moved_reference, seen_from, without_folders
from m2f2bench.loading import detector_card, load_dataset

SECRET = "folder-of-this-machine"
BACKEND = """
from m2f2bench.detectors.frequency import FrequencyDetector

class Mine(FrequencyDetector):
    pass
"""
ADAPTER = """
from m2f2bench.datasets.lists.folder import FolderAdapter

class Mine(FolderAdapter):
    splits = ("train", "val", "test")
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user's folder: `mine.py` with a detector, `data.py` with an adapter, `faces` with pictures and a manifest."""
    home = tmp_path / SECRET
    faces = home / "faces"
    (faces / "real").mkdir(parents=True)
    (faces / "fake").mkdir()
    rng = np.random.default_rng(5)
    lines = ["path,label,split,identity"]
    for i in range(60):
        name = f"{('real', 'fake')[i % 2]}/{i:02d}.png"
        pixels = rng.integers(60, 160, (64, 64, 3)) + (i % 2) * 8 * rng.integers(0, 2, (64, 64, 1))
        Image.fromarray(pixels.astype(np.uint8)).save(faces / name)
        split = ("train", "train", "train", "val", "test")[i // 12]
        lines.append(f"{faces / name if i % 3 else name},{i % 2},{split},p{i // 2}")
    lines.append("fake/gone.png,1,test,p99")
    (faces / "fake" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n no")
    lines.append(f"{faces / 'fake' / 'torn.png'},1,test,p98")
    (faces / "list.csv").write_text("\n".join(lines))
    (home / "mine.py").write_text(BACKEND)
    (home / "data.py").write_text(ADAPTER)
    (home / "mine-card.yaml").write_text("name: mine-card\nbackend: mine.py:Mine\n")
    (home / "on-base.yaml").write_text("name: on-base\nbase: mine-card\ndescription: another\n")
    data = {"name": "data-card", "adapter": "data.py:Mine", "root": str(faces), "options": {"manifest": "list.csv"}}
    (home / "data-card.yaml").write_text(yaml.safe_dump(data))
    return home


def texts(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every written file with all the text that is in it."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".parquet":
            yield path, json.dumps(parquet.read_table(path).to_pylist(), default=str)
            yield path, str(parquet.read_metadata(path).metadata)
        elif path.is_file():
            yield path, path.read_bytes().decode("utf-8", "replace")


def refuse_folders(folder: Path) -> None:
    for path, text in texts(folder):
        for name in (SECRET, str(ROOT), "/tmp/", "/home/", "/root/", "pytest-of-"):
            assert name not in text, (path, name, text[max(0, text.index(name) - 80) :][:200])


@pytest.mark.parametrize("detector", ["mine.py:Mine", "mine-card.yaml", "on-base.yaml"])
@pytest.mark.parametrize("dataset", ["faces/list.csv", "data-card.yaml"])
def test_b6_a_detector_of_ones_own_trains_runs_and_moves(
    home: Path, tmp_path: Path, detector: str, dataset: str
) -> None:
    """Training, then a run from where it was trained, and one from another place when the source is gone."""
    out = tmp_path / "out"
    card = m2f2bench.train(str(home / detector), str(home / dataset), out=out / "trained", device="cpu")
    told = yaml.safe_load(card.read_text())
    assert told["backend"] == "mine.py:Mine" and (out / "trained" / "mine.py").read_text() == BACKEND
    (result,) = m2f2bench.run(detectors=str(card), datasets=str(home / dataset), out=out / "runs")
    assert result.statuses == {"ok": 12, "unreadable": 2} and "mine.py:Mine" in json.dumps(result.detector_card)
    refuse_folders(out)
    elsewhere = tmp_path / "elsewhere"
    shutil.move(out / "trained", elsewhere)
    (home / "mine.py").unlink()
    (again,) = m2f2bench.run(detectors=str(elsewhere), datasets=str(home / dataset), out=tmp_path / "more")
    assert again.measured["weights"] == result.measured["weights"] != "unknown"
    assert again.metrics == result.metrics and again.predictions == result.predictions
    refuse_folders(tmp_path / "more")


@pytest.mark.parametrize("detector", ["mine.py:Plain", "card.yaml"])
@pytest.mark.parametrize("dataset", ["faces/list.csv", "faces", "data.py:Rows"])
def test_b6_a_run_writes_no_folder(home: Path, tmp_path: Path, detector: str, dataset: str) -> None:
    (home / "mine.py").write_text(
        "class Plain:\n    def __init__(self, file=''):\n        self.file = file\n"
        "    def predict(self, images):\n        return [0.5] * len(images)\n"
    )
    (home / "card.yaml").write_text(f"name: card\nbackend: mine.py:Plain\noptions: {{file: {home / 'mine.py'}}}\n")
    (home / "data.py").write_text(
        "import numpy as np\nimport m2f2bench\nfrom m2f2bench.core.errors import FrameError\n"
        "class Rows(m2f2bench.Adapter):\n    splits = ('test',)\n    def frames(self, split):\n"
        "        return [m2f2bench.Frame(str(i), str(i), i % 2, 'm' if i % 2 else 'original', split, (), "
        "m2f2bench.Locator(__file__)) for i in range(6)]\n"
        "    def read(self, frame):\n        return np.full((16, 16, 3), int(frame.id), np.uint8)\n"
    )
    out = tmp_path / "out"
    m2f2bench.run(
        detectors=str(home / detector), datasets=str(home / dataset), protocols=["frame", "video"], out=out / "runs"
    )
    refuse_folders(out)
    if dataset != "faces":
        m2f2bench.audit(str(home / dataset), splits="test", probe=False)
    told = load_dataset(str(home / dataset)).card.model_dump_json() + detector_card(str(home / detector))[0].backend
    assert SECRET not in told


def test_b6_a_source_that_would_take_anothers_place(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.py").write_text("another = 1\n")
    with pytest.raises(DetectorError, match=r"holds another 'mine\.py'"):
        m2f2bench.train(str(home / "mine.py:Mine"), str(home / "faces/list.csv"), out=out)
    assert (out / "mine.py").read_text() == "another = 1\n"


def test_b6_a_changed_source_is_another_training(home: Path, tmp_path: Path) -> None:
    words: dict[str, Any] = {"out": tmp_path / "out", "resume": True}
    m2f2bench.train(str(home / "mine.py:Mine"), str(home / "faces/list.csv"), **words)
    m2f2bench.train(str(home / "mine.py:Mine"), str(home / "faces/list.csv"), **words)  # as it is
    (home / "mine.py").write_text(BACKEND + "\n    more = 1\n")
    with pytest.raises(DetectorError, match="holds a training with another card, seed, dataset or version"):
        m2f2bench.train(str(home / "mine.py:Mine"), str(home / "faces/list.csv"), **words)


def test_b6_the_same_file_of_another_folder_is_the_same_detector(home: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    shutil.copy(home / "mine.py", tmp_path / "other")
    cards = [detector_card(f"{folder}/mine.py:Mine")[0] for folder in (home, tmp_path / "other")]
    assert cards[0].model_dump() == cards[1].model_dump() and cards[0].folder != cards[1].folder


# --- the paths themselves


def test_options_still_name_their_files(tmp_path: Path) -> None:
    old, new = tmp_path / "a" / "cards", tmp_path / "b"
    (old / "llm").mkdir(parents=True)
    new.mkdir()
    (old / "start.pth").touch()
    (new / "made.pth").touch()
    options = {
        "pretrained": "start.pth",
        "llm": {"name": "./llm", "hub": "org/model", "absolute": str(old / "llm")},
        "list": ["llm/../start.pth", "offline", "llm", "/", ".", "~", "..", "~/", "a\nb/c", "x" * 5000, 3, None],
        "own": "made.pth",
    }
    assert moved(options, [old], new) == {
        "pretrained": "../a/cards/start.pth",
        "llm": {"name": "../a/cards/llm", "hub": "org/model", "absolute": "../a/cards/llm"},
        "list": ["../a/cards/start.pth", "offline", "llm", "/", ".", "~", "..", "~/", "a\nb/c", "x" * 5000, 3, None],
        "own": "made.pth",
    }
    assert moved_reference("sub/mine.py:Mine", old, new) == "../a/cards/sub/mine.py:Mine"
    assert seen_from(new, new) == "."


def test_records_say_what_files_are_called(tmp_path: Path) -> None:
    (tmp_path / "w.pth").touch()
    told = {"root": str(tmp_path), "weights": str(tmp_path / "w.pth"), "backend": f"{tmp_path}/gone.py:Mine", "n": 1}
    assert without_folders(told) == {"root": tmp_path.name, "weights": "w.pth", "backend": "gone.py:Mine", "n": 1}
    plain = {
        "path": "/no/such/file",
        "text": "/",
        "home": "~",
        "url": "http://localhost:8000/v1",
        "nested": [["a/b"], ("~none/x",)],
    }
    assert without_folders(plain) == plain


def names_a_file(text: str) -> bool:
    """hypothesis also draws texts that stand in the code, such as `/proc/cpuinfo`."""
    try:
        return Path(text).expanduser().exists() and Path(text).name not in NO_FILE
    except (OSError, RuntimeError, ValueError):
        return False


NO_NAME = st.text().filter(lambda text: not names_a_file(text))


@given(
    st.recursive(st.none() | st.integers() | NO_NAME, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_what_names_no_file_stays(value: Any) -> None:
    folder = Path("/nowhere/at/all")
    assert moved(value, [folder], folder / "else") == value
    assert without_folders({"a": "a/b", "b": value}) == {"a": "a/b", "b": value}


# --- B7: cards on cards


def write_cards(folder: Path, **cards: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in cards.items():
        (folder / f"{name}.yaml").write_text(f"name: {name}\n{text}\n")


def test_b7_a_base_may_have_a_base(tmp_path: Path) -> None:
    write_cards(
        tmp_path,
        a="backend: timm\ntraining: {epochs: 3, lr: 0.1}\n"
        "options: {model: m, drop_rate: 0.1, model_kwargs: {x: 1, y: 1}}",
        b="base: a\noptions: {drop_rate: 0.2, model_kwargs: {y: 2}}\ntraining: {epochs: 4}",
        c="base: b\noptions: {model_kwargs: {z: 3}, drop_rate: null}\ndescription: the third",
    )
    card = read_card("detectors", tmp_path / "c.yaml")
    assert isinstance(card, DetectorCard) and card.training is not None
    assert card.options == {"model": "m", "model_kwargs": {"x": 1, "y": 2, "z": 3}}
    assert (card.training.epochs, card.training.lr, card.description) == (4, 0.1, "the third")


def test_b7_the_small_explainer_may_be_a_base(tmp_path: Path) -> None:
    write_cards(tmp_path, mine="base: m2f2det-small-explainer\nstages: {tune: {max_steps: 5}}")
    card = read_card("detectors", tmp_path / "mine.yaml")
    assert isinstance(card, DetectorCard) and card.backend == "m2f2det-explainer"
    assert card.stages["tune"].max_steps == 5 and card.stages["tune"].lr == 5.0e-4
    assert card.options["explainer"]["visual_pool"] == 2 and card.options["cnn"]["model"] == "tf_efficientnet_lite0"


@pytest.mark.parametrize(
    ("start", "circle"), [("a", "a → b → c → a"), ("x", "x → a → b → c → a"), ("own", "own → own")]
)
def test_b7_a_circle_is_one_line_that_names_it(tmp_path: Path, start: str, circle: str) -> None:
    write_cards(tmp_path, a="base: b", b="base: c", c="base: a", x="base: a", own="base: own")
    with pytest.raises(CardError) as caught:
        read_card("detectors", tmp_path / f"{start}.yaml")
    assert f"{start}.yaml': its bases form a circle, {circle}: remove `base`" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_b7_mistakes_further_down_are_named(tmp_path: Path) -> None:
    write_cards(tmp_path, a="backend: timm\nweights: w.pth", b="base: a", c="base: b", d="base: nothing", e="base: d")
    write_cards(tmp_path, f="backend: timm\noption: {}", g="base: f", h="base: g")
    for name, said in (
        ("c", "b.yaml': its base 'a' is a trained"),
        ("e", "d.yaml': its base 'nothing' is not"),
        ("h", "f.yaml'"),
    ):
        with pytest.raises(CardError) as caught:
            read_card("detectors", tmp_path / f"{name}.yaml")
        assert said in str(caught.value)
    (tmp_path / "odd.yaml").write_text("name: even\nbackend: timm\n")
    write_cards(tmp_path, i="base: odd")
    with pytest.raises(CardError, match="is named 'even': name and file must agree"):
        read_card("detectors", tmp_path / "i.yaml")


def test_b7_a_base_of_another_folder_still_names_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cards = tmp_path / "cards" / "detectors"
    write_cards(cards, under="backend: mine.py:Mine\noptions: {file: w.pth, name: w}")
    (cards / "mine.py").write_text(
        "class Mine:\n    def __init__(self, file, name):\n        self.file = file\n"
        "    def predict(self, images):\n        return [0.5]\n"
    )
    (cards / "w.pth").touch()
    monkeypatch.setenv("M2F2BENCH_CARDS", str(cards.parent))
    write_cards(tmp_path / "mine", over="base: under", third="base: over")
    for name in ("over", "third"):
        card, cls = detector_card(str(tmp_path / "mine" / f"{name}.yaml"))
        assert card.backend == "../cards/detectors/mine.py:Mine" and cls.__name__ == "Mine"
        assert card.options == {"file": "../cards/detectors/w.pth", "name": "w"}


def test_f4_what_is_no_absolute_path_keeps_its_folders(tmp_path: Path) -> None:
    for text in (
        "sub/mine.py:Mine",
        "/nowhere/at-all:Mine",
        f"{tmp_path}/gone.py: see there",
        "https://host/mine.py:x",
    ):
        assert without_folders(text) == text
    assert without_folders(f"{tmp_path}/gone.py:Mine") == "gone.py:Mine"


def test_f4_how_long_a_path_may_be(tmp_path: Path) -> None:
    deep = "/".join(["d" * 99] * 10)  # 999 letters
    for text, found in ((f"{deep}e", True), (f"{deep}ef", False)):
        (tmp_path / text).mkdir(parents=True)
        assert (moved(text, [tmp_path], tmp_path / "card") != text) == found, len(text)
