"""Asking on this machine: an image is decoded once for all questions about it, answers come back image by image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..adapters.base import Adapter
from ..backends.base import Detector, PlainDetector
from ..errors import DetectorError, FrameError, M2F2BenchError, first_line
from ..records import Answer, Frame, Question

AHEAD = 4
"""Images that are decoded ahead."""


def refuse_mute(name: str, own: object) -> None:
    """Raise DetectorError unless a detector, or its class, has a method `explain`."""
    if not callable(getattr(own, "explain", None)):
        raise DetectorError(
            f"detector '{name}' answers no questions: take one whose class is a m2f2bench.Explainer, or a protocol "
            f"about P(fake)"
        )


class Asker:
    """A detector's answers, checked. Raises DetectorError for a detector that gives none."""

    def __init__(self, detector: Detector) -> None:
        """`detector` is an Explainer, or wraps an object that has a method `explain(images, questions)`."""
        self.name = detector.card.name
        own = detector.plain if isinstance(detector, PlainDetector) else detector
        refuse_mute(self.name, own)
        self.own: Any = own

    def answers(self, image: Any, questions: Sequence[Question]) -> list[str]:
        """A text for each question about one image. It is given the questions' texts alone: no label, no reference.

        Raises DetectorError for another number of answers or what is no text; what else the detector raises passes.
        """
        found = self.own.explain([image] * len(questions), [question.text for question in questions])
        if len(found) != len(questions) or not all(isinstance(text, str) for text in found):
            raise DetectorError(
                f"detector '{self.name}' gave {len(found)} answers to {len(questions)} questions, or some that are no "
                f"texts: explain(images, questions) gives one text for each pair"
            )
        return [text.encode("utf-8", "replace").decode() for text in found]  # half of a surrogate pair is no text


def answer(
    asker: Asker,
    adapter: Adapter,
    asked: Sequence[tuple[Frame, Sequence[Question]]],
    scores: Mapping[str, float | None],
) -> Iterator[list[Answer]]:
    """The answers about one image after the other, in the order given. `scores` are P(fake) by frame id.

    An image that cannot be read, or on which the explainer raises, gives rows with a status. Raises DetectorError where
    it fails on the first image.
    """
    with ThreadPoolExecutor(2, thread_name_prefix="decode") as pool:
        waiting = [pool.submit(read_image, adapter, frame) for frame, _ in asked[:AHEAD]]
        for number, (frame, questions) in enumerate(asked):
            if number + AHEAD < len(asked):
                waiting.append(pool.submit(read_image, adapter, asked[number + AHEAD][0]))
            image, why = waiting.pop(0).result()
            score = scores.get(frame.id)
            if image is None:
                yield [Answer(q.id, frame.id, "", "unreadable", score, why) for q in questions]
                continue
            try:
                texts = asker.answers(image, questions)
            except M2F2BenchError:
                raise
            except Exception as error:
                if number == 0:
                    raise DetectorError(
                        f"detector '{asker.name}' failed on the first image asked about, '{frame.id}': "
                        f"{first_line(error)}"
                    ) from error
                yield [Answer(q.id, frame.id, "", "error", score, first_line(error)) for q in questions]
                continue
            yield [Answer(q.id, frame.id, text, "ok", score) for q, text in zip(questions, texts, strict=True)]


def read_image(adapter: Adapter, frame: Frame) -> tuple[Any, str]:
    """A frame's pixels, RGB uint8 [H, W, 3], or None and why there are none."""
    try:
        return adapter.read(frame), ""
    except FrameError as error:
        return None, error.reason
    except M2F2BenchError:
        raise
    except Exception as error:  # an adapter of somebody's own: one bad frame does not end the run
        return None, first_line(error)
