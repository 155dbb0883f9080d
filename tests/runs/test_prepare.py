"""Preparation: crops of faces from videos, the same as on the fly, also after kills."""

from __future__ import annotations

import csv
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import field_videos
import killed_prepare
import numpy as np
import people_videos
import pyarrow.parquet as pq
import pytest
import yaml
from field_videos import film, make_celebdf, make_dfdc, make_ffpp
from PIL import Image

import m2f2bench
from m2f2bench.core.errors import CardError, DataError, NothingJudged
from m2f2bench.datasets.layouts.ffpp import FFPPAdapter, FFPPOptions
from m2f2bench.faces.adapter import with_faces
from m2f2bench.loading import load_dataset
from m2f2bench.runs import prepare as prepared_module
from m2f2bench.runs.prepare import prepare

PAIRS = {"train": [("071", "054"), ("087", "081")], "val": [("720", "672")], "test": [("953", "974")]}
FF = "ffpp-videos-c23@Deepfakes"
COLUMNS = (FF, "ffpp-videos-c40@Deepfakes", "celebdf-v2", "dfdc")
SAME = ("frame", "video", "method", "identity", "label", "status", "score", "message", "picture")
"""What is the same of a frame's row, whether its crop was prepared or made on the fly."""
THRESHOLD = '''
import m2f2bench
class Blue:
    """The share of blue in a crop."""
    def predict(self, images):
        return [float(image[60:160, 60:160, 2].mean()) / 255 for image in images]
'''


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(field_videos, "scene", people_videos.scene)
        patch.setattr(field_videos, "FRAMES", 3)
        make_ffpp(root / "FaceForensics++", ("c23",), PAIRS, ("Deepfakes",), frames=3)
        make_ffpp(root / "FaceForensics++", ("c40",), {"test": PAIRS["test"]}, ("Deepfakes",), frames=3)
        make_celebdf(root / "Celeb-DF-v2", frames=2)
        make_dfdc(root / "DFDC", test=4, parts=1, each=1, frames=2)
    return root


