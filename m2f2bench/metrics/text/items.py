"""Answers with their references, each distinct pair once, and texts as words.

Words are split at white space, or they are Penn Treebank tokens as in captioning's evaluation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...core.arrays import Codes, Floats
from . import java
from .java import Unavailable

Pair = tuple[str, tuple[str, ...]]
"""An answer's text and all its references."""
LONGEST = 1000
"""Most words of a text for METEOR and SPICE. Their memory grows with the square of it, and with 24,000 words 2 GB are
too little, which fails for all texts."""
JAR = "stanford-corenlp-3.4.1.jar"
OPTIONS = ("edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase")
"""pycocoevalcap's arguments for the tokenizer."""
KEPT = 1 << 24
"""Characters of texts whose tokens a process keeps: a run meets each reference once for every explainer and control."""
BETWEEN = "zqzqzq"
"""A line between two texts. The tokenizer looks past the end of a line (`No.` before a number keeps its point), and no
text's words may depend on the next text."""
_BREAKS = re.compile("[\x00\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
"""Characters that end a line or a text for Python, Java or the tokenizer."""
_SURROGATES = re.compile("[\ud800-\udfff]")


def shortened(text: str) -> tuple[str, float]:
    """Return a text's first LONGEST words, and the ratio of its length to that: 1 for a text that is not longer."""
    words = text.split()
    return (" ".join(words[:LONGEST]), len(words) / LONGEST) if len(words) > LONGEST else (text, 1.0)


@dataclass(frozen=True, eq=False)
class Items:
    """N answers with references.

    `pairs` are the U distinct ones; `which`, int64 [N], is each item's, -1 for an item without references.
    """

    pairs: tuple[Pair, ...]
    which: Codes

    def spread(self, values: Floats) -> Floats:
        """Expand a value per pair, [U] or [U, K], to one per item, [N] or [N, K]; NaN for items without references."""
        padded = np.concatenate([values, np.full((1, *values.shape[1:]), np.nan)])
        return np.asarray(padded[self.which])


def make_items(texts: Sequence[str], references: Sequence[tuple[str, ...]]) -> Items:
    """Return the items of texts [N] with their references [N], each a tuple that may be empty."""
    found: dict[Pair, int] = {}
    which = [
        found.setdefault((text, tuple(own)), len(found)) if own else -1
        for text, own in zip(texts, references, strict=True)
    ]
    return Items(tuple(found), np.array(which, dtype=np.int64))


def one_line(text: str) -> str:
    """Return the text without line breaks, and with U+FFFD for each surrogate, which UTF-8 cannot encode."""
    return _SURROGATES.sub("\ufffd", _BREAKS.sub(" ", text))


def tokenize(texts: Sequence[str], tokenizer: str) -> dict[str, str]:
    """Return each distinct text with its words joined by single spaces; `tokenizer` is `ptb` or `none`.

    `none` splits at white space and changes nothing else. `ptb` is Stanford's Penn Treebank tokenizer with
    pycocoevalcap's options: lower case, its punctuation left out (brackets stay, as -lrb- and -rrb-: its list has them
    in upper case); each text as if it were the only one. Java is started once for all texts that this process has not
    met before. Raises `Unavailable` if it cannot be started.
    """
    unique = list(dict.fromkeys(texts))
    if tokenizer == "none":
        return {text: " ".join(text.split()) for text in unique}
    punctuation = frozenset(java.counting("tokenizer.ptbtokenizer").PUNCTUATIONS)
    try:
        known = _known_tokens()
        new = [text for text in unique if text not in known]
        lines = _treebank([one_line(text) for text in new])
    except Unavailable as error:
        raise Unavailable(f"the tokenizer ptb {error}, or take a protocol with tokenizer: none") from None
    words = (" ".join(word for word in line.rstrip().split(" ") if word not in punctuation) for line in lines)
    known |= zip(new, words, strict=True)
    return {text: known[text] for text in unique}


_kept: tuple[tuple[object, ...], dict[str, str]] = ((), {})
"""The tokenizer that made the tokens that are kept, and those tokens by text."""


def _known_tokens() -> dict[str, str]:
    """Return the tokens kept of this tokenizer and this Java; none if they are others than before, or too much is kept.

    A text's tokens depend on no other text. Raises `Unavailable` without Java.
    """
    global _kept
    program, package = java.java(), java.jar("tokenizer", JAR)
    made_by = (program, Path(program).stat().st_mtime_ns, package, package.stat().st_mtime_ns)
    if _kept[0] != made_by or sum(len(text) for text in _kept[1]) >= KEPT:
        _kept = (made_by, {})
    return _kept[1]


def _treebank(texts: list[str]) -> list[str]:
    """Return the tokens of each line, as one line each."""
    if not texts:
        return []
    text = f"\n{BETWEEN}\n".join(texts)
    lines = java.run(["-cp", java.jar("tokenizer", JAR), *OPTIONS], text).split("\n")
    if len(lines) == 2 * len(texts) - 1 and all(line.strip() == BETWEEN for line in lines[1::2]):
        return lines[::2]
    if len(texts) == 1:  # a line break that is not one here: still one text
        return [" ".join(lines)]
    middle = len(texts) // 2  # a line is missing or extra: each half alone finds which
    return _treebank(texts[:middle]) + _treebank(texts[middle:])
