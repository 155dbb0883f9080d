"""The metric `skeleton`: a starting point, the share of wrong decisions. Put your formula into the function."""

import numpy as np
import numpy.typing as npt

import m2f2bench


@m2f2bench.register_metric("skeleton", title="skeleton", better="lower", range=(0.0, 1.0), chance=0.5, needs="any")
def skeleton(label: npt.NDArray[np.int64], score: npt.NDArray[np.float64], threshold: float) -> float:
    """Return the metric of N frames or videos: `label` [N] is 0 (real) or 1 (fake), `score` [N] is P(fake).

    A metric of decisions takes the protocol's `threshold` as well: a score of at least the threshold is called fake.
    """
    return float(np.mean((score >= threshold) != (label == 1)))
