"""Adapters of video files: frames counted without decoding, read in turn, masks, and what is missing said."""

from __future__ import annotations

import logging
import multiprocessing
import pickle
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image as Pillow
from toy_videos import number_in, picture_of, write_video

from m2f2bench.core.clips import Clip
from m2f2bench.core.errors import FrameError, MachineError
from m2f2bench.core.records import Frame, Locator
from m2f2bench.datasets.base import AdapterOptions
from m2f2bench.datasets.files import media
from m2f2bench.datasets.files.media import MediaAdapter
from m2f2bench.datasets.files.seeking import VideoFile
from m2f2bench.datasets.read_ahead import ReadAhead, frames_ahead, load_frame


class Films(MediaAdapter[AdapterOptions]):
    """All files of a folder: videos, and pictures alone."""

    splits = ("test",)

    def listed(self, split: str) -> Sequence[Clip]:
        assert self.root is not None
        found = []
        for path in sorted(self.root.iterdir()):
            more: Any = {} if path.suffix == ".png" else {"items": ()}
            found.append(Clip(f"original/{path.stem}", 0, "original", split, (), Locator(str(path)), **more))
        return found


class Masked(Films):
    def mask_place(self, frame: Frame) -> Locator | None:
        path = Path(frame.locator.path)
        found = list((path.parents[1] / "masks").glob(f"{path.stem}.*"))
        return Locator(str(found[0])) if found else None


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture()
def films(tmp_path: Path) -> Path:
    root = tmp_path / "films"
    for name, gop in (("a", 5), ("b", 60), ("c", 1)):
        write_video(root / f"{name}.mp4", 24, gop=gop)
    return root


def sound(path: Path) -> Path:
    with av.open(str(path), "w") as out:
        track: Any = out.add_stream("aac", rate=44100)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 44100
        out.mux(track.encode(silence))
        out.mux(track.encode())
    return path


def test_every_frame_of_every_video_is_listed_and_read(films: Path) -> None:
    Pillow.new("RGB", (20, 10), (1, 2, 3)).save(films / "d.png")
    adapter = Films(films)
    frames = adapter.frames("test")
    assert [frame.id for frame in frames[:2]] == ["original/a/0000", "original/a/0001"]
    assert len(frames) == 3 * 24 + 1 and frames[-1].id == "original/d"
    for frame in frames[:-1]:
        assert number_in(adapter.read(frame)) == frame.locator.index
    assert adapter.read(frames[-1]).shape == (10, 20, 3)
    assert adapter.remarks("test") == []


def test_only_sampled_frames_are_listed(films: Path) -> None:
    frames = Films(films).sample("test", lambda n: [0, n - 1])
    assert [frame.locator.index for frame in frames] == [0, 23] * 3


def test_frames_are_counted_once_without_decoding(films: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VideoFile, "frame", lambda *_: pytest.fail("a frame is decoded"))
    assert len(Films(films).frames("test")) == 72
    assert len(list((cache / "videos").iterdir())) == 1
    with monkeypatch.context() as patch:
        patch.setattr(media, "VideoReaders", lambda *_: pytest.fail("a file is opened"))
        assert len(Films(films).frames("test")) == 72
    write_video(films / "a.mp4", 11)  # it has another stamp now
    assert len(Films(films).frames("test")) == 59


def test_what_is_no_video_is_one_frame_that_fails_with_the_reason(films: Path) -> None:
    sound(films / "sound.mp4")
    (films / "text.mp4").write_text("no video")
    (films / "link.mp4").symlink_to(films / "gone.mp4")
    with av.open(str(films / "zero.mkv"), "w") as out:
        stream: Any = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        out.start_encoding()
    adapter = Films(films)
    for _ in range(2):  # also from the cache
        frames = [frame for frame in adapter.frames("test") if Path(frame.locator.path).stem not in "abc"]
        assert [frame.id for frame in frames] == [f"original/{name}/0000" for name in ("link", "sound", "text", "zero")]
        reasons = [load_frame(adapter, frame) for frame in frames]
        assert {one.status for one in reasons} == {"unreadable"}
        words = (
            "'link.mp4': is not a regular file, or does not exist",
            "sound alone",
            "not a readable",
            "not a readable",
        )
        for one, word in zip(reasons, words, strict=True):
            assert word in one.reason and "\n" not in one.reason and str(films) not in one.reason
        adapter = Films(films)


