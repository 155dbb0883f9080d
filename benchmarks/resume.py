"""Checking known frames again when a finished run is repeated, over repeating it without the check.

Asked: at most 3 s more for 50,000 frames. The check looks at size and times of every frame's file; `touched` has all
times changed, so that every file is read once more for its digest.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
from common import report
from PIL import Image

FRAMES = 50_000


def make_tiny(root: Path, count: int) -> None:
    """`count` PNG files of 8x8 pixels, half real, half fake, each a link to one of two files' copies."""
    for label, level in (("real", 60), ("fake", 190)):
        (root / label).mkdir(parents=True)
        first = root / label / "000000.png"
        Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(first)
        data = first.read_bytes()
        for number in range(1, count // 2):
            (root / label / f"{number:06d}.png").write_bytes(data)


def main() -> None:
    import m2f2bench
    from m2f2bench.runs import job

    count = 200 if "--quick" in sys.argv else FRAMES
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ["M2F2BENCH_CACHE"] = str(root / "cache")
        make_tiny(root / "faces", count)

        def run() -> float:
            start = time.perf_counter()
            m2f2bench.run(detectors="constant", datasets=str(root / "faces"), out=root / "out")
            return time.perf_counter() - start

        run()
        checked = min(run() for _ in range(3))
        held = {frame.id: "x" for frame in m2f2bench.load_dataset(str(root / "faces")).frames("test")}
        with mock.patch.object(job, "unchanged", lambda *_: held):
            run()  # all stamps become this one
            bare = min(run() for _ in range(3))
        run()
        for path in (root / "faces").rglob("*.png"):
            os.utime(path)
        touched = run()
        report(
            [
                {
                    "what": f"run repeated, {count:,} known frames",
                    "unchecked_s": bare,
                    "checked_s": checked,
                    "more_s": checked - bare,
                    "touched_s": touched,
                    "asked": "<= 3 s more",
                }
            ]
        )


if __name__ == "__main__":
    main()
