"""Datasets named as `CARD@METHOD`: a dataset's card with only some of its manipulations, and all of its reals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.errors import CardError, near
from ..core.records import ORIGINAL
from .models import DatasetCard

MARK, JOINT = "@", "+"


def split_chosen(reference: str) -> tuple[str, tuple[str, ...]]:
    """Return the card's name or path and the methods of `CARD@METHOD[+METHOD]`; no methods without `@`.

    Raises CardError if there is nothing before or after the `@`.
    """
    base, mark, rest = reference.rpartition(MARK)
    if not mark:
        return reference, ()
    methods = tuple(dict.fromkeys(rest.split(JOINT)))
    if not base or not all(methods):
        raise CardError(f"'{reference}' should be CARD@METHOD, or CARD@METHOD+METHOD")
    return base, methods


def with_methods(card: DatasetCard, methods: Sequence[str], known: Sequence[str], options: type[Any]) -> DatasetCard:
    """Return the card whose option `methods` is a choice of the `known` ones; reals stay.

    Nothing is checked if none is known. `options` is the adapter's model. Raises CardError for an adapter without this
    option and for an unknown method.
    """
    if "methods" not in options.model_fields:
        raise CardError(f"dataset '{card.name}' takes no @METHOD: its adapter '{card.adapter}' has no option methods")
    wrong = [one for one in methods if known and (one not in known or one == ORIGINAL)]
    if wrong:
        fakes = [one for one in known if one != ORIGINAL]
        raise CardError(f"dataset '{card.name}' has no method '{wrong[0]}'{near(wrong[0], fakes)}")
    kept = [ORIGINAL] if ORIGINAL in known else []
    counts = {
        split: {name: n for name, n in there.items() if name in (ORIGINAL, *methods)}
        for split, there in card.counts.items()
    }
    name = f"{card.name}{MARK}{JOINT.join(methods)}"
    update = {"name": name, "options": {**card.options, "methods": [*kept, *methods]}, "counts": counts}
    return card.model_copy(update=update)
