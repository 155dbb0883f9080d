"""Options that several subcommands share."""

from __future__ import annotations

import json
import os
from typing import Annotated, Any

import typer

from ..cards.settings import DEVICES
from ..core.text import UNSEEN, in_one_line, visible

CardsOption = Annotated[
    str | None,
    typer.Option("--cards", metavar="DIR", help="Folder with detectors/, datasets/, metrics/ of your own."),
]
DataOption = Annotated[
    str | None, typer.Option("--data", metavar="DIR", help="Folder that holds the datasets (M2F2BENCH_DATA).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ColumnOption = Annotated[list[str] | None, typer.Option("--column", metavar="OURS=THEIRS", help="Map a column's name.")]
LONGEST = 2000
"""Characters of a message."""
OwnMetricOption = Annotated[
    list[str] | None,
    typer.Option(
        "--metric", "-m", metavar="FILE.py:NAME", help="A metric of your own that the results have. Repeatable."
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help=f"{DEVICES}.")]


def settle(cards: str | None = None, data: str | None = None) -> None:
    """Hand --cards and --data on as the environment variables they stand for, to child processes too."""
    from ..cards.models import CARDS_VARIABLE, DATA_VARIABLE

    for value, variable in ((cards, CARDS_VARIABLE), (data, DATA_VARIABLE)):
        if value is not None:
            os.environ[variable] = value


def load_own(metrics: list[str] | None) -> None:
    """Load the metrics that --metric names, where it only makes them known."""
    if metrics:
        from ..loading import load_metrics

        load_metrics(metrics)


def mapping(pairs: list[str] | None) -> dict[str, str]:
    """What --column says: our name → the file's. Raises ScoreError."""
    from ..core.errors import ScoreError

    found = {}
    for pair in pairs or []:
        ours, sign, theirs = pair.partition("=")
        if not sign or not theirs:
            raise ScoreError(f"--column {pair}: write it as OURS=THEIRS, for instance id=image")
        found[ours] = theirs
    return found


def echo_json(data: Any) -> None:
    """Print as indented JSON; what a terminal would take for a command stands as one of JSON's own escapes."""
    text = json.dumps(data, indent=1, ensure_ascii=False)
    typer.echo(UNSEEN.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text))


def say(text: str, nl: bool = True) -> None:
    """Print for people: what a terminal would take for a command stands as an escape."""
    typer.echo(visible(text, keep="\n\t"), nl=nl)


def one_line(text: str) -> str:
    """A message as it is printed: one line, without what a terminal would take for a command, cut where it is long."""
    line = in_one_line(text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} … {line[-LONGEST // 2 :]}"
