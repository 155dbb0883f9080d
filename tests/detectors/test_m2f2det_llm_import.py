"""The published 7B folder as an explainer: imported whole, and the same answers as the published scripts."""

from __future__ import annotations

import json
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from m2f2det_folder import KIND, LAYERS, TOWER, WIDTH, WORDS, WholeReference, folder_tensors, write_folder
from m2f2det_published import SMALL, Tensors, images, pixels
from safetensors import safe_open
from safetensors.torch import load_file
from toy_questions import FACES

import m2f2bench
from m2f2bench import load_detector
from m2f2bench.core.errors import DetectorError
from m2f2bench.core.records import JUDGE_QUESTION
from m2f2bench.detectors.llm.prompt import DEEPFAKE, IMAGE, embed
from m2f2bench.detectors.m2f2det.explainer import M2F2Explainer
from m2f2bench.detectors.m2f2det.released.files import Tensors as Files
from m2f2bench.detectors.m2f2det.released.importing import import_weights
from m2f2bench.detectors.m2f2det.released.llm import PublishedLanguage
from m2f2bench.detectors.m2f2det.released.names import sort_names

QUESTIONS = ("Do the person's eyes look real/fake?", "Does the person's nose look real/fake?", "Why?")


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    return folder_tensors()


@pytest.fixture(scope="module")
def imported(tensors: Tensors, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("seven")
    import_weights(write_folder(place / "published", tensors), KIND, place / "out")
    shutil.rmtree(place / "published")  # nothing of it is needed any more
    return place / "out"


def shorter(folder: Path, place: Path, tokens: int) -> Path:
    """The imported folder with fewer new tokens on its card."""
    shutil.copytree(folder, place)
    card = yaml.safe_load((place / "card.yaml").read_text())
    card["options"]["explainer"]["generation"]["max_new_tokens"] = tokens
    (place / "card.yaml").write_text(yaml.safe_dump(card))
    return place


def opened(folder: Path) -> M2F2Explainer:
    detector = load_detector(str(folder), device="cpu")
    assert isinstance(detector, M2F2Explainer)
    return detector


def pictures(salt: int = 0) -> list[np.ndarray]:
    return [picture.permute(1, 2, 0).numpy() for picture in images(salt)]


@pytest.mark.slow
def test_same_as_the_published_scripts(imported: Path, tensors: Tensors, tmp_path: Path) -> None:
    """P(fake), the first token's logits and the greedy texts, for the judgement and for questions."""
    explainer, reference = opened(shorter(imported, tmp_path / "out", 12)), WholeReference(tensors)
    shown, inputs = pictures(), pixels(imported)
    scores = reference.detector.logits(inputs).softmax(1)[:, 1]
    assert np.abs(explainer.predict(shown) - scores.numpy()).max() < 1e-5
    contents = {JUDGE_QUESTION: f"<image>\n <deepfake>\n {JUDGE_QUESTION} "} | {
        text: f"<image>\n<deepfake>\n{text}" for text in QUESTIONS
    }
    encoded, language, prompter = explainer.encode(shown), explainer.language(), explainer.generator()[1]
    patches = (SMALL["size"] // SMALL["patch"]) ** 2
    assert encoded.visual.shape == (3, patches, WIDTH) and encoded.forgery.shape == (3, 1, WIDTH)
    texts = set()
    for number, image in enumerate(shown):
        own = inputs[number : number + 1]
        slots = {IMAGE: encoded.visual[number], DEEPFAKE: encoded.forgery[number]}
        for question, content in contents.items():
            with torch.inference_mode():
                spliced = embed(language.model, prompter.question(question), slots)
                logits = language.model(inputs_embeds=spliced[None]).logits[0, -1]
            assert (logits - reference.logits(own, content)).abs().max() < 1e-4
        replies = explainer.explain([image] * len(contents), list(contents))
        for reply, content in zip(replies, contents.values(), strict=True):
            assert reply.text == reference.answer(own, content, 12)
            assert reply.score == pytest.approx(float(scores[number]), abs=1e-5)
            texts.add(reply.text)
    assert len(texts) > 6  # images and questions do make a difference


def test_the_llm_is_a_plain_llama(imported: Path, tensors: Tensors) -> None:
    """transformers alone loads it: every tensor bit for bit, in fp16, with nothing missing."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    place = imported / "llm"
    model, report = AutoModelForCausalLM.from_pretrained(place, output_loading_info=True)
    assert isinstance(model, LlamaForCausalLM) and not any(report.values()), report
    state = model.state_dict()
    named = {
        n: v for n, v in tensors.items() if n.startswith(("model.layers.", "model.embed", "model.norm", "lm_head"))
    }
    assert set(state) == set(named) and len(named) == 3 + 9 * LAYERS
    assert all(state[name].dtype == torch.float16 and torch.equal(state[name], named[name]) for name in named)
    config = json.loads((place / "config.json").read_text())
    assert config["rms_norm_eps"] == 1e-5 and config["rope_theta"] == 5000.0 and config["num_key_value_heads"] == 2
    assert not any(key.startswith("mm_") for key in config) and model.config.torch_dtype == torch.float16
    assert len(AutoTokenizer.from_pretrained(place)) == WORDS
    assert json.loads((place / "generation_config.json").read_text()) == {
        "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 0
    }  # fmt: skip


def test_what_the_folder_says(imported: Path, tensors: Tensors) -> None:
    names = ["card.yaml", "import.json", "llm", "model.safetensors"]
    assert sorted(path.name for path in imported.iterdir()) == names
    card = yaml.safe_load((imported / "card.yaml").read_text())
    explainer = card["options"]["explainer"]
    assert card["backend"] == "m2f2det-explainer" and explainer["llm"] == {"name": "llm"}
    assert explainer["prompt"] == {"style": "released"} and explainer["generation"] == {"max_new_tokens": 512}
    record = json.loads((imported / "import.json").read_text())
    assert record["left_out"] == [] and len(record["files"]) == 3
    assert "mm_vision_tower" in record["language"]["config_left_out"]
    used = load_file(imported / "model.safetensors")
    projectors = {name for name in used if name.startswith("projectors.")}
    assert len(projectors) == 8 and used["projectors.deepfake_projector.0.weight"].shape == (WIDTH, 2)
    given = {name for name in tensors if "clip_vision" in name or name.startswith(TOWER)}
    told = {*record["folded"], *record["without_effect"]}
    assert given and not any(name.startswith(("model.", "deepfake_projector.", "lm_head")) for name in told)


def test_another_llm_in_its_place_is_refused(imported: Path, tmp_path: Path) -> None:
    other = shorter(imported, tmp_path / "other", 4)
    file = next((other / "llm").glob("model-*.safetensors"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(DetectorError, match="projectors are for an LLM with fingerprint"):
        load_detector(str(other), device="cpu")


@pytest.mark.parametrize("form", ["bin", "whole"])
def test_forms_of_the_folder(tmp_path: Path, tensors: Tensors, imported: Path, form: str) -> None:
    """Shards of torch's, or one file: the same folder comes out, also with the buffers that older files have."""
    old = {
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4),
        f"{TOWER}embeddings.position_ids": torch.ones(1),
    }
    import_weights(write_folder(tmp_path / "in", {**tensors, **old}, form), KIND, tmp_path / "out")
    assert same_files(tmp_path / "out", imported)
    record = json.loads((tmp_path / "out/import.json").read_text())
    assert sorted(record["position_buffers"]) == sorted(old)


def same_files(one: Path, other: Path) -> bool:
    """Whether two imported folders hold the same but for the record."""
    listed = [sorted(str(p.relative_to(place)) for p in place.rglob("*")) for place in (one, other)]
    files = [name for name in listed[0] if (one / name).is_file() and name != "import.json"]
    return listed[0] == listed[1] and all((one / name).read_bytes() == (other / name).read_bytes() for name in files)


def clip_folder(place: Path, tensors: Tensors, **config: Any) -> Path:
    """A whole CLIP as transformers writes it, with the tower of `tensors`."""
    from transformers import CLIPConfig, CLIPModel

    vision = {"hidden_size": SMALL["vision"], "intermediate_size": 2 * SMALL["vision"], "num_attention_heads": 2,
              "num_hidden_layers": SMALL["vision_layers"], "image_size": SMALL["size"], "patch_size": SMALL["patch"],
              **config}  # fmt: skip
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "vocab_size": 9}  # fmt: skip
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    own = {name: value.float() for name, value in tensors.items() if name.startswith(TOWER)}
    if own:
        model.vision_model.load_state_dict({n.removeprefix(TOWER): v for n, v in own.items()})
    model.half().save_pretrained(place)
    return place


