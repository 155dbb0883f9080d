"""`run` over a bare forward pass on the same decoded frames, EfficientNet-Lite0, in one process, in turn.

Asked: at most 1.10. The bare pass has every frame decoded and normalised beforehand, in batches of 32; `run` reads
the JPEG files, decodes, hashes, prepares, predicts, writes the rows, scores and writes the result.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from common import make_frames, make_lite0, report, sized

FRAMES, ROUNDS, BATCH = sized((768, 5, 32), (4, 1, 2))


def main() -> None:
    import torch

    import m2f2bench
    from m2f2bench.runs import detection as local  # noqa: F401 - imported before the clock starts
    from m2f2bench.stats.delong import auc_or_none

    auc_or_none([0, 1], [0.0, 1.0])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_frames(root / "faces", FRAMES)
        detector = m2f2bench.load_detector(str(make_lite0(root / "lite0")), device="cpu")
        dataset = m2f2bench.load_dataset(str(root / "faces"))
        frames = dataset.frames("test")
        images = [dataset.adapter.read(frame) for frame in frames]
        batches = [
            detector.normalise(torch.from_numpy(np.stack(images[i : i + BATCH]))).clone()
            for i in range(0, FRAMES, BATCH)
        ]
        bare, whole = [], []
        for number in range(ROUNDS + 1):
            start = time.perf_counter()
            with torch.inference_mode():
                for batch in batches:
                    detector.model(batch)
            middle = time.perf_counter()
            m2f2bench.run(
                detectors=detector.card,
                datasets=str(root / "faces"),
                out=root / f"out{number}",
                batch_size=BATCH,
                device="cpu",
            )
            end = time.perf_counter()
            if number:  # the first round warms up
                bare.append(middle - start)
                whole.append(end - middle)
        ratios = [w / b for w, b in zip(whole, bare, strict=True)]
        report(
            [
                {
                    "what": f"run / bare forward, {FRAMES} frames",
                    "bare_s": statistics.median(bare),
                    "run_s": statistics.median(whole),
                    "ratio": statistics.median(ratios),
                    "ratio_min": min(ratios),
                    "ratio_max": max(ratios),
                    "asked": "<= 1.10",
                }
            ]
        )


if __name__ == "__main__":
    main()
