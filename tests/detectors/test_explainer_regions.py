"""Tokens of regions: where a mean face has them, what they hold, and that an LLM reads each in its own place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from toy_explainer import EXPLAINER, card_file, stages
from toy_llm import tiny_llm, tiny_tokenizer
from toy_m2f2det import pixels, toy_network
from toy_questions import FACES

import m2f2bench
from m2f2bench.cards.models import merged
from m2f2bench.core.errors import CardError
from m2f2bench.core.tensors import read_tensors
from m2f2bench.detectors.llm.loss import beginnings
from m2f2bench.detectors.llm.prompt import DEEPFAKE, IMAGE, OWN, Prompter, PromptSettings, TokenizedExample, pad_right
from m2f2bench.detectors.llm.source import LanguageSource, open_language
from m2f2bench.detectors.m2f2det.explainer import M2F2Explainer
from m2f2bench.detectors.m2f2det.options import ExplainerOptions
from m2f2bench.detectors.m2f2det.projectors import detector_tokens, new_projectors
from m2f2bench.detectors.m2f2det.regions import (
    REGIONS,
    finest,
    pooled_regions,
    region_features,
    region_masks,
    regions_of,
)
from m2f2bench.detectors.m2f2det.stages import token_counts
from m2f2bench.detectors.m2f2det.starting import draw, word_means
from m2f2bench.runs.train import train


@pytest.mark.parametrize("side", [2, 4, 7, 10, 24])
def test_regions_lie_where_a_face_has_them(side: int) -> None:
    """From top to bottom, each about the middle, none over another; skin is around all."""
    masks = region_masks(side)
    assert masks.shape == (5, side, side) and masks.min() >= 0 and masks.sum(0).max() <= 1 + 1e-6
    rows, columns = np.mgrid[0:side, 0:side]
    shares = masks / masks.sum((1, 2), keepdims=True)
    heights = [(shares[i] * (rows + 0.5)).sum() / side for i in range(4)]
    assert min(np.diff(heights)) > -1e-3 and heights[0] > 0.2 and heights[3] < 0.8
    assert [(shares[i] * (columns + 0.5)).sum() / side for i in range(5)] == pytest.approx([0.5] * 5, abs=0.02)
    assert masks[4].sum() > masks[:4].sum() / 2
    if side == 24:
        fine = region_masks(48).reshape(5, 24, 2, 24, 2).mean((2, 4))
        np.testing.assert_allclose(masks, fine, atol=0.02)
        assert masks[1][:, 11:13].max() == 0 and masks[2][:, 11:13].max() == 1  # eyes are left and right of the nose


def test_the_mean_over_a_region_by_hand() -> None:
    found = torch.arange(2 * 3 * 16, dtype=torch.float32).reshape(2, 3, 4, 4)
    masks = region_masks(4)
    for number in range(len(REGIONS)):
        wanted = (found.numpy() * masks[number]).sum((2, 3)) / masks[number].sum()
        np.testing.assert_allclose(pooled_regions(found)[:, number], wanted, rtol=1e-5)


def test_a_change_in_the_mouth_moves_the_mouths_features_most() -> None:
    maps = [torch.randn(1, 6, side, side, generator=torch.Generator().manual_seed(side)) for side in (8, 16)]
    mouth = [one.clone() for one in maps]
    for one in mouth:
        side = one.shape[-1]
        one[..., int(side * 0.66) : int(side * 0.8), int(side * 0.38) : int(side * 0.62)] += (
            2.0 * (-1) ** torch.arange(6)[:, None, None]
        )
    moved = (region_features(mouth, None) - region_features(maps, None)).norm(dim=2)[0]
    assert REGIONS[int(moved.argmax())] == "mouth"
    assert all(float(moved[3]) > 2 * float(moved[i]) for i in range(3))
    heat = torch.zeros(1, 1, 8, 8)
    heat[..., 5:7, 3:5] = 1.0
    level = region_features(maps, heat)[0, :, -1]
    assert REGIONS[int(level.argmax())] == "mouth" and region_features(maps, None)[0, :, -1].abs().max() == 0


def test_only_the_finest_maps_count() -> None:
    """A coarse map knows the whole face at every place."""
    fine, coarse = torch.randn(2, 6, 8, 8), torch.randn(2, 9, 4, 4)
    found = region_features([fine, coarse], None)
    assert finest([8, 4, 8]) == [0, 2] and found.shape == (2, 5, 7)
    torch.testing.assert_close(found, region_features([fine, coarse + 1.0], None))


@pytest.mark.parametrize(
    ("question", "named"),
    [
        ("Do the person's eyes look real/fake?", ("eyes",)),
        ("Do the person's eyebrows look real/fake?", ("eyebrows",)),
        ("What of the brow and the left eye?", ("eyebrows", "eyes")),
        ("Are the LIPS odd, or the nose?", ("nose", "mouth")),
        ("Describe it, based on skin, eyes, eyebrows, nose, mouth.", REGIONS),
        ("Is the image real or fake?", REGIONS),
    ],
)
def test_the_regions_of_a_question(question: str, named: tuple[str, ...]) -> None:
    assert regions_of(question) == named
    slots = "".join(f"<{name}>" for name in named)
    assert options().before(question, 0.2) == slots
    assert options(verdict_words=True).before(question, 0.2).endswith(f"80%.\n{slots}")
    assert options(region_tokens=False).before(question, 0.2) == ""


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["synthetic", "ddvqa-c40"])
def test_the_regions_of_all_questions_of_a_dataset(dataset: str, request: pytest.FixtureRequest) -> None:
    if dataset != "synthetic":
        request.getfixturevalue("real_data")
    data = m2f2bench.load_dataset(dataset)
    parts = [(split, kind) for split in ("train", "test") for kind in ("blind", "released")]
    asked = [one for part in parts for one in data.questions(*part)]
    for one in asked:
        about = set(one.region.split("+"))
        assert regions_of(one.text) == (tuple(name for name in REGIONS if name in about) or REGIONS), one.text
    assert len(asked) > 5000


def test_a_question_has_its_regions_tokens_before_it() -> None:
    """The common beginning, with the image's other tokens, is that of all questions about an image."""
    prompter = Prompter(tiny_tokenizer(), PromptSettings(), "LLM 'toy'", REGIONS)
    made = [
        TokenizedExample(*prompter.example(text, "Yes.", options().before(text, 0.2)))
        for text in ("Is the mouth odd?", "Is it?", "Are the eyes?")
    ]
    first, whole, eyes = (one.prompt for one in made)
    assert [[element for element in one if element < -2] for one in (first, whole, eyes)] == [
        [OWN - 3],
        [OWN - number for number in range(5)],
        [OWN - 1],
    ]
    assert first.index(OWN - 3) > first.index(DEEPFAKE) and first[-1] > 0
    batch = pad_right(made, visual=2, forgery=3)
    places = [[place for place in row if place >= 0] for row in batch["places"].tolist()]
    assert places == [[0, 1, 2, 3, 4, 8], list(range(10)), [0, 1, 2, 3, 4, 6]]
    counts = {IMAGE: 2, DEEPFAKE: 3, **{OWN - number: 1 for number in range(5)}}
    shared = beginnings(made, ["a", "a", "a"], counts)
    assert shared["owners"].tolist() == [0, 0, 0] and int(shared["begins"][0]) == first.index(DEEPFAKE) + 1 + 1 + 2


