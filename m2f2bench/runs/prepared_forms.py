"""Forms in which prepared frames are written, by name: which file a frame has, and the files beside the pictures."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..cards.models import DatasetCard
from ..core.files import write_text
from ..core.records import Frame
from ..datasets.layouts.prepared import COLUMNS, MANIFEST

FRAMES = "frames"
CARD = "card.yaml"
PLAIN = re.compile(r"[A-Za-z0-9_#@=+-][A-Za-z0-9_.#@=+ -]{0,118}[A-Za-z0-9_#@=+-]|[A-Za-z0-9_#@=+-]")
OTHER = re.compile(r"[^A-Za-z0-9_#@=+-]")


@dataclass(frozen=True)
class Form:
    """A form of prepared frames; this one is `folder`: pictures by split and id, a manifest, and a card."""

    name: str = "folder"

    def path(self, frame: Frame) -> str:
        """Return the file of a frame's picture, relative to the root."""
        return f"{FRAMES}/{frame.split}/{file_name(frame.id)}.png"

    def folders(self) -> tuple[str, ...]:
        """Return the folders of the pictures, relative to the root; nothing else may be in them."""
        return (FRAMES,)

    def finish(self, root: Path, rows: Sequence[dict[str, Any]], card: DatasetCard) -> None:
        """Write the list of all frames, and the card by which the folder is a dataset."""
        write_text(root / MANIFEST, manifest(rows))
        write_text(root / CARD, card_text(card, "prepared"))


def card_text(card: DatasetCard, adapter: str, **options: Any) -> str:
    """Return the text of a card's file, with the adapter of its form."""
    values = card.model_copy(update={"adapter": adapter, "options": {**card.options, **options}})
    found = values.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump({**found, "shows": "crops"}, sort_keys=False, width=110, allow_unicode=True)


def file_name(name: str) -> str:
    """Return a path for a frame's id: parts that any file system takes stay, others get a hash."""
    return "/".join(part if PLAIN.fullmatch(part) else _safe(part) for part in name.split("/"))


def _safe(part: str) -> str:
    digest = hashlib.blake2b(part.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{OTHER.sub('_', part)[:80]}-{digest}"


def manifest(rows: Iterable[dict[str, Any]]) -> str:
    """Return the text of the manifest, a line for each frame."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        values = {**row, "identity": "+".join(row["identities"]), "index": "" if row["index"] is None else row["index"]}
        writer.writerow([values[name] for name in COLUMNS])
    return file.getvalue()


FORMS: dict[str, Form] = {"folder": Form()}
