"""The last operation of an ONNX graph, read from the file's protobuf: whether outputs are logits or probabilities.

Only the fields that are needed are read: of the model its graph (7), of the graph its nodes (1), of a node its inputs
(1), outputs (2) and operation (4); see onnx.proto of the ONNX project. Tensors are skipped.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

GRAPH, NODE = 7, 1
INPUT, OUTPUT, OPERATION = 1, 2, 4
PASSING = ("Identity", "Squeeze", "Reshape", "Flatten", "Cast", "Unsqueeze", "Transpose")
"""Operations that leave the values as they are."""


def last_operation(path: Path, output: str) -> str:
    """Return the operation that computes an output, before reshaping; "" if the graph does not say it."""
    made: dict[str, tuple[str, str]] = {}
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for graph in _parts(data, 0, len(data), GRAPH):
                for node in _parts(data, *graph, NODE):
                    names = [_text(data, part) for part in _parts(data, *node, INPUT)]
                    operation = "".join(_text(data, part) for part in _parts(data, *node, OPERATION))
                    for part in _parts(data, *node, OUTPUT):
                        made[_text(data, part)] = (operation, names[0] if names else "")
    except (OSError, ValueError, IndexError):
        return ""
    operation = ""
    for _ in range(len(made)):
        operation, before = made.get(output, ("", ""))
        if operation not in PASSING:
            return operation
        output = before
    return operation


def _parts(data: mmap.mmap, start: int, end: int, wanted: int) -> Iterator[tuple[int, int]]:
    """Yield where the fields of one number begin and end. Raises ValueError for what is no protobuf."""
    place = start
    while place < end:
        key, place = _number(data, place)
        field, kind = key >> 3, key & 7
        if kind == 0:
            _, place = _number(data, place)
        elif kind == 2:
            length, place = _number(data, place)
            if place + length > end:
                raise ValueError("a field that ends behind its message")
            if field == wanted:
                yield place, place + length
            place += length
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of the unknown type {kind}")


def _number(data: mmap.mmap, place: int) -> tuple[int, int]:
    """Return a variable-length number and the place behind it."""
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128 or shift > 63:
            return value, place


def _text(data: mmap.mmap, part: tuple[int, int]) -> str:
    return data[part[0] : part[1]].decode("utf-8", "replace")
