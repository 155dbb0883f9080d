"""An explainer's answers as a set: their dependence on the image, and their diversity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from ..core.arrays import Codes
from ..core.connected import factorize
from ..core.rows import Strings

_KINDS = {"within": 1, "across": 2}


def swaps(asked: Strings, frame: Strings, label: Codes, kind: Strings, seed: int, rounds: int) -> dict[str, Codes]:
    """Return, for each question, the index of the one whose answer replaces its own, int64 [rounds, N]; -1 if none.

    If an explainer always gives the same answer to a question about an image, the saved answers also hold its answer to
    the same question (`asked` text and `kind`) about another frame. `within` takes a frame with the same label,
    `across` one with the other label. The metrics of the swapped answers, divided by those of the true answers, are the
    share that is kept without the right image. An explainer that does not look at the image keeps everything in both;
    one that knows only the label keeps everything `within`. Questions that state the label (`released`) have no partner
    `across`: they are different for real and fake images.

    `asked`, `frame`, `kind` are strings [N], `label` int64 [N]. Each round is a random permutation, drawn with `seed`,
    of the questions that have a partner: `within`, each answer is used once in a round, unless one frame has more than
    half of a text's questions; `across`, the numbers of uses of a class's answers differ by at most one.
    """
    n = len(asked)
    out = {name: np.full((rounds, n), -1, dtype=np.int64) for name in _KINDS}
    groups: dict[tuple[str, str], list[int]] = {}
    for i in range(n):
        groups.setdefault((kind[i], asked[i]), []).append(i)
    for number, rows in enumerate(groups.values()):
        members = np.array(rows, dtype=np.int64)
        for name, code in _KINDS.items():
            rng = np.random.default_rng([seed, code, number])
            for turn in range(rounds):
                if name == "within":
                    for value in np.unique(label[members]):
                        same = members[label[members] == value]
                        out[name][turn, same] = _derange(same, frame, rng)
                else:
                    _across(members, label, rng, out[name][turn])
    return out


def _derange(rows: Codes, frame: Strings, rng: np.random.Generator) -> Codes:
    """Return, for each row, a row of another frame, each used once if possible; -1 if there is none.

    Rows are in random order, with the rows of a frame together, and are rotated by at least the largest number of rows
    of a frame: no row then gets its own frame, unless one frame has more than half of all rows.
    """
    order = rng.permutation(len(rows))
    group, _ = factorize(frame[rows[order]])
    order = order[np.argsort(group, kind="stable")]
    sizes = np.bincount(group)
    if len(sizes) < 2:
        return np.full(len(rows), -1, dtype=np.int64)
    # Larger rotations work too, up to n - the largest size: one is drawn, so that pairs vary.
    least, most = int(sizes.max()), len(rows) - int(sizes.max())
    turned = np.roll(order, int(rng.integers(least, most + 1)) if least <= most else least)
    partner = np.full(len(rows), -1, dtype=np.int64)
    partner[order] = rows[turned]
    for i in np.flatnonzero(frame[partner] == frame[rows]):
        partner[i] = rng.choice(rows[frame[rows] != frame[rows[i]]])
    return partner


def _across(rows: Codes, label: Codes, rng: np.random.Generator, partner: Codes) -> None:
    """Fill `partner` with a row of the other label for each row; rows are used about equally often."""
    for value in np.unique(label[rows]):
        here, there = rows[label[rows] == value], rows[label[rows] != value]
        if len(there) == 0:
            continue
        turns = -(-len(here) // len(there))
        pool = np.concatenate([rng.permutation(there) for _ in range(turns)])
        partner[rng.permutation(here)] = pool[: len(here)]


def folded(text: str) -> str:
    """Return a text with case folded and with single spaces, for comparisons."""
    return " ".join(text.split()).casefold()


def diversity(texts: Sequence[str], training: Collection[str] | None = None) -> dict[str, float | int | str | None]:
    """Return statistics of N answers as a set; texts that differ only in case and white space are the same.

    `n`; `distinct`, the number of distinct answers, and `distinct_share` in (0, 1]; `entropy_bits` of the distribution
    of whole answers, in bits from 0 to `entropy_max` = log2(n) (all distinct); `commonest`, the most frequent answer as
    first given (in a tie the first), and `commonest_share`; `training_copies`, the share of answers that equal one of
    the `training` answers, None if these are unknown. Shares, entropy and `commonest` are None without answers. The
    control is one answer for all: its entropy is 0. High diversity alone proves nothing: random sentences have the
    highest entropy.
    """
    keys = [folded(text) for text in texts]
    counts, n = Counter(keys), len(keys)
    if n == 0:
        nothing = ("distinct_share", "entropy_bits", "entropy_max", "commonest_share", "commonest", "training_copies")
        return {"n": 0, "distinct": 0, **dict.fromkeys(nothing)}
    known = {folded(text) for text in training or ()}
    shares = np.array(list(counts.values()), dtype=np.float64) / n
    key, most = counts.most_common(1)[0]
    return {
        "n": n,
        "distinct": len(counts),
        "distinct_share": len(counts) / n,
        "entropy_bits": float(max(0.0, -(shares * np.log2(shares)).sum())),
        "entropy_max": float(np.log2(n)),
        "commonest_share": most / n,
        "commonest": texts[keys.index(key)],
        "training_copies": None if training is None else sum(key in known for key in keys) / n,
    }
