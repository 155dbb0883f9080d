"""Words of an answer while it is being written: explainers tell them, and whoever asked may listen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_LISTENER: ContextVar[Callable[[str], None] | None] = ContextVar("m2f2bench_listener", default=None)


@contextmanager
def listening(hear: Callable[[str], None]) -> Iterator[None]:
    """Call `hear` with the text so far, each time that an explainer tells it in this block and thread."""
    token = _LISTENER.set(hear)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def is_heard() -> bool:
    """Return whether anybody listens: an explainer need not put words together otherwise."""
    return _LISTENER.get() is not None


def tell(text: str) -> None:
    """Say how an answer reads so far. An explainer calls it as often as it likes, while it answers one question."""
    hear = _LISTENER.get()
    if hear is not None:
        hear(text)
