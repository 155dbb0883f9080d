"""Asking on this machine: an image is decoded once for all questions about it, answers come back image by image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core.arithmetic import exact_fp32
from ..core.errors import DetectorError, M2F2BenchError, first_line, refuse_machine_fault
from ..core.guests import guest
from ..core.records import Answer, Frame, Question, Reply, question_digest
from ..core.text import without_surrogates
from ..datasets.base import Adapter
from ..datasets.limits import BATCH_BYTES
from ..datasets.read_ahead import frames_ahead, held_bytes
from ..detectors.base import Detector, PlainDetector

AHEAD = 4
"""Images that are decoded ahead."""


def require_explainer(name: str, own: object) -> None:
    """Raise DetectorError unless a detector, or its class, has a method `explain`."""
    if not callable(getattr(own, "explain", None)):
        raise DetectorError(
            f"detector '{name}' answers no questions: take one whose class is a m2f2bench.Explainer, or a protocol "
            f"about P(fake)"
        )


class ExplainerClient:
    """A detector's answers, checked. Raises DetectorError for a detector that gives none."""

    def __init__(self, detector: Detector) -> None:
        """`detector` is an Explainer, or wraps an object that has a method `explain(images, questions)`."""
        self.name, self.precision = detector.card.name, detector.precision
        own = detector.plain if isinstance(detector, PlainDetector) else detector
        require_explainer(self.name, own)
        self.own: Any = own
        self.at_once = int(getattr(own, "questions_at_once", 0) or 0)
        """How many questions are given together, of several images where need be; 0: those of one image."""
        self.scored = bool(getattr(own, "scores_with_answers", False))
        """Whether P(fake) comes with the answers, if at all: see `Explainer.scores_with_answers`."""
        self.errors_pass = bool(getattr(own, "errors_pass", False))
        """Whether a question that failed is asked again when the run is repeated: see `Explainer.errors_pass`."""
        self.worked = False
        """Whether it has answered anything yet."""

    def answers(self, asked: Sequence[tuple[Any, Sequence[str]]]) -> list[list[Reply]]:
        """For each image the replies to its questions; all are given together, the pairs of one image side by side.

        The explainer is given images and the questions' texts alone: no label, no reference. Raises DetectorError for
        another number of answers, for what is no answer, and for two scores of one image; what else it raises passes.
        """
        # One copy for all questions about an image: what is done to it shall not reach those who see it after.
        images = [image for picture, texts in asked for image in [picture.copy()] * len(texts)]
        with exact_fp32(self.precision), guest(f"detector '{self.name}'"):
            found = list(self.own.explain(images, [text for _, texts in asked for text in texts]))
        if len(found) != len(images) or not all(isinstance(one, (str, Reply)) for one in found):
            raise DetectorError(
                f"detector '{self.name}' gave {len(found)} answers to {len(images)} questions, or some that are no "
                f"texts: explain(images, questions) gives one text or m2f2bench.Reply for each pair"
            )
        replies = iter([self._checked(Reply(one) if isinstance(one, str) else one) for one in found])
        shared = [[next(replies) for _ in texts] for _, texts in asked]
        self.worked = True
        return [self._of_one_image(own) for own in shared]

    def _checked(self, reply: Reply) -> Reply:
        """A reply whose texts can be written and whose numbers are some; no text beside an error."""
        if not all(isinstance(text, str) for text in (reply.text, reply.message, reply.error)):
            raise DetectorError(f"detector '{self.name}' gave a reply whose text, message or error is no text")
        score = self._number("score", reply.score)
        if score is not None and score > 1.0:
            raise DetectorError(f"detector '{self.name}' gave a reply with the score {score:g}: P(fake) is in [0, 1]")
        tokens = [self._number(name, getattr(reply, name)) for name in ("tokens_in", "tokens_out")]
        read, written = (None if n is None else int(n) for n in tokens)
        return Reply(
            text="" if reply.error else without_surrogates(reply.text),
            message=without_surrogates(reply.message),
            score=score,
            seconds=self._number("seconds", reply.seconds),
            tokens_in=read,
            tokens_out=written,
            cost=self._number("cost", reply.cost),
            error=without_surrogates(reply.error),
        )

    def _number(self, name: str, value: Any) -> float | None:
        if value is None:
            return None
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not (math.isfinite(number) and number >= 0.0):
            raise DetectorError(
                f"detector '{self.name}' gave a reply whose {name} is {value!r}: a number from 0 on, or None"
            )
        return number

    def _of_one_image(self, replies: Sequence[Reply]) -> list[Reply]:
        """The replies about one image, each with its score where the replies hold scores."""
        scores = {reply.score for reply in replies if reply.score is not None} if self.scored else set()
        if len(scores) > 1:
            low, high = min(scores), max(scores)
            raise DetectorError(
                f"detector '{self.name}' gave the scores {low!r} and {high!r} with answers about one image: a score is "
                f"P(fake) of the image"
            )
        score = next(iter(scores), None)
        return [replace(reply, score=score) for reply in replies]


