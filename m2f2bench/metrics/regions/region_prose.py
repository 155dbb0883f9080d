"""Regions that an answer's sentences call manipulated, clause by clause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..verdicts.prose import verdicts_by_subject
from ..verdicts.sentence import PICTURE, general
from ..verdicts.verdict_words import TURNS, WORDS
from . import region_turns as turns
from .region_claims import Reading, explains, read
from .region_clauses import Clause, clauses, groups
from .region_words import AUXILIARY, GRAMMAR, Word, has_role, lexicon, named_by, sentences


def known_regions() -> tuple[str, ...]:
    """Return the regions that can be called manipulated: skin, eyes, eyebrows, nose, mouth."""
    return tuple(dict.fromkeys(lexicon().region.values()))


def called_in_prose(text: str) -> frozenset[str]:
    """Return the regions that a text's sentences call manipulated."""
    said = list(sentences(text))
    real = verdicts_by_subject(text).get(PICTURE) == "real" and not _called_fake(said)
    reader = _Reader(set(known_regions()) if real else set())
    for sentence, question in said:
        reader.sentence(sentence, question)
    return reader.result()


def _called_fake(said: Sequence[tuple[list[Word], bool]]) -> bool:
    """Return whether a clause plainly calls the picture fake, which "no manipulation of the nose" does not undo."""
    for clause in (clause for sentence, question in said if not question for clause in clauses(sentence)):
        asserted = clause.opener not in GRAMMAR["conditions"] and not turns.generic(clause)
        if asserted and has_role(clause.words, "owners"):
            found = read(clause, (), frozenset())
            if found.faulted and found.outright and found.subject is None:
                return True
    return False


