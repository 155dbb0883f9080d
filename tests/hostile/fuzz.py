"""A fuzz day: valid files changed at random, thousands of times, and what their readers make of them.

    python tests/hostile/fuzz.py png hdf5 result --mutations 10000 --seed 0 [--keep FOLDER]

Half of the changes to JSON and YAML are made to their structure, by hypothesis; all others are to bytes. Mutations run
BATCH at a time in a process of their own with limits of memory and time. Prints counts for each kind: how many were
read, how many refused in one line, and how many ended in anything else, of which those are kept.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz_kinds import KINDS, Kind

BATCH = 200
SECONDS = 10.0
MEMORY = 2 << 30
"""Bytes of address space that a batch has over what the process had."""
HARMLESS = ("/sbin/ldconfig", "uname", "gcc", "cc", "ld")
"""What libraries start to learn about the machine."""
GOOD = ("read", "refused")
BAD = ("traceback", "hang", "memory", "executed", "died", "long")


@dataclass
class Found:
    """What came of a kind's mutations; `bad` are (number, outcome, detail) and `content` what was read then."""

    counts: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[int, str, str]] = field(default_factory=list)


INTERESTING = (b"\0", b"\xff", b"\x7f", b"\x80", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\x01",
               b"\xff\xff\xff\x7f", b"\0" * 8, b"\xff" * 8, b"\n", b'"', b"[" * 50, b"{", b"}", b"'", b"-", b"9" * 30,
               b"NaN", b"null", b"\\ud800", b"&a", b"*a", b"!!", b"\r\n", b"\xef\xbb\xbf", b"e999")  # fmt: skip


def changed_bytes(data: bytes, draw: random.Random) -> bytes:
    """One to six changes to the bytes."""
    made = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
        n = len(made)
        at, length = draw.randrange(n + 1), min(n, int(draw.expovariate(1 / 16)) + 1)
        way = draw.randrange(9)
        if way == 0 and n:
            made[at % n] ^= 1 << draw.randrange(8)
        elif way == 1 and n:
            made[at % n] = draw.randrange(256)
        elif way == 2:
            new = draw.choice(INTERESTING)
            made[at : at + len(new)] = new
        elif way == 3:
            made[at:at] = draw.choice(INTERESTING)
        elif way == 4:
            made[at:at] = draw.randbytes(length)
        elif way == 5:
            del made[at : at + length]
        elif way == 6:
            made[at:at] = made[at : at + length] * draw.choice((1, 1, 2, 50))
        elif way == 7:
            made[at : at + length] = bytes(length)
        elif draw.random() < 0.3:
            del made[at:]
    return bytes(made)


def places_in(told: Any) -> list[tuple[Any, ...]]:
    """The path of every value in JSON."""
    found: list[tuple[Any, ...]] = [()]
    inside = told.items() if isinstance(told, dict) else enumerate(told) if isinstance(told, list) else ()
    for key, value in inside:
        found += [(key, *rest) for rest in places_in(value)]
    return found


def replaced(told: Any, place: tuple[Any, ...], value: Any, way: int) -> Any:
    """JSON with one value replaced, removed, repeated, or put under another key."""
    if not place:
        return value
    made = json.loads(json.dumps(told))
    inside = made
    for key in place[:-1]:
        inside = inside[key]
    key = place[-1]
    if way == 1:
        del inside[key]
    elif way == 2 and isinstance(inside, list):
        inside.extend([inside[key]] * 3)
    elif way == 3 and isinstance(inside, dict):
        inside[str(value)[:40]] = inside.pop(key)
    else:
        inside[key] = value
    return made


def changed_structures(kind: Kind, data: bytes, seed: int, n: int) -> list[bytes]:
    """Values that hypothesis draws, in the places of values that are there."""
    import hypothesis
    from hypothesis import strategies as st

    assert kind.load is not None and kind.dump is not None
    told, dump = kind.load(data), kind.dump
    places = places_in(told)
    odd = [10**400, -(10**30), 1e308, "NaN", "\ud800", "a\0b", "=1+1", "../..", "evil.py:X", "x" * 5000, 2**63, "1e999"]
    plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(odd)
    values = st.recursive(
        plain,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    )
    made: list[bytes] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=n, database=None, deadline=None, phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    @hypothesis.given(st.integers(0, len(places) - 1), values, st.integers(0, 5))
    def one(at: int, value: Any, way: int) -> None:
        try:
            made.append(dump(replaced(told, places[at], value, way)))
        except ValueError:  # a number that has too many digits to be written
            made.append(data)

    one()
    return made


