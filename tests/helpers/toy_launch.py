"""Starting processes that train together, on the CPU whatever the machine has."""

from __future__ import annotations

import gc
import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
import tempfile
from multiprocessing import connection
from pathlib import Path

from paths import HELPERS, ROOT

ON_THE_CPU = {
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(HELPERS)]),
}
"""Environment of a process that shall see no GPU."""
LOADED = ["torch", "torchvision", "timm", "accelerate", "transformers", "peft", "m2f2bench.training.network"]
"""What forked processes need not import."""


def launch(script: str, *words: str, processes: int = 2, timeout: float = 280) -> subprocess.CompletedProcess[str]:
    """Run a script of this folder in several processes that know of each other, as a user starts them.

    `accelerate launch` starts one process on a CPU whatever number it is given (more take MPI); torch's launcher,
    which it uses itself on GPUs, starts them.
    """
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = [*start, str(HELPERS / script), *words]
    environment = {**os.environ, **ON_THE_CPU}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout)


def fork(script: str, *words: str, timeout: float = 280) -> subprocess.CompletedProcess[str]:
    """Do what `launch` does with two processes, in forks of one that has imported what they need.

    Of a short training, imports are most. How processes end is the launcher's matter: for that, `launch`.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / str(rank) for rank in range(2)]
        forks = [
            context.Process(target=_run, args=(script, words, rank, port, str(outputs[rank]))) for rank in range(2)
        ]
        for one in forks:
            one.start()
        running = {one.sentinel: one for one in forks}
        while running:
            ended = connection.wait(list(running), timeout)
            if not ended or any(running.pop(each).exitcode for each in ended):  # type: ignore[call-overload]
                for one in forks:  # it would wait for the other
                    one.kill()
        for one in forks:
            one.join()
        said = "".join(path.read_text(encoding="utf-8") for path in outputs if path.exists())
        status = next((code for one in forks if (code := one.exitcode or 0)), 0)
        return subprocess.CompletedProcess([script, *words], status, said, said)


def _run(script: str, words: tuple[str, ...], rank: int, port: int, output: str) -> None:
    """Run the script in this process; what it says goes to a file."""
    told = os.open(output, os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(told, stream)
    own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ |= {**ON_THE_CPU, "MASTER_ADDR": "127.0.0.1"} | {name: str(value) for name, value in own.items()}
    sys.path[:0] = [str(HELPERS), str(ROOT)]
    sys.argv = [script, *words]
    import torch

    torch.set_num_threads(1)
    gc.freeze()  # each training ends with a collection of garbage, which need not look through what was imported
    runpy.run_path(str(HELPERS / script), run_name="__main__")
