"""Speed and memory of `prepare`: against bare decoding of the same frames, with one and two processes.

    python benchmarks/prepare.py [--videos 8] [--frames 32] [--long 10000] [--side 640x480]

Run it on idle cores: two processes are to be at least 1.7 times as fast as one.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=8)
    parser.add_argument("--length", type=int, default=300)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--long", type=int, default=10_000, help="frames of the long video; 0: none")
    parser.add_argument("--side", default="640x480")
    given = parser.parse_args()
    width, height = map(int, given.side.split("x"))
    print(f"load average {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        for number in range(given.videos):
            film(
                top / "videos" / ("fake" if number % 2 else "real") / f"{number}.mp4",
                given.length,
                width,
                height,
                number,
            )
        paths = sorted((top / "videos").rglob("*.mp4"))
        bare = decoded(paths, given.frames)
        total = given.videos * min(given.frames, given.length)
        print(f"bare decoding: {total / bare:.1f} frames/s ({bare:.1f} s)")
        speeds = {}
        for processes in (1, 2):
            found = prepared(top / "videos", top / f"out{processes}", str(given.frames), processes)
            speeds[processes] = found["frames"] / found["seconds"]
            print(
                f"prepare, {processes} process(es): {speeds[processes]:.1f} frames/s, peak {found['peak'] / 1e6:.0f} MB"
            )
        print(f"two processes are {speeds[2] / speeds[1]:.2f} times as fast as one")
        if given.long:
            for length in (given.long // 10, given.long):
                film(top / f"long{length}" / "real" / "1.mp4", length, 320, 240, 1)
                found = prepared(top / f"long{length}", top / f"outlong{length}", "all", 1)
                print(f"a video of {length:,} frames: peak {found['peak'] / 1e6:.0f} MB, {found['seconds']:.0f} s")
    print(f"own peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
