"""Cues of a frame without its face: file, size and high-pass energy, as numbers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..core.connected import factorize
from .facts import Facts
from .files import FileFacts

FILE_CUES = ("type", "dimensions", "size", "quantisation")
"""Cues from the way of saving; they must not predict the label."""
CUES = (*FILE_CUES, "file", "high-pass", "all")
"""`file`: the four cues before it together. `all`: these and the high-pass energy."""
TABLE = 64
COMMON = 32
"""Number of the most frequent settings that get their own column."""
BINS = 8


@dataclass(frozen=True)
class Cue:
    """One cue over N frames. `numbers` float64 [N, F]; `categories` int64 [N, G], each column the codes of a setting.

    Both are empty if the cue does not exist (no frame has its own file).
    """

    numbers: npt.NDArray[np.float64]
    categories: npt.NDArray[np.int64]

    @property
    def absent(self) -> bool:
        """Whether there are no columns."""
        return not self.numbers.shape[1] and not self.categories.shape[1]

    def constant(self, rows: npt.NDArray[np.int64]) -> bool:
        """Return whether all of these rows are equal."""
        parts = (self.numbers[rows], self.categories[rows])
        return all(bool((part == part[:1]).all()) for part in parts)


def read_cues(facts: Sequence[Facts]) -> dict[str, Cue]:
    """Return every cue of `CUES` for readable frames: logarithms of sizes and steps, and codes of settings.

    A file that is not JPEG has its own setting and steps of 1; a frame in a container has no file.
    """
    looks = [one.pixels for one in facts if one.pixels is not None]
    files = [one.file for one in facts if one.pixels is not None]
    n = len(looks)
    width = np.array([look.width for look in looks], dtype=np.float64)
    height = np.array([look.height for look in looks], dtype=np.float64)
    none = Cue(np.empty((n, 0)), np.empty((n, 0), dtype=np.int64))
    cues = dict.fromkeys(CUES, none)
    sides = [f"{w:.0f}x{h:.0f}" for w, h in zip(width, height, strict=True)]
    cues["dimensions"] = Cue(np.log(np.column_stack([width, height, width / height])), _codes(sides))
    if any(file is not None for file in files):
        size = np.array([1 if file is None else max(1, file.size) for file in files], dtype=np.float64)
        cues["type"] = Cue(none.numbers, _codes(["none" if file is None else file.kind for file in files]))
        cues["size"] = Cue(np.log(np.column_stack([size, size / (width * height)])), none.categories)
        settings = [_setting(file) for file in files]
        cues["quantisation"] = Cue(np.array([_steps(file) for file in files]).reshape(n, 3), _codes(settings))
    high = np.array([[look.laplacian, look.residual] for look in looks], dtype=np.float64).reshape(n, 2)
    cues["high-pass"] = Cue(high, none.categories)
    cues["file"] = join([cues[name] for name in FILE_CUES])
    cues["all"] = join([cues["file"], cues["high-pass"]])
    return cues


def join(cues: Sequence[Cue]) -> Cue:
    """Return the columns of several cues next to each other."""
    return Cue(np.hstack([cue.numbers for cue in cues]), np.hstack([cue.categories for cue in cues]))


class Encoder:
    """Numbers and settings as columns of a linear model, learned from the training part only.

    A number gives its standardised value and, for relations that are not monotonic, up to 8 indicators of equally
    filled bins. A setting gives an indicator for each of its most frequent values.
    """

    def fit(self, cue: Cue, rows: npt.NDArray[np.int64]) -> Encoder:
        """Learn means, bins and frequent settings from these rows."""
        numbers = cue.numbers[rows]
        self.mean, self.scale = numbers.mean(axis=0), numbers.std(axis=0)
        self.scale[self.scale < 1e-12] = 1.0
        steps = np.linspace(0, 1, BINS + 1)[1:-1]
        self.edges = [np.unique(np.quantile(column, steps)) for column in numbers.T]
        self.common = [pd.Series(column).value_counts().index[:COMMON].to_numpy() for column in cue.categories[rows].T]
        return self

    def transform(self, cue: Cue, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return the columns of these rows, float64 [N, F]."""
        numbers = cue.numbers[rows]
        parts = [(numbers - self.mean) / self.scale]
        for column, edges in zip(numbers.T, self.edges, strict=True):
            bins = np.searchsorted(edges, column, side="right")
            parts.append((bins[:, None] == np.arange(len(edges) + 1)).astype(np.float64))
        for column, common in zip(cue.categories[rows].T, self.common, strict=True):
            parts.append((column[:, None] == common).astype(np.float64))
        return np.hstack(parts)


def _codes(values: Sequence[Hashable]) -> npt.NDArray[np.int64]:
    return factorize(values)[0][:, None]


def _setting(file: FileFacts | None) -> str:
    """Return all JPEG settings as one text; empty for a file that is not JPEG."""
    return "" if file is None or file.tables is None else f"{file.tables} {file.sampling} {file.progressive}"


def _steps(file: FileFacts | None) -> tuple[float, float, float]:
    """Return the mean log step of the first and of the last table, and the log of the first step."""
    if file is None or file.tables is None:
        return 0.0, 0.0, 0.0
    steps = np.log(np.maximum(1, np.array(file.tables, dtype=np.float64)))
    return float(steps[:TABLE].mean()), float(steps[-TABLE:].mean()), float(steps[0])
