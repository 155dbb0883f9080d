"""Published weights of tuned CLIPs: Effort, UnivFD, GenD, DF40's CLIP and Forensics Adapter, as detectors.

Names of tensors are facts of the authors' files. Two outputs, 0 real and 1 fake, become one logit: the sigmoid of their
difference is the softmax of the second.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from ...cards.settings import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD
from ...core.errors import DetectorError, first_line, near
from ...core.files import sha256, write_json, write_text
from ...core.locks import holding_vacant
from ...core.sources import installed_versions
from ...core.tensors import write_tensors
from ...core.written import Written
from ...version import __version__
from ..m2f2det.released.files import CONFIG, Tensors, read_config
from ..m2f2det.released.importing import CARD, LICENCE, RECORD, WEIGHTS
from ..m2f2det.released.names import VISION, Reader
from ..weights.load import Shapes, check_shapes, shapes_of
from ..weights.names import WORDS, reworded
from ..weights.pretrained import quiet
from .backbones import empty_backbone, open_backbone
from .network import TunedNetwork
from .options import BackboneSource, TransformersSource, TunedOptions, Tuning
from .tuning import split_attention

CLIP_L14 = "openai/clip-vit-large-patch14"
BUFFERS = "position_ids"
HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Form:
    """What one kind of published file holds. `backbone` and `head` are the beginnings of its tensors' names."""

    title: str
    reference: str
    backbone: str
    head: str
    tune: Tuning = "full"
    fit: str = "squash"
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD
    words: Mapping[str, str] = field(default_factory=dict)
    """Other beginnings of names that some files have."""
    unused: str = r"$^"
    """Pattern of names of tensors that no score depends on."""
    why: str = ""
    """Why no score depends on them."""
    notes: tuple[str, ...] = ()


FORMS = {
    "effort": Form(
        "Effort (CLIP ViT-L/14)",
        "Yan et al., Orthogonal Subspace Decomposition for Generalizable AI-Generated Image Detection, ICML 2025, "
        "arXiv 2411.15633",
        "backbone.",
        "head.",
        tune="svd",
        unused=r".*\.self_attn\.[a-z]+_proj\.[SUV]_r$",
        why="factors of the principal part, which the file has as a whole too",
        notes=("not as in the paper: trained with cross-entropy alone; the terms of orthogonality are commented out",),
    ),
    "df40-clip": Form(
        "CLIP, trained in full (DF40, DeepfakeBench)",
        "Yan et al., DF40: Toward Next-Generation Deepfake Detection, NeurIPS 2024 Datasets and Benchmarks, arXiv "
        "2406.13495",
        "backbone.",
        "head.",
        mean=HALF,
        std=HALF,
        words=WORDS,
        notes=("its code normalises with mean and deviation .5, not with CLIP's own",),
    ),
    "gend": Form(
        "GenD",
        "Yermakov et al., Deepfake Detection that Generalizes Across Benchmarks, WACV 2026, arXiv 2508.06248",
        "feature_extractor.vision_model.",
        "model.linear.",
        tune="layernorm",
        fit="centre",
        unused=r"feature_extractor\.visual_projection\.weight$",
        why="CLIP's projection: the head reads the pooled token before it",
    ),
}
UNIVFD = Form(
    "UnivFD (CLIP ViT-L/14, linear probe)",
    "Ojha et al., Towards Universal Fake Image Detectors that Generalize Across Generative Models, CVPR 2023, arXiv "
    "2302.10174",
    "",
    "",
    tune="probe",
    fit="cut",
    notes=("trained on pictures of ProGAN, not on faces: compare it where that is said",),
)
KINDS = (*FORMS, "univfd", "forada")
WITH_TOWER = ("univfd", "gend")
"""Kinds whose file may need another model's folder."""


@dataclass
class _Read:
    """A published file's detector: card, tensors by our names, names without effect, and notes."""

    card: dict[str, Any]
    tensors: dict[str, torch.Tensor]
    unused: list[str]
    notes: list[str]


