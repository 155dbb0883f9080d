"""A program that prepares a dataset, is killed (SIGKILL) at given renames of files, and then finishes.

    python killed_prepare.py SCENES OUT POINT…

For each POINT a forked process prepares until it has renamed that many files, and is killed before the next, so that
a written file is not in its place. The last line of the output has the signals that ended the processes, 0 for none.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from m2f2bench.runs.prepare import prepare

FRAMES = 6


def renames(work: Callable[[], object], most: int | None = None) -> int:
    """Do the `work`; return how many files it renamed. This process is killed before it renames more than `most`."""
    own, count = Path.replace, 0

    def counted(path: Path, target: str | Path) -> Path:
        nonlocal count
        if count == most:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
        return own(path, target)

    Path.replace = counted  # type: ignore[method-assign, assignment]
    try:
        work()
    finally:
        Path.replace = own  # type: ignore[method-assign]
    return count


def main(scenes: str, out: str, points: list[int]) -> None:
    """Prepare into `out`, killed at each of the points, and finish."""

    def work() -> None:
        prepare(scenes, out=out, frames=FRAMES, workers=1)

    ended = []
    for point in points:
        child = os.fork()
        if not child:
            renames(work, point)
            os._exit(0)
        ended.append(-os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    work()
    print(*ended)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], [int(one) for one in sys.argv[3:]])
