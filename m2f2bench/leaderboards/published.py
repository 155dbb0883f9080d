"""Figures that others have published: shown beside our own in a section of their own, never ranked with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..cards.models import card_folders, validate
from ..core.errors import CardError
from ..core.parsing import Refused, read_yaml
from ..core.records import Score
from ..core.text import quoted
from ..metrics.registry import known_metric
from ..results.form import wrong

PUBLISHED = "published.yaml"


class Source(BaseModel):
    """One place where figures stand: what all of them have in common, and where it can be looked up."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    where: str
    level: Literal["frame", "video", "question", "not stated"]
    trained_on: str
    selection: str
    """How the checkpoint was picked, as far as it is said."""
    note: str = ""
    metric: str = "auc"
    figures: dict[str, dict[str, float]]
    """Detector → column → value. A column is a dataset, or `dataset: metric` for another metric than the source's."""


class Figure(BaseModel):
    """One published number with everything that says what it is."""

    model_config = ConfigDict(frozen=True)

    detector: str
    dataset: str
    metric: str
    value: float
    level: str
    trained_on: str
    selection: str
    source: str
    where: str = Field(repr=False)
    note: str = ""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: tuple[Source, ...]


def load_published() -> list[Figure]:
    """All figures of the `published.yaml` files beside the leaderboard cards, first folder first."""
    figures = []
    for folder in card_folders("leaderboards"):
        path = folder / PUBLISHED
        if not path.is_file():
            continue
        try:
            data = read_yaml(path)
        except Refused as error:
            raise CardError(f"published figures '{path}' cannot be read: {error}") from None
        for source in validate(_File, data, f"published figures '{path}'").sources:
            for figure in _figures(source):
                metric = known_metric(figure.metric)
                if metric and (why := wrong(metric, Score(figure.value, 0, 0))):
                    name = f"{figure.detector} on {figure.dataset}"
                    raise CardError(f"published figures '{path}': {quoted(name)}: {figure.metric} {why}")
                figures.append(figure)
    return list(dict.fromkeys(figures))


def by_source(figures: Sequence[Figure]) -> list[list[Figure]]:
    """Figures in groups that share all but detector, dataset, metric and value, in the order of their first."""
    groups: dict[tuple[str, ...], list[Figure]] = {}
    for figure in figures:
        key = (figure.source, figure.where, figure.level, figure.trained_on, figure.selection, figure.note)
        groups.setdefault(key, []).append(figure)
    return list(groups.values())


def _figures(source: Source) -> list[Figure]:
    found = []
    for detector, columns in source.figures.items():
        for column, value in columns.items():
            dataset, _, metric = column.partition(": ")
            found.append(
                Figure(
                    detector=detector,
                    dataset=dataset,
                    metric=metric or source.metric,
                    value=value,
                    level=source.level,
                    trained_on=source.trained_on,
                    selection=source.selection,
                    source=source.name,
                    where=source.where,
                    note=source.note,
                )
            )
    return found
