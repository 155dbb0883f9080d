"""Safe parsing of JSON and YAML files, with limits that are checked before anything is built.

Cards, results, records and indexes may come from anyone. Accepted are plain values (mappings, lists, valid UTF-8 texts,
finite numbers, booleans, null), nested at most `DEEPEST` deep, without repeated keys. Anything else is refused in one
short line that never repeats the file's content.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import NoInput, read_input
from .text import LARGEST, is_text, quoted

if TYPE_CHECKING:
    import yaml

MOST_JSON = 64 << 20
"""Bytes of a JSON file: a result of 10,000 manipulations and 15 metrics has 20 MiB."""
MOST_PARTS = 2_000_000
"""Commas and opening brackets of a JSON text, a bound on its memory: that result has 1.2 million."""
MOST_YAML = 256 << 10
"""Bytes of a YAML file: the longest known card has 10 KiB."""
MOST_NODES = 20_000
"""Keys, values and containers of a YAML file, after its aliases are expanded."""
DEEPEST = 32
"""Mappings and lists within each other."""


class Refused(ValueError):
    """Refused content: the reason in one short line, without the file's name."""


def read_bytes(path: Path, most: int) -> bytes:
    """Return a regular file's bytes. Raises Refused for more than `most` bytes, and for a pipe or a device."""
    try:
        return read_input(path, most)
    except NoInput as error:
        raise Refused(f"it {error}") from None


def read_text(path: Path, most: int) -> str:
    """Return a regular file's UTF-8 text, without a byte order mark. Raises Refused."""
    data = read_bytes(path, most)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        kind = " but UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise Refused(f"byte {error.start} is not UTF-8{kind}: save it as UTF-8") from None


def read_json(path: Path) -> Any:
    """Return the content of a JSON file. Raises Refused."""
    return parse_json(read_text(path, MOST_JSON))


def parse_json(text: str) -> Any:
    """Return the content of a JSON text. Raises Refused, also for NaN, Infinity and numbers too large for a float."""
    if sum(map(text.count, ",[{")) > MOST_PARTS:
        raise Refused(f"it has more than {MOST_PARTS:,} values")
    try:
        data = json.loads(text, object_pairs_hook=unique_keys, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise Refused(f"line {error.lineno} is not JSON: {error.msg}") from None
    except RecursionError:
        raise Refused(f"it is nested deeper than {DEEPEST}") from None
    except Refused:
        raise
    except ValueError:  # a whole number of thousands of digits
        raise Refused("a number is too long") from None
    check_plain(data)
    return data


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file; a date stays a text. Raises Refused, also for tags of unknown types."""
    import yaml

    text = read_text(path, MOST_YAML)
    try:
        _check_events(text)
        data = yaml.load(text, Loader=_loader())  # a safe loader, see `_loader`
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be parsed"
        raise Refused(f"{f'line {mark.line + 1}' if mark else 'it'} is not YAML: {quoted(problem)}") from None
    except RecursionError:
        raise Refused(f"it is nested deeper than {DEEPEST}") from None
    except Refused:
        raise
    except (ValueError, OverflowError, TypeError):  # a number of thousands of digits, a month 13
        raise Refused("a number in it cannot be read") from None
    check_plain(data)
    return data


def check_plain(data: Any) -> None:
    """Raise Refused for content that is nested too deep, not finite, too large, or not valid UTF-8."""
    waiting: list[tuple[Any, int]] = [(data, 0)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, str):
            if not is_text(value):
                raise Refused("a text in it has half of a surrogate pair, which UTF-8 cannot hold")
        elif isinstance(value, (dict, list)):
            if depth >= DEEPEST:
                raise Refused(f"it is nested deeper than {DEEPEST}")
            inside = [*value, *value.values()] if isinstance(value, dict) else value
            waiting += [(one, depth + 1) for one in inside]
        elif isinstance(value, float):
            if not math.isfinite(value):
                raise Refused("a number in it is not finite")
        elif isinstance(value, int):
            if abs(value) >= LARGEST:
                raise Refused(f"a whole number in it has more than {len(str(LARGEST)) - 1} digits")
        elif value is not None:
            raise Refused(f"a value in it has the type {type(value).__name__}, which is not allowed")


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object's pairs as a mapping. Raises Refused for a repeated key."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Refused(f"the key {quoted(twice)} appears twice")
    return found


def _no_number(name: str) -> Any:
    raise Refused(f"{name} is not a JSON number")


@cache
def _loader() -> type[yaml.SafeLoader]:
    """Return PyYAML's safe loader, which leaves dates as text; written in C if that is installed."""
    import yaml

    fast: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    kept = {
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in fast.yaml_implicit_resolvers.items()
    }
    return type("Loader", (fast,), {"yaml_implicit_resolvers": kept})


class _Open:
    """A container that is being read: its anchor, its number of nodes, its keys if it is a mapping."""

    def __init__(self, anchor: str | None, mapping: bool) -> None:
        self.anchor, self.mapping = anchor, mapping
        self.nodes, self.children = 1, 0
        self.keys: set[Hashable] = set()


def _check_events(text: str) -> None:
    """Read a YAML text's events, without building anything.

    Raises Refused for content that is too deep or too large, a repeated key, and an alias before the end of its anchor.
    """
    import yaml

    open_nodes, sizes = [_Open(None, False)], dict[str, int]()

    def add(nodes: int, key: Hashable, line: int) -> None:
        parent = open_nodes[-1]
        if parent.mapping and parent.children % 2 == 0 and key is not None and key != "<<":
            if key in parent.keys:
                raise Refused(f"line {line}: the key {quoted(key)} appears twice")
            parent.keys.add(key)
        parent.nodes, parent.children = parent.nodes + nodes, parent.children + 1
        if sum(one.nodes for one in open_nodes) > MOST_NODES:
            raise Refused(f"line {line}: it has more than {MOST_NODES:,} values, its aliases expanded")

    for event in yaml.parse(text, Loader=_loader()):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise Refused(f"line {line}: the alias {quoted(event.anchor)} has no complete anchor before it")
            add(sizes[event.anchor], None, line)
        elif isinstance(event, yaml.ScalarEvent):
            add(1, event.value, line)
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            if len(open_nodes) > DEEPEST:
                raise Refused(f"line {line}: it is nested deeper than {DEEPEST}")
            sizes.pop(event.anchor or "", None)  # the anchor is reused, and not complete yet
            open_nodes.append(_Open(event.anchor, isinstance(event, yaml.MappingStartEvent)))
        elif isinstance(event, yaml.CollectionEndEvent):
            closed = open_nodes.pop()
            add(closed.nodes, None, line)
            if closed.anchor:
                sizes[closed.anchor] = closed.nodes
