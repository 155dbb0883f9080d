"""Cost of a training step against an older tree of this package, in one run.

python benchmarks/training_step.py OLD_TREE [--rounds 30] [--detector small-cnn ...]

A process for each tree trains the same detectors on the same pictures, one short training at a time and in turn, so
that both meet the same disturbances. A training's cost is the median over its steps, without the first and the last
one, in processor time; the ratio is the median over rounds. The weights must be the same to the bit.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
DETECTORS = ("small-cnn", "efficientnet-lite0", "xception", "meso4")
SIZE, BATCH, STEPS = 64, 8, 10


def child(out: Path) -> None:
    """Train a detector for each line of the standard input; print seconds a step, and a hash of the weights."""
    sys.path.insert(0, str(HERE / "tests" / "helpers"))
    import torch
    from toy_training import auc, frames, read

    from m2f2bench.loading import detector_card
    from m2f2bench.training import loop
    from m2f2bench.training.job import TrainingJob

    torch.set_num_threads(1)
    kept: Any = vars(loop)["_Training"]._step
    seconds: list[float] = []

    def step(self: Any, *given: Any) -> None:
        start = time.process_time()
        kept(self, *given)
        seconds.append(time.process_time() - start)

    vars(loop)["_Training"]._step = step
    train = [one for one in frames(60, 60) if not one.id.endswith("13")][: BATCH * STEPS]
    for number, line in enumerate(sys.stdin):
        card, cls = detector_card(line.strip())
        short = {"epochs": 1, "batch_size": BATCH, "accumulation": 1, "warmup_epochs": 0.0, "workers": 0}
        assert card.training is not None
        own = card.training.model_copy(update=short)
        options = {key: value for key, value in card.options.items() if key != "pretrained"}
        card = card.model_copy(update={"training": own, "options": options, "weights": None})
        card = card.model_copy(update={"input": card.input.model_copy(update={"size": SIZE})})
        place = out / str(number)
        seconds.clear()
        job = TrainingJob(card, own, train, frames(4, 4, "val"), read, auc, place, "step", device="cpu")
        weights = cls.fit(job).weights
        print(statistics.median(seconds[1:-1]), hashlib.sha256(weights.read_bytes()).hexdigest(), flush=True)
        shutil.rmtree(place)


@contextlib.contextmanager
def process(tree: Path) -> Iterator[subprocess.Popen[str]]:
    """Yield a process that trains with the package of a tree."""
    with tempfile.TemporaryDirectory() as out:
        environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(Path(__file__).resolve()), "--child", out]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, env=environment, cwd=tree, text=True, **pipes) as running:
            assert running.stdin is not None
            try:
                yield running
            finally:
                running.stdin.close()


def trained(running: subprocess.Popen[str], detector: str) -> tuple[float, str]:
    """Let a process train; return its seconds a step, and the hash of the weights."""
    assert running.stdin is not None and running.stdout is not None
    print(detector, file=running.stdin, flush=True)
    found = running.stdout.readline().split()
    if not found:
        raise SystemExit(f"{detector}: its training failed in one of the trees")
    return float(found[0]), found[1]


def main() -> None:
    """Print the ratio of both trees, for each detector."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--detector", action="append")
    parser.add_argument("--child", type=Path)
    given = parser.parse_args()
    if given.child:
        child(given.child)
        return
    every: list[float] = []
    with process(given.old.resolve()) as old, process(HERE) as new:
        for name in given.detector or DETECTORS:
            ratios, digests = [], set()
            for number in range(given.rounds + 1):
                order = [("old", old), ("new", new)][:: 1 if number % 2 else -1]
                found = {tree: trained(running, name) for tree, running in order}
                digests |= {digest for _, digest in found.values()}
                if number:  # the first warms up
                    ratios.append(found["new"][0] / found["old"][0])
            every += ratios
            quarters = statistics.quantiles(ratios, n=4)
            print(
                f"{name}: ratio {statistics.median(ratios):.3f} (half of {len(ratios)} rounds {quarters[0]:.3f} to "
                f"{quarters[2]:.3f}); same weights: {len(digests) == 1}",
                flush=True,
            )
    print(f"all: ratio {statistics.median(every):.3f}")


if __name__ == "__main__":
    main()
