"""Words and idioms for reading verdicts, from `verdict.yaml` and the files next to it; see `prose`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml


def _file(name: str) -> Any:
    return yaml.safe_load(Path(__file__).with_name(f"{name}.yaml").read_text(encoding="utf-8"))


_HELD: dict[str, Any] = _file("verdict") | _file("verdict_answers")
_PART = re.compile(r"\{([a-z_]+)\}")


def wordset(text: str) -> frozenset[str]:
    """Return words separated by spaces as a set."""
    return frozenset(text.split())


def _words(name: str) -> frozenset[str]:
    return frozenset(_HELD["words"][name])


def _turns(spelt: list[str]) -> re.Pattern[str]:
    """Return idioms in the spelling that `verdict.yaml` explains, as one regular expression."""
    whole = _PART.sub(lambda found: str(_HELD["parts"][found.group(1)]), "|".join(spelt))
    return re.compile(whole.replace(" ", r"\s"))


SAYS_REAL = _words("says_real")
SAYS_FAKE = _words("says_fake")
LOOKS_REAL = _words("looks_real")
LOOKS_FAKE = _words("looks_fake")
NEGATORS = _words("negators")
BREAKS = _words("breaks")
OPINIONS = _words("opinions")
FOLLOWS = _words("follows")
CONCEDES = _words("concedes")
CONDITIONS = _words("conditions")
COMPARES = _words("compares")
COPULAS = _words("copulas")
ALTERNATIVES = _words("alternatives")
PICTURE = _words("picture")
PLURALS = _words("plurals")
PARTS = _words("parts")
BESIDE = _words("beside")
PERSONS = _words("persons")
ELSEWHERE = _words("elsewhere")
NONE_OF_ANY = _words("none_of_any")
MAYBE = _words("maybe")
ASSERTS = _words("asserts")
BUT = _words("but")
THIS = _words("this")
CONCLUDES = _words("concludes")
DEEDS = _words("deeds")
ABSENT = _words("absent")
DENIALS = _words("denials")
DENIES_FIRST = _words("denies_first")
AUXILIARIES = _words("auxiliaries")
GENERAL_NOUNS = _words("general_nouns")
ONE_OF_ALL = _words("one_of_all")
USUALLY = _words("usually")
BEFORE_GENERAL = _words("before_general")
FILLERS = _words("fillers")
_REWRITES: list[dict[str, Any]] = [*_file("verdict_idioms"), *_file("verdict_turns")]
PATTERNS = tuple((_turns([turn]), str(rewrite["to"])) for rewrite in _REWRITES for turn in rewrite["from"])
"""Idioms and their replacements, in order."""
STUCK, REFUSES, UNDECIDED = _turns(_HELD["stuck"]), _turns(_HELD["refuses"]), _turns(_HELD["undecided"])
RESTATED = _turns(_HELD["restated"])
REPLY = _turns(_HELD["reply"])
AFTER_ALL = _turns(_HELD["after_all"])
TAKEN_BACK = _turns(_HELD["taken_back"])
LEFT_OUT = _turns(_HELD["left_out"])
DISPUTED = _turns(_HELD["disputed"])
UPHELD = _turns(_HELD["upheld"])
SUPPOSED = _turns(_HELD["supposed"])
CONTRARY = _turns(_HELD["contrary"])
CLAUSES = _turns(_HELD["clauses"])
