"""Verdicts that are chosen: ticked boxes, a number of a legend, a letter of options, the former or the latter."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

Read = Callable[[str], str]
"""Function that reads the words of one choice: `real`, `fake`, `undetermined` or "" for neither."""
_TICK_NAMES = {
    "real": "real|authentic|genuine|original|pristine|unaltered|untouched|unedited|unmanipulated|undoctored|legit",
    "fake": "fake|face[ -]?swap(?:ped)?|manipulation|"
    "manipulated|deepfake|forged|edited|synthetic|tampered|altered|doctored|swapped|generated|"
    "computergenerated",
    "undetermined": "not sure|unsure|unknown|uncertain|undetermined|undecided|unclear|inconclusive|neither|"
    "no opinion|not decidable|can(?:not|'t| not) (?:be )?(?:tell|say|told|said|determined?|decided?)",
}
_TICKED = re.compile(
    "|".join(rf"(?P<{name}>\b(?:{words})\b)" for name, words in _TICK_NAMES.items())
    + r"|(?P<yes>[✅✓✔☑☒]|[\[(]\s?x\s?[\])])|(?P<no>[❌✗✘☐]|[\[(]\s{0,3}[\])])"
)
"""Names of a verdict, and marks of boxes that are ticked or not."""
_LEGEND = re.compile(
    r"\b([0-9a-d])\s*(?:=|means|stands for|:|->|→)\s*\"?([a-z][a-z -]{2,30}?)"
    r"(?=[\s\"]*(?:[,;)\n/]|[-=]>|→|$|\band\b|\bor\b))"
)
_NAMES = (
    r"(real|authentic|genuine|original|pristine|unaltered|fake|manipulated|deepfake|forged|synthetic|edited|tampered|"
    r"altered|computergenerated|ai[- ]generated|generated|swapped|doctored|legit|untouched|unedited)"
)
_ALTERNATIVES = re.compile(
    rf"\b{_NAMES}\b(?:\W+(?:image|photo|picture|face|one))?\W+(?:or|and|vs|versus|and not|but)?"
    rf"\W*(?:(?:is it|is|an?)\s+)*{_NAMES}\b"
)
_ORDINAL = re.compile(
    r"\b(?:(not|never|against|reject|exclude|dismiss|nothing for|rule out)\s+)?(?:the\s+)?"
    r"(?:(former|latter)\b|(first|second|last)(?:\s+(?:one|option|choice|answer|alternative|possibility|applies|"
    r"is (?:right|correct|true)|of (?:the two|these|those|them))\b|(?=\s*(?:[.!\n]|$))))"
)
_LONE = re.compile(r"(?<![\d.\w])([0-9](?![\d.]*\d|\s*=|\w)|[a-d](?!['\w])(?=\W*(?:$|\n)|[).:]))")
"""A number or letter on its own."""
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_ANY = rf"\d+(?:\.\d+)?|{'|'.join(_NUMBERS)}"
_SCALE = re.compile(
    rf"\bscale\b.{{0,20}}?\b(?P<low>{_ANY})\s*[(=]\s*(?P<first>[^()=,\n]+?)[,)]?\s*(?:to|-|–|and|,)\s*(?P<high>{_ANY})\s*[(=]"
    rf"\s*(?P<last>[^()=,:\n]+?)\s*[),:].{{0,60}}?\b(?P<given>{_ANY})\b"
)
"""A scale with names for both ends, and the number given on it."""
_OPTION = re.compile(
    r"\(?\b([a-d1-4])\s*[).:]\)?\s*([a-z][a-z -]{2,40}?)(?=\s*(?:\(?\b[a-d1-4]\s*[).:]|[.,;\n?]|[-=]>|→|$))"
)
_CHOSEN = re.compile(
    r"(?:\b(?:choose|chose|pick|select|go with|answer is|answer:|option is|choice is|choice:|option:|option|"
    r"correct is|is|opt for|say|so|therefore|hence|leaves)|=>|->|→)"
    r"\s*(?:option\s*)?\(?\b([a-d1-4])\b\)?(?!\s*[a-z]{2,}|\.\d|%)"
)


def from_ticks(text: str) -> str:
    """Return the ticked one of "real ✅ / fake ❌" or "[x] fake"; all marks are before their names, or all after."""
    found = [str(match.lastgroup) for match in _TICKED.finditer(text)]
    if not {"yes", "no"} & set(found):
        return ""
    before = found[0] in ("yes", "no")
    pairs = [(one, two) if before else (two, one) for one, two in pairwise(found)]
    ticked = {name for mark, name in pairs if mark == "yes" and name not in ("yes", "no")}
    return ticked.pop() if len(ticked) == 1 else ""


def from_legend(text: str, read: Read) -> str:
    """Return the word for the number in "Label: 0 (0 = pristine, 1 = manipulated)"."""
    legend = {number: found for number, word in _LEGEND.findall(text) if (found := read(word)) in ("real", "fake")}
    if set(legend.values()) != {"real", "fake"}:
        return ""
    plain = _LEGEND.sub(" ", text)
    chosen = [number for number in _LONE.findall(plain) if number in legend]
    return legend[chosen[0]] if len(set(chosen)) == 1 else ""


def from_scale(text: str, read: Read) -> str:
    """Return the nearer end for "on a scale from 0 (certainly real) to 100 (certainly fake): 3"."""
    scale = _SCALE.search(text)
    if scale is None:
        return ""
    low, high, given = (_number(scale.group(name)) for name in ("low", "high", "given"))
    ends = read(scale.group("first")), read(scale.group("last"))
    if set(ends) != {"real", "fake"} or not low <= given <= high:
        return ""
    return "undetermined" if 2 * given == low + high else ends[2 * given > low + high]


def _number(word: str) -> float:
    return float(_NUMBERS.index(word) if word in _NUMBERS else word)


def from_options(text: str, read: Read) -> str:
    """Return the chosen option of "(A) real (B) fake … I choose A"."""
    options = {letter: found for letter, words in _OPTION.findall(text) if (found := read(words))}
    if not {"real", "fake"} <= set(options.values()):
        return ""
    chosen = [letter for letter in _CHOSEN.findall(text) if letter in options]
    return options[chosen[-1]] if chosen else ""


def from_order(text: str, read: Read) -> str:
    """Return the chosen alternative of "real or manipulated … the latter"."""
    named = _ALTERNATIVES.search(text)
    if named is None:
        return ""
    both = [read(word) for word in named.groups()]
    if set(both) != {"real", "fake"}:
        return ""
    meant = list(_ORDINAL.finditer(text, named.end())) or list(_ORDINAL.finditer(text, 0, named.start()))
    if not meant:
        return ""
    place = 0 if (meant[-1].group(2) or meant[-1].group(3)) in ("former", "first") else 1
    return both[1 - place if meant[-1].group(1) else place]
