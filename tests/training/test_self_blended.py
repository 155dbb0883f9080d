"""Self-blended images: masks, blends by hand, the same bytes for the same seed, refusals."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from m2f2bench.core.errors import FrameError
from m2f2bench.core.records import Frame
from m2f2bench.core.seeds import generator
from m2f2bench.training.sources import hull, jitter, mean_face
from m2f2bench.training.sources.self_blended import SelfBlended, blend, self_blended


def _face(height: int, width: int, seed: int = 0) -> np.ndarray:
    coarse = generator("face", seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))[:height, :width].copy()


FRAME = Frame("real/0", "0", 0, "original", "train", frozenset({"0"}), "0")


def test_a_blend_by_hand() -> None:
    source = np.array([[[100, 0, 255], [10, 20, 30]]], np.uint8)
    target = np.array([[[0, 100, 255], [7, 8, 9]]], np.uint8)
    mask = np.array([[0.25, 0.0]], np.float32)
    assert blend(source, target, mask).tolist() == [[[25, 75, 255], [7, 8, 9]]]


@pytest.mark.parametrize("size", [(64, 64), (97, 131), (160, 160)])
@pytest.mark.parametrize("seed", range(8))
def test_outside_the_mask_stands_the_real(size: tuple[int, int], seed: int) -> None:
    real, fake = SelfBlended().make(_face(*size), FRAME, generator(seed))
    assert (real.label, fake.label, real.mask) == (0, 1, None)
    assert real.image.shape == fake.image.shape == (*size, 3)
    assert real.image.dtype == fake.image.dtype == np.uint8
    mask = fake.mask
    assert mask is not None and mask.dtype == np.float32 and mask.shape == size
    assert mask.min() == 0.0 and 0.2 < mask.max() <= 1.0
    assert np.array_equal(real.image[mask == 0], fake.image[mask == 0])
    assert not np.array_equal(real.image, fake.image)


def test_grey_pictures_are_blended_too() -> None:
    grey = np.repeat(_face(80, 80)[..., :1], 3, axis=2)
    assert SelfBlended().make(grey, FRAME, generator(1))[1].mask.any()


def test_the_same_seed_gives_the_same_bytes_in_any_order() -> None:
    face, source = _face(96, 96), SelfBlended()
    first = [source.make(face, FRAME, generator(seed))[1].image for seed in (1, 2)]
    other = pickle.loads(pickle.dumps(source))
    again = [other.make(face, FRAME, generator(seed))[1].image for seed in (2, 1)]
    assert np.array_equal(first[0], again[1]) and np.array_equal(first[1], again[0])
    assert not np.array_equal(first[0], first[1])


def test_a_square_hull_holds_the_square() -> None:
    mask = hull.hull_mask([[2, 3], [6, 3], [6, 8], [2, 8], [4, 5]], 12, 10)
    assert mask[3:9, 2:7].min() == 1 and mask.sum() == 6 * 5


def test_a_shift_moves_a_plane_by_whole_pixels() -> None:
    plane = np.zeros((9, 9), np.float32)
    plane[4, 4] = 1
    assert hull.affine(plane, 1.0, 2.0, -1.0)[6, 3] == pytest.approx(1)
    face = np.zeros((9, 9), np.float32)
    face[3:6, 3:6] = 1
    assert hull.affine(face, 3.0, 0.0, 0.0).sum() > 60  # three times as wide and as high: 81 less soft edges


def test_the_mean_face_follows_five_points() -> None:
    moved = mean_face.USUAL * 200 + [30, -10]
    assert np.allclose(mean_face.fitted(moved), mean_face.mean_face() * 200 + [30, -10])
    assert mean_face.mean_face().shape == (68, 2)


def test_landmarks_of_the_dataset_are_used() -> None:
    source = SelfBlended()
    source.landmarks = lambda frame: np.array([[10.0, 10], [40, 10], [40, 40], [10, 40]])
    mask = source.make(_face(128, 128), FRAME, generator(0))[1].mask
    assert mask[:64, :64].any() and not mask[64:, 64:].any()


def test_shifts_of_colours_by_hand() -> None:
    assert jitter.shifted(np.array([[[250, 5, 100]]], np.uint8), [20, -20, 1]).tolist() == [[[255, 0, 101]]]
    assert jitter.contrast(np.array([[[100, 200, 0]]], np.uint8), 0.0, 0.1).tolist() == [[[110, 220, 0]]]


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (np.array([[1.0, 1], [2, 2], [3, 3]]), "one line"),
        (np.array([[1.0, 1], [2, 2]]), "three finite points"),
        (np.array([[1.0, 1], [np.nan, 2], [3, 9]]), "three finite points"),
        (np.array([[1000.0, 1000], [1040, 1000], [1040, 1040]]), "outside the picture"),
    ],
)
def test_bad_landmarks_are_one_line(points: np.ndarray, words: str) -> None:
    source = SelfBlended()
    source.landmarks = lambda frame: points
    with pytest.raises(FrameError, match=words) as caught:
        source.make(_face(96, 96), FRAME, generator(0))
    assert "real/0" in str(caught.value) and "\n" not in str(caught.value)


def test_a_small_face_is_refused() -> None:
    with pytest.raises(FrameError, match="64 pixels"):
        SelfBlended().make(_face(63, 80), FRAME, generator(0))


def test_the_target_is_the_picture_or_its_jitter() -> None:
    face = _face(96, 96)
    kept = [
        np.array_equal(self_blended(face, mean_face.fitted(mean_face.usual_points(96, 96)), generator(s))[0], face)
        for s in range(40)
    ]
    assert 8 < sum(kept) < 32
