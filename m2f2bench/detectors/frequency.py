"""Frequency detector: hand-made features of the spectrum and of residuals, and a logistic regression on them.

All features come from the luminance at the image's own resolution. Traces of a forgery are periodic upsampling
artefacts and missing or foreign noise, both at the highest frequencies, which any resampling changes. The profile's
bins are therefore in cycles per pixel (0 to 0.5, Nyquist), which means the same at any size.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..cards.models import DetectorCard, validate
from ..cards.settings import Settings
from ..core.errors import DetectorError, FrameError, first_line
from ..core.files import replacing
from ..datasets.read_ahead import read_pixels
from ..training.job import FitReport, TrainingJob, finished_report, write_report
from .base import Trainable, file_fingerprint, trained_weights

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.records import Floats, Frame, Image
    from ..training.linear import LinearModel

VERSION = "1"
"""Version of the features: weights fitted on another version are refused."""
BINS = 56
"""Radial bins between 0 and 0.5 cycles per pixel: two for each cycle of a 224-pixel crop."""
MAX_SIDE = 1024
"""A larger image is cropped to its centre, to bound the time for one image."""
MIN_SIDE = 16
TRUNCATION = 2
"""Quantised residuals are clipped to -2..2, five values (Fridrich & Kodovsky 2012 use T = 2 as well)."""

Kernel = tuple[tuple[float, ...], ...]

KERNELS: dict[str, tuple[Kernel, float]] = {
    "first-h": (((-1, 1),), 1.0),
    "first-v": (((-1,), (1,)), 1.0),
    "second-h": (((1, -2, 1),), 2.0),
    "second-v": (((1,), (-2,), (1,)), 2.0),
    "third-h": (((1, -3, 3, -1),), 3.0),
    "third-v": (((1,), (-3,), (3,), (-1,)), 3.0),
    "square3": (((-1, 2, -1), (2, -4, 2), (-1, 2, -1)), 4.0),
    "square5": (
        ((-1, 2, -2, 2, -1), (2, -6, 8, -6, 2), (-2, 8, -12, 8, -2), (2, -6, 8, -6, 2), (-1, 2, -2, 2, -1)),
        12.0,
    ),
}
"""High-pass filters of the spatial rich model and the constant each residual is divided by: the weight of the
predicted pixel, so that the residual is in grey levels (Fridrich & Kodovsky, "Rich models for steganalysis of digital
images", IEEE TIFS 2012, section II)."""


def luminance(image: Image) -> npt.NDArray[np.float32]:
    """Return ITU-R BT.601 luma, float32 [H, W] in 0..255, of an RGB uint8 image [H, W, 3], at most MAX_SIDE a side."""
    height, width = image.shape[:2]
    top, left = max(0, height - MAX_SIDE) // 2, max(0, width - MAX_SIDE) // 2
    part = image[top : top + MAX_SIDE, left : left + MAX_SIDE]
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return np.asarray(part.astype(np.float32) @ weights, dtype=np.float32)


@lru_cache(maxsize=8)
def radial_bins(height: int, width: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return, for `rfft2` of [height, width], the bin of each coefficient (BINS: no bin) and its weight.

    A coefficient of `rfft2` also stands for its mirror image; the weight (1 or 2) makes the mean that of the full
    spectrum.
    """
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    radius = np.hypot(fy, fx)
    inside = (radius > 0) & (radius <= 0.5 + 1e-9)
    bins = np.where(inside, np.minimum(np.floor(radius * 2 * BINS + 1e-9), BINS - 1), BINS).astype(np.int64)
    weight = np.full(bins.shape, 2.0)
    weight[:, 0] = 1.0
    if width % 2 == 0:
        weight[:, -1] = 1.0
    return bins.ravel(), weight.ravel()


def radial_profile(grey: npt.NDArray[np.float32]) -> Floats:
    """Return the azimuthal mean of the power spectrum as log10, float64 [BINS] (Durall et al., CVPR 2020).

    `grey` is float [H, W]. A Hann window removes the jump at the borders; the mean is subtracted first and the zero
    frequency is left out. Bins without a coefficient (in a small image) are interpolated.
    """
    height, width = grey.shape
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[None, 1:-1]
    level = grey.mean(dtype=np.float64)  # in float32 it depends on the order of the pixels, and on numpy's version
    power = np.abs(np.fft.rfft2((grey - level) * window)) ** 2
    bins, weight = radial_bins(height, width)
    total = np.bincount(bins, weights=power.ravel() * weight, minlength=BINS + 1)[:BINS]
    count = np.bincount(bins, weights=weight, minlength=BINS + 1)[:BINS]
    mean = np.divide(total, count, out=np.zeros(BINS), where=count > 0)
    profile = np.log10(mean / (window**2).sum() + 1e-3)
    if (count == 0).any():
        here = np.flatnonzero(count)
        profile = np.interp(np.arange(BINS), here, profile[here])
    return np.asarray(profile, dtype=np.float64)


def residual(grey: npt.NDArray[np.float32], kernel: Kernel, scale: float) -> npt.NDArray[np.float32]:
    """Return `grey` filtered (correlation, valid part) and divided by `scale`: float32 [H - kh + 1, W - kw + 1]."""
    rows, columns = len(kernel), len(kernel[0])
    height, width = grey.shape[0] - rows + 1, grey.shape[1] - columns + 1
    out = np.zeros((height, width), dtype=np.float32)
    for y, line in enumerate(kernel):
        for x, value in enumerate(line):
            if value:
                out += np.float32(value / scale) * grey[y : y + height, x : x + width]
    return out


def residual_statistics(values: npt.NDArray[np.float32]) -> Floats:
    """Return statistics of one residual [h, w], float64 [3 + 2 * 9].

    These are log mean magnitude, log deviation, tail weight, and two co-occurrence tables. A table counts the pairs of
    neighbours (right, below) of the residual, rounded and clipped to ±TRUNCATION; opposite signs and both orders are
    merged, because the statistics of natural images have these symmetries. Tables are square roots of relative
    frequencies, so that small ones count.
    """
    magnitude = np.abs(values)
    mean = float(magnitude.mean(dtype=np.float64))
    deviation = float(np.sqrt(np.square(values, dtype=np.float64).mean()))
    moments = [np.log(mean + 0.01), np.log(deviation + 0.01), np.log((deviation + 0.01) / (mean + 0.01))]
    cut = np.clip(np.rint(values), -TRUNCATION, TRUNCATION).astype(np.int64) + TRUNCATION
    levels = 2 * TRUNCATION + 1
    pairs = (cut[:, :-1], cut[:, 1:]), (cut[:-1], cut[1:])
    tables = [np.bincount((one * levels + next_).ravel(), minlength=levels**2) for one, next_ in pairs]
    shares = [np.bincount(_symmetry_classes(), weights=table / max(1, table.sum())) for table in tables]
    return np.concatenate([np.array(moments), *np.sqrt(shares)])


@lru_cache(maxsize=1)
def _symmetry_classes() -> npt.NDArray[np.int64]:
    """Return, for each pair (a, b) of levels, its class under (a, b) ~ (b, a) ~ (-a, -b)."""
    levels = 2 * TRUNCATION + 1
    smallest = [
        min((a, b), (b, a), (levels - 1 - a, levels - 1 - b), (levels - 1 - b, levels - 1 - a))
        for a in range(levels)
        for b in range(levels)
    ]
    return np.unique(smallest, axis=0, return_inverse=True)[1].reshape(-1)


def features(image: Image) -> Floats:
    """Return all features of an RGB uint8 image [H, W, 3], float64 [BINS + len(KERNELS) * 21].

    Raises ValueError for an image smaller than MIN_SIDE pixels a side.
    """
    if min(image.shape[:2]) < MIN_SIDE:
        raise ValueError(f"image of {image.shape[1]}x{image.shape[0]} pixels: at least {MIN_SIDE} a side are needed")
    grey = luminance(image)
    parts = [radial_profile(grey)]
    parts += [residual_statistics(residual(grey, kernel, scale)) for kernel, scale in KERNELS.values()]
    return np.concatenate(parts)


def feature_slice(selected: str) -> slice:
    """Return the columns of `features` that `all`, `spectrum` or `residuals` selects."""
    return {"all": slice(None), "spectrum": slice(0, BINS), "residuals": slice(BINS, None)}[selected]


class FrequencyOptions(Settings):
    """Options of the `frequency` backend: which features are used."""

    features: Literal["all", "spectrum", "residuals"] = "all"
    """Spectrum and residuals, or one of them."""


class FrequencyDetector(Trainable):
    """Radial power spectrum and high-pass residual statistics of the luminance, then a logistic regression.

    Durall et al., "Watch your up-convolution", CVPR 2020, for the spectrum; Fridrich & Kodovsky, "Rich models for
    steganalysis", IEEE TIFS 2012, for the filters. Images are scored at their own resolution: the card's `input`
    is not used.
    """

    preprocessing = f"native-luminance-features{VERSION}"

    def __init__(self, model: LinearModel, options: FrequencyOptions, fingerprint: str) -> None:
        """`model` takes the features that `options` selects; `fingerprint` identifies both."""
        self.model, self.options, self._fingerprint = model, options, fingerprint
        self._columns = feature_slice(options.features)

    @classmethod
    def from_card(cls, card: DetectorCard, device: str = "auto") -> FrequencyDetector:
        """Load the card's weights. Raises DetectorError for an untrained card or weights of other features."""
        options = _options(card)
        path = trained_weights(card)
        return cls(read_model(path, options), options, file_fingerprint(path, options.model_dump_json(), VERSION))

    def prepare(self, image: Image) -> Floats:
        """Return the selected features, float64 [F]. Raises ValueError for an image under 16 pixels a side."""
        return features(image)[self._columns]

    def forward(self, batch: Sequence[Any], ids: Sequence[str]) -> Floats:
        """Return P(fake), float64 [B]."""
        if not batch:
            return np.zeros(0)
        return self.model.scores(np.stack(batch))

    def fingerprint(self) -> str:
        """Return a hash of weights, options and the version of the features."""
        return self._fingerprint

    @classmethod
    def fit(cls, job: TrainingJob) -> FitReport:
        """Fit on all training frames once, unaugmented; only the seed of the training settings is used.

        The curves hold (C, cross-validated AUC). Raises DataError for a missing class or too many unreadable frames.
        """
        from ..training.linear import fit_on_features, readable
        from ..training.processes import together

        options = _options(job.card)
        done = finished_report(job)
        if done is not None:
            return done
        columns = feature_slice(options.features)

        def compute(frame: Frame) -> Floats:
            image = read_pixels(job.read, frame)
            if min(image.shape[:2]) < MIN_SIDE:
                raise FrameError(frame.id, f"image under {MIN_SIDE} pixels a side")
            return features(image)[columns]

        with together():
            model, report = fit_on_features(job, lambda frames: readable(frames, compute))
            job.out.mkdir(parents=True, exist_ok=True)
            write_model(report.weights, model, options)
            write_report(job, report)
        return report


def _options(card: DetectorCard) -> FrequencyOptions:
    return validate(FrequencyOptions, card.options, f"options of detector '{card.name}'")


def write_model(path: Path, model: LinearModel, options: FrequencyOptions) -> None:
    """Write the four arrays as safetensors, with the version and selection of the features in the metadata."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    arrays = {**vars(model), "intercept": np.array([model.intercept])}
    with replacing(path) as temporary:
        try:
            save_file(arrays, temporary, metadata={"features": f"{VERSION}/{options.features}"})
        except SafetensorError as error:  # a full disk, reported by the library with its own error
            raise OSError(first_line(error)) from None


def read_model(path: Path, options: FrequencyOptions) -> LinearModel:
    """Return the model that `write_model` wrote. Raises DetectorError for any other file, or one of other features."""
    from safetensors import SafetensorError, safe_open

    from ..training.linear import LinearModel

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            arrays = {name: file.get_tensor(name) for name in ("mean", "scale", "coef", "intercept")}
        shapes = [arrays[name].shape for name in ("mean", "scale", "coef")]
        if shapes != [(shapes[0][0],)] * 3 or arrays["intercept"].shape != (1,):
            raise ValueError(f"arrays of the wrong shapes {shapes}")
        if not all(array.dtype == np.float64 and np.isfinite(array).all() for array in arrays.values()):
            raise ValueError("values that are not finite float64 numbers")
    except (OSError, ValueError, TypeError, IndexError, SafetensorError) as error:
        raise DetectorError(
            f"weights '{path}' are not from the frequency backend: {first_line(error)}; train the detector again"
        ) from None
    found, wanted = metadata.get("features"), f"{VERSION}/{options.features}"
    if found != wanted:
        raise DetectorError(
            f"weights '{path}' were fitted on features {found}, but the card and this version use {wanted}: "
            "train the detector again"
        )
    return LinearModel(**{**arrays, "intercept": float(arrays["intercept"][0])})
