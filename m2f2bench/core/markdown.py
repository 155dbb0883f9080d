"""Markdown that is also readable as plain text: aligned tables, escaped text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .text import in_one_line, visible

LONGEST = 400
"""Characters of a cell."""


def table(lines: Sequence[Sequence[str]], left: int = 1, right: Sequence[bool] | None = None) -> str:
    """Return a table, `lines` being its heading and rows; it ends in a newline.

    Columns after the first `left` are aligned to the right, or, if given, those where `right` is true.
    """
    right = right if right is not None else [i >= left for i in range(len(lines[0]))]
    cells = [[escaped(cell) for cell in line] for line in lines]
    widths = [max(1 + set_right, *(len(line[i]) for line in cells)) for i, set_right in enumerate(right)]

    def row(values: Sequence[str]) -> str:
        padded = [v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right, strict=True)]
        return f"| {' | '.join(padded)} |\n"

    rule = ["-" * (w - 1) + ":" if r else "-" * w for w, r in zip(widths, right, strict=True)]
    return row(cells[0]) + f"| {' | '.join(rule)} |\n" + "".join(row(line) for line in cells[1:])


def escaped(text: str) -> str:
    """Return a text in one line, escaped so that it makes no link and no tag and ends no table cell."""
    line = visible(" ".join(text.split("\n")))
    line = line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
    return re.sub(r"(\\*)\|", r"\1\1\|", line).replace("<", "&lt;").replace("](", "]\\(")


def name(text: str) -> str:
    """Return a user's name without Markdown for bold or code; the cell or line around it is escaped as well."""
    return text.replace("*", "&#42;").replace("`", "&#96;")


def code(text: str) -> str:
    """Return a text as a code span; nothing in the text can end the span."""
    return f"`{in_one_line(text.replace('`', chr(39)))}`"


def letter(number: int) -> str:
    """Return the mark of footnote `number`, from 0: a … z, aa, ab …"""
    head, last = divmod(number, 26)
    return (letter(head - 1) if head else "") + chr(97 + last)
