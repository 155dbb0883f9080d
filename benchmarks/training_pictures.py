"""What a training's picture costs the process that makes it: a JPEG file of 380 px decoded, augmented and resized.

The augmentation and the input are those of the card `efficientnet-lite0-core`. The milliseconds are the processor's, on
one thread; from them follows how many pictures a second so many processes (`workers`) make.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import make_frames, report, sized

PICTURES, SIDE = sized(64, 4), 380


def cpu_seconds(work: Callable[[], object]) -> float:
    """The fewest seconds of the processor of three calls."""
    found = []
    for _ in range(3):
        begin = time.process_time()
        work()
        found.append(time.process_time() - begin)
    return min(found)


def main() -> None:
    from m2f2bench.datasets.files.images import read_image
    from m2f2bench.detectors.network import resize
    from m2f2bench.loading import detector_card
    from m2f2bench.training.loader import augment

    card, _ = detector_card("efficientnet-lite0-core")
    assert card.training is not None
    settings, draws = card.training.augmentation, np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        make_frames(Path(folder, "faces"), PICTURES, side=SIDE)
        files = [path.read_bytes() for path in sorted(Path(folder).rglob("*.jpg"))]
    pictures = [read_image(data, "") for data in files]
    steps: dict[str, Callable[[], object]] = {
        "decode": lambda: [read_image(data, "") for data in files],
        "augment": lambda: [augment(picture, settings, draws) for picture in pictures],
        "resize": lambda: [resize(picture, card.input) for picture in pictures],
    }
    costs = {name: 1000 * cpu_seconds(work) / PICTURES for name, work in steps.items()}
    costs["all"] = sum(costs.values())
    report([{"step": name, "ms": ms, "pictures_a_second": 1000 / ms} for name, ms in costs.items()])


if __name__ == "__main__":
    main()
