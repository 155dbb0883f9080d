"""WebDataset's tars: keys with pictures and labels, read at their places, and every way a tar can be wrong."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from field_lists import encoded, forensichub, shade_of, webdataset, write_pictures, write_tar
from one_line import error_of

from m2f2bench import load_dataset
from m2f2bench.core.errors import FrameError
from m2f2bench.datasets.dataset import check_unique
from m2f2bench.datasets.files.images import digest_bytes
from m2f2bench.datasets.lists.webdataset import WebDatasetAdapter, WebDatasetOptions


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "cache"))


def adapter(root: Path, **options: Any) -> WebDatasetAdapter:
    return WebDatasetAdapter(root, WebDatasetOptions.model_validate(options))


def test_shards_with_splits_in_their_names(tmp_path: Path) -> None:
    one = adapter(webdataset(tmp_path / "tars"))
    assert one.fits() and one.holds("train") and one.holds("val") and one.holds("test")
    train = one.frames("train")
    check_unique(train)
    assert {f.id: f.label for f in train} == {
        "train-0000/000000.jpg": 0, "train-0000/000001.jpg": 1, "train-0000/000002.jpg": 0,
        "train-0001/000003.jpg": 1, "train-0001/000004.jpg": 0, "train-0001/000005.jpg": 1,
    }  # fmt: skip
    assert {f.method for f in train} == {"original", "fake"} and len({f.video for f in train}) == 6
    data = encoded("train000004.jpg")
    frame = train[4]
    image = one.read(frame)
    assert one.digest(frame, image) == digest_bytes(data) == one.digest(frame, image)  # also when not just read
    assert abs(int(image[0, 0, 0]) - shade_of("train000004.jpg")) < 4
    assert one.stamp(frame) and one.stamp(frame) != one.stamp(train[3])
    other = pickle.loads(pickle.dumps(one))
    assert (other.read(frame) == image).all()


def test_labels_in_words_and_every_kind_of_picture(tmp_path: Path) -> None:
    one = adapter(webdataset(tmp_path / "tars"))
    test = one.frames("test")
    assert [(f.id, f.label) for f in test] == [
        ("test-0000/0000.png", 1), ("test-0000/0001.webp", 0), ("test-0000/0002.jpg", 1), ("test-0000/0003.JPG", 1),
    ]  # fmt: skip
    assert [int(one.read(f)[0, 0, 0]) for f in test[:2]] == [shade_of("test0.png"), shade_of("test1.webp")]
    assert one.remarks("test") == ["1 files in the tars are not read (txt)"]
    turned = adapter(tmp_path / "tars", real_is=1).frames("test")
    assert [f.label for f in turned] == [1, 0, 0, 0]  # words mean what they say


def test_json_gives_videos_people_and_methods(tmp_path: Path) -> None:
    one = adapter(webdataset(tmp_path / "tars"))
    val = one.frames("val")
    assert Counter(f.video for f in val) == {"original/000": 2, "DF/000_003": 2}
    first, second = [f for f in val if f.label]
    assert (first.id, second.id) == ("DF/000_003/000_003.d/2.png", "DF/000_003/000_003.d/10.png")
    assert first.identities == ("000", "003") and first.method == "DF"
    assert int(one.read(second)[0, 0, 0]) == shade_of("000_003.d/10.png")
    assert len(one.sample("val", lambda n: [0])) == 2


def test_a_video_in_two_tars_is_sampled_once(tmp_path: Path) -> None:
    for shard in (0, 1):
        said = json.dumps({"label": 1, "video": "v", "method": "m", "split": "validation"}).encode()
        write_tar(tmp_path / f"{shard}.tar", {f"{shard}.png": encoded("x.png"), f"{shard}.json": said})
    one = adapter(tmp_path)
    assert len(one.frames("val")) == 2 and len(one.sample("val", lambda n: [n - 1])) == 1
    check_unique(one.frames("val"))
    assert not one.holds("train") and not one.fits()
    assert "has no train split" in error_of(lambda: one.frames("train"))


def test_a_tar_given_straight(tmp_path: Path) -> None:
    dataset = load_dataset(webdataset(tmp_path / "tars") / "test-0000.tar")
    assert dataset.card.adapter == "webdataset" and len(dataset.frames("test")) == 4
    folder = load_dataset(tmp_path / "tars")
    assert (folder.name, folder.card.adapter, len(folder.frames("train"))) == ("tars", "webdataset", 6)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"1.png": b"x"}, "key '1': it has no label: neither a .cls nor a .json with 'label'"),
        ({"1.png": b"x", "1.json": b"{}"}, "it has no label"),
        ({"1.png": b"x", "1.cls": b"7"}, "label '7' is neither 0 or real nor 1 or fake"),
        ({"1.png": b"x", "1.cls": b""}, "label '' is neither"),
        ({"1.png": b"x", "1.cls": b"\xff"}, "'1.cls' is not UTF-8"),
        ({"1.png": b"x", "1.jpg": b"y", "1.cls": b"0"}, "it has two pictures, jpg and png"),
        ({"1.cls": b"0"}, "it has a label and no picture"),
        ({"1.png": b"x", "1.cls": b"0", "1.json": b'{"label": 1}'}, "have different labels"),
        ({"1.png": b"x", "1.json": b"[1]"}, "its JSON is a list"),
        ({"1.png": b"x", "1.json": b"{"}, "its JSON cannot be read"),
        ({"1.png": b"x", "1.json": b'{"label": 1, "split": "half"}'}, "split 'half' is not one of"),
        ({"1.png": b"x", "1.json": b'{"label": 1, "method": "original"}'}, "reserved for real images"),
        ({"1.png": b"x", "1.json": b'{"label": 1, "video": [2]}'}, "video is a list"),
        ({"1.png": b"x", "1.json": b'{"label": true}'}, "label True is neither"),
        ({"notes.txt": b"x"}, "has no test split"),
    ],
)
def test_a_wrong_tar_is_one_line(tmp_path: Path, members: dict[str, bytes], said: str) -> None:
    write_tar(tmp_path / "tars/0.tar", members)
    assert said in error_of(lambda: adapter(tmp_path / "tars").frames("test"))


def test_a_damaged_tar_is_one_line(tmp_path: Path) -> None:
    path = webdataset(tmp_path / "tars") / "test-0000.tar"
    path.write_bytes(path.read_bytes()[:2200])
    line = error_of(lambda: adapter(tmp_path / "tars").frames("test"))
    assert str(path) in line and "cut short" in line and "fetch it again" in line
    path.write_bytes(b"no tar at all")
    assert "fetch it again" in error_of(lambda: adapter(tmp_path / "tars").frames("test"))


def test_a_damaged_picture_is_a_row(tmp_path: Path) -> None:
    write_tar(tmp_path / "tars/0.tar", {"1.png": encoded("1.png")[:40], "1.cls": b"1", "2.png": b"", "2.cls": b"0"})
    one = adapter(tmp_path / "tars")
    for frame in one.frames("test"):
        with pytest.raises(FrameError):
            one.read(frame)


def test_other_folders_do_not_fit(tmp_path: Path) -> None:
    assert not adapter(forensichub(tmp_path / "a")).fits()
    assert not adapter(tmp_path / "nowhere").fits() and not WebDatasetAdapter(None).fits()
    write_tar(tmp_path / "wild/real_test/1.tar.gz", {"1/1.png": b"x"})  # WildDeepfake's packed sequences
    assert not adapter(tmp_path / "wild").fits()
    assert "has no tars in it" in error_of(lambda: adapter(write_pictures(tmp_path / "b", ["a/1.png"])).frames("test"))
    assert "needs a root" in error_of(lambda: WebDatasetAdapter(None).frames("test"))
