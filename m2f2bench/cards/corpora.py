"""Corpora of people: what a detector was trained on, and whether a dataset has the same people, by what cards say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from .models import DatasetCard, DetectorCard, corpus_of, people_of

Domain = Literal["", "dataset", "corpus", "people"]
"""How a dataset relates to what a detector was trained on: the same dataset; another form of the same corpus; another
corpus with some of the same people; or, empty, nothing in common."""


@dataclass(frozen=True)
class Trained:
    """What a detector was trained on: datasets by name, their corpora, and other corpora whose people are in them."""

    datasets: tuple[str, ...]
    sources: tuple[str, ...] = ()
    people: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        datasets: Sequence[str],
        sources: Iterable[str] = (),
        people: Iterable[str] = (),
        corpus: Callable[[str], str] = corpus_of,
        others: Callable[[str], tuple[str, ...]] = people_of,
    ) -> Trained:
        """Return what is recorded, and what the cards of the datasets add; `corpus` and `others` look a card up."""
        found = [name for dataset in datasets for name in others(dataset)]
        corpora = dict.fromkeys([*map(str, sources), *map(corpus, datasets)])
        return cls(tuple(datasets), tuple(corpora), tuple(dict.fromkeys([*map(str, people), *found])))

    def common(self, dataset: str, source: str, people: Sequence[str] = ()) -> tuple[Domain, tuple[str, ...]]:
        """Return how a dataset with the corpus `source` and people of others relates, and the corpora in common.

        Corpora are called as the dataset calls them; case is ignored.
        """
        if dataset in self.datasets:
            return "dataset", (source,)
        own = {name.casefold() for name in self.sources}
        if source.casefold() in own:
            return "corpus", (source,)
        seen = own | {name.casefold() for name in self.people}
        shared = tuple(name for name in (source, *people) if name.casefold() in seen)
        return ("people", shared) if shared else ("", ())


def shared_line(detector: DetectorCard, dataset: DatasetCard) -> str:
    """Return a line that names the people whom a detector saw in another dataset; empty if it saw none of them.

    Empty too for the dataset that it was trained on itself: that its splits share no people is the audit's business.
    """
    names = detector.training_datasets
    trained = Trained.of(names, detector.training_sources, detector.training_people)
    domain, shared = trained.common(dataset.name, dataset.corpus, dataset.people)
    if domain in ("", "dataset"):
        return ""
    wanted = {name.casefold() for name in shared}
    from_cards = [name for name in names if wanted & {one.casefold() for one in (corpus_of(name), *people_of(name))}]
    seen = ", ".join(from_cards or names or trained.sources)
    return (
        f"detector {detector.name} was trained on {seen}, whose people are also in {dataset.name} ({', '.join(shared)})"
    )
