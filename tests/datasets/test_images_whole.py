"""Images that look whole from their ends and are not, whole ones of every kind, and files that are none."""

from __future__ import annotations

import io
import os
import re
import socket
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageFile
from test_images import chunk, encode, refused

from m2f2bench.core.errors import FrameError
from m2f2bench.datasets.files import images
from m2f2bench.datasets.files.damage import _marker
from m2f2bench.datasets.files.images import digest_file, read_image
from m2f2bench.datasets.lists.folder import FolderAdapter

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
    refused(tmp_path / "pipe.png", "is not a regular file")
    place = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    try:
        os.chdir(tmp_path)  # a socket's name is short
        place.bind("s.png")
    finally:
        os.chdir(here)
        place.close()
    refused(tmp_path / "s.png", "is not a regular file")
    for device in (Path("/dev/zero"), Path("/dev/full"), Path("/dev/null")):
        refused(device, "is not a regular file|does not exist")


def test_d2_a_path_of_windows_is_named_as_the_cause(tmp_path: Path) -> None:
    if os.sep == "\\":
        pytest.skip("here such paths are the right ones")
    refused(tmp_path / "real\\000\\1.png", "written with \\\\, as on Windows")


@given(
    st.binary(max_size=3), st.lists(st.sampled_from([b"\xff", b"\x00", b"\xd0", b"\xd9", b"\x01", b"ab"])), st.data()
)
def test_markers_are_those_of_the_format(begin: bytes, pieces: list[bytes], data: st.DataObject) -> None:
    """A marker is any 0xFF run and a code that is neither 0 (stuffed), nor a restart."""
    content = begin + b"".join(pieces)
    place = data.draw(st.integers(0, len(content)))
    found = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])", re.DOTALL).search(content, place)
    assert _marker(content, place) == (None if found is None else (found.start(), found[1][0], found.end()))
