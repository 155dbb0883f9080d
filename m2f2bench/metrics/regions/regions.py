"""Which regions of the face an answer calls manipulated, and how well they agree with those that are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...stats.statistic import Bools, Statistic, Sums, ratio
from ..verdicts.verdict import LONGEST, f1_of


def read_regions(text: str) -> frozenset[str]:
    """The regions of `region_prose.known_regions` that an answer calls manipulated.

    Thoughts before the answer (`<think>`) are left out. A form that tells of regions goes first: JSON, tags, a table,
    ticks, numbers, a list under a heading (see `region_forms.listed`). Else by clauses: the regions that a clause is
    about are called where it finds a fault that it does not deny ("the eyes look asymmetric", not "there are no
    boundaries on the skin") or denies a merit ("the nose does not align"). Exceptions, comparisons, ellipses,
    questions, conditions and what is explained away count as they are meant ("all but the nose", "unlike the lips",
    "the mouth does not"). Traits ("naturally round eyes") are no faults. Boundaries, stains and brighter or darker
    areas of the face are the skin's. Of a region that the answer calls real, or of any where it calls the picture
    real, only being called fake outright counts. English, German, French, Spanish and Chinese. Of a text longer than
    `verdict.LONGEST` its end is read.
    """
    from ..verdicts.stated import without_thought
    from .region_forms import listed  # their words are many: they are compiled when the first answer is read
    from .region_prose import called_in_prose

    said = without_thought(text[-LONGEST:])
    found = listed(said)
    return called_in_prose(said) if found is None else found


def region_statistics(
    called: Sequence[frozenset[str]], truth: Sequence[frozenset[str] | None], asked: Bools
) -> dict[str, Statistic]:
    """`region_precision`, `region_recall` and `region_f1` of called regions [N] against those truly manipulated [N].

    Micro averages: true positives, false positives and false negatives are summed over the items before they are
    divided, so that an answer that names many regions weighs more. An item without a known truth (None), or not
    `asked`, bool [N], adds nothing. A real image has an empty truth: whatever is called there is a false positive.
    The control to hold it against calls all regions of every image.
    """
    has = np.array([one is not None for one in truth], dtype=np.bool_) & asked
    pairs = [(said, true or frozenset()) for said, true in zip(called, truth, strict=True)]
    rows = [(len(said & true), len(said - true), len(true - said)) for said, true in pairs]
    counts = np.array(rows, dtype=np.float64).reshape(len(rows), 3)
    return {
        "region_precision": Sums(counts, lambda sums: ratio(sums[0], sums[0] + sums[1]), has),
        "region_recall": Sums(counts, lambda sums: ratio(sums[0], sums[0] + sums[2]), has),
        "region_f1": Sums(counts, f1_of, has),
    }
