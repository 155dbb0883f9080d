"""The audit of several datasets: shared people, videos and pictures, counted by hand, and no false alarm."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from audit_folder import Planted, picture, save
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import m2f2bench
from m2f2bench.auditing import near as near_module
from m2f2bench.auditing.facts import look as look_at
from m2f2bench.auditing.near import near_between
from m2f2bench.core.errors import DataError, NothingJudged
from m2f2bench.core.text import split_people

FF = "FaceForensics++"


@pytest.fixture(autouse=True)
def _own_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("M2F2BENCH_CARDS", str(tmp_path / "cards"))


def card(tmp_path: Path, planted: Planted, name: str, **more: Any) -> str:
    """Write the manifest and a card of that name with the splits that it has; give the name."""
    planted.finish()
    more = {"splits": list(dict.fromkeys(row["split"] for row in planted.rows))} | more
    path = tmp_path / "cards" / "datasets" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"name": name, "adapter": "folder", "root": str(planted.root), "options": {"manifest": "list.csv"}}
    path.write_text(yaml.safe_dump(content | more))
    return name


def put(planted: Planted, split: str, people: str, look: int, method: str = "original") -> Path:
    """Add a picture of its own video; `look` decides its pixels."""
    label = "real" if method == "original" else "fake"
    video = people.replace("+", "_").replace(":", "-")
    path = planted.add(f"{split}/{method}/{look}.jpg", label, method, split, people, video)
    save(picture(look, 0), path)
    return path


@pytest.fixture
def ff(tmp_path: Path) -> Planted:
    """Reals 000 to 003 and two fakes in train, 020 in val, 010, 011 and a fake in test."""
    planted = Planted(tmp_path / "ff")
    for look, name in enumerate(("000", "001", "002", "003")):
        put(planted, "train", name, look)
    put(planted, "train", "000+001", 4, "Swap")
    put(planted, "train", "001+000", 5, "Swap")
    put(planted, "val", "020", 6)
    put(planted, "test", "010", 7)
    put(planted, "test", "011", 8)
    put(planted, "test", "010+011", 9, "Swap")
    return planted


@pytest.fixture
def deeper(tmp_path: Path) -> Planted:
    """Actors w1 to w3 whose fakes have targets of FaceForensics++, and one real of it, saved and scaled again."""
    planted = Planted(tmp_path / "deeper")
    put(planted, "train", "w3", 100)
    put(planted, "train", f"{FF}:011+w3", 101, "end_to_end")
    put(planted, "test", "w1", 102)
    put(planted, "test", "w2", 103)
    put(planted, "test", f"{FF}:000+w1", 104, "end_to_end")
    put(planted, "test", f"{FF}:010+w2", 105, "end_to_end")
    again = put(planted, "test", f"{FF}:002", 106)
    picture(2, 0).resize((70, 70), Image.Resampling.BICUBIC).save(again, "JPEG", quality=60)
    return planted


@pytest.fixture
def both(tmp_path: Path, ff: Planted, deeper: Planted) -> tuple[str, str]:
    return card(tmp_path, ff, "ff", source=FF), card(tmp_path, deeper, "deeper", source="Deeper", people=[FF])


def bits_apart(one: Path, other: Path) -> int:
    """The distance of the two files' hashes."""
    hashes = []
    for path in (one, other):
        with Image.open(path) as image:
            hashes.append(look_at(np.asarray(image.convert("RGB")), "").phash)
    return (hashes[0] ^ hashes[1]).bit_count()


