"""The datasets of the field in miniature: each folder gets its own card, and `doctor` tells it from the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import field_dfb
import field_lists
import field_more
import field_videos
import pytest

import m2f2bench
from m2f2bench.auditing.holdings import hold
from m2f2bench.cards.folders import DATA_VARIABLE
from m2f2bench.cards.models import DatasetCard
from m2f2bench.datasets.recognition import recognised

Make = Callable[[Path], Path]
ROOTS: dict[str, tuple[Make, list[str]]] = {
    "FaceForensics++": (field_videos.make_ffpp, ["ffpp-videos-c23"]),
    "FaceForensics++ c40": (lambda root: field_videos.make_ffpp(root, ("c40",)), ["ffpp-videos-c40"]),
    "DFD": (field_videos.make_dfd, ["dfd-c23"]),
    "Celeb-DF v1": (lambda root: field_videos.make_celebdf(root, "v1"), ["celebdf-v1"]),
    "Celeb-DF v2": (field_videos.make_celebdf, ["celebdf-v2"]),
    "Celeb-DF++": (lambda root: field_videos.make_celebdf(root, "pp"), ["celebdf-pp"]),
    "DFDC": (field_videos.make_dfdc, ["dfdc"]),
    "DFDCP": (field_videos.make_dfdcp, ["dfdcp"]),
    "FFIW": (field_more.make_ffiw, ["ffiw"]),
    "WildDeepfake": (field_more.make_wilddeepfake, ["wilddeepfake"]),
    "UADFV": (field_more.make_uadfv, ["uadfv"]),
    "DeeperForensics": (field_more.make_deeperforensics, ["deeperforensics"]),
    "FakeAVCeleb": (field_more.make_fakeavceleb, ["fakeavceleb"]),
    "KoDF": (field_more.make_kodf, ["kodf"]),
    "Deepfake-Eval-2024": (
        field_more.make_deepfake_eval,
        ["deepfake-eval-2024-images", "deepfake-eval-2024-videos"],
    ),
    "DF40": (field_dfb.make_df40, ["df40-cdf", "df40-ff", "df40-unknown"]),
    "GenImage": (field_lists.genimage, ["genimage"]),
    "CNNSpot": (field_lists.cnnspot, ["cnnspot"]),
    "SID-Set": (field_lists.sid_set, ["sid-set"]),
    "140k faces": (field_lists.faces_140k, ["140k-faces"]),
    "FakeClue": (field_lists.fakeclue, ["fakeclue"]),
}
"""How each folder is made, and the cards whose layout it has."""
ONE = [name for name, (_, cards) in ROOTS.items() if len(cards) == 1]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """All folders, made once; no test changes them."""
    base = tmp_path_factory.mktemp("field")
    for name, (make, _) in ROOTS.items():
        make(base / name)
    return {name: base / name for name in ROOTS}


@pytest.mark.parametrize("name", ROOTS)
def test_a_folder_gets_its_own_card(name: str, made: dict[str, Path]) -> None:
    assert [card.name for card in recognised(made[name])] == ROOTS[name][1]


@pytest.mark.parametrize("name", ONE)
def test_its_frames_are_listed_without_naming_a_card(name: str, made: dict[str, Path]) -> None:
    dataset = m2f2bench.load_dataset(made[name])
    assert dataset.name == ROOTS[name][1][0] and dataset.adapter.root == made[name]
    frames = dataset.frames("test" if "test" in dataset.splits else "val")
    assert {frame.label for frame in frames} == {0, 1}
    assert {frame.label for frame in frames if frame.method == "original"} == {0}


@pytest.mark.parametrize("name", ONE)
def test_doctor_finds_no_fault_in_a_whole_folder_but_its_counts(name: str, made: dict[str, Path]) -> None:
    found = [one.detail for one in hold(str(made[name])).findings if one.ok is False]
    assert [line for line in found if ", the card says " not in line] == []


@pytest.mark.parametrize("name", ONE)
def test_doctor_says_whose_folder_it_is(name: str, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(made[name]))
    own = ROOTS[name][1][0]
    other = "celebdf-v2" if own != "celebdf-v2" else "celebdf-v1"
    found = hold(other)
    assert [one.ok for one in found.findings if one.what == "root"] == [False]
    assert f"looks like {own}, not like {other}: m2f2bench doctor {own} --data {made[name]}" in found.findings[0].detail


@pytest.mark.parametrize(("make", "adapter"), [("gend", "lists"), ("webdataset", "webdataset")])
def test_a_form_that_needs_no_card(make: str, adapter: str, tmp_path: Path) -> None:
    root = getattr(field_lists, make)(tmp_path / "mine")
    card = m2f2bench.load_dataset(root).card
    assert isinstance(card, DatasetCard) and (card.name, card.adapter) == ("mine", adapter)
