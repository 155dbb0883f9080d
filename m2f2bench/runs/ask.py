"""Questions to an explainer: an image is decoded once for all its questions, and answers come image by image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from ..core.arithmetic import exact_fp32
from ..core.errors import DetectorError, M2F2BenchError, first_line, refuse_machine_fault
from ..core.guests import guest
from ..core.records import Answer, Frame, Question, Reply, question_digest
from ..core.text import without_surrogates
from ..datasets.base import Adapter
from ..datasets.limits import BATCH_BYTES
from ..datasets.read_ahead import Loaded, frames_ahead, held_bytes
from ..detectors.base import Detector

AHEAD = 4
"""Images that are decoded ahead."""


def require_explainer(name: str, own: object) -> None:
    """Raise DetectorError unless a detector, or its class, has a method `explain`."""
    if not callable(getattr(own, "explain", None)):
        raise DetectorError(
            f"detector '{name}' answers no questions: use one whose class is a m2f2bench.Explainer, or a protocol "
            f"about P(fake)"
        )


class ExplainerClient:
    """A detector that answers questions; its answers are checked. Raises DetectorError for any other detector."""

    def __init__(self, detector: Detector) -> None:
        """Take an Explainer, or a detector around one or around an object with `explain(images, questions)`."""
        self.name, self.precision = detector.card.name, detector.precision
        own = detector.as_explainer()
        require_explainer(self.name, own)
        self.own: Any = own
        self.at_once = int(getattr(own, "questions_at_once", 0) or 0)
        """Number of questions asked together, of several images if necessary; 0: the questions of one image."""
        self.scored = bool(getattr(own, "scores_with_answers", False))
        """Whether P(fake) can only come with the answers: see `Explainer.scores_with_answers`."""
        self.errors_pass = bool(getattr(own, "errors_pass", False))
        """Whether a failed question is asked again if the run is repeated: see `Explainer.errors_pass`."""
        self.worked = False
        """Whether it has answered a question yet."""

    def answers(self, asked: Sequence[tuple[Any, Sequence[str]]]) -> list[list[Reply]]:
        """Return for each image the replies to its questions; all are asked in one call.

        The explainer gets only the images and the questions' texts: no label, no reference. Raises DetectorError for a
        wrong number of answers, for an invalid answer, and for two scores of one image; its own errors pass through.
        """
        # One copy for all questions about an image: changes that the explainer makes must not reach later readers.
        images = [image for picture, texts in asked for image in [picture.copy()] * len(texts)]
        with exact_fp32(self.precision), guest(f"detector '{self.name}'"):
            found = list(self.own.explain(images, [text for _, texts in asked for text in texts]))
        if len(found) != len(images) or not all(isinstance(one, (str, Reply)) for one in found):
            raise DetectorError(
                f"detector '{self.name}' gave {len(found)} answers to {len(images)} questions, or some are not texts: "
                f"explain(images, questions) must return one text or m2f2bench.Reply for each pair"
            )
        replies = iter([self._checked(Reply(one) if isinstance(one, str) else one) for one in found])
        shared = [[next(replies) for _ in texts] for _, texts in asked]
        self.worked = True
        return [self._of_one_image(own) for own in shared]

    def _checked(self, reply: Reply) -> Reply:
        """Return a reply with valid texts and numbers, and with no text if it has an error."""
        if not all(isinstance(text, str) for text in (reply.text, reply.message, reply.error)):
            raise DetectorError(f"detector '{self.name}' gave a reply whose text, message or error is not a string")
        score = self._number("score", reply.score)
        if score is not None and score > 1.0:
            raise DetectorError(f"detector '{self.name}' gave a reply with the score {score:g}: P(fake) is in [0, 1]")
        tokens = [self._number(name, getattr(reply, name)) for name in ("tokens_in", "tokens_out")]
        read, written = (None if n is None else int(n) for n in tokens)
        text = "" if reply.error else without_surrogates(reply.text)
        message, error = without_surrogates(reply.message), without_surrogates(reply.error)
        seconds, cost = self._number("seconds", reply.seconds), self._number("cost", reply.cost)
        return Reply(text, message, score, seconds, read, written, cost, error)

    def _number(self, name: str, value: Any) -> float | None:
        if value is None:
            return None
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not (math.isfinite(number) and number >= 0.0):
            raise DetectorError(
                f"detector '{self.name}' gave a reply whose {name} is {value!r}: it must be a number from 0 on, or None"
            )
        return number

    def _of_one_image(self, replies: Sequence[Reply]) -> list[Reply]:
        """Return the replies about one image, each with the image's score if scores come with the replies."""
        scores = {reply.score for reply in replies if reply.score is not None} if self.scored else set()
        if len(scores) > 1:
            low, high = min(scores), max(scores)
            raise DetectorError(
                f"detector '{self.name}' gave the scores {low!r} and {high!r} with answers about one image: a score is "
                f"P(fake) of the image"
            )
        score = next(iter(scores), None)
        return [replace(reply, score=score) for reply in replies]


class _Waiting(NamedTuple):
    """One image with its questions, waiting to be asked."""

    number: int
    loaded: Loaded
    questions: Sequence[Question]