def test_people_and_a_picture_that_another_dataset_has(both: tuple[str, str], ff: Planted, deeper: Planted) -> None:
    found = m2f2bench.audit(*both)
    bits = bits_apart(ff.root / "train/original/2.jpg", deeper.root / "test/original/106.jpg")
    assert found.dataset == "ff, deeper"
    assert [(one.severity, one.topic, one.text) for one in found.findings] == [
        (
            "leak",
            "people",
            f"2 of 5 people of deeper test are in ff train ({FF}: 000, 002): trained on ff, tested on deeper",
        ),
        (
            "leak",
            "pictures",
            "1 real frame of deeper test is a near duplicate of one of ff train, first "
            f"train/original/2.jpg ~ test/original/106.jpg ({bits}): trained on ff, tested on deeper",
        ),
        ("leak", "people", f"1 of 2 people of ff test is in deeper train ({FF}: 011): trained on deeper, tested on ff"),
        ("note", "people", "1 person is in ff test and deeper test: results on the two are not independent"),
    ]
    told = found.to_json()
    shared = {tuple(one["splits"]): one["names"] for one in told["by_name"] if one["people"]}
    assert shared == {
        ("train", "test"): [f"{FF}:000", f"{FF}:002"],
        ("test", "train"): [f"{FF}:011"],
        ("test", "test"): [f"{FF}:010"],
    }
    (pictures,) = told["pictures"]
    assert pictures["pairs"] == 1 and pictures["what"] == "near duplicates" and not pictures["labels_differ"]
    assert pictures["first"] == ["train/original/2.jpg", "test/original/106.jpg"]
    assert told["datasets"][1]["people"] == {"train": 2, "test": 5} and told["counts"]["leak"] == 3
    assert {name: one["frames"] for name, one in told["splits"].items()} == {
        "ff train": 6, "ff val": 1, "ff test": 3, "deeper train": 2, "deeper test": 5,
    }  # fmt: skip


def test_the_order_of_the_datasets_changes_no_leak(both: tuple[str, str]) -> None:
    one, other = m2f2bench.audit(*both), m2f2bench.audit(*both[::-1])
    texts = [{leak.text.partition(", first")[0] for leak in audit.leaks} for audit in (one, other)]
    assert texts[0] == texts[1]


def test_splits_by_dataset(both: tuple[str, str]) -> None:
    found = m2f2bench.audit(*both, splits=["ff:train", "deeper:test"])
    assert [one.topic for one in found.findings] == ["people", "pictures"]
    assert all("tested on deeper" in one.text for one in found.findings)
    assert not m2f2bench.audit(*both, splits="test").leaks
    assert list(m2f2bench.audit(*both, splits=["ff:val"]).splits) == ["ff val", "deeper train", "deeper test"]


def test_equal_names_of_unrelated_people(tmp_path: Path, ff: Planted) -> None:
    """`000` of two corpora are two people, and `x:000` is of no known corpus: nothing is found."""
    other = Planted(tmp_path / "other")
    for look, (split, name) in enumerate((("train", "000"), ("test", "001"), ("test", "x:002"), ("test", "010"))):
        put(other, split, name, 200 + look)
    for row in ff.rows:
        row["identity"] = row["identity"].replace("003", "x:002")
    names = card(tmp_path, ff, "ff", source=FF), card(tmp_path, other, "other")
    assert m2f2bench.audit(*names).findings == ()
    assert "No person and no video is in two datasets by name." in m2f2bench.audit(*names).markdown()


def test_the_same_source_at_another_compression(tmp_path: Path, ff: Planted) -> None:
    """Of one corpus: a split that was drawn anew puts a training video into the test of the other."""
    again = Planted(tmp_path / "again")
    for split, people, look, method in (
        ("test", "000", 0, "original"),
        ("test", "000+001", 4, "Swap"),
        ("test", "099", 90, "original"),
        ("train", "001", 1, "original"),
    ):
        path = put(again, split, people, look, method)
        picture(look, 0).save(path, "JPEG", quality=40)
    names = card(tmp_path, ff, "c23", source=FF), card(tmp_path, again, "c40", source=FF.lower())
    found = {one.topic: one.text for one in m2f2bench.audit(*names).leaks}
    why = ": trained on c23, tested on c40"
    assert found["people"] == f"2 of 3 people of c40 test are in c23 train ({FF.lower()}: 000, 001){why}"
    assert found["videos"] == (
        "2 of 3 videos of c40 test are in c23 train under the same name, in another form "
        f"(Swap/000_001, original/000){why}"
    )
    assert found["pictures"].startswith(
        "1 real frame and 1 fake frame of c40 test are near duplicates of one of c23 train, first "
    )
    notes = [one.text for one in m2f2bench.audit(*names).findings if one.severity == "note"]
    assert [one.partition(":")[0] for one in notes] == [
        "1 person is in c23 train and c40 train",
        "1 video of the same name is in c23 train and c40 train",
        "1 pair of near duplicates is in c23 train and c40 train",
    ]


