"""Turns of other languages as expressions with their English, from `gloss_turns.yaml`, which tells their spelling."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

Turns = tuple[tuple[re.Pattern[str], str], ...]
"""Turns in order, each with what is put for it."""
TURNS = Path(__file__).with_name("gloss_turns.yaml")
_PART = re.compile(r"\{([a-z_]+)\}")
_OTHER = {"real": "fake", "fake": "real"}
_SAYS = {"real": " it is genuine ", "fake": " it is fake "}


@lru_cache(maxsize=1)
def _held() -> dict[str, dict[str, Any]]:
    import yaml

    held: dict[str, dict[str, Any]] = yaml.safe_load(TURNS.read_text(encoding="utf-8"))
    return held


def read_turns(language: str, parts: Mapping[str, str]) -> Turns:
    """The turns of a language; `parts` are those of every language, which its own go before."""
    held = _held().get(language, {"parts": {}, "turns": []})
    known = {**parts, **held["parts"]}
    turns = []
    for turn in held["turns"]:
        for spelt in turn["from"]:
            if "says" not in turn:
                turns.append((_expression(spelt, known), str(turn["to"])))
                continue
            for verdict in ("fake", "real"):
                said = verdict if turn["says"] == "so" else _OTHER[verdict]
                turns.append((_expression(spelt, known | {"x": known[verdict]}), _SAYS[said]))
    return tuple(turns)


def _expression(spelt: str, parts: Mapping[str, str]) -> re.Pattern[str]:
    while _PART.search(spelt):
        spelt = _PART.sub(lambda found: _group(parts[found.group(1)]), spelt)
    return re.compile(spelt)


def _group(part: str) -> str:
    """A part as a group; one that begins as a set of signs stays as it is, so that a count may follow it."""
    return part if part.startswith("[") else f"(?:{part})"
