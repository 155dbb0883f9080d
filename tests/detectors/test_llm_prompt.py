"""Prompts as elements, and examples with the loss on the answer alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_llm import tiny_language, tiny_llm, tiny_tokenizer

from m2f2bench.core.errors import DetectorError
from m2f2bench.detectors.llm.prompt import (
    DEEPFAKE,
    IMAGE,
    Prompter,
    PromptSettings,
    TokenizedExample,
    fitted,
    pad_right,
)
from m2f2bench.detectors.llm.source import LanguageSource, open_language
from m2f2bench.training.language import IGNORED

TOKENIZER = tiny_tokenizer()
STYLES = ("chat", "vicuna_v1", "released")


def prompter(style: str = "chat", **more: Any) -> Prompter:
    return Prompter(TOKENIZER, PromptSettings(style=style, **more), "LLM 'toy'")  # type: ignore[arg-type]


def text(elements: tuple[int, ...]) -> str:
    """Elements as text, slots written as they are in prompts."""
    names = {IMAGE: "<image>", DEEPFAKE: "<deepfake>"}
    return "".join(names.get(one) or TOKENIZER.decode([one]) for one in elements)


def test_vicuna_prompt_is_the_papers() -> None:
    elements, answer = prompter("vicuna_v1").example("Is it real?", "It is.")
    assert text(elements) == (
        "<s>A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, and polite answers to the user's questions. USER: <image>\n<deepfake>\nIs it real? ASSISTANT:"
    )
    assert text(answer) == " It is.</s>"


def test_released_prompts_are_those_of_the_published_scripts() -> None:
    frame = (
        "<s>Assistant: A chat between a curious human and an artificial intelligence assistant. The assistant gives "
        "helpful, detailed, and polite answers to the human's questions.###Human: {}###Assistant:"
    )
    judge = "Determine the authenticity. Is the image real or fake?"
    assert text(prompter("released").question(judge)) == frame.format(f"<image>\n <deepfake>\n {judge} ")
    assert text(prompter("released").question("Why?")) == frame.format("<image>\n<deepfake>\nWhy?")


def test_chat_prompt_is_the_llms_own_template() -> None:
    elements, answer = prompter("chat", system="Look.").example("Is it real?", "It is.")
    wanted = "<|system|>\nLook.<|end|>\n<|user|>\n<image>\n<deepfake>\nIs it real?<|end|>\n<|assistant|>\n"
    assert text(elements) == wanted
    assert text(answer) == "It is.<|end|>"
    assert prompter().ends == {TOKENIZER.eos_token_id, TOKENIZER.convert_tokens_to_ids("<|end|>")}


@pytest.mark.parametrize("style", STYLES)
def test_slots_stand_where_a_question_has_them(style: str) -> None:
    found = text(prompter(style).question("First this, <deepfake> then <image>?"))
    assert "First this, <deepfake> then <image>?" in found
    assert found.count("<image>") == found.count("<deepfake>") == 1


@given(st.text(max_size=40), st.text(min_size=1, max_size=40), st.sampled_from(STYLES))
def test_any_text_comes_back_and_the_prompt_is_that_of_asking(question: str, answer: str, style: str) -> None:
    question, answer = (one.encode("utf-8", "replace").decode() for one in (question, answer))
    if any(mark in question + answer for mark in ("<|", "</s>", "<s>", "<image>", "<deepfake>")):
        return
    asked = prompter(style)
    elements, ids = asked.example(question, answer)
    assert elements == asked.question(question)
    ended = TOKENIZER.decode(ids[:-1])
    assert ended.strip() == answer.strip() or answer.strip() in ended
    assert ids[-1] in asked.ends


def test_what_a_tokenizer_lacks_is_one_line() -> None:
    with pytest.raises(DetectorError, match=r"LLM 'x' has no chat template: set explainer.prompt.style"):
        Prompter(tiny_tokenizer(template=None), PromptSettings(style="chat"), "LLM 'x'")
    deaf = tiny_tokenizer("{% for m in messages %}{{ m['role'] }}{% endfor %}")
    with pytest.raises(DetectorError, match="drops <image> or <deepfake>"):
        Prompter(deaf, PromptSettings(style="chat"), "LLM 'x'")
    fails = tiny_tokenizer("{{ raise_exception('no system here') }}")
    with pytest.raises(DetectorError, match=r"its chat template fails: .*no system here"):
        Prompter(fails, PromptSettings(style="chat", system="s"), "LLM 'x'")


def test_labels_token_by_token() -> None:
    """Two examples of different lengths; every position of the batch is told what it is and whether it is learned."""
    examples = [TokenizedExample((7, IMAGE, 8, DEEPFAKE, 9), (20, 21, 1)), TokenizedExample((DEEPFAKE, 5), (22, 1))]
    batch = pad_right(examples, visual=2, forgery=3)
    assert batch["ids"].tolist() == [[7, 0, 0, 8, 0, 0, 0, 9, 20, 21, 1], [0, 0, 0, 5, 22, 1, 0, 0, 0, 0, 0]]
    places = [[-1, 0, 1, -1, 2, 3, 4, -1, -1, -1, -1], [2, 3, 4, -1, -1, -1, -1, -1, -1, -1, -1]]
    assert batch["places"].tolist() == places
    assert batch["labels"].tolist() == [[IGNORED] * 8 + [20, 21, 1], [IGNORED] * 4 + [22, 1] + [IGNORED] * 5]
    for longest, length in ((None, 16), (20, 16), (13, 13), (11, 11), (4, 11)):
        wider = pad_right(examples, visual=2, forgery=3, multiple=8, longest=longest)
        assert all(wider[name].shape == (2, length) and torch.equal(wider[name][:, :11], batch[name]) for name in batch)
        assert (wider["labels"][:, 11:] == IGNORED).all() and (wider["places"][:, 11:] == -1).all()


@pytest.mark.parametrize("style", STYLES)
def test_only_the_answer_and_its_end_are_learned(style: str) -> None:
    asked = prompter(style)
    example = TokenizedExample(*asked.example("Do the eyes look real/fake?", "The eyes look fake."))
    batch = pad_right([example], 4, 2)
    learned = [int(label) for label in batch["labels"][0] if label != IGNORED]
    assert TOKENIZER.decode(learned).strip() in ("The eyes look fake.</s>", "The eyes look fake.<|end|>")
    assert (batch["labels"][0, -len(learned) :] != IGNORED).all()


def test_an_answer_that_does_not_fit_is_cut() -> None:
    counts = {IMAGE: 4, DEEPFAKE: 2}
    example = TokenizedExample((IMAGE, 3, DEEPFAKE), (5, 6, 7, 1))  # 7 positions and 4
    assert fitted(example, counts, 11) == example
    assert fitted(example, counts, 9) == TokenizedExample(example.prompt, (5, 6))
    assert fitted(example, counts, 7) is None


def test_llm_folders_that_cannot_be_used_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # where there is no network, the hub is tried ten times

    def opened(name: str) -> None:
        open_language(LanguageSource(name=name), tmp_path)

    with pytest.raises(DetectorError, match=r"cannot be loaded: .*give a causal LLM"):
        opened("nobody/nothing-here")
    with pytest.raises(DetectorError, match="there is no file"):
        opened("missing.gguf")
    with pytest.raises(DetectorError, match="no package has"):
        opened("offline:gpt")
    bare = tiny_llm(tmp_path / "bare")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (bare / name).unlink(missing_ok=True)
    with pytest.raises(DetectorError, match=r"LLM 'bare' has no tokenizer: put tokenizer.json"):
        opened("bare")
    (tiny_llm(tmp_path / "blank") / "config.json").unlink()
    with pytest.raises(DetectorError, match=r"has no config.json"):
        opened("blank")


def test_an_llm_that_lacks_a_tensor_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load, save_file

    folder = tiny_llm(tmp_path / "llm")
    tensors = load((folder / "model.safetensors").read_bytes())  # not load_file: it is written over below
    first = tensors.pop("model.layers.0.mlp.up_proj.weight")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DetectorError, match=r"tensor 'model.layers.0.mlp.up_proj.weight' missing"):
        open_language(LanguageSource(name="llm"), tmp_path)
    save_file({**tensors, "model.layers.0.mlp.up_proj.weight": first, "more": first.clone()},
              folder / "model.safetensors", metadata={"format": "pt"})  # fmt: skip
    with pytest.raises(DetectorError, match="tensor 'more' unexpected"):
        open_language(LanguageSource(name="llm"), tmp_path)


def test_fingerprints_tell_llms_apart(tmp_path: Path) -> None:
    first, again, other = (tiny_language(tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert first.fingerprint == again.fingerprint != other.fingerprint
