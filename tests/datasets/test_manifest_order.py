"""Manifests: any order of the lines gives the same frames in the same order, and as many as there are records."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paths import SHARED
from PIL import Image as Pillow

import m2f2bench
from m2f2bench.cards.models import ProtocolCard
from m2f2bench.cards.protocols import FrameSelection
from m2f2bench.core.errors import DataError
from m2f2bench.core.records import Frame
from m2f2bench.datasets.dataset import plan_frames
from m2f2bench.datasets.files.folders import natural
from m2f2bench.datasets.lists.folder import FolderAdapter, FolderOptions

CASES = SHARED / "cases" / "10"
FIRST8 = ProtocolCard.model_validate(
    {"name": "first8", "level": "video", "frames": {"which": "first", "count": 8}, "metrics": ["auc", "brier"]}
)
UNIFORM = ProtocolCard.model_validate(
    {"name": "uniform32", "level": "video", "frames": {"which": "uniform", "count": 32}, "metrics": ["auc", "brier"]}
)
ANY_FILES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


class Bright:
    """A detector that tells a frame's number in the videos below: they grow brighter with time."""

    def predict(self, images: list[Any]) -> list[float]:
        return [float(image.mean()) / 255 for image in images]


def frames(path: Path, split: str = "test", **options: Any) -> list[Frame]:
    return FolderAdapter(path, FolderOptions.model_validate(options)).frames(split)


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A manifest of these rows, by its ending CSV or JSON lines."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(out.getvalue(), newline="")
    return path


@pytest.fixture
def alike(tmp_path: Path) -> tuple[Path, list[dict[str, Any]]]:
    """Six videos, real and fake in turn, of the same 40 frames that grow brighter; and their rows in time order."""
    rows = []
    for video in range(6):
        folder = tmp_path / f"{video:03d}"
        folder.mkdir()
        for number in range(40):
            Pillow.fromarray(np.full((16, 16, 3), number * 6, np.uint8)).save(folder / f"{number}.png")
            rows.append({"path": f"{folder.name}/{number}.png", "label": video % 2, "video": f"{video:03d}"})
    return tmp_path, rows


def brier(numbers: list[int]) -> float:
    """Of three real and three fake videos whose score is the mean of these frames' brightness, by hand."""
    mean = float(np.mean([number * 6 / 255 for number in numbers]))
    return (3 * mean**2 + 3 * (1 - mean) ** 2) / 6


FIRST = list(range(8))
MIDDLES = [((2 * i + 1) * 40) // 64 for i in range(32)]


@pytest.mark.parametrize(("protocol", "numbers"), [(FIRST8, FIRST), (UNIFORM, MIDDLES)], ids=["first8", "uniform32"])
@pytest.mark.parametrize("order", ["time", "lexical", "reversed", "shuffled"])
def test_a7_any_order_of_the_lines_gives_one_result(
    alike: tuple[Path, list[dict[str, Any]]], tmp_path: Path, order: str, protocol: ProtocolCard, numbers: list[int]
) -> None:
    root, rows = alike
    ordered = {
        "time": rows,
        "lexical": sorted(rows, key=lambda row: row["path"]),
        "reversed": rows[::-1],
        "shuffled": random.Random(3).sample(rows, len(rows)),
    }[order]
    path = written(root / "list.csv", ordered)
    (result,) = m2f2bench.run(detectors=[Bright()], datasets=str(path), protocols=[protocol], out=tmp_path / "out")
    assert result.metrics["auc"].value == 0.5
    assert result.metrics["brier"].value == pytest.approx(brier(numbers), abs=1e-12)


@pytest.mark.skipif(not CASES.is_dir(), reason="the folder of cases from the field is not there")
@pytest.mark.parametrize(("protocol", "expected"), [(FIRST8, 0.424), (UNIFORM, None)], ids=["first8", "uniform32"])
def test_a7_the_cases(tmp_path: Path, protocol: ProtocolCard, expected: float | None) -> None:
    found = {}
    for name in ("time", "shuffled", "lexical", "windows"):
        place = tmp_path / name
        (result,) = m2f2bench.run(
            detectors=[Bright()], datasets=str(CASES / f"{name}.csv"), protocols=[protocol], out=place
        )
        assert result.statuses == {"ok": 6 * (protocol.frames.count or 0)}
        assert result.metrics["auc"].value == 0.5
        found[name] = (result.metrics["brier"].value, result.measured["hash"])
    assert len(set(found.values())) == 1
    if expected is not None:
        assert found["time"][0] == pytest.approx(expected, abs=0.0005)


NAMES = st.sampled_from(["1.png", "2.png", "10.png", "010.png", "f9.png", "f10.png", "a/2.png", "b/1.png", "a/10.png"])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "path": st.builds("{}{}".format, st.sampled_from(["", "r/", "k/"]), NAMES),
            "video": st.sampled_from(["", "v2", "v10"]),
            "label": st.sampled_from(["real", "fake"]),
            "method": st.sampled_from(["", "DF", "F2F"]),
            "split": st.sampled_from(["train", "test"]),
            "picture": st.sampled_from(["", "p2", "p10"]),
        }
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda row: row["path"],
)
TIMES = st.dictionaries(st.sampled_from(["time", "index"]), st.booleans(), max_size=2)


