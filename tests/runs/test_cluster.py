"""Runs with the workers of a Ray cluster: the results are those of one process, whichever workers are lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marker_faces import MarkerFinder, write_scenes
from paths import ROOT
from rows_held import rows_held
from toy_maps import write_toys

import m2f2bench
from m2f2bench.core.cluster import CARRIED, Cluster, shares
from m2f2bench.core.errors import CardError, DataError, M2F2BenchError, MachineError
from m2f2bench.results.row_files import read_parquet
from m2f2bench.results.store import PREDICTIONS
from m2f2bench.runs.prepare import prepare

CODE = """
import os, signal, time
from pathlib import Path
import numpy as np

class Bright:
    name = "bright"
    def __init__(self, card=None, device="cpu"):
        if os.environ.get("CLUSTER_PIDS"):
            Path(os.environ["CLUSTER_PIDS"], str(os.getpid())).write_text(str(os.nice(0)))
    def predict(self, images):
        time.sleep(float(os.environ.get("CLUSTER_WAIT", "0")) * len(images))
        deadly = os.environ.get("CLUSTER_DEADLY", "")
        if deadly and os.path.exists(deadly):
            os.unlink(deadly)
            os.kill(os.getpid(), signal.SIGKILL)
        return [float(image.mean() / 255) for image in images]
    def explain(self, images, questions):
        return [f"The image looks {'fake' if image.mean() > 100 else 'real'}." for image in images]

class Wrong(Bright):
    name = "wrong"
    def predict(self, images):
        return [1.7 for image in images]

class Failing(Bright):
    name = "failing"
    def predict(self, images):
        raise RuntimeError("no such layer")
"""
RAY = {"engine": "ray", "workers": 2}


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A cluster of three CPUs on this machine, for all tests of this file that start none themselves."""
    ray = pytest.importorskip("ray")
    pids = tmp_path_factory.mktemp("pids")
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLUSTER_PIDS", str(pids))
        patch.setenv("CLUSTER_WAIT", "0.02")
        patch.setenv("RAY_worker_niceness", "0")  # as the package sets it: other tests use the cores meanwhile
        ray.init(address="local", num_cpus=3, include_dashboard=False, log_to_driver=False, configure_logging=False)
        ray.pids = pids
        yield ray
        ray.shutdown()
    signal.signal(signal.SIGTERM, handler)  # forks of this process would have Ray's


@pytest.fixture
def bright(tmp_path: Path) -> str:
    (tmp_path / "bright.py").write_text(CODE)
    return str(tmp_path / "bright.py")


def alike(folder: Path) -> int:
    """The number of files below `one` and `two`, which have the same bytes."""
    held: list[dict[str, bytes]] = []
    for name in ("one", "two"):
        found = [path for path in (folder / name).rglob("*") if path.suffix in (".json", ".jsonl", ".parquet", ".png")]
        held.append({path.relative_to(folder / name).as_posix(): path.read_bytes() for path in found})
    assert held[0].keys() == held[1].keys()
    assert [name for name, content in held[0].items() if content != held[1][name]] == []
    return len(held[0])


def kill_a_worker(pids: Path, draw: random.Random) -> bool:
    """Kill one of the processes that have made the detector, other than this one."""
    for path in draw.sample(known := sorted(pids.iterdir()), len(known)):
        if int(path.name) != os.getpid():
            path.unlink()
            try:
                os.kill(int(path.name), signal.SIGKILL)
            except ProcessLookupError:
                continue
            return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["frame-val", "judge"])
def test_workers_find_what_one_process_finds_to_the_byte(protocol: str, bright: str, ray: Any, tmp_path: Path) -> None:
    """Of detection, with rows that a threshold is picked on, and of answers, with their controls."""
    how = {"detectors": f"{bright}:Bright", "datasets": "synthetic", "protocols": protocol, "limit": 45}
    m2f2bench.run(**how, out=tmp_path / "one", batch_size=4)
    m2f2bench.run(**how, out=tmp_path / "two", batch_size=4, **RAY)
    assert alike(tmp_path) >= 2


