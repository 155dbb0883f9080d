"""The commands `score`, `compare` and `leaderboard`: from stored rows and results to numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import (
    CardsOption,
    ColumnOption,
    DataOption,
    JsonOption,
    OwnMetricOption,
    echo_json,
    load_own,
    mapping,
    say,
    settle,
)

if TYPE_CHECKING:
    from ..results.result import Result
    from ..scoring.source import Source

FormatOption = Annotated[
    str | None, typer.Option("--format", help="md, csv, tex, html or json. Default: the ending of --out, else md.")
]


def score(
    file: Annotated[
        list[Path],
        typer.Argument(
            help="CSV, TSV, JSONL, Parquet of id,label,score; JSONL of question id and text; a run's folder."
        ),
    ],
    protocol: Annotated[
        str | None, typer.Option("--protocol", "-p", help="Default: that of the run; for a file: frame.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", "-s", help="Check that the rows are this dataset's frames.")
    ] = None,
    split: Annotated[str, typer.Option("--split")] = "test",
    column: ColumnOption = None,
    validation: Annotated[
        Path | None,
        typer.Option("--validation", help="Rows to choose the threshold on, if the protocol needs them."),
    ] = None,
    together: Annotated[bool, typer.Option("--together", help="Answers: all files are of one explainer.")] = False,
    name: Annotated[str | None, typer.Option("--name", help="Name of the detector. Default: the file's name.")] = None,
    controls: Annotated[
        bool | None,
        typer.Option(
            "--controls/--no-controls",
            help="Answers: also score controls that do not see the image. Default: yes, but no with --json.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Answers: write a folder for each explainer here.")] = None,
    metric: OwnMetricOption = None,
    cards: CardsOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score stored rows or answers from any source, without a model."""
    settle(cards, data)
    load_own(metric)
    from ..cards.models import EXPLANATION
    from ..core.errors import ScoreError
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
        raise ScoreError(
            "--together, --controls and --out are only for answers to questions, but these are rows of P(fake)"
        )
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
    _print_results(results, results, as_json)


def _print_results(results: Sequence[Result], described: Sequence[Result], as_json: bool) -> None:
    """Print results as JSON, or as a table if there are several, and a description of some of them."""
    from ..leaderboards.render import table_markdown
    from ..leaderboards.report import describe_result
    from ..leaderboards.table import build_table

    if as_json:
        objects = [result.to_json() for result in results]
        echo_json(objects[0] if len(objects) == 1 else objects)
        return
    if len(results) > 1:
        say(table_markdown(build_table(results)))
    say("\n".join(describe_result(result) for result in described), nl=False)


def _score_answers(files: list[list[Path]], source: Source, out: Path | None, controls: bool, as_json: bool) -> None:
    """Score answers, a list of files for each explainer, and those of controls if wanted."""
    from ..runs.answers import score_files
    from ..scoring.answers import load_answers

    evidence = [load_answers(*own, source=source) for own in files]
    results = score_files(evidence, out, controls)
    _print_results(results, results[: len(evidence)], as_json)
    if out is not None and not as_json:
        say(f"\nwritten to {out}: a folder for each")


def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Two or more runs (folders, or files of rows); or one folder with many runs.")
    ],
    protocol: Annotated[str | None, typer.Option("--protocol", "-p", help="Default: that of the runs.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "-s")] = None,
    split: Annotated[str, typer.Option("--split")] = "test",
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", "-m", help="Name or FILE.py:NAME. Default for two runs: all; for more: the first."),
    ] = None,
    methods: Annotated[
        bool,
        typer.Option("--methods", help="Also by manipulation, with the average; of answers: also for real and fake."),
    ] = False,
    against: Annotated[str, typer.Option("--against", metavar="NAME", help="Only pairs with this detector.")] = "",
    column: ColumnOption = None,
    cards: CardsOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare detectors by paired tests on the same frames: which is better, and is it more than noise?"""
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
        raise ScoreError("--protocol, --dataset and --column need two or more runs: name each of them")
    else:
        found = comparer.compare_folder(runs[0], metrics, against)
    if as_json:
        objects = [comparison.to_json() for comparison in found]
        echo_json(objects[0] if len(runs) > 1 else objects)
        return
    say("\n".join(describe_comparison(one, metrics, methods) for one in found), nl=False)


def leaderboard(
    places: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME|DIR]...", help="A leaderboard card, or folders with results.")
    ] = None,
    format: FormatOption = None,
    published: Annotated[
        bool, typer.Option("--with-published", help="Also published figures of others, in a separate section.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write here instead of printing.")] = None,
    metric: OwnMetricOption = None,
    cards: CardsOption = None,
) -> None:
    """Make a leaderboard from stored results."""
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
