"""The commands about how firm a number is: `multiverse`."""

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
