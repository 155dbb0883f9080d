"""One explainer's result with its answers to read, as one html file: no request leaves it, and it reads without
scripts too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import ScoreError
from ...core.records import FAKE, Score
from ...leaderboards.explained import headlines, read_title, remarks, usage
from ...leaderboards.html import page as board
from ...leaderboards.html.parts import compact, policy, templates
from ...leaderboards.text import clusters_line, coverage, reasons, shown
from ...metrics.registry import metric_of, metrics_of, title
from ...results.result import Result
from ...results.signature import place_of
from ...scoring.controls import CONTROLS
from ...version import __version__
from .pictures import data_uri, overlay
from .selection import main_metric, selected, verdict_word
from .words import Passage, clean, details, passage

if TYPE_CHECKING:
    from ...core.answers import Answers
    from ...core.records import Floats, Image
    from .pictures import Box

    Heat = tuple[Floats, Box]

UNTOLD = (None, "no answer has a value", "undefined")
"""Reasons that say no more than that there is no value."""
PARTS_OF_BLEU = ("bleu1", "bleu2", "bleu3", "bleu4")
STYLE, SCRIPT, TEMPLATE = "explanation.css", "explanation.js", "explanation.html.j2"
Picture = tuple[str, int, int]
"""A data URI with its width and height in pixels."""


@dataclass(frozen=True)
class Cell:
    """One number of a table: as text, why there is none, and whether a control does as well as the explainer or
    better (`beats`)."""

    text: str
    reason: str = ""
    beats: bool = False


@dataclass(frozen=True)
class Table:
    """Numbers with headings: one row per metric, group or explainer; `note` stands below a row's name."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[Cell, ...]], ...]


@dataclass(frozen=True)
class AnswerCard:
    """One question with everything that is shown of it; `values` are its own by metric, '' where there is none."""

    order: int
    id: str
    frame: str
    method: str
    kind: str
    region: str
    label: str
    asked: Passage
    answer: Passage
    status: str
    message: Passage
    references: tuple[Passage, ...]
    score: str
    verdict: str
    said: str
    groups: tuple[str, ...]
    values: tuple[tuple[str, str], ...]
    picture: Picture | None
    heat: Picture | None


def explanation_page(
    result: Result,
    answers: Answers,
    items: Mapping[str, Floats],
    verdicts: Sequence[str],
    images: Callable[[str], Image | None],
    heatmaps: Callable[[str], Heat | None],
    controls: Sequence[tuple[str, Result]] = (),
    count: int = 24,
) -> str:
    """A page with a result's metrics beside those of controls, its details, and questions with their answers.

    `answers`, `items` (questions' own values by metric, float64 [N], NaN where there is none) and `verdicts` (`real`,
    `fake` or `none`, [N]) are in one order. `images` gives a frame's pixels by its id, RGB uint8 or None; `heatmaps`
    its map [h, w] in [0, 1] with the part of the image that it lies over, or None; each is called once for a frame that
    is shown. `controls` are names with results on the same questions. At most `count` questions each of the worst and
    the best by ROUGE-L (else the first metric with values), of wrong verdicts and of missing answers are shown.

    All text is escaped, and the page's content security policy lets nothing run or load but its own style, script and
    pictures. The same input gives the same page. Raises ScoreError where lengths do not agree.
    """
    lengths = {len(answers), len(verdicts), *(len(values) for values in items.values())}
    if len(lengths) != 1:
        raise ScoreError(
            f"a report's answers, verdicts and values differ in number ({sorted(lengths)}): pass one of each"
        )
    cards = _cards(answers, items, verdicts, images, heatmaps, count)
    kept = list(dict.fromkeys(name for card in cards for name, value in card.values if value))
    return _render(
        result=result,
        place=place_of(result.dataset, result.split),
        metric=main_metric(items),
        sortable=kept,
        tables=_tables(result),
        compared=len(_compared(result)),
        beside=_controls(result, controls),
        beaten=_beaten(result, controls),
        coverage=coverage(result),
        notes=[
            *clusters_line(result, "questions"),
            *(text for text in (remarks(result.details), usage(result.details)) if text),
            *reasons({"all": result.metrics, **result.labels}),
        ],
        details=details(result.details),
        measured=[(key, clean(str(value))) for key, value in result.measured.items()],
        cards=cards,
        regions=sorted({card.region for card in cards}),
        judged=any(card.verdict for card in cards),
        total=len(answers),
        frames=len(set(answers.frame.tolist())),
    )


def _render(**values: Any) -> str:
    """The page of these values, ending in a newline."""
    from markupsafe import Markup

    # The board's looks, and on top what a board does not have.
    shared = resources.files(board.__package__ or "").joinpath(board.STYLE).read_text("utf-8")
    own, script = (resources.files(__package__).joinpath(name).read_text("utf-8") for name in (STYLE, SCRIPT))
    style, script = compact(shared + own), compact(script)
    environment = templates(__package__)
    environment.filters["named"] = lambda metric: clean(title(metric))
    environment.filters["clean"] = clean
    page = environment.get_template(TEMPLATE).render(
        style=Markup(style), script=Markup(script), policy=policy(style, script), version=__version__, **values
    )
    return page.rstrip() + "\n"


def _cell(score: Score | None) -> Cell:
    if score is None or (score.value is None and score.n_real + score.n_fake == 0 and score.reason in UNTOLD):
        return Cell("–")
    return Cell(shown(score), clean(score.reason or "") if score.value is None else "")


def _count(scores: Mapping[str, Score]) -> str:
    """Real and fake questions of the metric that stands on the most."""
    most = max(scores.values(), key=lambda score: score.n_real + score.n_fake, default=None)
    return f"{most.n_real}+{most.n_fake} questions" if most else ""


