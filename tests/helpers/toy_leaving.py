"""What is left of the connection with the other processes when this one ends: "left N" or "connected N" of each.

torchrun --nproc_per_node 2 tests/helpers/toy_leaving.py join|train FOLDER
"""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path

import torch.distributed
from toy_training import toy_job

from m2f2bench.training.device import make_accelerator
from m2f2bench.training.processes import gathered, join


def tell() -> None:
    state = "connected" if torch.distributed.is_initialized() else "left"
    print(f"{state} {os.environ['RANK']}\n", end="", flush=True)


if __name__ == "__main__":
    atexit.register(tell)  # what is registered first is called last
    if sys.argv[1] == "join":
        join("cpu")
    else:
        make_accelerator(toy_job(Path(sys.argv[2])), "fp32")
    assert gathered(os.environ["RANK"]) == ["0", "1"]
