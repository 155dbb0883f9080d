"""Verdicts that an answer gives in prose: sentence by sentence, by words, what they are said of, and negation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from . import verdict_words as words
from .gloss import in_english

PICTURE = "picture"
PERSON = "person"
REST = "rest"
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
SHORTEST = 3
"""A first sentence of so few words ("Likely fake.") is a conclusion."""
PLAIN = 6
"""A sentence of so few words about the picture ("the image is fake") is one, too."""
_IT = r"(?:it|this one|this|that|they|these|the (?:image|photo|picture|face|video))"
_REPLY = re.compile(
    rf"(?:(?:sadly |unfortunately |regrettably |luckily |fortunately |clearly |definitely |well ,? |i ' afraid )?(?:yes|no|nope|yep|nah|yeah|not)(?: , {_IT} (?:is|are|was|does|do|has)(?: not)?)?(?:$| (?=[,;:—])))|"
    rf"(?:(?:yes|no|but|and) ,? ?)?(?:(?:i (?:think|believe|' have to say|have to say|must say|would say|' say|"
    rf"' afraid|am afraid)|my answer is)(?: that)? )?{_IT} (?:really |actually |certainly |definitely |clearly |"
    rf"most certainly )?"
    r"(?:is|are|was|'|does|do|has)(?: really| certainly| definitely| actually| indeed|"
    r" clearly)?(?: not)?(?: the case| so| one)?$|"
    r"i (?:really )?(?:do not )?(?:think|believe|guess|suppose)(?: so| not| it is| it is not)?(?:$| [;:,—(])|"
    r"i (?:am|') afraid not$|(?:not a chance|no chance|no way|unlikely|not likely|far from it|by no means|"
    r"hardly|not at all|of course not|"
    r"definitely not|absolutely not|(?:most |very |quite |more )?(?:likely|probably) not|certainly not|probably not|not really|absolutely|definitely|certainly|"
    r"of course|indeed)$"
)
_LEFT_OUT = re.compile(
    r"(?:^|[,;:—(] |\b(?:but|and|so|that|while|whereas|which|because|yet|though|although) )(?:(?:the|this|that|his|her|its|i|we|an?) )?"
    r"(?:(?!not|no|never)\w+ ){0,4}?(?:is|are|was|were|does|do|did|has|have|could|can|would) (?:\w+ly )?not(?: so| one| the case| either)?(?= [,;:—)]|$)"
)
"""A denial that leaves its verdict out: "the photo at hand is not"."""
_DISPUTED = re.compile(
    r"\b(?:claim|view|belief|assumption|allegation|assertion|hypothesis|suspicion|idea|theory|accusation|contention|conclusion|label|"
    r"caption|it|this|that|they|he|she) (?:\w+ly )?(?:(?:is|are|was|' s|') (?:\w+ly )?(?:not (?:\w+ )?(?:true|right|tenable|correct|accurate|so|supported|"
    r"justified|convincing|plausible|credible|borne)|wrong|false|mistaken|untenable|unfounded|incorrect|refuted|baseless|disproved|lying|untrue|nonsense)|"
    r"(?:does|do|can|could) not (?:\w+ )?(?:hold|stand|survive|convince))\b|\bnot (?:\w+ )?(?:bear|bears|confirm|confirms|support|supports|share|agree|"
    r"back|buy|believe|endorse|uphold)(?: (?:with )?(?:this|that|it|them|him|her|you|the (?:claim|view|idea|suspicion|assumption|verdict)|so)\b| that view| out)|"
    r"\bdisagree\b|\bbeg to differ\b|\b(?:says?|tells?|points?) (?:otherwise|a different story|the other way|elsewhere)\b|\bchanged my mind\b"
)
"""Somebody's claim is denied."""
_UPHELD = re.compile(
    r"\b(?:claim|view|belief|assumption|allegation|hypothesis|suspicion|it|this|that|they|he|she) (?:is|are|was|') (?:\w+ly )?(?:true|right|correct|"
    r"accurate|so|justified|confirmed|founded|well founded)\b|\b(?:confirm|confirms|bears?|supports?|share|shares|agree|agrees) (?:with )?(?:this|that|them|him|her|you)\b"
    r"|\bi (?:do )?agree\b|^(?:and )?(?:indeed|exactly|precisely|rightly)\b"
)
_SUPPOSED = re.compile(
    r"\bif\b.{0,80}\b(?:were|was|had|been)\b.*\b(?:would|should|could|expect|must)\b|\b(?:would|should|expect)\b.*\bif\b.{0,80}\b(?:were|was|had|been)\b"
)
"""A supposition against what is: "if it were fake, there would be seams"."""
_CONTRARY = re.compile(
    r"\b(?:not|no|none|never|nothing|neither|but|however|instead|yet|lacks?|missing|absent|though)\b"
)
"""What follows a supposition and denies its consequence."""
_CLAUSES = re.compile(r" (?:;|—|but|yet|however) ")
_AFTER_ALL = re.compile(
    r"(?:,|and|but|—|;)(?: ,)? i (?:do |really )?(?:think|believe|suspect|guess|would say|am afraid|"
    r"am sure)(?: that)? (?:it|this) (?:is|does|has)(?: not)?$"
)
_TAKEN_BACK = re.compile(
    r"\b(?:deniedall|i disagree|i beg to differ|(?:was|were|is|are) mistaken|says? otherwise|tells? a different story)$"
)


