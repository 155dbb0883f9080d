"""The loop: exact resume after a kill, the same curve over two processes, honest refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from paths import HELPERS, ROOT
from sklearn.metrics import roc_auc_score
from toy_training import fit, frames, read, toy_job

from m2f2bench.core.errors import DataError, DetectorError, FrameError
from m2f2bench.core.records import Frame
from m2f2bench.core.tensors import read_tensors
from m2f2bench.detectors.timm import TimmDetector
from m2f2bench.training.job import latest_checkpoint

SCRIPT = HELPERS / "toy_training.py"
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(HELPERS)]),
}
LONG = {"epochs": 20, "checkpoint_steps": 3, "options": {"drop_rate": 0.2, "drop_path_rate": 0.1}}


def start_and_kill(out: Path, after_step: int, delay: float, resume: bool) -> None:
    """Start the long training in a process of its own and SIGKILL it `delay` seconds after a checkpoint."""
    values = json.dumps({**LONG, "resume": resume})
    with subprocess.Popen([sys.executable, str(SCRIPT), str(out), values], env=ENVIRONMENT) as process:
        try:
            deadline = time.monotonic() + 120
            while not any(int(p.name[5:]) >= after_step for p in (out / "checkpoints").glob("step-*")):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.005)
            time.sleep(delay)
        finally:
            process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (out / "fit.json").exists(), "it was over before the kill: nothing is tested"


@pytest.mark.slow
def test_killed_and_resumed_training_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole", **LONG)
    out = tmp_path / "killed"
    start_and_kill(out, after_step=3, delay=0.037, resume=False)
    first = latest_checkpoint(out)
    start_and_kill(out, after_step=27, delay=0.071, resume=True)
    second = latest_checkpoint(out)
    assert first is not None and second is not None and first.name < second.name
    again = fit(out, resume=True, **LONG)
    assert again.curves == whole.curves and again.val_auc == whole.val_auc and again.notes == whole.notes
    assert again.weights.read_bytes() == whole.weights.read_bytes()
    assert not (out / "checkpoints").exists()


def test_a_finished_training_is_taken_up_not_repeated(tmp_path: Path) -> None:
    report = fit(tmp_path, epochs=1)
    before = report.weights.stat().st_mtime_ns
    with pytest.raises(DetectorError, match="already holds a finished training"):
        fit(tmp_path, epochs=1)
    again = fit(tmp_path, epochs=1, resume=True)
    assert again == report and again.seconds == report.seconds > 0.1  # those of the training, not of this call
    assert report.weights.stat().st_mtime_ns == before
    with pytest.raises(DetectorError, match="belongs to another training") as error:
        fit(tmp_path, epochs=1, resume=True, identity="other")
    assert "\n" not in str(error.value)


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m2f2bench.training.frames.FrameReader.fill", lambda self, frames: None)
    job = toy_job(tmp_path, epochs=3, checkpoint_steps=1)
    reads = 0

    def dying(frame):
        nonlocal reads
        reads += 1
        if reads > 60:  # an epoch reads 32 frames for training and 16 for validation
            raise KeyboardInterrupt
        return read(frame)

    with pytest.raises(KeyboardInterrupt):
        TimmDetector.fit(replace(job, read=dying))
    assert latest_checkpoint(tmp_path) is not None
    with pytest.raises(DetectorError, match="was cut off: add --resume"):
        TimmDetector.fit(job)
    with pytest.raises(DetectorError, match="belongs to another training"):
        TimmDetector.fit(replace(job, resume=True, identity="other"))


@pytest.mark.slow
def test_accumulation_changes_nothing_without_batch_norm(tmp_path: Path) -> None:
    options = {"model": "test_convnext"}
    one = fit(tmp_path / "one", options=options, lr=1e-3)
    parts = fit(tmp_path / "parts", options=options, lr=1e-3, accumulation=3)
    for a, b in zip(one.curves, parts.curves, strict=True):
        assert list(b.values()) == pytest.approx(list(a.values()), abs=1e-5)


@pytest.mark.slow
def test_workers_change_nothing(tmp_path: Path) -> None:
    here = fit(tmp_path / "here", epochs=1)
    there = fit(tmp_path / "there", epochs=1, workers=2)
    assert here.weights.read_bytes() == there.weights.read_bytes()
    assert here.notes == there.notes


def test_it_learns_and_fakes_score_higher(tmp_path: Path) -> None:
    report = fit(tmp_path, epochs=10)
    assert report.val_auc is not None and report.val_auc > 0.9
    assert report.val_auc == max(row["val_auc"] for row in report.curves)
    card = toy_job(tmp_path).card.model_copy(update={"weights": str(report.weights)})
    detector = TimmDetector.from_card(card, "cpu")
    unseen = [f for f in frames(30, 30, "test") if not f.id.endswith("13")]
    scores = detector.predict([read(f) for f in unseen], [f.id for f in unseen])
    assert roc_auc_score([f.label for f in unseen], scores) > 0.95  # P(fake): the polarity, too
    chosen = next(row for row in report.curves if row["val_auc"] == report.val_auc)
    assert f"epoch {int(chosen['epoch'])} of 10" in report.notes[0]


def test_unreadable_frames_are_counted_and_too_many_end_it(tmp_path: Path) -> None:
    report = fit(tmp_path / "one", epochs=1)  # train-fake-013 of 48 frames
    assert report.notes[1] == "1 unreadable frames left out of training, first 'train-fake-013': drawn broken"

    def broken(frame):
        if frame.id[-1] in "34":
            raise FrameError(frame.id, "torn")
        return read(frame)

    with pytest.raises(DataError, match=r"of 48 training and validation frames cannot be read, first .*: torn"):
        TimmDetector.fit(replace(toy_job(tmp_path / "two"), read=broken))


def test_late_unreadable_frames_shorten_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the cache a frame is tried at its turn; a step of which nothing can be read still passes."""
    monkeypatch.setattr("m2f2bench.training.frames.FrameReader.fill", lambda self, frames: None)
    monkeypatch.setattr("m2f2bench.training.frames.UNREADABLE_SHARE", 1.0)

    def broken(frame):
        if frame.split == "train" and frame.id != "train-real-000":
            raise FrameError(frame.id, "torn")
        return read(frame)

    job = toy_job(tmp_path, epochs=1, batch_size=2, accumulation=2, options={"model": "test_convnext"})
    report = TimmDetector.fit(replace(job, read=broken))
    assert report.weights.exists() and "left out" in report.notes[1]


