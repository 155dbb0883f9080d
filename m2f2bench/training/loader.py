"""Loader of training images: reads, augments and stacks planned batches, in this process or in workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ..core.seeds import derived_seed, generator
from .augment import augment
from .job import TrainingJob
from .reading import FrameReader
from .sampling import Draw, batch_part

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.records import Image


class Part(NamedTuple):
    """Readable images of a batch's part."""

    images: torch.Tensor | None
    """Prepared images [n, ...]; None for n = 0."""
    labels: torch.Tensor
    """Float32 [n]; of a validation empty."""
    unreadable: dict[str, str]
    """Frame id to reason."""
    numbers: Sequence[int] = ()
    """Of a validation: the numbers of the frames [n]."""


@dataclass
class Parts(Dataset[Part]):
    """Parts of an epoch's batches; item i is part i % accumulation of batch i // accumulation.

    Over `world` processes a batch is cut into accumulation × world parts, and this process, `rank`, has its own of
    each. The content of an item depends only on its place in the plan, never on the worker that makes it.
    """

    job: TrainingJob
    reader: FrameReader
    prepare: Callable[[Image], npt.NDArray[Any]]
    epoch: int
    batches: list[list[Draw]]
    rank: int = 0
    world: int = 1

    def __len__(self) -> int:
        """Return the number of this process's parts in the epoch."""
        return len(self.batches) * self.job.settings.accumulation

    def __getitem__(self, index: int) -> Part:
        """Return one part, read, augmented and prepared."""
        settings = self.job.settings
        batch = self.batches[index // settings.accumulation]
        part = (index % settings.accumulation) * self.world + self.rank
        images, labels, failed = [], [], {}
        for number, repeat in batch_part(batch, part, settings.accumulation * self.world):
            frame = self.job.train[number]
            image = self.reader.get(frame)
            if image is None:
                failed[frame.id] = self.reader.unreadable[frame.id]
                continue
            rng = generator("augment", settings.seed, self.epoch, repeat, frame.id)
            images.append(self.prepare(augment(image, settings.augmentation, rng)))
            labels.append(float(frame.label))
        return Part(_stacked(images), torch.tensor(labels, dtype=torch.float32), failed)


def part_loader(parts: Parts, pin_memory: bool) -> DataLoader[Part]:
    """Return a loader of the parts in order, made by `workers` processes (0: by this one, when they are needed)."""
    settings = parts.job.settings
    # Without a generator of its own the loader would draw from the one that seeds a step's dropout.
    draws = torch.Generator().manual_seed(derived_seed("workers", settings.seed, parts.epoch, parts.rank))
    return DataLoader(
        parts, batch_size=None, shuffle=False, num_workers=settings.workers, pin_memory=pin_memory, generator=draws
    )


def validation_part(
    job: TrainingJob, reader: FrameReader, prepare: Callable[[Image], npt.NDArray[Any]], numbers: Sequence[int]
) -> Part:
    """Return the readable ones of the validation frames with these numbers."""
    images = ((number, reader.get(job.val[number])) for number in numbers)
    ready = [(number, prepare(image)) for number, image in images if image is not None]
    return Part(_stacked([image for _, image in ready]), torch.zeros(0), {}, [number for number, _ in ready])


def _stacked(images: Sequence[npt.NDArray[Any]]) -> torch.Tensor | None:
    return torch.from_numpy(np.stack(images)) if images else None
