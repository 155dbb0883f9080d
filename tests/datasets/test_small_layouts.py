"""UADFV, KoDF and Deepfake-Eval-2024 as downloaded, and what all layouts have in common."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
from field_more import (
    EVAL_HEADER,
    EVAL_ROWS,
    FRAMES,
    MAKERS,
    clips_of,
    make_deepfake_eval,
    make_kodf,
    make_uadfv,
    write_table,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from one_line import error_of
from paths import ROOT
from PIL import Image
from toy_videos import number_in, picture_of, write_video

from m2f2bench.cards.models import DatasetCard, read_card
from m2f2bench.cards.registry import ADAPTERS
from m2f2bench.core.errors import DataError, FrameError
from m2f2bench.core.memo import CACHE_VARIABLE
from m2f2bench.datasets.dataset import check_unique
from m2f2bench.datasets.layouts.deepfake_eval import DeepfakeEvalAdapter, DeepfakeEvalOptions
from m2f2bench.datasets.layouts.kodf import KoDFAdapter
from m2f2bench.datasets.layouts.uadfv import UADFVAdapter
from m2f2bench.datasets.lists.folder import FolderAdapter

IMAGES = DeepfakeEvalOptions(media="image")
CARDS = {
    "ffiw": "ffiw",
    "wilddeepfake": "wilddeepfake",
    "uadfv": "uadfv",
    "deeperforensics": "deeperforensics",
    "fakeavceleb": "fakeavceleb",
    "kodf": "kodf",
    "deepfake-eval-2024-videos": "deepfake-eval-2024",
    "deepfake-eval-2024-images": "deepfake-eval-2024",
}
"""The cards, and the makers of their data."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in MAKERS.items()}


def adapter_of(card: str, root: Path | None) -> Any:
    read = read_card("datasets", ROOT / "datasets" / f"{card}.yaml")
    assert isinstance(read, DatasetCard)
    kind: Any = ADAPTERS.get(read.adapter)
    return kind(root, kind.Options(**read.options))


# --- UADFV


def test_uadfv_pairs_a_fake_with_its_real(made: dict[str, Path]) -> None:
    adapter = UADFVAdapter(made["uadfv"])
    assert clips_of(adapter, "test") == {
        "original/0000": (0, "original", ("0000",), FRAMES),
        "original/0001": (0, "original", ("0001",), FRAMES),
        "original/0002": (0, "original", ("0002",), FRAMES),
        "FakeApp/0000_fake": (1, "FakeApp", ("0000",), FRAMES),
        "FakeApp/0001_fake": (1, "FakeApp", ("0001",), FRAMES),
    }
    assert adapter.remarks("test") == [] and adapter.splits == ("test",)


def test_uadfv_without_some_reals(tmp_path: Path) -> None:
    make_uadfv(tmp_path)
    (tmp_path / "real" / "0001.mp4").unlink()
    assert UADFVAdapter(tmp_path).remarks("test") == ["1 fake has no real video, first FakeApp/0001_fake"]


def test_a_plain_folder_of_real_and_fake_is_not_uadfv(tmp_path: Path) -> None:
    for name in ("real/0000.png", "fake/0000_fake.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(picture_of(1)).save(tmp_path / name)
    assert not UADFVAdapter(tmp_path).fits()
    assert len(FolderAdapter(tmp_path).frames("test")) == 2
    (tmp_path / "real" / "0000.png").rename(tmp_path / "real" / "0000.mp4")
    (tmp_path / "fake" / "0000_fake.png").rename(tmp_path / "fake" / "0000_fake.mp4")
    assert UADFVAdapter(tmp_path).fits()
    (tmp_path / "fake" / "0001.mp4").touch()
    assert not UADFVAdapter(tmp_path).fits()
    assert "is not UADFV as downloaded: it should hold real/NNNN.mp4" in error_of(
        lambda: UADFVAdapter(tmp_path).frames("test")
    )


# --- KoDF


def test_kodf_labels_by_folder(made: dict[str, Path]) -> None:
    adapter = KoDFAdapter(made["kodf"])
    assert clips_of(adapter, "test") == {
        "original/P01/a": (0, "original", ("P01",), FRAMES),
        "original/P02/a": (0, "original", ("P02",), FRAMES),
        "original/adv/P01/a": (0, "original", ("P01",), FRAMES),
        "audio-driven/P02/c": (1, "audio-driven", ("P02",), FRAMES),
        "dfl/P01/b": (1, "dfl", ("P01",), FRAMES),
    }
    assert adapter.remarks("test") == ["not there: fake-dffs, fake-fo, fake-fsgan"]


def test_kodf_in_other_spellings_with_folders_of_frames(tmp_path: Path) -> None:
    root = make_kodf(tmp_path / "KoDF")
    (root / "fake-dfl").rename(root / "Fake_DFL")
    for i in (2, 10):
        path = root / "fake_fsgan" / "P01" / "clip" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture_of(i)).save(path)
    write_video(root / "leaflets" / "a.mp4", 1)
    adapter = KoDFAdapter(tmp_path)
    assert adapter.fits()
    clips = clips_of(adapter, "test")
    assert clips["fsgan/P01/clip"] == (1, "fsgan", ("P01",), 2) and "dfl/P01/b" in clips
    assert [number_in(adapter.read(frame)) for frame in adapter.frames("test")[-2:]] == [2, 10]
    assert adapter.remarks("test")[0] == "unknown folders are left out: leaflets"


