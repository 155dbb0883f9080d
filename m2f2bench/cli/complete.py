"""Names that the shell completes: those of cards, of kinds, of metrics. Only the cards' file names are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..cards.folders import KINDS, iter_cards

FIGURES = ("roc", "pr", "reliability", "histogram", "methods", "ranks", "curves")
FORMATS = ("md", "csv", "tex", "html", "json")
Completer = Callable[[str], list[str]]


def words(known: Iterable[str]) -> Completer:
    """Return a function that completes one of these words."""
    return lambda incomplete: [word for word in known if word.startswith(incomplete)]


def cards(kind: str) -> Completer:
    """Return a function that completes the name of a card of a kind, by the kind's folder."""

    def complete(incomplete: str) -> list[str]:
        return sorted(path.stem for path in iter_cards(kind) if path.stem.startswith(incomplete))

    return complete


def any_card(incomplete: str) -> list[str]:
    """Complete the name of a card of any kind."""
    return sorted({name for kind in (*KINDS, "datasets/crops") for name in cards(kind)(incomplete)})


def metrics(incomplete: str) -> list[str]:
    """Complete the name of a metric."""
    from ..metrics.registry import metric_names

    return words(metric_names())(incomplete)


detectors, datasets, protocols, boards = map(cards, KINDS)
