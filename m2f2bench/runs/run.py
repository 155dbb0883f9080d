"""Running: plan, predict and score detectors on datasets under protocols."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cards.corpora import shared_line
from ..cards.folders import DEFAULT_SUITE, DETECTION, EXPLANATION, HEATMAPS
from ..cards.models import AnyProtocol, DatasetCard, DetectorCard, LeaderboardCard
from ..core.arguments import checked
from ..core.cluster import cluster_of, connected
from ..core.errors import CardError, NothingJudged, near
from ..core.files import make_folder
from ..core.notebook import data_frame
from ..core.patterns import is_pattern
from ..core.shards import Shard
from ..datasets.base import Adapter
from ..datasets.calls import close_adapter
from ..datasets.dataset import Dataset
from ..datasets.scenes import announce
from ..faces.crops import CropCard
from ..faces.find import DEFAULT as FINDER
from ..faces.find import FaceFinder
from ..faces.wanted import LARGEST, Wanted
from ..heatmaps.judging import How, judging
from ..heatmaps.mapping import mapping_detector
from ..loading import any_protocol, detector_card, load_dataset, load_leaderboard
from ..results.result import Result
from ..results.stored import read_stored
from ..training.curves import RECORD
from .answers import AnswersJob, check_export
from .detection import DetectionJob
from .heatmaps_job import HeatMapsJob
from .job import Job, Settings
from .train import train
from .trainings import trainings_at, trainings_in

if TYPE_CHECKING:
    import pandas as pd

    from ..leaderboards.board import Board

log = logging.getLogger("m2f2bench")
JOBS: dict[str, type[Job[Any]]] = {DETECTION: DetectionJob, EXPLANATION: AnswersJob, HEATMAPS: HeatMapsJob}
"""The job of each task, in the order in which a detector runs them."""


class Results(list[Result]):
    """A list of results that shows itself as a leaderboard in a notebook.

    `compare`, `plot` and `leaderboard` take it as they take the folder of the runs.
    """

    def __init__(
        self, results: Iterable[Result] = (), card: LeaderboardCard | None = None, seeds: bool = False
    ) -> None:
        """Take results; `card` orders the table's columns, else there is a column per dataset and protocol.

        With `seeds` the board has one row for a detector with several trainings.
        """
        super().__init__(results)
        self.card, self.seeds = card, seeds
        self.folders: list[Path] = []
        """Where each result and its rows were written."""

    def add_all(self, pairs: Iterable[tuple[Result, Path]]) -> None:
        """Add results with their folders."""
        for result, folder in pairs:
            self.append(result.keep(folder))
            self.folders.append(folder)

    def board(self) -> Board:
        """Return the leaderboard, computed with the rows of these runs."""
        from ..leaderboards.board import build_board

        return build_board(read_stored(self.folders), self.card, seeds=self.seeds)

    def table(self, format: str = "md") -> str:
        """Return the leaderboard as `md`, `csv`, `tex`, `html` or `json` text."""
        from ..leaderboards.render import render

        return render(self.board(), format)

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows of `Result.to_pandas` of all results: one for each group and metric."""
        return data_frame(row for result in self for row in result.rows())

    def _repr_html_(self) -> str:
        return self.board()._repr_html_() if self.folders else ""

    def _repr_markdown_(self) -> str:
        return self.table("md") if self.folders else ""


