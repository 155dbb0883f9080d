"""Forms of published files: which network each holds, under which names, and what in it no score depends on.

Everything here is data, without torch: `importing` builds a network and compares it with a file. Facts are from the
files and the code of DeepfakeBench (v1.0.1) and SBI.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

LICENCE = "that of the published weights: see where they were fetched"
BENCH = "Yan et al., DeepfakeBench, NeurIPS 2023 Datasets and Benchmarks, https://github.com/SCLBD/DeepfakeBench"
TRAINED = (
    "DeepfakeBench says that it trains on FaceForensics++ c23; the file does not say it: name what this one was "
    "trained on as `training_datasets` on the card"
)
HALVES = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


@dataclass(frozen=True)
class Form:
    """One kind of published file."""

    backend: str
    """The backend of its network."""
    title: str
    paper: str
    names: Callable[[str], str] = str
    """The name in the file of one of our tensors."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the backend, beside two outputs."""
    input: dict[str, Any] = field(default_factory=lambda: {"size": 256, **HALVES})
    training: tuple[str, ...] = ()
    """Beginnings of names of parts that serve the training only: left out, whatever their shapes."""
    unused: str = ""
    """The function of `parts` that gives names and shapes of tensors that the file has and no score depends on."""
    why: str = ""
    """Why no score depends on them."""
    deviates: str = ""
    """Where the code that made the file is not its paper."""
    source: str = BENCH
    notes: tuple[str, ...] = (TRAINED,)


def _prefixed(prefix: str) -> Callable[[str], str]:
    return lambda name: prefix + name


def _inception(name: str) -> str:
    """Return the published spelling of MesoInception-4's modules."""
    return re.sub(r"inception(\d)\.", r"Incption\1_", name)


def _efficientnet(backbone: str, head: str) -> Callable[[str], str]:
    """Return the names of an EfficientNet-B4 whose file has these prefixes of the network and the last layer."""

    def named(name: str) -> str:
        from ..cnn.efficientnet import published_name

        part, _, rest = name.partition(".")
        return f"{head}.{rest}" if part == "classifier" else f"{backbone}.{published_name(rest)}"

    return named


def _resnet(name: str) -> str:
    from ..cnn.resnet import published_name

    return published_name(name)


def _lsda(name: str) -> str:
    from ..cnn.lsda import published_name

    return published_name(name)


