"""Registry of metrics: each metric's name, title, direction, range and computation.

This package's metrics are in `builtin`. A user's metric comes from `register_metric`, from `file.py:NAME` on a protocol
card (see `load_metric`), or from an installed package's entry points (group `m2f2bench.metrics`), which are loaded when
a protocol names them.
"""

from __future__ import annotations

import inspect
import math
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, overload

from ..cards.protocols import METRIC_NAME, METRIC_TITLE, MetricNote
from ..cards.registry import entry_points, module_from_file
from ..core.errors import RegistryError, ScoreError, first_line, near
from ..core.guests import guest
from ..core.identity import identify_call
from ..core.sources import Unidentified
from .names import AT_HALF

if TYPE_CHECKING:
    from collections.abc import Mapping

ENTRY_POINTS = "m2f2bench.metrics"
DELONG: Literal["DeLong"] = "DeLong"
MCNEMAR: Literal["McNemar"] = "McNemar"
INPUTS = {
    "scores": ("label", "score", "weight", "threshold"),
    "answers": ("text", "references", "label", "region", "method"),
    "maps": (),
}
"""What `Metric.compute` may take, by what the metric is of."""


@dataclass(frozen=True, eq=False)
class Metric:
    """One metric: what is known of it wherever it is computed, compared, ranked, drawn or checked.

    `better` is the direction; there is no default, since a wrong one ranks the worst detector first. `range` holds all
    values (an end may be infinite), `chance` is what guessing reaches where that does not depend on the data. `needs`
    says which classes must be there: `both`, at least one `fake`, or `any`. A `headline` stands in tables of everything
    and is checked by `m2f2bench check`.

    `of` is what the metric measures, and `compute` a function that takes these by name:

    - `scores` of N frames or videos: `label` int64 [N] (0 real, 1 fake) and `score` float64 [N]; if it takes `weight`,
      float64 [N], that is how often each unit counts (resamples are weights; without it units come repeated); if it
      takes `threshold`, float, the metric is a decision: a score of at least the threshold is called fake. It returns a
      float, NaN where it is not defined.
    - `answers`: one answer's value, of `text`, `references` (a tuple of texts), `label`, `region`, `method`; the metric
      is the mean over the answers that are compared with references.

    `fast` takes the place of `compute` for those who want speed: of scores a function of `detection.values.Tally`
    (counts under B weightings) that returns float64 [B] (with `decision=True` if it uses the decisions), of answers a
    function of (`Answers` [N], bool [N] which of them count) that returns a `stats.statistic.Statistic`.

    `trials` says how many independent trials stand behind a value at an end of the range (see `intervals.trials`);
    empty where nothing is known of that, so that there is no interval if all resamples agree there. The other fields
    are for metrics of this package: `test`, a test or interval of its own; `biased`, resampling shifts it;
    `fewest_reals`, that it takes to mean what it says; `undefined`, why it has no value; `part`, which answers it is
    measured on; `reader`, whose errors it has; `shuffled`, image dependence is told of it; `code`, the identity of a
    metric that a result only describes.
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
    biased: bool = False
    fewest_reals: int = 0
    undefined: str = ""
    part: Literal["texts", "verdicts", "regions"] = "texts"
    reader: Literal["", "verdict", "region"] = ""
    shuffled: bool = False
    code: str = ""

    def __post_init__(self) -> None:
        """Raise RegistryError, in one line, for what cannot be of a metric."""
        if not isinstance(self.name, str) or not re.fullmatch(METRIC_NAME, self.name):
            raise RegistryError(f"a metric's name is a word of letters, digits and '_', not {self.name!r:.60}")
        if not self.title:
            object.__setattr__(self, "title", self.name)
        low, high = self.range if isinstance(self.range, tuple) and len(self.range) == 2 else (1.0, 0.0)
        choices = {"better": ("higher", "lower"), "of": tuple(INPUTS), "needs": ("both", "fake", "any")}
        for key, known in choices.items():
            if getattr(self, key) not in known:
                self._refuse(f"{key} is {' or '.join(map(repr, known))}, not {getattr(self, key)!r:.60}")
        if not re.fullmatch(METRIC_TITLE, self.title):
            self._refuse(f"its title {self.title!r:.80} has other characters than letters, digits and .,%()/+-≤≥")
        if not low < high:
            self._refuse(f"its range {self.range!r:.60} is not a pair (lowest, highest)")
        if self.chance is not None and not low <= self.chance <= high:
            self._refuse(f"its chance level {self.chance!r:.60} is not in its range")
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
        """Those of INPUTS that `compute` takes. Raises RegistryError for a parameter that is none of them."""
        assert self.compute is not None
        known, found = INPUTS[self.of], []
        try:
            parameters = inspect.signature(self.compute).parameters.values()
        except (TypeError, ValueError):
            self._refuse(f"compute is no function whose parameters can be read: it is {self.compute!r:.60}")
        for one in parameters:
            if one.name in known and one.kind is not one.POSITIONAL_ONLY:
                found.append(one.name)
            elif one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
                self._refuse(f"compute takes '{one.name}'; what it can take, by name, is {', '.join(known)}")
        return tuple(found)

    @property
    def lower_is_better(self) -> bool:
        """Whether the lower of two values is the better one."""
        return self.better == "lower"

    @property
    def worse(self) -> float:
        """The sign of a difference that is for the worse: 1 where lower is better, else -1."""
        return 1.0 if self.lower_is_better else -1.0

    @property
    def low(self) -> float:
        """The lowest value."""
        return self.range[0]

    @property
    def high(self) -> float:
        """The highest value."""
        return self.range[1]

    @property
    def best(self) -> float:
        """The better end of the range; it may be infinite."""
        return self.low if self.lower_is_better else self.high

    @cached_property
    def identity(self) -> str:
        """16 hex digits over the code of a user's metric and its fields. Raises ScoreError for what has no identity."""
        if self.code:
            return self.code
        fields = (self.name, self.better, self.title, self.range, self.chance, self.of, self.needs, self.decision)
        try:
            return identify_call([one for one in (self.compute, self.fast) if one is not None], *fields, self.trials)
        except Unidentified as error:
            raise ScoreError(f"metric '{self.name}' cannot be told apart from another: {error}") from None

    @property
    def note(self) -> MetricNote:
        """What a result says of a user's metric."""
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
    """Return a metric that a result describes; it cannot be computed."""
    low, high = -math.inf if note.low is None else note.low, math.inf if note.high is None else note.high
    known = note.model_dump(include={"title", "better", "chance", "decision", "headline", "code"})
    return Metric(name, range=(low, high), **known)


