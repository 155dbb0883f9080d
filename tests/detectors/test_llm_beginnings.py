"""Prompts of a batch that begin alike: their beginning is computed once, and loss and gradients are as without that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_explainer import card_file, detector_folder
from toy_generation import DEEPFAKE, IMAGE, WIDTH, language
from toy_kill import kept_at_first_checkpoint
from toy_training import toy_job

from m2f2bench.cards.models import read_card
from m2f2bench.cards.settings import StageSettings
from m2f2bench.core.records import Example
from m2f2bench.core.tensors import read_tensors
from m2f2bench.detectors.llm.loss import answer_loss, beginnings
from m2f2bench.detectors.llm.prompt import TokenizedExample, pad_right, splice
from m2f2bench.detectors.m2f2det import stages
from m2f2bench.training.job import LanguageData
from m2f2bench.training.language import Plan

COUNTS = {IMAGE: 2, DEEPFAKE: 3}
START = (7, IMAGE, 8, DEEPFAKE)
EXAMPLES = [
    TokenizedExample((*START, 9), (20, 21, 1)),
    TokenizedExample((*START, 10, 11, 12), (22, 1)),
    TokenizedExample((*START, 9, 9), (40, 41, 42, 43, 44, 45, 46, 1)),
    TokenizedExample((*START, 13), (20, 23, 1)),
]
IMAGES = ["a", "b", "a", "a"]
OF_A = 0.35 * torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(0))
OF_B = 0.35 * torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(1))
TOKENS = torch.stack([OF_A, OF_B, OF_A, OF_A])


def learned(model: Any, shares: bool, times: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of all examples so many times, and its gradient by the image tokens of the two images."""
    batch = pad_right(EXAMPLES * times, visual=2, forgery=3, multiple=16)
    shared = beginnings(EXAMPLES * times, IMAGES * times, COUNTS) if shares else {}
    tokens = TOKENS.repeat(times, 1, 1).requires_grad_(True)
    inputs = splice(model.get_input_embeddings()(batch["ids"]), tokens, batch["places"])
    found = answer_loss(model, inputs, {**batch, **shared})
    found[0].backward()
    assert tokens.grad is not None
    by_row = tokens.grad.unflatten(0, (times, 4)).sum(0)
    return found.detach(), torch.stack([by_row[[0, 2, 3]].sum(0), by_row[1]])


def test_rows_of_one_image_begin_alike() -> None:
    found = beginnings(EXAMPLES, IMAGES, COUNTS)
    assert found["owners"].tolist() == [0, 1, 0, 0] and found["begins"].tolist() == [7] * 4
    assert beginnings(EXAMPLES, ["a", "b", "c", "d"], COUNTS) == {}
    said = TokenizedExample((IMAGE, DEEPFAKE, 9), (20, 1))  # another system prompt: another length
    assert beginnings([*EXAMPLES, said], [*IMAGES, "a"], COUNTS) == {}
    other = TokenizedExample((6, *START[1:], 9), (20, 1))  # other words before the image, as long
    assert beginnings([*EXAMPLES, other], [*IMAGES, "a"], COUNTS)["owners"].tolist() == [0, 1, 0, 0, 4]
    last = TokenizedExample(START, (20, 1))  # the answer follows the image
    without = TokenizedExample((5, 6), (20, 1))
    for odd in (last, without):
        assert beginnings([*EXAMPLES, odd], [*IMAGES, "a"], COUNTS) == {}


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "gpt-neox", "gpt2"])
def test_loss_and_gradients_are_those_of_whole_rows(name: str) -> None:
    model = language(name).model
    asked: list[tuple[int, ...]] = []
    table = model.get_output_embeddings()
    passes = model.register_forward_pre_hook(
        lambda layer, args, given: asked.append(tuple(given["inputs_embeds"].shape[:2])), with_kwargs=True
    )
    whole, expected = learned(model, shares=False, times=3)
    found, gradient = learned(model, shares=True, times=3)
    passes.remove()
    # Both beginnings, of 7 positions; the eight rows that go on for 4 or 5; the other four, for up to 10.
    assert asked == [(12, 32), (2, 7), (8, 8), (4, 16)]
    torch.testing.assert_close(found, whole, rtol=1e-5, atol=0)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-4)
    assert not table._forward_pre_hooks


def test_an_output_layer_that_is_asked_twice_adds_nothing_to_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """An LLM whose logits are not those of the positions that were picked is asked again, about the same cache."""
    model = language("llama").model
    whole, expected = learned(model, shares=False)
    forward = model.forward

    def reshaped(**given: Any) -> Any:
        found = forward(**given)
        if found.logits.shape[1] != given["inputs_embeds"].shape[1]:
            found.logits = found.logits[:, :-1]
        return found

    monkeypatch.setattr(model, "forward", reshaped)
    found, gradient = learned(model, shares=True)
    torch.testing.assert_close(found, whole, rtol=1e-5, atol=0)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-4)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.integers(1, 9), st.integers(0, 3))
def test_the_examples_of_an_image_follow_one_another(images: list[int], size: int, seed: int) -> None:
    settings = StageSettings(batch_size=size, epochs=2, group_by_image=True, seed=seed)
    plan = Plan(settings, len(images), images=tuple(images))
    for epoch in range(2):
        steps = range(epoch * plan.per_epoch, (epoch + 1) * plan.per_epoch)
        order = [number for step in steps for number in plan.batch(step)]
        assert sorted(order) == list(range(len(images)))
        runs = [
            images[number]
            for place, number in enumerate(order)
            if not place or images[order[place - 1]] != images[number]
        ]
        assert len(runs) == len(set(images))


