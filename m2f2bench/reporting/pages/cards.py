"""Questions to show on a page, with their pictures: the worst and the best answers, wrong verdicts, missing answers."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ...core.records import FAKE
from ...metrics.verdicts.verdict import NO_VERDICT
from ..figures.overlay import is_relative

if TYPE_CHECKING:
    import numpy.typing as npt

    from ...core.answers import Answers
    from ...core.records import Floats, Image
    from ...core.rows import Strings

SIDE = 224
"""Largest number of pixels of a picture's longer side; a smaller picture is not enlarged."""
QUALITY = 80
Box = tuple[float, float, float, float]
"""The region of a picture that a map covers: top, left, bottom, right as shares."""
Heat = tuple["Floats", Box]
Picture = tuple[str, int, int]
"""A JPEG file as a data URI, with its width and height in pixels."""
WORST, BEST, WRONG, MISSING = "worst", "best", "wrong verdict", "missing"
GROUPS = (WORST, BEST, WRONG, MISSING)
PREFERRED = ("rouge_l", "cider")
STATED = "released"
"""The kind of question that states the label; an answer to it has no verdict of its own."""


@dataclass(frozen=True)
class AnswerCard:
    """One question on the page: its number in the plan, and why it is shown; `values` are those of its answer by
    metric, empty if not defined. `relative`: the heat map is scaled to its own maximum."""

    order: int
    groups: Sequence[str]
    label: str
    verdict: str
    score: str
    values: Mapping[str, str]
    picture: Picture | None
    heat: Picture | None
    relative: bool


def answer_cards(
    answers: Answers,
    items: Mapping[str, Floats],
    verdicts: Sequence[str],
    images: Callable[[str], Image | None],
    heatmaps: Callable[[str], Heat | None],
    count: int,
) -> list[AnswerCard]:
    """Return the cards of the `selected` questions; for the arguments see `explanation_page`."""

    @cache
    def pictures(frame: str) -> tuple[Picture | None, Picture | None, bool]:
        image = images(frame)
        if image is None:
            return None, None, False
        heat = heatmaps(frame)
        if heat is None:
            return data_uri(image), None, False
        return data_uri(image), data_uri(overlay(image, *heat)), is_relative(heat[0])

    def three_decimals(value: float) -> str:
        return "" if np.isnan(value) else f"{value:.3f}"

    return [
        AnswerCard(
            i,
            groups,
            "fake" if answers.label[i] == FAKE else "real",
            verdict_word(answers, verdicts, i),
            three_decimals(answers.score[i]),
            {name: three_decimals(values[i]) for name, values in items.items()},
            *pictures(answers.frame[i]),
        )
        for i, groups in selected(answers, items, verdicts, count).items()
    ]


def main_metric(items: Mapping[str, Floats]) -> str | None:
    """Return the metric that sorts answers: ROUGE-L, else CIDEr, else the first with values."""
    found = [name for name in (*PREFERRED, *items) if name in items and not np.isnan(items[name]).all()]
    return found[0] if found else None


def verdict_word(answers: Answers, verdicts: Sequence[str], i: int) -> str:
    """Return whether the verdict of question `i` is `right`, `wrong` or `none`; empty if it asked for no verdict."""
    if answers.kind[i] == STATED or answers.status[i] != "ok":
        return ""
    if verdicts[i] in NO_VERDICT:
        return "none"
    return "right" if (verdicts[i] == "fake") == (answers.label[i] == FAKE) else "wrong"


def selected(
    answers: Answers, items: Mapping[str, Floats], verdicts: Sequence[str], count: int
) -> dict[int, list[str]]:
    """Return the indices of the questions to show, in the order of the plan, each with its groups.

    At most `count` of each of GROUPS. Worst and best are by the main metric, of questions with an answer; of equal ones
    the first of each image comes first, in the order of the plan. Of more than `count` wrong verdicts, or missing
    answers, evenly spread ones are taken. If all groups together have fewer than `count`, the first questions of the
    plan are added.
    """
    ok = answers.status == "ok"
    groups: dict[str, Sequence[int]] = {}
    metric = main_metric(items)
    if metric is not None:
        values = items[metric]
        known = np.flatnonzero(ok & ~np.isnan(values))
        groups[WORST] = _lowest(values, known, answers.frame, count)
        groups[BEST] = _lowest(-values, known, answers.frame, count)
    words = [verdict_word(answers, verdicts, i) for i in range(len(answers))]
    groups[WRONG] = _spread([i for i, word in enumerate(words) if word in ("wrong", "none")], count)
    groups[MISSING] = _spread(np.flatnonzero(~ok).tolist(), count)
    found: dict[int, list[str]] = {}
    for name in GROUPS:
        for i in groups.get(name, ()):
            found.setdefault(i, []).append(name)
    for i in range(len(answers)):
        if len(found) >= count:
            break
        found.setdefault(i, [])
    return dict(sorted(found.items()))


def _lowest(values: Floats, rows: npt.NDArray[np.int64], frame: Strings, count: int) -> list[int]:
    """Return the `count` rows with the lowest values; of equal ones, all images' first before any image's second."""
    earlier: Counter[tuple[float, str]] = Counter()
    keys = []
    for i in rows.tolist():
        value = float(values[i])
        keys.append((value, earlier[value, frame[i]], i))
        earlier[value, frame[i]] += 1
    return [i for _, _, i in sorted(keys)[:count]]


def _spread(rows: list[int], count: int) -> list[int]:
    """Return at most `count` of the rows, evenly spread."""
    kept = min(count, len(rows))
    return [rows[i * len(rows) // kept] for i in range(kept)]


def data_uri(image: Image) -> Picture:
    """Return an RGB uint8 picture [H, W, 3] as a small JPEG file."""
    from PIL import Image as Pillow

    rows, columns = fitted(*image.shape[:2])
    picture = Pillow.fromarray(np.ascontiguousarray(image))
    if (rows, columns) != image.shape[:2]:
        picture = picture.resize((columns, rows), Pillow.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}", columns, rows


def overlay(image: Image, heat: npt.NDArray[np.float32] | Floats, visible: Box) -> Image:
    """Return a map [h, w] in [0, 1] over its picture, RGB uint8; its colours go from 0 to 1, see `blend`."""
    from ..figures.overlay import Panel, blend

    rows, columns = fitted(*image.shape[:2])
    return blend(Panel(image, np.asarray(heat, dtype=np.float32), visible, 0.0), rows, columns)


def fitted(rows: int, columns: int) -> tuple[int, int]:
    """Return a picture's rows and columns, reduced such that its longer side is at most SIDE."""
    shrink = min(1.0, SIDE / max(rows, columns, 1))
    return max(1, round(rows * shrink)), max(1, round(columns * shrink))
