"""Answers about images: all questions of some images together, against one question at a time.

Without options: M2F2-Det as `m2f2det-small-explainer` describes it, untrained, with the real SmolLM2-135M-Instruct, and
the questions of the synthetic dataset (both come as packages). One question at a time means: the image encoded anew
for each, and transformers' own `generate` with its cache, greedy, with the same end tokens, stop texts and limit. Both
sides have the same detector, LLM and machine. Asked of ours: at least 7 times as many answers a second on two cores.
About ten minutes there; `--images 8` takes two. `--detector FOLDER` takes a trained explainer. With `--precision bf16`
a close decision may fall otherwise, so that fewer texts are equal. `--compile` compiles our LLM's steps.

`--sweep` instead writes answers with batches of 1 to 64 from one LLM and random image tokens, and prints answers a
second and the peak of the GPU's memory: `--llm config:7b --sweep` on a GPU builds a Llama of 7B's size from its
configuration, in bf16 with random weights (576 + 17 image tokens, 8 questions an image, each answer of `--tokens`).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from common import report, sized

from m2f2bench.detectors.llm.generate import Generator, Request
from m2f2bench.detectors.llm.prompt import DEEPFAKE, IMAGE, embed
from m2f2bench.detectors.llm.sampling import GenerationSettings
from m2f2bench.detectors.llm.source import Language, LanguageSource, open_language

SWEEP = sized((1, 2, 4, 8, 16, 32, 64), (1, 2))
QUESTIONS, VISUAL, FORGERY = sized((8, 576, 17), (2, 9, 3))
SIZES = {
    "7b": {
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
    },
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
}
"""Of `--llm config:SIZE`; 32000 words and 4096 positions."""


class Numbers:
    """Stands for the tokenizer of an LLM with random weights, whose answers nobody reads."""

    def decode(self, ids: Sequence[int], **options: Any) -> str:
        return " ".join(map(str, ids))


def untrained(folder: Path, llm: str, tokens: int, compiled: bool) -> Path:
    """The small explainer with random weights and projectors, as training would leave it."""
    from m2f2bench.core.tensors import write_tensors
    from m2f2bench.detectors.m2f2det.detector import build
    from m2f2bench.detectors.m2f2det.options import PaperOptions, explainer_options, without_explainer
    from m2f2bench.detectors.m2f2det.projectors import PREFIX, new_projectors
    from m2f2bench.loading import resolve_card

    card = resolve_card("detectors", "m2f2det-small-explainer")
    explainer = explainer_options(card)
    plain = without_explainer(card)
    described = PaperOptions.model_validate(plain.options)
    weightless = described.model_copy(update={"cnn": described.cnn.model_copy(update={"pretrained": None})})
    network, filled = build(weightless, plain)
    projectors = new_projectors(network, explainer, open_language(LanguageSource(name=llm), folder).width)
    projectors.initialise(0.02)
    tensors = {**network.state_dict(), **{PREFIX + name: value for name, value in projectors.state_dict().items()}}
    write_tensors(folder / "model.safetensors", tensors)
    told = explainer.model_dump(mode="json") | {"stage": "align", "llm": {"name": llm}}
    told["generation"] |= {"max_new_tokens": tokens, "compile": compiled}
    content = {
        "name": "untrained",
        "backend": card.backend,
        "weights": "model.safetensors",
        "input": card.input.model_dump(mode="json"),
        "options": {**filled.model_dump(mode="json"), "explainer": told},
    }
    (folder / "card.yaml").write_text(yaml.safe_dump(content))
    return folder


def asked(images: int) -> list[tuple[Any, str]]:
    """The images, RGB uint8, with all questions about each; an image's stand together."""
    import m2f2bench

    dataset = m2f2bench.load_dataset("synthetic")
    frames = {frame.id: frame for frame in dataset.frames("test")}
    wanted: dict[str, list[str]] = {}
    for kind in ("judge", "blind"):
        for question in dataset.questions("test", kind):
            wanted.setdefault(question.frame, []).append(question.text)
    pairs = []
    for name, texts in list(wanted.items())[:images]:
        image = dataset.adapter.read(frames[name])
        pairs += [(image, text) for text in texts]
    return pairs


def together(explainer: Any, pairs: Sequence[tuple[Any, str]]) -> list[str]:
    """Ours, given as many at once as it asks for."""
    found: list[str] = []
    size = explainer.questions_at_once
    for start in range(0, len(pairs), size):
        part = pairs[start : start + size]
        found += [one.text for one in explainer.explain([image for image, _ in part], [text for _, text in part])]
    return found


