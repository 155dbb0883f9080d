"""Heat maps on another grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.records import Floats


def enlarged(heat: npt.NDArray[np.float32], rows: int, columns: int) -> Floats:
    """Return a map [h, w] as float64 [rows, columns], bicubic, clipped to its own lowest and highest value."""
    from PIL import Image as Pillow

    picture = Pillow.fromarray(np.ascontiguousarray(heat, dtype=np.float32))
    large = np.asarray(picture.resize((columns, rows), Pillow.Resampling.BICUBIC), dtype=np.float64)
    return np.clip(large, float(heat.min()), float(heat.max()))
