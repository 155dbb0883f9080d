"""Verdicts that an answer states in a form: JSON, tags, keys with values, chosen options. Prose is `verdict`'s."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Read = Callable[[str], str]
"""Reads a few words: `real`, `fake`, `undetermined` or "" for neither."""

LONGEST_OBJECT = 20_000
"""Letters of the longest JSON object that is read."""
MOST_OBJECTS = 20
DEEPEST = 6

_ANSWER = re.compile(
    r"<(answer|final_answer|final|verdict|label|conclusion|result|output|prediction|response)>(.*?)(?:</\1>|\Z)",
    re.DOTALL,
)
_ALONE = re.compile(r"[<\[{(|]+\s*([a-z][a-z _-]{2,20}?)\s*/?[>\]})|]+[.!]?")
"""A label in brackets and nothing else: "<fake>"."""
_AROUND = re.compile(
    r"[<\[](real|fake|authentic|genuine|manipulated|deepfake|forged|refused|undetermined)[>\]].*[<\[]/\1[>\]]",
    re.DOTALL,
)
"""A label as a tag around its reasons."""
_COMMA = re.compile(r"(?<=\b[01]),(?=\d)")
"""The comma of a decimal: "0,97"."""
_ELEMENT = re.compile(r"<([a-z][a-z0-9_ -]{1,40})>([^<>]{0,400})</\1>")
"""An element that holds text alone: "<authentic>no</authentic>"."""
_CODED = re.compile(r"\d\s*(?:[:=,-]|->|→)?\s*\(?\s*([a-z][a-z -]{2,30}?)\s*\)?")
"""A class by its number and its name: "0 (pristine)"."""
_BOXED = re.compile(r"\\boxed\s*\{\s*(?:\\text\s*\{)?([^{}]*)\}")
_KEYS = (
    "final verdict|final answer|final decision|final judge?ment|final conclusion|final label|final classification|"
    "final assessment|final call|bottom line|short answer|my call|real or fake|fake or real|real vs fake|"
    "authentic or manipulated|overall verdict|overall assessment|overall conclusion|overall judge?ment|"
    "predicted label|"
    "predicted class|verdict|decision|conclusion|answer|label|prediction|classification|classified as|class|category|"
    "judge?ment|determination|diagnosis|result|assessment|output|authenticity verdict|authenticity assessment|"
    "authenticity|"
    "status|final|overall|source|origin|provenance|my vote|vote|choice|my guess|my pick"
)
_KEY_WORD = re.compile(r"(?:^|\n)\s*(?:final\s+)?(?:verdict|answer|label|prediction|class|conclusion)\s+([a-z]+)\b")
"""A key and its value without a mark between: "verdict fake reason teeth"."""
_KEY_VALUE = re.compile(
    rf"(?:^|[\n.!?;|•(\[>]|\s-)[\s*_#>-]*(?:q?\d\d?[.):]?\s+)?(?:my|the|image|overall)?\s*({_KEYS})[\s*_]*(?:[:=]|->|→|—|-)[\s*_]*([^\n]*)"
)
_FAKE_KEY = re.compile(
    r"\b(?:(?:deep)?fakes?|faked|forged|forgery|manipulat\w+|tamper\w+|altered|alterations?|edited|editing|synthetic|"
    r"synthe[st]i\w+|(?:ai|machine|computer)?\s?generated|swapp?(?:ed)?|doctored|photoshopped|reenact\w*|gan|splic\w+|morph\w*|retouch\w*|inpaint\w*|composit\w*|inauthentic|spoof\w*|"
    r"computergenerated|faceswap\w*)\b"
)
_REAL_KEY = re.compile(
    r"\b(?:real|authentic|authenticity|genuine|original|unaltered|pristine|legitimate|bonafide|unmanipulated)\b"
)
_PART_KEY = re.compile(
    r"\b(?:eyes?|eyebrows?|brows?|nose|mouth|lips?|teeth|skin|hair\w*|ears?|chin|jaw\w*|cheeks?|forehead|background|"
    r"lighting|shadows?|expression|texture)\b"
)
_NEGATED_KEY = re.compile(r"\b(?:not|non|un)\b")
_YES = re.compile(
    r"(?:yes|true|y|present|detected|found|likely|very likely|high|✅|✓|✔️?|definitely|certainly|positive|"
    r"confirmed)\b|[✅✓✔]"
)
_NO = re.compile(
    r"(?:no|false|n|none|absent|not detected|not found|not present|undetected|unlikely|very unlikely|low|"
    r"very low|negative|absent|nothing|nil)\b|[❌✗✘]"
)
OPEN = re.compile(
    r"unknown|undetermined|uncertain|unsure|inconclusive|unclear|indeterminate|undecided|ambiguous|not sure"
)
_WORDS = dict.fromkeys(
    [
        "pristine",
        "original",
        "natural",
        "bonafide",
        "live",
        "clean",
        "untouched",
        "photographed",
        "photograph",
        "photo",
    ],
    "real",
) | dict.fromkeys(["spoof", "ai", "attack", "aigc", "gan", "synthetic-media", "df"], "fake")
"""Words that are a verdict where they are all of a value."""
_CLAIMS = ("claim", "statement", "allegation", "hypothesis", "assertion")
_RATINGS = ("rating", "verdict", "truth", "finding", "conclusion", "result", "evaluation")
_UNKNOWN = re.compile(
    r"(?:null|unknown|undetermined|uncertain|unsure|inconclusive|unclear|indeterminate|undecided|ambiguous|n/?a|"
    r"abstain|no decision|withheld|cannot (?:be )?(?:determined?|say|tell)|can't (?:be )?(?:determined?|say|tell)|not sure|not determinable|"
    r"either)\b"
)
_NUMBER = re.compile(r"([01]?\.\d+|\d+(?:\.\d+)?)\s*(%|(?:/|out of)\s*100\b|(?:/|out of)\s*10\b)?")
_SAID = re.compile(
    r"([a-z][a-z '()/_-]{0,60}?)[\s*_\"']*(?:[:=?]|->|→|\s-\s)[\s*_\"'—–|-]*(?:(?:a|answer)\s*:\s*)?"
    r"((?:yes|no|true|false|none|not detected|undetected|detected|present|absent|null|unknown|unclear|uncertain|"
    r"very low|"
    r"low|very high|high|likely|unlikely|positive|negative)\b(?=[\s*_\"']*(?:[.,;:!)}\]\n(|—–-]|$))|[✅❌✓✗])"
)
_RATED = re.compile(
    r"([a-z][a-z '()/_-]{0,60}?)[\s*_\"']*(?:[:=≈~?(]|->|→|\bis\b|\bof\b|\bat\b|\s)[\s*_\"'(]*(?:about |around |"
    r"approximately |only |roughly )?"
    r"([01]?\.\d+\s*%?(?![\d.])|\d+(?:\.\d+)?\s*(?:%|(?:/|out of)\s*100\b|(?:/|out of)\s*10\b)|[01](?=\s*(?:[,;})\n]|$)))"
)
_SENTENCE = re.compile(r"(?!(?:is|are|was|does|do|has|have|did)\b).*\b(?:is|are|was|were|looks?|appears?|seems?)\b")
"""A key that says something itself ("the image is authentic: no seams")."""
_COUNT = re.compile(
    r"\b(?:number|count|amount|total|how many|regions|areas|parts|faces|artifacts|artefacts|traces|signs|spots|features)\b"
)
"""A key that asks how many there are."""
_COUNTED = re.compile(r"([a-z][a-z '()/_-]{0,60}?)[\s*_\"']*[:=][\s*_\"']*(\d{1,4})(?=\s*(?:[,;})\n]|\.(?!\d)|$))")
_CHANCE = re.compile(r"\b(?:p|prob|probability|likelihood|chance|chances|odds|score|confidence|certainty|rating)\b")
_TICK_NAMES = {
    "real": "real|authentic|genuine|original|pristine|unaltered",
    "fake": "fake|manipulated|deepfake|forged|edited|synthetic|tampered|altered|computergenerated",
    "undetermined": "not sure|unsure|unknown|uncertain|undetermined|undecided|unclear|inconclusive|neither|"
    "no opinion|not decidable|can(?:not|'t| not) (?:tell|say)",
}
_TICKED = re.compile(
    "|".join(rf"(?P<{name}>\b(?:{words})\b)" for name, words in _TICK_NAMES.items())
    + r"|(?P<yes>[✅✓✔☑☒]|[\[(]\s?x\s?[\])])|(?P<no>[❌✗✘☐]|[\[(]\s{0,3}[\])])"
)
"""Names of a verdict, and the marks of boxes that are ticked or not."""
_LEGEND = re.compile(
    r"\b([01a-d])\s*(?:=|means|stands for|:|->|→)\s*\"?([a-z][a-z -]{2,30}?)(?=[\s\"]*(?:[,;)\n/]|$|\band\b|\bor\b))"
)
_NAMES = (
    r"(real|authentic|genuine|original|pristine|unaltered|fake|manipulated|deepfake|forged|synthetic|edited|tampered|"
    r"altered|computergenerated|ai[- ]generated)"
)
_ALTERNATIVES = re.compile(
    rf"\b{_NAMES}\b(?:\W+(?:image|photo|picture|face|one))?\W+(?:or|and|vs|versus|and not|but)?\W*(?:(?:is it|is|an?)\s+)*{_NAMES}\b"
)
_ORDINAL = re.compile(
    r"\b(?:(not|never|against|reject|exclude|dismiss|nothing for|rule out)\s+)?(?:the\s+)?"
    r"(?:(former|latter)\b|(first|second|last)(?:\s+(?:one|option|choice|answer|alternative|possibility|applies|is (?:right|correct|true)|of (?:the two|these|those|them))\b|(?=\s*(?:[.!\n]|$))))"
)
_LONE = re.compile(r"(?<![\d.\w])([01](?![\d.]*\d|\s*=|\w)|[a-d](?!['\w])(?=\W*(?:$|\n)|[).:]))")
"""The number or letter that stands for itself."""
_OPTION = re.compile(r"\(?\b([a-d1-4])\s*[).:]\)?\s*([a-z][a-z -]{2,40}?)(?=\s*(?:\(?\b[a-d1-4]\s*[).:]|[.,;\n?]|$))")
_CHOSEN = re.compile(
    r"\b(?:choose|chose|pick|select|go with|answer is|answer:|option is|choice is|choice:|option|correct is|is|"
    r"opt for|say)\s*(?:option\s*)?\(?\b([a-d1-4])\b\)?(?!\s*[a-z]{2,}|\.\d|%)"
)


def without_thought(text: str) -> str:
    """An answer without what was thought before it (`<think>…</think>`)."""
    for tag in ("think", "thinking", "reasoning", "thought", "analysis"):
        head, closed, tail = text.rpartition(f"</{tag}>")
        if not closed:
            continue
        before = head.partition(f"<{tag}>")[0] if f"<{tag}>" in head else ""
        text = f"{before} {tail}" if (before + tail).strip() else head
    return text


def tagged(text: str) -> str | None:
    """What stands in the last tag or box that holds an answer; None where there is none."""
    if (alone := _ALONE.fullmatch(text.strip())) or (alone := _AROUND.match(text.strip())):
        return alone.group(1)
    found = [inner for _, inner in _ANSWER.findall(text)] + _BOXED.findall(text)
    return next((inner for inner in reversed(found) if inner.strip()), None)


def stated(text: str, read: Read) -> str:
    """The verdict that a lower-case text states in a form, or "". `read` reads the words of a value."""
    text = _COMMA.sub(".", text)
    for way in (_from_json, _from_ticks, _from_legend, _from_options, _from_order, _from_keys, _from_pairs):
        if found := way(text, read):
            return found
    return ""


def _from_json(text: str, read: Read) -> str:
    found = _judge(dict(_ELEMENT.findall(text)), read, 0)
    for value in objects(text):
        found = _judge(value, read, 0) or found
    return found


def objects(text: str) -> Iterator[Any]:
    """The JSON objects and lists in a text, from the outermost; also with single quotes and Python's words."""
    place, seen = 0, 0
    while seen < MOST_OBJECTS:
        starts = [at for at in (text.find("{", place), text.find("[", place)) if at >= 0]
        if not starts:
            return
        start = min(starts)
        end = _closed(text, start)
        if end < 0:
            place = start + 1
            seen += 1
            continue
        value = _parsed(text[start:end])
        if value is None:
            place = start + 1
        else:
            place = end
            yield value
        seen += 1