# --- Deepfake-Eval-2024


def test_unknown_is_left_out_and_counted(made: dict[str, Path]) -> None:
    adapter = DeepfakeEvalAdapter(made["deepfake-eval-2024"])
    assert clips_of(adapter, "test") == {
        "original/d.mp4": (0, "original", (), FRAMES),
        "wild/#NAME? line 6": (1, "wild", (), 1),
        "wild/e.MOV": (1, "wild", (), FRAMES),
        "original/#NAME? line 10": (0, "original", (), 1),
    }
    assert adapter.remarks("test") == [
        "2 rows labelled Unknown left out",
        "2 rows have an error of a spreadsheet for a file name: not readable",
    ]
    assert list(clips_of(adapter, "train")) == ["original/a.mp4", "wild/b.mp4"]
    assert adapter.remarks("train") == ["1 row labelled Unknown left out"]


def test_images_with_odd_endings(made: dict[str, Path]) -> None:
    adapter = DeepfakeEvalAdapter(made["deepfake-eval-2024"], IMAGES)
    assert {video: label for video, (label, _, _, n) in clips_of(adapter, "test").items() if n == 1} == {
        "wild/b.webp": 1, "wild/c.jpg!d": 1, "original/d": 0, "wild/#NAME? line 6": 1,
    }  # fmt: skip
    frames = {frame.video: frame for frame in adapter.frames("test")}
    read = {video: number_in(adapter.read(frame)) for video, frame in frames.items() if "#" not in video}
    assert read == {"wild/b.webp": 1, "wild/c.jpg!d": 2, "original/d": 3}
    assert adapter.stamp(frames["original/d"]) != adapter.stamp(frames["wild/b.webp"]) != ""
    with pytest.raises(FrameError, match="a spreadsheet program wrote this error in place of the file's name"):
        adapter.read(frames["wild/#NAME? line 6"])


def test_the_table_with_links_is_as_good(tmp_path: Path) -> None:
    make_deepfake_eval(tmp_path, ["image"], "-metadata-publish-with-links.csv")
    adapter = DeepfakeEvalAdapter(tmp_path, IMAGES)
    assert adapter.fits() and len(clips_of(adapter, "test")) == 4
    assert not DeepfakeEvalAdapter(tmp_path).fits()  # there are no videos
    assert "should hold image-data or video-data and its table" in error_of(
        lambda: DeepfakeEvalAdapter(tmp_path).frames("test")
    )


def evaluated(root: Path, rows: list[tuple[str, ...]]) -> DeepfakeEvalAdapter:
    (root / "image-data").mkdir(exist_ok=True)
    (root / "image-data" / "a.png").write_bytes(b"")
    write_table(root / "image-metadata-publish.csv", EVAL_HEADER, rows)
    return DeepfakeEvalAdapter(root, IMAGES)


