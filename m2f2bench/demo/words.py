"""Words of the demo: what a score means, what a detector was trained on, and what to beware of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from ..inference.people import doubts
from ..inference.verdicts import THRESHOLD

if TYPE_CHECKING:
    from ..cards.models import DetectorCard
    from .judging import Judge, Person, Verdict

LEVELS = (
    (0.9, "it looks much more like the forged faces that the detector learned from than like the real ones"),
    (0.65, "it looks rather like the forged faces that the detector learned from"),
    (0.35, "the detector can hardly tell: take it as no answer"),
    (0.1, "it looks rather like the real faces that the detector learned from"),
    (0.0, "it looks much more like the real faces that the detector learned from than like the forged ones"),
)
"""What a P(fake) from the first number on means."""
MAP_WORDS = (
    "Yellow is where the detector's map is highest. Its scale is relative within this picture: it says where, not how "
    "much, and two pictures' colours cannot be compared."
)


UNTESTED = (
    "Nothing says that a detector was tested on pictures like yours: another camera, another compression or a newer "
    "forgery can turn its score around."
)
"""What no detector was tested on."""


def meaning(score: float) -> str:
    """Return what a P(fake) in [0, 1] means, in words."""
    return next(words for least, words in LEVELS if score >= least)


def trained(card: DetectorCard) -> str:
    """Return what a detector was trained on, in one sentence; it is from its card."""
    if card.training_datasets:
        return f"Trained on {', '.join(card.training_datasets)}."
    return "Its card does not say what it was trained on."


def trained_and_doubts(judge: Judge) -> str:
    """Return what a detector was trained on, and doubts about its verdicts on photos."""
    card = judge.detector.card
    doubted = [text if text.startswith(card.name) else text[0].upper() + text[1:] for text in doubts(card, judge.crop)]
    return trained(card) + "".join(f" {text}." for text in doubted)


def cards(judges: Sequence[Judge]) -> str:
    """Return HTML about the detectors."""
    parts = []
    for judge in judges:
        card = judge.detector.card
        able = [*["heat maps"] * (judge.mapper is not None), *["answers to questions"] * (judge.client is not None)]
        more = f" Also gives {' and '.join(able)}." if able else ""
        told = f"{trained_and_doubts(judge)}{more}"
        about = f"{card.description}. " if card.description else ""
        parts.append(f"<li><b>{escape(judge.name)}</b>: {escape(about)}{escape(told)}</li>")
    return f'<ul class="m2-about">{"".join(parts)}</ul><p class="m2-note">{UNTESTED}</p>'


def verdict_line(name: str, verdict: Verdict) -> str:
    """Return HTML of what one detector says of one face."""
    if verdict.score is None:
        return f'<p class="m2-line"><b>{escape(name)}</b>: no verdict: {escape(verdict.message)}</p>'
    bar = f'<span class="m2-bar" aria-hidden="true"><i style="width:{100 * verdict.score:.1f}%"></i></span>'
    more = f" ({escape(verdict.message)})" if verdict.message else ""
    return (
        f'<p class="m2-line"><b>{escape(name)}</b>: <strong class="m2-{verdict.word}">{verdict.word}</strong> {bar} '
        f'<span class="m2-score">P(fake) {verdict.score:.3f}</span>{more}<br>'
        f"<small>{meaning(verdict.score)}</small></p>"
    )


def verdicts(people: Sequence[Person], judges: Sequence[Judge]) -> str:
    """Return HTML with each face and what each detector says of it."""
    parts = []
    for number, person in enumerate(people, 1):
        face = person.face
        size = f"{face.width:.0f}×{face.height:.0f} pixels"
        lines = "".join(verdict_line(name, one) for name, one in person.verdicts.items())
        beware = "".join(f'<p class="m2-note">⚠ {escape(text)}</p>' for text in person.warnings)
        parts.append(f'<section class="m2-face"><h3>Face {number} <small>{size}</small></h3>{lines}{beware}</section>')
    return "".join(parts) + foot(judges)


def foot(judges: Sequence[Judge]) -> str:
    """Return HTML of what holds for every score."""
    notes = "".join(f"<li><b>{escape(judge.name)}</b>: {escape(trained_and_doubts(judge))}</li>" for judge in judges)
    return (
        f'<p class="m2-note">P(fake) is the detector\'s own score, fake from {THRESHOLD:g} on; it is no probability '
        f'that this face was forged, and no proof. {UNTESTED}</p><ul class="m2-note">{notes}</ul>'
    )


def trouble(text: str) -> str:
    """Return HTML of one line that says what is wrong."""
    return f'<p class="m2-trouble" role="alert">{escape(text)}</p>'


def summary(means: Mapping[str, float | None]) -> str:
    """Return HTML of the mean scores over a video, by person and detector."""
    parts = []
    for name, score in means.items():
        if score is None:
            parts.append(f"<li>{escape(name)}: no verdict</li>")
            continue
        word = "fake" if score >= THRESHOLD else "real"
        told = f"mean P(fake) {score:.3f}; {meaning(score)}"
        parts.append(f'<li><b>{escape(name)}</b>: <strong class="m2-{word}">{word}</strong>, {told}</li>')
    return f"<ul>{''.join(parts)}</ul>"
