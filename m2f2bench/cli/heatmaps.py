"""The command `localize`: heat maps against true masks, or against the detector's own scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import CamLayerOption, CamOption, CardsOption, DataOption, DeviceOption, JsonOption, echo_json, say, settle

if TYPE_CHECKING:
    from ..heatmaps.faithfulness_report import Faithfulness
    from ..heatmaps.localization_report import Localization


def localize(
    detector: Annotated[str, typer.Option("--detector", "-d", help="One that makes heat maps.")],
    dataset: Annotated[
        str, typer.Option("--dataset", "-s", help="One with true masks, such as synthetic; with --faithfulness any.")
    ],
    split: Annotated[str, typer.Option("--split")] = "test",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only N frames, evenly spread.")] = None,
    cam: CamOption = "",
    cam_layer: CamLayerOption = "",
    faithfulness: Annotated[
        bool,
        typer.Option(
            "--faithfulness",
            help="Instead of masks: replace pixels in the map's order and watch the score (deletion, insertion, drop). "
            "Hundreds of forward passes a frame: see --limit.",
        ),
    ] = False,
    steps: Annotated[int, typer.Option("--steps", min=2, help="Of a deletion or insertion curve.")] = 20,
    area: Annotated[float, typer.Option("--area", help="Share of the picture that is blurred for the drop.")] = 0.1,
    out: Annotated[
        Path | None, typer.Option("--out", help="Also write the report: .json (with every frame) or .md.")
    ] = None,
    device: DeviceOption = "auto",
    cards: CardsOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold a detector's heat maps against true masks, or with --faithfulness against its own scores; and controls."""
    settle(cards, data)
    from ..core.errors import StoreError

    if out is not None and out.suffix not in (".json", ".md"):
        raise StoreError(f"--out {out}: its name must end in .json or .md")
    report: Localization | Faithfulness
    more: dict[str, Any] = {"split": split, "limit": limit, "device": device, "cam": cam, "cam_layer": cam_layer}
    if faithfulness:
        from ..heatmaps.faithfulness import faithfulness as test

        report = test(detector, dataset, steps=steps, area=area, **more)
    else:
        from ..heatmaps.localize import localize as hold

        report = hold(detector, dataset, **more)
    _tell(report, out, as_json)


def _tell(report: Localization | Faithfulness, out: Path | None, as_json: bool) -> None:
    """Print a report of heat maps, and write it where asked."""
    from ..core.files import write_json, write_text

    if out is not None and out.suffix == ".json":
        write_json(out, report.to_json(frames=True))
    elif out is not None:
        write_text(out, report.markdown())
    if as_json:
        echo_json(report.to_json())
        return
    say(report.markdown(), nl=False)
    if out is not None:
        say(f"\nwrote {out}")