@dataclass
class _Reader:
    """Reads the sentences of an answer, and keeps what the earlier ones mean for the next."""

    praised: set[str]
    """Regions that the answer calls real outright: only what calls them fake outright accuses them."""
    called: dict[str, int] = field(default_factory=dict)
    """The regions accused, each with the number of the last sentence that did."""
    cleared: set[str] = field(default_factory=set)
    vouched: set[str] = field(default_factory=set)
    about: tuple[str, ...] = ()
    mentioned: tuple[str, ...] = ()
    number: int = 0
    fresh: int = -1
    """The sentence in which `about` was set."""
    before: Reading = field(default_factory=Reading)
    heading: Reading | None = None
    """A clause of this sentence with a claim, without regions, before a colon or dash: those behind share it."""
    gathered: tuple[str, ...] = ()
    """The regions that the sentence before named."""
    asked: Reading | None = None
    answering: bool = False
    """Whether the sentence before was a question about regions."""
    identity: bool = False
    """Whether a question asked which region it is ("is it the mouth?")."""
    pending: tuple[str, ...] = ()
    """Regions of which something was said of pictures in general."""
    excepted: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    """The other of a pair of which the former or the latter was named."""
    condition: int = -9
    """The last sentence with a condition."""
    hearsay: int = -9
    """The last sentence about what others say."""
    spared: set[str] = field(default_factory=set)
    """Regions to which alone a merit was given, or a fault denied: the others are accused where none is by name."""
    frame: tuple[str, ...] = ()
    """The regions that are spoken of: "of the eyes, the nose and the mouth"."""
    names: set[str] | None = field(default_factory=set)
    """The regions of an answer that is nothing but names of regions: "The mouth." """
    mood: bool = False
    """Whether the last claim accused."""

    def result(self) -> frozenset[str]:
        """Return the regions accused."""
        if not self.called and self.names is not None:
            return frozenset(self.names)
        if not self.called and self.spared:
            return frozenset(self.frame or known_regions()) - self.spared - self.cleared - {""}
        return frozenset(self.called)

    def sentence(self, sentence: list[Word], question: bool) -> None:
        """Read one sentence."""
        self.number += 1
        texts = [word.text for word in sentence]
        if TURNS["refuses"].search(" ".join(texts)):
            self.names = None
            if "but" not in texts:
                return
            sentence = sentence[texts.index("but") + 1 :]
            texts = [word.text for word in sentence]
            if not texts or TURNS["refuses"].search(" ".join(texts)):
                return
        self.answering = self.asked is not None
        if self.asked is not None and self._replies(texts):
            sentence = sentence[2:] if texts[1:2] == [","] else sentence[1:]
        self.asked = None
        sentence = self._former(sentence)
        if question and not turns.presupposes(texts):
            self._question(sentence)
            return
        self.excepted, self.heading = (), None
        if general(texts):
            self.names = None
            self.pending = named_by(sentence)
        for number, clause in enumerate(clauses(sentence)):
            if number == 0 and general(texts):
                continue
            self._clause(clause, number == 0)
        self.praised |= {region for region in self.vouched if self.called.get(region) != self.number}
        if turns.only_one(texts):
            self._take_back(self.passed, self.number - 1)
        self.gathered = named_by(sentence) or self.gathered

    def _former(self, sentence: list[Word]) -> list[Word]:
        """Return a sentence with the regions that "the former" and "the latter" stand for."""
        named: list[str] = []
        put: list[Word] = []
        for word in sentence:
            pair = named if len(named) > 1 else list(self.gathered)
            if word.text.startswith(turns.PAIRED) and len(pair) > 1:
                word = replace(word, region=pair[0] if word.text.startswith(("former", "first")) else pair[-1])
                self.passed = tuple(one for one in pair if one != word.region)
            elif word.region and word.region not in named:
                named.append(word.region)
            put.append(word)
        return put

    def _question(self, sentence: list[Word]) -> None:
        named = named_by(sentence)
        if named:
            self.about, self.mentioned, self.fresh = named, named, self.number + 1
            self.asked = read(Clause(tuple(sentence)), (), frozenset())
            short = len(sentence) < turns.FRAGMENT  # "eyes?"
            self.identity = self.asked.bare and (short or any(one.text == "it" for one in sentence[1:2]))

    def _replies(self, texts: Sequence[str]) -> bool:
        """Return whether a sentence begins with a yes or no to the question before it; applies it."""
        if self.asked is None or not texts:
            return False
        if turns.refuses_to_think_so(texts):
            texts = ["no"]
        elif turns.affirms(texts):
            texts = ["yes"]
        if texts[0] not in GRAMMAR["yes"] | GRAMMAR["no"]:
            return False
        meant = self.asked.sign or int(self.identity)
        sign = meant if texts[0] in GRAMMAR["yes"] and texts[1:2] != ["not"] else -meant
        self.names = None
        if sign > 0:
            self._accuse(self.about)
        return True

    def _clause(self, clause: Clause, first: bool) -> None:
        if clause.opener in GRAMMAR["conditions"] or turns.generic(clause):
            self._suppose(clause)
            return
        about = self._carried(clause, first)
        found = read(clause, about, self.praised)
        heard = self.hearsay >= self.number - 1 and turns.contradicts(clause.texts)
        if heard or turns.retracts(clause.texts):
            self._retract(found.subject or about or self.about, found)
            return
        texts = set(clause.texts)
        if found.supposed:
            self.names = None
            if self.condition == self.number:
                found.accused, found.faulted = set(), False
        if self.names is not None and (found.subject or found.faulted or found.praised):
            only = found.bare and not clause.negated
            self.names = self.names | set(found.subject or ()) if only else None
        if found.bare and turns.names_it(clause):
            found.accused, found.faulted, found.sign, found.bare = set(found.subject or ()), True, 1, False
        if clause.words[0].text in ("of", "among") and not found.sign:
            self.frame = found.subject or ()
        if "atfirst" in texts:
            found = Reading(found.subject, found.mentioned)
        if found.subject is None and texts & GRAMMAR["universal"]:
            found.accused, found.cleared, about = set(), set(), ()
            found.subject = () if clause.closer == ":" else None
        self._exceptions(clause, found, texts, about)
        if not self._borrowed(clause, found, first):
            self._relent(clause, found, about)
        if found.subject is None and not found.sign and self.before.sign and turns.answers(clause):
            self._affirm(clause, about, found)
        if clause.closer in (":", "—") and found.subject is None and (found.faulted or found.praised):
            self.heading = found
        self._keep(found, about)

    def _retract(self, regions: Sequence[str], found: Reading) -> None:
        """Withdraw everything that was said against regions."""
        self.names = None
        self._take_back(regions, 0)
        self._keep(Reading(tuple(regions), found.mentioned), tuple(regions))

    def _suppose(self, clause: Clause) -> None:
        """Read only the subject of a condition, or of a statement about pictures in general."""
        named = groups(clause.words)
        supposed = clause.opener in GRAMMAR["conditions"]
        self.names = None
        if named:
            self.about, self.mentioned, self.fresh = named[0].regions, named[-1].regions, self.number
            self.pending = self.pending if supposed else named[0].regions
        if clause.opener == "hearsay":
            self.hearsay = self.number
        if supposed:
            self.condition = self.number
            found = read(clause, self.about, self.praised)
            self.before = Reading(found.subject, sign=found.sign, denied=found.denied)
            if found.sign > 0 and found.denied and {"had", "not"} <= set(clause.texts):
                self._accuse(found.subject or self.about)  # "if it had not been edited"

    def _borrowed(self, clause: Clause, found: Reading, first: bool) -> bool:
        """Return whether a clause's regions share the claim of its heading, or of the clause before; applies it."""
        listed = found.subject and not found.praised and clause.words[0].text not in WORDS["concedes"]
        if self.heading and listed and turns.begins_with_region(clause):
            if self.heading.faulted:
                found.accused |= set(found.subject or ())
                found.faulted = True
            return True
        claimed = self.before.sign or self.before.outright or self.before.listing
        if found.bare and claimed and self._elliptic(clause, first, set(clause.texts)):
            self._like_before(clause, found)
            return True
        return False

    def _relent(self, clause: Clause, found: Reading, about: tuple[str, ...]) -> None:
        """Withdraw what a clause explains or denies."""
        if turns.harmless(clause, found) and not self.before.outright:
            self._take_back(self.before.subject or about, self.number)
        elif explains(clause) and not found.accused:
            self._take_back(found.subject or about, self.number - 1)
        elif clause.opener in (":", "—") and not found.accused and turns.denies(clause, found):
            self._take_back(about, self.number)

    def _elliptic(self, clause: Clause, first: bool, texts: set[str]) -> bool:
        """Return whether a clause without a claim leaves it to the one before."""
        if clause.closer in (":", "—") and clause.opener != "but":
            return False
        if first and self.before.outright and self.before.subject is None and len(clause.words) <= turns.FRAGMENT:
            return True  # "Fake. Skin."
        return not first or bool(texts & (GRAMMAR["same"] | AUXILIARY | {"not"}))

    def _keep(self, found: Reading, about: tuple[str, ...]) -> None:
        """Keep what a clause says, and what the next may refer to."""
        self._accuse(found.accused)
        self.cleared |= found.cleared - found.accused
        self.vouched |= found.vouched
        if found.subject is not None:
            self.about, self.fresh = found.subject or found.mentioned, self.number
        elif about:
            self.fresh = self.number
        self.mentioned = found.mentioned or self.mentioned
        if found.faulted or found.praised:
            self.mood = found.faulted
        if found.sign or found.outright or found.listing or not found.bare:
            self.before = found

    def _carried(self, clause: Clause, first: bool) -> tuple[str, ...]:
        """Return the regions of a clause that names none."""
        if clause.opener in GRAMMAR["relative"]:
            single = clause.words[0].text in GRAMMAR["singular"]
            whole = clause.opener == "which" and single and set(self.mentioned) <= {"eyes", "eyebrows"}
            return self.about if whole and self.about else self.mentioned or self.about
        start = [word for word in clause.words[:5] if word.text not in (",", "and")]
        if not start or [word.text for word in start[:3]] == ["it", "is", "the"]:
            return ()
        if start[0].text == "there" and not first and self.mentioned and len(start) > 1 and not start[1].verb:
            return self.mentioned
        near = self.fresh >= self.number - 1
        if start[0].text == "something" or (start[0].text == "these" and has_role(start[1:2], "carriers")):
            return ()
        if first and near and turns.several(start) and len(self.gathered) > 1:
            return self.gathered
        if any(word.text in GRAMMAR["carried"] for word in start[:3]):
            return self.about if near else ()
        claimed = any(word.claim and (self.answering or "outright" not in word.roles) for word in start[:2])
        if first and near and len(clause.words) <= turns.FRAGMENT and claimed:
            return self.about
        noun = next((word for word in start if word.roles & {"parts", "elsewhere", "owners"}), None)
        if noun is not None and "parts" in noun.roles and not noun.claim:
            return self.about if near else ()
        return self.about if self.fresh == self.number and not first else ()

    def _like_before(self, clause: Clause, found: Reading) -> None:
        """Apply the last claim to the regions of a clause without one: "the mouth does not", "nor the nose"."""
        texts = set(clause.texts)
        sign = self.before.sign or 1
        negated = any(word.negator and word.text not in GRAMMAR["same"] for word in clause.words)
        own = any(word.verb for word in clause.words) or clause.opener == "but"
        denied = negated or (self.before.denied and (bool(texts & GRAMMAR["same"]) or not own))
        found.sign, found.denied = sign, denied
        for group in groups(clause.words):
            if group.kind == "except":
                continue
            against = (sign > 0) != (denied if group.kind != "unlike" else not self.before.denied)
            if against:
                found.accused |= set(group.regions) - (self.praised if not self.before.outright else set())
        found.faulted = bool(found.accused)

    def _affirm(self, clause: Clause, about: tuple[str, ...], found: Reading) -> None:
        """Confirm or deny the last hypothesis or statement: "… would be round. They are not"."""
        found.sign = self.before.sign
        found.denied = clause.negated
        found.faulted = (found.sign > 0) != found.denied
        if found.faulted and clause.words[0].text in ("they", "it", "these", "both"):
            found.accused |= set(about)

    def _exceptions(self, clause: Clause, found: Reading, texts: set[str], about: tuple[str, ...]) -> None:
        """Apply "except", "only", "the rest", "all regions" and "the exception" to a clause's claims."""
        named = groups(clause.words)
        excepted = tuple(one for group in named if group.kind == "except" for one in group.regions) or self.excepted
        of_all = GRAMMAR["universal"] | GRAMMAR["all"]
        if excepted:
            self.excepted = excepted
            if found.praised and (not found.faulted or (found.sign < 0 and not found.denied)):
                found.accused |= set(excepted)
            elif (found.faulted or (found.bare and self.before.faulted)) and texts & of_all:
                found.accused -= set(excepted)
                self.spared |= set(excepted) if not found.accused else set()
        subject = found.subject if found.subject is not None else about
        if texts & {"exception", "exceptions"}:
            if "no" in texts or "not" in texts:
                self._accuse(self.pending if not subject else ())
            elif not found.accused and not self.mood:
                found.accused |= set(found.subject or ())
        merit = found.cleared and found.praised and not found.faulted
        if merit and "only" in texts and clause.words[0].text in ("only", "the"):
            self.spared |= set(subject)
        if found.faulted and not subject and not excepted and ("restofit" in texts or turns.whole(clause)):
            self.spared |= {""} | self.cleared
        if self.pending and texts & GRAMMAR["here"] and texts & {"too", "same", "also"} and not named:
            self._accuse(self.pending)

    def _take_back(self, regions: Sequence[str], since: int) -> None:
        for region in regions:
            if self.called.get(region, -9) >= since:
                del self.called[region]

    def _accuse(self, regions: Sequence[str] | set[str]) -> None:
        for region in regions:
            self.called[region] = self.number
