"""Frames of a video by number: those of `read_video`, each decoded once, from the nearest keyframe."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from paths import SHARED
from toy_videos import number_in, picture_of, write_video

from m2f2bench.core.errors import FrameError
from m2f2bench.datasets import limits
from m2f2bench.datasets.files import packets, seeking
from m2f2bench.datasets.files.seeking import VideoFile, size_of
from m2f2bench.datasets.files.video import read_video

CASES = SHARED / "cases" / "05"
WHOLE = ["bt709.mp4", "full601.mp4", "full709.mp4", "odd.mp4", "plain.mkv", "plain.mp4", "rotated.mp4", "ten.mp4"]


def coded(
    path: Path, count: int = 40, codec: str = "libx264", times: Sequence[int] = (), rate: int = 25, **options: str
) -> Path:
    """A video of toy pictures with options of the encoder; `times` are the frames' times in 1/1000 s."""
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = options
        if times:
            from fractions import Fraction

            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture_of(number), format="rgb24")
            if times:
                frame.pts, frame.time_base = times[number], stream.codec_context.time_base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def same(path: Path) -> VideoFile:
    """Check that all frames, read in order and in no order, are those of `read_video`; return the file."""
    whole = read_video(path, range)
    file = VideoFile(path)
    assert file.frames == len(whole) > 0
    for number, image in enumerate(whole):
        np.testing.assert_array_equal(file.read(number)[0], image)
    numbers = list(range(file.frames)) * 2
    random.Random(0).shuffle(numbers)
    other = VideoFile(path)
    for number in numbers[:60]:
        np.testing.assert_array_equal(other.read(number)[0], whole[number])
    return file


@pytest.mark.skipif(not CASES.is_dir(), reason="the folder of cases from the field is not there")
@pytest.mark.parametrize("name", WHOLE)
def test_the_cases_of_the_field(name: str) -> None:
    same(CASES / name)


@pytest.mark.parametrize("gop", [1, 12, 60, 250])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "mov"])
def test_distances_of_keyframes(tmp_path: Path, gop: int, suffix: str) -> None:
    path = write_video(tmp_path / f"a.{suffix}", 70, gop=gop)
    file = same(path)
    assert file.decoded == 70
    assert [number_in(file.read(number)[0]) for number in (0, 5, 69)] == [0, 5, 69]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize(
    "options",
    [
        {"bf": "3", "g": "12", "b-pyramid": "2"},
        {"bf": "2", "g": "10", "x264-params": "open-gop=1:keyint=10:min-keyint=10:scenecut=0"},
        {"g": "250", "x264-params": "intra-refresh=1:keyint=10"},
    ],
)
def test_frames_that_are_built_on_later_ones(tmp_path: Path, suffix: str, options: dict[str, str]) -> None:
    same(coded(tmp_path / f"a.{suffix}", 60, **options))


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        ("mpeg4", "mp4"),
        ("mpeg4", "avi"),
        ("mpeg2video", "mkv"),
        ("mjpeg", "avi"),
        ("libx265", "mp4"),
        ("libvpx", "mkv"),
    ],
)
def test_other_codecs(tmp_path: Path, codec: str, suffix: str) -> None:
    options = {"bf": "2", "g": "9"} if codec.startswith("mpeg") else {}
    if codec == "libvpx":  # pictures that are never shown
        options = {"auto-alt-ref": "1", "lag-in-frames": "10", "g": "20", "b": "200k"}
    if codec == "libx265":
        options = {"x265-params": "log-level=none:keyint=10:min-keyint=10:bframes=3"}
    try:
        av.codec.Codec(codec, "w")
    except av.error.FFmpegError:
        pytest.skip(f"this PyAV has no {codec}")
    path = tmp_path / f"a.{suffix}"
    if codec == "mjpeg":
        with av.open(str(path), "w") as out:
            stream: Any = out.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
            for number in range(30):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(picture_of(number), format="rgb24")))
            out.mux(stream.encode(None))
    else:
        coded(path, 45, codec, **options)
    same(path)