def one_by_one(explainer: Any, pairs: Sequence[tuple[Any, str]]) -> list[str]:
    """Each image encoded for each question, and transformers' `generate`."""
    generator, _ = explainer.generator()
    language = generator.language
    stops: dict[str, Any] = {}
    if generator.stops:
        stops = {"stop_strings": list(generator.stops), "tokenizer": language.tokenizer}
    found = []
    for image, text in pairs:
        (request,), slots, _ = explainer.prompts([image], [text])
        with torch.inference_mode():
            own = {slot: tokens[0] for slot, tokens in slots([request.image]).items()}
            inputs = embed(language.model, request.prompt, own)[None]
            ids = language.model.generate(
                inputs_embeds=inputs,
                attention_mask=torch.ones(inputs.shape[:2], dtype=torch.long, device=inputs.device),
                max_new_tokens=generator.settings.max_new_tokens,
                do_sample=False,
                eos_token_id=sorted(generator.ends),
                pad_token_id=min(generator.ends),
                **stops,
            )[0]
        answer = language.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        for stop in generator.stops:
            answer = answer.partition(stop)[0]
        found.append(answer.strip())
    return found


def against(options: argparse.Namespace) -> list[dict[str, object]]:
    import m2f2bench

    torch.manual_seed(0)
    pairs = asked(options.images)
    with tempfile.TemporaryDirectory() as place:
        folder = options.detector or untrained(Path(place), options.llm, options.tokens, options.compile)
        explainer: Any = m2f2bench.load_detector(str(folder), device=options.device)
        if options.precision:
            explainer.compute_in(options.precision)
        explainer.generator()
        together(explainer, pairs[:2])
        one_by_one(explainer, pairs[:1])  # both are warm
        times, texts = [], []
        for ask in (one_by_one, together):
            start = time.perf_counter()
            texts.append(ask(explainer, pairs))
            times.append(time.perf_counter() - start)
    tokenizer = explainer.generator()[0].language.tokenizer
    words = np.mean([len(tokenizer(text)["input_ids"]) for text in texts[1]])
    equal = sum(a == b for a, b in zip(*texts, strict=True))
    rows = []
    for what, seconds, wanted in (("one question at a time", times[0], ""), ("together", times[1], ">= 7")):
        ours = {"answers": len(pairs), "s": seconds, "answers_per_s": len(pairs) / seconds}
        rows.append(
            {"what": what, **ours, "ratio": times[0] / seconds, "asked": wanted, "equal": equal, "tokens": float(words)}
        )
    return rows


def built(size: str, device: str) -> Language:
    """A Llama from its configuration, with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(vocab_size=32000, max_position_embeddings=4096, tie_word_embeddings=False, **SIZES[size])
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16 if device == "cuda" else torch.float32)
    try:
        with torch.device(device):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    return Language(model.eval().requires_grad_(False), Numbers(), f"config:{size}", "", config.hidden_size, 4096)


def sweep(options: argparse.Namespace) -> list[dict[str, object]]:
    device = options.device if options.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    if options.llm.startswith("config:"):
        language = built(options.llm.removeprefix("config:"), device)
    else:
        language = open_language(LanguageSource(name=options.llm), Path(), device)
    table = language.model.get_input_embeddings().weight
    scale = float(table[:1000].float().std())
    tokens = scale * torch.randn(64, VISUAL + FORGERY, language.width, device=table.device).to(table.dtype)
    draws = np.random.default_rng(0)

    def slots(images: Sequence[int]) -> dict[int, torch.Tensor]:
        found = tokens[[image % len(tokens) for image in images]]
        return {IMAGE: found[:, :VISUAL], DEEPFAKE: found[:, VISUAL:]}

    def prompts(images: int) -> list[Request]:
        last = len(table) - 1
        start = (1, *(min(word, last) for word in range(100, 140)), IMAGE, 13, DEEPFAKE, 13)
        ends = [tuple(draws.integers(100, min(20000, last), 10 + 2 * k).tolist()) for k in range(QUESTIONS)]
        return [Request(image, (*start, *end)) for image in range(images) for end in ends]

    rows = []
    for size in options.sizes:
        if device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        settings = GenerationSettings(max_new_tokens=options.tokens, batch_size=size, compile=options.compile)
        generator = Generator(language, settings, frozenset())
        wanted = prompts(max(1, min(16, size)))
        generator.answer(wanted[:1], slots)
        start = time.perf_counter()
        found = generator.answer(wanted, slots)
        seconds = time.perf_counter() - start
        row: dict[str, object] = {"batch": size, "answers": len(found), "s": seconds}
        row |= {"answers_per_s": len(found) / seconds, "tokens_per_s": sum(a.tokens_out for a in found) / seconds}
        row["rows_at_last"] = generator.rows
        if device == "cuda":
            row["peak_GiB"] = torch.cuda.max_memory_allocated() / 2**30
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=sized(40, 1))
    parser.add_argument("--tokens", type=int, default=sized(48, 3), help="most new tokens; of an untrained explainer")
    parser.add_argument("--detector", default="", help="a trained explainer's folder")
    parser.add_argument("--precision", default="", help="of detector and LLM on both sides, in place of fp32")
    parser.add_argument("--compile", action="store_true", help="generation.compile of ours, of an untrained explainer")
    parser.add_argument("--llm", default="offline:smollm2-135m-instruct")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--sizes", type=int, nargs="+", default=SWEEP)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    report(sweep(options) if options.sweep else against(options))


if __name__ == "__main__":
    main()
