"""Whether an explainer says in words what its own detector says by its score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..stats.statistic import Bools, Statistic, mean_of

if TYPE_CHECKING:
    from ..core.records import Floats

THRESHOLD = 0.5


def consistency(verdicts: Sequence[str], scores: Floats, asked: Bools) -> Statistic:
    """The share of answers whose verdict is the explainer's own detection: fake where P(fake) ≥ .5, else real.

    `verdicts` [N] are `real`, `fake` or any other word for neither; `scores` float64 [N] are P(fake) in [0, 1], NaN
    where there is none. Items not `asked` (bool [N]) add nothing. Neither is not consistent, nor is any verdict
    without a score, so that to be silent never pays; without any score at all nothing is measured. The control to hold
    it against is one answer for every image: it agrees as often as the detector makes its commoner call, so that a
    detector that calls everything fake is explained perfectly by "fake".
    """
    said = np.array(verdicts, dtype=object)
    own = np.where(scores >= THRESHOLD, "fake", "real").astype(object)
    known = ~np.isnan(scores)
    agrees = ((said == own) & known).astype(np.float64)
    return mean_of(np.where(asked & known[asked].any(), agrees, np.nan))
