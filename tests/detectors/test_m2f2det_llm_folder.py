"""The folder of the 7B model that the authors of M2F2-Det published: its detector alone, the LLM not read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from m2f2det_published import VISION, Reference, Tensors, load, pixels, small
from safetensors.torch import save_file

from m2f2bench.core.errors import DetectorError
from m2f2bench.detectors.m2f2det.released.importing import import_weights


def llm_folder(place: Path, tensors: Tensors, shards: str, **more: torch.Tensor) -> Path:
    """The 7B model's folder with its names, a small LLM in it; the LLM's own shard is not even there."""
    place.mkdir()
    llm = {
        "model.embed_tokens.weight": torch.ones(4, 8), "model.layers.0.self_attn.q_proj.weight": torch.ones(8, 8),
        "model.norm.weight": torch.ones(8), "lm_head.weight": torch.ones(4, 8),
    }  # fmt: skip
    parts = {"model.mm_projector.0.weight": torch.ones(8, 128), "deepfake_projector.0.weight": torch.ones(8, 2)}
    mine: Tensors = {**parts, **more}
    for name, value in tensors.items():
        tower = name.startswith(VISION)
        plain = f"model.vision_tower.vision_tower.vision_model.{name.removeprefix(VISION)}"
        mine[plain if tower else f"deepfake_encoder.{name}"] = value.half() if value.is_floating_point() else value
    names = sorted(mine)
    suffix, stem = ("safetensors", "model") if shards == "safetensors" else ("bin", "pytorch_model")
    files = [f"{stem}-0000{i}-of-00003.{suffix}" for i in (1, 2, 3)]
    for file, own in zip(files[1:], (names[::2], names[1::2]), strict=True):
        content = {name: mine[name].contiguous() for name in own}
        save_file(content, place / file) if suffix == "safetensors" else torch.save(content, place / file)
    where = {
        **dict.fromkeys(llm, files[0]),
        **dict.fromkeys(names[::2], files[1]),
        **dict.fromkeys(names[1::2], files[2]),
    }
    (place / f"{stem}.{suffix}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return place


@pytest.mark.parametrize("shards", ["safetensors", "bin"])
def test_the_folder_of_the_7b_model(tmp_path: Path, shards: str) -> None:
    tensors = small("explainer")
    folder = llm_folder(tmp_path / "llm", tensors, shards)
    import_weights(folder, "m2f2det-released-explainer", tmp_path / "out", detector_only=True)
    halves = {name: value.half().float() if value.is_floating_point() else value for name, value in tensors.items()}
    inputs = pixels(tmp_path / "out")
    with torch.inference_mode():
        logits = load(tmp_path / "out").logits(inputs)
    assert (logits - Reference("explainer", halves).logits(inputs)).abs().max() < 1e-5
    record = json.loads((tmp_path / "out/import.json").read_text())
    assert len(record["files"]) == 2  # the LLM's own shard was not read: it is not there
    assert record["left_out"] == [
        "deepfake_projector", "lm_head", "model.embed_tokens", "model.layers", "model.mm_projector", "model.norm"
    ]  # fmt: skip
    assert any("deepfake_projector" in note for note in record["notes"])


def test_mistakes_in_the_folder_of_the_7b_model(tmp_path: Path) -> None:
    tensors = small("explainer")

    def refused(folder: Path, pattern: str) -> None:
        with pytest.raises(DetectorError, match=pattern) as error:
            import_weights(folder, "m2f2det-released-explainer", tmp_path / "out", detector_only=True)
        assert "\n" not in str(error.value) and not (tmp_path / "out").exists()

    folder = llm_folder(tmp_path / "a", tensors, "safetensors", **{"model.odd.weight": torch.ones(1)})
    refused(folder, r"tensor 'model\.odd\.weight' unexpected")
    (folder / "model-00003-of-00003.safetensors").unlink()
    refused(folder, r"weights '.*model-00003-of-00003\.safetensors' do not exist")
    index = folder / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"]["deepfake_encoder.output.bias"] = "../secret.safetensors"
    index.write_text(json.dumps(content))
    refused(folder, "must name a file in the same folder")
    index.write_text("{")
    refused(folder, r"index '.*' cannot be read")
    index.unlink()
    refused(folder, "has none of model.safetensors.index.json")
