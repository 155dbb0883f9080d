"""FFIW-10K as downloaded: labels by folder, masks by name, and copies that are not whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from field_more import FRAMES, clips_of, make_ffiw
from one_line import error_of
from toy_videos import number_in

from m2f2bench.core.errors import FrameError
from m2f2bench.core.records import Locator
from m2f2bench.datasets.layouts.ffiw import FFIWAdapter


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_ffiw(tmp_path_factory.mktemp("ffiw"))


def test_source_is_real_and_target_is_fake(whole: Path) -> None:
    adapter = FFIWAdapter(whole)
    assert adapter.fits()
    assert clips_of(adapter, "val") == {
        "original/val/val_0000": (0, "original", ("val/val_0000",), FRAMES),
        "FFIW/val/val_0000": (1, "FFIW", ("val/val_0000",), FRAMES),  # of the same scene
        "FFIW/val/val_0001": (1, "FFIW", ("val/val_0001",), FRAMES),
    }
    assert [len(clips_of(adapter, split)) for split in ("train", "test")] == [4, 2]
    assert adapter.remarks("val") == []
    frames = adapter.frames("val")
    assert [number_in(adapter.read(frame)) for frame in frames] == [0, 1, 2] * 3


def test_a_mask_lies_in_the_video_of_the_fakes_name(whole: Path) -> None:
    adapter = FFIWAdapter(whole)
    real, fake = adapter.frames("val")[1], adapter.frames("val")[FRAMES + 2]
    mask = whole / "target_mask" / "val" / "val_0000.mp4"
    assert (real.label, fake.label) == (0, 1)
    assert adapter.mask_place(fake) == Locator(str(mask), None, 2)
    assert adapter.mask_place(real) is None and adapter.mask(real) is None
    altered = adapter.mask(fake)
    assert altered is not None and altered.shape == (48, 64)
    assert altered[2:22, 9:15].all()  # the second bar of frame 2, of 8 pixels each
    assert not altered[2:22, 1:7].any() and not altered[2:22, 17:].any() and not altered[26:].any()


def test_videos_one_folder_below(tmp_path: Path) -> None:
    root = make_ffiw(tmp_path / "FFIW10K-v1-release", "videos").parent
    (root / "FFIW10K-v1-release" / "source" / "val" / "frames" / "val_0000").mkdir(parents=True)
    picture = root / "FFIW10K-v1-release" / "source" / "val" / "frames" / "val_0000" / "0.png"
    picture.write_bytes(b"not looked at")
    adapter = FFIWAdapter(root)  # the folder above is as good
    assert adapter.fits()
    assert list(clips_of(adapter, "val")) == ["original/val/val_0000", "FFIW/val/val_0000", "FFIW/val/val_0001"]
    assert adapter.remarks("val") == ["source/val: 1 folder of pictures left out"]
    fake = adapter.frames("val")[FRAMES]
    mask = adapter.mask_place(fake)
    assert mask is not None and mask.path.endswith("target_mask/val/videos/val_0000.mp4")


def test_a_copy_that_is_not_whole(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "half"
    shutil.copytree(whole, root)
    shutil.rmtree(root / "source" / "val")
    shutil.rmtree(root / "source" / "test")
    shutil.rmtree(root / "target" / "test")
    adapter = FFIWAdapter(root)
    assert adapter.remarks("val") == [f"there is no real video: '{root / 'source' / 'val'}' has none"]
    assert {label for label, *_ in clips_of(adapter, "val").values()} == {1}
    assert "neither source/test nor target/test; it has train, val" in error_of(lambda: adapter.frames("test"))
    (root / "target" / "val" / "val_0001.mp4").write_bytes(b"cut")
    frame = adapter.frames("val")[-1]  # a damaged file stays, as one frame that fails
    with pytest.raises(FrameError):
        adapter.read(frame)


def test_other_folders(tmp_path: Path) -> None:
    assert not FFIWAdapter(tmp_path).fits()
    assert not FFIWAdapter(tmp_path / "nothing").fits()
    assert not FFIWAdapter(None).fits()
    (tmp_path / "real").mkdir()
    assert "is not FFIW-10K as downloaded: it should hold source and target" in error_of(
        lambda: FFIWAdapter(tmp_path).frames("test")
    )
    assert "no folder at" in error_of(lambda: FFIWAdapter(tmp_path / "nothing").frames("test"))
    assert "needs a root" in error_of(lambda: FFIWAdapter(None).frames("test"))
    assert "no split 'tets'; did you mean 'test'?" in error_of(lambda: FFIWAdapter(tmp_path).frames("tets"))
