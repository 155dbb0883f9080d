"""Training through the front door, and suites that train first: records, cards, refusals, kills."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import m2f2bench
from m2f2bench.cards.settings import TrainingSettings
from m2f2bench.core.cores import processor_name, usable_cores
from m2f2bench.core.errors import DataError, FrameError
from m2f2bench.core.locks import LOCK
from m2f2bench.core.records import Frame
from m2f2bench.loading import load_dataset
from m2f2bench.runs.training_identity import masks_digest, needs_masks
from m2f2bench.training.frames import split_frames

SMALL = "{seed: 3, size: 64, train: 6, val: 3, test: 4, frames_per_video: 2, methods: [swap, lowres]}"
TINY = """
name: tiny
backend: timm
input: {size: 32}
options: {model: resnet10t, drop_rate: 0.2}
training:
  {epochs: 3, batch_size: 8, lr: 0.002, checkpoint_steps: 2, augmentation: {crop: [0.8, 1.0], blur_p: 0.3, jpeg_p: 0.3}}
"""
SUITE = """
name: mini
title: A small suite
detectors: [constant, frequency]
train: [{detector: frequency, dataset: faces}]
columns:
  - {dataset: faces, protocol: frame, metric: auc}
  - {dataset: faces, protocol: video, metric: auc}
  - {dataset: faces-c40, protocol: frame, metric: auc}
"""


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cards of a small synthetic dataset, a tiny network and a suite, with a cache of their own."""
    folder = tmp_path_factory.mktemp("cards")
    for kind in ("datasets", "detectors", "leaderboards"):
        (folder / kind).mkdir()
    options = SMALL.replace("{seed", f"{{cache: {folder / 'cache'}, seed", 1)
    text = "name: {}\nadapter: synthetic\noptions: {}\n"
    (folder / "datasets" / "faces.yaml").write_text(text.format("faces", options))
    strong = options.replace("{cache", "{compression: c40, cache", 1)
    (folder / "datasets" / "faces-c40.yaml").write_text(text.format("faces-c40", strong))
    (folder / "detectors" / "tiny.yaml").write_text(TINY)
    (folder / "leaderboards" / "mini.yaml").write_text(SUITE)
    return folder


@pytest.mark.slow
def test_a_trained_detector_is_a_card_with_a_record(cli, one_line, cards: Path, tmp_path: Path) -> None:
    out = tmp_path / "t"
    words = ["train", "frequency", "-s", "faces", "--out", out, "--cards", cards]
    outcome = cli(*words)
    assert outcome.status == 0, outcome.err
    assert "validation AUC" in outcome.out
    record = json.loads((out / "training.json").read_text())
    assert record["dataset"] == "faces" and record["seed"] == 0 and len(record["data_fingerprint"]) == 16
    assert record["n_train"]["identities"] == 6 and record["n_val"]["identities"] == 3
    assert record["versions"]["scikit-learn"] and "val_auc" in record
    assert record["machine"]["processor"] == processor_name() and record["machine"]["cores"] == usable_cores()
    described = cli("describe", out / "card.yaml").out
    assert "training_datasets:\n- faces\n" in described
    ran = cli("run", "-d", out, "-s", "faces", "--cards", cards, "--out", tmp_path / "r", "--json")
    result = json.loads(ran.out)[0]
    assert result["detector"] == "frequency" and result["training_datasets"] == ["faces"]
    assert result["coverage"] == 1.0 and set(result["methods"]) == {"swap", "lowres"}
    assert "holds this training, finished" in one_line(cli(*words))
    assert cli(*words, "--resume").status == 0
    assert "another card, seed, dataset or version" in one_line(cli(*words, "--seed", 1))


def test_stage_and_detector_must_fit(cli, one_line, cards: Path) -> None:
    words = ["train", "frequency", "-s", "faces", "--cards", cards]
    assert "has no stage 'tune'" in one_line(cli(*words, "--stage", "tune"))
    assert "is not trained" in one_line(cli("run", "-d", "frequency", "-s", "faces", "--cards", cards))


def test_no_identity_crosses_from_training_to_validation(cards: Path, monkeypatch, real_data: Path) -> None:
    monkeypatch.setenv("M2F2BENCH_CARDS", str(cards))
    monkeypatch.setenv("M2F2BENCH_DATA", str(real_data))
    for name in ("faces", "ddvqa-c40"):
        dataset = load_dataset(name)
        sides = split_frames(dataset, TrainingSettings())
        train, val = ({p for f in side for p in f.identities} for side in sides)
        test = {p for f in dataset.frames("test") for p in f.identities}
        assert train and val and not (train & val) and not (test & (train | val))


def test_a_dataset_whose_own_splits_share_a_person_is_refused(squares: Path, tmp_path: Path) -> None:
    lines = ["path,label,split,identity"]
    for i in range(24):
        split = "val" if i % 6 == 0 else "train"
        lines += [f"real/{i:02d}.png,real,{split},p{i % 5}", f"fake/{i:02d}.png,fake,{split},p{i % 5}"]
    (squares / "m.csv").write_text("\n".join(lines) + "\n")
    card = tmp_path / "d.yaml"
    card.write_text(f"name: d\nadapter: folder\nroot: {squares}\noptions: {{manifest: m.csv}}\nsplits: [train, val]\n")
    with pytest.raises(DataError, match=r"identity 'p.' is in train and in val"):
        m2f2bench.train("frequency", str(card), out=tmp_path / "t")


