"""Options and output that several commands have in common."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ..cards.settings import DEVICES
from ..core.text import UNSEEN, in_one_line, visible

CardsOption = Annotated[
    str | None,
    typer.Option("--cards", metavar="DIR", help="Folder with your detectors/, datasets/, metrics/."),
]
DataOption = Annotated[
    str | None, typer.Option("--data", metavar="DIR", help="Folder that holds the datasets (M2F2BENCH_DATA).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ColumnOption = Annotated[
    list[str] | None, typer.Option("--column", metavar="OURS=THEIRS", help="Rename a column: our name=the file's name.")
]
CamOption = Annotated[
    str,
    typer.Option(
        "--cam",
        metavar="METHOD",
        help="Use class activation maps of a torch network instead of its own maps: gradcam, gradcam++, hirescam, "
        "xgradcam, layercam, eigencam, scorecam (slow).",
    ),
]
CamLayerOption = Annotated[
    str, typer.Option("--cam-layer", metavar="NAME", help="The network's layer for --cam. Default: its last map.")
]
LONGEST = 2000
"""Largest number of characters in a message."""
OwnMetricOption = Annotated[
    list[str] | None,
    typer.Option("--metric", "-m", metavar="FILE.py:NAME", help="A metric of yours that the results have. Repeatable."),
]
DeviceOption = Annotated[str, typer.Option("--device", help=f"{DEVICES}.")]


def settle(cards: str | None = None, data: str | None = None) -> None:
    """Set the environment variables of --cards and --data, so that child processes have them too."""
    from ..cards.models import CARDS_VARIABLE, DATA_VARIABLE

    for value, variable in ((cards, CARDS_VARIABLE), (data, DATA_VARIABLE)):
        if value is not None:
            os.environ[variable] = value


def load_own(metrics: list[str] | None) -> None:
    """Load the metrics of --metric, for commands that only need to know them."""
    if metrics:
        from ..loading import load_metrics

        load_metrics(metrics)


def mapping(pairs: list[str] | None) -> dict[str, str]:
    """Return --column as our name → the file's. Raises ScoreError."""
    from ..core.errors import ScoreError

    found = {}
    for pair in pairs or []:
        ours, sign, theirs = pair.partition("=")
        if not sign or not theirs:
            raise ScoreError(f"--column {pair}: write OURS=THEIRS, for example id=image")
        found[ours] = theirs
    return found


def echo_json(data: Any) -> None:
    """Print as indented JSON; JSON escapes replace characters that a terminal would take for a command."""
    text = json.dumps(data, indent=1, ensure_ascii=False)
    typer.echo(UNSEEN.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text))


def say(text: str, nl: bool = True) -> None:
    """Print text; escapes replace characters that a terminal would take for a command."""
    typer.echo(visible(text, keep="\n\t"), nl=nl)


def require_report_ending(out: Path | None) -> None:
    """Raise StoreError for a report's file that is neither JSON nor Markdown."""
    from ..core.errors import StoreError

    if out is not None and out.suffix not in (".json", ".md"):
        raise StoreError(f"--out {out}: its name must end in .json or .md")


def print_report(report: Any, out: Path | None, as_json: bool, **kept: Any) -> None:
    """Print a report, and write it to `out` if given; `kept` are arguments of `to_json` for the file."""
    from ..core.files import write_json, write_text

    if out is not None and out.suffix == ".json":
        write_json(out, report.to_json(**kept))
    elif out is not None:
        write_text(out, report.markdown())
    if as_json:
        echo_json(report.to_json())
        return
    say(report.markdown(), nl=False)
    if out is not None:
        say(f"\nwrote {out}")


def one_line(text: str) -> str:
    """Return a message as one line of at most about LONGEST characters, without what a terminal takes for a command."""
    line = in_one_line(text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} … {line[-LONGEST // 2 :]}"
