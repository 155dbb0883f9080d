"""Explainers' answers and those of controls, scored and written as runs."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.files import make_folder, write_json
from ..core.progress import progress_bar
from ..core.records import FAKE, JUDGE, REAL, Answer
from ..metrics.explanation import compared_references, text_settings
from ..metrics.verdicts.verdict import NO_VERDICT
from ..reporting.report import REPORT, write_report
from ..results.resamples import DRAWS, write_draws
from ..results.result import Result
from ..results.signature import detector_fields, measure_signature
from ..results.store import ANSWERS as FILE
from ..results.store import RESULT, USAGE, write_parquet
from ..results.stored import run_name
from ..scoring.answers import AnswerPlan, ScoredAnswers, gather_answers
from ..scoring.controls import CONTROLS, PREFIX, control_answers
from ..scoring.score_answers import score_answers
from .export import write_export

log = logging.getLogger("m2f2bench")


def folder_name(detector: str, asked: AnswerPlan) -> str:
    """The name of a run's folder."""
    return run_name(detector, asked.dataset.name, asked.protocol.name, asked.split, asked.limit)


def run_controls(
    asked: AnswerPlan,
    out: Path,
    judge: str = "",
    verdicts: Mapping[str, int] | None = None,
    export: str | None = None,
) -> list[tuple[Result, Path]]:
    """Controls' answers, scored and written like a run's; see `control_evidence`."""
    found = control_evidence(asked, judge, verdicts)
    match_together(found)
    places = [(one, out / folder_name(one.detector, asked)) for one in found]
    return [(write_run(one, place, export), place) for one, place in places]


def control_evidence(
    asked: AnswerPlan, judge: str = "", verdicts: Mapping[str, int] | None = None
) -> list[ScoredAnswers]:
    """The controls' answers: of those that need no verdict, or of those that go by a detector's.

    `verdicts` are 0 or 1 by frame of the detector `judge`; such controls are called `control-NAME@DETECTOR`.
    """
    found, seed = [], asked.protocol.bootstrap.seed
    for name, control in CONTROLS.items():
        if (control.needs == "verdict") != bool(verdicts):
            continue
        answers = control_answers(name, asked.questions, asked.training, verdicts=verdicts, seed=seed)
        if all(one.status != "ok" for one in answers):
            log.info("control %s is left out: %s", name, answers[0].message if answers else "nothing is asked")
            continue
        by = detector_fields(f"{PREFIX}{name}" + (f"@{judge}" if judge else ""), "none", seed=seed)
        found.append(gather_answers({one.question: one for one in answers}, asked, by))
    return found


def match_together(evidence: Sequence[ScoredAnswers]) -> None:
    """Let METEOR see the answers of several explainers at once: a start of its program takes longer than they do.

    What it finds is kept in the cache, from which each one's scoring takes it. Nothing but the time changes.
    """
    if len(evidence) < 2 or any("meteor" not in one.protocol.metrics for one in evidence):
        return
    from ..metrics.text.metrics import text_statistics

    rules = evidence[0].protocol
    texts = [text for one in evidence for text in one.answers.text.tolist()]
    references = [
        refs for one in evidence for refs in compared_references(one.answers, rules, one.answers.kind != JUDGE)
    ]
    text_statistics(["meteor"], texts, references, text_settings(rules))


def score_files(evidence: Sequence[ScoredAnswers], out: Path | None = None, controls: bool = True) -> list[Result]:
    """The results of explainers' answers, and behind them the controls' on the same questions.

    All answers have to be to one set of questions, else the controls are left out. With `out` each is written there
    like a run, and a page to read beside each explainer's (`report.html`).
    """
    everything = list(evidence)
    alike = len({measure_signature(one.measured) for one in evidence}) == 1
    if controls and not alike:
        log.warning("no controls: the files answer different questions, score them one by one")
    if controls and alike:
        everything += control_evidence(evidence[0].asked)
        for one in evidence:
            everything += control_evidence(one.asked, one.detector, found) if (found := verdicts_of(one)) else []
    results = []
    match_together(everything)
    with progress_bar("scoring", len(everything)) as advance:
        for one in everything:
            place = None if out is None else out / folder_name(one.detector, one.asked)
            results.append(score_answers(one).result if place is None else write_run(one, place))
            advance(1)
    for one, result in zip(evidence, results[: len(evidence) if out else 0], strict=False):
        assert out is not None
        own = [r for r in results[len(evidence) :] if r.detector.partition("@")[2] in ("", one.detector)]
        write_report(one, result, out / folder_name(one.detector, one.asked) / REPORT, own)
    return results


def verdicts_of(evidence: ScoredAnswers) -> dict[str, int]:
    """An explainer's own 0 or 1 by frame: its P(fake) at 0.5, else what its judgements say; no entry for neither."""
    answers = evidence.answers
    found: dict[str, int] = {}
    for frame, score in zip(answers.frame.tolist(), answers.score.tolist(), strict=True):
        if score == score:  # not NaN
            found[frame] = FAKE if score >= 0.5 else REAL
    explained = evidence.explained
    for i in explained.judged.nonzero()[0]:
        if answers.region[i] == "image" and answers.status[i] == "ok" and explained.verdicts[i] not in NO_VERDICT:
            found.setdefault(answers.frame[i], FAKE if explained.verdicts[i] == "fake" else REAL)
    return found


def write_run(evidence: ScoredAnswers, folder: Path, export: str | None = None) -> Result:
    """Score, and write a run's folder: the answers, where they are not there yet, also as `export`; and the result."""
    scored = score_answers(evidence)
    make_folder(folder)
    if not (folder / FILE).exists() or evidence.card is None:
        write_parquet(folder / FILE, rows(evidence), row=Answer)
    if export is not None:
        write_export(evidence, folder, export)
    write_draws(folder / DRAWS, scored.draws)
    write_json(folder / RESULT, scored.result.to_json())
    return scored.result


def rows(evidence: ScoredAnswers) -> list[Answer]:
    """The answers as rows; what nobody answered has none."""
    answers = evidence.answers
    columns: dict[str, list[Any]] = {f.name: getattr(answers, f.name).tolist() for f in dataclasses.fields(Answer)}
    for name in ("score", *USAGE):
        kind = int if name.startswith("tokens") else float
        columns[name] = [None if value != value else kind(value) for value in columns[name]]  # NaN is what is not known
    listed = [Answer(*values) for values in zip(*columns.values(), strict=True)]
    return [row for row in listed if row.status != "missing"]
