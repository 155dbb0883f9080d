"""Published files of tuned CLIPs: imported, judged as a bare forward pass does, and refused when they do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from m2f2bench import import_weights
from m2f2bench.core.errors import DetectorError
from m2f2bench.detectors.network import Normalise
from m2f2bench.loading import load_detector

WIDE = {
    "hidden_size": 128,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
"""Published CLIPs have a head for every 64 values."""


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(3)]


def tower():
    """CLIP's image tower in transformers' own class, with weights that are not the initial ones."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    torch.manual_seed(11)
    model = CLIPVisionModel(CLIPVisionConfig(**WIDE)).eval()
    for value in model.parameters():
        nn.init.normal_(value, std=0.2 if value.ndim > 1 else 0.6)
    return model


def judged(model: nn.Module, head: nn.Linear, pictures: list[np.ndarray], settings, unit: bool = False) -> np.ndarray:
    """P(fake) by a bare forward pass of transformers' model: softmax of two outputs, the second."""
    pixels = Normalise(settings)(torch.from_numpy(np.stack(pictures)))
    with torch.no_grad():
        feature = model(pixels).pooler_output
        logits = head(nn.functional.normalize(feature, dim=1) if unit else feature)
    return torch.softmax(logits.double(), dim=1)[:, 1].numpy()


def effort_file(prefix: str = "module.") -> tuple[dict[str, torch.Tensor], nn.Module, nn.Linear]:
    """The file's tensors, and the plain CLIP that they amount to."""
    model = tower()
    head = nn.Linear(128, 2)
    tensors: dict[str, torch.Tensor] = {}
    for name, value in list(model.state_dict().items()):
        if ".self_attn." not in name or name.endswith("bias"):
            tensors[f"backbone.{name}"] = value
            continue
        parts = {
            "weight_main": value,
            "S_residual": torch.randn(1),
            "U_residual": torch.randn(128, 1) * 0.2,
            "V_residual": torch.randn(1, 128) * 0.2,
        }
        tensors |= {f"backbone.{name.removesuffix('weight')}{part}": one for part, one in parts.items()}
        whole = value + parts["U_residual"] @ torch.diag(parts["S_residual"]) @ parts["V_residual"]
        model.get_submodule(name.rpartition(".")[0]).weight.data = whole
    tensors |= {"head.weight": head.weight.detach(), "head.bias": head.bias.detach()}
    return {prefix + name: value.clone() for name, value in tensors.items()}, model, head


@pytest.mark.parametrize("prefix", ["module.", ""])
def test_effort(prefix: str, pictures, tmp_path: Path) -> None:
    tensors, model, head = effort_file(prefix)
    torch.save(tensors, tmp_path / "effort.pth")
    with pytest.raises(DetectorError, match="leave --vision-tower out"):
        import_weights(tmp_path / "effort.pth", "effort", tmp_path / "out", vision_tower=tmp_path)
    import_weights(tmp_path / "effort.pth", "effort", tmp_path / "out")
    detector = load_detector(str(tmp_path / "out"), "cpu")
    assert detector.settings.size == 32 and detector.settings.mean[0] == pytest.approx(0.48145466)
    expected = judged(model, head, pictures, detector.settings)
    assert detector.predict(pictures) == pytest.approx(expected, abs=1e-6) and np.ptp(expected) > 1e-2
    record = json.loads((tmp_path / "out" / "import.json").read_text())
    assert record["without_effect"] == [] and list(record["files"]) == ["effort.pth"]


