"""Answers that say a sentence twice, and the setting that ends them before it."""

from __future__ import annotations

import copy
import functools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_generation import END, generate, slots_of
from toy_generation import language as random_language

from m2f2bench.detectors.llm.generate import Generator, Request
from m2f2bench.detectors.llm.prompt import IMAGE
from m2f2bench.detectors.llm.sampling import GenerationSettings
from m2f2bench.detectors.llm.sentences import without_repeats
from m2f2bench.detectors.llm.source import Language
from m2f2bench.detectors.llm.vllm import VLLMWriter
from m2f2bench.detectors.m2f2det.options import ExplainerOptions

SAID = " mouth fake. hair real!"
EYEBROWS = "The eyebrows look asymmetric."
BLURRY = "The eyebrows look blurry, unclear or flaw."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{EYEBROWS} . {BLURRY} . {BLURRY} . {BLURRY}", f"{EYEBROWS} . {BLURRY}"),  # as DD-VQA's answers are written
        (f"{EYEBROWS} {BLURRY}", f"{EYEBROWS} {BLURRY}"),
        ("It looks fake. it LOOKS fake!", "It looks fake."),
        ("It looks fake.\nIt looks fake\nIt is.", "It looks fake."),
        ("No. No. It looks fake.", "No. No. It looks fake."),
        ("The nose is 0.5 wide. The nose is 0.5 wide. More.", "The nose is 0.5 wide."),
        ("It looks fake. It looks", "It looks fake. It looks"),
        ("它看起来 是假的。它看起来 是假的。", "它看起来 是假的。"),
        (". . .", ". . ."),
        ("", ""),
    ],
)
def test_a_text_ends_before_the_first_sentence_that_it_has_said(text: str, expected: str) -> None:
    assert without_repeats(text).strip() == expected


@given(st.lists(st.sampled_from(["It looks fake.", "The nose is wide!", "Is it?", "No.", ".", "At 0.5.", "words"])))
def test_what_is_left_is_a_beginning_that_repeats_nothing(parts: list[str]) -> None:
    text = " ".join(parts)
    found = without_repeats(text)
    assert text.startswith(found)
    assert without_repeats(found) == found
    if len(set(parts)) == len(parts):
        assert found == text


@functools.cache
def looping() -> Language:
    """A Llama whose next token depends on its last alone, and that goes round in SAID."""
    own = random_language()
    ids = own.tokenizer.encode(SAID, add_special_tokens=False)
    assert len(set(ids)) == len(ids)
    model = copy.deepcopy(own.model)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        states = model.model.norm(model.get_input_embeddings().weight[ids])
        model.lm_head.weight.zero_()
        model.lm_head.weight[ids[1:] + ids[:1]] = states / states.norm(dim=1, keepdim=True)
    return replace(own, model=model, name="looping")


def asked(rows: int = 3) -> list[Request]:
    """Prompts that end with another token of SAID each, so that rows end at other times."""
    ids = looping().tokenizer.encode(SAID, add_special_tokens=False)
    return [Request(row % 2, (0, 17, IMAGE, 41, ids[row - 1])) for row in range(rows)]


def test_an_answer_ends_before_a_sentence_that_it_has_said() -> None:
    count = len(looping().tokenizer.encode(SAID, add_special_tokens=False))
    long, short = (generate(looping(), asked(), max_new_tokens=24, may_repeat=may) for may in (True, False))
    assert [one.tokens_out for one in long] == [24] * 3 and all(one.cut for one in long)
    assert long[0].text.startswith("mouth fake. hair real! mouth fake.")
    assert short[0].text == "mouth fake. hair real!"
    assert [one.cut for one in short] == [False] * 3
    assert short[0].tokens_out == count + 3
    assert short[1].text == "fake. hair real! mouth fake."  # `fake.` is one word, then `mouth fake.` is new
    alone = [generate(looping(), [one], max_new_tokens=24, may_repeat=False)[0] for one in asked()]
    assert alone == short


def test_by_vllm_it_ends_there_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM writes on, and what is after the repetition is taken away, and not counted."""
    settings = GenerationSettings(max_new_tokens=24, may_repeat=False)
    writer = object.__new__(VLLMWriter)
    super(VLLMWriter, writer).__init__(looping(), settings, frozenset({END}))
    ids = looping().tokenizer.encode(SAID, add_special_tokens=False)
    written = [
        SimpleNamespace(token_ids=[ids[(row + k) % len(ids)] for k in range(24)], finish_reason="length")
        for row in range(3)
    ]
    monkeypatch.setattr(writer, "_how", lambda row: None)
    monkeypatch.setattr(writer, "_generate", lambda prompts, how: written)
    assert writer.answer(asked(), slots_of) == generate(looping(), asked(), max_new_tokens=24, may_repeat=False)


def test_a_mark_of_several_tokens_ends_a_sentence_too() -> None:
    """The tokenizer has no token for 。, only its bytes."""
    tokens = looping().tokenizer.encode("它看 假。它看 假。", add_special_tokens=False)
    settings = GenerationSettings(max_new_tokens=64, may_repeat=False)
    writer = Generator(looping(), settings, frozenset({END}))
    assert len(looping().tokenizer.encode("。", add_special_tokens=False)) == 3
    ends = [count for count in range(1, len(tokens) + 1) if writer._repeats(tokens[:count])]
    assert ends[0] == len(tokens)


def test_the_setting_is_part_of_what_an_explainer_is_called_by_only_where_it_is_set() -> None:
    def identity(**generation: Any) -> str:
        return ExplainerOptions.model_validate({"llm": {"name": "x"}, "generation": generation}).identity()

    assert "may_repeat" not in identity()
    assert identity() == identity(may_repeat=True) != identity(may_repeat=False)
    assert "may_repeat" in identity(may_repeat=False, engine="vllm")
