"""`run`, `score`, `leaderboard`: from detectors and rows to numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import (
    CardsOption,
    ColumnOption,
    DataOption,
    DeviceOption,
    JsonOption,
    OwnMetricOption,
    echo_json,
    load_own,
    mapping,
    say,
    settle,
)

if TYPE_CHECKING:
    from ..scoring.source import Source

FormatOption = Annotated[
    str | None, typer.Option("--format", help="md, csv, tex, html or json. Default: what --out ends in, else md.")
]


def run(
    suite: Annotated[str | None, typer.Argument(help="A leaderboard card to run as a suite.")] = None,
    detector: Annotated[list[str] | None, typer.Option("--detector", "-d", help="Name, card or file.py:Class.")] = None,
    dataset: Annotated[list[str] | None, typer.Option("--dataset", "-s", help="Name, card or folder.")] = None,
    protocol: Annotated[list[str] | None, typer.Option("--protocol", "-p", help="Default: frame.")] = None,
    split: Annotated[str, typer.Option("--split")] = "test",
    limit: Annotated[int | None, typer.Option("--limit", help="Judge only N frames, evenly spread.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Default: runs/SUITE or runs/run.")] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1)] = 32,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Decoding threads; 0: one per core.")] = 0,
    export: Annotated[
        str | None, typer.Option("--export", metavar="m2f2", help="Also write answers as M2F2-Det's output files.")
    ] = None,
    device: DeviceOption = "auto",
    cards: CardsOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge datasets with detectors, print the leaderboard, write a folder per run. Goes on where it was cut off."""
    settle(cards, data)
    from ..leaderboards.publish import describe_run, write_board
    from ..runs.run import DEFAULT_SUITE
    from ..runs.run import run as run_bench

    if suite is None and not detector and not dataset:
        suite = DEFAULT_SUITE
    folder = out or Path("runs") / (Path(suite).stem if suite else "run")
    results = run_bench(
        suite,
        detectors=detector or (),
        datasets=dataset or (),
        protocols=protocol or (),
        split=split,
        limit=limit,
        out=folder,
        batch_size=batch_size,
        workers=workers,
        device=device,
        export=export,
    )
    board = results.board()
    files = write_board(board, folder)
    if as_json:
        echo_json([result.to_json() for result in results])
    else:
        say(describe_run(board, results, folder, files))


