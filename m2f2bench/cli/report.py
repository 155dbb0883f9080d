"""The command `report`: one explainer's answers as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import CardsOption, ColumnOption, DataOption, DeviceOption, mapping, say, settle


def report(
    file: Annotated[list[Path], typer.Argument(help="A run's folder, or files of answers of one explainer (JSONL).")],
    out: Annotated[Path, typer.Option("--out", help="The html file.")] = Path("report.html"),
    protocol: Annotated[str | None, typer.Option("--protocol", "-p", help="Default: that of the run.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "-s", help="Default: that of the run.")] = None,
    split: Annotated[str, typer.Option("--split")] = "test",
    name: Annotated[str | None, typer.Option("--name", help="Name of the explainer. Default: the file's name.")] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="Number of the worst answers, and of the best.")] = 24,
    controls: Annotated[bool, typer.Option("--controls/--no-controls", help="Also score controls.")] = True,
    detector: Annotated[
        str | None, typer.Option("--detector", "-d", help="Show heat maps of this detector: name, card or folder.")
    ] = None,
    cam: Annotated[
        str, typer.Option("--cam", help="Use class activation maps of --detector: gradcam, layercam, …")
    ] = "",
    column: ColumnOption = None,
    device: DeviceOption = "auto",
    cards: CardsOption = None,
    data: DataOption = None,
) -> None:
    """Write one html page: numbers, those of controls, and the worst and best answers with image and heat map."""
    settle(cards, data)
    from ..core.errors import ScoreError
    from ..heatmaps.mapping import HeatMapper, mapping_detector
    from ..reporting.report import write_report
    from ..runs.answers import score_files
    from ..scoring.answers import load_answers
    from ..scoring.source import Source

    if cam and detector is None:
        raise ScoreError(f"--cam {cam} needs a detector for the maps: give --detector too")
    maps = None if detector is None else HeatMapper(mapping_detector(detector, device, cam))
    evidence = load_answers(*file, source=Source(protocol, dataset, split, name, mapping(column)))
    result, *others = score_files([evidence], controls=controls)
    write_report(evidence, result, out, others, maps, count)
    say(f"wrote {out}")
