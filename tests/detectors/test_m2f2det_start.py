"""What projectors start from: LLaVA's visual one, taken over and left alone in `align`, or tokens as large as words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from toy_explainer import card_file, detector_folder
from toy_llm import tiny_tokenizer
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

import m2f2bench
from m2f2bench.cards.models import DatasetCard
from m2f2bench.core.errors import DetectorError
from m2f2bench.core.tensors import read_tensors, write_tensors
from m2f2bench.detectors.llm.source import LanguageSource, open_language
from m2f2bench.detectors.m2f2det.projectors import Projectors
from m2f2bench.detectors.m2f2det.starting import draw, take_over, visual_key, word_size
from m2f2bench.runs.train import train

CLIP_WIDTH, WIDTH = 32, 32
"""Widths of the toy's image tower and LLM."""


def size(tokens: torch.Tensor) -> float:
    return float(tokens.detach().pow(2).mean().sqrt())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("patches", "cells", "width", "words"),
    [(128, 384, 576, 0.11), (1024, 1856, 4096, 0.0155), (32, 40, 32, 0.3)],
    ids=["small", "7B", "toy"],
)
def test_new_tokens_are_as_large_as_words(patches: int, cells: int, width: int, words: float) -> None:
    projectors = Projectors(patches, cells, width)
    draw(projectors, words, seed=3)
    generator = torch.Generator().manual_seed(0)
    for fake in (0.02, 0.5, 0.97):
        found = projectors(
            torch.tensor([[1 - fake, fake]]).expand(4, 2),
            torch.randn(4, 16, patches, generator=generator) * 7 + 2,
            torch.randn(4, 9, cells, generator=generator).exp(),
        )
        visual, regions, verdict = found[0], found[1][:, :-1], found[1][:, -1]
        for tokens in (visual, regions, verdict):
            assert words / 2 < size(tokens) < words * 2
    again = Projectors(patches, cells, width)
    draw(again, words, seed=3)
    assert all(bool((a == b).all()) for a, b in zip(projectors.parameters(), again.parameters(), strict=True))
    draw(again, words, seed=4)
    assert not bool((projectors.visual[0].weight == again.visual[0].weight).all())  # type: ignore[operator]


def test_the_size_of_words(tmp_path: Path) -> None:
    class Words(nn.Module):
        def get_input_embeddings(self) -> nn.Module:
            table = nn.Embedding(2, 2)
            table.weight.data = torch.tensor([[1.0, -1.0], [3.0, 1.0]])
            return table

    assert word_size(Words()) == pytest.approx(3.0**0.5)


