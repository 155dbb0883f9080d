"""Hugging Face datasets: saved on disk, in Parquet, as folders of images; what their labels mean; the hub offline."""

from __future__ import annotations

import pickle
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from field_lists import encoded, forensichub, huggingface_rows, shade_of, write_pictures
from one_line import error_of

from m2f2bench import load_dataset
from m2f2bench.core.errors import FrameError
from m2f2bench.datasets.dataset import check_unique
from m2f2bench.datasets.files.images import digest_bytes
from m2f2bench.datasets.lists.huggingface import HuggingFaceAdapter, HuggingFaceOptions

datasets: Any = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "cache"))


def rows(count: int = 4, names: list[str] | None = None, label: Any = None, **columns: Any) -> Any:
    """A dataset in memory; `names` are those of the labels 0 and 1, `label` another type of label."""
    label = label or (datasets.ClassLabel(names=names) if names else datasets.Value("int64"))
    features = {"image": datasets.Image(), "label": label, "generator": datasets.Value("string")}
    features["clip"] = datasets.Value("string")
    return datasets.Dataset.from_dict({**huggingface_rows(count), **columns}, datasets.Features(features))


def adapter(root: Path | None, **options: Any) -> HuggingFaceAdapter:
    return HuggingFaceAdapter(root, HuggingFaceOptions.model_validate(options))


def saved(root: Path, **splits: Any) -> Path:
    datasets.DatasetDict(splits).save_to_disk(str(root))
    return root


def test_a_saved_dataset_by_the_names_of_its_labels(tmp_path: Path) -> None:
    """`fake` is number 0 here, as in every folder of images: names are in alphabetical order."""
    names = ["fake", "real"]
    root = saved(tmp_path / "hf", train=rows(6, names), validation=rows(4, names), test=rows(2, names))
    one = adapter(root)
    assert one.fits() and one.holds("val") and one.holds("test")
    frames = one.frames("train")
    check_unique(frames)
    assert [(f.id, f.label) for f in frames] == [(f"train/{i:07d}", 1 - i % 2) for i in range(6)]
    assert [f.id for f in one.frames("val")] == [f"validation/{i:07d}" for i in range(4)]
    assert {f.split for f in one.frames("val")} == {"val"}
    image = one.read(frames[3])
    assert int(image[0, 0, 0]) == shade_of("hf3.png")
    assert one.digest(frames[3], image) == digest_bytes(encoded("hf3.png")) == one.digest(frames[3], image)
    assert one.stamp(frames[3]) and one.stamp(frames[3]) != one.stamp(frames[2])
    other = pickle.loads(pickle.dumps(one))
    assert (other.read(frames[3]) == image).all()
    one.close()
    assert (one.read(frames[3]) == image).all()


def test_bare_numbers_need_their_meaning(tmp_path: Path) -> None:
    root = saved(tmp_path / "hf", test=rows(4))
    assert "are bare numbers, and datasets differ" in error_of(lambda: adapter(root).frames("test"))
    assert [f.label for f in adapter(root, real_is=0).frames("test")] == [0, 1, 0, 1]
    assert [f.label for f in adapter(root, real_is=1).frames("test")] == [1, 0, 1, 0]
    named = saved(tmp_path / "named", test=rows(4, ["0", "1"]))  # names that say nothing
    assert "bare numbers" in error_of(lambda: adapter(named).frames("test"))


def test_names_that_are_not_clear_are_told(tmp_path: Path) -> None:
    root = saved(tmp_path / "hf", test=rows(4, ["class_a", "class_b"]))
    line = error_of(lambda: adapter(root).frames("test"))
    assert "label 'class_a' in column 'label'" in line and "options.labels" in line and "'class_b'" in line
    known = adapter(root, labels={"Class_A": 1, "class_b": 0})
    assert [f.label for f in known.frames("test")] == [1, 0, 1, 0]


def table(features: dict[str, Any], **columns: Any) -> Any:
    held = {**huggingface_rows(4), **columns}
    kinds = datasets.Features({"image": datasets.Image(), **features})
    return datasets.Dataset.from_dict({name: held[name] for name in kinds}, kinds)


def test_texts_and_truths(tmp_path: Path) -> None:
    words = table({"label": datasets.Value("string")}, label=["Real", "fake", "AI_generated", "real"])
    assert [f.label for f in adapter(saved(tmp_path / "a", test=words)).frames("test")] == [0, 1, 1, 0]
    truths = table({"is_fake": datasets.Value("bool")}, is_fake=[True, False, True, False])
    assert [f.label for f in adapter(saved(tmp_path / "b", test=truths)).frames("test")] == [1, 0, 1, 0]
    given = table({"y": datasets.Value("int8"), "label": datasets.Value("string")}, y=[1, 1, 0, 0], label=["x"] * 4)
    root = saved(tmp_path / "c", test=given)
    assert [f.label for f in adapter(root, label="y", real_is=1).frames("test")] == [0, 0, 1, 1]
    assert "there is no column 'z'" in error_of(lambda: adapter(root, label="z").frames("test"))


def test_videos_and_methods_by_columns(tmp_path: Path) -> None:
    held = rows(4, ["real", "fake"], clip=["b", "a", "b", "a"])
    one = adapter(saved(tmp_path / "hf", test=held), video="clip", method="generator")
    frames = one.frames("test")
    assert [f.id for f in frames] == ["original/b/0000", "original/b/0002", "sd/a/0001", "sd/a/0003"]
    assert Counter(f.method for f in frames) == {"original": 2, "sd": 2}
    assert int(one.read(frames[3])[0, 0, 0]) == shade_of("hf3.png")
    assert len(one.sample("test", lambda n: [0])) == 2


