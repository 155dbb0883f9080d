"""Where the quickstart's time goes: one cold run in a process of its own, without a cache, by part, as Markdown.

Asked: at most 60 s on two idle cores. Each second counts for the innermost part that the main thread is in. Beside
other work the processor's seconds, of all threads, say more: they also become longer, but much less.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import ROOT, quick_cards, sized

MOST = 60.0
IMPORTS, UNPACKING, OTHER, TOTAL = "imports", "unpacking the faces", "other, with the start of Python", "all"
PARTS = {
    UNPACKING: ("datasets.synthetic.cache._make",),
    "`frequency`: features": ("detectors.frequency.features",),
    "`frequency`: logistic regressions": ("training.linear.fit_linear",),
    "`small-cnn`: images and augmentation": ("training.network._Detection.batches",),
    "`small-cnn`: forward passes": ("training.network._Detection.loss",),
    "`small-cnn`: backward passes": ("accelerate.Accelerator.backward",),
    "`small-cnn`: optimiser": ("training.sharing.Whole.update",),
    "`small-cnn`: validation": ("training.loop._Training._validate",),
    "`small-cnn`: checkpoints": ("training.loop._Training._save",),
    "training: data's fingerprint, weights, records": ("runs.run.train",),
    "judging": ("runs.detection.DetectionJob.run",),
    "metrics and intervals": ("runs.detection.score_rows",),
    "board and pages": ("leaderboards.board.build_board", "leaderboards.render.write_board"),
}
"""Functions of each part."""


class Clock:
    """Seconds of the main thread, and processor time of the process, by part."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.used: Counter[str] = Counter()
        self.parts = [OTHER]
        self.last, self.last_used = time.perf_counter(), time.process_time()

    def turn(self) -> None:
        """Count the time since the last turn for the present part."""
        now, used = time.perf_counter(), time.process_time()
        self.seconds[self.parts[-1]] += now - self.last
        self.used[self.parts[-1]] += used - self.last_used
        self.last, self.last_used = now, used

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the block for a part."""
        self.turn()
        self.parts.append(name)
        try:
            yield
        finally:
            self.turn()
            self.parts.pop()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, counted for a part: in the main thread, or where the main thread waits for it."""

        @functools.wraps(function)
        def wrapped(*args: Any, **more: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                return self.awaited(name, lambda: function(*args, **more))
            with self.part(name):
                return function(*args, **more)

        return wrapped

    def awaited(self, name: str, work: Callable[[], Any]) -> Any:
        """Do the work of another thread; move its time from the main thread's part to `name` if that waits for it."""
        if name != UNPACKING:
            return work()
        waiting, begin, begin_used = self.parts[-1], time.perf_counter(), time.thread_time()
        try:
            return work()
        finally:
            took, used = time.perf_counter() - begin, time.thread_time() - begin_used
            self.seconds.update({name: took, waiting: -took})
            self.used.update({name: used, waiting: -used})

    def watch(self, name: str, place: str) -> None:
        """Count the function at a dotted place, of this package or of accelerate, for a part."""
        words = place.split(".")
        length = next(i for i, word in enumerate(words) if word.strip("_")[0].isupper() or i == len(words) - 1)
        module = ".".join(words[:length])
        owner: Any = importlib.import_module(module if module == "accelerate" else f"m2f2bench.{module}")
        for word in words[length:-1]:
            owner = getattr(owner, word)
        setattr(owner, words[-1], self.timed(name, getattr(owner, words[-1])))


def child(words: list[str], place: Path) -> None:
    """Run the command line in this process and write the seconds of each part."""
    clock = Clock()
    builtins.__import__ = clock.timed(IMPORTS, builtins.__import__)
    with clock.part(IMPORTS):
        for name, places in PARTS.items():
            for one in places:
                clock.watch(name, one)
        from m2f2bench.cli.main import main
    sys.argv = ["m2f2bench", *words]
    try:
        main()
    finally:
        clock.turn()
        place.write_text(json.dumps([clock.seconds, clock.used]))


def measured() -> list[dict[str, Any]]:
    """Return rows of part, seconds, and processor time (user and system) with its share, for one cold run."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        few = sized([], [*quick_cards(place / "cards"), "--limit", "40"])
        words = ["run", "quickstart", "--out", str(place / "out"), *few]
        paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        cold = sized({"M2F2BENCH_CACHE": str(place / "cache")}, {})
        environment = {**os.environ, **cold, "PYTHONPATH": paths}
        script = [sys.executable, str(Path(__file__).resolve()), "--child", str(place / "parts.json")]
        used, begin = processor_time(), time.perf_counter()
        subprocess.run([*script, *words], cwd=place, env=environment, stdout=2, check=True)
        whole, used = time.perf_counter() - begin, processor_time() - used
        seconds, by_part = json.loads((place / "parts.json").read_text())
    seconds[OTHER] += whole - sum(seconds.values())
    by_part[OTHER] += used - sum(by_part.values())
    rows = [(name, seconds.get(name, 0.0), by_part.get(name, 0.0)) for name in (IMPORTS, *PARTS, OTHER)]
    return [
        {"part": name, "seconds": wall, "processor": one, "share": one / used}
        for name, wall, one in [*rows, (TOTAL, whole, used)]
    ]


def processor_time() -> float:
    """Return user and system seconds of all child processes that have ended."""
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[3:], Path(sys.argv[2]))
        return
    loads = " ".join(f"{load:.1f}" for load in os.getloadavg())
    rows = measured()
    if "--json" in sys.argv:
        print(json.dumps(rows, indent=1))
        return
    print("| part | seconds | processor's seconds | share of these |\n|---|---:|---:|---:|")
    for row in rows:
        print(f"| {row['part']} | {row['seconds']:.1f} | {row['processor']:.1f} | {row['share']:.0%} |")
    print(f"\n{os.cpu_count()} cores; load average before the run: {loads}; asked: at most {MOST:.0f} s in all")


if __name__ == "__main__":
    main()
