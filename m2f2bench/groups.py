"""Which frames belong together: joined over shared videos and shared people. Knows nothing else of the bench."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def connected(videos: Sequence[Hashable], identities: Sequence[Sequence[str]]) -> npt.NDArray[np.int64]:
    """The connected component of each frame over shared identities and shared videos, int64 [N].

    A fake made of A and B joins all of A with all of B. A frame without identities stands with the frames of its
    video only: its video is then all that is known of who is in it. Codes run from 0 in the order in which the
    components first occur. `videos` are names or numbers, the same where it is the same video.
    """
    import numpy as np
    import pandas as pd
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    video, _ = pd.factorize(np.asarray(videos, dtype=object))
    counts = np.array([len(people) for people in identities], dtype=np.int64)
    person, people = pd.factorize(np.array([p for group in identities for p in group], dtype=object))
    n_videos = int(video.max()) + 1 if len(video) else 0
    nodes = n_videos + len(people)
    edges = (np.repeat(video, counts), n_videos + person)
    graph = coo_array((np.ones(len(person), dtype=np.int8), edges), shape=(nodes, nodes))
    _, component = connected_components(graph, directed=False)
    codes, _ = pd.factorize(component[video])
    return np.asarray(codes, dtype=np.int64)
