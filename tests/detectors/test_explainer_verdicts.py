"""Verdicts of M2F2-Det's explainer: that which an answer begins with, the detector's in words, and who sets it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_explainer import card_file, detector_folder, stages
from toy_llm import tiny_tokenizer
from toy_questions import FACES, RULES, Faces

import m2f2bench
from m2f2bench.cards.settings import StageSettings
from m2f2bench.core.errors import CardError, DataError, DetectorError
from m2f2bench.core.records import FAKE, REAL, Example, Frame, Locator
from m2f2bench.detectors.llm.generate import Generated
from m2f2bench.detectors.llm.prompt import DEEPFAKE, IMAGE, Prompter, PromptSettings, TokenizedExample, pad_right
from m2f2bench.detectors.llm.verdict import BEGINNINGS, in_words, verdict_of, with_verdict, without_verdict
from m2f2bench.detectors.m2f2det.explainer import M2F2Explainer
from m2f2bench.detectors.m2f2det.options import ExplainerOptions
from m2f2bench.detectors.m2f2det.projectors import DetectorTokens, Projectors
from m2f2bench.detectors.m2f2det.stages import ExplainerModule
from m2f2bench.runs.train import train
from m2f2bench.runs.training_job import balanced

TOKENIZER = tiny_tokenizer()
STYLES = ("chat", "vicuna_v1", "released")
PICTURES = [np.full((16, 16, 3), value, np.uint8) for value in (30, 90, 200)]
SAID = "A detector says: fake, with a probability of 87%."


def prompter(style: Any) -> Prompter:
    return Prompter(TOKENIZER, PromptSettings(style=style), "LLM 'toy'")


def test_probabilities_in_words() -> None:
    assert in_words(0.874) == SAID
    assert in_words(0.5) == "A detector says: fake, with a probability of 50%."
    assert in_words(0.126) == "A detector says: real, with a probability of 87%."
    assert [verdict_of(p) for p in (0.0, 0.499, 0.5, 1.0)] == [REAL, REAL, FAKE, FAKE]


@given(st.text().map(str.strip).filter(bool), st.sampled_from([REAL, FAKE]))
def test_a_verdict_put_before_an_answer_is_taken_off_again(answer: str, label: int) -> None:
    assert without_verdict(with_verdict(answer, label)) == answer


@pytest.mark.parametrize("text", ["Fake.", " Real.", "", "Really? Fake.", "Fake news.", "fake. It is."])
def test_what_is_no_verdict_before_an_answer_stays(text: str) -> None:
    assert without_verdict(text) == text


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("said", ["", SAID])
@pytest.mark.parametrize("question", ["Do the eyes look real?", "First <deepfake>, then <image>?"])
def test_a_given_beginning_is_that_of_the_examples(style: str, said: str, question: str) -> None:
    """Token by token: what is judged goes on exactly where the training's answers do."""
    one = prompter(style)
    for label, beginning in BEGINNINGS.items():
        prompt, answer = one.example(question, with_verdict("The eyes do.", label), said)
        begun = one.question(question, said, beginning)
        assert prompt == one.question(question, said)
        assert (*prompt, *answer)[: len(begun)] == begun and len(begun) > len(prompt)
    there = TOKENIZER.decode([one for one in prompt if one >= 0])
    assert (SAID in there) == bool(said)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("verdicts")
    return stages(folder, FACES, verdict_first=True, verdict_by="detector", verdict_words=True)


def explainer(place: Path, **changed: Any) -> M2F2Explainer:
    found = m2f2bench.load_detector(str(place), device="cpu")
    assert isinstance(found, M2F2Explainer)
    found.explainer = found.explainer.model_copy(update=changed)
    found.verdict_by = found.explainer.verdict_by
    return found


def asked(one: M2F2Explainer, written: str) -> tuple[list[str], list[str]]:
    """The prompts of a question about each picture, as text, and the answers if the LLM writes `written`."""
    generator, asking = one.generator()
    prompts: list[str] = []

    def answer(requests: Any, slots: Any) -> list[Generated]:
        for request in requests:
            ids = [element for element in request.prompt if element >= 0]
            prompts.append(asking.tokenizer.decode(ids))
        return [Generated(written, 1, 1) for _ in requests]

    generator.answer = answer  # type: ignore[method-assign]
    replies = one.explain(PICTURES, ["Is it real?"] * len(PICTURES))
    return prompts, [reply.text for reply in replies]


@pytest.mark.slow
def test_the_detector_sets_the_verdict(trained: dict[str, Path]) -> None:
    one = explainer(trained["tune"])
    scores = one.predict(PICTURES)
    prompts, texts = asked(one, "Real. It is.")
    for prompt, score in zip(prompts, scores, strict=True):
        assert prompt.rstrip().endswith("Fake." if score >= 0.5 else "Real.") and in_words(score) in prompt
    assert texts == ["Real. It is."] * 3  # the LLM's own words, whatever they are


def test_the_llm_writes_the_verdict_and_it_is_no_part_of_the_answer(trained: dict[str, Path]) -> None:
    prompts, texts = asked(explainer(trained["tune"], verdict_by="llm", verdict_words=False), "Real. It is.")
    assert texts == ["It is."] * 3
    assert not any("Fake." in prompt or "Real." in prompt or "detector says" in prompt for prompt in prompts)


