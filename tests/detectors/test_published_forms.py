"""Published files of DeepfakeBench and SBI: the same numbers as the published code, and every other file refused."""

from __future__ import annotations

import json
from itertools import cycle, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dfb_published import NAMES, blank, filled, keys, needs_reference, parity, recipe, save
from one_line import error_of

from m2f2bench import import_weights, load_detector
from m2f2bench.detectors.published.forms import FORMS
from m2f2bench.detectors.published.importing import expected_shapes, network_of
from m2f2bench.detectors.weights.names import WORDS, reworded

SMALL = ("meso4", "meso4Inception")
TOLERANCE = {"effnb4": 1e-4}
PLACES = {"first": 0, "middle": 0.5, "last": -1}
EACH = pytest.mark.parametrize("name", NAMES)
BROKEN = sorted({*product(("meso4", "ucf"), PLACES), *zip(NAMES, cycle(PLACES), strict=False)})
"""Each network with one tensor of it broken, and two with each of three."""
AT_FULL_SIZE = [pytest.param(name, marks=() if name in SMALL else pytest.mark.slow) for name in NAMES]


def imported(tensors: Any, name: str, folder: Path) -> Path:
    """The folder that an import of these tensors makes."""
    file = save(tensors, folder / f"{name}.pth")
    import_weights(file, f"deepfakebench-{name}", folder / "out")
    file.unlink()
    return folder / "out"


def pictures(drawn: torch.Tensor) -> list[np.ndarray]:
    return [picture.permute(1, 2, 0).contiguous().numpy() for picture in drawn]


@needs_reference
@pytest.mark.parametrize("name", AT_FULL_SIZE)
def test_parity_at_full_size(tmp_path: Path, name: str) -> None:
    """P(fake) of smooth and of noisy pictures as the published code gives it, alone and together."""
    own = parity()["networks"][name]
    tensors = filled(name)
    assert recipe().fill_checksum(tensors) == pytest.approx(own["fill_checksum"], rel=1e-6)
    detector = load_detector(imported(tensors, name, tmp_path), "cpu")
    wanted = np.array([*own["p_fake"], *own["noise_p_fake"]])
    images = pictures(torch.cat([recipe().images(0), recipe().noise(0)]))
    found = detector.predict(images)
    tolerance = TOLERANCE.get(name, 2e-5)
    assert np.abs(found - wanted).max() < tolerance
    assert np.abs(detector.predict(images[:1]) - found[:1]).max() < tolerance / 10
    (tmp_path / "out" / "model.safetensors").unlink()  # up to 200 MB


@needs_reference
@EACH
def test_the_form_has_the_names_and_shapes_of_the_file(name: str) -> None:
    form = FORMS[f"deepfakebench-{name}"]
    assert expected_shapes(form, network_of(form)) == keys(name)


@needs_reference
@pytest.mark.parametrize("name", SMALL)
def test_the_record_says_what_had_no_effect(name: str, tmp_path: Path) -> None:
    record = json.loads((imported(filled(name), name, tmp_path) / "import.json").read_text())
    assert record["without_effect"] == []
    assert record["kind"] == f"deepfakebench-{name}" and any("not as in the paper" in note for note in record["notes"])


@needs_reference
@pytest.mark.parametrize(("name", "place"), BROKEN)
def test_a_tensor_missing_renamed_or_misshapen_is_refused_by_name(tmp_path: Path, name: str, place: str) -> None:
    """Also those that no score depends on: the file would be of another kind."""
    tensors = blank(name)
    names = list(tensors)
    at = PLACES[place]
    chosen = names[int(at * len(names)) if at > 0 else int(at)]
    rest = {one: value for one, value in tensors.items() if one != chosen}
    value = tensors[chosen]
    wrong = {
        "missing": rest,
        f"{chosen}_renamed": rest | {f"{chosen}_renamed": value},
        "of another shape": rest | {chosen: value[None].expand(2, *value.shape)},
    }
    for said, content in wrong.items():
        file = save(content, tmp_path / "a.pth")
        line = error_of(lambda file=file: import_weights(file, f"deepfakebench-{name}", tmp_path / "out"))
        assert f"'{chosen}'" in line
        assert said in line or said.endswith("_renamed")
        assert not (tmp_path / "out").exists()
    file = save(tensors | {"extra.weight": torch.zeros(2)}, tmp_path / "a.pth")
    line = error_of(lambda: import_weights(file, f"deepfakebench-{name}", tmp_path / "out"))
    assert "'extra.weight' unexpected" in line


@needs_reference
@pytest.mark.parametrize(
    ("container", "before", "after"),
    [
        (None, "", "module."),
        ("state_dict", "", "module."),
        ("model", "", ""),
        ("net", "", ""),
        (None, "backbone.", "base_model."),
        ("state_dict", "backbone.", "module.base_model."),
        (None, "", "module.module."),
    ],
)
def test_containers_and_prefixes(tmp_path: Path, container: str | None, before: str, after: str) -> None:
    tensors = filled("meso4")
    renamed = {after + name.removeprefix(before): value for name, value in tensors.items()}
    folder = imported(renamed if container is None else {container: renamed, "epoch": 3}, "meso4", tmp_path)
    found = load_detector(folder, "cpu").predict(pictures(recipe().images(0)))
    assert np.abs(found - parity()["networks"]["meso4"]["p_fake"]).max() < 2e-5


