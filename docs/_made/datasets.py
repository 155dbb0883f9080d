"""Tables of the page of datasets, made from the cards that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from m2f2bench.cards.models import DatasetCard

ROOT = Path(__file__).parents[2]
SHOWN = {"crops": "crops of faces", "scenes": "whole scenes", "images": "images of any kind"}


def cards() -> list[DatasetCard]:
    """Return the cards of the package's datasets, by name."""
    from m2f2bench.cards.models import DatasetCard, read_card

    found = [read_card("datasets", path) for path in sorted((ROOT / "datasets").glob("*.yaml"))]
    return [card for card in found if isinstance(card, DatasetCard)]


def cell(text: str) -> str:
    """Return a text as one cell of a table; `<` would begin a tag."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a markdown table."""
    lines = [heads, ("---",) * len(heads), *(tuple(map(cell, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def counted(card: DatasetCard) -> str:
    """Return the splits with their videos: `train 1,440 (real 720), test 280 (real 140)`."""
    parts = []
    for split in card.splits or tuple(card.counts):
        methods = card.counts.get(split, {})
        real = methods.get("original", 0)
        parts.append(f"{split} {sum(methods.values()):,} (real {real:,})" if methods else split)
    return ", ".join(parts)


def what() -> str:
    """Return the table of what each dataset is."""
    rows = [
        (
            f"`{card.name}`",
            card.description,
            SHOWN[card.shows],
            counted(card),
            ", ".join([card.corpus, *card.people]) if card.source or card.people else "",
        )
        for card in cards()
    ]
    return table(("name", "what", "a frame is", "splits, with the videos of a whole copy", "people of"), rows)


def how() -> str:
    """Return the table of how to get each dataset and where it goes."""
    rows = [
        (f"`{card.name}`", f"`{card.root}`", card.obtain, card.licence, card.unchecked)
        for card in cards()
        if card.root is not None
    ]
    heads = (
        "name",
        "its folder in the data folder",
        "how to get it",
        "licence",
        "from a paper or from memory, not checked",
    )
    return table(heads, rows)


def fill(text: str) -> str:
    """Return the page with its tables. Raises ValueError if it has no place for one of them."""
    for name, make in (("what", what), ("how", how)):
        place = f"{{{{ {name}() }}}}"
        if place not in text:
            raise ValueError(f"docs/datasets.md has no {place}")
        text = text.replace(place, make())
    return text
