"""Verdicts: what an answer says of an image, and how often that is right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...core.records import FAKE, REAL
from ...stats.statistic import Bools, Codes, Statistic, Sums, mean_of, ratio

if TYPE_CHECKING:
    from ...core.records import Floats

LONGEST = 40_000
"""Letters of an answer that are read, from its end: what is longer was not written to be read."""
VERDICTS = ("real", "fake", "undetermined", "refused", "unreadable")
UNANSWERED = "none"
"""Where there is no answer to read."""
NO_VERDICT = (*VERDICTS[2:], UNANSWERED)
"""What commits to neither; each is wrong in the accuracies."""


def substring_verdict(text: str) -> str:
    """`real` where the lower-cased text contains "real", else `fake`: the rule of M2F2-Det's evaluation.

    It takes "unrealistic" for real and anything without either word for fake. Kept to compare with.
    """
    return "real" if "real" in text.lower() else "fake"


def read_verdict(text: str) -> str:
    """What an answer says of the image: `real`, `fake`, `undetermined`, `refused` or `unreadable`.

    Thoughts before the answer (`<think>`) are left out. A verdict that is stated in a form goes first: a tag, JSON,
    "Verdict: …", a key with yes, no or a probability, a chosen option (see `stated`); then prose (see `read_prose`).
    Without one, an answer that declines the task is `refused`, one that weighs and does not decide `undetermined`, and
    any other `unreadable`. English, German, French, Spanish and Chinese.
    """
    from .verdict_reader import read  # its words are many: they are compiled when the first answer is read

    return read(text)


VERDICT_RULES: dict[str, Callable[[str], str]] = {"words": read_verdict, "substring": substring_verdict}
"""A protocol's `verdict` to the rule."""


def verdict_statistics(verdicts: Sequence[str], labels: Codes, asked: Bools) -> dict[str, Statistic]:
    """`verdict_accuracy`, `verdict_balanced_accuracy`, `verdict_f1` and `verdict_none_rate` of verdicts [N].

    `labels` int64 [N] are 0 (real) or 1 (fake); items that were not `asked` for a verdict, bool [N], add nothing. An
    answer without a verdict (`NO_VERDICT`) is never left out: it is wrong in the accuracies, of which the balanced one
    is the mean of the shares of reals and of fakes that are right, NaN where one of the two is absent. In F1, with
    fake as the positive class, 2 tp / (2 tp + fp + fn), a fake without a verdict is a miss (fn), and a real without
    one is no false alarm (fp): nobody called it fake; without any fake F1 is NaN. Raises ValueError for a verdict that
    is none of these.
    """
    if odd := sorted(set(verdicts) - {*VERDICTS, UNANSWERED}):
        raise ValueError(f"verdict {odd[0]!r} is none of {', '.join((*VERDICTS, UNANSWERED))}")
    said = np.array(verdicts, dtype=object)
    real, fake = labels == REAL, labels == FAKE
    right = (real & (said == "real")) | (fake & (said == "fake"))
    none = np.isin(said.astype(str), NO_VERDICT)
    accuracy = mean_of(np.where(asked, right, np.nan).astype(np.float64))
    halves = np.column_stack([real & right, real, fake & right, fake]).astype(np.float64)
    counts = np.column_stack([fake & right, real & (said == "fake"), fake & ~right]).astype(np.float64)
    return {
        "verdict_accuracy": accuracy,
        "verdict_balanced_accuracy": Sums(halves, _balanced, asked),
        "verdict_f1": Sums(counts, f1_of, asked),
        "verdict_none_rate": mean_of(np.where(asked, none, np.nan).astype(np.float64)),
    }


def _balanced(sums: Floats) -> Floats:
    return (ratio(sums[0], sums[1]) + ratio(sums[2], sums[3])) / 2.0


def f1_of(sums: Floats) -> Floats:
    """F1 from true positives, false positives and false negatives, [3, B] → [B].

    NaN where there is nothing to find (no true positive, no false negative), as on real images alone.
    """
    found = ratio(2.0 * sums[0], 2.0 * sums[0] + sums[1] + sums[2])
    return np.asarray(np.where(sums[0] + sums[2] > 0.0, found, np.nan))
