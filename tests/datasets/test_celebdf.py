"""Celeb-DF v1, v2 and ++ as downloaded: a list in which 1 means real, spellings of folders, and copies not whole."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import pytest
from field_videos import CELEB_PEOPLE, FRAMES, film, make_celebdf, make_dfdc, make_ffpp, write_text
from hypothesis import given, settings
from hypothesis import strategies as st

from m2f2bench.core.clips import Clip
from m2f2bench.core.errors import DataError, FrameError
from m2f2bench.datasets.layouts.celebdf import CelebDFAdapter, CelebDFOptions, Named, read_tested
from m2f2bench.loading import load_dataset

Version = Literal["v1", "v2", "pp"]
LIST = "List_of_testing_videos.txt"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all three versions."""
    field = tmp_path_factory.mktemp("field")
    make_celebdf(field / "Celeb-DF-v1", "v1", people=CELEB_PEOPLE[:2])
    make_celebdf(field / "Celeb-DF-v2", "v2")
    make_celebdf(field / "Celeb-DF-pp", "pp")
    return field


@pytest.fixture
def v2(whole: Path, tmp_path: Path) -> Path:
    """A copy of v2 that a test may damage."""
    shutil.copytree(whole / "Celeb-DF-v2", tmp_path / "Celeb-DF-v2")
    return tmp_path / "Celeb-DF-v2"


@pytest.fixture
def pp(whole: Path, tmp_path: Path) -> Path:
    """A copy of ++ that a test may damage."""
    shutil.copytree(whole / "Celeb-DF-pp", tmp_path / "Celeb-DF-pp")
    return tmp_path / "Celeb-DF-pp"


def celeb(root: Path | None, version: Version = "v2") -> CelebDFAdapter:
    return CelebDFAdapter(root, CelebDFOptions(version=version))


def names(clips: Any) -> dict[str, int]:
    return {clip.video: clip.label for clip in clips}


def fails(adapter: CelebDFAdapter, *parts: str, split: str = "test") -> None:
    with pytest.raises(DataError) as caught:
        adapter.listed(split)
    assert "\n" not in str(caught.value.args[0])
    for part in parts:
        assert part in str(caught.value)


V2_TEST = {
    "original/00000": 0,
    "original/00001": 0,
    "original/id0_0000": 0,
    "original/id1_0000": 0,
    "Celeb-synthesis/id0_id1_0000": 1,
    "Celeb-synthesis/id1_id0_0000": 1,
}


# --- what is listed


def test_one_means_real(whole: Path) -> None:
    data = celeb(whole / "Celeb-DF-v2")
    assert (whole / "Celeb-DF-v2" / LIST).read_text().count("1 ") == 4  # of the real ones
    assert names(data.listed("test")) == V2_TEST
    assert {clip.split for clip in data.listed("test")} == {"test"}
    people = {clip.video: clip.identities for clip in data.listed("test")}
    assert people["original/00000"] == ("youtube-00000",) and people["original/id0_0000"] == ("id0",)
    assert people["Celeb-synthesis/id1_id0_0000"] == ("id1", "id0")
    frames = data.frames("test")
    assert len(frames) == 6 * FRAMES and frames[-1].id == f"Celeb-synthesis/id1_id0_0000/{FRAMES - 1:04d}"
    assert data.read(frames[-1]).shape == (64, 80, 3)


def test_all_others_are_for_training(whole: Path) -> None:
    data = celeb(whole / "Celeb-DF-v2")
    train = names(data.listed("train"))
    assert train == {
        "original/00002": 0,
        "original/00003": 0,
        "original/id2_0000": 0,
        "original/id3_0000": 0,
        "Celeb-synthesis/id2_id3_0000": 1,
        "Celeb-synthesis/id3_id2_0000": 1,
    }
    assert data.remarks("train") == data.remarks("test") == [] and data.splits == ("train", "test")
    with pytest.raises(DataError, match="no split 'val'"):
        data.listed("val")


