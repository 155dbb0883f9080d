"""CLIP's two towers, layer by layer (Radford et al., "Learning Transferable Visual Models", ICML 2021).

Written out because every variant of M2F2-Det needs internal parts: tokens of a middle layer, additional tokens before
each text layer, only the CLS row of a late layer. Tensors have the names of CLIPModel in transformers 4.37.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from ...cards.settings import Settings


class TowerSettings(Settings):
    """Widths and depths of one tower, with the names of transformers' CLIP configurations."""

    hidden_size: int = Field(ge=1)
    intermediate_size: int = Field(ge=1)
    num_hidden_layers: int = Field(ge=1)
    num_attention_heads: int = Field(ge=1)
    hidden_act: str = "quick_gelu"
    """Activation of the feed-forward layers."""
    layer_norm_eps: float = 1e-5
    """Epsilon of the layer norms."""


class VisionSettings(TowerSettings):
    """The image tower: square images of `image_size` pixels in patches of `patch_size`."""

    image_size: int = Field(ge=1)
    patch_size: int = Field(ge=1)

    @property
    def grid(self) -> int:
        """Patches along a side."""
        return self.image_size // self.patch_size


class TextSettings(TowerSettings):
    """The text tower: a vocabulary and the longest text."""

    vocab_size: int = Field(ge=1)
    max_position_embeddings: int = Field(default=77, ge=4)


class ClipSettings(Settings):
    """Both towers and the width of their joint space."""

    vision_config: VisionSettings | None = None
    """None where another network reads the images."""
    text_config: TextSettings
    projection_dim: int = Field(ge=1)


def quick_gelu(x: torch.Tensor) -> torch.Tensor:
    """Return x σ(1.702 x), OpenAI's approximation."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"quick_gelu": quick_gelu, "gelu": F.gelu}


class Linear(nn.Linear):
    """`nn.Linear`, about twice as fast in fp32 on an x86 CPU without gradients.

    There it uses oneDNN's matrix product (rounding differs in the last bits).
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [..., in_features] to [..., out_features]."""
        if x.dtype == torch.float32 and x.device.type == "cpu" and not torch.is_grad_enabled() and _onednn():
            product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
            return product
        return F.linear(x, self.weight, self.bias)


def projection(inputs: int, outputs: int) -> nn.Sequential:
    """Return a linear layer and a LayerNorm, from [..., inputs] to [..., outputs]."""
    return nn.Sequential(Linear(inputs, outputs), nn.LayerNorm(outputs))


def _onednn() -> bool:
    """Return whether oneDNN's product is available (it is not public in torch) and worth it: not under autocast."""
    usable: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    usable = usable and platform.machine() in ("x86_64", "AMD64")
    return usable and hasattr(torch.ops.mkldnn, "_linear_pointwise") and not torch.is_autocast_enabled("cpu")


def _attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return softmax(query keyᵀ / √d) value, [B, heads, T, d] each, image by image.

    This is for bf16 on a CPU, where torch's own function takes more than twice as long. The softmax is computed in
    fp32, its input and output are bf16.
    """
    out = torch.empty_like(query)
    for q, k, v, place in zip(query * query.shape[-1] ** -0.5, key, value, out, strict=True):
        torch.bmm(torch.bmm(q, k.transpose(1, 2)).softmax(-1), v, out=place)
    return out


class Attention(nn.Module):
    """Multi-head self-attention over the tokens of one image or text."""

    def __init__(self, settings: TowerSettings, key_bias: bool = True) -> None:
        """Build four projections of the tower's width. A bias of the keys has no effect (softmax cancels it)."""
        super().__init__()
        width = settings.hidden_size
        self.heads = settings.num_attention_heads
        self.k_proj, self.v_proj = Linear(width, width, bias=key_bias), Linear(width, width)
        self.q_proj, self.out_proj = Linear(width, width), Linear(width, width)

    def forward(self, x: torch.Tensor, rows: int | None, causal: bool) -> torch.Tensor:
        """Map [B, T, d] to [B, rows, d]: the first `rows` tokens (None: all) attend to all."""

        def split(tokens: torch.Tensor) -> torch.Tensor:
            return tokens.view(*tokens.shape[:2], self.heads, -1).transpose(1, 2)

        query = split(self.q_proj(x if rows is None else x[:, :rows]))
        key, value = split(self.k_proj(x)), split(self.v_proj(x))
        if x.dtype == torch.bfloat16 and x.device.type == "cpu" and not causal and not torch.is_grad_enabled():
            out = _attend(query, key, value)
        else:
            out = F.scaled_dot_product_attention(query, key, value, is_causal=causal)
        mixed: torch.Tensor = self.out_proj(out.transpose(1, 2).flatten(2))
        return mixed