def test_effort_with_the_factors_of_its_principal_part(pictures, tmp_path: Path) -> None:
    """Later files of the authors' code hold U_r, S_r and V_r as well: named as without effect."""
    tensors, model, head = effort_file()
    more = "module.backbone.encoder.layers.0.self_attn.q_proj."
    tensors |= {
        f"{more}U_r": torch.zeros(128, 127),
        f"{more}S_r": torch.zeros(127),
        f"{more}V_r": torch.zeros(127, 128),
    }
    torch.save({"state_dict": tensors}, tmp_path / "effort.pth")
    import_weights(tmp_path / "effort.pth", "effort", tmp_path / "out")
    detector = load_detector(str(tmp_path / "out"), "cpu")
    assert detector.predict(pictures) == pytest.approx(judged(model, head, pictures, detector.settings), abs=1e-6)
    record = json.loads((tmp_path / "out" / "import.json").read_text())
    assert [name.rpartition(".")[2] for name in record["without_effect"]] == ["U_r", "S_r", "V_r"]


@pytest.mark.parametrize(
    "words", [("backbone.", "head."), ("base_model.", "classifier."), ("module.base_model.", "module.classifier.")]
)
def test_df40_clip(words: tuple[str, str], pictures, tmp_path: Path) -> None:
    model, head = tower(), nn.Linear(128, 2)
    tensors = {words[0] + name: value for name, value in model.state_dict().items()}
    tensors |= {words[1] + name: value for name, value in head.state_dict().items()}
    tensors[f"{words[0]}embeddings.position_ids"] = torch.arange(17)[None]
    torch.save({"state_dict": tensors}, tmp_path / "clip.pth")
    import_weights(tmp_path / "clip.pth", "df40-clip", tmp_path / "out")
    detector = load_detector(str(tmp_path / "out"), "cpu")
    assert detector.settings.mean == (0.5, 0.5, 0.5)
    assert detector.predict(pictures) == pytest.approx(judged(model, head, pictures, detector.settings), abs=1e-6)


def gend_folder(folder: Path, tensors: dict[str, torch.Tensor], head: str, backbone: str) -> Path:
    from safetensors.torch import save_file

    folder.mkdir()
    save_file(
        {name: value.detach().clone().contiguous() for name, value in tensors.items()}, folder / "model.safetensors"
    )
    (folder / "config.json").write_text(json.dumps({"model_type": "GenD", "head": head, "backbone": backbone}))
    return folder


