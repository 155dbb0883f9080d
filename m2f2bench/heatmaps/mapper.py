"""Heat maps from a detector, checked: shape, range, and the region of the picture that they cover."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.arithmetic import exact_fp32
from ..core.errors import DetectorError, M2F2BenchError, first_line, refuse_machine_fault
from ..detectors.base import Detector
from ..loading import load_detector
from ..metrics.heatmaps.localization import Box

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..cards.models import DetectorCard
    from ..core.records import Image

    Heat = npt.NDArray[np.float32]
    """One heat map, float32 [h, w] in [0, 1]."""
    from ..core.records import Floats

ROUNDING = 1e-5
"""A value outside [0, 1] by at most this is set to the end of the range: it comes from single precision."""
GRID = (7, 7)
"""The grid of the controls if not even the trial gives a map."""
TRIAL = (224, 224)
"""Height and width in pixels of the grey picture that a detector must map before any work is done."""


def mapping_detector(detector: str | DetectorCard | Any, device: str, cam: str = "", layer: str = "") -> Detector:
    """Return the named detector, with class activation maps instead of its own if `cam` is a method.

    Raises DetectorError where `detectors.cam.with_cam` does, and for a layer without a method.
    """
    if layer and not cam:
        raise DetectorError(f"--cam-layer {layer} needs a method: give --cam too, such as --cam gradcam")
    judge = load_detector(detector, device)
    if not cam:
        return judge
    from ..detectors.cam import with_cam

    return with_cam(judge, cam, layer)


def no_localizer(name: str) -> DetectorError:
    """Return the error for a detector that makes no heat maps."""
    return DetectorError(
        f"detector '{name}' makes no heat maps: take one whose class is a m2f2bench.Localizer, or of a torch network "
        f"(backends timm, m2f2det) its class activation maps: --cam gradcam"
    )


def require_localizer(name: str, own: object) -> None:
    """Raise DetectorError unless a detector, or its class, has a method `heatmap`."""
    if not callable(getattr(own, "heatmap", None)):
        raise no_localizer(name)


class HeatMapper:
    """A detector's heat maps. Raises DetectorError for a detector that makes none."""

    def __init__(self, detector: Detector) -> None:
        """`detector` is a Localizer, or wraps an object that has a method `heatmap(images)`.

        A grey picture is mapped first, so that a detector that cannot make maps with its settings fails at once.
        """
        self.name, self.precision = detector.card.name, detector.precision
        own = detector.as_localizer()
        if own is None:
            raise no_localizer(self.name)
        self.localizer = own
        self.how = str(getattr(own, "how", ""))
        """Method and layer of --cam; empty if the maps are the detector's own."""
        # Other errors are ignored here: they need not occur on a face.
        (trial,) = self.maps([np.full((*TRIAL, 3), 128, np.uint8)], ["a grey picture"])
        self.grid: tuple[int, int] = GRID if isinstance(trial, str) else (trial.shape[0], trial.shape[1])
        """Height and width of a map, for frames without one."""

    def maps(self, images: Sequence[Image], names: Sequence[str]) -> list[Heat | str]:
        """Return, for each RGB uint8 image [H, W, 3], its map, float32 [h, w] in [0, 1], or one line why it has none.

        A batch that raises is mapped again picture by picture; a map with a value that is not finite is a failure.
        Raises DetectorError, with the frame of `names`, for a wrong number or shape of maps and for values outside
        [0, 1].
        """
        if not images:
            return []
        try:
            with exact_fp32(self.precision):
                found = np.asarray(self.localizer.heatmap(list(images)))
        except M2F2BenchError:
            raise
        except (Exception, SystemExit) as error:
            if len(images) == 1:
                refuse_machine_fault(error, f"detector '{self.name}' on frame '{names[0]}'")
                return [f"the heat map failed: {first_line(error)}"]
            return [self.maps([image], [name])[0] for image, name in zip(images, names, strict=True)]
        if found.ndim != 3 or len(found) != len(images) or 0 in found.shape or found.dtype.kind not in "fiu":
            raise DetectorError(
                f"detector '{self.name}' gave heat maps of {found.dtype} {list(found.shape)} for {len(images)} "
                f"images: they must be numbers [{len(images)}, h, w]"
            )
        return [self._checked(one, name) for one, name in zip(found, names, strict=True)]

    def _checked(self, heat: Any, name: str) -> Heat | str:
        if not np.isfinite(heat).all():
            return "the heat map has values that are not finite"
        if heat.min() < -ROUNDING or heat.max() > 1.0 + ROUNDING:
            low, high = (str(np.float32(value)) for value in (heat.min(), heat.max()))  # just enough digits
            raise DetectorError(
                f"detector '{self.name}' gave a heat map with values from {low} to {high} for "
                f"'{name}': they must be in [0, 1]"
            )
        return np.asarray(np.clip(heat, 0.0, 1.0), dtype=np.float32)

    def seen(self, image: Image) -> Box:
        """Return the region of an image that its map covers. Raises DetectorError for a region outside the image."""
        height, width = image.shape[:2]
        box = self.localizer.seen(height, width)
        top, left, bottom, right = (float(edge) for edge in box) if len(box) == 4 else (0.0, 0.0, 0.0, 0.0)
        if not (0.0 <= top < bottom <= 1.0 and 0.0 <= left < right <= 1.0):
            raise DetectorError(
                f"detector '{self.name}' says that it sees {box} of a picture of {height}x{width} pixels: top, left, "
                f"bottom, right must be shares with 0 <= top < bottom <= 1 and 0 <= left < right <= 1"
            )
        return top, left, bottom, right


def enlarged(heat: npt.NDArray[np.float32], rows: int, columns: int) -> Floats:
    """Return a map [h, w] as float64 [rows, columns], bicubic, clipped to its own lowest and highest value."""
    from PIL import Image as Pillow

    picture = Pillow.fromarray(np.ascontiguousarray(heat, dtype=np.float32))
    large = np.asarray(picture.resize((columns, rows), Pillow.Resampling.BICUBIC), dtype=np.float64)
    return np.clip(large, float(heat.min()), float(heat.max()))
