"""Verdicts that an answer states in a form: JSON, tags, keys with values, chosen options. For prose, see `prose`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from ..languages.gloss_words import unaccented
from .choices import Read, from_legend, from_options, from_order, from_scale, from_ticks
from .objects import MOST_OBJECTS, objects
from .polar import COUNT, OPEN, PART_KEY, UNKNOWN, flag, plain_key, polarity, truth, turned, verdict_of
from .tabular import from_table

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
"""An element that contains only text: "<authentic>no</authentic>"."""
_TAG = re.compile(r"<[a-z][^<>]{0,400}>")
_ATTRIBUTE = re.compile(r"([a-z_-]{2,40})\s*=\s*[\"']([^\"'<>]{0,200})[\"']")
_CODED = re.compile(r"\d\s*(?:[:=,-]|->|→)?\s*\(?\s*([a-z][a-z -]{2,30}?)\s*\)?")
"""A class with its number and its name: "0 (pristine)"."""
_BOXED = re.compile(r"\\boxed\s*\{\s*(?:\\text\s*\{)?([^{}]*)\}")
_KEYS = (
    "final verdict|final answer|final decision|final judge?ment|final conclusion|final label|final classification|"
    "final assessment|final call|bottom line|short answer|my call|real or fake|fake or real|real vs fake|"
    "authentic or manipulated|overall verdict|overall assessment|overall conclusion|overall judge?ment|"
    "predicted label|"
    "predicted class|class name|label name|image type|"
    "verdict|decision|conclusion|answer|label|prediction|classification|classified as|class|category|"
    "judge?ment|determination|diagnosis|result|assessment|output|authenticity verdict|authenticity assessment|"
    "authenticity|"
    "status|outcome|ruling|final|overall|source|origin|provenance|my vote|vote|choice|my guess|my pick"
)
_KEY_WORD = re.compile(r"(?:^|\n)\s*(?:final\s+)?(?:verdict|answer|label|prediction|class|conclusion)\s+([a-z]+)\b")
"""A key and its value without a mark between them: "verdict fake reason teeth"."""
_KEY_VALUE = re.compile(
    rf"(?:^|[\n.!?;|•(\[>]|\s-)[\s*_#>-]*(?:q?\d\d?[.):]?\s+)?(?:my|the|image|overall)?\s*({_KEYS})[\s*_]*(?:[:=|]|->|→|—|-)[\s*_]*([^\n|]*)"
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
"""Words that are a verdict if they are the whole value."""
_SCALED = re.compile(
    r"(?:\(|,?\s*on a scale (?:of|from)\s)\s*(\d+)\s*(?:-|–|—|to|=[^,;()\n]*[,;])\s*(\d+)[^()\n:]*\)?\s*[:=]\s*"
    r"(\d+(?:\.\d+)?)(?![\d%]|\s*(?:/|out of))"
)
"""A number on a given scale: "genuineness (1-10): 2"."""
_HEADING = re.compile(r"(?m)^(\s*#+\s*[^\n:#?]{3,40}?)[\s*_]*$")
_BOX = re.compile(
    r"(?:[☐❌]|\[\s?\])\s*(?:yes|no)(?=\s*(?:$|[☐❌☑☒✅✓✔\[\n,;|./]))|(?:[☑☒✅✓✔]|\[\s?x\s?\])\s*(yes|no)(?=\s*(?:$|[☐❌☑☒✅✓✔\[\n,;|./]))"
)
"""A box before a yes or a no; the group is that of a ticked one."""
_CLAIMS = ("claim", "statement", "allegation", "hypothesis", "assertion")
_RATINGS = ("rating", "verdict", "truth", "finding", "conclusion", "result", "evaluation", "assessment", "status")
_CLAIM_LINES = re.compile(rf"\b({'|'.join(_CLAIMS)})\W*:\s*([^\n]+)\n\W*({'|'.join(_RATINGS)})\W*:\s*([^\n]+)")
_SAID = re.compile(
    r"([a-z][a-z '()/_-]{0,60}?)[\s*_\"']*(?:[:=?]|->|→|\s-\s)[\s*_\"'—–|-]*(?:(?:a|answer)\s*\d?\s*:\s*)?"
    r"((?:yes|no|y|n|maybe|perhaps|possibly|true|false|none|"
    r"not detected|not found|not present|not visible|undetected|detected|present|absent|null|unknown|unclear|uncertain|"
    r"very low|"
    r"low|very high|high|likely|unlikely|positive|negative)\b(?=[\s*_\"']*(?:[.,;:!)}\]\n(|—–-]|$))|[✅❌✓✗])"
)
_RATED = re.compile(
    r"([a-z][a-z '()/_-]{0,60}?)[\s*_\"']*(?:[:=≈~?(|]|->|→|\bis\b|\bof\b|\bat\b|\s)[\s*_\"'(]*(?:about |around |"
    r"approximately |only |roughly )?"
    r"([01]?\.\d+\s*%?(?![\d.])|\d+(?:\.\d+)?\s*(?:%|(?:/|out of)\s*(?:100|10|5)\b)|"
    r"[01](?=\s*(?:[,;})\n]|$)))"
)
_SHARE = re.compile(r"[\s*_-]*[a-z][a-z ]{2,20}[\s*_]*[:=]\s*[\d.]+")
"""A value that is itself a key with a number."""
_SENTENCE = re.compile(r"(?!(?:is|are|was|does|do|has|have|did)\b).*\b(?:is|are|was|were|looks?|appears?|seems?)\b")
"""A key that is itself a statement ("the image is authentic: no seams")."""
_COUNTED = re.compile(r"([a-z][a-z '()/_-]{0,60}?)[\s*_\"']*[:=][\s*_\"']*(\d{1,4})(?=\s*(?:[,;})\n/|]|\.(?!\d)|$))")
_NAMED = re.compile(r"\b(real|genuine|authentic|fake|manipulated)\s{0,3}(\d{1,3})(?=\s*(?:[,，;/|)]|$))")
"""A percentage without a mark before it: "real 9, fake 1"."""
_CHANCE = re.compile(r"\b(?:p|prob|probability|likelihood|chance|chances|odds|score|confidence|certainty|rating)\b")


def without_thought(text: str) -> str:
    """Return an answer without the thoughts before it (`<think>…</think>`)."""
    for tag in ("think", "thinking", "reasoning", "thought", "analysis"):
        head, closed, tail = text.rpartition(f"</{tag}>")
        if not closed:
            continue
        before = head.partition(f"<{tag}>")[0] if f"<{tag}>" in head else ""
        text = f"{before} {tail}" if (before + tail).strip() else head
    return text


def tagged(text: str) -> str | None:
    """Return the content of the last tag or box that holds an answer; None if there is none."""
    if (alone := _ALONE.fullmatch(text.strip())) or (alone := _AROUND.match(text.strip())):
        return alone.group(1)
    found = [inner for _, inner in _ANSWER.findall(text)] + _BOXED.findall(text)
    return next((inner for inner in reversed(found) if inner.strip()), None)


def stated(text: str, read: Read) -> str:
    """Return the verdict that a lower-case text states in a form, or "". `read` reads the words of a value."""
    text = _SCALED.sub(_share, _COMMA.sub(".", _HEADING.sub(r"\1:", text)))
    text = _BOX.sub(lambda box: box.group(1) or "", text)
    value = partial(_value, read=read)
    return (
        _from_json(text, read)
        or from_ticks(text)
        or from_scale(text, value)
        or from_legend(text, value)
        or from_options(text, value)
        or from_order(text, value)
        or from_table(text)
        or _from_lines(text, read)
        or _from_keys(text, read)
        or _from_pairs(text)
    )


def _share(scaled: re.Match[str]) -> str:
    """Return a number on a scale as a percentage."""
    low, high, value = (float(number) for number in scaled.groups())
    return f": {100 * (value - low) / (high - low):.1f}%" if low <= value <= high and low < high else scaled.group()


def _from_json(text: str, read: Read) -> str:
    found = _judge(dict(_ELEMENT.findall(text)), read, 0)
    for tag in _TAG.findall(text):
        found = found or _judge(dict(_ATTRIBUTE.findall(tag)), read, 0)
    for value in objects(text):
        found = _judge(value, read, 0) or found
    return found


def _judge(value: Any, read: Read, depth: int) -> str:
    """Return the verdict of a parsed value."""
    if depth > DEEPEST:
        return ""
    if isinstance(value, str):
        return _value(value, read)
    if isinstance(value, list):
        return _best_of(value, read, depth)
    if not isinstance(value, Mapping):
        return ""
    items = [(plain_key(str(key)), one) for key, one in value.items()]
    if found := _from_choices(dict(items), read) or _from_question(dict(items), read):
        return found
    if found := _from_claim(dict(items), read):
        return found
    for wanted in _KEYS.replace("e?", "").split("|"):
        for key, one in items:
            if key == wanted or (key.endswith(" " + wanted) and not polarity(key)):
                found = _of_key(key, one, read, depth)
                if found:
                    return found
    if any(OPEN.fullmatch(key) and one is True for key, one in items):
        return "undetermined"
    polar = [(key, flag(one)) for key, one in items if polarity(key)]
    if found := verdict_of([(key, one) for key, one in polar if one is not None or dict(items)[key] is None]):
        return found
    for key, one in items:
        if isinstance(one, (Mapping, list)) and not PART_KEY.search(key) and (found := _judge(one, read, depth + 1)):
            return found
    for key, one in items:
        if isinstance(one, str) and not PART_KEY.search(key) and (found := read(one)) and found != "undetermined":
            return found
    parts = [read(one) for key, one in items if isinstance(one, str) and PART_KEY.search(key)]
    return "fake" if "fake" in parts else next((one for one in parts if one), "")


def _from_choices(items: Mapping[str, Any], read: Read) -> str:
    """Return the verdict of an option by its letter or place: {"ans": "f", "opts": {"r": "real", "f": "fake"}}."""
    for options in items.values():
        if isinstance(options, list) and len(options) > 1 and all(isinstance(one, str) for one in options):
            places = [one for one in items.values() if type(one) is int and 0 <= one < len(options)]
            if len(places) == 1 and (found := _value(options[places[0]], read)):
                return found
        if isinstance(options, Mapping):
            named = {str(key).lower(): one for key, one in options.items() if isinstance(one, str)}
            chosen = [named[one.lower()] for one in items.values() if isinstance(one, str) and one.lower() in named]
            if len(named) > 1 and len(chosen) == 1:
                return _value(chosen[0], read)
    return ""


def _from_question(items: Mapping[str, Any], read: Read) -> str:
    """Return the verdict of a question and its answer: {"question": "is this a deepfake?", "answer": "no"}."""
    asked = next((str(items[key]) for key in ("question", "query", "prompt") if isinstance(items.get(key), str)), None)
    said = next((truth(items[key]) for key in ("answer", "response", "reply") if key in items), None)
    raised = read(asked.replace("?", " ")) if asked and said in ("yes", "no") else ""
    if raised not in ("real", "fake"):
        return ""
    return raised if said == "yes" else turned(raised)


def _from_claim(items: Mapping[str, Any], read: Read) -> str:
    """Return the verdict of a claim and its rating: {"claim": "the photo is a deepfake", "rating": "false"}."""
    claim = next((items[key] for key in _CLAIMS if isinstance(items.get(key), str)), None)
    rating = next((str(items[key]).lower() for key in _RATINGS if isinstance(items.get(key), (str, bool))), None)
    if claim is None or rating is None or (claimed := read(claim)) not in ("real", "fake"):
        return ""
    if re.match(
        r"(?:mostly |partly |completely )?(?:false|untrue|incorrect|wrong|debunked|refuted|misleading|no\b)", rating
    ):
        return turned(claimed)
    if re.match(r"(?:mostly )?(?:true|correct|right|accurate|confirmed|yes\b)", rating):
        return claimed
    return (
        "undetermined" if re.match(r"un(?:proven|verified|known|confirmed)|mixed|mixture|inconclusive", rating) else ""
    )


def _from_lines(text: str, read: Read) -> str:
    """Return the verdict of a claim and its rating in two lines."""
    found = _CLAIM_LINES.search(text)
    return _from_claim({found.group(1): found.group(2), found.group(3): found.group(4)}, read) if found else ""


def _of_key(key: str, one: Any, read: Read, depth: int) -> str:
    if isinstance(one, str):
        return _value(one, read)
    if one is None:
        return "undetermined"
    if isinstance(one, (Mapping, list)):
        return _judge(one, read, depth + 1)
    return verdict_of([(key, one)]) if polarity(key) else ""


def _best_of(values: list[Any], read: Read, depth: int) -> str:
    """Return the label with the highest score of a classifier's list; else the last verdict of all."""
    scored = [v for v in values if isinstance(v, Mapping) and "label" in v and isinstance(v.get("score"), (int, float))]
    if len(scored) > 1:
        return _judge(max(scored, key=lambda v: float(v["score"])), read, depth + 1)
    if len(values) == 1 and isinstance(values[0], str):
        return _value(values[0], read)
    found = [_judge(one, read, depth + 1) for one in values[:MOST_OBJECTS] if isinstance(one, (Mapping, list))]
    return next((one for one in reversed(found) if one), "")


