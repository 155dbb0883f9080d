"""Intervals and scoring at size: resampling, DeLong against scikit-learn's bare AUC, `score` on many rows and methods.

Asked: 1,000 resamples of AUC, AP and accuracy over 100,000 frames of 2,000 videos in at most 20 s (and no more for
1,000,000 frames); AUC with its interval over 1,000,000 scores in at most 3 times `roc_auc_score`; `m2f2bench score` on
a CSV of 1,000,000 rows, all metrics, intervals and start included, in less than 10 s, and on 20,000 rows of 10,000
methods in at most 20 s. Everything in processes of its own; the ratio is of pairs taken in turn in one process.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import report, sized

VIDEOS, ROUNDS = sized((2000, 7), (20, 1))
SIZES, MILLION = sized(((100_000, 1_000_000), 1_000_000), ((200, 400), 400))
RESAMPLES = sized(1000, 20)
METHODS = sized(10_000, 100)


def draw(frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores and videos of that many frames, the frames of a video alike."""
    rng = np.random.default_rng(0)
    video = np.repeat(np.arange(VIDEOS), frames // VIDEOS)
    label = video % 2
    latent = 1.2 * label - 0.6 + rng.normal(size=VIDEOS)[video] + rng.normal(size=frames)
    return label, 1 / (1 + np.exp(-latent)), video


def resampling(frames: int) -> dict[str, float]:
    """Seconds and peak memory (MiB) of 1,000 resamples, and of the process before them."""
    import resource

    from m2f2bench.cards.protocols import Bootstrap
    from m2f2bench.core.rows import Units
    from m2f2bench.metrics.detection.intervals import score_units
    from m2f2bench.metrics.detection.values import Cut

    label, score, video = draw(frames)
    method = np.where(label == 0, "original", "m").astype(object)
    names = np.array([f"v{i}" for i in range(VIDEOS)], dtype=object)[video]
    units = Units(label, score, method, names, video, VIDEOS, 1.0, ("m",))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    found = score_units(units, ["auc", "ap", "accuracy"], Cut(), Bootstrap(resamples=RESAMPLES)).overall
    seconds = time.perf_counter() - start
    if any(value.ci is None for value in found.values()):
        raise RuntimeError("no intervals")
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"s": seconds, "peak_mib": after, "before_mib": before}


def ratio() -> dict[str, float]:
    """AUC with DeLong's interval over scikit-learn's AUC alone, of the same 1,000,000 independent scores."""
    from sklearn.metrics import roc_auc_score

    from m2f2bench.metrics.detection.intervals import auc_interval

    label, score, _ = draw(MILLION)
    clusters = np.arange(len(label))
    pairs = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        bare = roc_auc_score(label, score)
        middle = time.perf_counter()
        value, _ = auc_interval(label, score, clusters)
        pairs.append((middle - start, time.perf_counter() - middle))
        if abs(bare - value) > 1e-12:
            raise RuntimeError(f"{value} is not {bare}")
    pairs = pairs[1:]  # the first round warms up
    return {
        "bare_s": statistics.median(a for a, _ in pairs),
        "ours_s": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(b / a for a, b in pairs),
    }


def command_line(folder: Path) -> dict[str, float]:
    """Wall and processor seconds of `m2f2bench score` on a million rows: labels, scores, videos, methods, people."""
    label, score, video = draw(MILLION)
    path = folder / "rows.csv"
    methods = ["original", "swap", "original", "warp", "original", "blend", "original", "render"]
    with path.open("w") as file:
        file.write("id,label,score,video,method,identity\n")
        for i, (y, s, v) in enumerate(zip(label.tolist(), score.tolist(), video.tolist(), strict=True)):
            file.write(f"f{i:07d},{y},{s!r},v{v},{methods[v % 8]},p{v}\n")
    return scored(path)


def many_methods(folder: Path) -> dict[str, float]:
    """The same of 20,000 rows: half reals, and a fake each of 10,000 methods."""
    scores = np.random.default_rng(0).normal(np.tile([0.4, 0.6], METHODS), 0.2)
    path = folder / "methods.csv"
    with path.open("w") as file:
        file.write("id,label,score,method\n")
        for i, s in enumerate(scores.clip(0.0, 1.0).tolist()):
            name = f"m{i // 2}" if i % 2 else "original"
            file.write(f"f{i:07d},{i % 2},{s!r},{name}\n")
    return scored(path)


def scored(path: Path) -> dict[str, float]:
    words = [sys.executable, "-m", "m2f2bench", "score", str(path), "--json"]
    taken = []
    for _ in range(min(3, ROUNDS)):
        before, start = os.times(), time.perf_counter()
        subprocess.run(words, check=True, capture_output=True)
        after, end = os.times(), time.perf_counter()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        taken.append((end - start, used))
    wall, used = sorted(taken)[len(taken) // 2]
    return {"s": wall, "cpu_s": used}


def child(*words: str) -> dict[str, float]:
    """A measurement in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), *(["--quick"] if "--quick" in sys.argv else []), *words]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def main() -> None:
    if "--resampling" in sys.argv:
        print(json.dumps(resampling(int(sys.argv[-1]))))
        return
    if "--ratio" in sys.argv:
        print(json.dumps(ratio()))
        return
    rows: list[dict[str, object]] = []
    for frames in SIZES:
        found = child("--resampling", str(frames))
        asked = {"asked": "<= 20 s"}
        rows.append({"what": f"{RESAMPLES:,} resamples of AUC, AP, accuracy, {frames:,} frames", **found, **asked})
    report(rows)
    print()
    report([{"what": f"AUC with interval / roc_auc_score, {MILLION:,}", **child("--ratio"), "asked": "<= 3"}])
    print()
    with tempfile.TemporaryDirectory() as folder:
        report([{"what": f"score on a CSV of {MILLION:,} rows", **command_line(Path(folder)), "asked": "< 10 s"}])
        what = f"score on {METHODS * 2:,} rows of {METHODS:,} methods"
        report([{"what": what, **many_methods(Path(folder)), "asked": "<= 20 s"}])


if __name__ == "__main__":
    main()