@pytest.mark.slow
def test_heat_maps_too(ray: Any, tmp_path: Path) -> None:
    toys = write_toys(tmp_path)
    how: dict[str, Any] = {"detectors": f"{toys[0]}:Bright", "datasets": toys[1], "protocols": "localization"}
    m2f2bench.run(**how, out=tmp_path / "one", batch_size=2)
    m2f2bench.run(**how, out=tmp_path / "two", batch_size=2, **RAY)
    assert alike(tmp_path) >= 2
    for measure in (m2f2bench.localize, m2f2bench.faithfulness):
        reports = [measure(how["detectors"], toys[1], limit=6, batch_size=2, **more) for more in ({}, RAY)]
        assert reports[0].to_json() == reports[1].to_json()


@pytest.mark.slow
def test_preparation_too(ray: Any, tmp_path: Path) -> None:
    faces = [{"red": (20 + at, 30, 60 + at, 80), "green": (120, 40, 150, 76)} for at in range(0, 40, 5)]
    scenes = write_scenes(
        tmp_path / "scenes", {f"{name}/{n}": faces for name in ("original", "swap") for n in range(3)}
    )
    for name, more in (("one", {}), ("two", RAY)):
        prepare(scenes, out=tmp_path / name, finder=MarkerFinder(), crop="square:margin=0.25,size=48", **more)
    assert alike(tmp_path) >= 48


@pytest.mark.slow
def test_workers_killed_at_ten_moments(bright: str, ray: Any, tmp_path: Path) -> None:
    how: dict[str, Any] = {"detectors": f"{bright}:Bright", "datasets": "synthetic", "limit": 150, "batch_size": 2}
    m2f2bench.run(**how, out=tmp_path / "one")
    seed = random.randrange(1 << 32)
    draw, killed, over = random.Random(seed), 0, threading.Event()
    partial = tmp_path / "two" / "bright.Bright--synthetic--frame--limit150" / "predictions.partial.arrows"

    def kill() -> None:
        nonlocal killed
        for point in sorted(draw.sample(range(140), 10)):
            while len(rows_held(partial)) < point and not over.wait(0.002):
                pass
            while not over.is_set() and not kill_a_worker(ray.pids, draw):
                time.sleep(0.01)
            killed += not over.is_set()

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        m2f2bench.run(**how, out=tmp_path / "two", **RAY)
    finally:
        over.set()
        thread.join()
    assert killed == 10, seed
    assert alike(tmp_path) >= 2, seed


@pytest.mark.slow
def test_a_frame_that_ends_each_worker_is_named(bright: str, squares: Path, ray: Any, tmp_path: Path) -> None:
    rows = m2f2bench.run(detectors=f"{bright}:Bright", datasets=str(squares), out=tmp_path / "one")
    score = read_parquet(rows.folders[0] / PREDICTIONS)[20].score
    deadly = tmp_path / "deadly.py"
    ends = f"        if {score!r} in [image.mean() / 255 for image in images]: os.kill(os.getpid(), signal.SIGKILL)\n"
    deadly.write_text(CODE.replace("        deadly =", f"{ends}        deadly =", 1))
    with pytest.raises(
        MachineError, match="3 workers of Ray were lost while they worked on the 4 items from number 21"
    ):
        m2f2bench.run(detectors=f"{deadly}:Bright", datasets=str(squares), out=tmp_path / "o", batch_size=4, **RAY)
    held = tmp_path / "o" / "deadly.Bright--squares--frame" / "predictions.partial.arrows"
    assert len(rows_held(held)) >= 8, "what other workers found is kept"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "text"),
    [("Wrong", "gave 1.7 for frame"), ("Failing", "failed on all of the first 8 frames"), ("Missing", "no class")],
)
def test_an_error_is_the_one_of_one_process(
    name: str, text: str, bright: str, squares: Path, ray: Any, tmp_path: Path
) -> None:
    how: dict[str, Any] = {"detectors": f"{bright}:{name}", "datasets": str(squares), "batch_size": 8}
    said = []
    for place, more in (("one", {}), ("two", RAY)):
        with pytest.raises(M2F2BenchError) as found:
            m2f2bench.run(**how, out=tmp_path / place, **more)
        said.append((type(found.value), str(found.value)))
    assert said[0] == said[1] and text in said[0][1]


