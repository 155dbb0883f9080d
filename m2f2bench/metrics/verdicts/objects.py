"""JSON objects in a text, including those with single quotes and Python's constants."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

_FENCE = re.compile(r"```(?:json)?")
_OPENED = re.compile(r"[{\[]")
LONGEST_OBJECT = 20_000
"""Most characters of a JSON object that is read."""
MOST_OBJECTS = 20


def objects(text: str) -> Iterator[Any]:
    """Yield the JSON objects and lists in a text, outermost first, also with single quotes and Python's constants."""
    place = 0
    for _ in range(MOST_OBJECTS):
        opened = _OPENED.search(text, place)
        if opened is None:
            return
        start = opened.start()
        end = _closed(text, start)
        value = _parsed(text[start:end]) if end >= 0 else None
        place = start + 1 if value is None else end
        if value is not None:
            yield value


def is_object(text: str) -> bool:
    """Return whether a text is one JSON object and nothing else, apart from code block marks."""
    plain = _FENCE.sub("", text).strip()
    return plain.startswith("{") and plain.endswith("}") and _parsed(plain) is not None


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
