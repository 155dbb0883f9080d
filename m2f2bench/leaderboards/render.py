"""Boards as text: md, csv, json and LaTeX with booktabs; html by name; all of them in the folder of a run."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate, groupby, pairwise
from pathlib import Path
from typing import Any

from ..core import markdown
from ..core.errors import M2F2BenchError, near
from ..core.files import write_text
from ..core.text import visible
from ..metrics.registry import title
from ..results.result import Result
from .board import Board
from .html.page import to_html
from .published import DEVIATES, NOT_ITS_PAPER, Figure, figure_tables
from .table import Cell, Row, Table, TableColumn, legends, trainings_notes
from .text import coverage, format_score

BOARD = "leaderboard"
BEST_NOTE = "**bold**: better than every other of its column, by a paired test against each (p ≤ .05 in all)."
CONTROLS_NOTE = "No rank: controls answer without seeing the image. Only explainers are ranked."
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters of a cell that a spreadsheet takes for a formula."""
DROPS = re.compile(r"\|missing:[^|]*drop")
DROP_NOTE = (
    "Coverage below 1, and the protocol leaves out what has no score (`missing: drop`): "
    "a detector gains if it gives no output where it would be wrong."
)
CSV_COLUMNS = (
    *("rank", "detector", "trained_on", "dataset", "split", "protocol", "metric", "method"),
    *("value", "ci_low", "ci_high", "best", "n_real", "n_fake", "coverage", "frame_coverage"),
    *("in_domain", "reason", "trainings", "deviation", "signature"),
)
NAMED = {"\\": "backslash", "~": "asciitilde", "^": "asciicircum", "<": "less", ">": "greater", "|": "bar"}
NAMED |= {'"': "quotedbl", "'": "quotesingle", "`": "asciigrave"}
MATHS = {"≤": "le", "≥": "ge", "·": "cdot", "±": "pm", "×": "times"}
SPECIAL = {character: rf"\{character}" for character in "&%$#_{}"}
SPECIAL |= {character: rf"\text{name}{{}}" for character, name in NAMED.items()}
SPECIAL |= {character: rf"$\{name}$" for character, name in MATHS.items()}
SPECIAL |= {"[": "{[}", "]": "{]}", "–": "--", "—": "---", "†": r"\dag{}", "‡": r"\ddag{}"}
SPECIAL |= {"§": r"\S{}"}
"""LaTeX of the characters that mean something there, or that its standard fonts have under a name."""
FIT = r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\box0}\else\box0\fi"
"""Make the table smaller if it is wider than the page."""
WIDE = 32
"""Characters of a name in one line at most."""


def in_latex(text: str) -> str:
    """Return any text as LaTeX; a letter that standard fonts lack becomes its number."""
    return "".join(SPECIAL.get(c) or (c if " " <= c <= "~" else _other(c)) for c in text)


def _other(character: str) -> str:
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    if plain.strip():
        return "".join(SPECIAL.get(c, c) for c in plain)
    return " " if character.isspace() else rf"\texttt{{[U+{ord(character):04X}]}}"


def render(board: Board, format: str, signatures: bool = True) -> str:
    """Return the board as `md`, `csv`, `tex`, `html` or `json` text, which ends in a newline.

    Without `signatures` (md and tex alone) the table has no marks of columns and rows, and nothing below for them.
    Raises M2F2BenchError.
    """
    if format not in FORMATS:
        raise M2F2BenchError(f"unknown format '{format}'{near(format, FORMATS)}")
    if signatures:
        return FORMATS[format](board)
    if format not in BARE:
        raise M2F2BenchError(f"--no-signatures is for {' and '.join(BARE)}: a board as {format} keeps its signatures")
    return BARE[format](board)


def to_markdown(board: Board, signatures: bool = True) -> str:
    """Return the leaderboard's table, readable as plain text too, and the published figures if it has any.

    Above the table stands what the data tell apart.
    """
    few = "".join(f"\n{markdown.escaped(sentence)}\n" for sentence in board.few)
    return table_markdown(board.table, signatures, board.lead) + few + published_markdown(board.published)