def read_prose(text: str) -> str:
    """`real`, `fake` or `undetermined` as a text's sentences say, or "" where they say none; by words and negation.

    Words such as *genuine* and *manipulated* count whatever they are said of; *realistic*, *natural* and their
    opposites only where the whole picture is said to be or look so. A negation turns what follows it in its clause.
    No verdict are questions, alternatives ("real or fake"), conditions ("whether", "if it were"), comparisons
    ("unlike a real face"), what is said of pictures in general ("deepfakes often …"), and a mere yes or no that
    answers no question of the text. A verdict on the picture goes before those on the person, and these before those
    on parts of the face; of several on the picture the last one counts, a conclusion ("overall", "so") before others,
    and those that are only conceded ("although it looks real") or possible ("might be") last. Of parts alone, and of
    a part and the rest, the answer is fake where one is called fake. Reads each word once: time is linear in the text.
    """
    found = _said(text)
    main = [said for said in found if not said.conceded and not said.possible]
    whole = [said for said in main if said.about == PICTURE and said.strong]
    if whole:
        return next((said for said in reversed(whole) if said.final), whole[-1]).verdict
    parts = {said.about: said.verdict for said in main if said.strong and said.about not in (PICTURE, PERSON)}
    person = [said.verdict for said in main if said.about == PERSON and said.strong]
    if person:
        return "fake" if "fake" in (person[-1], *parts.values()) else "real"
    last = {said.about: said.verdict for said in main if said.verdict != "undetermined"}
    if len(last) < len({said.about for said in main}) and not last:
        return "undetermined"
    if last:
        return "fake" if "fake" in last.values() else "real"
    possible = {said.verdict for said in found if said.possible and not said.conceded}
    if len(possible) > 1:
        return "undetermined"
    return possible.pop() if possible else found[-1].verdict if found else ""


def verdicts_by_subject(text: str) -> dict[str, str]:
    """The last verdict, `real` or `fake` in a strong word, on each thing: `picture`, or a part by the answer's word."""
    return {said.about: said.verdict for said in _said(text) if said.strong and not said.conceded}


def _said(text: str) -> list[_Said]:
    found: list[_Said] = []
    asked, raised, supposed, denied, refused = "", "", "", False, False
    for number, (sentence, question) in enumerate(_sentences(text)):
        whole = " ".join(sentence)
        if words.REFUSES.search(whole):
            refused = True
            continue
        if refused and not words.THIS & set(sentence[:6]):
            continue
        if asked and (reply := _REPLY.match(whole)):
            found.append(_Said(_turned(asked) if _denies(reply) else asked, PICTURE, True, raw=asked))
            if reply.end() == len(whole):
                continue
        excepted = max((place for place, word in enumerate(sentence) if word == "except"), default=-1)
        reader = _Reader(sentence, excepted, general(sentence))
        said = _with_exception(reader.read(), sentence, excepted)
        if question:
            asked = raised = said[-1].verdict if said else ""
            continue
        said = said + _replied(whole, said, reader.asked or raised, reader.asked)
        denied = denied or (bool(supposed) and _CONTRARY.search(whole) is not None)
        if _SUPPOSED.search(whole):
            supposed = reader.asked
            denied = denied or any(map(_CONTRARY.search, _CLAUSES.split(whole, maxsplit=1)[1:]))
        short = number == 0 and (len(sentence) <= SHORTEST or _opens(sentence))
        plain = (
            len(sentence) <= PLAIN
            and sentence[0] in ("the", "this")
            and len(sentence) > 1
            and sentence[1] in words.PICTURE
        )
        found += [replace(one, final=True) for one in said] if short or plain else said
        asked, raised = reader.asked or supposed, said[-1].raw if said else reader.asked or supposed
    if not found and denied:
        return [_Said(_turned(supposed), PICTURE, True)]
    return found


