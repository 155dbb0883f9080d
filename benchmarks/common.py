"""What the benchmarks share: real JPEG frames on disk, an untrained EfficientNet-Lite0 as a card, a table."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

T = TypeVar("T")
ROOT = Path(__file__).parents[1]


def sized(full: T, quick: T) -> T:
    """`full`, or with --quick `quick`: so little that the numbers mean nothing, to see whether a benchmark runs."""
    return quick if "--quick" in sys.argv else full


def command(words: Sequence[object], log: Path, threads: int = 1) -> None:
    """Run m2f2bench on so many threads; its output goes to `log`. Ends the benchmark if it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # with it, the package is compiled anew by every process
    with log.open("a") as file:
        line = [sys.executable, "-m", "m2f2bench", *map(str, words)]
        done = subprocess.run(line, env=environment, stdout=file, stderr=subprocess.STDOUT)
    if done.returncode:
        raise SystemExit(f"`m2f2bench {' '.join(map(str, words))}` failed: see {log}")


def spent() -> float:
    """Seconds of the processor that ended children took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class BarePass:
    """The forward pass of a detector's network on test frames that were decoded and normalised before."""

    def __init__(self, detector: Any, faces: Path, batch: int, most: int | None = None) -> None:
        """Read the frames of a folder, or its first `most`, in batches of `batch`."""
        import torch

        import m2f2bench

        dataset = m2f2bench.load_dataset(str(faces))
        images = [detector.prepare(dataset.adapter.read(frame)) for frame in dataset.frames("test")[:most]]
        parts = [torch.from_numpy(np.stack(images[i : i + batch])) for i in range(0, len(images), batch)]
        self.model, self.frames = detector.model, len(images)
        self.batches = [detector.normalise(part).clone() for part in parts]

    def __call__(self, batches: list[Any]) -> None:
        """Pass batches through the network."""
        import torch

        with torch.inference_mode():
            for batch in batches:
                self.model(batch)

    def beside(self, whole: Callable[[], T]) -> tuple[float, T]:
        """Seconds of a frame, half of them passed before `whole` and half after it, and what `whole` returns.

        So a processor that becomes slower or faster in between counts in both.
        """
        middle = (len(self.batches) + 1) // 2
        begin = time.perf_counter()
        self(self.batches[:middle])
        before = time.perf_counter() - begin
        found = whole()
        begin = time.perf_counter()
        self(self.batches[middle:])
        return (before + time.perf_counter() - begin) / self.frames, found


def span(ci: Sequence[float] | None) -> str:
    """An interval as text; there is none where all resamples agree."""
    return "[no interval]" if ci is None else f"[{ci[0]:.3f}, {ci[1]:.3f}]"


def put_tables(place: Path, rows: object, text: str) -> None:
    """Write tables as PLACE.md, and their numbers as PLACE.json; print them."""
    place.with_name(f"{place.name}.md").write_text(text)
    place.with_name(f"{place.name}.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(text, end="")


def make_frames(root: Path, count: int, seed: int = 0, side: int = 224) -> None:
    """`count` JPEG files of `side` × `side` (quality 75, smooth content with some grain), half real, half fake."""
    rng = np.random.default_rng(seed)
    for label in ("real", "fake"):
        (root / label).mkdir(parents=True)
    for i in range(count):
        coarse = rng.integers(0, 256, (14, 14, 3), dtype=np.uint8)
        picture = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC), dtype=np.float32)
        picture += rng.normal(0, 4, picture.shape)
        path = root / ("fake" if i % 2 else "real") / f"{i:06d}.jpg"
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path, quality=75)


def make_lite0(folder: Path) -> Path:
    """A card of EfficientNet-Lite0 with random weights: speed does not depend on what they are."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    folder.mkdir(parents=True)
    model = timm.create_model("tf_efficientnet_lite0", num_classes=1)
    save_file(model.state_dict(), folder / "model.safetensors")
    card = (
        "name: lite0-random\nbackend: timm\nweights: model.safetensors\n"
        "input: {size: 224, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}\n"
        "options: {model: tf_efficientnet_lite0}\n"
    )
    (folder / "card.yaml").write_text(card)
    return folder


def quick_cards(folder: Path) -> list[str]:
    """Options of a command for --quick: cards with a small-cnn that learns from very few frames."""
    import yaml

    card = yaml.safe_load((ROOT / "detectors" / "small-cnn.yaml").read_text(encoding="utf-8"))
    card["training"] |= {"epochs": 1, "frames_per_video": 1}
    (folder / "detectors").mkdir(parents=True)
    (folder / "detectors" / "small-cnn.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    return ["--cards", str(folder)]


def report(rows: list[dict[str, object]]) -> None:
    """Print rows as aligned text, or as JSON with --json."""
    if "--json" in sys.argv:
        print(json.dumps(rows, indent=1))
        return
    heads = list(rows[0])
    lines = [heads, *([f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    for line in lines:
        print("  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)).rstrip())
