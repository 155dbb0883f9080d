"""Texts as words: white space alone, or the Penn Treebank's tokens as captioning's evaluation takes them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from . import java
from .java import Unavailable

JAR = "stanford-corenlp-3.4.1.jar"
OPTIONS = ("edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase")
"""What pycocoevalcap calls the tokenizer with."""
BETWEEN = "zqzqzq"
"""A line between two texts. The tokenizer looks past the end of a line (`No.` before a number keeps its point), and no
text's words may depend on which text comes next."""
_BREAKS = re.compile("[\x00\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
"""What Python, Java or the tokenizer takes for the end of a line or of a text."""
_SURROGATES = re.compile("[\ud800-\udfff]")


def one_line(text: str) -> str:
    """The text without anything that ends a line, and with U+FFFD for each half of a character that UTF-8 has not."""
    return _SURROGATES.sub("\ufffd", _BREAKS.sub(" ", text))


def tokenize(texts: Sequence[str], tokenizer: str) -> dict[str, str]:
    """Each distinct text to its words joined by single spaces, `tokenizer` being `ptb` or `none`.

    `none` splits at white space and changes nothing else. `ptb` is Stanford's Penn Treebank tokenizer as pycocoevalcap
    calls it: lower case, its punctuation left out (brackets stay, as -lrb- and -rrb-: its list has them in upper case);
    each text as if it were the only one. Java is started once for all. Raises `Unavailable` where it cannot be.
    """
    unique = list(dict.fromkeys(texts))
    if tokenizer == "none":
        return {text: " ".join(text.split()) for text in unique}
    punctuation = frozenset(java.counting("tokenizer.ptbtokenizer").PUNCTUATIONS)
    try:
        lines = _treebank([one_line(text) for text in unique])
    except Unavailable as error:
        raise Unavailable(f"the tokenizer ptb {error}, or take a protocol with tokenizer: none") from None
    words = (" ".join(word for word in line.rstrip().split(" ") if word not in punctuation) for line in lines)
    return dict(zip(unique, words, strict=True))


def _treebank(texts: list[str]) -> list[str]:
    """The tokens of each line, as one line each."""
    if not texts:
        return []
    text = f"\n{BETWEEN}\n".join(texts)
    lines = java.run(["-cp", java.jar("tokenizer", JAR), *OPTIONS], text).split("\n")
    if len(lines) == 2 * len(texts) - 1 and all(line.strip() == BETWEEN for line in lines[1::2]):
        return lines[::2]
    if len(texts) == 1:  # a line break that is none to us: one text all the same
        return [" ".join(lines)]
    middle = len(texts) // 2  # some line has gone or come: each half by itself finds which
    return _treebank(texts[:middle]) + _treebank(texts[middle:])
