"""A clean little dataset on disk, into which the tests of the audit plant faults."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

METHODS = ("original", "Swap", "Puppet")
TRAIN, TEST = 24, 12


def picture(person: int, method: int, side: int = 64) -> Image.Image:
    """A person's smooth random picture with fresh noise; a method repaints the middle. side × side, RGB."""
    base = np.random.default_rng([1, person]).integers(30, 220, (12, 12, 3)).astype(np.uint8)
    if method:
        base[3:9, 3:9] = np.random.default_rng([2, person, method]).integers(30, 220, (6, 6, 3))
    smooth = np.asarray(Image.fromarray(base).resize((side, side), Image.Resampling.BICUBIC), dtype=np.float64)
    noise = np.random.default_rng([3, person, method]).normal(0, 6, smooth.shape)
    return Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8))


@dataclass
class Planted:
    """The dataset as it grows: `rows` of the manifest, `root` on disk."""

    root: Path
    rows: list[dict[str, str]] = field(default_factory=list)

    def add(self, name: str, label: str, method: str, split: str, identity: str, video: str = "") -> Path:
        """A row of the manifest; the caller writes the file."""
        self.rows.append(
            {"path": name, "label": label, "video": video, "method": method, "split": split, "identity": identity}
        )
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def find(self, **wanted: str) -> list[dict[str, str]]:
        """The rows with these values."""
        return [row for row in self.rows if all(row[key] == value for key, value in wanted.items())]

    def finish(self) -> str:
        """Write the manifest and give its path."""
        path = self.root / "list.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        return str(path)


def save(image: Image.Image, path: Path) -> None:
    """As JPEG of quality 90."""
    image.save(path, "JPEG", quality=90)


def build(root: Path, change: Callable[[Planted, int, int, Path], None] | None = None) -> Planted:
    """36 people, 24 of them in train and 12 in test, each with a real and two fake pictures, all saved alike.

    `change` may write a file in another way: it is called with the person, the method's number and the path.
    """
    planted = Planted(root)
    for person in range(TRAIN + TEST):
        split = "train" if person < TRAIN else "test"
        for number, method in enumerate(METHODS):
            label = "real" if number == 0 else "fake"
            path = planted.add(
                f"{split}/{method}/{person:02d}.img", label, method, split, f"p{person}", f"{person:02d}"
            )
            save(picture(person, number), path)
            if change is not None:
                change(planted, person, number, path)
    return planted