@checked
def run(
    suite: str | None = None,
    *,
    detectors: Sequence[str | DetectorCard | Any] | str = (),
    datasets: Sequence[str | DatasetCard | Adapter] | str = (),
    protocols: Sequence[str | AnyProtocol] | str = (),
    split: str = "test",
    limit: int | None = None,
    out: str | Path | None = None,
    batch_size: int = 32,
    workers: int = 0,
    device: str = "auto",
    export: str | None = None,
    cam: str = "",
    cam_layer: str = "",
    crop: str | Path | CropCard | None = None,
    finder: str | FaceFinder = FINDER,
    faces: str = LARGEST,
    shard: str | None = None,
    engine: str = "local",
    gpus_per_worker: float | None = None,
    address: str | None = None,
    precision: str | None = None,
) -> Results:
    """Judge datasets with detectors under protocols and write one folder a run under `out`.

    Each of `detectors`, `datasets`, `protocols` is a name, a path, `file.py:Class`, a card, an object, or a list of
    them; `protocols` defaults to `frame`. A `suite` (a leaderboard card) names them all and what to train first;
    it is `quickstart` if nothing is named. A pattern of the folders of trainings (`runs/seed*`) is one detector with
    several trainings: each is judged, with its own result, and the board has one row for their mean. Under an
    explanation protocol the detectors are asked its questions, and results of the controls are added. Under a heat-map
    protocol their maps are measured; `cam` replaces these by class activation maps (`gradcam`, …; see `detectors.cam`)
    at `cam_layer`, and is added to the detectors' names. An
    interrupted run continues where it stopped: rows on disk are not predicted again. With `crop` (the
    name of a crop's card, such as m2f2det) faces are found by `finder` in datasets that show scenes, and the crops of
    `faces` (the `largest` of each video, `mask`: the forged one, or `all`) are judged. With `export` answers are also
    written in another form, see `answers.FORMS`. Raises M2F2BenchError; for a run in which nothing could be judged
    NothingJudged, after all other runs are written.

    `shard`, such as `2/4`, judges the second of four parts of each run, in whole videos, into a folder of its own, and
    returns no results: parts can be judged on several machines at once. `run` without it, when all are done, takes
    their rows and scores them; also what no shard has is judged then.

    `workers` are the threads that decode (0: one per core, at most eight). With `engine="ray"` they are the processes
    that judge, each with the detector, on the Ray cluster at `address` (None: the one of RAY_ADDRESS, or a new one on
    this machine); 0 is one for each GPU or, without any, each core. `gpus_per_worker` are the GPUs of each, or a share
    of one. The results are those of one process, whichever workers are lost on the way.

    `precision` is the arithmetic of torch networks: fp32, which is exact, tf32 (NVIDIA GPUs), bf16 or fp16; None: that
    of a detector's card. It is in the signature, and how far it moves P(fake) on the first batch is logged.
    """
    chosen, places, rules = _as_list(detectors), _as_list(datasets), _as_list(protocols)
    several = any(map(is_pattern, chosen))
    chosen = [own for one in chosen for own in (trainings_at(str(one)) if is_pattern(one) else [one])]
    if suite is None and not chosen and not places:
        suite = DEFAULT_SUITE
    part = None if shard is None else Shard.parse(shard)
    cluster = cluster_of(engine, workers, gpus_per_worker, address, threads=True)
    folder = Path(out) if out is not None else Path("runs") / (suite or "run")
    card: LeaderboardCard | None = None
    if suite is not None:
        card = load_leaderboard(suite)
        chosen, wanted = _suite(card, chosen, places, rules)
    else:
        wanted = [(place, rule, split) for place in places for rule in rules or ["frame"]]
        if not places or (not chosen and _needs_detectors(wanted)):
            missing = "--dataset" if chosen else "--detector"
            raise CardError(f"nothing to run: also give {missing}, or the name of a suite")
    named = [_named(one) for one in chosen]  # unknown names first
    cropped = Wanted.of(crop, finder, faces)
    jobs, opened = _plan(wanted, limit, cropped)
    _check_cam(cam, cam_layer, jobs)
    for job in jobs if not cam else [job for job in jobs if job.protocol.kind != HEATMAPS]:
        for name, own in named:
            job.check(name, own)
    check_export(export, any(job.protocol.kind == EXPLANATION for job in jobs))
    make_folder(folder)
    trained = _train_first(card, chosen, folder, device, cropped, part) if card else {}
    if card:
        log.info("%s: judging with %d detectors, %d runs each", card.name, len(chosen), len(jobs))
    how = How(device, cam, cam_layer, precision)
    settings = Settings(batch_size, 0 if cluster else workers, export, part)
    results = Results(card=card, seeds=several or (card is not None and any(step.seeds for step in card.train)))
    prepared = [[] if part else job.prepare(folder, settings) for job in jobs]
    names: set[str] = set()
    failed: list[NothingJudged] = []
    with connected(cluster):
        for reference in [own for one in chosen for own in trained.get(str(one), [one])]:
            detector = mapping_detector(reference, *how.here(cluster))
            if detector.card.name in names:
                raise CardError(f"two detectors are named '{detector.card.name}': rename one card, or run them apart")
            names.add(detector.card.name)
            _tell_shared(detector.card, jobs)
            with judging(detector, reference, how, cluster) as judge:
                for job, known in zip(jobs, prepared, strict=True):
                    try:
                        results.add_all(job.run(judge, folder, settings, [result for result, _ in known]))
                    except NothingJudged as error:
                        failed.append(error)
    for known in prepared:
        results.add_all(known)
    for dataset in opened:
        close_adapter(dataset.adapter)
    _refuse_failed(failed, results, folder)
    return results


