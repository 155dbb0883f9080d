"""Bridge adapter: the CNN's and CLIP's middle layers attend to each other within one image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from .clip import Layer, TowerSettings, projection


class BridgeAdapter(nn.Module):
    """x_i = block_i([x_(i-1); W_i E_i; V_i H_i]) within one image, read at the places of x_(i-1); of H_1 for i = 1.

    E_i is the CNN's i-th map as tokens, H_i CLIP's patch tokens at the i-th depth, both projected to one width. The
    output lies on CLIP's grid of patches.
    """

    def __init__(self, cnn_channels: Sequence[int], clip_width: int, width: int, heads: int) -> None:
        """Build one block per depth; `cnn_channels` are those of the CNN's maps."""
        super().__init__()
        self.width = width

        self.from_cnn = nn.ModuleList(projection(channels, width) for channels in cnn_channels)
        self.from_clip = nn.ModuleList(projection(clip_width, width) for _ in cnn_channels)
        settings = TowerSettings(
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=len(cnn_channels),
            num_attention_heads=heads,
            hidden_act="gelu",
        )
        self.blocks = nn.ModuleList(Layer(settings, key_bias=False) for _ in cnn_channels)
        self.norm = nn.LayerNorm(width)

    def forward(self, maps: Sequence[torch.Tensor], states: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return [B, width, n, n] for the CNN's maps [B, c_i, h_i, w_i] and CLIP's patches [B, n², d] of each depth."""
        tokens: torch.Tensor | None = None
        count = states[0].shape[1]
        side = round(count**0.5)
        for i, block in enumerate(self.blocks):
            height, width = maps[i].shape[2:]
            places = positions(height, width, self.width, maps[i].device)
            cnn = self.from_cnn[i](maps[i].flatten(2).transpose(1, 2)) + places
            patches = self.from_clip[i](states[i]) + positions(side, side, self.width, maps[i].device)
            held = [patches, cnn] if tokens is None else [tokens, cnn, patches]
            tokens = block(torch.cat(held, dim=1), rows=count)
        out: torch.Tensor = self.norm(tokens).transpose(1, 2).unflatten(2, (side, side))
        return out


def positions(height: int, width: int, channels: int, device: torch.device) -> torch.Tensor:
    """Return sine-cosine positions, float32 [height · width, channels], of the cells' centres on the unit square.

    Maps of different sizes over the same picture get similar codes at similar places. Channels after the last multiple
    of four are 0.
    """
    count = channels // 4
    frequencies = torch.pi * 2.0 ** torch.linspace(0.0, 4.0, count, device=device)
    down = ((torch.arange(height, device=device) + 0.5) / height)[:, None, None] * frequencies
    across = ((torch.arange(width, device=device) + 0.5) / width)[None, :, None] * frequencies
    shape = (height, width, count)
    waves = [wave.expand(shape) for wave in (down.sin(), down.cos(), across.sin(), across.cos())]
    codes = torch.zeros(height, width, channels, device=device)
    codes[..., : 4 * count] = torch.cat(waves, dim=2)
    return codes.flatten(0, 1)
