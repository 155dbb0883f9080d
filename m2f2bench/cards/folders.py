"""Folders where cards are found, and names that the command line needs before any card is read.

They are apart from the models, which take a tenth of a second to build.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..core.errors import CardError

KINDS = ("detectors", "datasets", "metrics", "leaderboards")
CARDS_VARIABLE = "M2F2BENCH_CARDS"
DATA_VARIABLE = "M2F2BENCH_DATA"

DETECTION, EXPLANATION, HEATMAPS = "detection", "explanation", "heatmaps"
"""Names of tasks."""
DEFAULT_SUITE = "quickstart"
"""The leaderboard card that `run` takes if nothing is named."""
DEVICES = "auto, cpu, cuda, cuda:N, mps"
"""Values of --device."""

PACKAGE = Path(__file__).parents[1]
OWN = (PACKAGE / "_cards", PACKAGE.parent)
"""Where this package's own cards are: in an installed package, in a checkout."""


def card_folders(kind: str) -> list[Path]:
    """Return the folders of cards of a kind, the first wins: `M2F2BENCH_CARDS`, the package, the checkout."""
    places = [Path(p).expanduser() for p in os.environ.get(CARDS_VARIABLE, "").split(os.pathsep) if p]
    for place in places:
        if not place.is_dir():
            raise CardError(f"card folder '{place}' ({CARDS_VARIABLE} or --cards) does not exist")
    return [p / kind for p in (*places, *OWN) if (p / kind).is_dir()]


def iter_cards(kind: str) -> Iterator[Path]:
    """Yield the card files of a kind, each name once, in the order of lookup."""
    seen: set[str] = set()
    for folder in card_folders(kind):
        for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
            if path.stem in seen:
                continue
            if path.name != "published.yaml":
                seen.add(path.stem)
                yield path


def find_card(kind: str, name: str) -> Path | None:
    """Return the file of the named card, or None."""
    return next((path for path in iter_cards(kind) if path.stem == name), None)
