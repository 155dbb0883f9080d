"""Names of groups and suffixes of metrics."""

from __future__ import annotations

from typing import NamedTuple

OVERALL, AVERAGE = "", "average"
"""Names of the groups other than methods: all fakes, and the mean over methods."""
AT_HALF = "@0.5"
"""Suffix of a decision metric at threshold 0.5, reported together with the one at the protocol's threshold."""


class Group(NamedTuple):
    """Group of answers in a result: `field` is `metrics` (all), `labels`, `regions` or `methods`."""

    field: str = "metrics"
    name: str = OVERALL