def test_pp_has_its_methods(whole: Path) -> None:
    data = celeb(whole / "Celeb-DF-pp", "pp")
    test = data.listed("test")
    assert Counter(clip.method for clip in test) == {
        "original": 4,
        "Celeb-DF": 2,
        "BlendFace": 2,
        "LIA": 2,
        "SadTalker": 2,
    }
    assert {clip.method for clip in test if clip.label == 0} == {"original"}
    (one,) = (clip for clip in test if clip.video == "SadTalker/id1_id0_0000")
    assert one.place.path.endswith("Celeb-synthesis/TalkingFace/SadTalker/id1_id0_0000.mp4") and one.label == 1
    assert len(data.listed("train")) == 12 and len({clip.video for clip in test}) == len(test)


def test_cards(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2F2BENCH_DATA", str(whole))
    for version, count in (("v1", 6 - 2), ("v2", 6), ("pp", 12)):
        data = load_dataset(f"celebdf-{version}")
        assert data.card.corpus == "Celeb-DF" and data.card.shows == "scenes" and data.splits == ("train", "test")
        assert isinstance(data.adapter, CelebDFAdapter) and len(data.adapter.listed("test")) == count
    assert sum(load_dataset("celebdf-v2").card.counts["test"].values()) == 518
    assert sum(load_dataset("celebdf-v2").card.counts["train"].values()) == 590 + 300 + 5639 - 518
    counts = load_dataset("celebdf-pp").card.counts["test"]
    assert Counter(counts.values()) == {178: 1, 200: 15, 300: 7}


@pytest.mark.parametrize(
    ("youtube", "inner"), [("Youtube-real", ""), ("YouTube-real", "videos"), ("youtube-real", "videos")]
)
def test_spellings_of_folders(tmp_path: Path, youtube: str, inner: str) -> None:
    data = celeb(make_celebdf(tmp_path / "Celeb-DF-v2", "v2", youtube=youtube, inner=inner, frames=1))
    assert data.fits() and data.remarks("test") == data.remarks("train") == []
    assert names(data.listed("test")) == V2_TEST and len(data.listed("train")) == 6
    assert data.listed("train")[0].place.path.endswith(f"{youtube}/{inner}{'/' * bool(inner)}00002.mp4")


def test_spellings_in_the_list(v2: Path) -> None:
    lines = (v2 / LIST).read_text().splitlines()
    odd = [line.replace("/", "\\").replace("YouTube-real", "Youtube-real") for line in lines[::2]]
    odd += [line.replace(" ", "\t./videos/").removesuffix(".mp4") for line in lines[1::2]]
    (v2 / LIST).write_bytes(b"\xef\xbb\xbf" + "\r\n\r\n".join(odd).encode())
    assert names(celeb(v2).listed("test")) == V2_TEST and celeb(v2).remarks("test") == []


def test_pp_finds_old_fakes_and_methods_in_any_case(pp: Path) -> None:
    text = (pp / LIST).read_text().replace("FaceSwap/Celeb-DF/", "").replace("FaceReenact/LIA", "facereenact/lia")
    write_text(pp / LIST, text.replace("Celeb-synthesis/TalkingFace", "TalkingFace"))
    test = celeb(pp, "pp").listed("test")
    assert Counter(clip.method for clip in test) == {
        "original": 4,
        "Celeb-DF": 2,
        "BlendFace": 2,
        "LIA": 2,
        "SadTalker": 2,
    }
    assert celeb(pp, "pp").remarks("test") == []


# --- copies that are not whole


def test_half_of_the_videos(v2: Path) -> None:
    shutil.rmtree(v2 / "YouTube-real")
    (v2 / "Celeb-synthesis/id0_id1_0000.mp4").unlink()
    data = celeb(v2)
    assert names(data.listed("test")) == V2_TEST
    (frame,) = (f for f in data.frames("test") if f.video == "original/00001")
    with pytest.raises(FrameError, match="does not exist"):
        data.read(frame)
    missing, folder = data.remarks("test")
    assert "3 of the 6 listed files are missing" in missing and "no folder YouTube-real" in folder
    assert data.remarks("train") == [folder] and len(data.listed("train")) == 4


def test_no_list(v2: Path) -> None:
    (v2 / LIST).unlink()
    for split in ("train", "test"):
        fails(celeb(v2), "no list of test videos", LIST, "fetch it", split=split)
    assert celeb(v2).fits()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("0 YouTube-real/00000.mp4", ["line 1", "0 means fake", "a folder of real videos", "turned round"]),
        ("1 Celeb-real/id0_0000.mp4\n1 Celeb-synthesis/id0_id1_0000.mp4", ["line 2", "1 means real", "of fake videos"]),
        ("aassnaulhq.mp4,1", ["line 1", "not a label (1: real) and a video"]),
        ("real Celeb-real/id0_0000.mp4", ["line 1", "not a label"]),
        ("1 original_videos/1/1_A_001.mp4", ["line 1", "in none of Celeb-real", "another dataset"]),
        ("1 00170.mp4", ["in none of"]),
        ("1 /", ["in none of"]),
        ("\n \n", ["is empty"]),
        ("1 Celeb-real/id70_0000.mp4\n0 Celeb-synthesis/id70_id71_0000.mp4", ["none of the 2 files that", "id70_0000"]),
        ("0 Celeb-synthesis/FaceSwap/GHOST/id0_id1_0000.mp4", ["is of Celeb-DF++", "celebdf-pp"]),
    ],
)
def test_a_list_that_is_not_its_own(v2: Path, text: str, parts: list[str]) -> None:
    write_text(v2 / LIST, text)
    fails(celeb(v2), *parts)


