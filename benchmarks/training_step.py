"""Cost of a training step against an older tree of this package, in one run.

python benchmarks/training_step.py OLD_TREE [--rounds 30] [--detector small-cnn ...]

A process for each tree trains the same detectors on the same pictures, one short training at a time and in turn, so
that both meet the same disturbances. A step's cost is its processor time; a disturbance (another machine on the same
processor, a slower clock) only ever adds to it. So a tree's cost is the median of its fastest tenth of steps over all
rounds, without each training's first and last step. The interval is a bootstrap over rounds. The weights must be the
same to the bit.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
DETECTORS = ("small-cnn", "efficientnet-lite0", "xception", "meso4")
SIZE, BATCH, STEPS = 64, 8, 10

Rounds = list[list[float]]  # for each training, the seconds of its steps


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
        print(hashlib.sha256(weights.read_bytes()).hexdigest(), *seconds[1:-1], flush=True)
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


def trained(running: subprocess.Popen[str], detector: str) -> tuple[list[float], str]:
    """Let a process train; return the seconds of its steps, and the hash of the weights."""
    assert running.stdin is not None and running.stdout is not None
    print(detector, file=running.stdin, flush=True)
    found = running.stdout.readline().split()
    if not found:
        raise SystemExit(f"{detector}: its training failed in one of the trees")
    return [float(second) for second in found[1:]], found[0]


def fastest(rounds: Sequence[list[float]]) -> float:
    """Return the median of the fastest tenth of all steps."""
    steps = sorted(second for one in rounds for second in one)
    return statistics.median(steps[: max(1, len(steps) // 10)])


def compare(old: Rounds, new: Rounds) -> tuple[float, float, float]:
    """Return the ratio of both costs, and the bounds that hold nine of ten resampled ratios."""
    draw = random.Random(0)
    ratios = []
    for _ in range(1000):
        picked = draw.choices(range(len(old)), k=len(old))
        ratios.append(fastest([new[i] for i in picked]) / fastest([old[i] for i in picked]))
    bounds = statistics.quantiles(ratios, n=20)
    return fastest(new) / fastest(old), bounds[0], bounds[-1]


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
            seconds: dict[str, Rounds] = {"old": [], "new": []}
            digests = set()
            for number in range(given.rounds + 1):
                for tree, running in [("old", old), ("new", new)][:: 1 if number % 2 else -1]:
                    steps, digest = trained(running, name)
                    digests.add(digest)
                    if number:  # the first warms up
                        seconds[tree].append(steps)
            ratio, low, high = compare(seconds["old"], seconds["new"])
            every.append(ratio)
            print(
                f"{name}: ratio {ratio:.3f} (90% interval {low:.3f} to {high:.3f}, {given.rounds} rounds, "
                f"{1000 * fastest(seconds['new']):.1f} ms a step); same weights: {len(digests) == 1}",
                flush=True,
            )
    print(f"all: ratio {statistics.geometric_mean(every):.3f}")


if __name__ == "__main__":
    main()
