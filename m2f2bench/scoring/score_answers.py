"""Explanation results: the metrics of answers, with verdicts, diversity, and dependence on the image."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..cards.models import ExplanationCard
from ..core.answers import Answers
from ..core.arrays import Floats
from ..core.records import FAKE, REAL, Score
from ..metrics.answer_metrics import answer_metrics, groups, with_reasons
from ..metrics.answer_sets import diversity, swaps
from ..metrics.names import OVERALL
from ..metrics.reader_errors import HELD_OUT, REGION, VERDICT
from ..metrics.regions.regions import read_regions, region_statistics
from ..metrics.registry import metric_of
from ..metrics.text.items import tokenize
from ..metrics.text.java import Unavailable, java_version
from ..metrics.verdicts.verdict import UNANSWERED, VERDICTS
from ..results.row_files import USAGE
from ..results.signature import answers_hash, versions
from ..results.stored import ResampledResult
from ..stats.bootstrap import expanded_tail
from ..stats.statistic import Statistic, estimate
from .answers import ScoredAnswers
from .scored import COUNTED, ids_hash

ROUNDS = 3
"""Number of shuffles of the images that image dependence averages over."""
PARTS = ("texts", "verdicts", "regions")
REMARKS = 5
"""At most this many different remarks on answers are named in a result."""


def score_answers(evidence: ScoredAnswers, dependence: bool = True) -> ResampledResult:
    """Compute the result of one explainer's answers under their protocol.

    It has every metric overall (`metrics`), by whether the right answer is real or fake (`labels`), by region
    (`regions`) and by manipulation (`methods`, only the questions about its own frames), with percentile intervals
    from resampled clusters of images. `details` has the verdicts, the diversity of the answers and, with `dependence`,
    the share of the metrics that remains if answers are exchanged with those about other images.
    """
    answers, protocol, explained = evidence.answers, evidence.protocol, evidence.explained
    cluster, n_clusters, by = evidence.clusters
    masks = groups(answers)
    found = estimate(explained.statistics, masks, answers.label, cluster, n_clusters, protocol.bootstrap)
    scored: dict[str, dict[str, dict[str, Score]]] = {"metrics": {}, "labels": {}, "regions": {}, "methods": {}}
    for group in masks:
        scores = with_reasons(found.scores.get(group, {}), explained.missing, protocol.metrics)
        scored[group.field][group.name] = scores
    result = evidence.result(
        metrics=scored["metrics"][OVERALL],
        methods=scored["methods"],
        labels=scored["labels"],
        regions=scored["regions"] if len(scored["regions"]) > 1 else {},
        coverage=float((answers.status == "ok").mean()) if len(answers) else 0.0,
        statuses=answers.statuses(),
        clusters={"by": by, "n": n_clusters, "independent": n_clusters == len(answers)},
        details=_details(evidence) | ({"image_dependence": image_dependence(evidence)} if dependence else {}),
        predictions=answers_hash(answers),
        versions=versions() | _java(protocol),
    )
    return ResampledResult(result, found.drawn)


def _java(protocol: ExplanationCard) -> dict[str, str]:
    """Return the version of Java if the protocol's tokens or metrics need it."""
    if protocol.tokenizer != "ptb" and "meteor" not in protocol.metrics:
        return {}
    try:
        return {"java": java_version()}
    except Unavailable:
        return {}


