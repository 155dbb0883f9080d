"""`m2f2bench list detectors` against `python -c pass`, whole processes in turn. Asked: at most 0.4 s more."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from common import report, sized

ROUNDS = sized(15, 1)


def timed(words: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(words, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    nothing = [sys.executable, "-c", "pass"]
    listing = [sys.executable, "-m", "m2f2bench", "list", "detectors"]
    timed(nothing), timed(listing)
    pairs = [(timed(nothing), timed(listing)) for _ in range(ROUNDS)]
    report(
        [
            {
                "what": "list detectors against python -c pass",
                "pass_s": statistics.median(p for p, _ in pairs),
                "list_s": statistics.median(q for _, q in pairs),
                "more_s": statistics.median(q - p for p, q in pairs),
                "asked": "<= 0.4",
            }
        ]
    )


if __name__ == "__main__":
    main()
