"""Leaderboard table for a paper: LaTeX with booktabs."""

from __future__ import annotations

import re
import unicodedata
from itertools import accumulate, groupby, pairwise

from ..core.markdown import letter
from .board import Board
from .table import Cell, Table, TableColumn, legends

NAMED = {"\\": "backslash", "~": "asciitilde", "^": "asciicircum", "<": "less", ">": "greater", "|": "bar"}
NAMED |= {'"': "quotedbl", "'": "quotesingle", "`": "asciigrave"}
MATHS = {"≤": "le", "≥": "ge", "·": "cdot", "±": "pm", "×": "times"}
SPECIAL = {character: rf"\{character}" for character in "&%$#_{}"}
SPECIAL |= {character: rf"\text{name}{{}}" for character, name in NAMED.items()}
SPECIAL |= {character: rf"$\{name}$" for character, name in MATHS.items()}
SPECIAL |= {"[": "{[}", "]": "{]}", "–": "--", "—": "---", "†": r"\dag{}", "‡": r"\ddag{}"}
"""LaTeX of the characters that mean something there, or that its standard fonts have under a name."""
FIT = r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\box0}\else\box0\fi"
"""Make the table smaller if it is wider than the page."""
WIDE = 32
"""Characters of a name in one line at most."""


def escaped(text: str) -> str:
    """Return any text as LaTeX; a letter that standard fonts lack becomes its number."""
    return "".join(SPECIAL.get(c) or (c if " " <= c <= "~" else _other(c)) for c in text)


def _other(character: str) -> str:
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    if plain.strip():
        return "".join(SPECIAL.get(c, c) for c in plain)
    return " " if character.isspace() else rf"\texttt{{[U+{ord(character):04X}]}}"


def to_latex(board: Board) -> str:
    r"""Return the table as a `table*` environment; needs \usepackage{booktabs,graphicx,textcomp}.

    Datasets are above the columns, intervals below the values to keep the table narrow. The signatures follow, with
    the numbers of the columns and the letters of the rows.
    """
    table = board.table
    measures, ranked = table.signatures, table.ranked
    left = "r" * ranked + "l"
    lines = [
        r"% needs \usepackage{booktabs,graphicx,textcomp}",
        r"\begin{table*}",
        r"\centering\small\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{escaped(table.title)}. {_legend(table)}}}",
        r"\setbox0=\hbox{%",
        rf"\begin{{tabular}}{{{left}{'c' * len(table.columns)}}}",
        r"\toprule",
        *_heads(table.columns, measures, len(left)),
        r"\midrule",
    ]
    for number, row in enumerate(table.rows):
        rank = [str(row.rank) if row.rank is not None else "--"] if ranked else []
        name = rf"{_name(row.detector)}\textsuperscript{{{letter(number)}}}"
        lines.append(" & ".join([*rank, name, *(_value(cell) for cell in row.cells)]) + r" \\")
        under = [_interval(cell) for cell in row.cells]
        if any(under):
            lines.append(" & ".join([""] * len(left) + under).lstrip() + r" \\[2pt]")
    lines += [r"\bottomrule", r"\end{tabular}}%", FIT, "", r"\smallskip\raggedright\scriptsize"]
    lines += [rf"[{i}] {_signature(signature)}\par" for i, signature in enumerate(measures, 1)]
    lines += [
        rf"\textsuperscript{{{letter(i)}}} {_signature(row.signature)}; trained on: "
        rf"{escaped(', '.join(row.trained_on) or 'nothing')}\par"
        for i, row in enumerate(table.rows)
    ]
    return "\n".join([*lines, r"\end{table*}"]) + "\n"


def _name(detector: str) -> str:
    """Return a detector's name; a long one is broken into lines."""
    if len(detector) <= WIDE:
        return escaped(detector)
    pieces = (escaped(piece) for piece in re.split(r"(?<=[-_. /])", detector))
    return rf"\parbox[t]{{4.5cm}}{{\raggedright {chr(92)}hspace{{0pt}}{(chr(92) + 'allowbreak{}').join(pieces)}}}"


def _legend(table: Table) -> str:
    levels = {found[1] for column in table.columns if (found := re.search(r"\|ci:([\d.]+)%", column.signature))}
    share = rf"{levels.pop()}\% " if len(levels) == 1 else ""
    parts = [f"Values with {share}intervals" if any(cell.score.ci for cell in table.cells) else "Values"]
    if any(cell.best for cell in table.cells):
        parts.append(r"bold: better than every other of its column (a paired test against each, $p\le.05$ in all)")
    short = {"†": r"\dag{}: in-domain", "‡": r"\ddag{}: in-domain, the same corpus in another form"}
    parts += [short[mark] for mark in legends(table)]
    return "; ".join(parts) + "."


def _heads(columns: tuple[TableColumn, ...], measures: list[str], left: int) -> list[str]:
    """Return two lines of headings with a rule under each dataset."""
    groups = [(place, len(list(own))) for place, own in groupby(columns, key=lambda column: column.place)]
    first = "".join([" & " * (left - 1)] + [rf" & \multicolumn{{{n}}}{{c}}{{{escaped(place)}}}" for place, n in groups])
    ends = list(accumulate((n for _, n in groups), initial=left))
    rules = [rf"\cmidrule(lr){{{before + 1}-{end}}}" for before, end in pairwise(ends)]
    names = [f"{escaped(_what(column))} [{measures.index(column.signature) + 1}]" for column in columns]
    corner = ["\\#", "detector"] if left > 1 else ["detector"]
    return [first + r" \\", "".join(rules), " & ".join([*corner, *names]) + r" \\"]


def _what(column: TableColumn) -> str:
    return column.title.removeprefix(column.place).removeprefix(" · ") or column.metric_title


def _value(cell: Cell | None) -> str:
    if cell is None:
        return "--"
    if cell.score.value is None:
        return r"\textit{null}"
    text = f"{cell.score.value:.3f}".replace("-", "$-$")
    text = rf"\textbf{{{text}}}" if cell.best else text
    return text + escaped(cell.mark)


def _interval(cell: Cell | None) -> str:
    if cell is None:
        return ""
    parts = [escaped(cell.score.reason or "")] if cell.score.value is None else []
    if cell.score.ci:
        parts.append("[{:.3f}, {:.3f}]".format(*cell.score.ci).replace("-", "$-$"))
    if cell.covered:
        parts.append(cell.covered)
    return rf"{{\scriptsize {'; '.join(parts)}}}" if parts else ""


def _signature(text: str) -> str:
    """Return a signature in typewriter type; a line may break after each field."""
    fields = [escaped(field) for field in (text or "no result").split("|")]
    return r"\texttt{" + r"\textbar{}\allowbreak{}".join(fields) + "}"
