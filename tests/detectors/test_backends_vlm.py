"""The `vlm` backend on tiny models of three families, built here."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load as loaded_bytes
from safetensors.torch import save_file
from toy_questions import FACES
from toy_vlm import tiny_idefics, tiny_llava, tiny_qwen

import m2f2bench
from m2f2bench.cards.models import DetectorCard
from m2f2bench.core.errors import CardError, DetectorError
from m2f2bench.detectors.vlm.chat import Asked
from m2f2bench.detectors.vlm.detector import VisionLanguageModel
from m2f2bench.loading import load_detector

MAKERS = {"llava": tiny_llava, "idefics": tiny_idefics, "qwen": tiny_qwen}
RNG = np.random.default_rng(5)
# Of several sizes: Idefics cuts them into different numbers of tiles.
FACES_OF_SIZES = [
    RNG.integers(0, 256, (h, w, 3)).astype(np.uint8) for h, w in ((30, 40), (64, 64), (20, 90), (28, 28), (70, 31))
]
QUESTIONS = ["Do the eyes look real?", "Why?", "Is the nose fake in this picture, and why is it?", "What?", "Is it?"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("vlm")
    return {name: make(base / name) for name, make in MAKERS.items()}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "cache"))


def load(folder: Path, tokens: int = 12, **options: Any) -> VisionLanguageModel:
    generation = {"max_new_tokens": tokens, **options.pop("generation", {})}
    told = {"model": str(folder), "generation": generation, **options}
    detector = load_detector(DetectorCard(name="toy", backend="vlm", options=told), "cpu")
    assert isinstance(detector, VisionLanguageModel)
    return detector


every = pytest.mark.parametrize("family", list(MAKERS))


@every
def test_answers_and_scores_do_not_depend_on_the_batch(folders: dict[str, Path], family: str) -> None:
    detector = load(folders[family], batch_size=5)
    many = detector.explain(FACES_OF_SIZES, QUESTIONS)
    alone = [detector.explain([image], [text])[0] for image, text in zip(FACES_OF_SIZES, QUESTIONS, strict=True)]
    assert [reply.text for reply in many] == [reply.text for reply in alone]
    assert [reply.tokens_in for reply in many] == [reply.tokens_in for reply in alone]
    assert len({reply.text for reply in many}) == 5
    assert len({reply.tokens_in for reply in many}) > 2  # so that rows were padded
    each = [detector.predict([image])[0] for image in FACES_OF_SIZES]
    np.testing.assert_allclose(detector.predict(FACES_OF_SIZES), each, atol=1e-5)
    assert np.std(each) > 0.01
    assert [load(folders[family], batch_size=2).explain(FACES_OF_SIZES, QUESTIONS)[i].text for i in range(5)] == [
        reply.text for reply in many
    ]


def by_hand(detector: VisionLanguageModel, image: np.ndarray, question: str, answer: list[int]) -> torch.Tensor:
    """Log-probabilities [n + 1, V] at each place of an answer, in one pass without generation or padding."""
    content = [{"type": "image"}, {"type": "text", "text": question}]
    prompt = detector.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    start = {"add_special_tokens": False} if prompt.startswith("<s>") else {}
    picture = [[Image.fromarray(image)]]
    inputs = dict(detector.processor(text=[prompt], images=picture, return_tensors="pt", **start))
    ids = inputs["input_ids"]
    inputs["input_ids"] = torch.cat([ids, torch.tensor([answer], dtype=ids.dtype)], dim=1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    if "mm_token_type_ids" in inputs:  # Qwen-VL's: 0 for words
        kinds = inputs["mm_token_type_ids"]
        inputs["mm_token_type_ids"] = torch.cat([kinds, kinds.new_zeros(1, len(answer))], dim=1)
    with torch.no_grad():
        logits = detector.chat.model(**inputs).logits[0, ids.shape[1] - 1 :]
    return logits.double().log_softmax(-1)


@every
def test_p_fake_is_what_the_probabilities_of_the_answers_say(folders: dict[str, Path], family: str) -> None:
    judge = {"question": "Fake or real?", "real": ["Real", "It is true"], "fake": ["Fake", "fake", "Fake"]}
    detector = load(folders[family], judge=judge)

    def probability(image: np.ndarray, text: str) -> float:
        ids = detector.tokenizer(text, add_special_tokens=False)["input_ids"]
        logs = by_hand(detector, image, judge["question"], ids)  # type: ignore[arg-type]
        return float(sum(logs[i, token] for i, token in enumerate(ids)).exp())  # type: ignore[union-attr]

    assert len(detector.tokenizer("It is true")["input_ids"]) > 3
    for image, score in zip(FACES_OF_SIZES, detector.predict(FACES_OF_SIZES), strict=True):
        real = probability(image, "Real") + probability(image, "It is true")
        fake = probability(image, "Fake") + probability(image, "fake")
        assert score == pytest.approx(fake / (fake + real), abs=1e-5)


@every
def test_an_answer_is_the_likeliest_token_each_time(folders: dict[str, Path], family: str) -> None:
    detector = load(folders[family], tokens=4)
    image, question = FACES_OF_SIZES[1], QUESTIONS[2]
    tokens: list[int] = []
    for _ in range(4):
        tokens.append(int(by_hand(detector, image, question, tokens)[-1].argmax()))
    (reply,) = detector.explain([image], [question])
    assert reply.text == detector.tokenizer.decode(tokens, skip_special_tokens=True).strip()
    assert (reply.tokens_out, reply.message) == (4, "cut off after 4 new tokens")
    assert reply.seconds is not None and reply.seconds > 0
    assert reply.tokens_in == len(prompt_ids(detector, image, question))


def prompt_ids(detector: VisionLanguageModel, image: np.ndarray, question: str) -> list[int]:
    return detector.chat.inputs([Asked(image, detector._prompt(question))])["input_ids"][0].tolist()  # type: ignore[no-any-return]


def test_a_template_that_writes_the_first_token_itself_gets_it_once(folders: dict[str, Path]) -> None:
    for family in MAKERS:
        detector = load(folders[family])
        assert prompt_ids(detector, FACES_OF_SIZES[0], "Why?").count(detector.tokenizer.bos_token_id) == 1


@every
def test_an_answer_ends_at_the_models_end_token(folders: dict[str, Path], family: str, tmp_path: Path) -> None:
    whole = load(folders[family])
    image, question = FACES_OF_SIZES[0], QUESTIONS[0]
    with torch.no_grad():
        inputs = whole.chat.inputs([Asked(image, whole._prompt(question))])
        tokens = whole.chat.model.generate(**inputs, max_new_tokens=12)[0, inputs["input_ids"].shape[1] :].tolist()
    at = next(i for i, token in enumerate(tokens) if i >= 3 and token not in tokens[:i])
    folder = shutil.copytree(folders[family], tmp_path / "ends")
    # Its own sampling settings are passed over, the token that ends an answer is not.
    own = {"eos_token_id": [tokens[at]], "do_sample": True, "temperature": 9.0, "repetition_penalty": 5.0}
    (folder / "generation_config.json").write_text(json.dumps(own))
    ending = load(folder)
    assert ending.chat.ends == {tokens[at], ending.tokenizer.eos_token_id}
    replies = ending.explain(FACES_OF_SIZES, [question, *QUESTIONS[1:]])
    assert replies[0].text == ending.tokenizer.decode(tokens[:at], skip_special_tokens=True).strip()
    assert (replies[0].tokens_out, replies[0].message) == (at + 1, "")
    assert any(reply.tokens_out == 12 for reply in replies)


def test_draws_are_each_pairs_own(folders: dict[str, Path]) -> None:
    def texts(order: list[int], seed: int = 0) -> dict[int, str]:
        detector = load(folders["llava"], generation={"temperature": 1.0, "top_p": 0.9, "seed": seed})
        assert detector.seed == seed
        replies = detector.explain([FACES_OF_SIZES[i] for i in order], [QUESTIONS[i] for i in order])
        return {i: reply.text for i, reply in zip(order, replies, strict=True)}

    state = torch.random.get_rng_state()
    first = texts([0, 1, 2])
    assert torch.equal(state, torch.random.get_rng_state())
    assert texts([2, 0]) == {2: first[2], 0: first[0]}
    assert texts([0, 1, 2], seed=1) != first
    assert load(folders["llava"]).seed is None


def test_the_question_stands_in_its_template_and_the_system_prompt_before_it(folders: dict[str, Path]) -> None:
    plain = load(folders["llava"])
    told = load(folders["llava"], question="Well: {question} In one sentence.", system="Be short.")
    asked: list[str] = []
    prompt = told._prompt
    told._prompt = lambda question: asked.append(prompt(question)) or asked[-1]  # type: ignore[method-assign, func-returns-value]
    told.explain(FACES_OF_SIZES[:1], ["Real {or} fake?"])
    assert asked == ["SYSTEM: Be short. USER: <image>\nWell: Real {or} fake? In one sentence. ASSISTANT:"]
    assert plain._prompt("Why?") == "USER: <image>\nWhy? ASSISTANT:"


def test_a_question_that_holds_a_sign_for_a_picture(folders: dict[str, Path]) -> None:
    replies = load(folders["llava"]).explain(FACES_OF_SIZES[:3], ["Why?", "Is <image> real?", "Why?"])
    assert [bool(reply.text) for reply in replies] == [True, False, True]
    assert replies[1].error == "the question holds '<image>', which stands for a picture in this model's prompts"


def test_out_of_memory_the_batch_is_halved(folders: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    detector = load(folders["llava"], batch_size=5)
    expected = detector.explain(FACES_OF_SIZES, QUESTIONS)
    own, sizes = detector.chat.model.generate, []

    def narrow(**inputs: Any) -> Any:
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return own(**inputs)

    detector.chat.model.generate = narrow
    replies = detector.explain(FACES_OF_SIZES, QUESTIONS)
    assert [reply.text for reply in replies] == [reply.text for reply in expected]
    assert sizes == [5, 2, 1, 1, 1, 1, 1]
    assert "out of GPU memory with 5 pairs, continuing with 2" in caplog.text
    assert detector.predict(FACES_OF_SIZES).shape == (5,)
    detector.chat.model.generate = lambda **_: (_ for _ in ()).throw(torch.cuda.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(torch.cuda.OutOfMemoryError):
        detector.explain(FACES_OF_SIZES, QUESTIONS)


def test_settings_of_the_processor(folders: dict[str, Path]) -> None:
    plain, small = load(folders["idefics"]), load(folders["idefics"], processor={"size": {"longest_edge": 32}})
    image = FACES_OF_SIZES[1]
    assert len(prompt_ids(small, image, "Why?")) < len(prompt_ids(plain, image, "Why?"))
    assert small.preprocessing != plain.preprocessing
    with pytest.raises(DetectorError, match="has no setting 'sise'; did you mean 'size'"):
        load(folders["idefics"], processor={"sise": 3})


def test_the_fingerprint_is_of_weights_and_options(folders: dict[str, Path], tmp_path: Path) -> None:
    base = load(folders["llava"]).fingerprint()
    moved = shutil.copytree(folders["llava"], tmp_path / "moved")
    assert load(moved, batch_size=1).fingerprint() == base
    assert load(moved, question="{question} Why?").fingerprint() != base
    tiny_llava(moved, seed=1)
    assert load(moved).fingerprint() != base


def _without(*names: str) -> Callable[[Path], None]:
    def take(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return take


def _weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        tensors = loaded_bytes((folder / "model.safetensors").read_bytes())  # load_file maps what is written over
        change(tensors)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    return rewrite


BIAS = "multi_modal_projector.linear_1.bias"


def _bias(tensors: dict[str, torch.Tensor]) -> str:
    return next(name for name in tensors if name.endswith(BIAS))


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (_without("config.json"), "has no config.json"),
        (_without("processor_config.json"), "has no processor_config.json or preprocessor_config.json"),
        (_without("model.safetensors"), "has no weights"),
        (_without("chat_template.jinja"), "has no chat template"),
        (_without("tokenizer.json", "tokenizer_config.json"), "cannot be loaded"),
        (lambda folder: (folder / "chat_template.jinja").write_text("{{ oops() }}"), "accepts no question with a"),
        (_weights(lambda tensors: tensors.pop(_bias(tensors))), f"tensor '.*{BIAS}' missing"),
        (_weights(lambda tensors: tensors.update(more=torch.ones(2))), "tensor 'more' unexpected"),
        (_weights(lambda tensors: tensors.update({_bias(tensors): torch.ones(3)})), "cannot be loaded|another shape"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"torn"), "cannot be loaded"),
    ],
)
def test_a_folder_that_is_not_whole(
    folders: dict[str, Path], tmp_path: Path, damage: Callable[[Path], None], problem: str
) -> None:
    folder = shutil.copytree(folders["llava"], tmp_path / "damaged")
    damage(folder)
    with pytest.raises(DetectorError, match=problem) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_options_that_do_not_fit(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="there is no folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(DetectorError, match="remove `revision`"):
        load(folders["llava"], revision="main")
    with pytest.raises(DetectorError, match="share the answer 'Real'"):
        load(folders["llava"], judge={"real": ["Real"], "fake": ["Fake", "Real"]})
    with pytest.raises(DetectorError, match="is empty"):
        load(folders["llava"], judge={"fake": [""]})
    with pytest.raises(CardError, match="must contain"):
        load(folders["llava"], question="Why?")


def test_a_hub_that_is_not_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for card in ("smolvlm-256m", "llava-1.5-7b", "qwen2.5-vl-3b"):
        with pytest.raises(DetectorError, match="a hub that this machine reaches") as caught:
            load_detector(card)
        assert "\n" not in str(caught.value)


def test_a_run_and_a_judgement(folders: dict[str, Path], tmp_path: Path, rules: Path) -> None:
    path = tmp_path / "toyvlm.yaml"
    options = {"model": str(folders["llava"]), "generation": {"max_new_tokens": 5}, "batch_size": 32}
    path.write_text(yaml.safe_dump({"name": "toyvlm", "backend": "vlm", "options": options}))
    found = m2f2bench.run(
        detectors=str(path), datasets=FACES, protocols=[str(rules), "frame"], out=tmp_path / "out", device="cpu"
    )
    results = {(one.detector, one.protocol): one for one in found}
    told, judged = results["toyvlm", "toy"], results["toyvlm", "frame"]
    assert told.statuses == {"ok": 72}
    assert judged.coverage == 1.0 and judged.metrics["auc"].value is not None
    assert re.search(r"prep:CLIPImageProcessor(Fast)?-", told.signature) and "prec:fp32" in told.signature


def many_questions(images: list[np.ndarray]) -> tuple[list[np.ndarray], list[str]]:
    return [image for image in images for _ in QUESTIONS], list(QUESTIONS) * len(images)


@every
def test_a_picture_is_encoded_once_for_all_its_questions(folders: dict[str, Path], family: str) -> None:
    # Of one size, so that Idefics cuts them into as many tiles and they are read together.
    images = [RNG.integers(0, 256, (40, 30, 3)).astype(np.uint8) for _ in range(3)]
    detector, whole = (load(folders[family], batch_size=10) for _ in range(2))
    whole.chat.beginnings.usable = False
    expected = whole.explain(*many_questions(images))
    passes: list[int] = []
    ending = {"llava": "vision_tower", "idefics": "vision_model", "qwen": "visual"}[family]
    tower = next(module for name, module in detector.chat.model.named_modules() if name.endswith(ending))
    tower.register_forward_hook(lambda *_: passes.append(1))
    found = detector.explain(*many_questions(images))
    assert detector.chat.beginnings.usable
    assert len(passes) == 3 + 5  # those of the trial: two read once, and three prompts whole
    for one, other in zip(found, expected, strict=True):
        assert (one.text, one.tokens_in, one.tokens_out) == (other.text, other.tokens_in, other.tokens_out)
    assert len({one.text for one in found}) > 12


# Of as many tokens in other shapes, too, which Qwen-VL gives other positions.
SHAPES = [RNG.integers(0, 256, (h, w, 3)).astype(np.uint8) for h, w in ((28, 168), (56, 84), (168, 28), (64, 64))]


@pytest.mark.parametrize("family", ["idefics", "qwen"])
def test_pictures_of_several_lengths_are_in_groups(folders: dict[str, Path], family: str) -> None:
    detector, whole = (load(folders[family], batch_size=20) for _ in range(2))
    whole.chat.beginnings.usable = False
    found, expected = (one.explain(*many_questions(SHAPES)) for one in (detector, whole))
    assert detector.chat.beginnings.usable
    for one, other in zip(found, expected, strict=True):
        assert (one.text, one.tokens_in, one.tokens_out) == (other.text, other.tokens_in, other.tokens_out)
    assert len({one.tokens_in for one in found[::5]}) > 1


def test_what_a_model_keeps_of_the_last_picture_beside_its_cache_is_found_out(folders: dict[str, Path]) -> None:
    detector, whole = (load(folders["qwen"], batch_size=20) for _ in range(2))
    whole.chat.beginnings.usable = False
    detector.chat.beginnings.keeping = []  # as if it were something that nobody knows of
    found, expected = (one.explain(*many_questions(SHAPES)) for one in (detector, whole))
    assert detector.chat.beginnings.usable is False
    assert [one.text for one in found] == [one.text for one in expected]


def test_a_model_that_goes_on_otherwise_reads_prompts_whole(folders: dict[str, Path]) -> None:
    detector, changed = (load(folders["llava"], batch_size=10) for _ in range(2))
    begun = changed.chat.beginnings._begun

    def otherwise(*args: Any) -> Any:
        ids, layers = begun(*args)
        for layer in layers:
            layer.keys = layer.keys.roll(1, 2)  # as if its positions were others
        return ids, layers

    changed.chat.beginnings._begun = otherwise
    found, expected = (one.explain(*many_questions(FACES_OF_SIZES[:2])) for one in (changed, detector))
    assert [one.text for one in found] == [one.text for one in expected]
    assert changed.chat.beginnings.usable is False


def test_questions_about_a_picture_stay_in_one_batch(folders: dict[str, Path]) -> None:
    chat = load(folders["llava"], batch_size=4).chat
    asked = [Asked(image, "") for image, count in zip(FACES_OF_SIZES, (3, 3, 6, 1), strict=False) for _ in range(count)]
    sizes = []
    while asked:
        sizes.append(len(chat._batch(asked)))
        asked = asked[sizes[-1] :]
    assert sizes == [3, 3, 4, 3]
