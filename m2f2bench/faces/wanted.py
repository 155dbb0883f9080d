"""Faces of a dataset as a command's options ask for them: `--crop`, `--finder`, `--faces`."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from ..core.errors import CardError, near
from ..core.text import quoted
from .choose import Choice
from .crops import CropCard, load_crop
from .find import DEFAULT, FaceFinder

if TYPE_CHECKING:
    from ..datasets.dataset import Dataset

log = logging.getLogger("m2f2bench")
LARGEST = "largest"
RULES: tuple[str, ...] = get_args(Choice.model_fields["rule"].annotation)
OWN_NAME = re.compile(r"(.+?)-\d+-\d+px-")
"""The start of a crop's signature: its name, version and size."""


@dataclass(frozen=True)
class Wanted:
    """The crops that are asked for; `crop` is None for none."""

    crop: str | CropCard | None = None
    finder: str | FaceFinder = DEFAULT
    rule: str = LARGEST

    @classmethod
    def of(cls, crop: str | Path | CropCard | None, finder: str | FaceFinder = DEFAULT, rule: str = LARGEST) -> Wanted:
        """Return what is wanted. Raises CardError for an unknown crop or rule, and for a finder without a crop."""
        if not isinstance(finder, (str, FaceFinder)):
            raise CardError(f"a finder of faces is of type {type(finder).__name__}: give its name, or a FaceFinder")
        if not isinstance(rule, str) or rule not in RULES:
            raise CardError(
                f"unknown choice of faces {quoted(str(rule))}: give one of {', '.join(RULES)}{near(str(rule), RULES)}"
            )
        if crop is None and (rule != LARGEST or finder != DEFAULT):
            raise CardError("--finder and --faces say which faces are cut out, and none are: give --crop too")
        return cls(None if crop is None else load_crop(crop), finder, rule)

    def on(self, dataset: Dataset) -> Dataset:
        """Return the dataset of faces; the dataset itself if no crops are wanted or if it shows crops by its card.

        Raises DataError if the finder's extra is not installed, RegistryError for an unknown finder.
        """
        if self.crop is None:
            return dataset
        if shows_crops(dataset):
            log.warning("%s: --crop is not used: by its card its frames are crops of faces already", dataset.name)
            return dataset
        from .adapter import with_faces

        rule: Any = self.rule
        return with_faces(dataset, self.crop, self.finder, Choice(rule=rule))


def shows_crops(dataset: Dataset) -> bool:
    """Return whether a dataset's frames are crops of faces by its card; a folder without a card does not say."""
    return dataset.card.path is not None and dataset.card.shows == "crops"


def of_signature(text: str) -> Wanted:
    """Return what the field `crop` of a signature names; nothing for an empty text.

    Raises CardError if the crop, the finder or the choice has another signature here, or is not known.
    """
    if not text:
        return Wanted()
    crop, _, rest = text.partition("/")
    finder, _, rule = rest.rpartition("/")
    name = OWN_NAME.match(crop)
    try:
        found = Wanted.of(name[1] if name else crop, DEFAULT, rule.partition("-")[0])
    except CardError:
        found = Wanted()
    if not isinstance(found.crop, CropCard) or found.crop.signature() != crop or not finder.startswith(f"{DEFAULT}-"):
        raise CardError(f"its faces were cut out as '{text}': give the same --crop, --finder and --faces")
    return found
