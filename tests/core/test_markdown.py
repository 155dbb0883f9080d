"""Tables and marks in Markdown."""

from __future__ import annotations

from m2f2bench.core.markdown import code, escaped, letter, table


def test_a_table_has_its_columns_in_line() -> None:
    lines = [("a", "n"), ("x|y", "1"), ("z", "1,000")]
    assert table(lines) == "| a    |     n |\n| ---- | ----: |\n| x\\|y |     1 |\n| z    | 1,000 |\n"
    assert table(lines, right=[True, False]).splitlines()[2] == "| x\\|y | 1     |"
    assert table(lines, left=2).splitlines()[1] == "| ---- | ----- |"


def test_text_stands_as_it_is() -> None:
    assert escaped("<b>|a\nb") == "&lt;b>\\|a b"
    assert code("a`b\nc") == "`a'b c`"
    assert [letter(i) for i in (0, 25, 26, 27, 701, 702)] == ["a", "z", "aa", "ab", "zz", "aaa"]
