"""Lists of pictures: GenD's texts, ForensicHub's and IMDL's JSON, and how their paths are found."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from field_lists import encoded, forensichub, gend, shade_of, write_pictures
from hypothesis import given, settings
from hypothesis import strategies as st
from one_line import error_of

from m2f2bench import load_dataset
from m2f2bench.core.errors import CardError, FrameError
from m2f2bench.datasets.dataset import check_unique
from m2f2bench.datasets.files.images import digest_bytes
from m2f2bench.datasets.lists.list_files import read_list, source_of
from m2f2bench.datasets.lists.listed_paths import placed
from m2f2bench.datasets.lists.text_lists import ListsAdapter, ListsOptions


def adapter(root: Path, **options: Any) -> ListsAdapter:
    return ListsAdapter(root, ListsOptions.model_validate(options))


def labels_of(frames: Any) -> dict[str, int]:
    return {frame.id: frame.label for frame in frames}


# --- GenD's texts


def test_gend_lists_are_videos_with_their_sources(tmp_path: Path) -> None:
    one = adapter(gend(tmp_path))
    assert one.fits() and one.holds("test") and one.holds("train") and not one.holds("val")
    frames = one.frames("test")
    assert len(frames) == (2 + 4 * 2) * 3  # the repeated real is one
    videos = Counter(frame.video for frame in frames)
    assert videos["DF/000_003"] == videos["NT/000_003"] == videos["real/000"] == 3 and len(videos) == 10
    assert {frame.video: frame.label for frame in frames if frame.label == 0} == {"real/000": 0, "real/003": 0}
    assert {frame.method for frame in frames} == {"original", "DF", "F2F", "FS", "NT"}
    first = next(frame for frame in frames if frame.video == "F2F/000_003")
    assert (first.id, first.method, first.split) == ("F2F/000_003/000.png", "F2F", "test")
    assert one.read(first)[0, 0, 0] == shade_of("datasets/FF/F2F/000_003/000.png")
    assert one.digest(first, one.read(first)) == digest_bytes(encoded("datasets/FF/F2F/000_003/000.png"))
    assert one.stamp(first)
    assert one.remarks("test") == ["3 lines of the test lists repeat a picture; each is read once"]
    assert labels_of(one.frames("train")) == {"DF/500_501/000.png": 1, "real/500/000.png": 0}
    check_unique(frames)
    assert next(f.id for f in one.sample("test", lambda n: [n - 1])) == "DF/000_003/024.png"


def test_one_list_given_straight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its paths start four folders above it, as in GenD's checkout, or in the data folder."""
    monkeypatch.delenv("M2F2BENCH_DATA", raising=False)
    root = gend(tmp_path / "code")
    dataset = load_dataset(root / "config/datasets/FF/test/DF.txt")
    assert dataset.card.adapter == "lists" and dataset.name == "DF"
    frames = dataset.frames("test")
    assert len(frames) == 6 and {frame.label for frame in frames} == {1}
    assert dataset.read(frames[0]).shape == (12, 12, 3)
    assert len(load_dataset(root).frames("test")) == 30
    assert "fake pictures alone" in dataset.adapter.remarks("test")[0]
    other = tmp_path / "elsewhere" / "all.txt"
    other.parent.mkdir()
    other.write_text("datasets/FF/real/000/000.png\ndatasets/FF/real/000/gone.png\n")
    monkeypatch.setenv("M2F2BENCH_DATA", str(root))
    there, gone = load_dataset(other).frames("test")
    assert load_dataset(other).read(there).shape == (12, 12, 3)
    with pytest.raises(FrameError, match="does not exist"):  # a row, not a frame less
        load_dataset(other).read(gone)


