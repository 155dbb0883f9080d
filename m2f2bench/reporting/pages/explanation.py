"""Page of one explainer's result with its answers: one html file without requests, readable without scripts too."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import DetectorError, FrameError, ScoreError
from ...core.files import write_text
from ...core.records import Score
from ...datasets.read_ahead import read_pixels
from ...detectors.base import Detector
from ...leaderboards.html.page import render_page
from ...leaderboards.report import headline_groups, read_title, remarks, usage
from ...leaderboards.text import clusters_line, coverage, format_score, item_counts, metric_title, reasons
from ...metrics.registry import metric_of, metrics_of, title
from ...results.result import Result
from ...results.signature import place_of
from ...scoring.answers import ScoredAnswers
from ...scoring.control_names import CONTROLS, PREFIX
from . import chart
from .cards import answer_cards, main_metric

if TYPE_CHECKING:
    from ...core.answers import Answers
    from ...core.records import Floats, Image
    from ...heatmaps.mapping import HeatMapper
    from .cards import Heat

REPORT = "report.html"
CARDS = 24
"""Number of the worst answers on the page, and of the best."""
SHOWN_WORDS, SHOWN_CHARACTERS = 90, 900
"""Length of a text that is visible at once."""
KEPT_CHARACTERS = 20_000
"""Length of a text that is kept in the page."""
NAMES = {
    "ci": "interval",
    "n": "number",
    "verdicts": "verdicts (rows: the truth, columns: the answer)",
    "within": "another image of the same label",
    "across": "another image of the other label",
}
"""Words for keys of a result's details that are not clear."""
_WORD = re.compile(r"\S+")
EMPTY_REASONS = (None, "no answer has a value", "undefined")
"""Reasons that only say that there is no value."""
PARTS_OF_BLEU = ("bleu1", "bleu2", "bleu3", "bleu4")


@dataclass(frozen=True)
class NumberCell:
    """One number as text, the reason if there is no number, and whether a control scores at least as well (`beats`)."""

    text: str
    reason: str = ""
    beats: bool = False


@dataclass(frozen=True)
class NumberTable:
    """Numbers with headings: one row (name, note, cells) for each metric, group or explainer."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[NumberCell, ...]], ...]


def write_report(
    evidence: ScoredAnswers,
    result: Result,
    path: Path,
    controls: Sequence[Result] = (),
    mapper: HeatMapper | None = None,
    count: int = CARDS,
) -> None:
    """Write one page about a run, without files beside it; `mapper` makes its heat maps."""
    explained = evidence.explained
    page = explanation_page(
        result,
        evidence.answers,
        explained.items,
        explained.verdicts,
        lambda name: _image(evidence, name),
        lambda name: _heatmap(evidence, mapper, name),
        [(one.detector.removeprefix(PREFIX).partition("@")[0], one) for one in controls],
        count,
    )
    write_text(path, page)


def own_maps(detector: Detector) -> HeatMapper | None:
    """Return the maker of an explainer's heat maps; None if it makes no heat maps."""
    from ...heatmaps.mapping import HeatMapper

    try:
        return HeatMapper(detector)
    except DetectorError:
        return None


def _image(evidence: ScoredAnswers, name: str) -> Image | None:
    frame = evidence.plan.frames.get(name)
    if frame is None:
        return None
    try:
        return read_pixels(evidence.plan.dataset.adapter.read, frame)
    except FrameError:
        return None


def _heatmap(evidence: ScoredAnswers, mapper: HeatMapper | None, name: str) -> Heat | None:
    if mapper is None or (image := _image(evidence, name)) is None:
        return None
    heat = mapper.maps([image], [name])[0]
    return None if isinstance(heat, str) else (heat.astype("float64"), mapper.seen(image))


