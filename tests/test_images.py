"""Decoding: exact pixels for every kind of image that a dataset may hold, one line for every kind of bad file."""

from __future__ import annotations

import io
import os
import socket
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageFile

from m2f2bench.adapters import images
from m2f2bench.adapters.folder import FolderAdapter
from m2f2bench.adapters.images import digest_bytes, digest_file, read_image
from m2f2bench.errors import FrameError

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
        refused(tmp_path / "pipe.jpg", "no regular file")


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


# E3: what is missing or damaged inside a file that looks whole from its ends.

SCANS: dict[str, dict[str, object]] = {
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "4:2:0": {"subsampling": 2},
    "fine": {"quality": 98, "subsampling": 0},
    "grey": {"mode": "L"},
    "ink": {"mode": "CMYK"},
    "own tables": {"optimize": True},
    "progressive": {"progressive": True},
    "progressive grey": {"progressive": True, "mode": "L"},
    "restarts": {"restart_marker_blocks": 3},
    "a restart a row": {"restart_marker_rows": 1},
    "progressive restarts": {"progressive": True, "restart_marker_rows": 2},
    "a restart that never comes": {"restart_marker_blocks": 60000},
}


def photo(width: int = 150, height: int = 113) -> Pillow.Image:
    """Smooth colours with some noise: as many bits a block as of a photograph."""
    y, x = np.mgrid[:height, :width]
    smooth = np.dstack([128 + 90 * np.sin(x / 19), 128 + 90 * np.cos(y / 23 + x / 31), 255 * x / width])
    noise = np.random.default_rng(11).normal(0, 6, (height, width, 3))
    return Pillow.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8))


def scanned(kind: str, image: Pillow.Image | None = None) -> tuple[bytes, int]:
    """A JPEG file of a kind, and where its first scan's data begin."""
    settings = dict(SCANS[kind])
    data = encode((image or photo()).convert(str(settings.pop("mode", "RGB"))), "JPEG", **settings)
    at = data.index(b"\xff\xda") + 2
    return data, at + int.from_bytes(data[at : at + 2], "big")


@pytest.mark.parametrize("kind", SCANS)
@pytest.mark.parametrize("size", [(8, 8), (16, 9), (97, 53), (300, 200)])
def test_e3_whole_jpegs_of_every_kind_are_read_as_the_decoder_reads_them(kind: str, size: tuple[int, int]) -> None:
    for image in (photo(*size), Pillow.new("RGB", size, "white"), Pillow.new("RGB", size)):
        data, _ = scanned(kind, image)
        want = np.asarray(Pillow.open(io.BytesIO(data)).convert("RGB"))
        np.testing.assert_array_equal(read_image(data, "x"), want)
        np.testing.assert_array_equal(read_image(data + b"\xff\xd9 and more", "x"), want)


@pytest.mark.parametrize("kind", SCANS)
def test_e3_a_jpeg_with_an_end_marker_and_missing_data(kind: str) -> None:
    data, start = scanned(kind)
    for share in (0.0, 0.1, 0.35, 0.5, 0.8, 0.95, 0.98):
        kept = start + int((len(data) - 2 - start) * share)
        refused(data[:kept] + b"\xff\xd9", "cut short|damaged|restart markers")