@pytest.mark.slow
def test_an_object_judges_in_workers_or_cannot_be_sent(squares: Path, ray: Any, tmp_path: Path) -> None:
    space: dict[str, Any] = {"__name__": "__main__"}  # as in a notebook
    exec(CODE, space)
    own = space["Bright"]()
    how: dict[str, Any] = {"datasets": str(squares)}
    m2f2bench.run(detectors=own, **how, out=tmp_path / "one")
    m2f2bench.run(detectors=own, **how, out=tmp_path / "two", **RAY)
    one, two = (read_parquet(next((tmp_path / name).glob("*/" + PREDICTIONS))) for name in ("one", "two"))
    assert one == two and len(one) == 48
    own.lock = threading.Lock()
    with pytest.raises(M2F2BenchError, match="the engine ray cannot send this to its workers: TypeError"):
        m2f2bench.run(detectors=own, **how, out=tmp_path / "three", **RAY)


@pytest.mark.slow
def test_a_driver_that_is_killed_goes_on(bright: str, squares: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    words = ["-m", "m2f2bench", "run", "-d", f"{bright}:Bright", "-s", str(squares), "--batch-size", "2"]
    one = subprocess.run([sys.executable, *words, "--out", tmp_path / "one"], capture_output=True, check=False)
    assert one.returncode == 0
    there = [sys.executable, *words, "--out", str(tmp_path / "two"), "--engine", "ray", "--workers", "2"]
    run = subprocess.Popen(there, env={**os.environ, "CLUSTER_WAIT": "0.2"}, stderr=subprocess.DEVNULL)
    partial = tmp_path / "two" / "bright.Bright--squares--frame" / "predictions.partial.arrows"
    until = time.monotonic() + 100
    while time.monotonic() < until and len(rows_held(partial)) < 8:
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert 8 <= len(rows_held(partial)) < 48
    deadly = tmp_path / "deadly"
    deadly.touch()
    (pids := tmp_path / "pids").mkdir()
    environment = {**os.environ, "CLUSTER_WAIT": "0.05", "CLUSTER_DEADLY": str(deadly), "CLUSTER_PIDS": str(pids)}
    environment.pop("RAY_worker_niceness", None)
    again = subprocess.run([*there, "--json"], env=environment, capture_output=True, check=False, text=True)
    assert again.returncode == 0, again.stderr
    assert not deadly.exists() and "a worker of Ray was lost, and its work is done again" in again.stderr
    assert json.loads(again.stdout)[0]["detector"] == "bright.Bright", "Ray prints nothing there"
    assert {path.read_text() for path in pids.iterdir()} == {str(os.nice(0))}, "workers get as much time as the driver"
    assert alike(tmp_path) >= 2


@pytest.mark.slow
def test_a_lost_machine_is_made_up_for(bright: str, tmp_path: Path) -> None:
    """Four machines, of which two leave; each is a real raylet with processes of its own."""
    program = f"""
import threading, time, pathlib, sys
from ray.cluster_utils import Cluster
import m2f2bench
cluster = Cluster(initialize_head=True, head_node_args={{"num_cpus": 1, "include_dashboard": False}})
nodes = [cluster.add_node(num_cpus=1) for _ in range(3)]
sys.path.insert(0, {str(ROOT / "tests" / "helpers")!r})
from rows_held import rows_held
held = pathlib.Path({str(tmp_path)!r}, "two", "bright.Bright--synthetic--frame--limit150", "predictions.partial.arrows")
def leave():
    left = 0
    while left < 2:
        node = nodes.pop()
        seen = len(rows_held(held))
        while len(rows_held(held)) < seen + 12:
            time.sleep(.05)
        try:
            cluster.remove_node(node, allow_graceful=False)
        except ValueError:  # the driver hangs on that one
            continue
        left += 1
        print("left", len(rows_held(held)), flush=True)
threading.Thread(target=leave, daemon=True).start()
how = dict(detectors={f"{bright}:Bright"!r}, datasets="synthetic", limit=150, batch_size=2)
m2f2bench.run(**how, out={str(tmp_path / "two")!r}, engine="ray", workers=3, address=cluster.address)
cluster.shutdown()
"""
    pytest.importorskip("ray")
    how: dict[str, Any] = {"detectors": f"{bright}:Bright", "datasets": "synthetic", "limit": 150, "batch_size": 2}
    m2f2bench.run(**how, out=tmp_path / "one")
    environment = {**os.environ, "CLUSTER_WAIT": "0.1", "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, timeout=250
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("left") == 2
    assert alike(tmp_path) >= 2


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--engine", "spark"], "--engine spark; known: local, ray"),
        (["--gpus-per-worker", "1"], "are for the workers of --engine ray"),
        (["--address", "auto"], "are for the workers of --engine ray"),
        (["--engine", "ray", "--gpus-per-worker", "1.5"], "1.5 GPUs cannot be given to a worker"),
        (["--engine", "ray", "--gpus-per-worker", "-1"], "-1 GPUs cannot be given to a worker"),
    ],
)
def test_what_makes_no_workers_is_one_line(
    words: list[str], text: str, cli, one_line, squares: Path, tmp_path: Path
) -> None:
    outcome = cli("run", "-d", "constant", "-s", squares, "--out", tmp_path / "o", *words)
    assert text in one_line(outcome)
    assert not (tmp_path / "o").exists()


