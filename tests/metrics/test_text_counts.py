"""BLEU, ROUGE-L and CIDEr equal pycocoevalcap's, on any texts, any group and any resample."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from text_answers import BY_HAND, PeersTokenizer, keyed, published
from text_rules import text_rules

import m2f2bench
from m2f2bench.cards.protocols import Bootstrap
from m2f2bench.core.errors import ScoreError
from m2f2bench.metrics.text import cider
from m2f2bench.metrics.text.items import make_items
from m2f2bench.metrics.text.metrics import text_statistics
from m2f2bench.metrics.text.overlap import common_words
from m2f2bench.stats.statistic import Statistic, estimate

pytest.importorskip("pycocoevalcap.bleu.bleu")
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

COUNTED = ("bleu1", "bleu2", "bleu3", "bleu4", "bleu", "rouge_l", "cider")
RAW = text_rules("none", "recomputed")
EXACT = {"rtol": 0.0, "atol": 1e-9}


def theirs(texts: list[str], references: list[tuple[str, ...]]) -> dict[str, float]:
    """pycocoevalcap's values of a list of answers; its CIDEr of 0 is none where it can be nothing else."""
    gts, res = keyed(texts, references)
    bleu = Bleu(4).compute_score(gts, res, verbose=0)[0]
    words = [frozenset(gram for one in own for gram in grams(one)) for own in references]
    defined = any(own != words[0] for own in words)
    return {
        **{f"bleu{k + 1}": value for k, value in enumerate(bleu)},
        "bleu": float(np.mean(bleu)),
        "rouge_l": Rouge().compute_score(gts, res)[0],
        "cider": Cider().compute_score(gts, res)[0] if defined else np.nan,
    }


def grams(text: str) -> set[tuple[str, ...]]:
    """A text's n-grams of up to four words."""
    found = text.split()
    return {tuple(found[i : i + n]) for n in range(1, 5) for i in range(len(found) - n + 1)}


def value(statistic: Statistic, weights: np.ndarray, kept: np.ndarray | None = None) -> float:
    """A statistic with each item a cluster of its own, weighted."""
    n = len(weights)
    kept = np.ones(n, dtype=bool) if kept is None else kept
    return float(statistic.over(kept, np.arange(n), n)(weights.astype(float)[:, None])[0])


def agree(found: dict[str, Statistic], weights: np.ndarray, expected: dict[str, float]) -> None:
    ours = [value(found[name], weights) for name in COUNTED]
    np.testing.assert_allclose(ours, [expected[name] for name in COUNTED], **EXACT)


text = st.lists(st.sampled_from(["the", "eyes", "nose", "is", "fake", "real"]), max_size=7).map(" ".join)
item = st.tuples(text, st.lists(text, min_size=1, max_size=3).map(tuple), st.integers(0, 3))


@pytest.mark.slow
@given(st.lists(item, min_size=1, max_size=7).filter(lambda rows: any(row[2] for row in rows)))
@settings(max_examples=150, deadline=None)
def test_a_weight_is_that_many_repetitions(rows: list[tuple[str, tuple[str, ...], int]]) -> None:
    texts, references, weights = map(list, zip(*rows, strict=True))
    found = text_statistics(COUNTED, texts, references, RAW)
    assert not found.missing
    repeated = [row for row in rows for _ in range(row[2])]
    expected = theirs([row[0] for row in repeated], [row[1] for row in repeated])
    agree(found.statistics, np.array(weights), expected)


def test_no_weight_at_all_is_no_value() -> None:
    found = text_statistics(COUNTED, ["a b", "c"], [("a",), ("c",)], RAW)
    assert all(np.isnan(value(found.statistics[name], np.zeros(2))) for name in COUNTED)