def test_a_tower_from_elsewhere(tmp_path: Path, tensors: Tensors, imported: Path) -> None:
    """LLaVA's folders often lack CLIP's tower: it comes from a file, or from a CLIP's folder."""
    bare = {name: value for name, value in tensors.items() if not name.startswith(TOWER)}
    folder = write_folder(tmp_path / "in", bare)
    with pytest.raises(DetectorError, match=r"lack CLIP's image tower: .*--vision-tower.*openai/clip-vit-large"):
        import_weights(folder, KIND, tmp_path / "out")
    file = tmp_path / "vision_tower.pth"
    torch.save({n.removeprefix("model."): v for n, v in tensors.items() if n.startswith(TOWER)}, file)
    places = {"file": file, "clip": clip_folder(tmp_path / "clip", tensors)}
    for name, place in places.items():
        import_weights(folder, KIND, tmp_path / name / "out", place)
        assert same_files(tmp_path / name / "out", imported)


def test_what_only_a_clips_configuration_tells(tmp_path: Path, tensors: Tensors) -> None:
    folder = write_folder(tmp_path / "in", tensors)
    clip = clip_folder(tmp_path / "clip", tensors, num_attention_heads=4, layer_norm_eps=1e-3)
    import_weights(folder, KIND, tmp_path / "out", str(clip), detector_only=True)
    vision = yaml.safe_load((tmp_path / "out/card.yaml").read_text())["options"]["vision"]
    assert (vision["num_attention_heads"], vision["layer_norm_eps"]) == (4, 1e-3)
    config = clip / "config.json"
    for key, value, pattern in (
        ("num_hidden_layers", 9, "says num_hidden_layers 9, but its weights have 4"),
        ("hidden_act", "relu", "activation 'relu'"),
    ):
        content = json.loads(config.read_text())
        content["vision_config"][key] = value
        other = shutil.copytree(clip, tmp_path / key)
        (other / "config.json").write_text(json.dumps(content))
        with pytest.raises(DetectorError, match=pattern):
            import_weights(folder, KIND, tmp_path / "no", other)
    (clip / "config.json").write_text('{"model_type": "siglip"}')
    with pytest.raises(DetectorError, match="is for a 'siglip': give the folder of a CLIP"):
        import_weights(folder, KIND, tmp_path / "no", clip)


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_a_tower_from_the_hubs_cache(
    tmp_path: Path, tensors: Tensors, monkeypatch: pytest.MonkeyPatch, weights: str
) -> None:
    """What was fetched once is taken from the library's cache."""
    clip = clip_folder(tmp_path / "clip", folder_tensors(5))
    if weights.endswith(".bin"):
        torch.save(load_file(clip / "model.safetensors"), clip / weights)
    cached = tmp_path / "hub/models--some--clip"
    (cached / "snapshots/abc").mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs/main").write_text("abc")
    for name in ("config.json", weights):
        shutil.copyfile(clip / name, cached / "snapshots/abc" / name)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = write_folder(tmp_path / "in", tensors)
    import_weights(folder, KIND, tmp_path / "out", "some/clip", detector_only=True)
    import_weights(folder, KIND, tmp_path / "direct", clip, detector_only=True)
    assert same_files(tmp_path / "out", tmp_path / "direct")


