"""Metrics for answers: text overlap, verdicts, consistency, grounding.

The texts of all questions except those of kind `judge` are compared with references. Verdicts are read from the answers
to all questions except those of kind `released`, which state the label. For questions about the whole image, it is also
read which regions an answer calls manipulated, and whether its verdict agrees with the explainer's own P(fake).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from ..cards.protocols import ExplanationRules
from ..core.answers import Answers
from ..core.arrays import Bools, Floats
from ..core.errors import ScoreError, first_line
from ..core.guests import bounded
from ..core.records import FAKE, JUDGE, REAL, Score
from ..stats.statistic import Statistic, mean_of
from .metric import Metric
from .names import Group
from .regions.regions import read_regions, region_statistics
from .registry import builtin, metric_of, metrics_of
from .text.metrics import TextStatistics, text_statistics
from .verdicts.verdict import UNANSWERED, VERDICT_RULES, verdict_statistics

RELEASED = "released"
WHOLE = "image"
"""The region of questions about the whole image, the face, or several regions."""
THRESHOLD = 0.5


class Readings:
    """Readers that read each text once: its verdict by a protocol's rule, and the regions that it calls manipulated."""

    def __init__(self, rule: str) -> None:
        self.verdict = cache(VERDICT_RULES[rule])
        self.called = cache(read_regions)


@dataclass(frozen=True, eq=False)
class AnswerMetrics:
    """A protocol's metrics over N questions, ready for resampling.

    `missing` gives a reason for each metric that cannot be computed. `items` are each question's own values by metric,
    float64 [N], NaN without a value. `verdicts` [N] are as `read_verdict` gives them, or `none`, and `called` [N] the
    regions called manipulated. `compared`, `judged`, `grounded` (bool [N]) select the questions whose texts, verdicts
    and regions count.
    """

    statistics: dict[str, Statistic]
    missing: dict[str, str]
    items: dict[str, Floats]
    verdicts: list[str]
    called: list[frozenset[str]]
    compared: Bools
    judged: Bools
    grounded: Bools
    readings: Readings


def region_group(region: str) -> str:
    """Return the region under which a question is reported: its own, or WHOLE."""
    return WHOLE if "+" in region or region == "face" else region


def groups(answers: Answers) -> dict[Group, Bools]:
    """Return which questions belong to each group, bool [N]: all, each label, each region, each manipulation.

    Keys are (`metrics`, ""), (`labels`, `real`), (`regions`, `eyes`), (`methods`, `Deepfakes`) and so on. A
    manipulation's questions are those of its own frames, without any real one.
    """
    found = {Group(): np.ones(len(answers), dtype=bool)}
    found |= {Group("labels", name): answers.label == value for name, value in (("real", REAL), ("fake", FAKE))}
    regions = np.array([region_group(region) for region in answers.region.tolist()], dtype=object)
    for field, names in (("regions", regions), ("methods", answers.method)):
        for name in sorted(set(names.tolist())):
            found[Group(field, name)] = np.asarray(names == name)
    return found


def answer_metrics(
    answers: Answers,
    rules: ExplanationRules,
    altered: Mapping[str, frozenset[str]],
    metrics: Sequence[str] = (),
    readings: Readings | None = None,
) -> AnswerMetrics:
    """Return the protocol's metrics (or only `metrics`) of answers; `readings` hold texts that were already read.

    `altered` has the manipulated regions by frame id; a frame that is not in it has no region metrics. A missing answer
    counts as empty if the protocol says so. But if none of a metric's questions was answered, the metric was not asked
    for and has no value. If only one kind of questions is unanswered, it counts.
    """
    names = list(metrics or rules.metrics)
    parts = {metric_of(name).part for name in names if name in builtin()}
    ok = answers.status == "ok"
    counted = ok | (rules.missing == "wrong")
    compared, judged = (counted & own & ok[own].any() for own in (answers.kind != JUDGE, answers.kind != RELEASED))
    whole = np.array([region_group(region) == WHOLE for region in answers.region.tolist()], dtype=bool)
    truth = [altered.get(frame) for frame in answers.frame.tolist()]
    grounded = compared & whole & np.array([one is not None for one in truth], dtype=bool)
    readings = readings or Readings(rules.verdict)
    verdicts, called = [UNANSWERED] * len(answers), [frozenset[str]()] * len(answers)
    if not metrics or parts - {"texts"}:
        # The rule `substring` finds a verdict even in an empty text; a missing answer must have none.
        for i in np.flatnonzero(ok):
            verdicts[i], called[i] = readings.verdict(answers.text[i]), readings.called(answers.text[i])
    texts = TextStatistics()
    if wanted := [name for name in names if name in metrics_of("texts")]:
        texts = text_statistics(wanted, answers.text.tolist(), compared_references(answers, rules, compared), rules)
    made = dict(texts.statistics)
    if set(names) & set(metrics_of("verdicts")) - {"consistency"}:
        made |= verdict_statistics(verdicts, answers.label, judged)
    if "consistency" in names:
        made["consistency"] = consistency(verdicts, answers.score, judged & whole)  # P(fake) is for the whole image
    if "regions" in parts:
        made |= region_statistics(called, truth, grounded)
    made |= {name: _own_statistic(metric_of(name), answers, compared) for name in names if name not in builtin()}
    ordered = {name: made[name] for name in names if name in made}
    missing = texts.missing | _unasked(ordered, {"texts": compared, "verdicts": judged, "regions": grounded})
    return AnswerMetrics(ordered, missing, texts.items, verdicts, called, compared, judged, grounded, readings)


