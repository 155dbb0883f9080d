"""Pictures of a training made ahead by processes (`workers`), against made when they are needed; one thread computes.

Pictures of 256 px, with every augmentation of the toy training, for a small network. Short epochs (4 steps of 8 images,
and a validation of 16), as small datasets and trainings by video have them: what a process costs to start, and a
pipeline that runs empty, shows there. The weights must be the same bits.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import ROOT, report, sized

EPOCHS = sized(30, 2)
WORKERS = (0, 1, 2)
SIDE, INPUT = 256, 160


def main() -> None:
    sys.path.insert(0, str(ROOT / "tests" / "helpers"))
    from toy_training import read, toy_job

    from m2f2bench.detectors.timm import TimmDetector

    def job(out: Path, epochs: int, workers: int) -> Any:
        small = toy_job(out, epochs=epochs, workers=workers, size=INPUT)
        return replace(small, read=lambda frame: np.resize(read(frame), (SIDE, SIDE, 3)))

    torch.set_num_threads(1)
    rows, weights, first = [], set(), 0.0
    with tempfile.TemporaryDirectory() as folder:
        TimmDetector.fit(job(Path(folder, "warm"), 1, 0))
        for workers in WORKERS:
            begin = time.perf_counter()
            found = TimmDetector.fit(job(Path(folder, str(workers)), EPOCHS, workers))
            seconds = time.perf_counter() - begin
            first = first or seconds
            rows.append({"workers": workers, "epochs": EPOCHS, "s": seconds, "times_as_fast": first / seconds})
            weights.add(found.weights.read_bytes())
    if len(weights) > 1:
        raise SystemExit("the weights depend on the number of processes")
    report(rows)


if __name__ == "__main__":
    main()
