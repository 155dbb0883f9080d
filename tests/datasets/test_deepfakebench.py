"""DeepfakeBench's preprocessed form in folders: counts, labels and polarity, paths of other machines, wrong lists."""

from __future__ import annotations

import json
import pickle
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pytest
from field_dfb import FF_LABELS, make_dfb, picture, write_list
from hypothesis import given, settings
from hypothesis import strategies as st

from m2f2bench.cards.protocols import FrameSelection
from m2f2bench.core.errors import DataError, FrameError
from m2f2bench.datasets.base import Adapter
from m2f2bench.datasets.dataset import plan_frames
from m2f2bench.datasets.deepfakebench.adapter import DeepfakeBenchAdapter, DeepfakeBenchOptions
from m2f2bench.datasets.deepfakebench.labels import SETS, meaning
from m2f2bench.datasets.deepfakebench.places import Places
from m2f2bench.datasets.files.images import digest_file


def adapter(root: Path, dataset: str = "FaceForensics++", **options: Any) -> DeepfakeBenchAdapter:
    return DeepfakeBenchAdapter(root, DeepfakeBenchOptions(dataset=dataset, **options))


def videos(one: Adapter, split: str = "test") -> dict[str, tuple[int, str, tuple[str, ...], int]]:
    """Label, method, people and number of frames of each video."""
    found: dict[str, tuple[int, str, tuple[str, ...], int]] = {}
    for frame in one.frames(split):
        n = found.get(frame.video, (0, "", (), 0))[3]
        found[frame.video] = (frame.label, frame.method, frame.identities, n + 1)
    return found


def listed(root: Path, video: dict[str, Any], group: str = "UADFV_Fake", name: str = "v") -> DeepfakeBenchAdapter:
    """A dataset with one video, of this record."""
    (root / "UADFV/fake/frames/v").mkdir(parents=True, exist_ok=True)
    write_list(root, "UADFV", {"UADFV": {group: {"test": {name: video}}}})
    return adapter(root, "UADFV")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dfb(tmp_path_factory.mktemp("dfb"))


def test_faceforensics_has_its_videos_labels_and_people(root: Path) -> None:
    expected = {f"original/{a}": (0, "original", (a,), 3) for a in ("000", "003")}
    for method in ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"):
        expected[f"{method}/000_003"] = (1, method, ("000", "003"), 3)
        expected[f"{method}/003_000"] = (1, method, ("003", "000"), 3)
    assert videos(adapter(root)) == expected
    assert sorted(videos(adapter(root), "train"))[0] == "Deepfakes/001_870"
    assert adapter(root).remarks("test") == []


@pytest.mark.parametrize(
    ("dataset", "split", "expected"),
    [
        (
            "Celeb-DF-v2",
            "test",
            {
                "original/id0_0000": (0, "original", ("id0",), 3),
                "original/00170": (0, "original", (), 3),
                "Celeb-synthesis/id0_id1_0000": (1, "Celeb-synthesis", ("id0", "id1"), 3),
            },
        ),
        ("DFDC", "test", {"original/aareal": (0, "original", (), 3), "DFDC/bbfake": (1, "DFDC", (), 3)}),
        (
            "DFDCP",
            "val",
            {
                "original/vReal": (0, "original", (), 3),
                "method_A/vFakeA": (1, "method_A", (), 3),
                "method_B/vFakeB": (1, "method_B", (), 3),
            },
        ),
        ("UADFV", "test", {"original/0000": (0, "original", (), 3), "FakeApp/0000_fake": (1, "FakeApp", (), 3)}),
    ],
)
def test_other_datasets_have_theirs(
    root: Path, dataset: str, split: str, expected: dict[str, tuple[int, str, tuple[str, ...], int]]
) -> None:
    assert videos(adapter(root, dataset), split) == expected
    assert adapter(root, dataset).fits()


def test_a_red_picture_is_a_fake(root: Path) -> None:
    one = adapter(root)
    red = {0: [], 1: []}  # type: dict[int, list[float]]
    for frame in one.frames("test"):
        image = one.read(frame).astype(int)
        red[frame.label].append(float((image[..., 0] - image[..., 2]).mean()))
    assert np.mean(red[1]) - np.mean(red[0]) > 30


def test_frames_are_in_order_of_time_and_of_the_chosen_compression(root: Path) -> None:
    frames = [one for one in adapter(root, compression="c40").frames("test") if one.video == "Deepfakes/000_003"]
    assert [one.id for one in frames] == [f"Deepfakes/000_003/{n}.png" for n in ("000", "010", "020")]
    base = root / "FaceForensics++/manipulated_sequences/Deepfakes/c40/frames/000_003"
    assert [Path(one.locator.path) for one in frames] == [base / f"{n}.png" for n in ("000", "010", "020")]


