"""M2F2-Det in the training loop: exact resume, two processes, kept CLIP features, the paper's settings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from paths import HELPERS
from toy_launch import fork
from toy_m2f2det import M2F2Detector, fit, m2f2_job, pixels, toy_network

from m2f2bench.cards.settings import AugmentationSettings, StageSettings
from m2f2bench.core.errors import DetectorError, StoreError
from m2f2bench.detectors.llm.source import LanguageSource
from m2f2bench.detectors.m2f2det.features import FeatureCache, clip_key, never_twice
from m2f2bench.detectors.m2f2det.options import ExplainerOptions
from m2f2bench.detectors.m2f2det.towers import ClipImages
from m2f2bench.training.job import LanguageData, latest_checkpoint

SCRIPT = HELPERS / "toy_m2f2det.py"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
PLAIN = AugmentationSettings(flip_p=0.5)
PAPER = {
    "lr_of": {"vision_scale": 1e-3, "map.map_scale": 3e-3},
    "weight_decay": 1e-6,
    "decay": "all",
    "schedule": "plateau",
    "warmup_epochs": 0,
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "cache"))
    yield


def curve(report: Any) -> list[list[float]]:
    return [list(row.values()) for row in report.curves]


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"cache_features": 1.0}, {"train_vision": True}])
def test_killed_and_resumed_it_ends_with_the_same_bits(tmp_path: Path, options: dict[str, Any]) -> None:
    augmentation = PLAIN.model_dump(mode="json")
    values = {**PAPER, "epochs": 3, "checkpoint_steps": 1, "augmentation": augmentation}
    whole, _ = fit(tmp_path / "whole", options, **values)
    out = tmp_path / "killed"
    environment = {**ENVIRONMENT, "M2F2BENCH_CACHE": str(tmp_path / "other")}
    told = json.dumps({"options": options, **values, "killed_after": 5})
    done = subprocess.run([sys.executable, str(SCRIPT), str(out), told], env=environment, timeout=240)
    assert done.returncode == -signal.SIGKILL and latest_checkpoint(out) == out / "checkpoints" / "step-00000005"
    os.environ["M2F2BENCH_CACHE"] = str(tmp_path / "other")
    again, _ = fit(out, options, **values, resume=True)
    assert curve(again) == curve(whole)
    assert again.weights.read_bytes() == whole.weights.read_bytes()


@pytest.mark.slow
def test_two_processes_give_the_curve_of_one(tmp_path: Path) -> None:
    """With BatchNorm in the CNN; the same global batch, the same losses, the same weights."""
    # Adam turns rounding into steps where a gradient is zero but for it (a bias before BatchNorm): a small rate.
    values = {**PAPER, "lr": 3e-4, "epochs": 2, "augmentation": PLAIN.model_dump(mode="json")}
    alone, _ = fit(tmp_path / "one", **values)
    done = fork("toy_m2f2det.py", str(tmp_path / "two"), json.dumps(values), timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    curves = json.loads((tmp_path / "two" / "fit.json").read_text())["curves"]
    for one, two in zip(curve(alone), [list(row.values()) for row in curves], strict=True):
        assert two == pytest.approx(one, abs=1e-4)


@pytest.mark.parametrize("options", [{}, {"cache_features": 1.0}])
def test_16_bits_reach_the_frozen_tower_in_training(
    tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not where its features are kept: these are computed once, and exactly."""
    found: dict[str, set[bool]] = {}
    look = ClipImages.look
    for precision in ("fp32", "bf16"):
        seen = found.setdefault(precision, set())

        def noted(self: ClipImages, *given: Any, seen: set[bool] = seen, **more: Any) -> Any:
            seen.add(torch.is_autocast_enabled("cpu"))
            return look(self, *given, **more)

        monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / f"cache-{precision}"))
        monkeypatch.setattr(ClipImages, "look", noted)
        fit(tmp_path / precision, options, epochs=1, precision=precision, augmentation=PLAIN.model_dump(mode="json"))
    in_training = set() if options else {True}
    assert found == {"fp32": {False}, "bf16": {False} | in_training}, "a validation is computed in fp32"


def test_the_papers_groups_have_their_rates(tmp_path: Path) -> None:
    from m2f2bench.training.objective import make_optimizer

    job = m2f2_job(tmp_path, **PAPER, lr=2e-3)
    network = toy_network()
    optimizer = make_optimizer(network, job.settings, "toy")
    rates = {
        name: group["lr"]
        for group in optimizer.param_groups
        for name, value in network.named_parameters()
        if any(value is other for other in group["params"])
    }
    assert rates["vision_scale"] == 1e-3 and rates["map.map_scale"] == 3e-3
    assert {rate for name, rate in rates.items() if "scale" not in name} == {2e-3}
    assert not [name for name in rates if name.startswith("clip.")]
    assert {group["weight_decay"] for group in optimizer.param_groups} == {1e-6}


