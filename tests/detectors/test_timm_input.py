"""What a timm card does not say of its input is the network's own: size, crop, mean, std, interpolation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from paths import ROOT
from PIL import Image
from timm.data import create_transform, resolve_data_config

import m2f2bench
from m2f2bench.cards.models import DetectorCard, read_card
from m2f2bench.cards.settings import InputSettings
from m2f2bench.core.errors import DetectorError
from m2f2bench.core.seeds import generator
from m2f2bench.core.tensors import write_tensors
from m2f2bench.detectors.network import Normalise, resize, visible_region
from m2f2bench.detectors.timm import TimmDetector, TimmOptions, own_input

CARDS = ROOT / "detectors"


def resolved(model: str, input: Any = None, **options: Any) -> InputSettings:
    values: dict[str, Any] = {"name": "t", "backend": "timm", "options": {"model": model, **options}}
    card = DetectorCard.model_validate(values if input is None else {**values, "input": input})
    return own_input(card, TimmOptions.model_validate(card.options))


def test_a11_xception41_has_299_pixels_and_its_own_mean() -> None:
    """By timm's own table: 299 px, .5, .5, bicubic, 90.3% of the picture."""
    found = resolved("xception41")
    assert (found.size, found.mean, found.std) == (299, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert (found.interpolation, found.fit, found.crop) == ("bicubic", "centre", 0.903)
    assert str(found) == "299px-centre-crop0.903-bicubic-mean0.5,0.5,0.5-std0.5,0.5,0.5"


@pytest.mark.parametrize(
    "model", ["xception41", "resnet50", "vit_base_patch16_clip_224", "test_resnet", "convnext_tiny"]
)
@pytest.mark.parametrize("shape", [(400, 400), (500, 400), (300, 480)])
def test_a11_pixels_are_those_that_timm_itself_would_give(model: str, shape: tuple[int, int]) -> None:
    image = generator("input", *shape).integers(0, 256, size=(*shape, 3), dtype=np.uint8)
    settings = resolved(model)
    ours = Normalise(settings)(torch.from_numpy(resize(image, settings))[None])[0]
    config = resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(model).to_dict())
    theirs = create_transform(**config)(Image.fromarray(image))
    assert ours.shape == theirs.shape
    offset = (np.array([settings.size / settings.crop // 1 * side // min(shape) for side in shape]) - settings.size) % 2
    if not offset.any():  # an odd rest is rounded down here, to the even number there
        assert ours.numpy() == pytest.approx(theirs.numpy(), abs=1e-5)


def test_a11_what_the_card_says_wins() -> None:
    assert resolved("xception41", {"size": 160}) == InputSettings(size=160, mean=(0.5,) * 3, std=(0.5,) * 3)
    assert resolved("xception41", {"fit": "squash"}).size == 224  # a fit is of a size: no crop of another comes in
    one = resolved("xception41", {"mean": [0.1, 0.2, 0.3]})
    assert (one.size, one.mean, one.std) == (299, (0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    assert resolved("test_resnet").interpolation == "bilinear"
    assert resolved("test_resnet", {"interpolation": "lanczos"}).interpolation == "lanczos"
    assert resolved("vit_tiny_patch16_224", model_kwargs={"img_size": 160}).size == 160
    assert resolved("resnet50", model_kwargs={"pretrained_cfg_overlay": {"input_size": (3, 96, 96)}}).size == 96
    with pytest.raises(DetectorError, match=r"takes images of \(160, 96\), not square: set input\.size"):
        resolved("vit_tiny_patch16_224", model_kwargs={"img_size": (160, 96)})
    with pytest.raises(DetectorError, match="timm has no model 'xceptoin41'"):
        resolved("xceptoin41")
    with pytest.raises(DetectorError, match=r"timm cannot create 'xception41\.no': RuntimeError"):
        resolved("xception41.no")


@pytest.mark.parametrize("name", ["small-cnn", "efficientnet-lite0", "efficientnet-lite0-probe", "m2f2det-small-cnn"])
def test_a11_the_packages_own_cards_mean_what_they_meant(name: str) -> None:
    """They say all of it, so that none of the published numbers moves."""
    card = read_card("detectors", CARDS / f"{name}.yaml")
    assert isinstance(card, DetectorCard)
    assert own_input(card, TimmOptions.model_validate(card.options)) == card.input


@given(
    st.integers(8, 40),
    st.integers(8, 40),
    st.integers(8, 24),
    st.floats(0.4, 1.0),
    st.sampled_from(["squash", "centre"]),
)
def test_what_is_cut_out_is_what_is_said_to_be_seen(height: int, width: int, size: int, crop: float, fit: Any) -> None:
    settings = InputSettings(size=size, crop=crop, fit=fit, interpolation="bilinear")
    rows, columns = np.mgrid[0:height, 0:width]
    image = np.stack([rows * 255 / (height - 1), columns * 255 / (width - 1), 0 * rows], axis=-1).astype(np.uint8)
    out = resize(image, settings)
    assert out.shape == (size, size, 3) and out.dtype == np.uint8
    top, left, bottom, right = visible_region(height, width, settings)
    assert 0 <= top < bottom <= 1 and 0 <= left < right <= 1
    middle = out[size // 2, size // 2].astype(float)
    step = 255 / min(size, height, width) * 1.5 + 3  # a pixel and a half, and rounding
    assert abs(middle[0] - 255 * (top + bottom) / 2) <= step and abs(middle[1] - 255 * (left + right) / 2) <= step


TINY = """
name: tiny
backend: timm
options: {model: test_resnet}
training: {epochs: 1, batch_size: 16}
"""
WHOLE = {
    "size": 160,
    "fit": "centre",
    "crop": 0.95,
    "interpolation": "bilinear",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
}


@pytest.fixture
def faces(tmp_path: Path) -> str:
    """A dataset with a training split."""
    rng = np.random.default_rng(0)
    lines = ["path,label,split,identity"]
    for i in range(24):
        Image.fromarray(rng.integers(0, 200 + 50 * (i % 2), (40, 40, 3)).astype(np.uint8)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{i % 2},{('test', 'val', *['train'] * 4)[i // 4]},p{i}")
    (tmp_path / "m.csv").write_text("\n".join(lines))
    return str(tmp_path / "m.csv")


def test_a11_a_trained_card_holds_what_was_resolved(faces: str, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    path = m2f2bench.train(str(tmp_path / "tiny.yaml"), faces, out=tmp_path / "t", device="cpu")
    assert yaml.safe_load(path.read_text())["input"] == WHOLE
    (result,) = m2f2bench.run(detectors=str(path), datasets=faces, out=tmp_path / "r")
    told = "160px-centre-crop0.95-bilinear-mean0.5,0.5,0.5-std0.5,0.5,0.5"
    assert result.measured["prep"] == told and f"prep:{told}" in result.signature
    assert m2f2bench.train(str(tmp_path / "tiny.yaml"), faces, out=tmp_path / "t", resume=True, device="cpu") == path
    (tmp_path / "t" / "training.json").unlink()  # killed between the two files
    path.unlink()
    m2f2bench.train(str(tmp_path / "tiny.yaml"), faces, out=tmp_path / "t", resume=True, device="cpu")
    assert yaml.safe_load(path.read_text())["input"] == WHOLE
    record = json.loads((tmp_path / "t" / "training.json").read_text())
    assert record["card"]["input"] == InputSettings().model_dump(mode="json")  # as it was given


def test_a11_cards_that_are_trained_already_keep_what_they_say(tmp_path: Path) -> None:
    """Older cards left out what was the default then; weights from elsewhere have the network's own."""
    model = timm.create_model("test_resnet", num_classes=1)
    path = tmp_path / "w.safetensors"
    card = DetectorCard(name="old", backend="timm", options={"model": "test_resnet"}, weights=str(path))
    write_tensors(path, model.state_dict(), {"architecture": "test_resnet", "input": "224px"})
    assert TimmDetector.from_card(card, "cpu").preprocessing == str(InputSettings())
    write_tensors(path, model.state_dict())
    assert TimmDetector.from_card(card, "cpu").preprocessing.startswith("160px-centre-crop0.95-bilinear")