def _closed(text: str, start: int) -> int:
    depth = 0
    for place in range(start, min(len(text), start + LONGEST_OBJECT)):
        if text[place] in "{[":
            depth += 1
        elif text[place] in "}]":
            depth -= 1
            if depth == 0:
                return place + 1
        if depth > 50:
            return -1
    return -1


def _parsed(text: str) -> Any:
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        plain = re.sub(r",\s*([}\]])", r"\1", text)
        plain = re.sub(r"\bnull\b", "None", re.sub(r"\bfalse\b", "False", re.sub(r"\btrue\b", "True", plain)))
        try:
            value = ast.literal_eval(plain)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            return None
    return value if isinstance(value, (dict, list)) else None


def _judge(value: Any, read: Read, depth: int) -> str:
    """The verdict of a parsed value."""
    if depth > DEEPEST:
        return ""
    if isinstance(value, str):
        return _value(value, read)
    if isinstance(value, list):
        return _best_of(value, read, depth)
    if not isinstance(value, Mapping):
        return ""
    items = [(_plain_key(str(key)), one) for key, one in value.items()]
    if found := _from_choices(dict(items), read) or _from_question(dict(items), read):
        return found
    if found := _from_claim(dict(items), read):
        return found
    for wanted in _KEYS.replace("e?", "").split("|"):
        for key, one in items:
            if key == wanted or (key.endswith(" " + wanted) and not _polarity(key)):
                found = _of_key(key, one, read, depth)
                if found:
                    return found
    if any(OPEN.fullmatch(key) and one is True for key, one in items):
        return "undetermined"
    polar = [(key, _flag(one)) for key, one in items if _polarity(key)]
    if found := _from_polar([(key, one) for key, one in polar if one is not None or dict(items)[key] is None]):
        return found
    for key, one in items:
        if isinstance(one, (Mapping, list)) and not _PART_KEY.search(key) and (found := _judge(one, read, depth + 1)):
            return found
    for key, one in items:
        if isinstance(one, str) and not _PART_KEY.search(key) and (found := read(one)) and found != "undetermined":
            return found
    return ""


