"""Shortcuts: prediction of the label without the face, on unseen people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.connected import factorize
from ..core.cores import one_blas_thread
from ..core.progress import progress_bar
from ..core.records import FAKE, REAL
from ..metrics.detection.intervals import auc_interval
from .facts import Facts
from .heldout import (
    CUES,
    FILE_CUES,
    FOLDS,
    Codes,
    Cue,
    Sample,
    beyond_chance,
    held_out_scores,
    people_or_videos,
    read_cues,
)
from .report import Finding, Section, plural, with_interval

LINE = 0.55
"""A cue of the file leaks the label if the lower end of its AUC's 95% interval is over this, and it is more than chance
(see `beyond_chance`). It should be .5; a lower value than this is harmless, and occurs in any large enough dataset.
"""
EXTREME = 0.9
"""A cue of the picture itself (high-pass energy) is a legitimate trace of forging up to this AUC."""
OVERALL = "all fakes"
_NAMES = {
    "type": "the file type",
    "dimensions": "the width and height",
    "size": "the file size",
    "quantisation": "the JPEG settings",
    "high-pass": "the high-pass energy",
}


@dataclass(frozen=True)
class Cell:
    """How well one cue separates the fakes of one method (or all) from all reals.

    `state` is `fitted`; `constant` if the cue is the same for all frames (AUC .5); `absent` if there is no such cue; or
    `undefined`, with the `reason`. `auc` in [0, 1] is that of scores on held-out groups, `ci` its 95% interval;
    `significant` if the interval is over `LINE` and shuffled labels do not reach it.
    """

    state: str
    auc: float | None = None
    ci: tuple[float, float] | None = None
    significant: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Probe:
    """All cells: method (or `OVERALL`) -> cue -> cell. `held_out` is `people` or `videos`; `n` counts frames.

    `of_videos` counts the frames of video files, whose type and size are those of the whole video, and `without_file`
    those of which no image or video file is known.
    """

    cells: dict[str, dict[str, Cell]]
    held_out: str
    groups: int
    n: dict[str, int] = field(default_factory=dict)
    of_videos: int = 0
    without_file: int = 0


def probe(facts: Sequence[Facts], seed: int = 0, resamples: int = 1000) -> Probe | None:
    """Predict the label from each cue of `CUES` alone, over all splits together; None without both classes.

    People (connected over shared videos and identities) are held out, see `held_out_scores`; the interval resamples the
    same groups. If every split has both classes, frames are compared only within a split, so that a split that was
    saved in another way is not a cue.
    """
    frames = [one.frame for one in facts if one.pixels is not None]
    label = np.array([frame.label for frame in frames], dtype=np.int64)
    if len(set(label.tolist())) < 2:
        return None
    method = np.array([frame.method for frame in frames], dtype=object)
    group, held_out = people_or_videos(frames)
    video, _ = factorize(frame.clip for frame in frames)
    stratum = _strata([frame.split for frame in frames], label)
    cues = read_cues(facts)
    real, fake = label == REAL, label == FAKE
    subsets = {OVERALL: real | fake} | {name: real | (fake & (method == name)) for name in sorted(set(method[fake]))}
    total = len(subsets) * (len(CUES) - 1)
    cells: dict[str, dict[str, Cell]] = {}
    with one_blas_thread(), progress_bar("probing for shortcuts", len(subsets) * len(CUES)) as advance:
        for name, kept in subsets.items():
            rows = np.flatnonzero(kept)
            groups = np.unique(group[rows], return_inverse=True)[1].astype(np.int64)
            sample = Sample(rows, label[rows], video[rows], groups, stratum[rows])
            cells[name] = {}
            for cue in CUES:
                cells[name][cue] = _cell(cues[cue], sample, 0 if cue == "all" else total, seed, resamples)
                advance(1)
    counts = {name: int((fake & rows).sum()) for name, rows in subsets.items()} | {"real": int(real.sum())}
    read = [one for one in facts if one.pixels is not None]
    of_videos = sum(one.file is not None and one.frame.locator.index is not None and not _keyed(one) for one in read)
    without = sum(one.file is None for one in read)
    return Probe(cells, held_out, len(np.unique(group)), counts, of_videos, without)


def _keyed(one: Facts) -> bool:
    return one.frame.locator.key is not None


def _strata(splits: Sequence[str], label: Codes) -> Codes:
    """Return each frame's split as a code, or 0 for all frames if a split has only one class."""
    names, codes = np.unique(np.array(splits, dtype=object), return_inverse=True)
    both = all(len(np.unique(label[codes == code])) == 2 for code in range(len(names)))
    return codes.astype(np.int64) if both else np.zeros(len(codes), dtype=np.int64)


