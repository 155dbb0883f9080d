"""Records of the benchmark: frames, questions, predictions, answers, scores.

Plain dataclasses without torch. An image is RGB, uint8, H×W×3. A label is 0 (real) or 1 (fake); a score is P(fake)
in [0, 1].
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from .text import in_utf8

if TYPE_CHECKING:
    from .arrays import Floats as Floats
    from .arrays import Image as Image

REAL, FAKE = 0, 1
ORIGINAL = "original"
"""The `method` of a real frame."""
STATUSES = ("ok", "missing", "unreadable", "no_face", "error")
"""`missing`: there is no score, as in an empty cell of a user's rows; `unreadable`: the frame could not be decoded;
`no_face`: no face in it; `error`: the detector failed on it."""
ANSWER_STATUSES = ("ok", "missing", "unreadable", "error")
"""`missing`: there is no answer; `unreadable`: the frame could not be decoded; `error`: the explainer failed on it."""
SPLITS = ("train", "val", "test")
JUDGE = "judge"
"""The kind of a question that asks for the verdict alone."""
JUDGE_QUESTION = "Determine the authenticity. Is the image real or fake?"
"""Its text, that of M2F2-Det's evaluation."""
_NAMES = ("id", "video", "method", "picture")
_names_of = attrgetter(*_NAMES)
"""Of a frame; a loop over `getattr` takes most of the time in which a frame is made."""


@dataclass(frozen=True, slots=True)
class Locator:
    """Where a frame's pixels lie: a file, and in a container file also a key and an index."""

    path: str
    key: str | None = None
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """One image to be judged.

    `id` is stable and unique in its dataset. `video` is unique together with its manipulation (see `clip`):
    FaceForensics++ uses the same `A_B` name under every manipulation. `method` is the
    manipulation, `original` for a real one. `identities` are all people whose face or performance is in it. Several
    faces cut from one picture of a video share `picture`, unique in the dataset; it is empty if there is one face.
    Names are valid UTF-8: other bytes of a file's name become escapes.
    """

    id: str
    video: str
    label: int
    method: str
    split: str
    identities: tuple[str, ...]
    locator: Locator
    picture: str = ""

    def __post_init__(self) -> None:
        if self.label not in (REAL, FAKE):
            raise ValueError(f"frame '{self.id}': label {self.label!r} is neither 0 (real) nor 1 (fake)")
        for name, text in zip(_NAMES, _names_of(self), strict=True):  # from files whose names are not UTF-8
            if isinstance(text, str) and not text.isascii():
                object.__setattr__(self, name, in_utf8(text))
        if self.identities and any(isinstance(one, str) and not one.isascii() for one in self.identities):
            object.__setattr__(self, "identities", tuple(in_utf8(one) for one in self.identities))

    @property
    def clip(self) -> str:
        """The key of the frame's video, unique in its dataset: its manipulation and its name."""
        return f"{self.method}\0{self.video}"


@dataclass(frozen=True, slots=True)
class Question:
    """A question about one frame, with its reference answers.

    `kind` is its form: `blind` (neutral), `released` (M2F2-Det's own, which state the label) or `judge`
    ("real or fake?", one per image). `label` is what a right answer says about the region.
    `region` is the subject (`image`, `skin`, `eyes`, `eyebrows`, `nose`, `mouth`, or several joined by `+`).
    """

    id: str
    frame: str
    text: str
    references: tuple[str, ...]
    region: str
    label: int
    kind: str = "blind"


def question_digest(question: Question) -> str:
    """Return 16 hex digits over a question's text: with another text, the same id is another question."""
    return hashlib.blake2b(question.text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Prediction:
    """A detector's judgement of one frame: `score` is P(fake), None unless `status` is `ok`.

    `digest` identifies the pixels that were judged (hex), `identity` the frame's identities joined by `+`,
    `message` says why there is no score. `stamp` is the adapter's of the frame when it was read.
    """

    frame: str
    video: str
    method: str
    identity: str
    label: int
    status: str
    score: float | None
    digest: str = ""
    message: str = ""
    picture: str = ""
    stamp: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """An explainer's free-text answer to one question about one frame.

    `status` is one of ANSWER_STATUSES, and `text` is empty unless it is `ok`; `message` says why there is no text, or
    is a remark on it ("cut off"). `score` is the same explainer's P(fake) of the frame, None if it gives no score.
    `seconds`, `tokens_in`, `tokens_out` and `cost` (US dollars) are as in `Reply`. `wording` identifies the question's
    text, `digest` the pixels that it was asked about (hex), `stamp` is the adapter's stamp of the frame when it was
    read; all are empty if unknown.
    """

    question: str
    frame: str
    text: str
    status: str = "ok"
    score: float | None = None
    message: str = ""
    seconds: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: float | None = None
    wording: str = ""
    digest: str = ""
    stamp: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """An explainer's answer with details; an explainer may also return a bare text.

    `message` is a remark on it ("cut off after 128 new tokens"). `score` is the explainer's P(fake) of the image.
    `seconds` is the time it took, `cost` its price in US dollars, `tokens_in` and `tokens_out` are the tokens that were
    read and written; None if unknown. An `error` says why there is no text; the text is then empty.
    """

    text: str
    message: str = ""
    score: float | None = None
    seconds: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: float | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """Question about a frame, with the answer to be learned."""

    frame: Frame
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Score:
    """One metric's value. `value` is None if it is not defined.

    `ci` is the interval [low, high], None if the protocol asks for no interval or it cannot be computed. `reason` says
    why there is no value or no interval, or is a remark on the value. `n_real` and `n_fake` count the units (frames or
    videos) from which the value was computed. `deviation` is the standard deviation between the trainings whose mean
    the value is; None for the value of one. `calibrated`, of a calibration error, is what a calibrated detector with
    the same scores would read.
    """

    value: float | None
    n_real: int
    n_fake: int
    ci: tuple[float, float] | None = None
    reason: str | None = None
    deviation: float | None = None
    calibrated: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of a result file; `reason`, `deviation` and `calibrated` only if there is one."""
        interval, remark = list(self.ci) if self.ci else None, {"reason": self.reason} if self.reason else {}
        more = {"deviation": self.deviation, "calibrated": self.calibrated}
        spread = {key: value for key, value in more.items() if value is not None}
        return {"value": self.value, "ci": interval, "n_real": self.n_real, "n_fake": self.n_fake} | remark | spread

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Score:
        """Return the score that `to_json` wrote."""
        ci = data.get("ci")
        values = (data["value"], data["n_real"], data["n_fake"], tuple(ci) if ci else None)
        return cls(*values, data.get("reason"), data.get("deviation"), data.get("calibrated"))
