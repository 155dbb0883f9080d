"""Training job, its report and its checkpoints: folders that are complete or absent, with tensors in safetensors."""

from __future__ import annotations

import io
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cards.models import DetectorCard
from ..cards.settings import InputSettings, StageSettings, TrainingSettings
from ..core.errors import DetectorError, first_line
from ..core.files import replacing, write_json
from ..core.notebook import data_frame, heading, lines, page, table
from ..core.parsing import Refused, read_json
from ..core.places import moved
from ..core.records import Example, Frame
from ..core.tensors import read_tensors, write_tensors
from .curves import curve_chart

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import torch

    from ..core.records import Image

Tensors = dict[str, "torch.Tensor"]
FOLDER = "checkpoints"
PREFIX = "step-"
WEIGHTS = "model.safetensors"
"""File of a finished training's weights, in `TrainingJob.out`."""
REPORT = "fit.json"
"""File of a finished training's report, in `TrainingJob.out`; it is written last."""
REPORTED = ("val_auc", "curves", "options", "notes", "seconds")
"""Fields of FitReport in that file."""


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
    mask: Callable[[Frame, Image], npt.NDArray[np.bool_] | None] | None = None
    """Returns the manipulated pixels of a frame, bool [H, W], of its image's size; None if the dataset has no masks."""
    landmarks: Callable[[Frame], npt.NDArray[np.float64] | None] | None = None
    """Returns the landmarks of a frame in pixels (x, y), [K, 2]; None if the dataset has none."""
    language: LanguageData | None = None
    """Examples and settings of a language stage; None for stage `detector`."""
    began: float = field(default_factory=time.monotonic)
    """When the job was made, by the monotonic clock."""
    rehearsal: Rehearsing | None = None
    """Takes some steps, measures them, and ends the training by `Rehearsed`; None for a training."""


class Rehearsed(Exception):
    """The end of a rehearsal: it ends the backend's training, too."""


@dataclass
class Rehearsing:
    """What a rehearsal of at most about `seconds` finds; None where it could not measure."""

    seconds: float = 60.0
    looped: bool = False
    """Whether the backend trains by steps, and not at once."""
    steps: int = 0
    """Steps that were timed."""
    step_seconds: float | None = None
    """The median over them."""
    validation_seconds: float | None = None
    """Of one whole validation, from those of its batches that were judged."""
    weights: int = 0
    """Numbers in the network's tensors."""
    trained: int = 0
    """Of these, numbers that are trained."""
    bytes: dict[str, int] = field(default_factory=dict)
    """Memory of this process: `weights`, `training` (gradients, optimiser, averages), `activations` of a part of a
    batch, and on a GPU the `largest` that was in use."""

    def run(self, objective: Any, step: Callable[[], object], parts: int) -> None:
        """Take steps of a training, which is spoilt by it, and judge by its `Objective`; `parts` are those of a batch.

        Raises Rehearsed at the end, DetectorError for several processes, and as the training does.
        """
        raise NotImplementedError


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
    seconds: float = field(default=0.0, compare=False)
    """Wall time, over all runs of a training that was cut off, up to the last checkpoint of each; `write_report` adds
    that of this one."""
    input: InputSettings | None = None
    """Complete input of the trained detector, if the untrained one's card left a part of it to the network."""

    def to_pandas(self) -> pd.DataFrame:
        """Return the curves as a data frame: a row for each epoch or step."""
        return data_frame(self.curves, ())

    def _repr_html_(self) -> str:
        """Return the curves as a table, with a chart of the validation AUC, else of a loss."""
        names = list(dict.fromkeys(name for row in self.curves for name in row))
        cells = [names, *([f"{row[name]:.4g}" if name in row else "–" for name in names] for row in self.curves)]
        auc = "–" if self.val_auc is None else f"{self.val_auc:.4f}"
        text = heading(f"{self.weights.name}, validation AUC {auc}")
        return page(text, curve_chart(self.curves), table(cells) if self.curves else "", lines(self.notes))


@dataclass
class Checkpoint:
    """State of a training: the present tensors, the best ones so far, optimiser and counters."""

    tensors: Tensors
    best: Tensors | None
    optimizer: dict[str, Any]
    state: dict[str, Any]