def test_a_variable_frame_rate(tmp_path: Path) -> None:
    times = [0, 40, 41, 300, 305, 900, 1000, 1001, 1002, 4000, 4040, 4500, 4510, 4511, 4600, 9000]
    for suffix in ("mp4", "mkv"):
        file = same(coded(tmp_path / f"a.{suffix}", len(times), times=times, g="5"))
        assert [number_in(file.read(number)[0]) for number in range(16)] == list(range(16))


def test_fragments_have_no_index(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w", options={"movflags": "frag_keyframe"}) as out:
        stream: Any = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.options = 64, 48, "yuv420p", {"g": "8"}
        for number in range(40):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture_of(number), format="rgb24")))
        out.mux(stream.encode(None))
    assert same(path).frames == 40


def trimmed(path: Path, first: int) -> Path:
    """The same mp4, of 25 frames a second, shown from frame `first` on: its edit list starts later."""
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 4
    version, count = data[at], int.from_bytes(data[at + 4 : at + 8], "big")
    assert (version, count) == (0, 1)
    begin = int.from_bytes(data[at + 12 : at + 16], "big")
    with av.open(str(path)) as container:
        step = round(1 / 25 / container.streams.video[0].time_base)
    data[at + 12 : at + 16] = (begin + first * step).to_bytes(4, "big")
    out = path.with_stem("trimmed")
    out.write_bytes(data)
    return out


@pytest.mark.parametrize("first", [5, 12, 17])
def test_frames_that_a_trimmed_file_hides(tmp_path: Path, first: int) -> None:
    file = same(trimmed(write_video(tmp_path / "a.mp4", 40, gop=12), first))
    assert number_in(file.read(0)[0]) >= first and file.frames < 40


def test_the_index_is_taken_where_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.mp4", 30)
    monkeypatch.setattr(packets, "packets_of", lambda container, stream: pytest.fail("all packets are read"))
    assert VideoFile(path).frames == 30


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_ascending_numbers_are_decoded_once_and_what_is_not_needed_is_not(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"a.{suffix}", 120, gop=10)
    file = VideoFile(path)
    assert [number_in(file.read(number)[0]) for number in (3, 4, 27, 28, 61, 99)] == [3, 4, 27, 28, 61, 99]
    # from 0 to 3 and 4; from 20 to 27 and 28; from 60 to 61; from 90 to 99; and what the decoder holds back
    assert file.decoded <= (5 + 9 + 2 + 10) + 4 * 3
    assert file.decoded < 45
    every = VideoFile(path)
    assert [number_in(every.read(number)[0]) for number in range(120)] == list(range(120))
    assert every.decoded == 120


def test_the_same_frame_again_costs_nothing(tmp_path: Path) -> None:
    file = VideoFile(write_video(tmp_path / "a.mp4", 20))
    image, digest = file.read(9)
    decoded = file.decoded
    again, other = file.read(9)
    np.testing.assert_array_equal(image, again)
    assert (digest, file.decoded) == (other, decoded) and len(digest) == 16


def test_digests_tell_pictures_apart_and_not_the_way_to_them(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 60, gop=20)
    file, other = VideoFile(path), VideoFile(path)
    forward = [file.read(number)[1] for number in range(60)]
    backward = [other.read(number)[1] for number in reversed(range(60))][::-1]
    assert forward == backward and len(set(forward)) == 60
    tinted = VideoFile(write_video(tmp_path / "b.mp4", 3, tint=40))
    assert tinted.read(0)[1] != forward[0]


def test_threads_share_one_file(tmp_path: Path) -> None:
    file = VideoFile(write_video(tmp_path / "a.mp4", 50, gop=15))
    wrong: list[int] = []

    def work(seed: int) -> None:
        numbers = list(range(50))
        random.Random(seed).shuffle(numbers)
        wrong.extend(number for number in numbers[:15] if number_in(file.read(number)[0]) != number)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_closed_file_is_opened_again(tmp_path: Path) -> None:
    file = VideoFile(write_video(tmp_path / "a.mp4", 20))
    assert number_in(file.read(7)[0]) == 7
    file.close()
    assert number_in(file.read(8)[0]) == 8