def test_prefixes_are_beginnings_only() -> None:
    wanted = {"backbone.module.weight", "backbone.conv.weight", "head.weight"}
    found = reworded(["module.backbone.module.weight", "module.backbone.conv.weight"], WORDS, wanted)
    assert set(found) == {"backbone.module.weight", "backbone.conv.weight"}
    # One name with it among others without is a renamed tensor.
    assert set(reworded(["module.backbone.conv.weight", "head.weight"], WORDS, wanted)) == {
        "module.backbone.conv.weight",
        "head.weight",
    }
    assert reworded(["base_model.conv.weight", "classifier.weight"], WORDS, wanted) == {
        "backbone.conv.weight": "base_model.conv.weight",
        "head.weight": "classifier.weight",
    }
    # Never two tensors of one name.
    both = ["base_model.conv.weight", "backbone.conv.weight"]
    assert sorted(reworded(both, WORDS, wanted)) == sorted(both)
    assert reworded(["classifier.weight"], WORDS, {"classifier.weight", "head.weight"}) == {
        "classifier.weight": "classifier.weight"
    }


@needs_reference
def test_values_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    tensors = filled("meso4")
    tensors["backbone.fc2.bias"][0] = float("nan")
    file = save(tensors, tmp_path / "a.pth")
    assert "'backbone.fc2.bias'" in error_of(lambda: import_weights(file, "deepfakebench-meso4", tmp_path / "out"))


@needs_reference
def test_half_precision_is_read(tmp_path: Path) -> None:
    halves = {name: value.half() if value.is_floating_point() else value for name, value in filled("meso4").items()}
    found = load_detector(imported(halves, "meso4", tmp_path), "cpu").predict(pictures(recipe().images(0)))
    assert np.abs(found - parity()["networks"]["meso4"]["p_fake"]).max() < 1e-2


@needs_reference
def test_on_the_command_line(tmp_path: Path, cli, one_line) -> None:
    file = save(filled("meso4Inception"), tmp_path / "meso4Incep_best.pth")
    words = ("import-weights", file, "--as", "deepfakebench-meso4Inception", "--out", tmp_path / "out")
    outcome = cli(*words)
    assert outcome.status == 0 and "not as in the paper" in " ".join(outcome.out.split())
    card = cli("describe", tmp_path / "out").out
    assert "mesoinception4" in card and "outputs: 2" in card and "variant: deepfakebench" in card
    assert "not an empty folder" in one_line(cli(*words))
    assert "deepfakebench-meso4Inception" in one_line(cli(*words[:3], "deepfakebench-meso4inception", *words[4:]))
    line = one_line(cli(*words[:-1], tmp_path / "b", "--vision-tower", "x"))
    assert "deepfakebench-meso4Inception" in line and "tower" in line
    assert "does not exist" in one_line(cli("import-weights", tmp_path / "no.pth", *words[2:-1], tmp_path / "b"))


COMPUTED: dict[str, tuple[float, dict[str, float], tuple[float, ...]]] = {
    "capsule": (
        1.7,
        {"routing_stats.route_weights": 64.0},
        (0.51529908, 0.51697296, 0.52609551, 0.52585375),
    ),
    "ffd": (1.15, {}, (0.18633488, 0.18372858, 0.11066101, 0.11364575)),
}
"""Gain and factors of the recipe, and P(fake) of two smooth and two noisy pictures at salt 0 by the modules of
DeepfakeBench's repository (training/detectors/capsule_net_detector.py; ffd_detector.py with `maptype: reg`)."""


@needs_reference
@pytest.mark.parametrize("name", ["capsule", pytest.param("ffd", marks=pytest.mark.slow)])
def test_capsule_and_ffd_give_what_their_modules_give(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = FORMS[f"deepfakebench-{name}"]
    shapes = {tensor: list(shape) for tensor, shape in expected_shapes(form, network_of(form)).items()}
    gain, factors, wanted = COMPUTED[name]
    monkeypatch.setitem(recipe().GAIN, name, gain)
    monkeypatch.setitem(recipe().FACTOR, name, factors)
    tensors = recipe().state_dict(shapes, 0, name)
    detector = load_detector(imported(tensors, name, tmp_path), "cpu")
    images = pictures(torch.cat([recipe().images(0), recipe().noise(0)]))
    assert np.abs(detector.predict(images) - np.array(wanted)).max() < 1e-6
    (tmp_path / "out" / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("name", "count", "numbers", "some"),
    [
        ("capsule", 297, 3_898_458, {"fea_ext.capsules.9.10.running_var": (1,), "vgg_ext.vgg_1.16.bias": (256,)}),
        ("ffd", 285, 21_924_035, {"map.c.pointwise.weight": (1, 728, 1, 1), "backbone.adjust_channel.0.bias": (512,)}),
    ],
)
def test_forms_without_a_listing_have_the_numbers_of_their_modules(
    name: str, count: int, numbers: int, some: dict[str, tuple[int, ...]]
) -> None:
    form = FORMS[f"deepfakebench-{name}"]
    shapes = expected_shapes(form, network_of(form))
    assert len(shapes) == count and some.items() <= shapes.items()
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == numbers


def test_sbi_has_the_names_of_efficientnet_pytorch() -> None:
    form = FORMS["sbi"]
    shapes = expected_shapes(form, network_of(form))
    assert len(shapes) == 706
    assert shapes["net._conv_stem.weight"] == (48, 3, 3, 3) and shapes["net._fc.weight"] == (2, 1792)
    assert shapes["net._blocks.0._project_conv.weight"] == (24, 48, 1, 1)
    assert shapes["net._blocks.31._bn2.running_var"] == (448,)


def test_cnn_aug_has_numbered_parts() -> None:
    form = FORMS["deepfakebench-cnnaug"]
    shapes = expected_shapes(form, network_of(form))
    assert shapes["backbone.resnet.0.weight"] == (64, 3, 7, 7) and shapes["backbone.fc.weight"] == (2, 512)
    assert "backbone.resnet.7.2.conv2.weight" in shapes and not any("layer" in name for name in shapes)
