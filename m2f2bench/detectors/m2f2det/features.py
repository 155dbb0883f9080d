"""Disk cache of a frozen CLIP's features: a repeated image is not encoded again."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ...cards.settings import AugmentationSettings
from ...core.errors import DetectorError, StoreError, first_line
from ...core.memo import cache_folder
from ...core.tensors import read_tensors, write_tensors
from ...training.job import TrainingJob
from .paper import PaperNetwork
from .towers import Features

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger("m2f2bench")

GIGABYTE = 10**9
RANDOM = ("rescale_p", "blur_p", "colour_p", "jpeg_p")
"""Augmentation steps after which an image is (almost) never repeated."""


class FeatureCache:
    """Replacement for `PaperNetwork.features` that reads the features of known pixels from disk.

    An entry's key is the pixels that CLIP reads: it is found again after an augmentation that leaves an image
    unchanged, or only mirrors it, and never after another one. On a CPU, missing features are computed one image at a
    time: what is kept must not depend on the batch, or a resumed training would end with other bits.
    """

    def __init__(self, network: PaperNetwork, folder: Path, limit: int, at_once: bool = True) -> None:
        """Entries go to `folder`, up to `limit` bytes in total. Without `at_once`, an image is kept on its second use:
        if some are altered at random, most of those are never repeated.
        """
        self.network, self.folder, self.limit, self.at_once = network, folder, limit, at_once
        self.once: set[str] = set()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.size = sum(path.stat().st_size for path in self.folder.glob("*/*.safetensors"))
        self.hits = self.misses = 0

    @classmethod
    def for_training(cls, network: PaperNetwork, job: TrainingJob) -> tuple[FeatureCache | None, list[str]]:
        """Return the cache for a training, in the user's cache folder, and notes; None if no image is ever repeated."""
        augmentation = job.settings.augmentation
        reason = never_twice(augmentation)
        if reason:
            return None, [f"CLIP features are not cached: {reason} makes every training image different"]
        folder = cache_folder() / "clip-features" / clip_key(network)
        at_once = not any(getattr(augmentation, name) for name in RANDOM)
        return cls(network, folder, int(network.options.cache_features * GIGABYTE), at_once), []

    def __call__(self, pixels: torch.Tensor) -> Features:
        """Return features, as `PaperNetwork.features` does."""
        keys = [
            hashlib.blake2b(image.cpu().contiguous().numpy().tobytes(), digest_size=16).hexdigest() for image in pixels
        ]
        found = {key: self._read(key) for key in dict.fromkeys(keys)}
        missing = [key for key, value in found.items() if value is None]
        self.hits, self.misses = self.hits + len(found) - len(missing), self.misses + len(missing)
        one_by_one = pixels.device.type == "cpu"
        for group in [[key] for key in missing] if one_by_one else [missing] if missing else []:
            places = [keys.index(key) for key in group]
            fresh = self.network.features(pixels[places])
            for row, key in enumerate(group):
                parts = [value[row].cpu() for value in (fresh.image, fresh.patches, *fresh.states)]
                found[key] = parts
                self._write(key, parts)
        rows = [found[key] or [] for key in keys]
        image, patches, *states = (torch.stack(parts).to(pixels.device) for parts in zip(*rows, strict=True))
        return Features(image, patches, states)

    def _place(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"

    def _read(self, key: str) -> list[torch.Tensor] | None:
        try:
            tensors, _ = read_tensors(self._place(key))
        except DetectorError:  # missing or damaged: encoded again and overwritten
            return None
        return [tensors[name] for name in sorted(tensors)]

    def _write(self, key: str, parts: Sequence[torch.Tensor]) -> None:
        size = sum(part.numel() * part.element_size() for part in parts)
        if self.size + size > self.limit:
            return
        if not self.at_once and key not in self.once:
            self.once.add(key)
            return
        try:
            write_tensors(self._place(key), {f"{number:02d}": part for number, part in enumerate(parts)})
        except StoreError as error:  # the training continues without it
            log.warning("no more CLIP features are cached in '%s': %s", self.folder, first_line(error))
            self.limit = 0
            return
        self.size += size


def never_twice(augmentation: AugmentationSettings) -> str:
    """Return the setting, if any, that makes (almost) every training image different; else ""."""
    if augmentation.crop != (1.0, 1.0):
        return "crop"
    for name in RANDOM:
        if getattr(augmentation, name) > 0.5:
            return name
    return ""


def clip_key(network: PaperNetwork) -> str:
    """Return a hash of all that decides the features.

    That is the image tower's weights and precision, the depths read, torch's version and the kind of device; of a timm
    network also its settings, which say what of it is a patch.
    """
    digest = hashlib.blake2b(digest_size=12)
    tower = network.images.tensors()
    for name, value in tower.items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    device = next(iter(tower.values())).device.type
    # "ieee": up to 0.5.0 a GPU's float32 products could be TF32's.
    decided = (network.images.depths, network.options.clip_precision, "ieee", torch.__version__, device)
    digest.update(repr(decided).encode())
    if network.options.image_tower is not None:
        digest.update(network.options.image_tower.model_dump_json(exclude={"pretrained"}).encode())
    return digest.hexdigest()
