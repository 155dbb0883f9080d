"""Regular expressions and sets of words that are written in YAML files."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PART = re.compile(r"\{([a-z_]+)\}")
Spelt = str | list[str]
"""A text, or the parts of one."""


def compiled(spelt: str, parts: Mapping[str, Spelt], space: str = " ") -> re.Pattern[str]:
    """Return a regular expression; `{name}` in it is one of `parts`, which may contain others, and a blank `space`."""
    while _PART.search(spelt):
        spelt = _PART.sub(lambda found: f"(?:{joined(parts[found.group(1)])})", spelt)
    return re.compile(spelt.replace(" ", space))


def patterns(held: Mapping[str, Spelt], parts: Mapping[str, Spelt], space: str = " ") -> dict[str, re.Pattern[str]]:
    """Return regular expressions by their names; one in several lines is any of them."""
    return {name: compiled(joined(spelt), parts, space) for name, spelt in held.items()}


def joined(spelt: Spelt, mark: str = "|") -> str:
    """Return the lines of a text as one."""
    return spelt if isinstance(spelt, str) else mark.join(spelt)


def wordset(text: str) -> frozenset[str]:
    """Return words separated by spaces as a set."""
    return frozenset(text.split())


def wordsets(held: Mapping[str, Spelt]) -> dict[str, frozenset[str]]:
    """Return sets of words by their names."""
    return {name: wordset(joined(listed, " ")) for name, listed in held.items()}
