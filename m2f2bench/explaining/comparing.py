"""Paired tests between explainers that answered the same questions under the same protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..cards import DatasetCard, ExplanationCard
from ..comparison import Comparison, Pair, corrected, pairs_of, refuse_differing
from ..errors import ScoreError, near
from ..protocol import resampling
from ..records import Result, Score
from ..results import Stored, beside, stored_at
from ..scoring.paired import Difference, bootstrap_difference
from ..signature import DETECTOR, measure_signature, short
from .draws import DRAWS, read_draws
from .evidence import load_answers
from .scorer import score_answers

if TYPE_CHECKING:
    from ..records import Floats


@dataclass(frozen=True, eq=False)
class Drawn:
    """One explainer's result with its metrics in each resample, by group and metric."""

    result: Result
    draws: Mapping[str, Mapping[str, Floats]]


def load_drawn(
    place: str | Path,
    *,
    protocol: ExplanationCard | None = None,
    dataset: str | DatasetCard | None = None,
    split: str = "test",
    columns: Mapping[str, str] | None = None,
) -> Drawn:
    """A run's folder or a result file with its resamples beside it; anything else is scored first.

    A run is scored again from its answers where another protocol or dataset is named. Raises ScoreError.
    """
    path = Path(place).expanduser()
    stored = stored_at(path)
    if stored is not None and protocol is None and dataset is None:
        found = drawn_beside(stored)
        if found is None:
            raise ScoreError(f"'{place}' has no resamples beside it ({DRAWS}): score its answers again")
        return found
    scored = score_answers(load_answers(path, protocol=protocol, dataset=dataset, split=split, columns=columns), False)
    return Drawn(scored.result, scored.drawn)


def drawn_beside(stored: Stored) -> Drawn | None:
    """A result on disk with its resamples; None where they are not there."""
    draws = beside(stored.path, DRAWS, "resamples")
    return None if draws is None else Drawn(stored.result, read_draws(draws))


def compare_drawn(drawn: Mapping[str, Drawn], metrics: Sequence[str] = (), against: str = "") -> Comparison:
    """Every metric's difference, over all questions and over those of real and of fake frames apart.

    The percentile interval and two-sided p of the difference in the same resamples of clusters; Holm's correction over
    the pairs, for each metric and group apart. `against`: only the pairs of this one with every other. Raises
    ScoreError where two differ in what they were asked or how they were scored.
    """
    pairs = pairs_of(list(drawn), against)
    for one, other in pairs:
        first, second = drawn[one].result, drawn[other].result
        refuse_differing(one, first.measured, other, second.measured)
        if first.statuses != second.statuses and first.measured.get("missing") == "drop":
            raise ScoreError(
                f"'{one}' and '{other}' cannot be compared, they answered different questions (coverage "
                f"{first.coverage:.4g} / {second.coverage:.4g}); take a protocol with missing: wrong"
            )
    first = next(iter(drawn.values())).result
    protocol = ExplanationCard.model_validate(first.protocol_card)
    unknown = [name for name in metrics if name not in protocol.metrics]
    if unknown:
        raise ScoreError(f"metric '{unknown[0]}' is not one of the protocol's{near(unknown[0], protocol.metrics)}")
    names = list(metrics) or list(protocol.metrics)
    level = resampling(protocol).level
    found = [Pair(one, other, tuple(_differences(drawn[one], drawn[other], names, level))) for one, other in pairs]
    return Comparison(
        dataset=first.dataset,
        split=first.split,
        protocol=first.protocol,
        signature=measure_signature(first.measured),
        detectors={name: short(own.result.measured, DETECTOR) for name, own in drawn.items()},
        metrics=tuple(names),
        level=level,
        oracle=False,
        clusters=first.clusters,
        pairs=corrected(found),
    )


def _differences(one: Drawn, other: Drawn, names: Sequence[str], level: float) -> list[Difference]:
    groups = ("metrics ", "labels real", "labels fake")
    return [group_difference(one, other, name, group, level) for group in groups for name in names]


def group_difference(one: Drawn, other: Drawn, name: str, group: str = "metrics ", level: float = 0.95) -> Difference:
    """One metric's difference over one group of questions; see `compare_drawn`."""
    a, b = _value(one.result, group, name), _value(other.result, group, name)
    title = group.partition(" ")[2]
    if a is None or b is None:
        return Difference(title, name, a, b)
    mine, theirs = (own.draws.get(group, {}).get(name) for own in (one, other))
    tested = {} if mine is None or theirs is None else bootstrap_difference(mine - theirs, a - b, level)
    return Difference(title, name, a, b, a - b, **tested)


def _value(result: Result, group: str, name: str) -> float | None:
    field, _, title = group.partition(" ")
    scores: dict[str, Score] = result.metrics if field == "metrics" else result.labels.get(title, {})
    return scores[name].value if name in scores else None