def test_a_line_that_is_repeated_is_counted_once(v2: Path) -> None:
    text = (v2 / LIST).read_text()
    write_text(v2 / LIST, text + "1 Youtube-real/00000.mp4\n")
    assert names(celeb(v2).listed("test")) == V2_TEST and len(celeb(v2).listed("test")) == 6
    (remark,) = celeb(v2).remarks("test")
    assert "lines of" in remark and remark.endswith("count once: 1")


def test_the_other_version(whole: Path) -> None:
    fails(celeb(whole / "Celeb-DF-pp", "v2"), "FaceSwap, FaceReenact, TalkingFace", "celebdf-pp")
    fails(celeb(whole / "Celeb-DF-v2", "pp"), "none of the folders FaceSwap", "celebdf-v2")


def test_nothing_to_train_on(v2: Path) -> None:
    listed = celeb(v2).listed("train")
    folders = {"original": "Celeb-real", "Celeb-synthesis": "Celeb-synthesis"}
    more = [
        f"{1 - c.label} {'YouTube-real' if '/000' in c.video else folders[c.method]}/{Path(c.place.path).name}"
        for c in listed
    ]
    write_text(v2 / LIST, (v2 / LIST).read_text() + "\n".join(more))
    fails(celeb(v2), "no train split", "all of its 12 videos", split="train")
    assert len(celeb(v2).listed("test")) == 12


def test_two_of_one_name(v2: Path, pp: Path) -> None:
    film(v2 / "Celeb-real/videos/id0_0000.mp4", "id0")
    fails(celeb(v2), "both video 'id0_0000'")
    film(pp / "Celeb-synthesis/TalkingFace/LIA/id0_id1_0000.mp4", "id0", "id1")
    fails(celeb(pp, "pp"), "both method LIA")
    shutil.rmtree(pp / "Celeb-synthesis/TalkingFace/LIA")
    film(pp / "Celeb-synthesis/id0_id1_0000.mp4", "id0", "id1")
    fails(celeb(pp, "pp"), "both video 'id0_id1_0000' of Celeb-DF")


def test_two_spellings_of_one_folder(v2: Path) -> None:
    (v2 / "Youtube-real").mkdir()
    if len([path for path in v2.iterdir() if path.name.lower() == "youtube-real"]) < 2:
        pytest.skip("this file system does not tell cases apart")
    fails(celeb(v2), "differ in case alone")