def test_two_sets_with_the_same_videos_stay_apart(tmp_path: Path) -> None:
    names = [f"datasets/{name}/real/000/1.png" for name in ("A", "B")]
    write_pictures(tmp_path, names)
    (tmp_path / "list.txt").write_text("\n".join(names))
    assert {frame.video for frame in adapter(tmp_path).frames("test")} == {"A/real/000", "B/real/000"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Once upon a time\n", "line 1: 'Once upon a time' is not the path of a picture"),
        ("a/b/1.png\n\nlorem ipsum", "line 3: 'lorem ipsum' is not the path"),
        ("1 YouTube-real/00170.mp4", "its label first, as Celeb-DF's list of testing videos, where 1 is real"),
        ("real/a/v.mp4", "is a video; list videos in a manifest"),
        ("1.png", "neither a label nor a folder that tells it"),
        ("a/1.png 0\nb/c/2.png\n", "line 2: some lines have a label and some do not"),
        ("a/1.png 0\na/1.png 1\n", "line 2: 'a/1.png' is listed as real and as fake"),
        ("", "is empty"),
        ("real/a/1.png\n", "none of its 1 pictures exists; looked for "),
    ],
)
def test_what_is_no_list_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(text)
    line = error_of(lambda: load_dataset(path).frames("test"))
    assert said in line and str(path) in line


def test_labels_in_lines_and_their_polarity(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["x/a.png", "x/b c.png", "y/a.png"])
    path = tmp_path / "val_list.txt"
    path.write_text("x/a.png 0\nx/b c.png\t1\ny\\a.png, FAKE\n")
    frames = load_dataset(path).frames("val")
    assert labels_of(frames) == {"x/a.png": 0, "x/b c.png": 1, "y/a.png": 1}
    assert len({frame.video for frame in frames}) == 3  # each a video: a folder alone groups nothing
    other = adapter(tmp_path, lists=["val_list.txt"], real_is=1, split="test").frames("test")
    assert labels_of(other) == {"x/a.png": 1, "x/b c.png": 0, "y/a.png": 1}
    assert "has no test split: it has val lists (1)" in error_of(lambda: load_dataset(path).frames("test"))


# --- JSON


def test_forensichub_labels_pairs_and_masks(tmp_path: Path) -> None:
    root = forensichub(tmp_path)
    frames = load_dataset(root / "labels.json").frames("test")
    assert Counter(frame.label for frame in frames) == {0: 2, 1: 3}
    assert [frame.id for frame in frames] == ["Au/1.jpg", "Au/2.jpg", "Tp/6.jpg", "Tp/7.jpg", "Tp/8.jpg"]
    pairs = load_dataset(root / "pairs.json")
    assert labels_of(pairs.frames("test")) == {"Tp/6.jpg": 1, "Tp/7.jpg": 1, "Au/1.jpg": 0}
    by_id = {frame.id: frame for frame in pairs.frames("test")}
    mask = pairs.adapter.mask(by_id["Tp/6.jpg"])
    assert mask is not None and mask.dtype == np.bool_ and mask.sum() == 36 and mask[:6, :6].all()
    assert pairs.adapter.mask(by_id["Au/1.jpg"]) is None
    both = load_dataset(root / "both.json")
    assert labels_of(both.frames("test")) == {"Tp/6.jpg": 1, "Au/2.jpg": 0}


def test_leading_folders_of_another_machine_are_dropped(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["FF/real/000/1.png", "FF/fake/000/1.png"])
    rows = [{"path": f"/mnt/data3/users/me/FF/{kind}/000/{n}.png", "label": int(kind == "fake")}
            for kind in ("real", "fake") for n in (1, 2)]  # fmt: skip
    path = tmp_path / "test.json"
    path.write_text(json.dumps(rows))
    dataset = load_dataset(path)
    frames = dataset.frames("test")
    reals = [dataset.read(frame)[0, 0, 0] for frame in frames if frame.id.endswith("1.png")]
    assert sorted(reals) == sorted(shade_of(f"FF/{kind}/000/1.png") for kind in ("real", "fake"))
    for frame in frames:
        if frame.id.endswith("2.png"):
            with pytest.raises(FrameError):
                dataset.read(frame)
    grouped = adapter(tmp_path, lists=["test.json"], grouped=True).frames("test")
    assert Counter(frame.video for frame in grouped) == {
        "/mnt/data3/users/me/FF/real/000": 2,
        "/mnt/data3/users/me/FF/fake/000": 2,
    }


