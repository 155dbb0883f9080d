"""Names that the shell completes: those of cards, of kinds, of metrics. Only the cards' file names are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..cards.folders import KINDS, iter_cards

FIGURES = ("roc", "pr", "reliability", "histogram", "methods", "multiverse", "ranks", "curves")
FORMATS = ("md", "csv", "tex", "html", "json")
Completer = Callable[[str], list[str]]


def words(known: Iterable[str]) -> Completer:
    """Return a function that completes one of these words."""
    return lambda incomplete: [word for word in known if word.startswith(incomplete)]


def cards(kind: str) -> Completer:
    """Return a function that completes the name of a card of a kind, by the kind's folder."""

    def complete(incomplete: str) -> list[str]:
        if kind == "datasets" and "@" in incomplete:
            return _chosen(incomplete)
        return sorted(path.stem for path in iter_cards(kind) if path.stem.startswith(incomplete))

    return complete


def _chosen(incomplete: str) -> list[str]:
    """Complete the last method of `CARD@METHOD+METHOD`; empty for an unknown card."""
    from ..core.errors import M2F2BenchError
    from ..core.records import ORIGINAL
    from ..loading import load_dataset

    start = incomplete[: max(incomplete.rfind("@"), incomplete.rfind("+")) + 1]
    try:
        known = load_dataset(incomplete.rpartition("@")[0]).adapter.choices()
    except M2F2BenchError:
        return []
    named = start.rpartition("@")[2].split("+")
    names = [f"{start}{one}" for one in known if one != ORIGINAL and one not in named]
    return sorted(name for name in names if name.startswith(incomplete))


def any_card(incomplete: str) -> list[str]:
    """Complete the name of a card of any kind."""
    return sorted({name for kind in (*KINDS, "datasets/crops") for name in cards(kind)(incomplete)})


def metrics(incomplete: str) -> list[str]:
    """Complete the name of a metric."""
    from ..metrics.registry import metric_names

    return words(metric_names())(incomplete)


detectors, datasets, protocols, boards = map(cards, KINDS)
