"""Landmarks in DeepfakeBench's form: an array in `landmarks/<video>/<frame>.npy`, or its bare bytes in an LMDB."""

from __future__ import annotations

import io
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ...core.errors import FrameError
from ...core.records import Locator

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MAGIC = b"\x93NUMPY"
"""How a `.npy` file begins."""
STORED = 81
"""Landmarks that bare bytes have."""
FARTHEST = 1 << 20
"""Above the pixels of any picture's side; a float32's bits, read as an integer, are more."""


def landmarks_place(place: Locator) -> Locator | None:
    """Return where the landmarks of a frame lie: beside its folder `frames`; None if it is in no such folder."""
    text, separator = (place.path, "/") if place.key is None else (place.key, "\\")
    parts = text.split(separator)
    if len(parts) < 4 or parts[-3] != "frames":
        return None
    name = f"{PurePosixPath(parts[-1]).stem}.npy"
    written = separator.join([*parts[:-3], "landmarks", parts[-2], name])
    return Locator(written) if place.key is None else Locator(place.path, written)


def points_in(data: bytes, frame: str) -> npt.NDArray[np.float64]:
    """Return the landmarks in a file, or in the bytes of 81 pairs of numbers of 32 or 64 bits, float64 [K, 2].

    Bare bytes do not say whether they are integers; they are if that gives pixels. Raises FrameError for other bytes.
    """
    import numpy as np

    if data.startswith(MAGIC):
        try:
            found = np.load(io.BytesIO(data), allow_pickle=False).astype(np.float64)
        except (ValueError, TypeError, EOFError, OSError, MemoryError):
            raise FrameError(frame, "its landmarks are no array of numbers") from None
        return np.asarray(found, dtype=np.float64)
    size, rest = divmod(len(data), STORED * 2)
    if rest or size not in (4, 8):
        raise FrameError(frame, f"its landmarks have {len(data)} bytes, which is not {STORED} pairs of numbers")
    whole = np.frombuffer(data, f"<i{size}")
    values = whole if np.abs(whole.astype(np.float64)).max() < FARTHEST else np.frombuffer(data, f"<f{size}")
    return np.asarray(values.reshape(STORED, 2), dtype=np.float64)
