"""Variant `paper`: M2F2-Det as the paper describes it (arXiv 2503.20188, section 3)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional as F

from ...core.arithmetic import exact_fp32
from ...core.errors import DetectorError
from .clip import Clip, Layer, Linear, TowerSettings, projection
from .options import PaperOptions
from .towers import ClipImages, DeepfakeEncoder, Features, TimmImages


@dataclass
class Judgement:
    """Outputs of the network for a batch.

    `logits` [B, 2] (0 real, 1 fake); `map`, M_b [B, 1, n, n] in [0, 1], None without map weighting. Forgery tokens are
    made from `forged`, F^0 ⊙ M_b [B, c, n, n], and from E_D's `maps` at its depths [B, c_i, n_i, n_i]: None and empty
    for published weights.
    """

    logits: torch.Tensor
    map: torch.Tensor | None
    forged: torch.Tensor | None = None
    maps: Sequence[torch.Tensor] = ()


class BridgeAdapter(nn.Module):
    """x_i = block_i([x_(i-1); W_i E_i; V_i H_i]) within one image, read at the places of x_(i-1); of H_1 for i = 1.

    E_i is the CNN's i-th map as tokens, H_i the image tower's patch tokens at the i-th depth, both projected to one
    width. The output lies on the image tower's grid of patches.
    """

    def __init__(self, cnn_channels: Sequence[int], state_widths: Sequence[int], width: int, heads: int) -> None:
        """Build one block per depth; `cnn_channels` are those of the CNN's maps, `state_widths` of the tower's."""
        super().__init__()
        self.width = width
        self.from_cnn = nn.ModuleList(projection(channels, width) for channels in cnn_channels)
        self.from_clip = nn.ModuleList(projection(states, width) for states in state_widths)
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
        """Return [B, width, n, n] for the CNN's maps [B, c_i, h_i, w_i] and patches [B, n², d_i] of each depth."""
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


class Head(Linear):
    """Linear layer to logits near zero: other parts would first learn to correct a random one."""

    def __init__(self, inputs: int, outputs: int = 2) -> None:
        super().__init__(inputs, outputs)
        nn.init.normal_(self.weight, std=0.01)
        nn.init.zeros_(self.bias)


