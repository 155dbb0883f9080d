"""Lists of datasets with odd contents: each is read, or refused in one line that names the file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from field_videos import write_text
from hypothesis import example, given, settings
from hypothesis import strategies as st

from m2f2bench.core.clips import Clip
from m2f2bench.core.errors import DataError
from m2f2bench.datasets.layouts.celebdf import read_tested
from m2f2bench.datasets.layouts.dfdc import DFDCAdapter
from m2f2bench.datasets.layouts.dfdcp import DFDCPAdapter
from m2f2bench.datasets.layouts.pairs import read_pairs

ATOMS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
ANY = st.recursive(
    ATOMS, lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=8), one, max_size=3), max_leaves=8
)
PATHS = st.sampled_from(
    [
        "",
        "/",
        ".",
        "..",
        "\\",
        "original_videos",
        "original_videos/9/a.mp4",
        "method_A/9/8_A/a.mp4",
        "../method_A/x.mp4",
    ]
) | st.text(max_size=8)
ENTRIES = st.fixed_dictionaries(
    {}, optional={"label": st.sampled_from(["real", "fake"]) | ANY, "set": st.just("test") | ANY, "target_id": ANY}
)
RECORDS = st.fixed_dictionaries(
    {}, optional={"label": st.sampled_from(["REAL", "FAKE"]) | ANY, "split": st.just("train") | ANY, "original": ANY}
)


def read_or_refused(listed: Callable[[], Sequence[Any]], path: Path) -> None:
    """One line with the file's name, or clips."""
    try:
        found = listed()
    except DataError as error:
        text = str(error.args[0])
        assert "\n" not in text and path.name in text, text
        return
    assert found and all(isinstance(one, Clip) for one in found)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("odd")
    for name in ("original_videos/9/a.mp4", "method_A/9/8_A/a.mp4", "dfdc_train_part_0/a.mp4"):
        write_text(root / name, "a file is enough")
    return root


@settings(deadline=None, max_examples=150)
@given(st.dictionaries(PATHS, ENTRIES | ANY, min_size=1, max_size=3) | ANY)
@example({"": {"label": "real", "set": "test"}})
@example({"original_videos/9/a.mp4": {"label": ["real"], "set": "test"}})
@example({"original_videos/9/a.mp4": {"label": "real"}})
@example({"original_videos/9/a.mp4": {"label": "real", "set": ["test"]}})
@example({"original_videos/9/a.mp4": {"label": "real", "set": {}}})
@example({"original_videos/9/\0.mp4": {"label": "real", "set": "test"}})
@example({"original_videos/9/a.mp4": {"label": "real", "set": "test", "target_id": True}})
def test_any_list_of_the_preview(place: Path, value: Any) -> None:
    path = write_text(place / "dataset.json", json.dumps(value))
    read_or_refused(lambda: DFDCPAdapter(place).listed("test"), path)


@pytest.mark.parametrize("name", ["../../a/method_A/9/8_A/a.mp4", "/etc/method_A/a.mp4"])
def test_the_preview_stays_in_its_folder(place: Path, name: str) -> None:
    path = write_text(place / "dataset.json", json.dumps({name: {"label": "fake", "set": "test"}}))
    with pytest.raises(DataError, match="leads out of"):
        DFDCPAdapter(place).listed("test")
    assert path.exists()


@settings(deadline=None, max_examples=150)
@given(st.dictionaries(st.just("a.mp4") | PATHS, RECORDS | ANY, min_size=1, max_size=3) | ANY)
@example({"a.mp4": 7})
@example({"a.mp4": {"label": 7}})
@example({"a.mp4": {"label": ["REAL"]}})
@example({"a.mp4": {"label": "FAKE", "original": 7}})
@example({"a.mp4": {"label": "FAKE", "original": None}})
@example({"a.mp4": {"label": "FAKE", "split": ["train"]}})
@example({"\0.mp4": {"label": "FAKE"}})
@example({"../../x/a.mp4": {"label": "FAKE"}})
def test_any_metadata(place: Path, value: Any) -> None:
    path = write_text(place / "dfdc_train_part_0" / "metadata.json", json.dumps(value))
    data = DFDCAdapter(place)
    read_or_refused(lambda: data.listed("train"), path)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.lists(st.text(max_size=4) | ANY, max_size=3) | ANY, max_size=3) | ANY)
@example([[953, 974]])
@example([["953", 974]])
@example([["953", "953"]])
@example([["953", ["974"]]])
@example([["953", None]])
@example([["95/3", "974"]])
@example([["\0", "974"]])
@example({"953": "974"})
def test_any_pairs(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = write_text(tmp_path_factory.getbasetemp() / "pairs.json", json.dumps(value))
    try:
        found = read_pairs(path)
    except DataError as error:
        assert "\n" not in str(error.args[0]) and "pairs.json" in str(error)
        return
    assert found == [tuple(pair) for pair in value]
    keys = [key for pair in found for key in pair]
    assert len(set(keys)) == len(keys) and not any("/" in key or "\0" in key for key in keys)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n", " \n"])
@pytest.mark.parametrize("gap", [" ", "\t", " \t  "])
def test_how_a_list_of_test_videos_is_written(tmp_path: Path, mark: str, end: str, gap: str) -> None:
    path = tmp_path / "List_of_testing_videos.txt"
    lines = [f"1{gap}YouTube-real/00170.mp4", f"0{gap}Celeb-synthesis/id0_id1_0000.mp4", f"1{gap}Celeb-real/id1_2.mp4"]
    path.write_bytes((mark + end.join(lines) + end).encode())
    found = read_tested(path)
    assert [(one.folder, one.name, one.label) for one in found] == [
        ("YouTube-real", "00170", 0),
        ("Celeb-synthesis", "id0_id1_0000", 1),
        ("Celeb-real", "id1_2", 0),
    ]
