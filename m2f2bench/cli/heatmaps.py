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
    _print_report(report, out, as_json)


def _print_report(report: Localization | Faithfulness, out: Path | None, as_json: bool) -> None:
    """Print a report on heat maps, and write it to `out` if given."""
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
