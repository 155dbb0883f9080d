"""Resizing of a training's pictures on the device: as the processes do it, and the same training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from toy_training import toy_job

from m2f2bench.cards.settings import InputSettings, TrainingSettings
from m2f2bench.core.errors import CardError
from m2f2bench.core.seeds import generator
from m2f2bench.core.tensors import read_tensors
from m2f2bench.detectors.network import Normalise, resize
from m2f2bench.detectors.timm import TimmDetector
from m2f2bench.training.network import Network, fit_network
from m2f2bench.training.resizing import FILTERS, packed, resized

CPU = torch.device("cpu")


def picture(height: int, width: int) -> np.ndarray:
    """Noise that a smaller picture averages out, on a slope that it keeps."""
    rng = generator("resizing", height, width)
    slope = np.linspace(0, 255, height * width * 3).reshape(height, width, 3)
    return np.clip(slope + rng.normal(0, 40, slope.shape), 0, 255).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@example(sizes=[(9, 9)], size=8, fit="squash", crop=1.0, interpolation="bilinear")
@given(
    sizes=st.lists(st.tuples(st.integers(8, 90), st.integers(8, 90)), min_size=1, max_size=3),
    size=st.integers(8, 64),
    fit=st.sampled_from(["squash", "centre", "cut"]),
    crop=st.sampled_from([1.0, 0.875]),
    interpolation=st.sampled_from(FILTERS),
)
def test_it_is_the_resize_of_the_judging(
    sizes: list[tuple[int, int]], size: int, fit: Any, crop: float, interpolation: Any
) -> None:
    own = InputSettings(size=size, fit=fit, crop=1.0 if fit == "cut" else crop, interpolation=interpolation)
    pictures = [picture(*one) for one in sizes]
    whole = packed(pictures)
    assert whole is not None
    found = resized(whole, own, CPU).numpy()
    wanted = np.stack([resize(one, own) for one in pictures])
    assert found.shape == wanted.shape and (found == wanted).all()


def test_all_values_of_a_face_are_the_same() -> None:
    own, one = InputSettings(size=224), picture(317, 291)
    whole = packed([one])
    assert whole is not None
    assert (resized(whole, own, CPU).numpy()[0] == resize(one, own)).all()


def test_a_picture_of_the_inputs_size_stays_as_it_is() -> None:
    one = picture(32, 32)
    whole = packed([one, one[:, ::-1]])
    assert whole is not None and packed([]) is None
    found = resized(whole, InputSettings(size=32), CPU).numpy()
    assert (found[0] == one).all() and (found[1] == one[:, ::-1]).all()


def test_only_a_training_that_asks_for_it_is_another() -> None:
    assert "resize" not in TrainingSettings().content()
    assert TrainingSettings(resize="device").content() == {**TrainingSettings().content(), "resize": "device"}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_learns_the_same(tmp_path: Path, workers: int) -> None:
    torch.set_num_threads(1)
    here = TimmDetector.fit(toy_job(tmp_path / "device", resize="device", workers=workers, views=2))
    there = TimmDetector.fit(toy_job(tmp_path / "workers", views=2))
    assert here.curves == there.curves
    mine, theirs = (read_tensors(one.weights)[0] for one in (here, there))
    assert all(bool((theirs[key] == value).all()) for key, value in mine.items())


def test_what_cannot_be_resized_there_is_told(tmp_path: Path) -> None:
    job = toy_job(tmp_path / "a", resize="device")
    own = Network(torch.nn.Linear(3, 1), lambda image: image[0], Normalise(job.card.input))
    with pytest.raises(CardError, match="'toy': resize `device` is not for a network that prepares its images"):
        fit_network(job, own)
    job = toy_job(tmp_path / "b", resize="device")
    lanczos = job.card.model_copy(update={"input": job.card.input.model_copy(update={"interpolation": "lanczos"})})
    with pytest.raises(CardError, match="is for interpolation bilinear and bicubic, not lanczos"):
        TimmDetector.fit(replace(job, card=lanczos))
