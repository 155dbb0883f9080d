"""Tracks and the choice among them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2f2bench.faces.choose import Choice, choose, choose_tracks, marked_share
from m2f2bench.faces.face import Face, distinct, overlap, rounded
from m2f2bench.faces.follow import Follower, Track, follow


def face(x: float, y: float, side: float = 40.0, score: float = 0.9) -> Face:
    return Face((x - side / 2, y - side / 2, x + side / 2, y + side / 2), score)


def by_person(people: list[list[Face | None]], seed: int = 0) -> tuple[list[Track], dict[int, int]]:
    """Follow people, given in changing order, and return the tracks and the person of each face by its identity."""
    rng = np.random.default_rng(seed)
    whose: dict[int, int] = {}
    pictures = []
    for time in range(len(people[0])):
        there = [(number, path[time]) for number, path in enumerate(people) if path[time] is not None]
        whose.update({id(one): number for number, one in there})
        rng.shuffle(there)
        pictures.append((float(time), [one for _, one in there if one is not None]))
    return follow(pictures), whose


def owners(tracks: list[Track], whose: dict[int, int], but: tuple[float, ...] = ()) -> list[set[int]]:
    return [{whose[id(one)] for time, one in track.faces.items() if time not in but} for track in tracks]


@pytest.mark.parametrize("step", [2.0, 8.0, 15.0, 30.0])
@pytest.mark.parametrize("apart", [0.0, 12.0])
def test_two_people_who_cross_keep_their_tracks(step: float, apart: float) -> None:
    rng = np.random.default_rng(1)
    shake = rng.normal(0, 1.0, (41, 4))
    left: list[Face | None] = [face(step * (t - 20) + 300 + shake[t, 0], 100 + shake[t, 1]) for t in range(41)]
    right: list[Face | None] = [
        face(-step * (t - 20) + 300 + shake[t, 2], 100 + apart + shake[t, 3]) for t in range(41)
    ]
    tracks, whose = by_person([left, right])
    same = tuple(t for t, (a, b) in enumerate(zip(left, right, strict=True)) if a and b and overlap(a.box, b.box) > 0.8)
    assert len(same) <= 3  # where both are in one place, which is which cannot be told
    assert sorted(map(sorted, owners(tracks, whose, same))) == [[0], [1]]


def test_a_person_behind_another_is_found_again() -> None:
    """While one covers the other there is one face only."""
    front: list[Face | None] = [face(100 + 10 * t, 100) for t in range(30)]
    behind: list[Face | None] = [face(390 - 10 * t, 104) for t in range(30)]
    for time in range(30):
        a, b = front[time], behind[time]
        assert a is not None and b is not None
        if overlap(a.box, b.box) > 0.2:
            behind[time] = None
    assert 2 <= behind.count(None) <= 6
    tracks, whose = by_person([front, behind])
    assert sorted(map(sorted, owners(tracks, whose))) == [[0], [1]]


def test_a_gap_is_bridged_up_to_a_limit() -> None:
    def gap(length: int) -> int:
        path: list[Face | None] = [face(100 + 3 * t, 100) for t in range(40)]
        path[10 : 10 + length] = [None] * length
        return len(by_person([path])[0])

    assert gap(7) == 1 and gap(8) == 2


def test_a_face_elsewhere_or_of_another_size_is_another_person() -> None:
    assert len(follow([(0, [face(100, 100)]), (1, [face(190, 100)])])) == 2
    assert len(follow([(0, [face(100, 100, 40)]), (1, [face(100, 100, 110)])])) == 2
    assert len(follow([(0, [face(100, 100, 40)]), (1, [face(104, 101, 44)])])) == 1


def test_it_follows_as_pictures_come() -> None:
    follower = Follower()
    first = follower.step(0, [face(100, 100), face(300, 100)])
    second = follower.step(1, [face(303, 100), face(101, 100)])
    assert second == [first[1], first[0]] and [track.number for track in first] == [0, 1]
    assert follower.step(2, []) == []
    with pytest.raises(ValueError, match="not after the last"):
        follower.step(1, [face(100, 100)])


def test_between_its_faces_a_track_is_on_the_way() -> None:
    (track,) = follow([(0, [face(100, 100)]), (4, [face(120, 108)])])
    assert track.between(1) == face(105, 102).box
    assert track.between(-3) == face(100, 100).box and track.between(9) == face(120, 108).box


@given(st.lists(st.lists(st.tuples(st.floats(0, 300), st.floats(0, 300), st.floats(5, 90)), max_size=5), max_size=8))
def test_every_face_is_in_one_track_and_twice_the_same(steps: list[list[tuple[float, float, float]]]) -> None:
    pictures = [(float(t), [face(*one) for one in faces]) for t, faces in enumerate(steps)]
    tracks = follow(pictures)
    assert sorted(id(one) for track in tracks for one in track.faces.values()) == sorted(
        id(one) for _, faces in pictures for one in faces
    )
    again = follow(pictures)
    assert [list(track.faces.items()) for track in tracks] == [list(track.faces.items()) for track in again]


def test_the_largest_is_that_of_the_whole_video() -> None:
    small_and_long = [(float(t), [face(100, 100, 40)]) for t in range(10)]
    tracks = follow([(0.0, [face(100, 100, 40), face(300, 100, 80)]), *small_and_long[1:]])
    (chosen,) = choose_tracks(tracks, Choice())
    assert chosen.faces[0.0].side == 40  # 10 × 40² is more than 80²
    assert [len(track.faces) for track in choose_tracks(tracks, Choice(rule="all"))] == [10, 1]
    assert choose_tracks([], Choice()) == []


def test_the_mask_decides_where_it_marks_something() -> None:
    mask = np.zeros((200, 400), bool)
    mask[80:120, 280:320] = True
    faces = [face(100, 100, 90), face(300, 100, 40)]
    assert marked_share(faces[0], mask) == 0 and marked_share(faces[1], mask) == 1
    assert marked_share(face(300, 120, 40), mask) == 0.5
    assert choose(faces, Choice(rule="mask"), mask) == [faces[1]]
    assert choose(faces, Choice(rule="mask"), np.zeros((200, 400), bool)) == [faces[0]]
    assert choose(faces, Choice(rule="mask")) == [faces[0]] == choose(faces, Choice(), mask)
    tracks = follow([(0.0, faces)])
    assert choose_tracks(tracks, Choice(rule="mask"), {0: 0.0, 1: 1.0}) == [tracks[1]]


def test_small_and_unsure_faces_are_left_out() -> None:
    faces = [face(100, 100, 90, 0.4), face(300, 100, 40, 0.95)]
    assert choose(faces, Choice(least_score=0.5)) == [faces[1]]
    assert choose(faces, Choice(least_side=64)) == [faces[0]]
    assert choose(faces, Choice(rule="all", least_side=64, least_score=0.5)) == []
    assert Choice(least_side=64).signature() == "largest-side64"


def test_boxes_that_overlap_are_one_face() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [40, 0, 50, 10], [0, 0, 0, 10]], float)
    assert distinct(boxes, np.array([0.5, 0.9, 0.6, 0.1]), 0.3) == [1, 2, 3]
    assert distinct(boxes[:1], np.array([0.5]), 0.3) == [0]
    assert overlap((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 0, 0), (0, 0, 0, 0)) == 0


def test_a_stored_face_is_the_same_face() -> None:
    points = np.arange(10, dtype=float).reshape(5, 2) / 3
    once = rounded(Face((1.23456, 2, 3, 4), 0.98765432, points, np.ones((68, 2))))
    twice = rounded(once)
    assert once.to_json() == twice.to_json() and once.box == (1.23, 2, 3, 4)
    assert once.points is not None and once.landmarks is not None and once.landmarks.shape == (68, 2)
    assert rounded(Face((1, 2, 3, 4), 0.5)).points is None
