"""Speed and memory of `prepare`: against bare decoding of the same frames, with one and two processes.

    python benchmarks/prepare.py [--quick]

Run it on idle cores: two processes are to be at least 1.7 times as fast as one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np
from common import report, sized

VIDEOS, LENGTH, FRAMES = sized((8, 300, 32), (2, 8, 2))
LONG = sized((1000, 10_000), ())
PROCESSES = sized((1, 2), (1,))
HELPERS = Path(__file__).resolve().parents[1] / "tests" / "helpers"
MEASURED = """
import json, resource, sys, time
from m2f2bench.runs.prepare import prepare
if __name__ == "__main__":
    begin = time.perf_counter()
    frames = None if sys.argv[3] == "all" else int(sys.argv[3])
    found = prepare(sys.argv[1], out=sys.argv[2], frames=frames, workers=int(sys.argv[4]))
    seconds = time.perf_counter() - begin
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({"seconds": seconds, "frames": found.report["frames"], "peak": peak * 1024}))
"""


def film(path: Path, count: int, width: int, height: int, number: int) -> None:
    """Write a video of a drawn face that moves over a background."""
    sys.path.insert(0, str(HELPERS))
    from face_scenes import background, drawn_face, pasted

    path.parent.mkdir(parents=True, exist_ok=True)
    room = background(np.random.default_rng(number), height, width, "scene")
    face = drawn_face(number, height // 2)[0]
    places = [pasted(room, face, (width / 2 + 8 * step, height / 2), height // 2)[0] for step in range(8)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "23", "g": "50"}
        for step in range(count):
            picture = places[abs(step // 4 % 14 - 7)]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def decoded(paths: list[Path], frames: int) -> float:
    """Return the seconds of decoding videos in order and converting the frames that are wanted."""
    begin = time.perf_counter()
    for path in paths:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            n = stream.frames
            wanted = {((2 * i + 1) * n) // (2 * frames) for i in range(frames)} if n > frames else set(range(n))
            for number, frame in enumerate(container.decode(stream)):
                if number in wanted:
                    frame.to_ndarray(format="rgb24")
    return time.perf_counter() - begin


def prepared(root: Path, out: Path, frames: str, processes: int) -> dict[str, float]:
    """Run one preparation in a process of its own, with a cache of its own."""
    script = out.with_suffix(".py")
    script.write_text(MEASURED)
    env = {**os.environ, "M2F2BENCH_CACHE": f"{out}-cache", "OMP_NUM_THREADS": "1"}
    call = [sys.executable, str(script), str(root), str(out), frames, str(processes)]
    done = subprocess.run(call, env=env, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure and print."""
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        for number in range(VIDEOS):
            film(top / "videos" / ("fake" if number % 2 else "real") / f"{number}.mp4", LENGTH, 640, 480, number)
        paths = sorted((top / "videos").rglob("*.mp4"))
        total = VIDEOS * min(FRAMES, LENGTH)
        bare = total / decoded(paths, FRAMES)
        rows.append({"what": "bare decoding", "frames": total, "frames/s": bare})
        speeds = {}
        for processes in PROCESSES:
            found = prepared(top / "videos", top / f"out{processes}", str(FRAMES), processes)
            speeds[processes] = found["frames"] / found["seconds"]
            what = f"prepare, {processes} process{'es' if processes > 1 else ''}"
            rows.append(
                {
                    "what": what,
                    "frames": found["frames"],
                    "frames/s": speeds[processes],
                    "ratio to bare": bare / speeds[processes],
                    "peak (MB)": found["peak"] / 1e6,
                }
            )
        for length in LONG:
            film(top / f"long{length}" / "real" / "1.mp4", length, 320, 240, 1)
            film(top / f"long{length}" / "fake" / "2.mp4", 8, 320, 240, 2)
            found = prepared(top / f"long{length}", top / f"outlong{length}", "all", 1)
            rows.append({"what": f"a video of {length:,} frames", "peak (MB)": found["peak"] / 1e6})
    columns = ("what", "frames", "frames/s", "ratio to bare", "peak (MB)")
    report([{name: row.get(name, "") for name in columns} for row in rows])
    if len(speeds) > 1:
        print(f"two processes are {speeds[2] / speeds[1]:.2f} times as fast as one (asked: 1.7 on idle cores)")


if __name__ == "__main__":
    main()
