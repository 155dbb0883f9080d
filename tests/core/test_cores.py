"""Cores that a process may use: those of its job or its container, not those of the machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from m2f2bench.core import cores
from m2f2bench.core.cores import processor_name, usable_cores


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 6), ("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("900000 100000", 6), ("", 6)],
)
def test_a_container_has_its_share(quota: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    monkeypatch.setattr(cores, "QUOTA", tmp_path / "cpu.max")
    assert usable_cores() == 6
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert usable_cores() == expected


def test_where_a_system_does_not_say_it_is_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(cores, "QUOTA", tmp_path / "none")
    for count, expected in ((3, 3), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda count=count: count)
        assert usable_cores() == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux gives a process some cores")
def test_a_job_has_those_that_its_scheduler_gave_it() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); " + (
        "from m2f2bench.core.cores import usable_cores; from m2f2bench.datasets.read_ahead import thread_count; "
        "print(usable_cores(), thread_count(), thread_count(3))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1", "3"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2\n\nmodel name\t: other\n", "AMD EPYC (AVX2)"),
        ("model name : Xeon: 2 GHz\nflags : avx2 avx512f avx512_bf16\n", "Xeon: 2 GHz (AVX-512)"),
        ("model name : Xeon\nflags : amx_bf16 avx2 avx512f\n", "Xeon (AMX)"),
        ("model name : K6\nflags : mmx\n", "K6"),
        ("BogoMIPS : 50.00\nFeatures : fp asimd\n", "of the platform"),
        (None, "of the platform"),
    ],
)
def test_a_processor_has_its_name_and_widest_vectors(
    said: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "processor", lambda: "of the platform")
    if said is not None:
        (tmp_path / "cpuinfo").write_text(said)
    assert processor_name() == expected


def test_linear_algebra_has_one_thread_also_where_it_is_loaded_later() -> None:
    """NumPy and SciPy have a BLAS each, and SciPy's is loaded with scikit-learn."""
    code = """
from threadpoolctl import threadpool_info
from m2f2bench.core.cores import one_blas_thread

def threads():
    return sorted({one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"})

with one_blas_thread():
    import sklearn.linear_model
    print(threads())
print(threads())
"""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    within, after = done.stdout.splitlines()
    assert within == "[1]"
    assert after == "[2]" or usable_cores() == 1
