"""DFDC and its preview as downloaded: labels, parts, originals, and copies that are not whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from field_videos import FRAMES, film, make_celebdf, make_dfdc, make_dfdcp, write_text
from hypothesis import given, settings
from hypothesis import strategies as st

from m2f2bench.core.errors import DataError, FrameError
from m2f2bench.datasets.layouts.dfdc import DFDCAdapter
from m2f2bench.datasets.layouts.dfdcp import DFDCPAdapter
from m2f2bench.loading import load_dataset


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both."""
    field = tmp_path_factory.mktemp("field")
    make_dfdc(field / "DFDC")
    make_dfdcp(field / "DFDCP")
    return field


@pytest.fixture
def dfdc(field: Path, tmp_path: Path) -> Path:
    """A copy of DFDC that a test may damage."""
    shutil.copytree(field / "DFDC", tmp_path / "DFDC")
    return tmp_path / "DFDC"


@pytest.fixture
def dfdcp(field: Path, tmp_path: Path) -> Path:
    """A copy of the preview that a test may damage."""
    shutil.copytree(field / "DFDCP", tmp_path / "DFDCP")
    return tmp_path / "DFDCP"


def fails(adapter: Any, *parts: str, split: str = "test") -> None:
    with pytest.raises(DataError) as caught:
        adapter.listed(split)
    assert "\n" not in str(caught.value.args[0])
    for part in parts:
        assert part in str(caught.value)


def labels(root: Path) -> dict[str, int]:
    """The labels of the test videos, by hand."""
    rows = (root / "test/labels.csv").read_text().split()[1:]
    return {row.split(".")[0]: int(row.split(",")[1]) for row in rows}


def metadata(root: Path, part: int = 0) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads((root / f"train/dfdc_train_part_{part}/metadata.json").read_text())
    return found


# --- DFDC


def test_labels_of_the_test_set(field: Path) -> None:
    data = DFDCAdapter(field / "DFDC")
    clips = data.listed("test")
    assert {Path(clip.place.path).stem: clip.label for clip in clips} == labels(field / "DFDC")
    assert [clip.label for clip in clips] == [0, 0, 0, 1, 1, 1]
    assert {(clip.label, clip.method, clip.video.split("/")[0]) for clip in clips} == {
        (0, "original", "original"),
        (1, "DFDC", "DFDC"),
    }
    assert {clip.identities for clip in clips} == {()} and {clip.split for clip in clips} == {"test"}
    frames = data.frames("test")
    assert len(frames) == 6 * FRAMES and data.read(frames[-1]).shape == (64, 80, 3)


def test_a_fake_stays_with_its_original(field: Path) -> None:
    root = field / "DFDC"
    clips = DFDCAdapter(root).listed("train")
    listed = metadata(root, 0) | metadata(root, 1)
    assert len(clips) == len(listed) == 8
    for clip in clips:
        row = listed[Path(clip.place.path).name]
        assert (clip.label, clip.method) == ((1, "DFDC") if row["label"] == "FAKE" else (0, "original"))
        assert clip.identities == (Path(row.get("original", clip.place.path)).stem,)
    people = [clip.identities[0] for clip in clips]
    assert sorted(people[:4]) == sorted(people[4:]) and len(set(people)) == 4


@pytest.mark.parametrize("form", ["root", "nested", "videos"])
def test_where_parts_lie(dfdc: Path, form: str) -> None:
    want = [clip.video for clip in DFDCAdapter(dfdc).listed("train")]
    for part in sorted((dfdc / "train").iterdir()):
        if form == "root":
            shutil.move(part, dfdc / part.name)
        else:
            inner = part / ("videos" if form == "videos" else part.name)
            inner.mkdir()
            for path in list(part.iterdir()):
                if path.is_file() and (form == "nested" or path.suffix == ".mp4"):
                    shutil.move(path, inner / path.name)
    data = DFDCAdapter(dfdc)
    assert [clip.video for clip in data.listed("train")] == want
    assert data.remarks("train") == [] and data.fits() and data.holds("train")


