"""What a training is given and what it gives back: the contract between `trainer` and the backends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cards.models import DetectorCard
from ..cards.settings import InputSettings, StageSettings, TrainingSettings
from ..core.records import Conversation, Frame

if TYPE_CHECKING:
    from ..core.records import Image


@dataclass
class TrainingJob:
    """All that a backend needs to fit itself; it never sees the dataset's adapter.

    `read` gives a frame's pixels and may raise `FrameError`. `auc` is (labels, scores) → AUC or None. `out` is a
    folder of the backend's own; with `resume` a training that was cut off there goes on. `identity` is the hash of
    everything that decides the outcome; a checkpoint with another one is refused.
    """

    card: DetectorCard
    settings: TrainingSettings
    train: list[Frame]
    val: list[Frame]
    read: Callable[[Frame], Image]
    auc: Callable[[Sequence[int], Sequence[float]], float | None]
    out: Path
    identity: str
    resume: bool = False
    device: str = "auto"
    stage: str = "detector"
    start: DetectorCard | None = None
    """The trained detector that a later stage starts from: the card in its folder."""
    talk: Talk | None = None
    """Of a later stage: what is talked about, and how that is learned."""


@dataclass
class Talk:
    """The questions and answers of a stage that learns to answer, with its settings. Frames as in `TrainingJob`."""

    settings: StageSettings
    train: list[Conversation]
    val: list[Conversation]


@dataclass
class FitReport:
    """What a fit gives back: the weights file (inside `TrainingJob.out`), the curves, and the best validation AUC."""

    weights: Path
    val_auc: float | None
    curves: list[dict[str, float]] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the trained detector's card that differ from the untrained one's."""
    notes: list[str] = field(default_factory=list)
    input: InputSettings | None = None
    """The trained detector's input, all of it, where the untrained one's card left some of it to the network."""
