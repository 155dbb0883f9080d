"""Verdicts of one sentence: words, their subjects, negation, conditions and concessions."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import verdict_words as words
from .polar import turned

PICTURE = "picture"
PERSON = "person"
REST = "rest"
AHEAD = 4
"""Number of words examined before and after the current one."""
APART = 8
"""Most words between two alternatives ("a real photo or has it been manipulated")."""
COMPARED = 6
"""Number of words that a comparison ("unlike a real photo") covers."""


def general(sentence: list[str]) -> bool:
    """Return whether a sentence begins with pictures in general: "modern deepfakes can …", "real images usually …"."""
    for place, word in enumerate(sentence[:12]):
        if word in words.PLURALS or word in words.GENERAL_NOUNS:
            return not {"this", "these", "here"} & set(sentence[place + 1 : place + 4])
        if word in words.ONE_OF_ALL and place + 1 < len(sentence):
            return any(one in words.USUALLY for one in sentence[place : place + 8])
        if not (word in words.BEFORE_GENERAL or word in words.SAYS_REAL or word in words.SAYS_FAKE):
            return False
    return False


@dataclass(frozen=True)
class Said:
    """One verdict: about the `picture`, the `person` or a part, in a strong word or a weak one; see `read_prose`."""

    verdict: str
    about: str
    strong: bool
    conceded: bool = False
    possible: bool = False
    final: bool = False
    raw: str = ""
    place: int = -99


@dataclass
class SentenceReader:
    """Reads one sentence once, with the state of the current clause."""

    tokens: list[str]
    excepted: int = -1
    """Place of the last "except"."""
    general: bool = False
    """Whether it is about pictures in general, and so says nothing about this one."""
    negated: bool = False
    possible: bool = False
    final: bool = False
    asked: str = ""
    """The last verdict in a condition ("whether it is fake"), which "it is not" may answer."""
    condition: bool = False
    conceded: bool = False
    too: bool = False
    comma: bool = False
    """Whether a comma came before, after which a new clause may begin; until then, `held` keeps the negation before
    it."""
    held: bool = False
    linked: bool = False
    compared: int = 0
    subject: str = PICTURE
    copula: int = -99
    joined: bool = False
    said: list[Said] = field(default_factory=list)

    def read(self) -> list[Said]:
        """Return all verdicts of the sentence, in order."""
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
        """Update negation, condition and concession for a word."""
        before, after = self._at(place - 1), self._at(place + 1)
        if token in words.BREAKS or (token in words.OPINIONS and (not self.negated or (self.comma and self.held))):
            self.negated = self.condition = self.conceded = self.too = self.comma = self.held = self.possible = False
            self.general = general(self.tokens[place + 1 : place + 21])
            self.subject = self.subject or PICTURE
            self.joined = self.joined and token != ";"
        elif token == "," and self.said and self.said[-1].place == place - 1 and self._opposed(after):
            self.negated = self.held = False
        elif token == ",":
            self.negated = self.negated and (after not in words.NEGATORS or after == "nor")
            self.comma, self.linked, self.held = True, False, self.negated
            self.condition = self.conceded = self.possible = False
        elif token in words.FOLLOWS and before in (",", "and"):
            self.negated = self.held = False
        elif token == "to" and self.too and before not in _TO:
            self.negated, self.too = not self.negated, False
        elif token in ("that", "to") and self.comma:
            self.linked = True
        elif token in words.CONDITIONS:
            self.condition = True
        elif token in words.CONCEDES:
            self.conceded, self.negated, self.held = True, False, False
        elif token == "too":
            self.too = True
        elif token == "and":
            self.comma, self.linked, self.held = True, False, self.negated
        if token in words.COPULAS:
            self.copula = place
            if self.comma and not self.linked:
                self.negated = self.negated != self.held
            self.comma = self.held = False
        elif token in words.ASSERTS and self.comma and not self.linked:
            self.negated, self.comma, self.held = self.negated != self.held, False, False
        elif token in words.NEGATORS and not (token == "no" and after in _INTERJECTED):
            paired = token == "nor" and self.negated
            self.negated = True if paired else not self.negated
        elif token in words.NONE_OF_ANY:
            self.negated = True
        if token in words.MAYBE:
            self.possible = after != "not"
        self.final = self.final or token in words.CONCLUDES
        self.joined = self.joined or token in words.ALTERNATIVES

    def _opposed(self, token: str) -> bool:
        """Return whether a word says the opposite of the last verdict's: "not swapped, genuine"."""
        wanted = words.SAYS_REAL if self.said[-1].raw == "fake" else words.SAYS_FAKE
        return token in wanted

    def _noun(self, place: int, token: str) -> None:
        """Update the subject of the clause for a word."""
        if token in words.PARTS or token == "they":
            self.subject = token if token != "they" or self.subject == PICTURE else self.subject
        elif token in words.ELSEWHERE:
            self.subject = ""
        elif (
            place and self._at(place - 1) in _ARTICLES and self._at(place + 1) in words.COPULAS and self._unknown(token)
        ):
            self.subject = token
        elif token in ("it", "this") and self._at(place + 1) in words.COPULAS and self._at(place - 1) in _STARTS:
            self.subject = PICTURE
        elif token in words.PERSONS and self._at(place - 1) != "of":
            self.subject = PERSON
        elif (token in words.PICTURE or token in words.PLURALS) and self._at(place - 1) != "source":
            self.subject = PICTURE

    def _unknown(self, token: str) -> bool:
        """Return whether a noun is unknown to the reader: "the podium is real"."""
        known = (words.PICTURE, words.PERSONS, words.DEEDS, words.SAYS_REAL, words.SAYS_FAKE, words.FILLERS)
        return token.isalpha() and len(token) > 2 and not any(token in held for held in known)

    def _word(self, place: int, token: str, raw: str) -> None:
        """Read one word that may be a verdict."""
        strong = token in words.SAYS_REAL or token in words.SAYS_FAKE
        about = self._about(place, token)
        if about == PICTURE and place < self.excepted:
            about = REST
        earlier = self.said[-1] if self.said else None
        near = earlier is not None and earlier.raw != raw and place - earlier.place <= APART
        together = near and place - earlier.place == 2 and self._at(place - 1) in ("and", "from") if earlier else False
        if near and (self.joined or together):
            self.said.pop()
            self.joined = False
            return
        self.joined = False
        verdict = turned(raw) if self.negated != self._denied_behind(place, token) else raw
        if self._says_nothing(place, about) or not (strong or self._predicate(place, about)):
            self.asked = verdict if (self.condition and about) or self.general or not about else self.asked
            return
        conceded = self.conceded or "initially" in self.tokens[place + 1 : place + 3]
        self.said.append(Said(verdict, about, strong, conceded, self.possible, self.final, raw, place))

    def _denied_behind(self, place: int, token: str) -> bool:
        """Return whether a noun is denied afterwards: "manipulation is not evident", "signs of forgery are absent"."""
        if token not in words.DEEDS:
            return False
        for ahead in range(place + 1, min(place + 9, len(self.tokens))):
            word = self.tokens[ahead]
            if word in words.BREAKS or word == ",":
                return False
            if word in words.ABSENT:
                return True
            if word in words.COPULAS or word in words.AUXILIARIES:
                behind = self.tokens[ahead + 1 : ahead + 4]
                return bool({"not", "nowhere"} & set(behind[:2])) or any(one in words.ABSENT for one in behind)
        return False

    def _about(self, place: int, token: str) -> str:
        """Return the noun that follows ("fake eyes") if there is one, else the clause's subject; "" for neither."""
        for ahead in range(place + 1, place + AHEAD):
            word = self._at(ahead)
            if word in words.BESIDE and ahead == place + 1:
                return ""
            if word in words.ELSEWHERE:
                return ""  # "a fake designer bag"
            if word in words.PARTS:
                return word
            if word in words.PERSONS:
                return PICTURE if self._at(ahead + 1) in words.PICTURE - words.PERSONS else PERSON
            if word in words.PLURALS and self.copula < place - AHEAD:
                return ""  # "fake people often look perfect"
            if word in words.PICTURE and self.subject == REST and self.copula >= place - AHEAD:
                return REST
            if word in words.PICTURE or word in words.PLURALS:
                return PICTURE if self.subject or self.copula < place - AHEAD else ""
            if not word.isalpha() or word in _FUNCTION:
                break
        if token in words.PLURALS and self.copula < place - AHEAD and place < 2 and len(self.tokens) > 2:
            return ""
        if (
            token in words.PLURALS
            and self._at(place + 1) in _GENERALLY
            and self.copula < place - AHEAD
            and not self.negated
        ):
            return "" if not {"these", "those", "both"} & set(self.tokens[max(0, place - 3) : place]) else self.subject
        return self.subject

    def _says_nothing(self, place: int, about: str) -> bool:
        """Return whether the word is in a condition, a comparison or an idiom that says nothing about this picture."""
        if not about or self.general or self.condition or self.compared > 0:
            return True
        if self._at(place) in words.DEEDS and self._at(place + 1) in words.USUALLY - words.MAYBE - {"would"}:
            return True  # "the regions in which manipulation usually shows"
        if self._at(place + 1) == "or" and self._at(place + 2) in ("not", "otherwise"):
            return True
        before = self.tokens[max(0, place - AHEAD + 1) : place]
        if before and (before[-1] == "in" or before[-2:] in (["in", "a"], ["in", "the"], ["in", "an"])):
            return True
        if "of" in before[-2:] and self.said and place - self.said[-1].place <= APART:
            return True  # "a manipulated photo of a real person"
        behind = self.tokens[place + 1 : place + 1 + AHEAD]
        behind = behind[: behind.index(",")] if "," in behind else behind
        article = {"a", "an", "any"} & set(before)
        if (
            article
            and self._at(place) in words.DEEDS | words.SAYS_FAKE
            and self._at(place + 1) in words.MAYBE | {"would"}
        ):
            return True  # "a really good forgery could fool me"
        imagined = before[-1:] in (["a"], ["an"], ["any"]) and "would" in behind and "i" not in behind
        return imagined or (any(word in _LIKE for word in before) and any(word in _WOULD for word in behind))

    def _predicate(self, place: int, about: str) -> bool:
        """Return whether a weak word says how the whole picture is or looks."""
        after = self._at(place + 1)
        ends = not after.isalpha() or after in _FUNCTION
        between = self.tokens[self.copula + 1 : place] if self.copula >= place - AHEAD else ["?"]
        plain = all(word in words.FILLERS or word in words.NEGATORS or word in words.LOOKS_REAL for word in between)
        return about == PICTURE and ends and plain


_ARTICLES = frozenset(["the", "his", "her", "its", "their"])
_STARTS = frozenset([",", ";", ":", "—", "(", "", "so", "and", "but"])
_TO = frozenset(["relative", "compared", "due", "owing", "close", "next", "similar", "thanks"])
_INTERJECTED = frozenset([",", "it", "this", "the", "that", "they", "i", ":", "—"])
_FUNCTION = words.wordset(
    "and or but because since as to for in on at of due with by is are was were be has have the a an it this that than "
    "which who while although though overall here if so when due enough rather not"
)
_GENERALLY = words.USUALLY | {"are", "have", "do", "were"}
_LIKE = frozenset(("as", "like", "how", "what"))
_WOULD = frozenset(("would", "do", "does", "should"))