def test_a_root_that_is_gone_is_the_machines_fault(films: Path) -> None:
    adapter = Films(films)
    frame = adapter.frames("test")[0]
    shutil.rmtree(films)
    with pytest.raises(MachineError, match="still mounted"):
        load_frame(adapter, frame)


def test_videos_that_are_cut_short_are_said_once(films: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("x", "y"):
        path = films / f"{name}.mkv"
        write_video(path, 40, gop=4)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    adapter = Films(films)
    with caplog.at_level(logging.WARNING, "m2f2bench"):
        frames = adapter.frames("test")
        adapter.frames("test")
    count = sum(frame.video == "original/x" for frame in frames)
    assert 0 < count < 38
    line = f"2 videos are cut short, first 'x.mkv': the container promises 40 frames, {count} could be read"
    assert [one.getMessage() for one in caplog.records if one.name == "m2f2bench"] == [line]
    assert adapter.remarks("test") == [line]
    (films / "y.mkv").unlink()
    again = Films(films)
    assert again.remarks("test") == [], "no video is opened for it"
    again.frames("test")
    assert again.remarks("test")[0].startswith("1 video is cut short: 'x.mkv': the container")


@pytest.mark.parametrize("threads", [1, 4])
def test_frames_in_order_are_decoded_once_whatever_the_threads(films: Path, threads: int) -> None:
    adapter = Films(films)
    frames = adapter.frames("test")
    for loaded in frames_ahead(adapter, frames, 32, threads).each():
        assert loaded.image is not None and number_in(loaded.image) == loaded.frame.locator.index
    assert [file.decoded for _, file in adapter._here().files.values()] == [24, 24, 24]


def test_digests_do_not_depend_on_threads_and_order(films: Path) -> None:
    adapter = Films(films)
    frames = list(adapter.frames("test"))
    first = {one.frame.id: one.digest for one in frames_ahead(adapter, frames, 16, 4).each()}
    each = [{digest for name, digest in first.items() if f"/{video}/" in name} for video in "abc"]
    assert [len(digests) for digests in each] == [24, 24, 24]
    random.Random(0).shuffle(frames)
    other = Films(films)
    assert first == {one.frame.id: one.digest for one in frames_ahead(other, frames, 16, 3).each()}
    assert other.digest(frames[0], other.read(frames[1])) == first[frames[0].id]


def test_failures_and_an_early_end_stop_no_thread(films: Path) -> None:
    (films / "bad.mp4").write_text("no video")
    adapter = Films(films)
    frames = [frame for frame in adapter.frames("test") for _ in range(2)]

    def fails(image: Any) -> Any:
        raise ValueError("of the detector")

    done = [one.status for one in frames_ahead(adapter, frames, 8, 4, fails, "x").each()]
    assert len(done) == 2 * 73 and set(done) == {"error", "unreadable"}
    reading = frames_ahead(adapter, frames, 8, 4).each()
    next(reading)
    reading.close()

    def breaks(frame: Frame) -> Any:
        adapter.read(frame)
        raise KeyError("of the program")

    with pytest.raises(KeyError):
        list(ReadAhead(breaks, list(adapter.frames("test"))[:24], count=8, size=lambda _: 0, threads=4).each())
    skipped = ReadAhead(lambda frame: 1, frames, count=8, size=lambda _: 0, threads=4)  # nothing is read at all
    assert sum(skipped.each()) == len(frames)


def test_stamps_name_the_frame_and_the_state_of_its_file(films: Path) -> None:
    adapter = Films(films)
    one, other = adapter.frames("test")[:2]
    stamp = adapter.stamp(one)
    assert stamp and stamp == adapter.stamp(one) != adapter.stamp(other)
    write_video(films / "a.mp4", 3, tint=30)
    assert adapter.stamp(one) != stamp
    assert adapter.read(one)[40, 40, 0] > 120  # the new file is read


def test_few_files_are_open_and_the_others_are_opened_again(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "OPEN_FILES", 2)
    adapter = Films(films)
    frames = list(adapter.frames("test"))
    random.Random(1).shuffle(frames)
    for frame in frames[:30]:
        assert number_in(adapter.read(frame)) == frame.locator.index
        assert len(adapter._here().files) <= 2
    monkeypatch.setattr(media, "OPEN_PIXELS", 64 * 48)
    adapter.read(frames[31])
    assert len(adapter._here().files) == 1
    adapter.close()
    assert len(adapter._here().files) == 0 and number_in(adapter.read(frames[0])) == frames[0].locator.index


def _child(adapter: Films, frame: Frame, told: Any) -> None:
    told.put((len(adapter._here().files), number_in(adapter.read(frame))))


def test_open_files_are_those_of_one_process(films: Path) -> None:
    adapter = Films(films)
    frames = adapter.frames("test")
    adapter.read(frames[3])
    copy = pickle.loads(pickle.dumps(adapter))
    assert not copy._here().files and number_in(copy.read(frames[5])) == 5
    context = multiprocessing.get_context("fork")
    told: Any = context.Queue()
    child = context.Process(target=_child, args=(adapter, frames[4], told), daemon=True)
    child.start()
    assert told.get(timeout=60) == (0, 4)
    child.join()
    assert number_in(adapter.read(frames[4])) == 4


# --- masks


def mask_video(path: Path, count: int = 24, width: int = 64, height: int = 48) -> Path:
    """Frame i is altered in its i + 8 leftmost columns."""
    path.parent.mkdir(exist_ok=True)
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.options = width, height, "yuv420p", {"crf": "12"}
        for number in range(count):
            image = np.zeros((height, width, 3), np.uint8)
            image[:, : number + 8] = 255
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))
    return path


