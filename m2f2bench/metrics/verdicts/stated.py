"""Verdicts that an answer states in a form: JSON, tags, keys with values, chosen options; or else in its prose."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from ..languages.gloss import in_english, unaccented
from .choices import from_legend, from_options, from_order, from_scale, from_ticks
from .objects import MOST_OBJECTS, is_object, objects
from .polar import flag, from_table, plain_key, polarity, truth, turned, verdict_of
from .prose import read_prose
from .verdict_words import CLAIMS, FORMS, KEYS, RATINGS, TURNS, VALUES

DEEPEST = 6
_MARKUP = str.maketrans(dict.fromkeys('*_#"“”`', " "))
_TAGS = re.compile(r"<[^<>\n]{0,40}>|[^\w\s.']")
_QUESTION = re.compile(r"[^.!?\n]*\?")


def verdict_in(text: str) -> str:
    """Return the verdict of an answer of limited length; see `verdict.read_verdict`."""
    plain = without_thought(unicodedata.normalize("NFKC", text).replace("’", "'").lower())
    inner = tagged(in_english(plain)) or tagged(plain)
    if inner is not None and (found := _in_form_or_prose(inner)) in ("real", "fake"):
        return found
    found = _in_form_or_prose(plain)
    if found in ("real", "fake"):
        return found
    said = in_english(_QUESTION.sub(" ", plain).translate(_MARKUP))
    if FORMS["open"].fullmatch(_TAGS.sub(" ", said).strip(" \n.'")):
        return "undetermined"
    if TURNS["refuses"].search(" ".join(said.split())):
        return "refused"
    undecided = TURNS["undecided"].search(TURNS["restated"].sub(" ", " ".join(said.split())))
    return found or ("undetermined" if undecided else "unreadable")


def _in_form_or_prose(text: str) -> str:
    """Return `real`, `fake` or `undetermined`, from a form or prose; "" without a verdict."""
    found = stated(in_english(text))
    return found if found or is_object(text) else read_prose(FORMS["unticked"].sub(" ", text))


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
    if (alone := FORMS["alone"].fullmatch(text.strip())) or (alone := FORMS["around"].match(text.strip())):
        return alone.group(1)
    found = [inner for _, inner in FORMS["answer"].findall(text)] + FORMS["boxed"].findall(text)
    return next((inner for inner in reversed(found) if inner.strip()), None)


def stated(text: str) -> str:
    """Return the verdict that a lower-case text states in a form, or ""."""
    text = FORMS["scaled"].sub(_share, FORMS["comma"].sub(".", FORMS["heading"].sub(r"\1:", text)))
    text = FORMS["box"].sub(lambda box: box.group(1) or "", text)
    return (
        _from_json(text)
        or from_ticks(text)
        or from_scale(text, _value)
        or from_legend(text, _value)
        or from_options(text, _value)
        or from_order(text, _value)
        or from_table(text)
        or _from_lines(text)
        or _from_keys(text)
        or _from_pairs(text)
    )


def _share(scaled: re.Match[str]) -> str:
    """Return a number on a scale as a percentage."""
    low, high, value = (float(number) for number in scaled.groups())
    return f": {100 * (value - low) / (high - low):.1f}%" if low <= value <= high and low < high else scaled.group()


def _from_json(text: str) -> str:
    found = _judge(dict(FORMS["element"].findall(text)), 0)
    for tag in FORMS["tag"].findall(text):
        found = found or _judge(dict(FORMS["attribute"].findall(tag)), 0)
    for value in objects(text):
        found = _judge(value, 0) or found
    return found


def _judge(value: Any, depth: int) -> str:
    """Return the verdict of a parsed value."""
    if depth > DEEPEST:
        return ""
    if isinstance(value, str):
        return _value(value)
    if isinstance(value, list):
        return _best_of(value, depth)
    if not isinstance(value, Mapping):
        return ""
    items = [(plain_key(str(key)), one) for key, one in value.items()]
    if found := _from_choices(dict(items)) or _from_question(dict(items)) or _from_claim(dict(items)):
        return found
    for wanted in (key.replace("e?", "") for key in KEYS):
        for key, one in items:
            named = key == wanted or (key.endswith(" " + wanted) and not polarity(key))
            if named and (found := _of_key(key, one, depth)):
                return found
    if any(FORMS["open"].fullmatch(key) and one is True for key, one in items):
        return "undetermined"
    flags = [(key, flag(one)) for key, one in items]
    if found := verdict_of([(key, one) for key, one in flags if one is not None or dict(items)[key] is None]):
        return found
    whole = [one for key, one in items if not FORMS["part_key"].search(key)]
    for one in whole:
        if isinstance(one, (Mapping, list)) and (found := _judge(one, depth + 1)):
            return found
    for one in whole:
        if isinstance(one, str) and (found := read_prose(one)) not in ("", "undetermined"):
            return found
    parts = [read_prose(one) for key, one in items if isinstance(one, str) and FORMS["part_key"].search(key)]
    return "fake" if "fake" in parts else next(filter(None, parts), "")


def _from_choices(items: Mapping[str, Any]) -> str:
    """Return the verdict of an option by its letter or place: {"ans": "f", "opts": {"r": "real", "f": "fake"}}."""
    for options in items.values():
        if isinstance(options, list) and len(options) > 1 and all(isinstance(one, str) for one in options):
            places = [one for one in items.values() if type(one) is int and 0 <= one < len(options)]
            if len(places) == 1 and (found := _value(options[places[0]])):
                return found
        if isinstance(options, Mapping):
            named = {str(key).lower(): one for key, one in options.items() if isinstance(one, str)}
            chosen = [named[one.lower()] for one in items.values() if isinstance(one, str) and one.lower() in named]
            if len(named) > 1 and len(chosen) == 1:
                return _value(chosen[0])
    return ""


def _from_question(items: Mapping[str, Any]) -> str:
    """Return the verdict of a question and its answer: {"question": "is this a deepfake?", "answer": "no"}."""
    asked = next((str(items[key]) for key in ("question", "query", "prompt") if isinstance(items.get(key), str)), None)
    said = next((truth(items[key]) for key in ("answer", "response", "reply") if key in items), None)
    raised = read_prose(asked.replace("?", " ")) if asked and said in ("yes", "no") else ""
    if raised not in ("real", "fake"):
        return ""
    return raised if said == "yes" else turned(raised)


def _from_claim(items: Mapping[str, Any]) -> str:
    """Return the verdict of a claim and its rating: {"claim": "the photo is a deepfake", "rating": "false"}."""
    claim = next((items[key] for key in CLAIMS if isinstance(items.get(key), str)), None)
    rating = next((str(items[key]).lower() for key in RATINGS if isinstance(items.get(key), (str, bool))), None)
    if claim is None or rating is None or (claimed := read_prose(claim)) not in ("real", "fake"):
        return ""
    if FORMS["rated_false"].match(rating):
        return turned(claimed)
    if FORMS["rated_true"].match(rating):
        return claimed
    return "undetermined" if FORMS["rated_open"].match(rating) else ""


def _from_lines(text: str) -> str:
    """Return the verdict of a claim and its rating in two lines."""
    found = FORMS["claim_lines"].search(text)
    return _from_claim({found.group(1): found.group(2), found.group(3): found.group(4)}) if found else ""


def _of_key(key: str, one: Any, depth: int) -> str:
    if isinstance(one, str):
        return _value(one)
    if one is None:
        return "undetermined"
    if isinstance(one, (Mapping, list)):
        return _judge(one, depth + 1)
    return verdict_of([(key, one)])


def _best_of(values: list[Any], depth: int) -> str:
    """Return the label with the highest score of a classifier's list; else the last verdict of all."""
    scored = [v for v in values if isinstance(v, Mapping) and "label" in v and isinstance(v.get("score"), (int, float))]
    if len(scored) > 1:
        return _judge(max(scored, key=lambda v: float(v["score"])), depth + 1)
    if len(values) == 1 and isinstance(values[0], str):
        return _value(values[0])
    found = [_judge(one, depth + 1) for one in values[:MOST_OBJECTS] if isinstance(one, (Mapping, list))]
    return next(filter(None, reversed(found)), "")


