"""LSDA in training (Yan et al., CVPR 2024, section 3): teachers, latent augmentation, and what the student learns from.

Each manipulation has an encoder of its own, and reals have one. The fakes' maps are varied within their manipulation
and mixed across manipulations; both are fused to the maps that the student shall give for a fake. For a real it shall
give those of the real encoder. All of it serves the training alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed
from torch import nn
from torch.nn import functional as F

from ...core.errors import first_line
from ...training.losses.base import Rows
from ...training.losses.gathering import exchange_rows, shared_generator
from ...training.sharing import SharedStatistics
from .efficientnet import MODEL, b4

NEARLY = 1e-4
"""Distances that differ by less than this share count as the same, so that rounding does not choose the hardest."""
HARDEST, AWAY, NOISE, DIFFERENCE = range(4)
"""Ways to vary maps within a manipulation."""


class Draws(NamedTuple):
    """Random numbers of a batch of N images, all of them drawn for each."""

    ways: npt.NDArray[np.int64]
    """How the image's maps are varied, [N]."""
    strengths: npt.NDArray[np.float64]
    """How far, in [0, 1), [N]."""
    noise: npt.NDArray[np.float32]
    """Gaussian, of a deviation that is uniform in [0, 1) for each image, [N, c, h, w]."""
    two: npt.NDArray[np.int64]
    """Two images of the same manipulation, [N, 2]."""
    partners: npt.NDArray[np.int64]
    """An image of another manipulation, or the image itself if there is none, [N]."""
    shares: npt.NDArray[np.float64]
    """Share of the image itself in the mixture, in [0, 1], [N]."""


def draw(methods: Sequence[int], shape: tuple[int, ...], rng: np.random.Generator) -> Draws:
    """Return the draws for images of these manipulations (0: real) and maps of a shape [c, h, w]."""
    numbers, count = np.array(methods), len(methods)
    ways, strengths = rng.integers(4, size=count), rng.random(count)
    noise = rng.standard_normal((count, *shape), dtype=np.float32)
    noise *= rng.random(count, dtype=np.float32).reshape(-1, 1, 1, 1)
    places, alphas = rng.random((count, 3)), rng.uniform(0.5, 2.0, count)
    shares = rng.beta(alphas, alphas)
    two, partners = np.zeros((count, 2), np.int64), np.arange(count)
    for number in range(count):
        own = np.flatnonzero(numbers == numbers[number])
        others = np.flatnonzero((numbers != numbers[number]) & (numbers > 0))
        two[number] = own[(places[number, :2] * len(own)).astype(int)]
        if len(others):
            partners[number] = others[int(places[number, 2] * len(others))]
    return Draws(ways, strengths, noise, two, partners, shares)


def varied(maps: torch.Tensor, methods: Sequence[int], draws: Draws) -> torch.Tensor:
    """Return maps [N, c, h, w], each varied within its manipulation (section 3.3).

    With a strength u: z + u (h - z) towards the hardest example h, which is the farthest from the mean; z + u (z - m)
    away from the mean m; z + u ε with noise ε; or z + u (a - b) by the difference of two others.
    """
    numbers = np.array(methods)
    ends: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    for number in set(methods):
        own = maps[torch.from_numpy(np.flatnonzero(numbers == number)).to(maps.device)]
        mean = own.mean(0)
        distances = (own - mean).detach().flatten(1).norm(dim=1)
        farthest = int((distances >= distances.max() * (1 - NEARLY)).nonzero()[0])
        ends[number] = mean, own[farthest]
    steps = []
    for place, (number, way, (a, b)) in enumerate(zip(methods, draws.ways.tolist(), draws.two.tolist(), strict=True)):
        mean, hardest = ends[number]
        if way == HARDEST:
            steps.append(hardest - maps[place])
        elif way == AWAY:
            steps.append(maps[place] - mean)
        elif way == NOISE:
            steps.append(torch.from_numpy(draws.noise[place]).to(maps))
        else:
            steps.append(maps[a] - maps[b])
    return maps + _column(draws.strengths, maps) * torch.stack(steps)


