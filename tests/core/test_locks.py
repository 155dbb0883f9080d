"""E4: two writers into one folder: the second is refused with who holds it, the first ends with its own work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from toy_launch import ON_THE_CPU

from m2f2bench.core.errors import DetectorError, StoreError
from m2f2bench.core.locks import LOCK, holding, holding_vacant

HELD = r"'.*' is being written by another process \(process (\d+) on \S+, since [\d-]+ [\d:]+\): wait, or give another"
HOLDER = "import sys, time, pathlib; from m2f2bench.core.locks import holding\n"
"""A program's first line."""


def _start(program: str, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER + program, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **ON_THE_CPU}, text=True)


def _hold(folder: Path, more: str = "") -> subprocess.Popen[str]:
    """A process that holds a folder, from when this returns on."""
    wait = f"with holding(pathlib.Path(sys.argv[1])):\n{more} print('held', flush=True); time.sleep(60)"
    process = _start(wait, str(folder))
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_e4_the_second_is_told_who_holds_a_folder_and_a_kill_lets_it_go(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    process = _hold(folder)
    try:
        with pytest.raises(StoreError, match=HELD) as caught, holding(folder):
            pass
        assert f"process {process.pid} on" in str(caught.value)
        assert process.poll() is None and (folder / LOCK).exists()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (folder / LOCK).exists()  # of no more meaning
    with holding(folder), pytest.raises(StoreError, match=HELD) as caught, holding(folder):
        pass
    assert f"process {os.getpid()} on" in str(caught.value)
    assert list(folder.iterdir()) == []


def test_e4_a_forked_worker_that_outlives_its_parent_holds_nothing(tmp_path: Path) -> None:
    fork = " import os\n if os.fork() == 0: print('forked', flush=True); time.sleep(60); os._exit(0)\n"
    process = _start(f"with holding(pathlib.Path(sys.argv[1])):\n{fork} time.sleep(60)", str(tmp_path / "out"))
    assert process.stdout is not None and process.stdout.readline() == "forked\n"
    with pytest.raises(StoreError), holding(tmp_path / "out"):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    with holding(tmp_path / "out"):
        pass
    subprocess.run(["pkill", "-9", "-P", "1", "-f", str(tmp_path / "out")], check=False)


def test_e4_of_many_at_once_one_at_a_time_holds_it(tmp_path: Path) -> None:
    """Each adds one to a number when it holds the folder; what it adds is never lost."""
    add = """
from m2f2bench.core.errors import StoreError
folder, number = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
for _ in range(30):
    while True:
        try:
            with holding(folder):
                now = int(number.read_text())
                time.sleep(0.001)
                number.write_text(str(now + 1))
            break
        except StoreError:
            time.sleep(0.002)
"""
    number = tmp_path / "number"
    number.write_text("0")
    processes = [_start(add, str(tmp_path / "out"), str(number)) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert number.read_text() == "90"


def test_e4_a_folder_that_is_not_empty_is_refused_before_and_after(tmp_path: Path) -> None:
    with holding_vacant(tmp_path / "new"):
        assert (tmp_path / "new").is_dir()
    assert not (tmp_path / "new").exists()  # nothing was put into it
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "card.yaml").touch()
    for place in (tmp_path / "full", tmp_path / "full" / "card.yaml"):
        with pytest.raises(DetectorError, match="is not an empty folder"), holding_vacant(place):
            pass
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / LOCK).mkdir()
    with pytest.raises(StoreError, match="cannot write"), holding(tmp_path / "odd"):
        pass
    os.mkfifo(tmp_path / "full" / LOCK)
    with holding(tmp_path / "full"):
        pass