def _from_choices(items: Mapping[str, Any], read: Read) -> str:
    """The verdict of an option by its letter: {"ans": "f", "opts": {"r": "real", "f": "fake"}}."""
    for options in items.values():
        if isinstance(options, Mapping):
            named = {str(key).lower(): one for key, one in options.items() if isinstance(one, str)}
            chosen = [named[one.lower()] for one in items.values() if isinstance(one, str) and one.lower() in named]
            if len(named) > 1 and len(chosen) == 1:
                return _value(chosen[0], read)
    return ""


def _from_question(items: Mapping[str, Any], read: Read) -> str:
    """The verdict of a question and its answer: {"question": "is this a deepfake?", "answer": "no"}."""
    asked = next((str(items[key]) for key in ("question", "query", "prompt") if isinstance(items.get(key), str)), None)
    said = next((_bool(items[key]) for key in ("answer", "response", "reply") if key in items), None)
    raised = read(asked.replace("?", " ")) if asked and said in ("yes", "no") else ""
    if raised not in ("real", "fake"):
        return ""
    return raised if said == "yes" else {"fake": "real", "real": "fake"}[raised]


def _from_claim(items: Mapping[str, Any], read: Read) -> str:
    """The verdict of a claim and its rating: {"claim": "the photo is a deepfake", "rating": "false"}."""
    claim = next((items[key] for key in _CLAIMS if isinstance(items.get(key), str)), None)
    rating = next((str(items[key]).lower() for key in _RATINGS if isinstance(items.get(key), (str, bool))), None)
    if claim is None or rating is None or (claimed := read(claim)) not in ("real", "fake"):
        return ""
    if re.match(
        r"(?:mostly |partly |completely )?(?:false|untrue|incorrect|wrong|debunked|refuted|misleading|no\b)", rating
    ):
        return "real" if claimed == "fake" else "fake"
    if re.match(r"(?:mostly )?(?:true|correct|right|accurate|confirmed|yes\b)", rating):
        return claimed
    return (
        "undetermined" if re.match(r"un(?:proven|verified|known|confirmed)|mixed|mixture|inconclusive", rating) else ""
    )


