"""`CARD@METHOD`: a dataset's card with some of its methods, its reals, its own name in results, on every way in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from field_dfb import make_df40, make_dfb
from typer.testing import CliRunner

import m2f2bench
from m2f2bench.cards.chosen import split_chosen
from m2f2bench.cards.models import DatasetCard, corpus_of
from m2f2bench.cli import complete
from m2f2bench.cli.main import app
from m2f2bench.core.errors import CardError
from m2f2bench.loading import load_dataset, registered, resolve_card


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    make_df40(make_dfb(folder / "deepfakebench"))
    return folder


@pytest.fixture
def data(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("M2F2BENCH_DATA", str(made))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("reference", "name", "methods", "reals"),
    [
        ("df40-ff@simswap", "df40-ff@simswap", {"simswap"}, 2),
        ("df40-ff@simswap+danet", "df40-ff@simswap+danet", {"simswap", "danet"}, 2),
        ("df40-cdf@FR", "df40-cdf@FR", {"danet"}, 2),
        ("dfb-ffpp-c40@Deepfakes+FaceSwap", "dfb-ffpp-c40@Deepfakes+FaceSwap", {"Deepfakes", "FaceSwap"}, 2),
    ],
)
def test_a_card_with_methods(data: Path, reference: str, name: str, methods: set[str], reals: int) -> None:
    dataset = load_dataset(reference)
    frames = dataset.frames("test")
    assert dataset.name == name
    assert {frame.method for frame in frames if frame.label} == methods
    assert len({frame.video for frame in frames if not frame.label}) == reals


def test_the_card_keeps_its_place_and_counts_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2F2BENCH_DATA", str(tmp_path))  # a card needs a place, not its data
    whole = resolve_card("datasets", "dfb-ffpp-c23")
    part = resolve_card("datasets", "dfb-ffpp-c23@Face2Face")
    assert isinstance(whole, DatasetCard) and isinstance(part, DatasetCard)
    assert part.path == whole.path and part.corpus == "FaceForensics++"
    assert part.counts["test"] == {"original": 140, "Face2Face": 140}
    assert (part.options, whole.options.get("methods")) == ({**whole.options, "methods": ["Face2Face"]}, None)


def test_an_option_that_has_the_reals_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2F2BENCH_DATA", str(tmp_path))  # a card needs a place, not its data
    card = resolve_card("datasets", "ffpp-c40@NeuralTextures")
    assert isinstance(card, DatasetCard) and card.options["methods"] == ["original", "NeuralTextures"]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("df40-ff@simswp", "dataset 'df40-ff' has no method 'simswp'; did you mean 'simswap'"),
        ("df40-ff@original", "has no method 'original'"),
        ("ffpp-c40@original", "has no method 'original'"),
        ("dfb-ffpp-c23@FaceSwpa", "did you mean 'FaceSwap'"),
        ("df40-ff@", "should be CARD@METHOD"),
        ("df40-ff@simswap+", "should be CARD@METHOD"),
        ("df40-fff@simswap", "unknown dataset 'df40-fff'; did you mean 'df40-ff'"),
        ("dfdc@FaceSwap", "dataset 'dfdc' takes no @METHOD"),
    ],
)
def test_a_wrong_reference_is_one_line(data: Path, reference: str, message: str) -> None:
    with pytest.raises(CardError) as caught:
        load_dataset(reference)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_with_an_at_is_a_folder(data: Path) -> None:
    for label in ("real", "fake"):
        (data / "mine@home" / label).mkdir(parents=True)
    assert load_dataset("mine@home").card.adapter == "folder"
    with pytest.raises(CardError, match=r"there is no dataset card at 'nowhere@2x.yaml'"):
        load_dataset("nowhere@2x.yaml")


def test_names_in_results_are_known() -> None:
    assert registered("datasets", "df40-ff@simswap", "here") == "df40-ff@simswap"
    with pytest.raises(CardError, match="neither a card nor registered"):
        registered("datasets", "nobody@simswap", "here")
    assert corpus_of("df40-cdf@simswap") == "Celeb-DF" and corpus_of("nobody@x") == "nobody@x"
    assert split_chosen("a@b@c+d+c") == ("a@b", ("c", "d"))


def test_a_run_and_its_check_have_the_name(data: Path) -> None:
    m2f2bench.run(
        detectors="random", datasets="df40-ff@simswap", protocols="frame", out=str(data / "runs"), device="cpu"
    )
    (path,) = (data / "runs").rglob("result.json")
    result = json.loads(path.read_text(encoding="utf-8"))
    assert result["dataset"] == "df40-ff@simswap" and result["split"] == "test"
    assert CliRunner().invoke(app, ["check", str(path.parent)]).exit_code == 0


def test_methods_are_completed(data: Path) -> None:
    assert complete.datasets("df40-ff@sim") == ["df40-ff@simswap"]
    assert complete.datasets("dfb-ffpp-c23@") == [
        f"dfb-ffpp-c23@{name}" for name in ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
    ]
    assert complete.datasets("ffpp-c23@FaceSwap+F") == ["ffpp-c23@FaceSwap+Face2Face"]
    assert complete.datasets("nobody@") == []


def test_a_part_is_described_and_the_list_says_the_form(data: Path) -> None:
    described = CliRunner().invoke(app, ["describe", "df40-ff@simswap", "--json"])
    assert described.exit_code == 0 and "df40-ff@simswap" in described.stdout
    listed = CliRunner().invoke(app, ["list", "datasets"])
    assert "df40-ff@simswap" in listed.stdout and "dfb-ffpp-c23@Deepfakes" in listed.stdout
