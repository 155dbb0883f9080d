"""Mapping of frames: a detector's heat maps, checked for shape, range and the region that they cover, as rows."""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..cards.models import DetectorCard
from ..core.arithmetic import exact_fp32
from ..core.errors import DetectorError, FrameError, M2F2BenchError, first_line, refuse_machine_fault
from ..core.guests import guest
from ..core.records import FAKE, REAL, Frame
from ..core.seeds import generator
from ..datasets.base import Adapter
from ..datasets.read_ahead import ReadAhead, held_bytes, load_frame, read_mask
from ..detectors.base import Detector
from ..loading import load_detector
from ..metrics.heatmaps import Box, centred_map, constant_map, measured, measured_curve, random_map, truth_on_grid
from .report import MappedFrame

if TYPE_CHECKING:
    from ..core.records import Floats, Image

Heat = npt.NDArray[np.float32]
"""One heat map, float32 [h, w] in [0, 1]."""
ROUNDING = 1e-5
"""A value outside [0, 1] by at most this is set to the end of the range: it comes from single precision."""
GRID = (7, 7)
"""The grid of the controls if not even the trial gives a map."""
TRIAL = (224, 224)
"""Height and width in pixels of the grey picture that a detector must map before any work is done."""


def mapping_detector(
    detector: str | DetectorCard | Any, device: str, cam: str = "", layer: str = "", precision: str | None = None
) -> Detector:
    """Return the named detector, with class activation maps instead of its own if `cam` is a method.

    Raises DetectorError where `detectors.cam.CamDetector` does, and for a layer without a method.
    """
    if layer and not cam:
        raise DetectorError(f"--cam-layer {layer} needs a method: give --cam too, such as --cam gradcam")
    judge = load_detector(detector, device, precision)
    if not cam:
        return judge
    from ..detectors.cam import CamDetector

    return CamDetector(judge, cam, layer)


def require_localizer(name: str, own: object) -> None:
    """Raise DetectorError unless a detector, or its class, has a method `heatmap`."""
    if not callable(getattr(own, "heatmap", None)):
        raise DetectorError(
            f"detector '{name}' makes no heat maps: take one whose class is a m2f2bench.Localizer, or of a torch "
            f"network (backends timm, m2f2det) its class activation maps: --cam gradcam"
        )


class HeatMapper:
    """A detector's heat maps. Raises DetectorError for a detector that makes none."""

    def __init__(self, detector: Detector) -> None:
        """`detector` is a Localizer, or wraps an object that has a method `heatmap(images)`.

        A grey picture is mapped first, so that a detector that cannot make maps with its settings fails at once.
        """
        self.name, self.precision = detector.card.name, detector.precision
        own: Any = detector.as_localizer()
        require_localizer(self.name, own)
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
            with exact_fp32(self.precision), guest(f"detector '{self.name}'"):
                found = np.asarray(self.localizer.heatmap(list(images)))
        except M2F2BenchError:
            raise
        except Exception as error:
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
        """Return the region of an image that its map covers. Raises DetectorError if it is not one within the image."""
        height, width = image.shape[:2]
        try:
            with guest(f"detector '{self.name}'"):
                box = self.localizer.seen(height, width)
            top, left, bottom, right = (float(edge) for edge in box) if len(box) == 4 else (0.0, 0.0, 0.0, 0.0)
        except Exception as error:
            raise DetectorError(
                f"detector '{self.name}' cannot say what it sees of a picture of {height}x{width} pixels: "
                f"{first_line(error)}"
            ) from error
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


@dataclass
class Decoded:
    """A frame's row, its pixels (RGB uint8 [H, W, 3]) and its mask (bool [H, W]); without both if unreadable."""

    row: MappedFrame
    image: Image | None = None
    mask: npt.NDArray[np.bool_] | None = None