def test_divergence_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match=r"loss is (nan|inf).*lower `lr`") as error:
        fit(tmp_path, epochs=3, lr=1e30, optimizer="sgd", warmup_epochs=0)
    assert "\n" not in str(error.value)


def test_half_precision_on_a_cpu_is_refused_in_one_line(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("a GPU is there")
    with pytest.raises(DetectorError, match="precision fp16 cannot be used on cpu") as error:
        fit(tmp_path / "fp16", epochs=1, precision="fp16")
    assert "\n" not in str(error.value)
    assert fit(tmp_path / "bf16", epochs=1, precision="bf16").val_auc is not None


def test_weights_file_is_plain_float_tensors(tmp_path: Path) -> None:
    report = fit(tmp_path, epochs=1)
    tensors, metadata = read_tensors(report.weights)
    assert metadata["architecture"] == "test_resnet"
    assert tensors["fc.weight"].shape[0] == 1
    assert all(torch.isfinite(t.float()).all() for t in tensors.values())


@pytest.mark.parametrize("deterministic", [True, False])
def test_cudnn_chooses_its_algorithms_only_where_asked(tmp_path: Path, deterministic: bool) -> None:
    cudnn, seen = torch.backends.cudnn, set()
    before = cudnn.benchmark, cudnn.deterministic

    def reading(frame: Frame) -> Any:
        seen.add((cudnn.benchmark, cudnn.deterministic))
        return read(frame)

    job = replace(toy_job(tmp_path, epochs=1, deterministic=deterministic), read=reading)
    TimmDetector.fit(job)
    assert seen == {(not deterministic, deterministic)} and (cudnn.benchmark, cudnn.deterministic) == before
    assert ("deterministic" in job.settings.content()) == (not deterministic)
