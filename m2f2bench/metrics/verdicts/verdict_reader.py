"""Reader of verdicts: first the stated form of an answer, then its prose, then why it says neither."""

from __future__ import annotations

import re
import unicodedata

from ..languages.gloss import in_english
from . import verdict_words as words
from .objects import is_object
from .polar import OPEN
from .prose import read_prose
from .stated import stated, tagged, without_thought

_MARKUP = str.maketrans(dict.fromkeys('*_#"“”`', " "))
_TAGS = re.compile(r"<[^<>\n]{0,40}>|[^\w\s.']")
_UNTICKED = re.compile(r"(?:☐|\[\s?\])[^\n☐☑☒✅✓✔\[]*")
"""A box that is not ticked, with its words, which are not the verdict."""
_QUESTION = re.compile(r"[^.!?\n]*\?")


def read(text: str) -> str:
    """Return the verdict of an answer of limited length; see `verdict.read_verdict`."""
    plain = without_thought(unicodedata.normalize("NFKC", text).replace("’", "'").lower())
    inner = tagged(in_english(plain)) or tagged(plain)
    if inner is not None and (found := _read(inner)) in ("real", "fake"):
        return found
    found = _read(plain)
    if found in ("real", "fake"):
        return found
    said = in_english(_QUESTION.sub(" ", plain).translate(_MARKUP))
    if OPEN.fullmatch(_TAGS.sub(" ", said).strip(" \n.'")):
        return "undetermined"
    if words.REFUSES.search(" ".join(said.split())):
        return "refused"
    if found:
        return found
    return "undetermined" if words.UNDECIDED.search(words.RESTATED.sub(" ", " ".join(said.split()))) else "unreadable"


def _read(text: str) -> str:
    """Return `real`, `fake` or `undetermined`, from a form or prose; "" without a verdict."""
    found = stated(in_english(text), read_prose)
    return found if found or is_object(text) else read_prose(_UNTICKED.sub(" ", text))
