"""`predict --heatmap`: overlays that show where, say what their colours mean, and never take another's place."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from m2f2bench.core.errors import DetectorError, StoreError
from m2f2bench.heatmaps.mapping import enlarged
from m2f2bench.inference.predict import predict_paths
from m2f2bench.reporting.figures.overlay import Panel, blend, draw_overlays, limits

WHOLE = (0.0, 0.0, 1.0, 1.0)
PLUG = """
import numpy as np
from m2f2bench import Detector, Localizer

class Red(Detector, Localizer):
    '''P(fake) is the mean of red, the map is red in the middle square on a 4x4 grid.'''
    def forward(self, batch, ids):
        return [float(image[..., 0].mean()) / 255 for image in batch]
    def heatmap(self, images):
        return np.stack([self.one(image) for image in images])
    def one(self, image):
        side = min(image.shape[:2]) // 4 * 4
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        red = image[top:top + side, left:left + side, 0] / 255
        return red.reshape(4, side // 4, 4, side // 4).mean((1, 3)).astype(np.float32)
    def seen(self, height, width):
        side = min(height, width)
        down, across = (height - side) / 2 / height, (width - side) / 2 / width
        return down, across, 1 - down, 1 - across

class Bare:
    def predict(self, images):
        return [0.25] * len(images)
    def heatmap(self, images):
        return np.stack([np.full((2, 3), 0.5) for image in images])

class Green(Red):
    def fingerprint(self):
        return "green"

class Broken(Red):
    def heatmap(self, images):
        maps = super().heatmap(images)
        maps[[i for i, image in enumerate(images) if image[0, 0, 0] == 255]] = np.nan
        return maps

class Negative(Red):
    def heatmap(self, images):
        return super().heatmap(images) - 0.6

class Unable(Red):
    def heatmap(self, images):
        from m2f2bench.core.errors import DetectorError
        raise DetectorError("detector 'x' has no map in this variant")
"""


@pytest.fixture
def plug(tmp_path: Path) -> str:
    (tmp_path / "plug.py").write_text(PLUG)
    return f"{tmp_path}/plug.py"


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Two folders with a file of one name, an unreadable file, and a wide picture."""
    for name, red in (("one", 255), ("two", 51)):
        (tmp_path / "faces" / name).mkdir(parents=True)
        Image.new("RGB", (40, 40), (red, 0, 0)).save(tmp_path / "faces" / name / "a.png")
    (tmp_path / "faces" / "bad.jpg").write_text("not an image")
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:16, 16:32, 0] = 204
    Image.fromarray(pixels).save(tmp_path / "faces" / "wide.png")
    return tmp_path / "faces"


