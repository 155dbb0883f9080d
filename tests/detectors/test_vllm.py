"""vLLM as the engine of M2F2-Det's LLM and of vision-language models: the same answers as of transformers.

With the real vLLM where it is installed (it asks for a torch of its own), else with a stand-in that computes what it
would by transformers.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_vllm
import yaml
from one_line import error_of
from toy_explainer import stages
from toy_llm import tiny_llm
from toy_questions import FACES
from toy_vlm import tiny_idefics

import m2f2bench
from m2f2bench.cards.models import DetectorCard
from m2f2bench.core.records import Reply
from m2f2bench.detectors.base import text_fingerprint
from m2f2bench.detectors.llm.source import LanguageSource
from m2f2bench.detectors.llm.vllm import place_of
from m2f2bench.detectors.m2f2det.explainer import M2F2Explainer
from m2f2bench.detectors.vlm.detector import VisionLanguageModel

REAL = importlib.util.find_spec("vllm") is not None
only_toy = pytest.mark.skipif(REAL, reason="is about the stand-in")
QUESTIONS = ("Does the image look real/fake?", "Does the mouth look real/fake?", "Is it?", "What of the eyes, then?")
RNG = np.random.default_rng(3)
IMAGES = [RNG.integers(0, 255, size=(40, 40, 3), dtype=np.uint8) for _ in range(3)]
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _package(monkeypatch: pytest.MonkeyPatch) -> None:
    if not REAL:
        monkeypatch.setitem(sys.modules, "vllm", toy_vllm)
        monkeypatch.setitem(sys.modules, "vllm.exceptions", toy_vllm.exceptions)
        monkeypatch.setattr(toy_vllm.LLM, "made", [])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("vllm")
    tiny_llm(folder / "llm", hidden_size=128)  # 32 a head, the least that vLLM computes on a CPU
    found = stages(folder, FACES)
    m2f2bench.merge(found["tune"], folder / "merged")
    return found | {"merged": folder / "merged"}


def explainer(folder: Path, **generation: Any) -> M2F2Explainer:
    """The one in a folder, with other settings of generation."""
    card = yaml.safe_load((folder / "card.yaml").read_text())
    card["options"]["explainer"]["generation"] = {"max_new_tokens": 12, "batch_size": 16, **generation}
    card["name"] = "other"
    (folder / "other.yaml").write_text(yaml.safe_dump(card))
    found = m2f2bench.load_detector(str(folder / "other.yaml"), device="cpu")
    assert isinstance(found, M2F2Explainer)
    return found


def asked() -> tuple[list[Any], list[str]]:
    return [image for image in IMAGES for _ in QUESTIONS], list(QUESTIONS) * len(IMAGES)


def test_answers_are_those_of_our_own_generation(trained: dict[str, Path]) -> None:
    own, other = (explainer(trained["merged"], **how) for how in ({}, {"engine": "vllm"}))
    found, expected = other.explain(*asked()), own.explain(*asked())
    assert found == expected
    assert len({reply.text for reply in found}) > 6
    assert other.precision == "llm-fp32-vllm"
    assert own.precision == "llm-fp32"
    assert own.fingerprint() != other.fingerprint()
    if not REAL:
        given = toy_vllm.LLM.made[0]
        assert given["max_num_seqs"] == 16
        assert given["max_model_len"] == 512


def test_stops_and_ends_are_the_same(trained: dict[str, Path]) -> None:
    ordinary = explainer(trained["merged"]).explain(*asked())
    stop = next(reply.text[2:4] for reply in ordinary if len(reply.text.strip()) > 5)
    how = {"stop": [stop], "max_new_tokens": 24}
    found, expected = (
        explainer(trained["merged"], **how, **more).explain(*asked()) for more in ({"engine": "vllm"}, {})
    )
    assert found == expected
    assert any(not reply.message for reply in found)  # it ended by itself
    assert any(reply.message for reply in found)


def test_a_prompt_that_does_not_fit_says_so(trained: dict[str, Path]) -> None:
    one = explainer(trained["merged"], engine="vllm", vllm={"max_model_len": 128})
    long, short = one.explain(IMAGES[:2], ["Is it? " * 60, "Is it?"])
    assert "in the LLM's context of 128" in long.error
    assert short == explainer(trained["merged"]).explain(IMAGES[1:2], ["Is it?"])[0]


def test_drawn_answers_repeat(trained: dict[str, Path]) -> None:
    how = {"engine": "vllm", "temperature": 0.8, "top_p": 0.9}
    first, again = (explainer(trained["merged"], **how).explain(*asked()) for _ in range(2))
    assert first == again
    assert first != explainer(trained["merged"], **how, seed=1).explain(*asked())


def test_what_vllm_does_not_read_is_said_before_anything_is_loaded(
    trained: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = error_of(lambda: explainer(trained["tune"], engine="vllm").explain(*asked()))
    assert "run `m2f2bench merge" in found
    monkeypatch.setitem(sys.modules, "vllm", None)
    found = error_of(lambda: explainer(trained["merged"], engine="vllm").explain(*asked()))
    assert "pip install 'm2f2bench[vllm]'" in found
    found = error_of(lambda: explainer(trained["merged"], vllm={"max_model_len": 128}))
    assert "generation.vllm is for the engine vllm" in found


def test_the_llm_must_stand_in_a_folder_as_it_is(tmp_path: Path) -> None:
    for source, what in (
        ({"name": "offline:smollm2-135m-instruct"}, "a .gguf file"),
        ({"name": str(tiny_llm(tmp_path / "llm")), "quantise": "4bit"}, "weights that `quantise` makes"),
    ):
        assert what in error_of(lambda given=source: place_of(LanguageSource(**given), tmp_path))  # type: ignore[misc]


def test_a_failing_engine_is_one_line(trained: dict[str, Path]) -> None:
    one = explainer(trained["merged"], engine="vllm", vllm={"max_model_len": 512, "kv_cache_dtype": "none such"})
    if not REAL:
        one = explainer(trained["merged"], engine="vllm", vllm={"max_model_len": 512, "fails": True})
    assert "vLLM cannot load it" in error_of(lambda: one.explain(*asked()))


@only_toy
def test_embeddings_that_are_read_otherwise_than_words_are_refused(
    trained: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toy_vllm.LLM, "scale", 11.3)  # Gemma multiplies the embeddings of its words by a number
    one = explainer(trained["merged"], engine="vllm")
    assert "reads embeddings of words otherwise" in error_of(lambda: one.explain(*asked()))


def test_another_precision_reaches_the_engine(trained: dict[str, Path]) -> None:
    one = explainer(trained["merged"], engine="vllm")
    one.compute_in("bf16")
    assert "llm-bf16-vllm" in one.precision
    assert all(reply.tokens_out and not reply.error for reply in one.explain(*asked()))
    if not REAL:
        assert toy_vllm.LLM.made[0]["dtype"] == "bfloat16"


@pytest.fixture(scope="module")
def sees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_idefics(tmp_path_factory.mktemp("vlm") / "model", hidden_size=128)


def vlm(folder: Path, batch_size: int = 8, **generation: Any) -> VisionLanguageModel:
    told = {"max_new_tokens": 12, **generation}
    options = {"model": str(folder), "generation": told, "batch_size": batch_size}
    found = m2f2bench.load_detector(DetectorCard(name="toy", backend="vlm", options=options), device="cpu")
    assert isinstance(found, VisionLanguageModel)
    return found


def without_seconds(replies: list[Reply]) -> list[Reply]:
    assert all(reply.seconds is not None for reply in replies)
    return [replace(reply, seconds=None) for reply in replies]


def test_a_model_that_sees_answers_and_judges_as_by_transformers(sees: Path) -> None:
    engine = {"engine": "vllm", "vllm": {"max_model_len": 1024}}
    own, other = vlm(sees), vlm(sees, **engine)
    found, expected = (without_seconds(one.explain(*asked())) for one in (other, own))
    assert found == expected
    assert len({reply.text for reply in found}) > 6
    np.testing.assert_allclose(other.predict(IMAGES), own.predict(IMAGES), atol=1e-4)
    assert (own.precision, other.precision) == ("fp32", "fp32-vllm")
    assert own.fingerprint() != other.fingerprint()
    # A prompt that does not fit costs the others nothing.
    images, questions = [IMAGES[0]] * 3, [QUESTIONS[0], "Is it? " * 400, QUESTIONS[1]]
    first, long, last = without_seconds(other.explain(images, questions))
    assert [first, last] == expected[:2]
    assert long.error.startswith("vLLM refuses the prompt: ")


def test_a_model_that_sees_draws_answers_that_repeat(sees: Path) -> None:
    how = {"engine": "vllm", "temperature": 0.9}
    first, again = (without_seconds(vlm(sees, **how).explain(*asked())) for _ in range(2))
    assert first == again
    assert first != without_seconds(vlm(sees, **how, seed=1).explain(*asked()))


def test_a_card_for_vllm_without_it_is_one_line(sees: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    assert "pip install 'm2f2bench[vllm]'" in error_of(lambda: vlm(sees, engine="vllm"))


def test_how_the_engine_uses_the_machine_is_no_part_of_the_identity(trained: dict[str, Path]) -> None:
    vllm = {"max_model_len": 256}
    plain, narrow, shorter = (
        explainer(trained["merged"], engine="vllm", vllm=one, batch_size=size).fingerprint()
        for one, size in ((vllm, 16), ({**vllm, "gpu_memory_utilization": 0.5}, 8), ({"max_model_len": 128}, 16))
    )
    assert plain == narrow != shorter


def test_identities_of_before_stay(sees: Path) -> None:
    """The fingerprint is over the options as they were before there were engines."""
    plain = vlm(sees)
    content = plain.options.model_dump(mode="json", exclude={"batch_size", "model", "dtype", "revision"})
    assert set(content["generation"]) == {"max_new_tokens", "temperature", "top_p", "seed", "engine", "vllm"}
    for name in ("engine", "vllm"):
        del content["generation"][name]
    assert plain.fingerprint() == text_fingerprint(plain.opened.fingerprint, json.dumps(content, sort_keys=True))