def table_markdown(table: Table, signatures: bool = True, lead: Sequence[str] = ()) -> str:
    """Return a Markdown table, with sentences above it, and the signatures of its columns and rows below if wanted."""
    measures, ranked = table.signatures, table.ranked
    heads = [*(["#"] if ranked else []), "detector", "trained on"]
    marks = [f" [{measures.index(column.signature) + 1}]" * signatures for column in table.columns]
    heads += [markdown.name(column.title) + mark for column, mark in zip(table.columns, marks, strict=True)]
    lines = [heads]
    for number, row in enumerate(table.rows):
        rank = [str(row.rank) if row.rank is not None else "–"] if ranked else []
        name = markdown.name(row.detector) + f" [{markdown.letter(number)}]" * signatures
        trained = markdown.name(", ".join(row.trained_on))
        trained = " · ".join(part for part in (trained, row.trained) if part) or "–"
        lines.append([*rank, name, trained, *(_cell_text(cell) for cell in row.cells)])
    above = "".join(f"{markdown.escaped(sentence)}\n\n" for sentence in lead)
    text = f"## {markdown.escaped(table.title)}\n\n{above}{markdown.table(lines, 2 + ranked)}\n"
    for mark, what in legends(table).items():
        text += f"{mark} {what}\n\n"
    for note in trainings_notes(table):
        text += f"{note[0].upper()}{note[1:]}.\n\n"
    if any(cell.best for cell in table.cells):
        text += f"{BEST_NOTE}\n\n"
    if any(row.knows for row in table.rows):
        text += f"{CONTROLS_NOTE}\n\n"
    if any(cell.coverage < 1.0 and DROPS.search(cell.signature) for cell in table.cells):
        text += f"{DROP_NOTE}\n\n"
    if not signatures:
        return text.removesuffix("\n")
    text += "".join(f"- [{i}] {markdown.code(signature or 'no result')}\n" for i, signature in enumerate(measures, 1))
    return text + "".join(
        f"- [{markdown.letter(i)}] {markdown.code(row.signature)}\n" for i, row in enumerate(table.rows)
    )


def published_markdown(figures: Sequence[Figure]) -> str:
    """Return published figures, a table for each source and level; empty without any."""
    text = "\n## Published figures\n\nNot measured here; do not rank them with the table above.\n" if figures else ""
    for table in figure_tables(figures):
        first = table.first
        lines = [["detector", *(f"{dataset} · {title(metric)}" for dataset, metric in table.columns)]]
        for name, values in table.rows:
            lines.append([table.marked(name), *(f"{found[-1]:.4g}" if found else "–" for found in values)])
        text += f"\n### {markdown.escaped(first.source)}\n\n{markdown.table(lines)}\n"
        source = f"level: {first.level}; trained on: {first.trained_on}; checkpoint: {first.selection}; {first.where}"
        text += f"{visible(source)}\n" + (f"({visible(first.note)})\n" if first.note else "")
        if table.deviates:
            text += f"\n{DEVIATES} {NOT_ITS_PAPER}:\n\n"
            text += "".join(f"- {markdown.escaped(name)}: {visible(how)}\n" for name, how in table.deviates.items())
    return text


def _cell_text(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    if cell.score.value is None:
        return f"null ({cell.score.reason})"
    number, _, rest = format_score(cell.score).partition(" ")
    text = (f"**{number}**" if cell.best else number) + cell.mark + (f" {rest}" if rest else "")
    return text + (f" ({cell.covered})" if cell.covered else "")


def to_csv(board: Board) -> str:
    """Return one line for each cell: value, interval, counts, coverage, trainings, signature; no published figures."""
    table = board.table
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells, strict=True):
            place = [column.dataset, column.split, column.protocol, column.metric, column.method]
            head: list[Any] = [row.rank, row.detector, "+".join(row.trained_on), *place]
            if cell is None:
                writer.writerow(_cells([*head, *[""] * 9, "no result", "", "", ""]))
                continue
            score, ends = cell.score, cell.score.ci or (None, None)
            numbers = [score.value, *ends, int(cell.best), score.n_real, score.n_fake, cell.coverage]
            more = [cell.frame_coverage, int(cell.in_domain), score.reason or ""]
            more += [cell.trainings, score.deviation, cell.signature]
            writer.writerow(_cells([*head, *numbers, *more]))
    return out.getvalue()


def _cells(values: Sequence[Any]) -> list[Any]:
    """Return values for a spreadsheet, with an apostrophe before a text that it would take for a formula.

    The csv file is for people; the same board as JSON has the original names.
    """
    texts = [visible(value) if isinstance(value, str) else value for value in values]
    return [f"'{one}" if isinstance(one, str) and one.startswith(FORMULA) else one for one in texts]