def explanation_page(
    result: Result,
    answers: Answers,
    items: Mapping[str, Floats],
    verdicts: Sequence[str],
    images: Callable[[str], Image | None],
    heatmaps: Callable[[str], Heat | None],
    controls: Sequence[tuple[str, Result]] = (),
    count: int = CARDS,
) -> str:
    """Return a page with a result's metrics and those of controls, its details, and questions with their answers.

    `answers`, `items` (values of each question by metric, float64 [N], NaN if not defined) and `verdicts` (`real`,
    `fake` or `none`, [N]) have the same order. `images` returns a frame's pixels by its id, RGB uint8 or None;
    `heatmaps` its map [h, w] in [0, 1] with the region of the image that it covers, or None; each is called once for
    a frame on the page. `controls` are names with results on the same questions. The page has at most `count` questions
    each of the worst and the best (see `main_metric`), of wrong verdicts and of missing answers. See `render_page` for
    what the page may do. Raises ScoreError if the lengths differ.
    """
    lengths = {len(answers), len(verdicts), *(len(values) for values in items.values())}
    if len(lengths) != 1:
        raise ScoreError(
            f"a report needs as many verdicts and values as answers, but the numbers differ: {sorted(lengths)}"
        )
    cards = answer_cards(answers, items, verdicts, images, heatmaps, count)
    tables, control_tables = _tables(result), _controls(result, controls)
    numbers = [cell for table in (*tables, *control_tables) for _, _, cells in table.rows for cell in cells]
    kept = list(dict.fromkeys(name for card in cards for name, value in card.values.items() if value))
    return render_page(
        __package__,
        "explanation",
        {"named": lambda metric: clean(title(metric)), "clean": clean, "passage": passage, "n": "{:g}".format},
        result=result,
        place=place_of(result.dataset, result.split),
        metric=main_metric(items),
        sortable=kept,
        tables=tables,
        key=_key(numbers, result),
        marked=any(cell.beats for cell in numbers),
        chart=_chart(result, controls, main_metric(items)),
        geometry=chart,
        compared=len(_compared(result)),
        controls=control_tables,
        beaten=_beaten(result, controls),
        coverage=coverage(result),
        notes=[
            *clusters_line(result, "questions"),
            *(text for text in (remarks(result.details), usage(result.details)) if text),
            *reasons(result, {"all": result.metrics, **result.labels}),
        ],
        details=details(result.details),
        cards=cards,
        answers=answers,
        verdicts=verdicts,
        regions=sorted({clean(answers.region[card.order]) for card in cards}),
        judged=any(card.verdict for card in cards),
        frames=len(set(answers.frame.tolist())),
    )


def _cell(score: Score | None, beats: bool = False) -> NumberCell:
    if score is None or (score.value is None and score.n_real + score.n_fake == 0 and score.reason in EMPTY_REASONS):
        return NumberCell("–")
    return NumberCell(format_score(score), clean(score.reason or "") if score.value is None else "", beats)


def _tables(result: Result) -> list[NumberTable]:
    """Return every metric of all, real and fake questions, and the main metrics by region and by manipulation."""
    groups = {"all": result.metrics, **result.labels}
    rows = tuple(
        (read_title(n, result), "", tuple(_cell(scores.get(n)) for scores in groups.values())) for n in result.metrics
    )
    heads = tuple(f"{name}, {item_counts(scores, ' questions')}" for name, scores in groups.items())
    tables = [NumberTable("Metric", heads, rows)]
    for what, found, names in headline_groups(result):
        rows = tuple(
            (clean(key), item_counts(s, " questions"), tuple(_cell(s.get(name)) for name in names))
            for key, s in found.items()
        )
        tables.append(NumberTable(what.capitalize(), tuple(metric_title(result, n) for n in names), rows))
    return tables


def reaches(control: Score | None, own: Score | None, metric: str, result: Result | None = None) -> bool:
    """Return whether a control's value is at least as good as the explainer's; False if either has no value.

    `result` describes a metric of the user's.
    """
    if control is None or own is None or control.value is None or own.value is None:
        return False
    known = result.about(metric) if result is not None else metric_of(metric)
    return control.value <= own.value if known.lower_is_better else control.value >= own.value


def earned(control: str, metric: str, group: str = "all") -> bool:
    """Return whether a control's value can be compared with the explainer's.

    Not for verdicts of a control that is given the label or a verdict; not for verdicts on only real or only fake
    questions, where always the same word is right; never for the rate of answers without a verdict.
    """
    if metric not in metrics_of("verdicts"):
        return True
    given = control in CONTROLS and CONTROLS[control].needs != "nothing"
    return metric != "verdict_none_rate" and not given and group == "all"


def _compared(result: Result) -> list[str]:
    """Return the metrics to compare with controls: those with a value; BLEU-1 to BLEU-4 only without their mean."""
    found = [name for name, score in result.metrics.items() if score.value is not None]
    return [name for name in found if "bleu" not in found or name not in PARTS_OF_BLEU]


def _controls(result: Result, controls: Sequence[tuple[str, Result]]) -> list[NumberTable]:
    """Return the explainer's values and each control's, for all questions and for real and fake ones."""
    names = _compared(result)
    tables = []
    for group in ("all", *result.labels) if controls and names else ():
        own = _scores(result, group)
        rows = [(clean(result.detector), "this explainer", tuple(_cell(own.get(name)) for name in names))]
        for control, other in controls:
            theirs = _scores(other, group)
            beats = [earned(control, n, group) and reaches(theirs.get(n), own.get(n), n, result) for n in names]
            cells = tuple(_cell(theirs.get(name), better) for name, better in zip(names, beats, strict=True))
            described = CONTROLS[control].description if control in CONTROLS else ""
            rows.append((clean(control), described, cells))
        tables.append(NumberTable(f"{group} questions", tuple(metric_title(result, n) for n in names), tuple(rows)))
    return tables


