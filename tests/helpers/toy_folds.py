"""A training with folds: torchrun --nproc_per_node 2 tests/helpers/toy_folds.py CARD OUT"""

from __future__ import annotations

import sys

from toy_questions import FACES

from m2f2bench.runs.train import train

if __name__ == "__main__":
    train(sys.argv[1], FACES, out=sys.argv[2], device="cpu")
