"""Sources in trainings: landmarks of datasets reach them, bad frames, validation, workers, and what is refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from toy_losses import TRAININGS, landmarks, large, train
from toy_training import frames, toy_job

import m2f2bench
from m2f2bench.cards.models import DatasetCard
from m2f2bench.cards.settings import AugmentationSettings, SourceSettings, TrainingSettings
from m2f2bench.core.errors import CardError, DataError, DetectorError, FrameError
from m2f2bench.core.records import Frame
from m2f2bench.core.tensors import read_tensors
from m2f2bench.datasets.base import Adapter
from m2f2bench.datasets.calls import has_landmarks
from m2f2bench.datasets.dataset import Dataset
from m2f2bench.datasets.landmarks import Landmarks, read_landmarks
from m2f2bench.datasets.synthetic.adapter import SyntheticAdapter
from m2f2bench.datasets.synthetic.draw import SyntheticOptions
from m2f2bench.detectors.timm import TimmDetector
from m2f2bench.training.frames import FrameReader, split_frames
from m2f2bench.training.loader import Drawn, Making, Parts
from m2f2bench.training.sources import self_blended
from m2f2bench.training.sources.self_blended import SelfBlended

SMALL = SyntheticOptions(
    train=3, val=2, test=2, videos_per_identity=1, frames_per_video=2, size=64, methods=("lowres",)
)
SBI = TRAININGS["self-blended"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SyntheticOptions:
    """A few small faces, drawn once."""
    counts = {"train": 3, "val": 2, "test": 2, "videos_per_identity": 1, "frames_per_video": 2, "workers": 1}
    cache = str(tmp_path_factory.mktemp("faces"))
    return SyntheticOptions(**counts, size=64, compression="raw", methods=("lowres",), cache=cache)


class Given(Adapter):
    """Frames from memory: reals and fakes of the splits `train` and, unless told otherwise, `val`."""

    splits = ("train", "val")

    def __init__(self, real: int = 4, fake: int = 4, val: tuple[int, int] = (2, 2)) -> None:
        super().__init__()
        self.counts = {"train": (real, fake), "val": val}

    def frames(self, split: str) -> list[Frame]:
        return frames(*self.counts[split], split)

    def holds(self, split: str) -> bool:
        return sum(self.counts[split]) > 0

    def read(self, frame: Frame) -> np.ndarray:
        return large(frame)


def split(settings: dict[str, Any], **given: Any) -> tuple[list[Frame], list[Frame]]:
    dataset = Dataset(DatasetCard(name="given", adapter="folder"), Given(**given))
    return split_frames(dataset, TrainingSettings(train_on="real", **settings))


@pytest.mark.slow
def test_workers_make_the_same_samples(tmp_path: Path) -> None:
    made = [train(tmp_path / str(workers), workers=workers, **SBI) for workers in (0, 2)]
    assert made[0].curves == made[1].curves and made[0].weights.read_bytes() == made[1].weights.read_bytes()


def test_a_bad_frame_is_left_out_and_named(tmp_path: Path) -> None:
    notes = train(tmp_path, epochs=1, **SBI).notes
    assert (
        "1 unreadable frames left out of training, first 'train-real-003': its landmarks lie outside the picture or "
        "have too small a hull" in notes
    )
    assert any(note.startswith("self-blended images: hulls of the dataset's landmarks") for note in notes)
    assert "the epoch is chosen by what the source makes of the validation frames" in notes


def test_a_bad_frame_of_the_validation_is_left_out_too(tmp_path: Path) -> None:
    job = toy_job(tmp_path, epochs=1, **{**SBI, "loss": {}})
    reals = [[frame for frame in one if frame.label == 0] for one in (job.train, job.val)]

    def points(frame: Frame) -> Any:
        return np.zeros((5, 2)) if frame.id == "val-real-002" else None

    torch.set_num_threads(1)
    job = replace(job, train=reals[0], val=reals[1], read=large, landmarks=points)
    notes = TimmDetector.fit(job).notes
    assert any(
        "1 unreadable frames" in note and "'val-real-002': landmarks must not lie on one" in note for note in notes
    )


def test_too_many_bad_frames_end_the_training_in_one_line(tmp_path: Path) -> None:
    job = toy_job(tmp_path, epochs=1, **{**SBI, "loss": {}})  # whose pictures of 48x48 are too small
    reals = [[frame for frame in one if frame.label == 0] for one in (job.train, job.val)]
    with pytest.raises(
        DataError, match=r"first 'train-real-\d+': self-blended images need 64 pixels a side, not 48×48"
    ):
        TimmDetector.fit(replace(job, train=reals[0], val=reals[1]))


def test_a_real_and_its_blend_have_one_augmentation(tmp_path: Path) -> None:
    """Outside the mask they are the same pixels, whatever the draws, but for rounding at its edge."""
    every = AugmentationSettings(crop=(0.7, 0.9), rotate_p=1.0, shift_p=1.0, hue_p=1.0, erase_p=1.0)
    job = toy_job(tmp_path, augmentation=every)
    source = SelfBlended()
    source.landmarks = landmarks
    making = Making(lambda image: image, source=source, masks=True)
    reals = [frame for frame in job.train if frame.label == 0 and frame.id != "train-real-003"]
    job = replace(job, train=reals, read=large)
    for number in range(6):
        part = Parts(job, FrameReader(job.read), making, making)[Drawn(0, [[(number, 0)]], 1)]
        assert part.images is not None and part.masks is not None and part.labels.tolist() == [0, 1]
        outside = part.masks[1] == 0
        apart = (part.images[0].int() - part.images[1].int()).abs().amax(dim=2)
        assert 0.2 < outside.float().mean() < 1 and not part.masks[0].any()
        assert apart[outside].max() <= 8 and (apart[outside] > 0).float().mean() < 0.05 and apart.max() > 16


@pytest.mark.parametrize("val", [(2, 2), (0, 0)])
def test_the_epoch_is_chosen_by_the_source_or_by_the_datasets_fakes(val: tuple[int, int]) -> None:
    """With a split `val`, and with one that is carved."""
    for where, labels in (("source", {0}), ("dataset", {0, 1})):
        source = SourceSettings(name="self-blended", validate_on=where)  # type: ignore[arg-type]
        training, validation = split({"source": source, "val_fraction": 0.4}, val=val)
        assert {frame.label for frame in training} == {0} and {frame.label for frame in validation} == labels
        assert not {frame.id for frame in training} & {frame.id for frame in validation}


def test_validation_by_the_datasets_fakes(tmp_path: Path) -> None:
    """They have bright stripes: a network that never learned from one tells them apart by their brightness or not."""
    job = toy_job(tmp_path, **{**SBI, "loss": {}, "source": {"name": "self-blended", "validate_on": "dataset"}})
    reals = [frame for frame in job.train if frame.label == 0]
    seen: list[list[int]] = []

    def auc(labels: Any, scores: Any) -> float:
        seen.append(list(labels))
        return 0.25

    torch.set_num_threads(1)
    report = TimmDetector.fit(replace(job, train=reals, read=large, auc=auc))
    assert seen == [[0] * 8 + [1] * 8] * 2 and report.val_auc == 0.25  # a frame is one sample
    assert "the epoch is chosen by the dataset's own validation frames" in report.notes


def test_a_source_never_calls_a_fake_real(tmp_path: Path) -> None:
    job = toy_job(tmp_path, source={"name": "self-blended"})
    with pytest.raises(CardError, match=r"frames have fakes of the dataset: set training.train_on to") as e:
        TimmDetector.fit(job)
    assert "\n" not in str(e.value)


def test_missing_classes_are_one_line() -> None:
    sbi = {"source": SourceSettings(name="self-blended")}
    with pytest.raises(DataError, match=r"split 'train' has no real frames, and training.train_on is `real`"):
        split(sbi, real=0)
    with pytest.raises(DataError, match=r"split 'val' has no real frames, and training.train_on is `real`"):
        split(sbi, val=(0, 2))
    by_fakes = {"source": SourceSettings(name="self-blended", validate_on="dataset")}
    with pytest.raises(DataError, match=r"split 'val' lacks a class, and training.source.validate_on is `dataset`"):
        split(by_fakes, val=(2, 0))
    with pytest.raises(DataError, match=r"a training split with only real frames: it needs both classes"):
        split(by_fakes, fake=0, val=(0, 0))


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([[1, 2], [3, 4]], r"not 3 or more finite points \(x, y\): their shape is \[2, 2\]"),
        ([[1, 2], [3, np.inf], [5, 6]], "not 3 or more finite points"),
        (np.zeros((81, 3)), r"their shape is \[81, 3\]"),
        ("eyes", r"its landmarks are a str, not points \(x, y\)"),
        ([[1, 2], [3]], r"its landmarks are a list, not points \(x, y\)"),
    ],
)
def test_bad_landmarks_are_the_frames_fault(points: Any, words: str) -> None:
    class Bad(Given):
        def landmarks(self, frame: Frame) -> Any:
            return points

    frame = frames(1, 0)[0]
    with pytest.raises(FrameError, match=words) as error:
        read_landmarks(Bad(), frame)
    assert str(error.value).startswith("train-real-000: ") and "\n" not in str(error.value)
    held = Landmarks.of(Bad(), [frame])
    assert held is not None
    with pytest.raises(FrameError, match=words):
        held(frame)


def test_only_an_adapter_with_its_own_has_landmarks() -> None:
    assert not has_landmarks(Given()) and has_landmarks(SyntheticAdapter())
    assert Landmarks.of(Given(), frames(2, 2)) is None


def _card(folder: Path, **training: Any) -> Path:
    settings = {"epochs": 1, "batch_size": 4, "train_on": "real", "source": {"name": "self-blended"}, **training}
    card = {
        "name": "tiny-sbi",
        "backend": "timm",
        "input": {"size": 32, "mean": [0.5] * 3, "std": [0.25] * 3},
        "options": {"model": "test_resnet"},
        "training": settings,
    }
    path = folder / "tiny-sbi.yaml"
    path.write_text(yaml.safe_dump(card))
    return path


def test_landmarks_of_a_dataset_reach_the_source(
    small: SyntheticOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of real frames alone: the dataset's fakes are never asked for."""
    adapter, used = SyntheticAdapter(options=small), []
    blended = self_blended.self_blended

    def watched(image: Any, points: Any, rng: Any) -> Any:
        used.append(points.tobytes())
        return blended(image, points, rng)

    monkeypatch.setattr(self_blended, "self_blended", watched)
    m2f2bench.train(_card(tmp_path), adapter, out=tmp_path / "out", device="cpu")
    reals = [frame for split in ("train", "val") for frame in adapter.frames(split) if frame.label == 0]
    assert len(reals) == 10 and set(used) == {adapter.landmarks(frame).tobytes() for frame in reals}


