"""Validation carved by identity: nobody on both sides, the same outcome whatever the order of the frames."""

from __future__ import annotations

import os
import random
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2f2bench.core.errors import DataError
from m2f2bench.core.records import Frame, Locator
from m2f2bench.datasets.layouts.ddvqa import DDVQAAdapter
from m2f2bench.training.frames import carve_validation, components

REAL_DATA = Path(os.environ.get("M2F2BENCH_DATA", "/nowhere")) / "ddvqa"


def frame(name: str, label: int, *people: str, video: str = "") -> Frame:
    return Frame(name, video or name, label, "M" if label else "original", "train", people, Locator(name))


def people(frames: list[Frame]) -> set[str]:
    return {p for f in frames for p in f.identities}


def pairs(count: int) -> list[Frame]:
    """`count` groups as in FaceForensics++: reals A and B, fakes A_B and B_A."""
    out = []
    for n in range(count):
        a, b = f"{2 * n:03d}", f"{2 * n + 1:03d}"
        out += [frame(a, 0, a), frame(b, 0, b), frame(f"{a}_{b}", 1, a, b), frame(f"{b}_{a}", 1, b, a)]
    return out


def test_a_fake_joins_both_of_its_people() -> None:
    frames = [frame("r1", 0, "1"), frame("r2", 0, "2"), frame("f12", 1, "1", "2"), frame("r3", 0, "3")]
    assert [[f.id for f in c.frames] for c in components(frames)] == [["f12", "r1", "r2"], ["r3"]]


def test_chains_join() -> None:
    chain = [frame(f"f{n}", 1, str(n), str(n + 1)) for n in range(50)]
    random.Random(1).shuffle(chain)
    assert len(components([*chain, frame("r", 0, "99")])) == 2


def test_without_identities_the_video_stands_for_the_person() -> None:
    frames = [frame(f"{v}/{i}", v % 2, video=f"v{v}") for v in range(8) for i in range(5)]
    train, val = carve_validation(frames, 0.25, 0)
    assert not {f.video for f in train} & {f.video for f in val}
    assert len(val) == 10
    # an identity of the same name as a video is somebody else
    assert len(components([frame("a", 0, video="7"), frame("b", 1, "7", video="8")])) == 2


def test_frames_of_one_video_stay_together_even_if_their_identities_differ() -> None:
    frames = [frame("a", 0, "1", video="v"), frame("b", 0, "2", video="v")]
    assert len(components(frames)) == 1


def test_golden() -> None:
    train, val = carve_validation(pairs(10), 0.2, 0)
    # by hashlib alone, blake2b("0\0identity\0" + least number), 16 bytes, puts 012 first and 008 second of the ten
    assert people(val) == {"012", "013", "008", "009"}
    assert len(val) == 8 and len(train) == 32
    assert [f.id for f in val] == sorted(f.id for f in val)


def test_seeds_differ_and_repeat() -> None:
    frames = pairs(40)
    sets = {tuple(sorted(people(carve_validation(frames, 0.2, seed)[1]))) for seed in range(10)}
    assert len(sets) == 10
    assert carve_validation(frames, 0.2, 3) == carve_validation(frames, 0.2, 3)


def test_both_classes_are_found_even_when_the_fraction_is_tiny() -> None:
    frames = [frame(f"r{n}", 0, f"r{n}") for n in range(9)] + [frame(f"f{n}", 1, f"f{n}") for n in range(9)]
    train, val = carve_validation(frames, 0.001, 0)
    assert sorted(f.label for f in val) == [0, 1]
    assert {f.label for f in train} == {0, 1}
    train, val = carve_validation(frames, 0.999, 0)
    assert sorted(f.label for f in train) == [0, 1]


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([], "no frames"),
        ([frame("a", 0, "1"), frame("b", 0, "2")], "only real"),
        ([frame("a", 1, "1"), frame("b", 1, "2")], "only fake"),
        ([frame("a", 0, "1"), frame("b", 1, "1")], "all are joined"),
        ([frame("a", 0, "1"), frame("b", 1, "2")], "cannot give"),
        ([frame("a", 0, "1"), frame("b", 0, "2"), frame("c", 1, "3")], "cannot give fake"),
    ],
)
def test_what_cannot_be_carved(frames: list[Frame], reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        carve_validation(frames, 0.2, 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, float("nan")])
def test_bad_fractions(fraction: float) -> None:
    with pytest.raises(DataError, match="val_fraction"):
        carve_validation(pairs(5), fraction, 0)


FRAMES = st.lists(
    st.tuples(st.integers(0, 1), st.lists(st.integers(0, 9), max_size=2, unique=True), st.integers(0, 12)), max_size=14
)


def feasible(frames: list[Frame]) -> bool:
    """By trying every way to share the groups out."""
    labels = [c.labels for c in components(frames)]
    return any(
        {n for side, ls in zip(sides, labels, strict=True) if side for n in ls} == {0, 1}
        and {n for side, ls in zip(sides, labels, strict=True) if not side for n in ls} == {0, 1}
        for sides in product((0, 1), repeat=len(labels))
    )


@settings(deadline=None)
@given(FRAMES, st.floats(0.01, 0.99), st.integers(0, 2**40), st.randoms())
def test_nobody_crosses_and_it_is_found_whenever_it_can_be(
    rows: list[tuple[int, list[int], int]], fraction: float, seed: int, shuffler: random.Random
) -> None:
    frames = [
        frame(f"{n:02d}", label, *map(str, who), video=f"{label}/{video}") for n, (label, who, video) in enumerate(rows)
    ]
    try:
        train, val = carve_validation(frames, fraction, seed)
    except DataError:
        assert not feasible(frames)
        return
    assert sorted(f.id for f in train + val) == sorted(f.id for f in frames)
    assert not people(train) & people(val)
    assert not {f.video for f in train} & {f.video for f in val}
    assert {f.label for f in train} == {f.label for f in val} == {0, 1}
    shuffler.shuffle(frames)
    assert carve_validation(frames, fraction, seed) == (train, val)


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="M2F2BENCH_DATA is not set, or has no ddvqa")
def test_the_real_training_split() -> None:
    frames = DDVQAAdapter(REAL_DATA).frames("train")
    for seed in range(5):
        train, val = carve_validation(frames, 0.15, seed)
        assert len(train) + len(val) == 1339
        assert abs(len(val) - 0.15 * 1339) <= 4  # the largest group of DD-VQA's has 8 frames
        assert not people(train) & people(val)
        assert {f.label for f in train} == {f.label for f in val} == {0, 1}
