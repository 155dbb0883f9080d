"""The command `plot`: figures for papers from stored rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import CardsOption, ColumnOption, DataOption, mapping, say, settle


def plot(
    kind: Annotated[str, typer.Argument(help="roc, pr, reliability, histogram, methods, ranks or curves.")],
    places: Annotated[
        list[Path],
        typer.Argument(
            metavar="PLACE...",
            help="Runs (folders, or files of rows) or a folder of runs; ranks: results; curves: trainings.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The figure: .png, .pdf or .svg.")],
    protocol: Annotated[str | None, typer.Option("--protocol", "-p", help="Default: that of the runs.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "-s")] = None,
    split: Annotated[str | None, typer.Option("--split")] = None,
    group: Annotated[
        str, typer.Option("--group", metavar="METHOD|average", help="Draw one manipulation, or the mean of all.")
    ] = "",
    metric: Annotated[
        str | None, typer.Option("--metric", "-m", help="For methods, ranks (AUC), curves (losses).")
    ] = None,
    log_x: Annotated[bool, typer.Option("--log-x", help="Logarithmic false positive rate.")] = False,
    bands: Annotated[bool, typer.Option("--bands/--no-bands", help="Intervals around the curves.")] = True,
    width: Annotated[str, typer.Option("--width", help="single (3.4 in) or double (7 in).")] = "single",
    title: Annotated[str, typer.Option("--title")] = "",
    column: ColumnOption = None,
    cards: CardsOption = None,
    data: DataOption = None,
) -> None:
    """Draw ROC or precision-recall curves, reliability, scores, manipulations, ranks, or training curves."""
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
