"""Registry of metrics: each metric's name, title, direction, range and computation.

This package's metrics are in `builtin`. User metrics come from `register_metric`, from `file.py:NAME` on a protocol
card (see `load_metric`), or from entry points of installed packages (group `m2f2bench.metrics`), which are loaded when
a protocol names them.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast, overload

from ..cards.protocols import MetricNote, check_metrics_with
from ..cards.registry import METRICS, entry_points, module_from_file
from ..core.errors import RegistryError, ScoreError, first_line, near
from ..core.guests import guest
from .metric import Metric
from .names import AT_HALF

_REGISTERED: dict[str, Metric] = {}


@cache
def builtin() -> Mapping[str, Metric]:
    """Return this package's metrics by name, in the order of the tables."""
    from .builtin import BUILTIN

    return {metric.name: metric for metric in BUILTIN}


@overload
def register_metric(metric: Metric) -> Metric: ...


@overload
def register_metric(
    metric: str, *, better: Literal["higher", "lower"], **fields: Any
) -> Callable[[Callable[..., float]], Metric]: ...


def register_metric(metric: Metric | str, **fields: Any) -> Metric | Callable[[Callable[..., float]], Metric]:
    """Register a metric by its name: `register_metric(Metric(...))`, or as a decorator of its `compute`.

        @m2f2bench.register_metric("cost", better="lower", range=(0, 10))
        def cost(label, score, threshold): ...

    `fields` are those of `Metric`. Raises RegistryError if the name is taken, or if the direction or the computation is
    missing.
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
    if metric.test:  # computed from the scores or decisions alone: right for this package's AUC and accuracy
        raise RegistryError(
            f"metric '{metric.name}': leave `test` out, it is for metrics that are built into m2f2bench"
        )
    if metric.name in builtin():
        raise RegistryError(f"metric name '{metric.name}' is built into m2f2bench: choose another name")
    held = _REGISTERED.get(metric.name)
    if held is not None and not _executed_again(held, metric) and held.identity != metric.identity:
        raise _collision(metric.name, _origin(held), _origin(metric))
    _REGISTERED[metric.name] = metric
    return metric


def _executed_again(held: Metric, metric: Metric) -> bool:
    """Return whether `metric` replaces `held` because their module was executed again."""
    module = _origin(metric).partition(":")[0]
    if _origin(held).partition(":")[0] != module:
        return False
    names = vars(sys.modules.get(module, math))
    return _origin(held) == _origin(metric) or all(value is not held for value in names.values())


def _origin(metric: Metric) -> str:
    function, bound = metric.compute or metric.fast, ""
    while isinstance(function, functools.partial):
        words = [*map(repr, function.args), *(f"{key}={value!r}" for key, value in function.keywords.items())]
        function, bound = function.func, f"({', '.join(words)}){bound}"
    owner: Any = function if hasattr(function, "__qualname__") else type(function)
    return f"{owner.__module__}:{owner.__qualname__}{bound}"


def _collision(name: str, first: str, second: str) -> RegistryError:
    return RegistryError(f"metric name '{name}' is taken twice, by {first} and by {second}: rename one of them")


@cache
def _of_package(name: str) -> Metric | None:
    """Return the metric of an entry point, loaded now; None if there is no such entry. Raises RegistryError."""
    entries = [entry for entry in entry_points(METRICS) if entry.name == name]
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
        raise RegistryError(f"entry point '{name}' ({entries[0].value}) must be the Metric of that name, not {what}")
    return found


def load_metric(reference: str, folder: Path | None = None) -> Metric:
    """Execute the file of `file.py:NAME` (relative to `folder`); register and return NAME. Raises RegistryError."""
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
    """Return all known names; imports only this package's metrics."""
    return [*builtin(), *sorted({*_REGISTERED, *(entry.name for entry in entry_points(METRICS))} - {*builtin()})]


def metric_of(name: str) -> Metric:
    """Return the metric of a name, which may end in `@0.5`. Raises ScoreError for an unknown name."""
    found = known_metric(name)
    if found is None:
        hint = near(name, metric_names())
        own = "; if it is your own, give the file with its code (on a card or as --metric FILE.py:NAME)"
        raise ScoreError(f"unknown metric '{name}'{hint if 'did you mean' in hint else own}")
    return found


def known_metric(name: str) -> Metric | None:
    """Return the metric of a name, None if it is unknown. Raises RegistryError if its plugin cannot be loaded."""
    plain = name.removesuffix(AT_HALF)
    if plain in builtin():
        return builtin()[plain]
    packaged, own = _of_package(plain), _REGISTERED.get(plain)
    if packaged is not None and own is not None and packaged.identity != own.identity:
        raise _collision(plain, _origin(packaged), _origin(own))
    return own or packaged


def notes(names: Iterable[str]) -> dict[str, MetricNote]:
    """Return the notes on user metrics among `names`, as a protocol card stores them."""
    found = {name: known_metric(name) for name in names if name not in builtin()}  # not `accuracy@0.5` either
    return {name: metric.note for name, metric in found.items() if metric is not None and metric.name == name}


def metrics_of(part: str) -> tuple[str, ...]:
    """Return the names of this package's metrics of answers for one part: `texts`, `verdicts` or `regions`."""
    return tuple(name for name, one in builtin().items() if one.of == "answers" and one.part == part)


def at_threshold(name: str, metric: Metric | None = None) -> bool:
    """Return whether a metric uses decisions at the protocol's threshold; false if its name ends in `@0.5`."""
    found = metric or known_metric(name)
    return found is not None and found.decision and not name.endswith(AT_HALF)


def title(name: str, metric: Metric | None = None) -> str:
    """Return a metric's printed title; an unknown name is printed unchanged."""
    found = metric or known_metric(name)
    plain = name.removesuffix(AT_HALF)
    return (found.title if found else plain) + (" at 0.5" if name != plain else "")


check_metrics_with(cast(Any, sys.modules[__name__]))
