"""`run` over a bare forward pass on the same decoded frames, in one process, in turn: two networks.

EfficientNet-Lite0 (`lite0`), and an Xception (`xception`) that `import-weights` made of a file in the form of
DeepfakeBench. The bare pass has every frame decoded and normalised beforehand, in batches of 32; `run` reads the JPEG
files, decodes, hashes, prepares, predicts, writes the rows, scores and writes the result.

A round is a run of many frames, a run of few, and the bare pass of the many, half of it before the runs and half after
them. The time of the few is nearly all what a run does once: cards, the network, some frames judged again, metrics. So
`each` is the ratio for what a frame takes (the many less the few, over the bare pass of as many), `once_s` what a run
adds to the bare pass of the few, and `of_3072` the ratio of a run of 3,072 frames by these two; asked: at most 1.05.
They are medians of the rounds; `interval` is the 95% interval of the median of `each`, by the ranks of the rounds (none
of few): a machine that others use moves a single round by some hundredths.

Run and bare pass keep the memory of large arrays (`core.allocation`), which makes the bare pass several times as fast
here, and so what `run` adds larger against it. With GLIBC_TUNABLES=glibc.malloc.mmap_max=65536 in the environment, a
setting of the user's, both give it back, as a plain script does. A network's name as an argument leaves the other out.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import BarePass, make_frames, make_lite0, report, sized, span
from scipy.stats import quantile_test

BATCH = sized(32, 2)
FRAMES = {"lite0": sized((768, 32), (4, 2)), "xception": sized((104, 8), (4, 2))}
"""Frames of the many and of the few."""
ROUNDS = {"lite0": sized(24, 2), "xception": sized(12, 2)}
TOLD, ASKED = 3072, 1.05


def make_xception(folder: Path) -> Path:
    """An Xception with random weights, imported from a file with the names of DeepfakeBench's."""
    import torch

    import m2f2bench
    from m2f2bench.detectors.published.forms import FORMS
    from m2f2bench.detectors.published.importing import expected_shapes, network_of

    form = FORMS["deepfakebench-xception"]
    torch.manual_seed(0)
    tensors = {
        name: torch.ones(shape) if name.endswith("running_var") else 0.02 * torch.randn(shape)
        for name, shape in expected_shapes(form, network_of(form)).items()
    }
    tensors |= {name: torch.tensor(1) for name in tensors if name.endswith("num_batches_tracked")}
    file = folder.with_suffix(".pth")
    torch.save(tensors, file)
    m2f2bench.import_weights(file, "deepfakebench-xception", folder)
    return folder


def measure(name: str, network: Path, root: Path) -> dict[str, object]:
    """The ratios for one detector, whose folder is `network`."""
    import m2f2bench

    many, few = FRAMES[name]
    for count in (many, few):
        make_frames(root / str(count), count)
    detector: Any = m2f2bench.load_detector(str(network), device="cpu")
    bare_pass = BarePass(detector, root / str(many), BATCH)

    def run(count: int) -> float:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory(dir=root) as out:
            faces = str(root / str(count))
            m2f2bench.run(detectors=detector.card, datasets=faces, out=out, batch_size=BATCH, device="cpu")
            return time.perf_counter() - began

    rounds = [bare_pass.beside(lambda: (run(many), run(few))) for _ in range(ROUNDS[name] + 1)]
    bare, times = (np.array(some) for some in zip(*rounds[1:], strict=True))  # the first warms up
    each = (times[:, 0] - times[:, 1]) / (many - few) / bare
    once = float(np.median(times[:, 1] - few * bare))
    interval = quantile_test(each, p=0.5).confidence_interval(0.95)
    ratio = float(np.median(each))
    return {
        "what": f"run / bare forward, {name}, {ROUNDS[name]} times {many} frames",
        "bare_ms": 1000 * float(np.median(bare)),
        "each": ratio,
        "interval": span(None if np.isnan(interval.low) else interval),
        "once_s": once,
        f"of_{TOLD}": ratio + once / (TOLD * float(np.median(bare))),
        "asked": f"<= {ASKED:.2f}",
    }


def main() -> None:
    from m2f2bench.runs import detection as local  # noqa: F401 - imported before the clock starts
    from m2f2bench.stats.delong import auc_or_none

    auc_or_none([0, 1], [0.0, 1.0])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make = {"lite0": make_lite0, "xception": make_xception}
        names = [word for word in sys.argv[1:] if not word.startswith("--")] or list(make)
        if unknown := set(names) - set(make):
            raise SystemExit(f"no network {', '.join(sorted(unknown))}: there are {', '.join(make)}")
        report([measure(name, make[name](root / name), root / f"with-{name}") for name in names])


if __name__ == "__main__":
    main()
