"""Sentences of an answer, and the first one that it says again.

A small LLM that takes the most probable token often falls into a loop, and says one sentence until it is cut off.
"""

from __future__ import annotations

import re

MARKS = ".!?。！？\n"
"""Characters of which one ends a sentence."""
_SENTENCE = re.compile(r"\S.*?(?:[.!?]+(?=\s|$)|[。！？]+|\n)", re.DOTALL)
_WORD = re.compile(r"\w+")


def without_repeats(text: str) -> str:
    """Return the text up to the first sentence that it has said before; the same text if there is none.

    Two sentences are the same if they have the same words, in upper or lower case. One word is not a sentence, and
    what has no end yet is not one either. Marks without words before the repetition are left out with it.
    """
    said: set[tuple[str, ...]] = set()
    end = 0
    for found in _SENTENCE.finditer(text):
        words = tuple(_WORD.findall(found[0].casefold()))
        if len(words) > 1 and words in said:
            return text[:end]
        if words:
            said.add(words)
            end = found.end()
    return text
