"""Cost of a training step against an older tree of this package, in one run.

python benchmarks/training_step.py OLD_TREE [--rounds 5]

Both trees train the same small network on the same pictures, each in a process of its own, in turn and with a new order
in each round; the ratio is the median over rounds, of processor time, which other programs change less.
The weights must be the same to the bit.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
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
    start = time.process_time()
    report = fit(Path(out) / "timed", epochs=25, **values)
    print(time.process_time() - start, hashlib.sha256(report.weights.read_bytes()).hexdigest())


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
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--child")
    given = parser.parse_args()
    if given.child:
        child(given.child)
        return
    trees = (given.old.resolve(), HERE)
    ratios, digests = [], set()
    for number in range(given.rounds):
        found = {tree: timed(tree) for tree in (trees if number % 2 else trees[::-1])}
        ratios.append(found[trees[1]][0] / found[trees[0]][0])
        digests |= {digest for _, digest in found.values()}
    spread = f"{min(ratios):.3f} to {max(ratios):.3f} in {len(ratios)} rounds"
    print(f"ratio {statistics.median(ratios):.3f} ({spread}); same weights: {len(digests) == 1}")


if __name__ == "__main__":
    main()