@pytest.fixture(scope="module", autouse=True)
def _place(data: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("M2F2BENCH_DATA", str(data))
        patch.setenv("M2F2BENCH_CACHE", str(data / "cache"))
        yield


def scenes(root: Path, **people: str) -> Path:
    """A folder of videos of six frames: the name of each, and who is in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(field_videos, "scene", people_videos.scene)
        for name, who in people.items():
            label = "fake" if name.startswith("fake") else "real"
            film(root / label / f"{name}.mp4", who, "054" if label == "fake" else "", frames=6)
    return root


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return sorted(
        pq.read_table(folder / "predictions.parquet", columns=list(SAME)).to_pylist(), key=lambda row: row["frame"]
    )


def content(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.mark.slow
def test_raw_to_row(data: Path, tmp_path: Path) -> None:
    """FaceForensics++, Celeb-DF and DFDC: prepared, learned from, judged, a board; on the fly the rows are the same."""
    roots = {}
    for name in COLUMNS:
        roots[name] = tmp_path / name.partition("@")[0]
        found = prepare(
            name, out=roots[name], workers=1, frames=2, splits=["train", "val", "test"] if name == FF else ["test"]
        )
        assert found.report["statuses"].get("ok", 0) >= 0.8 * found.report["frames"]
    card = yaml.safe_load((roots[FF] / "card.yaml").read_text())
    assert card["source"] == "FaceForensics++" and card["shows"] == "crops" and card["adapter"] == "prepared"
    trained = m2f2bench.train("frequency", str(roots[FF]), out=tmp_path / "trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("M2F2BENCH_CARDS", str(tmp_path))
        protocol = tmp_path / "two.yaml"
        protocol.write_text("name: two\nlevel: video\nframes: {which: uniform, count: 2}\nmetrics: [auc]\n")
        runs = m2f2bench.run(
            detectors=str(trained.parent),
            datasets=[str(root) for root in roots.values()],
            protocols=str(protocol),
            out=tmp_path / "prepared",
        )
        raw = m2f2bench.run(
            detectors=str(trained.parent),
            datasets=list(COLUMNS),
            protocols=str(protocol),
            out=tmp_path / "raw",
            crop="m2f2det",
        )
    assert len(runs) == len(raw) == 4
    for prepared, direct, one in zip(runs.folders, raw.folders, raw, strict=True):
        assert rows_of(prepared) == rows_of(direct)
        assert "|crop:m2f2det-1-224px-" in one.signature and not one.warnings
        assert m2f2bench.validate_result(direct) == []
    assert all("crop:" not in one.signature for one in runs)
    table = runs.table("csv").splitlines()
    assert len(table) == 5 and all(any(name.partition("@")[0] in row for row in table) for name in COLUMNS)


@pytest.mark.slow
def test_the_crops_are_those_on_the_fly(tmp_path: Path) -> None:
    root = scenes(tmp_path / "scenes", real1="953", fake1="974", real2="nobody1")
    found = prepare(root, workers=1, out=tmp_path / "out", frames=4)
    assert found.report["statuses"] == {"ok": 8, "no_face": 4} and found.report["videos_without_a_face"] == 1
    assert "no_face: 4 frames, first 'real/real2.mp4" in found.text()
    crops = with_faces(load_dataset(str(root)))
    there = load_dataset(str(tmp_path / "out"))
    listed = {frame.id: frame for frame in there.frames("test")}
    assert len(listed) == 12
    for frame in crops.frames("test"):
        if frame.id in listed and "real2" not in frame.id:
            assert np.array_equal(crops.read(frame), there.read(listed[frame.id]))
            assert (frame.video, frame.label, frame.method) == (
                listed[frame.id].video,
                listed[frame.id].label,
                listed[frame.id].method,
            )
    with (tmp_path / "out" / "manifest.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["status"] for line in lines].count("no_face") == 4
    assert all((tmp_path / "out" / line["path"]).is_file() == (line["status"] == "ok") for line in lines)
    assert Image.open(tmp_path / "out" / "sheet.png").width > 160
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == found.report


def test_all_faces_are_the_frames_of_a_run(tmp_path: Path) -> None:
    root = scenes(tmp_path / "scenes", real1="953", fake1="974")
    prepare(root, workers=1, out=tmp_path / "out", frames=None, faces="all", crop="sbi")
    there = load_dataset(str(tmp_path / "out")).frames("test")
    from m2f2bench.faces.choose import Choice

    own = with_faces(load_dataset(str(root)), "sbi", choice=Choice(rule="all")).frames("test")
    assert [(one.id, one.picture) for one in there] == [(one.id, one.picture) for one in own]
    assert any(one.id.endswith("#1") for one in there)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_killed_and_repeated_it_ends_with_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed among the pictures, before each record, before the card, and before the sheet."""
    root = scenes(tmp_path / "scenes", real0="953", fake1="974", real2="953", fake3="nobody1")
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "cache-a"))
    written = killed_prepare.renames(lambda: prepare(root, workers=1, out=tmp_path / "whole", frames=6))
    whole = content(tmp_path / "whole")
    assert written == len(whole) == 25
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "cache-b"))
    # The settings; 12 pictures and a record; 6 pictures and a record; the manifest, the card, the report, the sheet.
    points = (8, 12, 19, 8, 3)
    words = [sys.executable, killed_prepare.__file__, str(root), str(tmp_path / "part"), *map(str, points)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(int(signal.SIGKILL))] * len(points)
    part = content(tmp_path / "part")
    assert sorted(part) == sorted(whole)
    assert [name for name in whole if part[name] != whole[name]] == []


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people = {f"{'fake' if i % 2 else 'real'}{i}": f"{953 + i % 2}" for i in range(6)}
    root = scenes(tmp_path / "scenes", **people)
    for count in (1, 2):
        monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / f"cache{count}"))
        prepare(root, workers=count, out=tmp_path / f"out{count}", frames=6)
    assert content(tmp_path / "out1") == content(tmp_path / "out2")