def _details(evidence: ScoredAnswers) -> dict[str, Any]:
    answers, explained = evidence.answers, evidence.explained
    details: dict[str, Any] = {
        "questions": {
            kind: {
                "asked": int((answers.kind == kind).sum()),
                "answered": int(((answers.kind == kind) & (answers.status == "ok")).sum()),
            }
            for kind in evidence.protocol.questions
        },
        COUNTED: _counted(evidence),
    }
    without = sum(not refs for refs in answers.references[explained.compared].tolist())
    if without:
        details["questions_without_reference"] = without
    if explained.judged.any():
        verdicts = np.array(explained.verdicts, dtype=object)
        details["verdicts"] = {
            word: {
                verdict: int((explained.judged & (answers.label == label) & (verdicts == verdict)).sum())
                for verdict in (*VERDICTS, UNANSWERED)
            }
            for word, label in (("real", REAL), ("fake", FAKE))
        }
    if readers := _readers(evidence):
        details["readers"] = readers
    lacking = np.isnan(answers.score)
    if lacking.any() and not lacking.all():
        details["images_without_score"] = len(set(answers.frame[lacking].tolist()))
    if explained.grounded.any():
        details["region_f1_of_references"] = _reference_grounding(evidence)
    texts = answers.text[explained.compared & (answers.status == "ok")].tolist()
    if texts:
        training = {ref for question in evidence.plan.training for ref in question.references}
        details["diversity"] = {k: v for k, v in diversity(texts, training or None).items() if k != "commonest"}
    return details | _remarks(answers) | _usage(answers)


def _counted(evidence: ScoredAnswers) -> dict[str, str]:
    """Return the `ids_hash` of the questions whose texts, verdicts and regions count, by PARTS.

    Metrics of a part with the same digits are measured on the same questions. With `missing: drop` questions without
    an answer do not count, and if no question of a part is answered none of them counts.
    """
    answers, explained = evidence.answers, evidence.explained
    masks = (explained.compared, explained.judged, explained.grounded)
    return {part: ids_hash(answers.question[mask].tolist()) for part, mask in zip(PARTS, masks, strict=True)}


def _readers(evidence: ScoredAnswers) -> dict[str, Any]:
    """Return the error rates of the readers that the result uses; the rule `substring` was never measured."""
    explained = evidence.explained
    used = {VERDICT: explained.judged.any() and evidence.protocol.verdict == "words", REGION: explained.grounded.any()}
    return {what: HELD_OUT[what] for what, uses in used.items() if uses}


def _remarks(answers: Answers) -> dict[str, Any]:
    """Return how many answers have a remark (that they were cut off), and how many have each of the commonest."""
    remarks = Counter(text for text in answers.message[answers.status == "ok"].tolist() if text)
    if not remarks:
        return {}
    commonest = {text: {"answers": n} for text, n in remarks.most_common(REMARKS)}
    return {"answers_remarked": remarks.total(), "remarks": commonest}


def _usage(answers: Answers) -> dict[str, Any]:
    """Return the time, tokens and cost of the answers: the total, and the number of questions that it is known for."""
    usage: dict[str, Any] = {}
    for name in USAGE:
        known = [value for value in getattr(answers, name).tolist() if value == value]  # not NaN
        if known:
            total = math.fsum(known)
            usage[name] = {"total": int(total) if name.startswith("tokens") else total, "questions": len(known)}
    return {"usage": usage} if usage else {}


def _reference_grounding(evidence: ScoredAnswers) -> float | None:
    """Return the region F1 of each question's first reference as an answer, which is hardly surpassed."""
    answers, grounded = evidence.answers, evidence.explained.grounded
    own = answers.only(grounded)
    called = [read_regions(refs[0]) if refs else frozenset[str]() for refs in own.references.tolist()]
    everything = np.ones(len(own), dtype=bool)
    truth = [evidence.plan.altered.get(frame) for frame in own.frame.tolist()]
    of = region_statistics(called, truth, everything)["region_f1"].over(everything, np.zeros(len(own), np.int64), 1)
    value = float(of(np.ones((1, 1)))[0])
    return None if np.isnan(value) else value


