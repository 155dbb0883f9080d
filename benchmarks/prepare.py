"""Speed and memory of `prepare`: against bare decoding of the same frames, with one and two processes; and kills.

    python benchmarks/prepare.py [--quick]

Run it on idle cores (about ten minutes on two). Asked: two processes at least 1.7 times as fast as one; memory that is
the same for a video of 1,000 and of 10,000 frames, all of them prepared (no finder); the same bytes after ten kills at
random times while it works.
`no finder` has a box that is given in place of CenterFace: what decoding, cutting and writing take.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np
from common import report, sized

VIDEOS, LENGTH, FRAMES = sized((24, 300, 32), (2, 8, 2))
LONG = sized((1000, 10_000), ())
RUNS = sized(((1, "given"), (1, "centerface"), (2, "centerface")), ((1, "given"),))
"""Processes and finders whose speed is measured."""
KILLS = sized(10, 1)
FASTER, FLAT = 1.7, 1.1
"""Asked: how many times faster two processes are, and how much more memory the longer video takes at most."""
HELPERS = Path(__file__).resolve().parents[1] / "tests" / "helpers"
MEASURED = """
import json, resource, sys, time
from m2f2bench.faces.base import FaceFinder
from m2f2bench.faces.face import Face
from m2f2bench.runs.prepare import prepare

class Given(FaceFinder):
    name = "given"
    def find(self, image):
        height, width = image.shape[:2]
        return [Face((0.4 * width, 0.3 * height, 0.6 * width, 0.7 * height), 0.9)]
    def signature(self):
        return "given-1"

if __name__ == "__main__":
    begin = time.perf_counter()
    frames = None if sys.argv[3] == "all" else int(sys.argv[3])
    finder = Given() if sys.argv[5] == "given" else "centerface"
    found = prepare(sys.argv[1], out=sys.argv[2], frames=frames, workers=int(sys.argv[4]), finder=finder)
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


def begun(root: Path, out: Path, frames: str, processes: int, finder: str = "centerface") -> subprocess.Popen[str]:
    """Begin a preparation in a process of its own, with a cache of its own."""
    script = out.with_suffix(".py")
    script.write_text(MEASURED)
    env = {**os.environ, "M2F2BENCH_CACHE": f"{out}-cache", "OMP_NUM_THREADS": "1"}
    call = [sys.executable, str(script), str(root), str(out), frames, str(processes), finder]
    return subprocess.Popen(call, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def prepared(root: Path, out: Path, frames: str, processes: int, finder: str = "centerface") -> dict[str, float]:
    """Return what a whole preparation took."""
    child = begun(root, out, frames, processes, finder)
    told, said = child.communicate()
    if child.returncode:
        raise SystemExit(f"prepare failed: {said[-500:]}")
    found: dict[str, float] = json.loads(told.splitlines()[-1])
    return found


def content(root: Path) -> dict[str, bytes]:
    """Return the bytes of all files of a prepared folder."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def speed(top: Path, rows: list[dict[str, object]]) -> float:
    """Measure speeds; return how many times faster two processes are than one."""
    for number in range(VIDEOS):
        film(top / "videos" / ("fake" if number % 2 else "real") / f"{number}.mp4", LENGTH, 640, 480, number)
    total = VIDEOS * min(FRAMES, LENGTH)
    bare = total / decoded(sorted((top / "videos").rglob("*.mp4")), FRAMES)
    rows.append({"what": "bare decoding", "frames": total, "frames/s": bare})
    speeds = {}
    for processes, finder in RUNS:
        found = prepared(top / "videos", top / f"out{processes}{finder}", str(FRAMES), processes, finder)
        speeds[processes] = found["frames"] / found["seconds"]
        what = f"prepare, {processes} process{'es' if processes > 1 else ''}"
        rows.append(
            {
                "what": f"{what}, no finder" if finder == "given" else what,
                "frames": found["frames"],
                "frames/s": speeds[processes],
                "ratio to bare": bare / speeds[processes],
                "peak (MB)": found["peak"] / 1e6,
            }
        )
    return speeds.get(2, 0.0) / speeds[1]


def memory(top: Path, rows: list[dict[str, object]]) -> float:
    """Measure the memory of preparing all frames of a video, no finder; return how much more the longer one takes."""
    peaks = []
    for length in LONG:
        film(top / f"long{length}" / "real" / "1.mp4", length, 192, 144, 1)
        film(top / f"long{length}" / "fake" / "2.mp4", 8, 192, 144, 2)
        found = prepared(top / f"long{length}", top / f"outlong{length}", "all", 1, "given")
        peaks.append(found["peak"])
        rows.append(
            {
                "what": f"a video of {length:,} frames, no finder",
                "frames": found["frames"],
                "peak (MB)": peaks[-1] / 1e6,
            }
        )
    return peaks[-1] / peaks[0] if peaks else 0.0


def kills(top: Path) -> tuple[int, list[str]]:
    """Kill preparations at random times while they work, with one and two processes in turn, and finish each.

    Returns how many were killed at work, and the files that differ from those of a whole preparation.
    """
    root = top / "killed"
    for number in range(4):
        film(root / ("fake" if number % 2 else "real") / f"{number}.mp4", sized(100, 4), 320, 240, number)
    whole = prepared(root, top / "outwhole", "all", 1)
    expected, rng = content(top / "outwhole"), random.Random(0)
    hit, differing = 0, set[str]()
    for number in range(3 * KILLS):
        processes, out = 1 + number % 2, top / f"outkilled{number}"
        child = begun(root, out, "all", processes)
        while not (out / "prepare.json").exists() and child.poll() is None:  # the work begins after it is written
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.9) * whole["seconds"] / processes)
        hit += child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.communicate()
        prepared(root, out, "all", 3 - processes)
        found = content(out)
        differing |= {name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)}
        if hit == KILLS:
            break
    return hit, sorted(differing)


def main() -> None:
    """Measure and print. The exit status is 1 if less is found than is asked."""
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        faster, more, (hit, differing) = speed(top, rows), memory(top, rows), kills(top)
    columns = ("what", "frames", "frames/s", "ratio to bare", "peak (MB)")
    report([{name: row.get(name, "") for name in columns} for row in rows])
    if "--json" not in sys.argv:
        print(f"two processes are {faster:.2f} times as fast as one (asked: {FASTER} on idle cores)")
        print(f"the longer video takes {more:.2f} times the memory of the shorter one (asked: {FLAT} at most)")
        print(f"killed at work {hit} of {KILLS} times, and repeated: {len(differing)} files differ (asked: 0)")
    if differing or hit < KILLS or (sized(faster < FASTER or more > FLAT, False)):
        raise SystemExit(f"less than is asked {differing[:3] or ''}")


if __name__ == "__main__":
    main()
