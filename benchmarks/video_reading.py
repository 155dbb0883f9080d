"""Reading 32 frames of a video as `run` does, over seeking by hand with PyAV. Asked: at most 1.3, of time and of CPU.

One 1280x720 H.264 file, keyframes at different distances. By hand: open the file, and for each frame seek to the
keyframe before its time, decode up to it and convert it to RGB. As `run` does: count the frames (with an empty cache),
plan 32 of them, read them ahead in threads, with their digests. Both in turn, in one process; the medians of the
ratios. The same frames must come out. What is done once for a whole dataset, to read the cards and recognise the
folder, is not in the ratios: it is `load_ms`.
"""

from __future__ import annotations

import os
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


def write(path: Path, count: int, gop: int) -> None:
    """A moving pattern with grain, as in a compressed recording."""
    import av

    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (HEIGHT // 16, WIDTH // 16, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    grain = [rng.integers(-6, 7, base.shape, dtype=np.int16) for _ in range(4)]
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
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
        "frames": count,
        "keyframe_every": gop,
        "hand_ms": 1000 * middle[0],
        "run_ms": 1000 * middle[1],
        "ratio": middle[2],
        "cpu_ratio": middle[3],
        "load_ms": 1000 * middle[4],
        "asked": f"<= {ASKED}",
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(Path(folder), count, gop) for count in COUNTS for gop in GOPS]
    report(rows)
    worst = max(float(str(row[name])) for row in rows for name in ("ratio", "cpu_ratio"))
    if worst > sized(ASKED, float("inf")):
        raise SystemExit(f"a ratio of {worst:.2f} is over {ASKED}")


if __name__ == "__main__":
    main()
