"""The network of Forensics Adapter (Cui et al., CVPR 2025, arXiv 2411.19715), without its fusion layers.

The authors' code builds the layers that carry CLIP's features into the side network anew, with random weights, in each
forward pass: they are neither trained nor in a file. They are left out here. Tensors of the side network and of the
head have the names of the authors' files. What predicts the blending boundary serves training alone: `boundary.py`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from ...cards.settings import Settings
from ...core.errors import DetectorError
from ..tuned.network import TokenMap
from ..tuned.options import TransformersSource

if TYPE_CHECKING:
    from ...training.losses.base import Given, Rows

BLOCKED = -100.0
"""What the authors add to the attention that is not allowed."""
SIDE_PATCH, SIDE_GRID = 16, 14
"""Pixels of a patch of the side network, and the side of its table of positions (that of a ViT for 224 pixels)."""
INTRA_SHARE = 0.05
"""Share with which the bottleneck's output is added to CLIP's patches."""


class ForadaOptions(Settings):
    """Options of the backend `forada`; the defaults are the authors'."""

    clip: TransformersSource
    """The frozen CLIP."""
    queries: int = Field(default=128, ge=4)
    """Queries of the side network, and copies of the class token in CLIP."""
    side_width: int = Field(default=192, ge=8)
    side_heads: int = Field(default=3, ge=1)
    side_blocks: int = Field(default=8, ge=1)
    """Layers of the side network, a ViT-tiny of which the later ones are not used."""
    mlp_width: int = Field(default=256, ge=1)
    """Inner width of the decoder's perceptrons."""
    decoder_width: int = Field(default=128, ge=1)
    """Width in which a query and a patch are compared."""
    intra_after: int = Field(default=7, ge=1)
    """The bottleneck is added after this many layers of CLIP."""
    intra_width: int = Field(default=192, ge=1)
    """Inner width of that bottleneck."""
    contrast_after: tuple[int, ...] = (4, 5, 6)
    """The loss `forada` compares the patches of the side network after these layers; no score depends on it."""


class Seen(NamedTuple):
    """What comes out of the side network."""

    queries: torch.Tensor
    """As they are compared with patches, [B, Q, decoder_width]."""
    maps: torch.Tensor
    """The patches after the last layer, [B, side_width, g, g]."""
    patches: list[torch.Tensor]
    """The patches after the layers that were asked for, each [B, g², side_width]."""


