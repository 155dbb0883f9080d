"""Detectors on the same clustered frames, for the tests of differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from toy_units import make_units

from m2f2bench.cards.protocols import Bootstrap
from m2f2bench.core.rows import Units
from m2f2bench.metrics.detection.paired import Judged
from m2f2bench.metrics.detection.values import Cut, all_metrics

FEW = Bootstrap(resamples=200)


def videos(n: int, frames: int, rng: np.random.Generator, gap: float, methods: int = 1) -> Units:
    """`n` videos of so many frames, every second one fake, whose frames share half of what makes them easy."""
    cluster = np.repeat(np.arange(n), frames)
    label = cluster % 2
    latent = gap * (label - 0.5) + rng.normal(size=n)[cluster] + rng.normal(size=n * frames)
    names = np.where(label == 0, "original", np.array([f"m{i}" for i in range(methods)])[cluster // 2 % methods])
    return make_units(label, 1 / (1 + np.exp(-latent)), names.tolist(), cluster)


def rows(path: Path, units: Units, **columns: object) -> Path:
    n = len(units.label)
    table = {"id": [f"f{i:05d}" for i in range(n)], "label": units.label, "score": units.score, "video": units.video}
    pd.DataFrame({**table, **columns}).to_csv(path, index=False)
    return path


def judged(units: Units, metrics: list[str], rules: Bootstrap = FEW, cut: Cut | None = None) -> Judged:
    chosen = cut or Cut()
    return Judged(units, chosen, all_metrics(metrics, chosen), rules)