@pytest.mark.slow
def test_who_sets_the_verdict_is_in_the_signature(trained: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text(RULES)
    plain = stages(tmp_path / "plain", FACES, name="plain")
    results = m2f2bench.run(
        detectors=[str(trained["tune"]), str(plain["tune"])],
        datasets=FACES,
        protocols=str(tmp_path / "toy.yaml"),
        out=tmp_path / "out",
        device="cpu",
    )
    own = [result for result in results if not result.detector.startswith("control-")]
    assert [("|by:detector|" in result.signature) for result in own] == [True, False]
    assert own[0].measured["weights"] != own[1].measured["weights"]
    for place in sorted((tmp_path / "out").glob("*/result.json")):
        assert m2f2bench.validate_result(place) == []
    detection = m2f2bench.run(detectors=str(trained["tune"]), datasets=FACES, out=tmp_path / "frame", device="cpu")
    assert "|by:" not in detection[0].signature  # P(fake) has nothing to do with it
    again = m2f2bench.score(tmp_path / "out" / "toy--toy_questions.Faces--toy", dataset=FACES)
    assert again.signature == own[0].signature


def test_old_cards_keep_their_identity() -> None:
    plain = ExplainerOptions.model_validate({"llm": {"name": "x"}})
    assert "verdict" not in plain.identity()
    assert '"verdict_words":true' in plain.model_copy(update={"verdict_words": True}).identity()
    content = StageSettings().content()
    assert not {"classes", "token_dropout", "visual_dropout"} & set(content)
    assert StageSettings(classes="balanced").content()["classes"] == "balanced"


def test_what_does_not_fit_is_one_line(trained: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"verdict_by `detector` sets the verdict .* set verdict_first"):
        train(str(card_file(tmp_path / "a", verdict_by="detector")), FACES, out=tmp_path / "out")
    card = card_file(tmp_path / "b", verdict_first=True)
    with pytest.raises(DetectorError, match="was aligned with verdict_words True, but 'toy' has False"):
        train(str(card), FACES, stage="tune", start=trained["align"], out=tmp_path / "tune", device="cpu")
    start = detector_folder(tmp_path / "start")
    one_class = card_file(tmp_path / "c", stages={"align": {"classes": "balanced"}})
    with pytest.raises(DataError, match="questions about images of one class alone") as error:
        train(str(one_class), f"{__file__}:Fakes", stage="align", start=start, out=tmp_path / "one", device="cpu")
    assert "\n" not in str(error.value)


class Fakes(Faces):
    """Questions about fakes alone."""

    name = "toy-fakes"

    def questions(self, split: str, kind: str = "blind") -> Any:
        return [one for one in super().questions(split, kind) if one.label]


def examples(reals: int, fakes: int) -> list[Example]:
    kinds = [REAL] * reals + [FAKE] * fakes
    return [
        Example(Frame(f"f{i}", f"f{i}", k, "m", "train", (f"p{i}",), Locator("x")), f"q{i}", f"a{i}")
        for i, k in enumerate(kinds)
    ]


@given(st.integers(1, 30), st.integers(1, 30))
def test_balanced_examples(reals: int, fakes: int) -> None:
    """As many of both; each is there, and of the rarer ones none much oftener than another."""
    found = balanced(examples(reals, fakes), "toy")
    counts = [found.count(one) for one in examples(reals, fakes)]
    labels = [one.frame.label for one in found]
    assert labels.count(REAL) == labels.count(FAKE) == max(reals, fakes)
    for own in (counts[:reals], counts[reals:]):
        assert min(own) >= 1 and max(own) - min(own) <= 1


def test_dropped_tokens_are_cells_and_never_the_verdict() -> None:
    """The LLM here returns its inputs, so that one sees what it would read."""
    seen: list[torch.Tensor] = []

    class Reader(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(9, 6)
            self.head = torch.nn.Linear(6, 9)

        def get_input_embeddings(self) -> torch.nn.Embedding:
            return self.table

        def get_output_embeddings(self) -> None:
            return None

        def forward(self, inputs_embeds: torch.Tensor, use_cache: bool) -> Any:
            seen.append(inputs_embeds.detach())
            return type("Out", (), {"logits": self.head(inputs_embeds)})

    torch.manual_seed(0)
    texts = [TokenizedExample((IMAGE, DEEPFAKE, 3), (4, 5))] * 40
    tokens = DetectorTokens(torch.rand(40, 2), torch.randn(40, 2, 5), torch.randn(40, 9, 7), torch.ones(40, 0, 1))
    batch = {**pad_right(texts, 2, 10), **tokens._asdict()}
    module = ExplainerModule(Reader(), Projectors(5, 7, 6), token_dropout=0.3)
    module.eval()(**batch)
    module.train()
    torch.manual_seed(1)
    module(**batch)
    torch.manual_seed(1)
    module(**batch)
    whole, dropped, again = seen
    assert torch.equal(dropped, again)
    gone = (dropped == 0).all(2)
    assert not (whole == 0).all(2).any() and torch.equal(dropped[~gone], whole[~gone])
    assert not gone[:, :2].any() and not gone[:, 11:].any()
    assert 0.2 < float(gone[:, 2:11].float().mean()) < 0.4
    module = ExplainerModule(module.llm, module.projectors, visual_dropout=0.4)
    for mode in (False, True):
        module.train(mode)
        module(**batch)
    blind, gone = (seen[-1] == 0).all(2), (seen[-1] != whole)
    assert torch.equal(seen[-2], whole) and not gone[:, 2:].any() and torch.equal(blind[:, 0], blind[:, 1])
    assert 0.2 < float(blind[:, 0].float().mean()) < 0.6
