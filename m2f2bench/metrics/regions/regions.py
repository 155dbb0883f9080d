"""Regions of the face that an answer calls manipulated, and their agreement with the truly manipulated ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.arguments import checked
from ...core.arrays import Bools
from ...stats.statistic import Statistic, Sums, ratio
from ..verdicts.verdict import LONGEST, f1_of


@checked
def read_regions(text: str) -> frozenset[str]:
    """Return the regions of `region_prose.known_regions` that an answer calls manipulated.

    Thoughts before the answer (`<think>`) are ignored. A form about regions comes first: JSON, tags, a table, ticks,
    numbers, a list under a heading (see `region_forms.listed`). Otherwise, clauses are read: a clause's regions are
    called manipulated if it asserts a fault ("the eyes look asymmetric", not "there are no boundaries on the skin") or
    denies a merit ("the nose does not align"). Exceptions, comparisons, ellipses, questions, conditions and
    explanations are understood as meant ("all but the nose", "unlike the lips", "the mouth does not"). Traits
    ("naturally round eyes") are not faults. Boundaries, stains and brighter or darker areas of the face belong to the
    skin. If the answer calls a region or the picture real, a region is manipulated only if it is plainly called fake.
    English, German, French, Spanish and Chinese are read. Only the end of a text longer than `verdict.LONGEST` is read.
    """
    from ..verdicts.stated import without_thought
    from .region_forms import listed  # they compile many words: only when the first answer is read
    from .region_prose import called_in_prose

    said = without_thought(text[-LONGEST:])
    found = listed(said)
    return called_in_prose(said) if found is None else found


def region_statistics(
    called: Sequence[frozenset[str]], truth: Sequence[frozenset[str] | None], asked: Bools
) -> dict[str, Statistic]:
    """Return `region_precision`, `region_recall` and `region_f1` of called regions [N] against the true ones [N].

    They are micro averages: true positives, false positives and false negatives are summed over the items before they
    are divided, so that an answer that names many regions has more weight. An item without a known truth (None), or not
    `asked`, bool [N], is ignored. A real image has an empty truth: whatever is called there is a false positive. The
    control calls all regions of every image manipulated.
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