def test_equal_pixels_and_labels_that_differ(tmp_path: Path, ff: Planted, deeper: Planted) -> None:
    shutil.copy(ff.root / "train/original/3.jpg", deeper.root / "test/original/102.jpg")
    shutil.copy(ff.root / "train/original/3.jpg", deeper.root / "test/original/103.jpg")
    shutil.copy(ff.root / "val/original/6.jpg", deeper.root / "test/end_to_end/104.jpg")
    names = card(tmp_path, ff, "ff", source=FF), card(tmp_path, deeper, "deeper")
    told = {one.severity: one.text for one in m2f2bench.audit(*names).findings if " pixels" in one.text}
    assert told["leak"].startswith(
        "2 real frames and 1 fake frame of deeper test with the pixels of one of ff train and val, first "
        "train/original/3.jpg = test/original/102.jpg: "
    )
    assert told["warning"] == (
        "1 pair of frames with equal pixels, real in one of ff and deeper and fake in the other, first "
        "val/original/6.jpg = test/end_to_end/104.jpg"
    )


def test_people_that_cards_name_and_identities_do_not(tmp_path: Path, ff: Planted) -> None:
    other = Planted(tmp_path / "other")
    put(other, "test", "000", 200)
    names = card(tmp_path, ff, "ff", source=FF), card(tmp_path, other, "other", people=[FF])
    (found,) = m2f2bench.audit(*names).findings
    assert found.severity == "warning" and found.text.startswith(f"ff and other both have people of {FF}, by their")
    assert "the identities of other name none of them" in found.text


def test_a_split_that_is_not_there_is_told(tmp_path: Path, both: tuple[str, str], deeper: Planted) -> None:
    card(tmp_path, deeper, "deeper", splits=["train", "val", "test"])
    notes = [one.text for one in m2f2bench.audit(*both).findings if one.topic == "splits"]
    assert len(notes) == 1 and notes[0].startswith("split val of deeper was not audited: ")


def test_three_datasets_are_compared_each_with_each(tmp_path: Path, both: tuple[str, str], ff: Planted) -> None:
    third = Planted(tmp_path / "third")
    put(third, "test", "w3", 100)
    found = m2f2bench.audit(*both, card(tmp_path, third, "third", source="deeper"))
    (people,) = (one.text for one in found.leaks if "of third" in one.text and one.topic == "people")
    assert people == "1 of 1 person of third test is in deeper train (deeper: w3): trained on deeper, tested on third"
    assert sum("tested on third" in one.text for one in found.leaks) == 3  # the person, the video, the picture


def test_bad_input_is_one_line(tmp_path: Path, both: tuple[str, str], cli: Any, one_line: Any, ff: Planted) -> None:
    assert one_line(cli("audit", "ff", "ff")).endswith(
        "dataset 'ff' is given twice: give different datasets, or it alone"
    )
    line = one_line(cli("audit", "ff", "deeper", "--split", "val"))
    assert "dataset 'deeper' has no split 'val' (give --split DATASET:val if only some datasets have it)" in line
    assert "dataset 'ff' has no split 'tset'" in one_line(cli("audit", "ff", "deeper", "--split", "ff:tset"))
    assert "nowhere" in one_line(cli("audit", "ff", "nowhere"))
    other = ff.root.parent / "elsewhere" / "ff"
    shutil.copytree(ff.root, other)
    with pytest.raises(DataError, match="two datasets are named 'ff'"):
        m2f2bench.audit("ff", str(other))
    for path in (tmp_path / "deeper").rglob("*.jpg"):
        path.write_bytes(b"no picture")
    with pytest.raises(NothingJudged, match="audit of deeper"):
        m2f2bench.audit(*both)