def score(
    file: Annotated[
        list[Path],
        typer.Argument(
            help="CSV, TSV, JSONL, Parquet of id,label,score; JSONL of question id and text; a run's folder."
        ),
    ],
    protocol: Annotated[
        str | None, typer.Option("--protocol", "-p", help="Default: the run's own, for a file: frame.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", "-s", help="Hold the rows against this dataset's frames.")
    ] = None,
    split: Annotated[str, typer.Option("--split")] = "test",
    column: ColumnOption = None,
    validation: Annotated[
        Path | None,
        typer.Option("--validation", help="Rows that a threshold is picked on, where the protocol does so."),
    ] = None,
    together: Annotated[
        bool, typer.Option("--together", help="Answers: the files are one explainer's and complete each other.")
    ] = False,
    name: Annotated[
        str | None, typer.Option("--name", help="Whose rows or answers they are. Default: the file's.")
    ] = None,
    controls: Annotated[
        bool | None,
        typer.Option(
            "--controls/--no-controls",
            help="Answers: also those of controls that see no image. Default: not with --json.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Answers: write a run's folder for each here.")] = None,
    metric: OwnMetricOption = None,
    cards: CardsOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score rows or answers that are on disk, your own or anybody's, without a model."""
    settle(cards, data)
    load_own(metric)
    from ..cards.models import EXPLANATION
    from ..core.errors import ScoreError
    from ..leaderboards.render import table_markdown
    from ..leaderboards.report import describe_result
    from ..leaderboards.table import build_table
    from ..scoring.score import score as score_file
    from ..scoring.source import Source
    from ..scoring.tasks import task_at

    if task_at(file[0], protocol).name == EXPLANATION:
        _score_answers(
            [file] if together else [[path] for path in file],
            Source(protocol, dataset, split, name, mapping(column)),
            out,
            not as_json if controls is None else controls,
            as_json,
        )
        return
    if together or controls or out is not None:
        raise ScoreError("--together, --controls and --out are for answers to questions: these are rows of P(fake)")
    results = [
        score_file(
            path,
            protocol=protocol,
            dataset=dataset,
            split=split,
            detector=name,
            columns=mapping(column),
            validation=validation,
        )
        for path in file
    ]
    if as_json:
        objects = [result.to_json() for result in results]
        echo_json(objects[0] if len(objects) == 1 else objects)
        return
    if len(results) > 1:
        say(table_markdown(build_table(results)))
    say("\n".join(describe_result(result) for result in results), nl=False)


def _score_answers(files: list[list[Path]], source: Source, out: Path | None, controls: bool, as_json: bool) -> None:
    """Answers, a list of files an explainer, with the controls beside them."""
    from ..leaderboards.render import table_markdown
    from ..leaderboards.report import describe_result
    from ..leaderboards.table import build_table
    from ..runs.explainers import score_files
    from ..scoring.answers import load_answers

    evidence = [load_answers(*own, source=source) for own in files]
    results = score_files(evidence, out, controls)
    if as_json:
        objects = [result.to_json() for result in results]
        echo_json(objects[0] if len(objects) == 1 else objects)
        return
    if len(results) > 1:
        say(table_markdown(build_table(results)))
    say("\n".join(describe_result(result) for result in results[: len(evidence)]), nl=False)
    if out is not None:
        say(f"\nwritten to {out}: a folder for each")


def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Two runs or more (folders, or files of rows); or one folder with many runs.")
    ],
    protocol: Annotated[str | None, typer.Option("--protocol", "-p", help="Default: the runs' own.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "-s")] = None,
    split: Annotated[str, typer.Option("--split")] = "test",
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", "-m", help="Name or FILE.py:NAME. Of two runs: all; of more: the first."),
    ] = None,
    methods: Annotated[
        bool,
        typer.Option("--methods", help="Also by manipulation, and their average; of answers: real and fake apart."),
    ] = False,
    against: Annotated[str, typer.Option("--against", metavar="NAME", help="Only the pairs of this one.")] = "",
    column: ColumnOption = None,
    cards: CardsOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which detector is better, and whether by more than noise: paired tests on the same frames."""
    settle(cards, data)
    from ..core.errors import ScoreError
    from ..leaderboards.report import describe_comparison
    from ..loading import load_metrics
    from ..scoring import compare as comparer

    metrics = load_metrics(metric or ())
    if len(runs) > 1:
        found = [
            comparer.compare(
                *runs,
                protocol=protocol,
                dataset=dataset,
                split=split,
                columns=mapping(column),
                metrics=metrics,
                against=against,
            )
        ]
    elif protocol or dataset or column:
        raise ScoreError("--protocol, --dataset and --column go with two runs or more, named each")
    else:
        found = comparer.compare_folder(runs[0], metrics, against)
    if as_json:
        objects = [comparison.to_json() for comparison in found]
        echo_json(objects[0] if len(runs) > 1 else objects)
        return
    say("\n".join(describe_comparison(one, metrics, methods) for one in found), nl=False)


def leaderboard(
    places: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME|DIR]...", help="A leaderboard card, or folders of results.")
    ] = None,
    format: FormatOption = None,
    published: Annotated[
        bool, typer.Option("--with-published", help="Also others' published figures, in a section of their own.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write here instead of printing.")] = None,
    metric: OwnMetricOption = None,
    cards: CardsOption = None,
) -> None:
    """Make a table from results, without running anything."""
    settle(cards)
    load_own(metric)
    from ..core.files import write_text
    from ..leaderboards.publish import gather
    from ..leaderboards.render import render

    format = format or (out.suffix[1:] if out is not None and out.suffix else "md")
    text = render(gather(places or [], published), format)
    if out is None:
        say(text, nl=False)
    else:
        write_text(out, text)
        say(f"wrote {out}")