def test_frames_with_longer_numbers_are_in_order(tmp_path: Path) -> None:
    names = ["1000.png", "90.png", "100.png"]
    one = listed(tmp_path, {"label": "UADFV_Fake", "frames": [f"UADFV/fake/frames/v/{n}" for n in names]})
    assert [frame.id for frame in one.frames("test")] == [f"FakeApp/v/{n}" for n in ("90.png", "100.png", "1000.png")]


def test_masks_are_those_of_c23(root: Path) -> None:
    for level in ("c23", "c40"):
        one = adapter(root, compression=level)
        masks = {frame.video: one.mask(frame) for frame in one.frames("test")}
        expected = np.zeros((32, 32), dtype=bool)
        expected[:, :16] = True
        assert masks["original/000"] is None
        fake = masks["FaceSwap/003_000"]
        assert fake is not None and np.array_equal(fake, expected)


@pytest.mark.parametrize(
    ("head", "separator"),
    [
        ("", "/"),
        ("./datasets/rgb/", "/"),
        (".\\datasets\\rgb\\", "\\"),
        ("/home/someone/DeepfakeBench/datasets/rgb/", "/"),
        ("D:\\data\\", "\\"),
        ("deepfakes_detection_datasets/", "/"),
        ("../../datasets/", "/"),
    ],
)
def test_paths_of_any_machine_lead_to_the_same_files(root: Path, tmp_path: Path, head: str, separator: str) -> None:
    """A copy of the lists alone, over the same frames."""
    lists = make_dfb(tmp_path / "other", head=head, separator=separator) / "dataset_json"
    for dataset in ("FaceForensics++", "Celeb-DF-v2"):
        given = list(adapter(root, dataset, lists=str(lists)).frames("test"))
        assert given == list(adapter(root, dataset).frames("test"))
        assert all(Path(frame.locator.path).is_file() for frame in given)


WORDS = st.text("abcXYZ019_-.+", min_size=1, max_size=6).filter(lambda word: word.strip(".") != "")


@settings(max_examples=40, deadline=None)
@given(
    head=st.lists(WORDS, max_size=3), inside=st.lists(WORDS, min_size=1, max_size=3), separator=st.sampled_from("/\\")
)
def test_the_end_of_a_path_that_exists_is_its_place(
    tmp_path_factory: pytest.TempPathFactory, head: list[str], inside: list[str], separator: str
) -> None:
    base = tmp_path_factory.mktemp("places")
    place = base.joinpath("SET", *inside, "frames")
    place.mkdir(parents=True)
    places = Places(base)
    written = separator.join([*head, "SET", *inside, "frames", "000_003"])
    if "SET" not in head:
        assert Path(places.folder(written)) == place / "000_003"
        assert not places.absent and not places.renamed
    elsewhere = separator.join(["none", *inside, "faces", "v"])
    assert Path(places.folder(elsewhere)).name == "v" and len(places.absent) == 1
    assert PureWindowsPath(places.folder(elsewhere)).parts[-2] == "faces"


def test_a_missing_frame_stays_and_fails(root: Path, tmp_path: Path) -> None:
    path = make_dfb(tmp_path / "copy") / "DFDC/test/frames/bbfake/010.png"
    path.unlink()
    one = adapter(tmp_path / "copy", "DFDC")
    frames = list(one.frames("test"))
    assert len(frames) == 6
    failed = []
    for frame in frames:
        try:
            one.read(frame)
        except FrameError as error:
            failed.append(str(error))
    assert failed == ["DFDC/bbfake/010.png: '010.png' does not exist"]


def test_a_missing_video_is_said(tmp_path: Path) -> None:
    make_dfb(tmp_path)
    folder = tmp_path / "Celeb-DF-v2/Celeb-real/frames/id0_0000"
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    one = adapter(tmp_path, "Celeb-DF-v2")
    assert len(one.frames("test")) == 9
    assert f"1 of 3 listed videos are not there, first '{folder}'" in one.remarks("test")


def test_an_empty_list_of_frames_is_one_frame_that_fails(tmp_path: Path) -> None:
    one = listed(tmp_path, {"label": "UADFV_Fake", "frames": []})
    (frame,) = one.frames("test")
    assert (frame.video, frame.label) == ("FakeApp/v", 1)
    with pytest.raises(FrameError, match="FakeApp/v/no-frames: the list names no frames for this video"):
        one.read(frame)
    assert one.stamp(frame) == "" and "1 videos of 'test' have an empty list" in one.remarks("test")[0]


