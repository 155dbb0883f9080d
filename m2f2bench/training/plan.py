"""Plans of a training: which frames are in which batch of an epoch, and which of them stay together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from ..core.errors import CardError, DataError
from ..core.records import FAKE, REAL, Frame
from ..core.seeds import derived_seed, shuffled
from .frames import Draw, check_classes, epoch_batches, steps_per_epoch
from .job import TrainingJob
from .sources.base import Source

T = TypeVar("T")


class Plan(ABC):
    """What the batches of an epoch are made of."""

    steps: int
    """Batches of an epoch."""
    unit: int = 1
    """Consecutive draws of a batch that stay in one part of it; with an unreadable one all of them are left out."""

    @abstractmethod
    def batches(self, epoch: int) -> list[list[Draw]]:
        """Return the batches of an epoch (from 0)."""

    def notes(self) -> list[str]:
        """Return notes for the training's report."""
        return []


def capped(steps: int, size: int, images: int | None) -> int:
    """Return the steps of an epoch of at most `images` images (None: any number), `size` in a batch; at least 1."""
    return steps if images is None else max(1, min(steps, images // size))


class Balanced(Plan):
    """As many reals as fakes in each batch, see `epoch_batches`."""

    def __init__(self, labels: Sequence[int], batch_size: int, seed: int, images: int | None = None) -> None:
        """`images` is `TrainingSettings.epoch_images`. Raises DataError if a class is missing."""
        self.labels, self.batch_size, self.seed = labels, batch_size, seed
        self.steps = capped(steps_per_epoch(labels, batch_size), batch_size, images)

    def batches(self, epoch: int) -> list[list[Draw]]:
        """Return batches of real, fake, real, fake ..."""
        return epoch_batches(self.labels, self.batch_size, self.seed, epoch)[: self.steps]


class Alone(Plan):
    """All frames once an epoch: for classes as often as there are, and for a source that makes both of each frame."""

    def __init__(self, count: int, batch_size: int, samples: int, seed: int, images: int | None = None) -> None:
        """`batch_size` and `images` count samples, of which a frame gives `samples`.

        A rest below a full batch is not drawn.
        """
        self.count, self.seed = count, seed
        self.size = max(1, min(batch_size // samples, count))
        self.steps = capped(max(1, count // self.size), self.size * samples, images)

    def batches(self, epoch: int) -> list[list[Draw]]:
        """Return batches of a new order of all frames."""
        order = shuffled(range(self.count), self.seed, epoch, "alone")
        return [[(i, 0) for i in order[s * self.size : (s + 1) * self.size]] for s in range(self.steps)]


class OneOfEach(Plan):
    """One frame of every video in an epoch, drawn anew for each; of these frames another plan makes the batches."""

    def __init__(self, frames: Sequence[Frame], seed: int, make: Callable[[Sequence[Frame]], Plan]) -> None:
        """`make` returns the plan for the frames of one epoch, of which each epoch has as many of each class."""
        self.frames, self.seed, self.make = frames, seed, make
        self.videos: dict[str, list[int]] = {}
        for number, frame in enumerate(frames):
            self.videos.setdefault(frame.clip, []).append(number)
        first = self._plan(0)[1]
        self.steps, self.unit = first.steps, first.unit

    def batches(self, epoch: int) -> list[list[Draw]]:
        """Return the batches of the other plan."""
        chosen, plan = self._plan(epoch)
        return [[(chosen[number], repeat) for number, repeat in batch] for batch in plan.batches(epoch)]

    def notes(self) -> list[str]:
        """Return the number of videos, and the other plan's notes."""
        frames = f"an epoch has one frame of each of {len(self.videos)} videos, of {len(self.frames)} frames in all"
        return [frames, *self._plan(0)[1].notes()]

    def _plan(self, epoch: int) -> tuple[list[int], Plan]:
        """Return the frames of an epoch, by number, and the plan for them."""
        chosen = [
            own[derived_seed("frame of a video", self.seed, epoch, clip) % len(own)]
            for clip, own in self.videos.items()
        ]
        return chosen, self.make([self.frames[number] for number in chosen])


class Pairs(Plan):
    """Batches of a real and its fake, next to each other: real, fake, real, fake ...

    The real of a fake has the fake's video name, or else shares a person with it: the first of the fake's identities
    that has reals. Of several, one is drawn anew for each epoch. Every fake that has a real is drawn once before any is
    drawn again; an epoch has about as many images as there are frames.
    """

    unit = 2

    def __init__(self, frames: Sequence[Frame], batch_size: int, seed: int, images: int | None = None) -> None:
        """`images` is `TrainingSettings.epoch_images`. Raises DataError if no fake has a real."""
        self.frames, self.seed = frames, seed
        self.mates = mates(frames)
        self.lone = sum(frame.label == FAKE for frame in frames) - len(self.mates)
        if not self.mates:
            raise DataError(
                "the loss needs pairs of a real and its fake, and no fake of the training split has the video name or "
                "a person of a real one: use a dataset with identities, or another loss"
            )
        self.half = max(1, min(batch_size // 2, len(self.mates)))
        self.steps = capped(max(1, round(len(frames) / (2 * self.half))), 2 * self.half, images)

    def batches(self, epoch: int) -> list[list[Draw]]:
        """Return batches of real, its fake, real, its fake ..."""
        fakes, needed = list(self.mates), self.half * self.steps
        passes = -(-needed // len(fakes))
        order = [(i, p) for p in range(passes) for i in shuffled(fakes, self.seed, epoch, "pairs", p)][:needed]
        drawn: Counter[int] = Counter()
        flat: list[Draw] = []
        for fake, repeat in order:
            own = self.mates[fake]
            real = own[derived_seed("mate", self.seed, epoch, repeat, self.frames[fake].id) % len(own)]
            flat += [(real, drawn[real]), (fake, repeat)]
            drawn[real] += 1
        return [flat[s * 2 * self.half : (s + 1) * 2 * self.half] for s in range(self.steps)]

    def notes(self) -> list[str]:
        """Return how many fakes have no real."""
        return [f"{self.lone} fakes without a real of their video or person are not drawn"] if self.lone else []


def mates(frames: Sequence[Frame]) -> dict[int, list[int]]:
    """Return the indices of the reals of each fake, by the fake's index; fakes without one are left out."""
    of_video: dict[str, list[int]] = {}
    of_person: dict[str, list[int]] = {}
    for number, frame in enumerate(frames):
        if frame.label == REAL:
            of_video.setdefault(frame.video, []).append(number)
            for person in frame.identities:
                of_person.setdefault(person, []).append(number)
    found: dict[int, list[int]] = {}
    for number, frame in enumerate(frames):
        if frame.label == FAKE:
            people = (of_person[person] for person in frame.identities if person in of_person)
            own = of_video.get(frame.video) or next(people, [])
            if own:
                found[number] = own
    return found


def make_plan(job: TrainingJob, source: Source | None, pairs: bool) -> Plan:
    """Return what the batches of a job are made of.

    Raises DataError for a missing class and for missing pairs, CardError for a source that gets fakes and for classes
    that a loss cannot have.
    """
    settings, seed = job.settings, job.settings.seed
    rest = settings.batch_size, seed, settings.epoch_images
    if source is not None and any(frame.label for frame in job.train):  # whose samples would be called real
        raise CardError(
            f"detector '{job.card.name}': training.source makes its fakes of real frames, and the training frames "
            "have fakes of the dataset: set training.train_on to `real`"
        )
    if pairs and settings.classes == "natural":
        raise CardError(
            f"detector '{job.card.name}': loss '{settings.loss.name}' has batches of a real and its fake: set "
            "`classes` to balanced"
        )

    def planned(frames: Sequence[Frame]) -> Plan:
        labels = [frame.label for frame in frames]
        if source is not None:
            return Alone(len(labels), settings.batch_size, len(source.labels), *rest[1:])
        if pairs:
            return Pairs(frames, *rest)
        if settings.classes == "balanced":
            return Balanced(labels, *rest)
        check_classes(labels)
        return Alone(len(labels), settings.batch_size, 1, *rest[1:])

    return planned(job.train) if settings.sampling == "frame" else OneOfEach(job.train, seed, planned)


def units(batch: Sequence[T], size: int) -> list[Sequence[T]]:
    """Return a batch in consecutive units of `size`."""
    return [batch[i : i + size] for i in range(0, len(batch), size)]
