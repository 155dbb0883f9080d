"""Report of a multiverse: how far each number moves, which choice moves it most, and how the order changes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

from ..core import markdown
from ..core.notebook import Bar, chart, data_frame, heading, lines, page, table
from ..metrics.registry import metric_of, title
from ..results.signature import place_of
from .choices import AGGREGATION, AXES, FRAMES, LEVEL, MISSING, Choice, LeftOut

if TYPE_CHECKING:
    import pandas as pd

LISTED = 3
"""Pairs that change places that the first lines name."""


@dataclass(frozen=True)
class Universe:
    """One choice and what it gives: detector → metric → value, None if undefined. `ranked`: there are several
    detectors, and they are compared on the same units."""

    choice: Choice
    values: Mapping[str, Mapping[str, float | None]]
    ranked: bool

    def gain(self, first: str, second: str, metric: str) -> float | None:
        """Return by how much `first` is better than `second` in a metric; None if a value is undefined."""
        a, b = self.values[first][metric], self.values[second][metric]
        return None if a is None or b is None else (a - b) * -metric_of(metric).worse


@dataclass(frozen=True)
class Multiverse:
    """All evaluations of the same rows; the first of `universes` is the protocol's own. `signature` is its; `described`
    has the detectors' parts of the signature by name."""

    dataset: str
    split: str
    protocol: str
    detectors: tuple[str, ...]
    metrics: tuple[str, ...]
    universes: tuple[Universe, ...]
    left_out: tuple[LeftOut, ...]
    oracle: bool
    signature: str
    described: Mapping[str, str]

    def reach(self, detector: str, metric: str) -> dict[str, Any]:
        """Return the protocol's own value, the least and the greatest with their choices, and their distance."""
        known = [(value, one.choice) for one in self.universes if (value := one.values[detector][metric]) is not None]
        own = self.universes[0].values[detector][metric]
        if not known:
            return {"own": own, "least": None, "greatest": None, "distance": None}
        least, greatest = min(known, key=lambda one: one[0]), max(known, key=lambda one: one[0])
        return {
            "own": own,
            "least": {"value": least[0], "choice": least[1]._asdict()},
            "greatest": {"value": greatest[0], "choice": greatest[1]._asdict()},
            "distance": greatest[0] - least[0],
        }

    def moves(self, metric: str) -> dict[str, dict[str, Any]]:
        """Return what changing one choice alone does to a metric, by the choice.

        `mean` and `largest` are distances between the least and the greatest value of one detector in universes that
        differ in this choice alone, over all detectors and all such sets of universes; `sets` is their number; in
        `reordered` of `ranked` sets the order of the detectors is not the same throughout.
        """
        return {axis: found for axis in AXES if (found := self._moved(axis, metric))}

    def _moved(self, axis: str, metric: str) -> dict[str, Any]:
        sets = [own for own in _alone(self.universes, axis) if len(own) > 1]
        distances = []
        for own in sets:
            for detector in self.detectors:
                known = [value for one in own if (value := one.values[detector][metric]) is not None]
                if len(known) > 1:
                    distances.append(max(known) - min(known))
        if not distances:
            return {}
        ranked = [[one for one in own if one.ranked] for own in sets]
        ranked = [own for own in ranked if len(own) > 1]
        orders = [len({self._order(one, metric) for one in own}) for own in ranked]
        return {
            "mean": sum(distances) / len(distances),
            "largest": max(distances),
            "sets": len(sets),
            "ranked": len(ranked),
            "reordered": sum(n > 1 for n in orders),
        }

    def _order(self, universe: Universe, metric: str) -> tuple[int, ...]:
        """Return the sign of each pair's difference: the order of the detectors, ties included."""
        gains = [universe.gain(a, b, metric) for a, b in combinations(self.detectors, 2)]
        return tuple(0 if not gain else 1 if gain > 0 else -1 for gain in gains)

    @cached_property
    def ranked(self) -> tuple[Universe, ...]:
        """The universes in which detectors are compared on the same units."""
        return tuple(one for one in self.universes if one.ranked)

    def orders(self, metric: str) -> dict[str, Any]:
        """Return how many orders of the detectors there are, how often each is first, and each pair's count.

        A pair has the numbers of universes in which the first is better, the second, and neither, and for the first two
        the choice with the largest difference. Detectors that share the first place count for 1 each.
        """
        first = dict.fromkeys(self.detectors, 0)
        for one in self.ranked:
            known = {name: one.values[name][metric] for name in self.detectors}
            signed = {name: value * -metric_of(metric).worse for name, value in known.items() if value is not None}
            for name, value in signed.items():
                first[name] += value == max(signed.values())
        pairs = [self._pair(a, b, metric) for a, b in combinations(self.detectors, 2)]
        different = len({self._order(one, metric) for one in self.ranked})
        return {"universes": len(self.ranked), "different": different, "first": first, "pairs": pairs}

    def _pair(self, a: str, b: str, metric: str) -> dict[str, Any]:
        gains = [(gain, one.choice) for one in self.ranked if (gain := one.gain(a, b, metric)) is not None]
        up, down = [one for one in gains if one[0] > 0], [one for one in gains if one[0] < 0]
        found: dict[str, Any] = {"first": a, "second": b, "first_better": len(up), "second_better": len(down)}
        found["equal"] = len(gains) - len(up) - len(down)
        for key, own, best in (("most_for_first", up, max), ("most_for_second", down, min)):
            most = best(own, key=lambda one: one[0]) if own else None
            found[key] = most and {"difference": most[0], "choice": most[1]._asdict()}
        return found

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary: all universes, and for each metric `reach`, `moves` and `orders`."""
        about = {
            metric: {
                "reach": {name: self.reach(name, metric) for name in self.detectors},
                "moves": self.moves(metric),
                **({"orders": self.orders(metric)} if self.ranked else {}),
            }
            for metric in self.metrics
        }
        return {
            "dataset": self.dataset,
            "split": self.split,
            "protocol": self.protocol,
            "signature": self.signature,
            "oracle": self.oracle,
            "detectors": {name: self.described[name] for name in self.detectors},
            "metrics": about,
            "universes": [
                {**one.choice._asdict(), "values": {k: dict(v) for k, v in one.values.items()}, "ranked": one.ranked}
                for one in self.universes
            ],
            "left_out": [one._asdict() for one in self.left_out],
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of `to_pandas`."""
        return [
            {**one.choice._asdict(), "detector": detector, "metric": metric, "value": value, "ranked": one.ranked}
            for one in self.universes
            for detector, values in one.values.items()
            for metric, value in values.items()
        ]

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with a row for each universe, detector and metric.

        Columns: frames, level, aggregation, missing, detector, metric, value (float64, NaN if undefined), ranked.
        """
        return data_frame(self.rows(), ("value",))

    def markdown(self, signatures: bool = True) -> str:
        """Return the report as Markdown: a sentence, how far numbers move, what moves them, and what was left out."""
        text = f"## {markdown.escaped(self._title())}\n\n"
        for metric in self.metrics:
            text += f"{self.finding(metric)}\n\n{markdown.table(self._reaches(metric))}\n"
            if moved := self.moves(metric):
                text += f"{markdown.table(self._moves(metric, moved))}\n"
            if self.ranked and len(self.detectors) > 2:
                text += f"{markdown.table(self._firsts(metric))}\n"
        return text + "".join(f"- {note}\n" for note in self._notes(signatures))

    def _title(self) -> str:
        n = len(self.universes)
        many = f"{n} way{'s' if n > 1 else ''} to evaluate the same rows"
        return markdown.name(f"{many}: {', '.join(self.detectors)} on {place_of(self.dataset, self.split)}")

    def finding(self, metric: str) -> str:
        """Return one sentence: what moves a metric most, and whether the order of the detectors holds."""
        moved, named = self.moves(metric), title(metric, metric_of(metric))
        if not moved:
            return f"{named} has one value alone: the rows support no other choice."
        axis = max(moved, key=lambda one: float(moved[one]["mean"]))
        far = {name: self.reach(name, metric)["distance"] or 0.0 for name in self.detectors}
        widest = max(far, key=lambda name: far[name])
        words = f"{named} of {_name(widest)} moves by up to {far[widest]:.3f}"
        words = words if len(far) > 1 else f"{named} moves by up to {far[widest]:.3f}"
        text = f"{words}, most with the {WHAT[axis]} ({moved[axis]['mean']:.3f} on average)."
        return text + self._order_holds(metric)

    def _order_holds(self, metric: str) -> str:
        if not self.ranked:
            return ""
        found = self.orders(metric)
        turned = [one for one in found["pairs"] if one["first_better"] and one["second_better"]]
        if not turned:
            return f" The order of the detectors is the same in all {found['universes']}."
        turned.sort(key=lambda one: -min(one["first_better"], one["second_better"]))
        parts = [
            f"{_name(one['first'])} is better than {_name(one['second'])} in {one['first_better']} and worse in "
            f"{one['second_better']}"
            for one in turned[:LISTED]
        ]
        more = f"; and {len(turned) - LISTED} more pairs" if len(turned) > LISTED else ""
        return f" The order depends on the choice: of {found['universes']}, {'; '.join(parts)}{more}."

    def _reaches(self, metric: str) -> list[list[str]]:
        cells = [[title(metric, metric_of(metric)), "own protocol", "least", "by", "greatest", "by"]]
        for name in self.detectors:
            found = self.reach(name, metric)
            row = [markdown.name(name), _number(found["own"])]
            for end in ("least", "greatest"):
                one = found[end]
                row += [_number(one and one["value"]), str(Choice(**one["choice"])) if one else "–"]
            cells.append(row)
        return cells

    def _moves(self, metric: str, moved: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
        cells = [[f"changing one choice alone moves {title(metric, metric_of(metric))} by", "mean", "largest", "sets"]]
        if self.ranked:
            cells[0].append("other order in")
        for axis, one in sorted(moved.items(), key=lambda item: -item[1]["mean"]):
            row = [WHAT[axis], f"{one['mean']:.3f}", f"{one['largest']:.3f}", str(one["sets"])]
            cells.append(row + ([f"{one['reordered']} of {one['ranked']}"] if self.ranked else []))
        return cells

    def _firsts(self, metric: str) -> list[list[str]]:
        found = self.orders(metric)
        cells = [["detector", f"first in (of {found['universes']})"]]
        counts = sorted(found["first"].items(), key=lambda item: -item[1])
        return cells + [[markdown.name(name), str(count)] for name, count in counts]

    def _notes(self, signatures: bool) -> Iterable[str]:
        yield f"first row of all: protocol {markdown.name(self.protocol)}, as {self.universes[0].choice}"
        grouped: dict[tuple[str, str], list[str]] = {}
        for one in self.left_out:
            grouped.setdefault((one.axis, one.why), []).append(one.choice)
        for (axis, why), names in grouped.items():
            yield f"left out, {axis}: {', '.join(names)}: {why}"
        unranked = len(self.universes) - len(self.ranked)
        if len(self.detectors) > 1 and unranked:
            yield (
                f"{unranked} of {len(self.universes)} are not in the order: there `drop` leaves the detectors with "
                f"scores of different frames"
            )
        if self.oracle:
            yield "the threshold is an oracle, chosen anew in each way on the scores that it is applied to"
        yield "frames of a video are in the natural order of their names; these are choices, and no intervals"
        if signatures:
            yield markdown.code(self.signature)
            yield from (f"{_name(name)}: {markdown.code(own)}" for name, own in self.described.items())

    def _repr_html_(self) -> str:
        """Return the sentence and the table of the first metric, and a chart from the least to the greatest value."""
        metric, bars = self.metrics[0], []
        for name in self.detectors:
            found = self.reach(name, metric)
            ends = [one and one["value"] for one in (found["least"], found["greatest"])]
            bars.append(Bar(name, found["own"], *ends))
        return page(
            heading(self._title()),
            lines([self.finding(metric)]),
            table(self._reaches(metric), left=1),
            chart(f"{title(metric, metric_of(metric))}, from least to greatest", bars),
            lines([f"left out: {one.choice} ({one.why})" for one in self.left_out] + [self.signature]),
        )


WHAT = {FRAMES: "frames", LEVEL: "level", AGGREGATION: "aggregation", MISSING: "missing rule"}
"""The choices in words."""
_REST: dict[str, Callable[[Choice], Hashable]] = {
    FRAMES: lambda c: (c.level, c.aggregation, c.missing),
    MISSING: lambda c: (c.frames, c.level, c.aggregation),
    AGGREGATION: lambda c: (c.frames, c.level, c.missing),
}


def _alone(universes: Iterable[Universe], axis: str) -> list[list[Universe]]:
    """Return the sets of universes that differ in one choice alone.

    For the level they are pairs: frame level, and video level by one aggregation.
    """
    found: dict[Hashable, list[Universe]] = {}
    listed = list(universes)
    if axis != LEVEL:
        for one in listed:
            found.setdefault(_REST[axis](one.choice), []).append(one)
        return list(found.values())
    frame = {(one.choice.frames, one.choice.missing): one for one in listed if one.choice.level == "frame"}
    videos = [one for one in listed if one.choice.level == "video"]
    keys = [(one.choice.frames, one.choice.missing) for one in videos]
    return [[frame[key], one] for key, one in zip(keys, videos, strict=True) if key in frame]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _name(text: str) -> str:
    return markdown.escaped(markdown.name(text))