def import_tuned(file: Path, kind: str, out: Path, tower: str | Path | None = None) -> Written:
    """Write published weights as a detector's folder: `model.safetensors`, `card.yaml`, `import.json`.

    `kind` is one of KINDS; `tower` is the backbone of a file that has none (UnivFD's has only the head), or the
    configuration of one whose shapes do not tell it (GenD's DINO): a folder or a hub's name. Returns the card's path.
    Raises M2F2BenchError for a file that lacks a tensor, has one too many or one of another shape, for values that are
    not finite, and for an `out` that is not empty.
    """
    import yaml

    if kind not in KINDS:
        raise DetectorError(f"unknown kind of weights '{kind}'{near(kind, KINDS)}")
    if tower is not None and kind not in WITH_TOWER:
        raise DetectorError(f"weights of the kind {kind} have their own image tower: leave --vision-tower out")
    with holding_vacant(out):
        source = Tensors(file)
        read = _read(source, kind, tower)
        write_tensors(out / WEIGHTS, read.tensors, {"architecture": f"tuned {kind}"})
        record = {
            "kind": kind,
            "files": {path.name: sha256(path) for path in source.files},
            "without_effect": read.unused,
            "stubbed": source.stubbed,
            "notes": read.notes,
            "versions": {"m2f2bench": __version__, **installed_versions(("torch", "transformers", "timm"))},
        }
        write_json(out / RECORD, record)
        write_text(out / CARD, yaml.safe_dump({"name": kind, **read.card}, sort_keys=False, allow_unicode=True))
    return Written(out / CARD)


def _read(source: Tensors, kind: str, tower: str | Path | None) -> _Read:
    """Read a file of one of KINDS."""
    if kind == "univfd":
        return _univfd(source, tower)
    if kind == "forada":
        from ..forada.published import NOTES, read_forada

        card, tensors, unused = read_forada(source, plain_names(source.names(), {}))
        return _Read({**card, "weights": WEIGHTS, "licence": LICENCE}, tensors, unused, [*NOTES])
    return _whole(source, kind, tower)


def plain_names(names: list[str], words: Mapping[str, str]) -> dict[str, str]:
    """Return a file's names by their plain form, without buffers that hold no weights."""
    return {own: there for own, there in reworded(names, words).items() if not own.endswith(BUFFERS)}


def _whole(source: Tensors, kind: str, tower: str | Path | None) -> _Read:
    """Read a file that has backbone and head."""
    names = plain_names(source.names(), FORMS[kind].words)
    shapes = {name: source.shape(there) for name, there in names.items()}
    form, options, size = _options(FORMS[kind], shapes, source.path, tower)
    network = _empty(options, f"weights '{source.path}'")
    own = {_there(name, form): name for name in network.state_dict()}
    unused = [name for name in names if name not in own and re.match(form.unused, name)]
    expected = {there: shapes_of(network.state_dict())[name] for there, name in own.items()}
    head = f"{form.head}weight"
    if head in shapes and shapes[head][:1] == (2,):
        expected |= {head: (2, *expected[head][1:]), f"{form.head}bias": (2,)}
    check_shapes(expected, {name: shape for name, shape in shapes.items() if name not in unused}, source.path, kind)
    tensors = {name: source.finite(names[there], source.path).float() for there, name in own.items()}
    _fold(tensors)
    notes = list(form.notes)
    if unused:
        notes.insert(0, f"{len(unused)} tensors have no effect on a score and were left out: {form.why}")
    return _Read(_card(form, options, size), tensors, unused, notes)


def _there(name: str, form: Form) -> str:
    """Return the file's name of one of our tensors."""
    part, _, rest = name.partition(".")
    return (form.head if part == "head" else form.backbone) + rest


def _empty(options: TunedOptions, where: str) -> TunedNetwork:
    made = empty_backbone(options, where)
    if options.tune == "svd":
        split_attention(made.module, options.svd_rank, where, empty=True)
    return TunedNetwork(made, options.unit_norm)


def _fold(tensors: dict[str, torch.Tensor]) -> None:
    """Make one output of two: that of fake minus that of real."""
    if tensors["head.bias"].shape[0] == 2:
        for name in ("head.weight", "head.bias"):
            tensors[name] = tensors[name][1:] - tensors[name][:1]


def _options(form: Form, shapes: Shapes, path: Path, tower: str | Path | None) -> tuple[Form, TunedOptions, int]:
    """Return the file's form, the options of its detector, and the size of its input."""
    config = read_config(path / CONFIG) if path.is_dir() and (path / CONFIG).is_file() else {}
    if form is FORMS["gend"] and not any(name.startswith(form.backbone) for name in shapes):
        form, source = _other_backbone(form, str(config.get("backbone", "")), path, tower)
        feature, size = None if source.timm is not None else "cls", 224
    else:
        (source, size), feature = _clip(form, shapes, path), "pooled"
    rank = next((shape[0] for name, shape in shapes.items() if name.endswith(".S_residual") and shape), 1)
    unit_norm = config.get("head") == "LinearNorm"
    options = {"backbone": source, "feature": feature, "unit_norm": unit_norm, "tune": form.tune, "svd_rank": rank}
    return form, TunedOptions.model_validate(options), size


