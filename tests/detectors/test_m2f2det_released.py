"""The published variants of M2F2-Det: importing their weights, and the same numbers as the published code."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from m2f2det_published import (
    PARITY,
    TEXT,
    VISION,
    Reference,
    Shapes,
    Tensors,
    fill,
    full_shapes,
    images,
    load,
    pixels,
    save_checkpoint,
    small,
    small_shapes,
)
from safetensors.torch import save_file

from m2f2bench import load_detector
from m2f2bench.core.errors import DetectorError
from m2f2bench.detectors.m2f2det.released.importing import import_weights
from m2f2bench.detectors.m2f2det.released.network import ReleasedExplainerDetector

KINDS = ("detector", "explainer")
EACH = pytest.mark.parametrize("kind", KINDS)


class Scheduler:
    """What stands in a checkpoint beside the tensors; its state is set by a call that writes a file."""

    def __init__(self, planted: Path) -> None:
        self.planted = planted

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.planted}'",)


@pytest.fixture(scope="module", params=KINDS)
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Tensors, Path]:
    """A small published file's tensors and the folder made of it."""
    kind, place = str(request.param), tmp_path_factory.mktemp("published")
    tensors = small(kind)
    file = save_checkpoint(place / "published.pth", tensors, Scheduler(place / "planted"))
    import_weights(file, f"m2f2det-released-{kind}", place / "out")
    assert not (place / "planted").exists()
    return kind, tensors, place / "out"


@pytest.mark.slow
@EACH
def test_parity_at_full_size(tmp_path: Path, kind: str) -> None:
    """The published code's logits for weights and images drawn from salt 0, within 1e-4."""
    file = save_checkpoint(tmp_path / "a.pth", fill(full_shapes(kind), 0), Scheduler(tmp_path / "planted"))
    import_weights(file, f"m2f2det-released-{kind}", tmp_path / "out")
    file.unlink()
    assert not (tmp_path / "planted").exists()
    # The number of threads moves the last bit of the drawing, and with it a pixel by one grey level.
    assert abs(int(images(0).sum()) - PARITY["image_checksum"]) <= 1
    inputs = pixels(tmp_path / "out")
    assert inputs.shape == (3, 3, 336, 336)
    assert float(inputs.mean()) == pytest.approx(PARITY["pixel_mean"], abs=1e-6)
    assert float(inputs.std()) == pytest.approx(PARITY["pixel_std"], abs=1e-6)
    network = load(tmp_path / "out").to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.inference_mode():
        logits = network.logits(inputs)
    assert (logits - torch.tensor(PARITY[f"{kind}_logits"])).abs().max() < 1e-4
    shutil.rmtree(tmp_path)


def test_facts_of_the_full_files() -> None:
    assert len(full_shapes("detector")) == 1324 and len(full_shapes("explainer")) == 1329
    for kind in KINDS:
        assert set(small_shapes(kind)) <= set(full_shapes(kind))


@pytest.mark.parametrize("salt", [0, 3])
def test_same_as_the_whole_computation(imported: tuple[str, Tensors, Path], salt: int) -> None:
    """Every CLIP layer by transformers and the bridge in full give what the folded network gives."""
    kind, tensors, folder = imported
    inputs = pixels(folder, salt)
    reference = Reference(kind, tensors).logits(inputs)
    network = load(folder)
    with torch.inference_mode():
        logits = network.logits(inputs)
        assert (logits - reference).abs().max() < 1e-5
        assert torch.allclose(network(inputs).sigmoid(), reference.softmax(1)[:, 1], atol=1e-5)
    assert reference.std(0).min() > 1e-4  # the images do make a difference


