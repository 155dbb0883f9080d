"""CIDEr with document frequencies that are fixed, or computed again for every group and every resample.

With h and r the counts of an n-gram in an answer and in a reference, and idf = log N - log max(1, df) for N items of
which df have it in a reference, the similarity of an answer and a reference is

    sum over n of  Σ min(h, r) r idf² / (√Σ h² idf² √Σ r² idf²)

since idf is never negative (Vedantam et al., CVPR 2015, with pycocoevalcap's clipping). Each of the three sums is a
sparse matrix times idf², so that any number of resamples are a few matrix products.

If every n-gram of the references is in all N of them, as for one item or for items with equal references, every idf is
0 and no answer can have more than 0, not even the reference itself: CIDEr is not defined then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from ...core.arrays import Bools, Codes, Floats
from ...stats.statistic import Statistic, mean_of, ratio
from . import java
from .items import Items

LONGEST = 4
"""Words of the longest n-gram."""
SIGMA = 6.0
"""Standard deviation of the length penalty, in words less one."""
SCALE = 10.0
ENDS = (0.0, SCALE)
UNDEFINED = (
    "CIDEr is not defined where all references have the same words, as of one question: every idf = log N - log df is 0"
)
MEMORY = 128 << 20
"""Most bytes of one thread's arrays in total."""
Grams = Mapping[tuple[str, ...], int]


@dataclass(frozen=True, eq=False)
class Table:
    """N-grams of distinct pairs of an answer and one reference, P of them, and of distinct tuples of references, R.

    Sparse: `common` [4P, V], Σ min(h, r) r of a pair by order; `answer` and `reference` [4P, V], its squared counts;
    `documents` [R, V], 1 if any of the references has the n-gram. `penalty` [P] is the length penalty. `shares` [N, P]
    is 1 / (number of references) for each of an item's pairs, `sets` [N, R] its tuple of references; an item without
    references has zeros.
    """

    common: Any
    answer: Any
    reference: Any
    documents: Any
    penalty: Floats
    shares: Any
    sets: Any

    def restricted(self, used: Bools) -> Table:
        """Return the table of only the items where `used` [N], without what none of them needs."""
        shares, sets = self.shares[used], self.sets[used]
        pairs = np.flatnonzero(shares.sum(axis=0))
        rows = (LONGEST * pairs[:, None] + np.arange(LONGEST)).ravel()
        kept = np.flatnonzero(sets.sum(axis=0))
        answer, reference, documents = self.answer[rows], self.reference[rows], self.documents[kept]
        met = np.zeros(answer.shape[1], dtype=bool)
        met[answer.indices] = met[reference.indices] = True
        grams = np.flatnonzero(met)
        return Table(
            self.common[rows][:, grams],
            answer[:, grams],
            reference[:, grams],
            documents[:, grams],
            self.penalty[pairs],
            shares[:, pairs],
            sets[:, kept],
        )

    def likeness(self, frequency: Floats, size: Floats) -> Floats:
        """Return each pair's CIDEr, [P, B], with document frequencies [V, B] among `size` items [B] (all ≥ 1).

        NaN where it is not defined: every n-gram that is in any reference is in the references of all items.
        """
        defined = ((frequency > 0.0) & (frequency < size)).any(axis=0)
        idf2 = np.log(np.maximum(frequency, 1.0, out=frequency), out=frequency)
        np.subtract(np.log(size), idf2, out=idf2)
        np.square(idf2, out=idf2)
        below = np.sqrt(self.answer @ idf2)
        below *= np.sqrt(self.reference @ idf2)
        above = self.common @ idf2
        np.divide(above, below, out=above, where=below != 0.0)
        by_pair = above.reshape(-1, LONGEST, above.shape[1]).mean(axis=1)
        return np.asarray(np.where(defined, by_pair * (SCALE * self.penalty)[:, None], np.nan))


def make_table(items: Items) -> Table:
    """Count all n-grams once, with pycocoevalcap's own function."""
    pairs: dict[tuple[str, str], int] = {}
    sets: dict[tuple[str, ...], int] = {}
    shares, own = [], []
    for text, references in items.pairs:
        of = Counter(pairs.setdefault((text, one), len(pairs)) for one in references)
        shares.append({pair: count / len(references) for pair, count in of.items()})
        own.append({sets.setdefault(references, len(sets)): 1.0})
    texts = {text: place for place, text in enumerate(dict.fromkeys(text for pair in pairs for text in pair))}
    counted = _counted(list(texts))
    places = np.array([[texts[text], texts[one]] for text, one in pairs], dtype=np.int64).reshape(-1, 2)
    answer, reference = (counted[_orders(which)] for which in places.T)
    common = answer.minimum(reference).multiply(reference).tocsr()
    for squared in (answer, reference):
        squared.data **= 2
    return Table(
        common,
        answer,
        reference,
        _documents(counted, [[texts[one] for one in references] for references in sets]),
        _penalties(counted, places),
        _sparse([shares[which] if which >= 0 else {} for which in items.which], len(pairs)),
        _sparse([own[which] if which >= 0 else {} for which in items.which], len(sets)),
    )