def _with_exception(said: list[_Said], sentence: list[str], excepted: int) -> list[_Said]:
    """What "except" makes of a sentence's verdicts: the picture's are the rest's, and a part left out has the other."""
    if excepted < 0:
        return said
    part = next((word for word in sentence[excepted + 1 :] if word in words.PARTS and word != "rest"), "")
    rest = [
        replace(one, about=REST) if one.verdict == "real" and one.about in (PICTURE, REST, part) else one
        for one in said
    ]
    if part and any(one.about == REST and one.verdict == "real" for one in rest):
        rest.append(_Said("fake", part, True, raw="fake"))
    return rest


def _replied(whole: str, said: list[_Said], pending: str, asked: str) -> list[_Said]:
    """What a sentence adds by answering, denying or leaving open what it or the text before it raised.

    `whole` is the sentence, `said` its own verdicts, `pending` the verdict that stands to be answered, `asked` that of
    a condition of the sentence itself.
    """
    added: list[_Said] = []
    if asked and (reply := _AFTER_ALL.search(whole)):
        added.append(_Said(_turned(asked) if "not" in reply.group() else asked, PICTURE, True))
    stuck = words.STUCK.search(whole)
    if stuck and not (said and _turns(whole.split(), whole.count(" ", 0, stuck.start()), said[-1].place)):
        final = any(one.final for one in said)
        added.append(_Said("undetermined", PICTURE, True, final=final, raw="undetermined"))
    raised = said[-1].raw if said else pending
    left = _LEFT_OUT.search(whole)
    if not raised or added:
        return added
    if not said and _DISPUTED.search(whole):
        added.append(_Said(_turned(raised), PICTURE, True, final=True, raw=raised))
    elif not said and not asked and _UPHELD.search(whole):
        added.append(_Said(raised, PICTURE, True, raw=raised))
    elif left and (not said or whole.count(" ", 0, left.end()) > said[-1].place):
        about = next((word for word in left.group().split() if word in words.PARTS), PICTURE)
        added.append(_Said(_turned(raised), about, True, final=True, raw=raised))
    elif said and _TAKEN_BACK.search(whole):
        added.append(_Said(_turned(said[-1].verdict), said[-1].about, True, raw=raised))
    return added


def _opens(sentence: list[str]) -> bool:
    """Whether a sentence begins with its verdict: "Fake, I would say"."""
    return sentence[0] in words.SAYS_REAL | words.SAYS_FAKE and sentence[1] in (",", "—", ":", "because", "since")


def _turns(sentence: list[str], start: int, stop: int) -> bool:
    """Whether what was left open is decided after all between two words: "hard to say, but I think it is fake"."""
    return any(word in words.BUT or word in words.OPINIONS for word in sentence[start:stop])


def _turned(verdict: str) -> str:
    return {"real": "fake", "fake": "real"}.get(verdict, verdict)


def _denies(reply: re.Match[str]) -> bool:
    said = reply.group().split()
    return bool({"not", "no", "nope", "nah"} & set(said)) or said[0] in ("hardly", "unlikely", "far", "by")


def general(sentence: list[str]) -> bool:
    """Whether a sentence begins with pictures in general: "modern deepfakes can …", "real images usually …"."""
    for place, word in enumerate(sentence[:12]):
        if word in words.PLURALS or word in words.GENERAL_NOUNS:
            return not {"this", "these", "here"} & set(sentence[place + 1 : place + 4])
        if word in words.ONE_OF_ALL and place + 1 < len(sentence):
            return any(one in words.USUALLY for one in sentence[place : place + 8])
        if not (word in words.BEFORE_GENERAL or word in words.SAYS_REAL or word in words.SAYS_FAKE):
            return False
    return False


def normalised(text: str) -> str:
    """Lower case, without markup, plain quotes, and with the turns of `verdict_words.JOINED` made one word."""
    plain = _TAG.sub(" ", in_english(unicodedata.normalize("NFKC", text).lower().translate(_QUOTES)))
    plain = _SPACES.sub(" ", plain)
    for pattern, put in words.PATTERNS:
        plain, changed = pattern.subn(put, plain)
        plain = _SPACES.sub(" ", plain) if changed else plain
    return plain


def sentences(text: str) -> Iterator[list[str]]:
    """The words and marks of each sentence that is no question."""
    return (sentence for sentence, question in _sentences(text) if not question)


def _sentences(text: str) -> Iterator[tuple[list[str], bool]]:
    """The words and marks of each sentence, and whether it is a question."""
    sentence: list[str] = []
    for token in _TOKEN.findall(normalised(text)):
        if token not in _ENDS:
            sentence.append(token)
            continue
        if sentence:
            yield sentence, token == "?"
        sentence = []
    if sentence:
        yield sentence, False