def test_repeated_reals_are_one_video(tmp_path: Path) -> None:
    frames = [f"FaceForensics++/original_sequences/youtube/c23/frames/000/{n}.png" for n in ("000", "010")]
    make_dfb(tmp_path)
    fake = [f"FaceForensics++/manipulated_sequences/Deepfakes/c23/frames/000_003/{n}.png" for n in ("000", "010")]
    groups = {
        "FSAll_Real": {
            "test": {f"{m}_000": {"label": f"{m}_Real", "frames": frames} for m in ("simswap", "fsgan", "e4s")}
        },
        "FSAll_Fake": {"test": {"000": {"label": "simswap_Fake", "frames": fake}}},
    }
    write_list(tmp_path, "FSAll_ff", {"FSAll_ff": groups})
    one = adapter(tmp_path, "FSAll_ff")
    assert {name: of[0] for name, of in videos(one).items()} == {"original/simswap_000": 0, "simswap/000": 1}
    assert one.remarks("test")[0] == "2 repeated real videos of 'test' (one path under several labels) once"


def test_a_frame_that_is_named_twice_is_one(tmp_path: Path) -> None:
    paths = ["UADFV/fake/frames/v/000.png", "UADFV/fake/frames/v/000.png", "UADFV/fake/frames/v/001.png"]
    one = listed(tmp_path, {"label": "UADFV_Fake", "frames": paths})
    assert len(plan_frames(one, "test", FrameSelection(count=32, which="uniform"))) == 2
    assert one.remarks("test") == ["1 frames of 'test' that a video names twice once"]


def test_videos_in_two_splits_are_said(root: Path) -> None:
    assert "3 of 3 videos of 'test' are in 'train' too" in adapter(root, "Celeb-DF-v2").remarks("test")


def test_a_record_without_a_name_is_a_video(tmp_path: Path) -> None:
    """DFDC's list has one in its validation split."""
    make_dfb(tmp_path)
    path = tmp_path / "dataset_json/DFDC.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    fake = data["DFDC"]["DFDC_Fake"]
    fake["val"] = dict(fake["test"]["bbfake"])
    path.write_text(json.dumps(data), encoding="utf-8")
    assert videos(adapter(tmp_path, "DFDC"), "val") == {"DFDC/bbfake": (1, "DFDC", (), 3)}


@pytest.mark.parametrize("label", ["UADFV_Real", "FF-DF"])
def test_a_label_that_disagrees_with_its_group_is_one_line(tmp_path: Path, label: str) -> None:
    one = listed(tmp_path, {"label": label, "frames": ["UADFV/fake/frames/v/000.png"]})
    with pytest.raises(DataError, match=rf"video 'v' has the label '{label}' in the group 'UADFV_Fake': one is wrong$"):
        one.frames("test")


def test_frames_that_are_real_and_fake_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "UADFV/fake/frames/v").mkdir(parents=True)
    frames = ["UADFV/fake/frames/v/000.png"]
    groups = {label: {"test": {label: {"label": label, "frames": frames}}} for label in ("UADFV_Real", "UADFV_Fake")}
    write_list(tmp_path, "UADFV", {"UADFV": groups})
    with pytest.raises(DataError, match=r"are real as 'original/UADFV_Real' and fake as 'FakeApp/UADFV_Fake'"):
        adapter(tmp_path, "UADFV").frames("test")


def test_another_datasets_list_is_one_line(root: Path, tmp_path: Path) -> None:
    (tmp_path / "UADFV.json").write_text(
        (root / "dataset_json/DFDC.json").read_text(encoding="utf-8"), encoding="utf-8"
    )
    with pytest.raises(DataError, match=r"it is a list of 'DFDC' and not of 'UADFV': give its own") as caught:
        adapter(root, "UADFV", lists=str(tmp_path)).frames("test")
    assert "\n" not in str(caught.value)


def test_another_root_is_one_line(root: Path, tmp_path: Path) -> None:
    one = adapter(tmp_path, "DFDC", lists=str(root / "dataset_json"))
    assert not one.fits()
    with pytest.raises(DataError, match=r"none of the 2 listed videos is under .* first .*aareal.*another root\?$"):
        one.frames("test")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "line 1 is not JSON"),
        ("[]", r"should be \{dataset"),
        ('{"UADFV": 3}', "should be a mapping"),
        ('{"UADFV": {"UADFV_Fake": {"test": {"v": {"label": "UADFV_Fake"}}}}}', "has no list of frames"),
        ('{"UADFV": {"nobody": {"test": {"v": {"frames": ["a/b/c.png"]}}}}}', "the label 'nobody' of video 'v'"),
        ('{"UADFV": {"UADFV_Fake": {"train": {}}}}', "has no split 'test': it has train"),
        ('{"UADFV": {"UADFV_Fake": {"test": {}}}}', "has no videos in the split 'test'"),
        ('{"UADFV": {"UADFV_Fake": {"test": {"c40": {"v": {"frames": []}}}}}}', "not the compression level 'c23'"),
    ],
)
def test_a_wrong_list_is_one_line(tmp_path: Path, content: str, problem: str) -> None:
    write_list(tmp_path, "UADFV", {}).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=problem) as caught:
        adapter(tmp_path, "UADFV").frames("test")
    assert "\n" not in str(caught.value)


