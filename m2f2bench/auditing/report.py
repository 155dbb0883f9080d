"""Audit report: findings as objects, JSON and Markdown."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..core import markdown
from ..core.notebook import heading, lines, page, table

if TYPE_CHECKING:
    import pandas as pd

Severity = Literal["leak", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("leak", "warning", "note")
SHOWN = 3
"""Examples that are printed; the JSON has more."""
NO_NUMBERS = ("absent", "constant", "undefined")
"""States of a cell that has no number, in a column of numbers."""


@dataclass(frozen=True)
class Finding:
    """One finding; `text` is one line.

    `leak`: a detector can be right for a wrong reason, or was trained on its test data; `warning`: numbers on this
    dataset are wrong or count twice; `note`: useful to know.
    """

    severity: Severity
    topic: str
    text: str


@dataclass(frozen=True)
class Section:
    """A part of the report: a table (`header` and `rows`), and `lines` of text below it."""

    title: str
    lines: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Audit:
    """An audit's outcome.

    `findings` come worst first. `settings` are those of the audit, `splits` has each split's counts and data hash,
    `details` the numbers by topic, JSON-ready; `sections` are the same for reading. `versions` are those of the
    packages that decoded and computed.
    """

    dataset: str
    findings: tuple[Finding, ...]
    settings: dict[str, Any]
    splits: dict[str, dict[str, Any]]
    details: dict[str, Any]
    sections: tuple[Section, ...]
    versions: dict[str, str]

    @property
    def leaks(self) -> list[Finding]:
        """The findings of severity `leak`."""
        return [finding for finding in self.findings if finding.severity == "leak"]

    def to_json(self) -> dict[str, Any]:
        """Return everything except the sections, which repeat it, as one JSON-ready object."""
        return {
            "dataset": self.dataset,
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
            "counts": {severity: self._count(severity) for severity in SEVERITIES},
            "settings": self.settings,
            "splits": self.splits,
            **self.details,
            "versions": self.versions,
        }

    def markdown(self, signatures: bool = True) -> str:
        """Return the report as readable Markdown: findings first, then the tables; `signatures` adds hashes."""
        counts = ", ".join(plural(self._count(severity), severity) for severity in SEVERITIES)
        out = [f"# Audit of {self.dataset}", "", self._made(signatures), "", f"## Findings: {counts}", ""]
        out += [f"- **{finding.severity}** ({finding.topic}): {finding.text}" for finding in self.findings]
        out += [] if self.findings else ["Nothing found."]
        for section in self.sections:
            out += ["", f"## {section.title}", ""]
            if section.rows:
                right = [all(_is_number(row[i]) for row in section.rows) for i in range(len(section.header))]
                text = markdown.table([section.header, *section.rows], right=right)
                out += [text.rstrip(), *([""] if section.lines else [])]
            out += [f"- {line}" for line in section.lines]
        return "\n".join(out) + "\n"

    def _made(self, signatures: bool = True) -> str:
        """Return the settings of the audit in one line, with the hashes of the data if wanted."""
        read = sum(split["frames"] for split in self.splits.values())
        names = ", ".join(f"{name} {split['frames']:,}" for name, split in self.splits.items())
        made = [f"{key} {value}" for key, value in self.settings.items() if value is not None]
        hashes = [f"hash {name} {split['hash']}" for name, split in self.splits.items() if signatures]
        parts = [f"{read:,} frames looked at ({names})", *made, *hashes]
        return "; ".join([*parts, f"m2f2bench {self.versions.get('m2f2bench', '')}"])

    def _count(self, severity: str) -> int:
        return sum(finding.severity == severity for finding in self.findings)

    def to_pandas(self) -> pd.DataFrame:
        """Return the findings as a data frame, worst first. Columns: dataset, severity, topic, text."""
        import pandas as pd

        rows = [{"dataset": self.dataset, **dataclasses.asdict(finding)} for finding in self.findings]
        return pd.DataFrame(rows, columns=["dataset", "severity", "topic", "text"])

    def _repr_html_(self) -> str:
        """Return the findings as a table, then each section's table and lines."""
        counts = ", ".join(plural(self._count(severity), severity) for severity in SEVERITIES)
        cells = [["severity", "topic", "finding"], *([one.severity, one.topic, one.text] for one in self.findings)]
        parts = [
            heading(f"Audit of {self.dataset}: {counts}"),
            table(cells, left=3, wrap=True) if self.findings else "",
        ]
        for section in self.sections:
            parts += [heading(section.title), table([section.header, *section.rows]) if section.rows else ""]
            parts.append(lines(section.lines))
        return page(*parts, lines([self._made()]))

    def _repr_markdown_(self) -> str:
        return self.markdown()


def by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings, the worst first, those of one severity in the given order."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def _is_number(text: str) -> bool:
    return not text or text[0] in "0123456789.–" or text in NO_NUMBERS


def plural(n: int, word: str) -> str:
    """Return `1 frame`, `2 frames`, `1,000 frames`."""
    several = f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"
    return f"{n:,} {word if n == 1 else several}"


def with_interval(value: float, ci: tuple[float, float] | None) -> str:
    """Return `.512 [.480, .544]`, or `.512` without an interval."""
    value_text, *ends = (f"{one:.3f}".removeprefix("0") for one in (value, *(ci or ())))
    return f"{value_text} [{', '.join(ends)}]" if ends else value_text


def first_few(names: Sequence[str]) -> str:
    """Return `a, b, c and 4 more`."""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
