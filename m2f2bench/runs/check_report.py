"""What a check found: each metric then and now, the problems and the notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..core.notebook import Bar, chart, data_frame, heading, lines, page, table
from ..metrics.detection.paired import p_text

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = ("then", "now", "p", "ci_low", "ci_high")
"""Columns of a data frame that are numbers."""


@dataclass(frozen=True)
class Checked:
    """One metric then and now. `p` is one-sided (null: no worse), with Holm's correction over the checked metrics.

    With a margin the null is that it is worse by the margin or more, and p has no correction: all metrics must pass.
    `bound`: p is an upper bound. `tested`: whether a test or an interval was possible.
    """

    metric: str
    then: float | None
    now: float | None
    ci: tuple[float, float] | None
    """Of the difference now - then if the old rows exist (with a margin at 1 - 2 chance), else the old value's."""
    p: float | None
    failed: bool
    how: str
    bound: bool = False
    tested: bool = True


@dataclass(frozen=True)
class CheckReport:
    """The outcome of a check. `problems` are the failures, one line each; `notes` are other changes."""

    detector: str
    baseline: str
    dataset: str
    protocol: str
    checked: tuple[Checked, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    margin: float | None = None
    """The fall that must be ruled out, if one was given."""

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {"passed": self.passed, **asdict(self)}

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of `to_pandas`."""
        what = {"detector": self.detector, "baseline": self.baseline, "dataset": self.dataset}
        what |= {"protocol": self.protocol}
        named = ("metric", "then", "now", "p", "bound", "tested", "failed", "how")
        rows = []
        for one in self.checked:
            low, high = one.ci or (None, None)
            rows.append({**what, **{name: getattr(one, name) for name in named}, "ci_low": low, "ci_high": high})
        return rows

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with a row for each checked metric.

        Columns: detector, baseline, dataset, protocol, metric, then, now, p, ci_low, ci_high (float64, NaN without a
        value), bound, tested, failed, how.
        """
        return data_frame(self.rows(), NUMBERS)

    def _repr_html_(self) -> str:
        """Return the verdict, a table of the metrics then and now, a chart of the changes, problems and notes."""
        cells = [["metric", "then", "now", "p", "", "how"]]
        bars = []
        for one in self.checked:
            then, now = ("–" if value is None else f"{value:.4f}" for value in (one.then, one.now))
            mark = "failed" if one.failed else "ok" if one.tested else "?"
            cells.append([one.metric, then, now, "" if one.p is None else p_text(one.p, one.bound), mark, one.how])
            if one.then is not None and one.now is not None:
                bars.append(Bar(one.metric, one.now - one.then))
        title = f"{'passed' if self.passed else 'FAILED'}: {self.detector} on {self.dataset}, {self.protocol}"
        picture = chart("now - then", bars, reference=0.0)
        return page(heading(title), table(cells) if self.checked else "", picture, lines([*self.problems, *self.notes]))

    def text(self) -> str:
        """Return plain text: the verdict, the problems, a line per metric, the notes."""
        verdict = "passed" if self.passed else "FAILED"
        lines = [f"{verdict}: {self.detector} on {self.dataset}, {self.protocol}, against {self.baseline}"]
        lines += [f"  {problem}" for problem in self.problems]
        for one in self.checked:
            then, now = ("null" if value is None else f"{value:.4f}" for value in (one.then, one.now))
            ends = f" [{one.ci[0]:+.4f}, {one.ci[1]:+.4f}]" if one.ci else ""
            p = "" if one.p is None else f", p {p_text(one.p, one.bound)}"
            change = "" if one.then is None or one.now is None else f", {one.now - one.then:+.4f}"
            mark = "FAIL" if one.failed else "ok  " if one.tested else "?   "
            lines.append(f"  {mark} {one.metric:<18} {then} -> {now}{change}{ends}{p} ({one.how})")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


class Checks(list[CheckReport]):
    """The reports of a check, one for each baseline."""

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows of `CheckReport.to_pandas` of all reports."""
        return data_frame((row for report in self for row in report.rows()), NUMBERS)

    def _repr_html_(self) -> str:
        return page(*(report._repr_html_() for report in self))


def describe(reports: Sequence[CheckReport]) -> str:
    """Return all reports as text."""
    return "\n".join(report.text() for report in reports)