@pytest.mark.parametrize("shares", [False, True])
def test_a_row_that_counts_often_is_as_good_as_repeated(shares: bool) -> None:
    model, often = language("llama").model, [1, 2, 1, 3]
    repeated = [place for place, times in enumerate(often) for _ in range(times)]
    found = []
    for rows, times in ((repeated, {}), (range(4), {"times": torch.tensor(often)})):
        examples, images = [EXAMPLES[row] for row in rows], [IMAGES[row] for row in rows]
        batch = pad_right(examples, visual=2, forgery=3, multiple=16)
        tokens = TOKENS.clone().requires_grad_(True)
        inputs = splice(model.get_input_embeddings()(batch["ids"]), tokens[list(rows)], batch["places"])
        begun = beginnings(examples, images, COUNTS) if shares else {}
        out = answer_loss(model, inputs, {**batch, **begun, **times})
        out[0].backward()
        assert tokens.grad is not None
        found.append((out.detach(), tokens.grad[1], tokens.grad[[0, 2, 3]].sum(0)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_repeated_example_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def twice(examples: list[Example]) -> list[Example]:
        return [one for one in examples for _ in range(1 + ("b" in one.question))]

    rows: list[tuple[int, int]] = []
    own = stages.answer_loss

    def spied(model: Any, inputs: torch.Tensor, batch: Any) -> torch.Tensor:
        rows.append((len(inputs), int(batch["times"].sum())))
        return own(model, inputs, batch)

    monkeypatch.setattr(stages, "answer_loss", spied)
    once = fit(tmp_path, "once", examples=twice, batch_size=9)
    assert sum(n for n, _ in rows) < sum(often for _, often in rows)
    rows.clear()
    monkeypatch.setattr(stages, "Counter", Each)
    each = fit(tmp_path, "each", examples=twice, batch_size=9)
    assert all(n == often for n, often in rows)
    assert [row["tokens"] for row in once.curves[1:]] == [row["tokens"] for row in each.curves[1:]]
    for mine, theirs in zip(once.curves, each.curves, strict=True):
        assert mine.get("train_loss", 0.0) == pytest.approx(theirs.get("train_loss", 0.0), rel=1e-4)


class Each(list[Any]):
    """In the place of a counter: every example by itself."""

    def items(self) -> list[tuple[Any, int]]:
        return [(one, 1) for one in self]


def fit(
    tmp_path: Path,
    name: str,
    resume: bool = False,
    examples: Callable[[list[Example]], list[Example]] = list,
    **settings: Any,
) -> Any:
    card = read_card("detectors", card_file(tmp_path))
    place = tmp_path / "detector"
    if not place.exists():
        detector_folder(place)
    job = toy_job(tmp_path / name, size=32, resume=resume)
    job.card, job.stage = card, "align"
    job.start = read_card("detectors", place / "card.yaml")
    said = [
        Example(frame, f"Why {word}?", f"Because of {word}.") for frame in job.train[:4] for word in ("a", "b c", "d")
    ]
    own = StageSettings(
        epochs=2, batch_size=6, precision="fp32", val_examples=2, checkpoint_steps=2, group_by_image=True
    )
    job.language = LanguageData(own.model_copy(update=settings), examples(said), said[:2])
    return stages.fit_stage(job)


@pytest.mark.slow
def test_a_stage_learns_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared: list[int] = []
    own = stages.beginnings

    def spied(*given: Any) -> dict[str, torch.Tensor]:
        found = own(*given)
        if found:
            shared.append(len(found["owners"]) - len(set(found["owners"].tolist())))
        return found

    monkeypatch.setattr(stages, "beginnings", spied)
    once = fit(tmp_path, "once")
    assert shared.count(4) >= 4  # six rows about two images, in each step
    number = len(shared)
    monkeypatch.setattr(stages, "beginnings", lambda *given: {})
    each = fit(tmp_path, "each")
    assert len(shared) == number
    (mine, _), (theirs, _) = read_tensors(once.weights), read_tensors(each.weights)
    assert set(mine) == set(theirs)
    for name, value in mine.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-3, atol=1e-5)
    plain = [name for name, value in mine.items() if torch.equal(value, theirs[name])]
    assert any(name.startswith("projectors.") for name in set(mine) - set(plain))


def test_it_shares_nothing_where_activations_are_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "beginnings", None)  # would fail
    report = fit(tmp_path, "out", gradient_checkpointing=True)
    assert report.curves[-1]["step"] == 4


def test_killed_and_resumed_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    with kept_at_first_checkpoint(tmp_path / "whole", tmp_path / "cut"):
        whole = fit(tmp_path, "whole")
    again = fit(tmp_path, "cut", resume=True)
    assert again.curves == whole.curves
    mine, theirs = read_tensors(whole.weights)[0], read_tensors(again.weights)[0]
    assert all(torch.equal(theirs[name], value) for name, value in mine.items())


def test_cards_without_it_keep_their_identity() -> None:
    assert "group_by_image" not in StageSettings().content()
    assert StageSettings(group_by_image=True).content()["group_by_image"] is True