def answer(
    client: ExplainerClient,
    adapter: Adapter,
    asked: Sequence[tuple[Frame, Sequence[Question]]],
    scores: Mapping[str, float | None],
    start: int = 0,
) -> Iterator[list[Answer]]:
    """Yield the answers about one image after the other, in the order given.

    `scores` has the known P(fake) by frame id; others come with the replies, if the explainer gives them. The images of
    a group (see `in_calls`) are asked about together, unless they have more than `BATCH_BYTES`; only these and AHEAD
    further images are in memory. `start` is the number of questions before these. An image that cannot be read, or on
    which the explainer raises, gives rows with a status; if it raises on several images, it is asked about each of them
    alone. Raises DetectorError if it fails on the very first image, and MachineError for errors of the machine.
    """
    chunk: list[_Waiting] = []
    counted = 0
    waiting = _decoded(adapter, asked, start)
    while True:
        try:
            chunk.append(next(waiting))
            counted += len(chunk[-1].questions)
        except StopIteration:
            break
        except Exception:  # ask about the images read so far first
            yield from _asked_together(client, chunk, scores)
            raise
        enough = counted >= max(1, client.at_once)
        if enough or sum(held_bytes(one.loaded.image) for one in chunk if one.loaded.image is not None) >= BATCH_BYTES:
            yield from _asked_together(client, chunk, scores)
            chunk = []
        if enough:  # also where memory cut the group in parts, the next one begins where it would have begun
            counted = 0
    yield from _asked_together(client, chunk, scores)


def in_calls(asked: Sequence[tuple[Frame, Sequence[Question]]], at_once: int) -> Iterator[list[tuple[Frame, Question]]]:
    """Yield the questions by group: those of consecutive images until there are `at_once`, or of one image."""
    group: list[tuple[Frame, Question]] = []
    for frame, questions in asked:
        group += [(frame, question) for question in questions]
        if len(group) >= at_once:
            yield group
            group = []
    if group:
        yield group


@dataclass(frozen=True)
class Asking:
    """The asking of questions, as a work of an engine; see `answer`."""

    adapter: Adapter
    scores: Mapping[str, float | None]

    def __call__(
        self, detector: Detector, pairs: Sequence[tuple[Frame, Question]], start: int
    ) -> Iterator[list[Answer]]:
        """Ask the questions of frames, before which there are `start` others."""
        frames = [(frame, [q for _, q in own]) for frame, own in groupby(pairs, key=itemgetter(0))]
        return answer(ExplainerClient(detector), self.adapter, frames, self.scores, start)


def _decoded(adapter: Adapter, asked: Sequence[tuple[Frame, Sequence[Question]]], start: int) -> Iterator[_Waiting]:
    """Yield the images in order, decoded ahead in threads."""
    ahead = frames_ahead(adapter, [frame for frame, _ in asked], count=AHEAD, threads=2)
    for number, (loaded, (_, questions)) in enumerate(zip(ahead.each(), asked, strict=True), start):
        yield _Waiting(number, loaded, questions)


def _asked_together(
    client: ExplainerClient, chunk: Sequence[_Waiting], scores: Mapping[str, float | None]
) -> Iterator[list[Answer]]:
    """Yield the rows about each image of a chunk, in order."""
    readable = [one for one in chunk if one.loaded.image is not None]
    replies: dict[int, list[Reply]] = {}
    if len(readable) > 1:
        try:
            found = client.answers([(one.loaded.image, [q.text for q in one.questions]) for one in readable])
            replies = {one.number: own for one, own in zip(readable, found, strict=True)}
        except M2F2BenchError:
            raise
        except Exception:  # asking about each image alone shows which one is to blame
            replies = {}
    for one in chunk:
        score = scores.get(one.loaded.frame.id)
        if one.loaded.image is None:
            failed = Reply("", error=without_surrogates(one.loaded.reason))
            yield [replace(_answer_row(one, q, failed, score), status="unreadable") for q in one.questions]
            continue
        own = replies[one.number] if replies else _asked_alone(client, one)
        yield [_answer_row(one, q, reply, score) for q, reply in zip(one.questions, own, strict=True)]


def _asked_alone(client: ExplainerClient, one: _Waiting) -> list[Reply]:
    """Return the replies about one image; if the explainer raises, replies with that error."""
    try:
        return client.answers([(one.loaded.image, [q.text for q in one.questions])])[0]
    except M2F2BenchError:
        raise
    except Exception as error:
        frame = one.loaded.frame.id
        refuse_machine_fault(error, f"detector '{client.name}' on frame '{frame}'")
        if one.number == 0 and not client.worked:
            raise DetectorError(
                f"detector '{client.name}' failed on the first image asked about, '{frame}': {first_line(error)}"
            ) from error
        return [Reply("", error=without_surrogates(first_line(error)))] * len(one.questions)


def _answer_row(one: _Waiting, question: Question, reply: Reply, score: float | None) -> Answer:
    """Return the row of a reply; a known `score` replaces the reply's own."""
    return Answer(
        question.id,
        question.frame,
        reply.text,
        "error" if reply.error else "ok",
        reply.score if score is None else score,
        reply.error or reply.message,
        reply.seconds,
        reply.tokens_in,
        reply.tokens_out,
        reply.cost,
        question_digest(question),
        one.loaded.digest,
        one.loaded.stamp,
    )
