"""Statistics of one group of items, without the group's name."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from m2f2bench.cards.protocols import Bootstrap
from m2f2bench.core.records import Score
from m2f2bench.stats.statistic import Statistic, estimate


def estimated(
    statistics: Mapping[str, Statistic], real: np.ndarray, cluster: np.ndarray, n_clusters: int, resampling: Bootstrap
) -> dict[str, Score]:
    """Each statistic over all items; `real` [N] says which are real, to be counted."""
    everything = {"": np.ones(len(cluster), bool)}
    label = (~real).astype(np.int64)
    return estimate(statistics, everything, label, cluster, n_clusters, resampling, "no frame has a value").scores[""]
