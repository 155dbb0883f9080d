"""How far the quickstart's trained numbers move between machines: the same two trainings under other settings.

Fewer threads, the instructions of older processors, and other interpreters, which are arguments:
`python benchmarks/machines.py /path/to/venv/bin/python ...` trains with their versions of torch, too. Prints Markdown.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import ROOT, quick_cards, sized

DETECTORS = sized(("small-cnn", "frequency"), ("small-cnn",))
SETTINGS: dict[str, dict[str, str]] = {
    "2 threads": {},
    "1 thread": {"OMP_NUM_THREADS": "1"},
    "2 threads, AVX2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
    "2 threads, SSE4.1": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
}
"""Environment of each setting, beside two threads: limits for torch's own kernels, for oneDNN and for OpenBLAS."""
VERSIONS = "import torch, numpy; print(f'torch {torch.__version__}, numpy {numpy.__version__}')"


def columns(python: str, setting: dict[str, str]) -> dict[str, float]:
    """Train and judge in a new process; return AUC by detector, dataset and protocol."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["run", "quickstart", "--json", "--device", "cpu", "--out", "out"]
        words += [word for name in DETECTORS for word in ("-d", name)]
        words += sized([], [*quick_cards(Path(folder) / "cards"), "-s", "synthetic", "-p", "frame"])
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2", **setting}
        done = subprocess.run(
            [python, "-m", "m2f2bench", *words], cwd=folder, env=environment, stdout=subprocess.PIPE, check=True
        )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return {f"{one['detector']}, {one['dataset']}, {one['protocol']}": auc(one) for one in found}


def auc(result: dict[str, Any]) -> float:
    """Return the AUC of a result."""
    return float(result["metrics"]["auc"]["value"])


def table(found: dict[str, dict[str, float]]) -> str:
    """Return a Markdown table of AUCs: a row for each setting, and the largest difference in each column."""
    names = list(next(iter(found.values())))
    spans = {
        one: max(values[one] for values in found.values()) - min(values[one] for values in found.values())
        for one in names
    }
    lines = [f"| setting | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
    for setting, values in {**found, "largest difference": spans}.items():
        lines.append(f"| {setting} | {' | '.join(f'{values[one]:.3f}'.lstrip('0') for one in names)} |")
    return "\n".join(lines)


def main() -> None:
    others = [word for word in sys.argv[1:] if not word.startswith("--")]
    runs = [(name, sys.executable, more) for name, more in sized(SETTINGS, {"2 threads": {}}).items()]
    for python in others:
        named = subprocess.run([python, "-c", VERSIONS], capture_output=True, text=True, check=True).stdout.strip()
        runs.append((f"2 threads, {named}", python, {}))
    found = {name: columns(python, more) for name, python, more in runs}
    print(json.dumps([found], indent=1) if "--json" in sys.argv else table(found))


if __name__ == "__main__":
    main()