def _value(text: str, read: Read) -> str:
    """Return the verdict of a value in words: ticks, an unknown, a word, or a sentence."""
    text = text.strip(" \t\n*_\"'`.()[]")
    if text in _WORDS:
        return _WORDS[text]
    if coded := _CODED.fullmatch(text):
        return _value(coded.group(1), read)
    if re.match(r"(?:an? )?(?:camera|photograph)\b", text):
        return "real"
    if re.match(r"(?:an? )?(?:ai|image|face|neural|diffusion)[ -](?:generator|model|network|software)\b", text):
        return "fake"
    if re.match(r"ai\b(?=\W*(?:$|,|and\b|because\b))", text):
        return "fake"
    if found := from_ticks(text):
        return found
    if found := read(text):
        return found
    return "undetermined" if UNKNOWN.match(text) else ""


def _from_keys(text: str, read: Read) -> str:
    """Return the last value of a "Verdict: …" line that is a verdict."""
    found = ""
    for match in _KEY_VALUE.finditer(text):
        value = match.group(2)
        if not value.strip(" *_\"'`"):
            value = text[match.end() :].lstrip().partition("\n")[0]
        key = match.group(1)
        if _SHARE.match(value):
            continue
        if key.startswith("authenticity") and (polar := verdict_of([(key, value.strip(" *_\"'`.,"))])):
            found = polar
            continue
        first = re.split(r"(?<=[.!?])\s", value.strip(), maxsplit=1)[0]
        found = _value(first, read) or _value(value, read) or found
    if not found and (bare := _KEY_WORD.search(text)):
        found = read(bare.group(1))
    return found


def _from_pairs(text: str) -> str:
    """Return the verdict of "Manipulated: yes", "P(fake) = 0.02", "Real: 20%, Fake: 80%"."""
    text = unaccented(text)  # keys have plain letters
    said = [(plain_key(key), value) for key, value in _SAID.findall(text)]
    if found := verdict_of([(key, value) for key, value in said if polarity(key) and not _SENTENCE.match(key)]):
        return found
    counted = [(plain_key(key), value) for key, value in _COUNTED.findall(text)]
    shares = {polarity(key): float(value) for key, value in [*counted, *_NAMED.findall(text)] if polarity(key)}
    if set(shares) == {"real", "fake"} and sum(shares.values()) in (10, 100):
        return max(shares, key=lambda name: shares[name]) if shares["real"] != shares["fake"] else "undetermined"
    if found := verdict_of([(key, value) for key, value in counted if polarity(key) and COUNT.search(key)]):
        return found
    rated = [(plain_key(key), value.strip()) for key, value in _RATED.findall(text)]
    return verdict_of([(k, v) for k, v in rated if polarity(k) and (_CHANCE.search(k) or len(k.split()) < 3)])
