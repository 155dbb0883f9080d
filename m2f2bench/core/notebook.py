"""HTML for notebooks: tables, and small SVG charts that take the colours of the page, light or dark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from .records import Score
from .text import in_one_line

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 40
"""Rows of a table or a chart that are shown; the others are counted below."""
LABEL, PLOT, LINE, AXIS = 190, 320, 20, 26
"""Pixels: the width of labels and of the chart's area, the height of a row and of the axis."""
LONGEST = 28
"""Characters of a label in a chart."""
SQUARE = 240
"""Pixels of the edge of a square chart."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Colours that differ for people who do not see all colours (Okabe and Ito), on white and on black."""


@dataclass(frozen=True)
class Bar:
    """A value of a chart with its interval, None without one."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None


def bar(label: str, score: Score) -> Bar:
    """Return a metric's value as a row of a chart."""
    return Bar(label, score.value, *(score.ci or (None, None)))


def shown_score(score: Score | None) -> str:
    """Return `value ± deviation [low, high]` with three decimals, or a dash if there is no value."""
    if score is None or score.value is None:
        return "–"
    spread = "" if score.deviation is None else f" ± {score.deviation:.3f}"
    return f"{score.value:.3f}{spread}" + (f" [{score.ci[0]:.3f}, {score.ci[1]:.3f}]" if score.ci else "")


def columns_of(score: Score) -> dict[str, Any]:
    """Return a metric's value as columns of a data frame: value, ci_low, ci_high, n_real, n_fake, reason."""
    low, high = score.ci or (None, None)
    numbers = {"value": score.value, "ci_low": low, "ci_high": high}
    return {**numbers, "n_real": score.n_real, "n_fake": score.n_fake, "reason": score.reason or ""}


def data_frame(
    rows: Iterable[Mapping[str, Any]], numbers: Iterable[str] = ("value", "ci_low", "ci_high")
) -> pd.DataFrame:
    """Return rows as a data frame; columns of `numbers` are float64 with NaN where there is no value."""
    import pandas as pd

    frame = pd.DataFrame(list(rows))
    return frame.astype({name: "float64" for name in numbers if name in frame.columns})


def page(*parts: str) -> str:
    """Return parts of HTML as one block; empty parts are left out."""
    return '<div style="overflow-x:auto">' + "".join(filter(None, parts)) + "</div>"


def heading(text: str) -> str:
    """Return a heading of a block."""
    return f"<p><strong>{_text(text)}</strong></p>"


def lines(texts: Iterable[str]) -> str:
    """Return notes below a table, one a line, in small print."""
    shown = "<br/>".join(map(_text, texts))
    return f'<p style="font-size:smaller">{shown}</p>' if shown else ""


def table(
    cells: Sequence[Sequence[str]], left: int = 1, bold: Iterable[tuple[int, int]] = (), wrap: bool = False
) -> str:
    """Return a table, `cells` being its heading and rows; columns after the first `left` are aligned to the right.

    `bold` has the row and column, from 0, of cells in bold; cells are of one line unless they `wrap`. Rows after
    MOST_ROWS are only counted.
    """
    head, *rows = cells
    strong = set(bold)

    def cell(tag: str, column: int, text: str, row: int = -1) -> str:
        side = "left" if column < left else "right"
        weight = ";font-weight:bold" if (row, column) in strong else ""
        space = "" if wrap else ";white-space:nowrap"
        return f'<{tag} style="text-align:{side}{space}{weight}">{_text(text)}</{tag}>'

    top = "".join(cell("th", i, text) for i, text in enumerate(head))
    body = "".join(
        "<tr>" + "".join(cell("td", i, text, n) for i, text in enumerate(row)) + "</tr>"
        for n, row in enumerate(rows[:MOST_ROWS])
    )
    more = lines([f"… and {len(rows) - MOST_ROWS:,} more rows"]) if len(rows) > MOST_ROWS else ""
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>{more}"


