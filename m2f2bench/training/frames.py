"""Frames of a training: the validation split, the batches of an epoch, and a reader that counts unreadable frames."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from ..cards.protocols import FrameSelection
from ..cards.settings import TrainingSettings
from ..core.connected import connected
from ..core.errors import DataError, FrameError
from ..core.records import FAKE, REAL, Frame
from ..core.seeds import shuffled
from ..datasets.dataset import Dataset, check_unique, list_frames
from ..datasets.read_ahead import ReadAhead, held_bytes, read_pixels

if TYPE_CHECKING:
    from ..core.records import Image

Node = tuple[str, str]
T = TypeVar("T")
Draw = tuple[int, int]
"""Index of a frame in the training list, and how often it was drawn before in this epoch."""
CACHE_BYTES = 1 << 30
"""Memory for decoded images; frames that do not fit are decoded each time they are needed."""
UNREADABLE_SHARE = 0.05
"""Largest share of unreadable frames with which a training goes on."""


@dataclass(frozen=True)
class Component:
    """Frames that must stay together; `key` is the first of their people and videos in sorted order."""

    key: Node
    frames: tuple[Frame, ...]

    @property
    def labels(self) -> frozenset[int]:
        """Labels of its frames."""
        return frozenset(frame.label for frame in self.frames)


def components(frames: Iterable[Frame]) -> list[Component]:
    """Return the connected components of frames over shared identities and shared videos, ordered by key.

    A fake made of A and B joins A with B. A frame without identities joins only the frames of its video, which is then
    all that is known about the person. Videos with the same name stay together, whatever their manipulation: `000_003`
    may show the same two people each time, and keeping too much together leaks nothing.
    """
    ordered = sorted(frames, key=lambda frame: frame.id)
    codes = connected([frame.video for frame in ordered], [frame.identities for frame in ordered])
    groups: dict[int, list[Frame]] = {}
    for code, frame in zip(codes.tolist(), ordered, strict=True):
        groups.setdefault(code, []).append(frame)
    found = []
    for group in groups.values():
        people = [("identity", person) for frame in group for person in frame.identities]
        found.append(Component(min([*people, *(("video", frame.video) for frame in group)]), tuple(group)))
    return sorted(found, key=lambda component: component.key)


def split_frames(dataset: Dataset, settings: TrainingSettings) -> tuple[list[Frame], list[Frame]]:
    """Return training frames, and those of the validation: of many the sample that `val_frames` asks for.

    With `train_on: real` both are real, unless the source's `validate_on` asks for the dataset's fakes in validation.
    Raises DataError if the dataset's own splits share an identity, and for a class that is missing.
    """
    training, validation = _split_frames(dataset, settings)
    return training, sampled(validation, settings.val_frames)


def sampled(frames: Sequence[Frame], count: int | None) -> list[Frame]:
    """Return `count` frames (None: all), in their order, of each class its share, rounded, and at least one.

    They are drawn by a hash of their ids: no seed, and no other frame, decides whether a frame comes before another.
    """
    if count is None or count >= len(frames):
        return list(frames)
    ranked = sorted(frames, key=lambda frame: _rank(("frame", frame.id), 0))
    real, fake = ([frame.id for frame in ranked if frame.label == label] for label in (REAL, FAKE))
    share = round(count * len(real) / len(frames))
    if real and fake:
        share = min(max(1, share), count - 1)
    chosen = {*real[:share], *fake[: count - share]}
    return [frame for frame in frames if frame.id in chosen]


def _split_frames(dataset: Dataset, settings: TrainingSettings) -> tuple[list[Frame], list[Frame]]:
    count = settings.frames_per_video
    selection = FrameSelection(which="uniform", count=count) if count else FrameSelection()

    def listed(split: str) -> Sequence[Frame]:
        dataset.check_split(split, ", and there is nothing to train on")
        frames = list_frames(dataset.adapter, split, selection)
        if not frames:
            raise DataError(f"dataset '{dataset.name}': split '{split}' has no frames: nothing to train on")
        check_unique(frames)
        return frames

    def wanted(frames: Sequence[Frame], split: str) -> list[Frame]:
        return list(_wanted(frames, settings, dataset.name, split))

    own = settings.source is not None and settings.source.validate_on == "dataset"
    training = listed("train")
    named = dataset.card.splits is not None and "val" in dataset.card.splits  # a split on its card must exist
    if "val" not in dataset.splits or not (named or dataset.adapter.holds("val")):
        if settings.train_on == "real" and not own:
            return carve_reals(wanted(training, "train"), settings.val_fraction, settings.seed)
        training, validation = carve_validation(training, settings.val_fraction, settings.seed)
        return wanted(training, "train"), validation
    training, validation = wanted(training, "train"), list(listed("val"))
    if not own:
        validation = wanted(validation, "val")
    elif {frame.label for frame in validation} != {REAL, FAKE}:
        raise DataError(
            f"dataset '{dataset.name}': split 'val' lacks a class, and training.source.validate_on is `dataset`: give "
            "it real and fake frames, or set `source`"
        )
    people = {person for frame in training for person in frame.identities}
    shared = next((p for frame in validation for p in frame.identities if p in people), None)
    if shared is not None:
        raise DataError(f"dataset '{dataset.name}': identity '{shared}' is in train and in val: the splits must differ")
    return training, validation


def _wanted(frames: Sequence[Frame], settings: TrainingSettings, dataset: str, split: str) -> Sequence[Frame]:
    """Return the frames that `train_on` leaves. Raises DataError if there is none."""
    if settings.train_on == "all":
        return frames
    reals = [frame for frame in frames if frame.label == REAL]
    if not reals:
        raise DataError(
            f"dataset '{dataset}': split '{split}' has no real frames, and training.train_on is `real`: use a dataset "
            "with real faces"
        )
    return reals


def carve_validation(frames: Sequence[Frame], fraction: float, seed: int) -> tuple[list[Frame], list[Frame]]:
    """Split the training frames by identity into (train, val), each ordered by frame id.

    The components (see `components`) are sorted by a hash of seed and key, and added to the validation while that
    brings its number of frames nearer to `fraction` (0 to 1, exclusive) of all. Both sides contain both classes. The
    result depends only on the frames, the fraction and the seed. Raises DataError if there is no such split: a single
    class, a single group of people, or groups that cannot give both classes to both sides.
    """
    if not 0.0 < fraction < 1.0:
        raise DataError(f"validation fraction {fraction:g} is not between 0 and 1: set training.val_fraction")
    groups = components(frames)
    present = {frame.label for frame in frames}
    if present != {REAL, FAKE}:
        only = {REAL: "only real", FAKE: "only fake"}.get(next(iter(present), -1), "no")
        raise DataError(f"no validation can be carved from a training split with {only} frames: it needs both classes")
    if len(groups) == 1:
        raise DataError(
            f"no validation can be carved from {len(frames)} training frames: "
            "all are joined through shared identities; use a dataset with a val split"
        )
    chosen = _choose(sorted(groups, key=lambda group: _rank(group.key, seed)), fraction * len(frames))
    taken = {group.key for group in chosen}
    train = [frame for group in groups if group.key not in taken for frame in group.frames]
    val = [frame for group in chosen for frame in group.frames]
    return sorted(train, key=lambda frame: frame.id), sorted(val, key=lambda frame: frame.id)


def carve_reals(frames: Sequence[Frame], fraction: float, seed: int) -> tuple[list[Frame], list[Frame]]:
    """Split real frames by identity into (train, val), as `carve_validation` does, which needs both classes.

    Raises DataError if all frames are joined through shared identities.
    """
    groups = sorted(components(frames), key=lambda group: _rank(group.key, seed))
    if len(groups) < 2:
        raise DataError(
            f"no validation can be carved from {len(frames)} real training frames: all are joined through shared "
            "identities; use a dataset with a val split"
        )
    val = [groups[0]]
    for group in groups[1:-1]:
        count = sum(len(one.frames) for one in val)
        if abs(count + len(group.frames) - fraction * len(frames)) < abs(count - fraction * len(frames)):
            val.append(group)
    taken = {group.key for group in val}
    train = [frame for group in groups if group.key not in taken for frame in group.frames]
    held = [frame for group in val for frame in group.frames]
    return sorted(train, key=lambda frame: frame.id), sorted(held, key=lambda frame: frame.id)


def people_folds(frames: Sequence[Frame], count: int, seed: int) -> list[list[Frame]]:
    """Return frames in `count` folds that share no person and no video, each ordered by frame id.

    Components (see `components`), in an order by a hash of seed and key, go one by one to the fold that has the fewest
    frames of their labels. Raises DataError for fewer components than folds.
    """
    groups = sorted(components(frames), key=lambda group: _rank(group.key, seed))
    if len(groups) < count:
        raise DataError(
            f"{count} folds cannot be made of {len(groups)} groups of people that share no frame: ask for fewer folds"
        )
    folds: list[list[Frame]] = [[] for _ in range(count)]
    for group in groups:
        smallest = min(folds, key=lambda fold: (sum(one.label in group.labels for one in fold), len(fold)))
        smallest.extend(group.frames)
    return [sorted(fold, key=lambda frame: frame.id) for fold in folds]


def _rank(key: Node, seed: int) -> bytes:
    """Return the sort key of a seeded shuffle; unlike random draws it does not change with versions and added data."""
    return hashlib.blake2b(f"{seed}\0{key[0]}\0{key[1]}".encode(), digest_size=16).digest()


def _choose(order: list[Component], target: float) -> list[Component]:
    """Return the components for validation: about `target` frames, with both classes on both sides."""
    both = {REAL, FAKE}
    supply = {label: sum(label in group.labels for group in order) for label in both}
    chosen: list[Component] = []
    count = 0

    def take(group: Component) -> None:
        nonlocal count
        chosen.append(group)
        count += len(group.frames)
        for label in group.labels:
            supply[label] -= 1

    def spare(group: Component) -> bool:
        return all(supply[label] > (label in group.labels) for label in both)

    for group in order:
        nearer = abs(count + len(group.frames) - target) < abs(count - target)
        if nearer and spare(group):
            take(group)
    while missing := both.difference(*(group.labels for group in chosen)):
        taken = {group.key for group in chosen}
        left = [group for group in order if group.key not in taken and missing & group.labels and spare(group)]
        if not left:
            name = "real" if REAL in missing else "fake"
            raise DataError(
                f"no validation can be carved: the {len(order)} groups of identities cannot give {name} "
                "frames to both sides; use a dataset with a val split"
            )
        take(min(left, key=lambda group: len(group.frames)))
    return chosen


def steps_per_epoch(labels: Sequence[int], batch_size: int) -> int:
    """Return the number of steps in an epoch: frames / batch size, rounded, as far as the larger class has frames.

    It is at least 1. Raises DataError if a class is missing.
    """
    smaller, larger, half = _classes(labels, batch_size)
    return max(1, min(round((len(smaller) + len(larger)) / batch_size), len(larger) // half))


def epoch_batches(labels: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[list[Draw]]:
    """Return the batches of one epoch (0-based), each of real, fake, real, fake ..., with both classes equally often.

    The larger class is drawn from a permutation that is new in every epoch, so no frame of it is drawn twice; the
    smaller one is repeated, each pass in a new order. An epoch has about as many images as there are frames, hence only
    a part of the larger class. The batch size is rounded down to an even number; if the larger class has fewer frames
    than half of it, batches shrink to that. Raises DataError if a class is missing.
    """
    smaller, larger, half = _classes(labels, batch_size)
    steps = steps_per_epoch(labels, batch_size)
    needed = half * steps
    passes = -(-needed // len(smaller))
    many = [(index, 0) for index in shuffled(larger, seed, epoch, "larger", 0)][:needed]
    few = [(index, p) for p in range(passes) for index in shuffled(smaller, seed, epoch, "smaller", p)][:needed]
    first, second = (few, many) if labels[smaller[0]] == REAL else (many, few)
    pairs = list(zip(first, second, strict=True))
    return [list(chain.from_iterable(pairs[s * half : (s + 1) * half])) for s in range(steps)]


def batch_part(batch: Sequence[T], part: int, parts: int) -> list[T]:
    """Return the `part`-th of `parts` contiguous pieces of a batch, of nearly equal length; some may be empty."""
    return list(batch[len(batch) * part // parts : len(batch) * (part + 1) // parts])


def check_classes(labels: Sequence[int]) -> None:
    """Raise DataError if there are no real or no fake frames to train on."""
    for label, name in ((REAL, "real"), (FAKE, "fake")):
        if label not in labels:
            raise DataError(f"a detector cannot be trained without {name} frames: the training split has none")


def _classes(labels: Sequence[int], batch_size: int) -> tuple[list[int], list[int], int]:
    """Return the indices of the smaller and of the larger class (if equal: real, fake), and half a batch size."""
    real = [i for i, label in enumerate(labels) if label == REAL]
    fake = [i for i, label in enumerate(labels) if label == FAKE]
    check_classes(labels)
    smaller, larger = (real, fake) if len(real) <= len(fake) else (fake, real)
    return smaller, larger, min(batch_size // 2, len(larger))


class FrameReader:
    """Reads frames for training, with a cache that is filled once, before the first step.

    Filling it also finds unreadable frames before the first step. It happens in the parent process, so that forked
    workers share the images. Frames beyond the budget are read when they are needed.
    """

    def __init__(self, read: Callable[[Frame], Image], budget: int = CACHE_BYTES) -> None:
        """`read` returns a frame's pixels or raises FrameError; `budget` is in bytes."""
        self._read, self._budget = read, budget
        self._images: dict[str, Image] = {}
        self.unreadable: dict[str, str] = {}
        """Frame id to reason."""

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the images: workers that are not forked read for themselves."""
        return {**self.__dict__, "_images": {}}

    def fill(self, frames: Sequence[Frame]) -> None:
        """Decode frames in order until the budget is spent (in up to eight threads). Raises as `check`."""
        used = 0
        for start in range(0, len(frames), 64):
            chunk = frames[start : start + 64]
            ahead = ReadAhead(self.get, chunk, count=len(chunk), size=held_bytes)
            with closing(ahead.each()) as images:
                for frame, image in zip(chunk, images, strict=True):
                    if image is not None:
                        self._images[frame.id] = image
                        used += image.nbytes
                    if used >= self._budget:
                        return
            self.check(len(frames))

    def get(self, frame: Frame) -> Image | None:
        """Return the frame's pixels, RGB uint8 [H, W, 3]; None, with an entry in `unreadable`, if it is unreadable."""
        image = self._images.get(frame.id)
        if image is not None or frame.id in self.unreadable:
            return image
        try:
            return read_pixels(self._read, frame)
        except FrameError as error:
            self.unreadable[frame.id] = error.reason
        return None

    def check(self, total: int) -> None:
        """Raise DataError as `check_unreadable`."""
        check_unreadable(self.unreadable, total)


def check_unreadable(unreadable: Mapping[str, str], total: int) -> None:
    """Raise DataError if more than UNREADABLE_SHARE of `total` frames are `unreadable` (frame id to reason)."""
    if len(unreadable) > UNREADABLE_SHARE * total:
        frame, reason = min(unreadable.items())
        raise DataError(
            f"{len(unreadable)} of {total} training and validation frames cannot be read, first '{frame}': {reason}; "
            f"at most {UNREADABLE_SHARE:.0%} may be: repair the dataset"
        )


def unreadable_notes(unreadable: Mapping[str, str]) -> list[str]:
    """Return a note about unreadable frames (frame id to reason); empty if there are none."""
    if not unreadable:
        return []
    frame, reason = min(unreadable.items())
    return [f"{len(unreadable)} unreadable frames left out of training, first '{frame}': {reason}"]
