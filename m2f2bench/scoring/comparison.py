"""Comparisons of several detectors, for every task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import ScoreError, near
from ..core.notebook import Bar, chart, data_frame, heading, lines, page, table
from ..metrics.detection import paired
from ..metrics.detection.paired import Difference, p_text
from ..metrics.registry import title
from ..results.signature import differing

if TYPE_CHECKING:
    import pandas as pd

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
NUMBERS = ("value_first", "value_second", "difference", "ci_low", "ci_high", "p", "p_holm")
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

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary; differences are flat, each with its pair's names.

        If `p_is_bound`, p is an upper bound: none of the `resamples` has a difference of zero or of the other sign.
        """
        flat = [
            {"first": pair.first, "second": pair.second, **_flat(d)} for pair in self.pairs for d in pair.differences
        ]
        return {k: v for k, v in asdict(self).items() if k != "pairs"} | {"differences": flat}

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with a row for each pair, group and metric.

        Columns: dataset, split, protocol, first, second, metric, group (`all`, `average` or a method), value_first,
        value_second, difference (first - second), ci_low, ci_high, p, p_holm (float64, NaN if undefined), p_is_bound,
        test, reason.
        """
        return data_frame(self.rows(), NUMBERS)

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of `to_pandas`."""
        what = {"dataset": self.dataset, "split": self.split, "protocol": self.protocol}
        return [
            {**what, "first": pair.first, "second": pair.second, **_columns(d)}
            for pair in self.pairs
            for d in pair.differences
        ]

    def _repr_html_(self) -> str:
        """Return a table of the differences over all methods, and a chart of those in the first metric.

        With more than one pair the table has the first metric alone, as on the command line.
        """
        several, main = len(self.pairs) > 1, self.metrics[0]
        found = [
            (pair, d)
            for pair in self.pairs
            for d in pair.differences
            if not d.group and (d.metric == main or not several)
        ]
        cells = [["pair", "metric", "first", "second", "difference", "p (Holm)" if several else "p"]]
        for pair, d in found:
            p, bound = (d.holm, d.holm_bound) if several and d.holm is not None else (d.p, d.bound)
            low_high = f" [{d.ci[0]:+.3f}, {d.ci[1]:+.3f}]" if d.ci else ""
            numbers = ["–" if value is None else f"{value:.3f}" for value in (d.first, d.second)]
            gap = "–" if d.difference is None else f"{d.difference:+.3f}{low_high}"
            cells.append(
                [
                    f"{pair.first} − {pair.second}",
                    title(d.metric),
                    *numbers,
                    gap,
                    "–" if p is None else p_text(p, bound).removeprefix("= "),
                ]
            )
        bars = [
            Bar(f"{p.first} − {p.second}", d.difference, *(d.ci or (None, None))) for p, d in found if d.metric == main
        ]
        return page(
            heading(f"{', '.join(self.detectors)} on {self.dataset}, {self.protocol}"),
            table(cells, left=2),
            chart(f"difference in {title(main)}", bars, reference=0.0),
            lines(
                [f"{self.level:.0%} intervals; {self.clusters['n']} clusters ({self.clusters['by']})", self.signature]
            ),
        )


class Comparisons(list[Comparison]):
    """Comparisons of several sets of runs, each on its own data and protocol; a list."""

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows of `Comparison.to_pandas` of all of them."""
        return data_frame([row for one in self for row in one.rows()], NUMBERS)

    def _repr_html_(self) -> str:
        return page(*(one._repr_html_() for one in self))


def _columns(d: Difference) -> dict[str, Any]:
    low, high = d.ci or (None, None)
    values = {"value_first": d.first, "value_second": d.second, "difference": d.difference}
    tested = {"ci_low": low, "ci_high": high, "p": d.p, "p_holm": d.holm, "p_is_bound": d.bound}
    return {"metric": d.metric, "group": d.group or "all", **values, **tested, "test": d.test, "reason": d.reason}


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
        "p_holm_is_bound": d.holm_bound,
        "test": d.test or None,
    }
    more = {"resamples": d.draws, "counts": d.counts, "reason": d.reason}
    return flat | {key: value for key, value in more.items() if value}


def pairs_of(names: Sequence[str], against: str = "") -> list[tuple[str, str]]:
    """Return the pairs to test: all, or only those of one with every other. Raises ScoreError for an unknown name."""
    if not against:
        return list(combinations(names, 2))
    if against not in names:
        raise ScoreError(f"no detector named '{against}' in this comparison{near(against, names)}")
    return [(against, name) for name in names if name != against]


def chosen_metrics(metrics: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the metrics to compare, by default all known ones. Raises ScoreError for an unknown one."""
    if unknown := [name for name in metrics if name not in known]:
        raise ScoreError(f"metric '{unknown[0]}' is not one of the protocol's{near(unknown[0], known)}")
    return list(metrics or known)


def distinct_names(names: Sequence[str], places: Sequence[str | Path]) -> list[str]:
    """Return each detector's name; if two share a name, their places instead."""
    named = [str(place) if names.count(name) > 1 else name for name, place in zip(names, places, strict=True)]
    if len(set(named)) < len(named):
        raise ScoreError(f"'{next(n for n in named if named.count(n) > 1)}' is given twice: give each run once")
    return named


def refuse_differing(one: str, first: Mapping[str, Any], other: str, second: Mapping[str, Any]) -> None:
    """Raise ScoreError, naming the fields, unless two signatures' fields agree on all but the detector."""
    fields = differing(first, second)
    if fields:
        listed = ", ".join(f"{FIELDS[k]} ({k}: {first.get(k)} / {second.get(k)})" for k in fields)
        raise ScoreError(
            f"'{one}' and '{other}' cannot be compared: they differ in {listed}; judge both under one protocol on the "
            f"same data"
        )


def corrected(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """Apply Holm's correction over the pairs, separately for each metric and group."""
    families: dict[tuple[str, str], list[Difference]] = {}
    for pair in pairs:
        for d in pair.differences:
            families.setdefault((d.group, d.metric), []).append(d)
    queues = {key: iter(paired.corrected(family)) for key, family in families.items()}
    return tuple(
        replace(pair, differences=tuple(next(queues[d.group, d.metric]) for d in pair.differences)) for pair in pairs
    )