@lru_cache(maxsize=8192)
def _grams(text: str) -> Grams:
    """Return a text's n-grams, once for all explainers of a run and for all their shuffles."""
    found: Grams = java.counting("cider.cider_scorer").precook(text, LONGEST)
    return found


def _counted(texts: Sequence[str]) -> Any:
    """Return the counts of each text's n-grams as a sparse matrix with a row for each order of each text, [4T, V]."""
    from scipy.sparse import csr_array

    numbers: dict[tuple[str, ...], int] = {}
    rows, columns, counts = [], [], []
    for place, text in enumerate(texts):
        for gram, count in _grams(text).items():
            rows.append(LONGEST * place + len(gram) - 1)
            columns.append(numbers.setdefault(gram, len(numbers)))
            counts.append(float(count))
    shape = LONGEST * len(texts), len(numbers)
    found = csr_array((counts, (rows, columns)), shape=shape, dtype=np.float64)
    found.sort_indices()
    return found


def _orders(places: Codes) -> Codes:
    """Return the rows of texts' orders, [4T], of texts' numbers [T]."""
    return (LONGEST * places[:, None] + np.arange(LONGEST)).ravel()


def _documents(counted: Any, sets: Sequence[Sequence[int]]) -> Any:
    """Return which n-grams are in any text of each set of texts' numbers, 1 or none, [R, V]."""
    members = _sparse([{int(row): 1.0 for row in _orders(np.array(one, np.int64))} for one in sets], counted.shape[0])
    found = members @ counted
    found.sort_indices()
    found.data[:] = 1.0
    return found


def _penalties(counted: Any, places: Codes) -> Floats:
    """Return the length penalty of pairs of texts [P, 2]; a text's length is, as in pycocoevalcap, that of its
    bigrams.
    """
    lengths = np.asarray(counted.sum(axis=1))[1::LONGEST]
    apart = (lengths[places[:, 0]] - lengths[places[:, 1]]).tolist()
    known = {one: float(np.exp(-(one**2) / (2 * SIGMA**2))) for one in set(apart)}
    return np.array([known[one] for one in apart], dtype=np.float64)


def _sparse(rows: list[dict[int, float]], width: int) -> Any:
    from scipy.sparse import csr_array

    ends = np.cumsum([0, *(len(row) for row in rows)])
    columns = np.array([column for row in rows for column in sorted(row)], dtype=np.int64)
    values = np.array([row[column] for row in rows for column in sorted(row)], dtype=np.float64)
    return csr_array((values, columns, ends), shape=(len(rows), width))


def cider_values(table: Table) -> Floats:
    """Return each item's CIDEr, [N] ≥ 0, with the document frequencies of all items' references.

    NaN without references, and for all items if it is not defined.
    """
    has = _has_references(table)
    if not has.any():
        return np.full(len(has), np.nan)
    frequency = (table.documents.T @ table.sets.sum(axis=0))[:, None]
    found = table.shares @ table.likeness(frequency, np.array([float(has.sum())]))
    return np.where(has, found[:, 0], np.nan)


def fixed_cider(table: Table, values: Floats) -> Statistic:
    """Return the mean of the items' CIDEr (see `cider_values`), for any group or resample."""
    return replace(mean_of(values, ENDS), has=_has_references(table), undefined=UNDEFINED)


def _has_references(table: Table) -> Bools:
    """Return whether each item has references, bool [N]."""
    return np.asarray(np.diff(table.sets.indptr) > 0)


class RecomputedCider(Statistic):
    """CIDEr of any group and resample as pycocoevalcap computes it on exactly these items, including repetitions."""

    ends = ENDS
    undefined = UNDEFINED

    def __init__(self, table: Table) -> None:
        self.table = table
        self.has = _has_references(table)

    def over(self, kept: Bools, cluster: Codes, n_clusters: int) -> Callable[[Floats], Floats]:
        """Return the function of weights; see `Statistic.over`. Resamples are computed in parts, to bound memory."""
        from scipy.sparse import csr_array

        used = kept & self.has
        table = self.table.restricted(used)
        n = int(used.sum())
        member = csr_array((np.ones(n), (cluster[used], np.arange(n))), shape=(n_clusters, n))
        sizes = np.asarray(member.sum(axis=1))
        documents = (table.documents.T @ (member @ table.sets).T).tocsr()
        shares = (table.shares.T @ member.T).tocsr()
        elements = 3 * documents.shape[0] + (3 * LONGEST + 2) * len(table.penalty)

        def piece(weights: Floats) -> Floats:
            size = sizes @ weights
            likeness = table.likeness(documents @ weights, np.maximum(size, 1.0))
            total = np.einsum("pb,pb->b", shares @ weights, likeness)
            return ratio(total, size)

        def values(weights: Floats) -> Floats:
            width = max(1, MEMORY // (8 * max(elements, 1)))
            starts = range(0, weights.shape[1], width)
            return np.concatenate([piece(weights[:, start : start + width]) for start in starts])

        return values
