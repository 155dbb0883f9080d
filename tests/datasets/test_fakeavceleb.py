"""FakeAVCeleb as downloaded: labels by the eye, rows that name one video twice, a table that is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from field_more import AV_HEADER, AV_ROWS, FRAMES, clips_of, make_fakeavceleb, write_table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from one_line import error_of

from m2f2bench.core.errors import DataError, FrameError
from m2f2bench.datasets.layouts.fakeavceleb import FakeAVCelebAdapter

MEN, WOMEN = "African/men/id00076", "Asian (South)/women/id00166"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_fakeavceleb(tmp_path_factory.mktemp("fakeavceleb"))


def test_a_fake_voice_alone_is_real_to_the_eye(whole: Path) -> None:
    adapter = FakeAVCelebAdapter(whole)
    assert adapter.fits()
    assert clips_of(adapter, "test") == {
        f"original/RealVideo-FakeAudio/{MEN}/00109_fake": (0, "original", ("id00076",), FRAMES),
        f"original/RealVideo-RealAudio/{MEN}/00109": (0, "original", ("id00076",), FRAMES),
        f"original/RealVideo-RealAudio/{WOMEN}/00010": (0, "original", ("id00166",), FRAMES),
        f"faceswap/FakeVideo-RealAudio/{MEN}/00109_f": (1, "faceswap", ("id00076", "id00701"), FRAMES),
        f"fsgan-wav2lip/FakeVideo-FakeAudio/{WOMEN}/1_2": (
            1, "fsgan-wav2lip", ("id00166", "id00076", "id00701"), FRAMES,
        ),
        f"wav2lip/FakeVideo-RealAudio/{MEN}/00109_w": (1, "wav2lip", ("id00076",), FRAMES),
    }  # fmt: skip
    assert len(AV_ROWS) == 7  # one video has two rows
    assert adapter.remarks("test") == [
        "1 video with a real picture and a fake voice count as real",
        "1 row of meta_data.csv left out: another row has the same video; the first row's method counts",
    ]
    assert adapter.splits == ("test",)


def test_the_folder_of_the_table_may_have_the_videos_one_below(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "FakeAVCeleb_v1.2"
    make_fakeavceleb(root, videos=False)
    (root / "FakeAVCeleb").symlink_to(whole)
    adapter = FakeAVCelebAdapter(tmp_path)
    assert adapter.fits() and len(clips_of(adapter, "test")) == 6
    assert not any("missing" in line for line in adapter.remarks("test"))


def test_half_of_the_videos(whole: Path, tmp_path: Path) -> None:
    root = make_fakeavceleb(tmp_path, rows=AV_ROWS[:4])  # A, A, B, C
    write_table(
        root / "meta_data.csv",
        AV_HEADER,
        [(*row, f"FakeAVCeleb\\{row[5]}\\{row[6]}\\{row[7]}\\{row[0]}") for row in AV_ROWS],
    )
    adapter = FakeAVCelebAdapter(root)
    assert len(clips_of(adapter, "test")) == 6
    assert "2 of the 6 listed files are missing" in adapter.remarks("test")[2]
    with pytest.raises(FrameError):
        adapter.read(adapter.frames("test")[-1 - FRAMES])
    for video in root.rglob("*.mp4"):
        video.unlink()
    assert "none of the 6 files that 'meta_data.csv' lists is there" in error_of(lambda: adapter.frames("test"))


def changed(column: str, value: str, row: int = 4) -> list[list[str]]:
    rows = [[*one, f"FakeAVCeleb/{one[5]}/{one[6]}/{one[7]}/{one[0]}"] for one in AV_ROWS]
    rows[row][AV_HEADER.index(column)] = value
    return rows


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("category", "A", "line 6: category 'A' does not agree with the folder FakeVideo-RealAudio"),
        ("category", "E", "line 6: category 'E' does not agree"),
        ("method", "real", "line 6: a fake video has the method 'real'"),
        ("path", "", "line 6: "),
        ("path", "../../../../../x.mp4", "is not a video in one of RealVideo-RealAudio"),
        ("", "FakeAVCeleb/Videos/African", "is not a video in one of"),
    ],
)
def test_a_row_that_is_not_clear(whole: Path, tmp_path: Path, column: str, value: str, said: str) -> None:
    make_fakeavceleb(tmp_path, rows=AV_ROWS[:1])
    write_table(tmp_path / "meta_data.csv", AV_HEADER, changed(column, value))
    assert said in error_of(lambda: FakeAVCelebAdapter(tmp_path).frames("test"))


def test_a_table_without_the_last_column_or_with_pandas_name_for_it(whole: Path, tmp_path: Path) -> None:
    make_fakeavceleb(tmp_path, rows=AV_ROWS[:1])
    wanted = [one.id for one in FakeAVCelebAdapter(tmp_path).frames("test")]
    for header, rows in (
        (AV_HEADER[:9], AV_ROWS[:1]),
        ((*AV_HEADER[:9], "Unnamed: 9"), changed("path", "00109.mp4", 0)[:1]),
    ):
        write_table(tmp_path / "meta_data.csv", header, rows)
        assert [one.id for one in FakeAVCelebAdapter(tmp_path).frames("test")] == wanted


def test_a_missing_or_damaged_table(tmp_path: Path) -> None:
    make_fakeavceleb(tmp_path, rows=AV_ROWS[:1])
    table = tmp_path / "meta_data.csv"
    adapter = FakeAVCelebAdapter(tmp_path)
    for text, said in (
        ("", "has no rows"),
        ("source,method,path\n", "has no rows"),
        ("source,methods,path\nid1,real,a.mp4\n", "no column 'method'; did you mean 'methods'?"),
        ("source,method,path\nid1,real,a.mp4,b,c\n", "line 2: 5 cells under 3 columns"),
        ('source,method,path\n"id1,real', "is not CSV"),
    ):
        table.write_text(text)
        assert said in error_of(lambda: adapter.frames("test"))
    table.unlink()
    assert not adapter.fits()
    assert "is not FakeAVCeleb as downloaded: it should hold meta_data.csv" in error_of(lambda: adapter.frames("test"))


cell = st.one_of(
    st.sampled_from(["A", "B", "C", "D", "-", "real", "wav2lip", "a.mp4", "RealVideo-RealAudio", "x,y", '"', ".."]),
    st.text(max_size=6),
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(cell, min_size=8, max_size=11), max_size=4))
def test_any_table_is_listed_or_refused_in_one_line(tmp_path: Path, rows: list[list[str]]) -> None:
    (tmp_path / "RealVideo-RealAudio").mkdir(exist_ok=True)
    with (tmp_path / "meta_data.csv").open("w", encoding="utf-8", errors="replace", newline="") as file:
        file.writelines(",".join(row) + "\n" for row in [list(AV_HEADER), *rows])
    try:
        for clip in FakeAVCelebAdapter(tmp_path).listed("test"):
            assert clip.label == (not clip.place.path.startswith(str(tmp_path / "RealVideo")))
            assert Path(clip.place.path).resolve().is_relative_to(tmp_path.resolve())
    except DataError as error:
        assert "\n" not in str(error)
