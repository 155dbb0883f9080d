"""Verdicts that are chosen: ticked boxes, a number of a legend, a letter of options, the former or the latter."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from .verdict_words import FORMS

Read = Callable[[str], str]
"""Function that reads the words of one choice: `real`, `fake`, `undetermined` or "" for neither."""
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def from_ticks(text: str) -> str:
    """Return the ticked one of "real ✅ / fake ❌" or "[x] fake"; all marks are before their names, or all after."""
    found = [str(match.lastgroup) for match in FORMS["ticked"].finditer(text)]
    if not {"yes", "no"} & set(found):
        return ""
    before = found[0] in ("yes", "no")
    pairs = [(one, two) if before else (two, one) for one, two in pairwise(found)]
    ticked = {name for mark, name in pairs if mark == "yes" and name not in ("yes", "no")}
    return ticked.pop() if len(ticked) == 1 else ""


def from_legend(text: str, read: Read) -> str:
    """Return the word for the number in "Label: 0 (0 = pristine, 1 = manipulated)"."""
    legend = {
        number: found for number, word in FORMS["legend"].findall(text) if (found := read(word)) in ("real", "fake")
    }
    if set(legend.values()) != {"real", "fake"}:
        return ""
    plain = FORMS["legend"].sub(" ", text)
    chosen = [number for number in FORMS["lone"].findall(plain) if number in legend]
    return legend[chosen[0]] if len(set(chosen)) == 1 else ""


def from_scale(text: str, read: Read) -> str:
    """Return the nearer end for "on a scale from 0 (certainly real) to 100 (certainly fake): 3"."""
    scale = FORMS["scale"].search(text)
    if scale is None:
        return ""
    low, high, given = (_number(scale.group(name)) for name in ("low", "high", "given"))
    ends = read(scale.group("first")), read(scale.group("last"))
    if set(ends) != {"real", "fake"} or not low <= given <= high:
        return ""
    return "undetermined" if 2 * given == low + high else ends[2 * given > low + high]


def _number(word: str) -> float:
    return float(_NUMBERS.index(word) if word in _NUMBERS else word)


def from_options(text: str, read: Read) -> str:
    """Return the chosen option of "(A) real (B) fake … I choose A"."""
    options = {letter: found for letter, words in FORMS["option"].findall(text) if (found := read(words))}
    if not {"real", "fake"} <= set(options.values()):
        return ""
    chosen = [letter for letter in FORMS["chosen"].findall(text) if letter in options]
    return options[chosen[-1]] if chosen else ""


def from_order(text: str, read: Read) -> str:
    """Return the chosen alternative of "real or manipulated … the latter"."""
    named = FORMS["alternatives"].search(text)
    if named is None:
        return ""
    both = [read(word) for word in named.groups()]
    if set(both) != {"real", "fake"}:
        return ""
    meant = list(FORMS["ordinal"].finditer(text, named.end())) or list(
        FORMS["ordinal"].finditer(text, 0, named.start())
    )
    if not meant:
        return ""
    place = 0 if (meant[-1].group(2) or meant[-1].group(3)) in ("former", "first") else 1
    return both[1 - place if meant[-1].group(1) else place]
