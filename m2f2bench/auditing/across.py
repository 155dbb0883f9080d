"""Audit across datasets: people, videos and pictures of one that are in another too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from ..cards.models import DatasetCard
from ..cards.protocols import FrameSelection
from ..core.errors import DataError, NothingJudged
from ..core.records import Frame
from ..datasets.base import Adapter
from ..datasets.calls import close_adapter
from ..datasets.dataset import Dataset, spread
from ..datasets.scenes import announce
from ..loading import load_dataset
from ..results.signature import versions
from .across_report import findings, sections, to_json
from .facts import Facts, gather
from .listing import list_splits, split_counts
from .pair import Pairing, Side
from .people import names_of
from .pictures import compare
from .report import Audit, by_severity


@dataclass
class _Read:
    """A dataset with its frames by split, the splits that are absent, and the facts of the frames that were read."""

    dataset: Dataset
    listed: dict[str, Sequence[Frame]]
    absent: dict[str, Exception]
    facts: list[Facts]


def audit_across(
    references: Sequence[str | DatasetCard | Adapter],
    splits: Sequence[str],
    selection: FrameSelection,
    *,
    limit: int | None,
    workers: int,
    settings: dict[str, Any],
) -> Audit:
    """Return what datasets share, each with each other. Raises M2F2BenchError.

    `splits` are names for all datasets, or `DATASET:SPLIT` for one; none: all splits. All frames of the `selection` are
    searched for people and videos, and `limit` of each split for pictures.
    """
    datasets = [load_dataset(one) for one in references]
    _refuse_twice(datasets)
    try:
        named = _named(splits, datasets)
        # Every list comes before the first picture: a mistake is told at once.
        read = [_Read(one, *list_splits(one, own, selection), []) for one, own in zip(datasets, named, strict=True)]
        for one in read:
            for split in one.listed:
                announce(one.dataset, split, scenes=False)
        for one in read:
            _read_frames(one, limit, workers)
    finally:
        for dataset in datasets:
            close_adapter(dataset.adapter)
    known = {name.casefold(): name for one in datasets for name in (*one.card.people, one.card.corpus)}
    sides = [
        Side(one.dataset.name, names_of(one.dataset.card, one.listed, known), one.facts, one.absent) for one in read
    ]
    pairs = [Pairing(a, b, compare(a.facts, b.facts, settings["near"])) for a, b in combinations(sides, 2)]
    return Audit(
        ", ".join(side.name for side in sides),
        by_severity(findings(sides, pairs)),
        settings,
        {
            f"{one.dataset.name} {name}": count
            for one in read
            for name, count in split_counts(one.listed, one.facts).items()
        },
        to_json(sides, pairs),
        tuple(sections(sides, pairs, settings["near"])),
        versions(),
    )


def _read_frames(one: _Read, limit: int | None, workers: int) -> None:
    """Read the facts of a dataset's frames. Raises NothingJudged if no frame can be read."""
    wanted = [frame for frames in one.listed.values() for frame in spread(frames, limit)]
    one.facts = gather(one.dataset, wanted, workers)
    if all(fact.pixels is None for fact in one.facts):
        first = one.facts[0]
        why = (first.frame.id, first.status, first.reason)
        raise NothingJudged.of(f"audit of {one.dataset.name}", "frames", len(one.facts), *why)


def _refuse_twice(datasets: Sequence[Dataset]) -> None:
    """Raise DataError for one dataset that is given twice, or for two of one name."""
    for one, other in combinations(datasets, 2):
        if one.name == other.name:
            places = [(type(x.adapter), x.adapter.root, x.adapter.options) for x in (one, other)]
            if places[0] == places[1]:
                raise DataError(f"dataset '{one.name}' is given twice: give different datasets, or it alone")
            raise DataError(f"two datasets are named '{one.name}': give one of them a card with another name")


def _named(splits: Sequence[str], datasets: Sequence[Dataset]) -> list[list[str]]:
    """Return the splits that were named for each dataset, those of its own before those for all."""
    own: dict[str, list[str]] = {one.name: [] for one in datasets}
    every: list[str] = []
    for text in splits:
        name, colon, split = text.partition(":")
        (own[name] if colon and name in own else every).append(split if colon and name in own else text)
    for one in datasets:
        for split in () if own[one.name] else every:
            one.check_split(split, f" (give --split DATASET:{split} if only some datasets have it)")
    return [own[one.name] or every for one in datasets]
