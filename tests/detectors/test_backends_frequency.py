"""The frequency detector: features on images whose spectrum and residuals are known, and its fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT
from sklearn.metrics import roc_auc_score
from toy_training import auc, frames, read

from m2f2bench.cards.models import DetectorCard, read_card
from m2f2bench.cards.settings import TrainingSettings
from m2f2bench.core.errors import DataError, DetectorError
from m2f2bench.core.seeds import generator
from m2f2bench.detectors import frequency as spectrum
from m2f2bench.detectors.frequency import FrequencyDetector
from m2f2bench.training.job import TrainingJob

CARD = read_card("detectors", ROOT / "detectors" / "frequency.yaml")


def grating(frequency: float, size: int = 128) -> np.ndarray:
    """A horizontal wave of `frequency` cycles per pixel, float32 [size, size], amplitude 50 about 128."""
    wave = 128 + 50 * np.sin(2 * np.pi * frequency * np.arange(size))
    return np.tile(wave.astype(np.float32), (size, 1))


@pytest.mark.parametrize("size", [128, 224])
@pytest.mark.parametrize("frequency", [3 / 32, 8 / 32, 13 / 32])
def test_a_sinusoid_peaks_in_its_radial_bin(frequency: float, size: int) -> None:
    profile = spectrum.radial_profile(grating(frequency, size))
    assert profile.shape == (56,)
    assert np.argmax(profile) == int(frequency / 0.5 * 56)  # 10.5, 28, 45.5
    turned = spectrum.radial_profile(np.ascontiguousarray(grating(frequency, size).T))
    assert turned == pytest.approx(profile, abs=1e-3)


def test_profile_is_the_mean_over_rings_of_the_full_spectrum() -> None:
    """Against a plain double loop over all coefficients, on an even and an odd side."""
    grey = generator("ring").uniform(0, 255, size=(24, 31)).astype(np.float32)
    window = np.outer(np.hanning(26)[1:-1], np.hanning(33)[1:-1])
    power = np.abs(np.fft.fft2((grey - grey.mean(dtype=np.float64)) * window)) ** 2
    rings: dict[int, list[float]] = {}
    for y, fy in enumerate(np.fft.fftfreq(24)):
        for x, fx in enumerate(np.fft.fftfreq(31)):
            radius = float(np.hypot(fy, fx))
            if 0 < radius <= 0.5:
                rings.setdefault(min(55, int(radius * 112 + 1e-9)), []).append(float(power[y, x]))
    profile = spectrum.radial_profile(grey)
    for ring, values in rings.items():
        assert profile[ring] == pytest.approx(np.log10(np.mean(values) / (window**2).sum() + 1e-3), abs=1e-5)
    assert np.isfinite(profile).all() and len(rings) < 56  # empty rings were filled


def test_white_noise_has_a_flat_profile_at_its_variance() -> None:
    noise = generator("noise").normal(128, 10, size=(256, 256)).astype(np.float32)
    profile = spectrum.radial_profile(noise)
    assert profile[4:] == pytest.approx(2.0, abs=0.15)  # log10 of 10 squared


def test_a_constant_image_has_no_spectrum_and_no_residual() -> None:
    flat = np.full((40, 50, 3), 77, np.uint8)
    assert spectrum.radial_profile(spectrum.luminance(flat)) == pytest.approx(-3.0, abs=1e-6)  # log10 of the floor
    for kernel, scale in spectrum.KERNELS.values():
        values = spectrum.residual(spectrum.luminance(flat), kernel, scale)
        assert np.abs(values).max() < 1e-3
        statistics = spectrum.residual_statistics(values)
        assert statistics.shape == (21,)
        for table in (statistics[3:12], statistics[12:]):  # all pairs are (0, 0)
            assert sorted(table.tolist()) == [0.0] * 8 + [1.0]


def test_residuals_of_ramps() -> None:
    """Every filter sums to zero; those of second and higher order take no notice of a linear ramp either."""
    y, x = np.mgrid[0:20, 0:30].astype(np.float32)
    ramp = 3 * x + 5 * y + 7
    for name, (kernel, scale) in spectrum.KERNELS.items():
        assert np.sum(kernel) == 0
        values = spectrum.residual(ramp, kernel, scale)
        assert values.shape == (20 - len(kernel) + 1, 30 - len(kernel[0]) + 1)
        expected = {"first-h": 3.0, "first-v": 5.0}.get(name, 0.0)
        assert values == pytest.approx(expected, abs=2e-4), name
    quadratic = spectrum.residual(x**2, *spectrum.KERNELS["second-h"])
    assert quadratic == pytest.approx(1.0)  # ((x-1)² - 2x² + (x+1)²) / 2


def test_cooccurrence_merges_mirrored_pairs() -> None:
    """Row [0, 1, 1, -1] has the pairs (0, 1), (1, 1), (1, -1): three classes, a third each."""
    values = np.array([[0, 1, 1, -1], [0, 1, 1, -1]], dtype=np.float32)
    across = spectrum.residual_statistics(values)[3:12]
    assert sorted((across**2).round(6).tolist()) == [0.0] * 6 + [0.333333] * 3
    flipped = spectrum.residual_statistics(-values[:, ::-1])[3:12]
    assert np.array_equal(across, flipped)


def test_luminance_knows_its_channels() -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    image[..., 0] = 100
    assert spectrum.luminance(image) == pytest.approx(29.9)
    big = np.zeros((1100, 1030, 3), np.uint8)
    assert spectrum.luminance(big).shape == (1024, 1024)


def job(out: Path, card: DetectorCard = CARD, **changes) -> TrainingJob:
    made = TrainingJob(card, TrainingSettings(), frames(30, 60), frames(12, 12, "val"), read, auc, out, "id")
    return replace(made, **changes)


def test_fit_and_reload(tmp_path: Path) -> None:
    report = FrequencyDetector.fit(job(tmp_path))
    assert report.val_auc is not None and report.val_auc > 0.95
    assert report.notes[-1] == "2 unreadable frames left out of training"
    trained = CARD.model_copy(update={"weights": str(report.weights)})
    detector = FrequencyDetector.from_card(trained)
    unseen = [f for f in frames(12, 12, "test") if not f.id.endswith("13")]
    images = [read(f) for f in unseen]
    scores = detector.predict(images)
    assert roc_auc_score([f.label for f in unseen], scores) > 0.95
    alone = np.concatenate([detector.predict([image]) for image in images])
    assert np.array_equal(scores, alone)
    assert detector.predict([]).shape == (0,)
    other = FrequencyDetector.fit(job(tmp_path / "again"))
    assert other.weights.read_bytes() == report.weights.read_bytes()
    assert FrequencyDetector.fit(job(tmp_path, resume=True)) == report
    with pytest.raises(DetectorError, match="already holds a finished training"):
        FrequencyDetector.fit(job(tmp_path))


def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="'frequency' is not trained: run `m2f2bench train frequency"):
        FrequencyDetector.from_card(CARD)
    report = FrequencyDetector.fit(job(tmp_path))
    changes = {"weights": str(report.weights), "options": {"features": "spectrum"}}
    with pytest.raises(DetectorError, match="fitted on features 1/all, but the card and this version use 1/spectrum"):
        FrequencyDetector.from_card(CARD.model_copy(update=changes))
    broken = tmp_path / "broken.safetensors"
    whole = report.weights.read_bytes()
    for content, told in (
        (whole[:100], "it is incomplete"),
        (whole.replace(b'"coef"', b'"cope"'), "not from the frequency backend"),
        (whole.replace(b'"F64"', b'"I64"'), "not from the frequency backend"),
        (whole[:-8] + b"\0\0\0\0\0\0\xf0\x7f", "not from the frequency backend"),
    ):
        broken.write_bytes(content)
        with pytest.raises(DetectorError, match=told) as error:
            FrequencyDetector.from_card(CARD.model_copy(update={"weights": str(broken)}))
        assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="without fake frames"):
        FrequencyDetector.fit(job(tmp_path / "one", train=frames(10, 0)))
    with pytest.raises(ValueError, match="at least 16 a side"):
        spectrum.features(np.zeros((8, 40, 3), np.uint8))