@pytest.mark.slow
@pytest.mark.parametrize("tokenizer", ["none", "ptb"])
def test_published_answers(real_data: Path, tokenizer: str, request: pytest.FixtureRequest) -> None:
    if tokenizer == "ptb":
        request.getfixturevalue("java")
    answers = published(real_data)
    texts, references = answers.texts, answers.references
    found = text_statistics(COUNTED, texts, references, text_rules(tokenizer, "recomputed"))
    if tokenizer == "ptb":
        tokens = PeersTokenizer()
        gts, res = keyed(texts, references)
        gts, res = (tokens.tokenize({k: [{"caption": x} for x in v] for k, v in one.items()}) for one in (gts, res))
        texts, references = [res[i][0] for i in res], [tuple(gts[i]) for i in gts]
    agree(found.statistics, np.ones(len(texts)), theirs(texts, references))
    rng = np.random.default_rng(3)
    drawn = rng.integers(0, len(texts), len(texts))
    again = theirs([texts[i] for i in drawn], [references[i] for i in drawn])
    agree(found.statistics, np.bincount(drawn, minlength=len(texts)), again)
    gts, res = keyed(texts, references)
    np.testing.assert_allclose(found.items["bleu"], np.mean(Bleu(4).compute_score(gts, res, verbose=0)[1], 0), **EXACT)
    np.testing.assert_allclose(found.items["rouge_l"], Rouge().compute_score(gts, res)[1], **EXACT)
    np.testing.assert_allclose(found.items["cider"], Cider().compute_score(gts, res)[1], **EXACT)


@pytest.mark.usefixtures("java")
def test_trap_16_bleu_is_a_mean_of_four_and_depends_on_the_tokenizer(real_data: Path) -> None:
    answers = published(real_data)
    values = {}
    for tokenizer in ("none", "ptb"):
        found = text_statistics(COUNTED, answers.texts, answers.references, text_rules(tokenizer)).statistics
        values[tokenizer] = [round(value(found[name], np.ones(1070)), 5) for name in COUNTED[:5]]
    assert values["none"] == [0.53736, 0.47823, 0.43613, 0.40003, 0.46294]
    assert values["ptb"] == [0.56139, 0.50042, 0.45685, 0.42019, 0.48472]


def test_trap_17_cider_of_real_and_fake_pooled(real_data: Path) -> None:
    answers = published(real_data)
    groups = {"all": answers.label >= 0, "real": answers.label == 0, "fake": answers.label == 1}
    values = {}
    for frequencies in ("recomputed", "fixed"):
        one = text_statistics(["cider"], answers.texts, answers.references, text_rules("none", frequencies))
        statistic = one.statistics["cider"]
        values[frequencies] = {k: round(value(statistic, np.ones(1070), kept), 3) for k, kept in groups.items()}
    # The pooled number is neither group's, and a group's depends on whose documents are counted.
    assert values["recomputed"] == {"all": 3.385, "real": 4.502, "fake": 1.655}
    assert values["fixed"] == {"all": 3.385, "real": 4.685, "fake": 1.750}


def test_cider_by_hand() -> None:
    """Two items, one word alike: idf log 2, one order of four, no difference in length: 10 · (1 / √2) / 4."""
    found = text_statistics(["cider"], ["a b", "z"], [("a c",), ("q",)], RAW)
    assert found.items["cider"] == pytest.approx([10 * 0.5 / 4, 0.0], abs=1e-12)
    alone = value(found.statistics["cider"], np.array([1, 0]))
    assert np.isnan(alone), "log 1: every word is in every document, and every answer would get 0"


ALIKE = {
    "one question": (["the nose is fake"], [("the nose is fake",)]),
    "one question asked twice": (["a b", "c"], [("a b", "c d"), ("c d", "a b")]),
    "no words": (["a", "b"], [("",), (" ",)]),
}


