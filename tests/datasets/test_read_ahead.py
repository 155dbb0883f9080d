"""Frames read ahead: in order, whatever they take, and never more of them in memory than the limit."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2f2bench.datasets import limits, read_ahead
from m2f2bench.datasets.limits import Gate
from m2f2bench.datasets.read_ahead import ReadAhead, held_bytes

MB = 1 << 20


class Ledger:
    """Work whose results are of given sizes, and what of them is in memory at most."""

    def __init__(self, sizes: list[int], failing: int = -1) -> None:
        self.sizes, self.failing = sizes, failing
        self.lock = threading.Lock()
        self.made = self.given = self.most = 0
        self.most_bytes = self.bytes = 0

    def work(self, number: int) -> tuple[int, int]:
        if number == self.failing:
            raise ValueError(f"number {number}")
        time.sleep(0.0005)
        with self.lock:
            self.made += 1
            self.bytes += self.sizes[number]
            self.most, self.most_bytes = max(self.most, self.made - self.given), max(self.most_bytes, self.bytes)
        return number, self.sizes[number]

    def release(self, results: list[tuple[int, int]]) -> None:
        with self.lock:
            self.given += len(results)
            self.bytes -= sum(size for _, size in results)

    def ahead(self, count: int = 64, threads: int = 4) -> ReadAhead[int, tuple[int, int]]:
        return ReadAhead(self.work, range(len(self.sizes)), count=count, size=lambda one: one[1], threads=threads)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_results_come_in_order_and_no_more_than_count_ahead(threads: int) -> None:
    ledger = Ledger([1] * 300)
    seen = []
    for number, size in ledger.ahead(count=8, threads=threads).each():
        seen.append(number)
        ledger.release([(number, size)])
    assert seen == list(range(300)) and ledger.most <= 8 + 1


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("shares", [[1.0], [0.3], [0.01, 0.9], [2.5, 0.1]])
@pytest.mark.parametrize("kept", [1, 2])
def test_e2_what_is_held_is_bounded_by_bytes_and_not_by_count(
    monkeypatch: pytest.MonkeyPatch, shares: list[float], kept: int, threads: int
) -> None:
    """Held at most: the limit, and what was begun before the first sizes were known (one for each thread)."""
    monkeypatch.setattr(read_ahead, "AHEAD_BYTES", 100 * MB)
    monkeypatch.setattr(read_ahead, "BATCH_BYTES", 50 * MB)
    sizes = [int(shares[i % len(shares)] * 50 * MB) for i in range(60)]
    ledger = Ledger(sizes)
    seen = []
    users: list[list[tuple[int, int]]] = []
    for batch in ledger.ahead(threads=threads).batches(32, kept):
        taken = list(batch)
        assert len(taken) == 1 or sum(size for _, size in taken) <= 50 * MB
        seen += [number for number, _ in taken]
        users.append(taken)
        if len(users) == kept:
            ledger.release(users.pop(0))
    assert seen == list(range(60))
    assert ledger.most_bytes <= 100 * MB + (threads + 1) * max(sizes)
    steady = Ledger([max(sizes)] * 60)  # all alike: nothing but the limit counts once the first are known
    for batch in steady.ahead(threads=threads).batches(32):
        steady.release(list(batch))
    assert steady.most_bytes <= max(100 * MB + max(sizes), (threads + 1) * max(sizes))


def test_small_results_fill_their_batches() -> None:
    ledger = Ledger([1000] * 70)
    assert [len(batch) for batch in ledger.ahead().batches(32)] == [32, 32, 6]


def test_what_was_read_before_a_failure_is_given_first() -> None:
    ledger = Ledger([1] * 50, failing=19)
    seen = []
    with pytest.raises(ValueError, match="number 19"):
        for batch in ledger.ahead().batches(8):
            seen += [number for number, _ in batch]
    assert seen == list(range(19))
    with pytest.raises(ValueError, match="number 19"):
        for number, _ in Ledger([1] * 50, failing=19).ahead().each():
            assert number < 19


def test_threads_end_with_the_work_and_when_it_is_given_up() -> None:
    before = set(threading.enumerate())  # of earlier tests: they may end meanwhile
    reading = Ledger([1] * 500).ahead(count=4).each()
    next(reading)
    assert sum(thread.name.startswith("read-") for thread in set(threading.enumerate()) - before) >= 1
    reading.close()
    for _ in Ledger([1] * 20).ahead().each():
        pass
    assert [thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("read-")] == []
    assert list(ReadAhead(lambda one: one, [], count=4, size=lambda one: 0).batches(3)) == []


def test_bytes_of_what_a_detector_prepares() -> None:
    pixels = np.zeros((10, 10, 3), np.uint8)
    assert held_bytes(pixels) == 300 and held_bytes([pixels, (pixels, None)]) == 600
    assert held_bytes({"a": pixels, "b": "text"}) == 300 and held_bytes(None) == 0


def test_a_gate_lets_large_work_in_alone() -> None:
    gate, running, most = Gate(100), [], []
    lock = threading.Lock()

    def work(size: int) -> None:
        with gate.taking(size):
            with lock:
                running.append(size)
                most.append((len(running), sum(running)))
            time.sleep(0.002)
            with lock:
                running.remove(size)

    threads = [threading.Thread(target=work, args=(size,)) for size in [40, 40, 500, 30, 60, 200, 10] * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(most) == 21 and all(total <= 100 or count == 1 for count, total in most)


def test_the_limits_fit_each_other() -> None:
    """A batch is closed before what is held keeps the next frame from being read; one picture fits into each."""
    assert limits.BATCH_BYTES <= limits.AHEAD_BYTES
    assert 3 * limits.MAX_PIXELS <= limits.BATCH_BYTES <= limits.VIDEO_BYTES


PEAK = """
import re, sys
import m2f2bench
m2f2bench.run(detectors="constant", datasets=sys.argv[1], out=sys.argv[2])
print(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read()).group(1))
"""
"""Prints the peak of the process's own memory in KiB; `ru_maxrss` would begin with its parent's."""


def white_png(side: int) -> bytes:
    """A file of a few KB that is `side` × `side` pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer = zlib.compressobj(1)
    rows = b"".join([*(packer.compress(b"\0" + b"\xff" * 3 * side) for _ in range(side)), packer.flush()])
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="how much memory a process took is told otherwise elsewhere")
def test_e2_large_pictures_in_small_files_do_not_fill_the_memory(tmp_path: Path) -> None:
    """12 pictures of 147 MB each: 1.8 GB at once, where a batch has 32 of them."""
    data = white_png(7000)
    for i in range(12):
        path = tmp_path / "data" / ("fake" if i % 2 else "real") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    done: Any = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / "data"), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) * 1024 <= 1.5e9