def test_rows_that_are_not_clear(tmp_path: Path) -> None:
    adapter = evaluated(
        tmp_path,
        [
            ("a.png", "", "Real", "Test"),
            ("a.png", "", "real", "test"),
            ("b.png", "", "Real", "Test"),
            ("b.png", "", "Fake", "Test"),
            ("c.png", "", "Fake", ""),
            ("d.png", "", "Fake", "Test"),
            ("e.png", "", "", "Test"),
        ],
    )
    assert list(clips_of(adapter, "test")) == ["original/a.png", "wild/d.png"]
    assert adapter.remarks("test")[:4] == [
        "2 rows with a file that another row has left out",
        "1 row without Train or Test left out",
        "1 row labelled Unknown left out",
        "1 row with a file that is listed as both Real and Fake left out",
    ]
    assert "1 of the 2 listed files are missing" in adapter.remarks("test")[4]
    for row, said in (
        (("a.png", "", "Reel", "Test"), "line 2: 'Reel' is not one of Real, Fake and Unknown"),
        (("", "", "Real", "Test"), "line 2: '' is not the name of a file"),
        (("../../etc/passwd", "", "Real", "Test"), "is not the name of a file"),
    ):
        assert said in error_of(lambda row=row: evaluated(tmp_path, [row]).frames("test"))  # type: ignore[misc]
    assert "has no test videos of Deepfake-Eval-2024" in error_of(
        lambda: evaluated(tmp_path, [("a.png", "", "Real", "Train")]).frames("test")
    )
    write_table(tmp_path / "image-metadata-publish.csv", ("Filename", "Ground_Truth"), [("a.png", "Real")])
    assert "no column 'ground truth'" in error_of(lambda: adapter.frames("test"))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a.png", "b", "#NAME?", "#N/A", "x y.png"]),
            st.sampled_from(["Real", "Fake", "Unknown"]),
            st.sampled_from(["Train", "Test"]),
        ),
        max_size=12,
    )
)
def test_every_row_is_listed_or_counted(tmp_path: Path, rows: list[tuple[str, str, str]]) -> None:
    adapter = evaluated(
        tmp_path, [("a.png", "", "Real", "Test"), *((name, "", label, part) for name, label, part in rows)]
    )
    try:
        clips, remarks = adapter._found("test")
    except DataError:
        return
    assert len({clip.video for clip in clips}) == len(clips)
    mine = [("a.png", "Real"), *((name, label) for name, label, part in rows if part == "Test")]
    counted = {line.partition(" row")[2].removeprefix("s"): int(line.split()[0]) for line in remarks}
    assert counted.get(" labelled Unknown left out", 0) == sum(label == "Unknown" for _, label in mine)
    errors = [one for one in mine if one[0].startswith("#") and one[1] != "Unknown"]
    assert sum("# " not in clip.video and "#" in clip.video for clip in clips) == len(errors)
    known = {
        name: {label for other, label in mine if other == name} - {"Unknown"} for name, _ in mine if name[0] != "#"
    }
    assert {clip.video.partition("/")[2]: clip.label for clip in clips if "#" not in clip.video} == {
        name: int(labels == {"Fake"}) for name, labels in known.items() if len(labels) == 1
    }


# --- all of them


@pytest.mark.parametrize("card", CARDS)
def test_each_card_lists_its_data_and_reads_it(
    made: dict[str, Path], card: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    adapter = adapter_of(card, made[CARDS[card]])
    frames = adapter.frames("test")
    check_unique(frames)
    assert {frame.label for frame in frames} == {0, 1}
    assert all((frame.label == 0) == (frame.method == "original") for frame in frames)
    assert all(frame.video.startswith(f"{frame.method}/") for frame in frames)
    assert all(isinstance(line, str) and "\n" not in line for line in adapter.remarks("test"))
    copy = pickle.loads(pickle.dumps(adapter))
    assert copy.frames("test") == frames and copy.read(frames[0]).shape == (48, 64, 3)


@pytest.mark.parametrize("card", CARDS)
def test_a_root_fits_its_own_layout_alone(made: dict[str, Path], card: str, tmp_path: Path) -> None:
    assert [name for name in made if adapter_of(card, made[name]).fits()] == [CARDS[card]]
    for odd in (None, tmp_path, tmp_path / "nothing", Path(__file__), tmp_path / "\0", made["kodf"] / "real"):
        assert adapter_of(card, odd).fits() is False


@pytest.mark.parametrize("card", CARDS)
def test_a_card_says_how_to_get_the_data_and_what_is_not_known(card: str) -> None:
    read = read_card("datasets", ROOT / "datasets" / f"{card}.yaml")
    assert isinstance(read, DatasetCard)
    assert all((read.obtain, read.unchecked, read.licence, read.reference, read.source, read.splits, read.description))
    assert set(read.counts) <= set(read.splits or ())
    assert (read.people == ("FaceForensics++",)) == (card == "deeperforensics")
    assert (read.shows == "crops") == (card in ("wilddeepfake", "fakeavceleb"))


def test_links_in_a_circle_and_hidden_files(tmp_path: Path) -> None:
    make_kodf(tmp_path)
    (tmp_path / "real" / "P01" / "again").symlink_to(tmp_path / "real")
    shutil.copy(tmp_path / "real" / "P01" / "a.mp4", tmp_path / "real" / "._a.mp4")
    shutil.copy(tmp_path / "real" / "P01" / "a.mp4", tmp_path / "real" / "P01" / "a.MKV")
    reals = [video for video, (label, *_) in clips_of(KoDFAdapter(tmp_path), "test").items() if not label]
    assert reals == ["original/P01/a.MKV", "original/P01/a.mp4", "original/P02/a", "original/adv/P01/a"]
    assert EVAL_ROWS["video"][4][0] == "#NAME?"
