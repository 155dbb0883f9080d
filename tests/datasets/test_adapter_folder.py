"""Folders and manifests: what each layout means, and one clear line for what is not clear."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from pydantic import ValidationError

from m2f2bench.core.errors import DataError, FrameError
from m2f2bench.core.records import Frame
from m2f2bench.datasets.lists.folder import FolderAdapter, FolderOptions


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.new("RGB", (9, 9), (1, 2, 3)).save(path)
    return path


def tree(root: Path, *names: str) -> Path:
    for name in names:
        image(root / name)
    return root


def frames(root: Path | None, split: str = "test", **options: object) -> list[Frame]:
    return FolderAdapter(root, FolderOptions.model_validate(options)).frames(split)


def fails(root: Path | None, *words: str, split: str = "test", **options: object) -> None:
    with pytest.raises(DataError) as caught:
        frames(root, split, **options)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def manifest(root: Path, text: str, name: str = "list.csv") -> Path:
    path = root / name
    path.write_bytes(text.encode("utf-8"))
    return path


# --- folders


def test_labels_alone(tmp_path: Path) -> None:
    tree(tmp_path, "real/a.png", "fake/b.png")
    real, fake = sorted(frames(tmp_path), key=lambda f: f.label)
    assert (real.id, real.video, real.label, real.method) == ("real/a.png", "real/a.png", 0, "original")
    assert (fake.id, fake.video, fake.label, fake.method) == ("fake/b.png", "fake/b.png", 1, "fake")
    assert real.split == "test" and real.identities == ()
    assert FolderAdapter(tmp_path).read(fake)[0, 0].tolist() == [1, 2, 3]


def test_the_parent_folder_never_groups_unasked(tmp_path: Path) -> None:
    methods = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
    tree(tmp_path, *(f"fake/{m}/000_003/{i}.png" for m in methods for i in range(3)), "real/x.png")
    got = [f for f in frames(tmp_path) if f.label]
    assert len({f.video for f in got}) == 12  # each image its own; by parent folder it would be one
    assert {f.method for f in got} == set(methods)


def test_declared_folders_tell_apart_the_same_name_under_two_methods(tmp_path: Path) -> None:
    tree(tmp_path, *(f"fake/{m}/000_003/{i}.png" for m in ("Deepfakes", "FaceSwap") for i in range(3)))
    tree(tmp_path, "real/000/1.png", "real/youtube/000/1.png")
    got = frames(tmp_path, folders=["method", "video"])
    assert [f.video for f in got if f.label] == ["Deepfakes/000_003"] * 3 + ["FaceSwap/000_003"] * 3
    assert {f.video for f in got if not f.label} == {"original/000", "original/youtube/000"}
    assert {f.method for f in got if not f.label} == {"original"}


def test_identity_levels(tmp_path: Path) -> None:
    tree(tmp_path, "fake/DF/ann+bob/v1/1.png", "real/ann/v1/1.png", "real/bob/v1/1.png")
    got = frames(tmp_path, folders=["method", "identity", "video"])
    assert {f.video: f.identities for f in got} == {
        "DF/ann+bob/v1": ("ann", "bob"),
        "original/ann/v1": ("ann",),
        "original/bob/v1": ("bob",),
    }


def test_frames_come_in_time_order(tmp_path: Path) -> None:
    tree(tmp_path, *(f"fake/v/frame_{i}.png" for i in (10, 9, 1, 2, 100)), "real/w/1.png")
    got = [f.id for f in frames(tmp_path, folders=["video"]) if f.label]
    assert got == [f"fake/v/frame_{i}.png" for i in (1, 2, 9, 10, 100)]


def test_split_folders_in_any_case(tmp_path: Path) -> None:
    tree(tmp_path, "Train/Real/a.png", "Train/FAKE/b.png", "test/real/c.png")
    assert [f.id for f in frames(tmp_path, "train")] == ["Train/FAKE/b.png", "Train/Real/a.png"]
    assert [f.split for f in frames(tmp_path)] == ["test"]
    fails(tmp_path, "has no val split", "train (2), test (1)", split="val")


def test_without_splits_it_is_test(tmp_path: Path) -> None:
    tree(tmp_path, "real/a.png")
    fails(tmp_path, "has no train split", "without splits all is test", split="train")
    fails(tmp_path, "no split 'tests'", "did you mean 'test'", split="tests")


@pytest.mark.parametrize("name", ["fake/1.png", "fake/DF/1.png", "fake/DF/v/x/1.png", "real/1.png", "real/a/b/c/1.png"])
def test_files_at_another_depth_than_declared(tmp_path: Path, name: str) -> None:
    tree(tmp_path, "fake/DF/v/1.png", "real/v/1.png", name)
    fails(tmp_path, Path(name).name, "options.folders names 2 (method, video)", folders=["method", "video"])


def test_what_would_be_left_out_is_told(tmp_path: Path) -> None:
    tree(tmp_path, "real/a.png", "masks/a.png")
    fails(tmp_path, "masks", "left out")
    other = tree(tmp_path / "o", "real/a.png", "b.png")
    fails(other, "b.png", "left out")
    split = tree(tmp_path / "s", "test/real/a.png", "test/Deepfakes/a.png")
    fails(split, "Deepfakes", "left out")
    film = tree(tmp_path / "f", "real/a.png")
    (film / "real/clip.txt").touch()
    fails(film, "clip.txt", "neither an image nor a video")
    beside = tree(tmp_path / "v", "real/a.png")
    (beside / "clip.mp4").touch()
    fails(beside, "clip.mp4", "left out")


def test_hidden_and_text_files_beside_the_labels(tmp_path: Path) -> None:
    tree(tmp_path, "real/a.png", "real/.thumbs/a.png", "real/._a.png")
    for name in ("README.md", ".DS_Store", "real/Thumbs.db", "real/.DS_Store"):
        (tmp_path / name).touch()
    assert [f.id for f in frames(tmp_path)] == ["real/a.png"]


def test_layouts_that_are_not_clear(tmp_path: Path) -> None:
    fails(None, "needs a root")
    fails(tmp_path / "gone", "gone' does not exist")
    fails(tmp_path, "neither real and fake nor train, val, test", "but nothing")
    image(tmp_path / "img_1.png")
    fails(tmp_path, "but img_1.png", "manifest")
    both = tree(tmp_path / "b", "real/a.png", "test/real/a.png")
    fails(both, "has both split folders (test) and real")
    bare = tree(tmp_path / "c", "test/img.png")
    fails(bare, "neither a folder real nor a folder fake")
    twice = tree(tmp_path / "d", "real/a.png", "Real/a.png")
    fails(twice, "both mean real")
    (tmp_path / "e/real").mkdir(parents=True)
    fails(tmp_path / "e", "no images at all")
    (tmp_path / "x.txt").touch()
    fails(tmp_path / "x.txt", "neither a folder nor a manifest", ".jsonl")


def test_links(tmp_path: Path) -> None:
    store = tree(tmp_path / "store", "a.png")
    root = tree(tmp_path / "root", "real/b.png")
    (root / "fake").symlink_to(store)
    assert [f.id for f in frames(root)] == ["fake/a.png", "real/b.png"]
    (root / "real/loop").symlink_to(root / "real")
    fails(root, "loop", "link")


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    tree(tmp_path, "real/a.png")
    path = manifest(tmp_path, "path,label\nreal/a.png,0\n")
    fails(tmp_path, "options.columns needs a manifest", columns={"path": "p"})
    fails(path, "options.folders is not for a manifest", folders=["video"])
    fails(path, "give one of the two", manifest="list.csv")
    for wrong in ({"folders": ["video", "video"]}, {"folders": ["actor"]}, {"columns": {"file": "p"}}, {"x": 1}):
        with pytest.raises(ValidationError):
            FolderOptions.model_validate(wrong)


# --- manifests

SPELLINGS = [("0", 0), ("1", 1), ("real", 0), ("FAKE", 1), (" Real ", 0), ("1.0", 1), ("0.00", 0), ("1.", 1)]


@pytest.mark.parametrize(("text", "label"), SPELLINGS)
def test_label_spellings(tmp_path: Path, text: str, label: int) -> None:
    assert [f.label for f in frames(manifest(tmp_path, f"path,label\na.png,{text}\n"))] == [label]


@pytest.mark.parametrize("text", ["", "2", "0.5", "-1", "unreal", "true", "nan", "10", "fake!", "1,0", "١"])
def test_labels_that_are_neither(tmp_path: Path, text: str) -> None:
    fails(manifest(tmp_path, f'path,label\nb.png,0\na.png,"{text}"\n'), "list.csv' line 3", f"label '{text}'")


def test_all_columns(tmp_path: Path) -> None:
    text = (
        "path,label,video,method,split,identity\n"
        "a/1.png,1,000_003,Deepfakes,train,000+003\n"
        "b/1.png,1,000_003,FaceSwap,train,000 + 003\n"
        "a/2.png,1,000_003,Deepfakes,Train,000+003\n"
        "r/1.png,0,000,,train,000\n"
        "r/2.png,0,000,youtube,train,\n"
        "t/1.png,0,,,test,\n"
    )
    got = frames(manifest(tmp_path, text), "train")
    assert [(f.id, f.video, f.method, f.identities) for f in got] == [
        ("a/1.png", "Deepfakes/000_003", "Deepfakes", ("000", "003")),
        ("a/2.png", "Deepfakes/000_003", "Deepfakes", ("000", "003")),
        ("b/1.png", "FaceSwap/000_003", "FaceSwap", ("000", "003")),
        ("r/1.png", "original/000", "original", ("000",)),
        ("r/2.png", "original/youtube/000", "original", ()),
    ]
    assert [f.video for f in frames(tmp_path, manifest="list.csv")] == ["t/1.png"]


def test_a_video_that_already_names_its_method(tmp_path: Path) -> None:
    path = manifest(tmp_path, "path,label,video,method\na.png,1,DF/7,DF\nb.png,1,7,DF\n")
    assert [f.video for f in frames(path)] == ["DF/7", "DF/7"]


def test_columns_of_another_name_in_any_order(tmp_path: Path) -> None:
    path = manifest(tmp_path, "Is_Fake,note,File\n1,x,a.png\n")
    got = frames(path, columns={"path": "file", "label": "is_fake"})
    assert [(f.id, f.label) for f in got] == [("a.png", 1)]
    fails(path, "no column 'path' for path", "is_fake, note, file", "options.columns")
    fails(path, "no column 'clip' for video", columns={"path": "file", "label": "is_fake", "video": "clip"})


def test_byte_order_mark_line_ends_quotes_blank_rows_and_delimiters(tmp_path: Path) -> None:
    text = '\ufeff"path", label \r\n"a, ""b"".png",0\r\n\r\n,\r\n c.png ,1\r\n'
    got = frames(manifest(tmp_path, text))
    assert [(f.id, f.label) for f in got] == [('a, "b".png', 0), ("c.png", 1)]
    assert [f.id for f in frames(manifest(tmp_path, "path;label\na.png;0\n"))] == ["a.png"]
    assert [f.id for f in frames(manifest(tmp_path, "path\tlabel\na.png\t0\n", "list.tsv"))] == ["a.png"]
    assert [f.id for f in frames(manifest(tmp_path, "path,label\ra.png,0\r"))] == ["a.png"]


def test_paths_are_taken_as_given(tmp_path: Path) -> None:
    here = image(tmp_path / "data/a.png")
    image(tmp_path / "b.png")
    lists = tmp_path / "data/lists"
    lists.mkdir()
    text = f"path,label\n{here},0\n../../b.png,1\n~/c.png,1\n$HOME/d.png,1\n"
    got = {f.id: f for f in frames(manifest(lists, text))}
    assert set(got) == {str(here), "../../b.png", "~/c.png", "$HOME/d.png"}
    adapter = FolderAdapter(lists / "list.csv")
    assert adapter.read(got[str(here)]).shape == adapter.read(got["../../b.png"]).shape == (9, 9, 3)
    for name in ("~/c.png", "$HOME/d.png"):
        with pytest.raises(FrameError, match="does not exist"):
            adapter.read(got[name])
    # with the manifest as an option the paths start from the root
    from_root = {f.id: f for f in frames(tmp_path, manifest="data/lists/list.csv")}
    assert Path(from_root["../../b.png"].locator.path) == tmp_path / "../../b.png"


def test_a_listed_file_that_is_not_there_stays(tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    adapter = FolderAdapter(manifest(tmp_path, "path,label\na.png,0\ngone.png,1\n"))
    there, gone = adapter.frames("test")
    assert adapter.read(there).shape == (9, 9, 3)
    with pytest.raises(FrameError, match=r"gone\.png") as caught:
        adapter.read(gone)
    assert caught.value.status == "unreadable"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["is empty"]),
        ("path,label\n", ["is empty"]),
        ("\n\n", ["is empty"]),
        ("a.png,0\nb.png,1\n", ["line 2", "no column 'path'", "columns: a.png, 0"]),
        ("path,verdict\na,0\n", ["line 2", "no column 'label'"]),
        ("path,label,path\na,0,b\n", ["line 1", "column 'path' appears twice"]),
        ("path,label\na.png\n", ["line 2", "1 cells under 2 columns"]),
        ("path,label\na,b.png,0\n", ["line 2", "3 cells under 2 columns", "quote"]),
        ("path,label\n,0\n", ["line 2", "path is empty"]),
        ("path,label\na.png,0\nb.png,1\na.png,0\n", ["line 4", "'a.png' is already listed in line 2"]),
        ("path,label\na.png,0\n./x/../a.png,0\n", ["line 3", "already listed in line 2"]),
        ("path,label,split\na.png,0,dev\n", ["line 2", "split 'dev'", "train, val, test"]),
        ("path,label,split\na.png,0,\n", ["line 2", "split ''"]),
        ("path,label,method\na.png,1,original\n", ["line 2", "method 'original'"]),
        ('path,label\n"a.png,0\n', ["is not CSV"]),
        ('path,label\n"a"x,0\n', ["line 2", "is not CSV"]),
    ],
)
def test_bad_manifests(tmp_path: Path, text: str, words: list[str]) -> None:
    fails(manifest(tmp_path, text), "list.csv", *words)


def test_json_lines(tmp_path: Path) -> None:
    rows = [
        {"path": "a.png", "label": 1, "method": "DF", "video": 7, "identity": ["x", "y"], "extra": {"k": 1}},
        {"path": "b.png", "label": "real", "video": None},
        {"path": "c.png", "label": 0.0, "identity": 12},
    ]
    text = "\ufeff" + "\r\n\r\n".join(json.dumps(row) for row in rows)
    got = frames(manifest(tmp_path, text, "list.jsonl"))
    assert [(f.id, f.video, f.label, f.identities) for f in got] == [
        ("a.png", "DF/7", 1, ("x", "y")),
        ("b.png", "b.png", 0, ()),
        ("c.png", "c.png", 0, ("12",)),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ["line 1", "is not JSON"]),
        ('\n["a.png", 0]', ["line 2", "is not a JSON object"]),
        ('{"path": "a.png", "label": true}', ["line 1", "label must be a text or a number, not true"]),
        ('{"path": ["a.png"], "label": 1}', ["line 1", "path must be a text"]),
        ('{"path": "a.png"}', ["line 1", "no column 'label'"]),
        ('{"path": "a.png", "label": null}', ["line 1", "label ''"]),
        (
            '{"path": "a", "label": 1, "split": "train"}\n{"path": "b", "label": 1}',
            ["line 2", "some rows have a split and some do not"],
        ),
    ],
)
def test_bad_json_lines(tmp_path: Path, text: str, words: list[str]) -> None:
    fails(manifest(tmp_path, text, "list.jsonl"), "list.jsonl", *words)


def test_manifests_that_cannot_be_read(tmp_path: Path) -> None:
    fails(tmp_path, "list.csv'; check its name", manifest="list.csv")
    (tmp_path / "list.csv").mkdir()
    fails(tmp_path, "list.csv", "is a folder", manifest="list.csv")
    (tmp_path / "wide.csv").write_bytes("path,label\n".encode("utf-16"))
    fails(tmp_path / "wide.csv", "not UTF-8")
    if os.geteuid():
        path = manifest(tmp_path, "path,label\n", "locked.csv")
        path.chmod(0)
        fails(path, "cannot be read")


CELL = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=12).map(str.strip)
ROW = st.fixed_dictionaries(
    {
        "path": CELL.filter(lambda s: s and not s.startswith(("/", ".")) and "/" not in s),
        "label": st.sampled_from(SPELLINGS),
        "video": CELL,
        "method": CELL.filter(lambda s: s != "original"),
        "split": st.sampled_from(["train", "val", "test"]),
        "identity": st.lists(CELL.filter(lambda s: s and "+" not in s and s[0] != ":"), max_size=3, unique=True),
    }
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(
    st.lists(ROW, min_size=1, max_size=6, unique_by=lambda r: os.path.normpath(r["path"])),
    st.sampled_from(["csv", "semicolon", "jsonl"]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_round_trip(tmp_path: Path, rows: list[dict], form: str, end: str, mark: bool) -> None:
    cells = [{**r, "label": r["label"][0], "identity": "+".join(r["identity"])} for r in rows]
    out = io.StringIO(newline="")
    if form == "jsonl":
        out.write(end.join(json.dumps(row, ensure_ascii=False) for row in cells))
    else:
        writer = csv.DictWriter(out, cells[0], delimiter="," if form == "csv" else ";", lineterminator=end)
        writer.writeheader()
        writer.writerows(cells)
    path = manifest(tmp_path, ("\ufeff" if mark else "") + out.getvalue(), "l.jsonl" if form == "jsonl" else "l.csv")
    got: dict[str, Frame] = {}
    for split in {r["split"] for r in rows}:
        got |= {f.id: f for f in frames(path, split)}
    assert len(got) == len(rows)
    for row in rows:
        frame = got[row["path"]]
        assert frame.label == row["label"][1] and frame.split == row["split"]
        assert frame.identities == tuple(row["identity"])
        assert frame.method == ("original" if not frame.label else row["method"] or "fake")
        assert frame.video.endswith(row["video"] or row["path"])