def chart(title: str, bars: Sequence[Bar], reference: float | None = None) -> str:
    """Return values with their intervals as an SVG chart, a row each; empty unless two of them have a value.

    A dashed line marks the `reference`, for instance chance or no difference.
    """
    shown = [one for one in bars if one.value is not None][:MOST_ROWS]
    if len(shown) < 2:
        return ""
    ends = [end for one in shown for end in (one.value, one.low, one.high) if end is not None]
    ends += [] if reference is None else [reference]
    low, high = min(ends), max(ends)
    room = 0.06 * (high - low) or 0.05
    low, high = low - room, high + room

    def x(value: float) -> float:
        return round(LABEL + PLOT * (value - low) / (high - low), 1)

    height = LINE * (len(shown) + 1) + AXIS
    bottom = height - AXIS
    out = [_said(0, 13, title, "start")]
    if reference is not None:
        out.append(_line(x(reference), LINE, x(reference), bottom, 'stroke-dasharray="3 3" opacity="0.6"'))
    for i, one in enumerate(shown):
        y = LINE * (i + 1) + LINE // 2
        out.append(_said(LABEL - 8, y + 4, one.label, "end"))
        if one.low is not None and one.high is not None:
            out.append(_line(x(one.low), y, x(one.high), y, f'style="stroke:{COLOURS[0]};stroke-width:2"'))
        assert one.value is not None
        out.append(f'<circle cx="{x(one.value)}" cy="{y}" r="4" fill="{COLOURS[0]}"/>')
    out.append(_line(LABEL, bottom, LABEL + PLOT, bottom))
    ticks = [low + room, high - room] if reference is None else sorted({low + room, reference, high - room})
    last = -1e9
    for tick in ticks:
        if x(tick) - last >= 40:
            out.append(_said(x(tick), bottom + 16, f"{tick:.3f}", "middle"))
            last = x(tick)
    return _svg(LABEL + PLOT + 30, height, title, out)


def curves(title: str, found: Sequence[tuple[str, Sequence[float], Sequence[float]]]) -> str:
    """Return curves `(label, x, y)` in the unit square as an SVG chart with a legend; empty without a curve."""
    shown = found[: len(COLOURS)]
    if not shown:
        return ""
    top, left = LINE + 4, 30
    frame = f'<rect x="{left}" y="{top}" width="{SQUARE}" height="{SQUARE}" fill="none" stroke="currentColor"/>'
    out = [_said(0, 13, title, "start"), frame]
    out.append(_line(left, top + SQUARE, left + SQUARE, top, 'stroke-dasharray="3 3" opacity="0.6"'))
    for i, (label, xs, ys) in enumerate(shown):
        points = " ".join(f"{left + SQUARE * a:.1f},{top + SQUARE * (1 - b):.1f}" for a, b in zip(xs, ys, strict=True))
        out.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[i]}" stroke-width="1.5"/>')
        y = top + LINE * (i + 1)
        out.append(f'<rect x="{left + SQUARE + 14}" y="{y - 9}" width="12" height="4" fill="{COLOURS[i]}"/>')
        out.append(_said(left + SQUARE + 32, y - 3, label, "start"))
    for value in (0, 1):
        out.append(_said(left + SQUARE * value, top + SQUARE + 16, str(value), "middle"))
        out.append(_said(left - 6, top + SQUARE * (1 - value) + 4, str(value), "end"))
    out.append(_said(left + SQUARE / 2, top + SQUARE + 16, "false positive rate", "middle"))
    more = len(found) - len(shown)
    note = lines([f"… and {more} more curves"]) if more else ""
    return _svg(left + SQUARE + 240, top + SQUARE + AXIS, title, out) + note


def _svg(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{_text(title)}" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" style="display:block;max-width:100%" '
        f'font-family="sans-serif" font-size="12" fill="currentColor">{"".join(parts)}</svg>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, more: str = "") -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="currentColor" {more}/>'


def _said(x: float, y: float, text: str, anchor: str) -> str:
    short = text if anchor != "end" or len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{_text(short)}</text>'


def _text(text: str) -> str:
    return escape(in_one_line(text))
