"""DD-VQA-like questions about drawn faces, with reference answers that are true by construction.

For a region that the forgery touched, the answer is fake, with a reason that fits the forgery; for an untouched region
of a forged face, and every region of a real one, it is real, with a true trait of that face ("thick eyebrows").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...core.records import FAKE, ORIGINAL, REAL, Question
from .faces import Face, draw_face, stream
from .plan import SyntheticOptions, plan
from .regions import REGIONS, touched

if TYPE_CHECKING:
    import numpy as np

KINDS = ("blind", "released", "judge")
PLURAL = ("eyes", "eyebrows")
COMMON = {
    "swap": (
        "{it} {belong} to somebody else than the head around {them}",
        "{it} {do} not go with the outline and the hair of this person",
        "the colour changes along a soft seam around the inner face",
    ),
    "lowres": (
        "{it} {be} blurred while the hair and the background are sharp",
        "{it} {lack} the fine detail that the rest of the picture has",
        "the inner face seems to come from a much smaller picture",
    ),
    "expression": (
        "{it} {be} pulled out of place",
        "{it} {be} bent in a way that the muscles of a face cannot do",
        "the skin beside {them} is stretched",
    ),
    "resynthesis": (
        "{it} {have} a coarser grain than the skin elsewhere",
        "{it} {look} painted over, with no pores of this face",
        "a patch around {them} does not continue the skin beside it",
    ),
    "relight": (
        "{it} {be} lit from another side than the neck and the ears",
        "the shading on {them} contradicts the rest of the picture",
        "the tint of the inner face is not that of the neck",
    ),
    "morph": (
        "{it} {look} like two faces laid over one another",
        "faint double contours run along {them}",
        "{it} {mix} the traits of two people",
    ),
    "upsampling": (
        "a regular grid runs over {them}",
        "{it} {show} a fine checkered pattern",
        "small squares repeat across {them} as a generator leaves them",
    ),
}
"""Reasons of each forgery; `{it} {be}` and their like follow the region's number."""
SPECIAL = {
    ("swap", "eyes"): "another person's eyes look out of this face",
    ("swap", "eyebrows"): "a second pair of brows shines through",
    ("swap", "skin"): "the skin inside has another tone than the skin at the edge",
    ("lowres", "eyes"): "iris and lashes run into one another",
    ("lowres", "skin"): "the skin is too smooth to have pores",
    ("lowres", "eyebrows"): "no single hairs can be seen in the brows",
    ("expression", "mouth"): "the corners of the mouth are dragged away from the cheeks",
    ("expression", "eyebrows"): "the brows have slid without the forehead following",
    ("resynthesis", "mouth"): "the lips have lost their fine lines",
    ("resynthesis", "nose"): "the nostrils sit in a patch of foreign texture",
    ("resynthesis", "eyes"): "the lids do not meet the skin around them",
    ("relight", "nose"): "the shadow of the nose falls the wrong way",
    ("relight", "skin"): "bright and dark halves of the face are exchanged",
    ("morph", "mouth"): "a ghost of other lips lies on the mouth",
    ("upsampling", "skin"): "the cheeks are covered with a fine mesh",
}
FORMS = {
    "is": {"it": "it", "them": "it", "be": "is", "have": "has", "do": "does"},
    "are": {"it": "they", "them": "them", "be": "are", "have": "have", "do": "do"},
}
VERBS = ("belong", "lack", "look", "mix", "show")


def _subject(region: str) -> tuple[str, str, str]:
    """Return a region as a subject with its verbs: (`The person's eyes`, `look`, `are`)."""
    name = "The image" if region == "image" else f"The person's {region}"
    return (name, "look", "are") if region in PLURAL else (name, "looks", "is")


def traits(face: Face, region: str) -> list[str]:
    """Return true traits of a drawn face in a region, two or three phrases that fit after "the person has"."""
    if region == "image":
        hair = {"long": "long hair", "bangs": "hair over the forehead", "bald": "a bald head"}
        hair |= {"receding": "a receding hairline"}
        extras = ["a beard"] * (face.beard > 0.6) + ["glasses"] * face.glasses
        return [hair.get(face.style, "short hair"), *extras, "a face whose parts fit together"][:3]
    if region == "skin":
        tone = ("pale", "fair", "light", "tanned", "brown", "dark")[face.tone]
        grain = "freckled" if face.freckles > 0.3 else "rough" if face.roughness > 0.95 else "smooth"
        return [f"{tone} skin", f"{grain} skin", "lined skin" if face.wrinkles > 0.5 else "skin without deep lines"]
    if region == "eyes":
        size = "wide open" if face.eye_open > 0.08 else "narrow"
        tilt = "slanted" if face.eye_tilt > 0.08 else "level"
        apart = "wide-set" if face.eye_x > 0.43 else "close-set"
        return [f"{size} eyes", f"{apart} eyes", f"{tilt} eyes"]
    if region == "eyebrows":
        return [
            "thick eyebrows" if face.brow_thick > 0.05 else "thin eyebrows",
            "arched eyebrows" if face.brow_arch > 0.05 else "straight eyebrows",
            "high eyebrows" if face.brow_y > 0.275 else "low eyebrows",
        ]
    if region == "nose":
        return [
            "a broad nose" if face.nose_w > 0.21 else "a narrow nose",
            "a long nose" if face.nose_tip > 0.44 else "a short nose",
            "a prominent nose" if face.nose_h > 0.26 else "a flat nose",
        ]
    return [
        "full lips" if face.lip_up + face.lip_low > 0.17 else "thin lips",
        "a wide mouth" if face.mouth_w > 0.345 else "a small mouth",
    ]


