"""Fast decoding of JPEG files gives the pixels of Pillow, and takes nothing that the careful way refuses."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from test_images import encode
from test_images_whole import SCANS, photo, scanned

from m2f2bench.datasets.files.damage import DamagedImage, jpeg_layout, load_jpeg
from m2f2bench.datasets.files.images import read_image, read_size
from m2f2bench.datasets.files.jpeg import is_plain, plain_pixels

PLAIN = {"4:4:4", "4:2:2", "4:2:0", "fine", "grey", "own tables"}


def fast(data: bytes) -> np.ndarray | None:
    layout = jpeg_layout(data)
    return plain_pixels(data, layout) if is_plain(layout) else None


@pytest.mark.parametrize("kind", SCANS)
def test_plain_files_are_those_of_one_scan_without_restarts(kind: str) -> None:
    for size in ((8, 8), (17, 9), (150, 113)):
        data, _ = scanned(kind, photo(*size))
        assert (fast(data) is not None) == (kind in PLAIN)


@given(
    size=st.tuples(st.integers(8, 70), st.integers(8, 70)),
    seed=st.integers(0, 2**32 - 1),
    grain=st.integers(1, 8),
    how=st.sampled_from([{"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"keep_rgb": True}, {"grey": 1}]),
    quality=st.integers(1, 100),
    damage=st.sampled_from(["none", "cut", "other", "more", "lost", "anywhere"]),
    data=st.data(),
)
def test_what_is_decoded_fast_is_what_is_decoded_with_care(
    size: tuple[int, int], seed: int, grain: int, how: dict[str, int], quality: int, damage: str, data: st.DataObject
) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    picture = Pillow.fromarray(noise).resize((grain * size[0] // 2 + 8, grain * size[1] // 2 + 8))
    settings = {name: value for name, value in how.items() if name != "grey"}
    found = encode(picture.convert("L") if "grey" in how else picture, "JPEG", quality=quality, **settings)
    if damage == "none":
        assert fast(found) is not None
    found = _damaged(found, damage, data)
    try:
        layout = jpeg_layout(found)
        own = plain_pixels(found, layout) if is_plain(layout) else None
    except DamagedImage:
        return
    if own is not None:
        with load_jpeg(found, layout) as careful:
            careful.load()
            np.testing.assert_array_equal(own, np.asarray(careful.convert("RGB")))
        assert own.flags.writeable and own.dtype == np.uint8


def _damaged(found: bytes, damage: str, data: st.DataObject) -> bytes:
    """The file with a change; most are in or after the compressed data, where no header shows it."""
    end = len(found) - 2
    begin = found.index(b"\xff\xda") + 14
    if damage == "cut":
        return found[: max(begin, end - data.draw(st.integers(1, 12)))] + found[end:]
    at = data.draw(st.integers(2 if damage == "anywhere" else begin, end - 1))
    if damage in ("other", "anywhere"):
        return found[:at] + data.draw(st.binary(min_size=1, max_size=1)) + found[at + 1 :]
    if damage == "more":
        at = max(begin, end - data.draw(st.integers(0, 6)))
        return found[:at] + data.draw(st.binary(min_size=1, max_size=8)) + found[at:]
    if damage == "lost":
        return found[:at] + found[min(end, at + data.draw(st.integers(1, 5))) :]
    return found


def test_data_that_are_left_over_are_seen_although_libjpeg_does_not_warn() -> None:
    """It reads up to seven bytes ahead; with these the picture is whole, but the file is not the picture's."""
    whole = encode(photo(64, 64), "JPEG")
    assert fast(whole) is not None
    for more in (b"\x2a", b"\x2a\x15", bytes(range(1, 7))):
        assert fast(whole[:-2] + more + whole[-2:]) is None


def test_a_turned_picture_is_not_plain() -> None:
    """Its orientation is in a segment that only the careful way reads."""
    exif = Pillow.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    photo(40, 24).save(buffer, "JPEG", exif=exif, subsampling=0, quality=100)
    layout = jpeg_layout(buffer.getvalue())
    assert layout.tagged and not is_plain(layout)
    assert read_image(buffer.getvalue(), "x").shape == (40, 24, 3)


def test_the_size_of_a_plain_file_is_in_its_header(tmp_path: Path) -> None:
    place = tmp_path / "one.jpg"
    place.write_bytes(encode(photo(40, 24), "JPEG"))
    assert read_size(place, "x") == (24, 40)
