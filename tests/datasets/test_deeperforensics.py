"""DeeperForensics-1.0 as downloaded: lists of fakes, actors in one split alone, FaceForensics++'s people."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest
from field_more import DF_LISTS, FRAMES, clips_of, make_deeperforensics
from hypothesis import given
from hypothesis import strategies as st
from one_line import error_of
from toy_videos import write_video

from m2f2bench.core.errors import DataError, FrameError
from m2f2bench.datasets.layouts.deeperforensics import (
    STUDIO,
    DeeperForensicsAdapter,
    DeeperForensicsOptions,
    Fake,
    _read_list,
    share_actors,
)

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_deeperforensics(tmp_path_factory.mktemp("deeper"), variants=("end_to_end", "reenact_postprocess"))


def people_of(adapter: DeeperForensicsAdapter, split: str) -> set[str]:
    return {one for frame in adapter.frames(split) for one in frame.identities}


def test_fakes_are_listed_and_actors_are_the_reals(whole: Path) -> None:
    adapter = DeeperForensicsAdapter(whole)
    assert adapter.fits()
    happy = "light_uniform/happy/camera_{1}/{0}_light_uniform_happy_camera_{1}"
    assert clips_of(adapter, "test") == {
        f"original/M101/{happy.format('M101', 'front')}": (0, "original", ("M101",), FRAMES),
        f"original/W011/{happy.format('W011', 'front')}": (0, "original", ("W011",), FRAMES),
        "end_to_end/200_M101": (1, "end_to_end", ("FaceForensics++:200", "M101"), FRAMES),
        "end_to_end/201_W011": (1, "end_to_end", ("FaceForensics++:201", "W011"), FRAMES),
    }
    train = clips_of(adapter, "train")
    assert [sum(label == wanted for label, *_ in train.values()) for wanted in (0, 1)] == [
        4,
        4,
    ]  # 3 actors, M005 has two videos
    assert adapter.remarks("test") == [STUDIO]


def test_no_person_is_in_two_splits(whole: Path) -> None:
    """Putting every actor's videos into all splits, as a known reader does, would fail here."""
    adapter = DeeperForensicsAdapter(whole)
    people = {split: people_of(adapter, split) for split in SPLITS}
    assert people["train"] == {
        "FaceForensics++:000",
        "FaceForensics++:003",
        "FaceForensics++:010",
        "FaceForensics++:011",
        "M004",
        "M005",
        "W101",
    }
    assert all(people[a].isdisjoint(people[b]) for a, b in itertools.combinations(SPLITS, 2))


def test_an_actor_in_two_splits_has_own_videos_in_one(tmp_path: Path) -> None:
    lists = {
        "train": ("000_M004", "003_M004", "010_W101", "011_W102", "012_W103"),
        "val": ("100_M004",),
        "test": ("200_M004", "201_W104", "202_W102"),
    }
    adapter = DeeperForensicsAdapter(make_deeperforensics(tmp_path, lists))
    reals = {
        split: {
            person
            for video, (label, _, people, _) in clips_of(adapter, split).items()
            if not label
            for person in people
        }
        for split in SPLITS
    }
    # Alone in a split: W101, W103 train, W104 test. Then M004: of train (2 of 5 fakes), val (0 of 1), test (1 of 3)
    # val has least. Then W102: train has 2 of 5, test 1 of 3, which is less.
    assert reals == {"train": {"W101", "W103"}, "val": {"M004"}, "test": {"W104", "W102"}}
    assert "2 actors have fakes in more than one split" in adapter.remarks("test")[0]
    assert adapter.remarks("test")[0].endswith("of the actors in test 1 have theirs in another split")
    assert "of the actors in train 2 have" in adapter.remarks("train")[0]


def test_variants_are_methods(whole: Path) -> None:
    options = DeeperForensicsOptions(variants=("end_to_end", "reenact_postprocess"))
    clips = clips_of(DeeperForensicsAdapter(whole, options), "val")
    assert list(clips)[1:] == ["end_to_end/100_W009", "reenact_postprocess/100_W009"]
    wrong = DeeperForensicsAdapter(whole, DeeperForensicsOptions(variants=("end_to_ent",)))
    assert "has no manipulated_videos/end_to_ent; did you mean 'end_to_end'?" in error_of(lambda: wrong.frames("val"))


