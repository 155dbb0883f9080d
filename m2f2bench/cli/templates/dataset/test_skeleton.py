"""Tests of the dataset `skeleton`: `python -m pytest test_skeleton.py`."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import m2f2bench

CARD = Path(__file__).with_name("skeleton.yaml")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with two videos of two frames, as the dataset expects them. Put your own layout here."""
    for method, level in (("original", 60), ("swap", 200)):
        folder = tmp_path / "skeleton" / "test" / method
        folder.mkdir(parents=True)
        for i in range(2):
            picture = np.full((64, 64, 3), level + i, dtype=np.uint8)
            Image.fromarray(picture).save(folder / f"clip_{i}.png")
    monkeypatch.setenv("M2F2BENCH_DATA", str(tmp_path))
    return tmp_path


def test_frames_are_listed_once_and_can_be_read(data: Path) -> None:
    dataset = m2f2bench.load_dataset(str(CARD))
    frames = dataset.frames("test")
    assert len({frame.id for frame in frames}) == len(frames) == 4
    assert {(frame.method, frame.label) for frame in frames} == {("original", 0), ("swap", 1)}
    assert dataset.read(frames[0]).shape == (64, 64, 3)


def test_a_missing_folder_is_one_clear_line(data: Path) -> None:
    with pytest.raises(m2f2bench.M2F2BenchError, match="no folder 'train'"):
        m2f2bench.load_dataset(str(CARD)).frames("train")


def test_a_run_reads_every_frame(data: Path) -> None:
    results = m2f2bench.run(detectors="constant", datasets=str(CARD), out=data / "run")
    assert results[0].coverage == 1.0
