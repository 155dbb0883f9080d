"""Cards of data that are given without one: a folder, a manifest, a list of pictures, a tar."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ..cards.folders import find_card
from ..cards.models import LONGEST_NAME, DatasetCard
from ..cards.registry import ADAPTERS
from .recognition import form_of

MANIFESTS = (".csv", ".jsonl")
LISTS = (".txt", ".json")
TAR = ".tar"
GIVEN = (*MANIFESTS, *LISTS, TAR)
"""Endings of files that are given as a dataset."""


def plain_card(reference: str) -> DatasetCard | None:
    """Return the card of a folder, a manifest, a list or a tar that is given instead of a card; None for any other."""
    path = Path(reference).expanduser()
    if find_card("datasets", reference) is not None or reference in ADAPTERS.names():
        return None
    if path.is_dir() and not (path / "card.yaml").is_file():
        at = path.resolve()
        return DatasetCard(name=slug(at.name), adapter=form_of(at), root=".").placed(at)
    if path.suffix in MANIFESTS and path.is_file():
        options = {"manifest": path.resolve().name}
        card = DatasetCard(name=slug(path.stem), adapter="folder", root=".", options=options)
        return card.placed(path.resolve().parent)
    adapter, option = ("webdataset", "shards") if path.suffix.lower() == TAR else ("lists", "lists")
    if path.is_file() and (path.suffix.lower() == TAR or _is_list(path)):
        named = {option: [path.resolve().name]}
        card = DatasetCard(name=slug(path.stem), adapter=adapter, root=".", options=named)
        return card.placed(path.resolve().parent)
    return None


def _is_list(path: Path) -> bool:
    """Return whether a file is given as a list of pictures: a text, or a JSON that is a list (a mapping is a card)."""
    if path.suffix.lower() not in LISTS:
        return False
    if path.suffix.lower() == LISTS[0]:
        return True
    start = b""
    with contextlib.suppress(OSError), path.open("rb") as file:
        start = file.read(1024)
    return start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def slug(text: str) -> str:
    """Return a card's name from any text: letters, digits and `._+-`."""
    kept = "".join(c if (c.isalnum() and c.isascii()) or c in "._+-" else "-" for c in text).lstrip("._+-")
    return kept[:LONGEST_NAME] or "unnamed"
