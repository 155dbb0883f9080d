"""Looks of known networks: which network a file's names belong to, for the message about a file that does not fit.

Names are facts about published files; nothing is built to compare. A look that is more special comes first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Shape = Sequence[int]


@dataclass(frozen=True)
class Look:
    """Ends of names that a network's file has, all of them (`*` stands for anything), and none of those in `without`.

    `shapes` are lengths of single dimensions: (name's end, dimension, length).
    """

    network: str
    ends: tuple[str, ...]
    without: tuple[str, ...] = ()
    shapes: tuple[tuple[str, int, int], ...] = ()


XCEPTION = ("block1.rep.0.conv1.weight", "block12.rep.*.pointwise.weight", "conv4.pointwise.weight")
RESNET = ("layer1.0.conv1.weight", "layer4.0.conv1.weight", "bn1.running_mean")

LOOKS = (
    Look("M2F2-Det's released detector (import-weights --as m2f2det-released-detector)", ("bridge_adapter_proj.*",)),
    Look(
        "M2F2-Det's released explainer (import-weights --as m2f2det-released-explainer)",
        ("deepfake_encoder.*", "deepfake_proj*", "vision_proj*"),
    ),
    Look("F3Net of DeepfakeBench (import-weights --as deepfakebench-f3net)", (*XCEPTION, "FAD_head.filters.0.base")),
    Look("SRM of DeepfakeBench (import-weights --as deepfakebench-srm)", ("srm_conv0.*", "dual_cma0.*")),
    Look(
        "RECCE of DeepfakeBench (import-weights --as deepfakebench-recce)",
        ("encoder.block1.rep.0.conv1.weight", "*decoder*", "*encoder.conv1.weight"),
    ),
    Look("UCF of DeepfakeBench (import-weights --as deepfakebench-ucf)", ("encoder_f.*", "block_sha.*", "head_sha.*")),
    Look("FFD of DeepfakeBench (import-weights --as deepfakebench-ffd)", (*XCEPTION, "map.c.pointwise.weight")),
    Look(
        "Capsule-Forensics of DeepfakeBench (import-weights --as deepfakebench-capsule)",
        ("vgg_1.0.weight", "routing_stats.route_weights"),
    ),
    Look("SPSL of DeepfakeBench (an Xception with four input channels)", XCEPTION, shapes=(("conv1.weight", 1, 4),)),
    Look("an Xception (DeepfakeBench's xception or core, timm's legacy_xception)", XCEPTION),
    Look(
        "MesoInception-4 of DeepfakeBench (import-weights --as deepfakebench-meso4Inception)",
        ("Incption1_conv1.weight", "Incption2_bn.weight"),
    ),
    Look(
        "Meso-4 of DeepfakeBench",
        ("conv4.weight", "bn2.running_mean", "fc1.weight", "fc2.weight"),
        ("layer1.*", "block1.*"),
    ),
    Look("LSDA (import-weights --as lsda)", ("student_encoder.*", "binary_classifier.*")),
    Look("SBI's EfficientNet-B4 (import-weights --as sbi)", ("net._conv_stem.weight", "net._fc.weight")),
    Look(
        "EfficientNet-B4 of DeepfakeBench (import-weights --as deepfakebench-effnb4)",
        ("efficientnet._conv_stem.weight",),
    ),
    Look("an EfficientNet with the names of efficientnet_pytorch", ("_conv_stem.weight", "_blocks.0._bn1.weight")),
    Look("Effort (import-weights --as effort)", ("self_attn.q_proj.S_residual", "self_attn.q_proj.weight_main")),
    Look("GenD (a CLIP with tuned LayerNorms)", ("feature_extractor.vision_model.*", "linear.weight")),
    Look("a Hugging Face CLIP", ("vision_model.pre_layrnorm.weight",)),
    Look("an image tower of OpenAI's CLIP", ("visual.conv1.weight", "visual.ln_pre.weight")),
    Look("a Hugging Face ViT", ("embeddings.cls_token", "encoder.layer.0.attention.attention.query.weight")),
    Look("a Swin transformer", ("*.relative_position_bias_table",)),
    Look("a vision transformer with timm's names", ("patch_embed.proj.weight", "blocks.0.attn.qkv.weight")),
    Look("a ConvNeXt with timm's names", ("stages.0.blocks.0.conv_dw.weight",)),
    Look("a MobileNetV3 or EfficientNet with timm's names", ("conv_stem.weight", "blocks.0.0.conv_dw.weight")),
    Look("a DenseNet", ("features.denseblock1.denselayer1.conv1.weight",)),
    Look("a MobileNetV2 of torchvision", ("features.0.0.weight", "features.1.conv.0.0.weight")),
    Look("an EfficientNet of torchvision", ("features.0.0.weight", "features.1.0.block.0.0.weight")),
    Look("a VGG or AlexNet of torchvision", ("features.0.weight", "classifier.6.weight")),
    Look("a probe of this package (mean, scale, coef, intercept)", ("coef", "intercept", "mean", "scale")),
)
DEPTHS = {
    (False, (2, 2, 2, 2)): "a ResNet-18",
    (False, (1, 1, 1, 1)): "a ResNet-10 (small-cnn)",
    (False, (3, 4, 6, 3)): "a ResNet-34 (CNN-Aug)",
    (True, (3, 4, 6, 3)): "a ResNet-50",
    (True, (3, 4, 23, 3)): "a ResNet-101",
    (True, (3, 8, 36, 3)): "a ResNet-152",
}
"""Depths of the four stages, with bottlenecks or without."""


def looks_like(shapes: Mapping[str, Shape]) -> str:
    """Return the known network that a file's names (and shapes) look like; "" for none."""
    names = list(shapes)
    for look in LOOKS:
        named = all(_has(names, end) for end in look.ends) and not any(_has(names, end) for end in look.without)
        if named and all(_length(shapes, end, place) == length for end, place, length in look.shapes):
            return look.network
    if all(_has(names, end) for end in RESNET):
        return _resnet(names)
    if {name: tuple(shape) for name, shape in shapes.items()} == {"weight": (1, 768), "bias": (1,)}:
        return "UnivFD's linear layer (on a CLIP ViT-L/14)"
    return ""


def _has(names: Iterable[str], end: str) -> bool:
    pattern = re.compile(r"(?:^|.*\.)" + re.escape(end).replace(r"\*", ".*") + "$")
    return any(pattern.match(name) for name in names)


def _length(shapes: Mapping[str, Shape], end: str, place: int) -> int | None:
    """Return the length of one dimension of the first tensor whose name ends so, by the shortest name."""
    found = sorted((name for name in shapes if f".{name}".endswith(f".{end}")), key=len)
    shape = shapes[found[0]] if found else ()
    return shape[place] if place < len(shape) else None


def _resnet(names: Sequence[str]) -> str:
    """Return which ResNet it is, by the blocks of its stages."""
    found = [re.match(r"(?:.*\.)?layer([1-4])\.(\d+)\.conv1\.weight$", name) for name in names]
    last = {stage: max((int(m[2]) + 1 for m in found if m and m[1] == stage), default=0) for stage in "1234"}
    deep = _has(names, "layer1.0.conv3.weight")
    depths = (last["1"], last["2"], last["3"], last["4"])
    return DEPTHS.get((deep, depths), f"a ResNet with stages of {', '.join(map(str, depths))} blocks")
