"""What one training frame costs from an HDF5 file: through the adapter, and by reading its clip to index into
it.

Run `python benchmarks/hdf5_read.py` (a minute; needs about 400 MB in the temporary folder at a time). Both
ways read the same randomly drawn frames, alternately, in one run, from files that are open and in the page
cache: what is compared is the reading, not the disk. The exit status is 1 if the contiguous layout gains less
than `--require`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import h5py
import numpy as np
from common import sized

from m2f2bench.core.records import Frame
from m2f2bench.datasets.layouts.ffpp import FFPPAdapter, FFPPOptions

SIDE = 224
FRAME = (SIDE, SIDE, 3)


def layouts(frames: int) -> dict[str, dict[str, Any]]:
    """Name to the storage settings of a dataset of `frames` frames."""
    return {
        "contiguous": {},
        "chunk per frame": {"chunks": (1, *FRAME)},
        "chunk per frame + gzip": {"chunks": (1, *FRAME), "compression": "gzip"},
        "whole-clip chunk + gzip": {"chunks": (frames, *FRAME), "compression": "gzip"},
    }


def face_like(frames: int, rng: np.random.Generator) -> np.ndarray:
    """A clip, uint8 [frames, 224, 224, 3], that moves a little and has soft shapes and sensor noise: gzip
    keeps about as much of it as of a decoded face crop, neither nothing nor all."""
    coarse = rng.uniform(30.0, 220.0, (15, 15, 3))
    at = np.linspace(0.0, 13.999, SIDE + 16)
    low, share = at.astype(int), (at % 1.0)[:, None, None]
    rows = coarse[low] * (1 - share) + coarse[low + 1] * share
    share = (at % 1.0)[None, :, None]
    soft = rows[:, low] * (1 - share) + rows[:, low + 1] * share
    clip = np.empty((frames, *FRAME), np.uint8)
    for number in range(frames):
        top, left = (int(8 + 7 * f(number / 9)) for f in (np.sin, np.cos))
        noise = rng.normal(0.0, 1.5, FRAME)
        clip[number] = np.clip(soft[top : top + SIDE, left : left + SIDE] + noise, 0, 255)
    return clip


def build(root: Path, storage: dict[str, Any], frames: int, videos: int, seed: int) -> None:
    """Write one file with `videos` clips and the list that names them."""
    rng = np.random.default_rng(seed)
    names = [f"{number:03d}" for number in range(videos)]
    with h5py.File(root / "FF++_original_c23.h5", "w") as file:
        for name in names:
            file.create_dataset(name, data=face_like(frames, rng), **storage)
    (root / "FFPP_split").mkdir()
    pairs = list(zip(names[::2], names[1::2], strict=True))
    (root / "FFPP_split" / "train.json").write_text(json.dumps(pairs))


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds, and what the work gave."""
    start = time.perf_counter()
    outcome = work()
    return 1000 * (time.perf_counter() - start), outcome


def measure(root: Path, repeats: int, seed: int) -> dict[str, float]:
    """Medians in milliseconds per frame for both ways, and their ratio.

    `first_ms` is the adapter's first frame of a video in a process, which also opens the video; no part of
    the ratio.
    """
    adapter = FFPPAdapter(root, FFPPOptions(methods=("original",)))
    frames = adapter.frames("train")
    rng = np.random.default_rng(seed)
    single: list[float] = []
    whole: list[float] = []
    with h5py.File(root / "FF++_original_c23.h5", "r", locking=False) as file:

        def clip_then_index(frame: Frame) -> Any:
            return file[frame.locator.key][()][frame.locator.index]

        for key in file:  # warm: open handles, filled page cache
            file[key][()]
        adapter.read(frames[0])
        per_video = {frame.video: frame for frame in frames if frame.video != frames[0].video}
        first = [timed(lambda frame=frame: adapter.read(frame))[0] for frame in per_video.values()]
        for number in rng.integers(len(frames), size=repeats):
            frame = frames[int(number)]
            for _ in range(3):  # three cheap reads for each dear one, of frames all over the file
                other = frames[int(rng.integers(len(frames)))]
                single.append(timed(lambda other=other: adapter.read(other))[0])
            elapsed, pixels = timed(lambda frame=frame: clip_then_index(frame))
            whole.append(elapsed)
            if not np.array_equal(pixels, adapter.read(frame)):
                raise SystemExit(f"{frame.id}: the two ways read different pixels")
    adapter.close()
    return {
        "adapter_ms": median(single),
        "first_ms": median(first),
        "clip_ms": median(whole),
        "ratio": median(whole) / median(single),
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure every layout and clip length, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--frames", type=int, nargs="+", default=sized([100, 400], [4]), help="clip lengths")
    parser.add_argument("--videos", type=int, default=sized(4, 2), help="clips a file, an even number")
    parser.add_argument("--repeats", type=int, default=sized(24, 1), help="clip reads a layout; 3 frame reads for each")
    parser.add_argument("--require", type=float, default=sized(14.0, 0.0), help="least ratio of the contiguous layout")
    parser.add_argument("--quick", action="store_true", help="very little, to see whether it runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if options.videos < 2 or options.videos % 2 or min(options.frames) < 1 or options.repeats < 1:
        parser.error("--videos must be even, and --frames and --repeats at least 1")
    rows: list[dict[str, Any]] = []
    for frames in options.frames:
        for name, storage in layouts(frames).items():
            with tempfile.TemporaryDirectory(prefix="hdf5_read_") as folder:
                build(Path(folder), storage, frames, options.videos, options.seed)
                size = (Path(folder) / "FF++_original_c23.h5").stat().st_size / 2**20
                result = measure(Path(folder), options.repeats, options.seed)
            rows.append({"layout": name, "frames": frames, "file_mib": round(size, 1), **result})
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        heads = ("adapter ms", "first ms", "whole clip ms", "ratio")
        print(f"{'layout':<24} {'frames':>6} {'file MiB':>9} {heads[0]:>11} {heads[1]:>9} {heads[2]:>14} {heads[3]:>8}")
        for row in rows:
            print(
                f"{row['layout']:<24} {row['frames']:>6} {row['file_mib']:>9.1f} {row['adapter_ms']:>11.3f} "
                f"{row['first_ms']:>9.3f} {row['clip_ms']:>14.2f} {row['ratio']:>8.1f}"
            )
    short = [row for row in rows if row["layout"] == "contiguous" and row["ratio"] < options.require]
    for row in short:
        print(f"contiguous, {row['frames']} frames: {row['ratio']:.1f} < {options.require:g}", file=sys.stderr)
    return 1 if short else 0


if __name__ == "__main__":
    raise SystemExit(main())
