"""Words and sentences for the reader of regions: each word with what it may say about a region."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...core.parsing import read_yaml
from ..languages.gloss import SPACES, in_english
from ..languages.patterns import compiled, joined, patterns, wordset, wordsets
from ..verdicts import verdict_words
from ..verdicts.prose import QUOTES, TAG

GLOSS = Path(__file__).with_name("regions_gloss.yaml")
"""Words of other languages."""
LONGEST = 40
"""Most characters of a word that is stemmed: the stemmer's recursion grows with a word's length."""
LONGEST_SENTENCE = 400
"""Words after which a sentence is ended, so that time stays linear in the text."""
SHORTEST = 6
"""Fewest characters of a word in which one may be missing or extra."""

_HELD: dict[str, Any] = read_yaml(GLOSS.with_name("region_patterns.yaml"))
PATTERNS = patterns(_HELD["patterns"], _HELD["parts"])
REGION = joined(_HELD["parts"]["region"])
"""Words that name a region, as a pattern."""
PICTURED = str.maketrans(_HELD["pictured"])
"""Emoji and their words."""
GRAMMAR = wordsets(read_yaml(GLOSS.with_name("region_grammar.yaml")))
"""Function words by which clauses are recognised."""
AUXILIARY = verdict_words.WORDS["auxiliaries"] | verdict_words.WORDS["copulas"]

_ROLES = wordset(
    "elsewhere cast owners parts surface carriers faults merits fitting lacks listing outright deeds causes checks"
)
_CLAIMS = frozenset(("faults", "merits", "lacks"))
_CONTRACTIONS = [(re.compile(spelt), put) for spelt, put in _HELD["contractions"]]
_MARKS = QUOTES | str.maketrans({"→": "—", "➜": "—", "，": ",", "：": ":"}) | PICTURED
_TOKEN = re.compile(r"\d+(?:\.\d+)?%?|[^\W\d_]+|[.?!\n,;:()/&|—]")
_ENDS = frozenset(".?!\n")
_SENTENCE = re.compile(r"[^.?!\n]+")


@dataclass(frozen=True)
class Word:
    """A word or mark, the region that it names, and its roles: the lists of `regions.yaml` that contain it."""

    text: str
    region: str = ""
    roles: frozenset[str] = frozenset()

    @property
    def fault(self) -> bool:
        """Whether it is a fault, of whatever it is said."""
        return "faults" in self.roles

    @property
    def merit(self) -> bool:
        """Whether it is a merit."""
        return "merits" in self.roles

    @property
    def claim(self) -> bool:
        """Whether it is a fault or a merit, or says that something lacks."""
        return bool(self.roles & _CLAIMS)

    @property
    def predicate(self) -> bool:
        """Whether what stands before it is a subject: a verb, a claim, a denial or an adverb."""
        return (
            self.verb or self.claim or self.negator or self.text in ("too", "also", "still") or self.text.endswith("ly")
        )

    @property
    def negator(self) -> bool:
        """Whether it denies what follows."""
        return self.text in GRAMMAR["negators"]

    @property
    def verb(self) -> bool:
        """Whether it is known as a finite verb."""
        return "verbs" in self.roles

    def fault_of(self, region: str) -> bool:
        """Return whether it is a fault of one region alone: a curved nose."""
        return f"faults of {region}" in self.roles


@dataclass(frozen=True)
class Lexicon:
    """The words of `regions.yaml` by their stems, and its phrases."""

    region: dict[str, str]
    roles: dict[str, frozenset[str]]
    verbs: frozenset[str]
    deeds: frozenset[str]
    exact: dict[str, frozenset[str]]
    """Roles of words that are compared as they are spelt, without stemming."""
    traits: frozenset[str]
    """Words that are neutral, though their stems are not."""
    phrases: list[tuple[re.Pattern[str], str]]


@lru_cache(maxsize=1)
def lexicon() -> Lexicon:
    """Return the words for regions, faults and merits, read once."""
    held: dict[str, Any] = read_yaml(GLOSS.with_name("regions.yaml"))
    lists: dict[str, Sequence[str]] = {role: held[role] for role in _ROLES}
    lists |= {f"faults of {region}": listed for region, listed in held["faults_of"].items()}
    roles: dict[str, set[str]] = {}
    for role, listed in lists.items():
        for word in listed:
            roles.setdefault(stem(word), set()).add(role)
    return Lexicon(
        region={stem(word): name for name, listed in held["regions"].items() for word in listed},
        exact=_exact(held),
        roles={one: frozenset(of) for one, of in roles.items()},
        verbs=frozenset(held["verbs"]),
        deeds=frozenset(form for deed in held["deeds"] for form in (deed, f"{deed}s", f"{deed[:-1]}ies")),
        traits=frozenset(held["traits"]),
        phrases=[
            (compiled(rf"(?<!\w)(?:{spelt})(?!\w)", _HELD["parts"]), put)
            for spelt, put in read_yaml(GLOSS.with_name("region_phrases.yaml"))
        ],
    )


def _exact(held: dict[str, Any]) -> dict[str, frozenset[str]]:
    """Return the roles of words that are compared as they are spelt."""
    exact = {word: {"faults", "outright"} for word in verdict_words.WORDS["says_fake"]}
    for role, listed in (("faults", held["spelt"]), ("generic", held["generic"]), ("generic", held["kinds"])):
        for word in listed:
            exact.setdefault(word, set()).add(role)
    return {word: frozenset(of.union(role for role in _ROLES if word in held[role])) for word, of in exact.items()}


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer()


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Return Porter's stem of a word."""
    return str(_stemmer().stem(word)) if len(word) <= LONGEST else word


