"""`run` with one and with two workers of a Ray cluster on this machine, each computing on one thread.

Frames a second are of what more frames take: the time of many less that of few, so that the start of Ray and of the
workers is left out; that is given apart. Asked: two workers on two cores at least 1.7 times one. `one process` is `run`
without workers, on as many threads as the machine has cores. `over bare` is the time of a frame over that of a bare
forward pass, also on all cores, of frames that were decoded and normalised before: half of it passes before the runs of
a line, and half after them. All are medians of the rounds.
"""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

from common import BarePass, command, make_frames, make_lite0, report, sized

FEW, MANY = sized((256, 2304), (4, 8))
BATCH, BARE = 32, sized(512, 8)
"""Images of a batch, as `run` makes them, and frames of the bare pass."""
BY = sized({"one process": 0, "one worker": 1, "two workers": 2}, {"one worker": 1})
ROUNDS = sized(3, 1)
ASKED = 1.7


def timed(folder: Path, frames: Path, network: Path, words: list[object], threads: int) -> list[float]:
    """Seconds of a run of few frames, and of one of many."""
    taken = []
    for count in (FEW, MANY):
        begin = time.perf_counter()
        out = folder / "-".join(map(str, ["out", count, *words]))
        command(["run", "-d", network, "-s", frames, "--limit", count, "--out", out, *words], folder / "log", threads)
        taken.append(time.perf_counter() - begin)
    return taken


def main() -> None:
    """Print the table."""
    import torch

    import m2f2bench

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_frames(folder / "frames", MANY)
        network = make_lite0(folder / "lite0")
        torch.set_num_threads(os.cpu_count() or 1)
        bare = BarePass(m2f2bench.load_detector(str(network), device="cpu"), folder / "frames", BATCH, BARE)
        bare(bare.batches)  # the first warms up
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in BY}
        for turn, (name, count) in itertools.product(range(ROUNDS), BY.items()):
            words: list[object] = ["--engine", "ray", "--workers", count] if count else []
            cores = 1 if count else os.cpu_count() or 1
            runs = partial(timed, folder / str(turn), folder / "frames", network, words, cores)
            seconds, (few, many) = bare.beside(runs)
            rate = (MANY - FEW) / (many - few)
            found[name].append((rate, few - FEW / rate, 1 / seconds / rate))
    columns = ("frames/s", "seconds before the first", "over bare")
    medians = {name: map(statistics.median, zip(*of, strict=True)) for name, of in found.items()}
    report([{"judged by": name, **dict(zip(columns, of, strict=True))} for name, of in medians.items()])
    if "two workers" in found:
        pairs = zip(found["two workers"], found["one worker"], strict=True)
        times = statistics.median(two[0] / one[0] for two, one in pairs)
        print(f"two workers judge {times:.2f} times as fast as one; asked: {ASKED}")
        if times < ASKED:
            raise SystemExit(1)


if __name__ == "__main__":
    main()
