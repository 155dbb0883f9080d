"""People and videos that two datasets share by name, where their corpora are the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from ..cards.models import DatasetCard
from ..core.records import Frame

Person = tuple[str, str]
"""A corpus, in lower case, and a name in it."""


@dataclass(frozen=True)
class Names:
    """People and videos of a dataset's splits, from its frames and its card.

    `people` and `videos` have a set for each split; `called` has each corpus as it is written. `unnamed` counts frames
    without people.
    """

    card: DatasetCard
    people: dict[str, set[Person]]
    videos: dict[str, set[str]]
    called: dict[str, str]
    unnamed: int
    frames: int

    @property
    def corpora(self) -> dict[str, str]:
        """The corpora that its card names, in lower case, with each as it is written."""
        return {name.casefold(): name for name in (self.card.corpus, *self.card.people)}

    def has_people_of(self, corpus: str) -> bool:
        """Return whether any identity is of a corpus, given in lower case."""
        return any(own == corpus for people in self.people.values() for own, _ in people)


def names_of(card: DatasetCard, listed: Mapping[str, Iterable[Frame]], known: Mapping[str, str]) -> Names:
    """Return the people and videos of a dataset; `known` are the corpora of all datasets, see `Names.corpora`.

    `CORPUS:NAME` is a person of that corpus if it is one of `known`; any other identity is of the dataset's own.
    """
    own = card.corpus.casefold()
    people: dict[str, set[Person]] = {}
    videos: dict[str, set[str]] = {}
    unnamed = frames = 0
    cache: dict[str, Person] = {}
    for split, here in listed.items():
        found, clips = people.setdefault(split, set()), videos.setdefault(split, set())
        for frame in here:
            frames += 1
            unnamed += not frame.identities
            for name in frame.identities:
                if name not in cache:
                    corpus, colon, bare = name.partition(":")
                    qualified = bool(colon) and corpus.casefold() in known
                    cache[name] = (corpus.casefold(), bare) if qualified else (own, name)
                found.add(cache[name])
            own_name = frame.video.startswith(f"{frame.method}/")
            clips.add(frame.video if own_name else f"{frame.method}/{frame.video}")
    return Names(card, people, videos, {**known}, unnamed, frames)


@dataclass(frozen=True)
class Common:
    """What a split of one dataset has in common, by name, with a split of another."""

    splits: tuple[str, str]
    people: set[Person] = field(default_factory=set)
    videos: set[str] = field(default_factory=set)


def common(one: Names, other: Names) -> list[Common]:
    """Return what each pair of splits has in common. Videos are compared only within one corpus.

    The same name in one corpus is the same source, at another compression or cropped in another way.
    """
    same = one.card.corpus.casefold() == other.card.corpus.casefold()
    return [
        Common((a, b), one.people[a] & other.people[b], one.videos[a] & other.videos[b] if same else set())
        for a, b in product(one.people, other.people)
    ]


def uncounted(one: Names, other: Names) -> list[tuple[str, list[str]]]:
    """Return the corpora that both cards name, each with the datasets in which no identity names its people."""
    found = []
    for corpus, name in one.corpora.items():
        if corpus in other.corpora:
            silent = [names.card.name for names in (one, other) if not names.has_people_of(corpus)]
            if silent:
                found.append((name, silent))
    return found


def by_corpus(people: Iterable[Person], called: Mapping[str, str], shown: int) -> str:
    """Return `FaceForensics++: 033, 097 and 10 more; Celeb-DF: id0`, at most `shown` names of each corpus."""
    groups: dict[str, list[str]] = {}
    for corpus, name in sorted(people):
        groups.setdefault(corpus, []).append(name)
    return "; ".join(f"{called.get(corpus, corpus)}: {few(names, shown)}" for corpus, names in groups.items())


def few(names: Sequence[str], shown: int) -> str:
    """Return `a, b, c and 4 more`."""
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def full_names(people: Iterable[Person], called: Mapping[str, str], most: int) -> list[str]:
    """Return the first `most` people in order, each as `CORPUS:NAME`."""
    return [f"{called.get(corpus, corpus)}:{name}" for corpus, name in sorted(people)[:most]]
