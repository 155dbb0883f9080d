"""A contact sheet: which frames stand where, in which colours, and under which names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw

from m2f2bench.core.errors import DataError, FrameError
from m2f2bench.core.records import Frame, Locator
from m2f2bench.datasets.base import Adapter
from m2f2bench.datasets.sheet import LABEL, contact_sheet, outlined, pick

SIDE = 20
GREY, DARK, YELLOW = (128, 128, 128), (24, 24, 24), (255, 230, 0)


def frame(name: str, video: str, method: str, people: tuple[str, ...] = ()) -> Frame:
    return Frame(name, video, int(method != "original"), method, "test", people, Locator(""))


class Coloured(Adapter):
    """Pictures of one colour each, red by number and blue by label; `torn` cannot be read; `half` has a mask."""

    def __init__(self, frames: list[Frame]) -> None:
        super().__init__()
        self.listed = frames

    def frames(self, split: str) -> list[Frame]:
        return self.listed

    def read(self, frame: Frame) -> Any:
        if frame.id == "torn":
            raise FrameError(frame.id, "torn")
        colour = (10 * self.listed.index(frame) + 5, 0, 200 * frame.label)
        return np.full((40, 30, 3), colour, np.uint8)

    def mask(self, frame: Frame) -> npt.NDArray[np.bool_] | None:
        if frame.id != "half":
            return None
        mask = np.zeros((40, 30), bool)
        mask[10:30, 5:25] = True
        return mask


def ids(frames: list[Frame], per_method: int) -> dict[str, list[str]]:
    return {method: [one.id for one in row] for method, row in pick(frames, per_method).items()}


def test_a_row_is_a_method_and_a_column_another_person_while_there_is_one() -> None:
    """By hand: of each video the middle frame, people in turn; ann has three videos, bob one, and one is nobody's."""
    listed = [frame(f"a{video}{i}", f"a{video}", "swap", ("ann", "x")) for video in "123" for i in range(4)]
    listed += [frame(f"b1{i}", "b1", "swap", ("bob",)) for i in range(3)]
    listed += [frame("n", "nobodys", "swap"), frame("m", "another", "swap")]
    listed += [frame("r", "r", "original", ("ann",)), frame("z", "z", "blend", ("ann",))]
    assert ids(listed, 9) == {"original": ["r"], "swap": ["a12", "b11", "n", "m", "a22", "a32"], "blend": ["z"]}
    assert list(ids(listed, 9)) == ["original", "swap", "blend"]
    assert ids(listed, 2)["swap"] == ["a12", "b11"]


def sheet(path: Path, frames: list[Frame], **options: Any) -> npt.NDArray[np.uint8]:
    made = contact_sheet(Coloured(frames), "test", path / "s.png", side=SIDE, **options)
    assert made == path / "s.png"
    return np.asarray(Image.open(made))


def test_every_tile_has_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[tuple[float, float], str, Any]] = []

    def text(self: Any, place: Any, words: str, fill: Any = None, **more: Any) -> None:
        said.append((place, words, fill))

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    listed = [frame("r", "r", "original"), frame("torn", "t", "original"), frame("half", "h", "a-very-long-method")]
    got = sheet(tmp_path, listed)
    assert got.shape == (2 * SIDE, LABEL + 2 * SIDE, 3)
    assert (got[:SIDE, LABEL : LABEL + SIDE] == (5, 0, 0)).all() and (got[:SIDE, LABEL + SIDE :] == GREY).all()
    assert (got[SIDE:, LABEL : LABEL + SIDE] == (25, 0, 200)).all() and (got[SIDE:, LABEL + SIDE :] == DARK).all()
    assert (got[:, :LABEL] == DARK).all()
    light = (235, 235, 235)
    assert said == [((6, 2), "original", light), ((6, SIDE + 2), "a-very-long-m", light)]


def test_a_row_that_begins_with_an_unreadable_picture_is_one_band(tmp_path: Path) -> None:
    assert sheet(tmp_path, [frame("torn", "t", "swap"), frame("a", "a", "swap")]).shape[0] == SIDE


def test_masks_have_a_band_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda self, place, words, **more: said.append(words))
    listed = [
        frame("r", "r", "original"),
        frame("half", "h", "swap"),
        frame("torn", "t", "swap"),
        frame("no", "n", "swap"),
    ]
    got = sheet(tmp_path, listed, masks=True)
    assert got.shape == (3 * SIDE, LABEL + 3 * SIDE, 3) and said == ["original", "swap", "mask"]
    band = got[2 * SIDE :, LABEL:]
    assert (got[SIDE : 2 * SIDE, LABEL : LABEL + SIDE] == (15, 0, 200)).all()  # no outline in the band above
    assert band[0, 0].tolist() == [15, 0, 200] and band[10, 10].tolist() == [15, 0, 200]
    green = band[:, :SIDE, 1] > 60  # of the yellow rim alone, which is made smaller with its picture
    rows, columns = np.flatnonzero(green.any(axis=1)), np.flatnonzero(green.any(axis=0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (5, 14, 3, 16)
    assert (band[:, SIDE : 2 * SIDE] == GREY).all() and (band[:, 2 * SIDE :] == (35, 0, 200)).all()


def test_an_outline_is_the_inner_rim_of_one_pixel() -> None:
    image = np.zeros((8, 6, 3), np.uint8)
    mask = np.zeros((8, 6), bool)
    mask[2:7, 1:5] = True
    marked = outlined(image, mask)
    rim = mask.copy()
    rim[3:6, 2:4] = False
    assert ((marked == YELLOW).all(axis=2) == rim).all() and not image.any() and not marked[~rim].any()
    small = np.zeros((4, 3), bool)  # of another size: taken up to the image's, without blending
    small[1:3, 1:] = True
    whole = np.kron(small, np.ones((2, 2), bool)).astype(bool)
    assert (outlined(image, small) == outlined(image, whole)).all()


def test_what_cannot_be_drawn_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"sheet\.txt': its name must end in \.png"):
        contact_sheet(Coloured([frame("r", "r", "original")]), "test", tmp_path / "sheet.txt")
    with pytest.raises(DataError, match="the split 'test' has no frames"):
        contact_sheet(Coloured([]), "test", tmp_path / "sheet.png")