def test_what_is_done_at_once_is_one_threads_work_and_what_takes_long_is_shared() -> None:
    """Items that take no time and then long: each is worked on once, in order, whoever rests."""
    by: list[str] = []
    lock = threading.Lock()

    def work(number: int) -> int:
        if number >= 400:
            time.sleep(0.01)
        with lock:
            by.append(threading.current_thread().name)
        return number

    reading = ReadAhead(work, range(440), count=32, size=lambda one: 0, threads=3)
    assert list(reading.each()) == list(range(440)) and len(by) == 440
    quick, slow = by[100:390], by[410:]
    assert max(quick.count(name) for name in set(quick)) > len(quick) / 2 and len(set(slow)) > 1


@given(
    st.lists(st.tuples(st.sampled_from([0, 0, 0, 0.002, 0.006]), st.integers(0, 60)), max_size=30),
    st.integers(1, 6),
    st.integers(1, 4),
)
@settings(max_examples=40)
def test_no_item_is_lost_whatever_they_take(items: list[tuple[float, int]], count: int, threads: int) -> None:
    def work(number: int) -> int:
        time.sleep(items[number][0])
        return number

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_ahead, "AHEAD_BYTES", 100)
        reading = ReadAhead(work, range(len(items)), count=count, size=lambda one: items[one][1], threads=threads)
        assert [one for batch in reading.batches(3) for one in batch] == list(range(len(items)))
