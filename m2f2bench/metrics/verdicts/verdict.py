"""Verdicts: what an answer says about an image, and how often that is right."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...core.arguments import checked
from ...core.arrays import Bools, Codes, Floats
from ...core.records import FAKE, REAL
from ...stats.statistic import Statistic, Sums, mean_of, ratio

LONGEST = 40_000
"""Most characters of an answer that are read, from its end."""
VERDICTS = ("real", "fake", "undetermined", "refused", "unreadable")
UNANSWERED = "none"
"""The verdict of a missing answer."""
NO_VERDICT = (*VERDICTS[2:], UNANSWERED)
"""Verdicts for neither real nor fake; each is wrong in the accuracies."""


def substring_verdict(text: str) -> str:
    """Return `real` if the lower-cased text contains "real", else `fake`: the rule of M2F2-Det's evaluation.

    "Unrealistic" counts as real, and a text with neither word as fake. Kept for comparison.
    """
    return "real" if "real" in text.lower() else "fake"


@checked
def read_verdict(text: str) -> str:
    """Return what an answer says about the image: `real`, `fake`, `undetermined`, `refused` or `unreadable`.

    Thoughts before the answer (`<think>`) are ignored. A verdict that is stated in a form comes first: a tag, JSON,
    "Verdict: …", a key with yes, no or a probability, a chosen option (see `stated`); then prose (see `read_prose`).
    Without a verdict, an answer that declines the task is `refused`, one that does not decide is `undetermined`, and
    any other is `unreadable`. English, German, French, Spanish and Chinese are read.
    """
    from .stated import verdict_in  # it compiles many words: only when the first answer is read

    return verdict_in(text[-LONGEST:])


VERDICT_RULES: dict[str, Callable[[str], str]] = {"words": read_verdict, "substring": substring_verdict}
"""Rules by their names in a protocol's `verdict`."""


def verdict_statistics(verdicts: Sequence[str], labels: Codes, asked: Bools) -> dict[str, Statistic]:
    """Return `verdict_accuracy`, `verdict_balanced_accuracy`, `verdict_f1` and `verdict_none_rate` of verdicts [N].

    `labels` int64 [N] are 0 (real) or 1 (fake); items that were not `asked` for a verdict, bool [N], are ignored. An
    answer without a verdict (`NO_VERDICT`) always counts: it is wrong in the accuracies, of which the balanced one is
    the mean of the shares of reals and of fakes that are right, NaN if one of the two is absent. In F1, with fake as
    the positive class, 2 tp / (2 tp + fp + fn), a fake without a verdict is a miss (fn), but a real without one is not
    a false alarm (fp), since nobody called it fake; without any fake, F1 is NaN. Raises ValueError for an unknown
    verdict.
    """
    if odd := sorted(set(verdicts) - {*VERDICTS, UNANSWERED}):
        raise ValueError(f"unknown verdict {odd[0]!r}: not one of {', '.join((*VERDICTS, UNANSWERED))}")
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
    """Return F1 from true positives, false positives and false negatives, [3, B] → [B].

    NaN if there is nothing to find (no true positive, no false negative), as for only real images.
    """
    found = ratio(2.0 * sums[0], 2.0 * sums[0] + sums[1] + sums[2])
    return np.asarray(np.where(sums[0] + sums[2] > 0.0, found, np.nan))
