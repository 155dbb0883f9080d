"""A warm command line: a process that has imported what commands import, and forks itself for each of them.

python tests/helpers/warm_commands.py FOLDER: listens at FOLDER/socket, and writes FOLDER/m2f2bench, a program that has
the command carried out in such a fork: in the caller's folder, environment, input and outputs, to the same status.
A fork does what `python -m m2f2bench` does, or `python -c` if the first word is `-c`, without the seconds that imports
take; of the user's it has imported nothing.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import util
from pathlib import Path

LOADED = ["m2f2bench.cli.main", "m2f2bench.runs.run", "m2f2bench.leaderboards.report", "pandas", "pyarrow.parquet"]
LOADED += ["scipy.stats", "torch", "timm", "sklearn.metrics", "av", "matplotlib.figure", "nltk.stem.porter"]
CLIENT = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as line:
    line.connect({place!r})
    told = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(line, [len(told).to_bytes(8, "little")], [0, 1, 2])
    line.sendall(told)
    status = line.recv(1)
os._exit(status[0] if status else 70)
"""


def take_over(line: socket.socket) -> None:
    """Become the process that a client is: its arguments, folder, environment, import path, input and outputs."""
    size, fds, _, _ = socket.recv_fds(line, 8, 3)
    told = b""
    while len(told) < int.from_bytes(size, "little"):
        told += line.recv(1 << 16)
    words, folder, environment = json.loads(told)
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
        os.close(fd)
    sys.stdout, sys.stderr = (os.fdopen(fd, "w", encoding="utf-8", closefd=False) for fd in (1, 2))
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    own = [folder, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    sys.path[:] = [*own, *(place for place in sys.path[1:] if place not in own)]
    sys.argv = ["m2f2bench", *words]


def child(line: socket.socket) -> None:
    """Carry a command out and tell its status. Never returns."""
    status = 70
    try:
        take_over(line)
        if sys.argv[1] == "-c":
            exec(compile(sys.argv[2], "<string>", "exec"), {"__name__": "__main__"})
        else:
            from m2f2bench.cli.main import main

            main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    finally:
        util._exit_function()  # type: ignore[attr-defined]
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        line.sendall(bytes([status & 0xFF]))
        os._exit(status)


def main(folder: Path) -> None:
    for name in LOADED:
        importlib.import_module(name)
    gc.freeze()
    place = folder / "socket"
    program = folder / "m2f2bench"
    program.write_text(CLIENT.format(python=sys.executable, place=str(place)))
    program.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        listening.listen()
        print("ready", flush=True)
        while True:
            line, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                child(line)
            line.close()
            os.wait()


@contextmanager
def warm_commands(folder: Path) -> Iterator[Path]:
    """Start such a process in an empty folder, and give the program that calls it; commands run one after another."""
    words = [sys.executable, __file__, str(folder)]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            yield folder / "m2f2bench"
        finally:
            process.kill()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
