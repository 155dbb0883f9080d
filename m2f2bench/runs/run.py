"""Plan → predict → score: the main job. (Not named `run`, so that `m2f2bench.run` can be the function.)"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cards.models import DatasetCard, DetectorCard, ExplanationCard, LeaderboardCard, ProtocolCard
from ..core.errors import CardError, DataError, NothingJudged, near
from ..core.files import make_folder, write_json
from ..core.progress import progress_bar
from ..core.records import Frame, Prediction
from ..core.rows import Rows, from_predictions
from ..datasets.base import Adapter
from ..datasets.dataset import Dataset
from ..datasets.listing import close_adapter
from ..datasets.planning import plan_frames
from ..detectors.keys import Judge, identify_judge, row_key
from ..loading import any_protocol, detector_card, load_dataset, load_detector, load_leaderboard
from ..results.result import Result
from ..results.store import RESULT, PredictionStore
from ..results.stored import VALIDATION_SUFFIX, of_detector, read_stored, run_name, stored_at
from ..scoring.answers import Asked, ask
from ..scoring.detection import Origin, gather
from ..scoring.score import score_evidence
from . import explainers as answerer
from . import predict as local
from .ask import refuse_mute
from .export import check_export
from .resuming import current_rows
from .steadiness import unsteady
from .train import train

if TYPE_CHECKING:
    from ..leaderboards.board import Board

log = logging.getLogger("m2f2bench")
DEFAULT_SUITE = "quickstart"


class Results(list[Result]):
    """A list of results that shows itself as a leaderboard in a notebook."""

    def __init__(self, results: Iterable[Result] = (), card: LeaderboardCard | None = None) -> None:
        """`card` orders the table's columns; without one there is a column per dataset and protocol."""
        super().__init__(results)
        self.card = card
        self.folders: list[Path] = []
        """Where each result and its rows were written."""

    def add(self, result: Result, folder: Path) -> None:
        """One more result with its folder."""
        self.append(result)
        self.folders.append(folder)

    def add_all(self, pairs: Iterable[tuple[Result, Path]]) -> None:
        """More results with their folders."""
        for result, folder in pairs:
            self.add(result, folder)

    def board(self) -> Board:
        """The leaderboard, with what the rows of these runs say of it."""
        from ..leaderboards.board import build_board

        return build_board(read_stored(self.folders), self.card)

    def table(self, format: str = "md") -> str:
        """The leaderboard as `md`, `csv`, `tex`, `html` or `json` text."""
        from ..leaderboards.render import render

        return render(self.board(), format)

    def _repr_markdown_(self) -> str:
        return self.table("md")


@dataclass(frozen=True)
class Plan:
    """One run: what is judged, under what, where it is written."""

    dataset: Dataset
    protocol: ProtocolCard
    split: str
    frames: list[Frame]
    limit: int | None
    validation: Plan | None = None
    """The plan of the rows that the protocol's threshold is picked on."""

    def folder(self, detector: str) -> str:
        """The name of the run's folder."""
        return run_name(detector, self.dataset.name, self.protocol.name, self.split, self.limit)


