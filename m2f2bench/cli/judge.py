"""`run`, `score`, `leaderboard`: from detectors and rows to numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import CardsOption, DataOption, DeviceOption, JsonOption, echo_json, settle

FormatOption = Annotated[str, typer.Option("--format", help="md, csv or json.")]


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
    device: DeviceOption = "auto",
    cards: CardsOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge datasets with detectors, print the leaderboard, write a folder per run. Goes on where it was cut off."""
    settle(cards, data)
    from ..leaderboard.publish import describe_run, write_board
    from ..runner import DEFAULT_SUITE
    from ..runner import run as run_bench

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
    )
    files = write_board(results, results.card, folder)
    if as_json:
        echo_json([result.to_json() for result in results])
    else:
        typer.echo(describe_run(results, results.card, folder, files))


def score(
    file: Annotated[list[Path], typer.Argument(help="CSV, JSONL or Parquet of id,label,score; or a run's folder.")],
    protocol: Annotated[str, typer.Option("--protocol", "-p")] = "frame",
    dataset: Annotated[
        str | None, typer.Option("--dataset", "-s", help="Hold the rows against this dataset's frames.")
    ] = None,
    split: Annotated[str, typer.Option("--split")] = "test",
    column: Annotated[
        list[str] | None, typer.Option("--column", metavar="OURS=THEIRS", help="Map a column's name.")
    ] = None,
    cards: CardsOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score rows that are on disk, your own or anybody's, without a model."""
    settle(cards, data)
    from ..errors import ScoreError
    from ..leaderboard.render import render
    from ..leaderboard.table import build_table, method_table
    from ..scorer import score as score_file

    mapping = {}
    for pair in column or []:
        ours, sign, theirs = pair.partition("=")
        if not sign or not theirs:
            raise ScoreError(f"--column {pair}: write it as OURS=THEIRS, for instance id=image")
        mapping[ours] = theirs
    results = [score_file(path, protocol=protocol, dataset=dataset, split=split, columns=mapping) for path in file]
    if as_json:
        objects = [result.to_json() for result in results]
        echo_json(objects[0] if len(objects) == 1 else objects)
        return
    typer.echo(render(build_table(results), "md"), nl=False)
    if any(len(result.methods) > 1 for result in results):
        typer.echo("\n" + render(method_table(results), "md"), nl=False)


def leaderboard(
    places: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME|DIR]...", help="A leaderboard card, or folders of results.")
    ] = None,
    format: FormatOption = "md",
    out: Annotated[Path | None, typer.Option("--out", help="Write here instead of printing.")] = None,
    cards: CardsOption = None,
) -> None:
    """Make a table from results, without running anything."""
    settle(cards)
    from ..files import write_text
    from ..leaderboard.publish import gather
    from ..leaderboard.render import render

    text = render(gather(places or []), format)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_text(out, text)
        typer.echo(f"wrote {out}")