ADJUST = "the layers after its last maps that only UCF uses"
DEEPFAKEBENCH = {
    "xception": Form(
        "xception", "Xception", "Rössler et al., FaceForensics++, ICCV 2019", unused="after_backbone", why=ADJUST
    ),
    "core": Form(
        "xception",
        "CORE (an Xception)",
        "Ni et al., CORE, CVPR workshops 2022",
        unused="after_backbone",
        why=ADJUST,
        deviates="its consistency loss compares the halves of a batch, which are different images and unaugmented, "
        "and not two views of one image",
    ),
    "meso4": Form(
        "meso4",
        "Meso-4",
        "Afchar et al., MesoNet, WIFS 2018",
        options={"variant": "deepfakebench"},
        deviates="convolutions 1 and 2 share one BatchNorm, and 3 and 4 another",
    ),
    "meso4Inception": Form(
        "mesoinception4",
        "MesoInception-4",
        "Afchar et al., MesoNet, WIFS 2018",
        _inception,
        options={"variant": "deepfakebench"},
        deviates="the last two convolutions share one BatchNorm, and there is no ReLU inside the inception modules",
    ),
    "cnnaug": Form(
        "cnn-aug",
        "CNN-Aug (ResNet-34)",
        "Wang et al., CNN-generated images are surprisingly easy to spot, CVPR 2020",
        _resnet,
        options={"variant": "deepfakebench"},
        deviates="a ResNet-34 with two outputs, for the paper's ResNet-50 with one",
    ),
    "effnb4": Form(
        "efficientnet-b4",
        "EfficientNet-B4",
        "Tan and Le, EfficientNet, ICML 2019",
        _efficientnet("backbone.efficientnet", "backbone.last_layer"),
        options={"variant": "deepfakebench"},
        deviates="the first convolution is unpadded, and the others are padded for 380 pixels at any size",
    ),
    "capsule": Form(
        "capsule",
        "Capsule-Forensics",
        "Nguyen et al., Use of a Capsule Network to Detect Fake Images and Videos, arXiv 1910.12467",
        options={"variant": "deepfakebench"},
        deviates="the softmax is taken twice, so that P(fake) lies between 0.27 and 0.73; VGG-19 is trained too, and "
        "the routing has neither noise nor dropout in training",
    ),
    "ffd": Form(
        "ffd",
        "FFD (an Xception with an attention map)",
        "Dang et al., On the Detection of Digital Face Manipulation, CVPR 2020",
        unused="after_backbone",
        why=ADJUST,
        deviates="its settings give no true masks, so that the attention map is trained with cross-entropy alone",
    ),
    "f3net": Form(
        "f3net",
        "F3Net (FAD alone)",
        "Qian et al., Thinking in Frequency (F3-Net), ECCV 2020",
        options={"variant": "deepfakebench"},
        unused="after_backbone",
        why=ADJUST,
        deviates="only the branch FAD: no LFS and no MixBlock",
    ),
    "spsl": Form(
        "spsl",
        "SPSL (a whole Xception)",
        "Liu et al., Spatial-Phase Shallow Learning, CVPR 2021",
        options={"variant": "deepfakebench"},
        unused="after_backbone",
        why=ADJUST,
        deviates="a whole Xception, where the paper's point is a shallow one",
    ),
    "srm": Form(
        "srm",
        "SRM two-stream",
        "Luo et al., Generalizing Face Forgery Detection with High-frequency Features, CVPR 2021",
        unused="srm",
        why="layers after the last maps of either stream, and a blur for training",
    ),
    "recce": Form(
        "recce",
        "RECCE",
        "Cao et al., End-to-End Reconstruction-Classification Learning, CVPR 2022",
        _prefixed("model."),
        unused="recce",
        why="a second, whole Xception, and the encoder's layer of 1,000 classes",
        deviates="trained with cross-entropy alone: neither the reconstruction nor the metric loss",
    ),
    "ucf": Form(
        "ucf",
        "UCF",
        "Yan et al., UCF: Uncovering Common Features, ICCV 2023",
        unused="ucf",
        why="content encoder, decoder and method-specific head serve the training only",
        deviates="its published inference gives no probability: the softmax of the common head is taken",
    ),
}
FORMS: dict[str, Form] = {
    "lsda": Form(
        "lsda",
        "LSDA (its student)",
        "Yan et al., Transcending Forgery Specificity with Latent Space Augmentation, CVPR 2024",
        _lsda,
        training=(
            *(f"model.{part}." for part in ("encoders_f", "encoder_c", "fc_weights", "mlp")),
            "model.student_encoder.model._fc.",
        ),
        why="teachers, the encoder of real faces and the fusion serve the training only",
        notes=(),
    ),
    **{f"deepfakebench-{name}": form for name, form in DEEPFAKEBENCH.items()},
    "sbi": Form(
        "efficientnet-b4",
        "SBI (EfficientNet-B4)",
        "Shiohara and Yamasaki, Detecting Deepfakes with Self-Blended Images, CVPR 2022",
        _efficientnet("net", "net._fc"),
        input={"size": 380, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
        source="https://github.com/mapooon/SelfBlendedImages",
        notes=(
            "SBI crops faces with a margin of 12.5% (`--crop sbi`), judges 32 frames a video, and takes the highest "
            "score of a frame's faces (`-p sbi`)",
        ),
    ),
}
"""Kinds of `import-weights --as`, beside those of M2F2-Det."""
