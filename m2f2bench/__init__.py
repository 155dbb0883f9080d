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
    from .adapters.base import Adapter, AdapterOptions
    from .auditing.report import Audit
    from .auditor import audit
    from .backends.base import Detector, Explainer, Localizer, Trainable
    from .checker import check
    from .comparer import compare
    from .comparison import Comparison
    from .errors import FrameError, M2F2BenchError
    from .loading import load_dataset, load_detector
    from .merger import merge
    from .perturbation import Faithfulness
    from .perturber import faithfulness
    from .plotter import plot
    from .records import Answer, Frame, Locator, Prediction, Question, Reply, Result, Score
    from .registry import register_adapter, register_backend
    from .runner import Results, run
    from .scorer import score
    from .scoring.regions import read_regions
    from .scoring.verdict import read_verdict
    from .trainer import train
    from .training.job import FitReport, TrainingJob
    from .validator import validate_result

_HOMES = {
    "Adapter": "adapters.base",
    "Answer": "records",
    "Audit": "auditing.report",
    "Comparison": "comparison",
    "Detector": "backends.base",
    "Explainer": "backends.base",
    "FitReport": "training.job",
    "Frame": "records",
    "Faithfulness": "perturbation",
    "FrameError": "errors",
    "Localization": "localization",
    "Localizer": "backends.base",
    "Locator": "records",
    "M2F2BenchError": "errors",
    "AdapterOptions": "adapters.base",
    "Prediction": "records",
    "Question": "records",
    "Reply": "records",
    "Result": "records",
    "Results": "runner",
    "Score": "records",
    "Trainable": "backends.base",
    "TrainingJob": "training.job",
    "audit": "auditor",
    "check": "checker",
    "compare": "comparer",
    "faithfulness": "perturber",
    "load_dataset": "loading",
    "load_detector": "loading",
    "localize": "localizer",
    "merge": "merger",
    "plot": "plotter",
    "read_regions": "scoring.regions",
    "read_verdict": "scoring.verdict",
    "register_adapter": "registry",
    "register_backend": "registry",
    "run": "runner",
    "score": "scorer",
    "train": "trainer",
    "validate_result": "validator",
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