def test_what_is_finished_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = scenes(tmp_path / "scenes", real1="953", fake1="974")
    prepare(root, workers=1, out=tmp_path / "out", frames=6)
    before = content(tmp_path / "out")
    seen: list[Any] = []
    monkeypatch.setattr(prepared_module, "make_parts", lambda *given: (seen.append(given[3]), iter(()))[1])
    prepare(root, workers=1, out=tmp_path / "out", frames=6)
    assert seen == [[]] and content(tmp_path / "out") == before
    monkeypatch.undo()
    os.environ["M2F2BENCH_CACHE"] = str(tmp_path / "cache")
    scenes(tmp_path / "scenes", real1="054")  # another video under its name
    prepare(root, workers=1, out=tmp_path / "out", frames=6)
    assert content(tmp_path / "out") != before
    (root / "real" / "real1.mp4").rename(root / "real" / "real3.mp4")
    prepare(root, workers=1, out=tmp_path / "out", frames=6)
    assert not any("real1" in name for name in content(tmp_path / "out"))


@pytest.mark.parametrize("damage", ["cut in a line", "no first line", "another key", "not text", "a picture cut"])
def test_what_is_damaged_is_made_again(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "cache"))
    root = scenes(tmp_path / "scenes", real1="953")
    prepare(root, workers=1, out=tmp_path / "out", frames=2)
    before = content(tmp_path / "out")
    (record,) = (tmp_path / "out" / "records").iterdir()
    held = record.read_bytes()
    changed = {
        "cut in a line": held[:-20],
        "no first line": held.partition(b"\n")[2],
        "another key": held.replace(b'"key": "', b'"key": "0'),
        "not text": b"\xff" + held,
        "a picture cut": held,
    }[damage]
    assert (changed != held) == (damage != "a picture cut")
    record.write_bytes(changed)
    if damage == "a picture cut":
        picture = next((tmp_path / "out" / "frames").rglob("*.png"))
        picture.write_bytes(picture.read_bytes()[:-1])
    made: list[int] = []
    really = prepared_module.make_parts
    monkeypatch.setattr(prepared_module, "make_parts", lambda *given: (made.append(len(given[3])), really(*given))[1])
    prepare(root, workers=1, out=tmp_path / "out", frames=2)
    assert made == [1] and content(tmp_path / "out") == before


def test_one_line_each(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root, out = scenes(tmp_path / "scenes", real1="nobody1", fake1="974"), tmp_path / "out"
    with pytest.raises(CardError, match="unknown crop 'm2f2dt'"):
        prepare(root, workers=1, out=out, crop="m2f2dt")
    with pytest.raises(m2f2bench.M2F2BenchError, match=r"unknown finder of faces 'centreface'.*centerface"):
        prepare(root, workers=1, out=out, finder="centreface")
    with pytest.raises(CardError, match="unknown choice of faces 'biggest': give one of largest, mask, all"):
        prepare(root, workers=1, out=out, faces="biggest")
    with pytest.raises(CardError, match=r"unknown form 'foldr'.*folder"):
        prepare(root, workers=1, out=out, form="foldr")
    with pytest.raises(DataError, match="shows crops of faces already"):
        prepare("synthetic", out=out)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="is not empty, and no preparation"):
        prepare(root, workers=1, out=tmp_path / "full")
    prepare(root, workers=1, out=out, frames=2)
    with pytest.raises(DataError, match="holds another preparation: frames was 2, is 3"):
        prepare(root, workers=1, out=out, frames=3)
    empty = scenes(tmp_path / "empty", real1="nobody1", fake1="nobody2")
    (empty / "fake" / "fake1.mp4").write_bytes((empty / "real" / "real1.mp4").read_bytes())
    with pytest.raises(NothingJudged, match="no face was found in any of 4 frames, first"):
        prepare(empty, workers=1, out=tmp_path / "none", frames=2)
    assert not (tmp_path / "none" / "card.yaml").exists()
    with pytest.raises(CardError, match="--finder and --faces say which faces are cut out, and none are: give --crop"):
        m2f2bench.run(detectors="constant", datasets=str(root), faces="all", out=tmp_path / "run")
    with caplog.at_level(logging.WARNING, "m2f2bench"):
        m2f2bench.run(detectors="constant", datasets="synthetic", limit=8, crop="m2f2det", out=tmp_path / "crops")
    assert [one.getMessage() for one in caplog.records if "--crop" in one.getMessage()] == [
        "synthetic: --crop is not used: by its card its frames are crops of faces already"
    ]