def run(
    suite: str | None = None,
    *,
    detectors: Sequence[str | DetectorCard | Any] | str = (),
    datasets: Sequence[str | DatasetCard | Adapter] | str = (),
    protocols: Sequence[str | ProtocolCard | ExplanationCard] | str = (),
    split: str = "test",
    limit: int | None = None,
    out: str | Path | None = None,
    batch_size: int = 32,
    workers: int = 0,
    device: str = "auto",
    export: str | None = None,
) -> Results:
    """Judge datasets with detectors under protocols and write one folder a run under `out`.

    Each of `detectors`, `datasets`, `protocols` is a name, a path, `file.py:Class`, a card, an object, or a list of
    them; `protocols` defaults to `frame`. A `suite` (a leaderboard card) names them all and what to train first;
    with nothing named it is `quickstart`. Under an explanation protocol the detectors are asked its questions, and the
    controls' answers stand beside theirs. A run that was cut off goes on where it stopped: what is on disk is not
    predicted again. With `export` answers are written in another form too, see `exporter.FORMS`. Raises M2F2BenchError,
    NothingJudged for a run in which nothing could be judged, once all others are written.
    """
    chosen, places, rules = _as_list(detectors), _as_list(datasets), _as_list(protocols)
    if suite is None and not chosen and not places:
        suite = DEFAULT_SUITE
    folder = Path(out) if out is not None else Path("runs") / (suite or "run")
    card: LeaderboardCard | None = None
    if suite is not None:
        card = load_leaderboard(suite)
        chosen, wanted = _suite(card, chosen, places, rules)
    else:
        wanted = [(place, rule, split) for place in places for rule in rules or ["frame"]]
        if not places or (not chosen and _needs_detectors(wanted)):
            missing = "--dataset" if chosen else "--detector"
            raise CardError(f"nothing to run: give {missing} as well, or the name of a suite")
    _check_detectors(chosen)
    plans, asked = _plans(wanted, limit)
    check_export(export, bool(asked))
    if asked:
        _refuse_mute(chosen)
    make_folder(folder)
    trained = _train_first(card, chosen, folder, device) if card else {}
    if card:
        log.info("%s: judging with %d detectors, %d runs each", card.name, len(chosen), len(plans) + len(asked))
    results = Results(card=card)
    controls = [answerer.run_controls(one, folder, export=export) for one in asked]
    seen: set[str] = set()
    failed: list[NothingJudged] = []
    for reference in chosen:
        detector = load_detector(trained.get(str(reference), reference), device)
        if detector.card.name in seen:
            raise CardError(f"two detectors are named '{detector.card.name}': rename one card, or run them apart")
        seen.add(detector.card.name)
        judge = identify_judge(detector)
        for plan in plans:
            try:
                result = run_one(judge, plan, folder, batch_size, workers)
            except NothingJudged as error:
                failed.append(error)
                continue
            results.add(result, folder / plan.folder(judge.name))
        for one, beside in zip(asked, controls, strict=True):
            known = [result for result, _ in beside]
            try:
                results.add_all(answerer.run_explainer(judge, one, folder, known, batch_size, workers, export))
            except NothingJudged as error:
                failed.append(error)
    for beside in controls:
        results.add_all(beside)
    for dataset in [*(plan.dataset for plan in plans), *(one.dataset for one in asked)]:
        close_adapter(dataset.adapter)
    _refuse_failed(failed, results, folder)
    return results


def _refuse_failed(failed: Sequence[NothingJudged], results: Results, folder: Path) -> None:
    """Raise the first run's error that judged nothing, once all others are written."""
    if failed:
        more = f" (and {len(failed) - 1} more such runs)" if len(failed) > 1 else ""
        kept = f"; the other results are in '{folder}'" if results else ""
        raise NothingJudged(f"{failed[0]}{more}{kept}")


def _as_list(given: Any) -> list[Any]:
    if isinstance(given, (list, tuple)):
        return list(given)
    return [] if given is None else [given]


def _suite(
    card: LeaderboardCard, chosen: list[Any], places: list[Any], rules: list[Any]
) -> tuple[list[Any], list[tuple[Any, Any, str]]]:
    """A suite's detectors and (dataset, protocol, split) triples, narrowed by what was also named."""
    wanted: list[tuple[Any, Any, str]] = []
    for column in card.columns:
        triple = (column.dataset, column.protocol, column.split)
        if triple in wanted or (places and column.dataset not in places) or (rules and column.protocol not in rules):
            continue
        wanted.append(triple)
    if not wanted:
        known = [c.dataset for c in card.columns]
        named = places + rules
        raise CardError(f"suite '{card.name}' has no column for {named}{near(str(named[0]), known)}")
    detectors = chosen or list(card.detectors)
    if not detectors and _needs_detectors(wanted):
        raise CardError(f"leaderboard '{card.name}' names no detectors: give --detector")
    return detectors, wanted


