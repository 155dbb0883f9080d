"""The commands from stored rows and results: `score`, `compare`, `leaderboard`, `report` and `plot`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ..cards.folders import EXPLANATION, HEATMAPS
from ..core.errors import ScoreError
from ..core.files import write_text
from . import complete
from .options import (
    CardsOption,
    ColumnOption,
    DataOption,
    DatasetNamed,
    DetectorNamed,
    DeviceOption,
    JsonOption,
    MetricNamed,
    OwnMetricOption,
    ProtocolNamed,
    SeedsOption,
    SignaturesOption,
    SplitOption,
    mapping,
    settle,
)
from .output import echo_json, say, show, with_signatures

if TYPE_CHECKING:
    from ..results.result import Result
    from ..scoring.scored import Source


def score(
    file: Annotated[
        list[Path],
        Argument(
            metavar="PLACE",
            help="CSV, TSV, JSONL, Parquet of id,label,score; JSONL of question id and text; a run's folder; or "
            "'runs/x-seed*', one detector's trainings.",
        ),
    ],
    protocol: Annotated[
        str | None,
        ProtocolNamed(help="Default: that of the run; for a file: frame."),
    ] = None,
    dataset: Annotated[
        str | None,
        DatasetNamed(help="Check that the rows are this dataset's frames."),
    ] = None,
    split: SplitOption = "test",
    column: ColumnOption = None,
    validation: Annotated[
        Path | None, Option(help="Rows to choose the threshold on, if the protocol needs them.")
    ] = None,
    together: Annotated[bool, Option("--together", help="Answers: all files are of one explainer.")] = False,
    name: Annotated[str | None, Option(help="Name of the detector. Default: the file's name.")] = None,
    controls: Annotated[
        bool | None,
        Option(help="Answers: also score controls that do not see the image. Default: yes, but no with --json."),
    ] = None,
    seeds: SeedsOption = False,
    out: Annotated[Path | None, Option(help="Write a folder for each result here, like run.")] = None,
    metric: OwnMetricOption = None,
    signatures: SignaturesOption = None,
    cards: CardsOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score stored rows or answers from any source, without a model."""
    settle(cards, data, metrics=metric)
    from ..core.patterns import is_pattern
    from ..results.columns import narrowed, require_files
    from ..scoring.score import score as score_file
    from ..scoring.score import score_trainings
    from ..scoring.scored import Source
    from ..scoring.tasks import task_at

    columns = mapping(column)
    beside = [] if validation is None else [validation]
    if seeds or any(map(is_pattern, file)):
        if together or controls or name is not None:
            raise ScoreError("--together, --controls and --name are not for several trainings: leave them out")
        each, pooled = score_trainings(file, Source(protocol, dataset, split, None, columns, validation), seeds)
        _write(each, out)
        _print_results(pooled, pooled, as_json, with_signatures(signatures))
        _say_written(out, as_json)
        return
    require_files(columns, [*file, *beside])
    task = task_at(file[0], protocol).name
    if task == EXPLANATION:
        groups = [file] if together else [[path] for path in file]
        source = Source(protocol, dataset, split, name, columns)
        _score_answers(
            groups, source, out, not as_json if controls is None else controls, as_json, with_signatures(signatures)
        )
        return
    if together or controls:
        raise ScoreError("--together and --controls are only for answers to questions")
    if out is not None and task == HEATMAPS:
        raise ScoreError("--out is not for heat maps, whose run has its folder: leave it out")
    results = [
        score_file(
            path,
            protocol=protocol,
            dataset=dataset,
            split=split,
            detector=name,
            columns=narrowed(columns, [path, *beside]),
            validation=validation,
        )
        for path in file
    ]
    _write(results, out)
    _print_results(results, results, as_json, with_signatures(signatures))
    _say_written(out, as_json)


def _write(results: Sequence[Result], out: Path | None) -> None:
    if out is not None:
        from ..runs.detection import write_scored

        write_scored(results, out)


def _say_written(out: Path | None, as_json: bool) -> None:
    if out is not None and not as_json:
        say(f"\nwritten to {out}: a folder for each")


def _print_results(results: Sequence[Result], described: Sequence[Result], as_json: bool, signatures: bool) -> None:
    """Print results as JSON, or as a table if there are several, and a description of some of them."""
    from ..leaderboards.render import table_markdown
    from ..leaderboards.report import describe_result
    from ..leaderboards.table import build_table

    if as_json:
        objects = [result.to_json() for result in results]
        echo_json(objects[0] if len(objects) == 1 else objects)
        return
    if len(results) > 1:
        show(table_markdown(build_table(results), signatures) + "\n")
    show("\n".join(describe_result(result, signatures) for result in described), signatures)


