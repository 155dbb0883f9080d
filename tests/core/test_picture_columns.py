"""Pictures as columns, held against the list of the frames that they are."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2f2bench.core.frame_lists import COLUMNS, column, only
from m2f2bench.core.pictures import Pictures
from m2f2bench.core.records import FAKE, REAL, Frame, Locator
from m2f2bench.datasets.dataset import check_unique, spread_by_method

NAME = st.sampled_from(["a", "b/ä", "c\udcff", "d e", "f/g/h"])
ROW = st.tuples(NAME, st.sampled_from([REAL, FAKE]), NAME, st.lists(NAME, max_size=2), st.sampled_from(["", "p"]))


def made(rows: list[tuple[str, int, str, list[str], str]], own_paths: bool) -> tuple[Pictures, list[Frame]]:
    """Columns of rows, and the frames that a list of the same rows has."""
    ids = [f"{name}/{number}" for number, (name, *_) in enumerate(rows)]
    paths = [f"/else/{number}.png" for number in range(len(rows))] if own_paths else [f"/data/{one}" for one in ids]
    videos, methods = [row[2] for row in rows], [f"m{row[1]}" for row in rows]
    people, faces = [tuple(row[3]) for row in rows], [row[4] for row in rows]
    columns: list[Any] = [ids, videos, [row[1] for row in rows], methods, people]
    pictures = Pictures("test", "/data/", *columns, faces if any(faces) else None, paths if own_paths else None)
    frames = [
        Frame(ids[i], videos[i], rows[i][1], methods[i], "test", people[i], Locator(paths[i]), faces[i])
        for i in range(len(rows))
    ]
    return pictures, frames


@given(st.lists(ROW, max_size=9), st.booleans(), st.data())
def test_they_are_the_list_of_their_frames(rows: list, own_paths: bool, data: st.DataObject) -> None:
    pictures, frames = made(rows, own_paths)
    assert pictures == frames and list(pictures) == frames and len(pictures) == len(frames)
    assert pickle.loads(pickle.dumps(pictures)) == frames
    for name in COLUMNS:
        assert column(pictures, name) == column(frames, name) == [getattr(frame, name) for frame in frames]
    start, stop, step = (data.draw(st.none() | st.integers(-9, 9).filter(bool)) for _ in range(3))
    assert pictures[start:stop:step] == frames[start:stop:step]
    positions = data.draw(st.lists(st.sampled_from(range(len(rows))), unique=True)) if rows else []
    assert pictures.take(positions) == [frames[i] for i in positions]
    wanted = {frames[i].id for i in positions}
    assert only(pictures, wanted) == only(frames, wanted) == [frame for frame in frames if frame.id in wanted]
    if rows:
        limit = data.draw(st.integers(1, 10))
        assert spread_by_method(pictures, limit) == spread_by_method(frames, limit)
        assert pictures[-1] == frames[-1]
    with pytest.raises(IndexError):
        pictures[len(rows)]


@given(st.lists(ROW, min_size=1, max_size=5))
def test_what_is_refused_of_a_list_is_refused_of_columns(rows: list) -> None:
    pictures, frames = made(rows, own_paths=False)
    told = []
    for listed in (pictures, frames):
        try:
            check_unique(listed)
            told.append("")
        except Exception as error:
            told.append(str(error))
    assert told[0] == told[1]
    assert bool(told[0]) == any(len({row[1] for row in rows if row[2] == video}) > 1 for video in {r[2] for r in rows})
    ids: list[Any] = [
        [*pictures.id, pictures.id[0]],
        *([*values, values[0]] for values in (pictures.video, pictures.label)),
    ]
    twice = Pictures("test", "/data/", *ids, [*pictures.method, "m"], [*pictures.identities, ()])
    assert twice.repeated() == frames[0].id and pictures.repeated() == ""
