"""Words, idioms and forms for reading verdicts, from `verdict.yaml` and the files next to it; see `prose`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.parsing import read_yaml
from ..languages.patterns import compiled, patterns, wordsets


def _file(name: str) -> Any:
    return read_yaml(Path(__file__).with_name(f"{name}.yaml"))


_HELD: dict[str, Any] = _file("verdict")
_FORMS: dict[str, Any] = _file("verdict_forms")
WORDS = wordsets(_HELD["words"])
TURNS = patterns(_file("verdict_answers"), _HELD["parts"], r"\s")
"""Turns of whole sentences and answers."""
REWRITES = [
    (compiled(turn, _HELD["parts"], r"\s"), str(rewrite["to"]))
    for name in ("verdict_idioms", "verdict_turns")
    for rewrite in _file(name)
    for turn in rewrite["from"]
]
"""Idioms and their replacements, in order."""
FORMS = patterns(_FORMS["patterns"], _FORMS["parts"])
KEYS, CLAIMS, RATINGS = (_FORMS["parts"][name] for name in ("key", "claim", "rating"))
VALUES: dict[str, str] = {word: verdict for verdict, words in _FORMS["values"].items() for word in words}
"""Words that are a verdict if they are the whole value, and that verdict."""
