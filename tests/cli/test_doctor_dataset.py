"""The command `doctor DATASET`: whole roots, and what is said of others in one line each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from toy_layout import NAMES, write_cards, write_root

from m2f2bench.auditing import holdings

Words = Callable[..., SimpleNamespace]


@pytest.fixture
def toy(cli, tmp_path: Path) -> Words:
    """Call `doctor NAME` with the toy cards; the lines that fail, all lines, status, and the last line of errors."""
    cards = write_cards(tmp_path / "cards")

    def call(name: str, data: Path, *words: object) -> SimpleNamespace:
        outcome = cli("doctor", name, "--data", data, "--cards", cards, *words)
        lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
        failed = [line.removeprefix("FAIL ") for line in lines if line.startswith("FAIL")]
        return SimpleNamespace(lines=lines, failed=failed, status=outcome.status, err=outcome.err, out=outcome.out)

    return call


@pytest.mark.parametrize("given", [".", "toy"])
def test_a_whole_root_in_the_data_folder_or_given_itself(given: str, toy: Words, tmp_path: Path) -> None:
    root = write_root(tmp_path / "data" / "toy")
    seen = toy("toy-c23", tmp_path / "data" / given)
    assert seen.status == 0 and seen.failed == [] and seen.err == ""
    assert seen.lines == [
        f"ok root {root}, laid out as toy-c23",
        "ok train 4 videos: original 2, swap 2",
        "– train 1 line with the label Unknown is left out",
        "ok test 7 videos: original 3, swap 4",
    ]


def test_a_missing_split_file(toy: Words, tmp_path: Path) -> None:
    root = write_root(tmp_path / "toy")
    (root / "lists" / "test.txt").unlink()
    seen = toy("toy-c23", tmp_path)
    assert seen.failed == [f"test there is no split list '{root / 'lists' / 'test.txt'}'; fetch it"]
    assert seen.status == 1 and "– obtain ask its authors" in seen.lines
    assert seen.err.splitlines() == [
        f"m2f2bench: dataset 'toy-c23' is not whole: test: there is no split list "
        f"'{root / 'lists' / 'test.txt'}'; fetch it"
    ]


def test_what_is_said_of_several_splits_is_one_line(toy: Words, tmp_path: Path) -> None:
    root = write_root(tmp_path / "toy")
    card = tmp_path / "cards" / "datasets" / "toy-c23.yaml"
    card.write_text(card.read_text().replace("options: {top: c23}", "options: {top: c23, lists: lost}"))
    assert toy("toy-c23", tmp_path).failed == [f"train, test there is no folder '{root / 'lost'}'; fetch it"]


def test_half_of_the_videos(toy: Words, tmp_path: Path) -> None:
    root = write_root(tmp_path / "toy")
    for name in ("original/1", "original/2", "swap/1", "swap/3"):
        (root / "c23" / f"{name}.mp4").unlink()
    seen = toy("toy-c23", tmp_path)
    assert seen.status == 1 and seen.failed == [
        "test 4 of 7 videos missing (original 2 of 3, swap 2 of 4): original/1, original/2, swap/1 and 1 more"
    ]
    assert "ok test 3 videos: original 1, swap 2" in seen.lines
    assert toy("toy-c23", tmp_path, "--split", "train").status == 0


def test_counts_that_differ_from_the_card(toy: Words, tmp_path: Path) -> None:
    root = write_root(tmp_path / "toy")
    kept = [name for name in NAMES["test"] if name not in ("swap/1", "swap/2")]
    (root / "lists" / "test.txt").write_text("\n".join([*kept, "morph/1"]))
    (root / "c23" / "morph").mkdir()
    (root / "c23" / "swap" / "1.mp4").rename(root / "c23" / "morph" / "1.mp4")
    seen = toy("toy-c23", tmp_path)
    assert seen.failed == ["test 2 swap videos, the card says 4"]
    assert "– test the card does not count morph" in seen.lines
    assert "– not checked on a copy, so the card may be wrong: the counts of test" in seen.lines


def test_empty_files_and_videos_that_are_listed_twice(toy: Words, tmp_path: Path) -> None:
    root = write_root(tmp_path / "toy")
    (root / "c23" / "swap" / "2.mp4").write_bytes(b"")
    (root / "lists" / "train.txt").write_text("\n".join([*NAMES["train"], "swap/t1"]))
    assert toy("toy-c23", tmp_path).failed == [
        "train 1 video listed twice: swap/t1",
        "train 3 swap videos, the card says 2",
        f"test 1 file with 0 bytes: {root / 'c23' / 'swap' / '2.mp4'}",
    ]


def test_files_that_no_split_names_are_noted(toy: Words, tmp_path: Path) -> None:
    root = write_root(tmp_path / "toy")
    (root / "c23" / "swap" / "9.mp4").write_bytes(b"x")
    (root / "c23" / "swap" / "notes.txt").write_text("x")
    seen = toy("toy-c23", tmp_path)
    assert seen.status == 0
    assert f"– not listed 1 file that no split names: {root / 'c23' / 'swap' / '9.mp4'}" in seen.lines


def test_the_root_of_another_dataset(toy: Words, tmp_path: Path) -> None:
    root = write_root(tmp_path / "toy", ("films",))
    seen = toy("toy-c23", root)
    advice = f"'{root}' looks like other, not like toy-c23: m2f2bench doctor other --data {root}"
    assert seen.status == 1 and seen.failed == [f"root {advice}"]
    assert toy("toy-c23", tmp_path).failed == [f"root {advice}"]
    assert toy("other", root).status == 0


def test_a_root_that_is_not_there_or_has_another_name(toy: Words, tmp_path: Path) -> None:
    holds = f"and '{tmp_path}' is not laid out as toy-c23: it holds cards"
    assert toy("toy-c23", tmp_path).failed == [f"root there is no folder '{tmp_path / 'toy'}', {holds}"]
    root = write_root(tmp_path / "download")
    hint = f"but '{root}' has its layout: give --data {root}, or rename it to toy"
    assert toy("toy-c23", tmp_path).failed == [f"root there is no folder '{tmp_path / 'toy'}', {hint}"]


def test_all_videos_missing(toy: Words, tmp_path: Path) -> None:
    root = write_root(tmp_path / "toy")
    for path in (root / "c23").rglob("*.mp4"):
        path.unlink()
    assert toy("toy-c23", tmp_path).failed == [
        "train 4 of 4 videos missing (original 2 of 2, swap 2 of 2): original/t0, original/t1, swap/t0 and 1 more",
        "test 7 of 7 videos missing (original 3 of 3, swap 4 of 4): original/0, original/1, original/2 and 4 more",
    ]


def test_a_split_that_a_folder_need_not_have(cli, squares: Path, tmp_path: Path) -> None:
    seen = cli("doctor", squares)
    assert seen.status == 0 and "–     val " in seen.out and "48 videos: " in seen.out
    (tmp_path / "empty" / "real").mkdir(parents=True)
    seen = cli("doctor", tmp_path / "empty")
    assert seen.status == 1 and seen.err.endswith("splits: none of them has any videos\n")


def test_json_has_the_counts(toy: Words, tmp_path: Path) -> None:
    root = write_root(tmp_path / "toy")
    (root / "c23" / "swap" / "3.mp4").unlink()
    seen = toy("toy-c23", tmp_path, "--json")
    found = json.loads(seen.out)
    assert seen.status == 1 and found["whole"] is False and found["root"] == str(root)
    assert found["splits"]["test"]["swap"] == {"videos": 4, "frames": None, "missing": 1}
    assert [one["what"] for one in found["findings"] if one["ok"] is False] == ["test"]


def test_no_video_is_opened(toy: Words, tmp_path: Path) -> None:
    root = write_root(tmp_path / "toy")
    for path in (root / "c23").rglob("*.mp4"):
        path.write_bytes(b"not a video")
    assert toy("toy-c23", tmp_path).status == 0


def test_a_folder_is_scanned_once_and_large_ones_are_not_measured(
    toy: Words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "pictures"
    for method in ("real", "fake"):
        for video in range(3):
            (root / method / f"v{video}").mkdir(parents=True)
            for frame in range(5):
                (root / method / f"v{video}" / f"{frame}.png").write_bytes(b"" if frame == 3 else b"x")
    table = [f"{m}/v{v}/{f}.png,{m},v{v}" for m in ("real", "fake") for v in range(3) for f in range(6)]
    (tmp_path / "cards" / "datasets" / "table.yaml").write_text(
        "name: table\nadapter: folder\nroot: pictures\nsplits: [test]\noptions: {manifest: table.csv}\n"
    )
    (root / "table.csv").write_text("\n".join(["path,label,video", *table]))
    seen: list[str] = []
    scan = holdings.Folders.names
    monkeypatch.setattr(holdings.Folders, "names", lambda self, folder: seen.append(folder) or scan(self, folder))
    full = toy("table", tmp_path).failed
    assert len(set(seen)) == 6 and any(line.startswith("test 6 files with 0 bytes") for line in full)
    assert any(line.startswith("test 6 frames without a file, of videos that are there") for line in full)
    monkeypatch.setattr(holdings, "MEASURED", 0)
    assert not any("0 bytes" in line for line in toy("table", tmp_path).failed)


def test_hdf5_files_that_lack_videos(cli, tmp_path: Path) -> None:
    root = tmp_path / "ffpp"
    (root / "FFPP_split").mkdir(parents=True)
    for split, pair in {"train": ["000", "001"], "val": ["002", "003"], "test": ["004", "005"]}.items():
        (root / "FFPP_split" / f"{split}.json").write_text(json.dumps([pair]))
    fakes = ["000_001", "001_000", "002_003", "003_002", "004_005", "005_004"]
    for method in ("original", "Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"):
        with h5py.File(root / f"FF++_{method}_c23.h5", "w") as file:
            for key in [f"{i:03d}" for i in range(6)] if method == "original" else fakes:
                if (method, key) != ("FaceSwap", "005_004"):
                    file[key] = np.zeros((3, 8, 8, 3), np.uint8)
    outcome = cli("doctor", "ffpp-c23", "--data", root, "--json")
    found = json.loads(outcome.out)
    wrong = [one["detail"] for one in found["findings"] if one["ok"] is False]
    assert outcome.status == 1
    assert [line for line in wrong if "missing" in line] == [
        "1 of 10 videos missing (FaceSwap 1 of 2): FaceSwap/005_004"
    ]
    assert len(wrong) == 3 and wrong[1].startswith("2 original videos, the card says 140; 2 Deepfakes videos")
    assert found["splits"]["train"]["Deepfakes"] == {"videos": 2, "frames": 6, "missing": 0}


def test_the_released_images(cli, real_data: Path) -> None:
    found = json.loads(cli("doctor", "ddvqa-c40", "--json").out)
    assert found["whole"] and found["splits"]["test"]["original"] == {"videos": 72, "frames": 72, "missing": 0}
    assert sum(one["videos"] for one in found["splits"]["train"].values()) == 1339


def test_drawn_faces_need_no_files(cli) -> None:
    outcome = cli("doctor", "synthetic-unseen", "--split", "test")
    assert outcome.status == 0 and "drawn by code" in outcome.out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["nothing-like-it"], "unknown dataset 'nothing-like-it'"),
        (["synthetic", "--split", "tost"], "dataset 'synthetic' has no split 'tost'"),
        (["--split", "test"], "--split is of a dataset"),
    ],
)
def test_wrong_use(words: list[str], why: str, cli, one_line) -> None:
    assert why in one_line(cli("doctor", *words))
