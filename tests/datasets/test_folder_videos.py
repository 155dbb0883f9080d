"""Videos in folders and manifests, masks that a manifest names, and lists that are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from toy_videos import number_in, write_video

from m2f2bench.cards.protocols import FrameSelection
from m2f2bench.core.errors import DataError, FrameError
from m2f2bench.core.records import Frame
from m2f2bench.datasets.dataset import pick, plan_frames
from m2f2bench.datasets.lists.folder import FolderAdapter, FolderOptions
from m2f2bench.datasets.read_ahead import load_frame


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))


def adapter_of(root: Path, **options: object) -> FolderAdapter:
    return FolderAdapter(root, FolderOptions.model_validate(options))


def picture(path: Path, side: int = 16) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.new("RGB", (side, side), (1, 2, 3)).save(path)
    return path


def lines(root: Path, *rows: str) -> FolderAdapter:
    path = root / "list.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return FolderAdapter(path)


def test_a_folder_of_videos(tmp_path: Path) -> None:
    write_video(tmp_path / "real" / "a.mp4", 5)
    write_video(tmp_path / "fake" / "Deepfakes" / "a.mkv", 7)
    write_video(tmp_path / "fake" / "b.MOV".lower(), 3)
    adapter = adapter_of(tmp_path)
    frames = adapter.frames("test")
    assert len(frames) == 15
    count: dict[tuple[str, str, int], int] = {}
    for frame in frames:
        key = (frame.video, frame.method, frame.label)
        count[key] = count.get(key, 0) + 1
        assert number_in(adapter.read(frame)) == frame.locator.index
    assert count == {
        ("real/a.mp4", "original", 0): 5,
        ("fake/Deepfakes/a.mkv", "Deepfakes", 1): 7,
        ("fake/b.mov", "fake", 1): 3,
    }
    planned = plan_frames(adapter, "test", FrameSelection(which="uniform", count=2))
    assert [frame.locator.index for frame in planned if frame.label == 0] == pick(
        FrameSelection(which="uniform", count=2), 5
    )
    assert len(planned) == 6


def test_images_beside_videos(tmp_path: Path) -> None:
    picture(tmp_path / "real" / "v" / "1.png")
    picture(tmp_path / "real" / "v" / "2.png")
    picture(tmp_path / "real" / "v" / "3.png")
    write_video(tmp_path / "fake" / "w" / "film.mp4", 4)
    adapter = adapter_of(tmp_path, folders=["video"])
    assert [frame.id for frame in adapter.frames("test") if not frame.label] == [f"real/v/{i}.png" for i in (1, 2, 3)]
    assert [frame.id for frame in adapter.frames("test") if frame.label] == [f"fake/w/{i:04d}" for i in range(4)]
    assert [frame.id for frame in adapter.sample("test", lambda n: [n - 1])] == ["fake/w/0003", "real/v/3.png"]
    write_video(tmp_path / "fake" / "w" / "other.mp4", 4)
    with pytest.raises(DataError, match=r"other\.mp4' belongs to video 'fake/w', which has another file") as caught:
        adapter.frames("test")
    assert "\n" not in str(caught.value)


def test_a_manifest_of_videos(tmp_path: Path) -> None:
    write_video(tmp_path / "one.mp4", 4)
    write_video(tmp_path / "two.mp4", 6)
    adapter = lines(
        tmp_path,
        "path,label,video,method,split,identity",
        "one.mp4,real,,,train,ann",
        "two.mp4,fake,x,DF,test,ann+bob",
        "gone.mp4,fake,,DF,test,",
    )
    (train,) = {frame.video for frame in adapter.frames("train")}
    assert train == "one.mp4" and len(adapter.frames("train")) == 4
    test = adapter.frames("test")
    assert [frame.id for frame in test] == [*(f"DF/x/{i:04d}" for i in range(6)), "gone.mp4/0000"]
    assert test[0].identities == ("ann", "bob") and {frame.method for frame in test} == {"DF"}
    assert load_frame(adapter, test[-1]).reason == "'gone.mp4': is not a regular file, or does not exist"


def test_columns_that_a_video_cannot_have(tmp_path: Path) -> None:
    for column in ("picture", "time", "index"):
        adapter = lines(tmp_path, f"path,label,{column}", "one.mp4,real,3")
        with pytest.raises(DataError, match=r"line 2: 'one.mp4' is a video file"):
            adapter.frames("test")


def test_the_column_of_masks(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    grey = np.zeros((16, 16), np.uint8)
    grey[:5] = 255
    Pillow.fromarray(grey).save(tmp_path / "m.png")
    write_video(tmp_path / "v.mp4", 5)
    write_video(tmp_path / "vm.mp4", 5)  # its bars are the number's bits
    adapter = lines(tmp_path, "path,label,mask", "a.png,fake,m.png", "v.mp4,fake,vm.mp4", "b.png,real,")
    frames: dict[str, Frame] = {frame.id: frame for frame in adapter.frames("test")}
    mask: Any = adapter.mask(frames["a.png"])
    assert mask[:5].all() and not mask[5:].any()
    assert adapter.mask(frames["b.png"]) is None
    mask = adapter_of(tmp_path / "list.csv").mask(frames["v.mp4/0003"])  # an adapter that has listed nothing yet
    assert mask.shape == (48, 64) and mask[10, 4] and mask[10, 12] and not mask[10, 20] and not mask[40].any()
    picture(tmp_path / "m.png", 20)
    with pytest.raises(FrameError, match=r"its mask 'm.png' has 20x20 pixels, and the picture 16x16"):
        adapter.mask(frames["a.png"])
    (tmp_path / "m.png").unlink()
    with pytest.raises(FrameError, match=r"'m.png' does not exist"):
        adapter.mask(frames["a.png"])


def test_names_that_a_spreadsheet_took_for_formulas(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    adapter = lines(tmp_path, "path,label", "a.png,real", "#NAME?,fake", "#NAME?,real", "#N/A,fake")
    frames = adapter.frames("test")
    assert sorted(frame.id for frame in frames) == ["#N/A", "#NAME?", "#NAME? (line 4)", "a.png"]
    told = {frame.id: load_frame(adapter, frame) for frame in frames}
    assert [one.status for one in told.values()].count("unreadable") == 3
    for name in ("#NAME?", "#NAME? (line 4)", "#N/A"):
        assert "a spreadsheet program wrote this error in place of the file's name" in told[name].reason
        assert "\n" not in told[name].reason


def test_the_list_of_another_dataset(tmp_path: Path) -> None:
    adapter = lines(tmp_path, "path,label", "x/a.png,real", "x/b.png,fake")
    assert len(adapter.frames("test")) == 2
    (remark,) = adapter.remarks("test")
    assert remark.startswith("none of the 2 files that '") and "is it the list of another dataset" in remark
    picture(tmp_path / "x" / "b.png")
    assert lines(tmp_path, "path,label", "x/a.png,real", "x/b.png,fake").remarks("test") == []
