"""Batches of unequal length: padding that nobody sees and that has a key, and logits where answers are learned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from torch import nn
from toy_explainer import card_file, detector_folder
from toy_generation import (
    DEEPFAKE,
    END,
    FAMILIES,
    IMAGE,
    WIDTH,
    Request,
    generate,
    language,
    naive,
    slots_of,
    text_of,
)
from toy_masks import spied, without_key
from toy_training import frames, read
from toy_vlm import tiny_idefics

from m2f2bench.cards.models import DetectorCard, read_card
from m2f2bench.cards.settings import StageSettings
from m2f2bench.core.records import Example
from m2f2bench.detectors.llm import generate as generation
from m2f2bench.detectors.llm import shared
from m2f2bench.detectors.llm.cache import Batch
from m2f2bench.detectors.llm.generate import Generator
from m2f2bench.detectors.llm.loss import answer_loss, logits_at
from m2f2bench.detectors.llm.prompt import (
    IGNORED,
    TokenizedExample,
    embed,
    pad_right,
    splice,
    spread_length,
)
from m2f2bench.detectors.llm.sampling import GenerationSettings
from m2f2bench.detectors.vlm.source import with_keys
from m2f2bench.loading import load_detector
from m2f2bench.training.job import LanguageData

COUNTS = {IMAGE: 2, DEEPFAKE: 3}
EXAMPLES = [
    TokenizedExample((7, IMAGE, 8, DEEPFAKE, 9), (20, 21, 1)),
    TokenizedExample((DEEPFAKE, 5), (22, 1)),
    TokenizedExample((0, 6, IMAGE, 30, 31, 32, 33), (40, 41, 42, 43, 44, 45, 46, 1)),
]
TOKENS = 0.35 * torch.randn(3, 5, WIDTH, generator=torch.Generator().manual_seed(0))


def spliced(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return splice(model.get_input_embeddings()(batch["ids"]), TOKENS, batch["places"])


def wholes(model: Any) -> list[torch.Tensor]:
    """The embeddings of each example, [L, D]."""
    return [
        embed(model, (*one.prompt, *one.answer), {IMAGE: TOKENS[n, :2], DEEPFAKE: TOKENS[n, 2:]})
        for n, one in enumerate(EXAMPLES)
    ]


def left_padded(model: Any) -> list[torch.Tensor]:
    """Logits of each example [L, V] from a batch that is padded on the left, with mask and position ids, as up to
    0.5.0."""
    rows = wholes(model)
    longest = max(map(len, rows))
    inputs, mask = torch.zeros(len(rows), longest, WIDTH), torch.zeros(len(rows), longest, dtype=torch.long)
    for number, row in enumerate(rows):
        inputs[number, longest - len(row) :] = row
        mask[number, longest - len(row) :] = 1
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    found = model(inputs_embeds=inputs, attention_mask=mask, position_ids=positions, use_cache=False).logits
    return [found[number, longest - len(row) :] for number, row in enumerate(rows)]


@pytest.mark.parametrize("name", [*FAMILIES, "falcon-h1"])
def test_b1_loss_is_the_cross_entropy_of_the_answers_tokens(name: str) -> None:
    """For every family against whole logits of each example alone, without padding."""
    model = language(name).model
    batch = pad_right(EXAMPLES, visual=2, forgery=3, multiple=16)
    with torch.no_grad():
        found = answer_loss(model, spliced(model, batch), batch)
        wanted, count = 0.0, 0
        for whole, example in zip(wholes(model), EXAMPLES, strict=True):
            assert len(whole) == spread_length((*example.prompt, *example.answer), COUNTS)
            logits = model(inputs_embeds=whole[None], use_cache=False).logits[0].double().log_softmax(1)
            first = len(whole) - len(example.answer)
            wanted -= sum(float(logits[first + i - 1, token]) for i, token in enumerate(example.answer))
            count += len(example.answer)
    assert found.tolist() == [pytest.approx(wanted, rel=1e-5), count] and count == 13


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "gpt-neox", "gpt2"])
def test_b1_logits_are_those_of_a_batch_padded_on_the_left(name: str) -> None:
    model = language(name).model
    batch = pad_right(EXAMPLES, visual=2, forgery=3)
    with torch.no_grad():
        wanted = left_padded(model)
        inputs = spliced(model, batch)
        for number, row in enumerate(wanted):
            places = number * inputs.shape[1] + torch.arange(len(row))
            torch.testing.assert_close(logits_at(model, inputs, places), row, atol=1e-5, rtol=0)


def test_b1_padding_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands in the padding: no position of an example sees it."""
    masks = spied(monkeypatch)
    model = language().model
    batch = pad_right(EXAMPLES, visual=2, forgery=3, multiple=16)
    inputs = spliced(model, batch)
    other = inputs.clone()
    lengths = [spread_length((*one.prompt, *one.answer), COUNTS) for one in EXAMPLES]
    for number, length in enumerate(lengths):
        other[number, length:] = torch.randn(inputs.shape[1] - length, WIDTH)
    assert not torch.equal(inputs, other)
    with torch.no_grad():
        assert torch.equal(answer_loss(model, inputs, batch), answer_loss(model, other, batch))
    assert len(masks) == 4 and without_key(masks) == 0
    assert all(torch.equal(mask, torch.ones(16, 16, dtype=torch.bool).tril().expand(3, 1, 16, 16)) for mask in masks)


