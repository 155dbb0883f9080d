"""M2F2-Det with its LLM: three stages, merging, answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load, save_file
from toy_explainer import card_file, detector_folder, stages
from toy_llm import tiny_llm
from toy_questions import FACES

import m2f2bench
from m2f2bench.core.errors import CardError, DetectorError
from m2f2bench.core.tensors import read_tensors
from m2f2bench.detectors.m2f2det.explainer import M2F2Explainer
from m2f2bench.runs.train import train

if TYPE_CHECKING:
    from m2f2bench.core.records import Image

QUESTIONS = ("Does the image look real/fake?", "Does the mouth look real/fake?", "Is it?", "What of the eyes, then?")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return stages(tmp_path_factory.mktemp("explainer"), FACES)


@pytest.fixture(scope="module")
def folder(trained: dict[str, Path]) -> Path:
    """The merged one, moved away from all that it was made of."""
    out = trained["tune"].parent / "merged"
    m2f2bench.merge(trained["tune"], out)
    return Path(shutil.copytree(out, out.parent / "elsewhere"))


def pictures(count: int, seed: int = 0) -> list[Image]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 255, size=(40, 40, 3), dtype=np.uint8) for _ in range(count)]


def explainer(place: Path) -> M2F2Explainer:
    found = m2f2bench.load_detector(str(place), device="cpu")
    assert isinstance(found, M2F2Explainer)
    return found


def pairs(images: list[Image]) -> tuple[list[Image], list[str]]:
    return [image for image in images for _ in QUESTIONS], list(QUESTIONS) * len(images)


def logits(one: M2F2Explainer, image: Image, question: str) -> torch.Tensor:
    """Of the answer's first token."""
    from m2f2bench.detectors.llm.prompt import DEEPFAKE, IMAGE, embed

    generator, prompter = one.generator()
    seen = one.encode([image])
    slots = {IMAGE: seen.visual[0], DEEPFAKE: seen.forgery[0]}
    model = generator.language.model
    with torch.no_grad():
        found: torch.Tensor = model(inputs_embeds=embed(model, prompter.question(question), slots)[None]).logits[0, -1]
    return found


@pytest.mark.slow
def test_what_each_stage_trains_and_what_it_leaves(trained: dict[str, Path]) -> None:
    first, aligned, tuned = (read_tensors(trained[s] / "model.safetensors")[0] for s in ("detector", "align", "tune"))
    assert all(torch.equal(first[name], aligned[name]) for name in first)
    assert all(torch.equal(first[name], tuned[name]) for name in first)
    new = sorted(set(aligned) - set(first))
    assert new == sorted(set(tuned) - set(first))
    assert {name.split(".")[1] for name in new} == {"visual", "cells", "verdict"}
    assert all(not torch.equal(aligned[name], tuned[name]) for name in new)
    assert sorted(p.name for p in (trained["tune"] / "adapter").glob("adapter_*")) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    record = json.loads((trained["tune"] / "training.json").read_text())
    assert record["stage"] == "tune" and record["n_conversations"] == {"train": 60, "val": 12}
    assert [row for row in record["curves"] if "val_loss" in row] and record["curves"][-1]["train_loss"] > 0
    card = m2f2bench.load_detector(str(trained["tune"])).card
    assert card.training_datasets == ("before", "toy_questions.Faces") and card.name == "toy"


def test_numbers_before_and_after_merging_agree(trained: dict[str, Path], folder: Path) -> None:
    before, after = explainer(trained["tune"]), explainer(folder)
    base = explainer(trained["align"])
    for image in pictures(2):
        for question in QUESTIONS:
            torch.testing.assert_close(
                logits(before, image, question), logits(after, image, question), atol=1e-4, rtol=0
            )
    assert (logits(base, image, question) - logits(after, image, question)).abs().max() > 1e-3
    images, questions = pairs(pictures(3))
    assert [r.text for r in before.explain(images, questions)] == [r.text for r in after.explain(images, questions)]
    record = json.loads((folder / "merge.json").read_text())
    assert record["largest_change_of_a_logit"] < 1e-4
    assert sorted(p.name for p in folder.iterdir()) == ["card.yaml", "llm", "merge.json", "model.safetensors"]