def options(**more: object) -> ExplainerOptions:
    return ExplainerOptions.model_validate(merged(EXPLAINER, {"region_tokens": True, **more}))


@pytest.mark.parametrize("network", [{}, {"map_weighting": False}, {"bridge": False, "gated": True}], ids=str)
def test_tokens_of_regions_follow_cells_and_verdict(network: dict[str, bool]) -> None:
    model, own = toy_network(**network).eval(), options()
    tokens = detector_tokens(model, pixels(2), own)
    projectors = new_projectors(model, own, 24)
    draw(projectors, 0.1, seed=0)
    assert token_counts(model, own) == (16, 4 + 1)
    with torch.no_grad():
        projectors.region_names.normal_()
        _, found = projectors(*tokens)
        swapped = tokens._replace(regions=tokens.regions[:, [0, 3, 2, 1, 4]])  # eyes and mouth
        _, other = projectors(*swapped)
        names = projectors.region_names
        assert projectors.regions is not None and projectors.cells is not None
        torch.testing.assert_close(found[:, 5:10], projectors.regions(tokens.regions) + names)
    same = [i for i in range(10) if torch.equal(found[:, i], other[:, i])]
    assert same == [0, 1, 2, 3, 4, 5, 7, 9]
    torch.testing.assert_close(found[:, 6] - names[1], other[:, 8] - names[3])


