"""Training job and its report: what `runs.train` gives to a backend, and what it gets back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cards.models import DetectorCard
from ..cards.settings import InputSettings, StageSettings, TrainingSettings
from ..core.records import Example, Frame

if TYPE_CHECKING:
    from ..core.records import Image


@dataclass
class TrainingJob:
    """Everything a backend needs for a training; it never sees the dataset's adapter.

    `read` returns a frame's pixels and may raise FrameError. `auc` maps labels and scores to the AUC, or None if it is
    undefined. `out` is a folder for this training alone; with `resume` an interrupted training in it goes on.
    `identity` is a hash of everything that decides the result; a checkpoint with another one is refused.
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
    language: LanguageData | None = None
    """Examples and settings of a language stage; None for stage `detector`."""


@dataclass
class LanguageData:
    """Questions and answers of a language stage, with its settings. The frames are those of `TrainingJob`."""

    settings: StageSettings
    train: list[Example]
    val: list[Example]


@dataclass
class FitReport:
    """Result of a training: the weights file (inside `TrainingJob.out`), the curves, and the best validation AUC."""

    weights: Path
    val_auc: float | None
    curves: list[dict[str, float]] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    """Options that the trained detector's card has in place of the untrained one's."""
    notes: list[str] = field(default_factory=list)
    input: InputSettings | None = None
    """Complete input of the trained detector, if the untrained one's card left a part of it to the network."""
