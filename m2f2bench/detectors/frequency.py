"""Frequency detector: spectrum and residual features into a logistic regression, trained in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..cards.models import DetectorCard, validate
from ..cards.settings import Settings
from ..core.errors import DetectorError, FrameError, first_line
from ..core.files import replacing
from ..datasets.read_ahead import read_pixels
from ..training.job import FitReport, TrainingJob
from .base import Trainable, file_fingerprint, trained_weights
from .spectrum import MIN_SIDE, VERSION, feature_slice, features

if TYPE_CHECKING:
    from ..core.records import Floats, Frame, Image
    from ..training.linear import LinearModel


class FrequencyOptions(Settings):
    """Options of the `frequency` backend: which features are used."""

    features: Literal["all", "spectrum", "residuals"] = "all"


class FrequencyDetector(Trainable):
    """Radial power spectrum and high-pass residual statistics of the luminance, then a logistic regression.

    Durall et al., "Watch your up-convolution", CVPR 2020, for the spectrum; Fridrich & Kodovsky, "Rich models for
    steganalysis", IEEE TIFS 2012, for the filters. Images are scored at their own resolution (see `spectrum`): the
    card's `input` is not used.
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
        from ..training.job import finished_report, write_report
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

    arrays = {
        "mean": model.mean,
        "scale": model.scale,
        "coef": model.coef,
        "intercept": np.array([model.intercept]),
    }
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
    return LinearModel(arrays["mean"], arrays["scale"], arrays["coef"], float(arrays["intercept"][0]))
