"""The multiverse of a run, on rows whose numbers and order are known by hand, and against a second computation."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from statistics import fmean, median

import numpy as np
import pandas as pd
import pytest

import m2f2bench
from m2f2bench.cards.protocols import FrameSelection
from m2f2bench.core.errors import M2F2BenchError
from m2f2bench.scoring.choices import Held, LeftOut, places_in, supported
from m2f2bench.scoring.detection import load_rows

N = 12
VIDEOS = ("real0", "real1", "fake0", "fake1")


def spiky(label: int, frame: int) -> float:
    """Right in all frames of fakes but for a high score in the tenth frame of each real video."""
    return 0.6 if label else 0.95 if frame == 9 else 0.4


def early(label: int, frame: int) -> float:
    """Finds fakes in their first eight frames alone."""
    return 0.5 if not label else 0.9 if frame < 8 else 0.1


def rows(path: Path, score: object = early, without: tuple[str, ...] = (), frames: int = N) -> Path:
    """Rows of four videos; names of frames are without leading zeros, so that f10 would be sorted before f2."""
    table = []
    for video in VIDEOS:
        label = int(video.startswith("fake"))
        for frame in range(frames):
            name = f"{video}/f{frame}"
            value = "" if name in without else score(label, frame)  # type: ignore[operator]
            table.append({"id": name, "label": label, "score": value, "video": video, "method": "swap" * label or "o"})
    pd.DataFrame(table).sample(frac=1.0, random_state=1).to_csv(path, index=False)
    return path


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    return rows(tmp_path / "early.csv"), rows(tmp_path / "spiky.csv", spiky)


def value(found: m2f2bench.Multiverse, detector: str, *choice: str) -> float | None:
    (own,) = [one for one in found.universes if one.choice == choice]
    return own.values[detector]["auc"]


def test_the_order_that_is_known_by_hand(two: tuple[Path, Path]) -> None:
    """At frame level `spiky` is better, at video level by the maximum `early` is, by the mean neither."""
    found = m2f2bench.multiverse(*two)
    frame, most, mean = ("all", "frame", "", "drop"), ("all", "video", "max", "drop"), ("all", "video", "mean", "drop")
    assert value(found, "early", *frame) == pytest.approx(2 / 3)  # 8 of 12 frames of a fake are above every real
    assert value(found, "spiky", *frame) == pytest.approx(11 / 12)  # 11 of 12 frames of a real are below every fake
    assert (value(found, "early", *most), value(found, "spiky", *most)) == (1.0, 0.0)
    assert (value(found, "early", *mean), value(found, "spiky", *mean)) == (1.0, 1.0)
    assert (value(found, "early", "first 8", "frame", "", "drop")) == 1.0
    assert (value(found, "spiky", "first 8", "video", "max", "drop")) == 1.0  # the spike comes later
    # The middles of eight equal parts of twelve frames are 0, 2, 3, 5, 6, 8, 9 and 11.
    assert value(found, "early", "even 8", "frame", "", "drop") == pytest.approx(5 / 8)
    assert value(found, "spiky", "even 8", "frame", "", "drop") == pytest.approx(7 / 8)
    assert found.universes[0].choice == frame
    (pair,) = found.orders("auc")["pairs"]
    # Of 15 ways: frame level of all and of even 8 for spiky; the maximum of both for early; all others are ties.
    assert (pair["first"], pair["first_better"], pair["second_better"], pair["equal"]) == ("early", 2, 2, 11)
    assert pair["most_for_first"]["choice"]["aggregation"] == "max"
    assert pair["most_for_second"]["difference"] == pytest.approx(2 / 3 - 11 / 12)
    assert found.orders("auc")["different"] == 3
    assert "early is better than spiky in 2 and worse in 2" in found.finding("auc")


def test_what_a_choice_moves_by_hand(two: tuple[Path, Path]) -> None:
    moved = m2f2bench.multiverse(*two, metrics=["auc"]).moves("auc")
    # Aggregation: in each of all, first 8 and even 8 the least and greatest of mean, median, max and trimmed.
    assert moved["aggregation"]["mean"] == pytest.approx((0 + 0 + 0 + 1 + 0 + 1) / 6)
    assert moved["aggregation"]["sets"] == 3 and moved["aggregation"]["reordered"] == 2
    # Frames: at frame level 2/3, 1, 5/8 of early and 11/12, 1, 7/8 of spiky; by the maximum 0, 1, 0 of spiky.
    assert moved["frames"]["mean"] == pytest.approx((3 / 8 + 1 / 8 + 1) / 10)
    assert moved["frames"]["largest"] == 1.0
    # Level: frame against each of four aggregations, in each of three selections.
    early = 4 * (1 / 3 + 0 + 3 / 8)
    spiky = 3 * (1 / 12 + 0 + 1 / 8) + 11 / 12 + 0 + 7 / 8
    assert moved["level"]["mean"] == pytest.approx((early + spiky) / 24) and moved["level"]["sets"] == 12
    assert "missing" not in moved


def test_what_rows_cannot_support_is_named(two: tuple[Path, Path], tmp_path: Path) -> None:
    left = m2f2bench.multiverse(*two).left_out
    assert {one.choice for one in left if one.axis == "frames"} == {"first 16", "first 32", "even 16", "even 32"}
    assert all("no video has more than 12 frames" in one.why for one in left if one.axis == "frames")
    assert [one.choice for one in left if one.axis == "missing"] == ["half", "wrong"]
    stills = tmp_path / "stills.csv"
    stills.write_text("id,label,score\na,0,.1\nb,1,.8\nc,1,.3\n")
    found = m2f2bench.multiverse(stills)
    assert LeftOut("level", "video", "no video has two frames: the same as frame level") in found.left_out
    assert len(found.universes) == 1 and "has one value alone" in found.finding("auc")


@pytest.mark.parametrize(
    ("held", "kept", "left"),
    [
        (FrameSelection(which="first", count=10), {"first 10", "first 8"}, {"all", "first 16", "even 8", "even 32"}),
        (
            FrameSelection(which="uniform", count=10),
            {"even 10", "even 8 of the even 10"},
            {"all", "first 8", "even 16"},
        ),
        (FrameSelection(which="uniform", count=32), {"all", "first 8", "even 8"}, {"first 16", "even 32"}),
    ],
)
def test_frames_that_were_never_judged_are_left_out(
    held: FrameSelection, kept: set[str], left: set[str], tmp_path: Path
) -> None:
    """Ten spread frames have no first eight; 32 picked of videos of 12 are whole videos."""
    n = min(held.count or N, N)
    loaded = load_rows(rows(tmp_path / "a.csv", frames=n))
    found = supported(places_in(loaded.rows), loaded.protocol, Held(held), all_scored=True)
    assert kept == set(found.frames) and left <= {one.choice for one in found.left_out}


def test_a_limited_run_has_no_selections(tmp_path: Path) -> None:
    loaded = load_rows(rows(tmp_path / "a.csv"))
    found = supported(places_in(loaded.rows), loaded.protocol, Held(FrameSelection(), 30), all_scored=True)
    assert set(found.frames) == {"all"} and "limited to 30 frames" in found.left_out[0].why


HOW = {"mean": fmean, "median": median, "max": max, "trimmed10floor1": None}
WORST = {"half": (0.5, 0.5), "wrong": (1.0, 0.0)}


def by_hand(table: pd.DataFrame, picked: list[int], level: str, aggregation: str, missing: str) -> float:
    """The AUC of one way to evaluate, from the rows alone: every pair of a real and a fake is looked at."""
    units: dict[int, list[float]] = {0: [], 1: []}
    for _, video in table.groupby("video"):
        label, ordered = int(video.label.iloc[0]), video.set_index("frame").score
        scores = [ordered[i] for i in picked]
        if level == "frame":
            ends = (np.inf, -np.inf) if missing == "wrong" else (0.5, 0.5)
        else:
            ends = WORST.get(missing, (0.5, 0.5))
        filled = [ends[label] if np.isnan(s) else s for s in scores if not (np.isnan(s) and missing == "drop")]
        if level == "frame":
            units[label] += filled
        elif filled:
            if aggregation.startswith("trimmed"):
                cut = min(10, (len(filled) - 1) // 2)
                units[label].append(fmean(sorted(filled)[cut : len(filled) - cut]))
            else:
                units[label].append(HOW[aggregation](filled))  # type: ignore[misc]
        elif missing == "half":
            units[label].append(0.5)
        elif missing == "wrong":
            units[label].append((np.inf, -np.inf)[label])
    wins = [(real < fake) + (real == fake) / 2 for real, fake in product(units[0], units[1])]
    return fmean(wins)


def test_every_way_agrees_with_a_second_computation(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    table = pd.DataFrame(
        [
            {"id": f"v{video}/{frame}", "label": video % 2, "score": rng.random() ** (1 + video % 2), "video": video}
            for video in range(10)
            for frame in range(20)
        ]
    )
    table["frame"] = np.tile(np.arange(20), 10)
    gone = rng.random(200) < 0.15
    gone |= (table.video == 3).to_numpy()  # one video without any score
    table.loc[gone, "score"] = np.nan
    table.drop(columns="frame").to_csv(tmp_path / "a.csv", index=False)
    found = m2f2bench.multiverse(tmp_path / "a.csv")
    picked = {"all": list(range(20)), "first 8": list(range(8)), "first 16": list(range(16))}
    picked |= {f"even {k}": [(2 * i + 1) * 20 // (2 * k) for i in range(k)] for k in (8, 16)}
    assert len(found.universes) == 5 * 5 * 3
    for one in found.universes:
        wanted = by_hand(table, picked[one.choice.frames], *one.choice[1:])
        assert one.values["a"]["auc"] == pytest.approx(wanted), one.choice


def test_the_first_is_what_score_says(two: tuple[Path, Path]) -> None:
    for protocol in ("video", "m2f2-paper", "frame"):
        found = m2f2bench.multiverse(two[0], protocol=protocol)
        wanted = m2f2bench.score(two[0], protocol=protocol)
        first = wanted.metrics[found.metrics[0]].value
        assert found.universes[0].values["early"][found.metrics[0]] == first, protocol


def test_detectors_that_lack_different_frames_are_not_ordered_under_drop(tmp_path: Path) -> None:
    a = rows(tmp_path / "a.csv", without=("fake0/f3",))
    b = rows(tmp_path / "b.csv", spiky)
    found = m2f2bench.multiverse(a, b)
    assert {one.choice.missing for one in found.universes if not one.ranked} == {"drop"}
    assert {one.choice.missing for one in found.ranked} == {"half", "wrong"}
    assert value(found, "a", "all", "frame", "", "wrong") == pytest.approx(15 / 24)
    assert "are not in the order" in found.markdown()


def test_a_run_knows_which_frames_it_holds(squares: Path, tmp_path: Path) -> None:
    rules = tmp_path / "two.yaml"
    rules.write_text("{name: two, level: frame, frames: {which: first, count: 2}, metrics: [ap]}")
    names = ["constant", "random"]
    m2f2bench.run(detectors=names, datasets=squares, protocols=[rules, "frame"], out=tmp_path / "o")
    runs = sorted((tmp_path / "o").glob("*--two"))
    found = m2f2bench.multiverse(*runs)
    assert found.metrics == ("auc", "ap") and set(found.detectors) == set(names)
    with pytest.raises(M2F2BenchError, match="hold different frames of each video"):
        m2f2bench.multiverse(runs[0], tmp_path / "o" / "random--squares--frame", protocol="frame")


def test_hostile(two: tuple[Path, Path], tmp_path: Path) -> None:
    """Each is one line that says what is wrong."""
    shorter = rows(tmp_path / "short.csv", spiky, frames=8)
    copy = tmp_path / "copy.csv"
    copy.write_bytes(two[0].read_bytes())
    empty = tmp_path / "empty"
    empty.mkdir()
    cases = {
        "they differ in data": (two[0], shorter),
        "have the same scores: give each detector once": (two[0], copy),
        "is given twice": (two[0], two[0]),
        "needs the rows of a run": (),
        "no result": (empty,),
        "there is no file": (tmp_path / "no.csv",),
    }
    for said, places in cases.items():
        with pytest.raises(M2F2BenchError, match=said) as caught:
            m2f2bench.multiverse(*places)
        assert "\n" not in str(caught.value)
    with pytest.raises(M2F2BenchError, match="is not one of scores"):
        m2f2bench.multiverse(two[0], metrics=["bleu"])
    with pytest.raises(M2F2BenchError, match="a multiverse is of P"):
        m2f2bench.multiverse(two[0], protocol="explain-blind")


def test_json_has_every_way(two: tuple[Path, Path]) -> None:
    found = m2f2bench.multiverse(*two, protocol="video")
    data = json.loads(json.dumps(found.to_json()))
    assert len(data["universes"]) == 15 and data["universes"][0]["level"] == "video"
    assert data["metrics"]["auc"]["reach"]["spiky"]["least"]["value"] == 0.0
    assert len(found.to_pandas()) == 15 * 2 * len(found.metrics)


def test_the_figure_draws_every_choice(two: tuple[Path, Path], tmp_path: Path) -> None:
    """Of each choice the least, the mean and the greatest of all ways with it; here by hand for frame level."""
    drawn = m2f2bench.plot("multiverse", *two, out=tmp_path / "a.svg", metric="auc").to_pandas()
    values = drawn[(drawn.part == "values") & (drawn.detector == "early")]
    assert values.x.iloc[0] == pytest.approx(2 / 3)  # the protocol's own
    # 1 own; 3 selections; frame and 4 aggregations; the missing rule is one, and has no rows
    assert len(values) == 9
    frame = values.x.iloc[4]
    assert frame == pytest.approx((2 / 3 + 1 + 5 / 8) / 3)
    ends = drawn[(drawn.part == "range") & (drawn.detector == "early") & (np.floor(drawn.y + 0.5) == 4)].x
    assert sorted(ends) == pytest.approx([5 / 8, 1.0])
    with pytest.raises(M2F2BenchError, match="--no-bands has no effect on multiverse"):
        m2f2bench.plot("multiverse", *two, out=tmp_path / "a.svg", bands=False)
