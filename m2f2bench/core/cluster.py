"""Ray clusters: whether a command uses one, the connection to it, and how many workers fit on it."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import CardError, M2F2BenchError, MachineError, first_line, near

ENGINES = ("local", "ray")
"""Where a command may judge."""
OWN_MEMORY = 256 << 20
"""Bytes of the object store of a cluster that is started here: hardly anything lies in it."""
CARRIED = ("M2F2BENCH_", "HF_HOME", "HF_HUB_", "OMP_WAIT_POLICY", "PYTHONPATH", "TOKENIZERS_")
"""Beginnings of the names of environment variables that workers on other machines get, too. No token or key: Ray shows
these to all who may look at the cluster."""
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent anywhere
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # Ray's own 15 starves workers beside other programs
}
"""Settings of Ray, unless the user has others."""
log = logging.getLogger("m2f2bench")


@dataclass(frozen=True)
class Cluster:
    """Where workers run: their number (0: one for each GPU or, without any, each core), the GPUs of each (None: one, if
    there are any), and the address of a cluster that runs already (empty: RAY_ADDRESS, or a new one on this machine).
    """

    workers: int = 0
    gpus_per_worker: float | None = None
    address: str = ""

    def __post_init__(self) -> None:
        """Raise CardError for numbers that make no worker."""
        if self.workers < 0:
            raise CardError(f"{self.workers} workers cannot do anything: give 1 or more, or 0 for as many as fit")
        gpus = self.gpus_per_worker
        if gpus is not None and not (gpus >= 0.0 and math.isfinite(gpus) and (gpus <= 1.0 or gpus == int(gpus))):
            raise CardError(f"{gpus:g} GPUs cannot be given to a worker: give a share from 0 to 1, or a whole number")


def cluster_of(
    engine: str,
    workers: int = 0,
    gpus_per_worker: float | None = None,
    address: str | None = None,
    threads: bool = False,
) -> Cluster | None:
    """Return the cluster of the engine ray, None for the engine local.

    Raises CardError for anything else, and for settings of workers without that engine; with `threads` the engine local
    has a use for `workers`.
    """
    if engine not in ENGINES:
        raise CardError(f"--engine {engine}{near(engine, ENGINES)}")
    if engine == "ray":
        return Cluster(workers, gpus_per_worker, address or "")
    if workers and not threads:
        raise CardError(f"--workers {workers} is for the workers of --engine ray: give that, too")
    if gpus_per_worker is not None or address:
        raise CardError("--gpus-per-worker and --address are for the workers of --engine ray: give that, too")
    return None


def shares(cluster: Cluster, nodes: Sequence[Mapping[str, float]]) -> tuple[int, float, float]:
    """Return the number of workers, and the CPUs and GPUs of each, for machines with these resources (`CPU`, `GPU`).

    Raises CardError if not even one worker fits.
    """
    gpus = cluster.gpus_per_worker
    if gpus is None:
        gpus = 1.0 if any(node.get("GPU", 0.0) >= 1.0 for node in nodes) else 0.0
    places = [math.floor(node.get("GPU", 0.0) / gpus + 1e-9) if gpus else int(node.get("CPU", 0.0)) for node in nodes]
    most = sum(places)
    if not most:
        held = sum(node.get("GPU", 0.0) for node in nodes)
        needed = f"a worker needs {gpus:g} GPUs" if gpus else "a worker needs a CPU"
        raise CardError(f"{needed}, and the Ray cluster has {held:g} GPUs on {len(nodes)} machines")
    workers = min(cluster.workers or most, most)
    if workers < cluster.workers:
        log.warning("%d workers of Ray do not fit on the cluster: %d are started", cluster.workers, workers)
    if gpus:
        least = min(node.get("CPU", 0.0) / count for node, count in zip(nodes, places, strict=True) if count)
        return workers, least // 1.0 if least >= 1.0 else math.floor(least * 100) / 100, gpus
    cpus = max(1.0, sum(node.get("CPU", 0.0) for node in nodes) // workers)
    while cpus > 1.0 and sum(node.get("CPU", 0.0) // cpus for node in nodes) < workers:
        cpus -= 1.0  # a worker's CPUs are on one machine
    return workers, cpus, gpus


@contextlib.contextmanager
def connected(cluster: Cluster | None) -> Iterator[None]:
    """Connect this process to a cluster, or start one, while the block runs; without a cluster do nothing.

    A connection that is there already is used, and stays. Raises M2F2BenchError without the package ray, MachineError
    if there is no such cluster.
    """
    if cluster is None:
        yield
        return
    with _process_as_before():
        try:
            import ray
        except ImportError as error:
            raise M2F2BenchError(
                f"the engine ray needs the package ray ({first_line(error)}): run `pip install 'm2f2bench[ray]'`"
            ) from None
        if ray.is_initialized():
            yield
            return
        _connect(ray, cluster.address or os.environ.get("RAY_ADDRESS", ""))
        try:
            with _without_prints():
                yield
        finally:
            ray.shutdown()


@contextlib.contextmanager
def _process_as_before() -> Iterator[None]:
    """Set what Ray reads, and put back after the block what was there, with what Ray leaves in the process.

    Its handler of SIGTERM would be that of every process that a user's program forks later: a pool of such processes
    may then not end.
    """
    before = _variables()
    handler, level = signal.getsignal(signal.SIGTERM), logging.getLogger("ray").level
    os.environ |= ENVIRONMENT | before
    try:
        yield
    finally:
        for name in _variables().keys() - before.keys():
            del os.environ[name]
        os.environ |= before
        logging.getLogger("ray").setLevel(level)
        # A handler of C code is not known to Python, and Ray sets its own from the main thread alone, too.
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _variables() -> dict[str, str]:
    """Return the environment variables that Ray sets: its own, and what `breakpoint()` calls."""
    return {name: value for name, value in os.environ.items() if name.startswith("RAY_") or name == "PYTHONBREAKPOINT"}


def _connect(ray: Any, address: str) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "configure_logging": False, "logging_level": logging.ERROR}
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        if address:
            carried = {name: value for name, value in os.environ.items() if name.startswith(CARRIED)}
            ray.init(address=address, runtime_env={"env_vars": carried}, **quiet)
        else:
            ray.init(address="local", include_dashboard=False, object_store_memory=OWN_MEMORY, **quiet)
    except Exception as error:  # of many kinds
        where = f"at {address}" if address else "can be started"
        raise MachineError(f"no Ray cluster {where}: {first_line(error)}") from None


@contextlib.contextmanager
def _without_prints() -> Iterator[None]:
    """Keep Ray from printing to standard output that a worker was lost: results stand there, and it is logged anyway.

    No setting of Ray does that.
    """
    module = sys.modules.get("ray._private.worker")
    printing = getattr(module, "print_to_stdstream", None)
    if module is None or printing is None:
        yield
        return
    module.print_to_stdstream = lambda *_, **__: None  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module.print_to_stdstream = printing  # type: ignore[attr-defined]


def machines(ray: Any) -> list[dict[str, float]]:
    """Return the resources of each machine of the cluster that this process is connected to."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