def _tables(result: Result) -> list[Table]:
    """Every metric of all, of real and of fake questions; the main ones by region and by manipulation."""
    groups = {"all": result.metrics, **result.labels}
    rows = tuple(
        (read_title(n, result), "", tuple(_cell(scores.get(n)) for scores in groups.values())) for n in result.metrics
    )
    heads = tuple(f"{name}, {_count(scores)}" for name, scores in groups.items())
    tables = [Table("Metric", heads, rows)]
    for what, found in (("Region", result.regions), ("Manipulation", result.methods)):
        names = [n for n in headlines(result) if any(n in s and s[n].value is not None for s in found.values())]
        rows = tuple((clean(key), _count(s), tuple(_cell(s.get(name)) for name in names)) for key, s in found.items())
        if len(found) > 1 and names:
            tables.append(Table(what, tuple(map(title, names)), rows))
    return tables


def reaches(control: Score | None, own: Score | None, metric: str, result: Result | None = None) -> bool:
    """Whether a control's value is as good as the explainer's own or better; not where either has none.

    `result` describes a metric of the user's.
    """
    if control is None or own is None or control.value is None or own.value is None:
        return False
    known = result.about(metric) if result is not None else metric_of(metric)
    return control.value <= own.value if known.lower_is_better else control.value >= own.value


def earned(control: str, metric: str, group: str = "all") -> bool:
    """Whether a control's value says something.

    Its verdicts do not where the control is given the label or a verdict, nor on real or fake questions alone, where
    one word for all is always right; the rate of answers without a verdict never does.
    """
    if metric not in metrics_of("verdicts"):
        return True
    given = control in CONTROLS and CONTROLS[control].needs != "nothing"
    return metric != "verdict_none_rate" and not given and group == "all"


def _compared(result: Result) -> list[str]:
    """The metrics that controls are held against: those with a value, BLEU-1 to -4 only where their mean is not one."""
    found = [name for name, score in result.metrics.items() if score.value is not None]
    return [name for name in found if "bleu" not in found or name not in PARTS_OF_BLEU]


def _controls(result: Result, controls: Sequence[tuple[str, Result]]) -> list[Table]:
    """The explainer's values and below them each control's, for all questions and for real and fake apart."""
    names = _compared(result)
    tables = []
    for group in ("all", *result.labels) if controls and names else ():
        own = _of(result, group)
        rows = [(clean(result.detector), "this explainer", tuple(_cell(own.get(name)) for name in names))]
        for control, other in controls:
            theirs = _of(other, group)
            cells = tuple(
                replace(
                    _cell(theirs.get(n)),
                    beats=earned(control, n, group) and reaches(theirs.get(n), own.get(n), n, result),
                )
                for n in names
            )
            rows.append((clean(control), _told(control), cells))
        tables.append(Table(f"{group} questions", tuple(map(title, names)), tuple(rows)))
    return tables


def _of(result: Result, group: str) -> Mapping[str, Score]:
    return result.metrics if group == "all" else result.labels.get(group, {})


def _told(control: str) -> str:
    """What a control answers, where it is one of `controls.CONTROLS`."""
    return CONTROLS[control].description if control in CONTROLS else ""


def _beaten(result: Result, controls: Sequence[tuple[str, Result]]) -> list[tuple[str, str, list[str]]]:
    """Controls that do as well as the explainer or better over all questions: what each is given, and in which
    metrics."""
    given = {"label": "given the true label", "verdict": "given a detector’s verdict"}
    found = []
    for name, other in controls:
        metrics = [
            title(n)
            for n in _compared(result)
            if earned(name, n) and reaches(other.metrics.get(n), result.metrics[n], n, result)
        ]
        if metrics:
            found.append((clean(name), given.get(CONTROLS[name].needs, "") if name in CONTROLS else "", metrics))
    return found


def _cards(
    answers: Answers,
    items: Mapping[str, Floats],
    verdicts: Sequence[str],
    images: Callable[[str], Image | None],
    heatmaps: Callable[[str], Heat | None],
    count: int,
) -> list[AnswerCard]:
    pictures: dict[str, tuple[Picture | None, Picture | None]] = {}

    def seen(frame: str) -> tuple[Picture | None, Picture | None]:
        if frame not in pictures:
            image = images(frame)
            heat = None if image is None else heatmaps(frame)
            over = None if image is None or heat is None else data_uri(overlay(image, *heat))
            pictures[frame] = (None if image is None else data_uri(image), over)
        return pictures[frame]

    cards = []
    for i, groups in selected(answers, items, verdicts, count).items():
        picture, heat = seen(answers.frame[i])
        values = tuple((name, "" if np.isnan(own[i]) else f"{own[i]:.3f}") for name, own in items.items())
        cards.append(
            AnswerCard(
                order=i,
                id=clean(answers.question[i]),
                frame=clean(answers.frame[i]),
                method=clean(answers.method[i]),
                kind=clean(answers.kind[i]),
                region=clean(answers.region[i]),
                label="fake" if answers.label[i] == FAKE else "real",
                asked=passage(answers.asked[i]),
                answer=passage(answers.text[i]),
                status=answers.status[i],
                message=passage(answers.message[i]),
                references=tuple(map(passage, answers.references[i])),
                score="" if np.isnan(answers.score[i]) else f"{answers.score[i]:.3f}",
                verdict=verdict_word(answers, verdicts, i),
                said=verdicts[i],
                groups=tuple(groups),
                values=values,
                picture=picture,
                heat=heat,
            )
        )
    return cards
