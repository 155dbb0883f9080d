"""Detectors of a command: loaded in this process or, with the engine ray, also by each worker of a cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ..cards.models import DetectorCard
from ..cards.registry import finding_here
from ..core.cluster import Cluster
from ..core.errors import MachineError
from ..core.workers import Pool
from ..detectors.base import Detector
from ..detectors.engines import OnCluster
from ..detectors.keys import CALL, Judge, identify_judge
from .mapping import mapping_detector

SAME = ("detector", "weights", "code", "preprocessing")
"""Parts of a detector's key that workers share with this process; device and versions may be theirs."""


class How(NamedTuple):
    """How a command wants its detectors made; see `mapping_detector`."""

    device: str
    cam: str = ""
    layer: str = ""
    precision: str | None = None

    def here(self, cluster: Cluster | None) -> How:
        """Return how this process makes its own: beside workers, which judge, `auto` is the CPU, and in fp32."""
        if cluster is None:
            return self
        return self._replace(device="cpu" if self.device == "auto" else self.device, precision="fp32")


@contextlib.contextmanager
def judging(
    detector: Detector, reference: str | DetectorCard | Any, how: How, cluster: Cluster | None
) -> Iterator[Judge]:
    """Identify a detector that was made by `mapping_detector`; with a cluster, workers make it, too, and judge.

    The identity is then the workers'. The process must be connected (see `core.cluster.connected`). Raises MachineError
    if the workers have another detector of that name.
    """
    judge = identify_judge(detector)
    if cluster is None:
        yield judge
        return
    make = partial(mapping_detector, reference, *how)
    named = isinstance(reference, (str, Path, DetectorCard))
    pool = Pool(cluster, make, partial(_about, named), finding_here())
    try:
        about = pool.about()
        _compare(judge, about["key"])
        fields, key = judge.fields | about["fields"], judge.key | about["key"]
        yield replace(judge, fields=fields, key=key, made=about["made"], engine=OnCluster(pool))
    finally:
        pool.close()


def _about(named: bool, detector: Detector) -> dict[str, Any]:
    """Return a worker's identity, without what differs between two processes anyway.

    An object that was sent to the worker (not `named`) is the driver's, and only its hash can differ there.
    """
    judge = identify_judge(detector)
    other = {CALL} if named else {CALL, "weights", "code"}
    fields, key = ({k: v for k, v in held.items() if k not in other} for held in (judge.fields, judge.key))
    return {"fields": fields, "key": key, "made": judge.made}


def _compare(judge: Judge, key: Mapping[str, str]) -> None:
    """Raise MachineError if the workers' detector is not this one."""
    differing = [name for name in SAME if name in key and judge.key[name] != key[name]]
    if differing:
        told = ", ".join(f"{name} {key[name]} and not {judge.key[name]}" for name in differing)
        raise MachineError(
            f"detector '{judge.name}' is another one for the workers of Ray ({told}): all machines need the same files"
        )