def _needs_detectors(wanted: list[tuple[Any, Any, str]]) -> bool:
    """Whether there is anything to do without one: under explanation protocols the controls answer."""
    return not all(isinstance(any_protocol(rule), ExplanationCard) for _, rule, _ in wanted)


def _check_detectors(chosen: list[Any]) -> None:
    """Find unknown names before any work is done."""
    for reference in chosen:
        if isinstance(reference, (str, DetectorCard)):
            detector_card(reference)


def _refuse_mute(chosen: list[Any]) -> None:
    """Find a detector that answers no questions before any work is done."""
    for reference in chosen:
        if isinstance(reference, (str, DetectorCard)):
            card, cls = detector_card(reference)
            refuse_mute(card.name, cls)


def _plans(wanted: list[tuple[Any, Any, str]], limit: int | None) -> tuple[list[Plan], list[Asked]]:
    """List the frames and questions of every run before a model is loaded: missing data is found at once."""
    datasets: dict[str, Dataset] = {}

    def opened(place: Any) -> Dataset:
        key = place if isinstance(place, str) else str(id(place))
        if key not in datasets:
            datasets[key] = load_dataset(place)
            _refuse_namesake(datasets, key)
        return datasets[key]

    def planned(place: Any, protocol: ProtocolCard, split: str, validation: Plan | None = None) -> Plan:
        dataset = opened(place)
        needs = f", on which protocol '{protocol.name}' picks its threshold" if split == "val" else ""
        dataset.check_split(split, needs)
        frames = plan_frames(dataset.adapter, split, protocol.frames, limit)
        return Plan(dataset, protocol, split, frames, limit, validation)

    plans, asked = [], []
    rules: dict[str, ProtocolCard | ExplanationCard] = {}
    done: set[tuple[str, str, str]] = set()
    for place, rule, split in wanted:
        protocol = any_protocol(rule)
        if rules.setdefault(protocol.name, protocol) != protocol:
            raise CardError(f"two protocols are named '{protocol.name}': rename one card, or run them apart")
        name = (opened(place).name, protocol.name, split)
        if name in done:
            continue
        done.add(name)
        if isinstance(protocol, ExplanationCard):
            asked.append(ask(opened(place), protocol, split, limit))
            continue
        validation = None
        if protocol.threshold.split == "val":
            validation = planned(protocol.threshold.dataset or place, protocol, "val")
        plans.append(planned(place, protocol, split, validation))
    return plans, asked


def _refuse_namesake(datasets: dict[str, Dataset], key: str) -> None:
    """Raise CardError where a dataset has the name of another one that was opened before; both are named."""
    new = datasets[key]
    for other, known in datasets.items():
        if other != key and known.name == new.name and _place(known) != _place(new):
            raise CardError(
                f"two datasets are named '{new.name}': {_told(other, known)} and {_told(key, new)}; give one of them "
                f"another name (a card with `name` and `root`), or run them apart with another --out"
            )


def _place(dataset: Dataset) -> tuple[Any, ...]:
    """What tells a dataset from another of its name."""
    adapter = dataset.adapter
    root = None if adapter.root is None else adapter.root.expanduser().resolve()
    return dataset.card, type(adapter), root, adapter.options


def _told(key: str, dataset: Dataset) -> str:
    """A dataset by what the user named and where it lies."""
    root, adapter = dataset.adapter.root, type(dataset.adapter).__qualname__
    named = key if not key.isdigit() else f"an object of {adapter}"
    return f"'{named}'" + (f" in '{root}'" if root is not None and str(root) not in named else "")


def _train_first(card: LeaderboardCard, chosen: list[Any], folder: Path, device: str) -> dict[str, str]:
    """Carry out a suite's training steps for the chosen detectors; a name → the folder of the trained detector."""
    trained = {}
    for step in card.train:
        if step.detector not in chosen:
            continue
        place = folder / "trained" / step.detector
        log.info("%s: training %s on %s, or taking what is trained already", card.name, step.detector, step.dataset)
        train(step.detector, step.dataset, out=place, resume=True, device=device)
        trained[step.detector] = str(place)
    return trained