class GatedHead(nn.Module):
    """The CNN's own logit of fake, to which those of CLIP and of f^0 are added, each times a gate that starts at zero.

    Untrained it is the CNN alone; a gate at zero moves with the first step, and what is behind it from then on. Real
    has the logit 0: with one of each, a step of Adam would move their difference twice as far as in the CNN alone.
    """

    def __init__(self, cnn: int, width: int) -> None:
        """`cnn` and `width` are the channels of the CNN and of each of the other two."""
        super().__init__()
        self.cnn = Head(cnn, outputs=1)
        self.image, self.pooled = Linear(width, 1), Linear(width, 1)
        self.gate_image, self.gate_pooled = (nn.Parameter(torch.tensor(0.0)) for _ in range(2))

    def forward(self, cnn: torch.Tensor, image: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        """Return logits [B, 2] for the CNN's mean features [B, c], projected CLS [B, w] and f^0 [B, w]."""
        added = self.gate_image * self.image(image) + self.gate_pooled * self.pooled(pooled)
        return F.pad(self.cnn(cnn) + added, (1, 0))


class PaperNetwork(nn.Module):
    """Image tower, deepfake encoder, forgery prompt learning, bridge adapter, map-weighted pooling and head.

    f^0 = avgpool(conv(F^0 ⊙ M_b)) over F^0 [B, c, n, n], the bridge's output joined with E_D's last map; the head is
    linear over [projected CLS; f^0; projected pooled E_D], each brought to one scale by a LayerNorm.
    """

    def __init__(
        self, clip: Clip, encoder: DeepfakeEncoder, options: PaperOptions, tower: TimmImages | None = None
    ) -> None:
        """Draw new weights from torch's generator; `tower` reads images in the place of CLIP's own.

        Raises DetectorError for parts that do not fit.
        """
        super().__init__()
        width = options.head_width
        self.clip, self.encoder, self.options, self.tower = clip, encoder, options, tower
        if options.clip_precision == "bf16":
            clip.vision_model.bfloat16()
        self.images = tower or ClipImages(clip, options.depths(clip.vision_layers) if options.bridge else ())
        self.bridge: BridgeAdapter | None = None
        if options.bridge:
            if len(self.images.widths) != len(encoder.channels):
                raise DetectorError(
                    f"{len(self.images.widths)} depths of the image tower but {len(encoder.channels)} of the CNN: give "
                    "as many of each"
                )
            self.bridge = BridgeAdapter(
                encoder.channels, self.images.widths, options.bridge_width, options.bridge_heads
            )
        # CLIP has a joint space of its own; another tower's features are projected into the text tower's.
        joint = clip.settings.projection_dim
        self.joint = None if tower is None else projection(tower.patch_width, joint)
        self.prompt: ForgeryPrompt | None = None
        self.map: ForgeryMap | None = None
        if options.map_weighting:
            counts = (options.general_tokens, options.specific_tokens, options.layer_tokens)
            self.prompt = ForgeryPrompt(clip, options.clip.words, *counts)
            self.map = ForgeryMap(options.temperature)
        channels = encoder.out_channels + (options.bridge_width if options.bridge else 0)
        self.conv = nn.Sequential(nn.Conv2d(channels, width, 1), nn.GELU(), nn.Conv2d(width, width, 3, padding=1))
        # Normalised, only the position of high values of M_b counts, not their overall level: M_b cannot act as a gain.
        self.pooled_norm = nn.LayerNorm(width)
        self.project_image = projection(clip.settings.projection_dim, width)
        self.head: Head | GatedHead
        if options.gated:
            self.head = GatedHead(encoder.out_channels, width)
        else:
            self.project_cnn = projection(encoder.out_channels, width)
            self.vision_scale = nn.Parameter(torch.tensor(1.0))
            self.head = Head(3 * width)
        self.exact_tower = True
        """Whether a frozen tower computes in its own precision whatever the rest does."""
        self.look: Callable[[torch.Tensor], Features] = self.features
        """Function from images to the tower's features; in training, it can be a feature cache."""
        self.text: torch.Tensor | None = None
        """g^T, if it is the same for all images and `fold_prompt` has computed it."""

    def features(self, pixels: torch.Tensor, penultimate: bool = False) -> Features:
        """Return the tower's features of normalised images [B, 3, S, S].

        Autocast does not affect a frozen tower, unless `exact_tower` is off.
        """
        if self.options.train_vision:
            return self.images.look(pixels, penultimate)
        exact = torch.autocast(pixels.device.type, enabled=False) if self.exact_tower else contextlib.nullcontext()
        with torch.no_grad(), exact:
            return self.images.look(pixels, penultimate)

    def judge(self, pixels: torch.Tensor) -> Judgement:
        """Return all outputs for normalised images [B, 3, S, S]."""
        return self._judge(pixels, self.look(pixels))

    def judge_with_patches(self, pixels: torch.Tensor) -> tuple[Judgement, torch.Tensor]:
        """Return all outputs, and the patches for an explainer [B, n², d]: CLIP's after all layers but the last."""
        features = self.features(pixels, penultimate=True)
        assert features.penultimate is not None
        return self._judge(pixels, features), features.penultimate

    def _judge(self, pixels: torch.Tensor, features: Features) -> Judgement:
        features = self._projected(features)
        last, maps = self.encoder(pixels)
        side = round(features.patches.shape[1] ** 0.5)
        forged = F.interpolate(last, size=(side, side), mode="bilinear", align_corners=False)
        if self.bridge is not None:
            forged = torch.cat([self.bridge(maps, features.states).to(forged.dtype), forged], dim=1)
        weights = self._map(features)
        if weights is not None:
            forged = forged * weights
        pooled = self.pooled_norm(self.conv(forged).mean((2, 3)))
        image, whole = self.project_image(features.image), last.mean((2, 3))
        if isinstance(self.head, GatedHead):
            return Judgement(self.head(whole, image, pooled), weights, forged, maps)
        found = torch.cat([self.vision_scale * image, pooled, self.project_cnn(whole)], dim=1)
        return Judgement(self.head(found), weights, forged, maps)

    def _projected(self, features: Features) -> Features:
        """Return features in the joint space."""
        if self.joint is None:
            return features
        return replace(features, image=self.joint(features.image), patches=self.joint(features.patches))

    def heatmap(self, pixels: torch.Tensor) -> torch.Tensor | None:
        """Return M_b, [B, n, n] in [0, 1]; None without map weighting. The CNN is not needed and not computed."""
        heat = None if self.map is None else self._map(self._projected(self.look(pixels)))
        return None if heat is None else heat[:, 0]

    def fold_prompt(self) -> None:
        """Compute g^T once, if no token of the prompt depends on the image. The weights must not change afterwards."""
        if self.prompt is not None and self.prompt.specific is None:
            with exact_fp32(), torch.no_grad():
                self.text = self.prompt(self.clip, torch.empty(0))

    def _map(self, features: Features) -> torch.Tensor | None:
        if self.prompt is None or self.map is None:
            return None
        text = self.prompt(self.clip, features.image) if self.text is None else self.text.to(features.image.device)
        heat: torch.Tensor = self.map(text, features.patches)
        return heat

    @property
    def gives(self) -> tuple[str, ...]:
        """Names of the outputs in training."""
        return ("logit",) if self.map is None else ("logit", "map")

    def training_outputs(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return `logit` [B] and, with map weighting, `map` [B, n, n]."""
        judged = self.judge(pixels)
        found = {"logit": judged.logits[:, 1] - judged.logits[:, 0]}
        return found if judged.map is None else {**found, "map": judged.map[:, 0]}

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the difference of the logits, fake minus real, [B].

        Its sigmoid is softmax(logits)[1], and its binary cross-entropy is the cross-entropy of the two logits.
        """
        logits = self.judge(pixels).logits
        return logits[:, 1] - logits[:, 0]
