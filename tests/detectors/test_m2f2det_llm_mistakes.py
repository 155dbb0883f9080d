"""What of the published 7B folder does not fit is refused in one line, before anything is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from m2f2det_folder import KIND, WIDTH, WORDS, folder_tensors, write_folder
from m2f2det_published import Tensors

from m2f2bench.core.errors import DetectorError, M2F2BenchError
from m2f2bench.detectors.m2f2det.released.importing import import_weights


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    return folder_tensors()


LAYER = "model.layers.1.mlp.up_proj.weight"
WRONG_TENSORS: list[tuple[dict[str, torch.Tensor | None], str]] = [
    ({LAYER: None}, rf"tensor '{LAYER}' missing"),
    (
        {"model.layers.0.self_attn.q_proj.bias": torch.ones(WIDTH)},
        r"'model\.layers\.0\.self_attn\.q_proj\.bias' unexpec",
    ),
    ({"lm_head.weight": torch.ones(3, WIDTH)}, r"'lm_head\.weight' of another shape \(\[3, 32\], not"),
    ({"lm_head.weight": None}, r"'lm_head\.weight' missing"),
    ({"model.layers.2.mlp.up_proj.weight": torch.ones(2)}, r"have 3 layers of the LLM but its config\.json says 2"),
    ({"module.lm_head.weight": torch.ones(2)}, r"have tensor 'lm_head\.weight' twice"),
    ({"model.mm_projector.2.bias": None}, r"tensor 'mm_projector\.2\.bias' missing"),
    ({"deepfake_projector.0.weight": torch.ones(WIDTH, 3)}, r"'deepfake_projector\.0\.weight' of another shape"),
    ({"model.mm_projector.4.bias": torch.ones(1)}, r"tensor 'mm_projector\.4\.bias' unexpected"),
    ({"model.vision_resampler.weight": torch.ones(1)}, r"tensor 'model\.vision_resampler\.weight' unexpected"),
    ({"deepfake_encoder.output.bias": None}, r"tensor 'output\.bias' missing"),
]


def refused(folder: Path, out: Path, pattern: str) -> None:
    with pytest.raises(M2F2BenchError, match=pattern) as error:
        import_weights(folder, KIND, out)
    assert "\n" not in str(error.value) and not out.exists()


@pytest.mark.parametrize(("values", "pattern"), WRONG_TENSORS, ids=[next(iter(values)) for values, _ in WRONG_TENSORS])
def test_tensors_that_do_not_fit(
    tmp_path: Path, tensors: Tensors, values: dict[str, torch.Tensor | None], pattern: str
) -> None:
    changed = {name: value for name, value in {**tensors, **values}.items() if value is not None}
    refused(write_folder(tmp_path / "in", changed), tmp_path / "out", pattern)


WRONG_CONFIGS: list[tuple[dict[str, Any], str]] = [
    ({"num_hidden_layers": 3}, r"have 2 layers of the LLM but its config\.json says 3"),
    ({"hidden_size": 64}, "of another shape"),
    ({"num_key_value_heads": 4}, r"k_proj\.weight' .*of another shape"),
    ({"rms_norm_eps": None}, "rms_norm_eps must be a number above 0, not None"),
    ({"vocab_size": "many"}, "vocab_size must be a number above 0"),
    ({"num_attention_heads": 5}, "not a Llama's configuration|of another shape"),
    ({"model_type": "mpt", "architectures": ["LlavaMPTForCausalLM"]}, "is for a 'mpt', not for LLaVA on a Llama"),
    ({"mm_vision_select_layer": -1}, "mm_vision_select_layer is -1"),
]


@pytest.mark.slow
def test_configurations_that_do_not_fit(tmp_path: Path, tensors: Tensors) -> None:
    folder = write_folder(tmp_path / "in", tensors)
    config = folder / "config.json"
    whole = json.loads(config.read_text())
    for values, pattern in WRONG_CONFIGS:
        config.write_text(json.dumps({**whole, **values}))
        refused(folder, tmp_path / "out", pattern)
    for text, pattern in (("[]", "is not a configuration"), ("{", "cannot be read"), ("[" * 100_000, "cannot be read")):
        config.write_text(text)
        refused(folder, tmp_path / "out", pattern)
    config.unlink()
    refused(folder, tmp_path / "out", r"has no config\.json: download that file")


def test_tokenizers_that_do_not_fit(tmp_path: Path, tensors: Tensors) -> None:
    folder = write_folder(tmp_path / "in", tensors)
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    content["added_tokens"].append({**content["added_tokens"][0], "id": WORDS, "content": "<more>"})
    file.write_text(json.dumps(content))
    refused(folder, tmp_path / "out", rf"has {WORDS + 1} tokens but the LLM {WORDS}: they do not belong to one model")
    file.write_text("{")
    refused(
        folder, tmp_path / "out", r"the tokenizer in .* cannot be loaded: .*put the tokenizer\.json of the same LLM"
    )
    file.unlink()
    (folder / "tokenizer.model").write_bytes(b"not one of sentencepiece's")
    refused(folder, tmp_path / "out", r"cannot be loaded: .*pip install 'm2f2bench\[llama\]'")
    (folder / "tokenizer.model").unlink()
    refused(folder, tmp_path / "out", r"has no tokenizer: download its tokenizer\.model or tokenizer\.json")


def test_an_import_that_fails_leaves_no_card(tmp_path: Path, tensors: Tensors) -> None:
    """Values are looked at while they are written: what is there then is no detector, and is not taken for one."""
    bad = {**tensors, LAYER: tensors[LAYER].clone().fill_(float("nan"))}
    folder = write_folder(tmp_path / "in", bad)
    with pytest.raises(DetectorError, match=rf"tensor '{LAYER}' .* has values that are not finite"):
        import_weights(folder, KIND, tmp_path / "out")
    assert not (tmp_path / "out/card.yaml").exists() and not (tmp_path / "out/llm/config.json").exists()
    with pytest.raises(DetectorError, match="give another --out or remove it"):
        import_weights(folder, KIND, tmp_path / "out")