def test_another_crop_is_another_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "blue.py").write_text(THRESHOLD)
    how: dict[str, Any] = {"detectors": f"{tmp_path}/blue.py:Blue", "datasets": FF, "out": tmp_path / "out"}
    with caplog.at_level(logging.WARNING, "m2f2bench"):
        (first,) = m2f2bench.run(crop="m2f2det", **how)
    assert not [one for one in caplog.records if "scenes" in one.getMessage()]
    assert "|crop:m2f2det-1-224px-" in first.signature and "/centerface-" in first.signature
    with pytest.raises(m2f2bench.M2F2BenchError, match=r"holds rows|another"):
        m2f2bench.run(crop="sbi", **how)
    again = m2f2bench.check(tmp_path / "out", detector=how["detectors"])
    assert again[0].passed and not [note for note in again[0].notes if "crop" in note]
    with caplog.at_level(logging.WARNING, "m2f2bench"):
        (plain,) = m2f2bench.run(**{**how, "out": tmp_path / "plain"})
    assert "crop:" not in plain.signature
    assert any("give --crop m2f2det" in one.getMessage() for one in caplog.records)


def test_a_cut_video_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = scenes(tmp_path / "scenes", real1="953", fake1="974", fake2="012")
    whole = (root / "fake" / "fake2.mp4").read_bytes()
    (root / "fake" / "fake2.mp4").write_bytes(whole[: len(whole) // 2])
    found = prepare(root, workers=1, out=tmp_path / "out", frames=2)
    assert found.report["statuses"]["unreadable"] == 1
    assert [one["id"] for one in found.report["failures"]] == [
        one.id for one in load_dataset(str(root)).frames("test") if "fake2" in one.id
    ]


def test_the_form_of_m2f2det(tmp_path: Path) -> None:
    """Read by the adapter of its HDF5 files: the same pictures as the folder's."""
    found = prepare(FF, out=tmp_path / "out", form="hdf5", frames=2, splits=["test", "val"], workers=1)
    assert found.report["frames"] == 16
    options = FFPPOptions(compression="c23", methods=("original", "Deepfakes"))
    adapter = FFPPAdapter(tmp_path / "out", options)
    assert json.loads((tmp_path / "out" / "FFPP_split" / "test.json").read_text()) == [["953", "974"]]
    there = {frame.video: frame for frame in load_dataset(str(tmp_path / "out")).frames("test")}
    frames = adapter.frames("test")
    assert {frame.video for frame in frames} == {
        *("original/953", "original/974", "Deepfakes/953_974", "Deepfakes/974_953")
    }
    own = load_dataset(str(tmp_path / "out"))
    last = {frame.video: frame for frame in frames}
    assert all(np.array_equal(adapter.read(last[video]), own.read(there[video])) for video in last)
    with pytest.raises(DataError, match="form hdf5 is that of FaceForensics"):
        prepare("celebdf-v2", out=tmp_path / "other", form="hdf5", workers=1)


@pytest.mark.parametrize(("dataset", "card"), [(FF, "dfb-ffpp-c23@Deepfakes"), ("celebdf-v2", "dfb-celebdf-v2")])
def test_the_form_of_deepfakebench(dataset: str, card: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read by its own card: the same labels, people and pictures."""
    root = tmp_path / "deepfakebench"
    found = prepare(dataset, out=root, form="deepfakebench", crop="deepfakebench", frames=2, splits=["test"], workers=1)
    own = load_dataset(str(root)).frames("test")
    monkeypatch.setenv("M2F2BENCH_DATA", str(tmp_path))
    there = load_dataset(card)
    listed = there.frames("test")
    assert len(listed) == found.report["statuses"]["ok"] > 0
    facts = {Path(frame.locator.path): (frame.label, frame.method, frame.identities) for frame in own}
    for frame in listed:
        label, method, people = facts[Path(frame.locator.path)]
        assert (frame.label, frame.method) == (label, method)
        assert frame.identities in (people, ())  # its lists do not say who is in a video from elsewhere
        assert there.read(frame).shape == (256, 256, 3)
