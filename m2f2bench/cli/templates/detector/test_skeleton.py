"""Tests of the detector `skeleton`: `python -m pytest test_skeleton.py`."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import m2f2bench

CARD = Path(__file__).with_name("skeleton.yaml")


def test_scores_are_probabilities_that_do_not_depend_on_the_batch() -> None:
    images = [np.full((64, 48, 3), level, dtype=np.uint8) for level in (0, 90, 255)]
    detector = m2f2bench.load_detector(str(CARD))
    scores = detector.predict(images)
    assert len(scores) == 3 and scores.min() >= 0 and scores.max() <= 1
    assert [float(detector.predict([image])[0]) for image in images] == pytest.approx(scores.tolist())


def test_a_run_gives_every_image_a_score(tmp_path: Path) -> None:
    for label, level in (("real", 60), ("fake", 200)):
        (tmp_path / "faces" / label).mkdir(parents=True)
        for i in range(4):
            picture = np.full((64, 64, 3), level + i, dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / "faces" / label / f"{i}.png")
    results = m2f2bench.run(detectors=str(CARD), datasets=str(tmp_path / "faces"), out=tmp_path / "run")
    assert results[0].coverage == 1.0
