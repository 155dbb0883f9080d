"""Generated answers: where they end, what is drawn, and what happens when memory is short."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from toy_generation import (
    CONTEXT,
    END,
    WIDTH,
    generate,
    language,
    naive,
    questions,
    slots_of,
    text_of,
)
from toy_llm import tiny_tokenizer

from m2f2bench.core.errors import DetectorError
from m2f2bench.detectors.llm.generate import Generated, Generator, Request
from m2f2bench.detectors.llm.prompt import DEEPFAKE, IMAGE, embed
from m2f2bench.detectors.llm.sampling import GenerationSettings, draw, next_tokens
from m2f2bench.detectors.llm.source import Language, LanguageSource, open_language


def test_stop_texts_and_cuts() -> None:
    own, asked = language(), questions(1)
    plain = generate(own, asked)
    whole = plain[0]
    assert whole.cut and whole.message == "cut off after 12 new tokens" and whole.tokens_out == 12
    stop = whole.text[3:6]
    found = generate(own, asked, stops=(stop,))
    for one, before in zip(found, plain, strict=True):
        place = before.text.find(stop)
        if place < 0:
            assert one == before
        else:
            assert one.text == before.text[:place].strip() and not one.cut and one.message == ""
    assert found[0].tokens_out < 12
    assert generate(own, asked, stop=(stop,)) == found  # from the settings as well


def test_an_end_token_is_counted_and_not_written() -> None:
    own, asked = language(), questions(1)[:1]
    tokens = naive(own, asked[0], 12)
    end = tokens[3]
    wanted = tokens[: tokens.index(end) + 1]
    settings = GenerationSettings(max_new_tokens=12)
    one = Generator(own, settings, frozenset({end})).answer(asked, slots_of)[0]
    assert one == Generated(text_of(own, wanted[:-1]), 14, len(wanted))


def test_a_full_context() -> None:
    asked = [Request(0, (0, IMAGE, *range(10, 10 + length))) for length in (1, 10, 12, 13, 14, 30)]
    small = language("llama", 20)
    found = generate(small, asked, max_new_tokens=8)
    wide = [naive(small, one, 8) for one in asked]
    assert [one.tokens_in for one in found] == [7, 16, 18, 19, 20, 36]
    assert [one.tokens_out for one in found] == [8, 4, 2, 1, 0, 0]
    full = "cut off: the LLM's context of 20 positions is full"
    assert [one.message for one in found[:5]] == ["cut off after 8 new tokens", *[full] * 3, found[4].message]
    assert [one.text for one in found[:4]] == [
        text_of(small, tokens[: one.tokens_out]) for one, tokens in zip(found[:4], wide, strict=False)
    ]
    assert found[5] == Generated("", 36, 0, False, "the prompt's 36 positions leave no room in the LLM's context of 20")
    assert all(one.text == "" and not one.cut for one in found[4:])


def test_no_image_tokens_at_all() -> None:
    own = language()
    requests = [Request(image, (IMAGE, 4, DEEPFAKE, *rest)) for image in (3, 9) for rest in ((), (5,), (6, 7))]

    def none(images: Sequence[int]) -> dict[int, torch.Tensor]:
        return {slot: torch.zeros(len(images), 0, WIDTH) for slot in (IMAGE, DEEPFAKE)}

    settings = GenerationSettings(max_new_tokens=6)
    found = Generator(own, settings, frozenset({END})).answer(requests, none)
    assert [one.text for one in found] == [text_of(own, naive(own, one, 6, none)) for one in requests]
    assert [one.tokens_in for one in found] == [1, 2, 3] * 2


def test_no_requests() -> None:
    assert generate(language(), []) == []


def test_draws_are_a_rows_own() -> None:
    own, asked = language(), questions()
    changes: dict[str, Any] = {"temperature": 1.5, "top_p": 0.9}
    together = generate(own, asked, **changes)
    alone = [generate(own, [one], **changes)[0] for one in asked]
    assert together == alone
    assert generate(own, asked[::-1], batch_size=3, **changes) == together[::-1]
    other = generate(own, [Request(one.image, one.prompt, one.seed + 1) for one in asked], **changes)
    assert sum(a.text != b.text for a, b in zip(together, other, strict=True)) > 10
    assert [one.text for one in together] != [one.text for one in generate(own, asked)]


def test_quantiles_of_the_nucleus() -> None:
    logits = torch.log(torch.tensor([0.1, 0.4, 0.2, 0.3]))  # sorted: 1 (.4), 3 (.3), 2 (.2), 0 (.1)
    assert [draw(logits, u, 1.0, 1.0) for u in (0.0, 0.39, 0.41, 0.69, 0.71, 0.89, 0.91, 0.999)] == [
        *(1, 1, 3, 3, 2, 2, 0, 0)
    ]
    # p = 0.6 keeps .4 and .3, made to sum to one: 4/7 and 3/7.
    assert [draw(logits, u, 1.0, 0.6) for u in (0.0, 0.57, 0.572, 0.999)] == [1, 1, 3, 3]
    assert [draw(logits, u, 1.0, 0.3) for u in (0.0, 0.5, 0.999)] == [1, 1, 1]
    # Temperature 1/2 squares probabilities: .16 .09 .04 .01, sum .3.
    assert [draw(logits, u, 0.5, 1.0) for u in (0.53, 0.54, 0.83, 0.84)] == [1, 3, 3, 2]


def test_draws_follow_the_probabilities() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2]]))
    generator = torch.Generator().manual_seed(0)
    drawn = [next_tokens(logits, [generator], 1.0, 1.0)[0] for _ in range(4000)]
    shares = [drawn.count(token) / 4000 for token in range(3)]
    assert shares == pytest.approx([0.5, 0.3, 0.2], abs=4 * (0.25 / 4000) ** 0.5)


class Small:
    """The memory of a device that holds only so many rows, of so many positions."""

    def __init__(self, plain: Any, rows: int, positions: int = CONTEXT) -> None:
        self.plain, self.rows, self.positions, self.seen = plain, rows, positions, []
        functools.update_wrapper(self, plain)

    def __call__(self, **inputs: Any) -> Any:
        size, positions = next(iter(inputs.values())).shape[:2]
        self.seen.append(size)
        if size > self.rows or positions > self.positions:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.plain(**inputs)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_less_at_once_where_memory_is_short(
    temperature: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own, asked = language(), questions(4)
    wanted = generate(own, asked, temperature=temperature)
    device = Small(own.model.forward, 3)
    monkeypatch.setattr(own.model, "forward", device)
    settings = GenerationSettings(max_new_tokens=12, temperature=temperature)
    generator = Generator(own, settings, frozenset({END}))
    with caplog.at_level(logging.WARNING, logger="m2f2bench"):
        assert generator.answer(asked, slots_of) == wanted
        assert generator.rows == 2
        device.seen.clear()
        assert generator.answer(asked, slots_of) == wanted
    assert max(device.seen) == 2  # it keeps to it
    assert caplog.messages == [f"LLM 'llama': out of memory: from now on {n} at a time" for n in (8, 4, 2)]


def test_one_answer_too_many_for_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    own = language()
    plain = own.model.forward
    monkeypatch.setattr(own.model, "forward", Small(plain, 4, positions=3))
    generator = Generator(own, GenerationSettings(batch_size=4), frozenset({END}))
    with pytest.raises(
        DetectorError, match="'llama': the device's memory is too small for one answer to a prompt of 1"
    ):
        generator.answer(questions(1), slots_of)
    monkeypatch.setattr(own.model, "forward", Small(plain, 0))
    generator = Generator(own, GenerationSettings(batch_size=4), frozenset({END}))
    with pytest.raises(DetectorError, match="'llama': the device's memory is too small for a pass over one token"):
        generator.answer(questions(1), slots_of)


def test_logits_that_are_no_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    own = language()
    requests = questions(1)

    def broken(images: Sequence[int]) -> dict[int, torch.Tensor]:
        return {slot: tokens * float("nan") for slot, tokens in slots_of(images).items()}

    generator = Generator(own, GenerationSettings(), frozenset({END}))
    with pytest.raises(DetectorError, match="its logits are not finite: set its dtype to bf16 or fp32"):
        generator.answer(requests, broken)


def test_an_llm_without_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers as t

    model = t.MambaForCausalLM(t.MambaConfig(vocab_size=400, hidden_size=WIDTH, num_hidden_layers=1)).eval()
    own = Language(model, tiny_tokenizer(), "mamba", "0" * 16, WIDTH, CONTEXT)
    with pytest.raises(DetectorError, match="LLM 'mamba' has no key-value cache"):
        generate(own, questions(1))


def test_longrope_rows_that_outgrow_the_original_context_are_alone() -> None:
    own, asked = language("phi3-long"), questions()
    found = generate(own, asked, batch_size=8)  # all end beyond 16 positions
    assert found == [generate(own, [one])[0] for one in asked]
    short = [Request(0, (0, 3, 4, *rest)) for rest in ((5,), (6, 7), (8, 9, 10))]
    texts = [one.text for one in generate(own, short, max_new_tokens=8)]
    assert texts == [text_of(own, naive(own, one, 8)) for one in short]


@pytest.mark.slow
def test_a_real_llm() -> None:
    """Sixteen together, some alone, and some without a cache: the same texts."""
    pytest.importorskip("gguf")
    from pathlib import Path

    try:
        own = open_language(LanguageSource(name="offline:smollm2-135m-instruct", dtype="fp32"), Path())
    except DetectorError as error:
        pytest.skip(str(error))
    end = int(own.tokenizer.eos_token_id)
    scale = float(own.model.get_input_embeddings().weight.std())

    def slots(images: Sequence[int]) -> dict[int, torch.Tensor]:
        return {slot: scale * tokens for slot, tokens in slots_of(images, 12, own.width).items()}

    def words(text: str) -> list[int]:
        return list(own.tokenizer(text, add_special_tokens=False)["input_ids"])

    parts = ("eyes", "nose", "whole face of this person", "mouth, which is a little open,")
    start = (*words("<|im_start|>user\n"), IMAGE, DEEPFAKE)
    requests = [
        Request(i, (*start, *words(f"\nDo the {p} look real or fake?<|im_end|>\n<|im_start|>assistant\n")))
        for i in range(4)
        for p in parts
    ]

    def texts(asked: Sequence[Request], batch_size: int) -> list[str]:
        chosen = GenerationSettings(max_new_tokens=10, batch_size=batch_size)
        return [one.text for one in Generator(own, chosen, frozenset({end})).answer(asked, slots)]

    together = texts(requests, 16)
    for place in (0, 3, 6, 9, 15):
        assert together[place : place + 1] == texts(requests[place : place + 1], 1)
    for place in (0, 7):
        given, tokens = {slot: t[0] for slot, t in slots([requests[place].image]).items()}, []
        with torch.inference_mode():
            while len(tokens) < 10 and end not in tokens:
                inputs = embed(own.model, (*requests[place].prompt, *tokens), given)[None]
                tokens.append(int(own.model(inputs_embeds=inputs, use_cache=False).logits[0, -1].argmax()))
        assert together[place] == text_of(own, tokens)
    assert len(set(together)) > 4
