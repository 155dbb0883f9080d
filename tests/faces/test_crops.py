"""Crops and their cards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from m2f2bench.core.errors import CardError, DataError
from m2f2bench.faces.align import moved
from m2f2bench.faces.crops import CropCard, crop_names, cut, load_crop
from m2f2bench.faces.face import Face

NAMES = ("deepfakebench", "m2f2det", "sbi", "square", "synthetic")
POINTS = np.array([[210.3, 141.9], [288.1, 155.2], [246.7, 199.4], [207.9, 229.1], [268.4, 240.8]])


def picture(height: int = 480, width: int = 640) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (height, width, 3), dtype=np.uint8)


def shown(card: CropCard, face: Face, shape: tuple[int, ...] = (480, 640)) -> list[float]:
    """Left, top, right and bottom edge of what an upright crop shows of the picture."""
    matrix = card.transform(face, shape)
    return [
        *(-matrix[:, 2] / np.diag(matrix)),
        *((card.size - matrix[:, 2]) / np.diag(matrix)),
    ]


def test_each_card_is_read_and_listed(cli) -> None:
    assert tuple(crop_names()) == NAMES
    listed = cli("list", "crops")
    assert listed.status == 0 and [line.split()[0] for line in listed.out.splitlines()] == list(NAMES)
    for name in NAMES:
        assert load_crop(name).name == name
    assert "kind: crops" in cli("describe", "square").out


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("box", [(100, 120, 200, 250), (-60, -40, 50, 90), (600, 400, 700, 560), (0, 0, 640, 480)])
def test_a_face_anywhere_gives_a_crop(name: str, box: tuple[float, ...]) -> None:
    x0, y0, x1, y1 = box
    points = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]]) * (x1 - x0, y1 - y0) + (x0, y0)
    card = load_crop(name)
    crop = cut(picture(), Face((x0, y0, x1, y1), 0.9, points), card)
    assert crop.image.shape == (card.size, card.size, 3) and crop.image.dtype == np.uint8
    assert crop.image.any() and crop.shape == (480, 640)
    assert crop.put_back(np.ones((7, 7))).shape == (480, 640)
    assert crop.mask(np.ones((480, 640), bool)).shape == (card.size, card.size)


def test_m2f2det() -> None:
    """A box of .74 × .90 of the side, its centre at (.49, .44), comes from exactly that crop."""
    side, left, top = 250.0, 130.0, 60.0
    x, y, w, h = left + 0.49 * side, top + 0.44 * side, 0.74 * side, 0.90 * side
    face = Face((x - w / 2, y - h / 2, x + w / 2, y + h / 2), 1.0)
    assert np.allclose(shown(load_crop("m2f2det"), face), [left, top, left + side, top + side])
    assert load_crop("m2f2det").size == 224


def test_sbi() -> None:
    """An eighth of the box on each side, cut off at the picture's edge, stretched to 380 pixels."""
    card = load_crop("sbi")
    assert card.size == 380
    assert np.allclose(shown(card, Face((200, 100, 280, 220), 1.0)), [190, 85, 290, 235])
    assert np.allclose(shown(card, Face((4, 100, 84, 220), 1.0)), [0, 85, 94, 235])
    with pytest.raises(DataError, match="without width or height"):
        card.transform(Face((700, 100, 800, 220), 1.0), (480, 640))


def test_square() -> None:
    face = Face((200, 100, 280, 220), 1.0)
    assert np.allclose(shown(load_crop("square"), face), [240 - 78, 160 - 78, 240 + 78, 160 + 78])
    other = load_crop("square", margin=0.0, size=64)
    assert other.size == 64 and np.allclose(shown(other, face), [180, 100, 300, 220])
    assert load_crop("square:margin=0.0,size=64") == other


def test_deepfakebench_puts_the_points_on_its_template() -> None:
    """The template as its preparation computes it: 112 pixels, 8 to the right, scaled to 256 with a margin of .3."""
    points = np.array(
        [[30.2946, 51.6963], [65.5318, 51.5014], [48.0252, 71.7366], [33.5493, 92.3655], [62.7299, 92.2041]]
    )
    points[:, 0] += 8
    points *= 256 / 112
    points += 256 * 0.3 / 2
    points *= 256 / (256 + 2 * 256 * 0.3 / 2)
    card = load_crop("deepfakebench")
    # There a pixel's centre has whole numbers, here it ends in .5.
    assert np.abs(np.asarray(card.template) * 256 - (points + 0.5)).max() < 1e-6
    matrix = card.transform(Face((190, 100, 310, 260), 0.9, POINTS), (480, 640))
    assert np.abs(moved(matrix, POINTS) - (points + 0.5)).max() < 12  # this face is not quite the template's
    middle = moved(matrix, POINTS).mean(axis=0) - (points + 0.5).mean(axis=0)
    assert np.abs(middle).max() < 1e-6


def test_deepfakebench_needs_points() -> None:
    with pytest.raises(DataError, match="needs the five points"):
        cut(picture(), Face((100, 100, 200, 200), 0.9), load_crop("deepfakebench"))


def test_a_signature_has_all_that_decides_the_pixels() -> None:
    assert load_crop("m2f2det").signature() == "m2f2det-1-224px-mean-face0.74x0.9-at0.49,0.44-zeros"
    base = load_crop("square")
    changes = [
        {},
        {"size": 256},
        {"margin": 0.2},
        {"side": "mean"},
        {"face": (0.9, 1.0)},
        {"centre": (0.5, 0.4)},
        {"border": "reflect"},
        {"smooth": False},
        {"version": 2},
        {"side": "stretch"},
        {"side": "stretch", "border": "cut"},
    ]
    found = {load_crop(base, **change).signature() for change in changes}
    assert len(found) == len(changes)
    template = load_crop("deepfakebench").template
    other = load_crop("deepfakebench", template=[*template[:4], (0.6, 0.7)])
    assert other.signature() != load_crop("deepfakebench").signature()
    assert not any("|" in load_crop(name).signature() for name in NAMES)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("m2f2", "unknown crop 'm2f2'; did you mean 'm2f2det'"),
        ("square:size", "'size' is not of the form key=value"),
        ("square:sise=3", "unknown key 'sise'; did you mean 'size'"),
        ("square:size=3", "key 'size': "),
        ("square:border=cut", "border: cut goes with"),
        ("square:by=points", "template of five points"),
        (7, "of type int"),
    ],
)
def test_a_bad_reference_is_one_line(reference: object, said: str) -> None:
    with pytest.raises(CardError) as raised:
        load_crop(reference)  # type: ignore[arg-type]
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_a_card_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "tight.yaml"
    path.write_text("name: tight\nsize: 64\nside: stretch\n")
    assert load_crop(path).signature() == "tight-1-64px-stretch-zeros" == load_crop(str(path)).signature()
    path.write_text("name: tight\nsize: 64\nsdie: stretch\n")
    with pytest.raises(CardError, match="unknown key 'sdie'; did you mean"):
        load_crop(path)
