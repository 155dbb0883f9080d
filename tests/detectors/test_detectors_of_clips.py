"""Detectors of clips: which frames are judged together, rows, scores by hand, training, and single pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from small_backbones import tuned_card

import m2f2bench
from m2f2bench.core.clips import ClipFrame, join_clips
from m2f2bench.core.errors import DataError, DetectorError
from m2f2bench.core.records import Frame, Locator
from m2f2bench.core.tensors import write_tensors
from m2f2bench.datasets.joined import JoinedAdapter, joined
from m2f2bench.detectors.cam import CamDetector
from m2f2bench.detectors.tuned.detector import TunedDetector, build, tuned_options
from m2f2bench.loading import load_dataset

DATA = {"test": 4, "train": 4, "val": 2, "videos_per_identity": 1, "frames_per_video": 6, "size": 64}


def frames(video: str, count: int, picture: str = "") -> list[Frame]:
    return [
        Frame(f"{video}/{n:04d}", video, 0, "original", "test", ("a",), Locator("x"), picture) for n in range(count)
    ]


def numbers(clips: list[Frame]) -> list[list[int]]:
    return [[int(part.id[-4:]) for part in clip.parts] for clip in clips if isinstance(clip, ClipFrame)]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (8, [[0, 1, 2, 3], [4, 5, 6, 7]]),
        (6, [[0, 1, 2, 3], [2, 3, 4, 5]]),
        (4, [[0, 1, 2, 3]]),
        (2, [[0, 1, 1, 1]]),
        (1, [[0, 0, 0, 0]]),
    ],
)
def test_every_frame_is_in_a_clip(count: int, expected: list[list[int]]) -> None:
    found = join_clips([*frames("v", count), *frames("w", 4)], 4)
    assert numbers(found) == [*expected, [0, 1, 2, 3]]
    assert [clip.video for clip in found] == ["v"] * len(expected) + ["w"]


def test_a_clip_names_its_frames() -> None:
    first, short = join_clips([*frames("v", 4), *frames("w", 2)], 4)
    assert first.id == "v/0000+0001+0002+0003" and short.id == "w/0000+0001"
    assert first.identities == ("a",) and first.clip == "original\0v"
    mixed = [Frame(name, "v", 0, "original", "test", (), Locator("x")) for name in ("a/1", "b/2")]
    assert join_clips(mixed, 2)[0].id == "a/1+b/2"
    with pytest.raises(DataError, match=r"picture 'p' of video 'v' has several faces"):
        join_clips(frames("v", 2, "p"), 2)


def folder(out: Path) -> Path:
    """A small VideoMAE with random weights, as training leaves it."""
    import yaml

    card = tuned_card("videomae")
    torch.manual_seed(0)
    model, filled = build(tuned_options(card), card)
    torch.nn.init.normal_(model.head.weight)
    write_tensors(out / "model.safetensors", model.state_dict(), {"input": str(card.input)})
    options = filled.model_dump(mode="json", exclude_none=True)
    values = {"name": "clips", "backend": "tuned", "weights": "model.safetensors", "input": {"size": 32}}
    (out / "card.yaml").write_text(yaml.safe_dump({**values, "options": options}))
    return out


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> TunedDetector:
    found = m2f2bench.load_detector(str(folder(tmp_path_factory.mktemp("net"))), "cpu")
    assert isinstance(found, TunedDetector)
    return found


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("data")
    options = ", ".join(f"{key}: {value}" for key, value in DATA.items())
    (place / "faces.yaml").write_text(
        f"name: faces\nadapter: synthetic\noptions: {{{options}, methods: [swap], cache: {place / 'c'}, workers: 1}}\n"
    )
    return place / "faces.yaml"


def test_one_clip_and_eight_twice_and_a_map(detector: TunedDetector) -> None:
    pytest.importorskip("pytorch_grad_cam", reason="the extra [cam] is not installed")
    rng = np.random.default_rng(2)
    clips = [rng.integers(0, 256, (4, 40, 36, 3), dtype=np.uint8) for _ in range(8)]
    together = detector.predict(clips)
    assert together == pytest.approx(np.concatenate([detector.predict([clip]) for clip in clips]), abs=1e-5)
    assert (detector.predict(clips) == together).all() and np.ptp(together) > 1e-4
    backwards = detector.predict([clip[::-1] for clip in clips])
    assert abs(backwards - together).max() > 1e-5, "the order of the frames counts"
    assert detector.preprocessing.startswith("4frames-32px")
    picture = clips[0][0]
    assert detector.predict([picture]) == detector.predict([np.stack([picture] * 4)]), "a picture is a still clip"
    assert CamDetector(detector, "layercam").heatmap([picture, clips[1][0]]).shape == (2, 4, 4)
    with pytest.raises(DetectorError, match="judges clips"):
        CamDetector(detector, "scorecam")


@pytest.mark.parametrize("protocol", ["frame", "video"])
def test_a_run_has_a_row_for_each_clip(detector: TunedDetector, faces: Path, protocol: str, tmp_path: Path) -> None:
    (result,) = m2f2bench.run(
        detectors=[detector], datasets=str(faces), protocols=protocol, out=tmp_path / "runs", device="cpu"
    )
    (table,) = (tmp_path / "runs").glob("*/predictions.parquet")
    rows = parquet.read_table(table).to_pylist()
    adapter = load_dataset(str(faces)).adapter
    listed = list(adapter.frames("test"))
    clips = join_clips(listed, 4)
    assert [row["frame"] for row in rows] == [clip.id for clip in clips]
    assert {part for clip in clips for part in clip.parts} == set(listed)
    images = [np.stack([adapter.read(part) for part in clip.parts]) for clip in clips]
    assert [row["score"] for row in rows] == pytest.approx(detector.predict(images), abs=1e-6)
    videos = len({frame.clip for frame in listed})
    assert result.metrics["auc"].n_real + result.metrics["auc"].n_fake == (
        videos if protocol == "video" else len(clips)
    )
    assert f"|n:{len(clips)}|" in result.signature and "prep:4frames-32px" in result.signature
    (limited,) = m2f2bench.run(
        detectors=[detector], datasets=str(faces), protocols=protocol, out=tmp_path / "few", device="cpu", limit=3
    )
    assert "|n:3|" in limited.signature


def test_pixels_of_a_clip(faces: Path) -> None:
    dataset = joined(load_dataset(str(faces)), 4)
    adapter = dataset.adapter
    assert isinstance(adapter, JoinedAdapter)
    clip = adapter.frames("test")[0]
    pixels = adapter.read(clip)
    assert pixels.shape == (4, 64, 64, 3)
    other = pixels.copy()
    other[2] ^= 1
    assert adapter.digest(clip, pixels) == adapter.digest(clip, adapter.read(clip))
    assert adapter.stamp(clip) == adapter.stamp(clip)


def test_training_on_clips(faces: Path, tmp_path: Path) -> None:
    import yaml

    card = tuned_card("videomae", "layernorm")
    augmentation = {"flip_p": 0.5, "crop": [0.8, 1.0], "jpeg_p": 0.5}
    training = {"epochs": 1, "batch_size": 4, "lr": 0.01, "augmentation": augmentation}
    values = {"name": "small-videomae", "backend": "tuned", "input": {"size": 32}, "options": card.options}
    (tmp_path / "small-videomae.yaml").write_text(yaml.safe_dump({**values, "training": training}))
    made = m2f2bench.train(str(tmp_path / "small-videomae.yaml"), str(faces), out=tmp_path / "out", device="cpu")
    (result,) = m2f2bench.run(
        detectors=str(Path(made).parent), datasets=str(faces), out=tmp_path / "runs", device="cpu"
    )
    assert result.metrics["auc"].value is not None
