"""`audit` finds every fault that is planted in a clean folder, and nothing in the clean folder itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from audit_folder import METHODS, build, picture, save
from PIL import Image

from m2f2bench.auditing.audit import audit
from m2f2bench.auditing.report import Audit
from m2f2bench.core.errors import DataError, M2F2BenchError


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "cache"))


def told(report: Audit, severity: str, topic: str) -> list[str]:
    return [f.text for f in report.findings if (f.severity, f.topic) == (severity, topic)]


def look(place: str, **options: Any) -> Audit:
    return audit(place, resamples=200, **options)


def test_a_clean_folder_has_no_leak_and_no_warning(tmp_path: Path) -> None:
    report = look(build(tmp_path / "data").finish())
    assert [f for f in report.findings if f.severity != "note"] == []
    assert {name: split["frames"] for name, split in report.splits.items()} == {"train": 72, "test": 36}
    cells = report.details["shortcuts"]["auc"]["all fakes"]
    assert {name: cells[name]["state"] for name in ("type", "dimensions", "quantisation")} == dict.fromkeys(
        ("type", "dimensions", "quantisation"), "constant"
    )
    assert cells["type"]["auc"] == 0.5 and cells["size"]["state"] == "fitted"
    assert report.details["shortcuts"]["groups"] == 36 and report.details["shortcuts"]["held_out"] == "people"
    assert report.details["duplicates"]["exact"]["pairs"] == 0


def _png_fakes(planted: Any, person: int, number: int, path: Path) -> None:
    if number:
        picture(person, number).save(path, "PNG")


def _larger_fakes(planted: Any, person: int, number: int, path: Path) -> None:
    if number:
        save(picture(person, number, side=72), path)


def _one_method_at_another_quality(planted: Any, person: int, number: int, path: Path) -> None:
    if METHODS[number] == "Puppet":
        picture(person, number).save(path, "JPEG", quality=75)


def _progressive_fakes(planted: Any, person: int, number: int, path: Path) -> None:
    if number:
        picture(person, number).save(path, "JPEG", quality=90, progressive=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "cue", "methods"),
    [
        (_png_fakes, "the file type", {"all fakes", "Swap", "Puppet"}),
        (_larger_fakes, "the width and height", {"all fakes", "Swap", "Puppet"}),
        (_one_method_at_another_quality, "the JPEG settings", {"Puppet"}),
        (_progressive_fakes, "the JPEG settings", {"all fakes", "Swap", "Puppet"}),
    ],
)
def test_what_saving_gives_away(tmp_path: Path, change: Callable[..., None], cue: str, methods: set[str]) -> None:
    report = look(build(tmp_path / "data", change).finish())
    (line,) = [text for text in told(report, "leak", "shortcut") if f"by {cue} alone" in text]
    assert "1.000 [" in line and all(method in line for method in methods)
    assert "Swap" in methods or "Swap" not in line


def test_sharper_fakes_are_an_extreme_high_pass_cue(tmp_path: Path) -> None:
    def sharpen(planted: Any, person: int, number: int, path: Path) -> None:
        noise = np.random.default_rng([9, person, number]).normal(0, 25, (64, 64, 3))
        pixels = np.asarray(picture(person, number), dtype=np.float64) + noise * (number > 0)
        save(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)), path)

    report = look(build(tmp_path / "data", sharpen).finish())
    leaks = told(report, "leak", "shortcut")
    assert any("by the high-pass energy alone" in line for line in leaks)


def test_a_copy_in_another_split(tmp_path: Path) -> None:
    planted = build(tmp_path / "data")
    path = planted.add("test/copy.img", "real", "original", "test", "stranger")
    shutil.copy(planted.root / "train/original/03.img", path)
    report = look(planted.finish())
    line = told(report, "leak", "duplicates")[0]
    assert line == "1 pair of frames with equal pixels across splits, first train/original/03.img = test/copy.img"
    (kind,) = report.details["duplicates"]["exact"]["kinds"]
    assert (kind["across_splits"], kind["labels_differ"], kind["people"]) == (True, False, "no one in common")
    assert report.details["duplicates"]["exact"]["pairs_of_equal_files"] == 1
    assert report.details["duplicates"]["exact"]["first_groups"] == [["train/original/03.img", "test/copy.img"]]


def test_a_reencoded_copy_in_another_split(tmp_path: Path) -> None:
    planted = build(tmp_path / "data")
    path = planted.add("test/again.img", "real", "original", "test", "stranger")
    Image.open(planted.root / "train/original/05.img").resize((56, 56)).save(path, "JPEG", quality=60)
    report = look(planted.finish())
    assert any("train/original/05.img ~ test/again.img" in line for line in told(report, "leak", "duplicates"))
    assert report.details["duplicates"]["exact"]["pairs"] == 0


def test_one_picture_under_both_labels_and_twice_in_a_split(tmp_path: Path) -> None:
    planted = build(tmp_path / "data")
    for name, label, method in (("train/x.img", "fake", "Swap"), ("train/y.img", "real", "original")):
        path = planted.add(name, label, method, "train", "p7")
        Image.open(planted.root / "train/original/07.img").save(path, "PNG")
    lines = told(look(planted.finish()), "warning", "duplicates")
    assert lines[0].startswith("2 pairs of equal pixels labelled both real and fake, first train/original/07.img = ")
    assert lines[1] == "1 pair of equal pixels in different videos, first train/original/07.img = train/y.img"


def test_people_and_videos_in_two_splits_are_named(tmp_path: Path) -> None:
    planted = build(tmp_path / "data")
    for row in planted.find(identity="p30", method="Swap"):
        row["identity"] = "p30+p2"
    for row in planted.find(identity="p31", method="Puppet"):
        row["video"] = "01"
    report = look(planted.finish())
    assert told(report, "leak", "identities") == ["1 identity in more than one split: p2 (train, test)"]
    assert told(report, "leak", "videos") == ["1 video in more than one split: Puppet/01 (train, test)"]
    assert report.details["across_splits"] == {
        "identities": {"p2": {"train": 3, "test": 1}},
        "videos": {"Puppet/01": {"train": 1, "test": 1}},
    }


def test_files_that_cannot_be_read_are_all_told(tmp_path: Path) -> None:
    planted = build(tmp_path / "data")
    cut = planted.root / "train/Swap/04.img"
    cut.write_bytes(cut.read_bytes()[:-200])
    (planted.root / "test/original/30.img").unlink()
    report = look(planted.finish())
    assert {row["id"]: row["status"] for row in report.details["unreadable"]} == {
        "train/Swap/04.img": "unreadable",
        "test/original/30.img": "unreadable",
    }
    (line,) = told(report, "warning", "unreadable")
    assert line.startswith("2 frames of 108 cannot be read (") and "cut short" in line
    assert report.splits["train"] | {"hash": ""} == {"frames": 72, "listed": 72, "readable": 71, "hash": ""}


def test_a_split_that_is_not_there_is_told_and_a_named_one_is_an_error(tmp_path: Path) -> None:
    place = build(tmp_path / "data").finish()
    report = look(place)
    (line,) = told(report, "note", "splits")
    assert line.startswith("split val was not audited: ") and "has no val split" in line
    with pytest.raises(DataError, match="has no val split"):
        audit(place, splits=["train", "val"])
    with pytest.raises(M2F2BenchError, match="no dataset card"):
        audit(str(tmp_path / "data" / "nothing.csv"))


def test_a_limit_reads_less_but_lists_all(tmp_path: Path) -> None:
    planted = build(tmp_path / "data")
    planted.find(identity="p30")[0]["identity"] = "p2"
    report = look(planted.finish(), limit=10)
    assert {name: (s["frames"], s["listed"]) for name, s in report.splits.items()} == {
        "train": (10, 72),
        "test": (10, 36),
    }
    assert told(report, "leak", "identities") == ["1 identity in more than one split: p2 (train, test)"]


@pytest.mark.slow
def test_the_second_audit_reads_nothing_and_says_the_same(tmp_path: Path) -> None:
    planted = build(tmp_path / "data")
    place = planted.finish()
    first = look(place).to_json()
    (memo,) = (tmp_path / "cache" / "audit").iterdir()
    lines = memo.read_bytes().splitlines()
    assert len(lines) == 2 * 108
    assert look(place).to_json() == first and memo.read_bytes().splitlines() == lines
    memo.write_bytes(b"\n".join(lines[:50]) + b"\n" + lines[50][:40])  # as a kill leaves it
    assert look(place).to_json() == first and len(memo.read_bytes().splitlines()) >= len(lines)
    changed = planted.root / "train/Swap/00.img"
    save(picture(99, 1), changed)
    again = look(place).to_json()
    assert again["splits"]["train"]["hash"] != first["splits"]["train"]["hash"]
    assert again["splits"]["test"]["hash"] == first["splits"]["test"]["hash"]


def test_a_memo_that_somebody_edited_is_read_over(tmp_path: Path) -> None:
    place = build(tmp_path / "data").finish()
    first = look(place, probe=False).to_json()
    (memo,) = (tmp_path / "cache" / "audit").iterdir()
    rows = [json.loads(line) for line in memo.read_bytes().splitlines()]
    memo.write_text("\n".join(json.dumps([key, stamp, ["odd"]]) for key, stamp, _ in rows) + "\n")
    assert look(place, probe=False).to_json() == first


def test_frames_in_containers_have_pixel_cues_only(tmp_path: Path) -> None:
    from m2f2bench.datasets.layouts.ffpp import FFPPAdapter, FFPPOptions

    root = tmp_path / "ffpp"
    (root / "FFPP_split").mkdir(parents=True)
    pairs = [[f"{2 * i:03d}", f"{2 * i + 1:03d}"] for i in range(4)]
    (root / "FFPP_split" / "test.json").write_text(json.dumps(pairs))
    for method in ("original", "FaceSwap"):
        with h5py.File(root / f"FF++_{method}_c23.h5", "w") as file:
            for number, (a, b) in enumerate(pairs):
                for turn, key in enumerate((a, b) if method == "original" else (f"{a}_{b}", f"{b}_{a}")):
                    clip = [np.asarray(picture(2 * number + turn, int(method != "original"))) for _ in range(30)]
                    file[key] = np.stack(clip)
    report = look_at(FFPPAdapter(root, FFPPOptions(methods=("original", "FaceSwap"))))
    assert report.splits["test"]["frames"] == 16 * 8
    cells = report.details["shortcuts"]["auc"]["all fakes"]
    assert {name: cells[name]["state"] for name in ("type", "size", "quantisation")} == dict.fromkeys(
        ("type", "size", "quantisation"), "absent"
    )
    assert cells["dimensions"]["state"] == "constant" and cells["high-pass"]["state"] == "fitted"
    assert report.details["duplicates"]["exact"]["repeats_in_a_video"] == 16 * 7
    assert report.details["duplicates"]["exact"]["pairs"] == 0


def look_at(adapter: Any) -> Audit:
    return audit(adapter, resamples=200, splits="test")


@pytest.mark.slow
def test_synthetic_has_no_leak(tmp_path: Path) -> None:
    from m2f2bench.datasets.synthetic.adapter import SyntheticAdapter
    from m2f2bench.datasets.synthetic.draw import SyntheticOptions

    sizes: dict[str, int] = {"train": 4, "val": 2, "test": 4, "size": 64, "videos_per_identity": 1}
    options = SyntheticOptions(**sizes, methods=("swap", "relight"), cache=str(tmp_path / "s"), workers=1)
    report = audit(SyntheticAdapter(options=options), resamples=200, kinds=("blind", "judge"))
    assert report.leaks == [] and report.details["across_splits"] == {"identities": {}, "videos": {}}
    assert report.details["shortcuts"]["auc"]["all fakes"]["type"]["state"] == "absent"


def test_the_hash_is_that_of_a_run(tmp_path: Path) -> None:
    import m2f2bench

    place = build(tmp_path / "data").finish()
    (result,) = m2f2bench.run(detectors="constant", datasets=place, out=tmp_path / "runs")
    assert look(place, probe=False).splits["test"]["hash"] == result.measured["hash"]


@pytest.mark.slow
def test_real_crops(real_data: Path) -> None:
    report = audit("ddvqa-c40", probe=False)
    (leak,) = report.leaks
    assert leak.topic == "questions" and leak.text.startswith("1,070 of 1,070 released questions of test state a label")
    assert audit("ddvqa-c40", probe=False, kinds=("blind", "judge")).leaks == []
    assert told(report, "warning", "duplicates") == [
        "1 pair of equal pixels labelled both real and fake, first train:0_281_474 = train:5_281"
    ]
