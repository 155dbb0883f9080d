"""Comparisons of several detectors, for every task."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..core.errors import ScoreError, near
from ..core.notebook import Bar, chart, data_frame, heading, lines, page, table
from ..metrics.detection.margins import EQUIVALENT, FIRST, SECOND
from ..metrics.detection.paired import Difference, p_text
from ..metrics.registry import title
from ..results.signature import differing

if TYPE_CHECKING:
    import pandas as pd

    from ..metrics.metric import Metric

FIELDS = {
    "data": "dataset",
    "split": "split",
    "crop": "how faces are found and cut out",
    "hash": "data (frames, labels or pixels)",
    "n": "number of frames",
    "level": "level",
    "frames": "frames picked of a video",
    "faces": "faces of one picture",
    "agg": "aggregation",
    "thr": "threshold",
    "ask": "kinds of questions",
    "refs": "references",
    "tok": "tokenizer",
    "cider": "CIDEr's document frequencies",
    "bert": "BERTScore's network",
    "verdict": "how verdicts are read",
    "altered": "manipulated regions",
    "maps": "what heat maps are compared with",
    "masks": "true masks",
    "steps": "steps of a curve",
    "area": "share of the picture that is blurred at once",
    "blur": "blur",
    "fills": "what pixels are replaced by",
    "own": "code of your own metrics",
    "missing": "what a missing frame does",
    "ci": "bootstrap",
    "limit": "limit",
    "v": "version of m2f2bench",
}
"""The signature's fields in words."""
NUMBERS = (
    *("value_first", "value_second", "difference", "ci_low", "ci_high", "p", "p_holm", "p_bh", "smallest_found"),
    *("margin", "p_equivalent", "p_first_no_worse", "p_second_no_worse"),
)
"""Columns of `Comparison.to_pandas` that are float64."""