class Perceptron(nn.Module):
    """Three layers with ReLU between them: linear ones for tokens [.., d], 1×1 convolutions for maps [B, d, h, w]."""

    def __init__(self, inputs: int, hidden: int, outputs: int, maps: bool) -> None:
        super().__init__()
        widths = [inputs, hidden, hidden, outputs]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 1) if maps else nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return as many tokens or cells, `outputs` wide."""
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        found: torch.Tensor = self.layers[-1](x)
        return found


class MaskDecoder(nn.Module):
    """Attention biases from the side network's queries and maps."""

    def __init__(self, options: ForadaOptions, heads: int) -> None:
        super().__init__()
        width, hidden, out = options.side_width, options.mlp_width, options.decoder_width
        self.heads = heads
        self.query_mlp = Perceptron(width, hidden, out, maps=False)
        self.attn_mlp = Perceptron(width, hidden, out * heads, maps=True)
        self.bias_scaling = nn.Linear(1, 1)

    def forward(self, queries: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        """Return biases [B, heads, Q, h · w] for the outputs of `query_mlp`, [B, Q, out], and maps [B, d, h, w]."""
        keys = self.attn_mlp(maps).flatten(2)
        keys = keys.view(len(maps), self.heads, -1, keys.shape[-1])
        products = torch.einsum("bqd,bhdn->bhqn", queries, keys)
        biases: torch.Tensor = self.bias_scaling(products[..., None])
        return biases[..., 0]


class SideTransformer(nn.Module):
    """The layers and positions of a vision transformer of timm."""

    def __init__(self, options: ForadaOptions) -> None:
        super().__init__()
        from timm.models.vision_transformer import VisionTransformer

        made = VisionTransformer(
            img_size=SIDE_GRID * SIDE_PATCH,
            patch_size=SIDE_PATCH,
            embed_dim=options.side_width,
            depth=options.side_blocks,
            num_heads=options.side_heads,
            num_classes=0,
        )
        self.blocks: nn.Sequential = made.blocks
        self.pos_embed = nn.Parameter(torch.randn(1, SIDE_GRID**2, options.side_width) * 0.02)

    def positions(self, grid: int) -> torch.Tensor:
        """Return the positions [1, grid², d], resized bilinearly."""
        table = self.pos_embed.transpose(1, 2).reshape(1, -1, SIDE_GRID, SIDE_GRID)
        return F.interpolate(table, (grid, grid), mode="bilinear", align_corners=False).flatten(2).transpose(1, 2)


class Adapter(nn.Module):
    """The side network: queries and patches of the image, and the decoder of attention biases."""

    def __init__(self, options: ForadaOptions, heads: int) -> None:
        super().__init__()
        width = options.side_width
        self.vit_model = SideTransformer(options)
        self.query_embed = nn.Parameter(torch.randn(1, options.queries, width) * 0.02)
        self.query_pos_embed = nn.Parameter(torch.randn(1, options.queries, width) * 0.02)
        self.mask_decoder = MaskDecoder(options, heads)
        self.ln_pre = nn.LayerNorm(width)
        self.patch_conv = nn.Conv2d(3, width, SIDE_PATCH, stride=SIDE_PATCH)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return attention biases [B, heads, Q, g²] for images [B, 3, S, S], g = S / 16."""
        return self.biases(self.seen(pixels))

    def biases(self, seen: Seen) -> torch.Tensor:
        """Return attention biases [B, heads, Q, g²]."""
        found: torch.Tensor = self.mask_decoder(seen.queries, seen.maps)
        return found

    def seen(self, pixels: torch.Tensor, after: tuple[int, ...] = ()) -> Seen:
        """Return queries and maps for images [B, 3, S, S], and the patches after the layers `after` (from 1)."""
        maps = self.patch_conv(pixels)
        grid, count = maps.shape[-1], self.query_embed.shape[1]
        places = torch.cat([self.query_pos_embed, self.vit_model.positions(grid)], dim=1)
        tokens = torch.cat([self.query_embed.expand(len(maps), -1, -1), maps.flatten(2).transpose(1, 2)], dim=1)
        x = self.ln_pre(tokens + places)
        last, kept = len(self.vit_model.blocks), []
        for number, block in enumerate(self.vit_model.blocks, start=1):
            x = block(x)
            if number in after:
                kept.append(x[:, count:])
            if number < last:
                x = x + places
        patches = x[:, count:].transpose(1, 2).reshape(len(x), -1, grid, grid)
        return Seen(self.mask_decoder.query_mlp(x[:, :count]), patches, kept)


class Intra(nn.Module):
    """A bottleneck on CLIP's patches."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.conv_first, self.conv_second = nn.Conv1d(width, hidden, 1), nn.Conv1d(hidden, width, 1)

    def forward(self, patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is added to patches [B, N, d], and the bottleneck's inner maps [B, hidden, N]."""
        inner = F.relu(self.conv_first(patches.transpose(1, 2)))
        found: torch.Tensor = self.conv_second(inner)
        return found.transpose(1, 2) * INTRA_SHARE, inner


class Head(nn.Module):
    """Convolutions over the class tokens to one vector, and three linear layers to the logit of fake."""

    def __init__(self, queries: int, width: int) -> None:
        super().__init__()
        half, quarter = queries // 2, queries // 4
        self.first_process = nn.Sequential(
            nn.Conv1d(queries, half, 3, padding=1),
            nn.BatchNorm1d(half),
            nn.ReLU(),
            nn.Conv1d(half, quarter, 3, padding=1),
            nn.BatchNorm1d(quarter),
            nn.ReLU(),
            nn.Conv1d(quarter, 1, 3, padding=1),
        )
        self.second_process = nn.Sequential(
            nn.Linear(width, width // 2),
            nn.ReLU(),
            nn.Linear(width // 2, width // 4),
            nn.ReLU(),
            nn.Linear(width // 4, 1),
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the logit [B] of tokens [B, Q, d]."""
        logits: torch.Tensor = self.second_process(self.first_process(tokens)[:, 0])
        return logits[:, 0]


class ForensicsAdapter(nn.Module):
    """A frozen CLIP, the side network, a bottleneck and a head. Images [B, 3, S, S] become the logit of fake, [B]."""

    def __init__(self, clip: Any, options: ForadaOptions, size: int) -> None:
        """`clip` is a CLIPVisionModelWithProjection, `size` that of the images.

        Raises DetectorError if CLIP's patches and the side network's do not lie on one grid.
        """
        super().__init__()
        config = clip.config
        self.grid = config.image_size // config.patch_size
        if size != self.grid * SIDE_PATCH:
            raise DetectorError(
                f"an input of {size} pixels does not fit a CLIP of {self.grid}×{self.grid} patches: set input.size to "
                f"{self.grid * SIDE_PATCH}"
            )
        if options.intra_after >= config.num_hidden_layers:
            raise DetectorError(
                f"intra_after {options.intra_after} must be less than CLIP's {config.num_hidden_layers} layers: after "
                "the last one it has no effect"
            )
        self.clip, self.options = clip.requires_grad_(False), options
        self.boundary: nn.Module | None = None
        """What predicts the blending boundary; set for a training with the loss `forada`, in no file of weights."""
        self.adapter = Adapter(options, config.num_attention_heads)
        self.intra = Intra(config.hidden_size, options.intra_width)
        self.head = Head(options.queries, config.projection_dim)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the logit of fake [B]."""
        return self.logit(self.class_tokens(pixels, self.adapter(pixels))[0])

    def logit(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the logit of fake [B] of class tokens [B, Q, d]."""
        logits: torch.Tensor = self.head(F.normalize(self.clip.visual_projection(tokens), dim=-1))
        return logits

    @property
    def gives(self) -> tuple[str, ...]:
        """Names of the outputs in training."""
        return ("logit",) if self.boundary is None else ("logit", "boundary", "patches", "clip_patches")

    def training_outputs(self, pixels: torch.Tensor, given: Given) -> Rows:
        """Return what `gives` names.

        `boundary` [B, S, S] is the predicted blending boundary; `patches` [B, layers, g², side_width] are those of the
        side network after the layers of `contrast_after`; `clip_patches` [B, g², intra_width] CLIP's, in its
        bottleneck.
        """
        if self.boundary is None:
            return {"logit": self(pixels)}
        assert given.masks is not None
        seen = self.adapter.seen(pixels, self.options.contrast_after)
        tokens, inner = self.class_tokens(pixels, self.adapter.biases(seen))
        return {
            "logit": self.logit(tokens),
            "boundary": self.boundary(seen.queries, seen.maps, given.masks),
            "patches": torch.stack(seen.patches, dim=1),
            "clip_patches": inner.transpose(1, 2),
        }

    def class_tokens(self, pixels: torch.Tensor, biases: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the copies of CLIP's class token [B, Q, d] after all layers, and the bottleneck's inner maps.

        Each copy has an attention of its own, by its `biases` [B, heads, Q, N].
        """
        vision, count = self.clip.vision_model, self.options.queries
        side = vision.config.image_size
        small = F.interpolate(pixels, (side, side), mode="bilinear", align_corners=False)
        tokens = vision.pre_layrnorm(vision.embeddings(small))
        x = torch.cat([tokens[:, :1].expand(-1, count, -1), tokens], dim=1)
        mask, inner = self.attention_mask(biases), biases
        for number, layer in enumerate(vision.encoder.layers, start=1):
            x = layer(x, mask)
            if number == self.options.intra_after:
                first = count + 1
                added, inner = self.intra(x[:, first:])
                x = torch.cat([x[:, :first], x[:, first:] + added], dim=1)
        found: torch.Tensor = vision.post_layernorm(x[:, :count])
        return found, inner

    def attention_mask(self, biases: torch.Tensor) -> torch.Tensor:
        """Return what is added to the attention [B, heads, T, T] of Q copies, the class token and N patches.

        A copy sees itself and the patches, these with its `biases` [B, heads, Q, N]; all other tokens see no copy.
        """
        batch, heads, count, patches = biases.shape
        mask = biases.new_zeros(count + 1 + patches, count + 1 + patches)
        mask[:, :count] = BLOCKED
        mask[:count, count] = BLOCKED
        mask.fill_diagonal_(0.0)
        whole = mask.expand(batch, heads, -1, -1)
        rows = torch.cat([whole[:, :, :count, : count + 1], biases], dim=3)
        return torch.cat([rows, whole[:, :, count:]], dim=2)

    def token_map(self) -> TokenMap:
        """Return the last layer on which all patches of CLIP still count."""
        layers = len(self.clip.vision_model.encoder.layers)
        name = f"clip.vision_model.encoder.layers.{layers - 1}.layer_norm1"
        return TokenMap(name, self.options.queries + 1, (self.grid, self.grid))