@ANY_FILES
@given(ROWS, TIMES, st.sampled_from([".csv", ".jsonl"]), st.randoms(use_true_random=False), st.data())
def test_a7_any_permutation_of_the_lines(
    tmp_path: Path, rows: list[dict[str, Any]], times: dict[str, bool], suffix: str, rng: random.Random, data: Any
) -> None:
    for name in times:  # equal in a picture, as they have to be; some ties
        when: dict[tuple[Any, ...], float] = {}
        for row in rows:
            which = (row["video"], row["label"], row["method"], row["picture"] or row["path"])
            row[name] = when.setdefault(which, data.draw(st.sampled_from([-1, 0, 0.5, 2, 10, 1e3])))
    path = tmp_path / f"list{suffix}"
    shuffled = rng.sample(rows, len(rows))
    for split in {row["split"] for row in rows}:
        one, other = frames(written(path, rows), split), frames(written(path, shuffled), split)
        assert one == other
        for selection in (FrameSelection(which="first", count=2), FrameSelection(which="uniform", count=2)):
            plans = []
            for lines in (rows, shuffled):
                try:
                    plans.append(plan_frames(FolderAdapter(written(path, lines)), split, selection, 3))
                except DataError as error:  # one video with two labels, said alike
                    plans.append(str(error))  # type: ignore[arg-type]
            assert plans[0] == plans[1]


def test_a7_time_before_index_before_names(tmp_path: Path) -> None:
    rows = [
        {"path": "a.png", "label": 1, "video": "v", "time": "2.5", "index": "1"},
        {"path": "b.png", "label": 1, "video": "v", "time": "10", "index": "0"},
        {"path": "c.png", "label": 1, "video": "v", "time": "2.50", "index": "0"},
        {"path": "d.png", "label": 1, "video": "v", "time": "-1e0", "index": "7"},
        {"path": "e10.png", "label": 1, "video": "w", "time": "", "index": ""},
        {"path": "e9.png", "label": 1, "video": "w", "time": "", "index": ""},
    ]
    got = [frame.id for frame in frames(written(tmp_path / "l.csv", rows))]
    assert got == ["d.png", "c.png", "a.png", "b.png", "e9.png", "e10.png"]
    nanoseconds = [{"path": f"{c}.png", "label": 0, "video": "v", "t": 1 - i + 2**62} for i, c in enumerate("ab")]
    listed = written(tmp_path / "l.jsonl", nanoseconds)
    assert [frame.id for frame in frames(listed, columns={"time": "T"})] == ["b.png", "a.png"]  # as floats they tie


def test_a7_pictures_come_before_paths(tmp_path: Path) -> None:
    rows = [
        {"path": f"face{face}/{number}.png", "label": 0, "video": "v", "picture": str(number)}
        for face in (1, 0)
        for number in (10, 9, 2)
        if (face, number) != (0, 2)  # the first face is not in picture 2
    ]
    got = [frame.id for frame in frames(written(tmp_path / "l.csv", rows))]
    assert got == ["face1/2.png", "face0/9.png", "face1/9.png", "face0/10.png", "face1/10.png"]
    adapter = FolderAdapter(tmp_path / "l.csv")
    assert [frame.id for frame in adapter.sample("test", lambda n: [0])] == ["face1/2.png"]
    assert {frame.picture for frame in adapter.frames("test")} == {"original/v/2", "original/v/9", "original/v/10"}
    alone = written(tmp_path / "m.csv", [{"path": "a.png", "label": 0, "picture": ""}])
    assert frames(alone)[0].picture == ""


