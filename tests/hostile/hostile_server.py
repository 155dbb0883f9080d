"""The process that carries out hostile cases, each in a fork of its own.

python tests/hostile/hostile_server.py FOLDER: carries out the cases of FOLDER/wanted.json, a file for each outcome.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hostile
from hostile import CANARY, Case

LOADED = [
    "av",
    "h5py",
    "numpy",
    "openai",
    "pandas",
    "PIL.Image",
    "PIL.ImageOps",
    "pyarrow.csv",
    "pyarrow.parquet",
    "yaml",
    "jinja2",
    "typer",
    "scipy.stats",
    "m2f2bench.runs.run",
    "m2f2bench.cli.main",
    "m2f2bench.inference.predict",
    "m2f2bench.runs.check",
    "m2f2bench.detectors.openai.detector",
    "m2f2bench.detectors.controls",
    "m2f2bench.datasets.lists.folder",
    "m2f2bench.datasets.layouts.ffpp",
    "m2f2bench.datasets.files.video",
    "m2f2bench.scoring.score",
    "m2f2bench.scoring.compare",
    "m2f2bench.scoring.validate",
    "m2f2bench.metrics.detection.values",
    "m2f2bench.leaderboards.board",
]
HEAVY = [
    "torch",
    "safetensors.torch",
    "timm",
    "m2f2bench.detectors.timm",
    "m2f2bench.detectors.m2f2det.released.importing",
]
"""A fork of a process that has loaded these takes longer."""
ROOM = 4 << 30
"""Bytes of address space that a case has; MEMORY is what it may use."""
AT_ONCE = 2
CALLS = {"os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn"}
HARMLESS = ("/sbin/ldconfig", "uname", "gcc", "cc", "ld")
"""What libraries start to learn about the machine."""
NAMES = {"socket.getaddrinfo", "socket.gethostbyname", "socket.connect"}
LOCAL = ("127.0.0.1", "localhost", "::1")


def watch(folder: Path, allowed: tuple[str, ...], record: Path) -> None:
    """Write down every process that is started, every foreign host and every file of the folder that is executed."""
    own = [os.path.realpath(folder / name) for name in allowed]
    inside = str(folder.resolve()) + os.sep

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        told = ""
        if event in CALLS:
            told = "" if str(arguments[0]) in HARMLESS else f"{event} {arguments[:2]!r}"
        elif event in NAMES:
            place = arguments[1] if event == "socket.connect" else arguments[0]
            host = place[0] if isinstance(place, tuple) else place
            told = "" if host in LOCAL else f"{event} {host!r}"
        elif event == "exec":
            name = getattr(arguments[0], "co_filename", "")
            told = f"exec {name}" if name.startswith(inside) and name not in own else ""
        if told:
            with record.open("a") as file:
                file.write(told[:200].replace("\n", " ") + "\n")

    sys.addaudithook(hook)


def call_main(words: tuple[str, ...]) -> None:
    from m2f2bench.cli.main import main

    sys.argv = ["m2f2bench", *words]
    main()


def call_python(function: Callable[[], object]) -> None:
    """What a script of the user's would do, with its errors told as the command line tells them."""
    import logging

    from m2f2bench.core.errors import M2F2BenchError

    logging.basicConfig(format="m2f2bench: %(message)s")
    try:
        function()
    except M2F2BenchError as error:
        print(f"m2f2bench: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(error.exit_status)


def child(case: Case, folder: Path, place: Path) -> None:
    """Draw and run, with stdout and stderr in files. Never returns."""
    status = 70
    try:
        os.setpgid(0, 0)
        for number, name in ((0, "in"), (1, "out"), (2, "err")):
            target = os.open(place / name, os.O_CREAT | os.O_RDWR, 0o600) if number else os.open(os.devnull, os.O_RDWR)
            os.dup2(target, number)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="strict", closefd=False)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
        os.chdir(folder)
        case.draw(folder)
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM, taken + ROOM))
        (place / "started").write_text(repr(time.monotonic()))
        watch(folder, case.code, place / "executed")
        if callable(case.command):
            call_python(case.command)
        else:
            call_main(case.command)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                status = 71
        os._exit(status)


