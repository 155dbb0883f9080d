"""DD-VQA-like questions about drawn faces, with reference answers that are true by construction.

For a region that the forgery touched, the answer is fake, with a reason that fits the forgery; for an untouched region
of a forged face, and every region of a real one, it is real, with a true trait of that face ("thick eyebrows").
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.parsing import read_yaml
from ...core.records import FAKE, ORIGINAL, REAL, Question
from .draw import SyntheticOptions, plan
from .faces import Face, draw_features, stream
from .render import REGIONS, touched

KINDS = ("blind", "released", "judge")
PLURAL = ("eyes", "eyebrows")
WORDS: dict[str, Any] = read_yaml(Path(__file__).with_name("questions.yaml"))


def _forms(region: str) -> dict[str, str]:
    """Return the words that follow a region's number, such as `are` for `be`."""
    return dict(WORDS["forms"]["plural" if region in PLURAL else "singular"])


def traits(face: Face, region: str) -> list[str]:
    """Return true traits of a drawn face in a region, two or three phrases that fit after "the person has"."""
    if region == "image":
        extras = ["a beard"] * (face.beard > 0.6) + ["glasses"] * face.glasses
        return [WORDS["hair"].get(face.style, "short hair"), *extras, "a face whose parts fit together"][:3]
    found = [
        above if sum(getattr(face, name) for name in names) > limit else other
        for names, limit, above, other in WORDS["traits"][region]
    ]
    if region == "skin":
        grain = "freckled" if face.freckles > 0.3 else "rough" if face.roughness > 0.95 else "smooth"
        found = [f"{WORDS['tones'][face.tone]} skin", f"{grain} skin", *found]
    return found


def reasons(method: str, region: str, named: bool = False) -> list[str]:
    """Return the reasons why a touched region looks fake: the region's own reason first, then those of the forgery.

    With `named` the region is called by its name instead of `it` or `they`.
    """
    forms = _forms(region)
    if region == "image":
        forms["it"] = "a part of the face" if method in ("expression", "resynthesis") else "the inner face"
    elif named:
        forms["it"] = f"the {region}"
    return [text.format(**forms) for text in WORDS["special"][method].get(region, []) + WORDS["common"][method]]


def _question(region: str, kind: str, fake: bool) -> str:
    """Return the question's text: neutral, or with the label as in M2F2-Det's release."""
    forms = _forms(region)
    if kind == "blind":
        if region == "image":
            return "Does the image look real/fake?"
        return f"{forms['do'].capitalize()} the person's {region} look real/fake?"
    verdict = "fake" if fake else "real"
    if region == "image":
        return f"This image is {verdict}. Describe what makes it look so, based on {', '.join(REGIONS[1:])}."
    manner = f'"The {region} ……"' if fake else f'"The person has …… {region}."'
    stated = f"The {region} in the image {forms['be']} {verdict}"
    return f"{stated}, tell me why. Answer in one sentence in the format {manner}"


def _references(region: str, kind: str, clauses: list[str], fake: bool) -> tuple[str, ...]:
    """Return up to three answers from up to three clauses; those of kind `blind` begin with the verdict."""
    if kind == "released":
        return tuple(f"{c[0].upper()}{c[1:]}." if fake else f"The person has {c}." for c in clauses[:3])
    subject = "The image" if region == "image" else f"The person's {region}"
    answers = WORDS["answers"]["fake" if fake else "real"]
    return tuple(a.format(subject=subject, clause=c, **_forms(region)) for a, c in zip(answers, clauses, strict=False))


def asked_frame(options: SyntheticOptions, video: str) -> str:
    """Return the id of the frame that a video's questions are about: the middle one."""
    return f"{video}/{options.frames_per_video // 2:02d}"


def ask(options: SyntheticOptions, split: str, kind: str, notes: dict[str, dict[str, Any]]) -> list[Question]:
    """Return all questions of a split: six for the middle frame of each video, with two or three references each.

    `kind` is `blind` or `released`; `notes` are those of the cache, by video name. A question's `label` is what a right
    answer says about its region: an untouched region of a forged face has 0.
    """
    questions = []
    for video in plan(options, split):
        face = draw_features(options.seed, video.target)
        frame = asked_frame(options, video.name)
        forged = () if video.method == ORIGINAL else touched(notes[video.name]["regions"])
        for region in REGIONS:
            fake = region in forged
            clauses = reasons(video.method, region, kind == "released") if fake else traits(face, region)
            order = stream(options.seed, video.name, region, "answers").permutation(len(clauses))
            clauses = [clauses[i] for i in order]  # each question has its own: answers about a forgery differ
            references = _references(region, kind, clauses, fake)
            text, label = _question(region, kind, fake), FAKE if fake else REAL
            questions.append(Question(f"{frame}#{region}", frame, text, references, region, label, kind))
    return questions