def image_dependence(evidence: ScoredAnswers) -> dict[str, Any]:
    """Compute the share of a metric that remains if each answer is replaced by that about another image.

    A deterministic explainer answers a pair of question text and image, so the answer to the same text about another
    image is known if the text was asked about both. `within` exchanges images of the same label, `across` images of
    different labels, in ROUNDS seeded shuffles. For each metric: `true` and `shuffled`, both over those `n` of its
    questions that have such a partner, and `kept`, the ratio of shuffled to true, with its interval over the same
    resampled clusters. An explainer that ignores the image keeps everything (1). If every question states the label,
    or no text is asked twice, it is not defined, with a `reason`.
    """
    answers, protocol = evidence.answers, evidence.protocol
    ok = np.flatnonzero(answers.status == "ok")
    own = answers.only(answers.status == "ok")
    drawn = swaps(own.asked, own.frame, own.label, own.kind, protocol.bootstrap.seed, ROUNDS)
    names = [name for name in protocol.metrics if metric_of(name).shuffled and name in evidence.explained.statistics]
    found = {}
    for way, rows in drawn.items():
        taken = np.full((ROUNDS, len(answers)), -1, dtype=np.int64)
        taken[:, ok] = np.where(rows >= 0, ok[np.maximum(rows, 0)], -1) if len(ok) else -1
        found[way] = _kept(evidence, taken, names)
    return found


def _kept(evidence: ScoredAnswers, taken: Any, names: Sequence[str]) -> dict[str, Any]:
    answers, protocol = evidence.answers, evidence.protocol
    usable = (taken >= 0).all(axis=0)
    if not usable.any():
        return {"n": 0, "reason": "no question's text is also asked about another image of this kind"}
    own, orders = answers.only(usable), [np.flatnonzero(usable), *(row[usable] for row in taken)]
    textual: list[str] = [name for name in names if metric_of(name).part == "texts"]
    others: list[str] = [name for name in names if name not in textual]
    plain = protocol.model_copy(update={"tokenizer": "none", "cider_df": "fixed"})
    parts = [(_tokenized(answers, protocol), textual)] if textual else []
    parts.append((answers, others))
    statistics: dict[str, Statistic] = {}
    for whole, some in parts:
        for i, order in enumerate(orders if some else ()):
            shuffled = replace(whole.only(usable), text=whole.text[order])
            found = answer_metrics(shuffled, plain, evidence.plan.altered, some, evidence.explained.readings)
            statistics |= {f"{i} {name}": one for name, one in found.statistics.items()}
    cluster, n_clusters, _ = evidence.clusters
    rules = protocol.bootstrap
    everything = {OVERALL: np.ones(len(own), dtype=bool)}
    made = estimate(statistics, everything, own.label, cluster[usable], n_clusters, rules)
    scores, resamples = made.scores[OVERALL], made.drawn.get(OVERALL, {})
    tail = expanded_tail(rules.level, n_clusters)
    return {"n": int(usable.sum())} | {name: _share_kept(scores, resamples, name, tail) for name in names}


def _share_kept(
    scores: Mapping[str, Score], drawn: Mapping[str, Floats], name: str, tail: float
) -> dict[str, float | list[float] | None]:
    values = [scores[f"{i} {name}"].value for i in range(ROUNDS + 1)]
    n = scores[f"0 {name}"].n_real + scores[f"0 {name}"].n_fake
    if any(value is None for value in values) or not values[0]:
        return {"n": n, "true": values[0], "shuffled": None, "kept": None, "ci": None}
    shuffled = float(np.mean([v for v in values[1:] if v is not None]))
    ci = None
    if drawn:
        below = drawn[f"0 {name}"]
        above = np.mean([drawn[f"{i} {name}"] for i in range(1, ROUNDS + 1)], axis=0)
        ratios = above[below > 0.0] / below[below > 0.0]
        ci = [float(v) for v in np.nanquantile(ratios, [tail, 1.0 - tail])] if len(ratios) else None
    return {"n": n, "true": values[0], "shuffled": shuffled, "kept": shuffled / values[0], "ci": ci}


def _tokenized(answers: Answers, protocol: Any) -> Answers:
    """Return answers and references after the protocol's tokenizer, so that it runs only once for all shuffles."""
    if protocol.tokenizer == "none":
        return answers
    flat = [text for refs in answers.references.tolist() for text in refs]
    tokens = tokenize([*answers.text.tolist(), *flat], protocol.tokenizer)
    references = np.empty(len(answers), dtype=object)
    references[:] = [tuple(tokens[text] for text in refs) for refs in answers.references.tolist()]
    return replace(answers, text=np.array([tokens[t] for t in answers.text], dtype=object), references=references)
