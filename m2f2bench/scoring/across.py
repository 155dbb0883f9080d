"""Detectors over several datasets: mean ranks, Iman and Davenport's test, and signed ranks of each pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..cards.models import corpus_of
from ..core import markdown
from ..core.arrays import Floats
from ..core.errors import ScoreError
from ..core.notebook import heading, lines, page, table
from ..metrics.detection.paired import p_text
from ..metrics.registry import known_metric, title
from ..stats.ranks import ALPHA, FEWEST, Ranking, SignedRanks, by_source, fewest_for_a_pair, pairwise, rank
from .comparison import Comparison, Comparisons


@dataclass(frozen=True)
class Across:
    """Detectors on datasets of several sources, in one metric under one protocol.

    `values` are float64 [detectors, sources]; datasets of one source are one, with the mean of their values: `sources`
    has the datasets of each. `ranking` is None for two detectors, which have `pairs` alone.
    """

    protocol: str
    metric: str
    detectors: tuple[str, ...]
    sources: Mapping[str, tuple[str, ...]]
    values: Floats
    ranking: Ranking | None
    pairs: tuple[SignedRanks, ...]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary; the pairs have the detectors' names."""
        found: dict[str, Any] = {"protocol": self.protocol, "metric": self.metric, "detectors": list(self.detectors)}
        found["sources"] = {name: list(own) for name, own in self.sources.items()}
        found["values"] = self.values.tolist()
        if self.ranking is not None:
            r = self.ranking
            infinite = None if np.isinf(r.f) else r.f
            found["test"] = {
                "test": "Iman-Davenport",
                "f": infinite,
                "degrees": list(r.degrees),
                "p": r.p,
                "chi2": r.chi2,
            }
            found["ranks"] = r.ranks.tolist()
        names = self.detectors
        found["pairs"] = [{**asdict(one), "first": names[one.first], "second": names[one.second]} for one in self.pairs]
        return found

    def markdown(self) -> str:
        """Return it as Markdown: a sentence, a row for each pair, and which datasets are one."""
        n, named = len(self.sources), title(self.metric, known_metric(self.metric))
        text = f"## Over {n} datasets, {markdown.escaped(markdown.name(self.protocol))}\n\n"
        if self.ranking is not None:
            r = self.ranking
            order = np.argsort(r.ranks, kind="stable")
            ranks = ", ".join(f"{_name(self.detectors[i])} {r.ranks[i]:.2f}" for i in order)
            f = "∞" if np.isinf(r.f) else f"{r.f:.2f}"
            text += (
                f"Mean ranks by {named}: {ranks}. Friedman's test by Iman and Davenport: F = {f} ({r.degrees[0]}, "
                f"{r.degrees[1]} df), p {p_text(r.p)}.\n\n"
            )
        cells = [[markdown.name(first), *rest] for first, *rest in self._cells()]
        return f"{text}{markdown.table(cells)}\n" + "".join(f"- {note}\n" for note in self._notes(_name))

    def html(self) -> str:
        """Return it as HTML for notebooks: a row for each pair, and the notes."""
        head = heading(f"Over {len(self.sources)} datasets, {self.protocol}, {title(self.metric)}")
        ranking = []
        if self.ranking is not None:
            ranking = [f"Friedman's test by Iman and Davenport: p {p_text(self.ranking.p)}"]
        return page(head, lines(ranking), table(self._cells()), lines(self._notes(str)))

    def _cells(self) -> list[list[str]]:
        """Return a heading and a row for each pair."""
        cells = [["pair", "mean difference", "better on", "p", "p (Holm)"]]
        for one in self.pairs:
            gap = self.values[one.first] - self.values[one.second]
            lower = (known := known_metric(self.metric)) is not None and known.lower_is_better
            wins = int((gap < 0).sum() if lower else (gap > 0).sum())
            pair = f"{self.detectors[one.first]} − {self.detectors[one.second]}"
            cells.append(
                [pair, f"{gap.mean():+.3f}", f"{wins} of {len(self.sources)}", f"{one.p:.4f}", f"{one.holm:.4f}"]
            )
        return cells

    def _notes(self, name: Callable[[str], str]) -> list[str]:
        notes = ["Wilcoxon's signed ranks over datasets, exact, with Holm's correction over the pairs"]
        needed = fewest_for_a_pair(len(self.pairs))
        if len(self.sources) < needed:
            pairs = f"{len(self.pairs)} pair{'s' if len(self.pairs) > 1 else ''}"
            notes.append(f"with {pairs} {needed} datasets are needed before any can be told apart at {100 * ALPHA:g}%")
        for source, own in self.sources.items():
            if len(own) > 1:
                listed = ", ".join(map(name, own))
                notes.append(f"one source, one dataset: {listed} ({name(source)}), by the mean of their values")
        return notes


def across(comparisons: Sequence[Comparison], metric: str = "") -> Across:
    """Return detectors over the datasets of comparisons under one protocol, in a metric (default: the primary one).

    Raises ScoreError unless at least two detectors are in all of them, on datasets of at least three sources.
    """
    if not comparisons:
        raise ScoreError("there are no comparisons: nothing to rank")
    protocols = sorted({one.protocol for one in comparisons})
    places = [one.dataset for one in comparisons]
    if len(protocols) > 1:
        raise ScoreError(f"the comparisons have several protocols, {', '.join(protocols)}: give those of one")
    if twice := [name for name in places if places.count(name) > 1]:
        raise ScoreError(f"'{twice[0]}' is compared twice, on other frames or splits: give each dataset once")
    metric = metric or comparisons[0].main
    tables = [_values(one, metric) for one in comparisons]
    detectors = [name for name in tables[0] if all(name in table for table in tables)]
    if len(detectors) < 2:
        raise ScoreError(f"fewer than two detectors have a value of '{metric}' on all {len(places)} datasets")
    corpora = {name: corpus_of(name) for name in places}
    columns = {name: np.array([table[one] for one in detectors]) for name, table in zip(places, tables, strict=True)}
    found = by_source(columns, corpora)
    if len(found) < FEWEST:
        raise ScoreError(f"{len(places)} datasets are of {len(found)} sources: at least {FEWEST} are needed")
    values = np.stack(list(found.values()), axis=1)
    known = known_metric(metric)
    lower = known is not None and known.lower_is_better
    ranking = rank(values.tolist(), lower) if len(detectors) >= FEWEST else None
    pairs = ranking.pairs if ranking is not None else pairwise(values, lower)
    sources = {one: tuple(name for name in places if (corpora[name] or name) == one) for one in found}
    return Across(protocols[0], metric, tuple(detectors), sources, values, ranking, pairs)


def _values(comparison: Comparison, metric: str) -> dict[str, float]:
    """Return the detectors' values over all manipulations."""
    found: dict[str, float] = {}
    for pair in comparison.pairs:
        for d in pair.differences:
            if d.metric == metric and not d.group:
                named = ((pair.first, d.first), (pair.second, d.second))
                found |= {name: value for name, value in named if value is not None}
    return found


def over_datasets(comparisons: Sequence[Comparison]) -> Comparisons:
    """Return comparisons with what holds over datasets, for each protocol for which that is possible."""
    return Comparisons(comparisons, possible(comparisons))


def possible(comparisons: Sequence[Comparison], metric: str = "") -> list[Across]:
    """Return detectors over datasets for each protocol for which that is possible."""
    found = []
    for protocol in sorted({one.protocol for one in comparisons}):
        try:
            found.append(across([one for one in comparisons if one.protocol == protocol], metric))
        except ScoreError:
            continue
    return found


def _name(text: str) -> str:
    return markdown.escaped(markdown.name(text))
