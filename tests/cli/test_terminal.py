"""Markdown in a terminal: nothing is wider than the terminal, and nothing is lost."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from m2f2bench.cli.terminal import folded, show
from m2f2bench.core import markdown


def shown(text: str, width: int = 80) -> str:
    out = io.StringIO()
    show(text, Console(file=out, width=width, highlight=False))
    return out.getvalue()


WORD = st.text("abcxyz0189-_.|", min_size=1, max_size=30)
VALUE = st.sampled_from(["0.777† [0.716, 0.841]", "–", "null (no fake)", "**0.812** [0.700, 0.901]", "0.500"])


@given(
    st.integers(1, 12).flatmap(
        lambda n: st.tuples(
            st.lists(WORD, min_size=n, max_size=n),
            st.lists(st.tuples(WORD, st.lists(VALUE, min_size=n, max_size=n)), min_size=1, max_size=5),
        )
    ),
    st.integers(60, 120),
)
def test_a_table_fits_and_keeps_every_value(table: tuple[list[str], list[tuple[str, list[str]]]], width: int) -> None:
    heads, rows = table
    text = markdown.table([["detector", *heads], *([name, *values] for name, values in rows)])
    out = shown(text, width)
    assert all(cell_len(line) <= width for line in out.splitlines())
    numbers = re.findall(r"0\.\d\d\d", text)
    assert sorted(re.findall(r"0\.\d\d\d", out.replace("\n", " "))) >= sorted(numbers)
    assert out.count("[0.716, 0.841]") == sum(values.count("0.777† [0.716, 0.841]") for _, values in rows)


def test_a_narrow_table_is_one_table_and_a_wide_one_repeats_its_names() -> None:
    narrow = shown(markdown.table([["metric", "a"], ["AUC", "0.5"]]))
    assert narrow.splitlines()[0].split() == ["metric", "a"] and len(narrow.splitlines()) == 3
    lines = [["#", "detector", "trained on", *["ddvqa · frame · AUC"] * 6]]
    wide = shown(markdown.table([*lines, ["1", "mine", "theirs", *["0.777 [0.716, 0.841]"] * 6]], 3))
    assert wide.count("[0.716, 0.841]") == 6
    assert wide.count("mine") == wide.count("detector") > 1 and wide.count("theirs") == 1


def test_text_is_wrapped_and_escapes_are_undone() -> None:
    out = shown("## A *head*\n\n- `" + "|".join(["field:value"] * 20) + "`\n- p &lt;.05 and **bold**\n", 60)
    assert all(len(line) <= 60 for line in out.splitlines())
    assert out.startswith("A *head*\n\n- field:value|") and "- p <.05 and bold" in out and "\n  field" in out


@given(st.text("ab -|.\u00e9", max_size=200), st.integers(10, 50))
def test_folding_loses_no_character(text: str, width: int) -> None:
    lines = folded(text, width, "  ")
    assert all(len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_what_is_aligned_stays_aligned() -> None:
    assert folded("  ok   auc      0.5", 30, "    ") == ["  ok   auc      0.5"]
    assert folded("  ok   auc      0.5 and more", 20, "    ") == ["  ok   auc      0.5", "    and more"]


@pytest.mark.parametrize("hostile", ["[bold]x[/bold]", "[link=http://x]y[/link]", ":smile:"])
def test_markup_of_rich_in_a_name_is_text(hostile: str) -> None:
    assert hostile in shown(markdown.table([["name", "n"], [hostile, "1"]])) and hostile in shown(f"{hostile}\n")