@dataclass(slots=True)
class _Waiting:
    """One image with its questions on their way: `why` says what there is in the place of pixels."""

    number: int
    frame: Frame
    questions: Sequence[Question]
    image: Any = None
    why: str = ""
    digest: str = ""
    stamp: str = ""


def answer(
    asker: ExplainerClient,
    adapter: Adapter,
    asked: Sequence[tuple[Frame, Sequence[Question]]],
    scores: Mapping[str, float | None],
) -> Iterator[list[Answer]]:
    """The answers about one image after the other, in the order given. `scores` are P(fake) by frame id, as far as
    they are known; the others come with the replies, where the explainer gives them there.

    Images that follow each other are asked about together until `ExplainerClient.at_once` questions or `BATCH_BYTES`
    are reached; no more of them are in memory at a time, and AHEAD beyond them. An image that cannot be read, or on
    which the explainer raises, gives rows with a status; where it raises on several together it is asked about each of
    them alone. Raises DetectorError where it fails on the first image that it is ever asked about, and MachineError for
    what is the machine's fault.
    """
    chunk: list[_Waiting] = []
    waiting = _decoded(adapter, asked)
    while True:
        try:
            chunk.append(next(waiting))
        except StopIteration:
            break
        except Exception:  # what was read before is answered first
            yield from _asked_together(asker, chunk, scores)
            raise
        pictured = [one for one in chunk if one.image is not None]
        enough = sum(len(one.questions) for one in pictured) >= max(1, asker.at_once)
        if enough or sum(held_bytes(one.image) for one in pictured) >= BATCH_BYTES:
            yield from _asked_together(asker, chunk, scores)
            chunk = []
    yield from _asked_together(asker, chunk, scores)


def _decoded(adapter: Adapter, asked: Sequence[tuple[Frame, Sequence[Question]]]) -> Iterator[_Waiting]:
    """The images in order, decoded in threads, AHEAD before they are taken."""
    ahead = frames_ahead(adapter, [frame for frame, _ in asked], count=AHEAD, threads=2)
    for number, (loaded, (frame, questions)) in enumerate(zip(ahead.each(), asked, strict=True)):
        yield _Waiting(number, frame, questions, loaded.image, loaded.reason, loaded.digest, loaded.stamp)


def _asked_together(
    asker: ExplainerClient, chunk: Sequence[_Waiting], scores: Mapping[str, float | None]
) -> Iterator[list[Answer]]:
    """The rows about each image of a chunk, in order."""
    readable = [one for one in chunk if one.image is not None]
    replies: dict[int, list[Reply]] = {}
    if len(readable) > 1:
        try:
            found = asker.answers([(one.image, [q.text for q in one.questions]) for one in readable])
            replies = {one.number: own for one, own in zip(readable, found, strict=True)}
        except M2F2BenchError:
            raise
        except (Exception, SystemExit):  # one image's fault: which one shows when each is asked about alone
            replies = {}
    for one in chunk:
        score = scores.get(one.frame.id)
        if one.image is None:
            failed = Reply("", error=without_surrogates(one.why))
            yield [replace(_row(one, q, failed, score), status="unreadable") for q in one.questions]
            continue
        own = replies[one.number] if replies else _asked_alone(asker, one)
        yield [_row(one, q, reply, score) for q, reply in zip(one.questions, own, strict=True)]


def _asked_alone(asker: ExplainerClient, one: _Waiting) -> list[Reply]:
    """The replies about one image; where the explainer raises, replies with that as their error."""
    try:
        return asker.answers([(one.image, [q.text for q in one.questions])])[0]
    except M2F2BenchError:
        raise
    except (Exception, SystemExit) as error:
        refuse_machine_fault(error, f"detector '{asker.name}' on frame '{one.frame.id}'")
        if one.number == 0 and not asker.worked:
            raise DetectorError(
                f"detector '{asker.name}' failed on the first image asked about, '{one.frame.id}': {first_line(error)}"
            ) from error
        return [Reply("", error=without_surrogates(first_line(error)))] * len(one.questions)


def _row(one: _Waiting, question: Question, reply: Reply, score: float | None) -> Answer:
    """What is stored of a reply; a `score` that is known already goes before its own."""
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
        one.digest,
        one.stamp,
    )
