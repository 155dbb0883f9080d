"""Answer jobs: a protocol's questions to explainers, with the controls' answers to the same questions."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..cards.models import ExplanationCard
from ..core.progress import progress_bar
from ..core.records import Answer, Frame, Question
from ..datasets.dataset import Dataset
from ..detectors.base import Detector
from ..detectors.keys import Judge, row_key
from ..reporting.report import REPORT, own_maps, write_report
from ..results.result import Result
from ..results.store import AnswerStore
from ..scoring.answers import gather_answers, plan_questions
from .ask import ExplainerClient, answer, require_explainer
from .explainers import run_controls, verdicts_of, write_run
from .job import Job, Settings, current_answers
from .predict import predict

log = logging.getLogger("m2f2bench")


class AnswersJob(Job[Answer]):
    """Questions to be answered, in `question_plan`."""

    store = AnswerStore
    items, lacking = "questions", "have no answer"
    needs_detector = False  # controls answer without one

    def __init__(
        self, dataset: Dataset, protocol: ExplanationCard, split: str = "test", limit: int | None = None
    ) -> None:
        """List the questions. Raises DataError for a dataset without such questions."""
        super().__init__(dataset, protocol, split, limit)
        self.question_plan = plan_questions(dataset, protocol, split, limit)

    def check(self, name: str, own: object) -> None:
        """Raise DetectorError for a detector that answers no questions."""
        require_explainer(name, own)

    def prepare(self, out: Path, settings: Settings) -> list[tuple[Result, Path]]:
        """Score and write the controls that need no verdict."""
        return run_controls(self.question_plan, out, export=settings.export)

    def run(
        self, judge: Judge, out: Path, settings: Settings, controls: Sequence[Result] = ()
    ) -> list[tuple[Result, Path]]:
        """Run and score one explainer, and the controls that use its verdicts.

        `controls` are the other controls' results, for the page to read (`report.html`).
        """
        ExplainerClient(judge.detector)  # raises for a detector that answers no questions
        folder = out / self.folder_name(judge.name)
        rows, _ = self.collect(judge, folder, settings)
        given = {row.question: row for row in rows}
        answers = gather_answers(given, self.question_plan, judge.fields, judge.detector.card, judge.made)
        results = [(write_run(answers, folder, settings.export), folder)]
        if verdicts := verdicts_of(answers):
            results += run_controls(self.question_plan, out, answers.detector, verdicts, settings.export)
        controls = [*controls, *(result for result, _ in results[1:])]
        write_report(answers, results[0][0], folder / REPORT, controls, own_maps(judge.detector))
        return results

    def key(self, judge: Judge) -> Mapping[str, str]:
        """See `Job.key`."""
        return row_key(judge, self.dataset, questions="+".join(self.question_plan.protocol.questions))

    def planned(self) -> list[str]:
        """See `Job.planned`."""
        return [question.id for question in self.question_plan.questions]

    def current(self, known: Mapping[str, Answer], workers: int) -> list[Answer]:
        """See `Job.current`."""
        return current_answers(self.dataset, self.question_plan.frames, self.question_plan.questions, known, workers)

    def errors_pass(self, detector: Detector) -> bool:
        """See `Job.errors_pass`."""
        return ExplainerClient(detector).errors_pass

    def ask(
        self, detector: Detector, missing: set[str], held: Sequence[Answer], settings: Settings
    ) -> Iterator[list[Answer]]:
        """See `Job.ask`; an image is decoded once for all its questions."""
        client = ExplainerClient(detector)
        wanted: dict[str, list[Question]] = {}
        for question in self.question_plan.questions:
            if question.id in missing:
                wanted.setdefault(question.frame, []).append(question)
        pairs = [(self.question_plan.frames[frame], questions) for frame, questions in wanted.items()]
        # A frame has one score, even if a run was stopped between two questions about it.
        scores: dict[str, float | None] = {row.frame: row.score for row in held if row.score is not None}
        if not client.scored:
            unknown = [frame for frame, _ in pairs if frame.id not in scores]
            scores |= self._scores(detector, unknown, settings)
        return answer(client, self.dataset.adapter, pairs, scores)

    def report(self, name: str, rows: Sequence[Answer]) -> None:
        """Also log how many answers came with a remark."""
        super().report(name, rows)
        remarked = [row for row in rows if row.status == "ok" and row.message]
        if remarked:
            first = remarked[0]
            found = (name, len(remarked), len(rows), first.question, first.message)
            log.info("%s: %d of %d answers have remarks, first '%s' (%s)", *found)

    def _scores(self, detector: Detector, frames: Sequence[Frame], settings: Settings) -> dict[str, float | None]:
        """Return the detector's own P(fake) of each frame, None if it gives no score."""
        name, adapter = detector.card.name, self.dataset.adapter
        found: dict[str, float | None] = {}
        with progress_bar(f"{name}: P(fake)", len(frames)) as advance:
            for rows in predict(name, detector, adapter, frames, settings.batch_size, settings.workers):
                found |= {row.frame: row.score for row in rows}
                advance(len(rows))
        return found
