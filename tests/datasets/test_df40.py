"""DF40: methods by list and by folder, their reals, names that differ, the nine with reals of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from field_dfb import Writer, make_df40, make_dfb

from m2f2bench.core.errors import DataError, FrameError
from m2f2bench.datasets.deepfakebench.df40 import DF40Adapter, DF40Options
from m2f2bench.datasets.deepfakebench.df40_methods import KNOWN, METHODS, TYPES, UNKNOWN, canonical, expanded


def adapter(root: Path, **options: Any) -> DF40Adapter:
    return DF40Adapter(root, DF40Options(**options))


def videos(one: DF40Adapter, split: str = "test") -> dict[str, tuple[int, tuple[str, ...], int]]:
    found: dict[str, tuple[int, tuple[str, ...], int]] = {}
    for frame in one.frames(split):
        found[frame.video] = (frame.label, frame.identities, found.get(frame.video, (0, (), 0))[2] + 1)
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_df40(make_dfb(tmp_path_factory.mktemp("df40")))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_df40(make_dfb(tmp_path_factory.mktemp("folders")), lists=False)


def test_there_are_forty_methods_of_four_types() -> None:
    assert {name: len(of) for name, of in TYPES.items()} == {"FS": 10, "FR": 13, "EFS": 12, "FE": 5}
    assert (len(METHODS), len(set(METHODS)), len(KNOWN), len(UNKNOWN)) == (40, 40, 31, 9)
    assert [canonical(name) for name in ("DaGAN", "mraa", "heygan", "whichfaceisreal", "pixart", "mine")] == [
        "danet",
        "MRAA",
        "heygen",
        "whichisreal",
        "PixArt",
        "mine",
    ]
    assert expanded(("FE", "stargan", "DaGAN")) == (*TYPES["FE"], "danet")


def test_lists_give_fakes_by_method_and_each_real_once(root: Path) -> None:
    expected = {f"original/{n}": (0, (n,), 3) for n in ("000", "003")}
    for method in ("simswap", "danet"):
        expected[f"{method}/000_003"] = (1, ("000", "003"), 4)
        expected[f"{method}/003_000"] = (1, ("003", "000"), 3)
    one = adapter(root, methods=("simswap", "danet"))
    assert videos(one) == expected
    assert one.remarks("test") == [
        "2 repeated real videos of 'test' (one path under several labels) once",
        "the folder 'danet' of the list is 'DaGAN' on disk",
    ]


def test_a_listed_frame_that_does_not_exist_fails(root: Path) -> None:
    one = adapter(root, methods=("danet",))
    failed = []
    for frame in one.frames("test"):
        try:
            one.read(frame)
        except FrameError as error:
            failed.append(error.frame)
    assert failed == ["danet/000_003/030.png"]


def test_people_of_celeb_df(root: Path) -> None:
    assert videos(adapter(root, domain="cdf", methods=("simswap",))) == {
        "original/id0_0000": (0, ("id0",), 3),
        "original/00170": (0, (), 3),
        "simswap/id0_id1_0000": (1, ("id0", "id1"), 4),
        "simswap/id1_id0_0003": (1, ("id1", "id0"), 3),
    }


def test_folders_without_lists_have_the_reals_of_deepfakebench(folders: Path) -> None:
    one = adapter(folders)
    expected = {f"original/{n}": (0, (n,), 3) for n in ("000", "003")}
    for method in ("simswap", "danet"):
        expected[f"{method}/000_003"] = (1, ("000", "003"), 3)
        expected[f"{method}/003_000"] = (1, ("003", "000"), 3)
    expected |= {"StyleGAN3/seed0001": (1, (), 1), "StyleGAN3/seed0002": (1, (), 1)}
    assert videos(one) == expected
    assert all(one.read(frame).shape == (32, 32, 3) for frame in one.frames("test"))
    assert one.remarks("test")[0].startswith("28 methods have no data in 'test': fsgan, faceswap, ")
    assert not any("repeated" in line for line in one.remarks("test"))


def test_folders_without_any_list_take_the_reals_that_the_fakes_are_made_of(folders: Path, tmp_path: Path) -> None:
    (tmp_path / "DF40").symlink_to(folders / "DF40")
    (tmp_path / "FaceForensics++").symlink_to(folders / "FaceForensics++")
    one = adapter(tmp_path, methods=("simswap",))
    assert sorted(videos(one)) == ["original/000", "original/003", "simswap/000_003", "simswap/003_000"]
    faces = adapter(tmp_path, methods=("StyleGAN3",))
    assert len(videos(faces)) == 2 + 6
    assert any(line.startswith("without a list all reals of ff are in 'test'") for line in faces.remarks("test"))


def test_the_root_may_be_df40_with_its_reals_beside_it(folders: Path) -> None:
    one, whole = adapter(folders / "DF40"), adapter(folders)
    assert list(one.frames("test")) == list(whole.frames("test")) and one.fits()


def test_fakes_without_reals_are_said(folders: Path, tmp_path: Path) -> None:
    (tmp_path / "DF40").symlink_to(folders / "DF40")
    one = adapter(tmp_path / "DF40", methods=("simswap",))
    assert {label for label, *_ in videos(one).values()} == {1}
    assert one.fits()
    assert "'test' has fakes alone: put their reals in DeepfakeBench's form under the root for an AUC" in one.remarks(
        "test"
    )


def test_the_unknown_methods_have_their_own_reals(root: Path) -> None:
    one = adapter(root, domain="unknown")
    assert videos(one) == {"heygen/talk": (1, (), 3), "original/heygen/talk": (0, (), 3)}
    assert "the folder 'heygen' of the list is 'heygan' on disk" in one.remarks("test")
    assert one.fits()


def test_a_method_without_reals_is_said(tmp_path: Path) -> None:
    make_df40(tmp_path)
    Writer(tmp_path).video("DF40/CollabDiff/fake/frames/a", True, 2)
    assert "no reals of its own: CollabDiff" in adapter(tmp_path, domain="unknown").remarks("test")


def test_the_training_folders_are_the_training_split(tmp_path: Path) -> None:
    make_dfb(tmp_path)
    Writer(tmp_path).video("DF40_train/simswap/ff/frames/001_870", True, 2)
    assert sorted(videos(adapter(tmp_path), "train")) == ["original/001", "original/870", "simswap/001_870"]
    with pytest.raises(DataError, match=r"neither a list nor a folder of fsgan, faceswap, .* and 26 more under"):
        adapter(tmp_path).frames("val")


def test_the_same_fakes_in_two_splits_are_said(root: Path, tmp_path: Path) -> None:
    path = root / "dataset_json/simswap_ff.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["simswap_ff"]["simswap_Fake"]["train"] = data["simswap_ff"]["simswap_Fake"]["test"]
    (tmp_path / "simswap_ff.json").write_text(json.dumps(data), encoding="utf-8")
    one = adapter(root, methods=("simswap",), lists=str(tmp_path))
    assert "2 of 4 videos of 'test' are in 'train' too" in one.remarks("test")


def test_a_list_of_one_of_the_nine_is_read_with_the_others(root: Path, tmp_path: Path) -> None:
    text = (root / "dataset_json/simswap_ff.json").read_text(encoding="utf-8")
    (tmp_path / "e4e_ff.json").write_text(text.replace("simswap_", "e4e_"), encoding="utf-8")
    one = adapter(root, methods=("FE",), lists=str(tmp_path))
    assert {frame.method for frame in one.frames("test")} == {"original", "e4e"}
    assert "4 methods have no data in 'test': CollabDiff, stargan, starganv2, styleclip" in one.remarks("test")


def test_types_stand_for_their_methods(root: Path) -> None:
    assert {frame.method for frame in adapter(root, methods=("FS",)).frames("test")} == {"original", "simswap"}
    assert {frame.method for frame in adapter(root, methods=("FR",)).frames("test")} == {"original", "danet"}
    assert adapter(root).choices()[-4:] == ("FS", "FR", "EFS", "FE")
    assert set(adapter(root, domain="unknown").choices()) == {*UNKNOWN, *TYPES}


def test_a_wrong_method_and_an_absent_one_are_one_line(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no method 'simswp'; did you mean 'simswap'"):
        adapter(root, methods=("simswp",)).frames("test")
    with pytest.raises(DataError, match=r"neither a list nor a folder of e4s under .*: it should be DF40/<method>/ff$"):
        adapter(root, methods=("e4s",)).frames("test")
    assert not adapter(tmp_path).fits()


def test_another_methods_list_is_one_line(root: Path, tmp_path: Path) -> None:
    (tmp_path / "fsgan_ff.json").write_text((root / "dataset_json/simswap_ff.json").read_text(encoding="utf-8"))
    with pytest.raises(DataError, match=r"it is a list of 'simswap_ff' and not of 'fsgan_ff'"):
        adapter(root, methods=("fsgan",), lists=str(tmp_path)).frames("test")
