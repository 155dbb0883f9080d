"""Markdown of this package as a terminal shows it: tables that fit its width, wrapped lines, bold type."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

GAP = 2
"""Spaces between two columns."""
NARROWEST = 40
"""Characters of a line that text is wrapped to, at least."""
NAME, SHORT_NAME = 28, 15
"""Characters of a name before it is wrapped in a table that is too wide; SHORT_NAME where names take half the line."""
JOINTS = re.compile(r"(?<=[-_@|/.,])")
"""Where a long word without spaces, such as a signature or a name, may be parted."""
RULE = re.compile(r"\|(?: :?-+:? \|)+")
CELLS = re.compile(r"(?<!\\)\|")
INTERVAL = re.compile(r" (?=[\[(])")
"""Where a number and its interval, or a note in brackets, part."""
CODE = re.compile(r"`([^`]*)`")
ENTITIES = {"&lt;": "<", "&#42;": "*", "&#96;": "`", "]\\(": "](", "\\|": "|"}
ONCE = ("trained on",)
"""Heads of columns that only the first part of a table has."""
Lines = list[list[str]]


def show(text: str, console: Console) -> None:
    """Print Markdown of this package: headings in bold, tables that fit, other lines wrapped."""
    from rich.text import Text

    width = max(console.width, NARROWEST)
    for block in _blocks(text):
        if isinstance(block, str):
            console.print(Text("\n").join(_wrapped(block, width)), soft_wrap=True)
        else:
            _show_table(*block, console, width)


def _blocks(text: str) -> Iterator[str | tuple[Lines, list[bool]]]:
    """Yield each line, and each table as (heading and rows, which columns are aligned to the right)."""
    lines = text.removesuffix("\n").split("\n")
    number = 0
    while number < len(lines):
        if number + 1 < len(lines) and lines[number].startswith("| ") and RULE.fullmatch(lines[number + 1]):
            end = number + 2
            while end < len(lines) and lines[end].startswith("| "):
                end += 1
            right = [cell.endswith(":") for cell in _cells(lines[number + 1])]
            yield [_cells(line) for line in [lines[number], *lines[number + 2 : end]]], right
            number = end
        else:
            yield lines[number]
            number += 1


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in CELLS.split(line)[1:-1]]


def _wrapped(line: str, width: int) -> list[Text]:
    """Return a line as lines of at most `width` characters; items of a list are indented, headings bold."""
    from rich.text import Text

    heading = re.match(r"#+ ", line)
    indent = "  " if line.startswith("- ") else ""
    plain = CODE.sub(r"\1", line[heading.end() :] if heading else line)
    if heading:
        return [Text(styled(part).plain, style="bold") for part in folded(plain, width)]
    found, is_bold = [], False
    for part in folded(plain, width, indent):
        found.append(styled(f"**{part}" if is_bold else part))
        is_bold ^= part.count("**") % 2 == 1
    return found


def folded(text: str, width: int, indent: str = "") -> list[str]:
    """Return a text as lines of at most `width` characters, all but the first with an indent.

    A word that is longer than a line is parted after a hyphen, a dot and the like, otherwise where the line ends.
    """
    words = text.lstrip(" ")
    lines = [" " * min(len(text) - len(words), len(indent))]
    for word in words.split(" "):
        room = width - len(indent)
        pieces = [word] if len(word) <= room else JOINTS.split(word)
        pieces = [piece[i : i + room] for piece in pieces for i in range(0, max(1, len(piece)), room)]
        for number, piece in enumerate(pieces):
            gap = "" if number or not lines[-1].strip() else " "
            if len(lines[-1]) + len(gap) + len(piece) <= width:
                lines[-1] += gap + piece
            else:
                lines.append(indent + piece)
    return lines


def styled(text: str) -> Text:
    """Return escaped Markdown in one line as text for a terminal, with **bold** in bold type."""
    from rich.text import Text

    found = Text()
    for number, part in enumerate(text.split("**")):
        for entity, character in ENTITIES.items():
            part = part.replace(entity, character)
        found.append(CODE.sub(r"\1", part), style="bold" if number % 2 else "")
    return found


def _show_table(lines: Lines, right: Sequence[bool], console: Console, width: int) -> None:
    """Print a table; one that is too wide gets lines within cells, and then is printed in parts."""
    natural = [max(_length(line[i]) for line in lines) for i in range(len(right))]
    if _total(natural) <= width:
        _print_part(lines, right, natural, console)
        return
    heads = right.index(True) if True in right else len(right)
    name = SHORT_NAME if _total([min(length, NAME) for length in natural[:heads]]) > width / 2 else NAME
    tall = [[_broken(cell, r, name) for cell, r in zip(line, right, strict=True)] for line in lines]
    least = [max(_least(line[i], right[i]) for line in tall) for i in range(len(right))]
    for number, columns in enumerate(_parts(lines[0], least, heads, width)):
        if number:
            console.print()
        wished = [max(_length(line[i]) for line in tall) if right[i] else natural[i] for i in columns]
        widths = _spread([least[i] for i in columns], wished, width)
        kept = [
            [
                tall[r][i] if right[i] else "\n".join(folded(line[i], size))
                for i, size in zip(columns, widths, strict=True)
            ]
            for r, line in enumerate(lines)
        ]
        _print_part(kept, [right[i] for i in columns], widths, console)


def _length(cell: str) -> int:
    from rich.cells import cell_len

    return max((cell_len(line) for line in styled(cell).plain.split("\n")), default=0)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _broken(cell: str, right: bool, name: int) -> str:
    """Return a number's cell with its interval, or a note in brackets, below it; a name's in lines of `name`."""
    return INTERVAL.sub("\n", cell).replace(" · ", "\n") if right else "\n".join(folded(cell, name))


def _least(cell: str, right: bool) -> int:
    """Return the width that a cell needs: that of its longest line, or, of numbers and their heads, longest word."""
    lines = cell.split("\n")
    return max(
        _length(piece) for line in lines for piece in ([line] if not right or line[:1] == "[" else line.split() or [""])
    )


def _parts(names: Sequence[str], least: Sequence[int], heads: int, width: int) -> list[list[int]]:
    """Return the numbers of the columns of each part; each part begins with the first `heads` columns.

    Later parts leave out those in ONCE. A column that is too wide is alone in its part.
    """
    first = list(range(heads))
    parts = [list(first)]
    for column in range(heads, len(least)):
        if _total([least[i] for i in [*parts[-1], column]]) > width and len(parts[-1]) > len(first):
            first = [i for i in first if names[i] not in ONCE]
            parts.append(list(first))
        parts[-1].append(column)
    return parts


def _spread(least: Sequence[int], wished: Sequence[int], width: int) -> list[int]:
    """Return the columns' widths: the least, and the rest of the line for those that wish for more."""
    widths = list(least)
    for i, wanted in enumerate(wished):
        widths[i] += max(0, min(wanted - widths[i], width - _total(widths)))
    return widths


def _print_part(lines: Lines, right: Sequence[bool], widths: Sequence[int], console: Console) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=0, collapse_padding=True, pad_edge=False, show_edge=False)
    for head, at_right, size in zip(lines[0], right, widths, strict=True):
        side: Literal["left", "right"] = "right" if at_right else "left"
        table.add_column(styled(head), justify=side, width=size, overflow="fold")
    for line in lines[1:]:
        table.add_row(*(styled(cell) for cell in line))
    console.print(table, soft_wrap=True)
