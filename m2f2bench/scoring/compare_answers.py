"""Paired tests between results by their resamples: explainers on the same questions, heat maps on the same frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..cards.folders import EXPLANATION, HEATMAPS
from ..core.errors import ScoreError
from ..core.files import user_path
from ..core.records import JUDGE, Score
from ..metrics.answer_metrics import RELEASED
from ..metrics.detection.paired import Difference, bootstrap_difference, margin_tests, on_scale
from ..metrics.names import Group
from ..results.in_memory import InMemory
from ..results.result import Result
from ..results.signature import DETECTOR, MAP, measure_signature, share, short, with_plain_percentiles
from ..results.stored import DRAWS, ResampledResult, stored_at, stored_resamples
from ..stats.power import LEVEL
from .answers import load_answers
from .comparison import Comparison, Pair, chosen_metrics, pairs_of, refuse_differing
from .correction import corrected
from .score_answers import score_answers
from .scored import COUNTED, OWN, Source

ALL = Group()


def load_resampled(place: str | Path | InMemory, source: Source = OWN) -> ResampledResult:
    """Load a run's folder or a result file with the resamples next to it; score anything else first.

    If a protocol or a dataset is given, a run is scored again from its answers. Raises ScoreError.
    """
    path = place if isinstance(place, InMemory) else user_path(place)
    stored = None if isinstance(path, InMemory) else stored_at(path)
    if stored is not None and source.protocol is None and source.dataset is None:
        found = stored_resamples(stored)
        if found is None:
            raise ScoreError(f"there are no resamples ({DRAWS}) next to '{place}': score its answers again")
        return found
    return score_answers(load_answers(path, source=source), dependence=False)


def compare_resampled(
    drawn: Mapping[str, ResampledResult], metrics: Sequence[str] = (), against: str = "", margin: float | None = None
) -> Comparison:
    """Compute every metric's differences, over all questions and separately over those of real and of fake frames.

    Percentile interval and two-sided p of the difference, from the same resamples of clusters, corrected as in
    `correction`. `against`: only the pairs of this one with every other. Raises
    ScoreError if two differ in their questions or in how they were scored.
    """
    pairs = pairs_of(list(drawn), against)
    tested = [DrawnPair(drawn[one], drawn[other], (one, other)) for one, other in pairs]
    first = next(iter(drawn.values())).result
    protocol = first.rules
    names = chosen_metrics(metrics, protocol.metrics, protocol.main_metric)
    level = protocol.bootstrap.level
    labels = [Group("labels", name) for name in ("real", "fake") if first.task == EXPLANATION or name in first.labels]
    asked = [(group, name) for group in (Group(), *labels) for name in names]
    found = [
        Pair(*pair, tuple(both.difference(name, group, level, margin) for group, name in asked))
        for pair, both in zip(pairs, tested, strict=True)
    ]
    for pair in found:
        _refuse_apart(pair)
    compared = Comparison(
        dataset=first.dataset,
        split=first.split,
        protocol=first.protocol,
        signature=measure_signature(first.measured),
        detectors={name: short(own.result.measured, (*DETECTOR, MAP)) for name, own in drawn.items()},
        metrics=tuple(names),
        level=level,
        oracle=False,
        clusters=first.clusters,
        pairs=tuple(found),
        primary=protocol.main_metric,
        margin=margin,
    )
    return corrected([compared])[0]


def _refuse_apart(pair: Pair) -> None:
    """Raise ScoreError if two explainers have metrics, but none of them on the same questions."""
    both = [d for d in pair.differences if d.first is not None and d.second is not None]
    if both and all(d.difference is None for d in both):
        raise ScoreError(f"'{pair.first}' and '{pair.second}' cannot be compared: they are {both[0].reason}")


class DrawnPair:
    """Two explainers with the same questions and the same clusters: the only way to compute a difference."""

    def __init__(self, first: ResampledResult, second: ResampledResult, names: tuple[str, str] | None = None) -> None:
        """Raise ScoreError unless questions, scoring and clusters are the same. `names` are used in the message."""
        one, other = names or (first.result.detector, second.result.detector)
        refuse_differing(*_named(one, first), *_named(other, second))
        drawn = [[own.result.clusters.get(key) for key in ("by", "n", "independent")] for own in (first, second)]
        if drawn[0] != drawn[1]:
            clusters = " / ".join(f"{n} resampled by {by}" for by, n, _ in drawn)
            raise ScoreError(
                f"'{one}' and '{other}' cannot be compared: their clusters differ ({clusters}); score both again"
            )
        self.first, self.second = first, second
        self._same = bool(first.result.predictions) and first.result.predictions == second.result.predictions

    def difference(
        self,
        name: str,
        group: Group = ALL,
        level: float = 0.95,
        margin: float | None = None,
        alpha: float = LEVEL,
    ) -> Difference:
        """Return one metric's difference over one group of questions; undefined if the two count different ones.

        With a `margin` it has the two one-sided tests at `alpha`.
        """
        a, b = (_value(own.result, group, name) for own in (self.first, self.second))
        title = group.name
        if a is None or b is None:
            return Difference(title, name, a, b)
        if why := _apart(self.first.result, self.second.result, name):
            return Difference(title, name, a, b, reason=why)
        mine, theirs = (own.draws.get(group, {}).get(name) for own in (self.first, self.second))
        if mine is None or theirs is None:
            return Difference(title, name, a, b, a - b)
        if len(mine) != len(theirs):
            return Difference(title, name, a, b, a - b, reason="no interval: the numbers of resamples differ")
        groups = float(self.first.result.clusters["n"])
        found = bootstrap_difference(mine - theirs, a - b, level, groups, self._same)
        tests = margin_tests(found, mine - theirs, name, groups, margin, alpha)
        return Difference(title, name, a, b, a - b, **on_scale(found, a - b, level, groups), **tests)


def _named(name: str, own: ResampledResult) -> tuple[str, dict[str, Any]]:
    return name, with_plain_percentiles(own.result.measured)


def _apart(first: Result, second: Result, name: str) -> str:
    """Return why a metric of two results is not measured on the same questions; empty if it is."""
    if first.task == HEATMAPS:
        return _apart_frames(first, second)
    part = first.about(name).part
    counted = [own.details.get(COUNTED, {}).get(part) for own in (first, second)]
    if counted[0] == counted[1] and counted[0] is not None:
        return ""
    holes = f"(coverage {share(first.coverage)} / {share(second.coverage)})"
    if None not in counted:
        return f"measured on different questions {holes}; use a protocol with missing: wrong"
    if all(_all_count(own, part) for own in (first, second)):
        return ""
    return f"measured on questions that the results do not name {holes}; score the answers again"


def _apart_frames(first: Result, second: Result) -> str:
    """Return why two results of heat maps are not measured on the same frames; empty if they are."""
    if first.details.get(COUNTED) == second.details.get(COUNTED):
        return ""
    return f"measured on different frames (coverage {share(first.coverage)} / {share(second.coverage)})"


def _all_count(result: Result, part: str) -> bool:
    """Return whether all questions certainly count in a result of an older version, which does not name them.

    They do if all were answered, or if missing answers count as wrong and every kind has an answer.
    """
    other = RELEASED if part == "verdicts" else JUDGE  # the kind that does not count in it
    kinds = [one for kind, one in result.details.get("questions", {}).items() if kind != other]
    some = all(one.get("answered") for one in kinds)
    return set(result.statuses) == {"ok"} or (some and result.measured.get("missing") == "wrong")


def _value(result: Result, group: Group, name: str) -> float | None:
    scores: dict[str, Score] = result.metrics if group == ALL else result.labels.get(group.name, {})
    return scores[name].value if name in scores else None
