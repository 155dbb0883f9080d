"""Readers of one video file: frames behind different keyframes at the same time, the others in order, each once."""

from __future__ import annotations

import multiprocessing
import os
import random
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from test_seeking import coded
from toy_videos import number_in, write_video

from m2f2bench.core.errors import FrameError
from m2f2bench.datasets.files.readers import REORDER, VideoReaders
from m2f2bench.datasets.files.video import read_video

BFRAMES = {"bf": "3", "g": "12", "b-pyramid": "2"}
OPEN = {"bf": "2", "g": "10", "x264-params": "open-gop=1:keyint=10:min-keyint=10:scenecut=0"}


def test_frames_behind_different_keyframes_wait_for_nobody(tmp_path: Path) -> None:
    file = VideoReaders(write_video(tmp_path / "a.mp4", 60, gop=12), most=2)
    first = file.queue(3)
    later = file.queue(30)
    assert number_in(file.pixels_of(later.frame())[0]) == 30  # while the first place is not decoded
    assert number_in(file.pixels_of(first.frame())[0]) == 3
    assert file.decoded == (3 + 1) + (30 - 24 + 1)


def test_frames_that_build_on_one_keyframe_are_decoded_in_order(tmp_path: Path) -> None:
    file = VideoReaders(write_video(tmp_path / "a.mp4", 60, gop=12), most=4)
    places = [file.queue(number) for number in (13, 17, 20)]
    with ThreadPoolExecutor(3) as threads:
        last = threads.submit(places[2].frame)
        middle = threads.submit(places[1].frame)
        assert not last.done() and not middle.done()
        frames = [places[0].frame(), middle.result(), last.result()]
    assert [number_in(file.pixels_of(frame)[0]) for frame in frames] == [13, 17, 20]
    assert file.decoded == 20 - 12 + 1 and len(file._readers) == 1


def test_a_place_that_is_dropped_lets_the_next_one_go_on(tmp_path: Path) -> None:
    file = VideoReaders(write_video(tmp_path / "a.mp4", 20, gop=20), most=1)
    dropped = file.queue(2)
    following = file.queue(5)
    del dropped
    assert number_in(file.pixels_of(following.frame())[0]) == 5
    with pytest.raises(FrameError, match="no 20"):
        file.queue(20).frame()
    assert number_in(file.read(6)[0]) == 6


def test_one_thread_alone_opens_one_decoder(tmp_path: Path) -> None:
    file = VideoReaders(write_video(tmp_path / "a.mp4", 60, gop=12), most=4)
    for number in (0, 20, 40, 5, 59):
        assert number_in(file.read(number)[0]) == number
    assert len(file._readers) == 1 and file.pixels == 64 * 48


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("options", [{"g": "1"}, BFRAMES, OPEN])
@pytest.mark.parametrize("shuffled", [False, True])
def test_several_threads_get_the_frames_of_one(
    tmp_path: Path, suffix: str, options: dict[str, str], shuffled: bool
) -> None:
    path = coded(tmp_path / f"a.{suffix}", 60, **options)
    whole = read_video(path, range)
    file = VideoReaders(path, most=3)
    numbers = list(range(60))
    if shuffled:
        random.Random(1).shuffle(numbers)
    turn = threading.Lock()
    left = iter(numbers)

    def work() -> list[tuple[int, np.ndarray]]:
        found = []
        while True:
            with turn:
                number = next(left, None)
                if number is None:
                    return found
                place = file.queue(number)
            found.append((number, file.pixels_of(place.frame())[0]))

    with ThreadPoolExecutor(4) as threads:
        results = [one for job in [threads.submit(work) for _ in range(4)] for one in job.result()]
    assert sorted(number for number, _ in results) == list(range(60))
    for number, image in results:
        np.testing.assert_array_equal(image, whole[number])
    if not shuffled:  # each once, but for those that a decoder was ahead where another one went on
        assert file.decoded <= 60 + REORDER * len(file._readers) * 60 // 10
    file.close()
    np.testing.assert_array_equal(file.read(7)[0], whole[7])


@pytest.mark.parametrize(("pixels", "decoders"), [(64 * 48, 1), (2 * 64 * 48, 2), (1 << 24, 3), (0, 1)])
def test_decoders_of_large_pictures_are_few(tmp_path: Path, pixels: int, decoders: int) -> None:
    file = VideoReaders(write_video(tmp_path / "a.mp4", 60, gop=12), most=3, pixels=pixels)
    places = [file.queue(number) for number in (3, 15, 27, 39)]
    assert len(file._readers) == decoders
    assert [number_in(file.pixels_of(place.frame())[0]) for place in places] == [3, 15, 27, 39]


def test_the_size_of_a_frame_that_was_read_is_known(tmp_path: Path) -> None:
    file = VideoReaders(write_video(tmp_path / "a.mp4", 30, gop=30), most=2)
    file.read(4)
    file.read(20)
    decoded = file.decoded
    assert file.size(4) == (48, 64) and file.decoded == decoded
    assert file.size(2) == (48, 64) and file.decoded > decoded


def test_a_process_that_is_forked_beside_a_reading_thread_reads(tmp_path: Path) -> None:
    file = VideoReaders(write_video(tmp_path / "a.mp4", 20, gop=5), most=2)
    read, end = threading.Event(), threading.Event()

    def work() -> None:
        file.read(3)
        read.set()
        end.wait()

    thread = threading.Thread(target=work)
    thread.start()
    read.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads
        child = multiprocessing.get_context("fork").Process(target=_leave, args=(tmp_path / "a.mp4",), daemon=True)
        child.start()
    child.join(60)
    end.set()
    thread.join()
    assert child.exitcode == 0


def _leave(path: Path) -> None:
    os._exit(0 if number_in(VideoReaders(path, most=2).read(7)[0]) == 7 else 1)