def test_masks_of_a_mask_video_have_the_frames_number(films: Path) -> None:
    mask_video(films.parent / "masks" / "b.mp4")
    adapter = Masked(films)
    frames = {frame.id: frame for frame in adapter.frames("test")}
    assert adapter.mask(frames["original/a/0003"]) is None
    for number in (0, 7, 20, 4):
        mask = adapter.mask(frames[f"original/b/{number:04d}"])
        assert mask is not None and mask.dtype == np.bool_ and mask.shape == (48, 64)
        assert abs(int(mask.sum(axis=1).max()) - (number + 8)) <= 1


def test_masks_of_images(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "masks").mkdir()
    Pillow.new("RGB", (10, 12)).save(tmp_path / "films" / "a.png")
    grey = np.zeros((12, 10), np.uint8)
    grey[:4], grey[4:6], grey[6:8] = 255, 128, 127
    for most, rows in ((255, 6), (1, 4)):
        Pillow.fromarray(grey if most == 255 else (grey > 200).astype(np.uint8)).save(tmp_path / "masks" / "a.png")
        adapter = Masked(tmp_path / "films")
        mask = adapter.mask(adapter.frames("test")[0])
        assert mask is not None and mask[:rows].all() and not mask[rows:].any()


def test_masks_that_do_not_fit_are_one_line(films: Path) -> None:
    masks = films.parent / "masks"
    mask_video(masks / "a.mp4", width=80)
    mask_video(masks / "b.mp4", count=5)
    (masks / "c.mp4").write_text("none")
    Pillow.new("RGB", (10, 12)).save(films / "d.png")
    mask_video(masks / "d.mp4")
    adapter = Masked(films)
    frames = {frame.id: frame for frame in adapter.frames("test")}
    for name, why in (
        ("original/a/0002", r"its mask 'a.mp4' has 80x48 pixels, and the picture 64x48"),
        ("original/b/0005", r"its mask: its video has the frames 0 to 4, and no 5"),
        ("original/c/0000", r"its mask: 'c.mp4': not a readable video"),
        ("original/d", r"its mask 'd.mp4' is a video, and the frame has no number"),
    ):
        with pytest.raises(FrameError, match=why) as caught:
            adapter.mask(frames[name])
        assert "\n" not in caught.value.reason


def test_8k_and_10_bit_are_read(films: Path) -> None:
    write_video(films / "large.mp4", 2, width=7680, height=4320)
    with av.open(str(films / "deep.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        picture = av.VideoFrame.from_ndarray(picture_of(5), format="rgb24").reformat(format="yuv420p10le")
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    adapter = Films(films)
    large = [frame for frame in adapter.frames("test") if "large" in frame.id]
    assert [number_in(adapter.read(frame)) for frame in large] == [0, 1]
    (deep,) = [frame for frame in adapter.frames("test") if "deep" in frame.id]
    image = adapter.read(deep)
    assert image.shape == (48, 64, 3) and number_in(image) == 5
