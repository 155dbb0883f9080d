"""One detector with several trainings, named by a pattern of their folders: `run -d 'runs/seed*'`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..cards.models import DetectorCard
from ..core.errors import CardError, M2F2BenchError, ScoreError
from ..core.parsing import Refused, read_json
from ..core.patterns import matching
from ..core.places import without_folders
from ..detectors.base import file_fingerprint
from ..loading import detector_card
from ..scoring.trainings import Training, method_of, refuse_unlike, training_of
from ..training.curves import RECORD

SAME = ("dataset", "stage", "crop")
"""Entries of a training's record in which trainings of one method agree."""


def trainings_at(pattern: str) -> list[DetectorCard]:
    """Return the cards of the trained detectors that a pattern matches, named `NAME-seed0`, `NAME-seed1`, ….

    A card's name that has a seed already stays. Raises CardError in one line if the pattern matches nothing, or
    anything that is no trained detector, if the detectors differ in more than the seed, or if two have one seed.
    """
    found = matching(pattern)
    if not found:
        raise CardError(f"'{pattern}' matches nothing: give a pattern of the folders that train wrote")
    return trainings_in(found, pattern)


def trainings_in(found: Sequence[Path], pattern: str) -> list[DetectorCard]:
    """Return the cards of the trained detectors in these folders, as `trainings_at`; `pattern` is for messages."""
    cards = [_trained(pattern, place) for place in found]
    names = {method_of(card.name) for card in cards}
    if len(names) > 1:
        listed = ", ".join(f"'{name}'" for name in sorted(names))
        raise CardError(
            f"'{pattern}' matches trainings of {len(names)} detectors ({listed}): one pattern is one detector"
        )
    method = names.pop()
    _refuse_copies(cards, found)
    known = [_facts(card, place) for card, place in zip(cards, found, strict=True)]
    try:
        refuse_unlike(method, known)
    except ScoreError as error:
        raise CardError(f"'{pattern}': {error}") from None
    return [card.model_copy(update={"name": _named(card, facts)}) for card, facts in zip(cards, known, strict=True)]


def _trained(pattern: str, place: Path) -> DetectorCard:
    try:
        card = detector_card(str(place))[0]
    except M2F2BenchError as error:
        raise CardError(f"'{pattern}' also matches '{place}', which is no trained detector: {error}") from None
    if card.weights is None:
        raise CardError(f"'{pattern}' also matches '{place}', which is not trained: its card has no weights")
    return card


def _refuse_copies(cards: Sequence[DetectorCard], places: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for card, place in zip(cards, places, strict=True):
        weights = card.weights_path()
        known = file_fingerprint(weights) if weights is not None and weights.is_file() else str(place)
        if known in seen:
            raise CardError(f"'{seen[known]}' and '{place}' have the same weights: give each training once")
        seen[known] = place


def _facts(card: DetectorCard, place: Path) -> Training:
    """Return what is known of a training, by its folder: seed, weights, and the settings of card and record."""
    seed = str(card.training.seed) if card.training is not None and card.training_datasets else ""
    number = re.search(r"(\d+)$", card.name if method_of(card.name) != card.name else place.stem)
    facts = training_of(str(place), without_folders(card.model_dump(mode="json")), {}, "")
    path = card.folder / RECORD
    try:
        record: Any = read_json(path) if path.is_file() else {}
    except Refused as error:
        raise CardError(f"'{path}' cannot be read: {error}") from None
    more = {key: record.get(key) for key in SAME if record}
    if "n_train" in record:
        more["frames to learn from"] = sum(record[key]["frames"] for key in ("n_train", "n_val"))
    return facts._replace(seed=seed or (number[1] if number else ""), settings=facts.settings | more)


def _named(card: DetectorCard, facts: Training) -> str:
    if method_of(card.name) != card.name:
        return card.name
    return f"{card.name}-seed{facts.seed or 0}"
