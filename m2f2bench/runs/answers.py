"""Answers to a protocol's questions, of explainers and of controls: asked, scored, written as runs, and exported."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ..cards.models import ExplanationCard
from ..core.answers import Answers
from ..core.errors import CardError, near
from ..core.files import make_folder, write_json, write_text
from ..core.progress import progress_bar
from ..core.records import FAKE, JUDGE, REAL, Answer, Frame, Question
from ..datasets.dataset import Dataset
from ..detectors.base import Detector
from ..detectors.keys import Judge, row_key
from ..metrics.answer_metrics import compared_references
from ..metrics.verdicts.verdict import NO_VERDICT
from ..reporting.pages.explanation import REPORT, own_maps, write_report
from ..results.read_answers import OWN
from ..results.result import Result
from ..results.row_files import USAGE, write_parquet
from ..results.signature import detector_fields, measure_signature
from ..results.store import ANSWERS as FILE
from ..results.store import RESULT, AnswerStore
from ..results.stored import DRAWS, write_draws
from ..scoring.answers import AnswerPlan, ScoredAnswers, gather_answers, plan_questions
from ..scoring.control_names import CONTROLS, PREFIX
from ..scoring.controls import control_answers
from ..scoring.score_answers import score_answers
from .ask import Asking, ExplainerClient, in_calls, require_explainer
from .job import Job, Settings, Written, current_answers
from .judging import Predicting

FORMS = ("m2f2",)
"""What `run --export` can write: `m2f2` are M2F2-Det's output files."""
JUDGEMENTS, EXPLANATIONS = "m2f2_det.jsonl", "m2f2_exp.jsonl"
log = logging.getLogger("m2f2bench")


def check_export(form: str | None, answers: bool) -> None:
    """Raise CardError for an unknown form, and if no protocol of a run asks questions (`answers`)."""
    if form is None:
        return
    if form not in FORMS:
        raise CardError(f"cannot export to '{form}'{near(form, FORMS)}")
    if not answers:
        raise CardError(
            f"--export {form} is for answers to questions, but no protocol of this run asks any: give --protocol "
            f"explain-blind, m2f2-released, …"
        )


def write_export(evidence: ScoredAnswers, folder: Path, form: str) -> list[Path]:
    """Write a run's answers in a form of FORMS into its folder, and return the files.

    `m2f2`: JSON lines `{"key", "image", "prompt", "text", "metadata"}` as M2F2-Det's scripts write them
    (arXiv 2503.20188): EXPLANATIONS with the question's id as `key` and the image's file name, JUDGEMENTS without a
    key, with the image's path. `prompt` is the question, `text` the plain answer, empty if there is none. The other
    fields of `records.Answer` are in `metadata` under `m2f2bench`. If a frame has no file of its name, its image is
    the frame's id. `score` computes the same numbers from these files as the run did (if the run had a limit, it
    counts all other questions as unanswered). Raises CardError.
    """
    check_export(form, answers=True)
    texts: dict[str, list[str]] = {JUDGEMENTS: [], EXPLANATIONS: []}
    for name, row in _lines(evidence):
        texts[name].append(json.dumps(row) + "\n")
    written = []
    for name, lines in texts.items():
        path = folder / name
        if lines:
            write_text(path, "".join(lines))
            written.append(path)
        else:
            path.unlink(missing_ok=True)  # from an earlier run
    return written


