"""Loss of Forensics Adapter (Cui et al., "Forensics Adapter", CVPR 2025, arXiv 2411.19715).

The terms are those of the authors' code. Its comparison of patches multiplies those of the other kind by zero and then
adds up all pairs, so that each pair that is not there counts as exp(0) = 1. The variant `deepfakebench` does that, too;
`paper` adds up the pairs that are there.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn.functional import adaptive_avg_pool2d, normalize, pad

from .base import Given, Rows, TrainingLoss, cross_entropy, widened

FORGED, SHARE, TEMPERATURE = 40 / 255, 0.1, 0.5
"""A pixel is forged above the first; a cell, if more than this share of its pixels is."""


def blending_boundary(masks: torch.Tensor) -> torch.Tensor:
    """Return 4 m (1 - m) for masks m in [0, 1], [R, S, S], after a blur with (1, 2, 1) / 4 along both axes.

    It is 1 where the blurred mask is one half, and 0 where nothing or everything is blended (Li et al., "Face X-ray for
    More General Face Forgery Detection", CVPR 2020, equation 3). At the border pixels are mirrored.
    """
    wide = pad(masks[:, None], (1, 1, 1, 1), mode="reflect")[:, 0]
    across = (wide[:, :, :-2] + 2 * wide[:, :, 1:-1] + wide[:, :, 2:]) / 4
    blurred = (across[:, :-2] + 2 * across[:, 1:-1] + across[:, 2:]) / 4
    return 4 * blurred * (1 - blurred)


def cell_shares(masks: torch.Tensor, grid: int) -> torch.Tensor:
    """Return the share of forged pixels in each of grid × grid cells of masks [R, S, S]: [R, grid, grid]."""
    return adaptive_avg_pool2d((masks > FORGED).to(masks.dtype)[:, None], grid)[:, 0]


def boundary_cells(masks: torch.Tensor, grid: int) -> torch.Tensor:
    """Return the cells that the boundary crosses, bool [R, grid, grid]: forged, and not wholly."""
    shares = cell_shares(masks, grid)
    return (shares > SHARE) & (shares < 1)


def contrasted(patches: torch.Tensor, forged: torch.Tensor, absent: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the sums of exp(cos / 0.5) over pairs of an image's patches, [R, B] each, B layers.

    The first is over ordered pairs of real patches (a patch with itself, too), the second over pairs of a forged and a
    real one, of patches [R, B, N, d]; `forged` is bool [R, N]. With `absent` each other pair of the N² counts as 1.
    """
    unit = normalize(patches, dim=-1)
    exps = (unit @ unit.transpose(-1, -2) / TEMPERATURE).exp()
    real = ~forged
    sums = []
    for first, second in ((real, real), (forged, real)):
        pairs = (first[:, :, None] & second[:, None]).to(exps.dtype)[:, None]
        total = (exps * pairs).sum((2, 3))
        sums.append(total + (pairs.shape[-1] ** 2 - pairs.sum((2, 3))) if absent else total)
    return sums[0], sums[1]


def share_lost(same: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return -log(same / (same + other)), elementwise, of sums over pairs; 0 without a pair of the same kind."""
    return torch.log1p(other / same.clamp(min=1e-12))


def between_images(patches: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return how near the patches of reals are to those of fakes, a scalar: -log(S / (S + O)).

    S is the sum of exp(cos / 0.5) over pairs of patches of one real, O over those of a real and a fake: the k-th real
    with the k-th fake of the rows, as many as both have. `patches` are [R, N, d], of length 1, `labels` [R].
    """
    reals, fakes = patches[labels == 0], patches[labels == 1]
    count = min(len(reals), len(fakes))
    if not count:
        return patches.sum() * 0.0
    reals, fakes = reals[:count], fakes[:count]
    same = (reals @ reals.transpose(1, 2) / TEMPERATURE).exp().sum()
    other = (reals @ fakes.transpose(1, 2) / TEMPERATURE).exp().sum()
    return share_lost(same, other)


class Forada(TrainingLoss):
    """Cross-entropy; squared error of the blending boundary; and patches of fakes, real ones near, forged ones far.

    `intra` compares the patches of the side network within each fake, after several layers, summed. `clip_intra`
    compares CLIP's patches in the bottleneck so, and those of a real with those of a fake. A ratio is of sums over all
    fakes of a part. Outputs: `boundary` [R, S, S], `patches` [R, layers, N, d] and `clip_patches` [R, N, e], where the
    N patches lie on a square grid, in rows.
    """

    needs: ClassVar[tuple[str, ...]] = ("logit", "boundary", "patches", "clip_patches")
    variants: ClassVar[dict[str, dict[str, float]]] = {
        "paper": {"cross_entropy": 10.0, "boundary": 200.0, "intra": 20.0, "clip_intra": 10.0},
        "deepfakebench": {"cross_entropy": 10.0, "boundary": 200.0, "intra": 20.0, "clip_intra": 10.0},
    }
    masks: ClassVar[bool] = True

    def reduced(self, outputs: Rows, given: Given) -> Rows:
        """Return logits, mean squared errors of the boundary [R], sums over pairs, and CLIP's patches as unit vectors.

        The sums are [R, layers], and 0 for a real.
        """
        assert given.masks is not None
        made = widened(outputs)
        masks, fake = given.masks.to(made["boundary"].dtype), given.labels == 1
        target = blending_boundary(masks) * fake[:, None, None]
        rows = {"logit": made["logit"], "boundary": ((made["boundary"] - target) ** 2).mean((1, 2))}
        grid = round(made["clip_patches"].shape[1] ** 0.5)
        forged = (cell_shares(masks, grid) > SHARE).flatten(1)[fake]
        absent = self.variant == "deepfakebench"
        for name, patches in (("intra", made["patches"]), ("clip", made["clip_patches"][:, None])):
            for kind, found in zip(("same", "other"), contrasted(patches[fake], forged, absent), strict=True):
                whole = patches.new_zeros(patches.shape[:2])
                rows[f"{name} {kind}"] = whole.index_put((fake.nonzero()[:, 0],), found)
        rows["clip"] = normalize(made["clip_patches"], dim=-1)
        return rows

    def terms(self, rows: Rows, labels: torch.Tensor, methods: torch.Tensor | None, views: int) -> Rows:
        """Return the four terms."""
        intra, clip = (share_lost(rows[f"{one} same"].sum(0), rows[f"{one} other"].sum(0)) for one in ("intra", "clip"))
        return {
            "cross_entropy": cross_entropy(rows["logit"], labels),
            "boundary": rows["boundary"].mean(),
            "intra": intra.sum(),
            "clip_intra": clip.sum() + between_images(rows["clip"], labels),
        }
