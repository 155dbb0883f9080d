"""Video files: upright, with right colours, decoded once; and what is missing from one is said."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from paths import SHARED

from m2f2bench.core.errors import FrameError, MachineError, NothingJudged
from m2f2bench.datasets import limits
from m2f2bench.datasets.files import video
from m2f2bench.datasets.files.video import read_video
from m2f2bench.inference.predict import predict_paths

CASES = SHARED / "cases" / "05"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the folder of cases from the field is not there")
COLOURS = [(220, 30, 30), (30, 200, 30), (30, 30, 220), (200, 200, 200)]
"""Of the four corners: top left, top right, bottom left, bottom right."""


class Bright:
    """A detector whose score is the picture's brightness."""

    def predict(self, images: list[Any]) -> list[float]:
        return [float(image.mean()) / 255 for image in images]


def picture(number: int, width: int = 96, height: int = 64) -> npt.NDArray[np.uint8]:
    """Four corners of known colours, and a spot that tells the frame's number."""
    out = np.zeros((height, width, 3), np.uint8)
    for colour, (y, x) in zip(COLOURS, ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True):
        out[y * height // 2 : (y + 1) * height // 2, x * width // 2 : (x + 1) * width // 2] = colour
    out[:8, :8] = number * 6
    return out


def write(
    path: Path, n: int = 12, sound: bool = False, codec: str = "libx264", fast: bool = False, **options: str
) -> Path:
    """A video of `n` of these pictures at 25 a second."""
    flags = {"movflags": "faststart"} if fast else {}
    with av.open(str(path), "w", options=flags) as out:
        stream: Any = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.options = {"crf": "4", **options}
        track: Any = out.add_stream("aac", rate=44100) if sound else None
        for number in range(n):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number), format="rgb24")))
        out.mux(stream.encode())
        if sound:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 44100 * 3), np.float32), format="fltp", layout="mono")
            silence.sample_rate = 44100
            out.mux(track.encode(silence))
            out.mux(track.encode())
    return path


