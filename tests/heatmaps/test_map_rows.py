"""Rows of heat maps: what is written is read again to the bit, and what is no row is refused in one line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows_held import rows_held

from m2f2bench.cards.models import HeatMapCard, read_card
from m2f2bench.cards.protocols import HeatMapRules
from m2f2bench.core import parsing
from m2f2bench.core.errors import CardError, ScoreError, StoreError
from m2f2bench.core.records import Frame, Locator
from m2f2bench.heatmaps.report import CONTROLS, MAKERS, OUTCOMES, MappedFrame
from m2f2bench.heatmaps.store import MapForm, MapStore, maps_hash, read_maps
from m2f2bench.loading import any_protocol
from m2f2bench.results.store import MAPS

MASKS = MapForm.of(any_protocol("localization"))
PIXELS = MapForm.of(any_protocol("faithfulness").model_copy(update={"steps": 2, "fills": ("blur",)}))
shares = st.floats(0.0, 1.0)
texts = st.text(st.characters(codec="utf-8"), max_size=8)


@st.composite
def mapped(draw: st.DrawFn, form: MapForm, name: str, measured: bool = False) -> MappedFrame:
    people = tuple(draw(st.lists(st.sampled_from("abc"), max_size=2, unique=True)))
    label = 1 if measured else draw(st.integers(0, 1))
    frame = Frame(name, draw(texts), label, draw(texts), "", people, Locator(""), draw(texts))
    outcome = "ok" if measured else draw(st.sampled_from(OUTCOMES))
    row = MappedFrame(frame, outcome, draw(texts), draw(texts), draw(texts), draw(texts))
    if outcome not in ("unreadable", "error"):
        row.level, row.shape = draw(shares), (draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    if outcome == "ok" and (label or form is PIXELS):
        row.score = draw(shares) if form is PIXELS else None
        for maker in MAKERS:
            row.values[maker] = {one: draw(shares) for one in form.names(maker)}
            row.curves[maker] = np.full(form.curves, draw(shares))
    return row


@settings(max_examples=40)
@given(st.data(), st.sampled_from([MASKS, PIXELS]))
def test_rows_come_back_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, form: MapForm
) -> None:
    rows = [data.draw(mapped(form, f"f{i}")) for i in range(data.draw(st.integers(1, 4)))]
    folder = tmp_path_factory.mktemp("rows")
    with MapStore(folder, {"a": "b"}, form) as store:
        store.append(rows[:2])
    with MapStore(folder, {"a": "b"}, form) as store:
        assert [form.flat(row) for row in store.rows.values()] == [form.flat(row) for row in rows[:2]]
        store.append(rows[2:])
        store.finish([row.frame.id for row in rows])
    again = read_maps(folder / MAPS, form)
    assert [form.flat(row) for row in again] == [form.flat(row) for row in rows]
    assert maps_hash(again, form) == maps_hash(rows, form)
    with pytest.raises(StoreError):
        MapStore(folder, {"a": "c"}, form).__enter__()


def test_a_part_that_was_cut_or_has_no_row_is_dropped(tmp_path: Path) -> None:
    row = MappedFrame(Frame("a", "v", 0, "original", "", (), Locator("")), level=0.5, shape=(2, 2))
    with MapStore(tmp_path, {}, MASKS) as store:
        store.append([row])
    partial = tmp_path / "maps.partial.arrows"
    whole = partial.read_bytes()
    row.level = 7.5
    for name in ("a", "b"):
        row.frame = dataclasses.replace(row.frame, id=name)
        with MapStore(tmp_path, {}, MASKS) as store:
            store.append([row])
        assert [one["level"] for one in rows_held(partial)] == [0.5, 7.5]
        for tail in (b"", b"3\n", bytes(100)):
            partial.write_bytes(partial.read_bytes() + tail)
            with MapStore(tmp_path, {}, MASKS) as store:
                assert {name: one.level for name, one in store.rows.items()} == {"a": 0.5}
            assert partial.read_bytes() == whole


@settings(max_examples=60)
@given(st.data())
def test_what_is_no_row_is_refused_in_one_line(data: st.DataObject) -> None:
    row = data.draw(mapped(MASKS, "a", measured=True))
    flat = MASKS.flat(row)
    name = data.draw(st.sampled_from([one for one in flat if one not in ("message", "digest", "stamp", "mask_digest")]))
    wrong = data.draw(st.sampled_from([float("nan"), float("inf"), -3.5, 17, True, [2.0], {}, "x" * 9]))
    kind = MASKS.types[name]
    if kind == "string" and isinstance(wrong, str) and name != "outcome":
        return
    if kind == "int64" and wrong == 17:
        return
    with pytest.raises(ValueError) as error:
        MASKS.made({**flat, name: wrong})
    assert str(error.value) and "\n" not in str(error.value)


def test_a_file_of_nothing(tmp_path: Path) -> None:
    with MapStore(tmp_path, {}, MASKS) as store:
        store.finish([])
    with pytest.raises(ScoreError, match="has no rows"):
        read_maps(tmp_path / MAPS, MASKS)
    with pytest.raises(ScoreError, match=r"lacks the column 'detector.deletion_blur'"):
        read_maps(tmp_path / MAPS, PIXELS)


def test_lists_without_end_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = MappedFrame(Frame("a", "v", 1, "m", "", (), Locator("")), level=0.5, shape=(2, 2))
    row.values = {maker: dict.fromkeys(MASKS.measures, 0.5) for maker in MAKERS}
    row.curves = {maker: np.zeros(MASKS.curves) for maker in MAKERS}
    with MapStore(tmp_path, {}, MASKS) as store:
        store.append([row])
        store.finish(["a"])
    assert len(read_maps(tmp_path / MAPS, MASKS)) == 1
    monkeypatch.setattr(parsing, "MOST_ROWS", 100)
    with pytest.raises(ScoreError, match="a column of it has more than 100 values"):
        read_maps(tmp_path / MAPS, MASKS)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("measure: masks\nsteps: 20\nmetrics: [iou]", "steps goes with measure: faithfulness alone"),
        ("measure: masks\nmetrics: [drop]", "metric drop is not measured here"),
        ("measure: faithfulness\nmetrics: [drop]", "goes with steps, area and fills"),
        (
            "measure: faithfulness\nsteps: 4\narea: 0.1\nfills: [mean]\nmetrics: [deletion_blur]",
            "metric deletion_blur is not measured here: take from deletion_mean, insertion_mean, drop",
        ),
        ("measure: masks\nmetrics: []", "metrics"),
        ("measure: mask\nmetrics: [iou]", "measure"),
        ("measure: masks\nmetrics: [iou]\nlevel: frame", "unknown key 'level'"),
    ],
)
def test_cards_that_cannot_be(tmp_path: Path, keys: str, says: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"name: mine\ntask: heatmaps\n{keys}\n")
    with pytest.raises(CardError) as error:
        read_card("metrics", path)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_the_cards_defaults_are_those_of_the_functions() -> None:
    from inspect import signature

    from m2f2bench.heatmaps.measurement import faithfulness

    card, taken = any_protocol("faithfulness"), signature(faithfulness).parameters
    assert isinstance(card, HeatMapCard) and isinstance(card, HeatMapRules)
    assert (card.steps, card.area) == (taken["steps"].default, taken["area"].default)
    assert set(card.metrics) == set(card.faithfulness_metrics) and MAKERS[1:] == CONTROLS
