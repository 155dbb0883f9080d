"""Paired tests between explainers that answered the same questions under the same protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..cards.models import DatasetCard, ExplanationCard, ProtocolCard
from ..core.errors import ScoreError, near
from ..core.records import JUDGE, Score
from ..metrics.detection.paired import Difference, bootstrap_difference
from ..metrics.explanation import RELEASED
from ..metrics.names import Group
from ..results.resamples import DRAWS, ResampledResult, resampled_beside
from ..results.result import Result
from ..results.signature import DETECTOR, measure_signature, share, short
from ..results.stored import stored_at
from ..stats.bootstrap import resampling
from .answers import load_answers
from .comparison import Comparison, Pair, corrected, pairs_of, refuse_differing
from .score_answers import COUNTED, score_answers

ALL = Group()


def load_drawn(
    place: str | Path,
    *,
    protocol: str | ProtocolCard | ExplanationCard | None = None,
    dataset: str | DatasetCard | None = None,
    split: str = "test",
    columns: Mapping[str, str] | None = None,
) -> ResampledResult:
    """A run's folder or a result file with its resamples beside it; anything else is scored first.

    A run is scored again from its answers where another protocol or dataset is named. Raises ScoreError.
    """
    path = Path(place).expanduser()
    stored = stored_at(path)
    if stored is not None and protocol is None and dataset is None:
        found = resampled_beside(stored)
        if found is None:
            raise ScoreError(f"'{place}' has no resamples beside it ({DRAWS}): score its answers again")
        return found
    return score_answers(load_answers(path, protocol=protocol, dataset=dataset, split=split, columns=columns), False)


def compare_drawn(drawn: Mapping[str, ResampledResult], metrics: Sequence[str] = (), against: str = "") -> Comparison:
    """Every metric's difference, over all questions and over those of real and of fake frames apart.

    The percentile interval and two-sided p of the difference in the same resamples of clusters; Holm's correction over
    the pairs, for each metric and group apart. `against`: only the pairs of this one with every other. Raises
    ScoreError where two differ in what they were asked or how they were scored.
    """
    pairs = pairs_of(list(drawn), against)
    tested = [DrawnPair(drawn[one], drawn[other], (one, other)) for one, other in pairs]
    first = next(iter(drawn.values())).result
    protocol = ExplanationCard.model_validate(first.protocol_card)
    unknown = [name for name in metrics if name not in protocol.metrics]
    if unknown:
        raise ScoreError(f"metric '{unknown[0]}' is not one of the protocol's{near(unknown[0], protocol.metrics)}")
    names = list(metrics) or list(protocol.metrics)
    level = resampling(protocol).level
    asked = [(group, name) for group in (Group(), Group("labels", "real"), Group("labels", "fake")) for name in names]
    found = [
        Pair(*pair, tuple(both.difference(name, group, level) for group, name in asked))
        for pair, both in zip(pairs, tested, strict=True)
    ]
    for pair in found:
        _refuse_apart(pair)
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


def _refuse_apart(pair: Pair) -> None:
    """Raise ScoreError where two explainers have metrics, and none of them on the same questions."""
    both = [d for d in pair.differences if d.first is not None and d.second is not None]
    if both and all(d.difference is None for d in both):
        raise ScoreError(f"'{pair.first}' and '{pair.second}' cannot be compared, they are {both[0].reason}")


class DrawnPair:
    """Two explainers asked the same questions, drawn as one and the same clusters: the only way to a difference."""

    def __init__(self, first: ResampledResult, second: ResampledResult, names: tuple[str, str] | None = None) -> None:
        """Raise ScoreError unless what was asked, how it is scored and what is drawn as one is the same.

        `names` are used in the message.
        """
        one, other = names or (first.result.detector, second.result.detector)
        refuse_differing(one, first.result.measured, other, second.result.measured)
        drawn = [[own.result.clusters.get(key) for key in ("by", "n", "independent")] for own in (first, second)]
        if drawn[0] != drawn[1]:
            told = " / ".join(f"{n} drawn by {by}" for by, n, _ in drawn)
            raise ScoreError(
                f"'{one}' and '{other}' cannot be compared, their clusters differ ({told}): score both again"
            )
        self.first, self.second = first, second
        self._same = bool(first.result.predictions) and first.result.predictions == second.result.predictions

    def difference(self, name: str, group: Group = ALL, level: float = 0.95) -> Difference:
        """One metric's difference over one group of questions; none where it is measured on others in the two."""
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
        return Difference(title, name, a, b, a - b, **bootstrap_difference(mine - theirs, a - b, level, self._same))


def _apart(first: Result, second: Result, name: str) -> str:
    """Why a metric of two results does not stand on the same questions; empty where it does."""
    part = first.about(name).part
    counted = [own.details.get(COUNTED, {}).get(part) for own in (first, second)]
    if counted[0] == counted[1] and counted[0] is not None:
        return ""
    holes = f"(coverage {share(first.coverage)} / {share(second.coverage)})"
    if None not in counted:
        return f"measured on different questions {holes}; take a protocol with missing: wrong"
    if all(_all_count(own, part) for own in (first, second)):
        return ""
    return f"measured on questions that are not told {holes}: score the answers again"


def _all_count(result: Result, part: str) -> bool:
    """Whether all questions count for certain, of a result of an older version, which does not tell which do.

    They do where all were answered; and where holes are wrong answers, unless nobody answered any of a kind.
    """
    other = RELEASED if part == "verdicts" else JUDGE  # the kind that does not count in it
    kinds = [one for kind, one in result.details.get("questions", {}).items() if kind != other]
    some = all(one.get("answered") for one in kinds)
    return set(result.statuses) == {"ok"} or (some and result.measured.get("missing") == "wrong")


def _value(result: Result, group: Group, name: str) -> float | None:
    scores: dict[str, Score] = result.metrics if group == ALL else result.labels.get(group.name, {})
    return scores[name].value if name in scores else None
