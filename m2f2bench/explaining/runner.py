"""Asking explainers under an explanation protocol, with the controls that stand beside them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..backends.base import Detector
from ..controls import CONTROLS, control_answers
from ..engines import local
from ..engines.answers import Asker, answer
from ..files import make_folder, write_json
from ..progress import progress_bar
from ..records import FAKE, REAL, Answer, Frame, Question, Result
from ..signature import detector_fields, detector_signature, measure_signature, run_key
from ..store import ANSWERS as FILE
from ..store import RESULT, AnswerStore, write_parquet
from .draws import DRAWS, write_draws
from .evidence import AnswerEvidence, Asked, gather_answers
from .scorer import score_answers

log = logging.getLogger("m2f2bench")
PREFIX = "control-"
"""What the names of controls begin with in tables and folders."""


def folder_name(detector: str, asked: Asked) -> str:
    """The name of a run's folder."""
    suffix = "" if asked.split == "test" else f"--{asked.split}"
    suffix += "" if asked.limit is None else f"--limit{asked.limit}"
    return f"{detector}--{asked.dataset.name}--{asked.protocol.name}{suffix}"


def run_answers(
    detector: Detector, asked: Asked, out: Path, batch_size: int = 32, workers: int = 0
) -> tuple[Result, Path, dict[str, int]]:
    """Ask what is not on disk yet, score, and write `answers.parquet` and `result.json`.

    Returns the result, its folder, and the detector's own verdicts (0 or 1 by frame). Raises DetectorError for a
    detector that answers no questions.
    """
    asker = Asker(detector)
    folder = out / folder_name(detector.card.name, asked)
    key = run_key(detector, asked.dataset.card) + "-" + "+".join(asked.protocol.questions)
    frames = {frame.id: frame for frame in asked.dataset.frames(asked.split)}
    with AnswerStore(folder, key) as store:
        wanted: dict[str, list[Question]] = {}
        for question in asked.questions:
            if question.id not in store.rows:
                wanted.setdefault(question.frame, []).append(question)
        pairs = [(frames[frame], questions) for frame, questions in wanted.items()]
        scores = _scores(detector, asked, [frame for frame, _ in pairs], batch_size, workers)
        with progress_bar(folder.name, sum(len(questions) for _, questions in pairs)) as advance:
            for rows in answer(asker, asked.dataset.adapter, pairs, scores):
                store.append(rows)
                advance(len(rows))
        finished = store.finish(question.id for question in asked.questions)
    failed = [row for row in finished if row.status != "ok"]
    if failed:
        log.warning(
            "%s: %d of %d questions have no answer, first '%s' (%s: %s)",
            folder.name,
            len(failed),
            len(finished),
            failed[0].question,
            failed[0].status,
            failed[0].message,
        )
    given = {row.question: row for row in finished}
    evidence = gather_answers(given, asked, detector_signature(detector), detector.card)
    return write_run(evidence, folder), folder, verdicts_of(evidence)


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


def run_controls(asked: Asked, out: Path, verdicts: Mapping[str, Mapping[str, int]]) -> list[tuple[Result, Path]]:
    """Every control's answers, scored and written like a run's. `verdicts` are detectors' 0 or 1 by frame, by name."""
    places = [(one, out / folder_name(one.detector, asked)) for one in control_evidence(asked, verdicts)]
    return [(write_run(one, place), place) for one, place in places]


def control_evidence(asked: Asked, verdicts: Mapping[str, Mapping[str, int]]) -> list[AnswerEvidence]:
    """The controls' answers. One that goes by a verdict is there once for each detector, `control-NAME@DETECTOR`."""
    found = []
    for name, control in CONTROLS.items():
        for judge in verdicts if control.needs == "verdict" else [""]:
            answers = control_answers(
                name, asked.questions, asked.training, verdicts=verdicts.get(judge), seed=asked.protocol.bootstrap.seed
            )
            label = f"{PREFIX}{name}" + (f"@{judge}" if judge else "")
            by = detector_fields(label, "none", seed=asked.protocol.bootstrap.seed)
            found.append(gather_answers({one.question: one for one in answers}, asked, by))
    return found


def score_files(evidence: Sequence[AnswerEvidence], out: Path | None = None, controls: bool = True) -> list[Result]:
    """The results of explainers' answers, and behind them the controls' on the same questions.

    All answers have to be to one set of questions, else the controls are left out. With `out` each is written there
    like a run.
    """
    alike = {measure_signature(one.measured) for one in evidence}
    everything = list(evidence)
    if controls and len(alike) == 1:
        told = {one.detector: found for one in evidence if (found := verdicts_of(one))}
        everything += control_evidence(evidence[0].asked, told)
    results = []
    with progress_bar("scoring", len(everything)) as advance:
        for one in everything:
            place = None if out is None else out / folder_name(one.detector, one.asked)
            results.append(score_answers(one).result if place is None else write_run(one, place))
            advance(1)
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
        if answers.region[i] == "image" and answers.status[i] == "ok" and explained.verdicts[i] != "none":
            found.setdefault(answers.frame[i], FAKE if explained.verdicts[i] == "fake" else REAL)
    return found


def write_run(evidence: AnswerEvidence, folder: Path) -> Result:
    """Score, and write a run's folder: the answers, where they are not there yet, and the result."""
    scored = score_answers(evidence)
    make_folder(folder)
    if not (folder / FILE).exists() or evidence.card is None:
        write_parquet(folder / FILE, rows(evidence), row=Answer)
    write_draws(folder / DRAWS, scored.drawn)
    write_json(folder / RESULT, scored.result.to_json())
    return scored.result


def rows(evidence: AnswerEvidence) -> list[Answer]:
    """The answers as rows; what nobody answered has none."""
    answers = evidence.answers
    return [
        Answer(q, f, text, status, None if score != score else score)
        for q, f, text, status, score in zip(
            answers.question.tolist(),
            answers.frame.tolist(),
            answers.text.tolist(),
            answers.status.tolist(),
            answers.score.tolist(),
            strict=True,
        )
        if status != "missing"
    ]
