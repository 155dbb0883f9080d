"""Published figures of others: in a separate section of a board, never ranked with its results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..cards.folders import card_folders
from ..cards.models import validate
from ..core.errors import CardError
from ..core.parsing import Refused, read_yaml
from ..core.records import Score
from ..core.text import quoted
from ..metrics.registry import known_metric
from ..results.form import wrong

if TYPE_CHECKING:
    from typing_extensions import Self

PUBLISHED = "published.yaml"
DEVIATES = "†"
"""Behind the name of a detector whose figures are of other code than its paper's."""
NOT_ITS_PAPER = "the code that gave these figures is not the paper"


class Source(BaseModel):
    """One source of figures: what all of them have in common, and a reference."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    where: str
    level: Literal["frame", "video", "question", "not stated"]
    trained_on: str
    selection: str
    """How the checkpoint was chosen, if the source says so."""
    note: str = ""
    metric: str = "auc"
    figures: dict[str, dict[str, float]]
    """Detector → column → value. A column is a dataset, or `dataset: metric` for another metric than the source's."""
    deviates: dict[str, str] = {}
    """Detector → where the code that gave its figures is not its paper."""

    @model_validator(mode="after")
    def _of_its_own(self) -> Self:
        if unknown := sorted(set(self.deviates) - set(self.figures)):
            raise ValueError(f"deviates names '{unknown[0]}', of which it has no figures")
        return self


class Figure(BaseModel):
    """One published number with its conditions and source."""

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
    deviates: str = ""
    """Where the code that gave it is not the detector's paper."""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: tuple[Source, ...]


def load_published() -> list[Figure]:
    """Return all figures of the `published.yaml` files in the folders of leaderboard cards. Raises CardError."""
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


@dataclass(frozen=True)
class FigureTable:
    """Figures of one source and one way of measuring, as `first` has it: (dataset, metric) by detector.

    `rows` have for each column all values that the source gives, mostly one or none.
    """

    first: Figure
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, tuple[tuple[float, ...], ...]], ...]
    deviates: dict[str, str] = field(default_factory=dict)
    """Detectors whose figures are of other code than their paper's, and where it differs."""

    def marked(self, name: str) -> str:
        """Return a detector's name, with DEVIATES behind it if its code is not its paper."""
        return f"{name} {DEVIATES}" if name in self.deviates else name


def figure_tables(figures: Sequence[Figure]) -> list[FigureTable]:
    """Return figures in tables that share all but detector, dataset, metric and value, in the order of their first."""
    groups: dict[tuple[str, ...], list[Figure]] = {}
    for figure in figures:
        key = (figure.source, figure.where, figure.level, figure.trained_on, figure.selection, figure.note)
        groups.setdefault(key, []).append(figure)
    tables = []
    for group in groups.values():
        values: dict[tuple[str, str, str], tuple[float, ...]] = {}
        for figure in group:
            place = (figure.detector, figure.dataset, figure.metric)
            values[place] = (*values.get(place, ()), figure.value)
        columns = tuple(dict.fromkeys(place[1:] for place in values))
        detectors = dict.fromkeys(place[0] for place in values)
        rows = tuple((name, tuple(values.get((name, *column), ()) for column in columns)) for name in detectors)
        deviates = {figure.detector: figure.deviates for figure in group if figure.deviates}
        tables.append(FigureTable(group[0], columns, rows, deviates))
    return tables


def _figures(source: Source) -> list[Figure]:
    shared = source.model_dump(include={"level", "trained_on", "selection", "where", "note"}) | {"source": source.name}
    found = []
    for detector, columns in source.figures.items():
        for column, value in columns.items():
            dataset, _, metric = column.partition(": ")
            own = {"detector": detector, "dataset": dataset, "metric": metric or source.metric, "value": value}
            found.append(Figure(**own, **shared, deviates=source.deviates.get(detector, "")))
    return found