def test_b1_the_output_layer_gets_the_answers_positions_alone() -> None:
    model = language("gemma3").model  # it caps its logits behind the output layer
    batch = pad_right(EXAMPLES, visual=2, forgery=3)
    sizes: list[int] = []
    hook = model.lm_head.register_forward_hook(lambda layer, given, out: sizes.append(out.numel() // out.shape[-1]))
    answer_loss(model, spliced(model, batch), batch)
    hook.remove()
    assert sizes == [16]  # 13, rounded up so that few shapes come up
    assert not model.lm_head._forward_pre_hooks


class Odd(nn.Module):
    """A causal LM that makes its logits in a way of its own."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.head = how, nn.Linear(4, 6, bias=False)
        self.passes = 0

    def get_output_embeddings(self) -> nn.Module | None:
        return None if self.how == "none" else self.head

    def forward(self, inputs_embeds: torch.Tensor, use_cache: bool) -> Any:
        self.passes += 1
        if self.how == "not called":
            logits = inputs_embeds @ self.head.weight.T
        elif self.how == "by name":
            logits = self.head(input=inputs_embeds)
        elif self.how == "by row":
            logits = torch.stack([self.head(row) for row in inputs_embeds])
        elif self.how == "goes on":
            logits = self.head(inputs_embeds).mean(0, keepdim=True) if self.passes == 1 else self.head(inputs_embeds)
            logits = logits[:, :-1] if self.passes == 1 else logits
        else:
            logits = self.head(inputs_embeds)
        return type("Out", (), {"logits": logits})


@pytest.mark.parametrize(
    ("how", "passes"), [("", 1), ("none", 1), ("not called", 1), ("by row", 1), ("by name", 1), ("goes on", 2)]
)
def test_b1_an_output_layer_that_is_not_to_be_had(how: str, passes: int) -> None:
    """One row of 16 positions, and 16 of them asked for: as many as there are, in another order."""
    torch.manual_seed(0)
    model, inputs = Odd(how), torch.randn(1 if how == "not called" else 2, 16, 4)
    places = torch.tensor([3, 1, *[0] * 14])
    wanted = (inputs @ model.head.weight.T).flatten(0, 1)[places]
    torch.testing.assert_close(logits_at(model, inputs, places), wanted)
    assert model.passes == passes and not model.head._forward_pre_hooks


def test_an_image_without_tokens_leaves_the_words() -> None:
    words = torch.randn(2, 3, 4)
    assert torch.equal(splice(words, torch.zeros(2, 0, 4), torch.full((2, 3), -1)), words)


def test_b1_nothing_to_learn_is_a_loss_of_nothing() -> None:
    model = language().model
    batch = pad_right(EXAMPLES[:1], visual=2, forgery=3)
    batch["labels"][:] = IGNORED
    inputs = splice(model.get_input_embeddings()(batch["ids"]), TOKENS[:1], batch["places"])
    assert answer_loss(model, inputs, batch).tolist() == [0.0, 0.0]


def test_b1_a_stage_gives_every_position_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The masks of a whole training of stage `align`, in bf16, of the LLM as of the detector before it."""
    from toy_training import toy_job

    from m2f2bench.detectors.m2f2det.stages import fit_stage

    card = read_card("detectors", card_file(tmp_path))
    job = toy_job(tmp_path / "out", size=32)
    job.card, job.stage = card, "align"
    job.start = read_card("detectors", detector_folder(tmp_path / "detector") / "card.yaml")
    settings = StageSettings(max_steps=2, batch_size=4, precision="bf16", val_examples=2)
    said = [Example(frame, "Why? " * (1 + n % 3), "Because " * (1 + n % 5)) for n, frame in enumerate(job.train[:8])]
    job.language = LanguageData(settings, said, said[:2])
    masks = spied(monkeypatch)
    report = fit_stage(job)
    assert np.isfinite([row["train_loss"] for row in report.curves if "train_loss" in row]).all()
    assert {mask.shape[2] % 16 for mask in masks if mask.shape[2] > 17} == {0}
    assert len(masks) > 10 and without_key(masks) == 0


@pytest.mark.parametrize(("start", "apart"), [((0, 17, IMAGE), True), ((0, 17, IMAGE), False), ((), True)])
def test_b1_generation_gives_every_position_a_key(
    start: Sequence[int], apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where prompts have no beginning in common, and padding would come first."""
    own = language()
    monkeypatch.setattr(generation, "share", shared.share if apart else lambda model: False)
    requests = [Request(0, (*start, 50 + n, *range(60, 60 + n % 4))) for n in range(10)]
    masks = spied(monkeypatch)
    found = generate(own, requests, batch_size=4, max_new_tokens=5)
    assert without_key(masks) == 0 and max(len(mask) for mask in masks) > 1
    monkeypatch.undo()
    assert [one.text for one in found] == [text_of(own, naive(own, one, 5)) for one in requests]
    assert END not in [request.prompt[-1] for request in requests]


@pytest.mark.parametrize("lengths", [(3, 3, 3, 3, 3, 3, 3, 3, 3), (1, 6, 2, 5, 3, 4, 1, 6, 2)])
def test_rows_take_the_places_of_finished_ones(lengths: Sequence[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of many lengths, three at a time: also where nothing is padded at first; no column is padding alone."""
    own, ends = language(), frozenset(range(0, 400, 5))
    requests = [Request(0, (0, 17, IMAGE, 40, *range(50 + 9 * n, 50 + 9 * n + k))) for n, k in enumerate(lengths)]
    joined: list[tuple[bool, Batch]] = []
    join = Batch.join

    def spy(self: Batch, places: list[int], other: Batch) -> None:
        padded = self.mask is not None
        join(self, places, other)
        mask = self.own_mask()
        assert mask is not None and mask[:, 0].any() and mask[:, -1].all()
        assert mask.sum(1).tolist() == [row.length + len(row.tokens) - 1 - self.common for row in self.rows]
        joined.append((padded, self))

    monkeypatch.setattr(Batch, "join", spy)
    found = Generator(own, GenerationSettings(max_new_tokens=9, batch_size=3), ends).answer(requests, slots_of)
    assert len(joined) > 1 and joined[0][0] == (len(set(lengths)) > 1)
    for request, one in zip(requests, found, strict=True):
        tokens = naive(own, request, 9)
        last = next((n for n, token in enumerate(tokens) if token in ends), len(tokens) - 1)
        kept = tokens[: last + 1]
        assert one.tokens_out == len(kept)
        assert one.text == text_of(own, kept[:-1] if kept[-1] in ends else kept)


def test_b1_vision_language_models_give_every_position_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [read(frame)[: 20 + 9 * n, : 40 - 7 * n] for n, frame in enumerate(frames(2, 2))]
    questions = ["Why?", "Is the left eye blurred or is it not? Say so.", "Real?", "What is it?"]
    card = DetectorCard(
        name="toy", backend="vlm",
        options={"model": str(tiny_idefics(tmp_path / "vlm")), "batch_size": 4, "generation": {"max_new_tokens": 4}},
    )  # fmt: skip
    model = load_detector(card, "cpu")
    masks = spied(monkeypatch)
    together = model.explain(images, questions)  # type: ignore[attr-defined]
    padded = [mask for mask in masks if (mask.shape[2] > 1 and not mask.tril().eq(mask).all()) or mask.shape[2] > 40]
    assert without_key(masks) == 0 and any(not mask[..., 0].all() for mask in padded)
    model.batch_size = 1  # type: ignore[attr-defined]
    assert [one.text for one in model.explain(images, questions)] == [one.text for one in together]  # type: ignore[attr-defined]


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=5)), st.booleans())
def test_b1_only_rows_without_a_key_get_one(seen: Any, additive: bool) -> None:
    if seen.shape[0] > seen.shape[1]:
        seen = seen.T
    mask = torch.from_numpy(np.ascontiguousarray(seen))[None, None]
    given_mask = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min) if additive else mask
    found = with_keys(given_mask)
    if additive:
        assert set(found.unique().tolist()) <= {0.0, torch.finfo(torch.float32).min}
        found = found == 0.0
    past = seen.shape[1] - seen.shape[0]
    for row, (before, after) in enumerate(zip(seen.tolist(), found[0, 0].tolist(), strict=True)):
        assert after == (before if any(before) else [column == past + row for column in range(len(before))])
