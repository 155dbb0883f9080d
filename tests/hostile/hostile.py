"""Hostile inputs: what a case is, how one is carried out in a process of its own, and what each must show.

A case draws files into an empty folder and says which command meets them there. It ends with one line of error and
status 1 or 2, or with the right result; within SECONDS and MEMORY; without a traceback; and nothing that the files name
has been executed, imported or called up over the network. The tables are the modules of TABLES; `test_hostile.py` runs
them. To add an input, add a line to a table.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import m2f2bench

TABLES = (
    "hostile_images",
    "hostile_formats",
    "hostile_videos",
    "hostile_hdf5",
    "hostile_rows",
    "hostile_manifests",
    "hostile_cards",
    "hostile_weights",
    "hostile_results",
    "hostile_names",
    "hostile_endpoint",
    "hostile_plugins",
    "hostile_files",
)
SECONDS = 10.0
MEMORY = 2048
"""MB that a case's process may take."""
CANARY = "EXECUTED"
"""A file of this name in the case's folder says that something was executed."""
WARNINGS = 2
"""Lines that may stand before the error's own: what was noticed on the way to it."""
LONGEST = 2100
"""Characters of an error's line."""

Draw = Callable[[Path], object]
Check = Callable[["Outcome"], str]
"""What is wrong with an outcome; empty where it is right."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended: `peak` of memory in MB, `executed` what was executed of what the data names."""

    status: int
    out: str
    err: str
    seconds: float
    peak: float
    executed: tuple[str, ...]
    folder: str

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Case:
    """An input: how it is drawn into the current folder, the words of the command, and what is right.

    `command` may be a function instead, for what is met from Python only. `code` are the Python files whose execution
    the command asks for.
    """

    name: str
    draw: Draw
    command: tuple[str, ...] | Callable[[], object]
    check: Check
    code: tuple[str, ...] = ()
    torch: bool = False
    """Whether torch is loaded before."""
    noise: tuple[str, ...] = ()
    """What lines on stderr begin with that somebody else's code writes there by itself."""


def refused(outcome: Outcome, *, says: str = "") -> str:
    """One line of error."""
    if outcome.status not in (1, 2):
        return f"not refused: status {outcome.status}, {outcome.out[:300]!r}"
    return "" if says in outcome.err else f"the error does not say {says!r}: {outcome.err!r}"


def refused_with(says: str) -> Check:
    return partial(refused, says=says)


def is_refusal(check: Check) -> bool:
    return check is refused or getattr(check, "func", None) is refused


def either(outcome: Outcome) -> str:
    """A result or an error: which of them is right, versions of libraries differ about."""
    return ""


def works(outcome: Outcome) -> str:
    return "" if outcome.status == 0 else f"status {outcome.status}: {outcome.err!r}"


def problems(case: Case, outcome: Outcome) -> list[str]:
    """What a case shows that none may show."""
    lines = [line for line in outcome.err.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(case.noise)]
    found = {
        f"it ran over {SECONDS:g} s": outcome.seconds > SECONDS,
        f"it took {outcome.peak:.0f} MB": outcome.peak > MEMORY,
        f"executed: {outcome.executed}": bool(outcome.executed),
        f"a traceback: {outcome.err[-1500:]}": "Traceback" in outcome.err + outcome.out,
        f"ended with status {outcome.status}": outcome.status not in (0, 1, 2),
        f"no line of error, but {lines}": outcome.status != 0 and not lines,
        f"lines that are not ours: {lines[:5]}": any(not line.startswith("m2f2bench: ") for line in lines),
        f"{len(lines)} lines of error: {lines[:5]}": outcome.status != 0 and len(lines) > 1 + WARNINGS,
        "an endless line of error": any(len(line) > LONGEST for line in lines),
    }
    told = [what for what, there in found.items() if there]
    try:
        return told or [why for why in [case.check(outcome)] if why]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        return [f"the output cannot be read: {error!r}: {outcome.out[:300]!r}"]


def put(name: str, content: bytes | str | Callable[[], bytes | str]) -> Draw:
    """Draws one file, whose content a function may make."""

    def draw(folder: Path) -> None:
        made = content() if callable(content) else content
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made.encode("utf-8", "surrogatepass") if isinstance(made, str) else made)

    return draw


def both(*draws: Draw) -> Draw:
    def draw(folder: Path) -> None:
        for one in draws:
            one(folder)

    return draw


def nothing(folder: Path) -> None:
    """Draws nothing."""


def cases_of(table: str) -> list[Case]:
    """The cases of a table's module."""
    found: list[Case] = importlib.import_module(table).CASES
    return found


def every() -> Iterator[tuple[str, Case]]:
    for table in TABLES:
        for case in cases_of(table):
            yield table, case


class Server:
    """A process with all libraries loaded, and without threads, that forks itself for every case, two at a time."""

    def __init__(self, folder: Path, wanted: Sequence[tuple[str, str]]) -> None:
        """Start on the cases that are `wanted`, (table, name) each, in a folder for all that they need."""
        self.folder, self.places = folder, {key: folder / f"case{i}.json" for i, key in enumerate(wanted)}
        (folder / "wanted.json").write_text(json.dumps(wanted))
        m2f2bench.load_dataset("synthetic").frames("test")  # drawn here: a case that starts processes of its own fails
        command = [sys.executable, str(Path(__file__).parent / "hostile_server.py"), str(folder)]
        self.process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL)

    def outcome(self, table: str, name: str) -> Outcome:
        """Wait for one case's outcome."""
        place = self.places[table, name]
        while not place.exists():
            ended = self.process.poll() is not None
            assert not ended or place.exists(), "the server has ended without this case"
            time.sleep(0.01)
        told = json.loads(place.read_text())
        return Outcome(**{**told, "executed": tuple(told["executed"])})

    def close(self) -> None:
        """End it where it has not ended by itself."""
        self.process.terminate()
        self.process.wait(timeout=60)
