"""What belongs together is told by whole names, whatever letters they hold and whatever pandas is installed."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2f2bench.core.connected import connected, factorize, first_rows
from m2f2bench.core.errors import ScoreError
from m2f2bench.results.read_rows import read_rows

NAMES = st.text(st.sampled_from(["a", "b", "\0", " ", "é", "\ud800"]), max_size=4)
"""Few letters, so that names are alike; a NUL ends a string in C, and so in some versions of pandas and numpy."""


@given(st.lists(st.one_of(NAMES, st.none(), st.tuples(NAMES, st.integers(0, 1)))))
def test_values_have_one_code_where_they_are_equal(values: list[Hashable]) -> None:
    codes, distinct = factorize(values)
    assert codes.dtype == np.int64 and [distinct[code] for code in codes.tolist()] == values
    assert distinct == list(dict.fromkeys(values))
    assert first_rows(codes).tolist() == [values.index(value) for value in distinct]


@given(st.lists(st.tuples(NAMES, st.lists(NAMES, max_size=2)), max_size=8))
def test_frames_are_joined_as_far_as_a_chain_of_whole_names_leads(frames: list[tuple[str, list[str]]]) -> None:
    groups: list[set[int]] = []
    for row, (video, people) in enumerate(frames):
        joined = {row}
        for group in list(groups):
            if any(frames[other][0] == video or set(frames[other][1]) & set(people) for other in group):
                joined |= group
                groups.remove(group)
        groups.append(joined)
    codes = connected([video for video, _ in frames], [people for _, people in frames]).tolist()
    assert sorted(map(sorted, groups)) == sorted(
        [row for row, code in enumerate(codes) if code == one] for one in range(len(set(codes)))
    )


def test_names_with_a_nul_do_not_pass_the_gate_of_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    body = "".join(f"{i},{i % 2},0.5,v\0{i // 4},m\n" for i in range(40))
    path.write_text("id,label,score,video,method\n" + body)
    with pytest.raises(ScoreError, match=r"row 1 has a control character .* in its video"):
        read_rows(path)


def test_a_status_with_a_nul_does_not_pass_it(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,label,score,status\na,0,0.5,ok\0\nb,1,0.5,ok\n")
    with pytest.raises(ScoreError, match=r"row 1 has a control character .* in its status"):
        read_rows(path)