def _lines(evidence: ScoredAnswers) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of the file and the line of each answer, in the order of the questions, without missing ones."""
    answers, plan = evidence.answers, evidence.plan
    judged = Counter(answers.frame[answers.kind == JUDGE].tolist())
    for i in (answers.status != "missing").nonzero()[0]:
        frame = plan.frames[answers.frame[i]]
        judges = answers.kind[i] == JUDGE
        # A line without a key is identified by its image, so only one question about an image can lack a key.
        key = {} if judges and judged[frame.id] == 1 else {"key": str(answers.question[i])}
        known = _known(answers, i)
        row = {
            "image": image_name(frame, plan.dataset.adapter.root, whole=judges),
            "prompt": str(answers.asked[i]),
            "text": str(answers.text[i]),
            "metadata": {OWN: known} if known else {},
        }
        yield JUDGEMENTS if judges else EXPLANATIONS, {**key, **row}


def _known(answers: Answers, i: int) -> dict[str, Any]:
    """Return the further fields of an answer that are not empty."""
    fields: dict[str, Any] = {"status": str(answers.status[i]), "message": str(answers.message[i])}
    for name in ("score", *USAGE):
        value = float(getattr(answers, name)[i])
        fields[name] = int(value) if name.startswith("tokens") and value == value else value
    silent = {"status": "ok", "message": ""}
    return {name: value for name, value in fields.items() if value == value and silent.get(name) != value}


def image_name(frame: Frame, root: Path | None, whole: bool = False) -> str:
    """Return an image's file name, or with `whole` its path below the dataset's `root` (`./…`).

    It is the frame's id if no file has that name.
    """
    path = Path(frame.locator.path)
    if path.stem != frame.id or frame.locator.key is not None or frame.locator.index is not None:
        return frame.id
    if not whole:
        return path.name
    inside = root is not None and path.is_relative_to(root)
    return f"./{PurePosixPath(path.relative_to(root))}" if inside and root is not None else path.as_posix()


def run_controls(
    plan: AnswerPlan, out: Path, judge: str = "", verdicts: Mapping[str, int] | None = None, export: str | None = None
) -> Written:
    """Score and write controls like runs; see `control_runs`. Return their results and folders."""
    controls = control_runs(plan, judge, verdicts)
    match_together(controls)
    places = [(one, out / one.run_name) for one in controls]
    return [(write_run(one, place, export), place) for one, place in places]


def control_runs(plan: AnswerPlan, judge: str = "", verdicts: Mapping[str, int] | None = None) -> list[ScoredAnswers]:
    """Return the answers of the controls that need no verdict or, with `verdicts`, of those that need one.

    `verdicts` are 0 or 1 by frame, from the detector `judge`; such controls are named `control-NAME@DETECTOR`.
    """
    controls, seed = [], plan.protocol.bootstrap.seed
    for name, control in CONTROLS.items():
        if (control.needs == "verdict") != bool(verdicts):
            continue
        answers = control_answers(name, plan.questions, plan.training, verdicts=verdicts, seed=seed)
        if all(one.status != "ok" for one in answers):
            log.info("control %s is left out: %s", name, answers[0].message if answers else "there are no questions")
            continue
        by = detector_fields(f"{PREFIX}{name}" + (f"@{judge}" if judge else ""), "none", seed=seed)
        controls.append(gather_answers({one.question: one for one in answers}, plan, by))
    return controls


def match_together(evidence: Sequence[ScoredAnswers]) -> None:
    """Give METEOR the answers of several explainers at once, because each start of its program takes long.

    The values go to the cache, where the scoring of each explainer finds them. Only the time changes.
    """
    if len(evidence) < 2 or any("meteor" not in one.protocol.metrics for one in evidence):
        return
    from ..metrics.text.metrics import text_statistics

    rules = evidence[0].protocol
    texts = [text for one in evidence for text in one.answers.text.tolist()]
    references = [
        refs for one in evidence for refs in compared_references(one.answers, rules, one.answers.kind != JUDGE)
    ]
    text_statistics(["meteor"], texts, references, rules)


def score_files(evidence: Sequence[ScoredAnswers], out: Path | None = None, controls: bool = True) -> list[Result]:
    """Return the results of explainers' answers, followed by those of the controls on the same questions.

    All answers must be to the same questions, else the controls are left out. With `out` each is written there like a
    run, and each explainer's folder also has a page to read (`report.html`).
    """
    everything = list(evidence)
    alike = len({measure_signature(one.measured) for one in evidence}) == 1
    if controls and not alike:
        log.warning("no controls: the files answer different questions; score them one by one")
    if controls and alike:
        everything += control_runs(evidence[0].plan)
        for one in evidence:
            if verdicts := verdicts_of(one):
                everything += control_runs(one.plan, one.detector, verdicts)
    results = []
    match_together(everything)
    with progress_bar("scoring", len(everything)) as advance:
        for one in everything:
            place = None if out is None else out / one.run_name
            results.append(score_answers(one).result if place is None else write_run(one, place))
            advance(1)
    for one, result in zip(evidence, results[: len(evidence) if out else 0], strict=False):
        assert out is not None
        own = [r for r in results[len(evidence) :] if r.detector.partition("@")[2] in ("", one.detector)]
        write_report(one, result, out / one.run_name / REPORT, own)
    return results


def verdicts_of(evidence: ScoredAnswers) -> dict[str, int]:
    """Return an explainer's verdicts, 0 or 1 by frame: its P(fake) at 0.5, else its judgement, if it gave either."""
    answers = evidence.answers
    verdicts: dict[str, int] = {}
    for frame, score in zip(answers.frame.tolist(), answers.score.tolist(), strict=True):
        if score == score:  # not NaN
            verdicts[frame] = FAKE if score >= 0.5 else REAL
    explained = evidence.explained
    for i in explained.judged.nonzero()[0]:
        if answers.region[i] == "image" and answers.status[i] == "ok" and explained.verdicts[i] not in NO_VERDICT:
            verdicts.setdefault(answers.frame[i], FAKE if explained.verdicts[i] == "fake" else REAL)
    return verdicts


def write_run(evidence: ScoredAnswers, folder: Path, export: str | None = None) -> Result:
    """Score answers and write a run's folder: the result, and the answers unless they are there, also as `export`."""
    scored = score_answers(evidence)
    make_folder(folder)
    if not (folder / FILE).exists() or evidence.origin.card is None:
        write_parquet(folder / FILE, rows(evidence), row=Answer)
    if export is not None:
        write_export(evidence, folder, export)
    write_draws(folder / DRAWS, scored.draws)
    write_json(folder / RESULT, scored.result.to_json())
    return scored.result