TOKENS = 1154
"""Tokens whose wide middle layer is in memory at once: two images of 577. For memory of more than 32 MB, the C library
asks the system again each time, which costs more than the arithmetic."""
ROWS = 64
"""Tokens that go through the activation together, so that they stay in a core's cache."""


class FeedForward(nn.Module):
    """Two linear layers with the tower's activation between them."""

    def __init__(self, settings: TowerSettings) -> None:
        super().__init__()
        self.fc1 = Linear(settings.hidden_size, settings.intermediate_size)
        self.fc2 = Linear(settings.intermediate_size, settings.hidden_size)
        self.act = ACTIVATIONS[settings.hidden_act]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [..., d] to [..., d]. On a CPU without gradients, the middle is computed for some tokens at a time."""
        if torch.is_grad_enabled() or x.device.type != "cpu":
            whole: torch.Tensor = self.fc2(self.act(self.fc1(x)))
            return whole
        tokens = x.flatten(0, -2)
        out = torch.empty_like(tokens)
        for start in range(0, len(tokens), TOKENS):
            middle = self.fc1(tokens[start : start + TOKENS])
            for row in range(0, len(middle), ROWS):
                rows = middle[row : row + ROWS]
                rows.copy_(self.act(rows))
            out[start : start + TOKENS] = self.fc2(middle)
        return out.view_as(x)


class Layer(nn.Module):
    """One pre-norm transformer layer: x + attention(norm(x)), then x + feed-forward(norm(x))."""

    def __init__(self, settings: TowerSettings, key_bias: bool = True) -> None:
        super().__init__()
        self.self_attn, self.mlp = Attention(settings, key_bias), FeedForward(settings)
        self.layer_norm1 = nn.LayerNorm(settings.hidden_size, eps=settings.layer_norm_eps)
        self.layer_norm2 = nn.LayerNorm(settings.hidden_size, eps=settings.layer_norm_eps)

    def forward(self, x: torch.Tensor, rows: int | None = None, causal: bool = False) -> torch.Tensor:
        """Return the output for the first `rows` tokens of [B, T, d], [B, rows, d]; None: all."""
        kept = x if rows is None else x[:, :rows]
        kept = kept + self.self_attn(self.layer_norm1(x), rows, causal)
        out: torch.Tensor = kept + self.mlp(self.layer_norm2(kept))
        return out


class Encoder(nn.Module):
    """A stack of layers."""

    def __init__(self, settings: TowerSettings) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(settings) for _ in range(settings.num_hidden_layers))


class VisionEmbeddings(nn.Module):
    """Embeddings of a CLS token and of patches, with positions."""

    def __init__(self, settings: VisionSettings) -> None:
        super().__init__()
        width, size = settings.hidden_size, settings.patch_size
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.patch_embedding = nn.Conv2d(3, width, size, stride=size, bias=False)
        self.position_embedding = nn.Embedding(settings.grid**2 + 1, width)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map normalised images [B, 3, S, S] to tokens [B, 1 + N, d], CLS first."""
        patches = self.patch_embedding(pixels.to(self.patch_embedding.weight.dtype)).flatten(2).transpose(1, 2)
        first = self.class_embedding.to(patches.dtype).expand(len(pixels), 1, -1)
        return torch.cat([first, patches], dim=1) + self.position_embedding.weight


class VisionTower(nn.Module):
    """Image encoder E_I: a vision transformer."""

    def __init__(self, settings: VisionSettings) -> None:
        super().__init__()
        self.settings = settings
        self.embeddings = VisionEmbeddings(settings)
        # The misspelt name is in the original code, and so in every file of weights.
        self.pre_layrnorm = nn.LayerNorm(settings.hidden_size, eps=settings.layer_norm_eps)
        self.encoder = Encoder(settings)
        self.post_layernorm = nn.LayerNorm(settings.hidden_size, eps=settings.layer_norm_eps)

    def forward(self, pixels: torch.Tensor, depths: Sequence[int], cls_last: bool = False) -> list[torch.Tensor]:
        """Return the hidden states [B, 1 + N, d] after each number of layers in `depths`, before `post_layernorm`.

        Depth 0 is before the first layer. Layers after the deepest are not computed. With `cls_last`, the deepest state
        is only its CLS row, [B, 1, d]: its layer then costs one query instead of 1 + N.
        """
        x = self.pre_layrnorm(self.embeddings(pixels))
        deepest = max(depths)
        states = {0: x}
        for number, layer in enumerate(self.encoder.layers[:deepest], start=1):
            x = layer(x, rows=1 if cls_last and number == deepest else None)
            if number in depths:
                states[number] = x
        return [states[depth] for depth in depths]