def mutants(kind: Kind, data: bytes, seed: int, batch: int, n: int, files: list[Path] | None = None) -> Iterator[bytes]:
    """A batch's first `n` mutations: those of structure first, where there are some; or the kept `files`."""
    if files is not None:
        yield from (path.read_bytes() for path in files[batch * BATCH :][:n])
        return
    half = changed_structures(kind, data, seed * 1_000_003 + batch, n // 2)[: n // 2] if kind.load is not None else []
    yield from half
    draw = random.Random(f"{kind.name}:{seed}:{batch}")
    for _ in range(n - len(half)):
        yield changed_bytes(data, draw)


# Processes.


def outcome(kind: Kind, path: Path) -> tuple[str, str]:
    """What reading one file comes to."""
    from m2f2bench.core.errors import M2F2BenchError

    try:
        kind.read(path)
    except M2F2BenchError as error:
        text = str(error)
        return ("refused", "") if len(" ".join(text.split())) < 2000 else ("long", text[:200])
    except MemoryError:
        return "memory", traceback.format_exc()[-600:]
    except Exception:
        return "traceback", traceback.format_exc()[-900:]
    return "read", ""


def run_batch(made: Iterator[bytes], kind: Kind, batch: int, folder: Path) -> None:
    """In a process of its own: writes a line for each mutation that is begun, and one for how it ended."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    started: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in EVENTS and str(arguments[0]) not in HARMLESS:
            started.append(f"{event} {arguments[0]!r}")

    sys.addaudithook(hook)
    (folder / "FFPP_split").mkdir(exist_ok=True)
    (folder / "FFPP_split" / "test.json").write_text('[["000", "003"]]')
    path = folder / kind.name
    with (folder / "log").open("w") as log:
        for content in made:
            path.write_bytes(content)
            log.write("?\n")
            log.flush()
            started.clear()
            how, detail = outcome(kind, path)
            how, detail = ("executed", str(started)) if started else (how, detail)
            log.write(json.dumps([how, detail]) + "\n")
            log.flush()
            if how in BAD:
                (folder / f"bad{batch}-{how}-{time.monotonic_ns()}").write_bytes(content)


EVENTS = {"os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn", "socket.connect"}


def watched(made: Iterator[bytes], kind: Kind, batch: int, n: int, folder: Path) -> list[tuple[str, str]]:
    """Run a batch; outcomes in order. What is left of it after a hang or a death is lost, and said to be."""
    log = folder / "log"
    log.write_text("")
    process = os.fork()
    if process == 0:
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        try:
            run_batch(made, kind, batch, folder)
            os._exit(0)
        finally:
            os._exit(1)
    how, size, since = "", -1, time.monotonic()
    while True:
        ended, status, _ = os.wait4(process, os.WNOHANG)
        if ended:
            how = "" if status == 0 else "died"
            break
        if log.stat().st_size != size:
            size, since = log.stat().st_size, time.monotonic()
        elif time.monotonic() - since > SECONDS + (20.0 if size == 0 else 0.0):
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            how = "hang"
            break
        time.sleep(0.01)
    lines = log.read_text().splitlines()
    found = [tuple(json.loads(line)) for line in lines if line != "?"]
    if how:
        detail = f"after {len(found)} of {n}"
        with contextlib.suppress(OSError):
            (folder / f"bad{batch}-{how}-{time.monotonic_ns()}").write_bytes((folder / kind.name).read_bytes())
        found.append((how, detail))
    return found  # type: ignore[return-value]


def fuzz(name: str, mutations: int, seed: int, keep: Path | None = None, files: Path | None = None) -> Found:
    """Run a kind's mutations, or its kept `files`. What a hang or a death takes of a batch, further batches make up."""
    kind = KINDS[name]
    kept = None if files is None else sorted((files / name).glob("*"))
    data = made_elsewhere(kind) if kept is None else b""
    mutations = mutations if kept is None else len(kept)
    found, batch = Found(), 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = keep / name if keep is not None else Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        while (left := mutations - found.counts.total()) > 0 and batch < 3 * mutations // BATCH + 3:
            made = mutants(kind, data, seed, batch, min(BATCH, left), kept)
            for how, detail in watched(made, kind, batch, min(BATCH, left), folder):
                found.counts[how] += 1
                if how in BAD:
                    found.bad.append((batch, how, detail))
            batch += 1
    return found


def made_elsewhere(kind: Kind) -> bytes:
    """The valid file, drawn in a process of its own: drawing starts threads."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reader)
        with os.fdopen(writer, "wb") as out:
            out.write(kind.draw())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as source:
        data = source.read()
    os.waitpid(process, 0)
    assert data, f"no valid {kind.name}"
    return data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="+", choices=(*KINDS, "all"))
    parser.add_argument("--mutations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="Files that ended badly are kept here.")
    parser.add_argument("--files", type=Path, help="Read the files of this folder, a folder for each kind, instead.")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    chosen = list(KINDS) if "all" in options.kinds else options.kinds
    import av  # noqa: F401

    if {"pth", "safetensors"} & set(chosen):
        import torch  # noqa: F401

    told = {}
    for name in chosen:
        began = time.monotonic()
        found = fuzz(name, options.mutations, options.seed, options.keep, options.files)
        told[name] = {"counts": dict(found.counts), "bad": found.bad[:20]}
        if not options.json:
            counts = ", ".join(f"{how} {found.counts[how]}" for how in (*GOOD, *BAD))
            print(f"{name}: {found.counts.total()} mutations in {time.monotonic() - began:.0f} s: {counts}", flush=True)
            seen = {detail.strip().splitlines()[-1][:160]: (batch, how) for batch, how, detail in found.bad if detail}
            for line, (batch, how) in list(seen.items())[:12]:
                print(f"  batch {batch} {how}: {line}", flush=True)
    if options.json:
        print(json.dumps(told))


if __name__ == "__main__":
    main()