@pytest.mark.parametrize("frequencies", ["fixed", "recomputed"])
@pytest.mark.parametrize(("texts", "references"), ALIKE.values(), ids=ALIKE)
def test_a12_cider_of_one_item(texts: list[str], references: list[tuple[str, ...]], frequencies: str) -> None:
    """idf = log N - log N = 0 for every word: not defined, with the reason and the counts, whatever the answers."""
    found = text_statistics(["cider", "bleu1"], texts, references, text_rules("none", frequencies))
    n = len(texts)
    everything, codes = {"all": np.ones(n, dtype=bool)}, np.arange(n)
    scores = estimate(found.statistics, everything, codes % 2, codes, n, Bootstrap(resamples=20)).scores["all"]
    assert scores["cider"].value is None and scores["cider"].ci is None
    assert str(scores["cider"].reason).startswith("CIDEr is not defined where all references have the same words")
    assert (scores["cider"].n_real, scores["cider"].n_fake) == ((n + 1) // 2, n // 2)
    assert scores["bleu1"].value is not None and np.isnan(found.items["cider"]).all()


def test_a12_groups_and_resamples_of_one_item() -> None:
    """Recomputed, a group of one has no CIDEr and a resample of one item's copies adds none; fixed, both have."""
    texts, references = ["a b", "c d", "e f"], [("a b",), ("c d",), ("e f",)]
    groups = {"all": np.ones(3, dtype=bool), "one": np.arange(3) == 1}
    codes = np.arange(3)
    for frequencies in ("fixed", "recomputed"):
        one = text_statistics(["cider"], texts, references, text_rules("none", frequencies)).statistics
        found = estimate(one, groups, codes % 2, codes, 3, Bootstrap(resamples=200))
        assert found.scores["all"]["cider"].value == pytest.approx(5.0), "two of four orders"
        drawn = found.drawn["all"]["cider"]
        if frequencies == "fixed":
            assert found.scores["one"]["cider"].value == pytest.approx(5.0) and not np.isnan(drawn).any()
        else:
            assert found.scores["one"]["cider"].value is None
            assert 0 < np.isnan(drawn).sum() < 60 and set(np.round(drawn[~np.isnan(drawn)], 9)) == {5.0}


def test_a12_the_case(tmp_path: Path) -> None:
    """Case 18: one question, answered with its reference; and two questions, where it is defined."""
    (tmp_path / "txt.yaml").write_text(
        "name: txt\ntask: explanation\nquestions: [blind]\ntokenizer: none\n"
        "metrics: [bleu1, rouge_l, cider, verdict_accuracy]\n"
    )
    (tmp_path / "one.py").write_text(ONE)
    for name, value in (("One", None), ("Two", 10.0)):
        path = tmp_path / f"{name}.jsonl"
        texts = ["the eyes look real because both pupils are round", "the mouth looks fake because the teeth blur"]
        lines = [json.dumps({"id": f"q{k}", "text": text}) for k, text in enumerate(texts)]
        path.write_text("\n".join(lines[: 1 if name == "One" else 2]) + "\n")
        found = m2f2bench.score(path, protocol=str(tmp_path / "txt.yaml"), dataset=f"{tmp_path}/one.py:{name}")
        assert found.metrics["cider"].value == (None if value is None else pytest.approx(value))
        assert found.metrics["rouge_l"].value == 1.0
        reason = str(found.metrics["cider"].reason)
        assert ("every idf = log N - log df is 0" in reason) == (name == "One")


ONE = """
import numpy as np
from m2f2bench.datasets.base import Adapter
from m2f2bench.core.records import Frame, Locator, Question

TEXTS = ["the eyes look real because both pupils are round", "the mouth looks fake because the teeth blur"]

class One(Adapter):
    n = 1
    def frames(self, split):
        return [Frame(f"i{k}", f"i{k}", k, ("original", "x")[k], split, (), Locator("none")) for k in range(self.n)]
    def read(self, frame):
        return np.full((32, 32, 3), 90, np.uint8)
    def questions(self, split, kind="blind"):
        return [Question(f"q{k}", f"i{k}", "Why?", (TEXTS[k],), "eyes", k) for k in range(self.n)]

class Two(One):
    n = 2
"""


def test_bleu_and_rouge_by_hand() -> None:
    found = text_statistics(["bleu1", "bleu2", "rouge_l"], ["a b x d"], [("a b c d e",)], RAW)
    short = np.exp(1 - 5 / 4)
    assert value(found.statistics["bleu1"], np.ones(1)) == pytest.approx(short * 3 / 4, abs=1e-9)
    assert value(found.statistics["bleu2"], np.ones(1)) == pytest.approx(short * np.sqrt(3 / 4 * 1 / 3), abs=1e-9)
    precision, recall, beta2 = 3 / 4, 3 / 5, 1.2**2
    assert found.items["rouge_l"][0] == pytest.approx((1 + beta2) * precision * recall / (recall + beta2 * precision))


def test_in_pieces_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    table = cider.make_table(make_items([text for text, _ in BY_HAND], [own for _, own in BY_HAND]))
    weights = np.random.default_rng(1).integers(0, 3, (4, 50)).astype(float)
    weights[:, 7] = 0.0
    kept, cluster = np.arange(len(BY_HAND)) != 3, np.arange(len(BY_HAND)) % 4
    whole = cider.RecomputedCider(table).over(kept, cluster, 4)(weights)
    monkeypatch.setattr(cider, "MEMORY", 1)
    pieces = cider.RecomputedCider(table).over(kept, cluster, 4)(weights)
    np.testing.assert_allclose(pieces, whole, rtol=1e-12)
    assert np.isnan(whole[7]) and np.isfinite(whole).sum() >= 45


def test_items_without_references_are_left_out_of_everything() -> None:
    texts, references = ["a b", "a b", "c d"], [("a b",), (), ("c e",)]
    with_, without = (
        text_statistics(COUNTED, t, r, RAW) for t, r in ((texts, references), (["a b", "c d"], [("a b",), ("c e",)]))
    )
    for name in COUNTED:
        assert with_.statistics[name].has.tolist() == [True, False, True]
        assert value(with_.statistics[name], np.ones(3)) == value(without.statistics[name], np.ones(2))
    for name, values in with_.items.items():
        assert np.isnan(values).tolist() == [False, True, False], name
        np.testing.assert_array_equal(values[[0, 2]], without.items[name])


def test_nothing_to_score() -> None:
    for texts, references in (([], []), (["a", "b"], [(), ()])):
        for frequencies in ("fixed", "recomputed"):
            found = text_statistics(COUNTED, texts, references, text_rules("ptb", frequencies))
            assert not found.missing
            assert not any(statistic.has.any() for statistic in found.statistics.values())
            n = len(texts)
            groups = {"all": np.ones(n, dtype=bool)}
            codes = np.zeros(n, dtype=np.int64)
            scores = estimate(found.statistics, groups, codes, codes, 1, Bootstrap(resamples=10)).scores["all"]
            assert {score.value for score in scores.values()} == {None}


def test_empty_answers_score_nothing() -> None:
    found = text_statistics(COUNTED, ["", "  ", "\n"], [("the nose", "a  b"), ("the nose",), ("x",)], RAW)
    assert all(value(found.statistics[name], np.ones(3)) == 0.0 for name in COUNTED)


def test_intervals_of_groups() -> None:
    rng = np.random.default_rng(5)
    words = np.array(["the", "eyes", "nose", "mouth", "is", "looks", "fake", "real", "smooth", "blurred"])
    texts = [" ".join(rng.choice(words, 6)) for _ in range(60)]
    references = [(" ".join(rng.choice(words, 6)), " ".join(rng.choice(words, 5))) for _ in range(60)]
    label, cluster = np.arange(60) % 2, np.arange(60) // 3
    groups = {"all": label >= 0, "fake": label == 1}
    found = text_statistics(COUNTED, texts, references, RAW).statistics
    scores = estimate(found, groups, label, cluster, 20, Bootstrap(resamples=200)).scores
    for group, kept in groups.items():
        expected = theirs([t for t, k in zip(texts, kept, strict=True) if k], [
            r for r, k in zip(references, kept, strict=True) if k
        ])  # fmt: skip
        for name in COUNTED:
            score = scores[group][name]
            assert score.value == pytest.approx(expected[name], abs=1e-9)
            assert score.ci is not None and score.ci[0] < score.value < score.ci[1]


def test_order_and_names() -> None:
    found = text_statistics(["cider", "bleu4"], ["a"], [("a",)], RAW)
    assert list(found.statistics) == ["cider", "bleu4"]
    assert set(found.items) == {"bleu", "cider"}
    with pytest.raises(ScoreError, match="did you mean 'bleu4'"):
        text_statistics(["bleu_4"], ["a"], [("a",)], RAW)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("bleu.bleu_scorer", "tokenizer.ptbtokenizer"):
        monkeypatch.setitem(sys.modules, f"pycocoevalcap.{module}", None)
    found = text_statistics(["bleu1", "rouge_l"], ["a"], [("a",)], text_rules("none"))
    assert list(found.statistics) == ["rouge_l"] and list(found.missing) == ["bleu1"]
    assert found.missing["bleu1"].endswith("run `pip install pycocoevalcap`")
    found = text_statistics(["bleu1", "rouge_l"], ["a"], [("a",)], text_rules("ptb"))
    assert set(found.missing) == {"bleu1", "rouge_l"}
    assert {line.rpartition(": ")[2] for line in found.missing.values()} == {"run `pip install pycocoevalcap`"}


@given(st.lists(st.sampled_from("abcd"), max_size=30), st.lists(st.sampled_from("abcd"), max_size=30))
def test_common_words_are_those_of_the_table(first: list[str], other: list[str]) -> None:
    """Against the textbook's table, cell by cell."""
    table = [[0] * (len(other) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first):
        for j, b in enumerate(other):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    assert common_words(first, other) == table[-1][-1]