def _tell_shared(card: DetectorCard, jobs: Sequence[Job[Any]]) -> None:
    """Log a line for each dataset whose people the detector has seen in another one; boards mark these numbers."""
    for line in dict.fromkeys(shared_line(card, job.dataset.card) for job in jobs):
        if line:
            log.info("%s", line)


def _refuse_failed(failed: Sequence[NothingJudged], results: Results, folder: Path) -> None:
    """Raise the error of the first run that judged nothing, after all others are written."""
    if failed:
        more = f" (and {len(failed) - 1} more runs)" if len(failed) > 1 else ""
        kept = f"; the other results are in '{folder}'" if results else ""
        raise NothingJudged(f"{failed[0]}{more}{kept}")


def _as_list(given: Any) -> list[Any]:
    """Return what was given as a list, with paths as texts."""
    listed = list(given) if isinstance(given, (list, tuple)) else [] if given is None else [given]
    return [str(one) if isinstance(one, Path) else one for one in listed]


def _suite(
    card: LeaderboardCard, chosen: list[Any], places: list[Any], rules: list[Any]
) -> tuple[list[Any], list[tuple[Any, Any, str]]]:
    """Return a suite's detectors and (dataset, protocol, split) triples, limited to those that were also named."""
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
    """Return whether a detector is required: under explanation protocols the controls answer without one."""
    return any(JOBS[any_protocol(rule).kind].needs_detector for _, rule, _ in wanted)


def _named(reference: Any) -> tuple[str, object]:
    """Return a detector's name, and its class or the object itself."""
    if isinstance(reference, (str, DetectorCard)):
        card, cls = detector_card(reference)
        return card.name, cls
    return type(reference).__qualname__, reference


def _check_cam(cam: str, layer: str, jobs: Sequence[Job[Any]]) -> None:
    """Raise CardError for class activation maps where no protocol is about heat maps."""
    if (cam or layer) and not any(job.protocol.kind == HEATMAPS for job in jobs):
        raise CardError(
            f"--cam{' ' + cam if cam else '-layer ' + layer} says how heat maps are made, and no protocol of this run "
            f"is about them: give --protocol localization, faithfulness, …"
        )


