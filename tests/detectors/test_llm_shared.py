"""Beginnings of prompts that are held once: what is in memory, which LLMs can, and that no answer changes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_generation import END, FAMILIES, IMAGE, WIDTH, language, questions, slots_of

from m2f2bench.detectors.llm import generate as generation
from m2f2bench.detectors.llm import shared
from m2f2bench.detectors.llm.cache import Batch, study
from m2f2bench.detectors.llm.generate import Generator, Request
from m2f2bench.detectors.llm.sampling import GenerationSettings

LONG, SHORT, MOST = 50, 4, 6
"""Positions of an image, of what follows in a prompt, and most new tokens."""


def slots(images: Sequence[int]) -> dict[int, torch.Tensor]:
    draws = [torch.Generator().manual_seed(image) for image in images]
    return {IMAGE: torch.stack([0.35 * torch.randn(LONG - 1, WIDTH, generator=one) for one in draws])}


def asked(images: int, each: int) -> list[Request]:
    return [Request(i, (0, IMAGE, *range(20 + 9 * n, 20 + 9 * n + SHORT))) for i in range(images) for n in range(each)]


def held(batch: Batch) -> dict[int, int]:
    """Bytes of the storages that a batch's cache holds, each once, by address."""
    tensors: list[torch.Tensor] = []
    for layer in batch.cache.layers:
        tensors += [layer.keys, layer.values]
        if isinstance(layer, shared.SharedLayer):
            tensors += [layer.beginning.keys, layer.beginning.values]
    storages = [tensor.untyped_storage() for tensor in tensors]
    return {one.data_ptr(): one.nbytes() for one in storages if one.nbytes()}


def most_held(monkeypatch: pytest.MonkeyPatch, images: int, each: int, batch_size: int, apart: bool = True) -> int:
    """The most bytes of keys and values at any step, those included that were read of the images."""
    found: list[int] = []
    step = Generator._step

    def count(self: Generator, batch: Batch) -> None:
        found.append(sum(held(batch).values()))
        step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Generator, "_step", count)
        patch.setattr(generation, "share", shared.share if apart else lambda model: False)
        how = GenerationSettings(max_new_tokens=MOST, batch_size=batch_size)
        Generator(language(), how, frozenset({END})).answer(asked(images, each), slots)
    return max(found)


def test_a_beginning_is_in_memory_once_and_rows_are_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    config = language().model.config
    width = config.hidden_size // config.num_attention_heads
    position = config.num_hidden_layers * config.num_key_value_heads * width * 2 * 4
    for images, each in ((1, 1), (1, 2), (1, 8), (2, 4), (4, 2)):
        rows = images * each
        found = most_held(monkeypatch, images, each, batch_size=8)
        assert found == position * (images * LONG + rows * (SHORT + MOST)), (images, each)
    copied = most_held(monkeypatch, 1, 8, batch_size=8, apart=False)
    assert copied >= position * 8 * (LONG + SHORT + MOST)


def test_what_is_read_is_not_copied_when_rows_take_the_places_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = (most_held(monkeypatch, 2, each, batch_size=4) for each in (2, 12))
    assert many <= few + 4 * (SHORT + MOST) * few // (2 * LONG)  # rows in turn: no more than four at a time


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.integers(1, 3), st.data())
def test_attention_is_that_of_one_long_row(images: list[int], positions: int, data: Any) -> None:
    """Of grouped heads, with any mask that leaves each row its beginning."""
    draws = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    rows, heads, groups, width, begun, own = len(images), 4, 2, 3, 5, positions + 2
    keys, values = (torch.randn(4, groups, begun, width, generator=draws, dtype=torch.float64) for _ in range(2))
    query = torch.randn(rows, heads, positions, width, generator=draws, dtype=torch.float64)
    key, value = (torch.randn(rows, groups, own, width, generator=draws, dtype=torch.float64) for _ in range(2))
    mask = torch.rand(rows, 1, positions, begun + own, generator=draws) > 0.4
    mask[..., :begun] = True
    long = [torch.cat([one[images], other], 2).repeat_interleave(2, 1) for one, other in ((keys, key), (values, value))]
    wanted = torch.nn.functional.scaled_dot_product_attention(query, *long, attn_mask=mask)
    setattr(key, shared.MARK, shared.Beginning(keys, values, tuple(images)))
    found, _ = shared.attend(torch.nn.Module(), query, key, value, mask)
    assert torch.allclose(found, wanted.transpose(1, 2), atol=1e-6)  # the softmax is in fp32


def test_which_llms_can() -> None:
    able = set()
    for name in [*FAMILIES, "phi3-long"]:
        model = language(name).model
        if study(model, name).joins and shared.share(model):
            able.add(name)
    assert able == {"llama", "qwen2", "qwen3", "gpt-neox", "gpt2", "phi3-long"}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bits_can_too(dtype: torch.dtype) -> None:
    for name in ("llama", "qwen3", "gpt-neox"):
        assert shared.share(copy.deepcopy(language(name).model).to(dtype)), name


def test_an_attention_of_ones_own_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    model = copy.deepcopy(language().model)
    model.config._attn_implementation = "eager"
    assert not shared.share(model) and model.config._attn_implementation == "eager"
    model.config._attn_implementation = "sdpa"
    with monkeypatch.context() as patch:  # one that does not read what is held apart
        patch.setattr(shared, "MARK", "nothing")
        patch.setattr(shared.SharedLayer, "update", lambda self, k, v, *_: shared.RoomyLayer.update(self, k, v))
        assert not shared.share(model) and model.config._attn_implementation == "sdpa"
    assert shared.share(model) and shared.share(model)


def test_answers_are_those_of_copied_beginnings(monkeypatch: pytest.MonkeyPatch) -> None:
    own = language()
    greedy, drawn = {"max_new_tokens": 9, "batch_size": 4}, {"temperature": 0.9, "batch_size": 3}
    for kind in (GenerationSettings(**greedy), GenerationSettings(**drawn)):
        both = []
        for share in (shared.share, lambda model: False):
            monkeypatch.setattr(generation, "share", share)
            both.append(Generator(own, kind, frozenset({END})).answer(questions(4), slots_of))
        assert both[0] == both[1]
