"""What an answer in words says of an image: real, fake or neither; and how often that is right."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..records import FAKE, REAL
from . import verdict_words as words
from .statistic import Bools, Codes, Statistic, Sums, mean_of, ratio

if TYPE_CHECKING:
    from ..records import Floats

VERDICTS = ("real", "fake", "none")
PICTURE = "picture"
AHEAD = 4
"""Words that are looked at before and behind the one at hand."""
APART = 8
"""Two alternatives ("a real photo or has it been manipulated") stand at most so many words apart."""
COMPARED = 6
"""A comparison ("unlike a real photo") reaches so many words."""

_TAG = re.compile(r"<[^<>\n]{0,40}>")
_SPACES = re.compile(r"[^\S\n]+")
_PLAIN: dict[str, str | None] = dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad")
_PLAIN |= {"’": "'", "‘": "'", "ʼ": "'", "`": " ", "–": "—", "*": " ", "_": " ", "#": " ", '"': " ", "“": " ", "”": " "}
_QUOTES = str.maketrans(_PLAIN)
_TOKEN = re.compile(r"\d+(?:\.\d+)?%?|[^\W\d_]+|[.?!\n,;:()/|—']")
_ENDS = frozenset(".?!\n")


def substring_verdict(text: str) -> str:
    """`real` where the lower-cased text contains "real", else `fake`: the rule of M2F2-Det's evaluation.

    It takes "unrealistic" for real and anything without either word for fake. Kept to compare with.
    """
    return "real" if "real" in text.lower() else "fake"


def read_verdict(text: str) -> str:
    """`real`, `fake` or `none`, by words and negation.

    Words such as *genuine* and *manipulated* count whatever they are said of; *realistic*, *natural* and their
    opposites only where the whole picture is said to be or look so. A negation turns what follows it in its clause.
    No verdict are questions, alternatives ("real or fake"), conditions ("whether", "if it were"), comparisons
    ("unlike a real face"), and a mere yes or no. A verdict on the picture or the person goes before those on parts of
    the face; of several on the picture the last one counts, except those that are only conceded ("although it looks
    real"). Of parts alone, the answer is fake where one is called fake. Reads each word once: time is linear in the
    text.
    """
    found = _said(text)
    main = [said for said in found if not said.conceded]
    whole = [said.verdict for said in main if said.about == PICTURE and said.strong]
    if whole:
        return whole[-1]
    last = {said.about: said.verdict for said in main}
    if last:
        return "fake" if "fake" in last.values() else "real"
    return found[-1].verdict if found else "none"


def verdicts_by_subject(text: str) -> dict[str, str]:
    """The last verdict, `real` or `fake` in a strong word, on each thing: `picture`, or a part by the answer's word."""
    return {said.about: said.verdict for said in _said(text) if said.strong and not said.conceded}


def _said(text: str) -> list[_Said]:
    return [said for sentence in sentences(text) for said in _Reader(sentence).read()]


VERDICT_RULES: dict[str, Callable[[str], str]] = {"words": read_verdict, "substring": substring_verdict}
"""A protocol's `verdict` to the rule."""


def normalised(text: str) -> str:
    """Lower case, without markup, plain quotes, and with the turns of `verdict_words.JOINED` made one word."""
    plain = _TAG.sub(" ", unicodedata.normalize("NFKC", text).lower().translate(_QUOTES))
    plain = _SPACES.sub(" ", plain)
    for pattern, put in words.PATTERNS:
        plain = pattern.sub(put, plain)
    return plain


def sentences(text: str) -> Iterator[list[str]]:
    """The words and marks of each sentence that is no question."""
    sentence: list[str] = []
    for token in _TOKEN.findall(normalised(text)):
        if token not in _ENDS:
            sentence.append(token)
            continue
        if token != "?" and sentence:
            yield sentence
        sentence = []
    if sentence:
        yield sentence


@dataclass(frozen=True)
class _Said:
    """One verdict: of the `picture` or of a part, in a strong word or a weak one, in a concession or not."""

    verdict: str
    about: str
    strong: bool
    conceded: bool
    raw: str
    place: int


@dataclass
class _Reader:
    """Goes through one sentence once, with what is known so far of the clause."""

    tokens: list[str]
    negated: bool = False
    condition: bool = False
    conceded: bool = False
    too: bool = False
    comma: bool = False
    """A comma was seen, after which a new clause may begin; `held` is the negation before it, kept till then."""
    held: bool = False
    linked: bool = False
    compared: int = 0
    subject: str = PICTURE
    copula: int = -99
    joined: bool = False
    said: list[_Said] = field(default_factory=list)

    def read(self) -> list[_Said]:
        """All verdicts of the sentence, in order."""
        for place, token in enumerate(self.tokens):
            self._clause(place, token)
            self._noun(place, token)
            self.compared = max(0, self.compared - 1)
            if token in words.COMPARES:
                self.compared = COMPARED
            elif token in words.SAYS_REAL or token in words.LOOKS_REAL:
                self._word(place, token, "real")
            elif token in words.SAYS_FAKE or token in words.LOOKS_FAKE:
                self._word(place, token, "fake")
        return self.said

    def _at(self, place: int) -> str:
        return self.tokens[place] if 0 <= place < len(self.tokens) else ""

    def _clause(self, place: int, token: str) -> None:
        """What a word does to negation, condition and concession."""
        before, after = self._at(place - 1), self._at(place + 1)
        if token in words.BREAKS or (token in words.OPINIONS and not self.negated):
            self.negated = self.condition = self.conceded = self.too = self.comma = self.held = False
        elif token == ",":
            self.comma, self.linked, self.held = True, False, self.negated
            self.condition = self.conceded = False
        elif token in words.FOLLOWS and before in (",", "and"):
            self.negated = self.held = False
        elif token in ("that", "to") and self.comma:
            self.linked = True
        elif token in words.CONDITIONS:
            self.condition = True
        elif token in words.CONCEDES:
            self.conceded, self.negated, self.held = True, False, False
        elif token == "too":
            self.too = True
        elif token == "to" and self.too:
            self.negated, self.too = not self.negated, False
        elif token == "and":
            self.comma, self.linked, self.held = True, False, self.negated
        if token in words.COPULAS:
            self.copula = place
            if self.comma and not self.linked:
                self.negated = self.negated != self.held
            self.comma = self.held = False
        elif token in words.NEGATORS and not (token == "no" and after in _INTERJECTED):
            paired = token == "nor" and self.negated
            self.negated = True if paired else not self.negated
        self.joined = self.joined or token in words.ALTERNATIVES

    def _noun(self, place: int, token: str) -> None:
        """What the clause is about from here on."""
        if token in words.PARTS or token == "they":
            self.subject = token if token != "they" or self.subject == PICTURE else self.subject
        elif token in words.PICTURE or token in words.PLURALS:
            self.subject = PICTURE

    def _word(self, place: int, token: str, raw: str) -> None:
        """One word that may be a verdict."""
        strong = token in words.SAYS_REAL or token in words.SAYS_FAKE
        about = self._about(place, token)
        earlier = self.said[-1] if self.said else None
        near = earlier is not None and earlier.raw != raw and place - earlier.place <= APART
        together = near and place - earlier.place == 2 and self._at(place - 1) in ("and", "from") if earlier else False
        if near and (self.joined or together):
            self.said.pop()
            self.joined = False
            return
        self.joined = False
        if self._says_nothing(place, about) or not (strong or self._predicate(place, about)):
            return
        verdict = raw if not self.negated else ("fake" if raw == "real" else "real")
        conceded = self.conceded or "initially" in self.tokens[place + 1 : place + 3]
        self.said.append(_Said(verdict, about, strong, conceded, raw, place))

    def _about(self, place: int, token: str) -> str:
        """The noun that follows ("fake eyes") where there is one, else what the clause is about; empty: nothing."""
        for ahead in range(place + 1, place + AHEAD):
            word = self._at(ahead)
            if word in words.BESIDE and ahead == place + 1:
                return ""
            if word in words.PARTS:
                return word
            if word in words.PLURALS and self.copula < place - AHEAD:
                return ""  # "fake people often look perfect"
            if word in words.PICTURE or word in words.PLURALS:
                return PICTURE
            if not word.isalpha() or word in _FUNCTION:
                break
        if token in words.PLURALS and self.copula < place - AHEAD and place < 2 and len(self.tokens) > 2:
            return ""
        return self.subject

    def _says_nothing(self, place: int, about: str) -> bool:
        """Whether the word stands in a condition, a comparison or a turn that says nothing of this picture."""
        if not about or self.condition or self.compared > 0:
            return True
        if self._at(place + 1) == "or" and self._at(place + 2) in ("not", "otherwise"):
            return True
        before = self.tokens[max(0, place - AHEAD + 1) : place]
        if before and (before[-1] == "in" or before[-2:] in (["in", "a"], ["in", "the"], ["in", "an"])):
            return True
        if "of" in before[-2:] and self.said and place - self.said[-1].place <= APART:
            return True  # "a manipulated photo of a real person"
        behind = self.tokens[place + 1 : place + 1 + AHEAD]
        behind = behind[: behind.index(",")] if "," in behind else behind
        imagined = before[-1:] in (["a"], ["an"], ["any"]) and "would" in behind and "i" not in behind
        return imagined or (any(word in _LIKE for word in before) and any(word in _WOULD for word in behind))

    def _predicate(self, place: int, about: str) -> bool:
        """Whether a weak word is what the whole picture is said to be or look."""
        after = self._at(place + 1)
        ends = not after.isalpha() or after in _FUNCTION
        between = self.tokens[self.copula + 1 : place] if self.copula >= place - AHEAD else ["?"]
        plain = all(word in words.FILLERS or word in words.NEGATORS or word in words.LOOKS_REAL for word in between)
        return about == PICTURE and ends and plain


_INTERJECTED = frozenset([",", "it", "this", "the", "that", "they", "i", ":", "—"])
_FUNCTION = words.wordset(
    "and or but because since as to for in on at of due with by is are was were be has have the a an it this that than "
    "which who while although though overall here if so when due enough rather not"
)
_LIKE = frozenset(("as", "like", "how", "what"))
_WOULD = frozenset(("would", "do", "does", "should"))


def verdict_statistics(verdicts: Sequence[str], labels: Codes, asked: Bools) -> dict[str, Statistic]:
    """`verdict_accuracy`, `verdict_balanced_accuracy`, `verdict_f1` and `verdict_none_rate` of verdicts [N].

    `labels` int64 [N] are 0 (real) or 1 (fake); items that were not `asked` for a verdict, bool [N], add nothing. A
    verdict `none` is never left out: it is wrong in the accuracies, of which the balanced one is the mean of the shares
    of reals and of fakes that are right, NaN where one of the two is absent. In F1, with fake as the positive class,
    2 tp / (2 tp + fp + fn), a fake without a verdict is a miss (fn), and a real without one is no false alarm (fp):
    nobody called it fake; without any fake F1 is NaN. Raises ValueError for a verdict that is none of `VERDICTS`.
    """
    if odd := sorted(set(verdicts) - set(VERDICTS)):
        raise ValueError(f"verdict {odd[0]!r} is none of {', '.join(VERDICTS)}")
    said = np.array(verdicts, dtype=object)
    real, fake = labels == REAL, labels == FAKE
    right = (real & (said == "real")) | (fake & (said == "fake"))
    none = said == "none"
    accuracy = mean_of(np.where(asked, right, np.nan).astype(np.float64))
    halves = np.column_stack([real & right, real, fake & right, fake]).astype(np.float64)
    counts = np.column_stack([fake & right, real & (said == "fake"), fake & ~right]).astype(np.float64)
    return {
        "verdict_accuracy": accuracy,
        "verdict_balanced_accuracy": Sums(halves, _balanced, asked),
        "verdict_f1": Sums(counts, f1_of, asked),
        "verdict_none_rate": mean_of(np.where(asked, none, np.nan).astype(np.float64)),
    }


def _balanced(sums: Floats) -> Floats:
    return (ratio(sums[0], sums[1]) + ratio(sums[2], sums[3])) / 2.0


def f1_of(sums: Floats) -> Floats:
    """F1 from true positives, false positives and false negatives, [3, B] → [B].

    NaN where there is nothing to find (no true positive, no false negative), as on real images alone.
    """
    found = ratio(2.0 * sums[0], 2.0 * sums[0] + sums[1] + sums[2])
    return np.asarray(np.where(sums[0] + sums[2] > 0.0, found, np.nan))