@pytest.mark.slow
def test_other_landmarks_are_another_training(
    small: SyntheticOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, out = _card(tmp_path), tmp_path / "out"
    m2f2bench.train(card, SyntheticAdapter(options=small), out=out, device="cpu")
    before = read_tensors(out / "model.safetensors")[0]
    m2f2bench.train(card, SyntheticAdapter(options=small), out=out, device="cpu", resume=True)
    landmarks = SyntheticAdapter.landmarks
    monkeypatch.setattr(SyntheticAdapter, "landmarks", lambda self, frame: landmarks(self, frame) + 4)
    with pytest.raises(DetectorError, match="holds a training with another card"):
        m2f2bench.train(card, SyntheticAdapter(options=small), out=out, device="cpu", resume=True)
    m2f2bench.train(card, SyntheticAdapter(options=small), out=tmp_path / "other", device="cpu")
    after = read_tensors(tmp_path / "other/model.safetensors")[0]
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_a_source_for_a_detector_of_clips_is_refused(
    small: SyntheticOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TimmDetector, "clip_frames", classmethod(lambda cls, card: 4))
    with pytest.raises(CardError, match="makes samples of single frames, and the detector judges clips of 4"):
        m2f2bench.train(_card(tmp_path), SyntheticAdapter(options=small), out=tmp_path / "out", device="cpu")


def test_settings_from_before_have_the_hash_that_they_had() -> None:
    """The digests are those of the commit before the later augmentations."""

    def digest(settings: TrainingSettings) -> str:
        return hashlib.sha256(json.dumps(settings.content(), sort_keys=True).encode()).hexdigest()[:16]

    assert digest(TrainingSettings()) == "1a3586d93bb8c701"
    given = AugmentationSettings(flip_p=0.0, jpeg_p=0.3)
    assert digest(TrainingSettings(augmentation=given, epochs=3)) == "d22c0cfdf71933f9"
    turned = TrainingSettings(augmentation=AugmentationSettings(rotate_p=0.1))
    assert turned.content()["augmentation"]["rotate_p"] == 0.1 and "hue_p" not in turned.content()["augmentation"]