def _chart(result: Result, controls: Sequence[tuple[str, Result]], metric: str | None) -> chart.Chart | None:
    """Return the explainer's value and each control's in one metric: the one that sorts the answers, else the first."""
    names = [name for name in (metric, *_compared(result)) if name in _compared(result)]
    if not controls or not names:
        return None
    first = names[0]
    entries = [(clean(result.detector), "", result.metrics.get(first))]
    entries += [
        (clean(name), CONTROLS[name].description if name in CONTROLS else "", other.metrics.get(first))
        for name, other in controls
    ]
    return chart.dot_chart(metric_title(result, first), entries, result.about(first).worse)


def _key(cells: Sequence[NumberCell], result: Result) -> list[str]:
    """Return explanations of what is in the tables, and of nothing else."""
    counted = item_counts(result.metrics)
    found = {
        "[low, high]: the interval": any(" [" in cell.text for cell in cells),
        f"{counted}: number of real + fake questions": bool(counted),
        "null: not defined, with the reason": any(cell.reason for cell in cells),
    }
    return [words for words, there in found.items() if there]


def _scores(result: Result, group: str) -> Mapping[str, Score]:
    return result.metrics if group == "all" else result.labels.get(group, {})


def _beaten(result: Result, controls: Sequence[tuple[str, Result]]) -> list[tuple[str, str, list[str]]]:
    """Return the controls that score at least as well over all questions: name, what it is given, metrics."""
    given = {"label": "given the true label", "verdict": "given a detector’s verdict"}
    found = []
    for name, other in controls:
        metrics = [
            metric_title(result, n)
            for n in _compared(result)
            if earned(name, n) and reaches(other.metrics.get(n), result.metrics[n], n, result)
        ]
        if metrics:
            found.append((clean(name), given.get(CONTROLS[name].needs, "") if name in CONTROLS else "", metrics))
    return found


@dataclass(frozen=True)
class Passage:
    """A text on the page: its visible part (`head`), the text to unfold (`whole`, empty if `head` is all of it), its
    number of words, and whether `whole` is cut as well."""

    head: str
    whole: str = ""
    words: int = 0
    cut: bool = False


def passage(text: str) -> Passage:
    """Return a text of any length as a passage of bounded length; see `clean`."""
    kept = clean(text[:KEPT_CHARACTERS])
    words = sum(1 for _ in _WORD.finditer(text))
    ends = [match.end() for _, match in zip(range(SHOWN_WORDS), _WORD.finditer(kept), strict=False)]
    end = min(ends[-1] if ends else 0, SHOWN_CHARACTERS)
    if len(text) <= KEPT_CHARACTERS and not kept[end:].strip():
        return Passage(kept, "", words)
    return Passage(kept[:end], kept, words, len(text) > KEPT_CHARACTERS)


def clean(text: str) -> str:
    """Return a text in which U+FFFD replaces what a page cannot hold: control characters and lone surrogates."""
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" else c for c in text)


@dataclass(frozen=True)
class Details:
    """Nested mappings for a page: first single facts, then a table, then parts with a heading."""

    facts: tuple[tuple[str, str], ...]
    heads: tuple[str, ...] = ()
    rows: tuple[tuple[str, tuple[str, ...]], ...] = ()
    parts: tuple[tuple[str, Details], ...] = ()


def details(values: Mapping[str, Any]) -> Details:
    """Return any JSON object for a page: objects of short values become rows of one table, others become parts."""
    nested = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    facts = tuple((named(key), plain(value)) for key, value in values.items() if key not in nested)
    flat = {k: v for k, v in nested.items() if v and all(map(_narrow, v.values()))}
    if len({tuple(value) for value in flat.values()}) != 1:
        flat = {}
    columns = tuple(next(iter(flat.values()), ()))
    broken = {c for c in columns if any(isinstance(value[c], float) for value in flat.values())}
    rows = tuple((named(key), tuple(plain(v[c], c in broken) for c in columns)) for key, v in flat.items())
    parts = tuple((named(key), details(value)) for key, value in nested.items() if key not in flat)
    return Details(facts, tuple(named(column) for column in columns), rows, parts)


def _narrow(value: Any) -> bool:
    """Return whether a value fits in a cell of a table."""
    return not isinstance(value, Mapping) and len(plain(value)) <= 40


def named(key: str) -> str:
    """Return a key in words: a metric's title, or the key without underscores."""
    return clean(NAMES.get(key) or title(key).replace("_", " "))


def plain(value: Any, broken: bool = False) -> str:
    """Return a JSON value in few characters: floats with three decimals, lists in brackets.

    `broken`: whole numbers get three decimals too, since they are in a column with floats.
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return f"{value:,}" if isinstance(value, int) and not broken else f"{value:.3f}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(plain, value))}]"
    return clean(str(value))