@pytest.mark.parametrize("form", ["beside", "videos", "test/videos"])
def test_where_test_videos_lie(dfdc: Path, form: str) -> None:
    want = labels(dfdc)
    if form == "test/videos":
        (dfdc / form).mkdir()
        for path in list((dfdc / "test").glob("*.mp4")):
            shutil.move(path, dfdc / form / path.name)
    else:
        shutil.move(dfdc / "test/labels.csv", dfdc / "labels.csv")
        shutil.move(dfdc / "test", dfdc / "videos")
        if form == "beside":
            for path in list((dfdc / "videos").iterdir()):
                shutil.move(path, dfdc / path.name)
    shutil.rmtree(dfdc / "train")
    data = DFDCAdapter(dfdc)
    assert {Path(clip.place.path).stem: clip.label for clip in data.listed("test")} == want
    assert data.remarks("test") == [] and data.fits() and data.holds("test") and not data.holds("train")
    fails(data, "no train split", "dfdc_train_part_N", split="train")


def test_half_of_the_videos(dfdc: Path) -> None:
    for path in sorted((dfdc / "test").glob("*.mp4"))[:3]:
        path.unlink()
    data = DFDCAdapter(dfdc)
    assert {Path(clip.place.path).stem: clip.label for clip in data.listed("test")} == labels(dfdc)
    (remark,) = data.remarks("test")
    assert "3 of the 6 listed files are missing" in remark
    gone = [frame for frame in data.frames("test") if not Path(frame.locator.path).exists()]
    assert len(gone) == 3
    with pytest.raises(FrameError, match="does not exist"):
        data.read(gone[0])


def test_no_labels(dfdc: Path) -> None:
    (dfdc / "test/labels.csv").unlink()
    fails(DFDCAdapter(dfdc), "no test split", "test/labels.csv")
    assert not DFDCAdapter(dfdc).holds("test") and DFDCAdapter(dfdc).holds("train") and DFDCAdapter(dfdc).fits()
    fails(DFDCAdapter(None), "needs a root")
    fails(DFDCAdapter(dfdc), "no split 'val'", split="val")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("filename,label\na.mp4,2", ["line 2", "label '2' is neither 0 (real) nor 1 (fake)"]),
        ("filename,label\na.mp4,", ["line 2", "label ''"]),
        ("filename,label\n,1", ["line 2", "the filename is empty"]),
        ("filename,label\na.mp4,1\nA/a.mp4,0", ["line 3", "listed twice"]),
        ("filename,label\na.mp4,1,0", ["line 2", "3 cells under 2 columns"]),
        ("filename,label\na.mp4", ["line 2", "label ''"]),
        ("filename,label,label\na.mp4,1,0", ["line 1", "column 'label' appears twice"]),
        ("path,label\na.mp4,1", ["line 1", "no column 'filename'", "label, path"]),
        ("filename,label\n", ["has no rows"]),
        ("", ["has no rows"]),
        ('filename,label\n"a.mp4,1', ["not CSV"]),
        ("filename,label\nid0_0000.mp4,1\nid1_0000.mp4,0", ["none of the 2 files that", "id0_0000"]),
    ],
)
def test_labels_that_are_wrong_or_of_another_dataset(dfdc: Path, text: str, parts: list[str]) -> None:
    write_text(dfdc / "test/labels.csv", text)
    fails(DFDCAdapter(dfdc), *parts)


def test_labels_in_other_words(dfdc: Path) -> None:
    want = labels(dfdc)
    rows = [f"x,{'FAKE' if label else 'real'},{name}" for name, label in want.items()]
    write_text(dfdc / "test/labels.csv", "\ufeffnote, Label ,FileName\r\n" + "\r\n".join(rows))
    assert {Path(clip.place.path).stem: clip.label for clip in DFDCAdapter(dfdc).listed("test")} == want