def reasons(method: str, region: str, named: bool = False) -> list[str]:
    """Return the reasons why a touched region looks fake: the region's own reason first, then those of the forgery.

    With `named` the region is called by its name instead of `it` or `they`.
    """
    forms = dict(FORMS[_subject(region)[2]])
    if region == "image":
        forms["it"] = "a part of the face" if method in ("expression", "resynthesis") else "the inner face"
    elif named:
        forms["it"] = f"the {region}"
    forms |= {verb: verb if region in PLURAL else f"{verb}{'es' if verb == 'mix' else 's'}" for verb in VERBS}
    own = [SPECIAL[method, region]] if (method, region) in SPECIAL else []
    return own + [text.format(**forms) for text in COMMON[method]]


def _question(region: str, kind: str, fake: bool) -> str:
    """Return the question's text: neutral, or with the label as in M2F2-Det's release."""
    name, _, be = _subject(region)
    if kind == "blind":
        if region == "image":
            return "Does the image look real/fake?"
        return f"{'Do' if be == 'are' else 'Does'} {name[0].lower()}{name[1:]} look real/fake?"
    verdict = "fake" if fake else "real"
    if region == "image":
        return f"This image is {verdict}. Describe what makes it look so, based on {', '.join(REGIONS[1:])}."
    manner = f'"The {region} ……"' if fake else f'"The person has …… {region}."'
    return f"The {region} in the image {be} {verdict}, tell me why. Answer in one sentence in the format {manner}"


def _references(region: str, kind: str, clauses: list[str], fake: bool) -> tuple[str, ...]:
    """Return up to three answers from up to three clauses; those of kind `blind` begin with the verdict."""
    name, look, _ = _subject(region)
    if kind == "released":
        return tuple(f"{c[0].upper()}{c[1:]}." if fake else f"The person has {c}." for c in clauses[:3])
    if not fake:
        plain = ("{n} {l} real. The person has {c}.", "{n} {l} real. Nothing is off: it is a person with {c}.")
        return tuple(plain[i % 2].format(n=name, l=look, c=c) for i, c in enumerate(clauses[:3]))
    manners = ("{n} {l} fake because {c}.", "{n} {l} fake. One can see that {c}.", "{n} {l} fake, since {c}.")
    return tuple(m.format(n=name, l=look, c=c) for m, c in zip(manners, clauses, strict=False))


def _shuffled(rng: np.random.Generator, clauses: list[str]) -> list[str]:
    """Return the clauses in this question's own order, so that answers about a forgery differ."""
    return [clauses[i] for i in rng.permutation(len(clauses))]


def asked_frame(options: SyntheticOptions, video: str) -> str:
    """Return the id of the frame that a video's questions are about: the middle one."""
    return f"{video}/{options.frames_per_video // 2:02d}"


def ask(options: SyntheticOptions, split: str, kind: str, notes: dict[str, dict[str, Any]]) -> list[Question]:
    """Return all questions of a split: six for the middle frame of each video, with two or three references each.

    `kind` is `blind` or `released`; `notes` are those of the cache, by video name. A question's `label` is what a right
    answer says about its region: an untouched region of a forged face has 0.
    """
    faces: dict[str, Face] = {}
    questions = []
    for video in plan(options, split):
        if video.target not in faces:
            faces[video.target] = draw_face(options.seed, video.target)
        frame = asked_frame(options, video.name)
        forged = () if video.method == ORIGINAL else touched(notes[video.name]["regions"])
        for region in REGIONS:
            fake = region in forged
            clauses = reasons(video.method, region, kind == "released") if fake else traits(faces[video.target], region)
            clauses = _shuffled(stream(options.seed, video.name, region, "answers"), clauses)
            references = _references(region, kind, clauses, fake)
            text, label = _question(region, kind, fake), FAKE if fake else REAL
            questions.append(Question(f"{frame}#{region}", frame, text, references, region, label, kind))
    return questions