def run_one(judge: Judge, plan: Plan, out: Path, batch_size: int = 32, workers: int = 0) -> Result:
    """Predict what is not on disk yet, score, and write `predictions.parquet` and `result.json`."""
    folder = out / plan.folder(judge.name)
    rows, warnings = _predict(judge, plan, folder, batch_size, workers)
    validation = None
    if plan.validation is not None:
        beside = folder.with_name(folder.name + VALIDATION_SUFFIX)
        validation, _ = _predict(judge, plan.validation, beside, batch_size, workers)
    result = make_result(judge, plan, rows, validation, warnings)
    for warning in result.warnings:
        log.warning("%s: %s", folder.name, warning)
    write_json(folder / RESULT, result.to_json())
    return result


def _warnings(
    judge: Judge, plan: Plan, folder: Path, rows: Mapping[str, Prediction], judged: int, batch_size: int
) -> tuple[str, ...]:
    """What is doubtful about the detector: found out where it judged anything now (`judged` frames), else as the
    last result of this run has it, or of one that its rows were taken from. Of one whose errors pass (an endpoint)
    nothing is asked twice."""
    beside = [folder, *sorted(folder.parent.glob(f"{judge.name}--{plan.dataset.name}--*"))]
    for place in beside if judged == 0 else ():
        with contextlib.suppress(DataError):  # it is written anew in any case
            known = stored_at(place)
            if known is not None:
                return of_detector(known.result.warnings)
    if getattr(judge.detector, "errors_pass", False):
        return ()
    scores = {name: row.score for name, row in rows.items() if row.score is not None}
    found = unsteady(judge.name, judge.detector, plan.dataset.adapter, plan.frames, scores, batch_size)
    return (found,) if found else ()


def _predict(judge: Judge, plan: Plan, folder: Path, batch_size: int, workers: int) -> tuple[Rows, tuple[str, ...]]:
    """A plan's rows, from disk as far as they are there and their frames are what they were, and what is doubtful."""
    name, dataset = judge.name, plan.dataset
    with PredictionStore(folder, row_key(judge, dataset)) as store:
        known = dict(store.rows)
        if any(frame.id not in known for frame in plan.frames):
            known = {**store.siblings(f"{name}--{dataset.name}"), **known}
        rows = current_rows(dataset, plan.frames, known, workers)
        store.append([row for row in rows if store.rows.get(row.frame) != row])
        passing = getattr(judge.detector, "errors_pass", False)
        done = {row.frame for row in rows if not (passing and row.status == "error")}
        wanted = [frame for frame in plan.frames if frame.id not in done]
        with store.kept(), progress_bar(folder.name, len(wanted)) as advance:
            for rows in local.predict(name, judge.detector, dataset.adapter, wanted, batch_size, workers):
                store.append(rows)
                advance(len(rows))
        warnings = _warnings(judge, plan, folder, store.rows, len(wanted), batch_size)
        finished = store.finish(frame.id for frame in plan.frames)
    _warn(folder.name, finished)
    return from_predictions(finished), warnings


def _warn(name: str, rows: Sequence[Prediction]) -> None:
    """Say how many frames have no score. Raises NothingJudged where none has one."""
    failed = [row for row in rows if row.status != "ok"]
    if failed:
        first = failed[0]
        if len(failed) == len(rows):
            raise NothingJudged.of(name, "frames", len(rows), first.frame, first.status, first.message)
        log.warning(
            "%s: %d of %d frames have no score, first '%s' (%s: %s)",
            name,
            len(failed),
            len(rows),
            first.frame,
            first.status,
            first.message,
        )


def make_result(
    judge: Judge, plan: Plan, rows: Rows, validation: Rows | None = None, warnings: tuple[str, ...] = ()
) -> Result:
    """Score the rows of a finished run; `validation` those that its threshold is picked on, `warnings` of the
    detector."""
    card, corpus = judge.detector.card, plan.dataset.card.corpus
    origin = Origin(plan.dataset.name, plan.split, plan.limit, judge.fields, card, judge.made, corpus, warnings)
    return score_evidence(gather(rows, plan.protocol, origin, validation))