def _own_statistic(metric: Metric, answers: Answers, counted: Bools) -> Statistic:
    """Return a user's metric: the mean over the answers that count, bool [N]. Raises ScoreError in one line."""
    if metric.of != "answers" or (metric.fast is None and metric.compute is None):
        raise ScoreError(f"metric '{metric.name}' cannot be computed: it is not for answers, or its code is missing")
    given = {"text": answers.text, "references": answers.references, "label": answers.label}
    given |= {"region": answers.region, "method": answers.method}
    values = np.full(len(answers), np.nan)
    try:
        with bounded():
            if metric.fast is not None:
                found = metric.fast(answers, counted)
                if not isinstance(found, Statistic):
                    raise TypeError(f"a Statistic is wanted, not {type(found).__name__}")
                return found
            assert metric.compute is not None
            for i in np.flatnonzero(counted):
                values[i] = float(metric.compute(**{name: given[name][i] for name in metric.inputs}))
    except Exception as error:
        raise ScoreError(f"metric '{metric.name}' failed: {first_line(error)}") from error
    metric.check_range(values)
    return mean_of(values, metric.range if np.isfinite(metric.range).all() else None)


def consistency(verdicts: Sequence[str], scores: Floats, asked: Bools) -> Statistic:
    """Return the share of answers whose verdict agrees with the explainer's own score: fake if P(fake) ≥ .5, else real.

    `verdicts` [N] are `real`, `fake` or any other word for neither; `scores` float64 [N] are P(fake) in [0, 1], NaN
    without a score. Items not `asked` (bool [N]) are ignored. A verdict for neither is inconsistent, and so is a
    verdict without a score, so omissions never help; without any score, there is no value. The control is one answer
    for every image: it agrees as often as the detector makes its more frequent decision, so "fake" is perfectly
    consistent with a detector that calls everything fake.
    """
    said = np.array(verdicts, dtype=object)
    own = np.where(scores >= THRESHOLD, "fake", "real").astype(object)
    known = ~np.isnan(scores)
    agrees = ((said == own) & known).astype(np.float64)
    return mean_of(np.where(asked & known[asked].any(), agrees, np.nan))


def compared_references(answers: Answers, rules: ExplanationRules, compared: Bools) -> list[tuple[str, ...]]:
    """Return the references that each answer is compared with; empty where `compared` [N] is false."""
    return [
        (refs if rules.references == "all" else refs[:1]) if kept else ()
        for refs, kept in zip(answers.references.tolist(), compared.tolist(), strict=True)
    ]


def _unasked(statistics: Mapping[str, Statistic], counted: Mapping[str, Bools]) -> dict[str, str]:
    """Return the reasons of metrics without any question; `counted` [N] are the questions of each part that count."""
    why = {}
    for name, one in statistics.items():
        if not one.has.any():
            metric = metric_of(name)
            asked = bool(counted[metric.part].any())
            no_question = "no question of the kinds that this metric uses was answered"
            why[name] = metric.undefined if metric.undefined and asked else no_question
    return why


def with_reasons(scores: dict[str, Score], missing: Mapping[str, str], names: Sequence[str]) -> dict[str, Score]:
    """Return a group's scores in the order of `names`; a metric that cannot be computed has None and the reason."""
    out = {}
    for name in names:
        score = scores.get(name, Score(None, 0, 0))
        out[name] = replace(score, reason=missing[name]) if name in missing and score.value is None else score
    return out