@dataclass(frozen=True)
class Pair:
    """Two detectors by name, and their differences."""

    first: str
    second: str
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Comparison:
    """Detectors on the same frames under the same protocol, in pairs. `signature` is what they share."""

    dataset: str
    split: str
    protocol: str
    signature: str
    detectors: dict[str, str]
    """Name → the detector's part of the signature."""
    metrics: tuple[str, ...]
    level: float
    oracle: bool
    clusters: dict[str, Any]
    pairs: tuple[Pair, ...]
    trainings: dict[str, Any] = field(default_factory=dict)
    """Of methods with several trainings: their number, and the first metric's values, mean and deviation."""
    primary: str = ""
    """The protocol's primary metric; empty: the first of `metrics`."""
    family: dict[str, int] = field(default_factory=dict)
    """The number of `tests` in the primary metric that are corrected together, on how many `datasets`, and that of the
    `exploratory` tests."""
    margin: float | None = None
    """The largest difference that does not matter, if one was given."""
    finding: str = ""
    """What was found, in one sentence."""
    notes: tuple[str, ...] = ()
    """In what the results differ that does not touch the compared values."""

    @property
    def exploratory(self) -> bool:
        """Whether the primary metric is not among the compared ones: then no test is more than exploratory."""
        return bool(self.primary) and self.primary not in self.metrics

    @property
    def main(self) -> str:
        """The primary metric; the first one if that is not compared."""
        return self.primary if self.primary in self.metrics else self.metrics[0]

    def is_primary(self, d: Difference) -> bool:
        """Return whether a difference is in the primary metric, over all manipulations together."""
        return not self.exploratory and d.metric == self.main and not d.group

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary; differences are flat, each with its pair's names.

        If `p_is_bound`, p is an upper bound: none of the `resamples` has a difference of zero or of the other sign.
        `p_holm` is that of the primary metric, `p_bh` of everything exploratory. `smallest_found`: where two are not
        told apart, the true difference that 80% of such tests find; null if not even a detector at chance is.
        """
        flat = [
            {"first": pair.first, "second": pair.second, "primary": self.is_primary(d), **_flat(d)}
            for pair in self.pairs
            for d in pair.differences
        ]
        first = {"finding": self.finding, "primary": self.primary or self.metrics[0]}
        rest = {k: v for k, v in asdict(self).items() if k not in ("pairs", *first)}
        return {**first, **rest, "differences": flat}

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with a row for each pair, group and metric.

        Columns: dataset, split, protocol, first, second, metric, group (`all`, `average` or a method), role (`primary`
        or `exploratory`), value_first, value_second, difference (first - second), ci_low, ci_high, p, p_holm (primary),
        p_bh (exploratory), smallest_found (float64, NaN if undefined), p_is_bound, test, reason. With a margin also
        margin, outcome, p_equivalent, p_first_no_worse and p_second_no_worse, all three corrected.
        """
        return data_frame(self.rows(), NUMBERS)

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of `to_pandas`."""
        what = {"dataset": self.dataset, "split": self.split, "protocol": self.protocol}
        return [
            {**what, "first": pair.first, "second": pair.second, **_columns(d, self.is_primary(d))}
            for pair in self.pairs
            for d in pair.differences
        ]

    def _repr_html_(self) -> str:
        """Return the finding, a table of the differences over all methods, and a chart of those in the main metric.

        With more than one pair the table has the main metric alone, as on the command line.
        """
        several, main = len(self.pairs) > 1, self.main
        found = [
            (pair, d)
            for pair in self.pairs
            for d in pair.differences
            if not d.group and (d.metric == main or not several)
        ]
        margin = [] if self.margin is None else [f"within ±{self.margin:g}"]
        cells = [
            ["pair", "metric", "role", "first", "second", "difference", "p", "p (corrected)", "would be found", *margin]
        ]
        for pair, d in found:
            low_high = f" [{d.ci[0]:+.3f}, {d.ci[1]:+.3f}]" if d.ci else ""
            numbers = ["–" if value is None else f"{value:.3f}" for value in (d.first, d.second)]
            gap = "–" if d.difference is None else f"{d.difference:+.3f}{low_high}"
            ps = [_p(d.p, d.bound), _p(d.corrected, d.corrected_bound)]
            role = "primary" if self.is_primary(d) else "exploratory"
            named = [f"{pair.first} − {pair.second}", title(d.metric), role]
            cells.append([*named, *numbers, gap, *ps, smallest_text(d), *([margin_text(d)] if margin else [])])
        bars = [
            Bar(f"{p.first} − {p.second}", d.difference, *(d.ci or (None, None))) for p, d in found if d.metric == main
        ]
        return page(
            heading(f"{', '.join(self.detectors)} on {self.dataset}, {self.protocol}"),
            lines([self.finding] if self.finding else []),
            table(cells, left=3),
            chart(f"difference in {title(main)}", bars, reference=0.0),
            lines(
                [f"{self.level:.0%} intervals; {self.clusters['n']} clusters ({self.clusters['by']})", self.signature]
            ),
        )


class OverDatasets(Protocol):
    """What holds over datasets, see `across`."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""

    def markdown(self) -> str:
        """Return it as Markdown."""

    def html(self) -> str:
        """Return it as HTML for notebooks."""


class Comparisons(list[Comparison]):
    """Comparisons of several sets of runs, each on its own data and protocol; a list.

    `over_datasets` says what holds over datasets, for each protocol with enough of them.
    """

    def __init__(self, comparisons: Iterable[Comparison] = (), over_datasets: Sequence[OverDatasets] = ()) -> None:
        super().__init__(comparisons)
        self.over_datasets = tuple(over_datasets)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary: the `comparisons`, and the tables `over_datasets`."""
        return {
            "comparisons": [one.to_json() for one in self],
            "over_datasets": [one.to_json() for one in self.over_datasets],
        }

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows of `Comparison.to_pandas` of all of them."""
        return data_frame([row for one in self for row in one.rows()], NUMBERS)

    def _repr_html_(self) -> str:
        return page(*(one._repr_html_() for one in self), *(one.html() for one in self.over_datasets))


def _p(p: float | None, bound: bool) -> str:
    return "–" if p is None else p_text(p, bound).removeprefix("= ")


def smallest_text(d: Difference) -> str:
    """Return the smallest difference that would be found, for a cell; empty where two are told apart."""
    if d.smallest is None:
        return ""
    return "none" if math.isinf(d.smallest) else f"{d.smallest:.3f}"