class TextEmbeddings(nn.Module):
    """Word and position embeddings."""

    def __init__(self, settings: TextSettings) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(settings.vocab_size, settings.hidden_size)
        self.position_embedding = nn.Embedding(settings.max_position_embeddings, settings.hidden_size)


class TextTower(nn.Module):
    """Text encoder E_T: a causal transformer."""

    def __init__(self, settings: TextSettings) -> None:
        super().__init__()
        self.settings = settings
        self.embeddings = TextEmbeddings(settings)
        self.encoder = Encoder(settings)
        self.final_layer_norm = nn.LayerNorm(settings.hidden_size, eps=settings.layer_norm_eps)

    def words(self, ids: Sequence[int]) -> torch.Tensor:
        """Return word embeddings [T, d] of token ids, without positions."""
        table = self.embeddings.token_embedding.weight
        return table[torch.tensor(list(ids), dtype=torch.long, device=table.device)]

    def forward(self, tokens: torch.Tensor, layer_tokens: torch.Tensor | None = None) -> torch.Tensor:
        """Return the last token of [B, T, d], after all layers and the final LayerNorm: [B, d].

        Positions 0 to T - 1 are added here. `layer_tokens` [L, k, d] follow the first token, without a position: before
        layer l, its own replace those of layer l - 1 (deep prompts, Jia et al., ECCV 2022).
        """
        x = tokens + self.embeddings.position_embedding.weight[: tokens.shape[1]]
        for number, layer in enumerate(self.encoder.layers):
            if layer_tokens is not None:
                own = layer_tokens[number].to(x.dtype).expand(len(x), -1, -1)
                rest = x[:, 1:] if number == 0 else x[:, 1 + own.shape[1] :]
                x = torch.cat([x[:, :1], own, rest], dim=1)
            x = layer(x, causal=True)
        last: torch.Tensor = self.final_layer_norm(x[:, -1])
        return last


class Clip(nn.Module):
    """Both towers and their projections into the joint space."""

    def __init__(self, settings: ClipSettings) -> None:
        """Build an untrained CLIP; `initialise` draws its weights as the original does.

        Without `vision_config` it has only its text side.
        """
        super().__init__()
        self.settings = settings
        vision, width = settings.vision_config, settings.projection_dim
        if vision is not None:
            self.vision_model = VisionTower(vision)
        self.text_model = TextTower(settings.text_config)
        if vision is not None:
            self.visual_projection = Linear(vision.hidden_size, width, bias=False)
        self.text_projection = Linear(settings.text_config.hidden_size, width, bias=False)

    @property
    def vision_layers(self) -> int:
        """Layers of the image tower; 0 without one."""
        vision = self.settings.vision_config
        return 0 if vision is None else vision.num_hidden_layers


def initialise(clip: Clip) -> None:
    """Draw the weights of an untrained CLIP from torch's generator, with the standard deviations of the original."""
    whole = clip.settings.vision_config is not None
    for tower in (clip.vision_model, clip.text_model) if whole else (clip.text_model,):
        width, layers = tower.settings.hidden_size, tower.settings.num_hidden_layers
        for name, value in tower.named_parameters():
            if value.ndim < 2 and "class_embedding" not in name:
                continue  # norms and biases keep torch's initial values
            if "layers" not in name:
                std = 0.02 if tower is clip.text_model else width**-0.5
            elif name.endswith("fc1.weight"):
                std = (2 * width) ** -0.5
            else:
                deep = name.endswith(("out_proj.weight", "fc2.weight"))
                std = width**-0.5 * ((2 * layers) ** -0.5 if deep else 1.0)
            nn.init.normal_(value, std=std)
    for projection in (clip.visual_projection, clip.text_projection) if whole else (clip.text_projection,):
        nn.init.normal_(projection.weight, std=projection.in_features**-0.5)
    for module in clip.modules():
        if isinstance(module, Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
