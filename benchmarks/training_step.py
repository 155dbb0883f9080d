"""Cost of a training step against an older tree of this package, in one run.

python benchmarks/training_step.py OLD_TREE [--rounds 5]

Both trees train the same small network on the same pictures, in turn, each in a process of its own; the ratio is that
of the fastest trainings. The weights must be the same to the bit.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent


def child(out: str) -> None:
    """Train once, and print seconds and a hash of the weights."""
    sys.path.insert(0, str(HERE / "tests" / "helpers"))
    from toy_training import fit

    values = {"options": {"model": "test_resnet"}, "size": 96, "batch_size": 16}
    fit(Path(out) / "warm", epochs=1, **values)
    start = time.perf_counter()
    report = fit(Path(out) / "timed", epochs=25, **values)
    print(time.perf_counter() - start, hashlib.sha256(report.weights.read_bytes()).hexdigest())


def timed(tree: Path) -> tuple[float, str]:
    """Return seconds and the hash of the weights of a training with the package of a tree."""
    with tempfile.TemporaryDirectory() as out:
        environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(Path(__file__).resolve()), "--child", out]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    seconds, digest = done.stdout.split()[-2:]
    return float(seconds), digest


def main() -> None:
    """Print the ratio of both trees."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child")
    given = parser.parse_args()
    if given.child:
        child(given.child)
        return
    rounds = [(timed(given.old.resolve()), timed(HERE)) for _ in range(given.rounds)]
    before, after = min(old[0] for old, _ in rounds), min(new[0] for _, new in rounds)
    same = len({one[1] for pair in rounds for one in pair}) == 1
    print(f"before {before:.2f} s, now {after:.2f} s, ratio {after / before:.3f}; same weights: {same}")


if __name__ == "__main__":
    main()
