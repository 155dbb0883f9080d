"""What Ray leaves in a process that was connected to a cluster: nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from paths import ROOT

LEFT = """
import json, logging, os, signal, sys
from m2f2bench.core.cluster import Cluster, connected

def state():
    return [str(signal.getsignal(signal.SIGTERM)), dict(os.environ), logging.getLogger("ray").level]

os.environ["RAY_worker_niceness"] = "3"
import ray
found = [state()]
with connected(Cluster(1)):
    found.append(state())
found.append(state())
json.dump(found, sys.stdout)
"""


@pytest.mark.slow
def test_ray_leaves_the_process_as_it_was() -> None:
    """Signals that end it, environment and logging: a user's program goes on in it."""
    pytest.importorskip("ray")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_") and k != "PYTHONBREAKPOINT"}
    done = subprocess.run([sys.executable, "-c", LEFT], capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    before, inside, after = json.loads(done.stdout)
    assert after == before
    changed = {name for name, value in inside[1].items() if before[1].get(name) != value}
    assert inside[0] != before[0] and {"RAY_USAGE_STATS_ENABLED", "PYTHONBREAKPOINT"} <= changed
    assert inside[1]["RAY_worker_niceness"] == "3", "the user's"
