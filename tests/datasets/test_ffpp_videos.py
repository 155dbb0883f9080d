"""FaceForensics++ and DFD as downloaded: pairs, methods, masks, actors, and copies that are not whole."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from field_videos import (
    FFPP_METHODS,
    FRAMES,
    PAIRS,
    face_area,
    film,
    make_celebdf,
    make_dfd,
    make_ffpp,
    scene,
    write_text,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from m2f2bench.core.errors import DataError, FrameError
from m2f2bench.core.records import Locator
from m2f2bench.datasets.layouts.ffpp_videos import (
    CompressedOptions,
    DFDAdapter,
    FFPPVideoAdapter,
    FFPPVideoOptions,
    actors,
)
from m2f2bench.datasets.layouts.pairs import listed_keys, read_pairs
from m2f2bench.loading import load_dataset


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("field") / "FaceForensics++"
    make_dfd(root, masks=True)
    return make_ffpp(root, comps=("c23", "c40"), masks=True)


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    shutil.copytree(whole, tmp_path / "FaceForensics++")
    return tmp_path / "FaceForensics++"


def ffpp(root: Path | None, **options: Any) -> FFPPVideoAdapter:
    return FFPPVideoAdapter(root, FFPPVideoOptions(**options))


def dfd(root: Path, **options: Any) -> DFDAdapter:
    return DFDAdapter(root, CompressedOptions(**options))


def fails(adapter: Any, *parts: str, split: str = "test") -> None:
    with pytest.raises(DataError) as caught:
        adapter.listed(split)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


# --- what is listed


def test_a_pair_gives_two_reals_and_two_fakes_a_method(whole: Path) -> None:
    clips = ffpp(whole).listed("test")
    assert [clip.video for clip in clips[:4]] == ["original/012", "original/026", "original/953", "original/974"]
    assert Counter(clip.method for clip in clips) == {"original": 4} | dict.fromkeys(FFPP_METHODS, 4)
    assert {clip.label for clip in clips if clip.method == "original"} == {0}
    assert {clip.label for clip in clips if clip.method != "original"} == {1}
    by_name = {clip.video: clip for clip in clips}
    assert len(by_name) == len(clips) == 24
    one = by_name["FaceShifter/974_953"]
    assert (one.label, one.method, one.split, one.identities) == (1, "FaceShifter", "test", ("974", "953"))
    assert one.place == Locator(str(whole / "manipulated_sequences/FaceShifter/c23/videos/974_953.mp4"))
    assert by_name["original/953"].identities == ("953",)
    assert {len(ffpp(whole).listed(split)) for split in ("train", "val")} == {48, 12}


def test_splits_share_no_one(whole: Path) -> None:
    people = {split: {p for c in ffpp(whole).listed(split) for p in c.identities} for split in PAIRS}
    assert people == {split: {key for pair in pairs for key in pair} for split, pairs in PAIRS.items()}


def test_frames_are_those_of_the_files(whole: Path) -> None:
    data = ffpp(whole, methods=["original", "Deepfakes"])
    frames = data.frames("val")
    assert [frame.id for frame in frames[:FRAMES]] == [f"original/672/{i:04d}" for i in range(FRAMES)]
    assert len(frames) == 4 * FRAMES
    for video, people in (("original/720", ("720",)), ("Deepfakes/720_672", ("720", "672"))):
        for number, frame in enumerate(f for f in frames if f.video == video):
            off = [np.abs(data.read(frame) - scene(*people, number=n).astype(float)).mean() for n in range(FRAMES)]
            assert min(off) < 6 and off.index(min(off)) == number  # the face moves with time


def test_the_card_lists_what_it_says(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2F2BENCH_DATA", str(whole.parent))
    for name, folder in (("ffpp-videos-c23", "c23"), ("ffpp-videos-c40", "c40")):
        data = load_dataset(name)
        assert all(f"/{folder}/videos/" in clip.place.path for clip in data.adapter.listed("test"))  # type: ignore[attr-defined]
        assert data.card.shows == "scenes" and data.card.corpus == "FaceForensics++"
        counts = data.card.counts
        assert {split: set(of.values()) for split, of in counts.items()} == {
            "train": {720},
            "val": {140},
            "test": {140},
        }
        assert {frozenset(of) for of in counts.values()} == {frozenset(("original", *FFPP_METHODS))}
    assert load_dataset("dfd-c23").card.corpus == "DFD"


def test_fakes_can_be_told_at_every_compression(whole: Path) -> None:
    """That the miniature can be learned from; the pattern of blocks makes neighbours differ."""
    for compression in ("c23", "c40"):
        data = ffpp(whole, compression=compression)
        found: dict[int, list[float]] = {0: [], 1: []}
        for frame in data.frames("test"):
            image = data.read(frame).astype(float)
            found[frame.label].append(np.abs(image[:, 4:] - image[:, :-4]).mean())
        assert max(found[0]) < 0.8 * min(found[1])


# --- masks


def test_masks_lie_beside_the_fakes(whole: Path) -> None:
    frames = ffpp(whole).frames("test")
    data = ffpp(whole)
    for frame in frames:
        place = data.mask_place(frame)
        name = frame.video.rpartition("/")[2]
        path = str(whole / f"manipulated_sequences/{frame.method}/masks/videos/{name}.mp4")
        masked = frame.method not in ("original", "FaceShifter")
        assert place == (Locator(path, None, frame.locator.index) if masked else None)
    fake = dfd(whole).frames("test")[-1]
    assert "DeepFakeDetection/masks/videos/04_01__" in dfd(whole).mask_place(fake).path  # type: ignore[union-attr]
    assert data.mask(frames[0]) is None


def test_a_mask_is_where_the_face_is(whole: Path) -> None:
    for data in (ffpp(whole), dfd(whole)):
        fakes = [frame for frame in data.frames("test") if data.mask_place(frame) is not None]
        for frame in (fakes[0], fakes[FRAMES - 1]):
            mask = data.mask(frame)
            want = np.zeros((64, 80), bool)
            want[face_area(frame.locator.index or 0)] = True
            assert mask is not None and (mask != want).mean() < 0.01


# --- copies that are not whole


def test_half_of_the_videos(copy: Path) -> None:
    gone = [copy / f"original_sequences/youtube/c23/videos/{key}.mp4" for key in ("953", "974")]
    gone += [copy / f"manipulated_sequences/FaceSwap/c23/videos/{key}.mp4" for key in ("953_974", "974_953")]
    for path in gone:
        path.unlink()
    data = ffpp(copy)
    assert len(data.listed("test")) == 24
    frames = [f for f in data.frames("test") if f.video in ("original/953", "FaceSwap/974_953")]
    assert [f.id for f in frames] == ["original/953/0000", "FaceSwap/974_953/0000"]
    for frame in frames:
        with pytest.raises(FrameError) as caught:
            data.read(frame)
        assert "does not exist" in str(caught.value)
    remarks = data.remarks("test")
    counts = {line.split(":")[0]: int(line.split()[1]) for line in remarks}
    assert sum(counts.values()) == 4 and counts["original"] == 2
    assert "original: 2 of the 4 listed files are missing" in remarks[0] and "953.mp4" in remarks[0]
    assert data.remarks("train") == []


def test_a_method_without_a_folder(copy: Path) -> None:
    shutil.rmtree(copy / "manipulated_sequences/FaceShifter/c23")
    fails(ffpp(copy), "FaceShifter/c23/videos", "leave 'FaceShifter' out of options.methods")
    assert len(ffpp(copy, methods=["original", "FaceSwap"]).listed("test")) == 8
    assert len(ffpp(copy, compression="c40").listed("test")) == 24
    fails(ffpp(copy, compression="raw"), "original_sequences/youtube/raw/videos", "raw videos of original")


def test_split_lists_are_found_or_asked_for(copy: Path) -> None:
    (copy / "splits/val.json").unlink()
    fails(ffpp(copy), "no split list", "val.json", split="val")
    for name in ("dataset/splits", "FFPP_split"):
        (copy / name).parent.mkdir(exist_ok=True)
        shutil.move(copy / "splits", copy / name)
        assert len(ffpp(copy).listed("test")) == 24
        assert len(ffpp(copy, splits=name).listed("test")) == 24
        shutil.move(copy / name, copy / "splits")
    shutil.move(copy / "splits", copy / "elsewhere")
    fails(ffpp(copy), "no split lists in", "dataset/splits", "options.splits")
    assert ffpp(copy).fits()
    assert len(ffpp(copy, splits="elsewhere").listed("train")) == 48
    fails(ffpp(copy, splits="nowhere"), "no split list", "nowhere/test.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[["111", "222"]]', "none of the 2 files that"),
        ('[["id0_0000", "id1_0000"]]', "id0_0000.mp4"),
        ("[]", "should be a list of pairs"),
        ('{"953": "974"}', "should be a list of pairs"),
        ('[["953", "974"], ["953", "012"]]', "entry 1: video 953 is listed twice"),
        ("[[953, 974]]", "entry 0 is [953, 974], not a pair of texts"),
        ('[["953", "974"]', "cannot be read"),
        ("1 YouTube-real/00170.mp4", "cannot be read"),
    ],
)
def test_a_list_of_another_dataset_or_form(copy: Path, text: str, message: str) -> None:
    write_text(copy / "splits/test.json", text)
    fails(ffpp(copy), message)


def test_no_root(tmp_path: Path) -> None:
    fails(ffpp(None), "needs a root", "original_sequences")
    fails(ffpp(tmp_path / "none"), "no folder at", "none")
    other = make_celebdf(tmp_path / "Celeb-DF-v2", frames=1)
    for adapter in (ffpp(other), dfd(other)):
        fails(
            adapter, "it should hold original_sequences and manipulated_sequences; it has Celeb-real, Celeb-synthesis"
        )
    with pytest.raises(DataError, match="no split 'dev'"):
        ffpp(tmp_path).listed("dev")


def test_two_files_of_one_video(copy: Path) -> None:
    folder = copy / "original_sequences/youtube/c23/videos"
    film(folder / "953.avi", "953")
    fails(ffpp(copy), "953.avi", "953.mp4", "both video '953'")
    (folder / "953.mp4").unlink()
    write_text(folder / "._953.mp4", "left by an archive of another system")
    write_text(folder / "000.txt", "")
    (clip,) = (c for c in ffpp(copy).listed("test") if c.video == "original/953")
    assert clip.place.path == str(folder / "953.avi")


NUMBERS = st.lists(st.integers(0, 999), unique=True, min_size=2, max_size=12)


@settings(deadline=None, max_examples=60)
@given(NUMBERS.map(lambda found: [f"{n:03d}" for n in found[: len(found) // 2 * 2]]))
def test_pairs_are_read_back(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    pairs = list(zip(names[::2], names[1::2], strict=True))
    path = write_text(tmp_path_factory.getbasetemp() / "pairs" / "test.json", json.dumps(pairs))
    assert read_pairs(path) == pairs
    real, fake = listed_keys(pairs)
    assert real == sorted(names)
    assert {tuple(key.split("_")) for key in fake} == {*pairs, *((b, a) for a, b in pairs)} and len(fake) == len(names)


# --- DFD


def test_dfd_is_all_test_and_its_actors_are_not_of_ffpp(whole: Path) -> None:
    clips = dfd(whole).listed("test")
    assert [(c.label, c.method) for c in clips] == [(0, "original")] * 4 + [(1, "DeepFakeDetection")] * 4
    assert clips[0].video == "original/01__kitchen_pan" and clips[0].identities == ("actor-01",)
    assert clips[4].video.startswith("DeepFakeDetection/01_02__kitchen_pan__")
    assert clips[4].identities == ("actor-01", "actor-02")
    assert dfd(whole).splits == ("test",) and dfd(whole).remarks("test") == []
    people = {p for split in PAIRS for clip in ffpp(whole).listed(split) for p in clip.identities}
    assert not people & {p for clip in clips for p in clip.identities}
    with pytest.raises(DataError, match="no split 'train'"):
        dfd(whole).listed("train")


def test_dfd_without_a_part(copy: Path) -> None:
    film(copy / "original_sequences/actors/c23/videos/outtake.mp4", "nobody")
    (remark,) = dfd(copy).remarks("test")
    assert "say no actor: 1, the first" in remark and "original/outtake" in remark
    fails(dfd(copy, compression="c40"), "original_sequences/actors/c40/videos", "c40 videos of original")
    fakes = copy / "manipulated_sequences/DeepFakeDetection/c23/videos"
    for path in fakes.iterdir():
        path.unlink()
    fails(dfd(copy), "DeepFakeDetection/c23/videos", "has no videos")


@pytest.mark.parametrize(
    ("name", "people"),
    [
        ("01__exit_phone_room", ("actor-01",)),
        ("01_02__exit_phone_room__YVGY8LOK", ("actor-01", "actor-02")),
        ("28_01__walk", ("actor-28", "actor-01")),
        ("exit_phone_room", ()),
        ("1x__room", ()),
    ],
)
def test_actors(name: str, people: tuple[str, ...]) -> None:
    assert actors(name) == people


# --- recognition


def test_a_root_is_recognised_by_its_videos(whole: Path, tmp_path: Path) -> None:
    assert ffpp(whole).fits() and ffpp(whole, compression="c40").fits() and not ffpp(whole, compression="raw").fits()
    assert dfd(whole).fits() and not dfd(whole, compression="c40").fits()
    apart = make_dfd(tmp_path / "dfd", actors=1)
    assert dfd(apart).fits() and not ffpp(apart).fits()
    assert not ffpp(make_celebdf(tmp_path / "celeb", frames=1)).fits()
    frames = tmp_path / "frames/original_sequences/youtube/c23"
    write_text(frames / "frames/000/000.png", "")  # DeepfakeBench's form
    (frames / "videos").mkdir()
    for root in (None, tmp_path / "frames", tmp_path, tmp_path / "none", frames / "frames/000/000.png"):
        assert not ffpp(root).fits() and not FFPPVideoAdapter(root).fits() and not DFDAdapter(root).fits()
