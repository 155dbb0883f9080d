"""`run` over a bare forward pass on the same decoded frames, in one process, in turn: two networks.

EfficientNet-Lite0, and an Xception that `import-weights` made of a file in the form of DeepfakeBench; asked: at most
1.05. `ratio` is the median of the rounds' ratios, `least` that of the least times: a disturbance only ever adds. The
bare pass, half of it before `run` and half after it, has every frame decoded and normalised beforehand, in batches of
32; `run` reads the JPEG files, decodes, hashes, prepares, predicts, writes the rows, scores and writes the result. What
it does once (cards, the network, some frames judged again, metrics) took .3 s: of EfficientNet's 768 frames 5%, of
3,072 frames 1%.
"""

from __future__ import annotations

import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import beside, make_frames, make_lite0, report, sized

ROUNDS, BATCH = sized((5, 32), (1, 2))
FRAMES = {"lite0": sized(3072, 4), "xception": sized(96, 2)}
ASKED = 1.05


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
    """The ratio for one detector, whose folder is `network`."""
    import torch

    import m2f2bench

    make_frames(root / "faces", FRAMES[name])
    detector: Any = m2f2bench.load_detector(str(network), device="cpu")
    dataset = m2f2bench.load_dataset(str(root / "faces"))
    images = [detector.prepare(dataset.adapter.read(frame)) for frame in dataset.frames("test")]
    batches = [
        detector.normalise(torch.from_numpy(np.stack(images[i : i + BATCH]))).clone()
        for i in range(0, len(images), BATCH)
    ]

    def forward(some: list[torch.Tensor]) -> None:
        with torch.inference_mode():
            for batch in some:
                detector.model(batch)

    def run(number: int) -> None:
        out, faces = root / f"out{number}", str(root / "faces")
        m2f2bench.run(detectors=detector.card, datasets=faces, out=out, batch_size=BATCH, device="cpu")

    rounds = [beside(forward, batches, partial(run, number)) for number in range(ROUNDS + 1)]
    bare, whole = zip(*rounds[1:], strict=True)  # the first warms up
    ratios = [w / b for w, b in zip(whole, bare, strict=True)]
    return {
        "what": f"run / bare forward, {name}, {FRAMES[name]} frames",
        "bare_s": statistics.median(bare),
        "run_s": statistics.median(whole),
        "ratio": statistics.median(ratios),
        "least": min(whole) / min(bare),
        "asked": f"<= {ASKED:.2f}",
    }


def main() -> None:
    from m2f2bench.runs import detection as local  # noqa: F401 - imported before the clock starts
    from m2f2bench.stats.delong import auc_or_none

    auc_or_none([0, 1], [0.0, 1.0])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        networks = {"lite0": make_lite0(root / "lite0"), "xception": make_xception(root / "xception")}
        report([measure(name, network, root / f"with-{name}") for name, network in networks.items()])


if __name__ == "__main__":
    main()