def test_the_originals_of_faceforensics_as_reals(whole: Path, tmp_path: Path) -> None:
    for number in ("200", "201", "999"):
        write_video(tmp_path / "youtube" / f"{number}.mp4", FRAMES)
    options = DeeperForensicsOptions(reals="targets", targets=str(tmp_path / "youtube"))
    adapter = DeeperForensicsAdapter(whole, options)
    assert clips_of(adapter, "test") == {
        "original/200": (0, "original", ("FaceForensics++:200",), FRAMES),
        "original/201": (0, "original", ("FaceForensics++:201",), FRAMES),
        "end_to_end/200_M101": (1, "end_to_end", ("FaceForensics++:200", "M101"), FRAMES),
        "end_to_end/201_W011": (1, "end_to_end", ("FaceForensics++:201", "W011"), FRAMES),
    }
    (tmp_path / "youtube" / "201.mp4").unlink()
    assert "1 of the 2 listed files are missing" in adapter.remarks("test")[0]
    away = DeeperForensicsAdapter(whole, DeeperForensicsOptions(reals="targets"))
    assert "set options.targets to it" in error_of(lambda: away.frames("test"))


def test_a_copy_that_is_not_whole(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "half"
    shutil.copytree(whole, root)
    (root / "manipulated_videos" / "end_to_end" / "200_M101.mp4").unlink()
    (root / "lists" / "splits" / "val.txt").unlink()
    shutil.rmtree(root / "source_videos" / "W011")
    adapter = DeeperForensicsAdapter(root)
    assert "no list" in error_of(lambda: adapter.frames("val")) and "val.txt" in error_of(lambda: adapter.frames("val"))
    clips = clips_of(adapter, "test")
    assert clips["end_to_end/200_M101"] == (
        1,
        "end_to_end",
        ("FaceForensics++:200", "M101"),
        1,
    )
    frame = next(one for one in adapter.frames("test") if one.video == "end_to_end/200_M101")
    with pytest.raises(FrameError):
        adapter.read(frame)
    said = "\n".join(adapter.remarks("test"))
    for part in (
        "val.txt' is missing",
        "1 of the 2 listed files are missing",
        "no source videos of 1 actor, first W011",
    ):
        assert part in said
    assert "W009 " not in said and "without a listed fake are left out, first W009" in said
    shutil.rmtree(root / "source_videos")
    assert "there is no real video of the test split" in "\n".join(adapter.remarks("test"))
    (root / "manipulated_videos" / "end_to_end" / "201_W011.mp4").unlink()
    assert "none of the 2 files that 'test.txt of end_to_end' lists is there" in error_of(
        lambda: adapter.frames("test")
    )


def test_the_list_of_another_dataset(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "other"
    shutil.copytree(whole, root)
    path = root / "lists" / "splits" / "test.txt"
    adapter = DeeperForensicsAdapter(root)
    for text, said in (
        ("200_M101.mp4\n1 YouTube-real/00170.mp4\n", "line 2: '1 YouTube-real/00170.mp4' is not named as a fake is"),
        ('[["953", "974"]]', "line 1:"),
        ("\n \n", "names no video"),
    ):
        path.write_text(text)
        assert said in error_of(lambda: adapter.frames("test"))
    path.write_bytes(b"\xff\xfe2")
    assert "not UTF-8 but UTF-16" in error_of(lambda: adapter.frames("test"))
    path.write_text("\ufeffend_to_end/200_M101.mp4\r\n200_M101.mp4\r\n\r\n201_W011\r\n", encoding="utf-8")
    assert [video for video, one in clips_of(adapter, "test").items() if one[0]] == [
        "end_to_end/200_M101", "end_to_end/201_W011",
    ]  # fmt: skip


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=5))
def test_any_list_is_read_or_refused_in_one_line(lines: list[str]) -> None:
    path = Path("/tmp") / "m2f2bench-any-list.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    try:
        found = _read_list(path)
        assert all(len(fake.target) == 3 and fake.key == f"{fake.target}_{fake.actor}" for fake in found.values())
    except DataError as error:
        assert "\n" not in str(error)
    finally:
        path.unlink()


names = st.builds("{:03d}_M{:03d}".format, st.integers(0, 30), st.integers(0, 6))


@given(st.fixed_dictionaries({split: st.sets(names, min_size=1, max_size=12) for split in SPLITS}))
def test_each_actor_is_shared_out_once_to_a_split_of_the_actors_fakes(given_lists: dict[str, set[str]]) -> None:
    lists = {split: {key: Fake(key, *key.split("_")) for key in sorted(keys)} for split, keys in given_lists.items()}
    shared = share_actors(lists)
    assert shared == share_actors(lists)
    assert set(shared) == {key[4:] for keys in given_lists.values() for key in keys}
    for actor, split in shared.items():
        assert any(key.endswith(actor) for key in given_lists[split])


def test_other_folders(tmp_path: Path) -> None:
    (tmp_path / "manipulated_videos").mkdir()
    assert not DeeperForensicsAdapter(tmp_path).fits()
    (tmp_path / "manipulated_sequences").mkdir()  # of FaceForensics++
    assert "is not DeeperForensics-1.0 as downloaded" in error_of(
        lambda: DeeperForensicsAdapter(tmp_path).frames("test")
    )
    assert sorted(DF_LISTS) == sorted(SPLITS)
