"""Heat maps in memory by frame id, which are measured like those that a detector makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import DataError, first_line, near
from ..core.frame_lists import column
from ..core.text import cut, in_utf8, quoted
from ..datasets.dataset import Dataset
from .mapping import Heat, HeatMapper

if TYPE_CHECKING:
    from ..core.records import Image
    from ..metrics.heatmaps import Box


class HeldMaps(HeatMapper):
    """Heat maps by frame id. A frame without one has none, as where a detector fails on it."""

    def __init__(self, maps: Mapping[Any, Any], name: str, dataset: Dataset, split: str) -> None:
        """Take maps, numbers [h, w], of any size; they are copied.

        Raises DataError, naming the frame, for anything else, and for a frame that the dataset's split does not have.
        """
        if not maps:
            raise DataError("the mapping of heat maps is empty: give {frame id: map}")
        self.name, self.how = name, ""
        known = set(column(dataset.frames(split), "id"))
        self.held: dict[str, Any] = {}
        for key, value in maps.items():
            frame = in_utf8(str(key))
            if frame not in known:
                raise DataError(
                    f"there is a heat map of '{cut(frame, 60)}', and '{dataset.name}' has no such frame in split "
                    f"'{split}'{near(frame, known)}"
                )
            if frame in self.held:
                raise DataError(f"there are two heat maps of '{frame}': remove one")
            self.held[frame] = _map(value, frame)
        first = next(iter(self.held.values()))
        self.grid = (first.shape[0], first.shape[1])

    def maps(self, images: Sequence[Image], names: Sequence[str]) -> list[Heat | str]:
        """See `HeatMapper.maps`; the images are not looked at."""
        return [self._checked(self.held[name], name) if name in self.held else "no map was given" for name in names]

    def seen(self, image: Image) -> Box:
        """Return the whole image."""
        return 0.0, 0.0, 1.0, 1.0


def _map(value: Any, frame: str) -> Any:
    """Return a map as an array of its own. Raises DataError unless it is numbers [h, w]."""
    try:
        found = np.asarray(value).copy()
    except Exception as error:  # rows of different lengths, a tensor on a GPU
        raise DataError(f"the heat map of '{frame}' cannot be made an array: {first_line(error)}") from None
    if found.ndim != 2 or 0 in found.shape or found.dtype.kind not in "fiu":
        shown = f"{found.dtype} {list(found.shape)}" if found.ndim else quoted(value)
        raise DataError(f"the heat map of '{frame}' is {shown}: give numbers in [0, 1], [h, w]")
    return found
