"""Training curves: losses and other quantities by epoch or step, read from training records."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ValidationError

from ...cards.models import problem_of
from ...core.errors import ScoreError, near
from ...core.parsing import Refused, read_json
from .sheet import EDGE, GAP, LEADING, Entry, Key, Page, Sheet, look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ...core.records import Floats

log = logging.getLogger("m2f2bench")
RECORD = "training.json"
PANELS = ("train_loss", "val_loss", "val_auc")
"""What is drawn by default, if the record has it."""
TITLES = {
    "train_loss": "training loss",
    "val_loss": "validation loss",
    "val_auc": "validation AUC",
    "lr": "learning rate",
}
LOSSES = ("train_loss", "val_loss")
LEFT, BOTTOM, TOP, HIGH = 0.5, 0.33, 0.06, 1.5
"""Inches left of, below and above a panel's axes, and of the axes themselves."""
MARKED = 20
"""A line of at most this many points gets markers: a single point would be invisible without."""


class Training(BaseModel):
    """A training's record, with its rows of numbers by epoch or step; other keys are ignored."""

    detector: str | None = None
    dataset: str | None = None
    stage: str | None = None
    data_fingerprint: str | None = None
    identity: str | None = None
    seed: int | None = None
    versions: dict[str, str] | None = None
    curves: list[dict[str, Any]]

    @property
    def unit(self) -> str:
        """`step` or `epoch`, that which all rows have; empty without rows, and if some have neither."""
        units = [unit for unit in ("step", "epoch") if all(unit in row for row in self.curves)]
        return units[0] if units and self.curves else ""

    @property
    def known(self) -> list[str]:
        """The quantities in its rows, in their order."""
        names = dict.fromkeys(name for row in self.curves for name in row)
        return [name for name in names if name not in ("epoch", "step")]

    def line(self, name: str) -> tuple[Floats, Floats]:
        """Return the positions and values of a quantity, both float64 [P]; rows without it are skipped."""
        points = [(row[self.unit], row[name]) for row in self.curves if name in row and math.isfinite(row[name])]
        x, y = np.array(points, dtype=np.float64).reshape(-1, 2).T
        return x, y

    @property
    def signature(self) -> str:
        """The settings and data of the training in one line."""
        keys = ("det", "stage", "data", "hash", "seed", "training")
        values = (self.detector, self.stage, self.dataset, self.data_fingerprint, self.seed, self.identity)
        return "|".join(f"{key}:{value}" for key, value in zip(keys, values, strict=True) if value is not None)


def read_trainings(places: Sequence[Path]) -> list[Training]:
    """Read trainings from their folders, from record files, and from folders of either. Raises ScoreError for others.

    In a folder of several, those without curves are left out, with a log message.
    """
    found = []
    for place in places:
        if place.is_file():
            found.append(read_training(place))
        elif (place / RECORD).is_file():
            found.append(read_training(place / RECORD))
        elif place.is_dir():
            found += _trainings_below(place)
        else:
            raise ScoreError(f"there is no file or folder '{place}'")
    units = {one.unit: one.detector for one in found}
    if len(units) > 1:
        (unit, first), (other, second), *_ = units.items()
        raise ScoreError(f"'{first}' was recorded by {unit} and '{second}' by {other}: draw them in separate figures")
    return found


def _trainings_below(folder: Path) -> list[Training]:
    found = []
    for path in [*sorted(folder.glob(f"*/{RECORD}")), *sorted(folder.glob("*.json"))]:
        try:
            found.append(read_training(path))
        except ScoreError as error:
            log.info("left out: %s", error)
    if not found:
        raise ScoreError(f"'{folder}' holds no training with curves: give folders that train wrote, or their {RECORD}")
    return found


def read_training(path: Path) -> Training:
    """Read one training from its record. Raises ScoreError for another kind of file and without curves."""
    try:
        record = read_json(path)
    except Refused as error:
        raise ScoreError(f"'{path}' cannot be read as JSON: {error}") from None
    try:
        training = Training.model_validate(record)
    except ValidationError as error:
        raise ScoreError(f"'{path}' is not a training record: {problem_of(Training, error)}") from None
    curves = [{name: float(value) for name, value in row.items() if _number(value)} for row in training.curves]
    training = training.model_copy(update={"detector": training.detector or path.parent.name, "curves": curves})
    if not training.unit:
        raise ScoreError(f"'{path}' has no curves by step or epoch: this training did not use gradient steps")
    return training


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def draw_curves(trainings: Sequence[Training], names: Sequence[str], page: Page, wanted: str | None = None) -> Figure:
    """Draw a panel for each of PANELS that was recorded, or only for `wanted`, with a line for each training.

    `names` are those of the trainings in the key, which also has the lowest validation loss if there is one. Panels of
    losses have the same scale. Raises ScoreError for a quantity that no training has recorded.
    """
    panels = _panels(trainings, wanted)
    entries = [
        Entry(name, _best(one), look(i), "line") for i, (name, one) in enumerate(zip(names, trainings, strict=True))
    ]
    heading = "lowest validation loss" if any(entry.value for entry in entries) else ""
    key = Key(entries, page.room, heading)
    across = 1 if page.narrow else len(panels)
    step = page.room / across
    high = TOP + LEADING + GAP / 2 + HIGH + BOTTOM
    sheet = Sheet(page, high * math.ceil(len(panels) / across), key)
    drawn: dict[str, Axes] = {}
    for number, panel in enumerate(panels):
        down, right = divmod(number, across)
        left, top = EDGE + step * right, high * down + TOP
        sheet.text(left + LEFT, top, TITLES.get(panel, panel))
        axes = sheet.axes(left + LEFT, top + LEADING + GAP / 2, step - LEFT - 0.12, HIGH)
        drawn[panel] = axes
        for i, one in enumerate(trainings):
            (x, y), own = one.line(panel), look(i)
            marks: dict[str, Any] = {"marker": own.marker, "markersize": 2.5} if len(x) <= MARKED else {}
            axes.plot(x, y, zorder=3, gid=f"curve-{i}", **own.line, **marks)
        axes.set_xlabel(trainings[0].unit)
        _furnish(axes)
    _share([drawn[name] for name in LOSSES if name in drawn])
    return sheet.figure


def _panels(trainings: Sequence[Training], wanted: str | None) -> list[str]:
    known = list(dict.fromkeys(name for one in trainings for name in one.known))
    if wanted is not None:
        if wanted not in known:
            raise ScoreError(f"no training has recorded '{wanted}'{near(wanted, known)}")
        return [wanted]
    panels = [name for name in PANELS if name in known]
    if not panels:
        raise ScoreError(
            f"the trainings have no {' or '.join(PANELS)}: choose a quantity with --metric{near('', known)}"
        )
    return panels


def _best(one: Training) -> str:
    """Return a training's lowest validation loss as text; empty if there is none."""
    _, losses = one.line("val_loss")
    return f"{min(losses):.4g}" if len(losses) else ""


def _furnish(axes: Axes) -> None:
    """Set few ticks with plain numbers, at whole epochs and steps."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}" if value < 10000 else f"{value:.2g}"))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))


def _share(axes: Sequence[Axes]) -> None:
    """Set one scale for panels of the same unit."""
    ends = [one.get_ylim() for one in axes]
    for one in axes:
        one.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))