def test_a_score_does_not_depend_on_its_batch(imported: tuple[str, Tensors, Path]) -> None:
    _, _, folder = imported
    network, inputs = load(folder), pixels(folder).repeat(3, 1, 1, 1)[:8]
    inputs = inputs + 0.1 * torch.randn(inputs.shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together = network.logits(inputs)
        assert torch.equal(together, network.logits(inputs))
        for i in range(8):
            assert (network.logits(inputs[i : i + 1]) - together[i]).abs().max() < 1e-5


def test_bf16_of_the_tower_alone(imported: tuple[str, Tensors, Path]) -> None:
    _, _, folder = imported
    plain, half, inputs = load(folder), load(folder, clip_precision="bf16"), pixels(folder)
    kinds = {name: value.dtype for name, value in half.named_parameters()}
    assert all((dtype == torch.bfloat16) == name.startswith("vision.") for name, dtype in kinds.items())
    with torch.inference_mode():
        difference = (plain.logits(inputs) - half.logits(inputs)).abs().max()
    assert 0 < difference < 0.02


def test_heat_map(imported: tuple[str, Tensors, Path]) -> None:
    """σ(text scale × cosine of patch and text), computed from the reference's parts."""
    kind, tensors, folder = imported
    network, inputs = load(folder), pixels(folder)
    with torch.inference_mode():
        found = network.judge(inputs).map
    if kind == "detector":
        assert found is None
        return
    assert isinstance(network, ReleasedExplainerDetector)
    reference = Reference(kind, tensors)
    with torch.no_grad():
        hidden = reference.vision(inputs, output_hidden_states=True).hidden_states[-2][:, 1:]
        patches = reference._project("vision_proj", hidden)
        text = reference._project("text_proj", reference.text_feature())[0]
        cosines = (patches * text).sum(2) / patches.norm(dim=2) / text.norm()
    wanted = torch.sigmoid(4.0 * cosines).reshape(3, 1, 8, 8)
    assert found is not None and torch.allclose(found, wanted, atol=1e-5)
    with torch.inference_mode():
        assert torch.equal(network.heatmap(inputs), found[:, 0])


def test_what_is_written(imported: tuple[str, Tensors, Path]) -> None:
    kind, tensors, folder = imported
    assert sorted(path.name for path in folder.iterdir()) == ["card.yaml", "import.json", "model.safetensors"]
    record = json.loads((folder / "import.json").read_text())
    assert set(record["folded"]) | set(record["without_effect"]) < set(tensors)
    assert "posix.system" in record["stubbed"] and "posix.system" in " ".join(record["notes"])
    dead = {"detector": "linear_1.weight", "explainer": f"{VISION}encoder.layers.3.mlp.fc1.weight"}
    assert dead[kind] in record["without_effect"]
    assert f"{VISION}encoder.layers.2.mlp.fc1.weight" not in record["without_effect"] + record["folded"]
    assert list(record["files"]) == ["published.pth"] and len(record["files"]["published.pth"]) == 64
    size = (folder / "model.safetensors").stat().st_size
    kept = [name for name in tensors if name not in record["without_effect"] + record["folded"]]
    numbers = sum(tensors[name].numel() for name in kept)
    assert size == pytest.approx(4 * numbers, rel=0.02)


def test_dead_tensors_have_no_effect(tmp_path: Path, imported: tuple[str, Tensors, Path]) -> None:
    """Every tensor that is left out may hold anything: the written weights are the same bytes."""
    kind, tensors, folder = imported
    dead = json.loads((folder / "import.json").read_text())["without_effect"]
    other = {name: value + 1 if name in dead else value for name, value in tensors.items()}
    save_file(other, tmp_path / "a.safetensors")
    import_weights(tmp_path / "a.safetensors", f"m2f2det-released-{kind}", tmp_path / "out")
    assert (tmp_path / "out/model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    inputs = pixels(folder)
    assert (Reference(kind, other).logits(inputs) - Reference(kind, tensors).logits(inputs)).abs().max() < 1e-5


def new_names(tensors: Tensors) -> Tensors:
    """CLIP's names as later transformers write them, with a bare state dict's old position counters."""
    short = {name: name.replace(".text_model.", ".").replace(".vision_model.", ".") for name in tensors}
    counters = {f"{TEXT}embeddings.position_ids": torch.arange(77)[None]}
    return {**{short[name]: value for name, value in tensors.items()}, **counters}


FORMS: dict[str, Callable[[Path, Tensors], Path]] = {}


def form(write: Callable[[Path, Tensors], Path]) -> Callable[[Path, Tensors], Path]:
    FORMS[write.__name__] = write
    return write


@form
def bare(place: Path, tensors: Tensors) -> Path:
    torch.save(tensors, place / "a.pt")
    return place / "a.pt"


@form
def legacy(place: Path, tensors: Tensors) -> Path:
    return save_checkpoint(place / "a.bin", tensors, Scheduler(place / "x"), _use_new_zipfile_serialization=False)


@form
def today(place: Path, tensors: Tensors) -> Path:
    torch.save({"state_dict": new_names(tensors)}, place / "a.pth")
    return place / "a.pth"


@form
def tower_apart(place: Path, tensors: Tensors) -> Path:
    torch.save({n: v for n, v in tensors.items() if not n.startswith(VISION)}, place / "a.pth")
    return place / "a.pth"


@pytest.mark.slow
@pytest.mark.parametrize("name", list(FORMS))
def test_forms_of_files(tmp_path: Path, imported: tuple[str, Tensors, Path], name: str) -> None:
    kind, tensors, folder = imported
    file, tower = FORMS[name](tmp_path, tensors), None
    if name == "tower_apart":
        tower = tmp_path / "vision_tower.pth"
        torch.save({f"vision_tower.{n[n.index('vision_model.') :]}": tensors[n] for n in tensors if VISION in n}, tower)
    import_weights(file, f"m2f2det-released-{kind}", tmp_path / "out", tower)
    assert not (tmp_path / "x").exists()
    assert (tmp_path / "out/model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "clip.vision_model.", "module.vision_model."])
def test_another_vision_tower(tmp_path: Path, prefix: str) -> None:
    """`--vision-tower` takes the place of the file's own, whatever stands before its names."""
    tensors, other = small("detector"), small("detector", salt=9)
    file, tower = save_checkpoint(tmp_path / "a.pth", tensors), tmp_path / "vision_tower.pth"
    torch.save({prefix + n.removeprefix(VISION): v for n, v in other.items() if n.startswith(VISION)}, tower)
    import_weights(file, "m2f2det-released-detector", tmp_path / "out", tower)
    mixed = {name: other[name] if name.startswith(VISION) else value for name, value in tensors.items()}
    inputs = pixels(tmp_path / "out")
    with torch.inference_mode():
        logits = load(tmp_path / "out").logits(inputs)
    assert (logits - Reference("detector", mixed).logits(inputs)).abs().max() < 1e-5
    assert (logits - Reference("detector", tensors).logits(inputs)).abs().max() > 1e-3
    record = json.loads((tmp_path / "out/import.json").read_text())
    assert len(record["replaced"]) == sum(name.startswith(VISION) for name in tensors)


def changed(tensors: Tensors, **values: torch.Tensor | None) -> Tensors:
    """With tensors replaced, added or (None) taken out; `__` stands for a dot."""
    out: dict[str, torch.Tensor | None] = {**tensors, **{name.replace("__", "."): v for name, v in values.items()}}
    return {name: value for name, value in out.items() if value is not None}


HUGE = torch.zeros(1).as_strided((1 << 31, 1 << 31), (0, 0))
"""A tensor of one value in the file."""
MISTAKES: list[tuple[dict[str, torch.Tensor | None], str]] = [
    ({"output__bias": None}, r"do not fit m2f2det-released-detector: tensor 'output\.bias' missing"),
    ({"linear_2__bias": None, "text_proj__0__weight": None}, r"tensor 'text_proj\.0\.weight' and 1 more missing"),
    ({"extra": torch.ones(1), "other": torch.ones(1)}, r"tensor 'extra' and 1 more unexpected"),
    ({"linear_3__weight": torch.ones(64, 9)}, r"'linear_3\.weight' of another shape \(\[64, 9\], not \[64, 272\]\)"),
    ({"output__weight": torch.ones(2, 5)}, r"'output\.weight' of another shape"),
    ({"deepfake_encoder__0__0__weight": None}, "they have no CNN of either variant"),
    ({"vision_proj__0__weight": None}, r"tensor 'vision_proj\.0\.weight' missing"),
    ({"vision_proj__0__weight": torch.ones(3)}, r"'vision_proj\.0\.weight' of another shape"),
    ({"output__bias": torch.tensor([0.0, torch.nan])}, r"tensor 'module\.output\.bias' \(torch\.float32\) has values"),
    ({f"{VISION.replace('vision_model.', '')}post_layernorm.bias": torch.ones(128)}, r"post_layernorm\.bias' twice: '"),
    ({f"{VISION}embeddings.position_embedding.weight": torch.ones(8, 128)}, "7 patches is not for square images"),
    (
        {f"{VISION}embeddings.class_embedding": HUGE[0]},
        r"do not fit m2f2det-released-detector: RuntimeError: Storage size",
    ),
    (
        {"bridge_adapter_proj__bridge_adapter_reduction__0__weight": HUGE},
        r"m2f2det-released-detector: RuntimeError: Storage size",
    ),
]


@pytest.mark.parametrize(("values", "pattern"), MISTAKES, ids=[next(iter(values)) for values, _ in MISTAKES])
def test_tensors_that_do_not_fit(tmp_path: Path, values: dict[str, torch.Tensor | None], pattern: str) -> None:
    file = save_checkpoint(tmp_path / "a.pth", changed(small_zeros("detector"), **values))
    with pytest.raises(DetectorError, match=pattern) as error:
        import_weights(file, "m2f2det-released-detector", tmp_path / "out")
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)
    assert not (tmp_path / "out").exists()


def small_zeros(kind: str) -> Tensors:
    """The small file's names and shapes with one value for all: quick to make, good for what is refused anyway."""
    shapes: Shapes = small_shapes(kind)
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


@EACH
def test_the_other_variants_file_is_named(tmp_path: Path, kind: str) -> None:
    other = "explainer" if kind == "detector" else "detector"
    file = save_checkpoint(tmp_path / "a.pth", small_zeros(kind))
    pattern = f"are those of m2f2det-released-{kind}, not of m2f2det-released-{other}"
    with pytest.raises(DetectorError, match=pattern):
        import_weights(file, f"m2f2det-released-{other}", tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        ({"epoch": 3}, "holds no state dict"),
        (torch.ones(3), "holds no state dict"),
        ([torch.ones(3)], "holds no state dict"),
        ({"state_dict": {"a": torch.ones(1), "b": 3}}, "'b' in its state dict is of type int, not a plain tensor"),
        (
            {"a": torch.ones(1), "b": re.compile("x")},
            r"'b' in its state dict is of type re\._compile, not a plain tensor",
        ),
        ({"a": torch.ones(1), 5: torch.ones(1)}, "the key 5 in its state dict is not a text"),
        ({"a": torch.ones(1)}, "have no CNN of either variant"),
    ],
)
def test_checkpoints_of_something_else(tmp_path: Path, content: Any, pattern: str) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(DetectorError, match=pattern) as error:
        import_weights(tmp_path / "a.pth", "m2f2det-released-detector", tmp_path / "out")
    assert "\n" not in str(error.value)


def test_command_line(
    tmp_path: Path, imported: tuple[str, Tensors, Path], cli: Callable[..., Any], one_line: Callable[..., str]
) -> None:
    kind, tensors, folder = imported
    file, out = save_checkpoint(tmp_path / "a.pth", tensors, Scheduler(tmp_path / "planted")), tmp_path / "out"
    words = ("import-weights", file, "--as", f"m2f2det-released-{kind}", "--out", out)
    outcome = cli(*words)
    assert outcome.status == 0 and "note: named in the file and not built" in outcome.out
    assert not (tmp_path / "planted").exists()
    assert (out / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert "is not an empty folder: give another --out" in one_line(cli(*words))
    assert "unknown kind of weights" in one_line(cli(*words[:3], "m2f2det", "--out", tmp_path / "b"))
    assert "does not exist" in one_line(cli("import-weights", tmp_path / "no", *words[2:-1], tmp_path / "b"))
    (tmp_path / "text.pth").write_text("hello")
    assert "cannot be read" in one_line(cli("import-weights", tmp_path / "text.pth", *words[2:-1], tmp_path / "b"))


def test_as_a_detector(imported: tuple[str, Tensors, Path], squares: Path, cli: Callable[..., Any]) -> None:
    """`predict` and `run` take the folder; P(fake) is the reference's softmax."""
    kind, tensors, folder = imported
    detector = load_detector(str(folder), device="cpu")
    pictures = [picture.permute(1, 2, 0).numpy() for picture in images(5)]
    reference = Reference(kind, tensors).logits(pixels(folder, 5)).softmax(1)[:, 1]
    assert np.abs(detector.predict(pictures) - reference.numpy()).max() < 1e-5
    outcome = cli("predict", "--no-faces", squares / "real/00.png", "--detector", folder, "--device", "cpu", "--json")
    assert outcome.status == 0 and 0 < json.loads(outcome.out)[0]["score"] < 1