def _clip(form: Form, shapes: Shapes, path: Path) -> tuple[BackboneSource, int]:
    """Return the CLIP image tower that a file's shapes tell, and the size of its images. Raises DetectorError."""
    own = {VISION + n.removeprefix(form.backbone): tuple(s) for n, s in shapes.items() if n.startswith(form.backbone)}
    vision = Reader(own, path).vision()
    config = {"model_type": "clip_vision_model", **vision.model_dump()}
    return BackboneSource(transformers=TransformersSource(config=config)), vision.image_size


def _other_backbone(form: Form, name: str, path: Path, tower: str | Path | None) -> tuple[Form, BackboneSource]:
    """Return GenD's other backbones: of timm by its name (PE), or of transformers by `tower`'s configuration (DINO)."""
    form = replace(form, backbone="feature_extractor.backbone.")
    if name.startswith("vit_pe"):
        source = {"timm": {"model": name, "model_kwargs": {"dynamic_img_size": True}}}
        return replace(form, mean=HALF, std=HALF), BackboneSource.model_validate(source)
    form = replace(form, mean=IMAGENET_MEAN, std=IMAGENET_STD, fit="squash")
    place = str(tower or name)
    if not place:
        raise DetectorError(
            f"weights '{path}' have another backbone than CLIP, and no config.json names it: give the whole folder"
        )
    from transformers import AutoConfig

    try:
        with quiet():
            config: Any = AutoConfig.from_pretrained(place)
    except Exception as error:
        raise DetectorError(
            f"the configuration of backbone '{place}' cannot be loaded ({first_line(error)}): give --vision-tower a "
            "folder with its config.json"
        ) from None
    values = {**config.to_diff_dict(), "model_type": config.model_type}
    kept = {
        key: value for key, value in values.items() if key not in ("transformers_version", "architectures", "dtype")
    }
    return form, BackboneSource(transformers=TransformersSource(config=kept))


def _univfd(source: Tensors, tower: str | Path | None) -> _Read:
    """Read a file that has only the head, `weight` [1, d] and `bias` [1], and take the backbone from `tower`."""
    names = plain_names(source.names(), {"fc.": ""})
    shapes = {name: source.shape(there) for name, there in names.items()}
    place = str(tower or CLIP_L14)
    path = Path(place).expanduser()
    options = TunedOptions.model_validate(
        {
            "backbone": {
                "transformers": {
                    "name": str(path.resolve()) if path.exists() else place,
                    "architecture": "CLIPVisionModelWithProjection",
                }
            },
            "feature": "projected",
            "tune": "probe",
        }
    )
    made = open_backbone(options, Path.cwd(), f"weights '{source.path}'")
    network = TunedNetwork(made, unit_norm=False)
    check_shapes({"weight": (1, made.width), "bias": (1,)}, shapes, source.path, "univfd with this CLIP")
    tensors: dict[str, torch.Tensor] = dict(network.state_dict())
    tensors |= {f"head.{name}": source.finite(there, source.path).float() for name, there in names.items()}
    filled = options.model_copy(update={"backbone": made.source})
    assert made.source.transformers is not None and made.source.transformers.config is not None
    size = int(made.source.transformers.config.get("image_size", 224))
    notes = [f"the file has only the head: CLIP's image tower is that of '{place}'", *UNIVFD.notes]
    return _Read(_card(UNIVFD, filled, size), tensors, [], notes)


def _card(form: Form, options: TunedOptions, size: int) -> dict[str, Any]:
    """Return the content of the card but its name. The training data is unknown: it is not in the file."""
    source = options.backbone.transformers
    if source is not None:  # the weights are all here
        kept = BackboneSource(transformers=source.model_copy(update={"name": None}))
        options = options.model_copy(update={"backbone": kept})
    inputs = {"size": size, "fit": form.fit, "interpolation": "bicubic", "mean": [*form.mean], "std": [*form.std]}
    return {
        "description": f"{form.title}, imported from a published file",
        "backend": "tuned",
        "weights": WEIGHTS,
        "input": inputs,
        "options": options.model_dump(mode="json", exclude_defaults=True),
        "licence": LICENCE,
        "reference": form.reference,
    }