_REGISTERED: dict[str, Metric] = {}


@cache
def builtin() -> Mapping[str, Metric]:
    """Return this package's own metrics by name, in the order in which tables have them."""
    from .builtin import BUILTIN

    return {metric.name: metric for metric in BUILTIN}


@overload
def register_metric(metric: Metric) -> Metric: ...


@overload
def register_metric(
    metric: str, *, better: Literal["higher", "lower"], **fields: Any
) -> Callable[[Callable[..., float]], Metric]: ...


def register_metric(metric: Metric | str, **fields: Any) -> Metric | Callable[[Callable[..., float]], Metric]:
    """Make a metric known by its name: `register_metric(Metric(...))`, or as a decorator of its `compute`.

        @m2f2bench.register_metric("cost", better="lower", range=(0, 10))
        def cost(label, score, threshold): ...

    `fields` are those of `Metric`. Raises RegistryError for a second metric of one name, and for one without a
    direction or a computation.
    """
    if isinstance(metric, Metric):
        return _add(metric)
    if "better" not in fields:
        raise RegistryError(f"metric '{metric}': say which direction is better, better='higher' or better='lower'")
    name = metric
    return lambda compute: _add(Metric(name, compute=compute, **fields))


def _add(metric: Metric) -> Metric:
    if metric.compute is None and metric.fast is None:
        raise RegistryError(f"metric '{metric.name}' has no computation: give compute=FUNCTION")
    if metric.name in builtin():
        raise RegistryError(f"metric name '{metric.name}' is one of m2f2bench's own: call yours something else")
    held = _REGISTERED.get(metric.name)
    if held is not None and not _executed_again(held, metric) and held.identity != metric.identity:
        raise _collision(metric.name, _origin(held), _origin(metric))
    _REGISTERED[metric.name] = metric
    return metric


def _executed_again(held: Metric, metric: Metric) -> bool:
    """Whether a metric takes the place of one that its module had when it was executed before."""
    module = _origin(metric).partition(":")[0]
    if _origin(held).partition(":")[0] != module:
        return False
    names = vars(sys.modules.get(module, math))
    return _origin(held) == _origin(metric) or all(value is not held for value in names.values())


def _origin(metric: Metric) -> str:
    function = metric.compute or metric.fast
    owner: Any = function if hasattr(function, "__qualname__") else type(function)
    return f"{owner.__module__}:{owner.__qualname__}"


