"""Names of groups and suffixes of metrics."""

from __future__ import annotations

from typing import NamedTuple

OVERALL, AVERAGE = "", "average"
"""Names of the groups beside the methods: all fakes, and the mean of the methods' values."""
AT_HALF = "@0.5"
"""Ending of a decision metric taken at 0.5, given beside one whose threshold was picked from scores."""


class Group(NamedTuple):
    """A group of answers as a result has it: `field` is `metrics` (all), `labels`, `regions` or `methods`."""

    field: str = "metrics"
    name: str = OVERALL