@pytest.mark.slow
def test_a_suite_trains_judges_and_starts_at_once_the_second_time(cli, cards: Path, tmp_path: Path) -> None:
    words = ["run", "mini", "--cards", cards, "--out", tmp_path / "o"]
    first = cli(*words)
    assert first.status == 0, first.err
    assert "A small suite" in first.out and "†" in first.out and "data:faces-c40|" in first.out
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "o" / "trained").rglob("*") if p.is_file()}
    second = cli(*words, "--json")
    results = json.loads(second.out)
    assert len(results) == 6
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "o" / "trained").rglob("*") if p.is_file()}
    cells = {(r["detector"], r["dataset"], r["protocol"]): r["metrics"]["auc"] for r in results}
    assert cells["constant", "faces", "frame"]["value"] == 0.5
    assert cells["frequency", "faces", "video"]["n_real"] * 2 == cells["frequency", "faces", "frame"]["n_real"]
    narrowed = json.loads(cli(*words, "-d", "constant", "-s", "faces-c40", "--json").out)
    assert [(r["detector"], r["dataset"]) for r in narrowed] == [("constant", "faces-c40")]
    assert cli("run", "mini", "--cards", cards, "-d", "constant", "--out", tmp_path / "n").status == 0
    assert not (tmp_path / "n" / "trained").exists(), "what is not judged is not trained"


def words(cards: Path, out: Path) -> list[str]:
    return ["train", "tiny", "-s", "faces", "--cards", str(cards), "--device", "cpu", "--out", str(out)]


