"""Check of the plain arguments of public functions: a wrong type is one line, and no traceback."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from .errors import DataError
from .files import user_path
from .text import quoted

P = ParamSpec("P")
R = TypeVar("R")
WORDS = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "True or False",
    "str | Path": "a path",
    "Sequence[str]": "a list of texts",
    "Sequence[str] | str": "a text or a list of texts",
    "ColumnNames": "a mapping from our names to the data's",
}
"""What is wanted, by the annotation of a parameter; others are checked where they are used."""


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that raises DataError in one line for plain arguments (see WORDS) of another type.

    Paths that the system cannot look up are refused too.
    """
    signature = inspect.signature(function)
    kinds = {name: str(one.annotation) for name, one in signature.parameters.items()}
    plain = {name: kind for name, kind in kinds.items() if kind.removesuffix(" | None") in WORDS}

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        # Arguments that do not fit the signature at all are Python's own error.
        given = signature.bind(*args, **kwargs).arguments
        for name, kind in plain.items():
            if name in given and not (given[name] is None and kind.endswith(" | None")):
                _check(name, kind.removesuffix(" | None"), given[name])
        return function(*args, **kwargs)

    return call


def _check(name: str, kind: str, value: Any) -> None:
    if kind == "Sequence[str]" and isinstance(value, str):
        raise DataError(f"{name} is one text, {quoted(value)}: give a list of {name}")
    if not _fits(kind, value):
        shown = quoted(value) if isinstance(value, (str, int, float, type(None))) else f"of type {type(value).__name__}"
        raise DataError(f"{name} is {shown}: {WORDS[kind]} is wanted")
    if kind == "str | Path":
        user_path(value)


def _fits(kind: str, value: Any) -> bool:
    number = not isinstance(value, bool)
    return {
        "str": isinstance(value, str),
        "int": isinstance(value, Integral) and number,
        "float": isinstance(value, Real) and number and value == value,
        "bool": isinstance(value, int) or type(value).__name__ in ("bool", "bool_"),
        "str | Path": isinstance(value, (str, Path)),
        "Sequence[str]": _is_list(value) and all(isinstance(one, str) for one in value),
        "Sequence[str] | str": isinstance(value, str) or (_is_list(value) and all(isinstance(o, str) for o in value)),
        "ColumnNames": isinstance(value, Mapping),
    }[kind]


def _is_list(value: Any) -> bool:
    """Return whether a value is a collection of items, and no text, mapping, array or table."""
    return isinstance(value, Collection) and not isinstance(value, (str, bytes, Mapping)) and not hasattr(value, "ndim")
