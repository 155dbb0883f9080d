"""`predict` of images in memory: the results of their files, names, and one clear line for what is no image."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL
import pytest
import torch
from one_line import error_of
from PIL import Image

import m2f2bench

as_crops = partial(m2f2bench.predict, faces=False)


class Spoiler:
    """P(fake) depends on every pixel and its place; it writes into what it is given."""

    def predict(self, images: Any) -> list[float]:
        found = []
        for image in images:
            weight = np.linspace(0, 1, image.size).reshape(image.shape)
            found.append(float((weight * image).sum() / (255 * weight.sum())))
            image[:] = 0
        return found

    def explain(self, images: Any, questions: Any) -> list[str]:
        return [f"{question} {image.mean():.3f}" for image, question in zip(images, questions, strict=True)]

    def heatmap(self, images: Any) -> Any:
        return np.stack([image[:4, :4, 0] / 255 for image in images]).astype(np.float32)


def picture(seed: int = 0, size: tuple[int, ...] = (24, 32, 3)) -> Any:
    return np.random.default_rng(seed).integers(0, 256, size).astype(np.uint8)


def in_place_of(found: Any, path: str) -> dict[str, Any]:
    """One result without the name of its file and the name of its overlay."""
    (row,) = found
    assert row["path"] == path
    return {key: value for key, value in row.items() if key not in ("path", "heatmap")}


FORMS: dict[str, Callable[[Any], Any]] = {
    "array": lambda image: image,
    "read-only": lambda image: np.frombuffer(image.tobytes(), np.uint8).reshape(image.shape),
    "strides": lambda image: np.ascontiguousarray(image[:, ::-1])[:, ::-1],
    "Fortran": np.asfortranarray,
    "Pillow": Image.fromarray,
    "tensor": torch.from_numpy,
    "list": lambda image: [image],
    "tuple": lambda image: (image,),
    "generator": lambda image: (one for one in [image]),
    "batch": lambda image: image[None],
}


@pytest.mark.parametrize("form", FORMS)
def test_an_image_in_memory_has_the_result_of_its_file(form: str, tmp_path: Path) -> None:
    image = picture()
    Image.fromarray(image).save(tmp_path / "a.png")
    kept = image.copy()
    how: dict[str, Any] = {"questions": ["How bright?"]}
    expected = in_place_of(as_crops(tmp_path / "a.png", Spoiler(), **how), str(tmp_path / "a.png"))
    assert expected["status"] == "ok" and expected["answers"][0]["text"] == f"How bright? {image.mean():.3f}"
    assert in_place_of(as_crops(FORMS[form](image), Spoiler(), **how), "image0") == expected
    assert (image == kept).all()


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16", "YCbCr"])
def test_a_pillow_image_of_any_mode_is_as_its_file(mode: str, tmp_path: Path) -> None:
    base = Image.fromarray(picture())
    image = Image.fromarray(picture(1, (24, 32)).astype(np.uint16) * 257) if mode == "I;16" else base.convert(mode)
    path = tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr") else "a.png")
    image.save(path)
    with Image.open(path) as opened:
        try:
            opened.load()
        except OSError as error:
            pytest.skip(f"Pillow {PIL.__version__} cannot read the {mode} file that it wrote: {error}")
    expected = in_place_of(as_crops(path, Spoiler()), str(path))
    assert in_place_of(as_crops(image, Spoiler()), "image0") == expected
    with Image.open(path) as opened:
        assert in_place_of(as_crops(opened, Spoiler()), "image0") == expected


def test_a_pillow_image_is_turned_as_its_file(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture()).save(tmp_path / "a.png", exif=exif)
    expected = as_crops(tmp_path / "a.png", Spoiler())[0]["score"]
    assert as_crops(Image.open(tmp_path / "a.png"), Spoiler())[0]["score"] == expected
    assert as_crops(picture(), Spoiler())[0]["score"] != expected


@pytest.mark.slow
def test_images_have_the_names_that_are_given(tmp_path: Path) -> None:
    images = {"first": picture(1), "second": picture(2)}
    found = as_crops(images, Spoiler(), heatmaps=tmp_path / "maps")
    assert [row["path"] for row in found] == ["first", "second"] and found[0]["score"] != found[1]["score"]
    assert list(found) == list(
        as_crops(list(images.values()), Spoiler(), names=list(images), heatmaps=tmp_path / "maps")
    )
    maps = [np.load(Path(row["heatmap"]).with_suffix(".npy")) for row in found]
    assert all((one == images[name][:4, :4, 0] / np.float32(255)).all() for one, name in zip(maps, images, strict=True))
    assert len(found.to_pandas()) == 2 and "first" in found._repr_html_()
    batch = as_crops(np.stack(list(images.values())), Spoiler())
    assert [row["path"] for row in batch] == ["image0", "image1"]
    assert [row["score"] for row in batch] == [row["score"] for row in found]


def test_files_and_images_in_memory_go_together(tmp_path: Path) -> None:
    Image.fromarray(picture(1)).save(tmp_path / "a.png")
    found = as_crops([tmp_path / "a.png", picture(1), picture(2, (4, 4, 3))], Spoiler())
    assert [row["path"] for row in found] == [str(tmp_path / "a.png"), "image1", "image2"]
    assert found[0]["score"] == found[1]["score"] and found[2]["status"] == "unreadable"
    assert found[2]["message"] == "4x4 pixels are too small to hold a face (at least 8 a side)"


def torn() -> Image.Image:
    """A file that is cut short, opened and not yet decoded."""
    data = io.BytesIO()
    Image.fromarray(picture(0, (64, 64, 3))).save(data, "PNG")
    return Image.open(io.BytesIO(data.getvalue()[:3000]))


def test_what_cannot_be_decoded_is_a_row_with_a_reason() -> None:
    found = as_crops([torn(), picture(), Image.new("F", (9, 9))], Spoiler())
    assert [row["status"] for row in found] == ["unreadable", "ok", "unreadable"]
    assert "truncated" in found[0]["message"] and "pixels of mode F" in found[2]["message"]
    assert "none of 1 files could be judged" in error_of(lambda: as_crops(torn(), Spoiler()))
    wide = np.broadcast_to(np.uint8(0), (10_000, 10_000, 3))  # no memory is taken for it
    assert "over the limit of 50 million" in error_of(lambda: as_crops(wide, Spoiler()))


WRONG: dict[str, tuple[Any, str]] = {
    "floats": (picture() / 255, "is float64 [24, 32, 3], and an image is RGB, uint8, [H, W, 3]: make it so with (255"),
    "float16": (picture().astype(np.float16), "is float16 [24, 32, 3]"),
    "signed": (picture().astype(np.int64), "is int64 [24, 32, 3]"),
    "truth": (picture() > 9, "is bool [24, 32, 3]"),
    "objects": (picture().astype(object), "is object [24, 32, 3]"),
    "NaN": (np.full((9, 9, 3), np.nan), "is float64 [9, 9, 3]"),
    "channels first": (picture(0, (3, 24, 32)), "turn its axes with image.transpose(1, 2, 0)"),
    "alpha": (picture(0, (24, 32, 4)), "leave its alpha out with image[..., :3]"),
    "grey": (picture(0, (24, 32)), "repeat its grey with np.repeat(image[..., None], 3, axis=2)"),
    "one channel": (picture(0, (24, 32, 1)), "repeat its grey with np.repeat(image, 3, axis=2)"),
    "one axis": ([np.zeros(3, np.uint8)], "is uint8 [3]"),
    "no axis": ([np.uint8(3)], "is uint8 []"),
    "five axes": (picture(0, (1, 2, 24, 32, 3)), "is uint8 [1, 2, 24, 32, 3]"),
    "a batch of grey": (picture(0, (2, 24, 32, 1)), "paths, item 1, is uint8 [24, 32, 1]"),
    "an item": ([picture(), 3], "paths, item 2, is of type int: give a path, an RGB uint8 array"),
    "None": (None, "paths is of type NoneType"),
    "None in a list": ([picture(), None], "paths, item 2, is of type NoneType"),
    "bytes": (b"\x89PNG", "paths is of type bytes"),
    "bytes in a list": ([picture(), b"\x89PNG"], "item 2, is of type bytes"),
    "lists": ([[[1, 2, 3]]], "paths is of type list"),
    "a data frame": (pd.DataFrame({"path": ["a.png"]}), "paths is of type DataFrame"),
    "a tensor that needs a gradient": (torch.zeros(9, 9, 3, requires_grad=True), "is no array: "),
    "a mapping of paths": ({"a": "a.png"}, "a mapping names images in memory, and 'a.png' is a path"),
    "an empty list": ([], "paths is empty"),
    "an empty mapping": ({}, "paths is empty"),
    "an empty batch": (picture(0, (0, 24, 32, 3)), "paths is empty"),
    "an empty image": (picture(0, (0, 0, 3)), "0x0 pixels are too small"),
    "no file": ("nowhere.png", "there is no file or folder 'nowhere.png'"),
    "an empty name": ({" ": picture()}, "the name of image 1 is ' '"),
    "a NUL": ({"a\0": picture()}, "the name of image 1 is"),
    "names that are texts of one another": ({1: picture(), "1": picture()}, "two images are named '1'"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_image_is_one_line(what: str) -> None:
    data, said = WRONG[what]
    assert said in error_of(lambda: as_crops(data, Spoiler()))


def test_mistakes_in_names_are_one_line(tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "a.png")
    calls: list[tuple[Any, Any, str]] = [
        ([picture()], ["a", "b"], "names has 2 names, but there are 1 images"),
        ([picture(), picture()], "ab", "names is one text, 'ab'"),
        ([picture(), picture()], ["a", "a"], "two images are named 'a'"),
        ({"a": picture()}, ["b"], "both name the images"),
        ([tmp_path / "a.png"], ["b"], "item 1 is the path"),
    ]
    for paths, names, said in calls:
        assert said in error_of(lambda paths=paths, names=names: as_crops(paths, Spoiler(), names=names))
    same = [tmp_path / "a.png", picture()]
    assert len(as_crops(same, Spoiler())) == 2