def start(cards: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    """A training in a process of its own."""
    command = [sys.executable, "-m", "m2f2bench", *words(cards, out), *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.fixture(scope="module")
def whole(cards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "out"
    process = start(cards, out)
    told = process.communicate()
    assert process.returncode == 0, told
    return out


def written(file: Path) -> bool:
    """Whether a file is there with something in it: a lock is there a moment before it says whose it is."""
    return file.exists() and file.stat().st_size > 0


@pytest.mark.slow
def test_e4_a_second_training_into_a_folder_is_refused_and_the_first_ends_with_its_own_weights(
    cli, one_line, cards: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "shared"
    first = start(cards, out)
    until = time.monotonic() + 60
    while not written(out / LOCK) and first.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)
    try:
        (tmp_path / "detectors").mkdir()
        (tmp_path / "detectors" / "other.yaml").write_text(TINY.replace("name: tiny", "name: other"))
        other = words(Path(f"{cards}{os.pathsep}{tmp_path}"), out)
        other[1] = "other"
        for second in (words(cards, out), [*words(cards, out), "--resume"], other):
            line = one_line(cli(*second))
            assert f"'{out}' is being written by another process (process {first.pid} on" in line
    finally:
        first.send_signal(signal.SIGCONT)
    told = first.communicate(timeout=100)
    assert first.returncode == 0, told
    assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert json.loads((out / "training.json").read_text())["detector"] == "tiny"
    assert not (out / LOCK).exists()


@pytest.mark.slow
def test_a_training_killed_through_the_command_line_ends_the_same(cards: Path, whole: Path, tmp_path: Path) -> None:
    out, draw, kills = tmp_path / "killed", random.Random(1), 0
    for _ in range(2):
        process = start(cards, out, "--resume")
        deadline = time.monotonic() + 60
        seen = len(list(out.rglob("*.safetensors"))) if out.exists() else 0
        while time.monotonic() < deadline and process.poll() is None:
            if out.exists() and len(list(out.rglob("*.safetensors"))) > seen:
                break
            time.sleep(0.01)
        time.sleep(draw.uniform(0.0, 0.4))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
    assert kills >= 1
    last = start(cards, out, "--resume")
    told = last.communicate()
    assert last.returncode == 0, told
    weights = [(folder / "model.safetensors").read_bytes() for folder in (whole, out)]
    assert weights[0] == weights[1]
    records = [json.loads((folder / "training.json").read_text()) for folder in (whole, out)]
    assert records[0]["curves"] == records[1]["curves"] and records[0]["identity"] == records[1]["identity"]
    assert records[0]["machine"] == records[1]["machine"] and records[0]["machine"]["device"] == "cpu"


@pytest.mark.slow
def test_a_disk_that_fills_during_training_is_one_line_and_it_goes_on(cli, one_line, cards, small_disk, tmp_path):
    narrow = "{model: resnet10t, model_kwargs: {channels: [8, 16, 16, 32], stem_width: 8}}"
    (tmp_path / "detectors").mkdir()
    text = TINY.replace("{model: resnet10t, drop_rate: 0.2}", narrow).replace("name: tiny", "name: narrow")
    (tmp_path / "detectors" / "narrow.yaml").write_text(text)
    disk = small_disk("2m")
    (disk / "ballast").write_bytes(b"\0" * (1700 << 10))
    both = f"{cards}{os.pathsep}{tmp_path}"
    words = ["train", "narrow", "-s", "faces", "--cards", both, "--device", "cpu", "--out", disk / "t"]
    line = one_line(cli(*words))
    assert "cannot write" in line and "No space left" in line
    (disk / "ballast").unlink()
    outcome = cli(*words, "--resume")
    assert outcome.status == 0, outcome.err
    assert (disk / "t" / "model.safetensors").exists()


GUARDED = """
import numpy as np
import m2f2bench

class Guarded(m2f2bench.Adapter):
    splits = ("train", "test")
    def frames(self, split):
        if split != "train":
            raise RuntimeError(f"{split} was looked at")
        where = m2f2bench.Locator("")
        return [
            m2f2bench.Frame(f"{i}", f"{i}", i % 2, "m" if i % 2 else "original", split, (f"p{i // 4}",), where)
            for i in range(48)
        ]
    def read(self, frame):
        rng = np.random.default_rng(int(frame.id))
        return rng.integers(0, 120 + 60 * frame.label, (64, 64, 3)).astype(np.uint8)
"""


@pytest.mark.slow
def test_training_never_looks_at_test(tmp_path: Path) -> None:
    """Trap 12: the best epoch, C, or anything else picked on the test set."""
    (tmp_path / "guarded.py").write_text(GUARDED)
    card = tmp_path / "d.yaml"
    card.write_text("name: d\nadapter: guarded.py:Guarded\nsplits: [train, test]\n")
    for name, detector in (("f", "frequency"), ("t", str(tmp_path / "tiny.yaml"))):
        (tmp_path / "tiny.yaml").write_text(TINY.replace("epochs: 3", "epochs: 1"))
        m2f2bench.train(detector, str(card), out=tmp_path / name, device="cpu")
        record = json.loads((tmp_path / name / "training.json").read_text())
        assert record["n_train"]["frames"] + record["n_val"]["frames"] == 48
    with pytest.raises(DataError, match="test was looked at"):
        load_dataset(str(card)).frames("test")


def test_from_python(cards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2F2BENCH_CARDS", str(cards))
    card = m2f2bench.train("frequency", "faces", out=tmp_path / "t")
    detector = m2f2bench.load_detector(str(card))
    frame = m2f2bench.load_dataset("faces").frames("test")[0]
    image = m2f2bench.load_dataset("faces").adapter.read(frame)
    alone = detector.predict([image])[0]
    assert detector.card.training_datasets == ("faces",)
    assert 0.0 <= alone <= 1.0 and detector.predict([image, 255 - image])[0] == pytest.approx(alone, abs=1e-9)


def test_e9_a_plain_folder_without_val_is_carved(cli, one_line, squares: Path, tmp_path: Path) -> None:
    """By the rule of datasets that have no such split: the same frames as of a card that names the others alone."""
    root = tmp_path / "d"
    for split in ("train", "test"):
        shutil.copytree(squares, root / split)
    assert cli("train", "frequency", "-s", root, "--out", tmp_path / "t").status == 0
    plain, card = load_dataset(str(root)), tmp_path / "d.yaml"
    card.write_text(f"name: d\nadapter: folder\nroot: {root}\nsplits: [train, test]\n")
    settings = TrainingSettings()
    train_, val = split_frames(plain, settings)
    assert train_ and val and {frame.split for frame in (*train_, *val)} == {"train"}
    assert split_frames(load_dataset(str(card)), settings) == (train_, val)
    card.write_text(f"name: d\nadapter: folder\nroot: {root}\nsplits: [train, val, test]\n")
    assert "has no val split" in one_line(cli("train", "frequency", "-s", card, "--out", tmp_path / "u"))


def test_masks_that_a_loss_reads_decide_the_identity(cards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2F2BENCH_CARDS", str(cards))
    place = load_dataset("faces")
    frames = split_frames(place, TrainingSettings())[0]
    before = masks_digest(place, frames)
    assert masks_digest(load_dataset("faces"), frames) == before != masks_digest(place, frames[:-1])
    own, last = place.adapter.mask, next(frame for frame in reversed(frames) if frame.label)

    def changed(frame: Frame) -> Any:
        found = own(frame)
        return ~found if found is not None and frame == last else found

    def damaged(frame: Frame) -> Any:
        if frame == last:
            raise FrameError(frame.id, "bad block")
        return own(frame)

    seen = {before}
    for mask in (changed, damaged, lambda frame: None if frame == last else own(frame)):
        monkeypatch.setattr(place.adapter, "mask", mask)
        seen.add(masks_digest(place, frames))
    assert len(seen) == 4
    assert needs_masks(TrainingSettings.model_validate({"loss": {"name": "forada"}}))
    made = {"loss": {"name": "forada"}, "train_on": "real", "source": {"name": "self-blended"}}
    assert not needs_masks(TrainingSettings.model_validate(made)) and not needs_masks(TrainingSettings())
