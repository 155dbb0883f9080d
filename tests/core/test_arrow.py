"""Arrow arrays made without pandas: the same as pyarrow's own, and no program that writes or scores rows imports it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from m2f2bench.core.arrow import arrow_array, arrow_scalar, floats_of, objects_of

KINDS = ("string", "double", "int64", "int8", "bool")
VALUES = st.one_of(
    st.none(), st.text(), st.floats(), st.integers(-200, 200), st.integers(-(2**70), 2**70), st.booleans(), st.binary()
)
LISTS = st.one_of(*(st.lists(st.none() | one) for one in (st.text(), st.floats(), st.integers(-(2**63), 2**63 - 1))))


@given(st.sampled_from(KINDS), LISTS | st.lists(VALUES, max_size=4))
@example("string", ["", "é\0", None, "\U0001f600"])
@example("string", ["\ud800"])
@example("int8", [127, None, -128])
@example("int8", [128])
@example("int64", [2**63])
@example("double", [1, 2.5])
@example("double", [])
def test_an_array_is_pyarrows_own(kind: str, values: list[Any]) -> None:
    """Of plain values and of all others: the same array, or an error of the same type."""
    wanted: Any
    try:
        wanted = pa.array(values, pa.type_for_alias(kind))
    except Exception as error:
        with pytest.raises(type(error)):
            arrow_array(values, pa.type_for_alias(kind))
        return
    found = arrow_array(values, pa.type_for_alias(kind))
    found.validate(full=True)
    assert found.type == wanted.type and found.null_count == wanted.null_count
    same = [a == b or (a != a and b != b) for a, b in zip(found.to_pylist(), wanted.to_pylist(), strict=True)]
    assert len(found) == len(wanted) and all(same)


@given(st.lists(st.lists(st.none() | st.floats(), max_size=5), max_size=4))
def test_columns_become_numpys(parts: list[list[float | None]]) -> None:
    column = pa.chunked_array([pa.array(part, pa.float64()) for part in parts], pa.float64())
    values = [value for part in parts for value in part]
    np.testing.assert_array_equal(floats_of(column), [np.nan if value is None else value for value in values])
    assert [a is b or a == b or a != a for a, b in zip(objects_of(column), values, strict=True)].count(False) == 0
    cut = pa.array([*values, 1.0], pa.float64()).slice(len(values))
    assert floats_of(cut).tolist() == [1.0]


def test_a_scalar_is_pyarrows_own() -> None:
    assert arrow_scalar("a", pa.string()) == pa.scalar("a")
    assert not arrow_scalar(None, pa.string()).is_valid


@pytest.mark.parametrize("words", [("run", "-d", "constant", "-s", "{faces}", "--out", "{out}"), ("score", "{rows}")])
def test_pandas_is_not_imported(squares: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("id,label,score\na,0,0.25\nb,1,\nc,1,0.5\n")
    places = {"faces": squares, "out": tmp_path / "out", "rows": rows}
    words = tuple(word.format(**places) for word in words)
    code = f"""
import sys
from m2f2bench.cli.main import main
sys.argv = ["m2f2bench", *{words!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
sys.exit("pandas is imported" if "pandas" in sys.modules else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
