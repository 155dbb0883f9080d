"""Recognition of a folder's layout: the dataset cards whose adapters find their own names of files in it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from ..cards.folders import DATA_VARIABLE, iter_cards
from ..cards.models import DatasetCard, read_card, validate
from ..cards.registry import ADAPTERS, is_file_reference, load_from_file
from ..core.errors import DataError, M2F2BenchError
from ..core.guests import guest
from .base import Adapter
from .calls import fits_of
from .files_there import any_there

FORMS = ("lists", "webdataset", "huggingface")
"""Adapters of forms in which anybody's data come; a folder in such a form has no card of its own."""
LISTED = 4
"""Cards that a message names at most."""
log = logging.getLogger("m2f2bench")


def card_of_folder(reference: str) -> DatasetCard | None:
    """Return the card whose layout a folder has, and log its name; None if it has that of no card, or is no folder.

    Raises DataError if it has the layouts of several cards.
    """
    path = Path(reference).expanduser().resolve()
    cards = recognised(path) if path.is_dir() else []
    if len(cards) > 1:
        names = [card.name for card in cards]
        more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
        raise DataError(
            f"'{reference}' is laid out as {' and as '.join(names[:LISTED])}{more}: give one of them as "
            f"-s {names[0]} --data {reference}"
        )
    if not cards:
        return None
    log.info("'%s' is laid out as %s: its card is used", reference, cards[0].name)
    return cards[0]


def form_of(path: Path) -> str:
    """Return the adapter of a folder without a card: one of FORMS that finds its own names in it, else `folder`."""
    for name in FORMS:
        if name not in ADAPTERS.names():
            continue
        card = DatasetCard(name=name, adapter=name, root=str(path))
        try:
            adapter = _class(card)(root=path)
        except Exception as error:  # such as a package that is not installed: another form may fit
            log.debug("adapter '%s': %s", name, error)
            continue
        if _fits(card, adapter):
            log.info("'%s' is read by the adapter `%s`", path, name)
            return name
    return "folder"


def at_its_root(adapter: Adapter, card: DatasetCard) -> Adapter:
    """Return the adapter at the data folder itself if that has its layout and the card's root is not there."""
    base = data_folder(card)
    if adapter.root is None or base is None or adapter.root.exists() or not base.is_dir():
        return adapter
    own = type(adapter)(root=base, options=adapter.options)
    return own if fits_of(own) else adapter


def recognised(path: Path) -> list[DatasetCard]:
    """Return the cards whose layout the folder `path` has, each with `path` as its root; of several, those with files.

    A card takes part if it has a root, also a user's own. A card with mistakes, and one whose adapter needs a package
    that is not installed, cannot be taken and is passed over.
    """
    found = [(card, adapter) for card, adapter in _placed_at(path) if _fits(card, adapter)]
    if len(found) > 1:
        found = [one for one in found if any_there(one[1], one[0].splits or one[1].splits)] or found
    return [card for card, _ in found]


def data_folder(card: DatasetCard) -> Path | None:
    """Return the data folder, `M2F2BENCH_DATA`, of a card whose root is relative to it; None for any other."""
    base = os.environ.get(DATA_VARIABLE)
    if not base or card.root is None or card.root.startswith(".") or Path(card.root).expanduser().is_absolute():
        return None
    return Path(base).expanduser()


def _placed_at(path: Path) -> Iterator[tuple[DatasetCard, Adapter]]:
    """Yield each card that has a root, and its adapter with `path` in place of it."""
    for file in iter_cards("datasets"):
        try:
            card = read_card("datasets", file)
            if not isinstance(card, DatasetCard) or card.root is None:
                continue
            card = card.model_copy(update={"root": str(path)})
            cls = _class(card)
            if not issubclass(cls, Adapter) or cls.fits is Adapter.fits:
                continue
            options = validate(cls.Options, card.options, f"dataset '{card.name}', options")
            with guest(f"dataset '{card.name}'"):
                adapter = cls(root=path, options=options)
        except Exception as error:  # of a card that is not asked for: the others are still looked at
            log.debug("'%s' takes no part in the recognition of a folder: %s", file, error)
            continue
        yield card, adapter


def _class(card: DatasetCard) -> type:
    if not is_file_reference(card.adapter):
        return ADAPTERS.get(card.adapter)
    path, _, attribute = card.adapter.rpartition(":")
    return load_from_file(f"{card.folder / Path(path).expanduser()}:{attribute}", "dataset")


def _fits(card: DatasetCard, adapter: Adapter) -> bool:
    try:
        return fits_of(adapter)
    except M2F2BenchError as error:
        log.debug("dataset '%s': %s", card.name, error)
        return False