@pytest.mark.parametrize("kind", SCANS)
def test_e3_a_jpeg_with_a_hole(kind: str) -> None:
    """Bytes lost in the middle: as many blocks are missing at the end, where the decoder would draw grey."""
    data, start = scanned(kind)
    length = len(data) - start
    for share in (0.05, 0.4, 0.7):
        at = start + int(length * share)
        refused(data[:at] + data[at + length // 5 :], "cut short|damaged|restart|cannot be decoded")


def test_e3_the_last_bytes_of_a_jpeg_are_missed_as_far_as_can_be_told() -> None:
    """Every cut but those inside the last 7 bytes, which the decoder takes ahead of its need."""
    data, _ = scanned("4:2:0")
    for lost in range(8, 60):
        refused(data[: -2 - lost] + b"\xff\xd9", "cut short or damaged")


def test_e3_progressive_jpegs_without_all_their_scans() -> None:
    data, _ = scanned("progressive")
    starts = [at for at in range(len(data)) if data.startswith((b"\xff\xda", b"\xff\xc4"), at)]
    cuts = [at for at in starts if at > data.index(b"\xff\xda")]
    assert len(cuts) >= 9
    for at in cuts:
        refused(data[:at] + b"\xff\xd9", "scans of the picture are missing")


def test_e3_restart_markers_that_are_lost_or_in_disorder() -> None:
    data, start = scanned("restarts")
    first, second = data.index(b"\xff\xd0", start), data.index(b"\xff\xd1", start)
    refused(data[:first] + data[first + 2 :], "restart markers where there should be")
    refused(data[:first] + data[second:], "restart markers where there should be")
    swapped = data[:first] + b"\xff\xd1" + data[first + 2 : second] + b"\xff\xd0" + data[second + 2 :]
    refused(swapped, "in another order")
    short = data[: second - 9] + data[second:]  # all markers are there, and a stretch between two is not whole
    refused(short, "cut short or damaged")


def test_e3_fill_bytes_before_the_end_marker_do_no_harm() -> None:
    """Some encoders fill a file up to a multiple of bytes."""
    data, _ = scanned("4:2:0")
    want = read_image(data, "x")
    for filler in (b"\0", b"\0\0\0", b"\xff", b"\xff\xff\xff", bytes(64)):
        np.testing.assert_array_equal(read_image(data[:-2] + filler + data[-2:], "x"), want)
    refused(data[:-2] + b"\x12\x34\x56\x78" * 8 + data[-2:], "data are left over")


def test_e3_jpegs_that_cannot_be_checked_or_take_for_ever() -> None:
    data, _ = scanned("4:2:0")
    at = data.index(b"\xff\xc0")
    refused(data[: at + 1] + b"\xc9" + data[at + 2 :], "arithmetic coding")
    progressive, _ = scanned("progressive")
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    refused(progressive[:-2] + scan * 100 + b"\xff\xd9", "scans of a JPEG file are over the limit of 64")


def test_e3_png_chunks_are_checked() -> None:
    data = encode(photo())
    middle = data.index(b"IDAT") + 400
    refused(data[:middle] + bytes([data[middle] ^ 0x40]) + data[middle + 1 :], "wrong checksum of chunk b'IDAT'")
    refused(data[: data.index(b"IEND") - 4], "no end chunk")
    header, body = data.index(b"IDAT") - 4, data.index(b"IEND") - 4
    refused(data[:header] + data[body:], "cannot be decoded")  # no pixels at all
    packed = zlib.decompress(b"".join(_idat(data)))
    fewer = chunk(b"IDAT", zlib.compress(packed[: len(packed) * 2 // 3]))
    refused(data[:header] + fewer + chunk(b"IEND", b""), "cannot be decoded")


def _idat(data: bytes) -> list[bytes]:
    at, found = 8, []
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IDAT":
            found.append(data[at + 8 : at + 8 + length])
        at += 12 + length
    return found


@pytest.mark.parametrize("truncated", [False, True])
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        *((kind, {}) for kind in ("PNG", "BMP", "GIF", "PPM", "WEBP", "TIFF")),
        ("WEBP", {"lossless": True}),
        *(("TIFF", {"compression": name}) for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")),
    ],
)
def test_e3_no_format_is_read_when_it_is_cut(
    kind: str, settings: dict[str, object], truncated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where another library of the process has told Pillow to fill up what is missing."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", truncated)
    data = encode(photo(70, 61), kind, **settings)
    whole = read_image(data, "x")
    for share in (0.15, 0.4, 0.6, 0.8, 0.93):
        cut = data[: int(len(data) * share)]
        try:
            got = read_image(cut, "x")
        except FrameError as error:
            assert "\n" not in str(error)
        else:  # only what comes after the pixels is missing
            np.testing.assert_array_equal(got, whole)
    assert truncated is ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_digest_is_of_the_bytes_that_were_decoded(squares: Path) -> None:
    adapter = FolderAdapter(squares)
    one, other = adapter.frames("test")[:2]
    path = Path(one.locator.path)
    before, image = digest_file(path, "x"), adapter.read(one)
    path.write_bytes(Path(other.locator.path).read_bytes())
    assert adapter.digest(one, image) == before  # it was read before the file was changed
    assert adapter.digest(one, image) == digest_file(path, "x") != before  # nothing is kept beyond that
    adapter.read(one)
    assert adapter.digest(other, image) == digest_file(Path(other.locator.path), "x")


def test_large_pictures_are_the_same_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(photo(150, 113))
    whole = read_image(data, "x")
    monkeypatch.setattr(images, "_STRIP", 1000)
    strips = read_image(data, "x")
    assert strips.flags.c_contiguous and strips.flags.writeable
    np.testing.assert_array_equal(strips, whole)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes and sockets in folders here")
def test_e8_no_pipe_socket_or_device_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    refused(tmp_path / "pipe.png", "is no regular file")
    place = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    try:
        os.chdir(tmp_path)  # a socket's name is short
        place.bind("s.png")
    finally:
        os.chdir(here)
        place.close()
    refused(tmp_path / "s.png", "is no regular file")
    for device in (Path("/dev/zero"), Path("/dev/full"), Path("/dev/null")):
        refused(device, "is no regular file|does not exist")


def test_d2_a_path_of_windows_is_named_as_the_cause(tmp_path: Path) -> None:
    if os.sep == "\\":
        pytest.skip("here such paths are the right ones")
    refused(tmp_path / "real\\000\\1.png", "written with \\\\, as on Windows")
