"""Resamples on disk: groups with their metrics come back as they were, in columns named `field name|metric`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from m2f2bench.metrics.names import Group
from m2f2bench.results.stored import FIELDS, read_draws, write_draws

NAMES = st.text(st.characters(exclude_characters="|", exclude_categories=["Cs", "Cc"]), max_size=12)
GROUPS = st.builds(Group, st.sampled_from([*FIELDS, "regions", "methods"]), NAMES)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(GROUPS, st.dictionaries(st.from_regex(r"[a-z_0-9]{1,8}", fullmatch=True), st.floats(0, 1))))
def test_groups_come_back_as_they_were(tmp_path: Path, drawn: dict[Group, dict[str, float]]) -> None:
    values = {group: {name: np.full(3, one) for name, one in own.items()} for group, own in drawn.items()}
    write_draws(tmp_path / "r.parquet", values)
    found = read_draws(tmp_path / "r.parquet")
    kept = {group: own for group, own in drawn.items() if group.field in FIELDS and own}
    assert {group: {name: float(v[0]) for name, v in own.items()} for group, own in found.items()} == kept


def test_the_columns_are_named_as_they_always_were(tmp_path: Path) -> None:
    drawn = {Group(): {"bleu": np.zeros(2)}, Group("labels", "real"): {"bleu": np.zeros(2)}}
    write_draws(tmp_path / "r.parquet", drawn)
    assert pq.read_schema(tmp_path / "r.parquet").names == ["metrics |bleu", "labels real|bleu"]
