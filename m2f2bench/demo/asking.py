"""Questions to an explainer about one face, whose words come as they are written."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..core.errors import DetectorError, first_line
from ..core.hearing import listening
from ..core.text import without_surrogates

if TYPE_CHECKING:
    from ..core.records import Image, Reply
    from .judging import Judge, Panel

log = logging.getLogger("m2f2bench")
LONGEST = 500
"""Characters of a question."""


def words(panel: Panel, judge: Judge, image: Image, question: str) -> Iterator[str]:
    """Yield the answer so far about a crop, RGB uint8 [S, S, 3], until it is whole; the last is the whole answer.

    An explainer that does not tell its words yields the whole answer once. Raises DetectorError in one line for an
    empty or long question and where the explainer fails.
    """
    text = without_surrogates(question).strip()
    if not text:
        raise DetectorError("the question is empty: write one")
    if len(text) > LONGEST:
        raise DetectorError(f"the question has {len(text)} characters, and at most {LONGEST} are asked")
    said: queue.Queue[str | Reply | BaseException] = queue.Queue()
    thread = threading.Thread(target=_ask, args=(panel, judge, image, text, said), daemon=True)
    thread.start()
    while True:
        one = said.get()
        if isinstance(one, BaseException):
            raise DetectorError(f"detector '{judge.name}' gave no answer: {first_line(one)}") from None
        if not isinstance(one, str):
            break
        while not said.empty() and isinstance(said.queue[0], str):  # the page is behind: only the newest counts
            one = said.get()
        if isinstance(one, str):
            yield one
    if one.error:
        raise DetectorError(f"detector '{judge.name}' gave no answer: {one.error}")
    note = f" [{one.message}]" if one.message else ""
    yield (one.text or "an empty answer") + note


def _ask(panel: Panel, judge: Judge, image: Image, text: str, said: queue.Queue[str | Reply | BaseException]) -> None:
    assert judge.client is not None
    try:
        with panel.lock, listening(said.put):
            ((reply,),) = judge.client.answers([(image, [text])])
        said.put(reply)
    except BaseException as error:
        log.debug("%s failed on a question", judge.name, exc_info=True)
        said.put(error)