ODD_PARTS: list[tuple[Callable[[dict[str, Any]], Any], list[str]]] = [
    (lambda rows: rows | {"a.mp4": {"label": "fake"}}, ["'a.mp4'", "label 'fake' is neither REAL nor FAKE"]),
    (lambda rows: rows | {"a.mp4": {"label": ["FAKE"]}}, ["'a.mp4'", "neither REAL nor FAKE"]),
    (lambda rows: rows | {"a.mp4": {}}, ["'a.mp4'", "label None"]),
    (lambda rows: rows | {"a.mp4": "REAL"}, ["'a.mp4'", "a mapping with its label"]),
    (lambda rows: rows | {"": {"label": "REAL"}}, ["should have a name"]),
    (lambda rows: rows | {"a.mp4": {"label": "FAKE", "original": 3}}, ["original is 3"]),
    (lambda rows: [], ["should be a mapping"]),
    (lambda rows: {}, ["should be a mapping"]),
]


@pytest.mark.parametrize(("change", "parts"), ODD_PARTS)
def test_metadata_that_are_odd(dfdc: Path, change: Callable[[dict[str, Any]], Any], parts: list[str]) -> None:
    write_text(dfdc / "train/dfdc_train_part_0/metadata.json", json.dumps(change(metadata(dfdc))))
    fails(DFDCAdapter(dfdc), *parts, split="train")
    assert len(DFDCAdapter(dfdc).listed("test")) == 6


def test_parts_that_are_odd(dfdc: Path) -> None:
    part = dfdc / "train/dfdc_train_part_1"
    rows = metadata(dfdc, 1)
    first = next(iter(rows))
    write_text(part / "metadata.json", json.dumps(rows | {first: rows[first] | {"split": "test"}}))
    (remark,) = DFDCAdapter(dfdc).remarks("train")
    assert "left out" in remark and remark.endswith("train: 1") and len(DFDCAdapter(dfdc).listed("train")) == 7
    (part / "metadata.json").unlink()
    fails(DFDCAdapter(dfdc), "dfdc_train_part_1/metadata.json", "fetch it", split="train")
    shutil.copy(dfdc / "train/dfdc_train_part_0/metadata.json", part)
    fails(DFDCAdapter(dfdc), "is also in", "dfdc_train_part_0", split="train")
    shutil.copytree(part, dfdc / part.name)
    fails(DFDCAdapter(dfdc), "are the same part", split="train")


NAMES = st.lists(st.from_regex(r"[a-z]{10}", fullmatch=True), unique=True, min_size=1, max_size=6)


@settings(deadline=None, max_examples=40)
@given(NAMES, st.data())
def test_any_labels_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], data: st.DataObject
) -> None:
    root = tmp_path_factory.getbasetemp() / "dfdc-labels"
    want = {name: data.draw(st.integers(0, 1)) for name in names}
    shutil.rmtree(root, ignore_errors=True)
    write_text(root / "test" / f"{names[0]}.mp4", "a file is enough")
    write_text(root / "test/labels.csv", "\n".join(["filename,label", *(f"{name}.mp4,{want[name]}" for name in names)]))
    assert {Path(clip.place.path).stem: clip.label for clip in DFDCAdapter(root).listed("test")} == want


# --- the preview


def test_sets_and_people_of_the_preview(field: Path) -> None:
    data = DFDCPAdapter(field / "DFDCP")
    test = data.listed("test")
    assert [(clip.video, clip.label, clip.method, clip.identities) for clip in test] == [
        ("original/2001/2001_A_001", 0, "original", ("2001",)),
        ("original/2002/2002_A_001", 0, "original", ("2002",)),
        ("method_A/2001/2002_A/2001_2002_A_001", 1, "method_A", ("2001", "2002")),
        ("method_A/2002/2001_A/2002_2001_A_001", 1, "method_A", ("2002", "2001")),
        ("method_B/2001/2002_A/2001_2002_A_001", 1, "method_B", ("2001", "2002")),
        ("method_B/2002/2001_A/2002_2001_A_001", 1, "method_B", ("2002", "2001")),
    ]
    assert {p for clip in data.listed("train") for p in clip.identities} == {"1001", "1002"}
    assert len(data.frames("test")) == 6 * FRAMES and data.remarks("test") == []
    fails(data, "no split 'val'", split="val")


def preview(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "dataset.json").read_text())
    return found


