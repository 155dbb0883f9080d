"""Preparation keeps what the scenes have: masks, questions, manipulated regions; and how it is listed."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import marker_faces
import numpy as np
import pytest
from marker_faces import MarkerFinder, Rectangles, write_scenes
from PIL import Image

import m2f2bench
from m2f2bench.core.clips import Frames
from m2f2bench.core.errors import DataError, FrameError
from m2f2bench.core.records import Frame, Question
from m2f2bench.datasets.base import judge_questions
from m2f2bench.datasets.layouts.prepared import PreparedAdapter
from m2f2bench.faces.adapter import FaceAdapter
from m2f2bench.faces.choose import Choice
from m2f2bench.loading import load_dataset
from m2f2bench.runs.prepare import Prepared, prepare

CROP = "square:margin=0.25,size=48"
LEFT, RIGHT = (20, 30, 60, 80), (120, 40, 150, 76)
RULES = """
name: asked
task: explanation
questions: [blind]
tokenizer: none
metrics: [rouge_l, verdict_accuracy]
bootstrap: {resamples: 20}
"""


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "cache"))
    yield


class Scenes(marker_faces.Scenes):
    """Scenes with questions about each frame, and the manipulated regions of all but the first."""

    name = "marked"

    def questions(self, split: str, kind: str = "blind") -> list[Question]:
        if kind == "judge":
            return judge_questions(self.frames(split))
        if kind == "released":
            raise DataError("the released questions are in a file that is not there")
        return [
            Question(f"{one.id}?", one.id, f"Is the face in {one.id} whole?", ("Yes.", "It is."), "image", one.label)
            for one in self.frames(split)
        ]

    def altered_regions(self, split: str) -> dict[str, frozenset[str]]:
        return {one.id: frozenset(["nose", "eyes"] if one.label else []) for one in self.frames(split)[1:]}


def made(tmp_path: Path, shown: Rectangles | None = None, masks: bool = True) -> Scenes:
    """Two videos of six frames, a real one and a fake, whose masks are the upper half of the red face, in a slope."""
    videos: dict[str, Any] = {}
    for name in ("original/a", "swap/b"):
        videos[name] = [
            {c: (x0 + 4 * t, y0, x1 + 4 * t, y1) for c, (x0, y0, x1, y1) in (shown or {"red": LEFT}).items()}
            for t in range(6)
        ]
    root = tmp_path / "scenes"
    write_scenes(root, videos)
    for t in range(6) if masks else ():
        mask = np.zeros((120, 200), np.uint8)
        x0, y0, x1, _ = videos["swap/b"][t]["red"]
        for column in range(x0, x1):
            mask[y0 + (column - x0) // 4 : y0 + 25, column] = 255
        Image.fromarray(mask).save(root / f"swap/b/{t:03d}m.png")
    return Scenes(root)


def prepared(
    scenes: Scenes, out: Path, rule: str = "largest", frames: int | None = 3, form: str = "folder"
) -> Prepared:
    return prepare(scenes, out=out, crop=CROP, finder=MarkerFinder(), faces=rule, frames=frames, workers=1, form=form)


def direct(scenes: Scenes, rule: Any = "largest") -> FaceAdapter:
    return FaceAdapter(scenes, CROP, MarkerFinder(), Choice(rule=rule))


def named(adapter: Any) -> dict[str, Frame]:
    return {frame.id: frame for frame in adapter.frames("test")}


def ids(frames: Any) -> list[str]:
    return [frame.id for frame in frames]


def test_masks_are_cut_as_on_the_fly(tmp_path: Path) -> None:
    scenes = made(tmp_path)
    found = prepared(scenes, tmp_path / "out")
    assert (found.report["masks"], found.report["masks_unreadable"]) == (3, 0) and "masks: 3" in found.text()
    there, fly = load_dataset(str(tmp_path / "out")).adapter, direct(scenes)
    assert there.has_masks() and fly.has_masks()
    for frame in there.frames("test"):
        mask, wanted = there.mask(frame), fly.mask(named(fly)[frame.id])
        if not frame.label:
            assert mask is None and wanted is None
            continue
        assert mask is not None and mask.shape == (48, 48) and 0.1 < mask.mean() < 0.5
        assert np.array_equal(mask, wanted)
    with (tmp_path / "out/manifest.csv").open() as file:
        files = {line["mask"] for line in csv.DictReader(file)} - {""}
    assert {Image.open(tmp_path / "out" / one).mode for one in files} == {"L"} and len(files) == 3
    sheet = np.asarray(Image.open(tmp_path / "out/sheet.png").convert("RGB")).astype(int)
    assert sheet.shape[0] == 3 * 160  # reals, fakes, and the fakes with the rim of their masks in yellow
    yellow = (np.abs(sheet - (255, 230, 0)) < 40).all(axis=2)
    assert yellow[320:].sum() > 30 and not yellow[:320].any()


def test_maps_against_masks_are_the_same_prepared_or_not(tmp_path: Path) -> None:
    scenes = made(tmp_path)
    prepared(scenes, tmp_path / "out", frames=None)
    rng = np.random.default_rng(1)
    maps = {one: rng.random((7, 7)) for one in ids(scenes.frames("test"))}
    reports = [m2f2bench.localize(maps, data).to_json() for data in (str(tmp_path / "out"), direct(scenes))]
    kept = [{k: v for k, v in one.items() if k not in ("dataset", "measured", "signature")} for one in reports]
    assert kept[0] == kept[1]
    bare = made(tmp_path / "bare", masks=False)
    prepared(bare, tmp_path / "plain")
    assert not load_dataset(str(tmp_path / "plain")).adapter.has_masks() and not (tmp_path / "plain/masks").exists()
    with pytest.raises(DataError, match="has no true masks to compare"):
        m2f2bench.localize(maps, str(tmp_path / "plain"))


def test_a_mask_that_cannot_be_read_is_told_and_stays_so(tmp_path: Path) -> None:
    scenes = made(tmp_path)
    (tmp_path / "scenes/swap/b/003m.png").write_bytes(b"no picture")
    found = prepared(scenes, tmp_path / "out")
    assert (found.report["masks"], found.report["masks_unreadable"]) == (2, 1)
    assert "masks: 2, and 1 cannot be read" in found.text() and found.report["statuses"] == {"ok": 6}
    there = load_dataset(str(tmp_path / "out")).adapter
    (bad,) = [one for one in there.frames("test") if one.id == "swap/b/003.png"]
    assert there.read(bad).shape == (48, 48, 3)
    with pytest.raises(FrameError, match="cannot identify image file") as raised:
        there.mask(bad)
    with pytest.raises(FrameError) as own:
        direct(scenes).mask(named(scenes)[bad.id])
    assert (raised.value.status, raised.value.reason) == (own.value.status, own.value.reason)
    small = made(tmp_path / "small")
    Image.new("L", (100, 60)).save(tmp_path / "small/scenes/swap/b/003m.png")
    with pytest.raises(DataError, match=r"a mask of bool \[60, 100\] for frame 'swap/b/003.png' of \[120, 200\]"):
        prepared(small, tmp_path / "none")


def test_another_mask_is_prepared_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from field_videos import make_ffpp

    monkeypatch.setenv("M2F2BENCH_DATA", str(tmp_path))
    pairs = {"train": [], "val": [], "test": [("953", "974")]}
    root = make_ffpp(tmp_path / "FaceForensics++", ("c23",), pairs, ("Deepfakes",), masks=True, frames=2)

    class Middle(MarkerFinder):
        def find(self, image: Any) -> Any:
            from m2f2bench.faces.face import Face

            return [Face((20.0, 14.0, 52.0, 46.0), 0.9)]

    how: dict[str, Any] = {"out": tmp_path / "out", "finder": Middle(), "frames": 2, "workers": 1, "splits": ["test"]}
    found = prepare("ffpp-videos-c23@Deepfakes", **how)
    assert found.report["masks"] == 4
    before = {path.name: path.read_bytes() for path in sorted((tmp_path / "out/masks").rglob("*.png"))}
    masks = sorted((root / "manipulated_sequences/Deepfakes/masks/videos").glob("*.mp4"))
    for path in masks:
        path.write_bytes(masks[0].read_bytes()[:200])
    assert prepare("ffpp-videos-c23@Deepfakes", **how).report["masks_unreadable"] == 4 and before


@pytest.mark.parametrize("rule", ["largest", "all"])
def test_questions_and_regions_are_those_of_the_scenes(
    rule: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scenes = made(tmp_path, {"red": LEFT, "green": RIGHT})
    with caplog.at_level(logging.WARNING, "m2f2bench"):
        found = prepared(scenes, tmp_path / "out", rule)
    assert "questions of the kind released are not prepared: the released questions are in a file" in caplog.text
    each = 2 if rule == "all" else 1
    assert (found.report["questions"], found.report["questions_left_out"]) == (2 * 6 * each, 2 * 6)
    assert f"questions: {12 * each}, and 12 about frames that were not taken are left out" in found.text()
    there, fly = load_dataset(str(tmp_path / "out")).adapter, direct(scenes, rule)
    frames = set(ids(there.frames("test")))
    assert len(frames) == 6 * each
    for kind in ("blind", "judge"):
        assert there.questions("test", kind) == [one for one in fly.questions("test", kind) if one.frame in frames]
    assert there.questions("test", "released") == []
    assert there.altered_regions("test") == {k: v for k, v in fly.altered_regions("test").items() if k in frames}
    assert (rule == "all") == (not there.altered_regions("test"))


def test_answers_are_the_same_prepared_or_not(tmp_path: Path) -> None:
    class Teller:
        def predict(self, images: Any) -> list[float]:
            return [float(image.mean()) / 255 for image in images]

        def explain(self, images: Any, questions: Any) -> list[str]:
            assert len(images) == len(questions)
            return [f"It is {'fake' if image[:, :, 0].mean() > 128 else 'real'}." for image in images]

    scenes = made(tmp_path)
    (tmp_path / "asked.yaml").write_text(RULES)
    prepared(scenes, tmp_path / "out", frames=None)
    found = []
    for name, data in (("prepared", str(tmp_path / "out")), ("raw", direct(scenes))):
        results = m2f2bench.run(
            detectors=[Teller()], datasets=data, protocols=str(tmp_path / "asked.yaml"), out=tmp_path / name
        )
        found.append({metric: score.value for metric, score in results[0].metrics.items()})
        assert results[0].metrics["verdict_accuracy"].n_fake == 6
    assert found[0] == found[1]


@pytest.mark.parametrize("form", ["folder", "deepfakebench"])
def test_prepared_frames_are_listed_as_clips(form: str, tmp_path: Path, cli: Any) -> None:
    scenes = made(tmp_path, masks=False)
    for t in (2, 4):
        Image.fromarray(marker_faces.marked({})).save(tmp_path / f"scenes/swap/b/{t:03d}.png")
    found = prepared(scenes, tmp_path / "out", frames=None, form=form)
    assert found.report["statuses"] == {"ok": 10, "no_face": 2}
    adapter = load_dataset(str(tmp_path / "out")).adapter
    assert isinstance(adapter, PreparedAdapter)
    frames = adapter.frames("test")
    assert isinstance(frames, Frames) and len(frames.clips) == 2 and not frames.repeated()
    assert ids(frames) == ids(scenes.frames("test")) == list(frames.clips[0].names()) + list(frames.clips[1].names())
    bare = [replace(one, locator=None) for one in frames]  # type: ignore[arg-type]
    assert bare == [replace(one, locator=None) for one in scenes.frames("test")]  # type: ignore[arg-type]
    assert all(Path(frame.locator.path).is_file() for frame in frames)
    assert ids(adapter.sample("test", lambda n: [1, 4])) == [frames[i].id for i in (1, 4, 7, 10)]
    fly = direct(scenes)
    for frame in frames:
        if frame.id in ("swap/b/002.png", "swap/b/004.png"):
            with pytest.raises(FrameError) as raised:
                adapter.read(frame)
            assert raised.value.status == "no_face"
        else:
            assert np.array_equal(adapter.read(frame), fly.read(named(scenes)[frame.id]))
    stamps = [adapter.stamp(frame) for frame in frames]
    assert all(stamps)
    done = cli("doctor", tmp_path / "out")
    assert done.status == 0 and "missing" not in done.out


def test_faces_of_one_picture_stay_together(tmp_path: Path) -> None:
    scenes = made(tmp_path, {"red": LEFT, "green": RIGHT}, masks=False)
    prepared(scenes, tmp_path / "out", "all", frames=None)
    adapter = load_dataset(str(tmp_path / "out")).adapter
    picked = adapter.sample("test", lambda n: [0, n - 1])
    assert [one.rpartition("/")[2] for one in ids(picked)] == ["000.png#1", "000.png#2", "005.png#1", "005.png#2"] * 2
    assert {one.picture for one in picked} == {one.id.partition("#")[0] for one in picked}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("manifest.csv", "path,label\n", "has no column 'video'"),
        ("questions.jsonl", '{"split": "test"}\n', "line 1: it is damaged"),
        ("questions.jsonl", "[1]\n", "line 1: it is damaged"),
        ("regions.json", "[1, 2]", "it is damaged; prepare the dataset again"),
        ("regions.json", '{"test": 3}', "it is damaged; prepare the dataset again"),
    ],
)
def test_a_damaged_file_is_one_line(name: str, text: str, said: str, tmp_path: Path) -> None:
    prepared(made(tmp_path), tmp_path / "out")
    (tmp_path / "out" / name).write_text(text)
    adapter = load_dataset(str(tmp_path / "out")).adapter
    with pytest.raises(DataError) as raised:
        adapter.frames("test"), adapter.questions("test"), adapter.altered_regions("test")
    assert said in str(raised.value) and name in str(raised.value) and "\n" not in str(raised.value)


def test_deepfakebench_finds_the_masks(tmp_path: Path) -> None:
    from m2f2bench.datasets.deepfakebench.adapter import DeepfakeBenchAdapter, DeepfakeBenchOptions

    scenes = made(tmp_path)
    prepared(scenes, tmp_path / "out", form="deepfakebench")
    (listed,) = (tmp_path / "out/dataset_json").iterdir()
    assert json.loads(listed.read_text())
    adapter = DeepfakeBenchAdapter(tmp_path / "out", DeepfakeBenchOptions(dataset=listed.stem))
    own = load_dataset(str(tmp_path / "out")).adapter
    masks = {Path(one.locator.path): own.mask(one) for one in own.frames("test")}
    fakes: list[Frame] = [one for one in adapter.frames("test") if one.label]
    assert len(fakes) == 3
    for frame in fakes:
        assert np.array_equal(adapter.mask(frame), masks[Path(frame.locator.path)])
