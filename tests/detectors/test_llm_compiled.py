"""Compiled steps of an LLM: the same answers, in one shape from the first token to the last."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from toy_generation import END, FAMILIES, language, questions, slots_of

from m2f2bench.core.errors import DetectorError
from m2f2bench.detectors.llm import fixed, generate
from m2f2bench.detectors.llm.cache import study
from m2f2bench.detectors.llm.fixed import FixedBatch, fits
from m2f2bench.detectors.llm.generate import Generated, Generator, Request
from m2f2bench.detectors.llm.sampling import GenerationSettings

ENDS = frozenset({END, *range(2, 400, 9)})
"""Many words, so that answers end at different places."""


@pytest.fixture
def plain_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps as they would be compiled."""
    monkeypatch.setattr(torch, "compile", lambda function, **how: function)


def answers(requests: Sequence[Request], name: str = "llama", **changes: Any) -> list[Generated]:
    how = GenerationSettings(**{"max_new_tokens": 9, **changes})
    return Generator(language(name), how, ENDS).answer(requests, slots_of)


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "gpt-neox", "gpt2"])
@pytest.mark.parametrize("changes", [{}, {"batch_size": 3}, {"batch_size": 1}, {"temperature": 0.9, "batch_size": 4}])
def test_answers_from_places_are_those_without(name: str, changes: dict[str, Any], plain_steps: None) -> None:
    """Rows of many lengths, of several images, that end and are followed by others; drawn ones, too."""
    asked = questions(4)
    found = answers(asked, name, compile=True, **changes)
    assert found == answers(asked, name, **changes)
    assert len({one.tokens_out for one in found}) > 1 and len({one.tokens_in for one in found}) > 1


@pytest.mark.slow
def test_it_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second shape would be compiled anew, which is an error here; the answers are those of plain steps."""
    made: list[FixedBatch] = []
    init = FixedBatch.__init__

    def noted(self: FixedBatch, *given: Any, **named: Any) -> None:
        init(self, *given, **named)
        if named.get("compiled", True):
            made.append(self)

    monkeypatch.setattr(FixedBatch, "__init__", noted)
    how = GenerationSettings(max_new_tokens=9, batch_size=4, compile=True)
    writer = Generator(language(), how, ENDS)
    monkeypatch.setattr(generate, "check_compiling", lambda device: None)  # which compiles something of its own
    torch._dynamo.reset()
    with torch._dynamo.config.patch(error_on_recompile=True, suppress_errors=False):
        found = [writer.answer(questions(images), slots_of) for images in (3, 1, 4)]
    assert len(made) == 1 and made[0].room == fixed.STEP
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    for images, own in zip((3, 1, 4), found, strict=True):
        assert own == answers(questions(images), batch_size=4)


def test_a_longer_answer_gets_more_room(plain_steps: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixed, "STEP", 8)
    how = GenerationSettings(max_new_tokens=9, batch_size=4, compile=True)
    writer = Generator(language(), how, ENDS)
    short, long = questions(1)[2:3], [Request(0, (*questions(1)[0].prompt, *range(20, 50)))]
    first = writer.answer(short * 2, slots_of)
    assert writer._fixed is not None and writer._fixed.room == 24
    both = writer.answer([*short, *long], slots_of)
    assert writer._fixed.room == 56 and not any(writer._fixed.rows)
    assert first[0] == both[0] and both == answers([*short, *long], batch_size=4)


def test_a_small_memory_halves_the_places(plain_steps: None, monkeypatch: pytest.MonkeyPatch) -> None:
    step, failed = FixedBatch.step, []

    def small(self: FixedBatch) -> Any:
        if len(self.rows) > 2:
            failed.append(len(self.rows))
            raise torch.cuda.OutOfMemoryError
        return step(self)

    monkeypatch.setattr(FixedBatch, "step", small)
    assert answers(questions(3), compile=True, batch_size=8) == answers(questions(3), batch_size=2)
    assert failed == [8, 4]


def test_which_llms_fit() -> None:
    found = {name for name in FAMILIES if study(language(name).model, name).joins and fits(language(name).model, {})}
    assert found == {"llama", "qwen2", "qwen3", "gpt-neox", "gpt2"}
    eager = copy.deepcopy(language().model)
    eager.config._attn_implementation = "eager"
    assert not fits(eager, {})


def test_an_llm_that_does_not_fit_is_not_compiled(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", lambda *given, **named: pytest.fail("it is compiled"))
    asked = questions(2)
    assert answers(asked, "mistral", compile=True) == answers(asked, "mistral")
    assert "'mistral': generation.compile needs full attention" in caplog.text


def test_what_cannot_be_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match=r"generation\.compile is for the engine transformers"):
        GenerationSettings(compile=True, engine="vllm")

    def broken(*given: Any, **named: Any) -> Any:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(
        DetectorError, match=r"compile: torch.compile does not work on cpu here \(RuntimeError: no compiler\)"
    ):
        answers(questions(1), compile=True)


def test_identities_without_it_stay() -> None:
    kept = GenerationSettings(compile=True).undecided(), GenerationSettings().undecided()
    assert "compile" not in kept[0] and kept[1]["compile"] is True