def save_checkpoint(out: Path, step: int, checkpoint: Checkpoint, best_is_new: bool) -> None:
    """Write the checkpoint after `step` steps and then remove the older ones.

    The folder gets its name when it is complete, so that a kill at any moment leaves the previous one. The best weights
    are linked from the previous checkpoint; with `best_is_new` they are the present tensors.
    """
    import torch

    folder = out / FOLDER
    target, temporary = folder / f"{PREFIX}{step:08d}", folder / ".tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    previous = latest_checkpoint(out)
    write_tensors(temporary / WEIGHTS, checkpoint.tensors)
    if best_is_new:
        _link(temporary / WEIGHTS, temporary / "best.safetensors")
    elif previous is not None and (previous / "best.safetensors").exists():
        _link(previous / "best.safetensors", temporary / "best.safetensors")
    with replacing(temporary / "optimizer.pt") as place:
        buffer = io.BytesIO()  # torch reports a full disk with an error of its own
        torch.save(checkpoint.optimizer, buffer)
        place.write_bytes(buffer.getbuffer())
    write_json(temporary / "state.json", checkpoint.state)
    shutil.rmtree(target, ignore_errors=True)
    temporary.replace(target)
    for old in folder.glob(f"{PREFIX}*"):
        if old != target:
            shutil.rmtree(old, ignore_errors=True)


def latest_checkpoint(out: Path) -> Path | None:
    """Return the newest complete checkpoint in a training's folder, or None."""
    return max((out / FOLDER).glob(f"{PREFIX}*"), default=None)


def load_checkpoint(path: Path, identity: str) -> Checkpoint:
    """Read a checkpoint. Raises DetectorError if it belongs to another training or cannot be read."""
    import torch

    state = _record(path / "state.json", path, identity, "remove its folder, or start the training again")
    try:
        optimizer = torch.load(path / "optimizer.pt", map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise DetectorError(
            f"checkpoint '{path}' cannot be read: {first_line(error)}; remove its folder, or start the training again"
        ) from None
    tensors, place = read_tensors(path / WEIGHTS)[0], path / "best.safetensors"
    best = read_tensors(place)[0] if place.exists() else None
    return Checkpoint(tensors, best, optimizer, state)


def _record(path: Path, folder: Path, identity: str, advice: str) -> dict[str, Any]:
    """Return the record of the training `identity` in `folder`.

    Raises DetectorError for a file that cannot be read, with `advice`, and for the record of another training.
    """
    try:
        data = read_json(path)
    except Refused as error:
        raise DetectorError(f"'{path}' cannot be read: {error}; {advice}") from None
    if not isinstance(data, dict):
        raise DetectorError(f"'{path}' cannot be read: it is not the record of a training; {advice}")
    if data.get("identity") != identity:
        raise DetectorError(
            f"'{folder}' belongs to another training (identity {str(data.get('identity'))[:12]}, this one is "
            f"{identity[:12]}): the settings, data or code differ; restore them, or give another --out"
        )
    return data


def _link(source: Path, target: Path) -> None:
    """Make a hard link, or a copy if the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def finished_report(job: TrainingJob) -> FitReport | None:
    """Return the report of a finished training in `job.out`, for `job.resume`; None if it is not finished.

    Raises DetectorError if the folder holds a training, finished or not, and `job.resume` is off, or if it is another
    one.
    """
    path = job.out / REPORT
    if path.exists():
        if not job.resume:
            raise DetectorError(f"'{job.out}' already holds a finished training: use it, or give another --out")
        data = _record(path, job.out, job.identity, "remove the folder and train again")
        if lacking := set(REPORTED) - set(data):
            raise DetectorError(f"'{path}' lacks '{min(lacking)}': remove the folder and train again")
        return FitReport(job.out / WEIGHTS, **{name: data[name] for name in REPORTED})
    if not job.resume and latest_checkpoint(job.out) is not None:
        raise DetectorError(f"'{job.out}' holds a training that was cut off: add --resume, or give another --out")
    return None


def write_report(job: TrainingJob, report: FitReport) -> None:
    """Mark the training in `job.out` as finished, and remove its checkpoints."""
    report.seconds += time.monotonic() - job.began
    kept = {name: getattr(report, name) for name in REPORTED}
    write_json(job.out / REPORT, {"identity": job.identity, **kept, "options": moved(report.options, (), job.out)})
    shutil.rmtree(job.out / FOLDER, ignore_errors=True)