def rows(evidence: ScoredAnswers) -> list[Answer]:
    """Return the answers as rows; a question without an answer has no row."""
    answers = evidence.answers
    columns: dict[str, list[Any]] = {f.name: getattr(answers, f.name).tolist() for f in dataclasses.fields(Answer)}
    for name in ("score", *USAGE):
        kind = int if name.startswith("tokens") else float
        columns[name] = [None if value != value else kind(value) for value in columns[name]]  # NaN: unknown
    listed = [Answer(*values) for values in zip(*columns.values(), strict=True)]
    return [row for row in listed if row.status != "missing"]


class AnswersJob(Job[Answer]):
    """Questions to be answered, in `question_plan`."""

    store = AnswerStore
    items, lacking = "questions", "have no answer"
    needs_detector = False  # controls answer without one
    check = staticmethod(require_explainer)

    def __init__(
        self, dataset: Dataset, protocol: ExplanationCard, split: str = "test", limit: int | None = None
    ) -> None:
        """List the questions. Raises DataError for a dataset without such questions."""
        super().__init__(dataset, protocol, split, limit)
        self.question_plan = plan_questions(dataset, protocol, split, limit)
        self.ids = [question.id for question in self.question_plan.questions]

    def videos(self) -> list[str]:
        """See `Job.videos`."""
        plan = self.question_plan
        return [plan.frames[question.frame].video for question in plan.questions]

    def prepare(self, out: Path, settings: Settings) -> Written:
        """Score and write the controls that need no verdict."""
        return run_controls(self.question_plan, out, export=settings.export)

    def run(self, judge: Judge, out: Path, settings: Settings, controls: Sequence[Result] = ()) -> Written:
        """Run and score one explainer, and the controls that use its verdicts.

        `controls` are the other controls' results, for the page to read (`report.html`).
        """
        ExplainerClient(judge.detector)  # raises for a detector that answers no questions
        folder = out / self.folder_name(judge.name)
        rows, _ = self.collect(judge, folder, settings)
        if settings.shard is not None:
            return []
        given = {row.question: row for row in rows}
        answers = gather_answers(given, self.question_plan, judge.answer_fields, judge.detector.card, judge.made)
        results = [(write_run(answers, folder, settings.export), folder)]
        if verdicts := verdicts_of(answers):
            results += run_controls(self.question_plan, out, answers.detector, verdicts, settings.export)
        controls = [*controls, *(result for result, _ in results[1:])]
        write_report(answers, results[0][0], folder / REPORT, controls, own_maps(judge.detector))
        return results

    def key(self, judge: Judge) -> Mapping[str, str]:
        """See `Job.key`."""
        return row_key(judge, self.dataset, questions="+".join(self.question_plan.protocol.questions))

    def current(self, known: Mapping[str, Answer], workers: int) -> list[Answer]:
        """See `Job.current`."""
        return current_answers(self.question_plan, known, workers)

    def errors_pass(self, detector: Detector) -> bool:
        """See `Job.errors_pass`."""
        return ExplainerClient(detector).errors_pass

    def ask(
        self, judge: Judge, missing: set[str], held: Sequence[Answer], settings: Settings
    ) -> Iterator[list[Answer]]:
        """See `Job.ask`; an image is decoded once for all its questions."""
        client = ExplainerClient(judge.detector)
        wanted: dict[str, list[Question]] = {}
        for question in self.question_plan.questions:
            if question.id in missing:
                wanted.setdefault(question.frame, []).append(question)
        pairs = [(self.question_plan.frames[frame], questions) for frame, questions in wanted.items()]
        # A frame has one score, even if a run was stopped between two questions about it.
        scores: dict[str, float | None] = {row.frame: row.score for row in held if row.score is not None}
        if not client.scored:
            unknown = [frame for frame, _ in pairs if frame.id not in scores]
            scores |= self._scores(judge, unknown, settings)
        return judge.engine.each(Asking(self.dataset.adapter, scores), [*in_calls(pairs, client.at_once)])

    def report(self, name: str, rows: Sequence[Answer]) -> None:
        """Also log how many answers came with a remark."""
        super().report(name, rows)
        remarked = [row for row in rows if row.status == "ok" and row.message]
        if remarked:
            first = remarked[0]
            found = (name, len(remarked), len(rows), first.question, first.message)
            log.info("%s: %d of %d answers have remarks, first '%s' (%s)", *found)

    def _scores(self, judge: Judge, frames: Sequence[Frame], settings: Settings) -> dict[str, float | None]:
        """Return the detector's own P(fake) of each frame, None if it gives no score."""
        work = Predicting(judge.name, self.dataset.adapter, settings.batch_size, settings.workers)
        found: dict[str, float | None] = {}
        with progress_bar(f"{judge.name}: P(fake)", len(frames)) as advance:
            for rows in judge.engine.each(work, work.groups(frames)):
                found |= {row.frame: row.score for row in rows}
                advance(len(rows))
        return found
