"""Units from rows: videos, faces of one picture, missing scores, and the clusters of the bootstrap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_units import make_rows

from m2f2bench.cards.models import ProtocolCard
from m2f2bench.cards.protocols import Aggregation, Bootstrap, Missing
from m2f2bench.core.errors import ScoreError
from m2f2bench.core.rows import Rows
from m2f2bench.results.units import FEWEST_CLUSTERS, aggregate, to_units

VIDEO = ProtocolCard(name="v", level="video")
FRAME = ProtocolCard(name="f", level="frame")


def video_by(how: str, trim: int = 0, floor: int = 1) -> ProtocolCard:
    return ProtocolCard(name="v", level="video", aggregation=Aggregation(how=how, trim=trim, floor=floor))


def test_videos_of_one_name_under_two_manipulations_stay_apart() -> None:
    rows = make_rows(
        ("Deepfakes/000_003", "Deepfakes", 1, 0.9),
        ("FaceSwap/000_003", "FaceSwap", 1, 0.7),
        ("original/000", "original", 0, 0.6),
    )
    units = to_units(rows, VIDEO)
    assert units.video.tolist() == ["Deepfakes/000_003", "FaceSwap/000_003", "original/000"]
    assert units.score.tolist() == [0.9, 0.7, 0.6]


def test_video_label_is_its_own_and_the_last_video_is_kept() -> None:
    rows = make_rows(("b", "m", 1, 0.2), ("a", "original", 0, 0.4), ("b", "m", 1, 0.6), ("c", "m", 1, 0.8))
    units = to_units(rows, VIDEO)
    found = dict(zip(units.video.tolist(), zip(units.label.tolist(), units.score.tolist(), strict=True), strict=True))
    assert found == {"a": (0, 0.4), "b": (1, pytest.approx(0.4)), "c": (1, 0.8)}


@pytest.mark.parametrize(
    ("how", "trim", "floor", "five", "four"),
    [
        ("mean", 0, 1, 0.44, 0.35),
        ("median", 0, 1, 0.3, 0.25),
        ("max", 0, 1, 1.0, 0.8),
        ("trimmed", 1, 1, (0.2 + 0.3 + 0.6) / 3, 0.25),
        ("trimmed", 10, 1, 0.3, 0.25),  # one, or of an even number two, are always left
        ("trimmed", 10, 3, (0.2 + 0.3 + 0.6) / 3, 0.35),  # of four none can go without leaving less than three
        ("trimmed", 10, 5, 0.44, 0.35),
    ],
)
def test_aggregation_by_hand(how: str, trim: int, floor: int, five: float, four: float) -> None:
    lines = [("a", "m", 1, s) for s in (0.3, 1.0, 0.1, 0.6, 0.2)] + [("b", "x", 0, s) for s in (0.8, 0.2, 0.3, 0.1)]
    assert to_units(make_rows(*lines), video_by(how, trim, floor)).score.tolist() == pytest.approx([five, four])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.integers(1, 30), st.integers(1, 10), st.randoms())
def test_trimming_always_leaves_the_floor_and_no_nan(values: list[float], trim: int, floor: int, random) -> None:
    how = Aggregation(how="trimmed", trim=trim, floor=floor)
    group = np.zeros(len(values), dtype=np.int64)
    score, has = aggregate(np.array(values), group, 1, how)
    assert has[0] and min(values) - 1e-12 <= score[0] <= max(values) + 1e-12
    ordered = sorted(values)
    if len(values) >= 2 * trim + floor:
        assert score[0] == pytest.approx(np.mean(ordered[trim : len(values) - trim]))
    mixed = list(values)
    random.shuffle(mixed)
    assert aggregate(np.array(mixed), group, 1, how)[0][0] == score[0], "to the last bit, in any order"


HOLES = make_rows(
    ("a", "m", 1, 0.1), ("a", "m", 1, None), ("b", "m", 1, None), ("r", "original", 0, 0.3), ("s", "original", 0, None)
)


@pytest.mark.parametrize(
    ("level", "missing", "scores", "coverage"),
    [
        ("frame", "drop", [0.1, 0.3], 2 / 5),
        ("frame", "half", [0.1, 0.5, 0.5, 0.3, 0.5], 2 / 5),
        ("frame", "wrong", [0.1, -np.inf, -np.inf, 0.3, np.inf], 2 / 5),
        ("video", "drop", [0.1, 0.3], 2 / 4),
        ("video", {"frames": "drop", "videos": "half"}, [0.1, 0.5, 0.3, 0.5], 2 / 4),
        ("video", {"frames": "drop", "videos": "wrong"}, [0.1, -np.inf, 0.3, np.inf], 2 / 4),
        ("video", "half", [0.3, 0.5, 0.3, 0.5], 2 / 4),
        ("video", "wrong", [0.05, 0.0, 0.3, 1.0], 2 / 4),
    ],
)
def test_holes_by_hand(level: str, missing: object, scores: list[float], coverage: float) -> None:
    card = ProtocolCard.model_validate({"name": "p", "level": level, "missing": missing})
    units = to_units(HOLES, card)
    assert units.score.tolist() == pytest.approx(scores)
    assert units.coverage == pytest.approx(coverage), "a made-up score is no coverage"


def test_a_word_for_missing_stands_for_both() -> None:
    assert Missing.model_validate("half") == Missing(frames="half", videos="half")
    with pytest.raises(ValueError, match="zero"):
        Missing.model_validate("zero")


def test_a_method_without_any_score_is_still_planned() -> None:
    units = to_units(make_rows(("a", "x", 1, None), ("b", "y", 1, 0.3), ("r", "original", 0, 0.2)), FRAME)
    assert units.methods == ("x", "y")


def test_one_video_with_both_labels_is_refused() -> None:
    with pytest.raises(ScoreError, match="video 'a' has real and fake rows"):
        to_units(make_rows(("a", "m", 1, 0.2), ("a", "original", 0, 0.2)), VIDEO)


def test_a_method_of_our_own_name_is_refused() -> None:
    with pytest.raises(ScoreError, match="a method is called 'average'"):
        to_units(make_rows(("a", "average", 1, 0.2), ("b", "original", 0, 0.2)), FRAME)


def test_faces_of_one_picture() -> None:
    rows = make_rows(("a", "m", 1, 0.2), ("a", "m", 1, 0.6), ("a", "m", 1, 0.1), ("r", "original", 0, 0.3))
    rows = replace(rows, picture=np.array(["a/p0", "a/p0", "a/p1", "r/p0"], dtype=object))
    for faces, frame, video in (
        ("apart", [0.2, 0.6, 0.1, 0.3], [0.3, 0.3]),
        ("max", [0.6, 0.1, 0.3], [0.35, 0.3]),
        ("mean", [0.4, 0.1, 0.3], [0.25, 0.3]),
    ):
        for level, scores in (("frame", frame), ("video", video)):
            card = ProtocolCard.model_validate({"name": "p", "level": level, "faces": faces})
            assert to_units(rows, card).score.tolist() == pytest.approx(scores)
    gone = replace(rows, status=np.array(["ok", "no_face", "ok", "ok"], dtype=object))
    units = to_units(gone, ProtocolCard(name="p", level="frame", faces="max"))
    assert units.score.tolist() == [0.2, 0.1, 0.3] and units.coverage == 1.0, "a picture with one face left is covered"


def people(n: int, frames: int = 2) -> Rows:
    """`n` people with a real and a fake video each, the fake with the face of the same person, `frames` of either."""
    lines, identity = [], []
    for i in range(n):
        for video, method, label in ((f"r{i}", "original", 0), (f"f{i}", "m", 1)):
            lines += [(video, method, label, 0.5)] * frames
            identity += [f"p{i}"] * frames
    return make_rows(*lines, identity=identity)


def test_people_are_drawn_where_they_are_known() -> None:
    units = to_units(people(FEWEST_CLUSTERS), FRAME)
    assert (units.clustered_by, units.n_clusters) == ("identity", FEWEST_CLUSTERS)
    assert units.cluster.tolist() == np.repeat(np.arange(FEWEST_CLUSTERS), 4).tolist()
    few = to_units(people(FEWEST_CLUSTERS - 1), FRAME)
    assert (few.clustered_by, few.n_clusters) == ("video", 2 * (FEWEST_CLUSTERS - 1)), "too few people: videos"


def test_people_who_join_almost_everything_are_not_drawn() -> None:
    rows = people(30)
    identity = rows.identity.copy()
    identity[:80] = "p0"
    assert to_units(replace(rows, identity=identity), FRAME).clustered_by == "video"


def test_a_fake_of_two_people_joins_them() -> None:
    rows = people(20)
    identity = rows.identity.copy()
    identity[identity == "p1"] = "p0+p1"
    units = to_units(replace(rows, identity=identity), FRAME)
    assert units.n_clusters == 19 and set(units.cluster[:8].tolist()) == {0}


@pytest.mark.parametrize(
    ("level", "cluster", "by", "n"),
    [("frame", "frame", "frame", 80), ("frame", "video", "video", 40), ("video", "video", "video", 40)],
)
def test_what_is_drawn_follows_the_protocol(level: str, cluster: str, by: str, n: int) -> None:
    card = ProtocolCard.model_validate({"name": "p", "level": level, "bootstrap": Bootstrap(cluster=cluster)})
    units = to_units(people(20), card)
    assert (units.clustered_by, units.n_clusters) == (by, n)
    assert units.independent == (by == "frame" or level == "video")


@pytest.mark.parametrize("cluster", ["identity", "video", "frame"])
@pytest.mark.parametrize("protocol", [FRAME, VIDEO, ProtocolCard(name="p", level="video", faces="max")])
def test_no_rows_are_no_units(protocol: ProtocolCard, cluster: str) -> None:
    card = protocol.model_copy(update={"bootstrap": Bootstrap(cluster=cluster)})
    units = to_units(make_rows(), card)
    assert len(units.score) == len(units.video) == units.n_clusters == 0 and units.methods == ()
    assert units.clustered_by == "frame"
