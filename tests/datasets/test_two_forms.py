"""One dataset in two forms, as downloaded and as DeepfakeBench's frames: one corpus, and methods of the same names."""

from __future__ import annotations

from pathlib import Path

import pytest
from field_more import make_deeperforensics

from m2f2bench.cards.folders import find_card, iter_cards
from m2f2bench.cards.models import DatasetCard, read_card
from m2f2bench.datasets.deepfakebench.labels import SETS, people_in
from m2f2bench.datasets.layouts.deeperforensics import DeeperForensicsAdapter

DOWNLOADED = {
    "dfb-celebdf-v1": "celebdf-v1",
    "dfb-celebdf-v2": "celebdf-v2",
    "dfb-deeperforensics": "deeperforensics",
    "dfb-dfd-c23": "dfd-c23",
    "dfb-dfdc": "dfdc",
    "dfb-dfdcp": "dfdcp",
    "dfb-faceshifter-c23": "ffpp-videos-c23",
    "dfb-ffpp-c23": "ffpp-videos-c23",
    "dfb-ffpp-c40": "ffpp-videos-c40",
    "dfb-uadfv": "uadfv",
}


def card(name: str) -> DatasetCard:
    path = find_card("datasets", name)
    assert path is not None
    found = read_card("datasets", path)
    assert isinstance(found, DatasetCard)
    return found


def test_each_card_of_deepfakebench_has_its_dataset() -> None:
    assert {path.stem for path in iter_cards("datasets") if path.stem.startswith("dfb-")} == set(DOWNLOADED)


@pytest.mark.parametrize("name", DOWNLOADED)
def test_both_forms_are_of_one_corpus(name: str) -> None:
    packed, plain = card(name), card(DOWNLOADED[name])
    assert (packed.corpus, packed.people) == (plain.corpus, plain.people)


@pytest.mark.parametrize("name", DOWNLOADED)
def test_methods_that_the_plain_card_counts_have_the_same_names(name: str) -> None:
    packed, plain = card(name), card(DOWNLOADED[name])
    counted = {method for one in plain.counts.values() for method in one} - {"original"}
    methods = set(SETS[packed.options["dataset"]].methods)
    assert not counted or methods <= counted


def test_a_corpus_is_spelt_one_way() -> None:
    """Two spellings of one corpus would hide shared people."""
    named = {one for path in iter_cards("datasets") for one in (card(path.stem).corpus, *card(path.stem).people)}
    folded: dict[str, set[str]] = {}
    for one in named:
        folded.setdefault("".join(letter for letter in one.lower() if letter.isalpha() or letter == "+"), set()).add(
            one
        )
    twice = [names for names in folded.values() if len(names) > 1]
    assert twice == []


@pytest.mark.parametrize(
    ("video", "people"),
    [
        ("000_003", ("000", "003")),
        ("id0_id1_0002", ("id0", "id1")),
        ("01__kitchen_pan", ("actor-01",)),
        ("01_02__meeting_serious__YVGY8LOK", ("actor-01", "actor-02")),
        ("033_M134", ("FaceForensics++:033", "M134")),
        ("aabbccdd", ()),
    ],
)
def test_people_are_named_as_in_the_downloaded_form(video: str, people: tuple[str, ...]) -> None:
    assert people_in(video, ff=True) == people


def test_people_of_deeperforensics_are_those_of_faceforensics(tmp_path: Path) -> None:
    adapter = DeeperForensicsAdapter(make_deeperforensics(tmp_path))
    fakes = [clip for clip in adapter.listed("test") if clip.label]
    assert fakes
    for clip in fakes:
        target, actor = clip.video.rpartition("/")[2].split("_")
        assert clip.identities == (f"FaceForensics++:{target}", actor)