@dataclass(frozen=True)
class _Said:
    """One verdict: of the `picture`, the `person` or a part, in a strong word or a weak one; see `read_prose`."""

    verdict: str
    about: str
    strong: bool
    conceded: bool = False
    possible: bool = False
    final: bool = False
    raw: str = ""
    place: int = -99


@dataclass
class _Reader:
    """Goes through one sentence once, with what is known so far of the clause."""

    tokens: list[str]
    excepted: int = -1
    """Where "except" stands last."""
    general: bool = False
    """Speaks of pictures in general: says nothing of this one."""
    negated: bool = False
    possible: bool = False
    final: bool = False
    asked: str = ""
    """The last verdict in a condition ("whether it is fake"), to which "it is not" may reply."""
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
        if token in words.BREAKS or (token in words.OPINIONS and (not self.negated or (self.comma and self.held))):
            self.negated = self.condition = self.conceded = self.too = self.comma = self.held = self.possible = False
            self.general = general(self.tokens[place + 1 : place + 21])
        elif token == "," and self.said and self.said[-1].place == place - 1 and self._opposed(after):
            self.negated = self.held = False
        elif token == ",":
            self.negated = self.negated and (after not in words.NEGATORS or after == "nor")
            self.comma, self.linked, self.held = True, False, self.negated
            self.condition = self.conceded = self.possible = False
        elif token in words.FOLLOWS and before in (",", "and"):
            self.negated = self.held = False
        elif token == "to" and self.too:
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
        """Whether a word says the opposite of the last verdict's: "not swapped, genuine"."""
        wanted = words.SAYS_REAL if self.said[-1].raw == "fake" else words.SAYS_FAKE
        return token in wanted

    def _noun(self, place: int, token: str) -> None:
        """What the clause is about from here on."""
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
        elif token in words.PICTURE or token in words.PLURALS:
            self.subject = PICTURE

    def _unknown(self, token: str) -> bool:
        """Whether a noun is none that the reader knows: "the podium is real"."""
        known = (words.PICTURE, words.PERSONS, words.DEEDS, words.SAYS_REAL, words.SAYS_FAKE, words.FILLERS)
        return token.isalpha() and len(token) > 2 and not any(token in held for held in known)

    def _word(self, place: int, token: str, raw: str) -> None:
        """One word that may be a verdict."""
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
        verdict = _turned(raw) if self.negated != self._denied_behind(place, token) else raw
        if self._says_nothing(place, about) or not (strong or self._predicate(place, about)):
            self.asked = verdict if (self.condition and about) or self.general or not about else self.asked
            return
        conceded = self.conceded or "initially" in self.tokens[place + 1 : place + 3]
        self.said.append(_Said(verdict, about, strong, conceded, self.possible, self.final, raw, place))

    def _denied_behind(self, place: int, token: str) -> bool:
        """Whether a noun is denied by what follows: "manipulation is not evident", "signs of forgery are absent"."""
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
        """The noun that follows ("fake eyes") where there is one, else what the clause is about; empty: nothing."""
        for ahead in range(place + 1, place + AHEAD):
            word = self._at(ahead)
            if word in words.BESIDE and ahead == place + 1:
                return ""
            if word in words.PARTS:
                return word
            if word in words.PERSONS:
                return PICTURE if self._at(ahead + 1) in words.PICTURE - words.PERSONS else PERSON
            if word in words.PLURALS and self.copula < place - AHEAD:
                return ""  # "fake people often look perfect"
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
        """Whether the word stands in a condition, a comparison or a turn that says nothing of this picture."""
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
        """Whether a weak word is what the whole picture is said to be or look."""
        after = self._at(place + 1)
        ends = not after.isalpha() or after in _FUNCTION
        between = self.tokens[self.copula + 1 : place] if self.copula >= place - AHEAD else ["?"]
        plain = all(word in words.FILLERS or word in words.NEGATORS or word in words.LOOKS_REAL for word in between)
        return about == PICTURE and ends and plain


_ARTICLES = frozenset(["the", "his", "her", "its", "their"])
_STARTS = frozenset([",", ";", ":", "—", "(", "", "so", "and", "but"])
_INTERJECTED = frozenset([",", "it", "this", "the", "that", "they", "i", ":", "—"])
_FUNCTION = words.wordset(
    "and or but because since as to for in on at of due with by is are was were be has have the a an it this that than "
    "which who while although though overall here if so when due enough rather not"
)
_GENERALLY = words.USUALLY | {"are", "have", "do", "were"}
_LIKE = frozenset(("as", "like", "how", "what"))
_WOULD = frozenset(("would", "do", "does", "should"))