def test_kept_features_are_found_again_and_change_nothing(tmp_path: Path) -> None:
    network = toy_network()
    cache = FeatureCache(network, tmp_path / "kept", limit=10**9)
    images = pixels(5)
    first = cache(images)
    assert (cache.hits, cache.misses) == (0, 5)
    second = cache(images.flip(0))
    assert (cache.hits, cache.misses) == (5, 5)
    for one, two in zip(
        [first.image, first.patches, *first.states], [second.image, second.patches, *second.states], strict=True
    ):
        assert torch.equal(one.flip(0), two)
    direct = network.features(images)
    torch.testing.assert_close(first.patches, direct.patches, atol=1e-5, rtol=0)
    torch.testing.assert_close(first.states[2], direct.states[2], atol=1e-5, rtol=0)
    mirrored = cache(images.flip(3))  # other pixels, other features
    assert cache.misses == 10 and not torch.allclose(mirrored.image, first.image)
    # A damaged entry is encoded anew; a fresh object on the same folder finds what is there.
    place = next((tmp_path / "kept").glob("*/*.safetensors"))
    place.write_bytes(place.read_bytes()[:50])
    again = FeatureCache(network, tmp_path / "kept", limit=10**9)
    assert torch.equal(again(images).patches, first.patches)
    assert again.hits + again.misses == 5 and again.misses <= 1


def test_the_cache_stays_within_its_limit(tmp_path: Path) -> None:
    network = toy_network()
    cache = FeatureCache(network, tmp_path, limit=30_000)  # an image takes about 7 kB
    cache(pixels(20))
    kept = list(tmp_path.glob("*/*.safetensors"))
    assert 1 <= len(kept) < 20
    assert cache.size <= 30_000
    assert len(cache(pixels(20)).image) == 20


def test_b2_a_cache_that_cannot_be_written_ends_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The other processes would wait in the middle of a step."""

    def full(path: Path) -> Any:
        raise StoreError(f"cannot write '{path}': No space left on device")

    network = toy_network()
    cache = FeatureCache(network, tmp_path, limit=10**9)
    monkeypatch.setattr("m2f2bench.core.tensors.replacing", full)
    for _ in range(2):
        torch.testing.assert_close(cache(pixels(3)).patches, network.features(pixels(3)).patches, atol=1e-5, rtol=0)
    assert cache.misses == 6 and not list(tmp_path.glob("*/*.safetensors"))
    (line,) = caplog.messages
    assert line.startswith(f"no more CLIP features are cached in '{tmp_path}': StoreError: cannot write ")


def test_b2_every_process_learns_to_answer_on_its_own_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LLM and detector are put where the accelerator says, which knows the process's GPU."""
    from m2f2bench.detectors.m2f2det import stages as learning

    job, own = m2f2_job(tmp_path), SimpleNamespace(device=torch.device("cuda", 1))
    job.language = LanguageData(StageSettings(precision="bf16"), [], [])
    asked: list[Any] = []
    monkeypatch.setattr(learning, "make_accelerator", lambda job, precision: asked.append(precision) or own)
    monkeypatch.setattr(learning, "_network", lambda job, accelerator: accelerator.device)
    monkeypatch.setattr(learning, "fit_language", lambda *given: given)
    assert learning.fit_stage(job) == (job, own.device, own) and asked == ["bf16"]
    placed: list[Any] = []
    monkeypatch.undo()
    monkeypatch.setattr(
        learning, "checked_start", lambda job: (job.card, ExplainerOptions(llm=LanguageSource(name="x")))
    )
    monkeypatch.setattr(learning, "open_language", lambda source, folder, device: placed.append(device))
    monkeypatch.setattr(learning, "_parts", lambda *given: (_ for _ in ()).throw(DetectorError("so far")))
    with pytest.raises(DetectorError, match="so far"):
        learning._network(job, own)
    assert placed == [own.device]


def test_altered_images_are_kept_on_their_second_coming(tmp_path: Path) -> None:
    cache = FeatureCache(toy_network(), tmp_path, limit=10**9, at_once=False)
    cache(pixels(3))
    assert not list(tmp_path.glob("*/*.safetensors"))
    cache(pixels(3))
    assert len(list(tmp_path.glob("*/*.safetensors"))) == 3


@pytest.mark.slow
def test_a_training_with_kept_features_ends_like_one_without(tmp_path: Path) -> None:
    values = {"epochs": 2, "augmentation": PLAIN}
    without, _ = fit(tmp_path / "without", **values)
    kept, _ = fit(tmp_path / "kept", {"cache_features": 1.0}, **values)
    assert list((tmp_path / "cache" / "clip-features").glob("*/*/*.safetensors"))
    for one, two in zip(curve(without), curve(kept), strict=True):
        assert two == pytest.approx(one, abs=1e-3)


def test_where_every_image_is_new_nothing_is_kept_and_it_says_so(tmp_path: Path) -> None:
    cropped = AugmentationSettings(crop=(0.8, 1.0))
    report, job = fit(tmp_path / "out", {"cache_features": 1.0}, epochs=1, augmentation=cropped)
    assert any("crop makes every training image different" in note for note in report.notes)
    assert not (tmp_path / "cache" / "clip-features").exists()
    job.resume = True
    assert M2F2Detector.fit(job).notes == report.notes  # and says so again where it is taken up
    assert never_twice(AugmentationSettings(blur_p=0.1, jpeg_p=0.1)) == ""
    assert never_twice(AugmentationSettings(colour_p=0.9)) == "colour_p"


def test_the_features_key_is_of_weights_depths_and_precision() -> None:
    one = toy_network()
    assert clip_key(one) == clip_key(toy_network())
    others = [toy_network(seed=1), toy_network(clip_depths=[1, 1, 1]), toy_network(clip_precision="bf16")]
    assert len({clip_key(one), *map(clip_key, others)}) == 4