def video(path: Path, reds: list[int]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for red in reds:
            pixels = np.full((64, 64, 3), (red, 0, 0), np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def info(path: str | Path) -> dict[str, str]:
    with Image.open(path) as picture:
        picture.load()
        return dict(picture.info)


def test_an_overlay_and_the_numbers_for_each_file(cli, plug: str, faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "maps"
    done = cli("predict", "--no-faces", faces, "-d", f"{plug}:Red", "--heatmap", out, "--json")
    assert done.status == 0, done.err
    rows = {row["path"]: row for row in json.loads(done.out)}
    pictures = [row["heatmap"] for row in rows.values() if row["heatmap"]]
    assert len(rows) == 4 and len(set(pictures)) == 3, "two files of one name have two overlays"
    bad = rows[str(faces / "bad.jpg")]
    assert bad["heatmap"] is None and bad["status"] == "unreadable"
    wide = Path(rows[str(faces / "wide.png")]["heatmap"])
    assert np.load(wide.with_suffix(".npy")).tolist() == pytest.approx(
        np.array([[0.8, 0.8, 0, 0], [0.8, 0.8, 0, 0], [0] * 4, [0] * 4], np.float32)
    )
    with Image.open(wide) as picture:
        assert picture.height > 448 and picture.width > 2 * 2 * 448
    index = json.loads((out / "heatmaps.json").read_text())
    assert index["detector"] == "plug.Red" and set(index["maps"]) == {Path(p).name for p in pictures}
    line = index["maps"][wide.name]
    assert (
        line["path"] == str(faces / "wide.png") and line["seen"] == [0.0, 0.25, 1.0, 0.75] and line["shape"] == [4, 4]
    )
    assert {p.suffix for p in out.iterdir()} == {".png", ".npy", ".json"} and len(list(out.iterdir())) == 7
    assert info(wide)["Description"] == "detector plug.Red · map 4×4 · values 0.000 to 0.800 · colours 0 to 1"


def test_repeated_it_renews_and_is_the_same(plug: str, faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "maps"
    predict_paths([faces], f"{plug}:Red", heatmaps=out)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    predict_paths([faces / "one", faces / "one" / "a.png"], f"{plug}:Red", heatmaps=out)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before


def test_nothing_of_anybody_else_is_overwritten(cli, one_line, plug: str, faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "maps"
    (row,) = predict_paths([faces / "one" / "a.png"], f"{plug}:Red", heatmaps=out)
    words = ("predict", "--no-faces", faces / "one" / "a.png", "--heatmap", out, "-d")
    assert "holds heat maps of detector 'plug.Red'" in one_line(cli(*words, f"{plug}:Green"))
    Image.new("RGB", (9, 9)).save(row["heatmap"])
    assert "is not a heat map of this file" in one_line(cli(*words, f"{plug}:Red"))
    with Image.open(row["heatmap"]) as left:
        assert left.size == (9, 9)
    (other,) = predict_paths([faces / "two" / "a.png"], f"{plug}:Red", heatmaps=out)
    Path(row["heatmap"]).write_bytes(Path(other["heatmap"]).read_bytes())
    assert "is not a heat map of this file" in one_line(cli(*words, f"{plug}:Red"))
    Path(row["heatmap"]).unlink()
    (out / "heatmaps.json").write_text("[]")
    assert "is not an index of heat maps" in one_line(cli(*words, f"{plug}:Red"))


def test_who_makes_no_maps_is_told_before_anything_is_judged(cli, one_line, plug: str, faces: Path, tmp_path) -> None:
    out = tmp_path / "maps"
    words = ("predict", "--no-faces", faces, "--heatmap", out, "-d")
    assert "detector 'constant' makes no heat maps" in one_line(cli(*words, "constant"))
    assert "has no map in this variant" in one_line(cli(*words, f"{plug}:Unable"))
    assert "values from -0.09" in one_line(cli(*words, f"{plug}:Negative"))
    assert not out.exists()
    assert "'linear' is not known" in one_line(cli(*words, f"{plug}:Red", "--heatmap-scale", "linear"))


def test_a_failed_map_leaves_the_judgement(plug: str, faces: Path, tmp_path: Path) -> None:
    rows = predict_paths([faces / "one", faces / "two"], f"{plug}:Broken", heatmaps=tmp_path / "maps")
    assert [row["score"] for row in rows] == pytest.approx([1.0, 0.2])
    assert rows[0]["heatmap"] is None and "not finite" in rows[0]["message"] and rows[0]["status"] == "ok"
    assert rows[1]["heatmap"] is not None


def test_an_object_with_heatmap_alone(plug: str, faces: Path, tmp_path: Path) -> None:
    (row,) = predict_paths([faces / "wide.png"], f"{plug}:Bare", heatmaps=tmp_path / "maps", heatmap_scale="image")
    assert np.load(Path(row["heatmap"]).with_suffix(".npy")).tolist() == [[0.5] * 3] * 2
    said = info(row["heatmap"])["Description"]
    assert "values 0.500 to 0.500 · colours 0 to 1" in said, "one value is not stretched"


def test_of_a_video_four_judged_frames(plug: str, tmp_path: Path) -> None:
    video(tmp_path / "v.mp4", [0] * 10 + [250] * 10)
    (row,) = predict_paths([tmp_path / "v.mp4"], f"{plug}:Red", frames=10, heatmaps=tmp_path / "maps")
    maps = np.load(Path(row["heatmap"]).with_suffix(".npy"))
    # 10 of 20 are the odd ones; of those, 4 evenly: numbers 1, 3, 6, 8.
    index = json.loads((tmp_path / "maps" / "heatmaps.json").read_text())["maps"]
    assert index[Path(row["heatmap"]).name]["frames"] == [3, 7, 13, 17]
    assert maps.shape == (4, 4, 4) and maps.mean((1, 2)) == pytest.approx([0, 0, 250 / 255, 250 / 255], abs=0.03)
    with Image.open(row["heatmap"]) as picture:
        assert picture.height > 4 * 448
    assert "whole video: P(fake)" in info(row["heatmap"])["Description"]


def test_without_the_option_there_is_no_map(plug: str, faces: Path) -> None:
    assert {row["heatmap"] for row in predict_paths([faces], f"{plug}:Red")} == {None}


@pytest.mark.parametrize("name", ["x" * 240 + ".png", "a\nb.png", "脸 $x_1$.png", "-d.png"])
def test_names_of_all_kinds(plug: str, tmp_path: Path, name: str) -> None:
    Image.new("RGB", (16, 16), (90, 0, 0)).save(tmp_path / name)
    (row,) = predict_paths([tmp_path / name], f"{plug}:Red", heatmaps=tmp_path / "maps")
    assert Path(row["heatmap"]).is_file() and Path(row["heatmap"]).with_suffix(".npy").is_file()


def flat(value: float, shape: tuple[int, int] = (4, 4)) -> np.ndarray:
    return np.full(shape, value, np.float32)


def test_colours_lie_where_the_map_does() -> None:
    image = np.full((60, 120, 3), 128, np.uint8)
    heat = np.zeros((6, 6), np.float32)
    heat[:3, :3] = 1.0
    mixed = blend(Panel(image, heat, (0.0, 0.25, 1.0, 0.75), 0.5), 60, 120).astype(int)
    outside = np.concatenate([mixed[:, :30], mixed[:, 90:]], axis=1)
    assert (outside.max(axis=2) == outside.min(axis=2)).all(), "no colour where nothing was seen"
    yellow, blue = mixed[:25, 35:55], mixed[35:, 65:85]
    assert (yellow[..., 0] > yellow[..., 2] + 60).all() and (blue[..., 2] > blue[..., 0] + 40).all()


def test_one_value_has_one_colour_in_every_picture() -> None:
    image = np.full((40, 40, 3), 128, np.uint8)
    alone = blend(Panel(image, flat(0.4), WHOLE, 0.5), 40, 40)
    assert (alone == alone[0, 0]).all(), "a constant map is one colour"
    heat = flat(0.4, (1, 4))
    heat[0, 3] = 1.0
    beside = blend(Panel(image, heat, WHOLE, 0.5), 40, 40)
    assert (beside[20, 5] == alone[20, 5]).all(), "whatever else is in the picture"


def test_the_span_of_the_colours() -> None:
    assert limits([flat(0.2), flat(0.6)], "fixed") == (0.0, 1.0)
    assert limits([flat(0.2), flat(0.6)], "image") == pytest.approx((0.2, 0.6))
    assert limits([flat(0.2), flat(0.2)], "image") == (0.0, 1.0)
    image = np.full((40, 40, 3), 128, np.uint8)
    heat = flat(0.40)
    heat[0] = 0.42
    panel = Panel(image, heat, WHOLE, 0.5)
    faint, strong = (blend(panel, 40, 40, span).astype(int) for span in ((0.0, 1.0), (0.40, 0.42)))
    assert np.ptp(faint, axis=(0, 1)).max() < 8 and np.ptp(strong, axis=(0, 1)).max() > 80


def test_stretched_colours_say_so(tmp_path: Path) -> None:
    panel = Panel(np.zeros((20, 20, 3), np.uint8), np.array([[0.41, 0.44]], np.float32), WHOLE, 0.9)
    draw_overlays([panel], tmp_path / "a.png", title="a", foot=["detector d"], scale="image")
    draw_overlays([panel], tmp_path / "b.png", title="a", foot=["detector d"])
    assert info(tmp_path / "a.png")["Description"].endswith(
        "values 0.410 to 0.440 · colours STRETCHED to these values, relative within this picture"
    )
    assert info(tmp_path / "b.png")["Description"].endswith("values 0.410 to 0.440 · colours 0 to 1")


def test_enlarging_invents_no_peak() -> None:
    heat = np.zeros((5, 5), np.float32)
    heat[2, 2] = 0.7
    large = enlarged(heat, 100, 100)
    assert large.shape == (100, 100) and large.min() >= 0.0 and large.max() <= 0.7 + 1e-6
    row, column = np.unravel_index(large.argmax(), large.shape)
    assert 40 <= row < 60 and 40 <= column < 60
    np.testing.assert_allclose(enlarged(flat(0.3), 33, 77), 0.3, atol=1e-6)


def test_a_full_disk_leaves_no_half_picture(small_disk, plug: str, faces: Path) -> None:
    place = small_disk("16k") / "maps"
    with pytest.raises(StoreError, match="No space left"):
        predict_paths([faces / "one"], f"{plug}:Red", heatmaps=place)
    assert not [p for p in place.iterdir() if p.suffix != ".json"]


def test_the_number_of_maps(plug: str, faces: Path, tmp_path: Path) -> None:
    (tmp_path / "few.py").write_text(
        PLUG.replace("np.stack([self.one(image) for image in images])", "np.zeros((3, 2, 2))")
    )
    with pytest.raises(DetectorError, match=r"float64 \[3, 2, 2\] for 1 images"):
        predict_paths([faces], f"{tmp_path}/few.py:Red", heatmaps=tmp_path / "maps")
