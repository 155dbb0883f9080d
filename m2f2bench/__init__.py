"""m2f2bench: a detector judges a dataset under a protocol, and a leaderboard keeps the score.

    import m2f2bench
    results = m2f2bench.run(detectors=["constant", "frequency"], datasets="synthetic")

Everything is imported when it is first used, so that `import m2f2bench` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .auditing.audit import audit
    from .auditing.report import Audit
    from .cards.registry import register_adapter, register_backend
    from .core.errors import FrameError, M2F2BenchError
    from .core.records import Answer, Frame, Locator, Prediction, Question, Reply, Score
    from .datasets.base import Adapter, AdapterOptions
    from .detectors.base import Detector, Explainer, Localizer, Trainable
    from .heatmaps.faithfulness import faithfulness
    from .heatmaps.faithfulness_report import Faithfulness
    from .loading import load_dataset, load_detector
    from .metrics.metric import Metric
    from .metrics.regions.regions import read_regions
    from .metrics.registry import register_metric
    from .metrics.verdicts.verdict import read_verdict
    from .reporting.figures.plot import plot
    from .results.result import Result
    from .runs.check import check
    from .runs.merge import merge
    from .runs.run import Results, run
    from .runs.train import train
    from .scoring.compare import compare
    from .scoring.comparison import Comparison
    from .scoring.score import score
    from .scoring.validate import validate_result
    from .training.job import FitReport, TrainingJob

_HOMES = {
    "Adapter": "datasets.base",
    "Answer": "core.records",
    "Audit": "auditing.report",
    "Comparison": "scoring.comparison",
    "Detector": "detectors.base",
    "Explainer": "detectors.base",
    "FitReport": "training.job",
    "Frame": "core.records",
    "Faithfulness": "heatmaps.faithfulness_report",
    "FrameError": "core.errors",
    "Localization": "heatmaps.localization_report",
    "Localizer": "detectors.base",
    "Locator": "core.records",
    "M2F2BenchError": "core.errors",
    "Metric": "metrics.registry",
    "AdapterOptions": "datasets.base",
    "Prediction": "core.records",
    "Question": "core.records",
    "Reply": "core.records",
    "Result": "core.records",
    "Results": "runs.run",
    "Score": "core.records",
    "Trainable": "detectors.base",
    "TrainingJob": "training.job",
    "audit": "auditing.audit",
    "check": "runs.check",
    "compare": "scoring.compare",
    "faithfulness": "heatmaps.faithfulness",
    "load_dataset": "loading",
    "load_detector": "loading",
    "localize": "heatmaps.localize",
    "merge": "runs.merge",
    "plot": "reporting.figures.plot",
    "read_regions": "metrics.regions.regions",
    "read_verdict": "metrics.verdicts.verdict",
    "register_adapter": "cards.registry",
    "register_backend": "cards.registry",
    "register_metric": "metrics.registry",
    "run": "runs.run",
    "score": "scoring.score",
    "train": "runs.train",
    "validate_result": "scoring.validate",
}

__all__ = [
    "Adapter",
    "AdapterOptions",
    "Answer",
    "Audit",
    "Comparison",
    "Detector",
    "Explainer",
    "Faithfulness",
    "FitReport",
    "Frame",
    "FrameError",
    "Localization",
    "Localizer",
    "Locator",
    "M2F2BenchError",
    "Metric",
    "Prediction",
    "Question",
    "Reply",
    "Result",
    "Results",
    "Score",
    "Trainable",
    "TrainingJob",
    "__version__",
    "audit",
    "check",
    "compare",
    "faithfulness",
    "load_dataset",
    "load_detector",
    "localize",
    "merge",
    "plot",
    "read_regions",
    "read_verdict",
    "register_adapter",
    "register_backend",
    "register_metric",
    "run",
    "score",
    "train",
    "validate_result",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'm2f2bench' has no attribute '{name}'")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