@dataclass
class Running:
    """A case in its own process, in the folder `place`."""

    case: Case
    place: Path
    process: int
    began: float

    def ended(self) -> dict[str, Any] | None:
        """The outcome once it has ended, or has been ended because it is late; its folder is removed then."""
        started = self._read("started")
        began, limit = (float(started), hostile.SECONDS + 1.0) if started else (self.began, 30.0)
        process, status, used = os.wait4(self.process, os.WNOHANG)
        if not process and time.monotonic() - began > limit:
            os.killpg(self.process, signal.SIGKILL)
            process, status, used = os.wait4(self.process, 0)
        if not process:
            return None
        folder = self.place / "input"
        told = {
            "status": os.waitstatus_to_exitcode(status),
            "out": self._read("out"),
            "err": self._read("err")[:100_000],
            "seconds": time.monotonic() - began,
            "peak": used.ru_maxrss / 1024,
            "executed": self._read("executed").splitlines() + [CANARY] * any(folder.rglob(CANARY)),
            "folder": str(folder),
        }
        shutil.rmtree(self.place, ignore_errors=True)
        return told

    def _read(self, name: str) -> str:
        path = self.place / name
        return path.read_text(errors="backslashreplace") if path.exists() else ""


def start(case: Case, place: Path) -> Running:
    folder = place / "input"
    folder.mkdir(parents=True)
    process = os.fork()
    if process == 0:
        child(case, folder, place)
    return Running(case, place, process, time.monotonic())


def load() -> None:
    """Import everything, and build the command line once."""
    for name in LOADED:
        importlib.import_module(name)
    import typer

    from m2f2bench.cli import main as entry

    built = typer.main.get_command(entry.app)
    entry._asked = lambda: built  # type: ignore[assignment,return-value]
    for name in ("M2F2BENCH_CARDS", "M2F2BENCH_DATA", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        os.environ.pop(name, None)


def make_materials(folder: Path) -> None:
    """In a process of its own: what makes them starts threads."""
    import hostile_materials

    maker = os.fork()
    if maker == 0:
        try:
            hostile_materials.make(folder)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    assert os.waitpid(maker, 0)[1] == 0, "no materials"
    os.environ[hostile_materials.VARIABLE] = str(folder)


def carry_out(waiting: list[tuple[Path, Case]]) -> None:
    """Run cases, AT_ONCE at a time, and write PLACE.json for each."""
    running: list[Running] = []
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            place, case = waiting.pop(0)
            running.append(start(case, place))
        for one in list(running):
            told = one.ended()
            if told is not None:
                running.remove(one)
                written = one.place.with_suffix(".new")
                written.write_text(json.dumps(told))
                written.rename(one.place.with_suffix(".json"))
        time.sleep(0.002)


def main() -> None:
    base = Path(sys.argv[1])
    load()
    from m2f2bench.core.memo import CACHE_VARIABLE, cache_folder

    (base / "cache").mkdir()
    (base / "cache" / "synthetic").symlink_to(cache_folder() / "synthetic")  # faces that the other tests need as well
    os.environ[CACHE_VARIABLE] = str(base / "cache")
    make_materials(base / "materials")
    wanted = json.loads((base / "wanted.json").read_text())
    tables = {
        table: {case.name: case for case in hostile.cases_of(table)} for table in dict.fromkeys(t for t, _ in wanted)
    }
    cases = [(base / f"case{i}", tables[table][name]) for i, (table, name) in enumerate(wanted)]
    gc.freeze()
    carry_out([(place, case) for place, case in cases if not case.torch])
    heavy = [(place, case) for place, case in cases if case.torch]
    if heavy:
        for name in HEAVY:
            importlib.import_module(name)
        gc.freeze()
        carry_out(heavy)


if __name__ == "__main__":
    main()
