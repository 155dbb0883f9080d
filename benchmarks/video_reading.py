"""Reading 32 frames of a video as `run` does, over seeking by hand with PyAV. Asked: at most 1.3, of time and of CPU.

One 1280x720 H.264 file, keyframes at different distances. By hand: open the file, and for each frame seek to the
keyframe before its time, decode up to it and convert it to RGB. As `run` does: count the frames (with an empty cache),
plan 32 of them, read them ahead in threads, with their digests. Both in turn, in one process; the medians of the
ratios. The same frames must come out. What is done once for a whole dataset, to read the cards and recognise the
folder, is not in the ratios: it is `load_ms`.

The last row is what training does: frames of many videos in random order. Asked: at most 30 s on two idle cores.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import report, sized

COUNTS, GOPS, ROUNDS = sized(((300, 1000), (1, 12, 60, 250), 5), ((40,), (1, 12), 1))
WIDTH, HEIGHT = sized((1280, 720), (160, 96))
WANTED, RATE, ASKED = 32, 25, 1.3
SHUFFLED, VIDEOS, LENGTH, GOP = sized((360, 12, 300, 250), (12, 2, 20, 12))
SMALL = sized((640, 360), (160, 96))
SHUFFLED_ASKED = 30.0
"""Seconds."""
AHEAD = 32
"""Frames that are read ahead, as for a batch of training."""


def write(path: Path, count: int, gop: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    """A moving pattern with grain, as in a compressed recording."""
    import av

    width, height = size

    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (-(-height // 16), -(-width // 16), 3), dtype=np.uint8)
    base = blocks.repeat(16, 0).repeat(16, 1)[:height, :width]
    grain = [rng.integers(-6, 7, base.shape, dtype=np.int16) for _ in range(4)]
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"g": str(gop), "preset": "veryfast", "crf": "23"}
        for number in range(count):
            picture = np.roll(base, 2 * number, axis=1).astype(np.int16) + grain[number % 4]
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8), format="rgb24")))
        out.mux(stream.encode(None))


def by_hand(path: Path, numbers: list[int]) -> list[Any]:
    import av

    found = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for number in numbers:
            time_wanted = round(number / RATE / stream.time_base)
            container.seek(time_wanted, stream=stream)
            for frame in container.decode(stream):
                if frame.pts >= time_wanted:
                    found.append(frame.to_ndarray(format="rgb24"))
                    break
    return found


def as_run_does(adapter: Any, cache: Path) -> list[Any]:
    from m2f2bench.cards.protocols import FrameSelection
    from m2f2bench.datasets.dataset import plan_frames
    from m2f2bench.datasets.read_ahead import frames_ahead

    os.environ["M2F2BENCH_CACHE"] = str(cache)
    frames = plan_frames(adapter, "test", FrameSelection(which="uniform", count=WANTED))
    loaded = [one for one in frames_ahead(adapter, frames, count=WANTED).each() if one.digest]
    adapter.close()
    return [one.image for one in loaded]


def timed(work: Callable[[], list[Any]]) -> tuple[float, float, list[Any]]:
    """Seconds on the clock and of the processor, and what the work gave."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return time.perf_counter() - wall, time.process_time() - cpu, found


def measure(folder: Path, count: int, gop: int) -> dict[str, object]:
    import m2f2bench

    path = folder / "videos" / "real" / "video.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, count, gop)
    numbers = [((2 * i + 1) * count) // (2 * WANTED) for i in range(WANTED)]
    rows = []
    for turn in range(ROUNDS + 1):
        hand = timed(lambda: by_hand(path, numbers))
        begin = time.perf_counter()
        adapter: Any = m2f2bench.load_dataset(str(folder / "videos")).adapter
        load = time.perf_counter() - begin
        cache = folder / f"cache-{count}-{gop}-{turn}"
        own = timed(lambda adapter=adapter, cache=cache: as_run_does(adapter, cache))
        if len(own[2]) != WANTED or any(not np.array_equal(a, b) for a, b in zip(hand[2], own[2], strict=True)):
            raise SystemExit(f"{count} frames, keyframes every {gop}: the two ways read different pixels")
        if turn:  # the first round warms up
            rows.append((hand[0], own[0], own[0] / hand[0], own[1] / hand[1], load))
    middle = [statistics.median(column) for column in zip(*rows, strict=True)]
    return {
        "read": f"{WANTED} of a video",
        "frames": count,
        "keyframe_every": gop,
        "hand_ms": 1000 * middle[0],
        "run_ms": 1000 * middle[1],
        "ratio": middle[2],
        "cpu_ratio": middle[3],
        "load_ms": 1000 * middle[4],
        "asked": f"<= {ASKED}",
    }


def shuffled(folder: Path) -> dict[str, object]:
    """Read frames of several videos in random order, as training does; the files were counted before."""
    import m2f2bench
    from m2f2bench.datasets.read_ahead import frames_ahead

    os.environ["M2F2BENCH_CACHE"] = str(folder / "cache-shuffled")
    for number in range(VIDEOS):
        path = folder / "shuffled" / ("real" if number % 2 else "fake") / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, LENGTH, GOP, SMALL)
    adapter = m2f2bench.load_dataset(str(folder / "shuffled")).adapter
    frames = random.Random(0).sample(list(adapter.frames("test")), SHUFFLED)
    wall, _, found = timed(lambda: [one.digest for one in frames_ahead(adapter, frames, count=AHEAD).each()])
    adapter.close()
    if not all(found):
        raise SystemExit("a frame cannot be read")
    return {
        "read": f"{SHUFFLED} of {VIDEOS} videos in random order",
        "frames": LENGTH,
        "keyframe_every": GOP,
        "hand_ms": "",
        "run_ms": 1000 * wall,
        "ratio": "",
        "cpu_ratio": "",
        "load_ms": "",
        "asked": f"<= {1000 * SHUFFLED_ASKED:.0f} ms",
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(Path(folder), count, gop) for count in COUNTS for gop in GOPS]
        random_order = shuffled(Path(folder))
    report([*rows, random_order])
    seconds = float(str(random_order["run_ms"])) / 1000
    if seconds > sized(SHUFFLED_ASKED, float("inf")):
        raise SystemExit(f"{seconds:.0f} s in random order are over {SHUFFLED_ASKED:.0f}")
    worst = max(float(str(row[name])) for row in rows for name in ("ratio", "cpu_ratio"))
    if worst > sized(ASKED, float("inf")):
        raise SystemExit(f"a ratio of {worst:.2f} is over {ASKED}")


if __name__ == "__main__":
    main()
