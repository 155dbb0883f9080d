"""Verdicts of one sentence: words, their subjects, negation, conditions and concessions."""

from __future__ import annotations

from dataclasses import dataclass, field

from .polar import turned
from .verdict_words import WORDS

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
        if word in WORDS["plurals"] or word in WORDS["general_nouns"]:
            return not {"this", "these", "here"} & set(sentence[place + 1 : place + 4])
        if word in WORDS["one_of_all"] and place + 1 < len(sentence):
            return any(one in WORDS["usually"] for one in sentence[place : place + 8])
        if not (word in WORDS["before_general"] or word in WORDS["says_real"] or word in WORDS["says_fake"]):
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
            if token in WORDS["compares"]:
                self.compared = COMPARED
            elif token in WORDS["says_real"] or token in WORDS["looks_real"]:
                self._word(place, token, "real")
            elif token in WORDS["says_fake"] or token in WORDS["looks_fake"]:
                self._word(place, token, "fake")
        return self.said

    def _at(self, place: int) -> str:
        return self.tokens[place] if 0 <= place < len(self.tokens) else ""

    def _clause(self, place: int, token: str) -> None:
        """Update negation, condition and concession for a word."""
        before, after = self._at(place - 1), self._at(place + 1)
        if token in WORDS["breaks"] or (
            token in WORDS["opinions"] and (not self.negated or (self.comma and self.held))
        ):
            self.negated = self.condition = self.conceded = self.too = self.comma = self.held = self.possible = False
            self.general = general(self.tokens[place + 1 : place + 21])
            self.subject = self.subject or PICTURE
            self.joined = self.joined and token != ";"
        elif token == "," and self.said and self.said[-1].place == place - 1 and self._opposed(after):
            self.negated = self.held = False
        elif token == ",":
            self.negated = self.negated and (after not in WORDS["negators"] or after == "nor")
            self.comma, self.linked, self.held = True, False, self.negated
            self.condition = self.conceded = self.possible = False
        elif token in WORDS["follows"] and before in (",", "and"):
            self.negated = self.held = False
        elif token == "to" and self.too and before not in WORDS["not_too"]:
            self.negated, self.too = not self.negated, False
        elif token in ("that", "to") and self.comma:
            self.linked = True
        elif token in WORDS["conditions"]:
            self.condition = True
        elif token in WORDS["concedes"]:
            self.conceded, self.negated, self.held = True, False, False
        elif token == "too":
            self.too = True
        elif token == "and":
            self.comma, self.linked, self.held = True, False, self.negated
        if token in WORDS["copulas"]:
            self.copula = place
            if self.comma and not self.linked:
                self.negated = self.negated != self.held
            self.comma = self.held = False
        elif token in WORDS["asserts"] and self.comma and not self.linked:
            self.negated, self.comma, self.held = self.negated != self.held, False, False
        elif token in WORDS["negators"] and not (token == "no" and after in WORDS["interjected"]):
            paired = token == "nor" and self.negated
            self.negated = True if paired else not self.negated
        elif token in WORDS["none_of_any"]:
            self.negated = True
        if token in WORDS["maybe"]:
            self.possible = after != "not"
        self.final = self.final or token in WORDS["concludes"]
        self.joined = self.joined or token in WORDS["alternatives"]

    def _opposed(self, token: str) -> bool:
        """Return whether a word says the opposite of the last verdict's: "not swapped, genuine"."""
        wanted = WORDS["says_real"] if self.said[-1].raw == "fake" else WORDS["says_fake"]
        return token in wanted

    def _noun(self, place: int, token: str) -> None:
        """Update the subject of the clause for a word."""
        before, stated = self._at(place - 1), self._at(place + 1) in WORDS["copulas"]
        if token in WORDS["parts"] or token == "they":
            self.subject = token if token != "they" or self.subject == PICTURE else self.subject
        elif token in WORDS["elsewhere"]:
            self.subject = ""
        elif stated and before in WORDS["articles"] and self._unknown(token):
            self.subject = token
        elif stated and token in ("it", "this") and (not before or before in WORDS["starts"]):
            self.subject = PICTURE
        elif token in WORDS["persons"] and before != "of":
            self.subject = PERSON
        elif (token in WORDS["picture"] or token in WORDS["plurals"]) and before != "source":
            self.subject = PICTURE

    def _unknown(self, token: str) -> bool:
        """Return whether a noun is unknown to the reader: "the podium is real"."""
        known = ("picture", "persons", "deeds", "says_real", "says_fake", "fillers")
        return token.isalpha() and len(token) > 2 and not any(token in WORDS[name] for name in known)

    def _word(self, place: int, token: str, raw: str) -> None:
        """Read one word that may be a verdict."""
        strong = token in WORDS["says_real"] or token in WORDS["says_fake"]
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
        if token not in WORDS["deeds"]:
            return False
        for ahead in range(place + 1, min(place + 9, len(self.tokens))):
            word = self.tokens[ahead]
            if word in WORDS["breaks"] or word == ",":
                return False
            if word in WORDS["absent"]:
                return True
            if word in WORDS["copulas"] or word in WORDS["auxiliaries"]:
                behind = self.tokens[ahead + 1 : ahead + 4]
                return bool({"not", "nowhere"} & set(behind[:2])) or any(one in WORDS["absent"] for one in behind)
        return False

    def _about(self, place: int, token: str) -> str:
        """Return the noun that follows ("fake eyes") if there is one, else the clause's subject; "" for neither."""
        apart = self.copula < place - AHEAD
        for ahead in range(place + 1, place + AHEAD):
            word = self._at(ahead)
            if word in WORDS["elsewhere"] or (word in WORDS["beside"] and ahead == place + 1):
                return ""  # "a fake designer bag"
            if word in WORDS["parts"]:
                return word
            if word in WORDS["persons"]:
                return PICTURE if self._at(ahead + 1) in WORDS["picture"] - WORDS["persons"] else PERSON
            if word in WORDS["plurals"] and apart:
                return ""  # "fake people often look perfect"
            if word in WORDS["picture"] and self.subject == REST and not apart:
                return REST
            if word in WORDS["picture"] or word in WORDS["plurals"]:
                return PICTURE if self.subject or apart else ""
            if not word.isalpha() or word in WORDS["function"]:
                break
        if token not in WORDS["plurals"] or not apart:
            return self.subject
        if place < 2 and len(self.tokens) > 2:
            return ""
        if self._at(place + 1) in WORDS["usually"] | {"are", "have", "do", "were"} and not self.negated:
            return "" if not {"these", "those", "both"} & set(self.tokens[max(0, place - 3) : place]) else self.subject
        return self.subject

    def _says_nothing(self, place: int, about: str) -> bool:
        """Return whether the word is in a condition, a comparison or an idiom that says nothing about this picture."""
        if not about or self.general or self.condition or self.compared > 0:
            return True
        if self._at(place) in WORDS["deeds"] and self._at(place + 1) in WORDS["usually"] - WORDS["maybe"] - {"would"}:
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
        some_fake = {"a", "an", "any"} & set(before) and self._at(place) in WORDS["deeds"] | WORDS["says_fake"]
        if some_fake and self._at(place + 1) in WORDS["maybe"] | {"would"}:
            return True  # "a really good forgery could fool me"
        imagined = before[-1:] in (["a"], ["an"], ["any"]) and "would" in behind and "i" not in behind
        return imagined or bool(WORDS["like"] & set(before) and WORDS["would"] & set(behind))

    def _predicate(self, place: int, about: str) -> bool:
        """Return whether a weak word says how the whole picture is or looks."""
        after = self._at(place + 1)
        ends = not after.isalpha() or after in WORDS["function"]
        between = self.tokens[self.copula + 1 : place] if self.copula >= place - AHEAD else ["?"]
        plain = set(between) <= WORDS["fillers"] | WORDS["negators"] | WORDS["looks_real"]
        return about == PICTURE and ends and plain
