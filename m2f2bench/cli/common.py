"""Options that several subcommands share."""

from __future__ import annotations

import json
import os
from typing import Annotated, Any

import typer

CardsOption = Annotated[
    str | None,
    typer.Option("--cards", metavar="DIR", help="Folder with detectors/, datasets/, metrics/ of your own."),
]
DataOption = Annotated[
    str | None, typer.Option("--data", metavar="DIR", help="Folder that holds the datasets (M2F2BENCH_DATA).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")]


def settle(cards: str | None = None, data: str | None = None) -> None:
    """Hand --cards and --data on as the environment variables they stand for, to child processes too."""
    from ..cards import CARDS_VARIABLE, DATA_VARIABLE

    for value, variable in ((cards, CARDS_VARIABLE), (data, DATA_VARIABLE)):
        if value is not None:
            os.environ[variable] = value


def echo_json(data: Any) -> None:
    """Print as indented JSON."""
    typer.echo(json.dumps(data, indent=1, ensure_ascii=False))
