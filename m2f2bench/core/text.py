"""Text made fit to be shown or stored: shortened, in one line, without control characters, valid UTF-8."""

from __future__ import annotations

import re
from typing import Any

UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Characters that are invisible and change how the text around them is shown, and halves of surrogate pairs."""
LONGEST_SHOWN = 40
"""Characters of a text that a message shows."""
LARGEST = 2**63
"""Whole numbers are smaller than this in absolute value."""

JOINT = re.compile(r"\+(?!\+?:)")
"""The `+` between two people; the one in a corpus's name (`FaceForensics++:033`) is not."""


def is_text(text: str) -> bool:
    """Return whether a text can be written as UTF-8; one with half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def in_utf8(text: str) -> str:
    """Return a text that can be written as UTF-8; the bytes of a file's name that cannot become escapes (`\\udcff`)."""
    return text if text.isascii() or is_text(text) else text.encode("utf-8", "backslashreplace").decode()


def split_people(joined: str) -> list[str]:
    """Return the people whose names are joined by `+`: `a+b`, or with their corpus `FaceForensics++:033+Mine:a`."""
    if not joined:
        return []
    return JOINT.split(joined) if "+:" in joined else joined.split("+")


def without_surrogates(text: str) -> str:
    """Return a text that can be written as UTF-8; halves of surrogate pairs become question marks."""
    return text.encode("utf-8", "replace").decode()


def visible(text: str, keep: str = "") -> str:
    """Return a text without the characters that a terminal or an editor may act on: they become escapes.

    These are control characters except those in `keep` (such as newlines), marks of writing direction, line
    separators, and halves of surrogate pairs.
    """

    def escape(found: re.Match[str]) -> str:
        code = ord(found[0])
        return found[0] if found[0] in keep else f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"

    return text if text.isascii() and text.isprintable() else UNSEEN.sub(escape, text)


def in_one_line(text: str) -> str:
    """Return a text in one line, each run of white space as one space, without control characters."""
    return visible(" ".join(text.split()))


def cut(text: str, longest: int = LONGEST_SHOWN) -> str:
    """Return a text of at most `longest` characters; `...` stands for the rest."""
    return text if len(text) <= longest else text[: longest - 3] + "..."


def quoted(value: Any, longest: int = LONGEST_SHOWN) -> str:
    """Return a value as a message shows it: short and in one line; of a container only its kind ("a list")."""
    if isinstance(value, str):
        return repr(cut(value, longest))
    if value is None or isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < LARGEST):
        return repr(value)
    kinds = {dict: "a mapping", list: "a list", tuple: "a list", int: "a very long number"}
    return kinds.get(type(value), f"a {type(value).__name__}")
