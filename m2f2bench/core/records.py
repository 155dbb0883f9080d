"""What flows through the bench: frames, questions, predictions, answers, scores, results.

Plain dataclasses without torch. An image is RGB, uint8, H×W×3. A label is 0 (real) or 1 (fake); a score is P(fake)
in [0, 1].
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .text import in_utf8

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np
    import numpy.typing as npt

    Image: TypeAlias = npt.NDArray[np.uint8]
    """RGB image, uint8, shape [H, W, 3]."""
    Floats: TypeAlias = npt.NDArray[np.float64]

REAL, FAKE = 0, 1
ORIGINAL = "original"
"""The `method` of a real frame."""
STATUSES = ("ok", "missing", "unreadable", "no_face", "error")
"""`missing`: nobody gave a score, as in an empty cell of somebody's rows; `unreadable`: the frame could not be decoded;
`no_face`: no face in it; `error`: the detector failed on it."""
ANSWER_STATUSES = ("ok", "missing", "unreadable", "error")
"""`missing`: nobody answered; `unreadable`: the frame could not be decoded; `error`: the explainer failed on it."""
SPLITS = ("train", "val", "test")
JUDGE = "judge"
"""The kind of a question that asks for the verdict alone."""
JUDGE_QUESTION = "Determine the authenticity. Is the image real or fake?"
"""Its text, that of M2F2-Det's evaluation."""


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
    faces cut from one picture of a video share `picture`, unique in the dataset; it is empty where there is one.
    Names are such as UTF-8 can say: other bytes of a file's name stand as escapes.
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
        for name in ("id", "video", "method", "picture"):  # of files whose names are no UTF-8
            text = getattr(self, name)
            if isinstance(text, str) and not text.isascii():
                object.__setattr__(self, name, in_utf8(text))
        if any(isinstance(one, str) and not one.isascii() for one in self.identities):
            object.__setattr__(self, "identities", tuple(in_utf8(one) for one in self.identities))

    @property
    def clip(self) -> str:
        """What tells the frame's video from all others of its dataset: its name with its manipulation."""
        return f"{self.method}\0{self.video}"


@dataclass(frozen=True, slots=True)
class Question:
    """A question about one frame, with its reference answers.

    `kind` tells how it was put: `blind` (neutral), `released` (M2F2-Det's own, which state the label) or `judge`
    ("real or fake?", one an image). `label` is what a right answer says of what is asked about.
    `region` is what it asks about (`image`, `skin`, `eyes`, `eyebrows`, `nose`, `mouth`, or several joined by `+`).
    """

    id: str
    frame: str
    text: str
    references: tuple[str, ...]
    region: str
    label: int
    kind: str = "blind"


def question_digest(question: Question) -> str:
    """16 hex digits over what is asked: an answer to another text of the same id is another question's."""
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

    `status` is one of ANSWER_STATUSES, and `text` is empty unless it is `ok`; `message` says why there is none. `score`
    is the same explainer's P(fake) of the frame, None where it gives none. With an answer, too, `message` may say what
    is to know of it ("cut off"). `seconds`, `tokens_in`, `tokens_out` and `cost` (US dollars) are as in `Reply`.
    `wording` identifies the question's text, `digest` the pixels that it was asked about (hex), `stamp` is the
    adapter's of the frame when it was read; all are empty where that is not known.
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
    """What an explainer may give in the place of a bare text: the text and what is known of how it came about.

    `message` says what is to know of it ("cut off after 128 new tokens"). `score` is the explainer's P(fake) of the
    image. `seconds` is the time it took, `cost` its price in US dollars, `tokens_in` and `tokens_out` what was read and
    written; None for what is not known. An `error` says why there is no text, which is empty then.
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
class Conversation:
    """A question about a frame with the answer that is to be learned."""

    frame: Frame
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Score:
    """One metric's value with what it rests on. `value` is None where it is not defined.

    `ci` is the interval [low, high], None where the protocol asks for none or it cannot be had. `reason` says why there
    is no value or no interval, or what to know of the value. `n_real` and `n_fake` count the
    units (frames or videos) the value was computed from.
    """

    value: float | None
    n_real: int
    n_fake: int
    ci: tuple[float, float] | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As the JSON object of a result file; `reason` only where there is one."""
        out: dict[str, Any] = {
            "value": self.value,
            "ci": list(self.ci) if self.ci else None,
            "n_real": self.n_real,
            "n_fake": self.n_fake,
        }
        if self.reason:
            out["reason"] = self.reason
        return out

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Score:
        """The inverse of `to_json`."""
        ci = data.get("ci")
        return cls(data["value"], data["n_real"], data["n_fake"], tuple(ci) if ci else None, data.get("reason"))