def _cell(cue: Cue, sample: Sample, cells: int, seed: int, resamples: int) -> Cell:
    """Return one cell; `cells` is the number of tested cells, 0 for a cell that is not tested."""
    if cue.absent:
        return Cell("absent", reason="no frame has its own image or video file")
    if cue.constant(sample.rows):
        return Cell("constant", 0.5)
    if min(sample.groups) < 2:
        return Cell("undefined", reason="fewer than two groups of people have frames of one class")
    scores = held_out_scores(cue, sample, seed)
    auc, ci = auc_interval(sample.label, scores, sample.group, resamples=resamples, seed=seed)
    over = cells > 0 and ci is not None and ci[0] > LINE
    return Cell("fitted", auc, ci, over and beyond_chance(cue, sample, auc, cells, seed))


def findings(probe: Probe) -> list[Finding]:
    """Return a finding for each cue that predicts the label, with its AUC over all fakes and its best methods."""
    out: list[Finding] = []
    for cue in (*FILE_CUES, "high-pass"):
        predicted = _predicted_methods(probe, cue)
        if not predicted:
            continue
        leaks = [name for name in predicted if _is_leak(probe, cue, name)]
        what = f"fakes can be separated from reals by {_NAMES[cue]} alone: AUC "
        shown = leaks or predicted
        text = what + "; ".join(f"{_show(probe.cells[name][cue])} {name}" for name in shown[:4])
        text += f" and {len(shown) - 4} more" if len(shown) > 4 else ""
        if not leaks:
            text += " (a legitimate trace of forging, or of how the files were saved)"
        out.append(Finding("leak" if leaks else "note", "shortcut", text))
    if not any(finding.severity == "leak" for finding in out):
        names = [name for name in _predicted_methods(probe, "file") if _is_leak(probe, "file", name)]
        if names:
            best = "; ".join(f"{_show(probe.cells[name]['file'])} {name}" for name in names[:4])
            text = f"fakes can be separated from reals by type, dimensions, size and quantisation: AUC {best}"
            out.append(Finding("leak", "shortcut", text))
    return out


def _predicted_methods(probe: Probe, cue: str) -> list[str]:
    """Return the methods whose fakes the cue predicts, `OVERALL` first and then the best first."""
    names = [name for name, cells in probe.cells.items() if cells[cue].significant]
    return sorted(names, key=lambda name: (name != OVERALL, -(probe.cells[name][cue].auc or 0.0)))


def _is_leak(probe: Probe, cue: str, method: str) -> bool:
    """Return whether a cue that predicts the label is a leak.

    If type, dimensions and quantisation are the same for all files, a file's size measures the detail in the picture,
    and is then a cue of the same kind as the high-pass energy.
    """
    cells = probe.cells[method]
    saved_alike = all(cells[name].state in ("constant", "absent") for name in FILE_CUES if name != "size")
    of_the_picture = cue == "high-pass" or (cue in ("size", "file") and saved_alike)
    return not of_the_picture or (cells[cue].auc or 0.0) >= EXTREME


def _show(cell: Cell) -> str:
    """Return `.512 [.480, .544]`, or the state of a cell without a number."""
    if cell.state != "fitted" or cell.auc is None:
        return cell.state
    return with_interval(cell.auc, cell.ci)


def to_json(probe: Probe) -> dict[str, Any]:
    """Return all cells and the settings of the probe."""
    return {
        "held_out": probe.held_out,
        "groups": probe.groups,
        "folds": FOLDS,
        "line": LINE,
        "extreme": EXTREME,
        "n": probe.n,
        "frames_of_videos": probe.of_videos,
        "frames_without_file": probe.without_file,
        "auc": {
            method: {cue: _cell_json(cell) for cue, cell in cells.items()} for method, cells in probe.cells.items()
        },
    }


def _cell_json(cell: Cell) -> dict[str, Any]:
    ci = list(cell.ci) if cell.ci else None
    out = {"state": cell.state, "auc": cell.auc, "ci": ci, "told": cell.significant}
    return out | ({"reason": cell.reason} if cell.reason else {})


def section(probe: Probe) -> Section:
    """Return a table with a row for each method and a column for each cue."""
    rows = [(method, *(_show(cells[cue]) for cue in CUES)) for method, cells in probe.cells.items()]
    constant = [cue for cue in CUES if all(cells[cue].state == "constant" for cells in probe.cells.values())]
    lines = [
        f"AUC (with 95% interval) of separating a method's fakes from all reals by this cue alone; .5 is chance; "
        f"{probe.held_out} held out, {FOLDS} parts, {probe.groups:,} groups. Less than .5 means the same as .5: what "
        "was learned on some people did not hold for others."
    ]
    if constant:
        lines.append(f"Constant: the same for all frames ({', '.join(constant)}), so it predicts nothing.")
    if probe.of_videos:
        lines.append(
            f"{plural(probe.of_videos, 'frame')} of video files: type and size are those of the whole video, and there "
            "is no quantisation."
        )
    if probe.without_file:
        lines.append(
            f"{plural(probe.without_file, 'frame')} without a known image or video file, such as stored pixels: type, "
            "size and quantisation are absent."
        )
    return Section("Shortcuts: the label without the face", tuple(lines), ("fakes", *CUES), tuple(rows))
