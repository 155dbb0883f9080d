"""Student's t by `scipy.special` has the bits of `scipy.stats`, which is not imported for it."""

from __future__ import annotations

import math
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from m2f2bench.stats.student import t_above, t_quantile

FREEDOM = st.floats(0.1, 1e6) | st.just(math.inf)


@given(st.floats(1e-9, 1.0 - 1e-9), st.floats(-50.0, 50.0), FREEDOM)
def test_it_is_that_of_scipy_to_the_bit(p: float, value: float, freedom: float) -> None:
    assert t_quantile(p, freedom) == float(t.ppf(p, freedom))
    assert t_above(value, freedom) == float(t.sf(value, freedom))


def test_known_values() -> None:
    """Of tables: 2.228 for ten degrees of freedom at 0.975, the normal distribution's for infinitely many."""
    assert abs(t_quantile(0.975, 10) - 2.228139) < 1e-6
    assert abs(t_quantile(0.975, math.inf) - 1.959964) < 1e-6
    assert abs(t_above(2.228139, 10) - 0.025) < 1e-8


def test_scores_have_an_interval_of_their_auc_without_scipy_stats() -> None:
    code = """
import sys, m2f2bench
rows = {name: [f"{name}{i}" for i in range(40)] for name in ("frame", "video")}
rows |= {"label": [i % 2 for i in range(40)], "score": [(7 * i % 40 + 8 * (i % 2)) / 50 for i in range(40)]}
auc = m2f2bench.score(rows, protocol="frame", detector="a").metrics["auc"]
assert 0.5 < auc.value < 1.0 and auc.ci[0] < auc.value < auc.ci[1]
sys.exit("scipy.stats" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
