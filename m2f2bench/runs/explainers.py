"""Asking explainers under an explanation protocol, with the controls that stand beside them."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import NothingJudged
from ..core.files import make_folder, write_json
from ..core.progress import progress_bar
from ..core.records import FAKE, JUDGE, REAL, Answer, Frame, Question
from ..detectors.base import Detector
from ..detectors.keys import Judge, row_key
from ..metrics.answer_metrics import compared_references, text_settings
from ..metrics.verdicts.verdict import NO_VERDICT
from ..reporting.report import REPORT, own_maps, write_report
from ..results.resamples import DRAWS, write_draws
from ..results.result import Result
from ..results.signature import detector_fields, measure_signature
from ..results.store import ANSWERS as FILE
from ..results.store import RESULT, USAGE, AnswerStore, write_parquet
from ..results.stored import run_name
from ..scoring.answers import AnswerEvidence, Asked, gather_answers
from ..scoring.controls import CONTROLS, PREFIX, control_answers
from ..scoring.score_answers import score_answers
from . import predict as local
from .ask import Asker, answer
from .export import write_export
from .resuming import current_answers

log = logging.getLogger("m2f2bench")


def folder_name(detector: str, asked: Asked) -> str:
    """The name of a run's folder."""
    return run_name(detector, asked.dataset.name, asked.protocol.name, asked.split, asked.limit)


def run_explainer(
    judge: Judge,
    asked: Asked,
    out: Path,
    controls: Sequence[Result] = (),
    batch_size: int = 32,
    workers: int = 0,
    export: str | None = None,
) -> list[tuple[Result, Path]]:
    """Ask, score and write one explainer's run and those of the controls that go by its verdicts; results and folders.

    `controls` are the others' results, for the page to read (`report.html`). `export` also writes the answers in that
    form, see `exporter`. Raises DetectorError for a detector that answers no questions.
    """
    asker = Asker(judge.detector)
    folder = out / folder_name(judge.name, asked)
    evidence = _answers(asker, judge, asked, folder, batch_size, workers)
    results = [(write_run(evidence, folder, export), folder)]
    if verdicts := verdicts_of(evidence):
        results += run_controls(asked, out, evidence.detector, verdicts, export)
    beside = [*controls, *(result for result, _ in results[1:])]
    write_report(evidence, results[0][0], folder / REPORT, beside, own_maps(judge.detector))
    return results


def _answers(asker: Asker, judge: Judge, asked: Asked, folder: Path, batch_size: int, workers: int) -> AnswerEvidence:
    """The answers to all questions, from disk as far as they are there and their questions and images are the same."""
    key = row_key(judge, asked.dataset, questions="+".join(asked.protocol.questions))
    with AnswerStore(folder, key) as store:
        known = {**store.siblings(f"{judge.name}--{asked.dataset.name}"), **store.rows}
        held = current_answers(asked.dataset, asked.frames, asked.questions, known, workers)
        store.append([row for row in held if store.rows.get(row.question) != row])
        done = {row.question for row in held if not (asker.errors_pass and row.status == "error")}
        wanted: dict[str, list[Question]] = {}
        for question in asked.questions:
            if question.id not in done:
                wanted.setdefault(question.frame, []).append(question)
        pairs = [(asked.frames[frame], questions) for frame, questions in wanted.items()]
        # A frame has one score, also where a run was cut off between two questions about it.
        scores: dict[str, float | None] = {row.frame: row.score for row in held if row.score is not None}
        if not asker.scored:
            unknown = [frame for frame, _ in pairs if frame.id not in scores]
            scores |= _scores(judge.detector, asked, unknown, batch_size, workers)
        n = sum(len(questions) for _, questions in pairs)
        with store.kept(), progress_bar(folder.name, n) as advance:
            for rows in answer(asker, asked.dataset.adapter, pairs, scores):
                store.append(rows)
                advance(len(rows))
        finished = store.finish(question.id for question in asked.questions)
    _warn(folder.name, finished)
    given = {row.question: row for row in finished}
    return gather_answers(given, asked, judge.fields, judge.detector.card, judge.made)


def _warn(name: str, rows: Sequence[Answer]) -> None:
    """Say how many questions have no answer, and how many answers came with a remark.

    Raises NothingJudged where none has an answer.
    """
    failed = [row for row in rows if row.status != "ok"]
    if failed:
        first = failed[0]
        if len(failed) == len(rows):
            raise NothingJudged.of(name, "questions", len(rows), first.question, first.status, first.message)
        why = f"{first.status}: {first.message}"
        log.warning(
            "%s: %d of %d questions have no answer, first '%s' (%s)", name, len(failed), len(rows), first.question, why
        )
    remarked = [row for row in rows if row.status == "ok" and row.message]
    if remarked:
        first = remarked[0]
        log.info(
            "%s: %d of %d answers have remarks, first '%s' (%s)",
            name,
            len(remarked),
            len(rows),
            first.question,
            first.message,
        )


def _scores(
    detector: Detector, asked: Asked, frames: Sequence[Frame], batch_size: int, workers: int
) -> dict[str, float | None]:
    """The detector's own P(fake) of each frame, None where it gives none."""
    name = detector.card.name
    found: dict[str, float | None] = {}
    with progress_bar(f"{name}: P(fake)", len(frames)) as advance:
        for rows in local.predict(name, detector, asked.dataset.adapter, frames, batch_size, workers):
            found |= {row.frame: row.score for row in rows}
            advance(len(rows))
    return found


def run_controls(
    asked: Asked,
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


def control_evidence(asked: Asked, judge: str = "", verdicts: Mapping[str, int] | None = None) -> list[AnswerEvidence]:
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


def match_together(evidence: Sequence[AnswerEvidence]) -> None:
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


def score_files(evidence: Sequence[AnswerEvidence], out: Path | None = None, controls: bool = True) -> list[Result]:
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


def verdicts_of(evidence: AnswerEvidence) -> dict[str, int]:
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


def write_run(evidence: AnswerEvidence, folder: Path, export: str | None = None) -> Result:
    """Score, and write a run's folder: the answers, where they are not there yet, also as `export`; and the result."""
    scored = score_answers(evidence)
    make_folder(folder)
    if not (folder / FILE).exists() or evidence.card is None:
        write_parquet(folder / FILE, rows(evidence), row=Answer)
    if export is not None:
        write_export(evidence, folder, export)
    write_draws(folder / DRAWS, scored.drawn)
    write_json(folder / RESULT, scored.result.to_json())
    return scored.result


def rows(evidence: AnswerEvidence) -> list[Answer]:
    """The answers as rows; what nobody answered has none."""
    answers = evidence.answers
    columns: dict[str, list[Any]] = {f.name: getattr(answers, f.name).tolist() for f in dataclasses.fields(Answer)}
    for name in ("score", *USAGE):
        kind = int if name.startswith("tokens") else float
        columns[name] = [None if value != value else kind(value) for value in columns[name]]  # NaN is what is not known
    listed = [Answer(*values) for values in zip(*columns.values(), strict=True)]
    return [row for row in listed if row.status != "missing"]
