"""Frames of clips against the same frames made one by one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2f2bench.core.clips import ALONE, Clip, Frames
from m2f2bench.core.errors import DataError
from m2f2bench.core.records import FAKE, REAL, Frame, Locator
from m2f2bench.datasets.dataset import check_unique, spread_by_method

ITEMS: list[Sequence[int] | Sequence[str]] = [range(5), (), ("a.png", "b.png"), ALONE, (3, 9)]


def clip(name: str, items: Sequence[int] | Sequence[str], label: int = FAKE, key: str | None = None) -> Clip:
    return Clip(name, label, "swap" if label else "original", "test", ("p",), Locator(f"/d/{name}", key), items)


def test_the_three_kinds_of_items() -> None:
    assert clip("v", range(2)).frame(1) == Frame("v/0001", "v", 1, "swap", "test", ("p",), Locator("/d/v", None, 1))
    assert clip("v", ("x.png",)).frame(0).locator == Locator("/d/v/x.png")
    assert clip("v", ("x.png",), key="set\\").frame(0).locator == Locator("/d/v", "set\\x.png")
    assert clip("v", ALONE).frame(0) == Frame("v", "v", 1, "swap", "test", ("p",), Locator("/d/v"))


@given(st.lists(st.sampled_from(ITEMS), max_size=8), st.data())
def test_frames_are_the_list_of_their_frames(items: list[Sequence[int] | Sequence[str]], data: st.DataObject) -> None:
    clips = [clip(f"v{i}", one, i % 2) for i, one in enumerate(items)]
    frames = Frames(clips)
    plain = [one.frame(i) for one in clips for i in range(len(one))]
    assert len(frames) == len(plain)
    assert list(frames) == plain == [frames[i] for i in range(len(frames))]
    assert [name for one in frames.clips for name in one.names()] == [frame.id for frame in plain]
    start, stop = data.draw(st.integers(-9, 9)), data.draw(st.integers(-9, 9))
    assert frames[start:stop] == plain[start:stop]
    limit = data.draw(st.integers(1, 12))
    assert spread_by_method(frames, limit) == spread_by_method(plain, limit)
    check_unique(frames)


@pytest.mark.parametrize(
    "clips",
    [
        [clip("v", ("a", "a"))],
        [clip("v", ("a",)), clip("v", ("a",))],
        [clip("v", ("a/b",)), clip("v/a", ("b",))],
        [clip("v", ("a",)), clip("v/a", ALONE)],
        [clip("v", range(2)), clip("v/0001", ALONE)],
        [clip("v", ("0001",)), clip("v", range(2))],
    ],
)
def test_two_frames_of_one_id_are_refused(clips: list[Clip]) -> None:
    with pytest.raises(DataError, match="stands for two frames"):
        check_unique(Frames(clips))


def test_a_video_with_both_labels_is_refused() -> None:
    with pytest.raises(DataError, match="real and fake frames"):
        check_unique(Frames([clip("v", ("a",), REAL), clip("v", ("b",), FAKE)]))


def test_an_index_beyond_the_end_is_refused() -> None:
    with pytest.raises(IndexError):
        Frames([clip("v", range(2))])[2]