def test_empty_folders(tmp_path: Path) -> None:
    fails(celeb(None), "needs a root", LIST)
    fails(celeb(tmp_path / "none"), "no folder at")
    (tmp_path / "Celeb-real").mkdir()
    fails(celeb(tmp_path), "no videos in Celeb-real")
    assert not celeb(tmp_path).fits()


# --- recognition


def test_each_version_is_recognised_as_itself(whole: Path, tmp_path: Path) -> None:
    for folder in ("v1", "v2", "pp"):
        fitting = [one for one in ("v1", "v2", "pp") if celeb(whole / f"Celeb-DF-{folder}", one).fits()]  # type: ignore[arg-type]
        assert fitting == [folder]
    plain = tmp_path / "celeb"
    shutil.copytree(whole / "Celeb-DF-v2", plain)
    assert celeb(plain).fits() and not celeb(plain, "v1").fits()
    write_text(plain / LIST, "1 Celeb-real/id0_0000.mp4\n" * 100)  # as many as v1's list has
    assert celeb(plain, "v1").fits() and not celeb(plain).fits()
    (plain / LIST).unlink()
    assert celeb(plain).fits() and not celeb(plain, "v1").fits() and not celeb(plain, "pp").fits()


def test_others_are_not_recognised(tmp_path: Path) -> None:
    pairs = {"test": [("953", "974")]}
    others = [
        make_ffpp(tmp_path / "ffpp", pairs=pairs, methods=["FaceSwap"], frames=1),
        make_dfdc(tmp_path / "dfdc", frames=1),
    ]
    frames = tmp_path / "frames"  # DeepfakeBench's form
    write_text(frames / "Celeb-real/frames/id0_0000/000.png", "")
    write_text(frames / "Celeb-synthesis/frames/id0_id1_0000/000.png", "")
    for root in (*others, frames, tmp_path, None, tmp_path / "none", frames / "Celeb-real/frames/id0_0000/000.png"):
        assert not any(CelebDFAdapter(root, CelebDFOptions(version=one)).fits() for one in ("v1", "v2", "pp"))


# --- reading the list

FOLDERS = {"Celeb-real": 1, "YouTube-real": 1, "Celeb-synthesis": 0}
VIDEOS = st.tuples(st.sampled_from(sorted(FOLDERS)), st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(VIDEOS, min_size=1, max_size=8),
    st.sampled_from(["", "videos/"]),
    st.sampled_from(["\n", "\r\n"]),
    st.data(),
)
def test_a_list_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, videos: list[tuple[str, str]], inner: str, end: str, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "celeb-list.txt"
    path.write_bytes(end.join(f"{FOLDERS[folder]} {folder}/{inner}{name}.mp4" for folder, name in videos).encode())
    found = read_tested(path)
    methods = {"Celeb-synthesis": "Celeb-synthesis"}
    assert found == [Named(folder, methods.get(folder, "original"), name) for folder, name in videos]
    assert [one.label for one in found] == [1 - FOLDERS[folder] for folder, _ in videos]
    wrong = data.draw(st.integers(0, len(videos) - 1))  # one label turned round is found, wherever it is
    turned = [f"{FOLDERS[folder] ^ (i == wrong)} {folder}/{name}.mp4" for i, (folder, name) in enumerate(videos)]
    write_text(path, "\n".join(turned))
    with pytest.raises(DataError, match=f"line {wrong + 1}: .*turned round"):
        read_tested(path)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.one_of(st.text(max_size=30), st.from_regex(r"[01] (Celeb-real|FaceSwap)/\S{0,9}", fullmatch=True))))
def test_any_text_is_read_or_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "any-list.txt"
    path.write_bytes("\n".join(lines).encode("utf-8", "replace"))
    for version in ("v2", "pp"):
        try:
            found = read_tested(path, version)
        except DataError as error:
            assert "\n" not in str(error.args[0]) and str(path) in str(error)
            continue
        assert all(isinstance(one.clip(Path("x.mp4"), "test"), Clip) and one.name for one in found)