def test_a_list_that_is_absent_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no list '.*UADFV.json'; fetch it"):
        adapter(tmp_path, "UADFV").frames("test")
    with pytest.raises(DataError, match="needs a root"):
        DeepfakeBenchAdapter(None).frames("test")


def test_methods_choose_fakes_and_keep_reals(root: Path) -> None:
    one = adapter(root, methods=("FaceSwap",))
    assert sorted(videos(one)) == ["FaceSwap/000_003", "FaceSwap/003_000", "original/000", "original/003"]
    with pytest.raises(
        DataError, match=r"no fakes of the method 'FaceShifter'; known: Deepfakes, Face2Face, FaceSwap, NeuralTextures$"
    ):
        adapter(root, methods=("FaceShifter",)).frames("test")


def test_labels_say_what_they_mean() -> None:
    assert {label: meaning(label) for label in FF_LABELS} == {label: (1, name) for label, name in FF_LABELS.items()}
    assert meaning("FF-real") == meaning("CelebDFv1_real") == meaning("DFDC_Real") == (0, "original")
    assert meaning("FF-FH") == (1, "FaceShifter") and meaning("DFDCP_FakeB") == (1, "method_B")
    assert meaning("mraa_Fake") == (1, "MRAA") and meaning("sd2.1_Fake") == (1, "sd2.1")
    assert meaning("Deepfakes") is None and meaning("realfake") is None


def test_digest_and_stamp_are_those_of_the_file(root: Path) -> None:
    one = pickle.loads(pickle.dumps(adapter(root)))
    frame = one.frames("test")[4]
    expected = digest_file(Path(frame.locator.path), "")
    assert one.digest(frame, one.read(frame)) == expected == one.digest(frame, np.zeros((8, 8, 3), np.uint8))
    assert one.stamp(frame) == adapter(root).stamp(frame) != ""


def test_a_changed_list_is_read_again(tmp_path: Path) -> None:
    one = listed(tmp_path, {"label": "UADFV_Fake", "frames": ["UADFV/fake/frames/v/000.png"]})
    assert len(one.frames("test")) == 1
    listed(tmp_path, {"label": "UADFV_Fake", "frames": [f"UADFV/fake/frames/v/{i:03d}.png" for i in range(5)]})
    assert len(one.frames("test")) == 5


def test_datasets_may_lie_under_datasets_rgb(root: Path, tmp_path: Path) -> None:
    place = tmp_path / "datasets/rgb/UADFV/real/frames/0000"
    place.mkdir(parents=True)
    for n in ("000", "010", "020"):
        (place / f"{n}.png").write_bytes(picture(False, 1))
    write_list(
        tmp_path,
        "UADFV",
        {
            "UADFV": {
                "UADFV_Real": {
                    "test": {"0000": {"frames": [f"UADFV/real/frames/0000/{n}.png" for n in ("000", "010", "020")]}}
                }
            }
        },
    )
    one = adapter(tmp_path, "UADFV")
    assert one.fits() and [one.read(frame).shape for frame in one.frames("test")] == [(32, 32, 3)] * 3


def test_a_root_without_the_compression_does_not_fit(root: Path) -> None:
    assert [adapter(root, compression=level).fits() for level in ("c23", "c40", "raw")] == [True, True, False]
    assert not adapter(root, "FaceShifter").fits() and not adapter(root / "DFDC").fits()


def test_a_path_without_a_folder_is_under_the_root(tmp_path: Path) -> None:
    one = listed(tmp_path, {"label": "UADFV_Fake", "frames": ["1.png"]})
    (tmp_path / "1.png").write_bytes(picture(True, 1))
    (frame,) = one.frames("test")
    assert frame.locator.path == str(tmp_path / "1.png") and one.read(frame).shape == (32, 32, 3)


def test_every_known_dataset_has_methods() -> None:
    assert len(SETS) == 13
    assert adapter(Path("/nowhere"), "FaceShifter").choices() == ("FaceShifter",)
    assert adapter(Path("/nowhere"), "of-mine").choices() == ()
