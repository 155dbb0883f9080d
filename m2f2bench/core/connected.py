"""Connected components of frames that share videos or people."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Value = TypeVar("Value", bound=Hashable)


def factorize(values: Iterable[Value]) -> tuple[npt.NDArray[np.int64], list[Value]]:
    """Return a code for each value, int64 [N], from 0 in order of first occurrence, and the values by code.

    pandas is not used: below version 3 it compares strings only up to their first NUL, and so joins different videos.
    """
    known: dict[Value, int] = {}
    codes = np.array([known.setdefault(value, len(known)) for value in values], dtype=np.int64)
    return codes, list(known)


def first_rows(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the first row of each code, int64 [C], of codes [N] from 0 to C-1."""
    first = np.full(int(codes.max(initial=-1)) + 1, len(codes))
    np.minimum.at(first, codes, np.arange(len(codes)))
    return first


def connected(videos: Sequence[Hashable], identities: Sequence[Sequence[str]]) -> npt.NDArray[np.int64]:
    """Return the connected component of each frame over shared identities and shared videos, int64 [N].

    A fake made of A and B joins all frames of A with all frames of B. A frame without identities is joined with the
    frames of its video only. Codes run from 0 in the order in which the components first occur. `videos` are names or
    numbers, equal for the same video.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    video, names = factorize(videos)
    counts = np.array([len(people) for people in identities], dtype=np.int64)
    person, people = factorize(p for group in identities for p in group)
    nodes = len(names) + len(people)
    edges = (np.repeat(video, counts), len(names) + person)
    graph = coo_array((np.ones(len(person), dtype=np.int8), edges), shape=(nodes, nodes))
    _, component = connected_components(graph, directed=False)
    return factorize(component[video].tolist())[0]
