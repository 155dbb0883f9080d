"""Starting processes that train together, on the CPU whatever the machine has."""

from __future__ import annotations

import os
import subprocess
import sys

from paths import HELPERS, ROOT

ON_THE_CPU = {
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(HELPERS)]),
}
"""Environment of a process that shall see no GPU."""


def launch(script: str, *words: str, processes: int = 2, timeout: float = 280) -> subprocess.CompletedProcess[str]:
    """Run a script of this folder in several processes that know of each other.

    `accelerate launch` starts one process on a CPU whatever number it is given (more take MPI); torch's launcher,
    which it uses itself on GPUs, starts them.
    """
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = [*start, str(HELPERS / script), *words]
    environment = {**os.environ, **ON_THE_CPU}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout)
