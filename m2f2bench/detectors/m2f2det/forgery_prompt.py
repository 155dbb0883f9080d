"""Forgery prompt learning: a learned text that describes forgery, and where in the image it fits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from .clip import Clip, Linear


class ForgeryPrompt(nn.Module):
    """S = BOS [v^G_1]…[v^G_m] [v^S_1]…[v^S_u] [forged][face] EOS, read by CLIP's frozen text tower.

    General tokens v^G [m, d] are learned; specific tokens v^S come from the image's CLS feature g^I through an MLP;
    layer-wise tokens [L, k, d] follow BOS, new ones before every layer. Each number may be 0.
    """

    def __init__(self, clip: Clip, words: Sequence[int], general: int, specific: int, layer: int) -> None:
        """`words` are BOS, the prompt's words and EOS; new tokens are drawn with the words' standard deviation."""
        super().__init__()
        text = clip.settings.text_config
        width, joint = text.hidden_size, clip.settings.projection_dim
        self.words, self.specific_tokens = tuple(words), specific
        spread = 0.02
        self.general = nn.Parameter(torch.randn(general, width) * spread) if general else None
        self.layerwise = nn.Parameter(torch.randn(text.num_hidden_layers, layer, width) * spread) if layer else None
        self.specific: nn.Sequential | None = None
        if specific:
            last = Linear(joint, specific * width)
            nn.init.normal_(last.weight, std=spread * joint**-0.5)
            nn.init.normal_(last.bias, std=spread)
            self.specific = nn.Sequential(Linear(joint, joint), nn.GELU(), last)

    def forward(self, clip: Clip, image: torch.Tensor) -> torch.Tensor:
        """Return g^T, [B, p] for CLS features g^I [B, p]; [1, p], the same for all images, without specific tokens.

        It is the last token, EOS, after the final LayerNorm and the text projection.
        """
        rows = len(image) if self.specific is not None else 1
        known = clip.text_model.words(self.words)
        parts = [known[:1].expand(rows, -1, -1)]
        if self.general is not None:
            parts.append(self.general.expand(rows, -1, -1))
        if self.specific is not None:
            parts.append(self.specific(F.normalize(image, dim=1)).unflatten(1, (self.specific_tokens, -1)))
        parts.append(known[1:].expand(rows, -1, -1))
        feature: torch.Tensor = clip.text_projection(clip.text_model(torch.cat(parts, dim=1), self.layerwise))
        return feature


class ForgeryMap(nn.Module):
    """Forgery attention map M_b = exp(τ (c - max c)), c = cos(g^T, F_I) by patch, with a learned temperature τ ≥ 0.

    The patch that fits the text best has 1 in every image, also in a real one: the map says where, the score whether.
    (A sigmoid of τ c can be near 0 for all patches at once, and training with binary labels led to this.) τ is the
    absolute value of the learned number: with τ < 0, the patch that fits worst would have more than 1.
    """

    def __init__(self, temperature: float) -> None:
        """`temperature`: initial value of τ."""
        super().__init__()
        self.map_scale = nn.Parameter(torch.tensor(temperature))

    def forward(self, text: torch.Tensor, patches: torch.Tensor) -> torch.Tensor:
        """Return M_b, [B, 1, n, n] in [0, 1], for g^T [B or 1, p] and patches F_I [B, n², p] in the joint space."""
        cosines = (F.normalize(patches.float(), dim=2) * F.normalize(text.float(), dim=1)[:, None]).sum(2)
        side = round(cosines.shape[1] ** 0.5)
        heat = torch.exp(self.map_scale.abs() * (cosines - cosines.amax(1, keepdim=True)))
        return heat.reshape(-1, 1, side, side)

    @torch.no_grad()
    def settle(self) -> None:
        """Replace the learned number by τ, which gives the same map, so that a file of weights holds τ."""
        self.map_scale.abs_()
