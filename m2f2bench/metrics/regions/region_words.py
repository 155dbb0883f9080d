"""Words and sentences for the reader of regions: each word with what it may say about a region."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..languages.gloss import in_english
from ..verdicts import verdict_words as words
from .region_rewrites import REGION, plainer

WORDS = Path(__file__).with_name("regions.yaml")
"""The words of regions, faults and merits."""
PHRASES = Path(__file__).with_name("region_phrases.yaml")
"""Idioms that are replaced by plainer words."""
GLOSS = Path(__file__).with_name("regions_gloss.yaml")
"""Their words in other languages."""
LONGEST = 40
"""Most characters of a word that is stemmed: the stemmer's recursion grows with a word's length."""
LONGEST_SENTENCE = 400
"""Words after which a sentence is ended, so that time stays linear in the text."""

_ROLES = words.wordset(
    "elsewhere cast owners parts surface carriers faults merits fitting lacks listing outright deeds causes checks"
)
_NEGATORS = words.wordset(
    "not no never nothing none neither nor nobody nowhere without hardly barely scarcely rarely seldom unlikely doubt "
    "doubts doubtful improbable notany less exclude excludes doubted undecided spare spares spared sparing"
)
_PREFIXED = re.compile(r"(un|non|in|im|ir|dis|re)(\w{3,})$")
_MISDONE = re.compile(
    r"(?:mis[a-z]{4,}|over(?!all|lay|cast|come|sea|see|night|head|coat|view|time|hang)[a-z]{4,}(?:ed|ing|ly))$"
)
_LESS = re.compile(r"(\w{3,})less(?:ly|ness)?$")
PICTURED = str.maketrans(
    {
        "👍": " fine , ",
        "👎": " bad , ",
        "👀": " eyes ",
        "👁": " eye ",
        "👄": " mouth ",
        "👅": " mouth ",
        "🦷": " teeth ",
        "👃": " nose ",
        "\ufe0f": "",
    }
)
"""Emoji and their words."""
_PLAIN: dict[str, str | None] = dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad")
_PLAIN |= {
    "’": "'",
    "‘": "'",
    "ʼ": "'",
    "`": " ",
    "–": "—",
    "*": " ",
    "_": " ",
    "#": " ",
    '"': " ",
    "“": " ",
    "”": " ",
    "→": "—",
    "➜": "—",
    "，": ",",
    "：": ":",
}
_QUOTES = str.maketrans(_PLAIN)
_TAG = re.compile(r"<[^<>\n]{0,40}>")
_SPACES = re.compile(r"[^\S\n]+")
_CONTRACTED = (
    (re.compile(r"\b(?:can't|cannot)\b"), "can not"),
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"\b(?:dont|doesnt|isnt|arent|didnt|wasnt|cant|wont|hasnt|havent)\b|n't\b"), " not"),
    (
        re.compile(
            r"\b(it|that|there|here|what|who|he|she|everything|nothing|one|where|this|which|something|all|rest)'s\b"
        ),
        r"\1 is",
    ),
    (re.compile(r"'re\b"), " are"),
    (re.compile(r"'ve\b"), " have"),
    (re.compile(r"'d\b"), " would"),
    (re.compile(r"'ll\b"), " will"),
    (re.compile(r"\bi'm\b"), "i am"),
    (re.compile(r"'s?\b|'"), " "),
)
_BULLET = re.compile(
    r"(?m)\((?:[a-h1-9]|[iv]+)\)|^\s*(?:[-•]\s+|\(?(?:\d{1,2}(?:\.\d{1,2})*[.)]?|(?:[a-h]|[iv]+)[.)])\s+(?=[^\s|])|step\s+\d+\s*[:.—-]*\s*)"
)
_DASH = re.compile(r"[-=]+>|(?<=\s)-{1,2}(?=\s)|--")
_TOKEN = re.compile(r"\d+(?:\.\d+)?%?|[^\W\d_]+|[.?!\n,;:()/&|—]")
_ENDS = frozenset(".?!\n")


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
        return self.text in _NEGATORS

    @property
    def verb(self) -> bool:
        """Whether it is known as a finite verb."""
        return "verbs" in self.roles

    def fault_of(self, region: str) -> bool:
        """Return whether it is a fault of one region alone: a curved nose."""
        return f"faults of {region}" in self.roles


_CLAIMS = frozenset(("faults", "merits", "lacks"))


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
    phrases: tuple[tuple[re.Pattern[str], str], ...]


@lru_cache(maxsize=1)
def lexicon() -> Lexicon:
    """Return the words for regions, faults and merits, read once."""
    import yaml

    held: dict[str, Any] = yaml.safe_load(WORDS.read_text(encoding="utf-8"))
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
        phrases=tuple(
            (_compiled(pattern), put) for pattern, put in yaml.safe_load(PHRASES.read_text(encoding="utf-8"))
        ),
    )


def _compiled(pattern: str) -> re.Pattern[str]:
    """Return the pattern of a phrase; `REGION` in it stands for any word that names a region."""
    return re.compile(rf"(?<!\w)(?:{pattern.replace('REGION', REGION)})(?!\w)")


def _exact(held: dict[str, Any]) -> dict[str, frozenset[str]]:
    """Return the roles of words that are compared as they are spelt."""
    exact = {word: {"faults", "outright"} for word in words.SAYS_FAKE}
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
    if _MISDONE.match(text):
        return frozenset(("faults",))
    if less := _LESS.match(text):
        return frozenset(("merits" if "faults" in known.get(stem(less[1]), ()) else "faults",))
    if prefixed := _PREFIXED.match(text):
        rest = word_of(prefixed[2])
        if prefixed[1] == "re":
            return rest.roles & {"faults", "outright"}
        if rest.fault:
            return frozenset(("merits",))
        if rest.merit:
            return frozenset(("faults",))
    return frozenset()


SHORTEST = 6
"""Fewest characters of a word in which one may be missing or extra."""


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


def regions_in(text: str) -> set[str]:
    """Return the regions that the words of a text name."""
    found = (word_of(one).region for one in _TOKEN.findall(text))
    return {region for region in found if region}


def normalised(text: str) -> str:
    """Return a text in English and lower case, without markup, with idioms replaced by plainer words."""
    plain = _TAG.sub(
        " ", in_english(unicodedata.normalize("NFKC", text).lower().translate(_QUOTES).translate(PICTURED), GLOSS)
    )
    plain = _BULLET.sub("", _SPACES.sub(" ", _DASH.sub("—", plain)))
    for pattern, put in _CONTRACTED:
        plain = pattern.sub(put, plain)
    plain = _SPACES.sub(" ", plain.replace("-", " "))
    for pattern, put in lexicon().phrases:
        plain = pattern.sub(f" {put} " if put else " ", plain)
    return plainer(_SPACES.sub(" ", plain))


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