def read_batches(adapter: Adapter, rows: Sequence[MappedFrame], size: int, masks: bool) -> Iterator[list[Decoded]]:
    """Yield frames in batches of at most `size`, read ahead in threads.

    With `masks`, fakes have their mask, bool [H, W], if the dataset has one. Raises DataError for a mask that differs
    in size from its image, and otherwise as `read_ahead.load_frame` does.
    """
    read = partial(_read, adapter, masks)
    ahead = ReadAhead(read, rows, count=2 * size, size=lambda one: held_bytes((one.image, one.mask)), threads=2)
    return ahead.batches(size)


def _read(adapter: Adapter, masks: bool, row: MappedFrame) -> Decoded:
    loaded = load_frame(adapter, row.frame)
    row.stamp = loaded.stamp
    try:
        if loaded.image is None:
            raise FrameError(row.frame.id, loaded.reason)
        mask = read_mask(adapter, row.frame, loaded.image) if masks and row.frame.label == FAKE else None
    except FrameError as error:
        row.outcome, row.message = "unreadable", error.reason
        return Decoded(row)
    row.digest, row.mask_digest = loaded.digest, mask_digest(mask)
    return Decoded(row, loaded.image, mask)


def mask_digest(mask: npt.NDArray[np.bool_] | None) -> str:
    """Return 16 hex digits over a mask, bool [H, W]; empty without a mask."""
    if mask is None:
        return ""
    bits = np.packbits(mask).tobytes()
    return hashlib.blake2b(repr(mask.shape).encode() + bits, digest_size=8).hexdigest()


class MapTest(abc.ABC):
    """A way to measure a detector's heat maps, frame by frame."""

    masks: ClassVar[bool]
    """Whether it needs true masks."""

    def __init__(self, mapper: HeatMapper, seed: int, at_once: int) -> None:
        """`at_once` frames are mapped together; `seed` decides the random controls."""
        self.mapper, self.seed, self.at_once = mapper, seed, at_once

    def announce(self, n: int) -> None:  # noqa: B027
        """Log how much work `n` frames are, if it is much."""

    @abc.abstractmethod
    def measure(self, item: Decoded, heat: Heat | str) -> None:
        """Fill in the row of a frame that was read, from its map or from the reason why it has none."""

    def rows(self, adapter: Adapter, frames: Sequence[Frame]) -> Iterator[list[MappedFrame]]:
        """Yield the frames' rows in order, one list a batch; an unreadable frame has a row with that outcome."""
        for batch in read_batches(adapter, [MappedFrame(frame) for frame in frames], self.at_once, self.masks):
            ready = [item for item in batch if item.image is not None]
            images = [item.image for item in ready if item.image is not None]
            maps = self.mapper.maps(images, [item.row.frame.id for item in ready])
            for item, heat in zip(ready, maps, strict=True):
                self.measure(item, heat)
            yield [item.row for item in batch]


class MaskTest(MapTest):
    """Measures of a map and of the controls against the frame's mask; for a real frame only the map's mean value."""

    masks = True

    def measure(self, item: Decoded, heat: Heat | str) -> None:
        """See `MapTest.measure`."""
        row, mask = item.row, item.mask
        assert item.image is not None
        wide = None
        if isinstance(heat, str):
            row.outcome, row.message = "error", heat
        else:
            wide = heat.astype(np.float64)
            row.level, row.shape = float(wide.mean()), (wide.shape[0], wide.shape[1])
        if row.frame.label == REAL:
            return
        if mask is None or not mask.any():
            if wide is not None:
                row.outcome = "no_mask" if mask is None else "empty_mask"
            return
        grid = row.shape or self.mapper.grid
        truth = truth_on_grid(mask, grid, self.mapper.seen(item.image))
        if wide is not None and truth.area <= 0.0:
            row.outcome = "unseen_mask"
        elif wide is not None and not wide.any():
            row.outcome = "zero_map"
        maps = {"detector": wide, "constant": constant_map(grid), "centre": centred_map(grid)}
        maps["random"] = random_map(grid, generator("heat map control", self.seed, row.frame.id))
        row.values = {name: measured(one, truth) for name, one in maps.items()}
        row.curves = {name: measured_curve(one, truth) for name, one in maps.items()}
        if mask.all():  # no pixel is outside the mask, whatever region a detector sees
            for values in row.values.values():
                del values["pixel_auc"]
