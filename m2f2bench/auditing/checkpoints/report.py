"""Report of a checkpoint's audit: findings as objects, JSON, Markdown, a data frame and a page."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core import markdown
from ...core.notebook import heading, lines, page, table
from ..report import Section, plural

if TYPE_CHECKING:
    import pandas as pd

TOPICS = {
    "constant": "parts whose output is the same for every image",
    "no effect": "tensors that no score depends on",
    "not read": "tensors that no forward pass reads",
    "built anew": "layers built anew in each forward pass",
    "random": "scores that change from call to call",
    "drawn": "layers still as they were drawn",
    "batch norm": "BatchNorm statistics that never moved",
    "batch": "scores that depend on the batch",
}
"""What is looked for, in the order of the report."""


@dataclass(frozen=True)
class Fault:
    """One finding about a checkpoint: a topic of TOPICS, the part or tensor (empty: the whole), and one line."""

    topic: str
    part: str
    text: str


@dataclass(frozen=True)
class CheckpointAudit:
    """A checkpoint audit's outcome.

    `findings` in the order of TOPICS; `looked` says for each topic whether it was looked for, and if not, why not;
    `settings` are those of the audit, `counts` numbers about the network, `versions` those of the packages.
    """

    detector: str
    findings: tuple[Fault, ...]
    looked: dict[str, str]
    settings: dict[str, Any]
    counts: dict[str, int]
    versions: dict[str, str]

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def to_json(self) -> dict[str, Any]:
        """Return everything as one JSON-ready object."""
        return {"kind": "checkpoint audit", **dataclasses.asdict(self)}

    def markdown(self, signatures: bool = True) -> str:
        """Return the report as readable Markdown; `signatures` adds the versions of packages."""
        out = [f"# Audit of the checkpoint of {self.detector}", "", self._made(signatures), ""]
        out += [f"## Findings: {len(self.findings) or 'none'}", ""]
        out += [f"- **{one.topic}**: {one.text}" for one in self.findings] or ["Nothing found."]
        out += ["", "## What was looked for", ""]
        cells = [("topic", "what", "found"), *self._rows()]
        return "\n".join([*out, markdown.table(cells, right=(False, False, True)).rstrip()]) + "\n"

    def _rows(self) -> list[tuple[str, str, str]]:
        return [(topic, what, self._found(topic)) for topic, what in TOPICS.items()]

    def _found(self, topic: str) -> str:
        number = sum(one.topic == topic for one in self.findings)
        return str(number) if number or not self.looked.get(topic) else f"not looked for: {self.looked[topic]}"

    def _made(self, signatures: bool) -> str:
        numbers = [f"{plural(count, name)}" for name, count in self.counts.items()]
        made = [f"{key} {value}" for key, value in self.settings.items() if value is not None]
        version = [f"m2f2bench {self.versions.get('m2f2bench', '')}"] if signatures else []
        return "; ".join([*numbers, *made, *version])

    def to_pandas(self) -> pd.DataFrame:
        """Return the findings as a data frame. Columns: detector, topic, part, text."""
        import pandas as pd

        rows = [{"detector": self.detector, **dataclasses.asdict(one)} for one in self.findings]
        return pd.DataFrame(rows, columns=["detector", "topic", "part", "text"])

    def sections(self) -> tuple[Section, ...]:
        """Return the table of what was looked for."""
        return (Section("What was looked for", (), ("topic", "what", "found"), tuple(self._rows())),)

    def _repr_html_(self) -> str:
        """Return the findings, and the table of what was looked for."""
        cells = [["topic", "finding"], *([one.topic, one.text] for one in self.findings)]
        title = heading(f"Audit of the checkpoint of {self.detector}: {plural(len(self.findings), 'finding')}")
        looked = table([["topic", "what", "found"], *map(list, self._rows())], left=3, wrap=True)
        return page(title, table(cells, left=2, wrap=True) if self.findings else "", looked, lines([self._made(True)]))

    def _repr_markdown_(self) -> str:
        return self.markdown()