@pytest.mark.parametrize("head_kind", ["linear", "LinearNorm"])
def test_gend_of_a_clip(head_kind: str, pictures, tmp_path: Path) -> None:
    model, head = tower(), nn.Linear(128, 2)
    nn.init.normal_(head.weight, std=2.0)
    tensors = {f"feature_extractor.vision_model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"model.linear.{name}": value for name, value in head.state_dict().items()}
    tensors["feature_extractor.visual_projection.weight"] = torch.zeros(24, 128)
    folder = gend_folder(tmp_path / "gend", tensors, head_kind, "openai/clip-vit-large-patch14")
    import_weights(folder, "gend", tmp_path / "out")
    detector = load_detector(str(tmp_path / "out"), "cpu")
    expected = judged(model, head, pictures, detector.settings, unit=head_kind == "LinearNorm")
    assert detector.predict(pictures) == pytest.approx(expected, abs=1e-6)
    record = json.loads((tmp_path / "out" / "import.json").read_text())
    assert record["without_effect"] == ["feature_extractor.visual_projection.weight"]


def test_gend_of_a_dino(pictures, tmp_path: Path) -> None:
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    torch.manual_seed(1)
    config = DINOv3ViTConfig(**{**WIDE, "image_size": 224, "patch_size": 32}, num_register_tokens=2)
    config.save_pretrained(tmp_path / "dino")
    model, head = DINOv3ViTModel(config).eval(), nn.Linear(128, 2)
    tensors = {f"feature_extractor.backbone.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"model.linear.{name}": value for name, value in head.state_dict().items()}
    folder = gend_folder(tmp_path / "gend", tensors, "linear", "facebook/dinov3-small")
    import_weights(folder, "gend", tmp_path / "out", vision_tower=tmp_path / "dino")
    detector = load_detector(str(tmp_path / "out"), "cpu")
    pixels = Normalise(detector.settings)(torch.from_numpy(np.stack([detector.prepare(p) for p in pictures])))
    with torch.no_grad():
        expected = torch.softmax(head(model(pixels).last_hidden_state[:, 0]).double(), dim=1)[:, 1].numpy()
    assert detector.settings.size == 224 and detector.settings.mean[0] == 0.485
    assert detector.predict(pictures) == pytest.approx(expected, abs=1e-6)


def test_gend_of_a_perception_encoder(pictures, tmp_path: Path) -> None:
    import timm

    name = "vit_pe_core_tiny_patch16_384"
    torch.manual_seed(1)
    model = timm.create_model(name, dynamic_img_size=True).eval()
    model.head = nn.Identity()
    head = nn.Linear(model.num_features, 2)
    tensors = {f"feature_extractor.backbone.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"model.linear.{name}": value for name, value in head.state_dict().items()}
    import_weights(gend_folder(tmp_path / "gend", tensors, "linear", name), "gend", tmp_path / "out")
    detector = load_detector(str(tmp_path / "out"), "cpu")
    pixels = Normalise(detector.settings)(torch.from_numpy(np.stack([detector.prepare(p) for p in pictures])))
    with torch.no_grad():
        expected = torch.softmax(head(model(pixels)).double(), dim=1)[:, 1].numpy()
    assert detector.settings.mean == (0.5, 0.5, 0.5)
    assert detector.predict(pictures) == pytest.approx(expected, abs=1e-6)


def clip_folder(folder: Path):
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(2)
    model = CLIPVisionModelWithProjection(CLIPVisionConfig(**WIDE, projection_dim=24)).eval()
    model.save_pretrained(folder)
    return model


def test_univfd(pictures, tmp_path: Path) -> None:
    model, head = clip_folder(tmp_path / "clip"), nn.Linear(24, 1)
    torch.save(head.state_dict(), tmp_path / "fc_weights.pth")
    import_weights(tmp_path / "fc_weights.pth", "univfd", tmp_path / "out", vision_tower=tmp_path / "clip")
    (tmp_path / "clip").rename(tmp_path / "gone")  # the folder has all weights
    detector = load_detector(str(tmp_path / "out"), "cpu")
    large = [np.pad(picture, ((4, 4), (6, 6), (0, 0))) for picture in pictures]  # cut out again, not resized
    pixels = Normalise(detector.settings)(torch.from_numpy(np.stack(pictures)))
    with torch.no_grad():
        expected = torch.sigmoid(head(model(pixels).image_embeds).double())[:, 0].numpy()
    assert detector.settings.fit == "cut" and detector.predict(large) == pytest.approx(expected, abs=1e-6)
    torch.save(nn.Linear(25, 1).state_dict(), tmp_path / "other.pth")
    with pytest.raises(DetectorError, match=r"tensor 'weight' of another shape \(\[1, 25\], not \[1, 24\]\)"):
        import_weights(tmp_path / "other.pth", "univfd", tmp_path / "b", vision_tower=tmp_path / "gone")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("backbone.encoder.layers.1.self_attn.v_proj.S_residual"), r"v_proj\.S_residual' missing"),
        (lambda t: t.pop("head.bias"), r"'head\.bias' missing"),
        (lambda t: t.update({"odd": torch.zeros(1)}), r"tensor 'odd' unexpected"),
        (lambda t: t.update({"head.weight": torch.zeros(2, 7)}), r"'head\.weight' of another shape"),
        (lambda t: t.update({"head.weight": torch.full((2, 128), torch.nan)}), r"'head\.weight'.* not finite"),
        (
            lambda t: [t.pop(name) for name in list(t) if name.startswith("backbone.embeddings")],
            r"class_embedding' missing",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(change, message: str, tmp_path: Path) -> None:
    tensors, _, _ = effort_file("")
    change(tensors)
    torch.save(tensors, tmp_path / "effort.pth")
    with pytest.raises(DetectorError, match=message) as error:
        import_weights(tmp_path / "effort.pth", "effort", tmp_path / "out")
    assert "\n" not in str(error.value) and not (tmp_path / "out" / "card.yaml").exists()
