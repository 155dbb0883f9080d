"""Options that several commands have in common."""

from __future__ import annotations

import os
from typing import Annotated

from typer import Option

from ..cards.folders import CARDS_VARIABLE, DATA_VARIABLE, DEVICES
from ..core.errors import ScoreError
from ..core.memo import REDRAW_VARIABLE

CardsOption = Annotated[
    str | None, Option("--cards", metavar="DIR", help="Folder with your detectors/, datasets/, metrics/.")
]
DataOption = Annotated[
    str | None, Option("--data", metavar="DIR", help="Folder that holds the datasets (M2F2BENCH_DATA).")
]
JsonOption = Annotated[bool, Option("--json", help="Print JSON.")]
ColumnOption = Annotated[
    list[str] | None, Option("--column", metavar="OURS=THEIRS", help="Rename a column: our name=the file's name.")
]
CamOption = Annotated[
    str,
    Option(
        "--cam",
        metavar="METHOD",
        help="Use class activation maps of a torch network instead of its own maps: gradcam, gradcam++, hirescam, "
        "xgradcam, layercam, eigencam, scorecam (slow).",
    ),
]
CamLayerOption = Annotated[
    str, Option("--cam-layer", metavar="NAME", help="The network's layer for --cam. Default: its last map.")
]
OwnMetricOption = Annotated[
    list[str] | None,
    Option("--metric", "-m", metavar="FILE.py:NAME", help="A metric of yours that the results have. Repeatable."),
]
RedrawOption = Annotated[
    bool,
    Option("--redraw", help="Draw the synthetic faces on this machine, in place of those in the package."),
]
DeviceOption = Annotated[str, Option("--device", help=f"{DEVICES}.")]


def settle(
    cards: str | None = None, data: str | None = None, metrics: list[str] | None = None, redraw: bool = False
) -> None:
    """Set the variables of --cards, --data and --redraw, so that child processes have them too; load --metric."""
    for value, variable in ((cards, CARDS_VARIABLE), (data, DATA_VARIABLE), ("1" if redraw else None, REDRAW_VARIABLE)):
        if value is not None:
            os.environ[variable] = value
    if metrics:
        from ..loading import load_metrics

        load_metrics(metrics)


def mapping(pairs: list[str] | None) -> dict[str, str]:
    """Return --column as our name → the file's. Raises ScoreError."""
    found = {}
    for pair in pairs or []:
        ours, sign, theirs = pair.partition("=")
        if not sign or not theirs:
            raise ScoreError(f"--column {pair}: write OURS=THEIRS, for example id=image")
        found[ours] = theirs
    return found
