"""From planned batches to tensors: reading, augmenting and stacking, in this process or in workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ..core.seeds import generator
from .augment import augment
from .job import TrainingJob
from .reading import FrameReader
from .sampling import Draw, batch_part

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.records import Image

Part = tuple["torch.Tensor | None", torch.Tensor, dict[str, str]]
"""Prepared images [n, ...] (None for n = 0), labels float32 [n], and unreadable frames (id to reason)."""


@dataclass
class Parts(Dataset[Part]):
    """The parts of an epoch's batches; item i is part i % accumulation of batch i // accumulation.

    Over `world` processes a batch is cut into accumulation × world parts, and this process, `rank`, has its own of
    each. What an item holds depends on its place in the plan alone, never on the worker that makes it.
    """

    job: TrainingJob
    reader: FrameReader
    prepare: Callable[[Image], npt.NDArray[Any]]
    epoch: int
    batches: list[list[Draw]]
    rank: int = 0
    world: int = 1

    def __len__(self) -> int:
        """Parts in the epoch, of this process."""
        return len(self.batches) * self.job.settings.accumulation

    def __getitem__(self, index: int) -> Part:
        """Read, augment and prepare one part."""
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
        stacked = torch.from_numpy(np.stack(images)) if images else None
        return stacked, torch.tensor(labels, dtype=torch.float32), failed


def part_loader(parts: Parts, pin_memory: bool) -> DataLoader[Part]:
    """Iterate over the parts in order, made by `workers` processes (0: by this one, when they are asked for)."""
    return DataLoader(
        parts, batch_size=None, shuffle=False, num_workers=parts.job.settings.workers, pin_memory=pin_memory
    )


def prepared_batches(
    reader: FrameReader,
    prepare: Callable[[Image], npt.NDArray[Any]],
    job: TrainingJob,
    numbers: Sequence[int],
) -> Any:
    """Validation frames by number, in batches: yields (numbers, prepared images [n, ...]) of the readable ones."""
    size = job.settings.batch_size
    for start in range(0, len(numbers), size):
        images = ((number, reader.get(job.val[number])) for number in numbers[start : start + size])
        ready = [(number, prepare(image)) for number, image in images if image is not None]
        if ready:
            yield [number for number, _ in ready], torch.from_numpy(np.stack([image for _, image in ready]))