def to_json(board: Board) -> str:
    """Return the board without its curves as one JSON object."""
    data = _table_json(board.table) | {
        "methods": [_table_json(table) for table in board.methods],
        "published": [figure.model_dump() for figure in board.published],
    }
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _table_json(table: Table) -> dict[str, Any]:
    return {
        "name": table.name,
        "title": table.title,
        "columns": [
            {key: getattr(column, key) for key in ("dataset", "split", "protocol", "metric")}
            | {"method": column.method or None, "signature": column.signature}
            for column in table.columns
        ],
        "rows": [
            {key: getattr(row, key) for key in ("rank", "detector", "trained_on", "signature")}
            | {"trainings": max(row.trainings, default=None), "cells": [_cell_json(cell) for cell in row.cells]}
            for row in table.rows
        ],
    }


def _cell_json(cell: Cell | None) -> dict[str, Any] | None:
    if cell is None:
        return None
    names = ("best", "coverage", "frame_coverage", "in_domain", "domain", "trainings", "signature")
    return cell.score.to_json() | {name: getattr(cell, name) for name in names}


def to_latex(board: Board, signatures: bool = True) -> str:
    r"""Return the table as a `table*` environment; needs \usepackage{booktabs,graphicx,textcomp}.

    Datasets are above the columns, intervals below the values to keep the table narrow. The signatures follow, with
    the numbers of the columns and the letters of the rows; without `signatures`, only what detectors were trained on,
    with a letter for each training set.
    """
    table = board.table
    measures, ranked = table.signatures, table.ranked
    left = "r" * ranked + "l"
    lines = [
        r"% needs \usepackage{booktabs,graphicx,textcomp}",
        r"\begin{table*}",
        r"\centering\small\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{in_latex(table.title)}. {_latex_legend(table)}}}",
        r"\setbox0=\hbox{%",
        rf"\begin{{tabular}}{{{left}{'c' * len(table.columns)}}}",
        r"\toprule",
        *_latex_heads(table.columns, measures if signatures else [], len(left)),
        r"\midrule",
    ]
    marks = _latex_marks(table.rows, signatures)
    for row, mark in zip(table.rows, marks, strict=True):
        rank = [str(row.rank) if row.rank is not None else "--"] if ranked else []
        name = _latex_name(row.detector) + mark + (rf" {{\scriptsize {row.trained}}}" if row.trained else "")
        lines.append(" & ".join([*rank, name, *(_latex_value(cell) for cell in row.cells)]) + r" \\")
        under = [_latex_interval(cell) for cell in row.cells]
        if any(under):
            lines.append(" & ".join([""] * len(left) + under).lstrip() + r" \\[2pt]")
    lines += [r"\bottomrule", r"\end{tabular}}%", FIT, "", r"\smallskip\raggedright\scriptsize"]
    if not signatures:
        sets = dict(zip(marks, (row.trained_on for row in table.rows), strict=True))
        trained = [rf"{mark} trained on: {in_latex(', '.join(seen))}\par" for mark, seen in sets.items() if seen]
        return "\n".join([*(lines if trained else lines[:-2]), *trained, r"\end{table*}"]) + "\n"
    lines += [rf"[{i}] {_latex_signature(signature)}\par" for i, signature in enumerate(measures, 1)]
    lines += [
        rf"{mark} {_latex_signature(row.signature)}; trained on: "
        rf"{in_latex(', '.join(row.trained_on) or 'nothing')}\par"
        for mark, row in zip(marks, table.rows, strict=True)
    ]
    return "\n".join([*lines, r"\end{table*}"]) + "\n"


def _latex_marks(rows: Sequence[Row], signatures: bool) -> list[str]:
    """Return each row's raised letter: its own or, without signatures, that of what it was trained on, if anything."""
    sets = list(dict.fromkeys(row.trained_on for row in rows if row.trained_on))
    letters = [
        markdown.letter(number if signatures else sets.index(row.trained_on)) if signatures or row.trained_on else ""
        for number, row in enumerate(rows)
    ]
    return [rf"\textsuperscript{{{letter}}}" if letter else "" for letter in letters]


def _latex_name(detector: str) -> str:
    """Return a detector's name; a long one is broken into lines."""
    if len(detector) <= WIDE:
        return in_latex(detector)
    pieces = (in_latex(piece) for piece in re.split(r"(?<=[-_. /])", detector))
    return rf"\parbox[t]{{4.5cm}}{{\raggedright {chr(92)}hspace{{0pt}}{(chr(92) + 'allowbreak{}').join(pieces)}}}"


