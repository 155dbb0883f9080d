"""Trees of single pictures: GenImage, CNNSpot and UnivFD, SID-Set, 140k faces, DFFD, by their own cards."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from field_lists import cnnspot, faces_140k, genimage, shade_of, sid_set, webdataset, write_pictures
from one_line import error_of

from m2f2bench import load_dataset
from m2f2bench.cards.folders import find_card
from m2f2bench.cards.models import DatasetCard, read_card
from m2f2bench.datasets.dataset import Dataset, check_unique
from m2f2bench.datasets.layouts.image_tree import ImageTreeAdapter, ImageTreeOptions

CARDS = ("genimage", "cnnspot", "univfd", "aigcdetect", "sid-set", "140k-faces", "dffd")
MAKERS = {"genimage": genimage, "cnnspot": cnnspot, "sid-set": sid_set, "140k-faces": faces_140k}


def opened(card: str, root: Path) -> Dataset:
    path = find_card("datasets", card)
    assert path is not None
    found = read_card("datasets", path)
    assert isinstance(found, DatasetCard)
    return load_dataset(found.model_copy(update={"root": str(root)}))


def counted(dataset: Dataset, split: str) -> dict[tuple[str, int], int]:
    frames = dataset.frames(split)
    check_unique(frames)
    return dict(Counter((frame.method, frame.label) for frame in frames))


def test_genimage(tmp_path: Path) -> None:
    dataset = opened("genimage", genimage(tmp_path))
    assert dataset.splits == ("train", "test")
    assert counted(dataset, "test") == {
        ("original", 0): 6, ("Midjourney", 1): 2, ("SD-V1.4", 1): 2, ("BigGAN", 1): 2,
    }  # fmt: skip
    assert counted(dataset, "train") == {
        ("original", 0): 9, ("Midjourney", 1): 3, ("SD-V1.4", 1): 3, ("BigGAN", 1): 3,
    }  # fmt: skip
    frames = dataset.frames("test")
    assert len({frame.video for frame in frames}) == len(frames) == 12
    name = "stable_diffusion_v_1_4/imagenet_ai_0419_sdv4/val/ai/1_stab.png"
    fake = next(frame for frame in frames if frame.id == name)
    assert dataset.read(fake)[0, 0, 0] == shade_of(name) and dataset.adapter.mask(fake) is None
    assert {Path(f.locator.path).suffix for f in frames if f.label} == {".png"}  # the trap that the card names
    assert {Path(f.locator.path).suffix for f in frames if not f.label} == {".JPEG"}
    assert "PNG" in dataset.card.unchecked


def test_cnnspot_with_and_without_classes(tmp_path: Path) -> None:
    dataset = opened("cnnspot", cnnspot(tmp_path))
    assert counted(dataset, "test") == {("original", 0): 10, ("ProGAN", 1): 4, ("CRN", 1): 3, ("Deepfake", 1): 3}
    ids = [frame.id for frame in dataset.frames("test") if frame.id.startswith("progan/cat/1_fake")]
    assert ids == ["progan/cat/1_fake/2.png", "progan/cat/1_fake/10.png"]  # natural order


def test_sid_set_has_three_classes_and_masks(tmp_path: Path) -> None:
    dataset = opened("sid-set", sid_set(tmp_path))
    assert counted(dataset, "val") == {("original", 0): 2, ("full_synthetic", 1): 2, ("tampered", 1): 2}
    assert counted(dataset, "train") == {("original", 0): 3, ("full_synthetic", 1): 3, ("tampered", 1): 3}
    masks = {frame.id: dataset.adapter.mask(frame) for frame in dataset.frames("val")}
    held = masks["validation/tampered/tampered_1.jpg"]
    assert held is not None and held.sum() == 6 * 12 and held[:6].all()
    assert sum(mask is not None for mask in masks.values()) == 2
    assert "has no test split: it has train folders (3), val folders (3)" in error_of(
        lambda: dataset.adapter.frames("test")
    )


def test_140k_faces(tmp_path: Path) -> None:
    dataset = opened("140k-faces", faces_140k(tmp_path))
    for split, count in (("train", 3), ("val", 1), ("test", 2)):
        assert counted(dataset, split) == {("original", 0): count, ("StyleGAN", 1): count}
    inner = opened("140k-faces", tmp_path / "real_vs_fake")
    assert len(inner.frames("test")) == 4


def test_dffd_has_its_splits_in_the_folders_of_sources(tmp_path: Path) -> None:
    names = [
        f"{top}/{split}/{i}.png" for top in ("ffhq", "starGAN") for split in ("train", "validation") for i in (1, 2)
    ]
    dataset = opened("dffd", write_pictures(tmp_path, names))
    assert counted(dataset, "val") == {("original", 0): 2, ("StarGAN", 1): 2}
    write_pictures(tmp_path, ["ffhq/1.png"])
    assert "lies in no folder of a split" in error_of(lambda: dataset.frames("train"))


@pytest.mark.parametrize("made", MAKERS)
def test_a_card_fits_its_own_layout_alone(tmp_path: Path, made: str) -> None:
    root = MAKERS[made](tmp_path)
    assert [card for card in CARDS if opened(card, root).adapter.fits()] == [made]


def test_other_layouts_do_not_fit(tmp_path: Path) -> None:
    plain = write_pictures(tmp_path / "plain", ["train/real/1.png", "train/fake/1.png", "test/real/2.png"])
    tars = webdataset(tmp_path / "tars")
    univfd = write_pictures(tmp_path / "univfd", ["ldm_100/0_real/1.png", "ldm_100/1_fake/1.png"])
    for card in CARDS:
        for root in (plain, tars, tmp_path / "nowhere", plain / "train/real/1.png"):
            assert not opened(card, root).adapter.fits()
        assert opened(card, univfd).adapter.fits() == (card == "univfd")
    assert not ImageTreeAdapter(plain).fits() and not ImageTreeAdapter(None).fits()


def tree(root: Path, *names: str, **options: Any) -> ImageTreeAdapter:
    return ImageTreeAdapter(write_pictures(root, names), ImageTreeOptions.model_validate(options))


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    one = tree(tmp_path, "G/real/1.png", "G/fake/deep/er/2.png", "preview.png")
    (tmp_path / "G/fake/notes.md").write_text("x")
    (tmp_path / "G/fake/Thumbs.db").write_text("x")
    assert [frame.id for frame in one.frames("test")] == ["G/fake/deep/er/2.png", "G/real/1.png"]
    assert one.remarks("test") == [
        "1 files are no images by their endings (.md) and are left out",
        "1 images lie outside of the folders named by label and are left out",
    ]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["G/real/1.png", "G/other/2.png"], "lies next to real and would be left out"),
        (["G/real/1.png", "G/2.png"], "lies next to real and would be left out"),
        (["G/some/1.png"], "has no folders named real, fake in it, however deep, but G"),
        (["original/fake/1.png"], "fakes of the method 'original'"),
    ],
)
def test_what_is_not_clear_is_one_line(tmp_path: Path, names: list[str], said: str) -> None:
    one = tree(tmp_path, *names)
    assert said in error_of(lambda: one.frames("test"))


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    for root in (None, tmp_path / "nowhere"):
        one = ImageTreeAdapter(root)
        assert "needs a root" in error_of(lambda one=one: one.frames("test"))  # type: ignore[misc]


def test_clipping_is_a_card_of_options(tmp_path: Path) -> None:
    one = tree(
        tmp_path, "sd/images/val/n01440764/1.png", "sd/images/val/n01443537/1.png",
        labels={"n01440764": 0, "n01443537": 1}, splits={"val": "test"}, methods={"n01443537": "x"},
    )  # fmt: skip
    assert {(frame.method, frame.label) for frame in one.frames("test")} == {("original", 0), ("sd", 1)}