def test_many_at_once_say_what_one_alone_says(folder: Path) -> None:
    one = explainer(folder)
    images, questions = pairs(pictures(5))
    together = one.explain(images, questions)
    assert [reply.text for reply in together] == [
        one.explain([image], [question])[0].text for image, question in zip(images, questions, strict=True)
    ]
    assert len({reply.text for reply in together}) > 5
    scores = one.predict(pictures(5))
    assert [reply.score for reply in together[:: len(QUESTIONS)]] == pytest.approx(list(scores), abs=1e-6)


def test_an_image_is_encoded_once_for_all_its_questions(folder: Path) -> None:
    one = explainer(folder)
    seen: list[int] = []
    judge = one.model.judge_with_patches
    one.model.judge_with_patches = lambda pixels: (seen.append(len(pixels)), judge(pixels))[1]  # type: ignore[assignment, operator]
    one.explain(*pairs(pictures(3)))
    assert seen == [3]


@pytest.mark.parametrize("merged", [True, False])
def test_a_card_compiles_its_llm(
    merged: bool, trained: dict[str, Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By one word on the card, of a merged LLM and of one with adapters; torch.compile itself is called elsewhere."""
    compiled: list[dict[str, Any]] = []
    monkeypatch.setattr(torch, "compile", lambda function, **how: (compiled.append(how), function)[1])
    own = explainer(folder if merged else trained["tune"])
    place = Path(shutil.copytree(own.place, own.place.with_name(f"{own.place.name}-compiled")))
    card = yaml.safe_load((place / "card.yaml").read_text())
    card["options"]["explainer"].setdefault("generation", {})["compile"] = True
    (place / "card.yaml").write_text(yaml.safe_dump(card))
    other = explainer(place)
    images, questions = pairs(pictures(3))
    assert [one.text for one in own.explain(images, questions)] == [
        one.text for one in other.explain(images, questions)
    ]
    assert (own.precision, other.precision) == ("llm-fp32", "llm-fp32-compiled")
    assert own.fingerprint() != other.fingerprint()
    assert {"dynamic": False, "mode": None} in compiled


@pytest.mark.slow
def test_sampling_has_a_seed_and_no_batch(trained: dict[str, Path], folder: Path) -> None:
    def sampled(seed: int) -> M2F2Explainer:
        one = explainer(folder)
        generation = one.explainer.generation.model_copy(update={"temperature": 1.5, "seed": seed})
        one.explainer = one.explainer.model_copy(update={"generation": generation})
        return one

    images, questions = pairs(pictures(2))
    first = [reply.text for reply in sampled(0).explain(images, questions)]
    assert first == [sampled(0).explain([i], [q])[0].text for i, q in zip(images, questions, strict=True)]
    assert first != [reply.text for reply in sampled(1).explain(images, questions)]
    assert first != [reply.text for reply in explainer(folder).explain(images, questions)]


def test_the_verdict_and_the_cells_reach_the_answer(folder: Path) -> None:
    one = explainer(folder)
    image = pictures(1)[0]
    true = logits(one, image, QUESTIONS[0])
    encode = one.encode
    for rows in (slice(0, 4), slice(4, 5)):  # the four cells, the verdict

        def without(images: Any, rows: slice = rows) -> Any:
            found = encode(images)
            found.forgery[:, rows] = 0
            return found

        one.encode = without  # type: ignore[method-assign]
        assert (logits(one, image, QUESTIONS[0]) - true).abs().max() > 1e-3


@pytest.mark.slow
def test_a_run_with_the_merged_folder(folder: Path, tmp_path: Path) -> None:
    results = m2f2bench.run(
        detectors=str(folder), datasets=FACES, protocols=["explain-blind", "frame"], out=tmp_path, device="cpu"
    )
    metrics = {name for result in results if result.detector == "toy" for name in result.metrics}
    assert {"verdict_none_rate", "consistency", "bleu", "auc"} <= metrics


@pytest.mark.slow
def test_no_forgery_tokens_is_an_ablation(tmp_path: Path) -> None:
    found = stages(tmp_path, FACES, forgery_grid=0)
    one = explainer(found["tune"])
    assert one.encode(pictures(2)).forgery.shape[1] == 0
    assert all("cells" not in name for name in read_tensors(found["tune"] / "model.safetensors")[0] if "proj" in name)
    assert len(one.explain(*pairs(pictures(1)))) == len(QUESTIONS)


def test_a_stage_that_starts_from_the_wrong_thing_says_so(
    trained: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    home = trained["tune"].parent
    card = str(home / "toy.yaml")

    def begin(stage: str, start: Path | None, card: str = card) -> None:
        train(card, FACES, stage=stage, start=start, out=tmp_path / "x", device="cpu")

    with pytest.raises(DetectorError, match="is not trained, and stage `align` starts from"):
        begin("align", None)
    with pytest.raises(DetectorError, match="holds stage `detector`, but stage `tune` starts from `align`"):
        begin("tune", trained["detector"])
    with pytest.raises(DetectorError, match="holds stage `tune`, but stage `align` starts from `detector`"):
        begin("align", trained["tune"])
    with pytest.raises(DetectorError, match="holds stage `merged`"):
        begin("tune", folder)
    with pytest.raises(DetectorError, match="--from is for the stages align and tune"):
        begin("detector", trained["align"])
    with pytest.raises(DetectorError, match=r"no stage 'tun' .*did you mean|no stage 'tun'"):
        begin("tun", trained["align"])
    narrow = detector_folder(tmp_path / "narrow", head_width=8)
    with pytest.raises(DetectorError, match="was trained with head_width 8, but 'toy' has 12"):
        begin("align", narrow)
    other = card_file(tmp_path / "pooled", visual_pool=2)
    with pytest.raises(DetectorError, match="was aligned with visual_pool 1, but 'toy' has 2"):
        begin("tune", trained["align"], str(other))
    tiny_llm(tmp_path / "changed" / "llm", seed=5)
    with pytest.raises(DetectorError, match="its projectors are for an LLM with fingerprint"):
        begin("tune", trained["align"], str(card_file(tmp_path / "changed")))
    with pytest.raises(CardError, match="unknown key 'explainer'"):
        m2f2bench.load_detector(m2f2bench.load_detector(str(folder)).card.model_copy(update={"backend": "m2f2det"}))


def test_a_detector_without_projectors_is_refused_before_it_is_asked(trained: dict[str, Path], tmp_path: Path) -> None:
    card = card_file(tmp_path)
    done = detector_folder(tmp_path / "detector")
    text = (done / "card.yaml").read_text().replace("backend: m2f2det", "backend: m2f2det-explainer")
    (done / "card.yaml").write_text(text)
    with pytest.raises(DetectorError, match=r"has no options\.explainer: name the LLM there"):
        m2f2bench.load_detector(str(done))
    with pytest.raises(DetectorError, match="is not trained"):
        m2f2bench.load_detector(str(card))


def test_an_adapter_for_another_llm_is_refused(trained: dict[str, Path], tmp_path: Path) -> None:
    copied = Path(shutil.copytree(trained["tune"], tmp_path / "tune"))
    assert "name: ../llm\n" in (copied / "card.yaml").read_text()
    with pytest.raises(DetectorError, match=r"LLM '\.\./llm': there is no folder"):
        m2f2bench.load_detector(str(copied), "cpu")
    tiny_llm(tmp_path / "llm", seed=3)
    with pytest.raises(DetectorError, match="its adapter is for an LLM with fingerprint"):
        m2f2bench.load_detector(str(copied))
    with pytest.raises(DetectorError, match="its adapter is for an LLM with fingerprint"):
        m2f2bench.merge(copied, tmp_path / "merged")


def test_adapters_that_are_not_whole_are_refused(trained: dict[str, Path], tmp_path: Path) -> None:
    copied = Path(shutil.copytree(trained["tune"], tmp_path / "tune"))
    shutil.copytree(trained["tune"].parent / "llm", tmp_path / "llm")
    file = copied / "adapter" / "adapter_model.safetensors"
    tensors, first = load(file.read_bytes()), "base_model.model.model.layers.0.mlp.down_proj.lora_B.weight"
    save_file({name: value for name, value in tensors.items() if name != first}, file)
    with pytest.raises(DetectorError, match=f"tensor '{first}' missing"):
        explainer(copied).language()
    with pytest.raises(DetectorError, match=f"tensor '{first}' missing"):
        m2f2bench.merge(copied, tmp_path / "merged")
    save_file({**tensors, "more": torch.zeros(1)}, file)
    with pytest.raises(DetectorError, match="tensor 'more' unexpected"):
        explainer(copied).language()
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DetectorError, match="do not fit this LLM: SafetensorError"):
        explainer(copied).language()
    file.unlink()
    with pytest.raises(DetectorError, match=r"adapter_model\.safetensors' does not exist"):
        explainer(copied).language()


@pytest.mark.slow
def test_an_adapter_on_tied_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a training; and where one was trained elsewhere, at the merge."""
    from m2f2bench.detectors.m2f2det import lora as adapters

    tiny_llm(tmp_path / "llm", tie_word_embeddings=True)
    card = card_file(tmp_path, stages={"tune": {"lora": {"targets": ["lm_head"]}, "lr": 0.05}})
    start = detector_folder(tmp_path / "detector")
    train(str(card), FACES, stage="align", start=start, out=tmp_path / "align", device="cpu")
    with pytest.raises(
        DetectorError, match=r"shares its weights with the embeddings.*remove lm_head from lora\.targets"
    ):
        train(str(card), FACES, stage="tune", start=tmp_path / "align", out=tmp_path / "tune", device="cpu")
    monkeypatch.setattr(adapters, "refuse_tied", lambda *given: None)
    train(str(card), FACES, stage="tune", start=tmp_path / "align", out=tmp_path / "tuned", device="cpu")
    with pytest.raises(DetectorError, match=r"merging its adapters moves the LLM's logits by .*lora\.targets"):
        m2f2bench.merge(tmp_path / "tuned", tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_a_training_does_not_go_on_with_another_llm(trained: dict[str, Path], tmp_path: Path) -> None:
    home = Path(shutil.copytree(trained["align"].parent, tmp_path / "home"))
    shutil.rmtree(home / "llm")
    tiny_llm(home / "llm", seed=9)
    with pytest.raises(DetectorError, match="holds a training with another card, seed, dataset or version"):
        train(
            str(home / "toy.yaml"), FACES, stage="align", start=home / "detector", out=home / "align", resume=True,
            device="cpu",
        )  # fmt: skip


def test_after_stage_detector_it_judges_and_the_next_stage_begins_with_it(tmp_path: Path) -> None:
    card = card_file(tmp_path)
    text = card.read_text() + "training: {epochs: 1, batch_size: 8}\n"
    card.write_text(text)
    done = train(str(card), FACES, out=tmp_path / "folders" / "detector", device="cpu").parent
    one = explainer(done)
    assert one.precision == "fp32"
    assert 0.0 <= one.forward([one.prepare(pictures(1)[0])], ["a"])[0] <= 1.0
    with pytest.raises(DetectorError, match=f"cannot answer yet.*m2f2bench train {done} --stage align"):
        one.explain(pictures(1), ["Is it?"])
    # The LLM's relative folder is not lost on the way.
    align = train(str(done), FACES, stage="align", out=tmp_path / "align", device="cpu").parent
    assert explainer(align).precision == "llm-fp32"


def test_what_cannot_be_merged_is_one_line(trained: dict[str, Path], folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="is already merged"):
        m2f2bench.merge(folder, tmp_path / "again")
    with pytest.raises(DetectorError, match="is not an empty folder"):
        m2f2bench.merge(trained["tune"], folder)
    with pytest.raises(DetectorError, match="unknown dtype 'int3'"):
        m2f2bench.merge(trained["tune"], tmp_path / "again", dtype="int3")
    with pytest.raises(DetectorError, match="has no adapters to merge"):
        m2f2bench.merge(trained["detector"], tmp_path / "again")


def test_a_context_that_overflows_is_told_row_by_row(trained: dict[str, Path], folder: Path, tmp_path: Path) -> None:
    short = Path(shutil.copytree(folder, tmp_path / "short"))
    config = json.loads((short / "llm" / "config.json").read_text())
    (short / "llm" / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 64}))
    text = (short / "card.yaml").read_text().splitlines()
    (short / "card.yaml").write_text("\n".join(line for line in text if "learned_with" not in line))
    one = explainer(short)
    image = pictures(1)[0]
    room, full = one.explain([image] * 2, ["Is it?", "word " * 200])
    assert room.error == "" and room.text
    assert "context of 64" in full.error and full.text == ""


def test_an_empty_answer_that_was_cut_off_says_so(folder: Path) -> None:
    one = explainer(folder)
    generator, _ = one.generator()
    generator._text = lambda tokens: " "  # type: ignore[method-assign]
    replies = one.explain(pictures(12), ["Is it?"] * 12)
    cut = [reply for reply in replies if reply.tokens_out == 12]
    assert cut and all(reply.text == "" and reply.error == "" for reply in cut)
    assert "cut off after 12 new tokens" in {reply.message for reply in cut}


def test_examples_longer_than_the_limit_are_cut_and_told(tmp_path: Path) -> None:
    card = card_file(tmp_path, stages={"align": {"max_length": 44, "questions": ["judge", "blind"]}})
    start = detector_folder(tmp_path / "detector")
    done = train(str(card), FACES, stage="align", start=start, out=tmp_path / "align", device="cpu")
    notes = " ".join(json.loads((done.parent / "training.json").read_text())["notes"])
    assert "44 positions" in notes
    card = card_file(tmp_path, stages={"align": {"max_length": 16}})
    with pytest.raises(DetectorError, match=r"no example could be learned from.*no answer fits into 16 positions"):
        train(str(card), FACES, stage="align", start=start, out=tmp_path / "none", device="cpu")
    assert not (tmp_path / "none" / "training.json").exists()


@pytest.mark.slow
def test_resumed_training_is_the_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped by an error in the middle of stage `tune`, dropout on; the killed process is the loop's own test."""
    found = stages(tmp_path, FACES)
    card = str(tmp_path / "toy.yaml")
    again = tmp_path / "again"
    from m2f2bench.training import loop

    step = {"n": 0}
    save = loop.save_checkpoint

    def stop_after_one(*args: Any, **kwargs: Any) -> None:
        save(*args, **kwargs)
        step["n"] += 1
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", stop_after_one)
    with pytest.raises(KeyboardInterrupt):
        train(card, FACES, stage="tune", start=found["align"], out=again, device="cpu")
    monkeypatch.setattr(loop, "save_checkpoint", save)
    assert step["n"] == 1
    train(card, FACES, stage="tune", start=found["align"], out=again, resume=True, device="cpu")
    for name in ("model.safetensors", "adapter/adapter_model.safetensors"):
        first, second = read_tensors(found["tune"] / name)[0], read_tensors(again / name)[0]
        assert all(torch.equal(first[key], second[key]) for key in first)
    curves = [json.loads((place / "training.json").read_text())["curves"] for place in (found["tune"], again)]
    assert curves[0] == curves[1]