def _plan(
    wanted: list[tuple[Any, Any, str]], limit: int | None, cropped: Wanted
) -> tuple[list[Job[Any]], list[Dataset]]:
    """Return all jobs, and the datasets that they read. Missing data is found before a model is loaded."""
    datasets: dict[str, Dataset] = {}

    def opened(place: Any) -> Dataset:
        key = place if isinstance(place, str) else str(id(place))
        if key not in datasets:
            datasets[key] = cropped.on(load_dataset(place))
            _refuse_namesake(datasets, key)
        return datasets[key]

    jobs: list[Job[Any]] = []
    rules: dict[str, AnyProtocol] = {}
    done: set[tuple[str, str, str]] = set()
    told: dict[str, set[str]] = {}
    for place, rule, split in wanted:
        protocol = any_protocol(rule)
        if rules.setdefault(protocol.name, protocol) != protocol:
            raise CardError(f"two protocols are named '{protocol.name}': rename one card, or run them apart")
        dataset = opened(place)
        name = (dataset.name, protocol.name, split)
        if name not in done:
            done.add(name)
            job = JOBS[protocol.kind].plan(opened, place, protocol, split, limit)
            jobs.append(job)
            if split not in told.setdefault(dataset.name, set()):
                announce(dataset, split, job.pictures(), scenes=not told[dataset.name])
                told[dataset.name].add(split)
    return sorted(jobs, key=lambda job: list(JOBS).index(job.protocol.kind)), list(datasets.values())


def _refuse_namesake(datasets: dict[str, Dataset], key: str) -> None:
    """Raise CardError, naming both, if a dataset has the name of another one that was opened before."""
    new = datasets[key]
    for other, known in datasets.items():
        if other != key and known.name == new.name and _place(known) != _place(new):
            raise CardError(
                f"two datasets are named '{new.name}': {_label(other, known)} and {_label(key, new)}; give one of them "
                f"another name (a card with `name` and `root`), or run them apart with another --out"
            )


def _place(dataset: Dataset) -> tuple[Any, ...]:
    """Return what distinguishes a dataset from another of its name."""
    adapter = dataset.adapter
    root = None if adapter.root is None else adapter.root.expanduser().resolve()
    return dataset.card.model_copy(update={"root": None}), type(adapter), root, adapter.options


def _label(key: str, dataset: Dataset) -> str:
    """Return a dataset as the user named it, with its folder."""
    root, adapter = dataset.adapter.root, type(dataset.adapter).__qualname__
    named = key if not key.isdigit() else f"an object of {adapter}"
    return f"'{named}'" + (f" in '{root}'" if root is not None and str(root) not in named else "")


def _train_first(
    card: LeaderboardCard, chosen: list[Any], folder: Path, device: str, cropped: Wanted, part: Shard | None
) -> dict[str, list[str | DetectorCard]]:
    """Carry out a suite's training steps for the chosen detectors; a name → folders or cards of the trained ones.

    Raises CardError in a shard if one is not trained yet: all shards would train it.
    """
    trained: dict[str, list[str | DetectorCard]] = {}
    for step in card.train:
        if step.detector not in chosen:
            continue
        place = folder / "trained" / step.detector
        for own in [place / f"seed{seed}" for seed in step.seeds] or [place]:
            if part is not None and not (own / RECORD).is_file():
                raise CardError(
                    f"'{own}' is not trained yet, and shards do not train: first run '{card.name}' once without "
                    f"--shard, such as with --limit 1, which trains all"
                )
        log.info("%s: training %s on %s, unless it is already trained", card.name, step.detector, step.dataset)
        how: dict[str, Any] = {"crop": cropped.crop, "finder": cropped.finder, "faces": cropped.rule}
        how |= step.model_dump(include={"quick", "size", "precision"}) | {"resume": True, "device": device}
        if not step.seeds:
            train(step.detector, step.dataset, out=place, **how)
            trained[step.detector] = [str(place)]
            continue
        folders = [place / f"seed{seed}" for seed in step.seeds]  # others may lie there from an older card
        for seed, own in zip(step.seeds, folders, strict=True):
            train(step.detector, step.dataset, out=own, seed=seed, **how)
        trained[step.detector] = list(trainings_in(folders, f"{place}/seed*"))
    return trained
