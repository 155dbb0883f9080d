"""Decoding: exact pixels for every kind of image that a dataset may hold, one line for every kind of bad file."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageFile

from m2f2bench.core.errors import FrameError
from m2f2bench.datasets.files.images import digest_bytes, digest_file, read_image

RNG = np.random.default_rng(7)
COLOURS = RNG.integers(0, 256, (10, 12, 3), dtype=np.uint8)


def encode(image: Pillow.Image, kind: str = "PNG", **settings: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def raw_png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG written by hand, so that the encoder under test is not the decoder's twin."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def faultless_jpeg(side: int = 64) -> bytes:
    pixels = np.random.default_rng(3).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return encode(Pillow.fromarray(pixels), "JPEG", quality=90)


def refused(source: Path | bytes, reason: str) -> None:
    with pytest.raises(FrameError, match=reason) as caught:
        read_image(source, "clip/0001")
    assert caught.value.frame == "clip/0001"
    assert caught.value.status == "unreadable"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_colours_are_exact(kind: str) -> None:
    got = read_image(encode(Pillow.fromarray(COLOURS), kind), "x")
    assert got.dtype == np.uint8
    assert got.flags.c_contiguous and got.flags.writeable
    np.testing.assert_array_equal(got, COLOURS)


def test_webp_lossless_is_exact() -> None:
    got = read_image(encode(Pillow.fromarray(COLOURS), "WEBP", lossless=True), "x")
    np.testing.assert_array_equal(got, COLOURS)


def test_a_path_reads_as_its_bytes_do(tmp_path: Path) -> None:
    path = tmp_path / "wrong_ending.jpg"
    path.write_bytes(encode(Pillow.fromarray(COLOURS), "PNG"))
    np.testing.assert_array_equal(read_image(path, "x"), COLOURS)


def test_grey_and_one_bit() -> None:
    grey = np.arange(80, dtype=np.uint8).reshape(8, 10)
    np.testing.assert_array_equal(read_image(encode(Pillow.fromarray(grey)), "x"), np.dstack([grey] * 3))
    bits = np.indices((8, 8)).sum(0) % 2 == 0
    np.testing.assert_array_equal(
        read_image(encode(Pillow.fromarray(bits)), "x"), np.dstack([bits * np.uint8(255)] * 3)
    )


def test_sixteen_bit_grey_is_scaled_and_not_clipped() -> None:
    values = np.zeros((8, 8), dtype=">u2")
    values[0, :6] = [0, 255, 256, 32768, 65280, 65535]
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    got = read_image(raw_png(8, 8, 16, 0, rows), "x")
    assert got[0, :6, 0].tolist() == [0, 0, 1, 128, 255, 255]
    assert (got[..., 0] == got[..., 1]).all() and (got[..., 0] == got[..., 2]).all()
    tiff = encode(Pillow.fromarray(values.astype(np.uint16)), "TIFF")
    np.testing.assert_array_equal(read_image(tiff, "x"), got)
    pgm = b"P5 8 8 65535\n" + values.tobytes()
    np.testing.assert_array_equal(read_image(pgm, "x"), got)


def test_sixteen_bit_colour_is_scaled() -> None:
    values = np.zeros((8, 8, 3), dtype=">u2")
    values[0, 0] = [256, 32768, 65535]
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    assert read_image(raw_png(8, 8, 16, 2, rows), "x")[0, 0].tolist() == [1, 128, 255]


def test_palette_with_and_without_transparency() -> None:
    indexed = Pillow.new("P", (8, 8), 0)
    indexed.putpalette([10, 20, 30, 200, 100, 50])
    indexed.putpixel((3, 0), 1)
    want = np.full((8, 8, 3), (10, 20, 30), dtype=np.uint8)
    want[0, 3] = (200, 100, 50)
    np.testing.assert_array_equal(read_image(encode(indexed), "x"), want)
    np.testing.assert_array_equal(read_image(encode(indexed, "GIF"), "x"), want)
    for transparency in (0, b"\x00\x80"):
        data = encode(indexed, transparency=transparency)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            np.testing.assert_array_equal(read_image(data, "x"), want)


def test_alpha_is_dropped_and_the_stored_colour_stays() -> None:
    alpha = RNG.integers(0, 256, (10, 12, 1), dtype=np.uint8)
    rgba = np.concatenate([COLOURS, alpha], axis=2)
    np.testing.assert_array_equal(read_image(encode(Pillow.fromarray(rgba)), "x"), COLOURS)
    la = Pillow.merge("LA", [Pillow.fromarray(rgba[..., channel]) for channel in (2, 3)])
    np.testing.assert_array_equal(read_image(encode(la), "x"), np.dstack([rgba[..., 2]] * 3))


def test_cmyk_jpeg_of_adobe_is_inverted() -> None:
    # Adobe stores ink inverted; the encoder writes it so and the decoder has to turn it back: pure cyan ink is cyan.
    ink = Pillow.new("CMYK", (16, 16), (255, 0, 0, 0))
    data = encode(ink, "JPEG", quality=100)
    assert b"Adobe" in data
    np.testing.assert_allclose(read_image(data, "x")[8, 8], (0, 255, 255), atol=3)
    white = encode(Pillow.new("CMYK", (16, 16), (0, 0, 0, 0)), "JPEG", quality=100)
    np.testing.assert_allclose(read_image(white, "x")[8, 8], (255, 255, 255), atol=3)
    tiff = encode(ink, "TIFF")
    assert read_image(tiff, "x")[8, 8].tolist() == [0, 255, 255]


ORIENTED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", ORIENTED)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_exif_orientation_is_applied_once(orientation: int, kind: str) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    got = read_image(encode(Pillow.fromarray(COLOURS), kind, exif=exif), "x")
    np.testing.assert_array_equal(got, ORIENTED[orientation](COLOURS))


def test_exif_orientation_of_a_jpeg_and_of_deep_grey() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    halves = np.zeros((16, 32, 3), dtype=np.uint8)
    halves[:, 16:] = 255  # the right half is white; turned clockwise it is the lower half
    got = read_image(encode(Pillow.fromarray(halves), "JPEG", exif=exif), "x")
    assert got.shape == (32, 16, 3)
    assert got[2].max() < 20 and got[-3].min() > 235
    deep = Pillow.fromarray(np.repeat([[0], [65535]], 8, axis=0).repeat(9, axis=1).astype(np.uint16))
    turned = read_image(encode(deep, "PNG", exif=exif), "x")
    assert turned.shape == (9, 16, 3) and turned[0, 0, 0] == 255 and turned[0, -1, 0] == 0


def test_damaged_exif_says_nothing_against_the_pixels() -> None:
    data = faultless_jpeg()
    broken = b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"\xee" * 9
    segment = b"\xff\xe1" + struct.pack(">H", len(broken) + 2) + broken
    np.testing.assert_array_equal(read_image(data[:2] + segment + data[2:], "x"), read_image(data, "x"))


def test_the_first_picture_of_an_animation() -> None:
    pages = [Pillow.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "PNG", "WEBP"):
        settings = {"lossless": True} if kind == "WEBP" else {}
        data = encode(pages[0], kind, save_all=True, append_images=pages[1:], duration=40, **settings)
        assert read_image(data, "x")[4, 4].tolist() == [255, 0, 0], kind


def test_files_that_are_not_there_or_no_files(tmp_path: Path) -> None:
    refused(tmp_path / "gone.jpg", "does not exist")
    (tmp_path / "folder.jpg").mkdir()
    refused(tmp_path / "folder.jpg", "is a folder")
    (tmp_path / "empty.jpg").touch()
    refused(tmp_path / "empty.jpg", "empty")
    (tmp_path / "text.jpg").write_text("no picture at all\n")
    refused(tmp_path / "text.jpg", "not an image")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere")
    refused(tmp_path / "link.jpg", "does not exist")
    refused(tmp_path / "nul\0l.jpg", "cannot be read|does not exist")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.jpg")
        refused(tmp_path / "pipe.jpg", "not a regular file")


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "clip.jpg"
    with path.open("wb") as file:
        file.truncate(600 * 2**20)  # sparse: takes no room
    refused(path, "over the limit")


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.97])
def test_a_jpeg_cut_short(share: float, progressive: bool) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encode(Pillow.fromarray(pixels), "JPEG", quality=90, progressive=progressive)
    assert read_image(data, "x").shape == (64, 64, 3)
    kept = data[: int(len(data) * share)]
    refused(kept, "cut short")
    refused(kept + bytes(len(data) - len(kept)), "cut short")  # a download that was allocated, then stopped


def test_a_jpeg_cut_inside_with_a_thumbnail_before_it() -> None:
    thumbnail = encode(Pillow.new("RGB", (16, 16), "red"), "JPEG")  # has an end marker of its own
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 8) + b"Thumb\0" + thumbnail
    data = faultless_jpeg()
    whole = data[:2] + segment + data[2:]
    assert read_image(whole, "x").shape == (64, 64, 3)
    refused(whole[: len(whole) // 2 + len(segment) // 2], "cut short")


def test_bytes_after_a_whole_jpeg_do_no_harm() -> None:
    data = faultless_jpeg()
    np.testing.assert_array_equal(read_image(data + b"\xff\xda trailer", "x"), read_image(data, "x"))


def test_nothing_half_grey_even_when_another_library_allows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = faultless_jpeg()
    refused(data[: len(data) // 2], "cut short")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM"])
def test_other_formats_cut_short(kind: str) -> None:
    data = encode(Pillow.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)), kind)
    refused(data[: len(data) // 2], "cannot be decoded")
    refused(data[:9], "cannot be decoded|not an image")


def test_a_bomb_is_refused_from_its_header_without_a_warning() -> None:
    # 10,000 x 10,000 would make the library warn, 20,000 x 20,000 make it raise; both hold no pixels here.
    limit = Pillow.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for side in (10_000, 20_000, 2**31 - 1):
            refused(raw_png(side, side, 8, 2, b""), "over the limit of 50 million")
    assert limit == Pillow.MAX_IMAGE_PIXELS
    refused(raw_png(7072, 7071, 8, 2, b""), "50 million")  # 50,006,112
    refused(raw_png(7071, 7071, 8, 2, b""), "cannot be decoded")  # 49,999,041: allowed, but it holds nothing


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (300, 7)])
def test_too_small_for_a_face(size: tuple[int, int]) -> None:
    refused(encode(Pillow.new("RGB", size)), f"{size[0]}x{size[1]} pixels are too small to hold a face")


def test_eight_pixels_are_enough() -> None:
    assert read_image(encode(Pillow.new("RGB", (8, 8))), "x").shape == (8, 8, 3)


def test_pixels_that_are_no_colours_or_have_no_scale() -> None:
    refused(encode(Pillow.fromarray(np.ones((8, 8), np.float32)), "TIFF"), "mode F")
    refused(encode(Pillow.fromarray(np.ones((8, 8), np.int32)), "TIFF"), "mode I ")
    refused(encode(Pillow.new("LAB", (8, 8)), "TIFF"), "mode LAB")


def test_formats_that_start_other_programs_are_not_tried() -> None:
    refused(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "not an image")


def test_digest_is_of_the_bytes(tmp_path: Path) -> None:
    # BLAKE2b with 8 bytes of output over b"abc", by `b2sum -l 64`
    assert digest_bytes(b"abc") == "d8bb14d833d59559"
    (tmp_path / "a").write_bytes(b"abc")
    assert digest_file(tmp_path / "a", "x") == "d8bb14d833d59559"
    with pytest.raises(FrameError, match="does not exist"):
        digest_file(tmp_path / "b", "x")