REAL = {"label": "real", "set": "test"}
ODD: list[tuple[dict[str, Any], list[str]]] = [
    ({"": REAL}, ["the path is empty"]),
    ({"original_videos/9/a.mp4": REAL | {"label": ["real"]}}, ["a.mp4", "label a list is neither"]),
    ({"original_videos/9/a.mp4": REAL | {"label": "unknown"}}, ["a.mp4", "label 'unknown'"]),
    ({"original_videos/9/a.mp4": REAL | {"label": 1}}, ["label 1 is neither 'real' nor 'fake'"]),
    ({"original_videos/9/a.mp4": REAL | {"set": "val"}}, ["set 'val' is neither"]),
    ({"original_videos/9/a.mp4": "real"}, ["should be a mapping"]),
    ({"original_videos/9/a.mp4": REAL | {"label": "fake"}}, ["label 'fake' in the folder original_videos"]),
    ({"method_A/9/8_A/a.mp4": REAL}, ["label 'real' in the folder method_A"]),
    ({"Celeb-real/id0_0000.mp4": REAL}, ["in none of original_videos", "another dataset"]),
    ({"original_videos\\2001\\2001_A_001.mp4": REAL}, ["listed twice"]),
]


@pytest.mark.parametrize(("more", "parts"), ODD)
def test_an_odd_entry_of_the_preview(dfdcp: Path, more: dict[str, Any], parts: list[str]) -> None:
    write_text(dfdcp / "dataset.json", json.dumps(preview(dfdcp) | more))
    fails(DFDCPAdapter(dfdcp), "dataset.json", *parts)


def test_lists_of_the_preview_that_are_not_its_own(dfdcp: Path) -> None:
    write_text(dfdcp / "dataset.json", json.dumps({"original_videos/9/a.mp4": REAL}))
    fails(DFDCPAdapter(dfdcp), "none of the 1 files that", "dataset.json")
    fails(DFDCPAdapter(dfdcp), "no train videos", split="train")
    for text in ("[]", "{}"):
        write_text(dfdcp / "dataset.json", text)
        fails(DFDCPAdapter(dfdcp), "should be a mapping of paths")
    write_text(dfdcp / "dataset.json", "{")
    fails(DFDCPAdapter(dfdcp), "cannot be read")
    (dfdcp / "dataset.json").unlink()
    fails(DFDCPAdapter(dfdcp), "no list of videos", "fetch it")
    fails(DFDCPAdapter(None), "needs a root", "dataset.json")


def test_half_of_the_preview(dfdcp: Path) -> None:
    shutil.rmtree(dfdcp / "method_A")
    data = DFDCPAdapter(dfdcp)
    assert len(data.listed("test")) == 6 and data.fits()
    (remark,) = data.remarks("test")
    assert "2 of the 6 listed files" in remark and "method_A/2001" in remark
    rows = {name.replace("/", "\\"): row for name, row in preview(dfdcp).items()}  # written on Windows
    write_text(dfdcp / "dataset.json", json.dumps(rows))
    assert DFDCPAdapter(dfdcp).listed("test") == data.listed("test")


# --- both


def test_cards(field: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2F2BENCH_DATA", str(field))
    for name in ("dfdc", "dfdcp"):
        data = load_dataset(name)
        assert (
            data.splits == ("train", "test") and data.card.shows == "scenes" and len(data.frames("test")) == 6 * FRAMES
        )


def test_roots_are_recognised(field: Path, tmp_path: Path) -> None:
    assert DFDCAdapter(field / "DFDC").fits() and DFDCPAdapter(field / "DFDCP").fits()
    frames = tmp_path / "frames"  # DeepfakeBench's form
    write_text(frames / "test/labels.csv", "filename,label")
    write_text(frames / "test/frames/aassnaulhq/000.png", "")
    write_text(frames / "dataset.json", "{}")
    write_text(frames / "method_A/frames/1/000.png", "")
    others = [
        make_celebdf(tmp_path / "celeb", frames=1),
        film(tmp_path / "folder/real/a.mp4", "a", frames=1).parents[1],
    ]
    for root in (field / "DFDCP", frames, *others, None, field, tmp_path / "none", frames / "dataset.json"):
        assert not DFDCAdapter(root).fits()
    for root in (field / "DFDC", frames, *others, None, field, tmp_path / "none", frames / "dataset.json"):
        assert not DFDCPAdapter(root).fits()
