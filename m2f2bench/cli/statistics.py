"""The commands about how firm a number is: `multiverse` and `power`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from . import complete
from .options import (
    CardsOption,
    ColumnOption,
    DataOption,
    DatasetNamed,
    JsonOption,
    ProtocolNamed,
    SignaturesOption,
    SplitOption,
    mapping,
    settle,
)
from .output import print_report


def multiverse(
    runs: Annotated[
        list[Path],
        Argument(
            metavar="PLACE", help="Runs (folders, or files of rows) on the same frames, or a folder of such runs."
        ),
    ],
    protocol: Annotated[str | None, ProtocolNamed(help="Where to start from. Default: that of the first run.")] = None,
    dataset: Annotated[str | None, DatasetNamed(help="Default: that of the runs.")] = None,
    split: SplitOption = "test",
    metric: Annotated[
        list[str] | None,
        Option(
            "--metric",
            "-m",
            autocompletion=complete.metrics,
            help="Name or FILE.py:NAME. Default: AUC, and the protocol's first.",
        ),
    ] = None,
    out: Annotated[Path | None, Option(help="Also write the report here: .json or .md.")] = None,
    column: ColumnOption = None,
    signatures: SignaturesOption = None,
    cards: CardsOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how far a run's numbers, and the order of detectors, move with frames, level, aggregation, missing rule."""
    settle(cards, data)
    from ..loading import load_metrics
    from ..scoring.multiverse import multiverse as evaluate
    from .output import require_report_ending

    require_report_ending(out)
    report = evaluate(
        *runs,
        protocol=protocol,
        dataset=dataset,
        split=split,
        columns=mapping(column),
        metrics=load_metrics(metric or ()),
    )
    print_report(report, out, as_json, signatures)


def power(
    dataset: Annotated[str | None, DatasetNamed(help="Whose people, videos and frames are planned for.")] = None,
    rows: Annotated[
        list[Path] | None,
        Option(
            "--rows",
            metavar="PLACE",
            help="Rows of real detectors (runs or files, of this or another dataset), which say what scores have in "
            "common. Repeatable.",
        ),
    ] = None,
    split: SplitOption = "test",
    difference: Annotated[
        list[float] | None, Option("--difference", help="Wanted difference in AUC. Repeatable. Default: .01, .02, .05.")
    ] = None,
    auc: Annotated[
        float | None, Option(help="AUC of the better detector. Default: the mean of the rows', else .9.")
    ] = None,
    alike: Annotated[
        float | None,
        Option(help="Correlation of the two detectors' scores. Default: .6; of two --rows it is measured."),
    ] = None,
    person: Annotated[float, Option(help="Without rows: share of a score's variance that is the person's.")] = 0.4,
    video: Annotated[float, Option(help="Without rows: the further share that is the video's.")] = 0.3,
    out: Annotated[Path | None, Option(help="Also write the report here: .json or .md.")] = None,
    column: ColumnOption = None,
    cards: CardsOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which difference in AUC a dataset can show, and how many people and frames a wanted one needs."""
    settle(cards, data)
    from ..scoring.power import DIFFERENCES
    from ..scoring.power import power as plan
    from .output import require_report_ending

    require_report_ending(out)
    report = plan(
        *(rows or ()),
        dataset=dataset,
        split=split,
        differences=difference or DIFFERENCES,
        auc=auc,
        alike=alike,
        person=person,
        video=video,
        columns=mapping(column),
    )
    print_report(report, out, as_json, None)
