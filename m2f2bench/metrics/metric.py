"""Metric: the properties of one metric, and how it is computed."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from ..cards.protocols import METRIC_NAME, METRIC_TITLE, MetricNote
from ..core.errors import RegistryError, ScoreError
from ..core.identity import identify_call
from ..core.sources import Unidentified
from .facts import FACTS

if TYPE_CHECKING:
    from ..core.arrays import Floats

DELONG: Literal["DeLong"] = "DeLong"
MCNEMAR: Literal["McNemar"] = "McNemar"
BEYOND = 1e-9
"""Tolerance for values outside the metric's range because of rounding."""
INPUTS = {
    "scores": ("label", "score", "weight", "threshold"),
    "answers": ("text", "references", "label", "region", "method"),
    "maps": (),
}
"""Parameters that `Metric.compute` may have, for each kind of data (`Metric.of`)."""


@dataclass(frozen=True, eq=False)
class Metric:
    """One metric, as it is computed, compared, ranked, plotted and checked.

    `better` is the direction; there is no default, since a wrong one ranks the worst detector first. `range` holds all
    values (an end may be infinite); `chance` is the value of guessing, if that does not depend on the data. `needs`
    says which classes must be present: `both`, at least one `fake`, or `any`. A `headline` metric is in the tables of
    all metrics and is checked by `m2f2bench check`.

    `of` is the data that the metric measures; `compute` is a function that takes these by name:

    - `scores` of N frames or videos: `label` int64 [N] (0 real, 1 fake) and `score` float64 [N]; optionally `weight`
      float64 [N], how often each unit counts (resamples are weights; without it, units are repeated), and `threshold`
      float, which makes it a decision metric: a score of at least the threshold is called fake. It returns a float,
      NaN if it is undefined.
    - `answers`: `text`, `references` (a tuple of texts), `label`, `region` and `method` of one answer. It returns a
      float; the metric is the mean over the answers that are compared with references.

    `fast` replaces `compute` for speed. For scores it takes a `detection.tally.Tally` (counts under B weightings) and
    returns float64 [B] (give `decision=True` if it uses the decisions); for answers it takes (`Answers` [N], bool [N]:
    which of them count) and returns a `stats.statistic.Statistic`.

    `trials` says how to count independent trials for a value at an end of the range (see `clusters.trials`); if empty,
    there is no interval there when all resamples agree. The other fields are for this package's metrics: `test`, its
    special test or interval; `biased`, how many times resampling
    shifts it are to be subtracted: twice if the value has the same bias; `calibrated`, it is said what a calibrated
    detector would read; `fewest_reals`, the reals it needs for its rate;
    `undefined`, the reason if it has no value; `part`, the answers it is measured on; `reader`, whose errors it
    contains; `shuffled`, image dependence is reported for it; `reads`, fields of a signature that
    touch it alone (see `untouched`); `code`, the identity of a metric that a result describes.
    """

    name: str
    _: KW_ONLY
    better: Literal["higher", "lower"]
    title: str = ""
    range: tuple[float, float] = (0.0, 1.0)
    chance: float | None = None
    of: Literal["scores", "answers", "maps"] = "scores"
    needs: Literal["both", "fake", "any"] = "both"
    headline: bool = True
    compute: Callable[..., float] | None = None
    fast: Callable[..., Any] | None = None
    decision: bool = False
    trials: Literal["", "clusters", "fakes", "halves", "called", "pairs"] = ""
    test: Literal["", "DeLong", "McNemar"] = ""
    biased: int = 0
    calibrated: bool = False
    fewest_reals: int = 0
    undefined: str = ""
    part: Literal["texts", "verdicts", "regions"] = "texts"
    reader: Literal["", "verdict", "region"] = ""
    shuffled: bool = False
    reads: tuple[str, ...] = ()
    code: str = ""

    def __post_init__(self) -> None:
        """Raise RegistryError for a wrong field."""
        if not isinstance(self.name, str) or not re.fullmatch(METRIC_NAME, self.name):
            raise RegistryError(f"a metric's name is a word of letters, digits and '_', not {self.name!r:.60}")
        if not self.title:
            object.__setattr__(self, "title", self.name)
        low, high = self.range if isinstance(self.range, tuple) and len(self.range) == 2 else (1.0, 0.0)
        choices = {"better": ("higher", "lower"), "of": tuple(INPUTS), "needs": ("both", "fake", "any")}
        choices["trials"] = ("", "clusters", "fakes", "halves", "called", "pairs")
        for key, known in choices.items():
            if getattr(self, key) not in known:
                self._refuse(f"{key} must be {' or '.join(map(repr, known))}, not {getattr(self, key)!r:.60}")
        if not re.fullmatch(METRIC_TITLE, self.title):
            self._refuse(f"its title {self.title!r:.80} may only have letters, digits, spaces and .,%()/+-≤≥")
        if not low < high:
            self._refuse(f"its range {self.range!r:.60} must be a pair (lowest, highest)")
        if self.chance is not None and not low <= self.chance <= high:
            self._refuse(f"its chance level {self.chance!r:.60} must be in its range")
        if self.compute is not None and "threshold" in self.inputs:
            object.__setattr__(self, "decision", True)

    def _refuse(self, why: str) -> NoReturn:
        raise RegistryError(f"metric '{self.name}': {why}")

    def __call__(self, *args: Any, **named: Any) -> float:
        """Call `compute`, so that a decorated function can still be called."""
        assert self.compute is not None
        return self.compute(*args, **named)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The INPUTS that `compute` takes. Raises RegistryError for any other required parameter."""
        assert self.compute is not None
        known, found = INPUTS[self.of], []
        try:
            parameters = inspect.signature(self.compute).parameters.values()
        except (TypeError, ValueError):
            self._refuse(f"compute must be a function with readable parameters, not {self.compute!r:.60}")
        for one in parameters:
            if one.name in known and one.kind is not one.POSITIONAL_ONLY:
                found.append(one.name)
            elif one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
                self._refuse(f"compute takes '{one.name}'; it can only take, by name: {', '.join(known)}")
        return tuple(found)

    @property
    def untouched(self) -> frozenset[str]:
        """Return the fields of a signature that never move this metric's values.

        No value depends on how intervals are computed (`ci`), and none but decisions on the threshold (`thr`); of a
        user's metric that is known only if its `compute` is all there is, and has no parameter `threshold`. Of
        answers, CIDEr's document frequencies and BERTScore's network are read by these metrics alone, and how verdicts
        are read and the manipulated regions by the metrics of that `part`, which compare no texts.
        """
        plain = self.name in FACTS or (self.compute is not None and self.fast is None)
        found = {"ci", "thr"} if plain and not self.decision else {"ci"}
        if self.of == "answers":
            of_parts = {"verdicts": {"verdict"}, "regions": {"altered"}, "texts": {"refs", "tok"}}
            found |= {"cider", "bert", *(key for part, keys in of_parts.items() if part != self.part for key in keys)}
        return frozenset(found - set(self.reads))

    @property
    def lower_is_better(self) -> bool:
        """Whether lower values are better."""
        return self.better == "lower"

    @property
    def worse(self) -> float:
        """Sign of a change for the worse: 1 if lower is better, otherwise -1."""
        return 1.0 if self.lower_is_better else -1.0

    @property
    def best(self) -> float:
        """Better end of the range; it may be infinite."""
        return self.range[0 if self.lower_is_better else 1]

    @cached_property
    def identity(self) -> str:
        """Hash (16 hex digits) of a user metric's code and all its fields.

        Raises ScoreError if its code has no identity.
        """
        if self.code:
            return self.code
        plain = [(one.name, getattr(self, one.name)) for one in fields(self) if one.name not in ("compute", "fast")]
        try:
            return identify_call([one for one in (self.compute, self.fast) if one is not None], *plain)
        except Unidentified as error:
            raise ScoreError(f"metric '{self.name}' cannot be identified: {error}") from None

    def check_range(self, values: Floats) -> None:
        """Raise ScoreError if one of the `values`, float64, is outside the range by more than rounding; NaN passes."""
        low, high = self.range
        if out := values[(values < low - BEYOND) | (values > high + BEYOND)].tolist():
            raise ScoreError(
                f"metric '{self.name}' is {out[0]:.6g}, which is not in its range [{low:g}, {high:g}]: "
                f"give it range=(lowest, highest)"
            )

    @property
    def note(self) -> MetricNote:
        """Description of a user's metric that a result stores."""
        low, high = (None if math.isinf(end) else end for end in self.range)
        return MetricNote(
            title=self.title,
            better=self.better,
            low=low,
            high=high,
            chance=self.chance,
            decision=self.decision,
            headline=self.headline,
            code=self.identity,
        )


def from_note(name: str, note: MetricNote) -> Metric:
    """Return the metric that a result describes; it cannot be computed."""
    low, high = -math.inf if note.low is None else note.low, math.inf if note.high is None else note.high
    known = note.model_dump(include={"title", "better", "chance", "decision", "headline", "code"})
    return Metric(name, range=(low, high), **known)
