"""Safe parsing of JSON, YAML and Parquet files, with limits that are checked before anything is built.

Cards, results, records and indexes may come from anyone. Accepted are plain values (mappings, lists, valid UTF-8 texts,
finite numbers, booleans, null), nested at most `DEEPEST` deep, without repeated keys. Anything else is refused in one
short line that never repeats the file's content. A Parquet table may take much more memory than its file: a column that
repeats one long text, or one value a billion times, is a file of a few kilobytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Hashable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import first_line
from .files import NoInput, read_input
from .text import LARGEST, is_text, quoted

if TYPE_CHECKING:
    import pyarrow as pa
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
MOST_ROWS = 50_000_000
MOST_COLUMNS = 10_000
MOST_TEXT = 1 << 30
"""Bytes of all texts of one column."""
LONGEST_TEXT = 1 << 20
"""Bytes of one text."""


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


def read_json(path: Path, most: int = MOST_JSON, parts: int = MOST_PARTS) -> Any:
    """Return the content of a JSON file of at most `most` bytes and `parts` values. Raises Refused."""
    return parse_json(read_text(path, most), parts)


def parse_json(text: str, parts: int = MOST_PARTS) -> Any:
    """Return the content of a JSON text. Raises Refused, also for NaN, Infinity and numbers too large for a float."""
    if sum(map(text.count, ",[{")) > parts:
        raise Refused(f"it has more than {parts:,} values")
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


def read_table(path: Path, wanted: Collection[str] | None = None) -> pa.Table:
    """Return a Parquet file's table; columns that are not `wanted` (None: all are) have names but no values.

    Raises Refused for a file that is damaged, not Parquet, or over the limits.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as opened:  # pyarrow finds no file whose name is not UTF-8
            file = pq.ParquetFile(opened)
            if file.metadata.num_rows > MOST_ROWS or file.metadata.num_columns > MOST_COLUMNS:
                raise Refused(f"it has more than {MOST_ROWS:,} rows or {MOST_COLUMNS:,} columns")
            groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
            columns = range(file.metadata.num_columns)
            if any(sum(group.column(j).num_values for group in groups) > MOST_ROWS for j in columns):  # of lists
                raise Refused(f"a column of it has more than {MOST_ROWS:,} values")
            names = file.schema_arrow.names
            kept = [name for name in dict.fromkeys(names) if wanted is None or name in wanted]
            texts = [field.name for field in file.schema_arrow if pa.types.is_string(field.type)]
            table = pq.ParquetFile(opened, read_dictionary=[name for name in texts if name in kept]).read(kept)
            table.validate(full=True)  # refuses texts that are not UTF-8
    except OSError as error:
        raise Refused(first_line(error)) from None
    except (pa.ArrowException, ValueError) as error:
        raise error if isinstance(error, Refused) else Refused(first_line(error)) from None
    held: dict[str, Any] = {name: table.column(i) for i, name in enumerate(table.column_names)}
    if len(held) < len(table.column_names):
        return table  # two columns of one name: refused where the column is used
    found = [_plain(name, held[name]) if name in held else pa.nulls(table.num_rows) for name in names]
    return pa.Table.from_arrays(found, names=names)


def _plain(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column with its dictionary of texts expanded. Raises Refused if the texts would be too long."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type) or not pa.types.is_string(column.type.value_type):
        return column
    longest = max((pc.max(pc.binary_length(part.dictionary)).as_py() or 0 for part in column.chunks), default=0)
    if longest > LONGEST_TEXT:
        raise Refused(f"its column '{name[:60]}' has a text of {longest:,} bytes")
    if longest * len(column) > MOST_TEXT and sum(_bytes(part) for part in column.chunks) > MOST_TEXT:
        raise Refused(f"the texts of its column '{name[:60]}' take more than {MOST_TEXT >> 30} GiB")
    return column.cast(pa.string())


def _bytes(part: Any) -> int:
    """Return the bytes of a part's texts, expanded."""
    import pyarrow.compute as pc

    lengths = pc.binary_length(part.dictionary)
    return int(pc.sum(pc.cast(pc.take(lengths, part.indices), "int64")).as_py() or 0)