def test_unreadable_frames_are_counted_by_dataset(both: tuple[str, str], deeper: Planted) -> None:
    (deeper.root / "test/original/106.jpg").write_bytes(b"no picture")
    found = m2f2bench.audit(*both)
    (warning,) = (one.text for one in found.findings if one.severity == "warning")
    assert warning.startswith("1 frame of 7 in deeper cannot be read, first test/original/106.jpg: ")
    assert not found.to_json()["pictures"]


def test_a_dataset_of_one_frame(tmp_path: Path, both: tuple[str, str]) -> None:
    one = Planted(tmp_path / "one")
    put(one, "test", "", 1)
    found = m2f2bench.audit("ff", card(tmp_path, one, "one"))
    assert [(note.severity, note.topic) for note in found.findings] == [("leak", "pictures"), ("note", "identities")]
    assert found.leaks[0].text.startswith("1 real frame of one test with the pixels of one of ff train, first ")


def test_the_command(both: tuple[str, str], cli: Any, tmp_path: Path) -> None:
    outcome = cli("audit", *both, "--out", tmp_path / "a.json")
    lines = outcome.out.splitlines()
    assert outcome.status == 0 and lines[0] == "# Audit of ff, deeper" and "17 frames looked at" in lines[2]
    assert lines[4] == "## Findings: 3 leaks, 0 warnings, 1 note" and lines[6].startswith("- **leak** (people): 2 of 5")
    assert json.loads((tmp_path / "a.json").read_text())["counts"] == {"leak": 3, "warning": 0, "note": 1}
    strict = cli("audit", *both, "--strict", "--json")
    assert strict.status == 1 and strict.err.startswith("m2f2bench: 'ff, deeper' leaks (3 findings), first people: 2")


@given(st.data())
def test_the_index_finds_what_comparing_all_finds(data: st.DataObject) -> None:
    seed, most = data.draw(st.integers(0, 2**32 - 1)), data.draw(st.integers(0, near_module.INDEXED))
    random = np.random.default_rng(seed)
    first = random.integers(0, 2**63, 60, dtype=np.uint64) * np.uint64(2)
    second = random.integers(0, 2**63, 50, dtype=np.uint64)
    second[:40] = first[:40]
    second[40:44] = first[0]
    for row in range(40):
        for bit in random.choice(64, random.integers(0, 14), replace=False).tolist():
            second[row] ^= np.uint64(1) << np.uint64(bit)
    right = {
        (i, j): (int(a) ^ int(b)).bit_count()
        for i, a in enumerate(first)
        for j, b in enumerate(second)
        if (int(a) ^ int(b)).bit_count() <= most
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_module, "FEW", 0)
        patch.setattr(near_module, "BLOCK", 7)
        blocks = list(near_between(first, second, most))
    found = [(int(i), int(j), int(n)) for block in blocks for i, j, n in zip(*block, strict=True)]
    assert len(found) == len(right) and {(i, j): n for i, j, n in found} == right


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("", []),
        ("a+b", ["a", "b"]),
        (f"{FF}:033", [f"{FF}:033"]),
        (f"{FF}:033+{FF}:097+w1", [f"{FF}:033", f"{FF}:097", "w1"]),
        ("w1+Celeb-DF++:id0", ["w1", "Celeb-DF++:id0"]),
        ("A+:1+b", ["A+:1", "b"]),
        ("a++b", ["a", "", "b"]),
    ],
)
def test_people_with_the_name_of_their_corpus_are_split_at_the_right_plus(text: str, people: list[str]) -> None:
    assert split_people(text) == people