def corners(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """The colours in the middles of the four corners, int [4, 3]."""
    height, width = image.shape[:2]
    places = ((0.25, 0.3), (0.25, 0.7), (0.75, 0.3), (0.75, 0.7))
    return np.array([image[int(height * y), int(width * x)] for y, x in places]).astype(np.int64)


def with_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """The same mp4 with another display matrix in its track header."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd")
    at = start + 4 + 4 + (32 if data[start + 4] else 20) + 16
    assert data[at : at + 4] == b"\x00\x01\x00\x00"
    values = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]
    data[at : at + 36] = b"".join((value & 0xFFFFFFFF).to_bytes(4, "big") for value in values)
    out = path.with_name("turned.mp4")
    out.write_bytes(data)
    return out


def everything(n: int) -> range:
    return range(n)


TURNS: dict[str, tuple[tuple[int, int, int, int], Any]] = {
    "upright": ((1, 0, 0, 1), lambda image: image),
    "clockwise": ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
    "upside down": ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
    "anticlockwise": ((0, -1, 1, 0), lambda image: np.rot90(image, 1)),
    "mirrored": ((-1, 0, 0, 1), np.fliplr),
    "flipped": ((1, 0, 0, -1), np.flipud),
    "transposed": ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
    "transversed": ((0, -1, -1, 0), lambda image: np.rot90(image, 2).transpose(1, 0, 2)),
}


@pytest.mark.parametrize("turn", TURNS)
def test_a10_a_display_matrix_is_followed(tmp_path: Path, turn: str) -> None:
    matrix, turned = TURNS[turn]
    plain = write(tmp_path / "plain.mp4")
    found = read_video(with_matrix(plain, *matrix), everything)
    for one, other in zip(found, read_video(plain, everything), strict=True):
        assert one.dtype == np.uint8 and one.flags.c_contiguous
        np.testing.assert_array_equal(one, turned(other))


@needs_cases
def test_a10_the_rotated_case() -> None:
    """The README's right value: np.rot90 of the plain one's frames, as `frame.rotation` says, in degrees."""
    with av.open(str(CASES / "rotated.mp4")) as container:
        quarter = next(container.decode(video=0)).rotation // 90
    assert quarter == -1
    for one, other in zip(
        read_video(CASES / "rotated.mp4", everything), read_video(CASES / "plain.mp4", everything), strict=True
    ):
        np.testing.assert_array_equal(one, np.rot90(other, quarter))


@needs_cases
@pytest.mark.parametrize("name", ["plain", "bt709", "full709", "full601", "odd", "ten", "yuv444"])
def test_a10_colours_of_the_cases(name: str) -> None:
    found = read_video(CASES / f"{name}.mp4", everything)
    assert (len(found), found.readable, found.promised, found.remark) == (12, 12, 12, "")
    assert found[6].shape == ((126, 190, 3) if name == "odd" else (128, 192, 3))
    assert np.abs(corners(found[6]) - COLOURS).max() <= 4


@needs_cases
@pytest.mark.parametrize(("name", "readable"), [("cut.mkv", 13), ("damaged.mkv", 17)])
def test_a10_what_is_missing_from_the_cases_is_told(name: str, readable: int, caplog: pytest.LogCaptureFixture) -> None:
    told = f"the container promises 40 frames, {readable} could be read"
    with caplog.at_level(logging.WARNING, "m2f2bench"):
        (row,) = predict_paths([CASES / name], Bright())
    own = [record for record in caplog.records if record.name.startswith("m2f2bench")]  # av 17 also logs libav's
    assert [record.getMessage() for record in own] == [f"'{CASES / name}': {told}"]
    assert (row["status"], row["frames"], row["frames_readable"], row["frames_promised"]) == (
        "ok",
        readable,
        readable,
        40,
    )
    assert row["message"] == told


@needs_cases
@pytest.mark.parametrize(("name", "holds"), [("audio_only.mp4", "audio"), ("cut.mp4", "data")])
def test_a10_cases_without_pictures_are_one_clear_line(name: str, holds: str, tmp_path: Path) -> None:
    why = f"not a readable video: it holds {holds} and no pictures; it is sound alone or cut short"
    with pytest.raises(NothingJudged, match=f"none of 1 files could be judged, first .*unreadable: {why}"):
        predict_paths([CASES / name], Bright())
    whole = write(tmp_path / "a.mkv", 5)
    row, _ = predict_paths([CASES / name, whole], Bright())
    assert row["status"] == "unreadable" and row["score"] is None and row["frames_readable"] is None
    assert row["message"] == why


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.mov"])
@pytest.mark.parametrize("sound", [False, True])
def test_a10_whole_videos_have_no_remark(tmp_path: Path, name: str, sound: bool) -> None:
    found = read_video(write(tmp_path / name, 30, sound), lambda n: [0, n - 1])
    assert (found.readable, found.numbers, found.remark, found.damaged) == (30, [0, 29], "", 0)
    assert abs(int(found[0][2, 2, 0])) <= 4 and abs(int(found[1][2, 2, 0]) - 174) <= 4


def test_a10_a_cut_video_whose_index_is_at_its_beginning(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", 40, fast=True, g="4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    found = read_video(path, everything)
    assert 0 < found.readable < 38 and found.promised == 40
    assert found.remark == f"the container promises 40 frames, {found.readable} could be read"


def test_a10_what_builds_on_a_damaged_piece_is_left_out(tmp_path: Path) -> None:
    """Never a picture that is half another's: each frame that is given is, up to compression, one that was written."""
    path = write(tmp_path / "a.mkv", 40, g="8", bf="0")
    whole = read_video(path, everything)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    start, size = packets[18]
    at = data.index(bytes(path.read_bytes()[start : start + 4]), start)
    data[at + 8 : at + size] = b"\xff" * (size - 8)
    path.write_bytes(data)
    found = read_video(path, everything)
    assert found.damaged == 1 and found.promised == 40 and found.readable <= 40 - 6
    assert "the container promises 40 frames" in found.remark
    for image in found:
        assert min(np.abs(image.astype(int) - one.astype(int)).mean() for one in whole) < 1


def test_a10_a_sound_files_cover_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        track: Any = out.add_stream("aac", rate=44100)
        cover: Any = out.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 96, 64, "yuvj420p"
        try:
            cover.disposition = av.stream.Disposition.attached_pic
        except TypeError:
            pytest.skip("this PyAV cannot write a cover")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 44100
        out.mux(track.encode(silence))
        out.mux(track.encode())
        out.mux(cover.encode(av.VideoFrame.from_ndarray(picture(0), format="rgb24")))
        out.mux(cover.encode())
    with pytest.raises(FrameError, match="holds audio, video and no pictures"):
        read_video(path, everything)


def test_a10_each_video_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    decode = video._decode

    def counted(path: Path, wanted: frozenset[int]) -> Any:
        passes.append(len(wanted))
        return decode(path, wanted)

    monkeypatch.setattr(video, "_decode", counted)
    (row,) = predict_paths([write(tmp_path / "a.mp4", 40)], Bright(), frames=4)
    assert passes == [4] and row["frames"] == 4 and row["frames_readable"] == row["frames_promised"] == 40


def test_a10_a_length_that_was_wrong_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.mkv", 20)
    monkeypatch.setattr(video, "_length", lambda path: (31, None))
    found = read_video(path, lambda n: [0, n // 2, n - 1])
    assert found.numbers == [0, 10, 19] and len(found) == 3 and found.remark == ""
    assert [round(int(image[2, 2, 0]) / 6) for image in found] == [0, 10, 19]


class Stream:
    """What `_length` asks of a stream and its container."""

    time_base = Fraction(1, 1000)

    def __init__(self, frames: int = 0, duration: int | None = None, tag: str = "", rate: int | None = 25) -> None:
        self.frames, self.duration, self.average_rate = frames, duration, rate
        self.metadata = {"DURATION": tag} if tag else {}
        self.type, self.disposition = "video", av.stream.Disposition(0)


@pytest.mark.parametrize(
    ("stream", "hidden", "whole", "expected"),
    [
        (Stream(100, 4000), 0, 9_000_000, (100, 100)),
        (Stream(100, 4000), 30, 9_000_000, (70, 70)),  # trimmed: some packets are there and not shown
        (Stream(100, 2000), 0, 9_000_000, (100, 50)),
        (Stream(0, None, "01:02:03.040000000"), 0, 9_000_000, (100, 93_076)),  # (3600 + 120 + 3.04) * 25
        (Stream(0, None, "odd"), 0, 4_000_000, (100, 100)),
        (Stream(0, None), 0, None, (100, None)),
        (Stream(0, 4000, rate=None), 0, 4_000_000, (100, None)),
    ],
)
def test_what_a_container_promises(
    monkeypatch: pytest.MonkeyPatch, stream: Any, hidden: int, whole: int | None, expected: tuple[int, int | None]
) -> None:
    packets = [SimpleNamespace(size=9, is_discard=i < hidden) for i in range(100)] + [SimpleNamespace(size=0)]
    streams = SimpleNamespace(video=[stream])
    container = SimpleNamespace(streams=streams, duration=whole, demux=lambda stream: iter(packets))
    monkeypatch.setattr(av, "open", lambda name, options: contextlib.nullcontext(container))
    assert video._length(Path("x.mp4")) == expected


def test_remarks() -> None:
    def remark(readable: int, promised: int | None, damaged: int = 0) -> str:
        return video.Video([], [], readable, promised, damaged).remark

    assert remark(99, 100) == "" and remark(100, 100) == "" and remark(101, 100) == "" and remark(7, None) == ""
    assert remark(98, 100) == "" and remark(97, 100) != "" and remark(38, 40) != "" and remark(39, 40) == ""
    assert remark(99, 100, 1) == "the container promises 100 frames, 99 could be read"
    assert remark(100, 100, 1) == "" and remark(7, None, 2) == "2 pieces are damaged, 7 frames could be read"


def test_predict_of_a_folder_is_in_natural_order(cli: Any, tmp_path: Path) -> None:
    for number in (10, 9, 1):
        write(tmp_path / f"v{number}.mp4", 3)
    rows = json.loads(cli("predict", "--no-faces", tmp_path, "-d", "constant", "--json").out)
    assert [Path(row["path"]).name for row in rows] == ["v1.mp4", "v9.mp4", "v10.mp4"]


# E2, E3, E8: limits, pieces that are damaged in the middle, and files that are none.


def damaged(path: Path, number: int) -> Path:
    """The same file with 8 bytes in the middle of one packet changed."""
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    at, size = packets[number]
    data = bytearray(path.read_bytes())
    for i in range(at + size // 2, at + size // 2 + 8):
        data[i] ^= 0xA5
    out = path.with_stem(f"damaged{number}")
    out.write_bytes(data)
    return out


def noisy(path: Path, n: int = 24) -> Path:
    """A video whose every piece is long enough to be damaged inside."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (128, 192, 3), dtype=np.uint8)
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 192, 128, "yuv420p"
        stream.options = {"crf": "18", "g": "6", "bf": "0"}
        for i in range(n):
            image = np.ascontiguousarray(np.roll(base, i * 3, axis=1) // 2 + np.uint8(i))
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode())
    return path


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_e3_damaged_pieces_of_h264_are_refused_and_not_concealed(tmp_path: Path, suffix: str) -> None:
    """The decoder would draw what is missing from the frames before, and say nothing."""
    path = noisy(tmp_path / f"whole.{suffix}")
    whole = read_video(path, everything)
    assert (whole.readable, whole.damaged, whole.remark) == (24, 0, "")
    for number in (0, 3, 7, 13, 20):
        found = read_video(damaged(path, number), everything)
        assert found.damaged >= 1 and found.readable < 24 and "24 frames" in found.remark
        for image in found:
            assert min(np.abs(image.astype(int) - one.astype(int)).mean() for one in whole) < 1


@pytest.mark.parametrize(
    ("corrupt", "given"), [((), 9), ((0, 1), 7), ((4,), 7), ((0, 4), 6)], ids=["whole", "first", "inside", "both"]
)
def test_e3_what_depends_on_a_corrupt_frame_is_left_out(
    corrupt: tuple[int, ...], given: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key frame every third packet; the decoder marks some frames as corrupt, and not those that depend on them."""
    packets = [
        SimpleNamespace(is_keyframe=n % 3 == 0, decode=lambda n=n: [SimpleNamespace(is_corrupt=n in corrupt)])
        for n in range(9)
    ]
    monkeypatch.setattr(video, "packets_of", lambda *_: packets)
    found = list(video._frames(None, SimpleNamespace(decode=lambda _: [])))
    # Frames 0 and 1 are before the first whole one; with 4 is lost 5, up to the key frame 6.
    assert sum(frame is not None for frame in found) == given and found.count(None) == len(corrupt)


def test_e2_videos_have_the_limits_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.mkv")
    monkeypatch.setattr(limits, "MAX_PIXELS", 96 * 64 - 1)
    with pytest.raises(FrameError, match="96x64 pixels are over the limit"):
        read_video(path, everything)
    monkeypatch.setattr(limits, "MAX_PIXELS", 96 * 64)
    monkeypatch.setattr(limits, "MIN_SIDE", 65)
    with pytest.raises(FrameError, match="96x64 pixels are too small"):
        read_video(path, everything)


def test_e2_picked_frames_are_bounded_by_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.mkv", 12)
    monkeypatch.setattr(video, "VIDEO_BYTES", 5 * 96 * 64 * 3)
    with pytest.raises(FrameError, match=r"12 frames of 96x64 pixels .*: take 5 at most \(--frames\)"):
        read_video(path, everything)
    assert len(read_video(path, lambda n: range(0, n, 3))) == 4


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders here")
def test_e8_no_pipe_or_folder_is_opened_as_a_video(tmp_path: Path, cli: Any, one_line: Any) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    for name in ("pipe.mp4", "folder.mp4", "gone.mp4"):
        with pytest.raises(FrameError, match=r"regular file|folder"):
            read_video(tmp_path / name, everything)
    assert "neither a regular file nor a folder" in one_line(
        cli("predict", "--no-faces", tmp_path / "pipe.mp4", "-d", "constant")
    )
    with pytest.raises(NothingJudged, match="regular file"):  # in a folder it is a file that cannot be read
        predict_paths([tmp_path], Bright())


def test_e2_a_disk_that_fails_is_not_a_damaged_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str, options: dict[str, str]) -> Any:
        raise av.error.OSError(errno.EIO, "Input/output error", name)

    path = write(tmp_path / "a.mkv", 3)
    monkeypatch.setattr(av, "open", fails)
    with pytest.raises(MachineError, match="the machine failed here"):
        predict_paths([path], Bright())
