"""Parts of published files that no score depends on: names and shapes, without values."""

from __future__ import annotations

import torch

from ..cnn.ucf import CommonFeatures, Head
from ..cnn.xception import Xception
from ..weights.load import shapes_of

Shapes = dict[str, tuple[int, ...]]
METHODS = 5
"""Classes of UCF's method-specific head: real and the four manipulations of FaceForensics++."""
CLASSES = 1000
"""Classes of ImageNet."""


def joined(*parts: tuple[str, Shapes]) -> Shapes:
    """Return the shapes of parts, each under its prefix."""
    return {f"{prefix}.{name}" if prefix else name: shape for prefix, shapes in parts for name, shape in shapes.items()}


def adjust_channel() -> Shapes:
    """Return `adjust_channel` of an Xception."""
    with torch.device("meta"):
        whole = shapes_of(Xception(outputs=None, adjusted=True).state_dict())
    return {name: shape for name, shape in whole.items() if name.startswith("adjust_channel.")}


def xception() -> Shapes:
    """Return a whole Xception with two outputs, as DeepfakeBench has it."""
    with torch.device("meta"):
        return shapes_of(Xception(outputs=2).state_dict()) | adjust_channel()


def last_linear() -> Shapes:
    """Return the last layer of such an Xception."""
    return {name: shape for name, shape in xception().items() if name.startswith("last_linear.")}


def after_backbone() -> Shapes:
    """Return what the files of detectors with one Xception have and do not use."""
    return joined(("backbone", adjust_channel()))


def srm() -> Shapes:
    """Return what SRM's file has and does not use."""
    adjust = adjust_channel()
    return joined(
        ("backbone_rgb", adjust),
        ("backbone_srm", adjust | last_linear()),
        ("blur", {"weight": (3, 1, 7, 7)}),
    )


def recce() -> Shapes:
    """Return what RECCE's file has and does not use."""
    return joined(("backbone", xception()), ("model.encoder", {"fc.weight": (CLASSES, 2048), "fc.bias": (CLASSES,)}))


def ucf() -> Shapes:
    """Return what UCF's file has and does not use."""
    with torch.device("meta"):
        specific = shapes_of(CommonFeatures().state_dict())
        head = shapes_of(Head(METHODS, 0.0).state_dict())
    decoder: Shapes = {"conv_last.weight": (3, 64, 1, 1), "conv_last.bias": (3,)}
    for step, (inputs, outputs) in {"3": (512, 256), "2": (256, 128), "1": (128, 64)}.items():
        for layer, channels in (("0", inputs), ("2", outputs)):
            decoder[f"dconv_up{step}.{layer}.weight"] = (outputs, channels, 3, 3)
            decoder[f"dconv_up{step}.{layer}.bias"] = (outputs,)
    return joined(
        ("encoder_f", last_linear()),
        ("encoder_c", xception()),
        ("con_gan", decoder),
        ("block_spe", specific),
        ("head_spe", head),
    )
