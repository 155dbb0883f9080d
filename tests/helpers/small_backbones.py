"""Small backbones of transformers and timm with random weights, and cards of `tuned` detectors that have them."""

from __future__ import annotations

from typing import Any

from m2f2bench.cards.models import DetectorCard

VIT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
CLIP = {"model_type": "clip_vision_model", "projection_dim": 24, **VIT}
PROJECTED = "CLIPVisionModelWithProjection"


def transformers(config: dict[str, Any], architecture: str | None = None) -> dict[str, Any]:
    return {"transformers": {"config": config, "architecture": architecture}}


def timm(model: str, **more: Any) -> dict[str, Any]:
    return {"timm": {"model": model, "model_kwargs": more}}


BACKBONES = {
    "clip": transformers(CLIP),
    "clip-projected": transformers(CLIP, PROJECTED),
    "dinov3": transformers({"model_type": "dinov3_vit", "num_register_tokens": 2, **VIT}),
    "siglip": transformers({"model_type": "siglip_vision_model", **VIT}),
    "vit": transformers({"model_type": "vit", **VIT}, "ViTForImageClassification"),
    "dinov2": transformers({"model_type": "dinov2", **VIT}, "Dinov2ForImageClassification"),
    "convnext": transformers(
        {"model_type": "convnext", "hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
        "ConvNextForImageClassification",
    ),
    "resnet": transformers(
        {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
        "ResNetForImageClassification",
    ),
    "videomae": transformers(
        {"model_type": "videomae", "num_frames": 4, "tubelet_size": 2, **VIT}, "VideoMAEForVideoClassification"
    ),
    "pe": timm("vit_pe_core_tiny_patch16_384", img_size=32, depth=2),
    "timm-vit": timm("test_vit", img_size=32),
    "timm-resnet": timm("test_resnet", zero_init_last=False),
}
"""By name: the options of a backbone; all take images of 32 pixels."""
WITHOUT_TRANSFORMER = ("convnext", "resnet", "timm-resnet")
WITHOUT_LAYER_NORM = ("resnet", "timm-resnet")


def tuned_card(backbone: str, tune: str = "full", **more: Any) -> DetectorCard:
    """A card without weights."""
    options = {"backbone": BACKBONES[backbone], "tune": tune, **more}
    if backbone == "clip-projected":
        options["feature"] = "projected"
    if backbone == "videomae":
        options["frames"] = 4
    return DetectorCard(name=f"small-{backbone}", backend="tuned", input={"size": 32}, options=options)