def margin_text(d: Difference) -> str:
    """Return what is shown within the margin, with the p of it, for a cell."""
    if d.margin is None:
        return "–"
    shown, (first, second) = d.margin.outcome, d.margin.decided
    p = {EQUIVALENT: max(first, second), FIRST: first, SECOND: second}.get(shown)
    return shown if p is None else f"{shown}, p {p_text(p)}"


def _columns(d: Difference, primary: bool) -> dict[str, Any]:
    low, high = d.ci or (None, None)
    what = {"metric": d.metric, "group": d.group or "all", "role": "primary" if primary else "exploratory"}
    values = {"value_first": d.first, "value_second": d.second, "difference": d.difference}
    tested = {"ci_low": low, "ci_high": high, "p": d.p, "p_holm": d.holm, "p_bh": d.bh, "smallest_found": d.smallest}
    margin: dict[str, Any] = {}
    if d.margin is not None:
        first, second = d.margin.decided
        margin = {"margin": d.margin.margin, "outcome": d.margin.outcome, "p_equivalent": d.margin.p_corrected}
        margin |= {"p_first_no_worse": first, "p_second_no_worse": second}
    return {**what, **values, **tested, "p_is_bound": d.bound, **margin, "test": d.test, "reason": d.reason}


def _flat(d: Difference) -> dict[str, Any]:
    flat: dict[str, Any] = {
        "metric": d.metric,
        "group": d.group or None,
        "values": [d.first, d.second],
        "difference": d.difference,
        "ci": list(d.ci) if d.ci else None,
        "p": d.p,
        "p_is_bound": d.bound,
        "p_holm": d.holm,
        "p_bh": d.bh,
        "p_corrected_is_bound": d.corrected_bound,
        "test": d.test or None,
    }
    if d.smallest is not None:
        flat["smallest_found"] = None if math.isinf(d.smallest) else d.smallest
    margin = None if d.margin is None else d.margin.to_json()
    more = {"margin": margin, "resamples": d.draws, "counts": d.counts, "reason": d.reason}
    return flat | {key: value for key, value in more.items() if value}


def pairs_of(names: Sequence[str], against: str = "") -> list[tuple[str, str]]:
    """Return the pairs to test: all, or only those of one with every other. Raises ScoreError for an unknown name."""
    if not against:
        return list(combinations(names, 2))
    if against not in names:
        raise ScoreError(f"no detector named '{against}' in this comparison{near(against, names)}")
    return [(against, name) for name in names if name != against]


def chosen_metrics(metrics: Sequence[str], known: Sequence[str], primary: str = "") -> list[str]:
    """Return the metrics to compare, by default all known ones, the primary one first.

    Raises ScoreError for an unknown one.
    """
    if unknown := [name for name in metrics if name not in known]:
        raise ScoreError(f"metric '{unknown[0]}' is not one of the protocol's{near(unknown[0], known)}")
    wanted = list(dict.fromkeys(metrics or known))
    return sorted(wanted, key=lambda name: name != primary)


def distinct_names(names: Sequence[str], places: Sequence[str | Path]) -> list[str]:
    """Return each detector's name; if two share a name, their places instead."""
    named = [str(place) if names.count(name) > 1 else name for name, place in zip(names, places, strict=True)]
    if len(set(named)) < len(named):
        raise ScoreError(f"'{next(n for n in named if named.count(n) > 1)}' is given twice: give each run once")
    return named


def refuse_differing(
    one: str,
    first: Mapping[str, Any],
    other: str,
    second: Mapping[str, Any],
    metrics: Mapping[str, Metric] | None = None,
) -> None:
    """Raise ScoreError, naming the fields, unless two signatures' fields agree on all but the detector.

    With `metrics` only fields count that a value of one of them depends on.
    """
    fields = differing(first, second, metrics)
    if fields:
        listed = ", ".join(f"{FIELDS[k]} ({k}: {first.get(k)} / {second.get(k)})" for k in fields)
        raise ScoreError(
            f"'{one}' and '{other}' cannot be compared: they differ in {listed}; judge both under one protocol on the "
            f"same data"
        )
