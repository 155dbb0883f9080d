"""Small FaceForensics++ trees in HDF5 files, for the tests of the adapter that reads them."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from m2f2bench.core.errors import DataError
from m2f2bench.core.records import Frame
from m2f2bench.datasets.layouts.ffpp import METHODS, FFPPAdapter, FFPPOptions

SIDE, FRAMES = 16, 5


def clip(method: str, key: str, frames: int = FRAMES) -> np.ndarray:
    """Noise that is different for every method, video and frame."""
    seed = [METHODS.index(method), *map(int, key.split("_"))]
    return np.random.default_rng(seed).integers(0, 256, (frames, SIDE, SIDE, 3), dtype=np.uint8)


def keys(method: str, *pairs: tuple[str, str]) -> list[str]:
    return [k for a, b in pairs for k in ((a, b) if method == "original" else (f"{a}_{b}", f"{b}_{a}"))]


TEST, TRAIN = [("000", "003"), ("044", "945")], [("071", "054")]


def build(root: Path, suffix: str = "c23", pairs: list[tuple[str, str]] = TEST, **storage: object) -> Path:
    for method in METHODS:
        with h5py.File(root / f"FF++_{method}_{suffix}.h5", "w") as file:
            for key in keys(method, *pairs):
                file.create_dataset(key, data=clip(method, key), **storage)
    return root


def lists(root: Path, **splits: list[tuple[str, str]]) -> None:
    folder = root / "FFPP_split"
    folder.mkdir(exist_ok=True)
    for split, pairs in splits.items():
        (folder / f"{split}.json").write_text(json.dumps(pairs))


def adapter(root: Path | None, **options: object) -> FFPPAdapter:
    return FFPPAdapter(root, FFPPOptions.model_validate(options))


def fails(root: Path | None, *words: str, split: str = "test", **options: object) -> None:
    with pytest.raises(DataError) as caught:
        adapter(root, **options).frames(split)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def check(data: FFPPAdapter, frame: Frame) -> bool:
    key = str(frame.locator.key)
    return bool((data.read(frame) == clip(frame.method, key)[frame.locator.index]).all())
