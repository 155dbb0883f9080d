"""Consistency of an explainer's verdicts in words with the scores of its own detector."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.arrays import Bools, Floats
from ..stats.statistic import Statistic, mean_of

THRESHOLD = 0.5


def consistency(verdicts: Sequence[str], scores: Floats, asked: Bools) -> Statistic:
    """Return the share of answers whose verdict agrees with the explainer's own score: fake if P(fake) ≥ .5, else real.

    `verdicts` [N] are `real`, `fake` or any other word for neither; `scores` float64 [N] are P(fake) in [0, 1], NaN
    without a score. Items not `asked` (bool [N]) are ignored. A verdict for neither is inconsistent, and so is a
    verdict without a score, so omissions never help; without any score, there is no value. The control is one answer
    for every image: it agrees as often as the detector makes its more frequent decision, so "fake" is perfectly
    consistent with a detector that calls everything fake.
    """
    said = np.array(verdicts, dtype=object)
    own = np.where(scores >= THRESHOLD, "fake", "real").astype(object)
    known = ~np.isnan(scores)
    agrees = ((said == own) & known).astype(np.float64)
    return mean_of(np.where(asked & known[asked].any(), agrees, np.nan))