def _collision(name: str, first: str, second: str) -> RegistryError:
    return RegistryError(f"metric name '{name}' is taken twice, by {first} and by {second}: rename one of them")


@cache
def _of_package(name: str) -> Metric | None:
    """The metric of an entry point, loaded now. Raises RegistryError in one line."""
    entries = [entry for entry in entry_points(ENTRY_POINTS) if entry.name == name]
    if len(entries) > 1:
        raise _collision(name, entries[0].value, entries[1].value)
    if not entries:
        return None
    try:
        with guest(f"metric '{name}'"):
            found = entries[0].load()
    except Exception as error:
        raise RegistryError(f"metric '{name}' ({entries[0].value}) cannot be loaded: {first_line(error)}") from error
    if not isinstance(found, Metric) or found.name != name:
        what = f"the metric '{found.name}'" if isinstance(found, Metric) else f"of type {type(found).__name__}"
        raise RegistryError(f"entry point '{name}' ({entries[0].value}) must be the Metric of that name, and is {what}")
    return found


def load_metric(reference: str, folder: Path | None = None) -> Metric:
    """Execute the file of `file.py:NAME` (relative to `folder`), and register and return its metric NAME.

    Raises RegistryError in one line.
    """
    path, _, attribute = reference.rpartition(":")
    module = module_from_file(f"{(folder or Path.cwd()) / Path(path).expanduser()}:{attribute}", "metric")
    found = getattr(module, attribute, None)
    if not isinstance(found, Metric):
        names = [name for name, value in vars(module).items() if isinstance(value, Metric)]
        if callable(found):
            raise RegistryError(
                f"metric '{reference}' is a plain function: put "
                f"@m2f2bench.register_metric('{attribute}', better='higher' or 'lower') above it"
            )
        raise RegistryError(f"metric '{reference}': no metric '{attribute}' in '{path}'{near(attribute, names)}")
    return register_metric(found)


def metric_names() -> list[str]:
    """Return all known names; nothing is imported for it but this package's own metrics."""
    return [*builtin(), *sorted({*_REGISTERED, *(entry.name for entry in entry_points(ENTRY_POINTS))} - {*builtin()})]


def metric_of(name: str) -> Metric:
    """Return the metric of a name, which may end in `@0.5`. Raises ScoreError for an unknown one."""
    found = known_metric(name)
    if found is None:
        hint = near(name, metric_names())
        own = "; if it is your own, give the file with its code (on a card or as --metric FILE.py:NAME)"
        raise ScoreError(f"unknown metric '{name}'{hint if 'did you mean' in hint else own}")
    return found


def known_metric(name: str) -> Metric | None:
    """Return the metric of a name, None for an unknown one. Raises RegistryError for a plugin that cannot be loaded."""
    plain = name.removesuffix(AT_HALF)
    if plain in builtin():
        return builtin()[plain]
    packaged, own = _of_package(plain), _REGISTERED.get(plain)
    if packaged is not None and own is not None and packaged.identity != own.identity:
        raise _collision(plain, _origin(packaged), _origin(own))
    return own or packaged


def notes(names: Iterable[str]) -> dict[str, MetricNote]:
    """Return what a protocol card says of those metrics that are registered here and not of this package."""
    found = {name: known_metric(name) for name in names if name not in builtin()}  # not `accuracy@0.5` either
    return {name: metric.note for name, metric in found.items() if metric is not None and metric.name == name}


def metrics_of(part: str) -> tuple[str, ...]:
    """Return the names of this package's metrics of answers that are measured on `texts`, `verdicts` or `regions`."""
    return tuple(name for name, one in builtin().items() if one.of == "answers" and one.part == part)


def at_threshold(name: str, metric: Metric | None = None) -> bool:
    """Whether a metric is of decisions at the protocol's own threshold; not where its name ends in `@0.5`."""
    found = metric or known_metric(name)
    return found is not None and found.decision and not name.endswith(AT_HALF)


def title(name: str, metric: Metric | None = None) -> str:
    """Return a metric's name as it is printed; an unknown one is printed as it is."""
    found = metric or known_metric(name)
    plain = name.removesuffix(AT_HALF)
    return (found.title if found else plain) + (" at 0.5" if name != plain else "")


def lower_is_better(name: str) -> bool:
    """Whether the lower of two values of a metric is the better one. Raises ScoreError for an unknown metric."""
    return metric_of(name).lower_is_better


def worse(name: str) -> float:
    """Return the sign of a difference that is for the worse, see `Metric.worse`. Raises ScoreError."""
    return metric_of(name).worse
