"""Questions to show on a page: the worst and the best answers, wrong verdicts, missing answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...core.records import FAKE
from ...metrics.verdicts.verdict import NO_VERDICT

if TYPE_CHECKING:
    import numpy.typing as npt

    from ...core.answers import Answers
    from ...core.records import Floats
    from ...core.rows import Strings

WORST, BEST, WRONG, MISSING = "worst", "best", "wrong verdict", "missing"
GROUPS = (WORST, BEST, WRONG, MISSING)
PREFERRED = ("rouge_l", "cider")
STATED = "released"
"""The kind of question that states the label; an answer to it has no verdict of its own."""


def main_metric(items: Mapping[str, Floats]) -> str | None:
    """Return the metric that sorts answers: ROUGE-L, else CIDEr, else the first with values."""
    found = [name for name in (*PREFERRED, *items) if name in items and not np.isnan(items[name]).all()]
    return found[0] if found else None


def verdict_word(answers: Answers, verdicts: Sequence[str], i: int) -> str:
    """Return whether the verdict of question `i` is `right`, `wrong` or `none`; empty if it asked for no verdict."""
    if answers.kind[i] == STATED or answers.status[i] != "ok":
        return ""
    if verdicts[i] in NO_VERDICT:
        return "none"
    return "right" if (verdicts[i] == "fake") == (answers.label[i] == FAKE) else "wrong"


def selected(
    answers: Answers, items: Mapping[str, Floats], verdicts: Sequence[str], count: int
) -> dict[int, list[str]]:
    """Return the indices of the questions to show, in the order of the plan, each with its groups.

    At most `count` of each of GROUPS. Worst and best are by the main metric, of questions with an answer; of equal ones
    the first of each image comes first, in the order of the plan. Of more than `count` wrong verdicts, or missing
    answers, evenly spread ones are taken. If all groups together have fewer than `count`, the first questions of the
    plan are added.
    """
    ok = answers.status == "ok"
    groups: dict[str, Sequence[int]] = {}
    metric = main_metric(items)
    if metric is not None:
        values = items[metric]
        known = np.flatnonzero(ok & ~np.isnan(values))
        groups[WORST] = _lowest(values, known, answers.frame, count)
        groups[BEST] = _lowest(-values, known, answers.frame, count)
    words = [verdict_word(answers, verdicts, i) for i in range(len(answers))]
    groups[WRONG] = _spread([i for i, word in enumerate(words) if word in ("wrong", "none")], count)
    groups[MISSING] = _spread(np.flatnonzero(~ok).tolist(), count)
    found: dict[int, list[str]] = {}
    for name in GROUPS:
        for i in groups.get(name, ()):
            found.setdefault(i, []).append(name)
    for i in range(len(answers)):
        if len(found) >= count:
            break
        found.setdefault(i, [])
    return dict(sorted(found.items()))


def _lowest(values: Floats, rows: npt.NDArray[np.int64], frame: Strings, count: int) -> list[int]:
    """Return the `count` rows with the lowest values; of equal ones, all images' first before any image's second."""
    earlier: Counter[tuple[float, str]] = Counter()
    keys = []
    for i in rows.tolist():
        value = float(values[i])
        keys.append((value, earlier[value, frame[i]], i))
        earlier[value, frame[i]] += 1
    return [i for _, _, i in sorted(keys)[:count]]


def _spread(rows: list[int], count: int) -> list[int]:
    """Return at most `count` of the rows, evenly spread."""
    if len(rows) <= count:
        return rows
    return [rows[i * len(rows) // count] for i in range(count)]