def _score_answers(
    files: list[list[Path]], source: Source, out: Path | None, controls: bool, as_json: bool, signatures: bool
) -> None:
    """Score answers, a list of files for each explainer, and those of controls if wanted."""
    from ..runs.answers import score_files
    from ..scoring.answers import load_answers

    evidence = [load_answers(*own, source=source) for own in files]
    results = score_files(evidence, out, controls)
    _print_results(results, results[: len(evidence)], as_json, signatures)
    _say_written(out, as_json)


def compare(
    runs: Annotated[
        list[Path],
        Argument(
            metavar="PLACE",
            help="Two or more runs (folders, files of rows, or 'a-seed*', one detector's trainings); one folder with "
            "many runs; or one CSV of id, label and a column of scores for each detector.",
        ),
    ],
    protocol: Annotated[str | None, ProtocolNamed(help="Default: that of the runs.")] = None,
    dataset: Annotated[str | None, DatasetNamed(help="Default: that of the runs.")] = None,
    split: SplitOption = "test",
    metric: Annotated[
        list[str] | None,
        Option(
            "--metric",
            "-m",
            autocompletion=complete.metrics,
            help="Name or FILE.py:NAME. Default for two runs: all; for more: the primary one.",
        ),
    ] = None,
    methods: Annotated[
        bool, Option("--methods", help="Also by manipulation, with the average; of answers: also for real and fake.")
    ] = False,
    against: Annotated[str, Option(metavar="NAME", help="Only pairs with this detector.")] = "",
    seeds: SeedsOption = False,
    margin: Annotated[
        float | None,
        Option(help="The largest difference that does not matter: also test equivalence within it, and no worse."),
    ] = None,
    column: ColumnOption = None,
    signatures: SignaturesOption = None,
    cards: CardsOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare detectors by paired tests on the same frames: which is better, and is it more than noise?"""
    settle(cards, data)
    from ..core.patterns import is_pattern
    from ..leaderboards.report import describe_comparison
    from ..loading import load_metrics
    from ..results.read_rows import SUFFIXES
    from ..scoring import compare as comparer
    from ..scoring.comparison import Comparisons

    metrics = load_metrics(metric or ())
    one_file = len(runs) == 1 and (runs[0].suffix in SUFFIXES or is_pattern(runs[0]))
    found: Comparisons
    if len(runs) > 1 or one_file:
        source: dict[str, Any] = {"protocol": protocol, "dataset": dataset, "split": split, "columns": mapping(column)}
        source |= {"metrics": metrics, "against": against, "seeds": seeds, "margin": margin}
        found = Comparisons([comparer.compare(*runs, **source)])
    elif protocol or dataset or column:
        raise ScoreError("--protocol, --dataset and --column need two or more runs, or one CSV: name each of them")
    else:
        found = comparer.compare_folder(runs[0], metrics, against, seeds, margin)
    if as_json:
        echo_json(found[0].to_json() if len(runs) > 1 or one_file else found.to_json())
        return
    printed = with_signatures(signatures)
    texts = [describe_comparison(one, metrics, methods, printed) for one in found]
    texts += [one.markdown() for one in found.over_datasets]
    show("\n".join(texts), printed)


def leaderboard(
    places: Annotated[
        list[str] | None,
        Argument(
            metavar="NAME|DIR", autocompletion=complete.boards, help="A leaderboard card, or folders with results."
        ),
    ] = None,
    format: Annotated[
        str | None,
        Option(
            autocompletion=complete.words(complete.FORMATS),
            help="md, csv, tex, html or json. Default: the ending of --out, else md.",
        ),
    ] = None,
    published: Annotated[
        bool, Option("--with-published", help="Also published figures of others, in a separate section.")
    ] = False,
    seeds: SeedsOption = False,
    out: Annotated[Path | None, Option(help="Write here instead of printing.")] = None,
    metric: OwnMetricOption = None,
    signatures: SignaturesOption = None,
    cards: CardsOption = None,
) -> None:
    """Make a leaderboard from stored results."""
    settle(cards, metrics=metric)
    from ..leaderboards.board import gather
    from ..leaderboards.render import render

    if format is None and out is not None and out.suffix[1:] not in ("", *complete.FORMATS):
        endings = ", ".join(f".{one}" for one in complete.FORMATS)
        raise ScoreError(f"--out {out}: its name must end in one of {endings}, or give --format")
    format = format or (out.suffix[1:] if out is not None and out.suffix else "md")
    read_here = out is None and format == "md"  # what is kept, or read by programs, has its signatures
    kept = with_signatures(signatures) if read_here else signatures is not False
    text = render(gather(places or [], published, seeds=seeds), format, kept)
    if read_here:
        show(text, kept)
    elif out is None:
        say(text, nl=False)
    else:
        write_text(out, text)
        say(f"wrote {out}")


def report(
    file: Annotated[
        list[Path], Argument(metavar="PLACE", help="A run's folder, or files of answers of one explainer (JSONL).")
    ],
    out: Annotated[Path, Option(help="The html file.")] = Path("report.html"),
    protocol: Annotated[str | None, ProtocolNamed(help="Default: that of the run.")] = None,
    dataset: Annotated[str | None, DatasetNamed(help="Default: that of the run.")] = None,
    split: SplitOption = "test",
    name: Annotated[str | None, Option(help="Name of the explainer. Default: the file's name.")] = None,
    count: Annotated[int, Option(min=1, help="Number of the worst answers, and of the best.")] = 24,
    controls: Annotated[bool, Option(help="Also score controls.")] = True,
    detector: Annotated[
        str | None,
        DetectorNamed(help="Show heat maps of this detector: name, card or folder."),
    ] = None,
    cam: Annotated[str, Option(help="Use class activation maps of --detector: gradcam, layercam, …")] = "",
    column: ColumnOption = None,
    device: DeviceOption = "auto",
    cards: CardsOption = None,
    data: DataOption = None,
) -> None:
    """Write one html page: numbers, those of controls, and the worst and best answers with image and heat map."""
    settle(cards, data)
    from ..heatmaps.mapping import HeatMapper, mapping_detector
    from ..reporting.pages.explanation import write_report
    from ..runs.answers import score_files
    from ..scoring.answers import load_answers
    from ..scoring.scored import Source

    if cam and detector is None:
        raise ScoreError(f"--cam {cam} needs a detector for the maps: give --detector too")
    if out.suffix.lower() not in (".html", ".htm"):
        raise ScoreError(f"--out {out}: its name must end in .html")
    evidence = load_answers(*file, source=Source(protocol, dataset, split, name, mapping(column)))
    maps = None if detector is None else HeatMapper(mapping_detector(detector, device, cam))
    result, *others = score_files([evidence], controls=controls)
    write_report(evidence, result, out, others, maps, count)
    say(f"wrote {out}")


def plot(
    kind: Annotated[
        str,
        Argument(
            metavar="KIND",
            autocompletion=complete.words(complete.FIGURES),
            help="roc, pr, reliability, histogram, methods, multiverse, ranks or curves.",
        ),
    ],
    places: Annotated[
        list[Path],
        Argument(
            metavar="PLACE",
            help="Runs (folders, or files of rows) or a folder of runs; ranks: results; curves: trainings.",
        ),
    ],
    out: Annotated[Path, Option(help="The figure: .png, .pdf or .svg.")],
    protocol: Annotated[str | None, ProtocolNamed(help="Default: that of the runs.")] = None,
    dataset: Annotated[str | None, DatasetNamed(help="Default: that of the runs.")] = None,
    split: Annotated[str | None, Option(help="Default: that of the runs.")] = None,
    group: Annotated[str, Option(metavar="METHOD|average", help="Draw one manipulation, or the mean of all.")] = "",
    metric: Annotated[
        str | None,
        MetricNamed(help="For methods, multiverse, ranks (AUC), curves (losses)."),
    ] = None,
    log_x: Annotated[bool, Option("--log-x", help="Logarithmic false positive rate.")] = False,
    bands: Annotated[bool, Option(help="Intervals around the curves.")] = True,
    width: Annotated[str, Option(help="single (3.4 in) or double (7 in).")] = "single",
    title: Annotated[str, Option(help="Title of the figure.")] = "",
    column: ColumnOption = None,
    cards: CardsOption = None,
    data: DataOption = None,
) -> None:
    """Draw ROC or precision-recall curves, reliability, scores, manipulations, choices, ranks, or training curves."""
    settle(cards, data)
    from ..reporting.figures import plot as plotter

    written = plotter.plot(
        kind,
        *places,
        out=out,
        protocol=protocol,
        dataset=dataset,
        split=split,
        columns=mapping(column),
        group=group,
        log_x=log_x,
        bands=bands,
        metric=metric,
        width=width,
        title=title,
    )
    say(f"wrote {written}")