@pytest.mark.parametrize("cell", ["1.5.2", "one", "nan", "inf", "-", "1_0", "00:01", "1e99999", "١"])
@pytest.mark.parametrize("column", ["time", "index"])
def test_a7_times_that_are_no_numbers(tmp_path: Path, column: str, cell: str) -> None:
    path = tmp_path / "l.csv"
    path.write_text(f"path,label,{column}\na.png,0,1\nb.png,0,{cell}\n")
    with pytest.raises(DataError) as caught:
        frames(path)
    assert "l.csv' line 3" in str(caught.value) and f"{column} '{cell}' is not a number" in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["a.png,0,v,p,1,", "b.png,0,v,q,,"], ["line 3", "'b.png' and 'a.png' of video 'original/v'"]),
        (["a.png,0,v,p,1,", "b.png,0,v,q,,1"], ["line 3", "do not both have a time or an index"]),
        (["a.png,0,v,p,1,", "b.png,0,v,p,2,"], ["line 3", "picture 'p' of video 'original/v' has another time"]),
    ],
)
def test_a7_times_that_give_no_order(tmp_path: Path, lines: list[str], words: list[str]) -> None:
    path = tmp_path / "l.csv"
    path.write_text("\n".join(["path,label,video,picture,time,index", *lines]))
    with pytest.raises(DataError) as caught:
        frames(path)
    assert all(word in str(caught.value) for word in words)


def test_a7_backslashes_of_windows(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    Pillow.new("RGB", (9, 9)).save(tmp_path / "real" / "1.png")
    Pillow.new("RGB", (9, 9)).save(tmp_path / "real\\2.png")
    rows = [{"path": f"real\\{i}.png", "label": 0} for i in (1, 2, 3)] + [{"path": "long\\" + "x" * 300, "label": 0}]
    got = [frame.id for frame in frames(written(tmp_path / "l.csv", rows))]
    assert got == ["long\\" + "x" * 300, "real/1.png", "real\\2.png", "real\\3.png"]  # where there is such a file
    rows.append({"path": "real/1.png", "label": 0})
    with pytest.raises(DataError, match=r"'real/1\.png' is already listed in line 2"):
        frames(written(tmp_path / "l.csv", rows))


def test_a_file_is_listed_once_by_whatever_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "l.csv", [{"path": "a.png", "label": 0}, {"path": str(tmp_path / "a.png"), "label": 0}])
    with pytest.raises(DataError, match=r"line 3: .* already listed in line 2"):
        frames(Path("l.csv"))


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\"',;\t \u2028\x85"), max_size=9)
END = st.sampled_from(["\n", "\r\n", "\r"])


@ANY_FILES
@given(
    st.lists(TEXT, min_size=1, max_size=8),
    st.sampled_from([",", ";", "\t"]),
    END,
    st.lists(st.integers(0, 8), max_size=3),
    st.booleans(),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_a7_as_many_frames_as_records_or_a_refusal(
    tmp_path: Path, names: list[str], delimiter: str, end: str, blank: list[int], mark: bool, quoting: Any
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting)
    lines = []
    for row in [["path", "label"], *([name, "0"] for name in names)]:
        writer.writerow(row)
        lines.append(out.getvalue())
        out.seek(0)
        out.truncate()
    for place in blank:
        lines.insert(min(place + 1, len(lines)), end)
    path = tmp_path / "list.csv"
    path.write_bytes((("\ufeff" if mark else "") + "".join(lines)).encode())
    try:
        got = [frame.id for frame in frames(path)]
    except DataError as error:
        assert "line" in str(error) and "\n" not in str(error)
        return
    assert sorted(got) == sorted(name.strip() for name in names)


@given(st.lists(st.text("a10.", max_size=6), max_size=6))
def test_the_natural_order_is_one_order(texts: list[str]) -> None:
    backwards = list(reversed(texts))
    assert sorted(texts, key=natural) == sorted(backwards, key=natural)
    assert len({str(natural(text)) for text in texts}) == len(set(texts))


def test_natural_order_of_numbers_of_any_length() -> None:
    texts = ["f1", "f01", "f2", "f10", "f" + "9" * 5000, "f1" + "0" * 5000, "f", "g1", "1f"]
    ordered = sorted(texts, key=natural)
    assert ordered == ["1f", "f", "f01", "f1", "f2", "f10", "f" + "9" * 5000, "f1" + "0" * 5000, "g1"]
    assert sorted(["v10_f9_x1", "v9_f10_x1", "v9_f10_x0", "v9_f9_x12", "v9_f9_x3"], key=natural) == [
        *("v9_f9_x3", "v9_f9_x12", "v9_f10_x0", "v9_f10_x1", "v10_f9_x1"),
    ]
