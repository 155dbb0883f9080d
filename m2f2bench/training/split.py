"""Validation split taken from the training split, so that no person is on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..core.connected import connected
from ..core.errors import DataError
from ..core.records import FAKE, REAL, Frame

Node = tuple[str, str]


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
    found = [Component(min(map(_least, group)), tuple(group)) for group in groups.values()]
    return sorted(found, key=lambda component: component.key)


def _least(frame: Frame) -> Node:
    return min([("video", frame.video), *(("identity", identity) for identity in frame.identities)])


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


def _rank(key: Node, seed: int) -> bytes:
    """Return the sort key of a seeded shuffle; unlike random draws it does not change with versions and added data."""
    return hashlib.blake2b(f"{seed}\0{key[0]}\0{key[1]}".encode(), digest_size=16).digest()


def _labels(groups: Iterable[Component]) -> set[int]:
    return {label for group in groups for label in group.labels}


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
    while missing := both - _labels(chosen):
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