def test_a_regions_token_begins_with_its_word(tmp_path: Path) -> None:
    tiny_llm(tmp_path)
    language = open_language(LanguageSource(name=str(tmp_path)), tmp_path, torch.device("cpu"))
    names = word_means(language, REGIONS)
    table = language.model.get_input_embeddings().weight
    ids = language.tokenizer(" mouth", add_special_tokens=False)["input_ids"]
    torch.testing.assert_close(names[3], torch.stack([table[one] for one in ids]).mean(0).detach())
    projectors = new_projectors(toy_network().eval(), options(), names.shape[1])
    draw(projectors, 0.1, seed=0, names=names)
    assert torch.equal(projectors.region_names, names) and len(names.unique(dim=0)) == 5


@pytest.mark.slow
def test_three_stages_with_regions(tmp_path: Path) -> None:
    trained = stages(tmp_path, FACES, region_tokens=True)
    first, second = (read_tensors(trained[stage] / "model.safetensors")[0] for stage in ("align", "tune"))
    learned = [name for name in first if "region" in name]
    assert len(learned) == 5  # two layers, names
    assert all(not torch.equal(first[name], second[name]) for name in learned)
    one = m2f2bench.load_detector(str(trained["tune"]), device="cpu")
    assert isinstance(one, M2F2Explainer) and len(one.explain([np.zeros((20, 20, 3), np.uint8)], ["Is it?"])) == 1
    assert one.encode([np.zeros((20, 20, 3), np.uint8)]).forgery.shape[1] == 10


@pytest.mark.slow
def test_an_answer_reads_the_tokens_of_its_region_alone(tmp_path: Path) -> None:
    """By what the LLM is given: an answer about the nose is the same whatever the mouth's token is."""
    one = m2f2bench.load_detector(str(stages(tmp_path, FACES, region_tokens=True)["align"]), device="cpu")
    assert isinstance(one, M2F2Explainer)
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    questions = ["Is the nose odd?", "Is the mouth odd?", "Is it?"]
    seen: list[torch.Tensor] = []
    one.generator()[0].language.model.register_forward_pre_hook(
        lambda _, __, given: seen.append(given["inputs_embeds"].clone()) if "inputs_embeds" in given else None,
        with_kwargs=True,
    )

    def read(question: str) -> torch.Tensor:
        seen.clear()
        one.explain([image], [question])
        return torch.cat([part.flatten(0, 1) for part in seen])

    before = [read(question) for question in questions]
    plain = one.projectors.forward
    one.projectors.forward = lambda p, patches, cells, regions: plain(  # type: ignore[assignment,method-assign]
        p, patches, cells, regions[:, [0, 1, 2, 1, 4]]
    )
    assert [torch.equal(a, read(question)) for a, question in zip(before, questions, strict=True)] == [
        True,
        False,
        False,
    ]


def test_what_does_not_fit_is_one_line(tmp_path: Path) -> None:
    assert "region_tokens" not in options(region_tokens=False).identity()
    card = card_file(tmp_path, region_tokens=True, forgery_grid=0)
    with pytest.raises(CardError, match="region_tokens are forgery tokens") as error:
        train(str(card), FACES, out=tmp_path / "out")
    assert "\n" not in str(error.value)
