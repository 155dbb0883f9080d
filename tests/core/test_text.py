"""Text made fit to be shown: the same rules for every message."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from m2f2bench.core.text import LONGEST_SHOWN, UNSEEN, cut, in_one_line, in_utf8, is_text, quoted, without_surrogates

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=[]), max_size=200)


@given(ANY_TEXT)
def test_whatever_a_text_holds_it_can_be_written_afterwards(text: str) -> None:
    assert is_text(in_utf8(text)) and is_text(without_surrogates(text))
    assert len(without_surrogates(text)) == len(text)
    if is_text(text):
        assert in_utf8(text) == without_surrogates(text) == text


@given(ANY_TEXT)
def test_one_line_has_nothing_that_a_terminal_acts_on(text: str) -> None:
    line = in_one_line(text)
    assert not UNSEEN.search(line) and line == line.strip() and "  " not in line


@given(ANY_TEXT, st.integers(4, 80))
def test_a_cut_text_is_short_and_begins_as_the_whole(text: str, longest: int) -> None:
    short = cut(text, longest)
    assert len(short) <= longest
    assert short == text or (len(text) > longest and short.endswith("...") and text.startswith(short[:-3]))


def test_values_in_messages() -> None:
    assert quoted("a\nb") == "'a\\nb'"
    assert quoted("x" * 100) == repr("x" * (LONGEST_SHOWN - 3) + "...")
    assert [quoted(one) for one in (None, True, 0.5, 7)] == ["None", "True", "0.5", "7"]
    assert quoted(10**30) == "a very long number" and quoted([1]) == "a list" and quoted({}) == "a mapping"
    assert quoted(b"") == "a bytes"
