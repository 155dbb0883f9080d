"""The command `localize`: heat maps against true masks, or against the detector's own scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .common import (
    CamLayerOption,
    CamOption,
    CardsOption,
    DataOption,
    DeviceOption,
    JsonOption,
    print_report,
    require_report_ending,
    settle,
)


def localize(
    detector: Annotated[str, typer.Option("--detector", "-d", help="A detector that makes heat maps.")],
    dataset: Annotated[
        str,
        typer.Option("--dataset", "-s", help="A dataset with true masks, such as synthetic; any with --faithfulness."),
    ],
    split: Annotated[str, typer.Option("--split")] = "test",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only N frames, evenly spread.")] = None,
    cam: CamOption = "",
    cam_layer: CamLayerOption = "",
    faithfulness: Annotated[
        bool,
        typer.Option(
            "--faithfulness",
            help="Instead of masks: replace pixels in the order of the map and measure the score (deletion, insertion, "
            "drop). Needs hundreds of forward passes for a frame: see --limit.",
        ),
    ] = False,
    steps: Annotated[int, typer.Option("--steps", min=2, help="Steps of a deletion or insertion curve.")] = 20,
    area: Annotated[float, typer.Option("--area", help="Share of the picture to blur for the drop.")] = 0.1,
    out: Annotated[
        Path | None, typer.Option("--out", help="Also write the report: .json (with every frame) or .md.")
    ] = None,
    device: DeviceOption = "auto",
    cards: CardsOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare heat maps with true masks, or (--faithfulness) with the detector's own scores. Controls are included."""
    settle(cards, data)
    require_report_ending(out)
    more: dict[str, Any] = {"split": split, "limit": limit, "device": device, "cam": cam, "cam_layer": cam_layer}
    report: Any
    if faithfulness:
        from ..heatmaps.measurement import faithfulness as test

        report = test(detector, dataset, steps=steps, area=area, **more)
    else:
        from ..heatmaps.measurement import localize as measure

        report = measure(detector, dataset, **more)
    print_report(report, out, as_json, frames=True)
