"""Output that several commands have in common: text and JSON without what a terminal takes for a command."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import typer

from ..core.errors import StoreError
from ..core.files import write_json, write_text
from ..core.text import UNSEEN, in_one_line, visible

LONGEST = 2000
"""Largest number of characters in a message."""


def echo_json(data: Any) -> None:
    """Print as indented JSON; JSON escapes replace characters that a terminal would take for a command."""
    text = json.dumps(data, indent=1, ensure_ascii=False)
    typer.echo(UNSEEN.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text))


def say(text: str, nl: bool = True) -> None:
    """Print text; escapes replace characters that a terminal would take for a command."""
    typer.echo(visible(text, keep="\n\t"), nl=nl)


def show(text: str, signatures: bool = True) -> None:
    """Print Markdown that ends in a newline: as it is, or, in a terminal, as tables that fit.

    In a terminal a last line says how to see signatures if the text is without them.
    """
    if not in_terminal():
        say(text, nl=False)
        return
    from rich.console import Console

    from .terminal import show as render

    console = Console(highlight=False)
    render(visible(text, keep="\n"), console)
    if not signatures:
        console.print("\n--signatures shows how each number was measured.", style="dim")


def say_wrapped(text: str) -> None:
    """Print text; in a terminal, lines that are too long for it are wrapped and indented."""
    if in_terminal():
        from .terminal import folded

        text = "\n".join(part for line in text.split("\n") for part in folded(line, line_width(), " " * 26))
    say(text)


def in_terminal() -> bool:
    """Return whether results are read in a terminal, not in a file or by another program."""
    return sys.stdout.isatty()


def line_width() -> int:
    """Return the characters of a line of the terminal; 80 if it is unknown."""
    return shutil.get_terminal_size().columns


def with_signatures(wanted: bool | None) -> bool:
    """Return whether to print signatures; by default only where the output is kept, in a file or a pipe."""
    return not in_terminal() if wanted is None else wanted


def require_report_ending(out: Path | None) -> None:
    """Raise StoreError for a report's file that is neither JSON nor Markdown."""
    if out is not None and out.suffix not in (".json", ".md"):
        raise StoreError(f"--out {out}: its name must end in .json or .md")


def print_report(report: Any, out: Path | None, as_json: bool, **kept: Any) -> None:
    """Print a report, and write it to `out` if given; `kept` are arguments of `to_json` for the file."""
    if out is not None and out.suffix == ".json":
        write_json(out, report.to_json(**kept))
    elif out is not None:
        write_text(out, report.markdown())
    if as_json:
        echo_json(report.to_json())
        return
    show(report.markdown())
    if out is not None:
        say(f"\nwrote {out}")


def one_line(text: str) -> str:
    """Return a message as one line of at most about LONGEST characters, without what a terminal takes for a command."""
    line = in_one_line(text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} … {line[-LONGEST // 2 :]}"
