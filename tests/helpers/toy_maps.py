"""Faces with masks on disk, and detectors that map them, for runs of heat maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import m2f2bench

PEOPLE = 12
CODE = '''
import json, os, time
from pathlib import Path
import numpy as np
from PIL import Image
from m2f2bench import Detector, Localizer
from m2f2bench.core.records import Frame, Locator
from m2f2bench.datasets.files.images import FileAdapter

class Masked(FileAdapter):
    name = "masked"

    def frames(self, split):
        return [
            Frame(p.stem, p.stem, int(not p.stem.startswith("real")), p.stem.split("-")[0].replace("real", "original"),
                  split, (p.stem.split("-")[1],), Locator(str(p)))
            for p in sorted((self.root / "faces").glob("*.png"))
        ]

    def mask(self, frame):
        path = self.root / "masks" / f"{frame.id}.png"
        return np.asarray(Image.open(path)) > 127 if path.exists() else None

class Bright(Detector, Localizer):
    power = 1.0

    def forward(self, batch, ids):
        return np.array([image.mean() / 255 for image in batch])

    def heatmap(self, images):
        log = os.environ.get("TOY_MAPS_LOG")
        if log:
            with open(log, "a") as file:
                file.writelines(f"{image.astype(int).sum()}\\n" for image in images)
            time.sleep(0.05)
        grey = np.stack([image[::2, ::2].mean(2) / 255 for image in images])
        return (grey ** self.power).astype(np.float32)

class Sharp(Bright):
    power = 3.0

class Dark(Bright):
    def heatmap(self, images):
        return 1 - super().heatmap(images)

class Silent(Bright):
    def heatmap(self, images):
        return 0 * super().heatmap(images)

class Mute(Detector):
    forward = Bright.forward

class Plain:
    """No detector of the package's, but with both methods."""

    def predict(self, images):
        return [float(image.mean()) / 255 for image in images]

    def heatmap(self, images):
        return np.stack([image[::2, ::2].mean(2) / 255 for image in images]).astype(np.float32)
'''


def write_toys(folder: Path) -> tuple[Path, str]:
    """Write the code and the pictures; return the code's path and the dataset as a command takes it.

    12 real and 24 fake pictures of 16×16 pixels: noise, and in a fake a brighter square, which is its mask.
    """
    code = folder / "toys.py"
    code.write_text(CODE)
    root = folder / "data"
    rng = np.random.default_rng(3)
    for kind, side in (("real", 0), ("small", 4), ("large", 8)):
        for person in range(PEOPLE):
            top, left = 4 * (person // 4) % 9, 2 * (person % 4)
            image = rng.integers(0, 150, (16, 16, 3)).astype(np.uint8)
            mask = np.zeros((16, 16), np.uint8)
            mask[top : top + side, left : left + side] = 255
            image[mask > 0] = np.minimum(image[mask > 0].astype(int) + 90, 255).astype(np.uint8)
            name = f"{kind}-p{person:02d}.png"
            for place, picture in (("faces", image), ("masks", mask)):
                if place == "masks" and not side:
                    continue
                (root / place).mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(root / place / name)
    card = folder / "masked.yaml"
    card.write_text(f"name: masked\nadapter: {code}:Masked\nroot: {root}\n")
    return code, str(card)


def run(toys: tuple[Path, str], out: Path, *names: str, protocol: object = "localization", **more: object):
    """Run detectors of the toys' file on their dataset."""
    detectors = [f"{toys[0]}:{name}" for name in names or ("Bright",)]
    return m2f2bench.run(detectors=detectors, datasets=toys[1], protocols=[protocol], out=out, **more)


def place(out: Path, name: str = "Bright", protocol: str = "localization") -> Path:
    """The folder of such a run."""
    return out / f"toys.{name}--masked--{protocol}"