def spoilt(path: Path, number: int) -> Path:
    """The same file with the middle of one packet overwritten."""
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    at, size = places[number]
    data = bytearray(path.read_bytes())
    data[at + 8 : at + size] = b"\xff" * (size - 8)
    out = path.with_stem(f"spoilt{number}")
    out.write_bytes(data)
    return out


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_no_frame_stands_for_one_that_is_damaged(tmp_path: Path, suffix: str) -> None:
    path = spoilt(coded(tmp_path / f"a.{suffix}", 40, g="8", bf="0"), 18)
    for numbers in (list(range(40)), list(reversed(range(40)))):
        file = VideoFile(path)
        assert file.frames == 40
        failed = []
        for number in numbers:
            try:
                assert number_in(file.read(number)[0]) == number
            except FrameError as error:
                failed.append(number)
                assert "damaged" in error.reason and error.status == "unreadable"
        assert sorted(failed) == [18, 19, 20, 21, 22, 23]  # up to the next keyframe, 24


@pytest.mark.parametrize(("corrupt", "given"), [((), "012345678"), ((0, 1), "2345678"), ((4,), "0123678")])
def test_what_depends_on_a_corrupt_frame_is_left_out(corrupt: tuple[int, ...], given: str) -> None:
    """A key frame every third packet; the decoder marks some frames as corrupt, and not those that depend on them."""
    pieces = [
        SimpleNamespace(
            is_keyframe=n % 3 == 0, pts=n, decode=lambda n=n: [SimpleNamespace(is_corrupt=n in corrupt, pts=n)]
        )
        for n in range(9)
    ]
    count = range(9)
    line: Any = SimpleNamespace(shown=list(count), before=list(range(10)), positions=list(count), complete=True)
    stream = SimpleNamespace(codec_context=SimpleNamespace(name="x"), decode=lambda _: [])
    run = seeking._Run(stream, iter(pieces), line)
    assert "".join(str(n) for n in count if run.take(n, skip=False) is not None) == given


def test_a_file_that_is_cut_short_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as out:
        stream: Any = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.options = 64, 48, "yuv420p", {"g": "4"}
        for number in range(40):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture_of(number), format="rgb24")))
        out.mux(stream.encode(None))
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes()[: places[25] + 3])
    whole, file = read_video(path, range), VideoFile(path)
    assert file.remark == whole.remark == f"the container promises 40 frames, {file.frames} could be read"
    assert [number_in(file.read(number)[0]) for number in range(file.frames)] == list(map(number_in, whole))
    assert VideoFile(write_video(tmp_path / "b.mp4", 40)).remark == ""


def test_what_cannot_be_opened_or_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").touch()
    for name, why in (("text.mp4", "not a readable video"), ("empty.mp4", "not a readable"), ("gone.mp4", "not exist")):
        with pytest.raises(FrameError, match=why):
            VideoFile(tmp_path / name)
    with pytest.raises(FrameError, match="is a folder"):
        VideoFile(tmp_path)
    path = write_video(tmp_path / "a.mp4", 5)
    with pytest.raises(FrameError, match="frames 0 to 4, and no 5"):
        VideoFile(path).read(5)
    monkeypatch.setattr(limits, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(FrameError, match="64x48 pixels are over the limit"):
        VideoFile(path).read(0)


def test_a_frame_in_grey(tmp_path: Path) -> None:
    file = VideoFile(write_video(tmp_path / "a.mp4", 5))
    frame = file.frame(3)
    grey = file.grey_of(frame)
    assert grey.shape == (48, 64) == size_of(frame) and grey.dtype == np.uint8
    assert grey[10, 4] > 200 and grey[10, 12] > 200 and grey[10, 20] < 50 and 80 < grey[40, 30] < 120
