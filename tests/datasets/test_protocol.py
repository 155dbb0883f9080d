"""Which frames are judged: golden cases, and the traps of the field beside them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2f2bench.cards.protocols import FrameSelection
from m2f2bench.core.errors import DataError
from m2f2bench.core.records import Frame, Locator
from m2f2bench.datasets.base import Adapter
from m2f2bench.datasets.dataset import check_unique, list_frames, pick, plan_frames, spread

UNIFORM = FrameSelection(which="uniform", count=4)


def test_uniform_takes_the_middles_of_equal_stretches() -> None:
    assert pick(UNIFORM, 8) == [1, 3, 5, 7]
    assert pick(UNIFORM, 100) == [12, 37, 62, 87]
    assert pick(FrameSelection(which="uniform", count=1), 9) == [4]


def test_uniform_is_not_the_first_frames() -> None:
    """Trap 4: "32 uniform frames" that are really the first 32."""
    first = FrameSelection(which="first", count=4)
    assert pick(first, 100) == [0, 1, 2, 3]
    assert pick(UNIFORM, 100) != pick(first, 100)
    assert max(pick(FrameSelection(which="uniform", count=32), 300)) > 290


def test_a_short_video_is_not_padded_by_repeating() -> None:
    """Trap 4: three frames give three, not four."""
    assert pick(UNIFORM, 3) == [0, 1, 2]


@given(n=st.integers(0, 3000), count=st.integers(1, 64))
def test_picks_are_distinct_ascending_and_inside(n: int, count: int) -> None:
    found = pick(FrameSelection(which="uniform", count=count), n)
    assert len(found) == min(n, count)
    assert found == sorted(set(found))
    assert all(0 <= i < n for i in found)


@given(n=st.integers(1, 500), limit=st.integers(1, 600))
def test_spread_keeps_order_and_reaches_both_ends(n: int, limit: int) -> None:
    found = spread(list(range(n)), limit)
    assert len(found) == min(n, limit)
    assert found == sorted(set(found))


def test_selection_and_count_go_together() -> None:
    with pytest.raises(ValueError, match="goes with a count"):
        FrameSelection(which="uniform")
    with pytest.raises(ValueError, match="goes with no count"):
        FrameSelection(which="all", count=3)


def frame(name: str, video: str, label: int) -> Frame:
    return Frame(name, video, label, "m", "test", (), Locator(""))


class TwoVideos(Adapter):
    """Ten frames of one video and three of another; says how it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def frames(self, split: str) -> list[Frame]:
        self.asked.append("frames")
        return [frame(f"{video}{i}", video, 0) for video, n in (("a", 10), ("b", 3)) for i in range(n)]

    def sample(self, split: str, sampler: object) -> list[Frame]:
        self.asked.append("sample")
        return super().sample(split, sampler)  # type: ignore[arg-type]

    def read(self, frame: Frame) -> object:  # type: ignore[override]
        raise AssertionError("listing reads no pixels")


def test_a_count_picks_from_each_video_and_no_count_takes_all() -> None:
    adapter = TwoVideos()
    few = list_frames(adapter, "test", UNIFORM)
    assert [one.id for one in few] == ["a1", "a3", "a6", "a8", "b0", "b1", "b2"] and adapter.asked == [
        "sample",
        "frames",
    ]
    adapter.asked.clear()
    assert len(list_frames(adapter, "test", FrameSelection())) == 13 and adapter.asked == ["frames"]


def test_frame_ids_must_be_unique_and_videos_of_one_label() -> None:
    with pytest.raises(DataError, match="'x' stands for two frames"):
        check_unique([frame("x", "a", 0), frame("x", "b", 0)])
    with pytest.raises(DataError, match="video 'a' has real and fake frames"):
        check_unique([frame("x", "a", 0), frame("y", "a", 1)])
    with pytest.raises(ValueError, match="neither 0"):
        frame("x", "a", 2)


def test_an_empty_split_is_one_line(cli, one_line, squares, tmp_path) -> None:
    for path in squares.rglob("*.png"):
        path.unlink()
    line = one_line(cli("run", "-d", "constant", "-s", squares, "--out", tmp_path / "elsewhere"))
    assert str(squares) in line and "has no test split" in line


def test_limit_is_spread_over_all_methods(squares) -> None:
    from m2f2bench import load_dataset

    dataset = load_dataset(str(squares))
    frames = plan_frames(dataset.adapter, "test", FrameSelection(), limit=6)
    assert sorted(f.label for f in frames) == [0, 0, 0, 1, 1, 1]