def _plain_key(key: str) -> str:
    return " ".join(re.sub(r"[^a-z0-9]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key).lower()).split()).replace(
        "judgement", "judgment"
    )


def _of_key(key: str, one: Any, read: Read, depth: int) -> str:
    if isinstance(one, str):
        return _value(one, read)
    if one is None:
        return "undetermined"
    if isinstance(one, (Mapping, list)):
        return _judge(one, read, depth + 1)
    return _from_polar([(key, one)]) if _polarity(key) else ""


def _best_of(values: list[Any], read: Read, depth: int) -> str:
    """Of a classifier's list of labels with scores the label of the highest; else the last verdict of all."""
    scored = [v for v in values if isinstance(v, Mapping) and "label" in v and isinstance(v.get("score"), (int, float))]
    if len(scored) > 1:
        return _judge(max(scored, key=lambda v: float(v["score"])), read, depth + 1)
    found = [_judge(one, read, depth + 1) for one in values[:MOST_OBJECTS] if isinstance(one, (Mapping, list))]
    return next((one for one in reversed(found) if one), "")


def _value(text: str, read: Read) -> str:
    """The verdict of a value in words: ticks, an unknown, a word, or a sentence."""
    text = text.strip(" \t\n*_\"'`.()[]")
    if text in _WORDS:
        return _WORDS[text]
    if coded := _CODED.fullmatch(text):
        return _value(coded.group(1), read)
    if re.match(r"(?:an? )?(?:camera|photograph)\b", text):
        return "real"
    if re.match(r"ai\b(?=\W*(?:$|,|and\b|because\b))", text):
        return "fake"
    if found := _from_ticks(text, read):
        return found
    if found := read(text):
        return found
    return "undetermined" if _UNKNOWN.match(text) else ""


def _from_ticks(text: str, read: Read) -> str:
    """Of "real ✅ / fake ❌" or "[x] fake" the one that is ticked; marks stand all before or all behind their names."""
    found = [str(match.lastgroup) for match in _TICKED.finditer(text)]
    if not {"yes", "no"} & set(found):
        return ""
    before = found[0] in ("yes", "no")
    pairs = [(one, two) if before else (two, one) for one, two in zip(found[::1], found[1:], strict=False)]
    ticked = {name for mark, name in pairs if mark == "yes" and name not in ("yes", "no")}
    return ticked.pop() if len(ticked) == 1 else ""


def _from_legend(text: str, read: Read) -> str:
    """Of "Label: 0 (0 = pristine, 1 = manipulated)" the word of the number."""
    legend = {
        number: found for number, word in _LEGEND.findall(text) if (found := _value(word, read)) in ("real", "fake")
    }
    if set(legend.values()) != {"real", "fake"}:
        return ""
    plain = _LEGEND.sub(" ", text)
    chosen = [number for number in _LONE.findall(plain) if number in legend]
    return legend[chosen[0]] if len(set(chosen)) == 1 else ""


def _from_options(text: str, read: Read) -> str:
    """Of "(A) real (B) fake … I choose A" the option that is chosen."""
    options = {
        letter: found for letter, words in _OPTION.findall(text) if (found := _value(words, read)) in ("real", "fake")
    }
    if set(options.values()) != {"real", "fake"}:
        return ""
    chosen = [letter for letter in _CHOSEN.findall(text) if letter in options]
    return options[chosen[-1]] if chosen else ""


def _from_order(text: str, read: Read) -> str:
    """Of "real or manipulated … the latter" the alternative that is meant."""
    named = _ALTERNATIVES.search(text)
    if named is None:
        return ""
    both = [_WORDS.get(word) or read(word) for word in named.groups()]
    if set(both) != {"real", "fake"}:
        return ""
    meant = [found for found in _ORDINAL.finditer(text, named.end())] or list(_ORDINAL.finditer(text, 0, named.start()))
    if not meant:
        return ""
    place = 0 if (meant[-1].group(2) or meant[-1].group(3)) in ("former", "first") else 1
    return both[1 - place if meant[-1].group(1) else place]


def _from_keys(text: str, read: Read) -> str:
    """The last "Verdict: …" line whose value is a verdict."""
    found = ""
    for match in _KEY_VALUE.finditer(text):
        value = match.group(2)
        if not value.strip(" *_\"'`"):
            value = text[match.end() :].lstrip().partition("\n")[0]
        key = match.group(1)
        if key.startswith("authenticity") and (polar := _from_polar([(key, value.strip(" *_\"'`.,"))])):
            found = polar
            continue
        first = re.split(r"(?<=[.!?])\s", value.strip(), maxsplit=1)[0]
        found = _value(first, read) or _value(value, read) or found
    if not found and (bare := _KEY_WORD.search(text)):
        found = read(bare.group(1))
    return found


def _from_pairs(text: str, read: Read) -> str:
    """Of "Manipulated: yes", "P(fake) = 0.02", "Real: 20%, Fake: 80%"."""
    said = [(_plain_key(key), value) for key, value in _SAID.findall(text)]
    if found := _from_polar([(key, value) for key, value in said if _polarity(key) and not _SENTENCE.match(key)]):
        return found
    counted = [(_plain_key(key), value) for key, value in _COUNTED.findall(text)]
    if found := _from_polar([(key, value) for key, value in counted if _polarity(key) and _COUNT.search(key)]):
        return found
    rated = [(_plain_key(key), value.strip()) for key, value in _RATED.findall(text)]
    return _from_polar([(k, v) for k, v in rated if _polarity(k) and (_CHANCE.search(k) or len(k.split()) < 3)])


def _polarity(key: str) -> str:
    """Whether a key asks for `real` or for `fake`; "" for neither, or for both ("real or fake")."""
    fake, real = bool(_FAKE_KEY.search(key)), bool(_REAL_KEY.search(key))
    if fake == real:
        return ""
    name = "fake" if fake else "real"
    return {"fake": "real", "real": "fake"}[name] if _NEGATED_KEY.search(key) else name


_FLAGS = ("detected", "present", "found", "exists", "value", "flag", "flagged", "result", "answer", "is present")


def _flag(value: Any) -> Any:
    """Of {"detected": false, "type": null} the flag; anything else as it is."""
    if not isinstance(value, Mapping):
        return value
    return next((one for key, one in value.items() if _plain_key(str(key)) in _FLAGS and _bool(one)), None)


def _from_polar(pairs: list[tuple[str, Any]]) -> str:
    """The verdict of keys that ask for real or fake, with yes, no, nothing, a number or a list."""
    scores: dict[str, float] = {}
    whole: list[str] = []
    parts: list[str] = []
    accused = False
    for key, value in pairs:
        asks = _polarity(key)
        other = {"fake": "real", "real": "fake"}[asks] if asks else ""
        if not asks:
            continue
        if _COUNT.search(key) and (count := re.fullmatch(r"\s*(\d+)\s*", str(value))):
            value = int(count.group(1)) > 0
        number = _number(value)
        if number is not None and not isinstance(value, bool) and not _PART_KEY.search(key):
            scores.setdefault(asks, number)
            continue
        said = _bool(value)
        if said is None:
            continue
        found = said if said == "undetermined" else asks if said == "yes" else other
        accused = accused or (asks == "fake" and said == "yes" and not _PART_KEY.search(key))
        (parts if _PART_KEY.search(key) or isinstance(value, (list, tuple)) else whole).append(found)
    if whole:
        return "fake" if accused else whole[-1]
    if scores:
        fake = scores.get("fake", 1.0 - scores.get("real", 0.0))
        real = scores.get("real", 1.0 - fake)
        return "fake" if fake > real else "real" if real > fake else "undetermined"
    if parts:
        return "fake" if "fake" in parts else parts[-1]
    return ""


def _bool(value: Any) -> str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "undetermined"
    if isinstance(value, (list, tuple)):
        return "yes" if value else "no"
    if isinstance(value, str):
        text = value.strip().lower()
        if _UNKNOWN.match(text):
            return "undetermined"
        return "no" if _NO.match(text) else "yes" if _YES.match(text) else None
    return None


def _number(value: Any) -> float | None:
    """A probability, from a number from 0 to 1, or one per cent or of ten; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value) if 0.0 <= value <= 1.0 else float(value) / 100.0 if 1.0 < value <= 100.0 else None
    if isinstance(value, str) and (found := _NUMBER.fullmatch(value.strip())):
        number, unit = float(found.group(1)), (found.group(2) or "").replace(" ", "")
        if unit in ("/10", "outof10"):
            return number / 10.0
        return number / 100.0 if unit or number > 1.0 else number
    return None