def test_workers_of_maps_are_refused_without_the_engine(cli, one_line, tmp_path: Path) -> None:
    outcome = cli("localize", "-d", "constant", "-s", "synthetic", "--workers", 2)
    assert "--workers 2 is for the workers of --engine ray" in one_line(outcome)
    with pytest.raises(DataError, match="engine and precision are a detector's, and maps are given"):
        m2f2bench.localize({}, "synthetic", engine="ray")


def test_no_token_is_carried_to_other_machines() -> None:
    secret = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY")
    assert not any(name.startswith(CARRIED) for name in secret)


def test_without_the_package_the_extra_is_named(
    cli, one_line, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    outcome = cli("run", "-d", "constant", "-s", squares, "--out", tmp_path / "o", "--engine", "ray")
    assert "the engine ray needs the package ray" in one_line(outcome)
    assert "pip install 'm2f2bench[ray]'" in outcome.err


def machine(cpus: float, gpus: float = 0.0) -> dict[str, float]:
    return {"CPU": cpus} | ({"GPU": gpus} if gpus else {})


@pytest.mark.parametrize(
    ("asked", "machines", "found"),
    [
        (Cluster(), [machine(2)], (2, 1.0, 0.0)),
        (Cluster(1), [machine(2)], (1, 2.0, 0.0)),
        (Cluster(3), [machine(8)], (3, 2.0, 0.0)),
        (Cluster(2), [machine(8), machine(4)], (2, 4.0, 0.0)),
        (Cluster(), [machine(16, 4)], (4, 4.0, 1.0)),
        (Cluster(), [machine(16, 4), machine(64)], (4, 4.0, 1.0)),
        (Cluster(0, 2.0), [machine(16, 3), machine(16, 4)], (3, 8.0, 2.0)),
        (Cluster(0, 0.5), [machine(6, 2)], (4, 1.0, 0.5)),
        (Cluster(0, 0.0), [machine(4, 2)], (4, 1.0, 0.0)),
        (Cluster(9), [machine(4)], (4, 1.0, 0.0)),
    ],
)
def test_shares_of_a_cluster(asked: Cluster, machines: list[dict[str, float]], found: tuple[int, float, float]) -> None:
    assert shares(asked, machines) == found


def test_no_gpu_for_a_worker_is_one_line() -> None:
    with pytest.raises(CardError, match="a worker needs 2 GPUs, and the Ray cluster has 1 GPUs on 2 machines"):
        shares(Cluster(0, 2.0), [machine(8, 1), machine(8)])


@given(
    st.lists(st.tuples(st.integers(0, 64), st.integers(0, 8)), min_size=1, max_size=5),
    st.integers(0, 40),
    st.sampled_from([None, 0.0, 0.25, 0.5, 1.0, 2.0]),
)
def test_all_workers_find_a_place(held: list[tuple[int, int]], wanted: int, each: float | None) -> None:
    """Each has its CPUs and GPUs on one machine, as many as are started."""
    machines = [machine(cpus, gpus) for cpus, gpus in held]
    try:
        workers, cpus, gpus = shares(Cluster(wanted, each), machines)
    except CardError:
        return
    room = 0
    for cpu, gpu in held:
        fit = [most / own + 1e-9 for most, own in ((cpu, cpus), (gpu, gpus)) if own]
        room += int(min(fit)) if fit and (gpu or not gpus) else 0
    assert 1 <= workers <= (wanted or workers)
    assert room >= workers or not cpus
