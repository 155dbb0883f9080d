"""The recipe of M2F2-Det's release, as settings of the loop: a frame of each video, validations by steps."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_training import frames, toy_job

from m2f2bench.cards.models import validate
from m2f2bench.cards.settings import TrainingSettings
from m2f2bench.core.errors import CardError, DataError
from m2f2bench.core.records import FAKE, REAL, Frame, Locator
from m2f2bench.core.tensors import read_tensors
from m2f2bench.detectors.timm import TimmDetector
from m2f2bench.loading import detector_card
from m2f2bench.training import loop
from m2f2bench.training.frames import sampled
from m2f2bench.training.job import TrainingJob
from m2f2bench.training.plan import make_plan


def videos(people: int, methods: int, count: int) -> list[Frame]:
    """`count` frames of a real video and of `methods` fakes of each person."""
    return [
        Frame(f"{method}/{who}/{n}", f"{who}", int(method > 0), f"m{method}", "train", (f"{who}",), Locator(""))
        for method in range(methods + 1)
        for who in range(people)
        for n in range(count)
    ]


def job(train: list[Frame], **values: Any) -> TrainingJob:
    return replace(toy_job(Path("unused"), **values), train=train)


def drawn(one: TrainingJob, epoch: int) -> list[list[Frame]]:
    return [[one.train[number] for number, _ in batch] for batch in make_plan(one, None, pairs=False).batches(epoch)]


@pytest.mark.parametrize("name", ["m2f2det", "m2f2det-densenet121", "m2f2det-vit-b16", "m2f2det-explainer"])
def test_the_card_has_the_steps_of_the_release(name: str) -> None:
    recipe = detector_card(name)[0].training
    assert recipe is not None
    one = replace(job(videos(720, 4, 2)), settings=recipe)
    plan = make_plan(one, None, pairs=False)
    assert (plan.steps, recipe.epochs * plan.steps, recipe.batch_size) == (45, 9000, 80)
    assert (recipe.validate_steps, recipe.val_frames, recipe.schedule) == (50, 700, "plateau")
    assert (recipe.plateau_factor, recipe.plateau_patience, recipe.plateau_cooldown) == (0.4, 6, 5)
    batches = drawn(one, 3)
    assert Counter(frame.label for batch in batches for frame in batch) == {REAL: 720, FAKE: 2880}
    assert all(len(batch) == 80 for batch in batches)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(0, 1), st.integers(1, 4)), min_size=2, max_size=20),
    classes=st.sampled_from(["natural", "balanced"]),
    seed=st.integers(0, 3),
)
def test_an_epoch_has_one_frame_of_each_video(sizes: list[tuple[int, int]], classes: str, seed: int) -> None:
    labels = [REAL, FAKE] + [label for label, _ in sizes]
    train = [
        Frame(f"{v}-{n}", f"{v}", label, f"m{label}", "train", (f"{v}",), Locator(""))
        for v, (label, count) in enumerate(zip(labels, [2, 2] + [count for _, count in sizes], strict=True))
        for n in range(count)
    ]
    values = {"sampling": "video", "classes": classes, "batch_size": 2, "seed": seed}
    one = job(train, **values)
    for epoch in range(3):
        batches = drawn(one, epoch)
        assert batches == drawn(one, epoch) and len(batches) == make_plan(one, None, pairs=False).steps
        seen: dict[str, set[str]] = {}
        for frame in (frame for batch in batches for frame in batch):
            seen.setdefault(frame.clip, set()).add(frame.id)
        assert all(len(found) == 1 for found in seen.values())
        if classes == "natural":
            flat = [frame.clip for batch in batches for frame in batch]
            assert len(flat) == len(set(flat)) == len(labels) - len(labels) % 2
        else:
            assert all([frame.label for frame in batch] == [REAL, FAKE] for batch in batches)


def test_each_epoch_draws_other_frames_and_all_in_the_end() -> None:
    one = job(videos(3, 1, 5), sampling="video", classes="natural", batch_size=6)
    epochs = [{frame.id for batch in drawn(one, epoch) for frame in batch} for epoch in range(40)]
    assert epochs[0] != epochs[1] and set.union(*epochs) == {frame.id for frame in one.train}
    other = replace(one, settings=one.settings.model_copy(update={"seed": 1}))
    assert drawn(one, 0) != drawn(other, 0)


@settings(max_examples=100, deadline=None)
@given(real=st.integers(0, 30), fake=st.integers(0, 30), count=st.integers(2, 50))
def test_a_sample_of_the_validation(real: int, fake: int, count: int) -> None:
    everything = frames(real, fake, "val")
    found = sampled(everything, count)
    assert len(found) == min(count, real + fake) and sampled(everything, None) == everything
    assert [frame for frame in everything if frame in found] == found
    for label, number in ((REAL, real), (FAKE, fake)):
        own = sum(frame.label == label for frame in found)
        assert abs(own - len(found) * number / max(1, real + fake)) <= 1 and (own > 0) == (number > 0)
    assert {frame.id for frame in sampled(everything[::-1], count)} == {frame.id for frame in found}


@pytest.mark.slow
def test_it_validates_by_steps_and_goes_on_from_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    recipe: dict[str, Any] = {"epochs": 3, "validate_steps": 3, "classes": "natural", "sampling": "video"}
    whole = TimmDetector.fit(toy_job(tmp_path / "whole", **recipe))
    # 32 videos in batches of 8: an epoch of 4 steps, 12 in all.
    assert [row["epoch"] for row in whole.curves] == [0.75, 1.5, 2.25, 3.0]
    assert all({"val_auc", "val_loss", "train_loss"} <= set(row) for row in whole.curves)
    assert any("of 4 chosen by validation AUC" in note for note in whole.notes)
    kept = loop.save_checkpoint
    for number in range(3):

        def killed(*given: Any) -> None:
            kept(*given)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(loop, "save_checkpoint", killed)
            TimmDetector.fit(toy_job(tmp_path / "cut", resume=number > 0, **recipe))
    again = TimmDetector.fit(toy_job(tmp_path / "cut", resume=True, **recipe))
    assert again.curves == whole.curves
    mine, theirs = read_tensors(whole.weights)[0], read_tensors(again.weights)[0]
    assert all(bool((theirs[key] == value).all()) for key, value in mine.items())


@pytest.mark.slow
def test_the_last_step_is_validated_too(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    report = TimmDetector.fit(toy_job(tmp_path / "odd", epochs=2, validate_steps=5))
    assert [row["epoch"] for row in report.curves] == [1.25, 2.0]
    early = TimmDetector.fit(
        replace(toy_job(tmp_path / "early", epochs=4, validate_steps=1, stop_after=2, lr=1e-12), auc=lambda *_: 0.5)
    )
    assert len(early.curves) == 3 and any("ended after validation 3" in note for note in early.notes)


@pytest.mark.slow
@pytest.mark.parametrize("ties", ["first", "loss"])
def test_equal_aucs(ties: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    one = toy_job(tmp_path / ties, epochs=6, ties=ties)
    report = TimmDetector.fit(replace(one, auc=lambda *_: 0.75))
    losses = [row["val_loss"] for row in report.curves]
    best = 1 if ties == "first" else losses.index(min(losses)) + 1
    assert losses[0] > min(losses) and report.notes[0].startswith(f"epoch {best} of 6 chosen by validation AUC")


def test_what_cannot_be_is_one_line() -> None:
    with pytest.raises(CardError, match="classes `natural` is not for a `source`") as error:
        validate(
            TrainingSettings, {"classes": "natural", "train_on": "real", "source": {"name": "self-blended"}}, "card"
        )
    assert "\n" not in str(error.value)
    paired = job(videos(4, 1, 1), classes="natural")
    with pytest.raises(CardError, match="has batches of a real and its fake: set `classes` to balanced"):
        make_plan(paired, None, pairs=True)
    with pytest.raises(DataError, match="cannot be trained without real frames"):
        make_plan(job([frame for frame in videos(4, 1, 1) if frame.label], classes="natural"), None, pairs=False)