def _value(text: str) -> str:
    """Return the verdict of a value in words: ticks, an unknown, a word, or a sentence."""
    text = text.strip(" \t\n*_\"'`.()[]")
    if text in VALUES:
        return VALUES[text]
    if coded := FORMS["coded"].fullmatch(text):
        return _value(coded.group(1))
    if FORMS["camera"].match(text):
        return "real"
    if FORMS["machine"].match(text):
        return "fake"
    return from_ticks(text) or read_prose(text) or ("undetermined" if FORMS["unknown"].match(text) else "")


def _from_keys(text: str) -> str:
    """Return the last value of a "Verdict: …" line that is a verdict."""
    found = ""
    for match in FORMS["key_value"].finditer(text):
        value = match.group(2)
        if not value.strip(" *_\"'`"):
            value = text[match.end() :].lstrip().partition("\n")[0]
        key = match.group(1)
        if FORMS["value_share"].match(value):
            continue
        if key.startswith("authenticity") and (polar := verdict_of([(key, value.strip(" *_\"'`.,"))])):
            found = polar
            continue
        first = re.split(r"(?<=[.!?])\s", value.strip(), maxsplit=1)[0]
        found = _value(first) or _value(value) or found
    if not found and (bare := FORMS["key_word"].search(text)):
        found = read_prose(bare.group(1))
    return found


def _from_pairs(text: str) -> str:
    """Return the verdict of "Manipulated: yes", "P(fake) = 0.02", "Real: 20%, Fake: 80%"."""
    text = unaccented(text)  # keys have plain letters
    said = [(plain_key(key), value) for key, value in FORMS["said"].findall(text)]
    if found := verdict_of([(key, value) for key, value in said if not FORMS["sentence_key"].match(key)]):
        return found
    counted = [(plain_key(key), value) for key, value in FORMS["counted"].findall(text)]
    shares = {polarity(key): float(value) for key, value in [*counted, *FORMS["named"].findall(text)] if polarity(key)}
    if set(shares) == {"real", "fake"} and sum(shares.values()) in (10, 100):
        return max(shares, key=lambda name: shares[name]) if shares["real"] != shares["fake"] else "undetermined"
    if found := verdict_of([(key, value) for key, value in counted if FORMS["count_key"].search(key)]):
        return found
    rated = [(plain_key(key), value.strip()) for key, value in FORMS["rated"].findall(text)]
    return verdict_of([(key, one) for key, one in rated if FORMS["chance_key"].search(key) or len(key.split()) < 3])