@lru_cache(maxsize=20_000)
def word_of(text: str) -> Word:
    """Return a word with its region and roles."""
    known = lexicon()
    if text in known.traits:
        return Word(text)
    one = stem(text)
    roles = known.exact.get(text) or known.roles.get(one, frozenset[str]())
    region = known.region.get(one, "")
    if not roles and not region and len(text) <= LONGEST and text not in known.verbs:
        roles = _by_form(text) or _misspelt(text)
    if "deeds" in roles and text not in known.deeds:
        roles -= {"deeds"}  # "distorted" has the stem of "distortion"
    return Word(text, region, roles | {"verbs"} if text in known.verbs else roles)


def _by_form(text: str) -> frozenset[str]:
    """Return what the prefix or suffix of an unlisted word makes of it: see `regions.yaml`."""
    known = lexicon().roles
    if PATTERNS["misdone"].match(text):
        return frozenset(("faults",))
    if less := PATTERNS["without"].match(text):
        return frozenset(("merits" if "faults" in known.get(stem(less[1]), ()) else "faults",))
    if prefixed := PATTERNS["prefixed"].match(text):
        rest = word_of(prefixed[2])
        if prefixed[1] == "re":
            return rest.roles & {"faults", "outright"}
        if rest.fault:
            return frozenset(("merits",))
        if rest.merit:
            return frozenset(("faults",))
    return frozenset()


@lru_cache(maxsize=1)
def _near() -> dict[str, frozenset[str]]:
    """Return the claims by every spelling of theirs that lacks one character."""
    found: dict[str, frozenset[str]] = {}
    for one, roles in lexicon().roles.items():
        if len(one) >= SHORTEST and (claims := roles & _CLAIMS):
            found |= {one[:at] + one[at + 1 :]: claims for at in range(1, len(one) - 1)}
    return found


def _misspelt(text: str) -> frozenset[str]:
    """Return what an unknown word is with one character more or less: "diffrent", "blurrry"."""
    one = stem(text)
    if len(one) < SHORTEST - 1:
        return frozenset()
    shorter = (one[:at] + one[at + 1 :] for at in range(1, len(one) - 1))
    known = lexicon().roles
    return _near().get(one) or next(
        (known[other] & _CLAIMS for other in shorter if len(other) >= SHORTEST and other in known), frozenset()
    )


def named_by(words: Sequence[Word]) -> tuple[str, ...]:
    """Return the regions that words name, each once, in order."""
    return tuple(dict.fromkeys(one.region for one in words if one.region))


def has_role(words: Sequence[Word], role: str) -> bool:
    """Return whether one of some words has a role."""
    return any(role in one.roles for one in words)


def regions_in(text: str) -> set[str]:
    """Return the regions that the words of a text name."""
    return set(named_by([word_of(one) for one in _TOKEN.findall(text)]))


def normalised(text: str) -> str:
    """Return a text in English and lower case, without markup, with idioms replaced by plainer words."""
    plain = TAG.sub(" ", in_english(unicodedata.normalize("NFKC", text).lower().translate(_MARKS), GLOSS))
    plain = PATTERNS["bullet"].sub("", SPACES.sub(" ", PATTERNS["dash"].sub("—", plain)))
    for pattern, put in _CONTRACTIONS:
        plain = pattern.sub(put, plain)
    plain = SPACES.sub(" ", plain.replace("-", " "))
    for pattern, put in lexicon().phrases:
        plain = pattern.sub(f" {put} " if put else " ", plain)
    plain = SPACES.sub(" ", plain)
    return _SENTENCE.sub(lambda found: _quantities(PATTERNS["pair"].sub(_differing, found.group())), plain)


def _differing(found: re.Match[str]) -> str:
    """Return "one eye looks up, the other down", followed by "the eye is mismatched"."""
    whole = found.group()
    lit = PATTERNS["lit"].search(found.string[: found.start()])
    if lit or found["side"] == found["other"] or any(map(PATTERNS["harmless"].search, found.group("first", "second"))):
        return whole
    first, second = _content(found["first"]), _content(found["second"])
    if not (first - second and second - first):
        return whole
    return f"{whole} ; the {found['part']} is mismatched "


def _content(predicate: str) -> set[str]:
    """Return the content words of a predicate."""
    return {word for word in re.findall(r"\w+", predicate) if not PATTERNS["empty"].fullmatch(word)}


def _quantities(sentence: str) -> str:
    """Return a sentence about faults with "some on the lids" as "; there are artifacts on the lids"."""
    fault = PATTERNS["fault"].search(sentence)
    if fault is None:
        return sentence
    head, counts = sentence[: fault.end()], sentence[fault.end() :]
    counts = PATTERNS["some_held"].sub(r"\g<part> artifacts", counts)
    counts = PATTERNS["none_there"].sub(lambda one: one.group().replace("none", "; there is no artifact", 1), counts)
    counts = PATTERNS["some_there"].sub(r" ; there are artifacts \g<where>", counts)
    return head + counts


def sentences(text: str) -> Iterator[tuple[list[Word], bool]]:
    """Return the words and marks of each sentence, and whether it is a question."""
    sentence: list[Word] = []
    ends = ""
    for token in _TOKEN.findall(normalised(text)):
        if token in _ENDS:
            ends += token
            continue
        if sentence and (ends or len(sentence) >= LONGEST_SENTENCE):
            yield sentence, ends.startswith("?") and not ends.startswith("??")
            sentence = []
        ends = ""
        sentence.append(word_of(token))
    if sentence:
        yield sentence, ends.startswith("?") and not ends.startswith("??")