def _latex_legend(table: Table) -> str:
    levels = {found[1] for column in table.columns if (found := re.search(r"\|ci:([\d.]+)%", column.signature))}
    share = rf"{levels.pop()}\% " if len(levels) == 1 else ""
    parts = [f"Values with {share}intervals" if any(cell.score.ci for cell in table.cells) else "Values"]
    if any(cell.best for cell in table.cells):
        parts.append(r"bold: better than every other of its column (a paired test against each, $p\le.05$ in all)")
    if any(row.knows for row in table.rows):
        parts.append("without a rank: controls, which see no image")
    parts += [in_latex(note) for note in trainings_notes(table)]
    short = {"†": r"\dag{}: in-domain", "‡": r"\ddag{}: in-domain, the same corpus in another form"}
    short["§"] = r"\S{}: in-domain by people, another corpus with some of the same"
    parts += [short[mark] for mark in legends(table)]
    return "; ".join(parts) + "."


def _latex_heads(columns: tuple[TableColumn, ...], measures: list[str], left: int) -> list[str]:
    """Return two lines of headings with a rule under each dataset; without `measures`, columns have no numbers."""
    groups = [(place, len(list(own))) for place, own in groupby(columns, key=lambda column: column.place)]
    first = "".join(
        [" & " * (left - 1)] + [rf" & \multicolumn{{{n}}}{{c}}{{{in_latex(place)}}}" for place, n in groups]
    )
    ends = list(accumulate((n for _, n in groups), initial=left))
    rules = [rf"\cmidrule(lr){{{before + 1}-{end}}}" for before, end in pairwise(ends)]
    short = [c.title.removeprefix(c.place).removeprefix(" · ") or c.metric_title for c in columns]
    marks = [f" [{measures.index(column.signature) + 1}]" if measures else "" for column in columns]
    names = [in_latex(name) + mark for name, mark in zip(short, marks, strict=True)]
    corner = ["\\#", "detector"] if left > 1 else ["detector"]
    return [first + r" \\", "".join(rules), " & ".join([*corner, *names]) + r" \\"]


def _latex_value(cell: Cell | None) -> str:
    if cell is None:
        return "--"
    if cell.score.value is None:
        return r"\textit{null}"
    text = f"{cell.score.value:.3f}".replace("-", "$-$")
    text = rf"\textbf{{{text}}}" if cell.best else text
    spread = "" if cell.score.deviation is None else rf"\,$\pm$\,{cell.score.deviation:.3f}"
    return text + spread + in_latex(cell.mark)


def _latex_interval(cell: Cell | None) -> str:
    if cell is None:
        return ""
    parts = [in_latex(cell.score.reason or "")] if cell.score.value is None else []
    if cell.score.ci:
        parts.append("[{:.3f}, {:.3f}]".format(*cell.score.ci).replace("-", "$-$"))
    if cell.covered:
        parts.append(cell.covered)
    return rf"{{\scriptsize {'; '.join(parts)}}}" if parts else ""


def _latex_signature(text: str) -> str:
    """Return a signature in typewriter type; a line may break after each field."""
    fields = [in_latex(field) for field in (text or "no result").split("|")]
    return r"\texttt{" + r"\textbar{}\allowbreak{}".join(fields) + "}"


FORMATS: dict[str, Callable[[Board], str]] = {
    "md": to_markdown,
    "csv": to_csv,
    "tex": to_latex,
    "html": to_html,
    "json": to_json,
}
BARE: dict[str, Callable[[Board], str]] = {
    "md": partial(to_markdown, signatures=False),
    "tex": partial(to_latex, signatures=False),
}
"""The formats that can leave signatures out."""


def write_board(board: Board, folder: Path) -> list[Path]:
    """Write a board into a run's folder in every format."""
    files = [folder / f"{BOARD}.{format}" for format in FORMATS]
    for path, format in zip(files, FORMATS, strict=True):
        write_text(path, render(board, format))
    return files


def describe_run(
    board: Board, results: Sequence[Result], folder: Path, files: Sequence[Path], signatures: bool = True
) -> str:
    """Return what `run` prints: the table, AUC by manipulation, coverage below 1, and the files."""
    parts = [table_markdown(table, signatures) for table in (board.table, *board.methods[:1])]
    for result in [one for one in results if min(one.coverage, one.frame_coverage or one.coverage) < 1.0]:
        parts.append(f"{result.detector} on {result.dataset} ({result.protocol}): coverage {coverage(result)}")
    parts.append(f"written to {folder}: {', '.join(path.name for path in files)}, and a folder for each run")
    return "\n".join(parts)