def test_parquet_files_by_their_names(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    (root / "data").mkdir(parents=True)
    names = ["real", "fake"]
    rows(4, names).to_parquet(str(root / "data/train-00000-of-00002.parquet"))
    rows(2, names).to_parquet(str(root / "data/train-00001-of-00002.parquet"))
    rows(2, names).to_parquet(str(root / "data/validation-00000-of-00001.parquet"))
    one = adapter(root)
    assert one.fits()
    assert [len(one.frames(split)) for split in ("train", "val")] == [6, 2]
    assert [f.label for f in one.frames("train")] == [0, 1, 0, 1, 0, 1]
    assert int(one.read(one.frames("train")[4])[0, 0, 0]) == shade_of("hf0.png")
    assert "has no test split: it has train (1), val (1)" in error_of(lambda: one.frames("test"))
    single = tmp_path / "single"
    single.mkdir()
    rows(4, names).to_parquet(str(single / "pictures.parquet"))
    assert len(adapter(single).frames("test")) == 4  # no split in its name: all is test


def test_a_folder_of_images(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "pics", ["real/a.png", "fake/b.png", "fake/c.png"])
    one = adapter(root)
    frames = one.frames("test")
    shades = {int(one.read(f)[0, 0, 0]): f.label for f in frames}
    assert shades == {shade_of("real/a.png"): 0, shade_of("fake/b.png"): 1, shade_of("fake/c.png"): 1}
    assert one.stamp(frames[0]) == ""  # rows name files, which may change
    (root / "real/a.png").unlink()
    real = next(f for f in frames if not f.label)
    with pytest.raises(FrameError, match="does not exist"):
        one.read(real)


def test_splits_of_other_names(tmp_path: Path) -> None:
    root = saved(tmp_path / "hf", core=rows(2, ["real", "fake"]), reason=rows(2, ["real", "fake"]))
    assert "the split 'core' is neither train, val nor test" in error_of(lambda: adapter(root).frames("test"))
    one = adapter(root, splits={"core": "test", "reason": "train"})
    assert len(one.frames("test")) == 2 and one.holds("train") and not one.holds("val")


def test_a_damaged_picture_is_a_row(tmp_path: Path) -> None:
    pictures = huggingface_rows(4)["image"]
    pictures[1] = {"bytes": pictures[1]["bytes"][:50], "path": None}
    pictures[2] = None
    one = adapter(saved(tmp_path / "hf", test=rows(4, ["real", "fake"], image=pictures)))
    frames = one.frames("test")
    assert len(frames) == 4
    for frame, words in ((frames[1], "cannot be decoded"), (frames[2], "has no picture")):
        with pytest.raises(FrameError, match=words):
            one.read(frame)


def test_rows_without_a_label_are_left_out_and_counted(tmp_path: Path) -> None:
    columns = {**huggingface_rows(4), "label": [0, None, 1, -1]}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["real", "fake"])})
    held = datasets.Dataset.from_dict({name: columns[name] for name in features}, features)
    one = adapter(saved(tmp_path / "hf", test=held))
    assert [(f.id, f.label) for f in one.frames("test")] == [("test/0000000", 0), ("test/0000002", 1)]
    assert one.remarks("test") == ["2 of 4 rows of 'test' have no label and are left out"]


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    root = saved(tmp_path / "hf", test=rows(2, ["real", "fake"]).remove_columns(["label"]))
    assert "no column is a label; set options.label to one of image, generator" in error_of(
        lambda: adapter(root).frames("test")
    )
    root = saved(tmp_path / "two", test=rows(2, ["real", "fake"]).remove_columns(["image"]))
    assert "no column 'image' of pictures; set options.image" in error_of(lambda: adapter(root).frames("test"))


def test_the_hub_without_a_network_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    one = adapter(None, name="nobody/no-such-faces")
    line = error_of(lambda: one.frames("test"))
    assert "'nobody/no-such-faces' cannot be opened" in line
    assert "check the name and the network" in line and "give its folder as root" in line
    assert not one.fits()


def test_without_the_package_its_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = saved(tmp_path / "hf", test=rows(2))
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert "m2f2bench[hf]" in error_of(lambda: adapter(root).frames("test"))
    from types import ModuleType

    monkeypatch.setitem(sys.modules, "datasets", ModuleType("datasets"))  # a checkout's folder of cards
    assert "m2f2bench[hf]" in error_of(lambda: adapter(root).frames("test"))


def test_other_folders(tmp_path: Path) -> None:
    assert not adapter(forensichub(tmp_path / "a")).fits() and not adapter(tmp_path / "nowhere").fits()
    assert "needs options.name, or a root" in error_of(lambda: adapter(None).frames("test"))
    (tmp_path / "empty").mkdir()
    line = error_of(lambda: adapter(tmp_path / "empty").frames("test"))
    assert "cannot be opened" in line and "load_dataset" in line
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/test-00000-of-00001.parquet").write_bytes(b"PAR1 no")
    assert "cannot be opened" in error_of(lambda: adapter(tmp_path / "broken").frames("test"))


def test_a_saved_folder_needs_no_card(tmp_path: Path) -> None:
    dataset = load_dataset(saved(tmp_path / "my faces", test=rows(4, ["real", "fake"])))
    assert (dataset.name, dataset.card.adapter) == ("my-faces", "huggingface")
    assert [f.label for f in dataset.frames("test")] == [0, 1, 0, 1]