def llava(folder: Path, authors: bool, seed: int = 0) -> tuple[Path, dict[str, torch.Tensor]]:
    """A tiny LLaVA in a folder, in the form of transformers or of its authors; and its projector."""
    tokenizer = tiny_tokenizer()
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=False,
    )
    vision = CLIPVisionConfig(
        hidden_size=CLIP_WIDTH,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=32,
        patch_size=8,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlavaForConditionalGeneration(LlavaConfig(vision_config=vision, text_config=text, image_token_index=1))
        for value in model.parameters():
            if value.dim() > 1:
                value.data.normal_(std=0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    parts = {n: v.detach().clone() for n, v in model.named_parameters() if "multi_modal_projector" in n}
    projector = {f"{'0' if 'linear_1' in n else '2'}.{n.rpartition('.')[2]}": v for n, v in parts.items()}
    if authors:
        plain = {**text.to_dict(), "model_type": "llava_llama", "architectures": ["LlavaLlamaForCausalLM"]}
        (folder / "config.json").write_text(json.dumps(plain))
        tensors, _ = read_tensors(folder / "model.safetensors")
        write_tensors(folder / "model.safetensors", {authors_name(n): v for n, v in tensors.items()}, {"format": "pt"})
    return folder, projector


def authors_name(name: str) -> str:
    """LLaVA's own name of a tensor that transformers has saved."""
    name = name.replace("model.language_model.", "model.").replace("language_model.model.", "model.")
    name = name.replace("language_model.lm_head", "lm_head")
    if "multi_modal_projector" in name:
        layer = {"linear_1": "0", "linear_2": "2"}[name.split(".")[-2]]
        return f"model.mm_projector.{layer}.{name.rpartition('.')[2]}"
    return name.replace("vision_tower.", "model.vision_tower.vision_tower.", 1) if "vision_tower" in name else name


@pytest.mark.parametrize("form", ["transformers", "authors", "bin", "folder"])
def test_a_projector_is_read_from_every_form(form: str, tmp_path: Path) -> None:
    place, own = llava(tmp_path / "llava", authors=form == "authors")
    if form in ("bin", "folder"):
        place = tmp_path / "only" / "mm_projector.bin"
        place.parent.mkdir()
        torch.save({f"model.mm_projector.{name}": value.half() for name, value in own.items()}, place)
        own = {name: value.half().float() for name, value in own.items()}
        place = place.parent if form == "folder" else place
    projectors = Projectors(CLIP_WIDTH, 40, WIDTH, normalises=False)
    before = {name: value.clone() for name, value in projectors.state_dict().items()}
    take_over(projectors, place, "toy")
    for name, value in projectors.state_dict().items():
        wanted = own[name.removeprefix("visual.")] if name.startswith("visual.") else before[name]
        assert bool((value == wanted).all()), name
    patches = torch.randn(2, 5, CLIP_WIDTH, generator=torch.Generator().manual_seed(1)) * 3
    seen = projectors(torch.tensor([[0.5, 0.5]] * 2), patches, torch.zeros(2, 4, 40))[0]
    by_hand = F.linear(F.gelu(F.linear(patches, own["0.weight"], own["0.bias"])), own["2.weight"], own["2.bias"])
    torch.testing.assert_close(seen, by_hand)


def test_its_key_is_of_its_tensors_alone(tmp_path: Path) -> None:
    key = visual_key(llava(tmp_path / "a", authors=False)[0])
    assert visual_key(llava(tmp_path / "b", authors=True)[0]) == key
    assert visual_key(llava(tmp_path / "c", authors=False, seed=1)[0]) != key
    tensors, _ = read_tensors(tmp_path / "a" / "model.safetensors")
    other = {name: value + ("multi_modal_projector" not in name) for name, value in tensors.items()}
    write_tensors(tmp_path / "a" / "model.safetensors", other, {"format": "pt"})
    assert visual_key(tmp_path / "a") == key


FACES = {"seed": 3, "size": 64, "train": 6, "val": 2, "test": 2, "frames_per_video": 1, "methods": ["swap", "lowres"]}


@pytest.mark.slow
@pytest.mark.parametrize("authors", [False, True], ids=["transformers", "authors"])
def test_align_leaves_it_alone_and_tune_learns_it(authors: bool, tmp_path: Path) -> None:
    place, own = llava(tmp_path / "cards" / "llava", authors)
    faces = DatasetCard(name="faces", adapter="synthetic", options={**FACES, "cache": str(tmp_path / "cache")})
    card = str(card_file(tmp_path / "cards", llm={"name": "llava"}, visual_init="llava"))
    detector = detector_folder(tmp_path / "detector")
    align = train(card, faces, stage="align", start=detector, out=tmp_path / "align", device="cpu").parent
    learned = read_tensors(align / "model.safetensors")[0]
    for name, value in own.items():
        assert bool((learned[f"projectors.visual.{name}"] == value).all()), name
    moved = m2f2bench.load_detector(str(align)).card.options["explainer"]
    assert "visual_init" not in moved and moved["visual_norm"] is False
    (tmp_path / "cards" / "llava").rename(tmp_path / "cards" / "elsewhere")  # tune and answers need the LLM alone
    (tmp_path / "cards" / "elsewhere").rename(place)
    tune = train(card, faces, stage="tune", start=align, out=tmp_path / "tune", device="cpu").parent
    after = read_tensors(tune / "model.safetensors")[0]
    assert any(not bool((after[f"projectors.visual.{name}"] == value).all()) for name, value in own.items())
    one: Any = m2f2bench.load_detector(str(tune))
    assert one.projectors.normalises is False
    image = torch.randint(0, 255, (40, 40, 3), dtype=torch.uint8).numpy()
    assert one.explain([image], ["Is the image real or fake?"])[0].error == ""


def test_the_llm_of_a_llava_gives_its_logits(tmp_path: Path) -> None:
    ids = torch.tensor([[5, 9, 12, 40, 7]])
    whole = LlavaForConditionalGeneration.from_pretrained(llava(tmp_path / "hf", False)[0]).eval()
    with torch.no_grad():
        wanted = whole(input_ids=ids).logits
    for name in ("hf", "own"):
        folder = llava(tmp_path / name, name == "own")[0]
        with torch.no_grad():
            found = open_language(LanguageSource(name=str(folder)), tmp_path)
            torch.testing.assert_close(found.model(input_ids=ids).logits, wanted)
        assert found.width == WIDTH and found.context == 512


@pytest.mark.slow
def test_what_does_not_fit_is_one_line(tmp_path: Path) -> None:
    folder, own = llava(tmp_path / "llava", authors=False)
    narrow = Projectors(CLIP_WIDTH, 40, 48)
    with pytest.raises(DetectorError, match=r"\[32, 32\], but this CLIP and LLM need \[48, 32\]"):
        take_over(narrow, folder, "toy")
    write_tensors(tmp_path / "other.safetensors", {"a.weight": torch.zeros(2)}, {})
    with pytest.raises(DetectorError, match=r"has no visual projector of two layers .*: 0.weight is missing"):
        take_over(narrow, tmp_path / "other.safetensors", "toy")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DetectorError, match="has none of"):
        take_over(narrow, tmp_path / "empty", "toy")
    faces = DatasetCard(name="faces", adapter="synthetic", options={**FACES, "cache": str(tmp_path / "cache")})
    card = str(card_file(tmp_path / "cards", visual_init="not-there"))
    with pytest.raises(DetectorError, match=r"there is no .*not-there.*: give the folder of a LLaVA") as error:
        train(card, faces, stage="align", start=detector_folder(tmp_path / "d"), out=tmp_path / "x", device="cpu")
    assert "\n" not in str(error.value)
    own["0.weight"][0, 0] = float("nan")
    write_tensors(tmp_path / "nan.safetensors", {f"mm_projector.{n}": v for n, v in own.items()}, {})
    with pytest.raises(DetectorError, match="not finite"):
        take_over(Projectors(CLIP_WIDTH, 40, WIDTH), tmp_path / "nan.safetensors", "toy")
