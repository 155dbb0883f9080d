"""The published file of Forensics Adapter, as a detector's tensors.

Its CLIP has OpenAI's names, and stands in the file twice; the second copy, CLIP's text tower, the decoder of blending
boundaries and unused layers of the side network have no part in a score.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from ...cards.settings import CLIP_MEAN, CLIP_STD
from ...core.errors import DetectorError
from ..m2f2det.released.files import Tensors
from ..m2f2det.released.names import HEAD_WIDTH
from ..tuned.backbones import empty_backbone
from ..tuned.options import TransformersSource
from ..weights.load import Shapes, check_shapes, shapes_of
from .detector import ARCHITECTURE, clip_source
from .network import ForadaOptions, ForensicsAdapter

VISUAL = "clip_model.visual."
OPENAI = {
    "embeddings.class_embedding": "class_embedding",
    "embeddings.patch_embedding.weight": "conv1.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "pre_layrnorm": "ln_pre",
    "post_layernorm": "ln_post",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
"""OpenAI's names of CLIP's tensors and layers, by those of transformers."""
PARTS = ("q_proj", "k_proj", "v_proj")
"""What OpenAI's `in_proj` is made of, in its order."""
HEAD, LAST = "clip_post_process.", "clip_post_process.second_process.4."
INTRA = "rec_attn_clip.clip_intra_blocks.0."
UNUSED = re.compile(
    r"clip_model\.(?!visual\.)|rec_attn_clip\.(?!clip_intra_blocks\.)|masked_xray_post_process\.|"
    r"adapter\.vit_model\.(patch_embed\.|blocks\.(8|9|10|11)\.)|adapter\.mask_decoder\.xray_mlp\."
)
NOTES = (
    "the fusion layers of the authors' code are drawn anew in each forward pass and are not in the file: they are left "
    "out, so that scores are repeatable; the scores of the authors' own code change from call to call",
)
REFERENCE = (
    "Cui et al., Forensics Adapter: Adapting CLIP for Generalizable Face Forgery Detection, CVPR 2025, arXiv 2411.19715"
)


def read_forada(source: Tensors, names: dict[str, str]) -> tuple[dict[str, Any], dict[str, torch.Tensor], list[str]]:
    """Return card, tensors by our names, and names without effect, of a file with the plain `names`.

    Raises DetectorError for a tensor that is missing, one too many, or of another shape.
    """
    shapes = {name: source.shape(there) for name, there in names.items()}
    options = _options(shapes, source.path)
    clip_config: Any = options.clip.config
    size = 16 * (clip_config["image_size"] // clip_config["patch_size"])
    made = empty_backbone(clip_source(options), f"weights '{source.path}'")
    network = ForensicsAdapter(made.module, options, size)
    own = shapes_of(network.state_dict())
    expected: dict[str, tuple[int, ...]] = {}
    for name, shape in own.items():
        there, part = published_name(name)
        whole = (3 * shape[0], *shape[1:]) if part is not None else shape
        expected[there] = (shape[1], shape[0]) if there == f"{VISUAL}proj" else whole
    expected |= {f"{LAST}weight": (2, *expected[f"{LAST}weight"][1:]), f"{LAST}bias": (2,)}
    unused = [name for name in names if name not in expected and UNUSED.match(name)]
    check_shapes(expected, {name: shape for name, shape in shapes.items() if name not in unused}, source.path, "forada")
    tensors = {name: _tensor(name, source, names) for name in own}
    return _card(options, size), tensors, unused


def published_name(name: str) -> tuple[str, int | None]:
    """Return the file's name of one of our tensors, and which third of it that is; None: it is the whole."""
    if name.startswith("head."):
        return HEAD + name.removeprefix("head."), None
    if name.startswith("intra."):
        return INTRA + name.removeprefix("intra."), None
    if not name.startswith("clip."):
        return name, None
    if name == "clip.visual_projection.weight":
        return f"{VISUAL}proj", None
    rest = name.removeprefix("clip.vision_model.")
    attention = re.fullmatch(r"encoder\.layers\.(\d+)\.self_attn\.([qkv]_proj)\.(weight|bias)", rest)
    if attention is not None:
        third = PARTS.index(attention[2])
        return f"{VISUAL}transformer.resblocks.{attention[1]}.attn.in_proj_{attention[3]}", third
    for theirs, openai in OPENAI.items():
        rest = rest.replace(theirs, openai)
    return VISUAL + rest.replace("encoder.layers.", "transformer.resblocks."), None


def _tensor(name: str, source: Tensors, names: dict[str, str]) -> torch.Tensor:
    there, part = published_name(name)
    value = source.read(names[there]) if name.endswith("tracked") else source.finite(names[there], source.path).float()
    if part is not None:
        return value.chunk(3)[part].clone()
    if there == f"{VISUAL}proj":
        return value.T.contiguous()
    return value[1:] - value[:1] if there.startswith(LAST) else value


def _options(shapes: Shapes, path: Path) -> ForadaOptions:
    """Return the sizes that the shapes tell. Raises DetectorError if one of the tensors that do is missing."""

    def size(name: str, axis: int, dims: int) -> int:
        found = tuple(shapes.get(name, ()))
        if len(found) != dims or not all(found):
            state = "is missing" if name not in shapes else f"has another shape, {list(found)}"
            raise DetectorError(f"weights '{path}' do not fit forada: tensor '{name}' {state}")
        return found[axis]

    width, patch = size(f"{VISUAL}conv1.weight", 0, 4), size(f"{VISUAL}conv1.weight", 3, 4)
    grid = round((size(f"{VISUAL}positional_embedding", 0, 2) - 1) ** 0.5)
    found = [re.match(r"clip_model\.visual\.transformer\.resblocks\.(\d+)\.", name) for name in shapes]
    layers = 1 + max((int(one[1]) for one in found if one), default=1)
    side, heads = size("adapter.query_embed", 2, 3), max(1, width // HEAD_WIDTH)
    config = {
        "model_type": "clip_vision_model",
        "hidden_size": width,
        "intermediate_size": size(f"{VISUAL}transformer.resblocks.0.mlp.c_fc.weight", 0, 2),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "image_size": grid * patch,
        "patch_size": patch,
        "projection_dim": size(f"{VISUAL}proj", 1, 2),
    }
    return ForadaOptions(
        clip=TransformersSource(config=config, architecture=ARCHITECTURE),
        queries=size("adapter.query_embed", 1, 3),
        side_width=side,
        side_heads=max(1, side // HEAD_WIDTH),
        mlp_width=size("adapter.mask_decoder.query_mlp.layers.0.weight", 0, 2),
        decoder_width=size("adapter.mask_decoder.query_mlp.layers.2.weight", 0, 2),
        intra_after=min(7, layers - 1),
        intra_width=size(f"{INTRA}conv_first.weight", 0, 3),
    )


def _card(options: ForadaOptions, size: int) -> dict[str, Any]:
    inputs = {"size": size, "fit": "squash", "interpolation": "bicubic", "mean": [*CLIP_MEAN], "std": [*CLIP_STD]}
    return {
        "description": "Forensics Adapter, imported, without the fusion layers that its code draws anew in each pass",
        "backend": "forada",
        "input": inputs,
        "options": options.model_dump(mode="json", exclude_defaults=True),
        "reference": REFERENCE,
    }
