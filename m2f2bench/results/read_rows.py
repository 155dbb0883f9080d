"""Rows from files: CSV, JSON lines or Parquet of `id,label,score`, read exactly or refused in one line."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..core.arrow import arrow_array, arrow_scalar, floats_of, objects_of
from ..core.connected import factorize, first_rows
from ..core.errors import ScoreError, first_line, near
from ..core.parsing import MOST_COLUMNS, Refused, read_table, unique_keys
from ..core.records import FAKE, ORIGINAL, REAL, STATUSES
from ..core.rows import Rows, Strings, likely_cause
from ..core.text import quoted
from .columns import ColumnNames, columns_of
from .in_memory import SCORE, InMemory, RowsInMemory, in_memory, row_of

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger("m2f2bench")
REQUIRED = ("id", "label", "score")
OPTIONAL = ("video", "method", "identity", "status", "digest", "picture")
LABEL_WORDS = {"0": REAL, "1": FAKE, "real": REAL, "fake": FAKE, "0.0": REAL, "1.0": FAKE}
NO_SCORE = frozenset({"", "nan", "na", "n/a", "null", "none"})
"""Texts, in upper or lower case, of a cell without a score."""
WARNED = 50_000
"""At most this many rows, evenly spread, are checked for what is worth a warning."""
SEPARATORS = r"[\x00\x1e\x1f]"
"""Separators of texts in hashes: no text of a row may hold one."""
LONGEST_HEADER, LONGEST_LINE = 1 << 20, 16 << 20
"""Bytes of a first line of column names, and of any line."""
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
LOOKED_AT = 1000
"""First rows that tell whether a column repeats its texts."""
SHOWN = 60
"""Characters of a cell that a message shows."""
SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")


def rows_in_memory(data: Any, name: str, columns: ColumnNames | None = None) -> RowsInMemory:
    """Return data as rows in memory that `read_rows` takes; see `in_memory`. Raises ScoreError."""
    mapping = columns_of(columns, Path(name))
    index = (mapping.get("id", "id"), "frame")
    return in_memory(data, name, {*REQUIRED, *OPTIONAL, "frame", *mapping.values()}, index, mapping.get(SCORE, SCORE))


def read_rows(path: Path | InMemory, columns: ColumnNames | None = None) -> Rows:
    """Read rows of `id`, `label` (0/1/real/fake) and `score` (P(fake)) from CSV, TSV, JSON lines or Parquet.

    Optional columns: `video` (default: each row, or each picture, is its own video), `method`, `identity` (several
    joined by `+`), `status`, `digest`, `picture`. `columns` maps our names to the file's (see `ColumnNames`); our own
    `frame` counts as `id`. `path` may also be rows in memory. Each record of the file is a row; one without a score
    (see NO_SCORE) has the status `missing`. Raises ScoreError in one line that names the file and the row, also if no
    row has a score.
    """
    mapping = columns_of(columns, Path(str(path)))
    wanted = {*REQUIRED, *OPTIONAL, "frame", *mapping.values()}
    if isinstance(path, InMemory) and not isinstance(path, RowsInMemory):
        raise ScoreError(f"'{path}' holds answers to questions, and rows of P(fake) are wanted here (with a label)")
    table = path.table if isinstance(path, RowsInMemory) else table_of(path, wanted)
    if table.num_rows == 0:
        raise ScoreError(f"'{path}' has no rows")
    unknown = [name for name in mapping if name not in (*REQUIRED, *OPTIONAL)]
    if unknown:
        raise ScoreError(f"cannot map '{unknown[0]}'{near(unknown[0], (*REQUIRED, *OPTIONAL))}")
    if "id" not in mapping and "id" not in table.column_names and "frame" in table.column_names:
        mapping["id"] = "frame"
    names = {name: mapping.get(name, name) for name in (*REQUIRED, *OPTIONAL)}
    for name in dict.fromkeys((*REQUIRED, *mapping)):
        if names[name] not in table.column_names:
            raise ScoreError(
                f"'{path}' has no column '{names[name]}' for {name}{near(names[name], table.column_names)} "
                f"(map it with {option(path, name)})"
            )
    twice = [column for column in names.values() if table.column_names.count(column) > 1]
    if twice:
        raise ScoreError(f"'{path}' has two columns '{twice[0]}': rename or remove one")
    return _checked(path, {n: table.column(column) for n, column in names.items() if column in table.column_names})


def option(path: Path | InMemory, name: str) -> str:
    """Return how a column is given another name, on the command line or in Python."""
    return f"columns={{'{name}': NAME}}" if isinstance(path, InMemory) else f"--column {name}=NAME"


def table_of(path: Path, wanted: Collection[str]) -> pa.Table:
    """Return the file's table; columns that are not `wanted` may be empty. Raises ScoreError."""
    import pyarrow as pa

    readers: dict[str, Callable[[Path], pa.Table]] = {
        ".csv": _delimited,
        ".tsv": _delimited,
        ".jsonl": lambda path: _as_table(json_lines(path), wanted),
        ".parquet": lambda path: read_table(path, wanted),
    }
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise ScoreError(f"'{path}' must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    if not path.is_file():
        what = "there is no file" if path.is_dir() or not path.exists() else "this is not a regular file:"
        raise ScoreError(f"{what} '{path}'")
    try:
        return readers[suffix](path)
    except UnicodeError as error:
        raise ScoreError(f"'{path}' cannot be read as {suffix[1:]}: {_not_text(error)}") from None
    except (OSError, ValueError, pa.ArrowException) as error:
        why = str(error) if isinstance(error, Refused) else first_line(error)
        raise ScoreError(f"'{path}' cannot be read as {suffix[1:]}: {why}") from None


def _not_text(error: UnicodeError) -> str:
    if isinstance(error, UnicodeEncodeError):
        return "a text in it has half of a surrogate pair, which UTF-8 cannot hold"
    kind = ", but UTF-16" if isinstance(error, UnicodeDecodeError) and error.object[:2] in UTF_16 else ""
    return f"it is not UTF-8{kind}: save it as UTF-8"


def _delimited(path: Path) -> pa.Table:
    """Read all columns as text, so that no reader guesses types and empty cells stay empty."""
    import pyarrow as pa
    from pyarrow import csv

    with path.open("rb") as file:
        first = file.readline(LONGEST_HEADER + 1)
    if len(first) > LONGEST_HEADER:
        raise Refused(f"its first line is longer than {LONGEST_HEADER >> 20} MiB")
    if first[:2] in UTF_16:
        raise Refused("it is not UTF-8, but UTF-16: save it as UTF-8")
    header = first.decode("utf-8-sig")
    delimiter = max(",;\t", key=header.count)
    if header.count(delimiter) >= MOST_COLUMNS:
        raise Refused(f"it has more than {MOST_COLUMNS:,} columns")
    parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    read = csv.ReadOptions(block_size=LONGEST_LINE)
    with path.open("rb") as file, csv.open_csv(file, parse_options=parse) as reader:
        names = reader.schema.names
    convert = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
    with path.open("rb") as file:  # pyarrow cannot open a name that is not UTF-8
        table = csv.read_csv(file, read_options=read, parse_options=parse, convert_options=convert)
    _refuse_swallowed(path, table, delimiter)
    return table


def _refuse_swallowed(path: Path, table: pa.Table, delimiter: str) -> None:
    """Raise ValueError if an unclosed quotation mark has joined several records into one value."""
    import csv

    import pyarrow.compute as pc

    if _lines_of(path) == table.num_rows + 1:  # a record has a line at least
        return
    if not any(pc.any(pc.match_substring_regex(column, "[\r\n]")).as_py() for column in table.columns):
        return
    with path.open(encoding="utf-8-sig", newline="") as file:
        records = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            n = sum(1 for record in records if record) - 1
        except csv.Error as error:
            raise ValueError(f"line {records.line_num}: {error}; is a quotation mark left open?") from None
    if n != table.num_rows:
        raise ValueError(f"it has {n} records, but only {table.num_rows} could be separated; are its quotes right?")


def _lines_of(path: Path) -> int:
    """Return the number of lines of a file, in a fraction of the time of looking at values; -1 if one ends in a CR."""
    lines, last = 0, b"\n"
    with path.open("rb") as file:
        while part := file.read(LONGEST_LINE):
            if b"\r" in part:
                return -1
            lines, last = lines + part.count(b"\n"), part[-1:]
    return lines + (last != b"\n")


def json_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file of JSON lines. Raises ValueError, naming the line, for anything else, for a repeated
    key, and for a line longer than LONGEST_LINE.
    """
    # Other JSON readers round floats or refuse tiny ones.
    rows: list[dict[str, Any]] = []
    with path.open(encoding="utf-8-sig") as lines:
        for number in itertools.count(1):
            line = lines.readline(LONGEST_LINE + 1)
            if not line:
                return rows
            if len(line) > LONGEST_LINE:
                raise Refused(f"line {number} is longer than {LONGEST_LINE >> 20} MiB")
            if line.strip():
                rows.append(_json_row(line, number))
    return rows


def _json_row(line: str, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line, object_pairs_hook=unique_keys)
    except RecursionError:
        raise Refused(f"line {number} is nested too deeply") from None
    except ValueError as error:
        raise Refused(f"line {number}: {first_line(error).partition(': ')[2]}") from None
    if not isinstance(row, dict):
        raise Refused(f"line {number} is not an object")
    return row


def _as_table(rows: list[dict[str, Any]], wanted: Collection[str]) -> pa.Table:
    import pyarrow as pa

    def column(name: str) -> pa.Array:
        if name not in wanted:
            return pa.nulls(len(rows))
        values = [row.get(name) for row in rows]
        if any(isinstance(v, (list, dict)) for v in values):  # refused by its type if it is needed
            return pa.nulls(len(values), pa.list_(pa.null()))
        # repr keeps every bit of a number.
        return arrow_array([None if v is None else v if isinstance(v, str) else repr(v) for v in values], pa.string())

    names = list(dict.fromkeys(name for row in rows for name in row))
    if len(names) > MOST_COLUMNS:
        raise Refused(f"its objects have more than {MOST_COLUMNS:,} different keys")
    return pa.Table.from_arrays([column(name) for name in names], names)


def _checked(path: Path | InMemory, found: Mapping[str, pa.ChunkedArray]) -> Rows:
    n = len(found["id"])
    texts = {name: _text(path, name, column) for name, column in found.items() if name != "score"}

    def text(name: str, default: Strings) -> Strings:
        return np.where(texts[name] == "", default, texts[name]) if name in texts else default

    ids = texts["id"]
    _first_bad(path, ids == "", lambda i: "has an empty id")
    _first_bad(path, _repeated(ids), lambda i: f"repeats the id {quoted(str(ids[i]), SHOWN)}")
    label = _labels(path, texts["label"])
    status = text("status", np.full(n, "ok", dtype=object))
    codes, words = factorize(status)
    known = np.array([word in STATUSES for word in words], dtype=np.bool_)[codes]
    _first_bad(
        path, ~known, lambda i: f"has the status {quoted(str(status[i]), SHOWN)}{near(str(status[i]), STATUSES)}"
    )
    score, status = _scores(path, found["score"], status)
    method = text("method", np.where(label == REAL, ORIGINAL, "fake").astype(object))
    if "video" in texts and "method" not in texts:
        _warn_of_one_name(path, ids, texts["video"])
    empty = np.full(n, "", dtype=object)
    return Rows(
        frame=ids,
        video=text("video", text("picture", ids)),
        method=method,
        identity=text("identity", empty),
        status=status,
        label=label,
        score=score,
        digest=text("digest", empty),
        picture=text("picture", ids),
    )


def _scores(path: Path | InMemory, column: pa.ChunkedArray, status: Strings) -> tuple[npt.NDArray[np.float64], Strings]:
    """Return the scores, NaN unless the status is ok, and the statuses, `missing` if an ok row has no score."""
    score, blank = _floats(column)
    ok = status == "ok"
    missing = ok & blank
    _first_bad(
        path,
        ok & ~blank & ~((score >= 0.0) & (score <= 1.0)),
        lambda i: (
            f"has the score {quoted(str(column[i].as_py()), SHOWN)}: P(fake) in [0, 1] is wanted, or a status other "
            f"than ok{_cause(score[i], score[ok & ~blank])}"
        ),
    )
    if missing.any() and not (ok & ~blank).any():
        first = int(np.flatnonzero(missing)[0])
        shown = quoted(str(column[first].as_py()), SHOWN)
        raise ScoreError(f"{row_of(path, first)} has the score {shown}, and none of {len(status)} rows has one")
    status = np.where(missing, "missing", status).astype(object)
    return np.where(ok & ~blank, score, np.nan), status


def _cause(score: float, scores: npt.NDArray[np.float64]) -> str:
    """Return what a score outside [0, 1] may be, judging by all scores; empty if it is not a number."""
    known = scores[np.isfinite(scores)]
    return f"; {likely_cause(known.tolist())}" if np.isfinite(score) else ""


def _text(path: Path | InMemory, name: str, column: pa.ChunkedArray) -> Strings:
    """Return a column as stripped strings, empty for nulls."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        plain = column.cast(pa.string())
    except pa.ArrowException:
        raise ScoreError(f"'{path}': column {name} is of type {column.type}, not text or a number") from None
    words, codes = _distinct(plain)
    stripped = pc.utf8_trim_whitespace(words).fill_null(arrow_scalar("", pa.string()))
    marks = pc.match_substring_regex(stripped, SEPARATORS)
    if pc.any(marks).as_py():
        first = int(np.flatnonzero(objects_of(marks)[codes])[0])
        raise ScoreError(f"{row_of(path, first)} has a control character (0, 30 or 31) in its {name}: remove it")
    return np.asarray(objects_of(stripped)[codes])


def _distinct(column: pa.ChunkedArray) -> tuple[pa.Array | pa.ChunkedArray, npt.NDArray[np.int64] | slice]:
    """Return a column's distinct texts and which of them each row has, where many rows repeat one: else all rows'.

    Texts that repeat are cleaned once, and are one object of Python's.
    """
    head = column.slice(0, LOOKED_AT)
    if len(head.unique()) > len(head) / 2:
        return column, slice(None)
    encoded = column.dictionary_encode("encode").unify_dictionaries()
    codes = np.concatenate([np.from_dlpack(part.indices) for part in encoded.chunks])
    return encoded.chunk(0).dictionary, codes.astype(np.int64)


def _repeated(ids: Strings) -> npt.NDArray[np.bool_]:
    if len(set(ids.tolist())) == len(ids):  # the common case, in a fraction of the time
        return np.zeros(len(ids), dtype=np.bool_)
    codes, _ = factorize(ids)
    return np.asarray(first_rows(codes)[codes] != np.arange(len(ids)))


def _labels(path: Path | InMemory, texts: Strings) -> npt.NDArray[np.int64]:
    codes, words = factorize(texts)
    values = np.array([LABEL_WORDS.get(word.lower(), -1) for word in words], dtype=np.int64)
    label = np.asarray(values[codes], dtype=np.int64)
    _first_bad(path, label < 0, lambda i: f"has the label {quoted(str(texts[i]), SHOWN)}: 0, 1, real or fake is wanted")
    return label


def _floats(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return exact floats, NaN for what is not a number, and bool for empty cells (see NO_SCORE).

    Text is rounded to the nearest float. A truth value or a list is neither a number nor empty.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        numbers = floats_of(column.cast(pa.float64(), safe=False))
        return numbers, np.isnan(numbers)
    with contextlib.suppress(pa.ArrowException):
        numbers = floats_of(column.cast(pa.string()).cast(pa.float64()))
        if not np.isnan(numbers).any():  # the common case: nothing to trim and nothing empty
            return numbers, np.zeros(len(numbers), dtype=np.bool_)
    try:
        texts = pc.utf8_trim_whitespace(column.cast(pa.string())).fill_null(arrow_scalar("", pa.string()))
    except pa.ArrowException:
        return np.full(len(column), np.nan), np.zeros(len(column), dtype=np.bool_)
    blank = pc.is_in(pc.utf8_lower(texts), value_set=arrow_array(sorted(NO_SCORE), pa.string()))
    try:
        plain = pc.if_else(blank, arrow_scalar(None, pa.string()), texts)
        numbers = floats_of(plain.cast(pa.float64()))
    except pa.ArrowException:
        numbers = np.array([_float(text) for text in texts.to_pylist()])
    return numbers, objects_of(blank).astype(np.bool_)


def _float(text: str | None) -> float:
    try:
        return float(text) if text and "_" not in text else np.nan
    except ValueError:
        return np.nan


def _warn_of_one_name(path: Path | InMemory, ids: Strings, videos: Strings) -> None:
    """Warn if ids show several videos of one name, as in FaceForensics++, that no column `method` separates."""
    folders: dict[str, str] = {}
    step = -(-len(ids) // WARNED)
    for name, video in zip(ids[::step].tolist(), videos[::step].tolist(), strict=True):
        if not video:
            continue
        before, found, _ = name.partition(video)
        folder = before.rpartition("/")[0]
        if found and video and folders.setdefault(video, folder) != folder:
            log.warning(
                f"'{path}': by the ids, video '{video}' is in '{folders[video]}' and in '{folder}', but it counts as "
                f"one: add a column method if these are several"
            )
            return


def _first_bad(path: Path | InMemory, bad: npt.NDArray[np.bool_], message: Callable[[int], str]) -> None:
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        more = f" ({int(bad.sum()) - 1} more like it)" if bad.sum() > 1 else ""
        raise ScoreError(f"{row_of(path, i)} {message(i)}{more}")
