"""`run` with one and with two workers of a Ray cluster on this machine, each computing on one thread.

Frames a second are of what more frames take: the time of many less that of few, so that the start of Ray and of the
workers is left out; that is given apart. Asked: two workers on two cores at least 1.7 times one. `one process` is `run`
without workers, on as many threads as the machine has cores.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from common import command, make_frames, make_lite0, report, sized

FEW, MANY = sized((256, 2304), (4, 8))
BY = sized({"one process": 0, "one worker": 1, "two workers": 2}, {"one worker": 1})
ASKED = 1.7


def seconds(folder: Path, network: Path, frames: int, words: list[object], threads: int) -> float:
    """Time of one run over so many frames."""
    begin = time.perf_counter()
    out = folder / "-".join(map(str, ["out", frames, *words]))
    command(
        ["run", "-d", network, "-s", folder / "frames", "--limit", frames, "--out", out, *words],
        folder / "log",
        threads,
    )
    return time.perf_counter() - begin


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_frames(folder / "frames", MANY)
        network, rates = make_lite0(folder / "lite0"), {}
        rows: list[dict[str, object]] = []
        for name, count in BY.items():
            words: list[object] = ["--engine", "ray", "--workers", count] if count else []
            threads = 1 if count else os.cpu_count() or 1
            few, many = (seconds(folder, network, frames, words, threads) for frames in (FEW, MANY))
            rates[name] = (MANY - FEW) / (many - few)
            rows.append(
                {"judged by": name, "frames/s": rates[name], "seconds before the first": few - FEW / rates[name]}
            )
        report(rows)
    if "two workers" in rates:
        times = rates["two workers"] / rates["one worker"]
        print(f"two workers judge {times:.2f} times as fast as one; asked: {ASKED}")
        if times < ASKED:
            raise SystemExit(1)


if __name__ == "__main__":
    main()
