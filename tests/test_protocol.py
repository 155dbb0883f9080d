"""Which frames are judged, and how they become videos: golden cases, and the traps of the field beside them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2f2bench.cards import FrameSelection, ProtocolCard
from m2f2bench.errors import DataError, ScoreError
from m2f2bench.protocol import check_unique, pick, plan_frames, spread, to_units
from m2f2bench.records import Frame, Locator
from m2f2bench.scoring.rows import Rows

UNIFORM = FrameSelection(which="uniform", count=4)
VIDEO = ProtocolCard(name="v", level="video")
FRAME = ProtocolCard(name="f", level="frame")


def make_rows(*lines: tuple[str, str, int, float | None]) -> Rows:
    """Rows of (video, method, label, score); a score of None is an unreadable frame."""
    n = len(lines)
    empty = np.array([""] * n, dtype=object)
    return Rows(
        frame=np.array([f"{line[0]}/{i}" for i, line in enumerate(lines)], dtype=object),
        video=np.array([line[0] for line in lines], dtype=object),
        method=np.array([line[1] for line in lines], dtype=object),
        identity=empty,
        status=np.array(["unreadable" if line[3] is None else "ok" for line in lines], dtype=object),
        label=np.array([line[2] for line in lines]),
        score=np.array([np.nan if line[3] is None else line[3] for line in lines], dtype=float),
        digest=empty,
    )


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


def test_videos_of_one_name_under_two_manipulations_stay_apart() -> None:
    """Trap 1: grouped by the bare name `000_003` these two would be one video, and the AUC 0.5 instead of 1."""
    rows = make_rows(
        ("Deepfakes/000_003", "Deepfakes", 1, 0.9),
        ("FaceSwap/000_003", "FaceSwap", 1, 0.7),
        ("original/000", "original", 0, 0.6),
    )
    units = to_units(rows, VIDEO)
    assert units.video.tolist() == ["Deepfakes/000_003", "FaceSwap/000_003", "original/000"]
    assert units.score.tolist() == pytest.approx([0.9, 0.7, 0.6])
    merged = {video.split("/")[1] for video in rows.video.tolist()}
    assert len(merged) == 2, "the wrong grouping loses a video"


def test_video_label_is_its_own_and_the_last_video_is_kept() -> None:
    """Trap 2: rows in any order; a stream that takes the neighbour's label or drops the last video differs."""
    rows = make_rows(("b", "m", 1, 0.2), ("a", "original", 0, 0.4), ("b", "m", 1, 0.6), ("c", "m", 1, 0.8))
    units = to_units(rows, VIDEO)
    assert units.video.tolist() == ["a", "b", "c"]
    assert units.label.tolist() == [0, 1, 1]
    assert units.score.tolist() == pytest.approx([0.4, 0.4, 0.8])


def test_a_video_with_few_frames_has_a_score() -> None:
    """Trap 3: trimming ten frames at each end makes NaN of a video with three; a mean does not."""
    rows = make_rows(("a", "m", 1, 0.2), ("a", "m", 1, 0.3), ("a", "m", 1, 0.4), ("r", "original", 0, 0.1))
    assert to_units(rows, VIDEO).score.tolist() == pytest.approx([0.3, 0.1])
    assert sorted([0.2, 0.3, 0.4])[10:-10] == [], "what the trimmed mean would be taken of"


def test_missing_frames_lower_the_coverage_and_are_never_zero() -> None:
    """Trap 5: a detector that crashes on all reals has no AUC; a made-up 0.0 would give it 1.0."""
    rows = make_rows(("a", "m", 1, 0.1), ("r1", "original", 0, None), ("r2", "original", 0, None))
    units = to_units(rows, FRAME)
    assert units.label.tolist() == [1] and units.coverage == pytest.approx(1 / 3)
    partly = make_rows(("a", "m", 1, 0.1), ("a", "m", 1, None), ("r", "original", 0, None))
    video = to_units(partly, VIDEO)
    assert video.video.tolist() == ["a"] and video.coverage == 0.5
    assert video.methods == ("m",)


def test_a_method_without_any_score_is_still_planned() -> None:
    units = to_units(make_rows(("a", "x", 1, None), ("b", "y", 1, 0.3), ("r", "original", 0, 0.2)), FRAME)
    assert units.methods == ("x", "y")


def test_one_video_with_both_labels_is_refused() -> None:
    with pytest.raises(ScoreError, match="video 'a' has real and fake rows"):
        to_units(make_rows(("a", "m", 1, 0.2), ("a", "original", 0, 0.2)), VIDEO)


def frame(name: str, video: str, label: int) -> Frame:
    return Frame(name, video, label, "m", "test", (), Locator(""))


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
