"""Generation: batches, the shared beginning and padding against one uncached forward pass per token."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_generation import (
    CONTEXT,
    END,
    FAMILIES,
    FORGERY,
    VISUAL,
    generate,
    language,
    naive,
    questions,
    slots_of,
    text_of,
)

from m2f2bench.core.hearing import listening
from m2f2bench.detectors.llm.cache import Batch
from m2f2bench.detectors.llm.generate import Generated, Generator, Request
from m2f2bench.detectors.llm.prompt import DEEPFAKE, IMAGE
from m2f2bench.detectors.llm.sampling import GenerationSettings


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FAMILIES, "falcon-h1"])
def test_every_family_writes_what_one_by_one_without_a_cache_gives(name: str) -> None:
    own, asked = language(name), questions()
    found = generate(own, asked, batch_size=4)
    wanted = [naive(own, one, 12) for one in asked]
    assert [one.text for one in found] == [text_of(own, tokens) for tokens in wanted]
    assert [one.tokens_out for one in found] == [len(tokens) for tokens in wanted]
    assert len({one.text for one in found}) > 5  # the model does not say the same to everything


def test_ways() -> None:
    from m2f2bench.detectors.llm.cache import study

    ways = {name: study(language(name).model, name) for name in [*FAMILIES, "falcon-h1", "phi3-long"]}
    padded = {name for name, one in ways.items() if one.shares and one.pads(40)}
    assert padded == {"llama", "mistral-wide", "qwen2", "qwen3", "gpt-neox", "gpt2", "phi3-long"}
    assert {name for name, one in ways.items() if one.joins} == padded - {"mistral-wide"}
    assert not ways["falcon-h1"].shares and ways["gemma3"].shares and ways["bloom"].shares
    assert ways["phi3-long"].stable == 16 and ways["llama"].stable > 10**9


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.lists(st.sampled_from([7, 8, 9, IMAGE, DEEPFAKE]), max_size=6)),
        min_size=1,
        max_size=9,
    ),
    st.lists(st.sampled_from([0, 17, IMAGE]), max_size=3),
    st.integers(1, 5),
    st.sampled_from(["llama", "mistral"]),
)
def test_bookkeeping(asked: list[tuple[int, list[int]]], start: list[int], batch_size: int, name: str) -> None:
    """Any images in any order, prompts of any length (also none), slots anywhere, batches of any size."""
    own = language(name)
    requests = [Request(image, (*start, *rest)) for image, rest in asked]
    found = generate(own, requests, batch_size=batch_size, max_new_tokens=4)
    for request, one in zip(requests, found, strict=True):
        if not request.prompt:
            assert one == Generated("", 0, 0, False, "the prompt is empty")
            continue
        tokens = naive(own, request, 4)
        positions = sum({IMAGE: VISUAL, DEEPFAKE: FORGERY}.get(element, 1) for element in request.prompt)
        assert (one.text, one.tokens_in, one.tokens_out) == (text_of(own, tokens), positions, len(tokens))
        assert one.cut == (tokens[-1] != END)


def test_the_common_beginning_is_read_once_per_image(monkeypatch: pytest.MonkeyPatch) -> None:
    own, read = language(), []
    plain = own.model.forward

    @functools.wraps(plain)
    def counting(**inputs: Any) -> Any:
        if "inputs_embeds" in inputs:
            read.append(tuple(inputs["inputs_embeds"].shape[:2]))
        return plain(**inputs)

    monkeypatch.setattr(own.model, "forward", counting)
    generate(own, questions(3), batch_size=2)
    beginnings = [shape for shape in read if shape[1] == 5 + VISUAL + FORGERY]
    assert beginnings == [(2, 12), (1, 12)]  # at most batch_size images are held at once
    rests = [shape for shape in read if shape[1] != 12]
    assert sum(rows for rows, _ in rests) == 15 and max(length for _, length in rests) == 6


def test_rows_leave_when_they_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    own, asked = language(), questions()
    whole = [naive(own, one, 30) for one in asked]
    rows: list[int] = []
    plain = own.model.forward

    @functools.wraps(plain)
    def counting(**inputs: Any) -> Any:
        rows.append(len(inputs.get("input_ids", ())))
        return plain(**inputs)

    # Tokens that some of these answers hold end them, so that rows end at different times.
    ends = {tokens[4] for tokens in whole[::2] if len(tokens) > 4}
    monkeypatch.setattr(own.model, "forward", counting)
    settings = GenerationSettings(max_new_tokens=30)
    found = Generator(own, settings, frozenset({END, *ends})).answer(asked, slots_of)
    monkeypatch.undo()
    for tokens, one in zip(whole, found, strict=True):
        wanted = next((k + 1 for k, token in enumerate(tokens) if token in {END, *ends}), len(tokens))
        assert one.tokens_out == wanted
    assert max(len(tokens) for tokens in whole) == 30 and rows[-1] < max(rows) == 15


@pytest.mark.parametrize("name", ["llama", "gpt-neox", "mistral"])
def test_others_take_the_places_of_those_that_have_ended(name: str) -> None:
    own, asked = language(name), questions(5)
    whole = [naive(own, one, 24) for one in asked]
    ends = {tokens[3 + k % 9] for k, tokens in enumerate(whole[::3]) if len(tokens) > 12}
    settings = GenerationSettings(max_new_tokens=24, batch_size=6)
    found = Generator(own, settings, frozenset({END, *ends})).answer(asked, slots_of)
    cut = [next((k + 1 for k, token in enumerate(t) if token in {END, *ends}), len(t)) for t in whole]
    assert [one.tokens_out for one in found] == cut
    texts = [t[: n - 1] if t[n - 1] in {END, *ends} else t[:n] for t, n in zip(whole, cut, strict=True)]
    assert [one.text for one in found] == [text_of(own, tokens) for tokens in texts]
    assert len(set(cut)) > 3


def test_a_cache_is_not_held_after_its_rows_have_joined_others(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[weakref.ref[Batch]] = []
    alive: list[int] = []
    begin, step = Generator._begin, Generator._step

    def spy(self: Generator, *given: Any) -> Batch:
        found = begin(self, *given)
        begun.append(weakref.ref(found))
        return found

    def count(self: Generator, batch: Batch) -> None:
        alive.append(sum(one() is not None for one in begun))
        step(self, batch)

    monkeypatch.setattr(Generator, "_begin", spy)
    monkeypatch.setattr(Generator, "_step", count)
    ends = frozenset(range(0, 400, 5))
    requests = [Request(0, (0, 17, IMAGE, 40, *range(50 + 9 * n, 53 + 9 * n))) for n in range(9)]
    Generator(language(), GenerationSettings(max_new_tokens=9, batch_size=3), ends).answer(requests, slots_of)
    assert len(begun) > 2 and set(alive) == {1}


def test_a_row_that_has_ended_stays_within_learned_positions() -> None:
    own = language("gpt2", CONTEXT)
    long = Request(0, (0, IMAGE, *range(10, CONTEXT + 2)))
    asked = [long, *(Request(0, (0, IMAGE, 9, k)) for k in range(20, 27))]
    found = generate(own, asked, max_new_tokens=12)
    assert [one.tokens_out for one in found] == [len(naive(own, long, 2)), *(len(naive(own, a, 12)) for a in asked[1:])]
    assert found[0].text == text_of(own, naive(own, long, 2))


def test_the_words_of_one_answer_are_told_as_they_are_written() -> None:
    own, asked = language("llama"), questions()
    heard: list[str] = []
    with listening(heard.append):
        (found,) = generate(own, asked[:1])
    wanted = naive(own, asked[0], 12)
    tokens = wanted[:-1] if wanted[-1] == END else wanted
    assert heard == [text_of(own, tokens[:count]) for count in range(1, len(tokens) + 1)] + [found.text] * (
        len(wanted) - len(tokens)
    )
    assert heard[-1] == found.text
    heard.clear()
    with listening(heard.append):
        pass
    generate(own, asked[:1])  # nobody listens any longer
    assert heard == []


@pytest.mark.parametrize(("each", "expected"), [(1, 6), (3, 6), (8, 3), (30, 1)])
def test_no_more_images_are_read_together_than_keep_the_batch_full(each: int, expected: int) -> None:
    """Of 20 images in batches of 6 answers: at most 6 of them, or as many as have 24 questions."""
    own, read = language(), []
    asked = [Request(image, (0, 17, IMAGE, 41, 60 + k)) for image in range(20) for k in range(each)]

    def slots(images: Sequence[int]) -> Mapping[int, torch.Tensor]:
        read.append(len(images))
        return slots_of(images)

    settings = GenerationSettings(max_new_tokens=2, batch_size=6)
    found = Generator(own, settings, frozenset({END})).answer(asked, slots)
    assert len(found) == 20 * each
    assert read[0] == 1  # to see how many tokens an image has
    assert read[1] == max(read) == expected
    assert sum(read[1:]) == 20