def test_a_hub_that_is_not_reached(tmp_path: Path, tensors: Tensors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DetectorError, match="CLIP 'nobody/clip' cannot be downloaded: ") as error:
        import_weights(write_folder(tmp_path / "in", tensors), KIND, tmp_path / "out", "nobody/clip")
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


class Counting(Files):
    """Knows how many bytes of tensors that were read are alive at once."""

    alive = most = 0

    def read(self, name: str) -> torch.Tensor:
        tensor = super().read(name)
        size = tensor.nbytes
        self.alive += size
        self.most = max(self.most, self.alive)
        weakref.finalize(tensor, self._gone, size)
        return tensor

    def _gone(self, size: int) -> None:
        self.alive -= size


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_no_more_than_a_shard_is_in_memory(tmp_path: Path, tensors: Tensors, form: str) -> None:
    folder = write_folder(tmp_path / "in", tensors, form)
    source = Counting(folder)
    language = PublishedLanguage(folder, source, sort_names(source.names(), folder).language)
    assert source.most == 0  # checked by shapes alone
    sizes = {name: tensors[own].nbytes for name, own in language.names.items()}
    largest, limit = max(sizes.values()), 5000
    language.write(tmp_path / "out", limit)
    assert sum(sizes.values()) > 10 * limit and source.alive == 0
    assert limit <= source.most <= limit + largest
    index = json.loads((tmp_path / "out/model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(sizes.values()) and set(index["weight_map"]) == set(sizes)
    for file in set(index["weight_map"].values()):
        with safe_open(tmp_path / "out" / file, framework="pt") as shard:
            own = set(shard.keys())
            assert own == {name for name, place in index["weight_map"].items() if place == file}
            assert sum(sizes[name] for name in own) <= limit or len(own) == 1
            assert shard.metadata() == {"format": "pt"}
    assert len(list((tmp_path / "out").glob("*.safetensors"))) == len(set(index["weight_map"].values()))


def test_bf16_is_kept(tmp_path: Path, tensors: Tensors) -> None:
    brain = {name: value.bfloat16() if value.is_floating_point() else value for name, value in tensors.items()}
    import_weights(write_folder(tmp_path / "in", brain, "bin"), KIND, tmp_path / "out")
    found = load_file(next((tmp_path / "out/llm").glob("model-*.safetensors")))
    assert {value.dtype for value in found.values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "out/llm/config.json").read_text())["torch_dtype"] == "bfloat16"


@pytest.mark.slow
def test_tied_embeddings(tmp_path: Path, tensors: Tensors) -> None:
    """One table where the file has one; where it has both, both are kept as they are."""
    from transformers import AutoModelForCausalLM

    one = {name: value for name, value in tensors.items() if name != "lm_head.weight"}
    import_weights(write_folder(tmp_path / "a", one, tie_word_embeddings=True), KIND, tmp_path / "one")
    import_weights(write_folder(tmp_path / "b", tensors, tie_word_embeddings=True), KIND, tmp_path / "two")
    for name, tied in (("one", True), ("two", False)):
        model = AutoModelForCausalLM.from_pretrained(tmp_path / name / "llm", dtype=torch.float32)
        table, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
        assert torch.equal(table, head) == tied
        assert torch.equal(head, tensors["model.embed_tokens.weight" if tied else "lm_head.weight"].float())
        assert opened(tmp_path / name).language().width == WIDTH


def test_the_command_line_and_a_detector_alone(
    tmp_path: Path, tensors: Tensors, imported: Path, cli: Callable[..., Any]
) -> None:
    folder = write_folder(tmp_path / "in", tensors)
    outcome = cli("import-weights", folder, "--as", KIND, "--out", tmp_path / "out")
    assert outcome.status == 0 and f"note: LLM of {3 + 9 * LAYERS} tensors, {WIDTH} wide" in outcome.out
    assert same_files(tmp_path / "out", imported)
    outcome = cli("import-weights", folder, "--as", KIND, "--out", tmp_path / "alone", "--detector-only")
    assert (
        outcome.status == 0
        and "note: left out, of use to explanations only: deepfake_projector, lm_head" in outcome.out
    )
    alone = load_detector(str(tmp_path / "alone"), device="cpu")
    assert not isinstance(alone, M2F2Explainer) and not (tmp_path / "alone/llm").exists()
    shown = pictures(2)
    assert np.abs(alone.predict(shown) - opened(imported).predict(shown)).max() < 1e-6


@pytest.mark.slow
def test_run_asks_it(imported: Path, tmp_path: Path, rules: Path) -> None:
    folder = shorter(imported, tmp_path / "out", 6)
    found = m2f2bench.run(
        detectors=[str(folder)], datasets=FACES, protocols=str(rules), out=tmp_path / "runs", device="cpu"
    )
    result = next(one for one in found if one.detector == KIND)
    assert result.coverage == 1.0 and result.metrics["bleu"].value is not None
