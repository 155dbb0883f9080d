"""Valid inputs of each kind, made once, from which hostile ones are drawn."""

from __future__ import annotations

import io
import json
import os
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

VARIABLE = "M2F2BENCH_HOSTILE_MATERIALS"
WIDTH, HEIGHT = 48, 32
CORNER = """class Corner:
    "The upper left corner's brightness."
    def predict(self, images):
        return [float(image[:4, :4].mean()) / 255 for image in images]
"""


def face(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Dark noise, uint8 [height, width, 3], white in the upper left quarter: which way is up can be told."""
    pixels = np.random.default_rng(1).integers(0, 60, (height, width, 3)).astype(np.uint8)
    pixels[: height // 2, : width // 2] = 255
    return pixels


def saved(kind: str, mode: str = "RGB", size: tuple[int, int] = (WIDTH, HEIGHT), **how: object) -> bytes:
    """The face as a file's bytes, as Pillow writes it."""
    buffer = io.BytesIO()
    Image.fromarray(face(*size)).convert(mode).save(buffer, kind, **how)
    return buffer.getvalue()


def film(path: Path, codec: str = "mpeg4", frames: int = 12, size: tuple[int, int] = (64, 48), **how: object) -> None:
    """A video of the face, whose lower right quarter changes."""
    import av

    with av.open(str(path), "w", **how) as container:
        stream = container.add_stream(codec, rate=12)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.bit_rate = 400_000
        for i in range(frames):
            pixels = face(*size).copy()
            pixels[size[1] // 2 :, size[0] // 2 :] = (20 * i) % 256
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def make(folder: Path) -> None:
    """Write what takes longer to make: films, a run with its result, a checkpoint."""
    import torch
    from safetensors.torch import save_file

    import m2f2bench

    folder.mkdir(parents=True)
    (folder / "corner.py").write_text(CORNER)
    for name in ("film.mp4", "film.mkv", "film.avi"):
        film(folder / name)
    film(folder / "h264.mp4", "libx264")
    film(folder / "large.mkv", size=(128, 96))
    for label in ("real", "fake"):
        (folder / "faces" / label).mkdir(parents=True)
        for i in range(12):
            pixels = np.random.default_rng([i, label == "fake"]).integers(0, 200, (32, 32, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "faces" / label / f"{i:02d}.png")
    for name in ("random", f"{folder}/corner.py:Corner"):
        m2f2bench.run(detectors=[name], datasets=[str(folder / "faces")], out=folder / "runs")
    tensors = {"layer.weight": torch.arange(12.0).reshape(3, 4), "layer.bias": torch.zeros(3)}
    torch.save(tensors, folder / "weights.pth")
    torch.save(tensors, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(tensors, folder / "weights.safetensors")


def material(name: str) -> Path:
    return Path(os.environ[VARIABLE]) / name


@lru_cache
def content(name: str) -> bytes:
    return material(name).read_bytes()


def result(detector: str = "corner.Corner") -> dict[str, object]:
    """A sound result as its JSON object."""
    told: dict[str, object] = json.loads(content(f"runs/{detector}--faces--frame/result.json"))
    return told