def test_two_folders_that_come_out_as_one_are_refused(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["real/000/1.png"])
    (tmp_path / "list.txt").write_text("datasets/A/real/000/1.png\ndatasets/B/real/000/1.png\n")
    assert "both lead to" in error_of(lambda: load_dataset(tmp_path / "list.txt").frames("test"))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([{"image": "a.png", "conversations": []}], "is a conversation: write a card with `adapter: conversations`"),
        ([{"path": "a.png"}], "entry 0 is an object with 'path'"),
        ([{"path": "a.png", "label": 2}], "label 2 is neither 0 or real nor 1 or fake"),
        ([{"path": "a.png", "label": True}], "label True is neither"),
        ([{"path": None, "label": 1}], "its path is None"),
        ([["a.png", {"x": 1}]], "its mask is a mapping"),
        (["a.png"], "entry 0 is 'a.png'"),
        ([], "is empty"),
        ([["a.png", 1], ["a.png", 0]], "listed as real and as fake"),
    ],
)
def test_a_wrong_json_is_one_line(tmp_path: Path, data: Any, said: str) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps(data))
    assert said in error_of(lambda: load_dataset(path).frames("test"))


def test_a_json_mapping_is_a_card_as_before(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"name": "mine", "adapter": "synthetic"}))
    assert load_dataset(path).card.adapter == "synthetic"
    path.write_text("{broken")
    with pytest.raises(CardError):
        load_dataset(path)
    assert "is a mapping, not a list of pictures" in error_of(
        lambda: adapter(dfb(tmp_path), lists=["FF.json"]).frames("test")
    )


def dfb(root: Path) -> Path:
    (root / "FF.json").write_text(json.dumps({"FF": {"FF-real": {"test": {}}}}))
    return root


def test_a_folder_that_has_other_files_does_not_fit(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["real/a.png", "fake/b.png"])
    (tmp_path / "readme.txt").write_text("words")
    assert not adapter(tmp_path).fits() and not ListsAdapter(None).fits()
    assert not adapter(tmp_path / "nowhere").fits()


def test_a_list_runs_from_the_command_line(cli: Any, tmp_path: Path) -> None:
    path = gend(tmp_path / "code") / "config/datasets/FF/train/all.txt"
    done = cli(
        "run", "-d", "constant", "-s", path.parent.parent / "train" / "all.txt", "-p", "frame", "--out", tmp_path
    )
    assert done.status != 0 and "has no test split: it has train lists (1)" in done.err
    done = cli("run", "-d", "constant", "-s", forensichub(tmp_path / "fh") / "labels.json", "--out", tmp_path / "runs")
    assert done.status == 0, done.err
    assert "labels" in done.out


# --- parsing, with drawn lists

WORD = st.text("abcXYZ019 _-é漢", min_size=1, max_size=6).map(str.strip).filter(bool)
PATHS = st.lists(st.tuples(WORD, WORD, WORD), min_size=1, max_size=8, unique=True)


@settings(max_examples=60)
@given(PATHS, st.sampled_from(["\n", "\r\n", "\n\n"]), st.booleans())
def test_any_list_gives_its_lines_in_order(parts: list[tuple[str, str, str]], end: str, with_set: bool) -> None:
    top = "datasets/Some/" if with_set else ""
    paths = [f"{top}{a}/{b}/{c}.png" for a, b, c in parts]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list.txt"
        path.write_bytes(end.join(paths).encode())
        found = read_list(path)
    assert found.paths == paths and not found.given and found.repeated == 0
    assert found.labels == [0 if "real" in a.lower() else 1 for a, _, _ in parts]
    assert [source_of(p) for p in found.paths] == [("Some" if with_set else "", a, b) for a, b, _ in parts]


@settings(max_examples=60)
@given(PATHS, st.data())
def test_any_labelled_json_gives_its_entries(parts: list[tuple[str, str, str]], data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.sampled_from([0, 1]), min_size=len(parts), max_size=len(parts)))
    names = ["/".join(part) + ".jpg" for part in parts]
    real_is = data.draw(st.sampled_from([0, 1]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list.json"
        path.write_text(json.dumps([{"path": n, "label": y} for n, y in zip(names, labels, strict=True)]))
        found = read_list(path, real_is)
    assert found.paths == names and found.labels == [int(y != real_is) for y in labels]


@settings(max_examples=40)
@given(st.text(max_size=60))
def test_any_text_is_a_list_or_one_line(text: str) -> None:
    from m2f2bench.core.errors import DataError

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list.txt"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            found = read_list(path)
            placed(found.paths, [Path(folder)], "list")
        except DataError as error:
            assert "\n" not in str(error)