def mixed(maps: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Return maps [N, c, h, w], each mixed with those of another manipulation."""
    share = _column(draws.shares, maps)
    return share * maps + (1 - share) * maps[torch.from_numpy(draws.partners).to(maps.device)]


def _column(values: npt.NDArray[np.float64], maps: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(values).to(maps)[:, None, None, None]


class MapEncoder(nn.Module):
    """A backbone's last maps, and a 1×1 convolution to the student's channels."""

    def __init__(self, backbone: nn.Module, channels: int, width: int) -> None:
        """`backbone.forward_features` gives maps of so many `channels`."""
        super().__init__()
        self.backbone, self.conv = backbone, nn.Conv2d(channels, width, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return maps [B, width, h, w]."""
        maps: torch.Tensor = self.conv(self.backbone.forward_features(images))  # type: ignore[operator]
        return maps


def map_encoder(name: str, width: int, drop_path_rate: float) -> MapEncoder:
    """Return an encoder on one of timm's networks. Raises ValueError for one that is unknown or gives no maps."""
    import timm

    try:
        made: Any = b4(drop_path_rate) if name == MODEL else timm.create_model(name, num_classes=0)
        with torch.no_grad():
            shape = made.eval().forward_features(torch.zeros(1, 3, 64, 64)).shape
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"timm's '{name}' cannot be an encoder: {first_line(error)}") from None
    if len(shape) != 4 or shape[1] != made.num_features:
        raise ValueError(f"'{name}' gives no maps [B, c, h, w], which an encoder must: name a convolutional network")
    return MapEncoder(made.train(), int(shape[1]), width)


class Teaching(nn.Module):
    """Encoders of reals and of each manipulation, the fusion, and the classifier of domains."""

    def __init__(
        self, real: nn.Module, teacher: Callable[[], nn.Module], methods: int, width: int, identity: Sequence[int] = ()
    ) -> None:
        """Make a `teacher` for each of so many manipulations.

        `identity` has for each domain, real first, 1 if it shows the real's person, -1 if another's, 0 if neither is
        known; with it the real encoder also sees the fakes.
        """
        super().__init__()
        self.real_encoder = real
        self.teachers = nn.ModuleList(teacher() for _ in range(methods))
        self.fusion = nn.Sequential(
            nn.Conv2d(2 * width, width, 1),
            nn.LeakyReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.LeakyReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.LeakyReLU(),
        )
        half = width // 2
        self.domains = nn.Sequential(nn.Linear(width, half), nn.LeakyReLU(), nn.Linear(half, methods + 1))
        self.identity = tuple(identity)

    def forward(self, images: torch.Tensor, student: torch.Tensor, methods: torch.Tensor) -> Rows:
        """Return `target`, `domains`, `real` and `identity` (as the loss has them) for images and the student's maps.

        Over several processes the fakes of all of them are varied and mixed together, by one draw.
        """
        maps, real = self._encoded(images, student, methods)
        everything, first = exchange_rows(maps)
        numbers = exchange_rows(methods.double()[:, None])[0][:, 0].long().tolist()
        seed = torch.randint(1 << 62, (1,), generator=shared_generator(maps.device))
        draws = draw(numbers, tuple(maps.shape[1:]), np.random.default_rng(int(seed)))
        both = torch.cat([varied(everything, numbers, draws), mixed(everything, draws)], dim=1)
        own = methods.nonzero()[:, 0]
        target = maps + everything.sum() * 0.0  # every process goes back through the exchange
        if len(own):
            target = target.index_put((own,), self.fusion(both[first + own]).to(target.dtype))
        sides = torch.tensor(self.identity or [0] * (len(self.teachers) + 1), device=maps.device)
        return {
            "target": target,
            "domains": self.domains(maps.mean((2, 3))),
            "real": real,
            "identity": sides[methods].to(maps.dtype),
        }

    def _encoded(
        self, images: torch.Tensor, student: torch.Tensor, methods: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the maps of each image by the encoder of its domain, and those of the real encoder, 0 if not made.

        Both are as large as the student's.
        """
        counts, (height, width) = self._counts(methods), student.shape[-2:]
        maps, real = torch.zeros_like(student), torch.zeros_like(student)
        for number, encoder in enumerate((self.real_encoder, *self.teachers)):
            whole = number == 0 and bool(self.identity)
            rows = (methods == number).nonzero()[:, 0]
            seen = torch.arange(len(images), device=images.device) if whole else rows
            if not (sum(counts) if whole else counts[number]):
                continue  # of this domain no process has an image
            found = F.adaptive_avg_pool2d(_passed(encoder, images[seen], images), (height, width)).to(maps.dtype)
            maps = maps + found.sum() * 0.0
            if len(seen) and whole:
                real, found = found, found[rows]
            if len(rows):
                maps = maps.index_put((rows,), found)
        return maps, real

    def _counts(self, methods: torch.Tensor) -> list[int]:
        """Return how many images of each domain all processes have."""
        found = torch.bincount(methods, minlength=len(self.teachers) + 1)
        active = SharedStatistics.active
        if active is not None:
            found = found if active.counted else torch.zeros_like(found)
            torch.distributed.all_reduce(found)
        counts: list[int] = found.tolist()
        return counts


def _passed(encoder: nn.Module, images: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
    """Return the encoder's maps of images; without any, those of a blank, which adds nothing to batch statistics."""
    found: torch.Tensor
    if len(images):
        found = encoder(images)
        return found
    active = SharedStatistics.active
    assert active is not None
    counted, active.counted = active.counted, False
    try:
        found = encoder(torch.zeros_like(batch[:1]))
    finally:
        active.counted = counted
    return found
